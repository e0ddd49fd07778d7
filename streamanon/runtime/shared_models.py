"""A backend whose models are loaded once, however many streams use them."""

from __future__ import annotations

import threading
from pathlib import Path

from streamanon.runtime.backends import Backend, Model, memory_of, prefers_int8


class SharedBackend:
    """Gives the same model for the same file and settings. Models may be run from several threads."""

    def __init__(self, backend: Backend) -> None:
        self.name, self.memory = backend.name, memory_of(backend)
        self.prefers_int8 = prefers_int8(backend)
        self._backend = backend
        self._models: dict[tuple[Path, bool, int, bool], Model] = {}
        self._loading = threading.Lock()

    def load(self, path: Path, *, precise: bool, threads: int = 0, bfloat16: bool = False) -> Model:
        """As :meth:`Backend.load`."""
        key = (path, precise, threads, bfloat16)
        with self._loading:
            if key not in self._models:
                self._models[key] = self._backend.load(
                    path, precise=precise, threads=threads, bfloat16=bfloat16
                )
            return self._models[key]
