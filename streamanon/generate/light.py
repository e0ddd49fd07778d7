"""The frame's light, contrast and sharpness on a painted face."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.generate.interface import DetailState
from streamanon.generate.mouth import gape
from streamanon.generate.softness import deviation
from streamanon.mesh.landmarks import INNER_LIPS, OUTER_LIPS
from streamanon.types import LUMA, Float

#: The light is a field of so many cells each way.
LIGHT_CELLS = 4
#: Cells without skin take their neighbours' light: blurred by so many cells, at this share of its weight.
SPREADS = ((1.0, 0.02), (3.0, 1e-4))
#: Added to both lights before the one is divided by the other, levels; and the bounds of that ratio.
LIGHT_BIAS, LIGHT_RATIO = 6, (0.1, 6)
#: The bounds of the contrast of a painted face's detail, of what the texture has.
CONTRAST_RANGE = (0.45, 1.1)
#: What of a darker face's shine is left on lighter skin: all up to the first share of the skin's
#: brightness, and of the rest the second; skin so many times as bright counts as lighter, and wholly.
SHINE_FROM, SHINE_KEPT, LIGHTER = 0.12, 0.3, (1.1, 1.4)
#: Blurs that are tried until painted detail is as sharp as the frame's (sigma, px), and how much sharper
#: than that it may stay; a carried sigma below the least, px, is no blur.
SIGMAS, SHARPER, LEAST_SIGMA_PX = (0.0, 0.6, 1.0, 1.5, 2.2, 3.2), 1.15, 0.3
#: The finest detail is what a blur of this sigma, px, takes away.
FINEST_SIGMA_PX = 1.2
#: How far beyond their outline lips redden the skin, of the mesh's width.
LIP_REACH = 0.02
#: The dark inside of a mouth, RGB 0..255, and how opaque it is at most; the edge's blur, of the mesh's
#: width and px; from how much wider the lips part than the delegate's it shows, and after how much more
#: fully, in mouth widths.
MOUTH_RGB, MOUTH_OPACITY = (58.0, 26.0, 26.0), 0.9
MOUTH_BLUR, MOUTH_BLUR_PX = 0.03, 0.5
MOUTH_FROM, MOUTH_OVER = 0.06, 0.15
#: Below this a length or a colour is taken for none, so that nothing is divided by 0.
TINY = 1e-3


def adapt(
    rgb: Float,
    light: Float,
    source: Float,
    core: NDArray[np.bool_],
    skin: NDArray[np.bool_],
    last: DetailState | None,
) -> tuple[Float, DetailState]:
    """Give the painted face the contrast and sharpness of the ``source``, and its ``light`` field."""
    own = light_field(rgb, skin)
    ratio = np.clip((light + LIGHT_BIAS) / (own + LIGHT_BIAS), *LIGHT_RATIO)
    lit = _less_shine(cast(Float, rgb * ratio), light, _grey(ratio))
    carried = _measure_detail(lit, source, light, core)
    carried = carried if last is None else last.towards(carried)
    detail = lit - light
    grey = _grey(detail)[..., None]
    detail = grey + _saturation(light, own, skin) * (detail - grey)
    if carried.sigma_px > LEAST_SIGMA_PX:
        detail = cast(Float, cv2.GaussianBlur(detail, (0, 0), carried.sigma_px))
    return np.asarray(light + carried.contrast * detail, np.float32), carried


def _less_shine(lit: Float, light: Float, ratio: Float) -> Float:
    """A face ``lit`` [h, w, 3] by a ``light`` that is ``ratio`` [h, w] times its own: what shines on dark
    skin would be white spots on light skin.
    """
    (start, end), grey = LIGHTER, _grey(light)
    lighter = ((ratio - np.float32(start)) * np.float32(1 / (end - start))).clip(0, 1)
    excess = (_grey(lit) - np.float32(1 + SHINE_FROM) * grey).clip(0)
    return cast(Float, lit - (np.float32(1 - SHINE_KEPT) * lighter * excess)[..., None])


def light_field(rgb: Float, skin: NDArray[np.bool_]) -> Float:
    """The colour field [h, w, 3] of 4 by 4 cells, from skin pixels alone."""
    weight = skin.astype(np.float32)
    cells = (LIGHT_CELLS, LIGHT_CELLS)
    amount = resized(weight, cells, cv2.INTER_AREA)[..., None]
    weighted = cv2.multiply(rgb, cv2.merge([weight] * 3))
    total = resized(cast(Float, weighted), cells, cv2.INTER_AREA)
    for blurred in _widening(amount, total):
        amount, total = amount + blurred[0], total + blurred[1]
    down, across = (_enlarging(length) for length in rgb.shape[:2])
    rows = (down @ (total / amount).reshape(LIGHT_CELLS, -1)).reshape(-1, LIGHT_CELLS, rgb.shape[2])
    return np.asarray(np.clip(across @ rows, 0, 255), np.float32)


@lru_cache(maxsize=64)
def _enlarging(length: int) -> Float:
    """Weights [length, 4] of bicubic enlarging. As products of small matrices it takes a tenth of the time
    that OpenCV takes to enlarge so few cells so far.
    """
    cells = np.eye(LIGHT_CELLS, dtype=np.float32)
    return resized(cells, (LIGHT_CELLS, length), cv2.INTER_CUBIC)


def _widening(amount: Float, total: Float) -> Iterator[tuple[Float, Float]]:
    """Faint copies, wider and wider: they fill cells without skin from their neighbours."""
    for sigma, share in SPREADS:
        spread = cv2.GaussianBlur(amount, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)[..., None]
        colour = cv2.GaussianBlur(total, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
        yield np.asarray(spread * share, np.float32), np.asarray(colour * share, np.float32)


def _measure_detail(lit: Float, source: Float, light: Float, core: NDArray[np.bool_]) -> DetailState:
    """Contrast of the source's detail over the painted one's, and the blur that makes them as sharp."""
    painted, real = _grey(lit - light), _grey(source - light)
    inside = core.view(np.uint8)
    contrast = deviation(real, inside) / max(deviation(painted, inside), 1.0)
    wanted = SHARPER * _sharpness(real, inside)
    for sigma in SIGMAS:
        blurred = cv2.GaussianBlur(painted, (0, 0), sigma) if sigma else painted
        if _sharpness(np.asarray(blurred, np.float32), inside) <= wanted:
            break
    return DetailState(float(np.clip(contrast, *CONTRAST_RANGE)), sigma)


def _saturation(light: Float, own: Float, skin: NDArray[np.bool_]) -> float:
    """How much of the painted face's own colour this footage shows, 0..1: none, if the camera sees grey."""
    inside = skin.view(np.uint8)
    seen, meant = (_tint(np.array(cv2.mean(field, inside)[:3], np.float32)) for field in (light, own))
    return min(1.0, seen / max(meant, TINY))


