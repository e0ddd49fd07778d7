"""``streamanon live`` as a process: it ends when told to, reloads what changed, and says how it is."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError

import pytest
from live_scenes import RATE, Chunk, StreamServer, look_at, transport_stream, wait_for
from prometheus_client.parser import text_string_to_metric_families

from streamanon.commands.live import _signals

SUPPORT = Path(__file__).parents[1] / "support"


@pytest.fixture(scope="module")
def stream() -> list[Chunk]:
    return transport_stream(20 * RATE)


@contextmanager
def live(*arguments: object, **more: object) -> Iterator[subprocess.Popen[str]]:
    path = os.pathsep.join([str(SUPPORT), str(SUPPORT.parents[1])])
    process = subprocess.Popen(
        [sys.executable, str(SUPPORT / "live_cli.py"), "live", *map(str, arguments)],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": path},
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def check_metrics(text: str) -> None:
    """As Prometheus' own client reads them."""
    read = {one.name: one for one in text_string_to_metric_families(text)}
    assert read["streamanon_source_frames"].type == "counter"
    assert read["streamanon_source_frames"].samples[0].value > 0
    latency = read["streamanon_latency_seconds"]
    assert latency.type == "histogram"
    buckets = [one for one in latency.samples if one.name.endswith("_bucket")]
    counts = [one.value for one in buckets]
    assert counts == sorted(counts)
    assert buckets[-1].labels["le"] == "+Inf"
    assert counts[-1] == next(one.value for one in latency.samples if one.name.endswith("_count"))


