from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx_exports import Export, answer, write_export

from streamanon.cli import main
from streamanon.runtime.models import digest
from streamanon.runtime.user_models import user_models_folder

BOX, SCORE = np.array([[8, 8, 40, 48]], np.float32), np.array([0.9], np.float32)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def add(path: Path, export: Export, *more: str) -> int:
    write_export(path, export, answer(export, BOX, SCORE))
    return main(["models", "add", str(path), "--backend", "onnxruntime", *more])


def test_a_model_is_added_and_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list"]) == 0
    assert "no models are stored" in capsys.readouterr().out
    assert add(tmp_path / "face.onnx", Export(names={0: "face", 1: "hand"})) == 0
    sha256 = digest(tmp_path / "face.onnx")
    told = f"face: detect, 64x64 px, classes face, hand, no keypoints of a face; SHA-256 {sha256}"
    assert capsys.readouterr().out.splitlines() == [told, "use it with --detector face"]
    pose = Export("pose", size=None, keypoints=(5, 3), names={0: "person"})
    assert add(tmp_path / "p.onnx", pose, "--name", "own") == 0
    assert "--set 'detect.classes=[...]'" in capsys.readouterr().out
    assert main(["models", "list"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == told
    assert second.startswith("own: pose, any size, classes person, five keypoints")


def test_a_stored_model_that_changed_is_told_in_the_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert add(tmp_path / "face.onnx", Export()) == 0
    next(user_models_folder().glob("*.onnx")).write_bytes(b"other")
    capsys.readouterr()
    assert main(["models", "list"]) == 0
    assert "differs from its digest: add it again" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "export", "more", "told"),
    [
        ("m.onnx", Export("segment"), (), "m.onnx is for segmentation"),
        ("m.onnx", Export(), ("--name", "a/b"), "is no name for a model"),
        ("m.onnx", Export(), ("--backend", "cuda"), "compute.backend must be one of"),
    ],
)
def test_what_is_refused_is_not_stored(
    tmp_path: Path,
    name: str,
    export: Export,
    more: tuple[str, ...],
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert add(tmp_path / name, export, *more) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert not user_models_folder().exists()


@pytest.mark.parametrize(
    ("name", "told"), [("none.onnx", "there is no model"), ("face.pt", "yolo export model=face.pt")]
)
def test_files_that_are_no_model_are_told(
    tmp_path: Path, name: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "add", str(tmp_path / name)]) == 2
    assert told in capsys.readouterr().err
