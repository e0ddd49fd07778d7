from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest

from streamanon.config import Config, CoverConfig
from streamanon.cover.chosen_tracks import ChosenTracks, Moment, moment_of
from streamanon.errors import ConfigError
from streamanon.types import Picture, RawFrame, Resolved, Target

PICTURE = Picture((np.zeros((100, 200), np.uint8),), "gray")
#: The middle of the left half, after 0.2 s.
THERE = Moment(0.2, 0.25, 0.5)


def frame(index: int, *faces: tuple[int, float, bool], doubtful: tuple[int, ...] = ()) -> Resolved:
    """25 frames a second, from 10 s on; ``faces``: track, middle's x in px, whether it was detected;
    ``doubtful``: tracks that may be no face.
    """
    targets = tuple(
        Target(
            track,
            np.array([x - 10, 40, x + 10, 60], np.float32),
            np.zeros((5, 2), np.float32),
            seen,
            sure=track not in doubtful,
        )
        for track, x, seen in faces
    )
    return Resolved(RawFrame(index, 250 + index, Fraction(1, 25), PICTURE), targets)


def shown(frames: Sequence[Resolved], *moments: Moment) -> list[list[int]]:
    """Who is left visible in each frame, decided with what is known up to it."""
    chosen, found = ChosenTracks(moments or [THERE]), []
    for one in frames:
        chosen.see(one)
        tracks = [target.track_id for target in one.targets]
        found.append(sorted(chosen.shown(tracks, one.frame.pts_seconds)))
    return found


def test_the_face_at_the_place_is_visible_from_then_on() -> None:
    both = [frame(index, (1, 50 + index, True), (2, 150, True)) for index in range(20)]
    assert shown(both) == [[]] * 5 + [[1]] * 15


def test_nobody_is_chosen_where_no_face_is() -> None:
    assert shown([frame(index, (2, 150, True)) for index in range(20)]) == [[]] * 20
    late = [frame(index, (1, 120 if index < 8 else 50, True)) for index in range(20)]
    assert shown(late) == [[]] * 20


def test_frames_before_the_moment_stay_covered_when_they_are_decided_later() -> None:
    chosen = ChosenTracks([THERE])
    for index in range(10):
        chosen.see(frame(index, (1, 50, True)))
    assert chosen.shown([1], 10.18) == set()
    assert chosen.shown([1], 10.21) == {1}


def test_a_lost_face_is_covered_for_good() -> None:
    seen = [frame(index, (1, 50, True)) for index in range(10)]
    carried = [frame(index, (1, 50, False)) for index in range(10, 30)]
    again = [frame(index, (1, 50, True)) for index in range(30, 40)]
    found = shown([*seen, *carried, *again])
    assert found[21] == [1]  # 0.48 s after the last detection
    assert found[22:] == [[]] * 18


def test_a_face_that_meets_another_is_covered_for_good_and_can_be_chosen_again() -> None:
    def middle(index: int) -> float:
        return 60 if 10 <= index < 12 else 150

    frames = [frame(index, (1, 50, True), (2, middle(index), True)) for index in range(30)]
    assert shown(frames) == [[]] * 5 + [[1]] * 5 + [[]] * 20
    assert shown(frames, THERE, Moment(0.8, 0.25, 0.5))[20:] == [[1]] * 10


def test_a_face_that_meets_another_at_the_moment_is_not_chosen() -> None:
    both = [frame(index, (1, 50, True), (2, 56, True)) for index in range(20)]
    assert shown(both) == [[]] * 20


def test_what_is_probably_no_face_is_not_met() -> None:
    both = [frame(index, (1, 50, True), (2, 56, True), doubtful=(2,)) for index in range(20)]
    assert shown(both) == [[]] * 5 + [[1]] * 15


def test_of_two_faces_there_the_nearer_one_is_chosen() -> None:
    frames = [frame(index, (1, 42, True), (2, 58.5, True)) for index in range(10)]
    assert shown(frames, Moment(0.2, 0.26, 0.5))[-1] == [2]


@pytest.mark.parametrize(
    ("rotation", "place"), [(0, "150,25"), (90, "25,49"), (180, "49,74"), (270, "74,150")]
)
def test_a_place_is_where_players_show_it(rotation: int, place: str) -> None:
    """All of them at the same place of the stored picture: right, in its upper quarter."""
    moment = moment_of(f"1.5@{place}", 200, 100, rotation)
    assert moment.seconds == 1.5
    assert (moment.x * 200, moment.y * 100) == pytest.approx((150.5, 25.5))


@pytest.mark.parametrize(
    "text", ["", "1", "1@2", "1,2,3", "a@1,2", "1@2,3,4", "-1@2,3", "nan@1,2", "inf@1,2"]
)
def test_what_is_no_moment_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match=r"seconds@x,y, a time and a place"):
        Config(cover=CoverConfig(keep_tracks=(text,)))
