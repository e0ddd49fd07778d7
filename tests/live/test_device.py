"""Cameras at this machine (V4L2): no test machine has one, so a file stands for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
from live_scenes import RATE, transport_stream

from streamanon.errors import SourceError
from streamanon.live.connection import Connection, Got, SourceOptions
from streamanon.live.feed import MOST_WAITING, Feed, FeedCounts


def test_a_device_that_is_not_there_is_told() -> None:
    with pytest.raises(SourceError, match="there is no device /dev/video97; plug the camera in"):
        Connection(SourceOptions("/dev/video97"))


def test_what_is_no_camera_is_told() -> None:
    with pytest.raises(SourceError, match=r"/dev/null is no camera .*; list cameras") as raised:
        Connection(SourceOptions("/dev/null"))
    assert "Errno" not in str(raised.value)


class _Device:
    """A container that claims to be one of V4L2's."""

    def __init__(self, opened: Any) -> None:
        self._opened = opened
        self.format = type("Format", (), {"name": "video4linux2,v4l2"})()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._opened, name)

    def __enter__(self) -> _Device:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()


def test_a_device_is_read_as_such_and_timed_by_arrival(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "in.mkv"
    chunks = transport_stream(10, codec="mjpeg", container="matroska")
    path.write_bytes(b"".join(chunk.data for chunk in chunks))
    asked: list[dict[str, Any]] = []
    av_open: Callable[..., Any] = av.open

    def opened(source: object, **more: Any) -> _Device:
        asked.append({"source": source, **more})
        return _Device(av_open(str(path)))

    monkeypatch.setattr(av, "open", opened)
    now = iter(range(1000, 2000))
    options = SourceOptions("/dev/null")
    assert options.is_device
    assert not options.is_file, "its end is a loss"
    assert not options.can_wait
    with Connection(options, lambda: float(next(now))) as connection:
        got = [one for one in connection.read(lambda: False) if isinstance(one, Got)]
    assert asked[0]["source"] == "/dev/null"
    assert asked[0]["format"] == "v4l2"
    assert len(got) >= len(chunks) - 3, "the last ones were never finished"
    assert [one.time for one in got] == [one.arrival for one in got], "its own times count nothing"
    assert not any(one.damaged for one in got)


def test_frames_of_a_device_reach_the_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "in.mkv"
    chunks = transport_stream(RATE, codec="mjpeg", container="matroska")
    path.write_bytes(b"".join(chunk.data for chunk in chunks))
    av_open: Callable[..., Any] = av.open
    monkeypatch.setattr(av, "open", lambda _source, **_more: _Device(av_open(str(path))))
    counts = FeedCounts()
    feed = Feed(SourceOptions("/dev/null"), counts, 0.0)
    assert feed.wait()
    assert feed.info is not None
    assert feed.info.width == 320
    feed.join(30)
    assert not feed.alive
    frames = list(feed.frames())
    assert 1 <= len(frames) <= MOST_WAITING, "what waits is the newest"
    assert counts.read >= len(chunks) - 3
    assert counts.dropped == counts.read - len(frames)
