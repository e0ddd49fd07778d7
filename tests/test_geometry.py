from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamanon.geometry import (
    CROP_PX,
    alignment,
    grow,
    invert,
    is_cut,
    overlap,
    scale_of,
    spreading,
    transform,
)
from streamanon.types import Float

#: A frontal face, eyes level at y = 40.
FACE = np.array([[30, 40], [70, 40], [50, 60], [35, 80], [65, 80]], np.float32)


def rotated(points: Float, degrees: float, scale: float = 1.0, shift: float = 0.0) -> Float:
    turn = np.radians(degrees)
    matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return np.asarray(points @ matrix.T + shift, np.float32)


def boxes(*rows: tuple[float, float, float, float]) -> Float:
    return np.array(rows, np.float32)


@given(st.floats(-180, 180), st.floats(0.2, 20), st.floats(-500, 2000))
def test_alignment_undoes_turn_scale_and_shift(degrees: float, scale: float, shift: float) -> None:
    upright = transform(alignment(FACE), FACE)
    moved = rotated(FACE, degrees, scale, shift)
    np.testing.assert_allclose(transform(alignment(moved), moved), upright, atol=0.1)


def test_an_aligned_face_is_level_and_central() -> None:
    left, right, nose, *mouth = transform(alignment(FACE), FACE)
    assert left[1] == pytest.approx(right[1], abs=1e-3)
    assert left[0] < right[0]
    assert np.mean(mouth, axis=0)[1] > left[1]
    assert (left[0] + right[0]) / 2 == pytest.approx((CROP_PX - 1) / 2, abs=1e-3)
    assert abs(nose[1] - (CROP_PX - 1) / 2) < CROP_PX / 10


def test_alignment_is_a_similarity_with_the_stated_scale() -> None:
    matrix = alignment(FACE)
    linear = matrix[:, :2]
    # 3.6 eye-to-mouth distances of 40 px exceed 3.4 eye distances of 40 px.
    np.testing.assert_allclose(linear @ linear.T, (CROP_PX / (3.6 * 40)) ** 2 * np.eye(2), atol=1e-5)
    np.testing.assert_allclose(alignment(FACE, 256)[:, :2], 2 * linear, rtol=1e-5)


def test_a_turned_head_keeps_its_scale() -> None:
    """Eyes that close up in a profile must not blow the face up."""
    profile = FACE.copy()
    profile[:, 0] = 50 + (profile[:, 0] - 50) * 0.1
    scale = np.linalg.det(alignment(profile)[:, :2]) / np.linalg.det(alignment(FACE)[:, :2])
    assert scale == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.full((5, 2), 7.0)])
def test_keypoints_in_one_spot_still_give_a_usable_map(points: Float) -> None:
    matrix = alignment(points.astype(np.float32))
    assert np.isfinite(matrix).all()
    assert np.isfinite(invert(matrix)).all()


@given(st.floats(-180, 180), st.floats(0.1, 10), st.floats(-2000, 2000))
def test_invert_takes_points_back(degrees: float, scale: float, shift: float) -> None:
    matrix = alignment(rotated(FACE, degrees, scale, shift))
    there = transform(matrix, FACE)
    np.testing.assert_allclose(
        transform(invert(matrix), there), FACE, atol=0.02 + 2e-6 * abs(shift) * scale
    )


def test_transform_scales_depth_along() -> None:
    matrix = np.array([[0, -2, 5], [2, 0, 7]], np.float32)
    moved = transform(matrix, np.array([[1, 1, 3]], np.float32))
    np.testing.assert_allclose(moved, np.array([[3.0, 9.0, 6.0]]))
    assert moved.dtype == np.float32
    assert transform(matrix, np.zeros((4, 6, 2), np.float32)).shape == (4, 6, 2)


def test_grow_pads_every_side_by_its_part_of_the_size() -> None:
    grown = grow(boxes((10, 20, 30, 60))[0], 0.25)
    np.testing.assert_allclose(grown, [5, 10, 35, 70])
    assert grown.dtype == np.float32


def test_overlap_of_known_boxes() -> None:
    first = boxes((0, 0, 10, 10), (20, 20, 30, 30), (0, 0, 0, 0))
    second = boxes((0, 0, 10, 10), (5, 0, 15, 10))
    expected = np.array([[1, 1 / 3], [0, 0], [0, 0]], np.float32)
    np.testing.assert_allclose(overlap(first, second), expected, atol=1e-6)


def test_overlap_of_none() -> None:
    none = np.zeros((0, 4), np.float32)
    assert overlap(none, boxes((0, 0, 1, 1))).shape == (0, 1)
    assert overlap(boxes((0, 0, 1, 1)), none).shape == (1, 0)


def test_inverted_boxes_overlap_nothing() -> None:
    assert overlap(boxes((10, 10, 0, 0)), boxes((0, 0, 10, 10))).max() == 0


coordinates = st.integers(-100, 100)


@given(st.tuples(coordinates, coordinates, coordinates, coordinates), st.tuples(*[coordinates] * 4))
def test_overlap_is_symmetric_and_a_part(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    first, second = np.array([a], np.float32), np.array([b], np.float32)
    assert 0 <= overlap(first, second)[0, 0] <= 1 + 1e-6
    assert overlap(first, second) == pytest.approx(overlap(second, first))


@given(st.floats(-180, 180), st.floats(0.2, 20), st.floats(-500, 2000))
def test_an_inverse_and_a_scale_are_those_of_linear_algebra(
    degrees: float, scale: float, shift: float
) -> None:
    matrix = alignment(rotated(FACE, degrees, scale, shift))
    whole = np.linalg.inv(np.vstack([matrix.astype(np.float64), [0, 0, 1]]))[:2]
    np.testing.assert_allclose(invert(matrix), whole, rtol=1e-5, atol=1e-3)
    assert scale_of(matrix) == pytest.approx(np.sqrt(np.linalg.det(matrix[:, :2])), rel=1e-5)


def test_a_map_onto_a_line_has_no_inverse() -> None:
    with pytest.raises(ValueError, match="no inverse"):
        invert(np.array([[1, 2, 0], [2, 4, 0]], np.float32))


def test_moves_spread_by_inverse_cubes_of_distances() -> None:
    """Against the sum for one point after the other."""
    rng = np.random.default_rng(1)
    places = rng.uniform(0, 100, (60, 2)).astype(np.float32)
    places[50] = places[3]  # in one spot with a point that moves
    moving, still = np.arange(20), np.arange(20, 40)
    spread = spreading(places, moving, still)
    for point in range(40, 60):
        apart = np.linalg.norm(places[point].astype(np.float64) - places[:40], axis=1).clip(1e-3)
        weights = apart**-3 / (apart**-3).sum()
        np.testing.assert_allclose(spread[point], weights[:20], atol=1e-5)
    np.testing.assert_array_equal(spread[:20], np.eye(20))
    assert not spread[20:40].any()


@pytest.mark.parametrize(
    ("box", "cut"),
    [
        ((60, 40, 99, 100), True),  # right
        ((60, 40, 96, 100), False),
        ((-20, 40, 30, 100), True),
        ((40, 1, 80, 61), True),
        ((40, 120, 90, 198), True),
        ((40, 60, 90, 120), False),
        ((9, 60, 59, 120), False),
    ],
)
def test_which_boxes_the_pictures_edge_cuts(box: tuple[float, ...], cut: bool) -> None:
    assert is_cut(np.array(box, np.float32), 100, 200) == cut
