"""Addresses with passwords are shown nowhere, and nothing of a face is written but the output."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from faulty import COUNT, write_faces

from streamanon.api import Anonymizer
from streamanon.cli import main
from streamanon.commands.batch import _progress
from streamanon.commands.jobs import Job, find_jobs
from streamanon.config import ComputeConfig, Config, CoverConfig
from streamanon.errors import StreamanonError
from streamanon.media.address import redact_url
from streamanon.media.probe import SourceInfo, probe
from streamanon.runtime.models import Engines

SUPPORT = Path(__file__).parents[1] / "support"
SECRETS = ("anna", "s3cret", "t0ken")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A clip of faces on a server, and in the address what must not be told."""
    served = tmp_path / "served"
    served.mkdir()
    write_faces(served / "in.mkv")
    (served / "broken.mkv").write_bytes(b"no video" * 1000)
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(served)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://anna:s3cret@127.0.0.1:{server.server_port}/in.mkv?token=t0ken"
    server.shutdown()
    server.server_close()


def start(folder: Path, fault: str, *arguments: object) -> subprocess.Popen[str]:
    """The command in an empty home, with nowhere else to put anything."""
    for name in ("home", "tmp"):
        (folder / name).mkdir()
    return subprocess.Popen(
        [sys.executable, str(SUPPORT / "faulty.py"), fault, "run", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder / "home",
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join([str(SUPPORT), str(SUPPORT.parents[1])])}
        | {"HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp"), "PYTHONDONTWRITEBYTECODE": "1"},
    )


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="reads what Linux tells of processes")
def test_an_address_from_a_file_is_seen_nowhere(address: str, tmp_path: Path) -> None:
    listed, output, report = tmp_path / "address.txt", tmp_path / "out.mkv", tmp_path / "report.json"
    listed.write_text(f"{address}\n")
    arguments = (f"@{listed}", "-o", output, "--report", report, "--method", "mosaic")
    with start(tmp_path, "slow", *arguments, "--backend", "onnxruntime") as process:
        until = time.monotonic() + 30
        while not output.with_name("out.partial.mkv").exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until
            time.sleep(0.02)
        proc = Path(f"/proc/{process.pid}")
        title, limits = (proc / "cmdline").read_text(), (proc / "limits").read_text()
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "faulty.py" in title
    (core,) = [line for line in limits.splitlines() if line.startswith("Max core file size")]
    assert core.split()[4] == "0"
    assert json.loads(report.read_text())["frames"]["out"] == COUNT
    told = [title, out, err, report.read_text(), output.read_bytes().decode("latin-1")]
    assert not [(text, secret) for text in told for secret in SECRETS if secret in text]
    assert "***@127.0.0.1" in report.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["served", "home", "tmp", "address.txt", "out.mkv", "report.json"]
    )
    assert not any(path.is_file() for name in ("home", "tmp") for path in (tmp_path / name).rglob("*"))


