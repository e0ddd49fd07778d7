from __future__ import annotations

from pathlib import Path

import pytest

from streamanon.commands.jobs import Job, check_jobs, find_jobs
from streamanon.errors import ConfigError, SourceError
from streamanon.media.output_file import is_stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a video, an image, other files and folders in it."""
    inside = tmp_path / "in"
    (inside / "deeper" / "still").mkdir(parents=True)
    (inside / ".hidden").mkdir()
    for name in ("a.mp4", "b.png", "notes.txt", ".DS_Store", "deeper/c.WMV", "deeper/still/d.heic"):
        (inside / name).touch()
    (inside / ".hidden" / "x.mp4").touch()
    return inside


def names(source: Path, output: Path, recursive: bool = False) -> list[str]:
    return [str(job.output.relative_to(output)) for job in find_jobs(str(source), output, recursive).jobs]


def test_one_file_is_one_job(tmp_path: Path) -> None:
    assert find_jobs("a.mp4", tmp_path / "b.mkv").jobs == [Job("a.mp4", tmp_path / "b.mkv")]
    assert find_jobs("x/a.mp4", tmp_path).jobs == [Job("x/a.mp4", tmp_path / "a.mp4")]
    assert find_jobs("x/a.avi", tmp_path).jobs == [Job("x/a.avi", tmp_path / "a.mp4")]


def test_a_folder_is_a_job_for_each_video_and_image(folder: Path, tmp_path: Path) -> None:
    jobs = find_jobs(str(folder), tmp_path / "out").jobs
    assert [job.output for job in jobs] == [tmp_path / "out" / "a.mp4", tmp_path / "out" / "b.png"]
    assert [job.is_image for job in jobs] == [False, True]


def test_suffixes_in_capitals_count(tmp_path: Path) -> None:
    for name in ("A.MP4", "B.Jpeg", "C.AVI"):
        (tmp_path / name).touch()
    outputs = [job.output.name for job in find_jobs(str(tmp_path), tmp_path / "out").jobs]
    assert outputs == ["A.MP4", "B.Jpeg", "C.mp4"]


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="holds no video and no image"):
        find_jobs(str(tmp_path), tmp_path / "out")


def test_a_file_cannot_take_a_folder(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out.mp4").touch()
    with pytest.raises(ConfigError, match="is a file, but the input is a folder"):
        find_jobs(str(folder), tmp_path / "out.mp4")


def test_two_inputs_never_share_an_output(tmp_path: Path) -> None:
    for name in ("a.avi", "a.mp4", "a.mpg", "b.avi", "c.wmv", "c.flv"):
        (tmp_path / name).touch()
    found = names(tmp_path, tmp_path / "out")
    assert found == ["a.avi.mp4", "a.mp4", "a.mpg.mp4", "b.mp4", "c.mp4", "c.wmv.mp4"]


@pytest.mark.parametrize(
    "name",
    ["a.wmv", "a.flv", "a.vob", "a.ogv", "a.asf", "a.f4v", "a.mxf", "a.3g2", "a.divx", "a.y4m", "a.m2v"],
)
def test_videos_of_any_kind_are_found(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    (job,) = find_jobs(str(tmp_path), tmp_path / "out").jobs
    assert (job.output.name, job.is_image) == ("a.mp4", False)


@pytest.mark.parametrize(
    "name",
    [
        "a.gif",
        "a.webp",
        "a.bmp",
        "a.tif",
        "a.TIFF",
        "a.jfif",
        "a.jpe",
        "a.apng",
        "a.avif",
        "a.heic",
        "a.heif",
    ],
)
def test_images_of_any_kind_are_found(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    (job,) = find_jobs(str(tmp_path), tmp_path / "out").jobs
    assert (job.output.name, job.is_image) == (name, True)


def test_nothing_is_named_after_a_pipe(tmp_path: Path) -> None:
    assert find_jobs("-", tmp_path).jobs == [Job("-", tmp_path / "stream.mp4")]


def test_a_file_called_like_standard_output_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    Path("in/-.mp4").touch()
    for source in ("in", "in/-.mp4"):
        (job,) = find_jobs(source, Path()).jobs
        assert not is_stdout(job.output)
        assert job.output == tmp_path / "-.mp4"


def test_a_gif_may_become_a_video() -> None:
    assert not Job("a.gif", Path("b.mp4")).is_image


def test_what_is_left_out_is_told(folder: Path, tmp_path: Path) -> None:
    left_out = find_jobs(str(folder), tmp_path / "out").left_out
    assert left_out == (
        "skipped, as neither video nor image by their names: 1 .txt",
        "skipped: 1 subfolder; give --recursive to include them",
    )


def test_hidden_videos_are_told_and_what_systems_leave_is_not(tmp_path: Path) -> None:
    for name in ("a.mp4", ".b.mp4", "._a.mp4", ".DS_Store", "Thumbs.db", ".hidden.txt"):
        (tmp_path / name).touch()
    found = find_jobs(str(tmp_path), tmp_path / "out")
    assert [Path(job.source).name for job in found.jobs] == ["a.mp4"]
    assert found.left_out == ("skipped: 1 hidden file (names that begin with a dot)",)


def test_names_that_are_too_long_reach_whoever_opens_them(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 300 + ".mp4")
    assert find_jobs("a.mp4", long).jobs == [Job("a.mp4", long)]
    assert find_jobs("x" * 300, Path("b.mp4")).jobs[0].output == Path("b.mp4")


def test_folders_within_are_gone_into_when_asked(folder: Path, tmp_path: Path) -> None:
    assert names(folder, tmp_path / "out", recursive=True) == [
        "a.mp4",
        "b.png",
        "deeper/c.mp4",
        "deeper/still/d.heic",
    ]
    assert find_jobs(str(folder), tmp_path / "out", recursive=True).left_out == (
        "skipped, as neither video nor image by their names: 1 .txt",
    )


def test_an_output_within_the_input_is_not_gone_into(folder: Path) -> None:
    assert len(names(folder, folder / "deeper", recursive=True)) == 2


def test_recursive_is_for_folders() -> None:
    with pytest.raises(ConfigError, match="--recursive is for folders"):
        find_jobs("a.mp4", Path("b.mp4"), recursive=True)
    with pytest.raises(ConfigError) as told:
        find_jobs("rtsp://u:hunter2@camera", Path("b.mp4"), recursive=True)
    assert "camera" in str(told.value)
    assert "hunter2" not in str(told.value)


@pytest.mark.parametrize("name", ["out.mp4", "out.png", "out.WMV"])
def test_a_folder_does_not_become_one_with_the_name_of_a_file(
    name: str, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="is a file's name; give a folder's"):
        find_jobs(str(folder), tmp_path / name)
    (tmp_path / name).mkdir()  # somebody's wish
    assert len(find_jobs(str(folder), tmp_path / name).jobs) == 2


def test_outputs_that_exist_are_refused_before_the_work(folder: Path, tmp_path: Path) -> None:
    jobs = find_jobs(str(folder), tmp_path / "out").jobs
    (tmp_path / "out").mkdir()
    for name in ("b.png", "a.partial.mp4"):
        (tmp_path / "out" / name).touch()
        with pytest.raises(
            ConfigError, match=r"(a\.mp4|b\.png) or its partial file exists already.*--skip-existing"
        ):
            check_jobs(jobs, overwrite=False)
    check_jobs(jobs, overwrite=True)
    check_jobs(jobs, overwrite=False, skip_existing=True)


def test_a_report_that_exists_is_told_with_a_remedy_that_works(tmp_path: Path) -> None:
    report = tmp_path / "r.json"
    report.touch()
    jobs = [Job("a.mp4", tmp_path / "b.mp4")]
    with pytest.raises(ConfigError, match=r"--overwrite .* to replace it"):
        check_jobs(jobs, overwrite=False, report=report)
    with pytest.raises(ConfigError, match="give another name, or remove it"):
        check_jobs(jobs, overwrite=False, report=report, skip_existing=True)