def end(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> tuple[int, str, float]:
    """Exit code, what it said, and how long it took, s."""
    begun = time.monotonic()
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    return process.returncode, said, time.monotonic() - begun


def test_a_term_signal_drains(tmp_path: Path, stream: list[Chunk]) -> None:
    port, output = free_port(), tmp_path / "out.mkv"
    with (
        StreamServer(stream) as server,
        live(server.address, "--to", output, "--log", "json", "--status", port) as process,
    ):
        assert wait_for(lambda: get(port, "/readyz")[0] == 200, 60)
        assert get(port, "/healthz") == (200, "ok\n")
        code, metrics = get(port, "/metrics")
        assert code == 200
        assert 'streamanon_camera_state{camera="camera",state="running"} 1.0' in metrics
        assert f'streamanon_output_up{{camera="camera",output="{output}"}} 1.0' in metrics
        check_metrics(metrics)
        code, said, _ = end(process)
    assert code == 0
    lines = [json.loads(line) for line in said.splitlines()]
    assert [line["event"] for line in lines if "output" not in line["event"]][-2:] == ["ended", "stopped"]
    assert "Traceback" not in said
    seen = look_at(output)
    assert len(seen) > 5
    assert not any(one.raw for one in seen)


def test_a_camera_that_is_away_is_an_error_at_the_first_start(tmp_path: Path) -> None:
    address = f"rtsp://user:secret@127.0.0.1:{free_port()}/s"
    with live(address, "--to", tmp_path / "out.mkv", "--log", "json") as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    *_, line = said.splitlines()
    assert "refuses the connection; check that the server runs" in json.loads(line)["reason"]
    assert "secret" not in said
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_an_output_that_never_took_a_picture_is_an_error(tmp_path: Path, stream: list[Chunk]) -> None:
    target, good = f"rtmp://127.0.0.1:{free_port()}/app/hidden", tmp_path / "good.mkv"
    with (
        StreamServer(stream) as server,
        live(server.address, "--to", target, "--to", good, "--duration", "10s") as process,
    ):
        _, said = process.communicate(timeout=90)
    assert process.returncode == 2, said
    assert "/*** is not complete: Connection refused" in said.splitlines()[-1]
    assert "hidden" not in said
    assert look_at(good)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files by prlimit")
def test_a_file_that_cannot_grow_is_told_and_the_other_output_goes_on(
    tmp_path: Path, stream: list[Chunk]
) -> None:
    """As on a full disk: its system refuses to write more."""
    full = tmp_path / "full.mkv"
    with StreamServer(stream) as server:
        outputs = ("--to", full, "--to", f"hls://{tmp_path}/hls", "--duration", "8s")
        with live(server.address, *outputs) as process:
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (20_000, 20_000))
            _, said = process.communicate(timeout=120)
    assert process.returncode == 2, said
    assert f"{full} is not complete: File too large" in said.splitlines()[-1]
    assert sum("output ended" in line and "full.mkv" in line for line in said.splitlines()) == 1, said
    assert "Traceback" not in said
    partial = tmp_path / "full.partial.mkv"
    assert not any(one.raw for one in look_at(partial))
    assert not any(one.raw for one in look_at(tmp_path / "hls" / "index.m3u8"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give a source and at least one --to"),
        (("rtsp://c/s",), "has no output"),
        (("rtsp://c/s", "--to", "x.avi"), "cannot write x.avi"),
        (("--config", "no.yaml"), "cannot read the site file no.yaml"),
        (("--config", "no.yaml", "--crf", "20"), "leave the other settings out"),
        (("rtsp://c/s", "--to", "udp://h:1", "--status", "x"), "takes HOST:PORT"),
        (("rtsp://c/s", "--to", "udp://h:1", "--duration", "soon"), "takes a duration"),
    ],
)
def test_what_is_asked_wrongly(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from streamanon.cli import main

    assert main(["live", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_check_starts_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from streamanon.cli import main

    path = tmp_path / "site.yaml"
    path.write_text(f"cameras: {{a: {{source: 'rtsp://c/s', to: 'hls://{tmp_path}/a'}}}}")
    assert main(["live", "--check", str(path)]) == 0
    assert "1 camera, no fault found" in capsys.readouterr().out
    path.write_text("cameras: {a: {source: 'rtsp://c/s', too: x}, b: {}}")
    assert main(["live", "--check", str(path)]) == 2


def test_a_terminal_that_is_closed_ends_one_camera_and_reloads_many() -> None:
    """It went on, sending a camera's picture to the net with nobody to see."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        with _signals(reloads=False) as flags:
            signal.raise_signal(signal.SIGHUP)
            assert flags.stop == signal.SIGHUP
        with _signals(reloads=True) as flags:
            signal.raise_signal(signal.SIGHUP)
            assert (flags.stop, flags.reload) == (0, True)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
        with _signals(reloads=False) as flags:
            signal.raise_signal(signal.SIGHUP)
            assert flags.stop == 0
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.slow
def test_a_hanging_camera_does_not_keep_the_process(tmp_path: Path) -> None:
    with (
        StreamServer([], after="silence") as server,
        live(server.address, "--to", tmp_path / "out.mkv") as process,
    ):
        assert wait_for(lambda: server.clients > 0, 60)
        code, said, seconds = end(process)
    assert seconds < 15
    assert code == 2
    assert "out.mkv: not written, as the end came before the first picture" in said
    assert not list(tmp_path.iterdir())
    assert "Traceback" not in said


@pytest.mark.parametrize(("target", "code"), [("x.mkv", 2), ("udp://127.0.0.1:9", 0)])
def test_ctrl_c_while_models_are_loaded_ends_at_once(
    target: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No camera has begun: nothing can be lost, but a recording that was asked for is not there."""
    from streamanon.cli import main
    from streamanon.commands import live as command
    from streamanon.live.service import Service

    monkeypatch.setattr(Service, "load", lambda _service, _plans: signal.raise_signal(signal.SIGINT))
    monkeypatch.setattr(command, "_left", lambda _in_time, code: code)
    assert main(["live", "rtsp://127.0.0.1:9/s", "--to", target]) == code
    assert capsys.readouterr().err.splitlines()[-1] == "streamanon: all: stopped: before any camera began"


@pytest.mark.slow
def test_one_camera_is_reloaded_and_the_other_goes_on(tmp_path: Path, stream: list[Chunk]) -> None:
    port, site, address = free_port(), tmp_path / "site.yaml", tmp_path / "address"

    def write(name: str, extra: str = "") -> None:
        site.write_text(
            f"status: 127.0.0.1:{port}\ncameras:\n"
            f"  one: {{source: '{first.address}', to: '{tmp_path}/one.mkv'}}\n"
            f"  two: {{source: '@{address}', to: '{tmp_path}/{name}-%s-%S.mkv'{extra}}}\n"
        )

    with StreamServer(stream) as first, StreamServer(stream) as second, StreamServer(stream) as third:
        address.write_text(second.address)
        write("two")
        with live("--config", site) as process:
            assert wait_for(lambda: get(port, "/readyz")[0] == 200, 80)
            write("three")
            assert wait_for(lambda: second.clients == 2, 30)
            assert wait_for(lambda: get(port, "/readyz")[0] == 200, 60)
            assert first.clients == 1
            address.write_text(third.address)
            process.send_signal(signal.SIGHUP)
            assert wait_for(lambda: third.clients == 1, 30)
            write("four", ", audio: loud")
            process.send_signal(signal.SIGHUP)
            time.sleep(2)
            assert first.clients == 1
            assert process.poll() is None
            code, said, _ = end(process)
        assert (first.clients, second.clients, third.clients) == (1, 2, 1)
    assert code == 0
    assert said.count("streamanon: two: reloaded") == 2, "its section, and the file with its address"
    assert "not reloaded: cameras.two.audio must be one of" in said
    written = sorted(tmp_path.glob("*.mkv"))
    assert {path.name.split("-")[0] for path in written} == {"one.mkv", "two", "three"}
    assert not any(one.raw for path in written for one in look_at(path))


@pytest.mark.slow
def test_one_failing_camera_leaves_the_other_alone(tmp_path: Path, stream: list[Chunk]) -> None:
    site = tmp_path / "site.yaml"
    with StreamServer(stream) as server:
        site.write_text(
            "status: null\ncameras:\n"
            f"  good: {{source: '{server.address}', to: '{tmp_path}/good.mkv'}}\n"
            f"  bad: {{source: 'http://127.0.0.1:{free_port()}/s', to: '{tmp_path}/bad.mkv'}}\n"
        )
        with live("--config", site, "--log", "json") as process:
            partial = tmp_path / "good.partial.mkv"
            assert wait_for(lambda: partial.exists() and partial.stat().st_size > 20_000, 80)
            code, said, _ = end(process)
    assert code == 0
    assert len(look_at(tmp_path / "good.mkv")) > 5
    events = [json.loads(line) for line in said.splitlines()]
    lost = [one for one in events if one["camera"] == "bad" and one["event"] == "lost"]
    assert 1 <= len(lost) <= 12
    assert "refuses the connection" in lost[0]["reason"]


@pytest.mark.slow
def test_a_camera_is_recorded_for_a_while(tmp_path: Path, stream: list[Chunk]) -> None:
    output, report = tmp_path / "out.mp4", tmp_path / "report.json"
    path = os.pathsep.join([str(SUPPORT), str(SUPPORT.parents[1])])
    with StreamServer(stream) as server:
        command = [sys.executable, str(SUPPORT / "live_cli.py"), "run", server.address, "-o", str(output)]
        done = subprocess.run(
            [*command, "--duration", "2s", "--report", str(report)],
            capture_output=True,
            text=True,
            timeout=100,
            env=os.environ | {"PYTHONPATH": path},
        )
        assert server.clients == 1, "one connection gives all"
    assert done.returncode == 0, done.stderr
    seen = look_at(output)
    assert seen[-1].seconds <= 2.1
    assert len(seen) >= 5
    assert not any(one.raw for one in seen)
    assert json.loads(report.read_text())["face_frames"]["all"] >= 5


def test_a_duration_is_for_cameras(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from streamanon.cli import main

    assert main(["run", "in.mp4", "-o", "out.mp4", "--duration", "5s"]) == 2
    assert "--duration is for cameras" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--recursive",), "--recursive has no effect on the recording of a camera"),
        (("--skip-existing",), "--skip-existing has no effect on the recording of a camera"),
        (("--subtitles", "copy"), "--subtitles has no effect on the recording of a camera"),
        (("--keep-metadata",), "--keep-metadata has no effect on the recording of a camera"),
        (("-o", "-", "--format", "mpegts"), "--duration records into a file: give -o FILE"),
        (("--report", "out.mp4"), "the report out.mp4 is out.mp4 itself"),
        (("--identity-key", "out.mp4"), "the output out.mp4 is a file that this run reads"),
    ],
)
def test_a_recording_refuses_what_it_cannot_do(
    options: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from streamanon.cli import main

    command = ["run", "rtsp://127.0.0.1:1/x", "-o", "out.mp4", "--duration", "5s"]
    assert main([*command, *options]) == 2
    assert words in capsys.readouterr().err