@pytest.mark.parametrize(
    "name", ["missing.mkv", *(pytest.param(one, marks=pytest.mark.slow) for one in ("broken.mkv", "a/b?c"))]
)
def test_errors_tell_no_password(
    name: str, address: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nor do FFmpeg's own lines."""
    arguments = ["run", address.replace("in.mkv", name), "-o", str(tmp_path / "out.mkv")]
    assert main([*arguments, "--method", "mosaic", "--backend", "onnxruntime"]) == 2
    told = capfd.readouterr()
    assert not [secret for secret in SECRETS if secret in told.out + told.err]
    assert told.err.startswith("streamanon: http://***@127.")
    assert told.err.count("\n") == 1


def test_the_progress_bar_tells_none(monkeypatch: pytest.MonkeyPatch, clip: Path) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    for address in (
        "http://anna:s3cret@cam?t0ken",
        "rtsp://anna:s3cret@cam/",
        "http://cam/a.mp4?sig=s3cret",
    ):
        info: SourceInfo = probe(clip)
        object.__setattr__(info, "name", redact_url(address))
        with _progress(info, Job(address, Path("out.mp4")), False) as bar:
            assert not [secret for secret in SECRETS if secret in bar.desc]


@pytest.mark.parametrize(
    "address",
    ["rtsp://anna:s3cret@cam", "rtmp://cam/live/s3cret", "http://cam/a.ts?" + "s3cret" * 500],
)
def test_no_output_is_named_after_an_address(address: str, tmp_path: Path) -> None:
    assert find_jobs(address, tmp_path).jobs == [Job(address, tmp_path / "stream.mp4")]


SPELLINGS = [
    "rtsp:/anna:s3cret@127.0.0.1:9/a.jpg",
    "http://anna:s3cret@127.0.0.1:9/a.jpg?token=t0ken",
    "http:/anna:s3cret@127.0.0.1:9/a.mp4",
    "rtsp//anna:s3cret@127.0.0.1",
    "anna:s3cret@127.0.0.1/a.png",
]


@pytest.mark.parametrize(
    "spelling",
    [*SPELLINGS[:2], *(pytest.param(one, marks=pytest.mark.slow) for one in SPELLINGS[2:])],
)
@pytest.mark.parametrize("place", ["input", "command", "extra", "output", "report", "keep", "profile"])
def test_no_place_of_the_command_line_tells_an_address(
    place: str, spelling: str, tmp_path: Path, clip: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output, quick = str(tmp_path / "o.mp4"), ["--method", "mosaic", "--backend", "onnxruntime"]
    arguments = {
        "input": ["run", spelling, "-o", output, *quick],
        "command": [spelling],
        "extra": ["run", str(clip), spelling, "-o", output],
        "output": ["run", str(clip), "-o", spelling, *quick],
        "report": ["run", str(clip), "-o", output, "--report", spelling, *quick],
        "keep": ["run", str(clip), "-o", output, "--keep", spelling, "--backend", "onnxruntime"],
        "profile": ["run", str(clip), "-o", output, "--profile", spelling],
    }[place]
    assert main(arguments) == 2
    told = capfd.readouterr()
    assert not [secret for secret in SECRETS if secret in told.out + told.err], told.err


@pytest.mark.parametrize("content", ["{}\n{}\n", "{}\n--what\n", "{}\n-o\n", "--what={}\n"])
def test_lines_too_many_are_not_quoted(
    content: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    listed = tmp_path / "address.txt"
    listed.write_text(content.replace("{}", "rtsp://anna:s3cret@cam"))
    assert main(["run", f"@{listed}", "-o", str(tmp_path / "o.mp4")]) == 2
    told = capfd.readouterr().err
    assert "streamanon: the @FILE does not hold valid arguments" in told
    assert not [
        secret for secret in (*SECRETS, "cam", "--what") if secret in told.split("streamanon: ")[-1]
    ]


@pytest.mark.slow
def test_files_whose_names_begin_with_at(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    quick = ["--method", "mosaic", "--backend", "onnxruntime", "--quiet"]
    Path("@x.mp4").write_bytes(clip.read_bytes())
    for number, name in enumerate(("@x.mp4", "./@x.mp4")):
        assert main(["run", name, "-o", f"{number}.mp4", *quick]) == 0, capfd.readouterr().err
    assert main(["run", "@y.mp4", "-o", "y.mp4", *quick]) == 2
    assert "there is no file @y.mp4" in capfd.readouterr().err
    Path("y.mp4").write_bytes(b"\xff\xfe\xff")
    assert main(["run", "@y.mp4", "-o", "z.mp4", *quick]) == 2
    assert "write ./@y.mp4" in capfd.readouterr().err


@pytest.mark.parametrize(
    "address",
    [
        "rtmp://anna:s3cret@cam/live/key.mp4",
        pytest.param("rtsp:/anna:s3cret@cam/x.mp4", marks=pytest.mark.slow),
        pytest.param("rtsp://anna:s3cret@cam/x", marks=pytest.mark.slow),
        "http://cam/x.mp4?token=s3cret",
        pytest.param("x" * 300 + "://anna:s3cret@cam/a.mp4", marks=pytest.mark.slow),
    ],
)
def test_errors_in_python_show_no_secret(address: str, clip: Path, engines: Engines) -> None:
    """Neither of the input nor of the output, nor in the errors that they come from."""
    config = Config(cover=CoverConfig("solid"), compute=ComputeConfig("onnxruntime", 1))
    anonymizer = Anonymizer(config)
    calls: list[Callable[[], object]] = [
        lambda: anonymizer.run(clip, address),
        lambda: anonymizer.run(address, "out.mp4"),
        lambda: next(anonymizer.frames(address)),
    ]
    for call in calls:
        with pytest.raises(StreamanonError) as caught:
            call()
        told = [line for line in traceback.format_exception(caught.value) if not line.startswith("  ")]
        assert "s3cret" not in repr(caught.value) + "".join(told)