def _tint(colour: Float) -> float:
    """How far a colour [3] is from grey, of its brightness."""
    grey = float(colour @ LUMA)
    return float(np.linalg.norm(colour - grey)) / max(grey, 1.0)


def _grey(rgb: Float) -> Float:
    return cast(Float, cv2.transform(rgb, LUMA[None]))


def _sharpness(grey: Float, inside: NDArray[np.uint8]) -> float:
    """The finest detail's share of all detail, where ``inside`` is not 0."""
    fine = cv2.mean(cv2.absdiff(grey, cv2.GaussianBlur(grey, (0, 0), FINEST_SIGMA_PX)), inside)[0]
    return fine / max(cv2.mean(np.abs(grey), inside)[0], 0.5)


def lips_of(points: Float, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Where the lips are [h, w]: their colour is not the light's and would redden the chin."""
    lips = filled(points, OUTER_LIPS, shape)
    reach = max(1, int(LIP_REACH * float(np.ptp(points[:, 0]))))
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
    if excess < MOUTH_FROM:
        return rgb
    inside = filled(points, INNER_LIPS, rgb.shape[:2]).astype(np.float32)
    soft = MOUTH_BLUR * float(np.ptp(points[:, 0])) + MOUTH_BLUR_PX
    opening = min(1.0, (excess - MOUTH_FROM) / MOUTH_OVER)
    weight = cv2.GaussianBlur(inside, (0, 0), soft) * opening * MOUTH_OPACITY
    return np.asarray(rgb + weight[..., None] * (np.array(MOUTH_RGB, np.float32) - rgb), np.float32)


def resized(values: Float, size: tuple[int, int], method: int) -> Float:
    return cast(Float, cv2.resize(values, size, interpolation=method))
