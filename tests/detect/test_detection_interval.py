from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamanon.api import Anonymizer
from streamanon.config import ComputeConfig, Config, CoverConfig, LookaheadConfig, OutputConfig
from streamanon.detect.detection_interval import MAX_FRAMES, DetectionInterval, Extent
from streamanon.detect.search import observe
from streamanon.media.probe import probe
from streamanon.runtime.models import Engines
from streamanon.testing.fakes import FakeDetector, FakeSource
from streamanon.types import Faces, Picture, RawFrame

GREY = Picture((np.zeros((48, 64), np.uint8),), "gray")
TICK = Fraction(1, 1000)


class Camera:
    """25 frames a second, which wait in line; ``due``: when each is there, s. Its clock is the only one."""

    def __init__(self, count: int, pts_seconds: Callable[[int], float] = lambda n: n / 25) -> None:
        self.now, self.count, self.pts_seconds = 1000.0, count, pts_seconds
        self.due: Callable[[int], float] = lambda n: n / 25
        self.begun = self.now

    def clock(self) -> float:
        return self.now

    def frames(self) -> Iterator[RawFrame]:
        for n in range(self.count):
            self.now = max(self.now, self.begun + self.due(n))
            yield RawFrame(n, round(self.pts_seconds(n) / TICK), TICK, GREY)

    def lateness(self, index: int) -> float:
        return self.now - self.begun - self.due(index)


class SlowDetector(FakeDetector):
    """A look takes so many seconds, by the frame's number."""

    def __init__(self, camera: Camera, seconds: Callable[[int], float], fails: Iterable[int] = ()) -> None:
        super().__init__({}, fails=frozenset(fails))
        self.camera, self.seconds = camera, seconds
        self.latest: list[float] = []

    def detect(self, frame: RawFrame, extent: Extent = "next") -> Faces:
        self.latest.append(self.camera.lateness(frame.index))
        self.camera.now += self.seconds(frame.index)
        return super().detect(frame, extent)


def watched(
    camera: Camera, detector: FakeDetector, interval: DetectionInterval
) -> Iterator[tuple[int, bool, int]]:
    """Frame, whether it was detected in, and the interval after it, frames: as ``observe`` in a still
    picture.
    """
    for frame in interval.follow(camera.frames()):
        extent = interval.extent(frame, frame.index == 0, False, False)
        if extent is not None:
            detector.detect(frame, extent)
            interval.searched(extent, True)
        yield frame.index, extent is not None, round(25 * interval.seconds)


def intervals(
    camera: Camera, seconds: Callable[[int], float], every: int = 2, lookahead: int = 12, live: bool = True
) -> list[int]:
    interval = DetectionInterval(every / 25, lookahead / 25, live, camera.clock)
    return [frames for _, _, frames in watched(camera, SlowDetector(camera, seconds), interval)]


def test_a_chain_that_is_quick_enough_keeps_its_interval() -> None:
    assert set(intervals(Camera(2000), lambda _: 0.06)) == {2}  # 0.08 s for every two frames


def test_a_file_has_no_load() -> None:
    assert set(intervals(Camera(500), lambda _: 1.0, live=False)) == {2}


def test_under_load_detections_become_rarer_step_by_step_and_the_lag_stays_small() -> None:
    camera = Camera(3000)
    detector = SlowDetector(camera, lambda _: 0.16)  # four frames' time
    interval = DetectionInterval(0.08, 0.48, True, camera.clock)
    found = [frames for _, _, frames in watched(camera, detector, interval)]
    assert max(found) >= 4
    assert all(abs(b - a) <= 1 for a, b in itertools.pairwise(found))
    assert max(detector.latest) < 2.0
    unchanging = SlowDetector(camera := Camera(3000), lambda _: 0.16)
    list(watched(camera, unchanging, DetectionInterval(0.08)))
    assert max(unchanging.latest) > 50


def test_when_it_has_caught_up_detections_become_frequent_again() -> None:
    found = intervals(Camera(3000), lambda n: 0.5 if 300 <= n < 900 else 0.02)
    assert set(found[:300]) == {2}
    assert max(found) == 10
    assert set(found[1500:]) == {2}


