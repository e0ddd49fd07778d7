from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from streamanon.config import Config, CoverConfig
from streamanon.cover.chosen_tracks import ChosenTracks, Moment
from streamanon.cover.keeping import FORGET_SECONDS, Area, Keeping, area_of, keep
from streamanon.cover.measure import Measured
from streamanon.errors import ConfigError
from streamanon.identity.encoder import EMBEDDING, IdentityFeature
from streamanon.identity.rules import Rule
from streamanon.identity.visible_people import Keeper
from streamanon.runtime.faults import Faults
from streamanon.testing.fakes import fake_points
from streamanon.types import Float, Geometry, Picture, RawFrame, Resolved, Target

OWN = np.eye(EMBEDDING, dtype=np.float32)[0]
POINTS = fake_points(np.array([0, 0, 90, 100], np.float32), np.full((5, 2), 45, np.float32))
PICTURE = Picture((np.zeros((100, 200), np.uint8),), "gray")


class Encoder:
    """``fails``: whether it does, or from which call on."""

    def __init__(self, fails: bool = False, fails_from: int | None = None) -> None:
        self.fails_from = 0 if fails else fails_from
        self.fails = self.fails_from is not None
        self._calls = 0

    def describe(self, _picture: Picture, _points: Float) -> IdentityFeature:
        self._calls += 1
        if self.fails_from is not None and self._calls > self.fails_from:
            raise RuntimeError("no")
        return IdentityFeature(OWN, np.zeros(256, np.float32), np.zeros(256, np.float32), 9.0)


def frames(
    middles: Sequence[tuple[float, float]], points: Float = POINTS, distance: int = 0, track: int = 0
) -> Iterator[Measured]:
    """Frames at 25 a second with one face of 20 px around each middle."""
    for index, (x, y) in enumerate(middles):
        frame = RawFrame(index, index, Fraction(1, 25), PICTURE)
        box = np.array([x - 10, y - 10, x + 10, y + 10], np.float32) - np.float32(0.5)
        target = Target(track, box, np.zeros((5, 2), np.float32), distance == 0, distance)
        yield Measured(Resolved(frame, (target,)), [Geometry(points, 0.9)])


def visible(measured: Iterator[Measured], *areas: Area, encoder: Encoder | None = None) -> list[bool]:
    faults = Faults("cover")
    rules = [Rule(OWN, True, None, None, None)] if encoder is not None else []
    keeping = Keeping(Keeper(rules, 0.4), encoder, areas, ChosenTracks([]), 0.4, faults)
    done = list(keep(measured, keeping))
    assert [one.resolved.frame.index for one in done] == list(range(len(done)))
    assert bool(faults.counts) == (encoder is not None and encoder.fails)
    return [bool(one.visible) for one in done]


LEFT: Area = (0.0, 0.0, 0.5, 1.0)


def test_a_known_person_is_visible() -> None:
    assert visible(frames([(50, 50)] * 40), encoder=Encoder()) == [True] * 40


def test_faces_that_are_small_or_far_from_a_detection_tell_nothing() -> None:
    assert not any(visible(frames([(50, 50)] * 40, POINTS / np.float32(3)), encoder=Encoder()))
    assert not any(visible(frames([(50, 50)] * 40, distance=4), encoder=Encoder()))
    assert all(visible(frames([(50, 50)] * 40, distance=2), encoder=Encoder()))


def test_an_encoder_that_fails_shows_nobody() -> None:
    assert not any(visible(frames([(50, 50)] * 40), encoder=Encoder(fails=True)))


def test_nothing_counts_that_was_seen_before_the_encoder_failed() -> None:
    """The look-ahead is ten frames."""
    found = visible(frames([(50, 50)] * 60), encoder=Encoder(fails_from=40))
    assert found == [True] * 30 + [False] * 30


def test_a_face_without_a_track_is_never_visible() -> None:
    """It might be anybody's in each frame."""
    assert not any(visible(frames([(50, 50)] * 40, track=-1), LEFT, encoder=Encoder()))


