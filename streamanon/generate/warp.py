"""Painting a delegate's face onto a mesh: warp, light, contrast, sharpness and a soft border.

What reaches the painted face from the person is the mesh, a colour field of 4 by 4 cells, and two numbers
(contrast and sharpness); no pixel of the person's face does.
"""

from __future__ import annotations

import cv2
import numpy as np

from streamanon.errors import SynthesisError
from streamanon.gallery.delegates import DelegateGallery
from streamanon.generate.interface import DetailState, Patch
from streamanon.generate.light import adapt, light_field, lips_of, open_mouth, resized
from streamanon.generate.proportions import Proportions
from streamanon.generate.raster import Textures, borders, localised
from streamanon.media.yuv import read_rgb
from streamanon.mesh.face_mesh import snap
from streamanon.types import Assignment, Delegate, Float, Geometry, Picture

WORK_PX = 224


class WarpGenerator:
    """Warps the delegate's texture triangle by triangle and gives it the frame's light."""

    def __init__(self, gallery: DelegateGallery) -> None:
        self._proportions = Proportions(gallery)
        self._textures = Textures(gallery)

    def paint(
        self, picture: Picture, geometry: Geometry, assignment: Assignment, last: DetailState | None
    ) -> tuple[Patch, DetailState]:
        delegate = assignment.delegate
        region = _region(picture, geometry.points)
        points = self._proportions.apply(geometry.points, delegate.shape, assignment.geometry)
        x0, y0, x1, y1 = region
        full = (x1 - x0, y1 - y0)
        # The texture holds no more detail than that; large faces are painted small and scaled up.
        scale = min(1.0, WORK_PX / max(full))
        size = max(8, round(full[0] * scale)), max(8, round(full[1] * scale))
        source = resized(read_rgb(picture, *region), size, cv2.INTER_AREA)
        rgb, alpha, detail = self._paint_small(source, localised(points, region, size), delegate, last)
        rgb = np.clip(resized(rgb, full, cv2.INTER_LINEAR), 0, 255)
        return Patch(x0, y0, rgb, resized(alpha, full, cv2.INTER_LINEAR)), detail

    def _paint_small(
        self, source: Float, points: Float, delegate: Delegate, last: DetailState | None
    ) -> tuple[Float, Float, DetailState]:
        """Painted face [h, w, 3] and alpha [h, w] over ``source``, whose pixels ``points`` refer to."""
        rgb, mask = self._textures.warp(points, (source.shape[1], source.shape[0]), delegate)
        face_px = float(np.sqrt(np.prod(np.ptp(points[:, :2], axis=0))))
        alpha, core = borders(mask, face_px)
        if not core.any():
            raise SynthesisError("the mesh covers no pixel")
        skin = core & ~lips_of(points, mask.shape)
        if not skin.any():
            raise SynthesisError("the mesh covers no skin")
        light = light_field(source, skin)
        rgb = open_mouth(rgb, points, self._textures.uv)
        rgb, detail = adapt(rgb, light, source, core, skin, last)
        return rgb, alpha, detail


def _region(picture: Picture, points: Float) -> tuple[int, int, int, int]:
    """The part of the picture under a mesh. Raises :class:`SynthesisError` where there is none."""
    if not np.isfinite(points).all():
        raise SynthesisError("the mesh holds values that are not finite")
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    x0, y0, x1, y1 = snap(picture, np.concatenate([low - 2, high + 3]))
    if x1 - x0 < 8 or y1 - y0 < 8:
        raise SynthesisError("the face lies outside the frame")
    return x0, y0, x1, y1
