"""What the generator network sees of a frame: never a pixel of the face that it replaces.

From the person come the surroundings, the mesh as contours, where the mesh lies, a colour field of 4 by 4
cells, and two numbers (contrast and sharpness); the face itself is the delegate's texture on the mesh, in
that light.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.errors import SynthesisError
from streamanon.generator.light import adapt, filled, gape, light_field, lips_of
from streamanon.generator.patch import Look
from streamanon.generator.raster import borders
from streamanon.geometry import BROWS, CROP_PX, INNER_LIPS, OUTER_LIPS, OVAL
from streamanon.identity.chart import EYES
from streamanon.types import Float

#: Crop pixels by which more than the mesh is cut out: where a cheek or a jaw may lie beside it.
RING_PX = 3
PLANES = 13
#: Of the light, how much is given between lips that part little, which mostly show teeth, and far; and how
#: far that is, in mouth widths. What is there is the network's to say.
MOUTH_SHARES, GAPES, MOUTH_SOFT_PX = (0.85, 0.33), (0.2, 0.5), 0.7
IRIS_RINGS = ((469, 470, 471, 472), (474, 475, 476, 477))
BROW_LINES = [line for brow in BROWS for line in (brow[:5], brow[5:])]
NOSE_LINES = ((168, 6, 197, 195, 5, 4), (64, 98, 97, 2, 326, 327, 294))
_SHIFT = 4


@dataclass(frozen=True, eq=False, repr=False)
class Inputs:
    """``planes`` [13, 128, 128] float32: surroundings (RGB, 0 where cut out), the cut, the lit texture
    (RGB), contours (lips; eyes and brows; outline and nose), light (RGB). Colours are -1..1. ``cut``
    [128, 128]: what was cut out and is painted. ``look``: the texture's contrast and sharpness.
    """

    planes: Float
    cut: NDArray[np.bool_]
    look: Look


def make_inputs(
    crop: Float,
    points: Float,
    warped: Float,
    mask: NDArray[np.bool_],
    front: NDArray[np.bool_],
    last: Look | None = None,
) -> Inputs:
    """``crop`` [128, 128, 3] RGB 0..255; ``points`` [478, 3] px, with the delegate's proportions;
    ``warped`` [128, 128, 3] the delegate's texture on them, where ``mask`` is; ``front``: what is in front
    of the face and stays; ``last``: the frame before's look. Raises :class:`SynthesisError` where no skin
    is seen.
    """
    size = float(np.sqrt(np.prod(np.ptp(points[:, :2], axis=0))))
    core = borders(mask, size)[1] & ~front
    skin = core & ~lips_of(points, mask.shape)
    if not skin.any():
        raise SynthesisError("the mesh covers no skin")
    lit, look = adapt(warped, crop, core, skin, last)
    light = light_field(crop, skin)
    lit = _with_mouth(np.clip(lit, 0, 255), light, points)
    lit = np.where(mask[..., None], lit, light)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * RING_PX + 1, 2 * RING_PX + 1))
    cut = (cv2.dilate(mask.astype(np.uint8), kernel) > 0) & ~front
    around = (crop / 127.5 - 1) * ~cut[..., None]
    layers = (around, cut[..., None], lit / 127.5 - 1, contours(points), light / 127.5 - 1)
    planes = np.concatenate([np.asarray(layer, np.float32) for layer in layers], axis=2)
    return Inputs(np.ascontiguousarray(planes.transpose(2, 0, 1)), cut, look)


def _with_mouth(lit: Float, light: Float, points: Float) -> Float:
    """``lit`` with something between the lips, where the texture has nothing."""
    inside = filled(points, INNER_LIPS, lit.shape[:2]).astype(np.float32)
    soft = cv2.GaussianBlur(inside, (0, 0), MOUTH_SOFT_PX)[..., None]
    share = np.float32(np.interp(gape(points), GAPES, MOUTH_SHARES))
    return np.asarray(lit + soft * (share * light - lit), np.float32)


def contours(points: Float) -> Float:
    """Lips; eyes and brows; outline and nose: lines [128, 128, 3], 0..1."""
    groups = (
        [(line, True) for line in (OUTER_LIPS, INNER_LIPS)],
        [*((line, True) for line in EYES + IRIS_RINGS), *((line, False) for line in BROW_LINES)],
        [(OVAL, True), *((line, False) for line in NOSE_LINES)],
    )
    layers = []
    for group in groups:
        layer = np.zeros((CROP_PX, CROP_PX), np.uint8)
        for line, closed in group:
            corners = np.rint(points[list(line), :2] * 2**_SHIFT).astype(np.int32)
            cv2.polylines(layer, [corners], closed, 255, 1, cv2.LINE_AA, _SHIFT)
        layers.append(layer.astype(np.float32) / 255)
    return np.stack(layers, axis=2)
