from __future__ import annotations

import numpy as np
import pytest
from blotches import BOX, SIZE, picture

from streamanon.track.optical_flow import follow
from streamanon.types import Picture

POINTS = np.array([[140, 105], [160, 105], [150, 118], [143, 130], [157, 130]], np.float32)


@pytest.mark.parametrize("shift", [(0, 0), (1.5, -2.25), (12, 5), (-22, 14)])
@pytest.mark.parametrize("scale", [0.93, 1.0, 1.08])
def test_a_face_is_followed(shift: tuple[float, float], scale: float) -> None:
    motion = follow(picture(), picture(shift, scale), BOX)
    assert motion is not None
    np.testing.assert_allclose(motion.shift, shift, atol=1.2)
    # After a long way a template is found, whose size is not told.
    assert motion.scale == pytest.approx(scale, abs=0.03 if np.hypot(*shift) < 5 else 0.09)


def test_there_and_back_is_where_it_was() -> None:
    first, second = picture(), picture((7, -4))
    there = follow(first, second, BOX)
    assert there is not None
    box, points = there.moved(BOX, POINTS)
    back = follow(second, first, box)
    assert back is not None
    returned = back.moved(box, points)
    np.testing.assert_allclose(returned[0], BOX, atol=1)
    np.testing.assert_allclose(returned[1], POINTS, atol=1)


def test_light_that_changes_is_no_motion() -> None:
    motion = follow(picture(), picture(gain=0.4), BOX)
    assert motion is not None
    np.testing.assert_allclose(motion.shift, (0, 0), atol=0.5)


def test_ten_bits_are_followed_like_eight() -> None:
    wide = [
        Picture((one.planes[0].astype(np.uint16) * 4,), "gray10le") for one in (picture(), picture((9, 3)))
    ]
    motions = follow(wide[0], wide[1], BOX), follow(picture(), picture((9, 3)), BOX)
    assert motions[0] is not None
    assert motions[1] is not None
    np.testing.assert_allclose(motions[0].shift, motions[1].shift, atol=0.1)


def test_a_face_that_is_gone_is_not_followed() -> None:
    assert follow(picture(), picture(face=False), BOX) is None


@pytest.mark.parametrize(
    "box",
    [
        (-100, 90, -60, 140),
        (130, 230, 170, 290),
        (130, 90, 130, 90),
        (130, 90, 132, 92),
        (170, 140, 130, 90),
        (-30, 90, 10, 140),
    ],
)
def test_what_is_hardly_in_the_picture_is_not_followed(box: tuple[float, ...]) -> None:
    assert follow(picture(), picture((1, 1)), np.array(box, np.float32)) is None


def test_a_flat_picture_tells_nothing() -> None:
    flat = Picture((np.full(SIZE, 90, np.uint8),), "gray")
    assert follow(flat, flat, BOX) is None


def test_a_place_that_is_none_is_not_followed() -> None:
    assert follow(picture(), picture(), np.full(4, np.nan, np.float32)) is None


def test_pictures_of_two_sizes_tell_nothing() -> None:
    small = Picture((picture().planes[0][:200, :200].copy(),), "gray")
    assert follow(picture(), small, BOX) is None


def test_a_face_at_the_edge_is_followed() -> None:
    first = picture()
    corner = np.array([0, 0, 40, 50], np.float32)
    motion = follow(first, first, corner)
    assert motion is not None
    np.testing.assert_allclose(motion.shift, (0, 0), atol=0.5)
