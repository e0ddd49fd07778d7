"""A camera from its connection to its file: what leaves shows no raw face, whatever the source does."""

from __future__ import annotations

import gc
import os
import socket
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from live_scenes import (
    RATE,
    Chunk,
    ColourSearch,
    FakeAnonymizer,
    Seen,
    StreamServer,
    look_at,
    no_thread,
    transport_stream,
    wait_for,
    without_packets,
)

import streamanon.live.backoff as backoff
from streamanon.api import Anonymizer
from streamanon.detect.detection_interval import Extent
from streamanon.errors import FaultError
from streamanon.live.camera import Camera, CameraSettings, live_config
from streamanon.live.connection import Connection, SourceOptions, quiet_ffmpeg
from streamanon.live.states import Journal, State
from streamanon.live.targets import target_of
from streamanon.mesh.smoothing import NEIGHBOURS
from streamanon.types import Faces, RawFrame


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Iterator[None]:
    import av.logging

    quiet_ffmpeg()
    yield
    av.logging.set_level(None)


@pytest.fixture(scope="module")
def stream() -> list[Chunk]:
    return transport_stream(4 * RATE, audio=True)


#: Stages of a live chain that hold a frame each, and those that wait between them.
MOST_BETWEEN_STAGES = 14


class Running:
    """A camera, and the lines of its journal."""

    def __init__(self, camera: Camera, lines: list[str], path: Path) -> None:
        self.camera, self.lines, self.path = camera, lines, path

    def seen(self) -> list[Seen]:
        """End, and look at what left."""
        self.camera.stop()
        assert self.camera.join(10)
        return look_at(self.path)


@contextmanager
def running(
    address: str,
    path: Path,
    anonymizer: FakeAnonymizer | None = None,
    read_seconds: float = 2.0,
    **more: Any,
) -> Iterator[Running]:
    lines: list[str] = []
    source = SourceOptions(address, read_seconds=read_seconds, open_seconds=read_seconds)
    settings = CameraSettings("camera", source, (target_of(str(path)),), **{"strict": False} | more)
    fake = cast(Anonymizer, anonymizer or FakeAnonymizer())
    camera = Camera(settings, fake, Journal(False, lines.append))
    looking = threading.Event()

    def look() -> None:
        while not looking.wait(0.1):
            camera.look()

    threading.Thread(target=look, daemon=True).start()
    camera.start()
    try:
        yield Running(camera, lines, path)
    finally:
        looking.set()
        camera.stop()
        camera.join(10)


def test_a_source_for_which_no_thread_can_be_started_is_tried_again(
    tmp_path: Path, stream: list[Chunk], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "FIRST_SECONDS", 0.01)
    with (
        StreamServer(stream) as server,
        no_thread("source"),
        running(server.address, tmp_path / "o.mkv") as one,
    ):
        assert wait_for(lambda: one.camera.reconnects["open"] > 1)
        assert one.camera.status.state is State.LOST


def assert_safe(seen: list[Seen], least: int) -> None:
    assert len(seen) >= least, [(one.seconds, round(one.grey, 2)) for one in seen]
    assert [one for one in seen if one.raw] == []
    times = [one.seconds for one in seen]
    assert all(first < second for first, second in pairwise(times))


def test_the_check_finds_raw_faces(tmp_path: Path, stream: list[Chunk]) -> None:
    path = tmp_path / "raw.ts"
    path.write_bytes(b"".join(chunk.data for chunk in stream[:50]))
    assert sum(one.raw > 100 for one in look_at(path)) >= 48


def recorded(path: Path, chunks: list[Chunk]) -> str:
    """The chunks as a file, which is read as slowly as the chain works: so a busy machine drops nothing."""
    path.write_bytes(b"".join(chunk.data for chunk in chunks))
    return str(path)


def test_a_stream_is_anonymised_frame_by_frame(tmp_path: Path, stream: list[Chunk]) -> None:
    source = recorded(tmp_path / "in.ts", stream)
    with running(source, tmp_path / "out.mkv") as run:
        assert wait_for(lambda: run.camera.is_over, 60)
        assert run.camera.error is None
        seen = run.seen()
    assert_safe(seen, len(stream) - 1)
    assert run.camera.context.tally.faces >= len(stream) - 5
    assert max(one.grey for one in seen) < 0.5, "nothing else is to be covered"


