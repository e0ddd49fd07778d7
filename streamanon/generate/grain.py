"""How fine a painted face is: as its footage, by its own detail's strength and by the camera's grain."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np

from streamanon.types import LUMA, Float

#: Grain is measured in blocks this wide, px, if there are so many, in the middle of the face, px.
BLOCK_PX, FEWEST_BLOCKS, LARGEST_PX = 6, 60, 256
#: A block is used if this share of it is painted and its mean luma, levels, lies between these: clipped
#: pixels have no grain.
PAINTED, UNCLIPPED = 0.999, (8, 247)
#: What :func:`grain_of` gives for white noise of standard deviation 1.
WHITE = 0.8
#: Of the blocks' strengths, that which tells grain, as detail is elsewhere, and that which tells detail, %.
FLATTER, MIDDLING = 25, 50
#: Grain, and detail, are finer than that (sigma, px).
FINEST_SIGMA, DETAIL_SIGMA = 1.0, 1.5
#: Detail is made so much stronger at most.
MOST_GAIN = 0.75
#: Grain weaker than this, levels, is not added; stronger than that it is something else, and is bounded.
LEAST, MOST = 1.0, 14.0
#: Detail of that power, square levels, is hardly any.
LEAST_POWER = 1e-2


def grain_of(grey: Float, share: Float, percent: int = FLATTER, sigma: float = FINEST_SIGMA) -> float:
    """How strong what is finer than ``sigma`` px of ``grey`` [h, w] 0..255 is, in levels, in the block that
    is stronger than ``percent`` of those where ``share`` [h, w] is 1; 0 where there are too few.
    """
    rows, columns = (length - length % BLOCK_PX for length in grey.shape)
    if not rows or not columns:
        return 0.0
    fine = grey - cv2.GaussianBlur(grey, (0, 0), sigma)
    size, whole = (columns // BLOCK_PX, rows // BLOCK_PX), np.s_[:rows, :columns]
    power, mean, inside = (
        cv2.resize(layer[whole], size, interpolation=cv2.INTER_AREA) for layer in (fine * fine, grey, share)
    )
    usable = (inside > PAINTED) & (mean > UNCLIPPED[0]) & (mean < UNCLIPPED[1])
    if usable.sum() < FEWEST_BLOCKS:
        return 0.0
    return float(np.sqrt(np.percentile(power[usable], percent)))


def detail_gain(rgb: Float, fine: Float, alpha: Float, grey: Float) -> float:
    """By which share of ``fine`` [h, w], of its brightness, ``rgb`` [h, w, 3] has to become brighter to be
    as detailed as ``grey`` [h, w], the frame's luma, is where ``alpha`` is 1, less its grain. Levels are
    0..255. Of the frame one number is used.
    """
    middle = tuple(_middle(length) for length in alpha.shape)
    share, plain = alpha[middle], cast(Float, cv2.transform(rgb[middle], LUMA[None]))
    grain = max(grain_of(grey[middle], share) ** 2 - (LEAST * WHITE) ** 2, 0.0)
    detailed = cast(Float, plain * (1 + fine[middle]))
    wanted, own, whole = (
        grain_of(one, share, MIDDLING, DETAIL_SIGMA) ** 2 for one in (grey[middle], plain, detailed)
    )
    return float(np.sqrt(np.clip((wanted - grain - own) / max(whole - own, LEAST_POWER), 0, MOST_GAIN**2)))


def add_grain(rgb: Float, alpha: Float, grey: Float) -> Float:
    """``rgb`` [h, w, 3] as grainy as ``grey`` [h, w], the frame's luma, is where ``alpha`` is 1. Both are
    0..255. One number of the frame is used; the same frame gets the same grain.
    """
    middle = tuple(_middle(length) for length in alpha.shape)
    wanted = grain_of(grey[middle], alpha[middle])
    own = cv2.transform(rgb[middle], LUMA[None])
    lacking = wanted**2 - grain_of(cast(Float, own), alpha[middle]) ** 2
    strength = np.sqrt(max(lacking, 0.0)) / WHITE
    if strength < LEAST:
        return rgb
    rng = np.random.default_rng(int(1e6 * wanted))  # the same frame gets the same grain
    noise = rng.standard_normal(alpha.shape, np.float32) * np.float32(min(strength, MOST))
    return np.asarray(rgb + noise[..., None], np.float32)


def _middle(length: int) -> slice:
    start = max(0, (length - LARGEST_PX) // 2)
    return slice(start, start + LARGEST_PX)
