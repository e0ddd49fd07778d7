"""What NVIDIA's GPUs do during a run, by NVML (package ``nvidia-ml-py``), and what a Jetson's rails carry;
nothing where there is none. https://docs.nvidia.com/deploy/nvml-api/
"""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Callable, Mapping
from types import ModuleType, TracebackType
from typing import Any

from streamanon.bench.jetson import read_rails

#: Seconds between two samples.
_STEP_SECONDS = 0.2
#: Reasons for lower clocks that mean that the GPU is too hot or short of power.
_THROTTLED = (
    "SwPowerCap",
    "HwSlowdown",
    "SwThermalSlowdown",
    "HwThermalSlowdown",
    "HwPowerBrakeSlowdown",
)


def open_nvml() -> ModuleType | None:
    """NVML, ready; None without the package, the driver or a GPU."""
    try:
        nvml = importlib.import_module("pynvml")
        nvml.nvmlInit()
        return nvml if nvml.nvmlDeviceGetCount() else None
    except Exception:  # of a missing package, library or driver
        return None


def handle_of(nvml: ModuleType, device: int) -> Any:
    """NVML's handle of the CUDA device of that number. NVML knows nothing of ``CUDA_VISIBLE_DEVICES``, by
    which CUDA's numbers may be others; of several kinds of GPU, both count alike with
    ``CUDA_DEVICE_ORDER=PCI_BUS_ID``.
    """
    visible = [one.strip() for one in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if one.strip()]
    name = visible[device] if device < len(visible) else str(device)
    if name.isdigit():
        return nvml.nvmlDeviceGetHandleByIndex(int(name))
    try:
        return nvml.nvmlDeviceGetHandleByUUID(name)
    except nvml.NVMLError:  # CUDA takes the beginning of a name, NVML only all of it
        return nvml.nvmlDeviceGetHandleByIndex(device)


def describe(nvml: ModuleType, device: int = 0) -> dict[str, Any]:
    """Name, driver and memory of a GPU."""
    handle = handle_of(nvml, device)
    return {
        "name": _text(nvml.nvmlDeviceGetName(handle)),
        "driver": _text(nvml.nvmlSystemGetDriverVersion()),
        "memory_mb": round(nvml.nvmlDeviceGetMemoryInfo(handle).total / 1e6),
    }


class GpuSampler:
    """Samples a GPU, and a Jetson's power ``rails``, in a thread of its own, within a ``with``.
    ``result()``: see there.
    """

    def __init__(
        self,
        nvml: ModuleType | None,
        device: int = 0,
        rails: Mapping[str, Callable[[], float]] | None = None,
    ) -> None:
        self._rails = dict(rails or {})
        self._nvml, self._samples = nvml, list[dict[str, float]]()
        self._handle = handle_of(nvml, device) if nvml is not None else None
        self._stop, self._reasons = threading.Event(), set[str]()
        self._thread = threading.Thread(target=self._watch, name="gpu sampler", daemon=True)

    def __enter__(self) -> GpuSampler:
        if self._nvml is not None or self._rails:
            self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _where: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        while True:
            self._sample()
            if self._stop.wait(_STEP_SECONDS):
                return

    def _sample(self) -> None:
        rails = read_rails(self._rails)
        self._samples.append(rails | (self._of_gpu() if self._nvml is not None else {}))

    def _of_gpu(self) -> dict[str, float]:
        """What a GPU does not tell is left out."""
        nvml: Any = self._nvml
        asked: dict[str, Callable[[], Any]] = {
            "memory_mb": lambda: nvml.nvmlDeviceGetMemoryInfo(self._handle).used / 1e6,
            "watts": lambda: nvml.nvmlDeviceGetPowerUsage(self._handle) / 1e3,
            "clock_mhz": lambda: nvml.nvmlDeviceGetClockInfo(self._handle, nvml.NVML_CLOCK_SM),
            "utilisation": lambda: nvml.nvmlDeviceGetUtilizationRates(self._handle).gpu,
            "celsius": lambda: nvml.nvmlDeviceGetTemperature(self._handle, nvml.NVML_TEMPERATURE_GPU),
        }
        sample = {}
        for key, ask in asked.items():
            try:
                sample[key] = float(ask())
            except nvml.NVMLError:
                continue
        try:
            reasons = nvml.nvmlDeviceGetCurrentClocksEventReasons(self._handle)
        except nvml.NVMLError:
            return sample
        self._reasons |= {
            name for name in _THROTTLED if reasons & getattr(nvml, f"nvmlClocksEventReason{name}")
        }
        return sample

    def result(self) -> dict[str, Any] | None:
        """Most and mean of what was sampled, and why clocks were lowered; None without a GPU."""
        if not self._samples:
            return None
        made: dict[str, Any] = {}
        for key in sorted({key for sample in self._samples for key in sample}):
            values = [sample[key] for sample in self._samples if key in sample]
            made[key] = {"most": round(max(values), 1), "mean": round(sum(values) / len(values), 1)}
        return made | {"throttled": sorted(self._reasons)}


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
