"""TensorRT, or TensorRT-RTX where that is installed instead: one Python API under several package names."""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamanon.errors import ModelError

#: Import names: TensorRT itself, and TensorRT-RTX by NVIDIA's archive and by the wheels on PyPI.
TENSORRT, RTX_PACKAGES = "tensorrt", ("tensorrt_rtx", "tensorrt_rtx_bindings")
RTX_LIBRARIES = "tensorrt_rtx_libs"
#: For Turing TensorRT-RTX, as of 1.7, compiles no matrix product in float32, which some networks need.
NOT_FLOAT32 = {"sm75"}
#: The first version with today's API: named tensors, no implicit batch.
LEAST_TENSORRT = 10


@dataclass(frozen=True)
class Library:
    """One of the two. ``api``: its module. ``rtx``: TensorRT-RTX, which builds without a GPU, for GPUs of
    other machines too, and compiles kernels when a plan first runs.
    """

    name: str
    version: str
    api: Any
    rtx: bool

    def targets(self) -> list[str]:
        """GPU architectures that plans can be built for on any machine, as "sm86"."""
        if not self.rtx:
            return []
        named = [name.lower() for name in self.api.ComputeCapability.__members__ if name.startswith("SM")]
        return sorted(set(named) - NOT_FLOAT32, key=lambda name: int(name[2:]))


def is_installed() -> bool:
    return any(importlib.util.find_spec(name) for name in (TENSORRT, *RTX_PACKAGES))


def open_library(*, rtx: bool = False) -> Library:
    """TensorRT where it is installed, TensorRT-RTX else, or with ``rtx`` only that. Raises
    :class:`ModelError`.
    """
    if not rtx and importlib.util.find_spec(TENSORRT) is not None:
        return _tensorrt()
    for name in RTX_PACKAGES:
        if importlib.util.find_spec(name) is not None:
            return _tensorrt_rtx(name)
    raise ModelError(
        "TensorRT-RTX is not installed: pip install tensorrt-rtx-cu12-libs tensorrt-rtx-cu12-bindings"
    )


def _tensorrt() -> Library:
    api = importlib.import_module(TENSORRT)
    if int(api.__version__.split(".")[0]) < LEAST_TENSORRT:
        raise ModelError(f"TensorRT {api.__version__} is too old: install tensorrt>={LEAST_TENSORRT}")
    return Library("TensorRT", api.__version__, api, rtx=False)


def _tensorrt_rtx(name: str) -> Library:
    if importlib.util.find_spec(RTX_LIBRARIES) is not None:
        _load_globally(importlib.import_module(RTX_LIBRARIES))
    api = importlib.import_module(name)
    return Library("TensorRT-RTX", api.__version__, api, rtx=True)


def _load_globally(package: Any) -> None:
    """The wheel loads its libraries for itself alone, and the bindings then do not find their symbols. The
    parser needs the other one.
    """
    for path in sorted(Path(package.__file__).parent.glob("*.so*"), key=lambda one: "parser" in one.name):
        ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL)


def make_log(library: Library) -> tuple[Any, list[str]]:
    """A logger for the library, and the list that it adds errors to. Nothing is printed: what matters is
    raised as one sentence.
    """
    said: list[str] = []
    base: Any = library.api.ILogger

    class Log(base):  # type: ignore[misc]  # mypy wants a base that is known before
        def __init__(self) -> None:
            base.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity in (base.INTERNAL_ERROR, base.ERROR):
                said.append(message)

    return Log(), said
