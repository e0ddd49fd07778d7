from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from streamanon.config import ComputeConfig
from streamanon.gallery.delegates import DelegateGallery, open_gallery
from streamanon.geometry import transform
from streamanon.media.yuv import from_rgb
from streamanon.mesh.eye_mouth import PARTS, PATCH_PX, placements, refined
from streamanon.mesh.face_mesh import FaceMesh
from streamanon.mesh.landmarks import LEFT_EYE, LIDS, MOUTH, NOSE, OVAL, RIGHT_EYE
from streamanon.runtime.backends.onnxruntime import create
from streamanon.runtime.models import Engines
from streamanon.training.blink import blinked
from streamanon.types import Float, Target

MIDDLE = (PATCH_PX - 1) / 2


@cache
def gallery() -> DelegateGallery:
    return open_gallery(Engines.open())


def head(size: float = 90.0, degrees: float = 0.0) -> Float:
    """A delegate's own shape, ``size`` px between the eyes, turned in the image."""
    turn = np.radians(degrees)
    points = gallery().delegates[0].shape.copy() * np.float32(size)
    spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]], np.float32)
    points[:, :2] = points[:, :2] @ spin.T + 300
    return points


def test_the_right_eye_is_named_as_the_left_ones_mirror() -> None:
    assert [int(gallery().mirror[point]) for point in LEFT_EYE] == list(RIGHT_EYE)


@pytest.mark.parametrize("size", [12.0, 90.0])
@pytest.mark.parametrize("degrees", [-30.0, 0.0, 60.0])
def test_parts_lie_upright_and_alike_in_the_middle_of_their_patches(size: float, degrees: float) -> None:
    points = head(size, degrees)
    left, right, mouth = (
        transform(matrix, points[list(part), :2])
        for matrix, part in zip(placements(points), PARTS, strict=True)
    )
    for seen, ends in ((left, (0, 8)), (right, (0, 8)), (mouth, (0, 10))):
        np.testing.assert_allclose(seen[list(ends)].mean(axis=0), MIDDLE, atol=0.01)
        assert 0.35 * PATCH_PX < np.ptp(seen[:, 0]) < 0.85 * PATCH_PX
        assert abs(seen[ends[0], 1] - seen[ends[1], 1]) < 0.2 * np.ptp(seen[:, 0]), "eyes slant a little"
        assert seen[ends[0], 0] < seen[ends[1], 0], "the outer corner, and the left one, are on the left"
    assert np.abs(left - right).max() < 0.1 * PATCH_PX


def test_what_was_found_is_where_the_mesh_then_lies() -> None:
    points = head()
    placed = placements(points)
    found = [transform(matrix, points[list(part), :2]) for matrix, part in zip(placed, PARTS, strict=True)]
    np.testing.assert_allclose(refined(points, placed, found), points, atol=0.05)
    found[2][:, 1] += 6.0
    moved = refined(points, placed, found)
    for matrix, part, seen in zip(placed, PARTS, found, strict=True):
        np.testing.assert_allclose(transform(matrix, moved[list(part), :2]), seen, atol=0.05)
    lips, still = moved[list(MOUTH)] - points[list(MOUTH)], [*OVAL, *NOSE]
    np.testing.assert_array_equal(moved[still], points[still])
    beside = 57  # at the corner of the mouth, outside the lips
    assert 0.3 * lips[:, 1].mean() < (moved - points)[beside, 1] < lips[:, 1].mean()
    np.testing.assert_array_equal(moved[:, 2], points[:, 2])


def shut(points: Float) -> float:
    """Height over width of the eyes."""
    heights = [np.linalg.norm(points[upper[4], :2] - points[lower[4], :2]) for upper, lower in LIDS]
    widths = [np.linalg.norm(points[upper[0], :2] - points[upper[-1], :2]) for upper, _ in LIDS]
    return float(np.mean(heights) / np.mean(widths))


def test_the_networks_see_eyes_that_shut() -> None:
    """On the mean head of the gallery, whose lids are painted shut."""
    head, points = gallery().head, gallery().head_points
    mesh = FaceMesh(create(ComputeConfig(threads=1)), Engines.open())
    keypoints = points[[468, 473, 4, 61, 291], :2]
    box = np.concatenate([points[:, :2].min(0), points[:, :2].max(0)]).astype(np.float32)
    (opened,) = mesh.measure(from_rgb(head), [Target(0, box, keypoints, True)])
    closed_head, _ = blinked(head, points, (1.0, 1.0))
    (closed,) = mesh.measure(from_rgb(closed_head), [Target(0, box, keypoints, True)])
    assert shut(opened.points) > 0.2
    assert shut(closed.points) < 0.5 * shut(opened.points)
