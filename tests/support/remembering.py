"""Models that are loaded once for many tests, and that run once for each input."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streamanon.config import ComputeConfig
from streamanon.runtime.backends import Array, Backend, Model

RUNTIMES = ("openvino", "onnxruntime")
#: What a model depends on: its runtime and file, precise, bfloat16, the threads of both.
Key = tuple[str, Path, int, bool, bool, int, int]


class RememberingModel:
    """Answers an input that it has seen before from memory; the arrays belong to the caller."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._answers: dict[bytes, list[Array]] = {}

    def run(self, *inputs: Array) -> list[Array]:
        key = b"".join(
            repr((one.shape, one.dtype)).encode() + hashlib.sha256(one.tobytes()).digest() for one in inputs
        )
        if key not in self._answers:
            self._answers[key] = self._model.run(*inputs)
        return [one.copy() for one in self._answers[key]]


class RememberingBackend:
    """A backend whose models remember. ``loaded`` may be shared by several."""

    def __init__(self, backend: Backend, loaded: dict[Key, Model] | None = None, threads: int = 0) -> None:
        self.name, self._backend, self._threads = backend.name, backend, threads
        self._loaded = {} if loaded is None else loaded

    def load(self, path: Path, *, precise: bool, threads: int = 0, bfloat16: bool = False) -> Model:
        key = (
            self.name,
            path.resolve(),
            path.stat().st_mtime_ns,
            precise,
            bfloat16,
            self._threads,
            threads,
        )
        if key not in self._loaded:
            model = self._backend.load(path, precise=precise, threads=threads, bfloat16=bfloat16)
            self._loaded[key] = RememberingModel(model)
        return self._loaded[key]


@contextmanager
def remembered(loaded: dict[Key, Model]) -> Iterator[None]:
    """Within, every backend for the CPU that is opened remembers, in ``loaded``."""
    with pytest.MonkeyPatch.context() as patch:
        for name in filter(importlib.util.find_spec, RUNTIMES):
            module = importlib.import_module(f"streamanon.runtime.backends.{name}")

            def create(config: ComputeConfig, right: object = module.create) -> Backend:
                assert callable(right)
                return RememberingBackend(right(config), loaded, config.threads)

            patch.setattr(module, "create", create)
        yield
