"""Irreversible covers: a mosaic, a blur of that mosaic, plain colour. Pure functions.

Of the person, mosaic and blur hold one colour, and that not exactly: mosaics of their own colours lead back to
people at six cells across, and from several frames at three (``benchmarks/fallbacks.py``).
"""

from __future__ import annotations

import cv2
import numpy as np

from streamanon.types import Float

MAX_CELLS = 6
#: Standard deviation of the noise on each of R, G and B of the mean colour, levels.
NOISE = 24.0
#: Of the cells' brightness around it, which is drawn and tells nothing.
SHADES = 10.0
SOLID_RGB = (72.0, 72.0, 72.0)


def cells_of(rgb: Float, columns: int, rows: int, rng: np.random.Generator) -> Float:
    """Cells [rows, columns, 3] in shades of the mean colour of an RGB region [H, W, 3], with noise on it.

    Each call draws anew, so cover a track by one call: several would let the noise be averaged away. Who
    knows ``rng``'s seed can take the noise off.
    """
    if not (1 <= columns <= MAX_CELLS and 1 <= rows <= MAX_CELLS):
        raise ValueError(f"a mosaic has 1 to {MAX_CELLS} columns and rows, not {columns} by {rows}")
    # Two generators: the shades, which are seen exactly, must not tell the state of the one that drew the tint.
    tints, shades = rng.spawn(2)
    colour = rgb.mean(axis=(0, 1), dtype=np.float64) + tints.normal(0, NOISE, 3)
    return np.asarray((colour + shades.normal(0, SHADES, (rows, columns, 1))).clip(0, 255), np.float32)


def mosaic(cells: Float, width: int, height: int) -> Float:
    """Flat cells over ``width`` by ``height`` px."""
    return np.asarray(cv2.resize(cells, (width, height), interpolation=cv2.INTER_NEAREST), np.float32)


def blur(cells: Float, width: int, height: int) -> Float:
    """The same cells, smoothed into one another: a blur that holds no more than the mosaic does."""
    smooth = cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(smooth.clip(0, 255), np.float32)


def solid(rgb: Float) -> Float:
    """Plain dark grey in the shape of ``rgb``."""
    return np.broadcast_to(np.array(SOLID_RGB, np.float32), rgb.shape).copy()


def ellipse_alpha(width: int, height: int, centre: tuple[float, float], axes: tuple[float, float]) -> Float:
    """Coverage [height, width]: 1 inside an ellipse, 0 outside, with an edge of two pixels outside it."""
    y, x = np.ogrid[:height, :width]
    a, b = max(axes[0], 1.0), max(axes[1], 1.0)
    radius = np.sqrt(((x - centre[0]) / a) ** 2 + ((y - centre[1]) / b) ** 2)
    return np.asarray(np.clip(1 - (radius - 1) * min(a, b) / 2, 0, 1), np.float32)
