from __future__ import annotations

from pathlib import Path

import pytest

from streamanon.errors import ConfigError, ModelError, SinkError
from streamanon.runtime.backends.plan_cache import cache_folder, store_plan
from streamanon.runtime.models import digest
from streamanon.runtime.user_models import find_model, store_model, stored_models, user_models_folder


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return user_models_folder()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "yolov8n-face.onnx").write_bytes(b"weights")
    return tmp_path / "yolov8n-face.onnx"


def test_a_model_is_stored_by_digest_and_found_by_name(folder: Path, file: Path) -> None:
    stored = store_model(file)
    assert stored.name == "yolov8n-face"
    assert stored.path == folder / f"{digest(file)}.onnx"
    file.unlink()
    assert find_model("yolov8n-face").read_bytes() == b"weights"
    assert stored_models() == [stored]
    assert sorted(path.suffix for path in folder.iterdir()) == [".json", ".onnx"]


def test_a_path_is_taken_as_it_is(file: Path) -> None:
    assert find_model(str(file)) == file


def test_a_changed_file_is_refused(file: Path) -> None:
    store_model(file, "mine").path.write_bytes(b"other weights")
    with pytest.raises(ModelError, match="mine differs from its digest: add it again"):
        find_model("mine")
    store_model(file, "mine")
    assert find_model("mine").read_bytes() == b"weights"


def test_a_missing_file_is_told(file: Path) -> None:
    store_model(file, "mine").path.unlink()
    with pytest.raises(ModelError, match="mine is missing: add it again"):
        find_model("mine")


def test_a_name_stands_for_another_model_only_if_asked(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    other.write_bytes(b"better weights")
    store_model(file, "mine")
    store_model(file, "mine")
    with pytest.raises(ConfigError, match="another model is called mine"):
        store_model(other, "mine")
    store_model(other, "mine", overwrite=True)
    assert find_model("mine").read_bytes() == b"better weights"


@pytest.mark.parametrize("name", ["", "../mine", "a b", "mine.onnx", "-x", "x" * 80])
def test_odd_names_are_refused(file: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="is no name for a model"):
        store_model(file, name)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("yolov8n-face.pt", "yolo export"),
        ("none.onnx", "there is no model none.onnx"),
        ("dir/none", "there is no model dir/none"),
        ("nobody", "there is no model 'nobody'; stored: mine"),
    ],
)
def test_what_is_not_there_is_told(file: Path, given: str, told: str) -> None:
    store_model(file, "mine")
    with pytest.raises(ConfigError, match=told):
        find_model(given)


def test_a_folder_that_cannot_be_written_is_told(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/proc/none")
    with pytest.raises(SinkError, match="cannot store the model in /proc/none"):
        store_model(file)


def test_an_entry_that_cannot_be_read_is_told(file: Path, folder: Path) -> None:
    store_model(file)
    (folder / "broken.json").write_text("{")
    with pytest.raises(ModelError, match=r"broken\.json: remove it"):
        stored_models()


def test_a_user_without_a_home_has_no_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an unknown user in a container."""
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", home)
    assert stored_models() == []
    with pytest.raises(ConfigError, match="there is no model 'mine'; stored: none"):
        find_model("mine")
    model = tmp_path / "mine.onnx"
    model.write_bytes(b"x")
    with pytest.raises(SinkError, match=r"cannot store the model in .*; set XDG_DATA_HOME"):
        store_model(model)
    assert not store_plan(cache_folder() / "a.plan", b"plan")


def test_the_home_of_an_unknown_user_is_a_path_as_any_other() -> None:
    with pytest.raises(ConfigError, match=r"there is no model ~nobody-of-this-name/x\.onnx"):
        find_model("~nobody-of-this-name/x.onnx")
