"""The model files and their manifest: nothing is loaded whose digest differs from the manifest's."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamanon.errors import ModelError

MANIFEST = "manifest.json"


def engines_folder() -> Path:
    """The folder of the models: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    for folder in (package / "engines", package.parent / "engines"):
        if (folder / MANIFEST).is_file():
            return folder
    raise ModelError(f"no models found at {package / 'engines'}: install streamanon again")


@dataclass(frozen=True)
class Engines:
    """The manifest's entries by model name."""

    folder: Path
    models: dict[str, dict[str, Any]]

    @staticmethod
    def open(folder: Path | None = None) -> Engines:
        folder = folder or engines_folder()
        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            models = dict(manifest["models"])
            if not all({"file", "sha256"} <= entry.keys() for entry in models.values()):
                raise ValueError("an entry lacks its file or its digest")
            return Engines(folder, models)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"cannot read {folder / MANIFEST}: install streamanon again") from error

    def path(self, name: str) -> Path:
        """The file of a model, after its digest was checked."""
        if name not in self.models:
            raise ModelError(f"no model {name!r}; the manifest lists {', '.join(sorted(self.models))}")
        path = self.folder / str(self.models[name]["file"])
        if not path.is_file():
            raise ModelError(f"the model file {path} is missing: install streamanon again")
        if digest(path) != self.models[name]["sha256"]:
            raise ModelError(f"the model file {path} differs from its digest: install streamanon again")
        return path

    def digests(self) -> dict[str, str]:
        return {name: str(entry["sha256"]) for name, entry in self.models.items()}


def digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