def test_tracks_that_ended_are_forgotten() -> None:
    keeping = Keeping(Keeper([], 0.4), None, [LEFT], ChosenTracks([]), 0.4, Faults("cover"))
    for number in range(20):
        measured = next(frames([(150, 50)], track=number))
        frame = replace(measured.resolved.frame, pts=25 * number)
        measured = replace(measured, resolved=replace(measured.resolved, frame=frame))
        keeping.see(measured)
        keeping.decided(measured)
    known = {number for number in range(20) if number >= 19 - FORGET_SECONDS}
    assert set(keeping._strays) == set(keeping._last_seen) == known


def test_a_face_that_stays_in_a_region_is_visible() -> None:
    assert visible(frames([(50, 50)] * 40), LEFT) == [True] * 40
    assert not any(visible(frames([(150, 50)] * 40), LEFT))
    assert visible(frames([(150, 50)] * 40), LEFT, (0.6, 0, 0.9, 1)) == [True] * 40


def test_a_face_that_leaves_a_region_is_covered_before_and_for_good() -> None:
    found = visible(frames([(50, 50)] * 40 + [(110, 50)] * 5 + [(50, 50)] * 40), LEFT)
    assert found == [True] * 30 + [False] * 55


def test_whom_a_visible_face_hides_has_a_cover_and_nobody_else_does() -> None:
    """Where nobody is visible, the covers hide them."""
    for x, shown, covered in ((50, {0}, [0, 1]), (150, set(), [0])):
        (measured,) = frames([(x, 50)])
        (target,) = measured.resolved.targets
        hidden = replace(target, track_id=1, box=target.box + np.float32(60))
        measured = replace(measured, resolved=replace(measured.resolved, hidden=(hidden,)))
        keeping = Keeping(Keeper([], 0.4), None, [LEFT], ChosenTracks([]), 0.4, Faults("cover"))
        (done,) = keep([measured], keeping)
        assert [one.track_id for one in done.resolved.targets] == covered
        assert done.visible == shown
        assert len(done.meshes) == len(covered)


def test_a_visible_face_under_its_number_before_has_no_cover() -> None:
    """The detector's track of it began anew, and the old one is carried on for a while."""
    one, other = frames([(50, 50), (50, 50)], track=0)
    (target,) = other.resolved.targets
    again = replace(other.resolved, targets=(replace(target, track_id=1),), hidden=(target,))
    chosen = ChosenTracks([Moment(0.0, 0.25, 0.5)])
    keeping = Keeping(Keeper([], 0.0), None, [], chosen, 0.0, Faults("cover"))
    done = list(keep([one, replace(other, resolved=again)], keeping))
    assert [frame.visible for frame in done] == [{0}, {0}]


def test_an_error_upstream_rises_after_the_frames_held() -> None:
    def broken() -> Iterator[Measured]:
        yield from frames([(50, 50)] * 5)
        raise OSError("gone")

    keeping = Keeping(Keeper([], 0.4), None, [LEFT], ChosenTracks([]), 0.4, Faults("cover"))
    stage = keep(broken(), keeping)
    done: list[Measured] = []
    with pytest.raises(OSError, match="gone"):
        done.extend(stage)
    assert len(done) == 5


@pytest.mark.parametrize(
    ("rotation", "area"),
    [
        (0, (0.5, 0.0, 1.0, 0.5)),
        (90, (0.5, 0.5, 1.0, 1.0)),
        (180, (0.0, 0.5, 0.5, 1.0)),
        (270, (0.0, 0.0, 0.5, 0.5)),
    ],
)
def test_a_region_is_where_players_show_it(rotation: int, area: Area) -> None:
    """The right upper quarter of what is shown: players turn the picture counter-clockwise."""
    width, height = (200, 100) if rotation % 180 == 0 else (100, 200)
    assert area_of(f"{width / 2},0,{width},{height / 2}", 200, 100, rotation) == pytest.approx(area)


@pytest.mark.parametrize("text", ["", "1,2,3", "a,b,c,d", "5,0,5,9", "9,0,5,9", "-1,0,5,9"])
def test_what_is_no_region_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match="a region is left,top,right,bottom"):
        area_of(text, 10, 10)
    with pytest.raises(ConfigError, match="a region is left,top,right,bottom"):
        Config(cover=CoverConfig(keep_regions=(text,)))
