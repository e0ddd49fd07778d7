from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import write_clip

from streamanon.cli import main
from streamanon.commands import preview
from streamanon.media.probe import probe


def test_they_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["delegates", "list"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["id", "presents", "age", "tone"]
    assert len(lines) >= 256
    assert len({line.split()[0] for line in lines}) == len(lines)


@pytest.mark.slow
def test_some_are_shown_on_a_sheet(tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"
    assert main(["delegates", "show", "d000", "d001", "d002", "-o", str(path)]) == 0
    sheet = cv2.imread(str(path))
    assert sheet is not None
    assert sheet.shape == (128, 384, 3)
    assert all(tile.std() > 10 for tile in np.split(sheet, 3, axis=1))


def test_some_are_exported(tmp_path: Path) -> None:
    assert main(["delegates", "export", "d002", "d003", "-o", str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["d002.png", "d003.png"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["show", "nobody", "-o", "a.png"], "no delegate 'nobody'"),
        (["show", "d000", "-o", "a.txt"], "a.txt"),
        (["export", "d000", "-o", "/proc/none"], "/proc/none"),
    ],
)
def test_wrong_use_is_one_sentence(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["delegates", *arguments]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("what", "file"), [("show", "d002.png"), pytest.param("export", "d002.png", marks=pytest.mark.slow)]
)
def test_what_exists_is_replaced_only_when_asked(what: str, file: str, tmp_path: Path) -> None:
    path = tmp_path / file
    path.write_bytes(b"mine")
    arguments = ["delegates", what, "d002", "-o", str(path if what == "show" else tmp_path)]
    assert main(arguments) == 2
    assert path.read_bytes() == b"mine"
    assert main([*arguments, "--overwrite"]) == 0
    assert path.read_bytes() != b"mine"


def test_a_gallery_that_exists_is_not_replaced_unasked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.npz"
    path.write_bytes(b"mine")
    assert main(["delegates", "add", str(tmp_path), "-o", str(path)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert path.read_bytes() == b"mine"


@pytest.mark.slow
def test_a_reader_that_goes_early_is_no_error() -> None:
    command = f"{sys.executable} -m streamanon delegates list | true"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.slow
def test_a_clip_is_shown_with_six_candidates(tmp_path: Path) -> None:
    clip = Path(__file__).parents[1] / "data" / "demo.mp4"
    one, two = tmp_path / "one.png", tmp_path / "two.png"
    assert main(["delegates", "preview", str(clip), "-o", str(one), "--seed", "3"]) == 0
    assert main(["delegates", "preview", str(clip), "-o", str(two), "--seed", "3"]) == 0
    sheet = cv2.imread(str(one))
    assert sheet is not None
    assert sheet.shape == (640, 960, 3)
    assert one.read_bytes() == two.read_bytes()
    tiles = [tile for row in np.split(sheet, 2) for tile in np.split(row, 3, axis=1)]
    middles = [tile[120:200, 120:200].astype(int) for tile in tiles]
    assert all(np.abs(a - b).mean() > 2 for n, a in enumerate(middles) for b in middles[:n])


@pytest.mark.parametrize("rotation", [0, 90])
def test_a_preview_shows_people_as_players_do(rotation: int, tmp_path: Path) -> None:
    """Of a phone's video they lay on their sides."""
    clip = write_clip(tmp_path / "a.mp4", rotation=rotation)
    info = probe(clip)
    (frame,) = preview._some(clip)
    shown = (frame.picture.width, frame.picture.height)
    assert shown == ((info.height, info.width) if rotation else (info.width, info.height))


def test_a_preview_needs_a_picture_name_and_a_video(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["delegates", "preview", "none.mp4", "-o", str(tmp_path / "a.txt")]) == 2
    assert main(["delegates", "preview", "none.mp4", "-o", str(tmp_path / "a.png")]) == 2
    assert capsys.readouterr().err.count("\n") == 2
