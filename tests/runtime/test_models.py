from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamanon.errors import ModelError
from streamanon.runtime.models import Engines, digest, engines_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "one.onnx").write_bytes(b"weights")
    entry = {"file": "one.onnx", "sha256": digest(tmp_path / "one.onnx")}
    (tmp_path / "manifest.json").write_text(json.dumps({"models": {"one": entry}}))
    return tmp_path


def test_a_model_whose_digest_matches_is_given(folder: Path) -> None:
    engines = Engines.open(folder)
    assert engines.path("one") == folder / "one.onnx"
    assert engines.digests() == {"one": digest(folder / "one.onnx")}
    assert len(engines.digests()["one"]) == 64


def test_a_model_that_was_changed_is_refused(folder: Path) -> None:
    (folder / "one.onnx").write_bytes(b"weighty")
    with pytest.raises(ModelError, match=r"one\.onnx differs from its digest"):
        Engines.open(folder).path("one")


def test_a_model_that_is_gone_is_told(folder: Path) -> None:
    (folder / "one.onnx").unlink()
    with pytest.raises(ModelError, match=r"one\.onnx is missing: install"):
        Engines.open(folder).path("one")


def test_an_unknown_model_is_told_with_the_known_ones(folder: Path) -> None:
    with pytest.raises(ModelError, match="no model 'two'; the manifest lists one"):
        Engines.open(folder).path("two")


@pytest.mark.parametrize(
    "content", [None, "", "{", "[]", "{}", '{"models": 3}', '{"models": {"one": {}}}', "\xff"]
)
def test_a_bad_manifest_is_one_clear_sentence(folder: Path, content: str | None) -> None:
    manifest = folder / "manifest.json"
    if content is None:
        manifest.unlink()
    else:
        manifest.write_bytes(content.encode("latin-1"))
    with pytest.raises(ModelError) as caught:
        Engines.open(folder).path("one")
    assert "install streamanon again" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_models_that_come_along_are_as_listed() -> None:
    engines = Engines.open()
    assert {"face-detector", "face-mesh", "delegates"} <= set(engines.models)
    for name, entry in engines.models.items():
        if (engines.folder / entry["file"]).is_file():
            assert engines.path(name).name == entry["file"]
            assert (engines.folder / entry["card"]).is_file()


def test_the_folder_is_found_without_being_told() -> None:
    assert (engines_folder() / "manifest.json").is_file()
