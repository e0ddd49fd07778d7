from __future__ import annotations

import io
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from clips import write_clip

import streamanon
from streamanon.cli import EXIT_ERROR, EXIT_INTERRUPTED, EXIT_SOME_FAILED, _log_handler, _stop_flag, main
from streamanon.errors import tell
from streamanon.media.decode import read_frames
from streamanon.media.probe import probe
from streamanon.runtime.models import Engines
from streamanon.types import METHODS

QUICK = ["--method", "mosaic", "--backend", "onnxruntime", "--set", "compute.threads=1"]
PROFILES = ("cctv", "dashcam", "edge", "file", "livestream")
PACKAGE_PARENT = Path(streamanon.__file__).parent.parent


class Told:
    """What a command printed, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def error(self) -> str:
        """The one sentence of a failure."""
        assert self.code == EXIT_ERROR, self.err
        assert "Traceback" not in self.out + self.err
        assert self.out == ""
        (line,) = self.err.strip().splitlines()
        assert line.startswith("streamanon: ")
        return line


Command = Callable[..., Told]


@pytest.fixture
def run_command(capsys: pytest.CaptureFixture[str]) -> Command:
    def command(*arguments: object) -> Told:
        before = signal.getsignal(signal.SIGINT)
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as leaving:
            code = int(str(leaving.code))
        assert signal.getsignal(signal.SIGINT) is before
        return Told(code, *capsys.readouterr())

    return command


def test_a_video_becomes_a_video(
    run_command: Command, clip: Path, tmp_path: Path, engines: Engines
) -> None:
    told = run_command("run", clip, "-o", tmp_path / "out.mp4", *QUICK)
    assert told.code == 0
    assert "out.mp4: done, 12 frames" in told.out
    assert probe(tmp_path / "out.mp4").audio_streams == 1
    assert len(list(read_frames(tmp_path / "out.mp4", probe(tmp_path / "out.mp4")))) == 12


def test_an_image_becomes_an_image(run_command: Command, tmp_path: Path, engines: Engines) -> None:
    cv2.imwrite(str(tmp_path / "in.png"), np.full((60, 80, 3), 120, np.uint8))
    paths = (tmp_path / "in.png", "-o", tmp_path / "out.png", "--report", tmp_path / "r.json")
    told = run_command("run", *paths, *QUICK)
    assert told.code == 0
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["input"] == {"name": "in.png", "width": 80, "height": 60}
    assert report["output"]["name"] == "out.png"
    image = cv2.imread(str(tmp_path / "out.png"))
    assert image is not None
    assert image.shape == (60, 80, 3)


def test_a_folder_becomes_a_folder(
    run_command: Command, clip: Path, tmp_path: Path, engines: Engines
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.mp4").write_bytes(clip.read_bytes())
    (tmp_path / "in" / "bad.mp4").write_bytes(b"no video")
    told = run_command("run", tmp_path / "in", "-o", tmp_path / "out", *QUICK)
    assert told.code == EXIT_SOME_FAILED
    assert "bad.mp4" in told.err
    assert told.out.splitlines()[-1] == "1 of 2 done, 1 failed"
    assert (tmp_path / "out" / "a.mp4").is_file()
    assert not (tmp_path / "out" / "bad.mp4").exists()


def test_failures_are_in_the_report(
    run_command: Command, clip: Path, tmp_path: Path, engines: Engines
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.mp4").write_bytes(clip.read_bytes())
    (tmp_path / "in" / "bad.mp4").write_bytes(b"no video")
    report = tmp_path / "r.json"
    run_command("run", tmp_path / "in", "-o", tmp_path / "out", "--report", report, *QUICK)
    first, second = json.loads(report.read_text())
    assert first["output"]["name"] == "a.mp4"
    assert second["input"] == {"name": "bad.mp4"}
    assert second["error"].startswith("bad.mp4 is not a video file")
    assert str(tmp_path) not in report.read_text()
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


def test_the_failure_of_the_only_input_is_in_the_report(
    run_command: Command, tmp_path: Path, engines: Engines
) -> None:
    report = tmp_path / "r.json"
    told = run_command("run", tmp_path / "no.mp4", "-o", tmp_path / "out.mp4", "--report", report, *QUICK)
    assert "there is no file" in told.error
    assert json.loads(report.read_text())["error"].startswith("there is no file no.mp4")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("in.mp4", "-o", "-"), "give --format mpegts"),
        (("in.mp4", "-o", "out.mp4", "--format", "mp4"), "--format is for -o -"),
        (("in.mp4", "-o", "rtmp://live.example/app/secretkey"), "streamanon live SOURCE --to ADDRESS"),
        (("0", "-o", "out.mp4"), "streamanon live /dev/video0 --to"),
        (("in.mp4", "-o", "o.mp4", "--overwrite", "--skip-existing"), "leave one of them out"),
        (("in.mp4", "-o", "o.mp4", "--recursive"), "--recursive is for folders"),
    ],
)
def test_wrong_inputs_and_outputs_say_what_to_use(
    arguments: tuple[str, ...], words: str, run_command: Command
) -> None:
    error = run_command("run", *arguments).error
    assert words in error
    assert "secretkey" not in error


def test_terminals_are_no_videos(run_command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", type("Terminal", (), {"isatty": lambda _: True})())
    assert "pipe a video into it" in run_command("run", "-", "-o", "out.mp4").error
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", type("Terminal", (), {"isatty": lambda _: True})())
        code = main(["run", "in.mp4", "-o", "-", "--format", "mpegts"])
    assert code == EXIT_ERROR


def _piped(data: bytes, *arguments: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "streamanon", "run", *map(str, arguments), *QUICK],
        input=data,
        capture_output=True,
        env=os.environ | {"PYTHONPATH": str(PACKAGE_PARENT)},
        timeout=100,
    )


@pytest.mark.parametrize(
    "name", ["mpegts", *(pytest.param(one, marks=pytest.mark.slow) for one in ("matroska", "mp4"))]
)
def test_standard_input_becomes_standard_output(name: str, tmp_path: Path, engines: Engines) -> None:
    clip = write_clip(tmp_path / "in.ts", pts=60, audio=["aac"])
    done = _piped(clip.read_bytes(), "-", "-o", "-", "--format", name)
    assert done.returncode == 0, done.stderr
    assert b"done, 60 frames" in done.stderr
    (tmp_path / "out").write_bytes(done.stdout)
    info = probe(tmp_path / "out")
    assert (len(list(read_frames(tmp_path / "out", info))), info.audio_streams) == (60, 1)
    with av.open(str(clip)) as before, av.open(str(tmp_path / "out")) as after:
        counts = [sum(1 for p in one.demux(audio=0) if p.size) for one in (before, after)]
    assert counts[0] == counts[1] > 0


@pytest.mark.slow
def test_standard_output_may_be_a_file(clip: Path, tmp_path: Path, engines: Engines) -> None:
    with (tmp_path / "out.mkv").open("wb") as out:
        subprocess.run(
            [
                sys.executable,
                "-m",
                "streamanon",
                "run",
                str(clip),
                "-o",
                "-",
                "--format",
                "matroska",
                *QUICK,
            ],
            stdout=out,
            stderr=subprocess.DEVNULL,
            check=True,
            env=os.environ | {"PYTHONPATH": str(PACKAGE_PARENT)},
        )
    assert len(list(read_frames(tmp_path / "out.mkv", probe(tmp_path / "out.mkv")))) == 12


@pytest.mark.slow
def test_what_cannot_come_through_a_pipe_is_told(tmp_path: Path, engines: Engines) -> None:
    clip = write_clip(tmp_path / "in.mov", codec="mjpeg", pixel_format="yuvj420p", size=(640, 480), pts=40)
    assert clip.stat().st_size > 500_000  # its index is at the end
    done = _piped(clip.read_bytes(), "-", "-o", tmp_path / "out.mp4")
    assert done.returncode == EXIT_ERROR
    (line,) = done.stderr.decode().splitlines()
    assert "give the file itself if it is an MP4" in line
    with clip.open() as redirected:  # a file that standard input is can be read as any
        subprocess.run(
            [sys.executable, "-m", "streamanon", "run", "-", "-o", str(tmp_path / "out.mp4"), *QUICK],
            stdin=redirected,
            check=True,
            env=os.environ | {"PYTHONPATH": str(PACKAGE_PARENT)},
        )
    assert probe(tmp_path / "out.mp4").frames == 40


def test_quiet_prints_nothing(run_command: Command, clip: Path, tmp_path: Path, engines: Engines) -> None:
    told = run_command("run", clip, "-o", tmp_path / "out.mp4", "--quiet", *QUICK)
    assert (told.code, told.out, told.err) == (0, "", "")


def test_the_report_has_numbers_only(
    run_command: Command, clip: Path, tmp_path: Path, engines: Engines
) -> None:
    report = tmp_path / "report.json"
    told = run_command("run", clip, "-o", tmp_path / "o.mp4", "--report", report, "--crf", "30", *QUICK)
    assert told.code == 0
    content = json.loads(report.read_text())
    assert set(content) == {
        *(
            "input",
            "output",
            "frames",
            "face_frames",
            "tracks",
            "detections_skipped",
            "backends_passed_over",
            "delegates",
            "seconds",
            "frames_per_second",
        ),
        *(
            "stage_seconds",
            "backend",
            "decoder",
            "decoder_passed_over",
            "models",
            "settings",
            "notes",
            "faults",
            "interrupted",
        ),
    }
    assert content["frames"]["in"] == content["frames"]["out"] == 12
    assert content["settings"]["output"]["crf"] == 30
    assert content["settings"]["cover"]["method"] == "mosaic"
    assert set(content["stage_seconds"]) == {"decode", "detect", "measure", "composite", "encode"}
    keys = set(_keys(content))
    assert not [
        key for key in keys if re.search("pixel(?!_format)|likeness|embedding|points|texture|box", key)
    ]
    assert len(report.read_text()) < 8000
    assert max(len(values) for values in _lists(content)) < 20


def _keys(content: object) -> Iterator[str]:
    if isinstance(content, dict):
        for key, value in content.items():
            yield key
            yield from _keys(value)
    elif isinstance(content, list):
        for value in content:
            yield from _keys(value)


def _lists(content: object) -> Iterator[list[object]]:
    if isinstance(content, list):
        yield content
    values = content.values() if isinstance(content, dict) else content if isinstance(content, list) else ()
    for value in values:
        yield from _lists(value)


def test_a_missing_input_is_told(run_command: Command, tmp_path: Path, engines: Engines) -> None:
    told = run_command("run", tmp_path / "missing.mp4", "-o", tmp_path / "out.mp4", *QUICK)
    assert "missing.mp4" in told.error
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize("content", [b"", b"this is no video", os.urandom(3000)])
def test_what_is_no_video_is_told(
    content: bytes, run_command: Command, tmp_path: Path, engines: Engines
) -> None:
    (tmp_path / "in.mp4").write_bytes(content)
    assert "in.mp4" in run_command("run", tmp_path / "in.mp4", "-o", tmp_path / "out.mp4", *QUICK).error
    assert not (tmp_path / "out.mp4").exists()


def test_a_sound_file_is_told(run_command: Command, tmp_path: Path, engines: Engines) -> None:
    with wave.open(str(tmp_path / "in.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(8000))
    assert "in.wav" in run_command("run", tmp_path / "in.wav", "-o", tmp_path / "out.mp4", *QUICK).error


def test_an_unknown_method_names_the_choices(run_command: Command, clip: Path, tmp_path: Path) -> None:
    error = run_command("run", clip, "-o", tmp_path / "out.mp4", "--method", "pixelate").error
    assert all(method in error for method in METHODS)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (("--set", "cover.methd=solid"), "did you mean 'cover.method'"),
        (("--set", "covr.method=solid"), "did you mean 'cover'"),
        (("--set", "detect.interval_seconds"), "section.key=value"),
        (("--set", "detect.interval_seconds=1"), "between 0.0 and 0.4"),
        (("--set", "detect.interval_seconds=often"), "detect.interval_seconds"),
        (("--crf", "99"), "between 0 and 63"),
        (("--crf", "good"), "output.crf must be a whole number"),
        (("--codec", "divx"), "h264, hevc, av1, vp9, ffv1"),
        (("--backend", "cuda"), "auto, tensorrt, openvino, onnxruntime"),
        (("--audio", "loud"), "copy, drop"),
        (("--seed", "x"), "identity.seed"),
        (("--ttl", "1:30"), "identity.ttl_seconds must be a number"),
        (("--gallery", "set #2.npz"), "cannot read the gallery set #2.npz"),
        (("--gallery", "none.npz", "--method", "mosaic"), "--gallery has no effect with the method mosaic"),
        (("--keep", "ann.jpg", "--method", "blur"), "--keep has no effect with the method blur"),
        (("--set", "identity.seed=1", "--method", "blur"), "--set identity.seed=1 has no effect"),
        (("--delegate", "d001", "--epsilon", "3"), "--epsilon has no effect with one delegate"),
        (("--delegate", "d001", "--appearance", "0.5"), "--appearance has no effect with one delegate"),
        (("--identity-key", "none.key", "--seed", "3"), "--seed has no effect with an identity key"),
        (("--seed", "-1"), "identity.seed must lie between 0 and"),
        (("--keep", "none.jpg"), "none.jpg"),
        (("--identity-key", "none.key"), "cannot read the identity key none.key"),
        (("--identity-key", "/"), "cannot read the identity key /: Is a directory; check the path"),
        (("--report", "none/r.json"), "cannot write the report none/r.json"),
        (("--profile", "bodycam"), "known: cctv, dashcam, edge, file, livestream"),
        (("--profile", "missing.yaml"), "cannot read the profile missing.yaml"),
    ],
)
def test_bad_options_are_told(
    option: tuple[str, ...], words: str, run_command: Command, clip: Path, tmp_path: Path
) -> None:
    assert words in run_command("run", clip, "-o", tmp_path / "out.mp4", *option).error
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        (
            "cover: {method: solid}\nidentity: {geometry: 0.5, seed: 3}",
            "the profile's identity.geometry, identity.seed has no effect with the method solid",
        ),
        (
            "identity: {delegate: d001, appearance: 0.5}",
            "the profile's identity.appearance has no effect with one delegate for all faces",
        ),
        (
            "identity: {key: my.key, seed: 3}",
            "the profile's identity.seed has no effect with an identity key",
        ),
    ],
)
def test_settings_of_a_profile_that_do_nothing_are_told(
    profile: str, words: str, run_command: Command, tmp_path: Path
) -> None:
    (tmp_path / "own.yaml").write_text(profile)
    told = run_command("run", tmp_path / "no", "-o", tmp_path / "b.mp4", "--profile", tmp_path / "own.yaml")
    assert f"streamanon: {words}\n" in told.err


@pytest.mark.parametrize(
    "option", [("--crf", "40"), ("--paranoid",), ("--ttl", "5"), ("--set", "lookahead.seconds=1")]
)
def test_options_of_videos_are_refused_for_images(
    option: tuple[str, ...], run_command: Command, tmp_path: Path
) -> None:
    cv2.imwrite(str(tmp_path / "in.png"), np.zeros((8, 8, 3), np.uint8))
    told = run_command("run", tmp_path / "in.png", "-o", tmp_path / "out.png", *option)
    assert (
        f"{' '.join(option) if option[0] == '--set' else option[0]} has no effect on an image" in told.error
    )
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("option", ["--identity-key", "--keep", "--gallery", "--profile", "--detector"])
def test_no_output_replaces_what_the_run_reads(option: str, run_command: Command, tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("detect: {interval_seconds: 0}\n")
    for output in (("-o", own), ("-o", tmp_path / "out.mp4", "--report", own)):
        told = run_command("run", "in.mp4", *output, option, own, "--overwrite")
        assert "own.yaml is a file that this run reads" in told.error
    assert own.read_text() == "detect: {interval_seconds: 0}\n"


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("missing/out.mp4", "there is no folder"),
        ("out.xyz", ".mp4, .mov, .mkv, .webm or .ts"),
        ("out", ".mp4, .mov, .mkv, .webm or .ts"),
        ("out.png", ".mp4, .mov, .mkv, .webm or .ts"),
    ],
)
def test_bad_outputs_are_told(
    output: str, words: str, run_command: Command, clip: Path, tmp_path: Path, engines: Engines
) -> None:
    assert words in run_command("run", clip, "-o", tmp_path / output, *QUICK).error


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("run", "", "-o", "out"), "argument 2, after run, is empty"),
        (("run", "in.mp4", "-o", ""), "argument 4, after -o, is empty"),
        (("run", "in.mp4", "-o", "out.mp4", "--report="), "--report is empty"),
        (("live", "in.mp4", "--to", ""), "argument 4, after --to, is empty"),
    ],
)
def test_an_empty_path_is_not_the_folder_one_is_in(
    arguments: tuple[str, ...],
    told: str,
    run_command: Command,
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "in.mp4").write_bytes(clip.read_bytes())
    monkeypatch.chdir(tmp_path)
    done = run_command(*arguments)
    assert done.code == EXIT_ERROR
    assert told in done.error
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_a_report_that_is_a_folder_is_told_before_the_work(
    run_command: Command, clip: Path, tmp_path: Path
) -> None:
    done = run_command("run", clip, "-o", tmp_path / "out.mp4", "--report", tmp_path, *QUICK)
    assert done.code == EXIT_ERROR
    assert f"{tmp_path} is a folder; give a file name" in done.error
    assert not (tmp_path / "out.mp4").exists()


def test_the_input_is_never_overwritten(
    run_command: Command, clip: Path, tmp_path: Path, engines: Engines
) -> None:
    own = tmp_path / "a.mp4"
    own.write_bytes(clip.read_bytes())
    (tmp_path / "link.mp4").symlink_to(own)
    for output in (own, tmp_path / "link.mp4", tmp_path / "." / "a.mp4", tmp_path):
        assert "is the input itself" in run_command("run", own, "-o", output, *QUICK).error
        assert own.read_bytes() == clip.read_bytes()


def test_an_empty_folder_is_told(run_command: Command, tmp_path: Path, engines: Engines) -> None:
    (tmp_path / "in").mkdir()
    error = run_command("run", tmp_path / "in", "-o", tmp_path / "out", *QUICK).error
    assert "holds no video and no image" in error


def test_what_exists_is_replaced_only_when_asked(
    run_command: Command, clip: Path, tmp_path: Path, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.mp4"
    output.write_bytes(b"mine")
    with monkeypatch.context() as patch:  # before any work
        patch.setattr("streamanon.api.Anonymizer.__init__", lambda *_: pytest.fail("work was done"))
        assert "exists already" in run_command("run", clip, "-o", output, *QUICK).error
    assert output.read_bytes() == b"mine"
    assert run_command("run", clip, "-o", output, "--overwrite", *QUICK).code == 0
    assert probe(output).frames == 12


def test_a_folder_with_one_output_that_exists_is_refused(
    run_command: Command, clip: Path, tmp_path: Path, engines: Engines
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "in" / "a.mp4").write_bytes(clip.read_bytes())
    cv2.imwrite(str(tmp_path / "in" / "b.png"), np.full((60, 80, 3), 120, np.uint8))
    (tmp_path / "out" / "b.png").write_bytes(b"mine")
    paths = ("run", tmp_path / "in", "-o", tmp_path / "out")
    assert "b.png or its partial file exists already (1 such output)" in run_command(*paths, *QUICK).error
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.png"]
    assert run_command(*paths, "--overwrite", *QUICK).code == 0
    assert (tmp_path / "out" / "b.png").read_bytes() != b"mine"


def test_a_report_never_replaces_the_input_or_output(
    run_command: Command, clip: Path, tmp_path: Path, engines: Engines
) -> None:
    own, output = tmp_path / "a.mp4", tmp_path / "o.mp4"
    own.write_bytes(clip.read_bytes())
    for report in (own, output, tmp_path / "." / "o.mp4"):
        told = run_command("run", own, "-o", output, "--report", report, *QUICK)
        assert "give another name" in told.error
        assert own.read_bytes() == clip.read_bytes()
        assert not output.exists()


def test_a_report_that_exists_is_replaced_only_if_asked(
    run_command: Command, clip: Path, tmp_path: Path, engines: Engines
) -> None:
    report = tmp_path / "r.json"
    report.write_text("mine")
    paths = ("run", clip, "-o", tmp_path / "o.mp4", "--report", report, "--quiet")
    assert "r.json exists already" in run_command(*paths, *QUICK).error
    assert report.read_text() == "mine"
    assert not (tmp_path / "o.mp4").exists()
    assert run_command(*paths, "--overwrite", *QUICK).code == 0
    assert json.loads(report.read_text())["frames"]


def test_a_report_that_cannot_be_written_is_told(
    run_command: Command, clip: Path, tmp_path: Path, engines: Engines
) -> None:
    arguments = ("run", clip, "-o", tmp_path / "o.mp4", "--quiet", "--report", tmp_path / "no" / "r.json")
    assert "cannot write the report" in run_command(*arguments, *QUICK).error


@pytest.mark.parametrize(
    "name", [PROFILES[0], *(pytest.param(one, marks=pytest.mark.slow) for one in PROFILES[1:])]
)
def test_the_profiles_that_come_along_work(
    name: str, run_command: Command, clip: Path, tmp_path: Path, engines: Engines
) -> None:
    told = run_command("run", clip, "-o", tmp_path / "out.mp4", "--profile", name, *QUICK)
    assert told.code == 0, told.err


def test_a_name_that_looks_like_an_option_is_told_how_to_write(run_command: Command) -> None:
    told = run_command("run", "-a.mp4", "-o", "out.mp4")
    assert told.code == EXIT_ERROR
    assert told.err.endswith("write the file -a.mp4 as ./-a.mp4\n")
    assert "write the file" not in run_command("run", "--sed", "-1.5", "-o", "out.mp4").err


def test_what_may_have_been_meant_is_told(
    run_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.mp4", "b.mp4"):
        Path(name).touch()
    assert "streamanon run b.mp4 -o OUTPUT" in run_command("b.mp4", "-o", "c.mp4").err
    told = run_command("run", "a.mp4", "b.mp4", "-o", "c.mp4").err
    assert "only one input is allowed: give the folder that contains the files" in told
    assert "there is no folder new/; make it first" in run_command("run", "a.mp4", "-o", "new/").error


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("arguments", [("delegates", "list"), ("models", "list"), ("doctor",)])
def test_an_answer_that_cannot_be_written_is_told(arguments: tuple[str, ...], engines: Engines) -> None:
    command = [sys.executable, "-m", "streamanon", *arguments]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120)
    assert done.returncode == EXIT_ERROR
    assert "cannot write to standard output: No space left on device" in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


def test_a_reader_who_has_read_enough_of_an_answer_is_no_error(engines: Engines) -> None:
    command = [sys.executable, "-m", "streamanon", "delegates", "list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as done:
        assert done.stdout is not None
        assert done.stderr is not None
        done.stdout.close()
        assert done.stderr.read() == ""
    assert done.returncode == 0


def test_a_line_is_one_write() -> None:
    """Several cameras tell at a time: what is written in two pieces gets mixed."""
    written: list[str] = []

    class Stream(io.StringIO):
        def write(self, text: str, /) -> int:
            written.append(text)
            return len(text)

    tell("line", Stream())
    assert "".join(written) == "line\n"
    assert len([text for text in written if text]) == 1


def test_usage_errors_are_2(run_command: Command) -> None:
    for arguments in ((), ("run",), ("run", "a.mp4"), ("walk",), ("run", "a.mp4", "-o", "b.mp4", "--what")):
        told = run_command(*arguments)
        assert told.code == EXIT_ERROR
        assert "usage: streamanon" in told.err


def test_help_and_version(run_command: Command) -> None:
    assert run_command("--version").out == f"streamanon {streamanon.__version__}\n"
    for arguments in (("--help",), ("run", "--help"), ("demo", "--help"), ("doctor", "--help")):
        told = run_command(*arguments)
        assert told.code == 0
        assert told.out.startswith("usage: streamanon")


def test_doctor(run_command: Command) -> None:
    told = run_command("doctor")
    assert told.code == 0
    assert "backends, in the order" in told.out


def _start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "streamanon", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(PACKAGE_PARENT)},
    )


@pytest.mark.slow
def test_ctrl_c_finishes_a_playable_file(tmp_path: Path, engines: Engines) -> None:
    clip = write_clip(tmp_path / "in.mp4", pts=600, size=(160, 120))
    report, output = tmp_path / "r.json", tmp_path / "out.mkv"
    process = _start("run", clip, "-o", output, "--report", report, *QUICK)
    try:
        until = time.monotonic() + 60
        partial = tmp_path / "out.partial.mkv"
        while not (partial.is_file() and partial.stat().st_size > 3000):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == EXIT_INTERRUPTED, err
    assert "Traceback" not in err
    assert "stopped early" in out
    frames = sum(1 for _ in read_frames(output, probe(output)))
    assert 0 < frames < 600
    content = json.loads(report.read_text())
    assert content["interrupted"]
    assert content["frames"]["out"] == frames


def test_a_second_ctrl_c_interrupts_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGINT)
    with _stop_flag() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop == [signal.SIGINT]
        assert "press again to stop at once" in capsys.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupt_while_starting_is_130(run_command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_args: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("streamanon.cli._doctor", interrupted)
    told = run_command("doctor")
    assert (told.code, told.out, told.err) == (EXIT_INTERRUPTED, "", "")


@pytest.mark.slow
def test_the_demo(run_command: Command, tmp_path: Path, engines: Engines) -> None:
    report = tmp_path / "r.json"
    told = run_command("demo", "-o", tmp_path / "demo.mp4", "--report", report)
    assert told.code == 0
    content = json.loads(report.read_text())
    assert content["frames"]["out"] == 200
    assert content["face_frames"]["by_method"]["synthesize"] > 200
    assert content["settings"]["identity"]["seed"] == "given"


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_output_that_cannot_hold_a_character_gets_it_escaped(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding))
    with pytest.raises(SystemExit):
        main(["live", "--help"])
    tell("no\udcff.mp4: done", sys.stdout)  # a file's name that is no UTF-8, as Python has it
    assert b"no\\udcff.mp4: done" in written.getvalue()


def test_control_characters_are_shown_and_not_obeyed(capfd: pytest.CaptureFixture[str]) -> None:
    """They may stand in a file's name, or in what its tags are called."""
    name = "a\x1b[31m\u202eb.mp4"
    tell(f"streamanon: {name}: first\nsecond")
    handler = _log_handler()
    handler.emit(logging.LogRecord("x", logging.WARNING, "", 0, "%s: note\nline", (name,), None))
    assert capfd.readouterr().err.split("\n") == [
        r"streamanon: a\x1b[31m\u202eb.mp4: first",
        "second",
        r"streamanon: a\x1b[31m\u202eb.mp4: note\nline",
        "",
    ]
