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

from streamanon.anonymizer import Anonymizer
from streamanon.config import ComputeConfig, Config, CoverConfig, LookaheadConfig, OutputConfig
from streamanon.engines import Engines
from streamanon.fakes import FakeDetector, FakeSource
from streamanon.source import probe
from streamanon.stride import Stride
from streamanon.types import Faces, Picture, RawFrame
from streamanon.watch import observe

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

    def detect(self, frame: RawFrame, fresh: bool = False) -> Faces:
        self.latest.append(self.camera.lateness(frame.index))
        self.camera.now += self.seconds(frame.index)
        return super().detect(frame, fresh)


def watched(camera: Camera, detector: FakeDetector, stride: Stride) -> Iterator[tuple[int, bool, int]]:
    """Number, whether it was looked at, and the stride after it: as ``observe`` does in a still picture."""
    for frame in stride.follow(camera.frames()):
        looks = frame.index == 0 or stride.is_due(False)
        if looks:
            detector.detect(frame)
            stride.looked(True)
        yield frame.index, looks, stride.frames


def strides(
    camera: Camera, seconds: Callable[[int], float], every: int = 2, lookahead: int = 12, live: bool = True
) -> list[int]:
    stride = Stride(every, lookahead, live, camera.clock)
    return [frames for _, _, frames in watched(camera, SlowDetector(camera, seconds), stride)]


def test_a_chain_that_is_quick_enough_keeps_its_stride() -> None:
    assert set(strides(Camera(2000), lambda _: 0.06)) == {2}  # 0.08 s for every two frames


def test_a_file_has_no_load() -> None:
    assert set(strides(Camera(500), lambda _: 1.0, live=False)) == {2}


def test_under_load_looks_become_rarer_step_by_step_and_the_lag_stays_small() -> None:
    camera = Camera(3000)
    detector = SlowDetector(camera, lambda _: 0.16)  # four frames' time
    found = [frames for _, _, frames in watched(camera, detector, Stride(2, 12, True, camera.clock))]
    assert max(found) >= 4
    assert all(abs(b - a) <= 1 for a, b in itertools.pairwise(found))
    assert max(detector.latest) < 2.0
    unchanging = SlowDetector(camera := Camera(3000), lambda _: 0.16)
    list(watched(camera, unchanging, Stride(2)))
    assert max(unchanging.latest) > 50


def test_when_it_has_caught_up_looks_become_frequent_again() -> None:
    found = strides(Camera(3000), lambda n: 0.5 if 300 <= n < 900 else 0.02)
    assert set(found[:300]) == {2}
    assert max(found) == 10
    assert set(found[1500:]) == {2}


@pytest.mark.parametrize(
    ("every", "lookahead", "most"),
    [(2, 12, 10), (2, 60, 10), (2, 6, 6), (4, 2, 4), (3, 0, 3), (10, 12, 10)],
)
def test_the_stride_is_bounded_by_the_look_ahead(every: int, lookahead: int, most: int) -> None:
    assert max(strides(Camera(1500), lambda _: 2.0, every, lookahead)) == most


def test_under_load_movement_is_no_reason_to_look() -> None:
    camera = Camera(400)
    stride = Stride(4, 4, True, camera.clock)  # which has no rarer one
    for frame in stride.follow(camera.frames()):
        if frame.index == 0 or stride.is_due(moves=True):
            camera.now += 0.2 if frame.index < 200 else 0.02
            stride.looked(True)
        if frame.index == 150:
            assert stride.left_out > 50
        if frame.index == 300:
            assert camera.lateness(300) < 0.1
            left_out = stride.left_out
    assert stride.left_out == left_out


def test_looks_left_out_are_counted() -> None:
    camera = Camera(1000)
    stride = Stride(2, 12, True, camera.clock)
    looked = sum(looked for _, looked, _ in watched(camera, SlowDetector(camera, lambda _: 0.5), stride))
    assert looked + stride.left_out == pytest.approx(500, abs=60)  # a stride of 9 is no multiple of 2
    assert stride.left_out > 300


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


@pytest.mark.parametrize("spent", [0.02, 0.05])
@pytest.mark.parametrize("name", TIMES)
def test_odd_times_are_no_load(name: str, spent: float) -> None:
    found = strides(Camera(3000, TIMES[name]), lambda _: spent)
    assert max(found) <= 3
    assert found[-1] == 2


@pytest.mark.parametrize("name", ["back", "back far", "on"])
def test_times_that_jump_are_no_load_to_a_chain_with_little_time_to_spare(name: str) -> None:
    assert set(strides(Camera(3000, TIMES[name]), lambda _: 0.07)) == {2}


