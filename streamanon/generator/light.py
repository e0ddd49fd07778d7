"""The frame's light, contrast and sharpness on a painted face."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.generator.patch import Look
from streamanon.geometry import INNER_LIPS, OUTER_LIPS
from streamanon.types import LUMA, Float

LIGHT_CELLS = 4
MOUTH_RGB = (58.0, 26.0, 26.0)
SIGMAS = (0.0, 0.6, 1.0, 1.5, 2.2, 3.2)


def adapt(
    rgb: Float, source: Float, core: NDArray[np.bool_], skin: NDArray[np.bool_], last: Look | None
) -> tuple[Float, Look]:
    """Give the painted face the frame's light, contrast and sharpness."""
    light, own = light_field(source, skin), light_field(rgb, skin)
    lit = rgb * np.clip((light + 6) / (own + 6), 0.1, 6)
    look = _measure_look(lit, source, light, core)
    look = look if last is None else last.towards(look)
    detail = lit - light
    grey = _grey(detail)[..., None]
    detail = grey + _saturation(light, own, skin) * (detail - grey)
    if look.sigma_px > 0.3:
        detail = cv2.GaussianBlur(detail, (0, 0), look.sigma_px)
    return np.asarray(light + look.contrast * detail, np.float32), look


def light_field(rgb: Float, skin: NDArray[np.bool_]) -> Float:
    """The colour field [h, w, 3] of 4 by 4 cells, from skin pixels alone."""
    weight = skin.astype(np.float32)
    cells = (LIGHT_CELLS, LIGHT_CELLS)
    amount = resized(weight, cells, cv2.INTER_AREA)[..., None]
    total = resized(rgb * weight[..., None], cells, cv2.INTER_AREA)
    for blurred in _widening(amount, total):
        amount, total = amount + blurred[0], total + blurred[1]
    field = resized(total / amount, (rgb.shape[1], rgb.shape[0]), cv2.INTER_CUBIC)
    return np.asarray(np.clip(field, 0, 255), np.float32)


def _widening(amount: Float, total: Float) -> Iterator[tuple[Float, Float]]:
    """Faint copies, wider and wider: they fill cells without pixels from their neighbours."""
    for sigma, share in ((1.0, 0.02), (3.0, 1e-4)):
        spread = cv2.GaussianBlur(amount, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)[..., None]
        colour = cv2.GaussianBlur(total, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
        yield np.asarray(spread * share, np.float32), np.asarray(colour * share, np.float32)


def _measure_look(lit: Float, source: Float, light: Float, core: NDArray[np.bool_]) -> Look:
    """Contrast of the source's detail over the painted one's, and the blur that makes them as sharp."""
    painted, real = _grey(lit - light), _grey(source - light)
    contrast = float(real[core].std()) / max(float(painted[core].std()), 1.0)
    wanted = 1.15 * _sharpness(real, core)
    for sigma in SIGMAS:
        blurred = cv2.GaussianBlur(painted, (0, 0), sigma) if sigma else painted
        if _sharpness(np.asarray(blurred, np.float32), core) <= wanted:
            break
    return Look(float(np.clip(contrast, 0.45, 1.1)), sigma)


def _saturation(light: Float, own: Float, skin: NDArray[np.bool_]) -> float:
    """How much of the painted face's own colour this footage shows, 0..1: none, if the camera sees grey."""
    seen, meant = (_tint(field[skin].mean(axis=0)) for field in (light, own))
    return min(1.0, seen / max(meant, 1e-3))


def _tint(colour: Float) -> float:
    """How far a colour [3] is from grey, of its brightness."""
    grey = float(colour @ LUMA)
    return float(np.linalg.norm(colour - grey)) / max(grey, 1.0)


def _grey(rgb: Float) -> Float:
    return np.asarray(rgb @ LUMA, np.float32)


def _sharpness(grey: Float, core: NDArray[np.bool_]) -> float:
    """The finest detail's share of all detail."""
    fine = np.abs(grey - cv2.GaussianBlur(grey, (0, 0), 1.2))[core].mean()
    return float(fine) / max(float(np.abs(grey)[core].mean()), 0.5)


def lips_of(points: Float, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Where the lips are [h, w]: their colour is not the light's and would redden the chin."""
    lips = filled(points, OUTER_LIPS, shape)
    reach = max(1, int(0.02 * float(np.ptp(points[:, 0]))))
    return cv2.dilate(lips, np.ones((2 * reach + 1,) * 2, np.uint8)) > 0


def filled(points: Float, outline: Sequence[int], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """1 inside the outline that some mesh points make, [h, w]."""
    inside = np.zeros(shape, np.uint8)
    corners = np.rint(points[list(outline), :2] * 16).astype(np.int32)
    cv2.fillPoly(inside, [corners], 1, cv2.LINE_8, 4)
    return inside


def open_mouth(rgb: Float, points: Float, uv: Float) -> Float:
    """Darken the inside of a mouth that is open wider than the delegate's own."""
    excess = gape(points) - gape(uv)
    if excess < 0.06:
        return rgb
    inside = filled(points, INNER_LIPS, rgb.shape[:2]).astype(np.float32)
    soft = 0.03 * float(np.ptp(points[:, 0])) + 0.5
    weight = cv2.GaussianBlur(inside, (0, 0), soft) * min(1.0, (excess - 0.06) / 0.15) * 0.9
    return np.asarray(rgb + weight[..., None] * (np.array(MOUTH_RGB, np.float32) - rgb), np.float32)


def gape(points: Float) -> float:
    """How far the lips part, in mouth widths."""
    width = float(np.linalg.norm(points[78, :2] - points[308, :2]))
    return float(np.linalg.norm(points[13, :2] - points[14, :2])) / max(width, 1e-3)


def resized(values: Float, size: tuple[int, int], method: int) -> Float:
    return cast(Float, cv2.resize(values, size, interpolation=method))
