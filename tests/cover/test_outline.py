"""How far covers reach around a box."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamanon.cover.outline import LEAST_MARGIN, outline
from streamanon.geometry import grow
from streamanon.testing.fakes import faces_at
from streamanon.types import Float, Picture, Target

PICTURE = Picture((np.zeros((200, 200), np.uint8),), "gray")
BOX = np.array([[80, 60, 120, 110]], np.float32)
margins = st.floats(LEAST_MARGIN, 2.0)


def target(sure: bool = True, growth: float = 0.0) -> Target:
    faces = faces_at(BOX)
    return Target(0, grow(faces.boxes[0], growth), faces.keypoints[0], not growth, growth=growth, sure=sure)


def beyond(one: Target, margin: float) -> Float:
    """How far the outline reaches beyond the face's own box: left, top, right, bottom, in px."""
    reach = (outline(PICTURE, one, margin) - BOX[0]) * np.array([-1, -1, 1, 1], np.float32)
    return np.asarray(reach, np.float32)


@given(margins, st.booleans(), st.floats(0, 0.5))
def test_the_ellipse_holds_the_corners_of_the_box(margin: float, sure: bool, growth: float) -> None:
    area = outline(PICTURE, target(sure, growth), margin)
    corners = np.array([[x, y] for x in BOX[0, ::2] for y in BOX[0, 1::2]])
    apart = (corners - (area[:2] + area[2:]) / 2) / ((area[2:] - area[:2]) / 2)
    assert ((apart**2).sum(axis=1) <= 1.001).all()


def test_what_may_be_no_face_has_the_least_margin() -> None:
    assert (beyond(target(sure=False), 0.6) < beyond(target(), 0.28)).all()
    np.testing.assert_allclose(beyond(target(sure=False), 0.6)[0], LEAST_MARGIN * 40, rtol=1e-4)


@given(st.floats(0, 0.5))
def test_at_the_pictures_edge_too_doubt_about_the_place_does_not_widen_the_margin(growth: float) -> None:
    faces = faces_at(BOX + np.array([100, 0, 100, 0], np.float32))  # x 180 to 220 of 200

    def margin(growth: float) -> Float:
        box = grow(faces.boxes[0], growth)
        one = Target(0, box, faces.keypoints[0], not growth, growth=growth)
        return np.asarray(box[:2] - outline(PICTURE, one, 0.28)[:2], np.float32)

    np.testing.assert_allclose(margin(growth), margin(0.0), rtol=1e-4)
