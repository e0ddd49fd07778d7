"""Frames that wait for a busy chain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from av.video.frame import VideoFrame
from live_scenes import Unhurried, an_info

from streamanon.live.connection import READ_SECONDS, Connection, Got, SourceOptions
from streamanon.live.feed import Feed, FeedCounts
from streamanon.media.probe import probe


class _Even:
    """A connection that delivers frames a step, s, apart, and ends."""

    has_sound, trust = False, SimpleNamespace(causes={})

    def __init__(self, step: float, count: int) -> None:
        self._step, self._count = step, count

    def __enter__(self) -> _Even:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def describe(self, frame: VideoFrame) -> Any:
        return an_info((frame.width, frame.height))

    def read(self, _should_stop: Callable[[], bool], _begin: float | None) -> Iterator[Got]:
        for number in range(self._count):
            now = number * self._step
            yield Got(VideoFrame(64, 48, "yuv420p"), now, now, False)


@pytest.mark.parametrize(("rate", "waiting"), [(5, 2), (15, 4), (25, 6), (60, 8)])
def test_the_newest_quarter_of_a_second_waits(rate: int, waiting: int) -> None:
    counts = FeedCounts()
    even = cast(Connection, _Even(1 / rate, 100))
    feed = Feed(SourceOptions("udp://127.0.0.1:9"), counts, 0.0, connect=lambda _options, _clock: even)
    feed.join(10)
    assert feed.waiting == waiting
    assert counts.read == 100
    assert counts.dropped == 100 - waiting
    last = [frame.pts_seconds for frame in feed.frames()]
    assert last == pytest.approx([(100 - waiting + n) / rate for n in range(waiting)], abs=1e-3)


def test_arrivals_of_many_frames_on_their_way_are_known() -> None:
    """A long look-ahead of a fast camera holds back more than a thousand."""
    even = cast(Connection, _Even(1 / 120, 1500))
    options = Unhurried("udp://127.0.0.1:9")
    feed = Feed(options, FeedCounts(), 0.0, connect=lambda _options, _clock: even)
    pts = [frame.pts for frame in feed.frames()]
    feed.join(10)
    assert len(pts) == 1500
    for number in (0, 3, 1499):  # others were dropped further on
        assert feed.arrival_of(pts[number]) == pytest.approx(number / 120)
    assert feed.arrival_of(pts[3]) == feed.last_frame


def test_a_looped_file_without_a_picture_ends() -> None:
    nothing = cast(Connection, _Even(1.0, 0))
    options = SourceOptions("empty.mkv", loop=True)
    feed = Feed(options, FeedCounts(), 0.0, connect=lambda _options, _clock: nothing)
    try:
        assert feed.join(10)
        assert not feed.wait()
    finally:
        feed.stop()


def test_a_file_may_be_held_up_by_a_slow_output_or_a_busy_chain(clip: Path) -> None:
    """It was taken for a source without a picture, and read again from its beginning."""
    now = 0.0
    with Connection(SourceOptions(str(clip)), lambda: now) as connection:
        read = 0
        for item in connection.read(lambda: False):
            if isinstance(item, Got):  # sound is taken at once
                read += 1
                now += 2 * READ_SECONDS
    assert read == probe(clip).frames