@pytest.mark.parametrize(
    ("every", "lookahead", "most"),
    [(2, 12, 10), (2, 60, 10), (2, 6, 6), (4, 2, 4), (3, 0, 3), (10, 12, 10)],
)
def test_the_interval_is_bounded_by_the_look_ahead(every: int, lookahead: int, most: int) -> None:
    assert max(intervals(Camera(1500), lambda _: 2.0, every, lookahead)) == most


def test_under_load_movement_triggers_no_detection() -> None:
    camera = Camera(400)
    interval = DetectionInterval(0.16, 0.16, True, camera.clock)  # which has no rarer one
    for frame in interval.follow(camera.frames()):
        extent = interval.extent(frame, frame.index == 0, False, moves=True)
        if extent is not None:
            camera.now += 0.2 if frame.index < 200 else 0.02
            interval.searched(extent, True)
        if frame.index == 150:
            assert interval.skipped > 50
        if frame.index == 300:
            assert camera.lateness(300) < 0.1
            left_out = interval.skipped
    assert interval.skipped == left_out


class Overloaded:
    """A camera that loses ``losing`` frames of every 10."""

    def __init__(self) -> None:
        self.camera, self.lost, self.losing = Camera(10**6), 0, 3
        self.interval = DetectionInterval(0.04, 0.48, True, self.camera.clock, lambda: self.lost)
        self._frames = self.interval.follow(self.camera.frames())

    def run(self, count: int) -> list[Extent | None]:
        extents = []
        for frame in itertools.islice(self._frames, count):
            self.lost += self.losing if frame.index % 10 == 0 else 0
            extents.append(self.interval.extent(frame, frame.index == 0, False, False))
            if extents[-1] is not None:
                self.interval.searched(extents[-1], True)
        return extents


def test_lost_frames_are_load_though_none_is_late() -> None:
    """As in live, where two frames wait at most: such a chain does not lag."""
    one = Overloaded()
    one.run(50)
    assert one.interval.seconds > 0.04
    assert one.interval.rare_painting, "which uncovers nothing, so it comes first"
    assert one.interval.coarse == 0, "then detections become rarer"
    extents = one.run(400)
    assert one.interval.seconds == pytest.approx(0.4)
    assert set(extents[-100:]) == {"coarse", None}
    assert one.interval.coarse > 0
    down = one.interval.steps.copy()
    assert down == {"rarer painting": 1, "longer interval": 9, "smaller copy": 1}


def test_what_load_made_necessary_is_taken_back_step_by_step_and_not_at_once() -> None:
    one = Overloaded()
    one.run(500)
    one.losing = 0
    assert one.run(25 * 4)[-1] != "next", "it may begin again at once"
    extents = one.run(25 * 20)
    assert extents[-1] == "next"
    assert one.interval.seconds == pytest.approx(0.04)
    assert one.interval.steps["shorter interval"] == 9
    assert one.interval.steps["larger copy"] == 1
    assert one.interval.steps["more painting"] == 1
    assert not one.interval.rare_painting


def test_detections_skipped_are_counted() -> None:
    camera = Camera(1000)
    interval = DetectionInterval(0.08, 0.48, True, camera.clock)
    looked = sum(looked for _, looked, _ in watched(camera, SlowDetector(camera, lambda _: 0.5), interval))
    assert looked + interval.skipped == pytest.approx(500, abs=60)  # a interval of 9 is no multiple of 2
    assert interval.skipped > 300


def _restart(n: int) -> float:
    return n / 25 if n < 500 else n / 25 - 15


TIMES: dict[str, Callable[[int], float]] = {
    "delayed": lambda n: n / 25 - 3600,
    "back": _restart,
    "back far": lambda n: n / 25 if n < 500 else n / 25 - 1e6,
    "on": lambda n: n / 25 if n < 500 else n / 25 + 1e6,
    "to and fro": lambda n: n / 25 + (50 if n % 100 < 50 else 0),
    "all the same": lambda _n: 0.0,
    "slow clock": lambda n: n / 25 * 0.999,
    "more frames told than come": lambda n: n / 40,
    "fewer frames told than come": lambda n: n / 10,
}


