from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from streamanon.api import Anonymizer
from streamanon.commands import audit
from streamanon.commands.batch import _failed, run_jobs
from streamanon.commands.jobs import Job, find_jobs
from streamanon.commands.progress import hides_progress
from streamanon.config import ComputeConfig, Config, CoverConfig, OutputConfig
from streamanon.errors import SinkError
from streamanon.media.output_file import partial_path
from streamanon.media.probe import probe
from streamanon.runtime.models import Engines
from streamanon.testing.fakes import FakeDetector

FACE = (20.0, 10.0, 50.0, 44.0)


@pytest.fixture(scope="module")
def anonymizer(engines: Engines) -> Anonymizer:
    config = Config(
        cover=CoverConfig("solid", margin=0.25),
        output=OutputConfig(preset="ultrafast"),
        compute=ComputeConfig("onnxruntime", 1),
    )
    made = Anonymizer(config)
    made.face_search = lambda *_: FakeDetector({0: [FACE] * 100})  # type: ignore[method-assign]
    return made


@pytest.fixture
def folder(tmp_path: Path, clip: Path) -> Path:
    """A folder with a video, an image, a text file and a folder in it."""
    inside = tmp_path / "in"
    (inside / "deeper").mkdir(parents=True)
    (inside / "a.mp4").write_bytes(clip.read_bytes())
    cv2.imwrite(str(inside / "b.png"), np.full((60, 80, 3), 130, np.uint8))
    (inside / "notes.txt").write_text("no media")
    return inside


def test_a_folder_is_done_into_a_new_folder(
    anonymizer: Anonymizer, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "some" / "where"
    outcome = run_jobs(anonymizer, find_jobs(str(folder), target).jobs, quiet=False, stop=[])
    assert (len(outcome.reports), outcome.failed, outcome.interrupted) == (2, 0, False)
    assert probe(target / "a.mp4").frames == 12
    assert cv2.imread(str(target / "b.png")) is not None
    told = capsys.readouterr().out
    assert told.splitlines()[-1] == "2 of 2 done"
    assert "a.mp4: done, 12 frames, faces: 12 solid" in told
    assert "b.png: done, 1 frames, faces: 1 solid" in told


def test_a_folder_of_one_file_makes_its_folder_too(
    anonymizer: Anonymizer, folder: Path, tmp_path: Path
) -> None:
    (folder / "b.png").unlink()
    outcome = run_jobs(anonymizer, find_jobs(str(folder), tmp_path / "out").jobs, quiet=True, stop=[])
    assert len(outcome.reports) == 1
    assert (tmp_path / "out" / "a.mp4").is_file()


def test_a_broken_file_does_not_stop_the_others(
    anonymizer: Anonymizer, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.mp4").write_bytes(b"no video")
    outcome = run_jobs(anonymizer, find_jobs(str(folder), tmp_path / "out").jobs, quiet=True, stop=[])
    assert (outcome.done, outcome.failed, len(outcome.reports)) == (1, 1, 2)
    failed = outcome.reports[0].as_dict()
    assert failed["input"] == {"name": "a.mp4"}
    assert failed["error"].startswith("a.mp4 is not a video file")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "a.mp4" in captured.err
    assert len(captured.err.strip().splitlines()) == 1


def test_a_folder_that_cannot_be_made_is_told(anonymizer: Anonymizer, clip: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    job = Job(str(clip), tmp_path / "taken" / "deeper" / "a.mp4", in_folder=True)
    outcome = run_jobs(anonymizer, [job], quiet=True, stop=[])
    assert "cannot make the folder" in str(outcome.error)


def test_a_stop_ends_after_the_file_at_hand(anonymizer: Anonymizer, folder: Path, tmp_path: Path) -> None:
    outcome = run_jobs(anonymizer, find_jobs(str(folder), tmp_path / "out").jobs, quiet=True, stop=[True])
    assert outcome.interrupted
    assert len(outcome.reports) == 1
    assert probe(tmp_path / "out" / "a.partial.mp4").width == 64
    assert not (tmp_path / "out" / "a.mp4").exists()


def test_a_stop_ends_after_a_file_that_fails(anonymizer: Anonymizer, folder: Path, tmp_path: Path) -> None:
    (folder / "a.mp4").write_bytes(b"no video")
    outcome = run_jobs(anonymizer, find_jobs(str(folder), tmp_path / "out").jobs, quiet=True, stop=[2])
    assert outcome.interrupted
    assert len(outcome.reports) == 1
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("quiet", [False, True])
def test_no_progress_is_drawn_without_standard_error(quiet: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a desktop starts the command, or a caller closed it."""
    monkeypatch.setattr("sys.stderr", None)
    assert hides_progress(quiet)
    with audit._progress(quiet) as tell:
        tell("a.mp4", 1, 2)


def test_a_folder_that_was_stopped_goes_on(
    anonymizer: Anonymizer, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = find_jobs(str(folder), tmp_path / "out").jobs
    run_jobs(anonymizer, jobs, quiet=False, stop=[True])
    assert (
        capsys.readouterr().out.splitlines()[-1] == "0 of 2 done, 2 not done: continue with --skip-existing"
    )
    run_jobs(anonymizer, jobs, quiet=False, stop=[], skip_existing=True)
    assert capsys.readouterr().out.splitlines()[-1] == "2 of 2 done"
    before = (tmp_path / "out" / "a.mp4").stat().st_mtime_ns
    run_jobs(anonymizer, jobs, quiet=False, stop=[], skip_existing=True)
    assert capsys.readouterr().out.splitlines() == ["0 of 2 done, 2 existed already"]
    assert (tmp_path / "out" / "a.mp4").stat().st_mtime_ns == before
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.mp4", "b.png"]


def test_the_reports_errors_name_no_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    job = Job(str(tmp_path / "in" / "a.mp4"), tmp_path / "link" / "a.mp4")
    partial = partial_path(tmp_path / "real" / "a.mp4")
    error = SinkError(f"cannot write {job.output}: No space left; the finished part is in {partial}")
    told = _failed(job, error).as_dict()
    assert told["error"] == "cannot write a.mp4: No space left; the finished part is in a.partial.mp4"