def test_load_is_found_soon_after_long_idling() -> None:
    found = strides(Camera(2100), lambda n: 0.02 if n < 2000 else 0.16)
    assert set(found[:2000]) == {2}
    assert found[2050] > 2


def test_load_is_found_soon_amid_a_burst() -> None:
    """Before it was caught up with: what is left of it counts as lag only once it grows."""
    camera = Camera(400)
    camera.due = lambda n: max(0.0, (n - 350) / 25)
    found = strides(camera, lambda n: 0.03 if n < 240 else 0.16)
    assert set(found[:240]) == {2}
    assert found[300] > 2


@pytest.mark.parametrize("name", ["delayed", "back", "back far", "on", "to and fro"])
def test_load_is_found_whatever_the_times_did(name: str) -> None:
    camera = Camera(3000, TIMES[name])
    detector = SlowDetector(camera, lambda _: 0.16)
    assert max(frames for _, _, frames in watched(camera, detector, Stride(2, 12, True, camera.clock))) >= 4
    assert max(detector.latest) < 3.0


def test_a_burst_at_the_start_is_no_load() -> None:
    camera = Camera(2000)
    camera.due = lambda n: max(0.0, (n - 250) / 25)  # the last ten seconds come at once
    assert set(strides(camera, lambda _: 0.02)) == {2}


def test_segments_that_come_at_once_are_no_load() -> None:
    camera = Camera(4000)
    camera.due = lambda n: (n // 150 + 1) * 6.0
    assert max(strides(camera, lambda _: 0.04)) <= 3


def test_a_source_that_pauses_is_no_load() -> None:
    camera = Camera(2000)
    camera.due = lambda n: n / 25 + (20 if n >= 700 else 0)  # its times go on as if nothing had been
    assert set(strides(camera, lambda _: 0.04)) == {2}


@given(
    st.integers(1, 10),
    st.integers(0, 30),
    st.booleans(),
    st.lists(
        st.tuples(
            st.booleans(),  # the first of a shot
            st.booleans(),  # much moves
            st.booleans(),  # the look succeeds
            st.sampled_from([0.0, 0.04, 0.5, 30.0]),  # s that it takes
            st.sampled_from([0.0, 0.04, 3.0]),  # s until the next frame is there
            st.sampled_from([40, 0, -5000, 1, 10**9]),  # ms by which times go on
        ),
        max_size=120,
    ),
)
def test_never_more_than_the_bound_lies_between_two_looks(
    every: int,
    lookahead: int,
    live: bool,
    story: list[tuple[bool, bool, bool, float, float, int]],
) -> None:
    now, pts, since, failed = 0.0, 0, 0, False
    stride = Stride(every, lookahead, live, lambda: now)

    def frames() -> Iterator[RawFrame]:
        nonlocal now, pts
        for index, (_, _, _, _, wait, step) in enumerate(story):
            now, pts = now + wait, pts + step
            yield RawFrame(index, pts, TICK, GREY)

    most = max(every, min(10, lookahead))
    for frame in stride.follow(frames()):
        cut, moves, seen, spent, _, _ = story[frame.index]
        since += 1
        looks = cut or frame.index == 0 or stride.is_due(moves)
        assert looks or (since < most and not failed)
        if looks:
            now += spent
            stride.looked(seen)
            since, failed = 0, not seen
        assert every <= stride.frames <= most
    if not live:
        assert stride.frames == every
        assert stride.left_out == 0


def test_first_frames_of_shots_and_those_after_failures_are_looked_at_under_load() -> None:
    camera = Camera(0)
    source = FakeSource(400, 160, 96, {}, cuts=frozenset({203, 305}), seed=1)
    detector = SlowDetector(camera, lambda _: 1.0, range(203, 206))
    stride = Stride(2, 12, True, camera.clock)
    seen = {one.frame.index: one for one in observe(source, detector, stride)}
    assert stride.frames == 10
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


def test_only_a_live_source_has_looks_left_out(
    engines: Engines, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamanon.stride.BEHIND_SECONDS", -1.0)  # always behind
    config = Config(
        lookahead=LookaheadConfig(6, 6),
        cover=CoverConfig("mosaic"),
        output=OutputConfig(preset="ultrafast"),
        compute=ComputeConfig("onnxruntime", 1),
    )
    anonymizer = Anonymizer(config)
    monkeypatch.setattr(anonymizer, "watch", lambda _=0: FakeDetector({}))
    info = probe(clip)
    live = replace(info, name="rtsp://cam/1", duration_seconds=None)
    files = anonymizer.run(clip, tmp_path / "a.mp4", info=info)
    streams = anonymizer.run(clip, tmp_path / "b.mp4", info=live)
    assert files.as_dict()["looks_left_out"] == 0
    assert streams.as_dict()["looks_left_out"] > 0