@pytest.mark.parametrize("spent", [pytest.param(0.02, marks=pytest.mark.slow), 0.05])
@pytest.mark.parametrize(
    "name",
    [
        one if one in ("back", "all the same") else pytest.param(one, marks=pytest.mark.slow)
        for one in TIMES
    ],
)
def test_odd_times_are_no_load(name: str, spent: float) -> None:
    found = intervals(Camera(3000, TIMES[name]), lambda _: spent)
    assert max(found) <= 3
    assert found[-1] == 2


@pytest.mark.parametrize(
    "name", ["back", *(pytest.param(one, marks=pytest.mark.slow) for one in ("back far", "on"))]
)
def test_times_that_jump_are_no_load_to_a_chain_with_little_time_to_spare(name: str) -> None:
    assert set(intervals(Camera(3000, TIMES[name]), lambda _: 0.07)) == {2}


def test_load_is_found_soon_after_long_idling() -> None:
    found = intervals(Camera(2100), lambda n: 0.02 if n < 2000 else 0.16)
    assert set(found[:2000]) == {2}
    assert found[2050] > 2


def test_load_is_found_soon_amid_a_burst() -> None:
    """Before it was caught up with: what is left of it counts as lag only once it grows."""
    camera = Camera(400)
    camera.due = lambda n: max(0.0, (n - 350) / 25)
    found = intervals(camera, lambda n: 0.03 if n < 240 else 0.16)
    assert set(found[:240]) == {2}
    assert found[300] > 2


@pytest.mark.parametrize(
    "name",
    [
        "back",
        *(pytest.param(one, marks=pytest.mark.slow) for one in ("delayed", "back far", "on", "to and fro")),
    ],
)
def test_load_is_found_whatever_the_times_did(name: str) -> None:
    camera = Camera(3000, TIMES[name])
    detector = SlowDetector(camera, lambda _: 0.16)
    assert (
        max(
            frames
            for _, _, frames in watched(camera, detector, DetectionInterval(0.08, 0.48, True, camera.clock))
        )
        >= 4
    )
    assert max(detector.latest) < 3.0


def test_a_burst_at_the_start_is_no_load() -> None:
    camera = Camera(2000)
    camera.due = lambda n: max(0.0, (n - 250) / 25)  # the last ten seconds come at once
    assert set(intervals(camera, lambda _: 0.02)) == {2}


