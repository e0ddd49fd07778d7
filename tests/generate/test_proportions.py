from __future__ import annotations

import numpy as np
import pytest

from streamanon.gallery.delegates import DelegateGallery, open_gallery
from streamanon.generate.proportions import Proportions, pose
from streamanon.mesh.landmarks import NOSE, OVAL
from streamanon.runtime.models import Engines
from streamanon.types import Float


@pytest.fixture(scope="module")
def gallery() -> DelegateGallery:
    return open_gallery(Engines.open())


def turned(shape: Float, degrees: float, scale: float = 60.0) -> Float:
    """A shape seen in a frame: turned about the upright axis, scaled, shifted."""
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    return np.asarray(shape @ turn.T * scale + [200, 100, 0], np.float32)


def eye_distance(points: Float) -> float:
    """Between the inner eye corners, in widths of the outline."""
    width = np.linalg.norm(points[234, :2] - points[454, :2])
    return float(np.linalg.norm(points[133, :2] - points[362, :2]) / width)


def in_pose(shape: Float, points: Float) -> Float:
    linear, shift = pose(shape, points)
    return np.asarray(shape @ linear.T + shift, np.float32)


def most_unlike(gallery: DelegateGallery) -> tuple[Float, Float]:
    """The shapes with eyes nearest to and farthest from each other."""
    shapes = sorted((delegate.shape for delegate in gallery.delegates), key=eye_distance)
    return shapes[0], shapes[-1]


@pytest.mark.parametrize("degrees", [-30, 0, 25])
def test_a_shape_is_brought_into_a_frames_pose(gallery: DelegateGallery, degrees: float) -> None:
    shape = gallery.delegates[0].shape
    points = turned(shape, degrees)
    np.testing.assert_allclose(in_pose(shape, points), points, atol=0.05)


def test_none_leaves_the_mesh_alone(gallery: DelegateGallery) -> None:
    near, far = most_unlike(gallery)
    points = turned(near, 10)
    assert Proportions(gallery).apply(points, far, 0.0) is points


def test_eyes_move_to_where_the_delegate_has_them(gallery: DelegateGallery) -> None:
    near, far = most_unlike(gallery)
    points = turned(near, 0)
    half, whole = (Proportions(gallery).apply(points, far, amount) for amount in (0.5, 1.0))
    assert eye_distance(points) < eye_distance(half) < eye_distance(whole)
    wanted = in_pose(far, points)  # its outline may be narrower than the frame's, which stays
    between = [np.linalg.norm((one[133] - one[362])[:2]) for one in (whole, wanted)]
    assert between[0] == pytest.approx(between[1], rel=0.05)


def test_outline_and_depth_stay(gallery: DelegateGallery) -> None:
    near, far = most_unlike(gallery)
    points = turned(near, 20)
    moved = Proportions(gallery).apply(points, far, 1.0)
    np.testing.assert_array_equal(moved[list(OVAL)], points[list(OVAL)])
    np.testing.assert_array_equal(moved[:, 2], points[:, 2])
    assert not np.allclose(moved[list(NOSE)], points[list(NOSE)])


def test_a_mesh_with_the_delegates_own_proportions_hardly_moves(gallery: DelegateGallery) -> None:
    """But for brows and mouth, which take over what makes the delegate's differ from the mean."""
    shape = gallery.delegates[5].shape
    points = turned(shape, 15)
    moved = Proportions(gallery).apply(points, shape, 1.0)
    np.testing.assert_allclose(moved[[33, 133, 362, 263, 4]], points[[33, 133, 362, 263, 4]], atol=0.1)


def test_blink_and_open_mouth_stay(gallery: DelegateGallery) -> None:
    near, far = most_unlike(gallery)
    shut = turned(near, 0)
    opened = shut.copy()
    opened[[14, 87, 317, 178, 402], 1] += 12
    opened[[145, 153, 144], 1] -= 3
    moved = [Proportions(gallery).apply(points, far, 1.0) for points in (shut, opened)]
    gape = [float(points[14, 1] - points[13, 1]) for points in moved]
    assert gape[1] - gape[0] == pytest.approx(12, rel=0.3)
    lid = [float(points[145, 1] - points[159, 1]) for points in moved]
    assert lid[0] - lid[1] == pytest.approx(3, rel=0.3)
