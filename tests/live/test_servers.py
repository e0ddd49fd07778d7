"""Against real servers: RTSP in and out, RTMP, HLS, SRT, UDP; killed, frozen and brought back. What leaves
shows no raw face.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Literal

import av
import av.error
import pytest
from live_scenes import RATE, Chunk, look_at, transport_stream, wait_for
from live_servers import free_port, nginx, prometheus, rtsp, workers

from streamanon.errors import SourceError
from streamanon.live import connection
from streamanon.live.acknowledged import ANSWER_PACKETS, SURE_ANSWERS
from streamanon.live.connection import READ_SECONDS, Connection, Got, SourceOptions

pytestmark = pytest.mark.slow
SUPPORT = Path(__file__).parents[1] / "support"


@pytest.fixture(scope="module")
def stream() -> list[Chunk]:
    return transport_stream(20 * RATE)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory, stream: list[Chunk]) -> Path:
    path = tmp_path_factory.mktemp("stream") / "in.ts"
    path.write_bytes(b"".join(chunk.data for chunk in stream))
    return path


class Process:
    """``streamanon live`` with fake faces; its lines as they come."""

    def __init__(self, *arguments: object) -> None:
        path = os.pathsep.join([str(SUPPORT), str(SUPPORT.parents[1])])
        self.process = subprocess.Popen(
            [sys.executable, str(SUPPORT / "live_cli.py"), "live", *map(str, arguments)],
            text=True,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": path},
        )
        self.lines: list[str] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip())

    def says(self, text: str, seconds: float = 60.0, times: int = 1) -> bool:
        return wait_for(lambda: sum(text in line for line in self.lines) >= times, seconds)

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        self._thread.join(5)
        assert not any("Traceback" in line for line in self.lines), self.lines
        return code


@contextmanager
def live(*arguments: object) -> Iterator[Process]:
    one = Process(*arguments)
    try:
        yield one
    finally:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()
        one._thread.join(5)
        if one.process.stderr is not None:
            one.process.stderr.close()


def assert_safe(path: Path, least: int) -> None:
    seen = look_at(path)
    assert len(seen) >= least
    assert sum(one.raw for one in seen) == 0


def test_rtsp_in_and_out_with_a_password(tmp_path: Path, recording: Path) -> None:
    port, output = free_port(), tmp_path / "out.mkv"
    source = tmp_path / "in.ts"
    shutil.copy(recording, source)
    login = f"rtsp://user:p@ss/w#rd@127.0.0.1:{port}"
    with (
        rtsp(source, port, "user", "p@ss/w#rd"),
        live(f"{login}/live", "--to", output, "--to", f"{login}/in", "--duration", "6s") as one,
    ):
        assert one.process.wait(90) == 0
        one._thread.join(5)
    assert "w#rd" not in str(one.lines)
    assert_safe(output, 5)
    assert_safe(tmp_path / "in.ts.recorded", 10)


def test_a_wrong_password_is_told(tmp_path: Path, recording: Path) -> None:
    port = free_port()
    with (
        rtsp(recording, port, "user", "right"),
        live(f"rtsp://user:wrong@127.0.0.1:{port}/live", "--to", tmp_path / "out.mkv") as one,
    ):
        assert one.process.wait(60) == 2
        one._thread.join(5)
    assert "refuses the user name or password" in str(one.lines)
    assert "wrong" not in str(one.lines)


def test_rtsp_by_udp(tmp_path: Path, recording: Path) -> None:
    port, output = free_port(), tmp_path / "out.mkv"
    address = f"rtsp://127.0.0.1:{port}/live"
    how = ("--rtsp-transport", "udp", "--duration", "4s")
    with rtsp(recording, port), live(address, "--to", output, *how) as one:
        assert one.process.wait(90) == 0, one.lines
    assert_safe(output, 5)


def test_rtp_times_that_wrap(tmp_path: Path, recording: Path) -> None:
    """Its count of 32 bits is over after 7 seconds' time."""
    port, output = free_port(), tmp_path / "out.mkv"
    address = f"rtsp://127.0.0.1:{port}/live"
    with (
        rtsp(recording, port, payloader="timestamp-offset=4294700000"),
        live(address, "--to", output, "--duration", "9s") as one,
    ):
        assert one.process.wait(90) == 0, one.lines
    assert_safe(output, 20)
    times = [seen.seconds for seen in look_at(output)]
    assert times[-1] < 10
    assert max(b - a for a, b in pairwise(times)) < 3 + _patience()


