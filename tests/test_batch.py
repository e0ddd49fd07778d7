from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamanon.anonymizer import Anonymizer
from streamanon.batch import Job, find_jobs, run_jobs
from streamanon.config import ComputeConfig, Config, CoverConfig, OutputConfig
from streamanon.engines import Engines
from streamanon.errors import ConfigError, SinkError, SourceError
from streamanon.fakes import FakeDetector
from streamanon.source import probe

FACE = (20.0, 10.0, 50.0, 44.0)


@pytest.fixture(scope="module")
def anonymizer(engines: Engines) -> Anonymizer:
    config = Config(
        cover=CoverConfig("solid", margin=0.25),
        output=OutputConfig(preset="ultrafast"),
        compute=ComputeConfig("onnxruntime", 1),
    )
    made = Anonymizer(config)
    made.watch = lambda _=0: FakeDetector({0: [FACE] * 100})  # type: ignore[assignment, method-assign]
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


def test_one_file_is_one_job(tmp_path: Path) -> None:
    assert find_jobs("a.mp4", tmp_path / "b.mkv") == [Job("a.mp4", tmp_path / "b.mkv")]
    assert find_jobs("x/a.mp4", tmp_path) == [Job("x/a.mp4", tmp_path / "a.mp4")]
    assert find_jobs("x/a.avi", tmp_path) == [Job("x/a.avi", tmp_path / "a.mp4")]


def test_a_folder_is_a_job_for_each_video_and_image(folder: Path, tmp_path: Path) -> None:
    jobs = find_jobs(str(folder), tmp_path / "out")
    assert [job.output for job in jobs] == [tmp_path / "out" / "a.mp4", tmp_path / "out" / "b.png"]
    assert [job.is_image for job in jobs] == [False, True]


def test_suffixes_in_capitals_count(tmp_path: Path) -> None:
    for name in ("A.MP4", "B.Jpeg", "C.AVI"):
        (tmp_path / name).touch()
    outputs = [job.output.name for job in find_jobs(str(tmp_path), tmp_path / "out")]
    assert outputs == ["A.MP4", "B.Jpeg", "C.mp4"]


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="holds no video and no image"):
        find_jobs(str(tmp_path), tmp_path / "out")


