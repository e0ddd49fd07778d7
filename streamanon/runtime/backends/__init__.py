"""Where the models run. One interface, one file a runtime; ``auto`` takes the first that works,
unless another was clearly quicker on this machine (``trials``).

A backend that was named and cannot be loaded is an error, never a silent fallback.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from streamanon.config import ComputeConfig
from streamanon.errors import ConfigError, ModelError

# Else ONNX Runtime, as of 1.32, writes an id of this machine to the disk and reports its use to Microsoft.
# It reads this when it is imported, so its own function to turn that off comes too late.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# Else OpenVINO, as of 2026.4, tells Google Analytics that it is imported. It has no setting for that, but
# does without this package where it cannot be imported.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

Array = NDArray[Any]


class Model(Protocol):
    """One loaded model: float32 arrays in, in the order of its inputs, float32 arrays out; batch first.

    ``run`` may be called from several threads at once; its results belong to the caller.
    """

    def run(self, *inputs: Array) -> list[Array]: ...


class Backend(Protocol):
    """A runtime that loads ONNX files."""

    name: str

    def load(self, path: Path, *, precise: bool, threads: int = 0, bfloat16: bool = False) -> Model:
        """``precise`` asks for float32 arithmetic throughout, even where less is quicker; with ``bfloat16``
        products may be of bfloat16 numbers, where a CPU has that, with float32 sums. ``threads``: how many
        a small model can use well on a CPU; 0: as many as ``compute.threads`` allows.
        """
        ...


class Memory(Protocol):
    """A device's memory and its stream of work; tests use the host's. ``device``: PyTorch's, where there is
    one. ``architecture``: as "sm86". ``name``: what the vendor calls it.
    """

    device: Any
    architecture: str
    name: str

    def active(self) -> AbstractContextManager[object]:
        """Within it, allocations and work go to this device and stream."""
        ...

    @property
    def stream(self) -> int: ...
    def upload(self, array: Array) -> Any: ...
    def empty(self, shape: tuple[int, ...]) -> Any: ...
    def join(self, tensors: Sequence[Any]) -> Any: ...
    def download(self, tensors: Sequence[Any]) -> list[Array]: ...


def memory_of(backend: Backend) -> Memory | None:
    """Where the models of a backend have their inputs and results, if that is not the host."""
    memory: Memory | None = getattr(backend, "memory", None)
    return memory


def prefers_int8(backend: Backend) -> bool:
    """Whether a backend runs a network's INT8 file here, as it is quicker; one that says nothing of it runs
    the float32 file.
    """
    return bool(getattr(backend, "prefers_int8", False))


#: Name -> (packages, of each group one, our module), in the order of preference.
_CANDIDATES = {
    "tensorrt": (
        (("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings"), ("torch",)),
        "streamanon.runtime.backends.tensorrt",
    ),
    "openvino": ((("openvino",),), "streamanon.runtime.backends.openvino"),
    "onnxruntime": ((("onnxruntime",),), "streamanon.runtime.backends.onnxruntime"),
}
#: Names that ``compute.backend`` takes besides "auto".
BACKENDS = tuple(_CANDIDATES)


@dataclass(frozen=True)
class Verdict:
    """Whether a backend works here, and in words why not."""

    name: str
    works: bool
    reason: str


@dataclass(frozen=True)
class Choice:
    """A backend, and why others were not taken: those that "auto" prefers, or all, if they were timed."""

    backend: Backend
    passed_over: tuple[Verdict, ...] = ()


def choose_backend(config: ComputeConfig) -> Choice:
    """The named backend; with "auto" the first that works, unless another was clearly quicker when they
    were timed on this machine, which is done once. Raises :class:`ModelError`; ConfigError for settings of
    another backend.
    """
    if config.providers and config.backend not in ("auto", "onnxruntime"):
        raise ConfigError(
            f"compute.providers is for the backend onnxruntime, not {config.backend}; leave one of them out"
        )
    named = "onnxruntime" if config.providers else config.backend
    timed = _timed(config) if named == "auto" else None
    if timed is not None:
        return timed
    verdicts: list[Verdict] = []
    for name in list(_CANDIDATES) if named == "auto" else [named]:
        backend, reason = _try(name, config)
        if backend is not None:
            return Choice(backend, tuple(verdicts))
        verdicts.append(Verdict(name, False, reason))
    reasons = "; ".join(f"{one.name}: {one.reason}" for one in verdicts)
    remedy = "see streamanon doctor" if named == "auto" else "leave it to auto, which takes one that works"
    if config.providers:
        remedy = "or leave out compute.providers"
    raise ModelError(f"no backend can be used ({reasons}); {remedy}")


def _timed(config: ComputeConfig) -> Choice | None:
    """What timing the backends said, now or earlier; None where there is no choice."""
    from streamanon.runtime.backends import trials  # which imports this module

    installed = [name for name in _CANDIDATES if not _missing(name)]
    if len(installed) < 2 or not trials.is_wanted():
        return None
    trial = trials.remembered(config)
    # What could not be opened then (a driver was missing) is tried again each time.
    if trial is None or any(_try(name, config)[0] is not None for name in trial.unopened):
        tried = {name: _try(name, config) for name in installed}
        works = {name: backend for name, (backend, _) in tried.items() if backend is not None}
        unopened = {name: reason for name, (backend, reason) in tried.items() if backend is None}
        trial = trials.try_out(works, unopened, config) if len(works) > 1 else None
    backend = None if trial is None else _try(trial.chosen, config)[0]
    if trial is None or backend is None:
        return None
    reasons = trial.unopened | trial.reasons
    others = [name for name in _CANDIDATES if name != trial.chosen]
    return Choice(backend, tuple(Verdict(one, False, reasons.get(one) or _missing(one)) for one in others))


def open_backend(config: ComputeConfig) -> Backend:
    """:func:`choose_backend` without the reasons."""
    return choose_backend(config).backend


def examine_backends(config: ComputeConfig | None = None) -> list[Verdict]:
    """Try every backend, for ``streamanon doctor``."""
    verdicts = []
    for name in _CANDIDATES:
        backend, reason = _try(name, config or ComputeConfig())
        verdicts.append(Verdict(name, backend is not None, reason))
    return verdicts


def _try(name: str, config: ComputeConfig) -> tuple[Backend | None, str]:
    if missing := _missing(name):
        return None, missing
    try:
        create: Callable[[ComputeConfig], Backend] = importlib.import_module(_CANDIDATES[name][1]).create
        backend = create(config)
        return _Precise(backend) if config.precision == "fp32" else backend, "works"
    except ModelError as error:
        return None, str(error)
    except Exception as error:  # a broken driver raises anything; the reason is shown
        return None, f"{type(error).__name__}: {first_line(error)}"


def _missing(name: str) -> str:
    """What has to be installed for a backend, in words; empty if nothing has."""
    for group in _CANDIDATES[name][0]:
        if not any(importlib.util.find_spec(package) for package in group):
            return f"the package {group[0]} is not installed"
    return ""


class _Precise:
    """A backend that runs every model in float32, for ``compute.precision`` fp32."""

    prefers_int8 = False

    def __init__(self, backend: Backend) -> None:
        self._backend, self.name = backend, backend.name
        self.memory = memory_of(backend)

    def load(self, path: Path, *, precise: bool, threads: int = 0, bfloat16: bool = False) -> Model:
        return self._backend.load(path, precise=True, threads=threads)


def threads_of(most: int, useful: int) -> int:
    """Threads of a model: as many as are useful to it, but not more than the user's most; 0 is no limit."""
    return min(most, useful) if most and useful else most or useful


def is_x86_64() -> bool:
    """Whether the processor is of the kind on which INT8 was timed."""
    return platform.machine().lower() in ("x86_64", "amd64")


def require_cpu(device: int) -> None:
    """Raises :class:`ModelError` where a GPU was asked for of a runtime that has none."""
    if device:
        raise ModelError(f"compute.device {device} names a GPU and this runs on the CPU; leave it 0")


def first_line(error: Exception) -> str:
    """What a runtime's error, often pages long, says first."""
    return (str(error).strip().splitlines() or ["no detail"])[0]