def test_lost_access_units_show_nothing_raw(tmp_path: Path, recording: Path) -> None:
    port, output, status = free_port(), tmp_path / "out.mkv", free_port()
    address = f"rtsp://127.0.0.1:{port}/live"
    with (
        rtsp(recording, port, elements="identity drop-probability=0.05 !"),
        live(address, "--to", output, "--status", status) as one,
    ):
        assert one.says("camera: running")
        assert wait_for(lambda: _metric(status, "streamanon_damaged_frames_total") >= 20, 90), one.lines
        assert one.end() == 0
    assert_safe(output, 5)


def test_an_rtsp_server_that_freezes_is_lost_in_time(tmp_path: Path, recording: Path) -> None:
    """FFmpeg lets go a picture that it held back at its time-out, as if the server still sent."""
    port, output = free_port(), tmp_path / "out.mkv"
    with rtsp(recording, port) as server, live(f"rtsp://127.0.0.1:{port}/live", "--to", output) as one:
        assert one.says("camera: running")
        time.sleep(2)
        server.send_signal(signal.SIGSTOP)
        begun = time.monotonic()
        assert one.says("camera: lost", 40)
        took = time.monotonic() - begun
        server.send_signal(signal.SIGCONT)
        assert one.says("camera: running", 40, times=2), one.lines
        assert one.end() == 0
    assert took < READ_SECONDS + 3 + _patience(), f"{took:.1f} s"
    assert_safe(output, 5)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("away", [1, 10, 90])
def test_an_rtsp_server_that_is_killed_and_comes_back(tmp_path: Path, recording: Path, away: int) -> None:
    port, output = free_port(), tmp_path / "out.mkv"
    with rtsp(recording, port), live(f"rtsp://127.0.0.1:{port}/live", "--to", output) as one:
        assert one.says("camera: running")
        time.sleep(2)
        _kill_rtsp(port)
        assert one.says("camera: lost", 20)
        time.sleep(away)
        with rtsp(recording, port):
            begun = time.monotonic()
            assert one.says("camera: running", 30, times=2), one.lines
            took = time.monotonic() - begun
            time.sleep(1)
            assert one.end() == 0
    print(f"away for {away} s, back {took:.1f} s after its return")
    assert took < 5 + _patience(), f"{took:.1f} s"
    assert_safe(output, 5)


def test_an_rtsp_server_that_is_killed_ten_times(tmp_path: Path, recording: Path) -> None:
    port, output, status = free_port(), tmp_path / "out.mkv", free_port()
    took = []
    with live(recording, "--realtime", "--to", tmp_path / "x.mkv", "--duration", "1s") as one:
        one.process.wait(60)  # the modules are then in the system's memory
    with ExitStack() as stack:
        server = stack.enter_context(rtsp(recording, port))
        address = f"rtsp://127.0.0.1:{port}/live"
        one = stack.enter_context(live(address, "--to", output, "--status", status))
        assert one.says("camera: running")
        before = _handles(one.process.pid)
        for number in range(10):
            server.kill()
            assert one.says("camera: lost", 30, times=number + 1), one.lines
            server = stack.enter_context(rtsp(recording, port))
            begun = time.monotonic()
            assert one.says("camera: running", 60, times=number + 2), one.lines
            took.append(time.monotonic() - begun)
        after = _handles(one.process.pid)
        assert one.end() == 0
    print("back after, s:", ", ".join(f"{one:.1f}" for one in took), "handles:", before, after)
    assert max(took) < 5 + _patience()
    assert after[0] == before[0], "its processes"
    assert after[1] <= before[1] + 2, "its descriptors"
    assert after[2] <= before[2] + 2, "its threads"
    assert_safe(output, 20)


def _handles(process: int) -> tuple[int, int, int]:
    """Children, descriptors and threads of a process."""
    threads = list(Path(f"/proc/{process}/task").iterdir())
    children = [one for thread in threads for one in (thread / "children").read_text().split()]
    return len(children), len(list(Path(f"/proc/{process}/fd").iterdir())), len(threads)