def test_a_file_cannot_take_a_folder(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out.mp4").touch()
    with pytest.raises(ConfigError, match="is a file, but the input is a folder"):
        find_jobs(str(folder), tmp_path / "out.mp4")


def test_two_inputs_never_share_an_output(tmp_path: Path) -> None:
    for name in ("a.avi", "a.mp4"):
        (tmp_path / name).touch()
    with pytest.raises(ConfigError, match="both become"):
        find_jobs(str(tmp_path), tmp_path / "out")


def test_a_folder_is_done_into_a_new_folder(
    anonymizer: Anonymizer, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "some" / "where"
    outcome = run_jobs(anonymizer, find_jobs(str(folder), target), quiet=False, stop=[])
    assert (len(outcome.reports), outcome.failed, outcome.interrupted) == (2, 0, False)
    assert probe(target / "a.mp4").frames == 12
    assert cv2.imread(str(target / "b.png")) is not None
    told = capsys.readouterr().out
    assert "a.mp4: done, 12 frames, faces: 12 solid" in told
    assert "b.png: done, 1 frames, faces: 1 solid" in told


def test_a_folder_of_one_file_makes_its_folder_too(
    anonymizer: Anonymizer, folder: Path, tmp_path: Path
) -> None:
    (folder / "b.png").unlink()
    outcome = run_jobs(anonymizer, find_jobs(str(folder), tmp_path / "out"), quiet=True, stop=[])
    assert len(outcome.reports) == 1
    assert (tmp_path / "out" / "a.mp4").is_file()


def test_a_broken_file_does_not_stop_the_others(
    anonymizer: Anonymizer, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.mp4").write_bytes(b"no video")
    outcome = run_jobs(anonymizer, find_jobs(str(folder), tmp_path / "out"), quiet=True, stop=[])
    assert (len(outcome.reports), outcome.failed) == (1, 1)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "a.mp4" in captured.err
    assert len(captured.err.strip().splitlines()) == 1


def test_a_folder_that_cannot_be_made_is_told(anonymizer: Anonymizer, clip: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    job = Job(str(clip), tmp_path / "taken" / "deeper" / "a.mp4", in_folder=True)
    with pytest.raises(SinkError, match="cannot make the folder"):
        run_jobs(anonymizer, [job], quiet=True, stop=[])


def test_a_stop_ends_after_the_file_at_hand(anonymizer: Anonymizer, folder: Path, tmp_path: Path) -> None:
    outcome = run_jobs(anonymizer, find_jobs(str(folder), tmp_path / "out"), quiet=True, stop=[True])
    assert outcome.interrupted
    assert len(outcome.reports) == 1
    assert probe(tmp_path / "out" / "a.mp4").width == 64


def done_image(
    anonymizer: Anonymizer, source: Path, output: Path
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    run_jobs(anonymizer, [Job(str(source), output)], quiet=True, stop=[])
    image = cv2.imread(str(output), cv2.IMREAD_UNCHANGED)
    assert image is not None
    return np.asarray(image, np.uint8)


def test_a_png_stays_bit_for_bit_but_for_the_face(anonymizer: Anonymizer, tmp_path: Path) -> None:
    before = np.random.default_rng(0).integers(0, 255, (61, 81, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), before)
    after = done_image(anonymizer, tmp_path / "a.png", tmp_path / "b.png")
    assert (after[58:] == before[58:]).all()
    assert (after[:, 62:] == before[:, 62:]).all()
    assert len(np.unique(after[15:40, 25:45].reshape(-1, 3), axis=0)) == 1


def test_transparency_is_kept(anonymizer: Anonymizer, tmp_path: Path) -> None:
    before = np.random.default_rng(0).integers(0, 255, (60, 80, 4), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), before)
    after = done_image(anonymizer, tmp_path / "a.png", tmp_path / "b.png")
    assert (after[..., 3] == before[..., 3]).all()
    assert len(np.unique(after[15:40, 25:45, :3].reshape(-1, 3), axis=0)) == 1


def _grey(path: Path) -> None:
    cv2.imwrite(str(path), np.full((60, 80), 90, np.uint8))


def _deep(path: Path) -> None:
    cv2.imwrite(str(path), np.full((60, 80, 3), 30000, np.uint16))


@pytest.mark.parametrize("make", [_grey, _deep])
def test_other_kinds_of_png_become_rgb(
    make: Callable[[Path], None], anonymizer: Anonymizer, tmp_path: Path
) -> None:
    make(tmp_path / "a.png")
    assert done_image(anonymizer, tmp_path / "a.png", tmp_path / "b.png").shape == (60, 80, 3)


def test_no_tag_of_a_jpeg_comes_along(anonymizer: Anonymizer, tmp_path: Path) -> None:
    ok, packed = cv2.imencode(".jpg", np.full((60, 80, 3), 120, np.uint8))
    assert ok
    tag = b"Exif\0\0SecretPlace"
    comment = b"\xff\xe1" + (len(tag) + 2).to_bytes(2, "big") + tag
    data = packed.tobytes()
    (tmp_path / "a.jpg").write_bytes(data[:2] + comment + data[2:])
    done_image(anonymizer, tmp_path / "a.jpg", tmp_path / "b.jpg")
    assert b"SecretPlace" not in (tmp_path / "b.jpg").read_bytes()


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_is_told(content: bytes, anonymizer: Anonymizer, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(SourceError, match=r"no PNG or JPEG|is damaged"):
        run_jobs(anonymizer, [Job(str(tmp_path / "a.png"), tmp_path / "b.png")], quiet=True, stop=[])
    assert not (tmp_path / "b.png").exists()


def test_images_with_impossible_outputs_are_told(
    anonymizer: Anonymizer, folder: Path, tmp_path: Path
) -> None:
    source = folder / "b.png"
    for output, error, words in (
        (tmp_path / "b.mp4", ConfigError, "an image becomes an image"),
        (source, ConfigError, "is the input itself"),
        (tmp_path / "missing" / "b.png", SinkError, "cannot write"),
    ):
        with pytest.raises(error, match=words):
            run_jobs(anonymizer, [Job(str(source), output)], quiet=True, stop=[])
    with pytest.raises(SourceError, match="cannot read"):
        run_jobs(anonymizer, [Job(str(tmp_path / "x.png"), tmp_path / "y.png")], quiet=True, stop=[])
