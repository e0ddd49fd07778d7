"""Irreversible covers: mosaic of few cells, blur of that mosaic, plain colour. Pure functions."""

from __future__ import annotations

import cv2
import numpy as np

from streamanon.types import Float

MAX_CELLS = 6
NOISE = 4.0
SOLID_RGB = (72.0, 72.0, 72.0)


def cells_of(rgb: Float, columns: int, rows: int, seed: int) -> Float:
    """Cell means [rows, columns, 3] of an RGB region with slight colour noise.

    The noise, fixed by ``seed`` so that it does not flicker, keeps several frames' means from adding up to
    a sharper picture.
    """
    if not (1 <= columns <= MAX_CELLS and rows >= 1):
        raise ValueError(f"a mosaic has 1 to {MAX_CELLS} columns, not {columns}")
    means = cv2.resize(rgb, (columns, rows), interpolation=cv2.INTER_AREA)
    noise = np.random.default_rng(seed).normal(0, NOISE, (rows, columns, 3))
    return np.asarray(np.clip(means + noise, 0, 255), np.float32)


def mosaic(rgb: Float, columns: int, rows: int, seed: int) -> Float:
    """``rgb`` [H, W, 3] as a mosaic of ``columns`` by ``rows`` flat cells."""
    size = rgb.shape[1], rgb.shape[0]
    flat = cv2.resize(cells_of(rgb, columns, rows, seed), size, interpolation=cv2.INTER_NEAREST)
    return np.asarray(flat, np.float32)


def blur(rgb: Float, columns: int, rows: int, seed: int) -> Float:
    """The same cells, smoothed into one another: a blur that holds no more than the mosaic does."""
    size = rgb.shape[1], rgb.shape[0]
    smooth = cv2.resize(cells_of(rgb, columns, rows, seed), size, interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(smooth, 0, 255), np.float32)


def solid(rgb: Float) -> Float:
    """Plain dark grey in the shape of ``rgb``."""
    return np.broadcast_to(np.array(SOLID_RGB, np.float32), rgb.shape).copy()


def ellipse_alpha(width: int, height: int, centre: tuple[float, float], axes: tuple[float, float]) -> Float:
    """Coverage [height, width]: 1 inside an ellipse, 0 outside, with an edge of two pixels outside it."""
    y, x = np.ogrid[:height, :width]
    a, b = max(axes[0], 1.0), max(axes[1], 1.0)
    radius = np.sqrt(((x - centre[0]) / a) ** 2 + ((y - centre[1]) / b) ** 2)
    return np.asarray(np.clip(1 - (radius - 1) * min(a, b) / 2, 0, 1), np.float32)
