"""Models of the user's own, kept by digest in the user's data folder and found by name.

``DIGEST.onnx`` holds a model, ``NAME.json`` the digest that a name stands for.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from streamanon.errors import ConfigError, ModelError, SinkError
from streamanon.runtime.models import digest
from streamanon.runtime.user_folders import user_folder

#: Names go into file names and settings.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class StoredModel:
    """A model by ``name``, its file, and the SHA-256 that the file had when it was added."""

    name: str
    path: Path
    sha256: str


def user_models_folder() -> Path:
    """In the user's data folder."""
    return user_folder("XDG_DATA_HOME", ".local/share") / "models"


def find_model(given: str) -> Path:
    """The file that the setting ``detect.model`` names: a path that ends in .onnx, or a stored model, whose
    digest is checked. Raises :class:`ConfigError` or :class:`ModelError`.
    """
    path = Path(os.path.expanduser(given))  # Path's own fails for a user who is not there
    if path.suffix.lower() == ".pt":
        raise ConfigError(
            f"{path.name} holds PyTorch weights: export it first, with yolo export model={path.name}"
            " format=onnx dynamic=True"
        )
    if path.suffix.lower() == ".onnx" or len(path.parts) > 1:
        if not path.is_file():
            raise ConfigError(f"there is no model {path}: check the path")
        return path
    entry = user_models_folder() / f"{given}.json"
    if not _NAME.fullmatch(given) or not entry.is_file():
        listed = ", ".join(model.name for model in stored_models()) or "none"
        raise ConfigError(
            f"there is no model {given!r}; stored: {listed}; give the path of an .onnx file, or add one"
            " with streamanon models add"
        )
    return _checked(_read(entry))


def stored_models() -> list[StoredModel]:
    """All stored models by name. Raises :class:`ModelError` for an entry that cannot be read."""
    return [_read(entry) for entry in sorted(user_models_folder().glob("*.json"))]


def store_model(path: Path, name: str | None = None, overwrite: bool = False) -> StoredModel:
    """Copy a model that was checked into the folder; without a name it gets that of its file.

    Raises :class:`ConfigError` for a name that cannot be one, or stands for another model unless
    ``overwrite``; :class:`SinkError` where nothing can be written.
    """
    name = path.stem if name is None else name
    if not _NAME.fullmatch(name) or Path(name).suffix.lower() in (".onnx", ".pt"):
        raise ConfigError(
            f"{name!r} is no name for a model: give letters, digits, dots and dashes as --name"
        )
    folder, sha256 = user_models_folder(), digest(path)
    entry, kept = folder / f"{name}.json", folder / f"{sha256}.onnx"
    if entry.exists() and not overwrite and _read(entry).sha256 != sha256:
        raise ConfigError(f"another model is called {name}: give another --name, or --overwrite")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_beside(kept, lambda beside: shutil.copyfile(path, beside))
        _write_beside(entry, lambda beside: beside.write_text(json.dumps({"sha256": sha256}) + "\n"))
    except OSError as error:
        raise SinkError(
            f"cannot store the model in {folder}: {error.strerror}; set XDG_DATA_HOME to a folder that you"
            " may write to"
        ) from error
    if digest(kept) != sha256:
        raise SinkError(f"{path.name} changed while it was stored: add it again")
    return StoredModel(name, kept, sha256)


def _write_beside(path: Path, write: Callable[[Path], object]) -> None:
    """Write beside and rename, so that a process that is killed leaves no torn file of that name."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        write(beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _read(entry: Path) -> StoredModel:
    try:
        sha256 = str(json.loads(entry.read_text(encoding="utf-8"))["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"cannot read {entry}: remove it and add the model again") from error
    return StoredModel(entry.stem, entry.parent / f"{sha256}.onnx", sha256)


def _checked(model: StoredModel) -> Path:
    if not model.path.is_file():
        raise ModelError(f"the file of the model {model.name} is missing: add it again")
    if digest(model.path) != model.sha256:
        raise ModelError(f"the file of the model {model.name} differs from its digest: add it again")
    return model.path
