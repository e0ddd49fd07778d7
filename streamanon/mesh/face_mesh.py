"""Measuring a face: 478 mesh points and a confidence, from an aligned crop; eyes and mouth from closer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import cv2
import numpy as np

from streamanon.geometry import CROP_PX, alignment, invert, scale_of, transform
from streamanon.media.coloured_light import without_cast
from streamanon.media.yuv import read_rgb
from streamanon.mesh.eye_mouth import PATCH_PX, placements, refined
from streamanon.mesh.landmarks import mesh_keypoints
from streamanon.runtime.backends import Backend
from streamanon.runtime.models import Engines
from streamanon.types import Float, Geometry, Picture, Target

#: Confidences between which a second look pays: above, it changes little; below lie false finds and hardly
#: one face in a hundred.
SECOND_LOOK = (0.02, 0.4)


class MeshModel(Protocol):
    """The seam that a fake fills in tests."""

    def measure(self, picture: Picture, targets: Sequence[Target]) -> list[Geometry]:
        """One measurement a target, in order."""
        ...


class Pixels(Protocol):
    """A picture's pixels about the faces that are measured together."""

    def batch(self, matrices: Sequence[Float], crop_px: int) -> Float:
        """What each of the ``matrices`` [2, 3] (frame px to crop px) cuts out, as the networks take it:
        [B, 3, crop_px, crop_px] RGB 0..1.
        """
        ...


class FaceMesh:
    """The project's own mesh network, and its networks for eyes and mouths. ``look`` gives a picture's
    pixels; ``together``: how many faces are measured in one batch: on a CPU more are hardly quicker.
    """

    def __init__(
        self,
        backend: Backend,
        engines: Engines,
        look: Callable[[Picture], Pixels] | None = None,
        together: int = 1,
    ) -> None:
        self._look, self._together = look or PixelWindow, together
        self._model = backend.load(engines.path("face-mesh"), precise=True, threads=1, bfloat16=True)
        self._parts = backend.load(engines.path("face-parts"), precise=True, threads=1, bfloat16=True)

    def measure(self, picture: Picture, targets: Sequence[Target]) -> list[Geometry]:
        made: list[Geometry] = []
        for start in range(0, len(targets), self._together):
            pixels, some = self._look(picture), targets[start : start + self._together]
            made += self._look_closely(pixels, self._wholes(pixels, some))
        return made

    def measure_whole(self, picture: Picture, target: Target) -> Geometry:
        """What the whole face's network sees."""
        return self._wholes(self._look(picture), [target])[0]

    def _look_closely(self, pixels: Pixels, measured: list[Geometry]) -> list[Geometry]:
        """``measured`` with eyes and mouths where their own networks see them."""
        rows = [row for row, one in enumerate(measured) if np.isfinite(one.points).all()]
        if not rows:
            return measured
        placed = [placements(measured[row].points) for row in rows]
        eyes_at = [matrix for one in placed for matrix in one[:2]]
        batch = pixels.batch([*eyes_at, *(one[2] for one in placed)], PATCH_PX)
        eyes, mouths = self._parts.run(batch[: len(eyes_at)], batch[len(eyes_at) :])
        closer = list(measured)
        for number, (row, at) in enumerate(zip(rows, placed, strict=True)):
            found = [*eyes[2 * number : 2 * number + 2], mouths[number]]
            closer[row] = replace(measured[row], points=refined(measured[row].points, at, found))
        return closer

    def _wholes(self, pixels: Pixels, targets: Sequence[Target]) -> list[Geometry]:
        """Keypoints of a tilted or carried face are rough: an unsure mesh is measured again from itself."""
        found = self._measure_all(pixels, [target.keypoints for target in targets])
        rows = [row for row, one in enumerate(found) if _is_unsure(one)]
        again = self._measure_all(pixels, [mesh_keypoints(found[row].points) for row in rows])
        for row, second in zip(rows, again, strict=True):
            found[row] = max(found[row], second, key=lambda measured: measured.confidence)
        return found

    def _measure_all(self, pixels: Pixels, keypoints: Sequence[Float]) -> list[Geometry]:
        if not keypoints:
            return []
        matrices = [alignment(one) for one in keypoints]
        points, traits = self._model.run(pixels.batch(matrices, CROP_PX))
        return [
            Geometry(
                points=transform(invert(matrix), mesh),
                confidence=float(trait[0]),
                masculine=float(trait[1]),
                age=float(trait[2]),
            )
            for matrix, mesh, trait in zip(matrices, points, traits, strict=True)
        ]


def _is_unsure(measured: Geometry) -> bool:
    unsure = SECOND_LOOK[0] <= measured.confidence < SECOND_LOOK[1]
    return unsure and bool(np.isfinite(measured.points).all())


class PixelWindow:
    """A picture's pixels about one face, which several crops share: they are read and converted once."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._region = (0, 0, 0, 0)
        self._rgb: Float = np.zeros((0, 0, 3), np.float32)

    def batch(self, matrices: Sequence[Float], crop_px: int) -> Float:
        return network_input([self.crop(matrix, crop_px) for matrix in matrices])

    def crop(self, matrix: Float, crop_px: int = CROP_PX) -> Float:
        """What ``matrix`` [2, 3] (frame px to crop px) cuts out: [crop_px, crop_px, 3] RGB 0..255."""
        x0, y0, x1, y1 = region_under(self._picture, matrix, crop_px)
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
    """Crops [h, w, 3] of 0..255 as a batch [B, 3, h, w] of 0..1, in coloured light without colour."""
    return np.stack([np.stack(cv2.split(without_cast(crop))) for crop in crops]) / np.float32(255)


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


def region_under(picture: Picture, matrix: Float, crop_px: int) -> tuple[int, int, int, int]:
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