def _metric(status: int, name: str) -> float:
    text = urllib.request.urlopen(f"http://127.0.0.1:{status}/metrics", timeout=10).read().decode()
    lines = [line for line in text.splitlines() if line.startswith(f"{name}{{")]
    return sum(float(line.split()[-1]) for line in lines)


def _kill_rtsp(port: int) -> None:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if any(b"rtsp_server.py" in part for part in line) and str(port).encode() in line:
                os.kill(int(entry.name), signal.SIGKILL)


def _patience() -> float:
    """More seconds where the machine is busy."""
    return 4.0 * max(0.0, os.getloadavg()[0] / (os.cpu_count() or 1) - 1)


def test_rtmp_out_and_in_again_and_hls_by_http(tmp_path: Path, recording: Path) -> None:
    hls, second = tmp_path / "hls", tmp_path / "second.mkv"
    with nginx(tmp_path) as (rtmp_port, http_port, _):
        address = f"rtmp://127.0.0.1:{rtmp_port}/app/key"
        source = (recording, "--realtime", "--loop")
        with live(*source, "--to", address, "--to", f"hls://{hls}") as first:
            assert first.says(f"output running, to rtmp://127.0.0.1:{rtmp_port}/")
            assert wait_for(lambda: (hls / "index.m3u8").exists(), 30)
            with live(address, "--to", second, "--duration", "4s") as other:
                assert other.process.wait(90) == 0, other.lines
            moved = f"http://127.0.0.1:{http_port}/moved/hls/index.m3u8"
            with live(moved, "--to", tmp_path / "third.mkv", "--duration", "4s") as other:
                assert other.process.wait(90) == 0, other.lines
            assert first.end() == 0
    assert_safe(second, 5)
    assert_safe(tmp_path / "third.mkv", 5)
    assert "app/key" not in str(first.lines)


def test_rtmp_whose_next_key_frame_is_far(tmp_path: Path) -> None:
    """Until then nginx sends sound alone. OBS makes a key frame every 10 s if it is left the choice."""
    far = 4 * RATE
    source = tmp_path / "in.flv"
    chunks = transport_stream(3 * far, gop=far, audio=True, container="flv")
    source.write_bytes(b"".join(chunk.data for chunk in chunks))
    with nginx(tmp_path) as (port, _, _), _publishing(source, f"rtmp://127.0.0.1:{port}/app/key"):
        time.sleep(1)
        with Connection(SourceOptions(f"rtmp://127.0.0.1:{port}/app/key")) as opened:
            assert opened.has_sound
            first = next(got for got in opened.read(lambda: False) if isinstance(got, Got))
    assert not first.damaged


def test_rtmp_with_sound_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LATE_VIDEO_SECONDS", 1.0)
    source = tmp_path / "in.flv"
    chunks = transport_stream(8 * RATE, audio=True, container="flv")
    source.write_bytes(b"".join(chunk.data for chunk in chunks))
    address = "rtmp://127.0.0.1:{}/app/key"
    with nginx(tmp_path) as (port, _, _), _publishing(source, address.format(port), "audio"):
        time.sleep(1)
        with pytest.raises(SourceError, match="sound but no picture for 1 seconds"):
            Connection(SourceOptions(address.format(port)))


@contextmanager
def _publishing(source: Path, address: str, *kinds: Literal["video", "audio"]) -> Iterator[None]:
    """Sends a file to a server at its own speed. ``kinds``: of streams, by default all."""
    stop = threading.Event()

    def run() -> None:
        with (
            suppress(av.error.FFmpegError),
            av.open(str(source)) as read,
            av.open(address, "w", format="flv") as sent,
        ):
            streams = [one for one in read.streams if not kinds or one.type in kinds]
            made = {one.index: sent.add_stream_from_template(one) for one in streams}
            begun = time.monotonic()
            for packet in read.demux(streams):
                if packet.dts is None or stop.wait(max(0, begun + packet.dts / 1000 - time.monotonic())):
                    return
                packet.stream = made[packet.stream_index]
                sent.mux_one(packet)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)


