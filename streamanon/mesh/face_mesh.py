"""Measuring a face: 478 mesh points and a confidence, from an aligned crop; eyes and mouth from closer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import cv2
import numpy as np

from streamanon.geometry import CROP_PX, alignment, invert, scale_of, transform
from streamanon.media.yuv import read_rgb
from streamanon.mesh.eye_mouth import PATCH_PX, placements, refined
from streamanon.mesh.landmarks import mesh_keypoints
from streamanon.runtime.backends import Backend
from streamanon.runtime.models import Engines
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
        return [self._measured(PixelWindow(picture), target) for target in targets]

    def measure_whole(self, picture: Picture, target: Target) -> Geometry:
        """What the whole face's network sees."""
        return self._whole(PixelWindow(picture), target)

    def _measured(self, pixels: PixelWindow, target: Target) -> Geometry:
        return self._look_closely(pixels, self._whole(pixels, target))

    def _look_closely(self, pixels: PixelWindow, measured: Geometry) -> Geometry:
        """``measured`` with its eyes and mouth where their own networks see them."""
        if not np.isfinite(measured.points).all():
            return measured
        placed = placements(measured.points)
        batch = network_input([pixels.crop(matrix, PATCH_PX) for matrix in placed])
        eyes, mouths = self._parts.run(batch[:2], batch[2:])
        return replace(measured, points=refined(measured.points, placed, [*eyes, *mouths]))

    def _whole(self, pixels: PixelWindow, target: Target) -> Geometry:
        """Keypoints of a tilted or carried face are rough: an unsure mesh is measured again from itself."""
        first = self._measure_one(pixels, target.keypoints)
        unsure = SECOND_LOOK[0] <= first.confidence < SECOND_LOOK[1]
        if not unsure or not np.isfinite(first.points).all():
            return first
        second = self._measure_one(pixels, mesh_keypoints(first.points))
        return max(first, second, key=lambda measured: measured.confidence)

    def _measure_one(self, pixels: PixelWindow, keypoints: Float) -> Geometry:
        matrix = alignment(keypoints)
        points, traits = (array[0] for array in self._model.run(network_input([pixels.crop(matrix)])))
        return Geometry(
            points=transform(invert(matrix), points),
            confidence=float(traits[0]),
            masculine=float(traits[1]),
            age=float(traits[2]),
        )


class PixelWindow:
    """A picture's pixels about one face, which several crops share: they are read and converted once."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._region = (0, 0, 0, 0)
        self._rgb: Float = np.zeros((0, 0, 3), np.float32)

    def crop(self, matrix: Float, crop_px: int = CROP_PX) -> Float:
        """What ``matrix`` [2, 3] (frame px to crop px) cuts out: [crop_px, crop_px, 3] RGB 0..255."""
        x0, y0, x1, y1 = _region(self._picture, matrix, crop_px)
        if x1 <= x0 or y1 <= y0:
            return np.zeros((crop_px, crop_px, 3), np.float32)
        left, top, right, bottom = self._region
        if not (left <= x0 and top <= y0 and x1 <= right and y1 <= bottom):
            self._region, self._rgb = (x0, y0, x1, y1), read_rgb(self._picture, x0, y0, x1, y1)
            left, top = x0, y0
        return _warped(self._rgb[y0 - top : y1 - top, x0 - left : x1 - left], matrix, (x0, y0), crop_px)


def aligned_crop(picture: Picture, matrix: Float, crop_px: int = CROP_PX) -> Float:
    """One crop, as :meth:`PixelWindow.crop` gives it."""
    return PixelWindow(picture).crop(matrix, crop_px)


def network_input(crops: Sequence[Float]) -> Float:
    """Crops [h, w, 3] of 0..255 as a batch [B, 3, h, w] of 0..1."""
    return np.stack([np.stack(cv2.split(crop)) for crop in crops]) / np.float32(255)


def _warped(patch: Float, matrix: Float, corner: tuple[int, int], crop_px: int) -> Float:
    """A crop of a patch whose top left pixel lies at ``corner`` of the picture."""
    local = matrix.astype(np.float64)
    local[:, 2] += local[:, :2] @ corner
    if (scale := scale_of(matrix)) < 0.5:  # average first: the warp alone would alias
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
    x0, y0, x1, y1 = box.tolist()
    return (
        max(0, math.floor(x0 / step_x) * step_x),
        max(0, math.floor(y0 / step_y) * step_y),
        min(picture.width, math.ceil(x1 / step_x) * step_x),
        min(picture.height, math.ceil(y1 / step_y) * step_y),
    )
