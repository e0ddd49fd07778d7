"""Faults around the chain, through the command line: damaged input, full disks, closed pipes, signals."""

from __future__ import annotations

import fcntl
import os
import random
import re
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from av.packet import Packet
from clips import packets
from faulty import BREAKS_AT, COUNT, SOURCE, TRUTH, write_faces

from streamanon.media.decode import read_frames
from streamanon.media.output_file import partial_path
from streamanon.media.probe import probe
from streamanon.testing.fakes import FakeSource, leaked_pixels

SUPPORT = Path(__file__).parents[1] / "support"
COVER = ("--method", "mosaic", "--backend", "onnxruntime", "--set", "lookahead.seconds=0.48")


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_faces(tmp_path_factory.mktemp("faces") / "faces.mp4")


def start(fault: str, *arguments: object, **more: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(SUPPORT / "faulty.py"), fault, *map(str, arguments)],
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(SUPPORT), str(SUPPORT.parents[1])])},
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more,
    )


def run(fault: str, *arguments: object, **more: Any) -> tuple[int, str, str]:
    with start(fault, "run", *arguments, *COVER, **more) as process:
        out, err = process.communicate(timeout=60)
    assert "Traceback" not in f"{out}{err}"
    return process.returncode, out, err


def check(path: Path, least: int) -> int:
    """That a file plays and shows no face, and how many frames it has; their times tell which they are."""
    count = 0
    for frame in read_frames(path, probe(path)):
        count += 1
        assert leaked_pixels(frame.picture, SOURCE.boxes(round(frame.pts_seconds * 25)), 40) == 0, frame.pts
    assert count >= least
    return count


def test_the_check_finds_a_face(faces: Path) -> None:
    with pytest.raises(AssertionError):
        check(faces, COUNT)