def test_a_frozen_server_costs_the_other_output_no_frame(tmp_path: Path, recording: Path) -> None:
    good = tmp_path / "good.mkv"
    with nginx(tmp_path) as (rtmp_port, _, server):
        # Its worker is stopped: the system takes connections, and nobody answers.
        assert wait_for(lambda: bool(workers(server.pid)))
        for pid in workers(server.pid):
            os.kill(pid, signal.SIGSTOP)
        target = f"rtmp://127.0.0.1:{rtmp_port}/app/key"
        with live(recording, "--realtime", "--loop", "--to", target, "--to", good) as one:
            assert one.says("camera: running")
            assert one.says("output lost", 90), one.lines
            assert one.says("no progress", 1)
            for pid in workers(server.pid):
                os.kill(pid, signal.SIGCONT)
            assert one.says("output running, to rtmp", 90), one.lines
            begun = time.monotonic()
            assert one.end() == 0
            assert time.monotonic() - begun < 20
    seen = look_at(good)
    assert sum(one.raw for one in seen) == 0
    steps = [b.seconds - a.seconds for a, b in pairwise(seen)]
    assert max(steps) < 1.5, "the output beside a frozen one paused"


def test_a_server_that_freezes_in_the_middle_is_noticed_in_time(tmp_path: Path, recording: Path) -> None:
    """Buffers at this end and the other would take a small stream for minutes: no call waits for the
    server. But it was asked to say what it reads.
    """
    good, status = tmp_path / "good.mkv", free_port()
    with nginx(tmp_path) as (rtmp_port, _, server):
        outputs = ("--to", f"rtmp://127.0.0.1:{rtmp_port}/app/key", "--to", good)
        with live(recording, "--realtime", "--loop", *outputs, "--status", status) as one:
            assert one.says("output running, to rtmp", 60)
            sure = 3 * SURE_ANSWERS * ANSWER_PACKETS
            assert wait_for(lambda: _published(status, "rtmp") >= sure, 90)
            for pid in workers(server.pid):
                os.kill(pid, signal.SIGSTOP)
            begun = time.monotonic()
            assert one.says("the server took nothing for 5 seconds", 90), one.lines
            took = time.monotonic() - begun
            assert one.end() == 0
    seen = look_at(good)
    rate = good.stat().st_size / (seen[-1].seconds - seen[0].seconds)
    print(f"noticed after {took:.1f} s at {8 * rate / 1000:.0f} kbit/s")
    assert took < 15 + 3 * _patience()
    assert sum(one.raw for one in seen) == 0
    assert max(b.seconds - a.seconds for a, b in pairwise(seen)) < 1.5


def _published(status: int, scheme: str) -> float:
    """Packets that outputs to such addresses took, by the metrics."""
    text = urllib.request.urlopen(f"http://127.0.0.1:{status}/metrics", timeout=10).read().decode()
    lines = [line for line in text.splitlines() if line.startswith("streamanon_output_packets_total")]
    return sum(float(line.split()[-1]) for line in lines if f'output="{scheme}:' in line)


def test_srt_in_and_out(tmp_path: Path, recording: Path) -> None:
    if shutil.which("srt-live-transmit") is None:
        pytest.skip("srt-live-transmit is not installed (srt-tools)")
    port = free_port(socket.SOCK_DGRAM)
    output = tmp_path / "out.mkv"
    receiver = live(f"srt://127.0.0.1:{port}?mode=listener", "--to", output, "--duration", "4s")
    sender_target = f"srt://127.0.0.1:{port}"
    with receiver as taking, live(recording, "--realtime", "--loop", "--to", sender_target) as sending:
        assert taking.process.wait(100) == 0, (taking.lines, sending.lines)
        sending.end()
    assert_safe(output, 5)


def test_a_killed_process_leaves_no_listener_for_srt_behind(tmp_path: Path) -> None:
    """It would keep the port, and the next start would fail."""
    if shutil.which("srt-live-transmit") is None:
        pytest.skip("srt-live-transmit is not installed (srt-tools)")
    address = f"srt://127.0.0.1:{free_port(socket.SOCK_DGRAM)}?mode=listener"

    def listeners() -> list[bytes]:
        lines = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                lines.append(path.read_bytes())
        return [line for line in lines if line.startswith(b"srt-live") and address.encode() in line]

    with live(address, "--to", tmp_path / "out.mkv") as one:
        assert wait_for(lambda: len(listeners()) == 1, 30)
        one.process.kill()
        one.process.wait()
        assert wait_for(lambda: not listeners(), 10)