@pytest.mark.slow
def test_segments_that_come_at_once_are_no_load() -> None:
    camera = Camera(4000)
    camera.due = lambda n: (n // 150 + 1) * 6.0
    assert max(intervals(camera, lambda _: 0.04)) <= 3


def test_a_source_that_pauses_is_no_load() -> None:
    camera = Camera(2000)
    camera.due = lambda n: n / 25 + (20 if n >= 700 else 0)  # its times go on as if nothing had been
    assert set(intervals(camera, lambda _: 0.04)) == {2}


@given(
    st.sampled_from([0.0, 0.04, 0.1, 0.4]),
    st.sampled_from([0.0, 0.2, 1.8]),
    st.booleans(),
    st.lists(
        st.tuples(
            st.booleans(),  # the first of a shot
            st.booleans(),  # perhaps one
            st.booleans(),  # much moves
            st.booleans(),  # the look succeeds
            st.sampled_from([0.0, 0.04, 0.5, 30.0]),  # s that it takes
            st.sampled_from([0.0, 0.04, 3.0]),  # s until the next frame is there
            st.sampled_from([40, 0, -5000, 1, 10**9]),  # ms by which times go on
        ),
        max_size=120,
    ),
)
def test_never_more_than_the_bound_lies_between_two_detections(
    base: float,
    lookahead: float,
    live: bool,
    story: list[tuple[bool, bool, bool, bool, float, float, int]],
) -> None:
    now, pts, failed = 0.0, 0, False
    interval = DetectionInterval(base, lookahead, live, lambda: now)

    def frames() -> Iterator[RawFrame]:
        nonlocal now, pts
        for index, (_, _, _, _, _, wait, step) in enumerate(story):
            now, pts = now + wait, pts + step
            yield RawFrame(index, pts, TICK, GREY)

    most = max(base, min(0.4, lookahead))
    since, passed, before = 0, 0.0, 0.0
    for frame in interval.follow(frames()):
        shot, perhaps, moves, seen, spent, _, _ = story[frame.index]
        step = frame.pts_seconds - before
        since, passed, before = since + 1, passed + (step if 0 < step <= 2 else 0.04), frame.pts_seconds
        extent = interval.extent(frame, shot or frame.index == 0, perhaps, moves)
        if shot or frame.index == 0:
            assert extent == "all"
        elif failed or perhaps or passed >= most or since >= MAX_FRAMES:
            assert extent in ("next", "coarse")
        assert extent != "near" or moves
        assert extent != "coarse" or (live and interval.rare_painting)
        if extent is not None:
            now += spent
            interval.searched(extent, seen)
            failed = not seen
            if extent != "near":
                since, passed = 0, 0.0
        assert base <= interval.seconds <= most
    if not live:
        assert interval.seconds == base
        assert interval.skipped == 0


def test_in_between_near_faces_are_searched_while_much_moves() -> None:
    interval = DetectionInterval(0.12)
    found = []
    for frame in Camera(7).frames():
        found.append(interval.extent(frame, frame.index == 0, False, frame.index in (1, 5)))
        if found[-1] is not None:
            interval.searched(found[-1], True)
    assert found == ["all", "near", None, "next", None, "near", "next"]


def test_after_a_pause_the_next_frame_is_searched() -> None:
    """However long it was: nothing is known of what happened in it."""
    times, interval = [0.0, 0.001, 2.5, 2.501, 100.0], DetectionInterval(0.12)
    found = []
    for frame in Camera(len(times), lambda n: times[n]).frames():
        found.append(interval.extent(frame, frame.index == 0, False, False))
        if found[-1] is not None:
            interval.searched(found[-1], True)
    assert found == ["all", None, "next", None, "next"]


@pytest.mark.parametrize(
    ("rate", "step"), [(10, 1), (12.5, 1), (15, 2), (25, 2), (29.97, 3), (50, 4), (240, 10)]
)
def test_the_interval_is_a_time_whatever_the_frame_rate(rate: float, step: int) -> None:
    camera, interval = Camera(60, lambda n: n / rate), DetectionInterval(0.08)
    looks = [n for n, looks, _ in watched(camera, FakeDetector({}), interval) if looks]
    assert looks == list(range(0, 60, step))


@pytest.mark.slow
def test_first_frames_of_shots_and_those_after_failures_are_looked_at_under_load() -> None:
    camera = Camera(0)
    source = FakeSource(400, 160, 96, {}, cuts=frozenset({203, 305}), seed=1)
    detector = SlowDetector(camera, lambda _: 1.0, range(203, 206))
    interval = DetectionInterval(0.08, 0.48, True, camera.clock)
    seen = {one.frame.index: one for one in observe(source, detector, interval)}
    assert interval.seconds == 0.4
    assert {n for n, one in seen.items() if one.cut} == {203, 305}
    assert all(seen[n].status != "skipped" for n in (0, *range(203, 207), 305))


@pytest.mark.parametrize(
    ("name", "duration", "live"),
    [
        ("rtsp://cam/1", None, True),
        ("http://host/film.mp4", 12.0, False),
        ("a.mkv", None, False),
        ("a.mp4", 3.0, False),
    ],
)
def test_an_address_without_an_end_is_live(
    name: str, duration: float | None, live: bool, clip: Path
) -> None:
    assert replace(probe(clip), name=name, duration_seconds=duration).live is live


@pytest.mark.slow
def test_only_a_live_source_has_detections_skipped(
    engines: Engines, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamanon.detect.detection_interval.BEHIND_SECONDS", -1.0)  # always behind
    config = Config(
        lookahead=LookaheadConfig(0.24, 0.24),
        cover=CoverConfig("mosaic"),
        output=OutputConfig(preset="ultrafast"),
        compute=ComputeConfig("onnxruntime", 1),
    )
    anonymizer = Anonymizer(config)
    monkeypatch.setattr(anonymizer, "face_search", lambda *_: FakeDetector({}))
    info = probe(clip)
    live = replace(info, name="rtsp://cam/1", duration_seconds=None)
    files = anonymizer.run(clip, tmp_path / "a.mp4", info=info)
    streams = anonymizer.run(clip, tmp_path / "b.mp4", info=live)
    assert files.as_dict()["detections_skipped"] == 0
    assert streams.as_dict()["detections_skipped"] > 0
