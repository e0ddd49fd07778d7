"""When pass after pass has found the same, and how often such a view is searched."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from streamanon.detect.detection_interval import DetectionInterval
from streamanon.detect.steadiness import ALIKE_SECONDS, Steadiness
from streamanon.testing.fakes import FakeSource, faces_at
from streamanon.types import Faces

PERSON, OTHER = (10.0, 10.0, 50.0, 60.0), (100.0, 20.0, 130.0, 58.0)


#: Between two passes, s; and how many it takes.
APART = 0.1
PASSES = round(ALIKE_SECONDS / APART) + 2


def found(*boxes: tuple[float, ...], score: float = 0.97) -> Faces:
    faces = faces_at(np.array(boxes, np.float32).reshape(-1, 4))
    return Faces(faces.boxes, np.full(len(boxes), score, np.float32), faces.keypoints, faces.track_ids)


def steady_after(*passes: Faces) -> bool:
    steadiness = Steadiness()
    for number, faces in enumerate(passes):
        steadiness.searched(faces, number * APART)
    return steadiness.is_steady


@pytest.mark.parametrize("faces", [found(), found(PERSON), found(PERSON, OTHER)])
def test_finds_that_stay_alike_are_steady(faces: Faces) -> None:
    assert not steady_after(*[faces] * (PASSES - 2))
    assert steady_after(*[faces] * PASSES)


@pytest.mark.parametrize(
    "last",
    [
        found(PERSON, OTHER),
        found(),
        found((35, 10, 75, 60)),
        found(PERSON).joined(found(OTHER, score=0.4)),
        found(PERSON, score=0.8),
    ],
    ids=["one more", "one less", "elsewhere", "one in doubt", "not sure any more"],
)
def test_any_other_find_is_not(last: Faces) -> None:
    assert not steady_after(*[found(PERSON)] * PASSES, last)


def test_what_is_surely_none_does_not_matter() -> None:
    noise = [found(PERSON).joined(found(OTHER, score=0.01)), found(PERSON)] * PASSES
    assert steady_after(*noise)


def test_it_begins_anew_after_a_restart() -> None:
    steadiness = Steadiness()
    for number in range(PASSES):
        steadiness.searched(found(PERSON), number * APART)
    steadiness.restart()
    assert not steadiness.is_steady
    steadiness.searched(found(PERSON), PASSES * APART)
    assert not steadiness.is_steady


def test_who_is_seen_only_now_and_then_keeps_it_from_being_steady() -> None:
    seldom = [found(PERSON, OTHER), *[found(PERSON)] * 6] * 6
    assert not any(steady_after(*seldom[:end]) for end in range(len(seldom)))


@pytest.mark.parametrize(
    ("base", "lookahead", "steady", "apart"),
    [
        (0.08, 1.8, False, 2),
        (0.08, 1.8, True, 4),
        (0.06, 0.6, True, 3),
        (0.08, 0.4, True, 3),
        (0.08, 0, True, 2),
        (0, 1.8, True, 1),
    ],
)
def test_a_steady_view_is_searched_less_often_as_far_as_the_look_ahead_reaches(
    base: float, lookahead: float, steady: bool, apart: int
) -> None:
    interval, seen = DetectionInterval(base, lookahead), []
    for frame in FakeSource(24, 64, 48, {}):
        assert frame.time_base == Fraction(1, 25)
        extent = interval.extent(frame, frame.index == 0, False, False, steady=steady)
        if extent is not None:
            seen.append(frame.index)
            interval.searched(extent, True)
    assert np.diff(seen).tolist() == [apart] * (len(seen) - 1)