def test_errors_are_covered_and_told_in_one_line(faces: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    code, _, err = run("error", faces, "-o", output, "--quiet")
    said = re.fullmatch(r"streamanon: (.*): (\d+) frames: detection failed \(RuntimeError\)\n", err)
    assert said, err
    assert said[1] == str(output)
    # Of a still picture every sixth frame is searched, until one fails.
    assert COUNT - BREAKS_AT - 6 < int(said[2]) <= COUNT - BREAKS_AT
    assert code == 0
    assert check(output, COUNT) == COUNT


@pytest.mark.slow
def test_stop_finishes_what_was_done(faces: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    code, out, err = run("error", faces, "-o", output, "--on-error", "stop")
    assert (code, out) == (2, "")
    assert (
        err == f"streamanon: detection failed (RuntimeError) and cover.on_error is stop; "
        f"the finished part is in {partial_path(output)}\n"
    )
    assert check(partial_path(output), 20) < BREAKS_AT


def test_a_stage_that_hangs_ends_the_run(faces: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    code, _, err = run("hang", faces, "-o", output)
    assert code == 2
    assert err.startswith("streamanon: stage detect stalled")
    assert err.count("\n") == 1
    assert check(partial_path(output), 20) < BREAKS_AT


def stuck(err: str) -> bool:
    left = r"(; the finished part is in \S+\.partial\.\w+)?"
    return bool(re.fullmatch(rf"streamanon: stage encode stalled: no frame for \d+ seconds{left}\n", err))


@pytest.mark.slow
@pytest.mark.parametrize("step", ["close", "encoder"])
def test_a_writer_that_hangs_ends_the_run(step: str, faces: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    code, out, err = run(step, faces, "-o", output, "--set", "output.preset=ultrafast")
    assert (code, out) == (2, "")
    assert stuck(err)
    assert check(partial_path(output), 50) < COUNT


@pytest.mark.slow
def test_a_reader_who_stops_reading_ends_the_run(faces: Path, tmp_path: Path) -> None:
    """The writer hangs in the system, with the pipe full: what is in it plays."""
    pipe, read = tmp_path / "out.ts", tmp_path / "read.ts"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    code, out, err = run("pipe", faces, "-o", pipe, "--crf", 0, "--set", "output.preset=ultrafast")
    with open(reader, "rb") as opened:
        read.write_bytes(opened.read())
    assert (code, out) == (2, "")
    assert stuck(err)
    assert check(read, 1) < COUNT


@pytest.mark.slow
def test_a_reader_who_stops_before_the_end_ends_the_run(tmp_path: Path) -> None:
    """The whole of this file is written as it is closed."""
    source = write_faces(tmp_path / "short.mp4", FakeSource(40, 200, 120, TRUTH))
    pipe = tmp_path / "out.mp4"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    code, out, err = run("pipe", source, "-o", pipe, "--crf", 0)
    os.close(reader)
    assert (code, out) == (2, "")
    assert stuck(err)


@pytest.mark.slow
def test_a_pipe_that_nobody_reads_ends_the_run(faces: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "out.ts")
    code, out, err = run("pipe", faces, "-o", tmp_path / "out.ts")
    assert (code, out) == (2, "")
    assert stuck(err)


def test_sigterm_finishes_the_file(faces: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mkv"
    code, out, err = run("terminate", faces, "-o", output)
    assert code == 128 + signal.SIGTERM
    assert "finishing the file" in err
    assert "stopped early" in out
    assert check(output, 10) < COUNT


@pytest.mark.slow
def test_a_killed_run_leaves_covered_frames(faces: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    code, _, _ = run("kill", faces, "-o", output, "--set", "output.preset=ultrafast")
    assert code == -signal.SIGKILL
    assert check(partial_path(output), 50) < COUNT


@pytest.mark.slow
def test_where_nothing_was_ever_looked_at_the_job_is_not_done(faces: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    code, _, err = run("broken", faces, "-o", output)
    assert code == 2
    assert f"{COUNT} frames: detection failed" in err
    assert check(output, COUNT) == COUNT


def _limited(size: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


SLOW = pytest.mark.slow


@pytest.mark.slow
@pytest.mark.parametrize(
    "suffix", [".mp4", pytest.param(".mkv", marks=SLOW), pytest.param(".ts", marks=SLOW)]
)
def test_a_disk_that_fills_up(suffix: str, faces: Path, tmp_path: Path) -> None:
    output = tmp_path / f"out{suffix}"
    whole = run("nothing", faces, "-o", output, "--crf", 5)
    assert whole[0] == 0
    size = output.stat().st_size * 7 // 10
    code, out, err = run(
        "nothing", faces, "-o", output, "--overwrite", "--crf", 5, preexec_fn=_limited(size)
    )
    assert (code, out) == (2, "")
    assert "File too large; check the disk" in err
    assert err.count("\n") == 1
    assert check(output, COUNT) == COUNT
    assert check(partial_path(output), 40) < COUNT


def test_a_reader_who_goes_away(faces: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "out.ts"
    os.mkfifo(pipe)

    def read_a_little() -> None:
        with pipe.open("rb") as opened:
            opened.read(3000)

    reader = threading.Thread(target=read_a_little)
    reader.start()
    code, _, err = run("nothing", faces, "-o", pipe, "--crf", 5)
    reader.join()
    assert code == 2
    assert "Broken pipe" in err
    assert pipe.is_fifo()


@pytest.mark.parametrize(
    ("streams", "given", "code"),
    [
        (">/dev/full 2>/dev/full", False, 2),
        pytest.param(">&- 2>&- <&-", True, 0, marks=SLOW),
        pytest.param(">/dev/full 2>/dev/full", True, 0, marks=SLOW),
        pytest.param("| true", True, 0, marks=SLOW),
        pytest.param(">&- 2>&- <&-", False, 2, marks=SLOW),
    ],
)
def test_nobody_to_talk_to(streams: str, given: bool, code: int, faces: Path, tmp_path: Path) -> None:
    """The job is done all the same, or its failure is in the exit code; and no log line is in the video."""
    source, output = faces if given else tmp_path / "missing.mp4", tmp_path / "out.mp4"
    command = f"'{sys.executable}' '{SUPPORT / 'faulty.py'}' nothing run '{source}' -o '{output}'"
    line = f"set -o pipefail; {command} {' '.join(COVER)} {streams}"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(SUPPORT), str(SUPPORT.parents[1])])}
    done = subprocess.run(
        ["bash", "-c", line], env=environment, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == code, done.stderr
    if given:
        assert check(output, COUNT) == COUNT


# -- damaged and odd input


def rewrite(source: Path, target: Path, change: Callable[[int, Packet[Any]], Packet[Any] | None]) -> Path:
    """The packets of a file, changed or left out."""
    with av.open(str(source)) as opened, av.open(str(target), "w") as output:
        stream = output.add_stream_from_template(opened.streams.video[0])
        for number, packet in enumerate(opened.demux(video=0)):
            if packet.dts is None:
                continue
            changed = change(number, packet)
            if changed is not None:
                changed.stream = stream
                output.mux(changed)
    return target


def _damaged(number: int, packet: Packet[Any]) -> Packet[Any]:
    if number not in (33, 34, 71):
        return packet
    data = bytearray(bytes(packet))
    data[8 : len(data) // 2] = random.Random(number).randbytes(len(data) // 2 - 8)
    changed = Packet(bytes(data))
    changed.pts, changed.dts, changed.time_base = packet.pts, packet.dts, packet.time_base
    changed.is_keyframe = packet.is_keyframe
    return changed


def test_damaged_packets(faces: Path, tmp_path: Path) -> None:
    source = rewrite(faces, tmp_path / "in.mkv", _damaged)
    code, _, err = run("nothing", source, "-o", tmp_path / "out.mkv")
    assert code == 0
    assert err == "" or "packets could not be decoded and are left out" in err
    assert check(tmp_path / "out.mkv", 100)


@pytest.mark.slow
def test_a_missing_key_frame_at_the_start(tmp_path: Path) -> None:
    source = write_faces(tmp_path / "whole.mkv", gop=40)
    cut = rewrite(source, tmp_path / "in.mkv", lambda number, packet: packet if number >= 7 else None)
    code, _, _ = run("late", cut, "-o", tmp_path / "out.mkv")
    assert code == 0
    assert check(tmp_path / "out.mkv", 80) < COUNT


@pytest.mark.slow
def test_a_resolution_that_changes(tmp_path: Path, faces: Path) -> None:
    """To twice and to half the size and back: frames are scaled to the first one's."""
    parts = []
    for number, (width, height) in enumerate([(200, 120), (400, 240), (100, 60), (200, 120)]):
        part = tmp_path / f"{number}.ts"
        with av.open(str(part), "w") as output:
            stream = output.add_stream("libx264", rate=25, options={"crf": "1", "preset": "ultrafast"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for frame in read_frames(faces, probe(faces)):
                if frame.index // 20 == number:
                    output.mux(stream.encode(_scaled(frame.picture.planes, width, height, frame.index)))
            output.mux(stream.encode(None))
        parts.append(part.read_bytes())
    source = tmp_path / "in.ts"
    source.write_bytes(b"".join(parts))
    code, _, err = run("nothing", source, "-o", tmp_path / "out.ts")
    assert code == 0
    jumps, sizes = err.splitlines()
    assert jumps.startswith("streamanon: in.ts: the file's time stamps jump 3 times, first by 0.8 seconds")
    assert sizes.startswith(
        "streamanon: in.ts: the picture size changes: frames of 400x240 and 100x60 are scaled"
    )
    done = list(read_frames(tmp_path / "out.ts", probe(tmp_path / "out.ts")))
    assert len(done) == 80
    for frame in done:  # their times jump, so they are told by their order
        assert leaked_pixels(frame.picture, SOURCE.boxes(frame.index), 40) == 0, frame.index


def _scaled(planes: Any, width: int, height: int, index: int) -> av.VideoFrame:
    import numpy as np

    whole = np.concatenate([plane.ravel() for plane in planes]).reshape(-1, 200)
    frame = av.VideoFrame.from_ndarray(whole, format="yuv420p").reformat(width, height)
    frame.pts, frame.time_base = index % 20, Fraction(1, 25)
    return frame


def with_sound(source: Path, target: Path) -> Path:
    """The video packets of a file, beside a tone as long as it."""
    with av.open(str(source)) as opened, av.open(str(target), "w") as output:
        video = output.add_stream_from_template(opened.streams.video[0])
        tone = output.add_stream("aac", rate=48000, layout="mono")
        for packet in opened.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                output.mux(packet)
        for number in range(COUNT * 48000 // 25 // 1024):
            frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
            frame.planes[0].update(bytes(4096))
            frame.pts, frame.rate = 1024 * number, 48000
            output.mux(tone.encode(frame))
        output.mux(tone.encode(None))
    return target


TIMES: dict[str, Callable[[int], int | None]] = {
    "jump": lambda n: n if n < 40 else n + 10_000_000,
    "jump far": lambda n: n if n < 40 else n + (1 << 52),
    "back": lambda n: n if n < 40 else n - 30,
    "repeat": lambda n: n // 4 * 4,
    "negative": lambda n: n - 500,
    "missing": lambda n: None if n % 3 else n,
    "all missing": lambda _n: None,
}


@pytest.mark.parametrize("sound", [pytest.param(False, marks=SLOW), True])
@pytest.mark.parametrize(
    "name",
    [one if one == "jump far" else pytest.param(one, marks=SLOW) for one in TIMES],
)
def test_odd_times(
    sound: bool, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faces: Path
) -> None:
    """All frames come out, in order, covered, with times that increase; and all of the audio."""
    from faulty import TRUTH

    from streamanon.api import Anonymizer
    from streamanon.config import Config, CoverConfig, OutputConfig
    from streamanon.media import demux
    from streamanon.testing.fakes import FakeDetector

    right = demux.decoded

    def retimed(*arguments: Any) -> Any:
        for number, frame in enumerate(right(*arguments)):
            at = TIMES[name](number)
            frame.pts = None if at is None else at * 512
            frame.dts = frame.pts
            yield frame

    monkeypatch.setattr("streamanon.media.decode.decoded", retimed)
    monkeypatch.setattr("streamanon.api.FaceSearch", lambda *_: FakeDetector(TRUTH))
    config = Config(cover=CoverConfig("mosaic"), output=OutputConfig(codec="ffv1"))
    source = with_sound(faces, tmp_path / "in.mkv") if sound else faces
    report = Anonymizer(config).run(source, tmp_path / "out.mkv")
    assert report.tally.frames == COUNT
    monkeypatch.setattr("streamanon.media.decode.decoded", right)
    done = list(read_frames(tmp_path / "out.mkv", probe(tmp_path / "out.mkv")))
    assert len(done) == COUNT
    for frame in done:
        assert leaked_pixels(frame.picture, SOURCE.boxes(frame.index), 40) == 0, frame.index
    assert len(packets(tmp_path / "out.mkv", "video")) == COUNT
    if sound:
        assert [data for *_, data in packets(tmp_path / "out.mkv", "audio")] == [
            data for *_, data in packets(source, "audio")
        ]


def test_a_folder_goes_on_after_an_unexpected_failure(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from streamanon.commands.batch import run_jobs
    from streamanon.commands.jobs import Job

    def fails(*_arguments: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr("streamanon.commands.batch._run_video", fails)
    jobs = [Job(str(faces), tmp_path / f"{n}.mp4") for n in range(2)]
    outcome = run_jobs(None, jobs, True, [])  # type: ignore[arg-type]
    told = capsys.readouterr().err.splitlines()
    assert outcome.failed == len(told) == 2
    assert all("ZeroDivisionError" in line and "secret" not in line for line in told)
