from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from streamanon.cli import main


def test_they_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["delegates", "list"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["id", "presents", "age", "tone"]
    assert len(lines) >= 256
    assert len({line.split()[0] for line in lines}) == len(lines)


def test_some_are_shown_on_a_sheet(tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"
    assert main(["delegates", "show", "d000", "d001", "d002", "-o", str(path)]) == 0
    sheet = cv2.imread(str(path))
    assert sheet is not None
    assert sheet.shape == (128, 384, 3)
    assert all(tile.std() > 10 for tile in np.split(sheet, 3, axis=1))


def test_some_are_exported(tmp_path: Path) -> None:
    assert main(["delegates", "export", "d004", "d005", "-o", str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["d004.png", "d005.png"]


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