@pytest.mark.parametrize("stub", ["plain", pytest.param("last", marks=pytest.mark.slow)])
def test_lost_packets_show_nothing_raw(tmp_path: Path, stream: list[Chunk], stub: Any) -> None:
    """A loss inside a group of pictures: from there to the next key frame nothing is shown."""
    lossy = [
        Chunk(c.seconds, without_packets(c.data, lambda n: n == 1) if 30 <= number < 32 else c.data, c.key)
        for number, c in enumerate(stream)
    ]
    with running(recorded(tmp_path / "in.ts", lossy), tmp_path / "out.mkv", stub=stub) as run:
        assert wait_for(lambda: run.camera.is_over, 60)
        seen = run.seen()
    assert 15 <= run.camera.feed_counts.damaged <= 50
    assert run.camera.egress_counts.withheld >= 15
    assert sum(run.camera.damage.values()) >= 1
    assert_safe(seen, len(stream) - 4)
    grey = sum(one.grey > 0.95 for one in seen)
    assert grey >= 15 if stub == "plain" else grey == 0


def test_a_missing_frame_is_noticed(tmp_path: Path) -> None:
    """One whole frame is gone: the decoder hides that, and does not say a word of it above debugging."""
    chunks = transport_stream(4 * RATE, gop=50)
    missing = [chunk for number, chunk in enumerate(chunks) if number != 20]
    with running(recorded(tmp_path / "in.ts", missing), tmp_path / "out.mkv") as run:
        assert wait_for(lambda: run.camera.is_over, 60)
        seen = run.seen()
    assert 25 <= run.camera.feed_counts.damaged <= 35
    assert_safe(seen, 90)


@pytest.mark.slow
def test_a_server_that_dies_is_reconnected(tmp_path: Path, stream: list[Chunk]) -> None:
    server = StreamServer(stream)
    with running(server.address, tmp_path / "out.mkv") as run:
        assert wait_for(lambda: run.camera.egress_counts.frames >= 20, 40)
        server.close()
        assert wait_for(lambda: run.camera.egress_counts.stubs >= 3)
        with StreamServer(stream, port=server.port):
            before = run.camera.egress_counts.frames - run.camera.egress_counts.stubs
            counts = run.camera.egress_counts
            assert wait_for(lambda: counts.frames - counts.stubs >= before + 5, 30)
        seen = run.seen()
    assert_safe(seen, 28)
    assert any(one.grey > 0.95 for one in seen), "no plain picture stood for the lost signal"
    states = [line.split(": ")[2] for line in run.lines if ": output " not in line]
    changes = [state for state in states if state != "blocked"]
    assert changes[:2] == ["running", "lost"], run.lines
    assert "running" in changes[2:], run.lines
    assert max(b.seconds - a.seconds for a, b in pairwise(seen)) < 4


@pytest.mark.parametrize(("pause", "drops", "state"), [(3, 0, "stalled"), (0, 5, "blocked")])
def test_a_trouble_that_comes_and_goes_is_not_told_each_time(
    tmp_path: Path, pause: int, drops: int, state: str
) -> None:
    """A source that pauses, or too much load, every few seconds: for weeks that is a flood of lines."""
    now = 0.0
    lines: list[str] = []
    settings = CameraSettings("camera", SourceOptions("rtsp://c/s"), (target_of(str(tmp_path / "o.mkv")),))
    fake = cast(Anonymizer, FakeAnonymizer())
    camera = Camera(settings, fake, Journal(False, lines.append), clock=lambda: now)
    feed = SimpleNamespace(last_frame=0.0, last_drop=float("-inf"), flush_seconds=0.7)
    camera._feed = cast(Any, feed)
    camera.status.be(State.RUNNING)
    while now < 100:
        now += 0.25
        if now % 7 >= pause or now > 60:
            feed.last_frame = now
        if drops and now % 7 == 0 and now < 60:
            camera.feed_counts.dropped += drops
            feed.last_drop = now
        camera.look()
    told = [line.split(": ")[2] for line in lines]
    assert told == ["running", state, "running"]
    assert camera.stalls == (9 if pause else 0)


