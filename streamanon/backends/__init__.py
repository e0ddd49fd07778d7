"""Where the models run. One interface, one file a runtime; ``auto`` takes the first that works.

A backend that was named and cannot be loaded is an error, never a silent fallback.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from streamanon.config import ComputeConfig
from streamanon.errors import ModelError

# Else ONNX Runtime, as of 1.32, writes an id of this machine to the disk and reports its use to Microsoft.
# It reads this when it is imported, so its own function to turn that off comes too late.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

Array = NDArray[Any]


class Model(Protocol):
    """One loaded model: float32 arrays in, in the order of its inputs, float32 arrays out; batch first."""

    def run(self, *inputs: Array) -> list[Array]: ...


class Backend(Protocol):
    """A runtime that loads ONNX files."""

    name: str

    def load(self, path: Path, *, precise: bool, threads: int = 0) -> Model:
        """``precise`` asks for float32 arithmetic throughout, even where less is quicker. ``threads``: how
        many a small model can use well on a CPU; 0 leaves it to the backend.
        """
        ...


#: Name -> (package that must be there, our module), in the order of preference.
_CANDIDATES = {
    "tensorrt": ("tensorrt", "streamanon.backends.tensorrt"),
    "openvino": ("openvino", "streamanon.backends.openvino"),
    "onnxruntime": ("onnxruntime", "streamanon.backends.onnxruntime"),
}


@dataclass(frozen=True)
class Verdict:
    """Whether a backend works here, and in words why not."""

    name: str
    works: bool
    reason: str


def open_backend(config: ComputeConfig) -> Backend:
    """The named backend, or with "auto" the first that works. Raises :class:`ModelError`."""
    names = list(_CANDIDATES) if config.backend == "auto" else [config.backend]
    reasons = []
    for name in names:
        backend, reason = _try(name, config.threads)
        if backend is not None:
            return backend
        reasons.append(f"{name}: {reason}")
    raise ModelError(f"no backend can be used ({'; '.join(reasons)})")


def examine_backends() -> list[Verdict]:
    """Try every backend, for ``streamanon doctor``."""
    verdicts = []
    for name in _CANDIDATES:
        backend, reason = _try(name, 0)
        verdicts.append(Verdict(name, backend is not None, reason))
    return verdicts


def _try(name: str, threads: int) -> tuple[Backend | None, str]:
    package, module = _CANDIDATES[name]
    if importlib.util.find_spec(package) is None:
        return None, f"the package {package} is not installed"
    try:
        create: Callable[[int], Backend] = importlib.import_module(module).create
        return create(threads), "works"
    except Exception as error:  # a broken driver raises anything; the reason is shown
        return None, f"{type(error).__name__}: {first_line(error)}"


def first_line(error: Exception) -> str:
    """What a runtime's error, often pages long, says first."""
    return (str(error).strip().splitlines() or ["no detail"])[0]
