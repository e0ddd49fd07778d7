"""A painting that moves along with its face, and when it has to be painted anew."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from painting import assignment, face, picture

from streamanon.cover.painted import MOVED_PX, Painted
from streamanon.generate import Job, Patch
from streamanon.geometry import alignment, scale_of
from streamanon.mesh.face_mesh import snap
from streamanon.mesh.landmarks import LID_MIDDLES, mesh_keypoints
from streamanon.types import Float, Geometry

STILL, PART = picture(), assignment()
MESH = face(40)
UPPER_LID = LID_MIDDLES[0][0]


def patch_of(mesh: Geometry) -> Patch:
    """A painting whose colours say where in it they are."""
    low, high = mesh.points[:, :2].min(0), mesh.points[:, :2].max(0)
    x0, y0, x1, y1 = snap(STILL, np.concatenate([low - 4, high + 4]))
    across, down = np.meshgrid(np.linspace(0, 250, x1 - x0), np.linspace(0, 250, y1 - y0))
    rgb = np.stack([across, down, np.full_like(across, 100)], axis=2).astype(np.float32)
    alpha = np.zeros(rgb.shape[:2], np.float32)
    hull = cv2.convexHull(np.ascontiguousarray(mesh.points[:, :2]))[:, 0] - [x0, y0]
    cv2.fillConvexPoly(alpha, np.rint(hull).astype(np.int32), 1.0)
    return Patch(x0, y0, rgb, alpha, np.zeros_like(alpha))


def painted(patch: Patch | None = None, mesh: Geometry = MESH) -> Painted | None:
    return Painted.of(patch or patch_of(mesh), Job(mesh, PART, None), STILL, Fraction(0))


def moved(points: Float, **job: object) -> Patch | None:
    kept = painted()
    assert kept is not None
    return kept.moved(STILL, replace(Job(Geometry(points, 0.9), PART, None), **job))  # type: ignore[arg-type]


def at(patch: Patch, point: NDArray[np.floating]) -> Float:
    """The colour at a point of the frame."""
    x, y = np.rint(point[:2]).astype(int) - [patch.x0, patch.y0]
    return np.asarray(patch.rgb[y, x], np.float32)


def scale() -> float:
    """Frame px a crop px."""
    return float(1 / scale_of(alignment(mesh_keypoints(MESH.points))))


@pytest.mark.parametrize("shift", [(0, 0), (8, 4), (3, -5), (-2.5, 1.25)])
def test_it_lies_where_the_face_is_now(shift: tuple[float, float]) -> None:
    there = moved(MESH.points + np.array([*shift, 0], np.float32))
    assert there is not None
    before = patch_of(MESH)
    for point in MESH.points[[1, 10, 152, 33, 263]] * [1, 1, 0]:
        inner = point + 0.2 * (MESH.points.mean(axis=0) - point)
        assert np.abs(at(there, inner + np.array([*shift, 0])) - at(before, inner)).max() < 4
    assert there.alpha.sum() == pytest.approx(before.alpha.sum(), rel=0.02)


def test_what_moves_within_the_face_goes_along() -> None:
    points = MESH.points.copy()
    points[UPPER_LID, 1] += 0.9 * MOVED_PX * scale()
    there, before = moved(points), patch_of(MESH)
    assert there is not None
    own, followed = at(before, MESH.points[UPPER_LID]), at(there, points[UPPER_LID])
    unmoved = at(before, points[UPPER_LID])
    assert abs(followed[1] - own[1]) < abs(unmoved[1] - own[1])


def turned(points: Float) -> Float:
    """Narrower, as a face is that turns."""
    middle = points.mean(axis=0)
    return np.asarray(middle + (points - middle) * np.array([0.9, 1, 1], np.float32), np.float32)


def winking(points: Float) -> Float:
    points = points.copy()
    points[UPPER_LID, 1] += 1.5 * MOVED_PX * scale()
    return points


@pytest.mark.parametrize("change", [turned, winking, lambda points: points * np.float32(np.nan)])
def test_what_changed_too_much_is_painted_anew(change: object) -> None:
    assert callable(change)
    assert moved(change(MESH.points)) is None


def test_another_delegate_is_painted() -> None:
    assert moved(MESH.points, assignment=assignment(3)) is None


@pytest.mark.parametrize(("factor", "stays"), [(0.98, True), (0.85, False), (1.15, False)])
def test_other_light_is_painted(factor: float, stays: bool) -> None:
    kept = painted()
    assert kept is not None
    lit = picture(lambda pixels: factor * pixels)
    assert (kept.moved(lit, Job(MESH, PART, None)) is not None) is stays


def test_a_face_with_something_in_front_is_painted_in_every_frame() -> None:
    patch = patch_of(MESH)
    assert patch.front is not None
    height, width = patch.alpha.shape
    patch.front[height // 2 :, width // 3 : width // 2] = 1
    assert painted(patch) is None


def test_hair_about_a_face_goes_along() -> None:
    patch = patch_of(MESH)
    assert patch.front is not None
    patch.front[:6] = 1
    kept = painted(patch)
    assert kept is not None
    there = kept.moved(
        STILL, Job(Geometry(MESH.points + np.array([0, 10, 0], np.float32), 0.9), PART, None)
    )
    assert there is not None
    assert there.front is not None
    assert there.y0 - patch.y0 == pytest.approx(10, abs=2)
    assert (there.front > 0.5).any(axis=1).sum() >= 5