@pytest.mark.slow
def test_the_last_safe_picture_stands_in(tmp_path: Path, stream: list[Chunk]) -> None:
    with (
        StreamServer(stream[:40], after="silence") as server,
        running(server.address, tmp_path / "out.mkv", stub="last", read_seconds=60) as run,
    ):
        assert wait_for(lambda: run.camera.egress_counts.stubs >= 5, 40)
        assert wait_for(lambda: run.camera.status.state is State.STALLED)
        seen = run.seen()
    assert_safe(seen, 6)
    assert max(one.grey for one in seen) < 0.5
    assert run.camera.stalls >= 1


def test_no_raw_frame_is_kept_beyond_the_look_ahead_and_none_without_a_signal(
    tmp_path: Path, stream: list[Chunk], monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: weakref.WeakSet[RawFrame] = weakref.WeakSet()
    most = 0

    def noted(*values: Any) -> RawFrame:
        nonlocal most
        frame = RawFrame(*values)
        alive.add(frame)
        most = max(most, len(alive))
        return frame

    monkeypatch.setattr("streamanon.live.feed.RawFrame", noted)
    fake = FakeAnonymizer(lookahead_seconds=0.4)
    with (
        StreamServer(stream[:60], after="silence") as server,
        running(server.address, tmp_path / "out.mkv", fake, stub="last", read_seconds=60) as run,
    ):
        assert wait_for(lambda: run.camera.egress_counts.stubs >= 3, 60)
        assert wait_for(lambda: gc.collect() >= 0 and not alive, 20), len(alive)
        seen = run.seen()
    assert_safe(seen, 6)
    # The look-ahead and the frames that stages work on or wait with.
    assert 2 <= most <= 10 + MOST_BETWEEN_STAGES, most
    print(most, "raw frames at most")


@pytest.mark.slow
def test_a_source_that_accepts_and_is_silent_is_tried_again(tmp_path: Path) -> None:
    with (
        StreamServer([], after="silence") as server,
        running(server.address, tmp_path / "out.mkv", read_seconds=0.5) as run,
    ):
        assert wait_for(lambda: server.clients >= 2)
        assert run.camera.reconnects["open"] >= 1
        run.camera.stop()
        assert run.camera.join(5)


@pytest.mark.slow
def test_a_source_is_free_when_its_camera_has_ended(tmp_path: Path, stream: list[Chunk]) -> None:
    """One that allows a single client would refuse the camera that a reload puts in its place."""
    closed: list[bool] = []

    class SlowToClose(Connection):
        def __exit__(self, *error: Any) -> None:
            time.sleep(0.5)
            super().__exit__(*error)
            closed.append(True)

    with StreamServer(stream) as server:
        source = SourceOptions(server.address, read_seconds=2.0, open_seconds=2.0)
        settings = CameraSettings("camera", source, (target_of(str(tmp_path / "out.mkv")),))
        fake = cast(Anonymizer, FakeAnonymizer())
        camera = Camera(settings, fake, Journal(False, lambda _line: None), connect=SlowToClose)
        camera.start()
        assert wait_for(lambda: camera.egress_counts.frames >= 2, 40)
        camera.stop()
        assert camera.join(20)
        assert closed == [True]


@pytest.mark.parametrize("rate", [Fraction(15), Fraction(25), Fraction(30)])
def test_a_look_ahead_of_whole_frames_is_not_one_more(rate: Fraction) -> None:
    """A source's clock that is a little off makes each step a little shorter."""
    seconds = live_config(FakeAnonymizer(0.6).config, rate).lookahead.seconds
    smoothing, step = NEIGHBOURS / rate, 1 / rate
    frames = (Fraction(6, 10) - smoothing) / step
    assert frames.denominator == 1
    assert float((frames - 1) * step) * 1.01 < seconds < float(frames * step) * 0.99


def test_the_first_start_is_strict(tmp_path: Path) -> None:
    with running("http://127.0.0.1:1/x.ts", tmp_path / "out.mkv", strict=True) as run:
        assert wait_for(lambda: run.camera.is_over)
        assert "refuses the connection" in str(run.camera.error)


@pytest.mark.slow
def test_giving_up(tmp_path: Path, stream: list[Chunk]) -> None:
    with (
        StreamServer(stream[:30]) as server,
        running(server.address, tmp_path / "out.mkv", give_up_after=1.0) as run,
    ):
        assert wait_for(lambda: run.camera.egress_counts.frames >= 5, 40)
        server.close()
        assert wait_for(lambda: run.camera.is_over, 40)
        assert run.camera.error is not None


def test_a_camera_that_is_to_stop_at_a_fault_ends(tmp_path: Path, stream: list[Chunk]) -> None:
    """By ``cover.on_error``; it was connected again and again."""

    class Failing(ColourSearch):
        passes = 0

        def detect(self, frame: RawFrame, extent: Extent = "next") -> Faces:
            self.passes += 1
            if self.passes > 20:
                raise FaultError("detection failed (ValueError) and cover.on_error is stop")
            return super().detect(frame, extent)

    source = tmp_path / "in.ts"
    source.write_bytes(b"".join(chunk.data for chunk in stream))
    with running(str(source), tmp_path / "a.mkv", FakeAnonymizer(search=Failing())) as run:
        assert wait_for(lambda: run.camera.is_over, 20)
        assert isinstance(run.camera.error, FaultError)
        assert not run.camera.reconnects
        assert any("cover.on_error is stop" in line for line in run.lines)
        assert_safe(look_at(run.path), 1)


@pytest.mark.slow
def test_overload_drops_frames_and_nothing_else(tmp_path: Path, stream: list[Chunk]) -> None:
    slow = FakeAnonymizer(search=ColourSearch(0.12), lookahead_seconds=0.2)
    with StreamServer(stream) as server, running(server.address, tmp_path / "out.mkv", slow) as run:
        assert wait_for(lambda: run.camera.status.state is State.BLOCKED)
        assert run.camera.feed_counts.dropped >= 5
        assert server.clients == 1, "a camera that is blocked must not be connected to again"
        seen = run.seen()
    assert_safe(seen, 5)


@pytest.mark.slow
def test_a_hundred_reconnects_leave_nothing_behind(tmp_path: Path) -> None:
    before = threading.active_count(), len(os.listdir("/proc/self/fd"))
    quick = transport_stream(12, gop=12)
    with pytest.MonkeyPatch.context() as patch, StreamServer(quick, speed=20) as server:
        patch.setattr(backoff, "FIRST_SECONDS", 0.001)
        patch.setattr(backoff, "LONGEST_SECONDS", 0.001)
        with running(server.address, tmp_path / "out.mkv") as run:
            assert wait_for(lambda: server.clients >= 100, 110)
            assert threading.active_count() <= before[0] + 20
            run.camera.stop()
            assert run.camera.join(10)
        assert wait_for(lambda: threading.active_count() <= before[0] + 2)
    assert len(os.listdir("/proc/self/fd")) <= before[1] + 6


def test_a_size_that_changes_in_the_middle(tmp_path: Path) -> None:
    first, second = transport_stream(30), transport_stream(30, size=(480, 360), begin=30)
    with running(recorded(tmp_path / "in.ts", first + second), tmp_path / "out.mkv") as run:
        assert wait_for(lambda: run.camera.is_over, 60)
        assert run.camera.error is None
        seen = run.seen()
    assert_safe(seen, 55)
    assert seen[-1].seconds > 2.2


def test_motion_jpeg_and_hevc(tmp_path: Path) -> None:
    for codec in ("libx265", "mjpeg"):
        chunks = transport_stream(30, codec=codec, container="matroska")
        output = tmp_path / f"{codec}.mkv"
        with running(recorded(tmp_path / f"in-{codec}.mkv", chunks), output) as run:
            assert wait_for(lambda run=run: run.camera.is_over, 60)  # type: ignore[misc]
            assert_safe(run.seen(), 24)
            assert run.camera.context.tally.faces >= 20, codec
            assert run.camera.feed_counts.damaged == 0, dict(run.camera.damage)


@pytest.mark.slow
def test_outputs_are_not_opened_twice_when_one_of_them_cannot_be(
    tmp_path: Path, stream: list[Chunk], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "FIRST_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as taken, StreamServer(stream) as server:
        port = taken.getsockname()[1]
        targets = (target_of(f"hls://{tmp_path}"), target_of(f"mjpeg://127.0.0.1:{port}"))
        settings = CameraSettings("camera", SourceOptions(server.address), targets, strict=False)
        camera = Camera(settings, cast(Anonymizer, FakeAnonymizer()), Journal(False, lambda _: None))
        camera.start()
        try:
            assert wait_for(lambda: camera.reconnects["chain"] >= 2, 40)
            assert not camera.outputs
            taken.close()
            assert wait_for(lambda: camera.egress_counts.frames >= 3, 40)
            assert len(camera.outputs) == 2
        finally:
            camera.stop()
            camera.join(10)
