"""Irreversible covers: a mosaic, a blur of that mosaic, plain colour. Pure functions.

Of the person, mosaic and blur hold one colour, and that not exactly: cells of their own colours lead back
to people from two across on (``benchmarks/covers/fallbacks.py``).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.types import Float

MAX_CELLS = 6
#: Standard deviation of the noise on a cover's colour, levels: on its brightness, and on each of R, G and B
#: besides.
NOISE, TINT_NOISE = 24.0, 8.0
#: Of the cells' brightness around it, which is drawn and tells nothing.
SHADES = 10.0
SOLID_RGB = (72.0, 72.0, 72.0)
#: Width of an ellipse's soft edge, as a share of its smaller half axis, within limits in px.
EDGE_SHARE, EDGE_PX = 0.08, (1.0, 2.0)


def cells_of(rgb: Float, columns: int, rows: int, rng: np.random.Generator) -> Float:
    """Cells [rows, columns, 3] in shades of the mean colour of an RGB region [H, W, 3], with noise on it.

    Each call draws anew, so cover a track by one call: several would let the noise be averaged away. Who
    knows ``rng``'s seed can take the noise off.
    """
    if not (1 <= columns <= MAX_CELLS and 1 <= rows <= MAX_CELLS):
        raise ValueError(f"a mosaic has 1 to {MAX_CELLS} columns and rows, not {columns} by {rows}")
    return shades_of(rgb.mean(axis=(0, 1), dtype=np.float64), columns, rows, rng)


def shades_of(
    colours: NDArray[np.float64], columns: int, rows: int, rng: np.random.Generator, strength: float = 1.0
) -> Float:
    """Cells [..., rows, columns, 3] of mean colours [..., 3]; ``strength``: multiplies the noise."""
    # Two generators: the shades, which are seen exactly, must not tell what the other one draws.
    tints, shades = rng.spawn(2)
    noise = tints.normal(0, NOISE, (*colours.shape[:-1], 1)) + tints.normal(0, TINT_NOISE, colours.shape)
    shown = (colours + strength * noise)[..., None, None, :]
    drawn = shades.normal(0, SHADES, (*colours.shape[:-1], rows, columns, 1))
    return np.asarray((shown + drawn).clip(0, 255), np.float32)


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
    """Coverage [height, width]: 1 inside an ellipse, 0 outside, with an edge of one to two pixels outside
    it.
    """
    a, b = max(axes[0], 1.0), max(axes[1], 1.0)
    x = (np.arange(width, dtype=np.float32) - np.float32(centre[0])) / np.float32(a)
    y = (np.arange(height, dtype=np.float32) - np.float32(centre[1])) / np.float32(b)
    radius = (y * y)[:, None] + x * x
    np.sqrt(radius, out=radius)
    edge = float(np.clip(EDGE_SHARE * min(a, b), *EDGE_PX))
    alpha = np.multiply(radius - 1, np.float32(-min(a, b) / edge), out=radius)
    alpha += 1
    return np.asarray(np.clip(alpha, 0, 1, out=alpha))
