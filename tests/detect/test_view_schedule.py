from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from streamanon.detect.orientation import Orientation
from streamanon.detect.tiling import LONG_SIDES, View, whole
from streamanon.detect.view_schedule import Look, ViewSchedule
from streamanon.types import Picture, RawFrame

SMALL = Picture((np.zeros((36, 64), np.uint8),), "gray")
LARGE, MIDDLE, COARSE = (1024, 576), (576, 320), (224, 128)
TILE_SIZES = [(576, 480 + n) for n in range(3)]


class Sizes:
    """Views that are known by their size."""

    def __init__(self, groups: Sequence[Sequence[tuple[int, int]]], tiles: Sequence[tuple[int, int]] = ()):
        self.groups, self.sizes = groups, tiles

    def wholes(self, _picture: Picture, turn: int) -> list[list[View]]:
        return [[View((0, 0, 64, 36), size, turn) for size in group] for group in self.groups]

    def compared(self, _picture: Picture, turn: int) -> list[View]:
        return [View((0, 0, 64, 36), size, turn) for size in (MIDDLE, COARSE)]

    def tiles(self, _picture: Picture, turn: int) -> list[View]:
        return [View((0, 0, 32, 18), size, turn) for size in self.sizes]

    def near(self, _picture: Picture, turn: int) -> list[View]:
        return [View((0, 0, 64, 36), COARSE, turn)]


BOTH = Sizes([[LARGE, COARSE], [MIDDLE, COARSE]])
TILED = Sizes([[MIDDLE, COARSE]], TILE_SIZES)


def frame(index: int) -> RawFrame:
    return RawFrame(index, index, Fraction(1, 25), SMALL)


def seen(looks: Sequence[Look], turn: int = 0) -> list[tuple[int, int]]:
    return [view.size for look in looks if look.turn == turn for view in look.views]


def turns(looks: Sequence[Look]) -> list[int]:
    return sorted({look.turn for look in looks})


def test_a_shot_begins_with_every_view_and_every_orientation() -> None:
    looks = ViewSchedule(BOTH).looks(frame(0), "all", Orientation())
    assert sorted(seen(looks)) == sorted([LARGE, MIDDLE, COARSE])
    assert [seen(looks, turn) for turn in (1, 2, 3)] == [[MIDDLE, COARSE]] * 3
    tiled = ViewSchedule(TILED).looks(frame(0), "all", Orientation())
    assert sorted(seen(tiled)) == sorted([MIDDLE, COARSE, *TILE_SIZES])


def test_orientations_are_compared_by_the_same_views() -> None:
    for viewer in (BOTH, TILED):
        looks = ViewSchedule(viewer).looks(frame(0), "all", Orientation())
        assert [look.turn for look in looks if look.is_evidence] == [0, 1, 2, 3]
        assert all([v.size for v in look.views] == [MIDDLE, COARSE] for look in looks if look.is_evidence)


def test_sizes_and_tiles_are_seen_in_turn() -> None:
    schedule, orientation = ViewSchedule(BOTH), Orientation()
    schedule.looks(frame(0), "all", orientation)
    passes = [seen(schedule.looks(frame(n), "next", orientation)) for n in range(1, 5)]
    assert passes[0] != passes[1]
    assert passes == [[MIDDLE, COARSE], [LARGE, COARSE]] * 2
    schedule = ViewSchedule(TILED)
    schedule.looks(frame(0), "all", orientation)
    passes = [seen(schedule.looks(frame(n), "next", orientation)) for n in range(1, 7)]
    assert all(one[:2] == [MIDDLE, COARSE] for one in passes)
    assert [one[2:] for one in passes[:3]] == [one[2:] for one in passes[3:]]
    assert sorted(one[2] for one in passes[:3]) == TILE_SIZES


def test_near_faces_are_searched_in_one_small_view_which_takes_no_turn() -> None:
    schedule, orientation = ViewSchedule(BOTH), Orientation()
    schedule.looks(frame(0), "all", orientation)
    first = seen(schedule.looks(frame(1), "next", orientation))
    near = schedule.looks(frame(2), "near", orientation)
    assert (seen(near), turns(near), [look.is_evidence for look in near]) == ([COARSE], [0], [False])
    assert seen(schedule.looks(frame(3), "next", orientation)) != first


def test_all_orientations_are_searched_again_after_a_while_or_in_doubt() -> None:
    schedule, orientation = ViewSchedule(BOTH), Orientation()
    schedule.looks(frame(0), "all", orientation)
    compared = [n for n in range(1, 70) if len(turns(schedule.looks(frame(n), "next", orientation))) == 4]
    assert compared == [30, 60]
    orientation.judge({0: 0.0, 1: 0.0, 2: 1.0, 3: 0.0})
    assert turns(schedule.looks(frame(70), "next", orientation)) == [0, 1, 2, 3]


def test_orientations_with_faces_and_the_declared_one_are_searched_in_every_pass() -> None:
    schedule, orientation = ViewSchedule(BOTH), Orientation(90)
    orientation.turn = 2
    schedule.looks(frame(0), "all", orientation)
    assert turns(schedule.looks(frame(1), "next", orientation)) == [1, 2]
    schedule.others = [3]
    looks = schedule.looks(frame(2), "next", orientation)
    assert turns(looks) == [1, 2, 3]
    assert all([v.size for v in look.views] == [MIDDLE, COARSE] for look in looks if look.is_evidence)


def test_under_load_smaller_views_take_turns_and_there_are_no_tiles() -> None:
    schedule, orientation = ViewSchedule(TILED), Orientation()
    schedule.looks(frame(0), "all", orientation)
    passes = [seen(schedule.looks(frame(n), "coarse", orientation)) for n in range(1, 5)]
    small = whole(SMALL, 0, LONG_SIDES["small"]).size
    assert passes == [[COARSE], [small]] * 2 or passes == [[small], [COARSE]] * 2
    compared = schedule.looks(frame(100), "coarse", orientation)
    assert turns(compared) == [0, 1, 2, 3], "orientations are still compared"
    assert max(max(view.size) for look in compared for view in look.views) <= LONG_SIDES["small"]


class Fixed(Sizes):
    """A model of one input."""

    def near(self, _picture: Picture, turn: int) -> list[View]:
        return []


def test_a_model_of_one_input_has_no_smaller_one() -> None:
    schedule, orientation = ViewSchedule(Fixed([[LARGE]])), Orientation()
    schedule.looks(frame(0), "all", orientation)
    assert seen(schedule.looks(frame(1), "coarse", orientation)) == [LARGE]