def test_udp_in_and_out(tmp_path: Path, recording: Path) -> None:
    port, output = free_port(socket.SOCK_DGRAM), tmp_path / "out.mkv"
    target = f"udp://127.0.0.1:{port}"
    with live(recording, "--realtime", "--loop", "--to", target) as sending:
        assert sending.says("output running")
        with live(target, "--to", output, "--duration", "4s") as taking:
            assert taking.process.wait(100) == 0, (taking.lines, sending.lines)
        sending.end()
    assert_safe(output, 5)


def test_a_browsers_view(tmp_path: Path, recording: Path) -> None:
    port, output = free_port(), tmp_path / "out.mkv"
    with live(recording, "--realtime", "--loop", "--to", f"mjpeg://127.0.0.1:{port}") as sending:
        assert sending.says("output running")
        with live(f"http://127.0.0.1:{port}/", "--to", output, "--duration", "4s") as taking:
            assert taking.process.wait(100) == 0, (taking.lines, sending.lines)
        sending.end()
    assert_safe(output, 10)


def test_prometheus_takes_the_metrics(tmp_path: Path, recording: Path) -> None:
    if shutil.which("prometheus") is None or shutil.which("promtool") is None:
        pytest.skip("prometheus is not installed")
    port = free_port()
    with live(recording, "--realtime", "--loop", "--to", tmp_path / "out.mkv", "--status", port) as one:
        assert one.says("camera: running")
        text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read()
        with prometheus(tmp_path, port) as ask:
            running = 'streamanon_camera_state{camera="camera",state="running"}'
            assert wait_for(lambda: ask(running) == [1.0], 60)
            assert wait_for(lambda: ask("rate(streamanon_source_frames_total[10s]) > 5") != [], 60)
            assert wait_for(lambda: ask("streamanon_output_age_seconds < 5") != [], 30)
            assert len(ask("streamanon_waiting_frames")) == 2
            unanswered = set(_dashboard_questions())

            def all_answered() -> bool:
                unanswered.difference_update([one for one in unanswered if ask(one)])
                # What has no events has no series.
                return all(re.search("reconnects|damage|load_steps", one) for one in unanswered)

            assert wait_for(all_answered, 60), unanswered
        one.end()
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, timeout=60, check=False
    )
    assert b"error while linting" not in done.stderr, done.stderr
    assert b"parse" not in done.stderr.lower(), done.stderr


def _dashboard_questions() -> list[str]:
    dashboard = Path(__file__).parents[2] / "docs" / "deploy" / "grafana.json"
    panels = json.loads(dashboard.read_text())["panels"]
    return [target["expr"].replace("$camera", ".*") for panel in panels for target in panel["targets"]]


def test_g711_becomes_aac(tmp_path: Path) -> None:
    source, output = tmp_path / "in.mov", tmp_path / "out.mp4"
    import numpy as np
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.video.stream import VideoStream
    from live_scenes import SIZE, scene, video_frame

    with av.open(str(source), "w") as made:
        video = made.add_stream("libx264", rate=RATE, options={"preset": "ultrafast"})
        audio = made.add_stream("pcm_mulaw", rate=8000, layout="mono")
        assert isinstance(video, VideoStream)
        assert isinstance(audio, AudioStream)
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        for raw in scene(75):
            made.mux(video.encode(video_frame(raw, raw.index * 3600)))
            wave = (8000 * np.sin(np.arange(320) / 4)).astype(np.int16)[None]
            frame = AudioFrame.from_ndarray(wave, format="s16", layout="mono")
            frame.sample_rate, frame.pts = 8000, raw.index * 320
            made.mux(audio.encode(frame))
        made.mux(video.encode(None))
    with live(source, "--to", output) as one:
        assert one.process.wait(100) == 0, one.lines
    with av.open(str(output)) as opened:
        assert opened.streams.audio[0].codec_context.name == "aac"
        heard = sum(float(np.abs(frame.to_ndarray()).mean()) > 0.05 for frame in opened.decode(audio=0))
    assert heard > 50
    assert_safe(output, 74)
