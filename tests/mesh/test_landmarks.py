"""What follows from where the landmarks lie: keypoints, head turn, one table for left and right."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from streamanon.gallery.delegates import open_gallery
from streamanon.mesh.landmarks import (
    BROW_ENDS,
    EYE_ENDS,
    LEFT_EYE,
    LIDS,
    LOWER_LIDS,
    NOSE_TIP,
    OVAL,
    OVAL_SIDES,
    RIGHT_EYE,
    UPPER_LIDS,
    mesh_keypoints,
    yaw_degrees,
)
from streamanon.runtime.models import Engines
from streamanon.types import Float


def rotated(points: Float, degrees: float, scale: float = 1.0, shift: float = 0.0) -> Float:
    turn = np.radians(degrees)
    matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return np.asarray(points @ matrix.T + shift, np.float32)


def head(nose_at: float, degrees: float = 0.0) -> Float:
    """A mesh whose nose tip lies at a part of the way from the left to the right side of the oval."""
    points = np.zeros((478, 3), np.float32)
    points[OVAL_SIDES[1], 0] = 100
    points[NOSE_TIP, :2] = (100 * nose_at, 30)
    points[:, :2] = rotated(points[:, :2], degrees, shift=200)
    return points


@given(st.floats(0, 1), st.floats(-90, 90))
def test_yaw_grows_as_the_nose_goes_right_whatever_the_roll(nose_at: float, roll: float) -> None:
    assume(abs(nose_at - 0.5) > 0.05)
    level, mirrored = yaw_degrees(head(nose_at)), yaw_degrees(head(1 - nose_at))
    assert np.sign(level) == np.sign(nose_at - 0.5)
    assert level == pytest.approx(-mirrored, abs=0.1)
    # The nose is off the line between the sides; only its place along the line counts.
    assert yaw_degrees(head(nose_at, roll)) == pytest.approx(level, abs=0.2)


def test_a_frontal_head_has_no_yaw_and_a_profile_much() -> None:
    assert yaw_degrees(head(0.5)) == pytest.approx(0, abs=1e-3)
    assert 40 < yaw_degrees(head(1.3)) < 60
    assert 75 < yaw_degrees(head(4)) < 90
    assert yaw_degrees(np.zeros((478, 3), np.float32)) == 90


def test_mesh_keypoints_are_in_the_order_of_the_detector() -> None:
    points = np.arange(478 * 3, dtype=np.float32).reshape(478, 3)
    found = mesh_keypoints(points)
    assert found.shape == (5, 2)
    assert (found[:, 0] / 3).tolist() == [468, 473, 4, 61, 291]


def test_the_right_side_is_the_mirror_of_the_left_one() -> None:
    """By the gallery's table, which was computed from measured faces."""
    mirror = open_gallery(Engines.open()).mirror
    assert mirror[list(LEFT_EYE)].tolist() == list(RIGHT_EYE)
    for left, right in (EYE_ENDS, BROW_ENDS):
        assert mirror[list(left)].tolist() == list(right)
    assert set(mirror[list(OVAL)].tolist()) == set(OVAL)


def test_lids_lie_in_order_and_the_upper_ones_above() -> None:
    shape = np.mean([one.shape for one in open_gallery(Engines.open()).delegates], axis=0)
    for upper, lower in LIDS:
        assert (np.diff(shape[list(upper), 0]) > 0).all()
        assert (np.diff(shape[list(lower), 0]) > 0).all()
    assert (shape[list(UPPER_LIDS), 1] < shape[list(LOWER_LIDS), 1]).all()
