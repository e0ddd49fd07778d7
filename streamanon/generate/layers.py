"""Layers of paint with places and shares, made without the pixels that they are laid over."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from streamanon.types import Float

#: A blur less than that, px, is none.
LEAST_SIGMA_PX = 0.4
#: Keeps a fit finite where all points are one.
RIDGE = 1e-9 * np.eye(3)
Place = tuple[int, int, int, int]  # xyxy px


@dataclass(frozen=True, eq=False, repr=False)
class Layer:
    """``rgb`` [h, w, 3] 0..255 with its corner at (x0, y0) px, and how opaque it is: ``weight`` [h, w]."""

    x0: int
    y0: int
    rgb: Float
    weight: Float


@dataclass(frozen=True)
class Look:
    """How footage looks: ``contrast`` 0..1, and its blur (sigma, px)."""

    contrast: float
    sigma_px: float

    def seen(self, rgb: Float, mean: Float | np.float32) -> Float:
        """``rgb`` [h, w, 3] as the footage would show it, with less contrast about ``mean``, a grey or
        [3].
        """
        if self.sigma_px > LEAST_SIGMA_PX:
            rgb = np.asarray(cv2.GaussianBlur(rgb, (0, 0), self.sigma_px), np.float32)
        return np.asarray(mean + np.float32(self.contrast) * (rgb - mean), np.float32)


def lay(rgb: Float, layers: Iterable[Layer]) -> None:
    """Lay layers over ``rgb`` [h, w, 3], changed in place."""
    for layer in layers:
        height, width = layer.weight.shape
        part = rgb[layer.y0 : layer.y0 + height, layer.x0 : layer.x0 + width]
        part += layer.weight[..., None] * (layer.rgb - part)


def placed(corners: Float, reach: float, size: tuple[int, int]) -> Place | None:
    """The part of an image of ``size`` (width, height) about ``corners`` [N, 2] px; None where there is
    none.
    """
    x0, y0 = np.floor(corners.min(axis=0) - reach).astype(int).clip(0).tolist()
    x1, y1 = np.minimum(np.ceil(corners.max(axis=0) + reach).astype(int), size).tolist()
    return (x0, y0, x1, y1) if x1 - x0 >= 2 and y1 - y0 >= 2 else None


def grid(place: Place) -> Float:
    """The pixels' places [h, w, 2] px."""
    x0, y0, x1, y1 = place
    return np.stack(np.meshgrid(np.arange(x0, x1), np.arange(y0, y1)), axis=2).astype(np.float32)


def softly_filled(ring: Float, place: Place, soft: float) -> Float:
    """1 inside the polygon ``ring`` [N, 2] px, 0 outside, with an edge so ``soft`` (sigma, px): [h, w]."""
    x0, y0, x1, y1 = place
    inside = np.zeros((y1 - y0, x1 - x0), np.uint8)
    cv2.fillPoly(inside, [np.rint(16 * (ring - [x0, y0])).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return np.asarray(cv2.GaussianBlur(inside.astype(np.float32) / 255, (0, 0), soft), np.float32)


def parabola(u: Float, v: Float) -> Float:
    """The polynomial of second degree [3], highest power first, that gives ``v`` [N] of ``u`` [N], which is
    of the order of 1. By the normal equations: NumPy's fit takes ten times as long.
    """
    u = u.astype(np.float64)
    powers = np.stack([u * u, u, np.ones_like(u)])
    return np.asarray(np.linalg.solve(powers @ powers.T + RIDGE, powers @ v), np.float32)
