"""Filters on textures: blurring within a mask, filling in what is unknown, colour."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.types import LUMA, Float

JPEG_QUALITY = 94
JPEG_444 = 0x111111  # sampling factors of OpenCV: no chroma subsampling
#: Least weights to divide by: of a blur, and of a level of the fill pyramid.
LEAST_BLUR_WEIGHT, LEAST_FILL_WEIGHT = 1e-6, 1e-4


def blur(image: Float, sigma: float, mask: Float | None = None) -> Float:
    """A Gaussian blur; with a mask [H, W] of weights, of what the mask covers only."""
    if mask is None:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)
    weights = mask if image.ndim == 2 else mask[..., None]
    below = cv2.GaussianBlur(np.asarray(mask, np.float32), (0, 0), sigma)
    below = below if image.ndim == 2 else below[..., None]
    return np.asarray(
        cv2.GaussianBlur(image * weights, (0, 0), sigma) / np.maximum(below, LEAST_BLUR_WEIGHT), np.float32
    )


def fill(image: Float, mask: Float) -> Float:
    """Extend an image [256, 256, 3] smoothly beyond the weights [256, 256] that say what is known."""
    if min(mask.shape) <= 1:
        return image
    weights = cv2.resize(mask, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    known = cv2.resize(image * mask[..., None], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    found = np.asarray(known / np.maximum(weights, LEAST_FILL_WEIGHT)[..., None], np.float32)
    coarse = fill(found, np.asarray(np.minimum(4 * weights, 1), np.float32))
    wide = cv2.resize(coarse, mask.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(mask[..., None] * image + (1 - mask[..., None]) * wide, np.float32)


def smoothstep(values: Float, low: float, high: float) -> Float:
    t = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def luma(image: Float) -> Float:
    return np.asarray(image @ LUMA, np.float32)


def lab(image: Float) -> Float:
    """CIE Lab of RGB 0..1 [H, W, 3]."""
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(image, np.float32), cv2.COLOR_RGB2LAB), np.float32)


def encode(texture: Float) -> NDArray[np.uint8]:
    """A texture [256, 256, 3] RGB 0..1 as a JPEG file without chroma subsampling."""
    pixels = np.round(texture[..., ::-1] * 255).clip(0, 255).astype(np.uint8)
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, JPEG_444]
    return np.asarray(cv2.imencode(".jpg", pixels, options)[1], np.uint8).ravel()
