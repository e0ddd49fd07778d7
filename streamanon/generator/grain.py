"""The camera's grain on a painted face, which would otherwise be smoother than what is around it."""

from __future__ import annotations

import cv2
import numpy as np

from streamanon.types import LUMA, Float

BLOCK_PX, FEWEST_BLOCKS, LARGEST_PX = 6, 12, 256
#: What :func:`grain_of` tells of white noise of standard deviation 1.
WHITE = 0.8
#: Grain less than this (in levels) is not worth adding, and more than that is no grain.
LEAST, MOST = 1.0, 14.0


def grain_of(grey: Float, share: Float) -> float:
    """How strong the finest detail of ``grey`` [h, w] 0..255 is, in levels, in the flatter blocks of those
    where ``share`` [h, w] is 1; 0 where there are too few.
    """
    fine = grey - cv2.GaussianBlur(grey, (0, 0), 1.0)
    rows, columns = (length - length % BLOCK_PX for length in grey.shape)
    if not rows or not columns:
        return 0.0
    size = columns // BLOCK_PX, rows // BLOCK_PX
    layers = np.stack([fine * fine, grey, share], axis=2)[:rows, :columns].astype(np.float32)
    power, mean, inside = cv2.split(cv2.resize(layers, size, interpolation=cv2.INTER_AREA))
    usable = (inside > 0.999) & (mean > 8) & (mean < 247)  # grain is lost where pixels are clipped
    if usable.sum() < FEWEST_BLOCKS:
        return 0.0
    return float(np.sqrt(np.percentile(power[usable], 25)))


def add_grain(rgb: Float, alpha: Float, grey: Float) -> Float:
    """``rgb`` [h, w, 3] as grainy as ``grey`` [h, w], the frame's luma, is where ``alpha`` is 1. Both are
    0..255. One number of the frame is used; the same frame gets the same grain.
    """
    middle = tuple(_middle(length) for length in alpha.shape)
    wanted = grain_of(grey[middle], alpha[middle])
    lacking = wanted**2 - grain_of(rgb[middle] @ LUMA, alpha[middle]) ** 2
    strength = np.sqrt(max(lacking, 0.0)) / WHITE
    if strength < LEAST:
        return rgb
    rng = np.random.default_rng(int(1e6 * wanted))
    noise = rng.standard_normal(alpha.shape, np.float32) * np.float32(min(strength, MOST))
    return np.asarray(rgb + noise[..., None], np.float32)


def _middle(length: int) -> slice:
    start = max(0, (length - LARGEST_PX) // 2)
    return slice(start, start + LARGEST_PX)
