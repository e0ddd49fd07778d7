"""Addresses with passwords are shown nowhere, and nothing of a face is written but the output."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from faulty import COUNT, write_faces

from streamanon.batch import Job, _progress, find_jobs
from streamanon.cli import main
from streamanon.source import SourceInfo, probe, redact_url

HERE = Path(__file__).parent
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
        [sys.executable, str(HERE / "faulty.py"), fault, "run", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder / "home",
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)])}
        | {"HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp"), "PYTHONDONTWRITEBYTECODE": "1"},
    )


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="reads what Linux tells of processes")
def test_an_address_from_a_file_is_seen_nowhere(address: str, tmp_path: Path) -> None:
    listed, output, report = tmp_path / "address.txt", tmp_path / "out.mkv", tmp_path / "report.json"
    listed.write_text(f"{address}\n")
    arguments = (f"@{listed}", "-o", output, "--report", report, "--method", "mosaic")
    with start(tmp_path, "slow", *arguments, "--backend", "onnxruntime") as process:
        until = time.monotonic() + 30
        while not output.exists():
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


@pytest.mark.parametrize("name", ["missing.mkv", "broken.mkv", "a/b?c"])
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
    assert find_jobs(address, tmp_path) == [Job(address, tmp_path / "stream.mp4")]
