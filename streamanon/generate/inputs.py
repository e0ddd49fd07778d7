"""What the generator network sees of a frame: never a pixel of the face that it replaces.

From the person come the surroundings, the mesh as contours, where the mesh lies, a colour field of 4 by 4
cells, and two numbers (contrast and sharpness); the face itself is the delegate's texture on the mesh, in
that light.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.errors import SynthesisError
from streamanon.generate.interface import DetailState
from streamanon.generate.light import adapt, filled, light_field, lips_of
from streamanon.generate.mouth import gape
from streamanon.generate.raster import core_of, reach_of
from streamanon.geometry import CROP_PX
from streamanon.mesh.landmarks import (
    BROW_LINES,
    EYES,
    INNER_LIPS,
    IRIS_RINGS,
    NOSE_LINES,
    OUTER_LIPS,
    OVAL,
)
from streamanon.types import Float

PLANES = 13
#: Of the light, how much is given between lips that part little, which mostly show teeth, and far; and how
#: far that is, in mouth widths. What is there is the network's to say.
MOUTH_SHARES, GAPES, MOUTH_SOFT_PX = (0.85, 0.33), (0.2, 0.5), 0.7
#: Farther from the lips than this, px, the softened edge does not reach.
MOUTH_REACH_PX = 6
_SHIFT = 4


@dataclass(frozen=True, eq=False, repr=False)
class Inputs:
    """``planes`` [13, 128, 128] float32: surroundings (RGB, 0 where cut out), the cut, the lit texture
    (RGB), contours (lips; eyes and brows; outline and nose), light (RGB). Colours are -1..1. ``cut``
    [128, 128]: what was cut out and is painted; ``skin`` [128, 128]: surely skin. ``detail``: the texture's
    contrast and sharpness.
    """

    planes: Float
    cut: NDArray[np.bool_]
    skin: NDArray[np.bool_]
    detail: DetailState


@dataclass(frozen=True, eq=False, repr=False)
class Outlines:
    """What follows from where a mesh lies, each [128, 128]: ``core``, surely skin or lips; ``skin``, the
    same less the lips; ``cut``: what is cut out and painted.
    """

    core: NDArray[np.bool_]
    skin: NDArray[np.bool_]
    cut: NDArray[np.bool_]


def outlines_of(points: Float, mask: NDArray[np.bool_], front: NDArray[np.bool_]) -> Outlines:
    """Of a mesh ``points`` [478, 3] px that is where ``mask`` [128, 128] is, but for what is in ``front``.
    Raises :class:`SynthesisError` where no skin is seen.
    """
    core = core_of(mask, float(np.sqrt(np.prod(np.ptp(points[:, :2], axis=0))))) & ~front
    skin = core & ~lips_of(points, mask.shape)
    if not skin.any():
        raise SynthesisError("the mesh covers no skin")
    return Outlines(core, skin, reach_of(mask) & ~front)


def make_inputs(
    crop: Float,
    points: Float,
    warped: Float,
    mask: NDArray[np.bool_],
    front: NDArray[np.bool_],
    last: DetailState | None = None,
) -> Inputs:
    """``crop`` [128, 128, 3] RGB 0..255; ``points`` [478, 3] px, with the delegate's proportions;
    ``warped`` [128, 128, 3] the delegate's texture on them, where ``mask`` is; ``front``: what is in front
    of the face and stays; ``last``: the state after the frame before. Raises :class:`SynthesisError` where
    no skin is seen.
    """
    outlines = outlines_of(points, mask, front)
    cut, light = outlines.cut, light_field(crop, outlines.skin)
    lit, detail = adapt(warped, light, crop, outlines.core, outlines.skin, last)
    lit = _with_mouth(np.clip(lit, 0, 255), light, points)
    planes = np.empty((PLANES, *mask.shape), np.float32)
    planes[:3], planes[3], planes[7:10] = _signed(crop) * ~cut, cut, contours(points)
    planes[10:] = _signed(light)
    planes[4:7] = np.where(mask, _signed(lit), planes[10:])
    return Inputs(planes, cut, outlines.skin, detail)


def _signed(rgb: Float) -> Float:
    """Colours [h, w, 3] of 0..255 as planes [3, h, w] of -1..1."""
    return np.asarray(np.stack(cv2.split(rgb)) * np.float32(1 / 127.5) - 1, np.float32)


def _with_mouth(lit: Float, light: Float, points: Float) -> Float:
    """``lit``, changed in place, with something between the lips, where the texture has nothing."""
    place, soft = between_lips(points, lit.shape[:2])
    lit[place] += soft[..., None] * (mouth_share(points) * light[place] - lit[place])
    return lit


def mouth_share(points: Float) -> np.float32:
    """Of the light, how much is given between the lips."""
    return np.float32(np.interp(gape(points), GAPES, MOUTH_SHARES))


def between_lips(points: Float, shape: tuple[int, ...]) -> tuple[tuple[slice, slice], Float]:
    """A place in an image of a ``shape`` that holds all between the lips, and how much of each pixel of it
    lies there.
    """
    inside = filled(points, INNER_LIPS, shape)
    lips = points[list(INNER_LIPS), :2]
    (x0, y0), (x1, y1) = (
        (lips.min(0) - MOUTH_REACH_PX).astype(int),
        (lips.max(0) + MOUTH_REACH_PX).astype(int),
    )
    place = np.s_[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)]
    if not inside[place].any():
        return np.s_[:0, :0], np.zeros((0, 0), np.float32)
    return place, np.asarray(
        cv2.GaussianBlur(inside[place].astype(np.float32), (0, 0), MOUTH_SOFT_PX), np.float32
    )


def contours(points: Float) -> Float:
    """Lips; eyes and brows; outline and nose: lines [3, 128, 128], 0..1."""
    groups: tuple[list[tuple[Sequence[int], bool]], ...] = (
        [(line, True) for line in (OUTER_LIPS, INNER_LIPS)],
        [*((line, True) for line in EYES + IRIS_RINGS), *((line, False) for line in BROW_LINES)],
        [(OVAL, True), *((line, False) for line in NOSE_LINES)],
    )
    corners = np.rint(points[:, :2] * 2**_SHIFT).astype(np.int32)
    layers = np.zeros((len(groups), CROP_PX, CROP_PX), np.uint8)
    for number, group in enumerate(groups):
        for line, closed in group:
            cv2.polylines(layers[number], [corners[list(line)]], closed, 255, 1, cv2.LINE_AA, _SHIFT)
    return layers.astype(np.float32) / np.float32(255)
