"""Measuring a face: 478 mesh points and a confidence, from an aligned crop; eyes and mouth from closer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import cv2
import numpy as np

from streamanon.backends import Backend
from streamanon.engines import Engines
from streamanon.geometry import CROP_PX, alignment, invert, mesh_keypoints, transform
from streamanon.parts import PATCH_PX, placements, refined
from streamanon.pixels import read_rgb
from streamanon.types import Float, Geometry, Picture, Target

#: Confidences between which a second look pays: above, it changes little; below, hardly one face in a
#: hundred becomes usable.
SECOND_LOOK = (0.1, 0.4)


class MeshModel(Protocol):
    """The seam that a fake fills in tests."""

    def measure(self, picture: Picture, targets: Sequence[Target]) -> list[Geometry]:
        """One measurement a target, in order."""
        ...


class FaceMesh:
    """The project's own mesh network, and its networks for eyes and mouths."""

    def __init__(self, backend: Backend, engines: Engines) -> None:
        self._model = backend.load(engines.path("face-mesh"), precise=True, threads=1)
        self._parts = backend.load(engines.path("face-parts"), precise=True, threads=1)

    def measure(self, picture: Picture, targets: Sequence[Target]) -> list[Geometry]:
        return [self._look_closely(picture, self.measure_whole(picture, target)) for target in targets]

    def _look_closely(self, picture: Picture, measured: Geometry) -> Geometry:
        """``measured`` with its eyes and mouth where their own networks see them."""
        if not np.isfinite(measured.points).all():
            return measured
        placed = placements(measured.points)
        patches = np.stack([aligned_crop(picture, matrix, PATCH_PX) for matrix in placed])
        batch = np.ascontiguousarray(patches.transpose(0, 3, 1, 2), np.float32) / 255
        eyes, mouths = self._parts.run(batch[:2], batch[2:])
        return replace(measured, points=refined(measured.points, placed, [*eyes, *mouths]))

    def measure_whole(self, picture: Picture, target: Target) -> Geometry:
        """What the whole face's network sees. Keypoints of a tilted or carried face are rough: an unsure
        mesh is measured again from itself.
        """
        first = self._measure_one(picture, target.keypoints)
        unsure = SECOND_LOOK[0] <= first.confidence < SECOND_LOOK[1]
        if not unsure or not np.isfinite(first.points).all():
            return first
        second = self._measure_one(picture, mesh_keypoints(first.points))
        return max(first, second, key=lambda measured: measured.confidence)

    def _measure_one(self, picture: Picture, keypoints: Float) -> Geometry:
        matrix = alignment(keypoints)
        crop = aligned_crop(picture, matrix)
        batch = np.ascontiguousarray(crop.transpose(2, 0, 1)[None], np.float32) / 255
        points, traits = (array[0] for array in self._model.run(batch))
        return Geometry(
            points=transform(invert(matrix), points),
            confidence=float(traits[0]),
            masculine=float(traits[1]),
            age=float(traits[2]),
        )


def aligned_crop(picture: Picture, matrix: Float, crop_px: int = CROP_PX) -> Float:
    """The crop [crop_px, crop_px, 3] RGB 0..255 that ``matrix`` [2, 3] (frame px to crop px) cuts out."""
    x0, y0, x1, y1 = _region(picture, matrix, crop_px)
    if x1 <= x0 or y1 <= y0:
        return np.zeros((crop_px, crop_px, 3), np.float32)
    patch = read_rgb(picture, x0, y0, x1, y1)
    local = matrix.astype(np.float64)
    local[:, 2] += local[:, :2] @ [x0, y0]
    scale = float(np.sqrt(abs(np.linalg.det(local[:, :2]))))
    if scale < 0.5:  # average first: the warp alone would alias
        size = max(1, round(patch.shape[1] * scale)), max(1, round(patch.shape[0] * scale))
        steps = np.array([size[0] / patch.shape[1], size[1] / patch.shape[0]])
        patch = np.asarray(cv2.resize(patch, size, interpolation=cv2.INTER_AREA), np.float32)
        local[:, 2] += local[:, :2] @ (0.5 / steps - 0.5)
        local[:, :2] = local[:, :2] / steps
    warped = cv2.warpAffine(patch, local, (crop_px, crop_px), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, np.float32)


def _region(picture: Picture, matrix: Float, crop_px: int) -> tuple[int, int, int, int]:
    """The part of the picture under the crop, on the chroma grid."""
    edge = crop_px - 1
    corners = np.array([[0, 0], [edge, 0], [0, edge], [edge, edge]], np.float32)
    inside = transform(invert(matrix), corners)
    return snap(picture, np.concatenate([inside.min(0) - 1, inside.max(0) + 2]))


def snap(picture: Picture, box: Float) -> tuple[int, int, int, int]:
    """The smallest region around a box that lies on the chroma grid and inside the picture."""
    step_x, step_y = picture.chroma_step
    x0, y0 = (max(0, int(np.floor(v / s)) * s) for v, s in zip(box[:2], (step_x, step_y), strict=True))
    x1 = min(picture.width, int(np.ceil(box[2] / step_x)) * step_x)
    y1 = min(picture.height, int(np.ceil(box[3] / step_y)) * step_y)
    return x0, y0, x1, y1
