"""ONNX Runtime: on the CPU, everywhere, in float32 or INT8 for models that have such a file; and other
execution providers where it is built with them.
https://onnxruntime.ai/docs/execution-providers/

Only the CPU has been run; the options of the others are those of that page.
"""

from __future__ import annotations

import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import onnxruntime

from streamanon.config import ComputeConfig
from streamanon.errors import ModelError
from streamanon.runtime.backends import (
    Array,
    Backend,
    Model,
    first_line,
    require_cpu,
    threads_of,
)
from streamanon.runtime.backends.plan_cache import cache_folder

#: Setting -> (ONNX Runtime's name, the package that has it).
PROVIDERS = {
    "cuda": ("CUDAExecutionProvider", "onnxruntime-gpu"),
    "tensorrt": ("TensorrtExecutionProvider", "onnxruntime-gpu"),
    "coreml": ("CoreMLExecutionProvider", "onnxruntime on macOS"),
    "directml": ("DmlExecutionProvider", "onnxruntime-directml"),
}
#: Those that choose among several GPUs.
_WITH_DEVICE = ("cuda", "tensorrt", "directml")


class _OrtModel:
    """One session: ONNX Runtime's ``run`` may be called from several threads, and allocates its results.
    Not DirectML's, which gets a ``lock``.
    """

    def __init__(self, session: onnxruntime.InferenceSession, lock: threading.Lock | None) -> None:
        self._session = session
        self._lock = lock or nullcontext()
        self._names = [one.name for one in session.get_inputs()]

    def run(self, *inputs: Array) -> list[Array]:
        with self._lock:
            return list(self._session.run(None, dict(zip(self._names, inputs, strict=True))))


class _OrtBackend:
    name = "onnxruntime"

    def __init__(self, config: ComputeConfig) -> None:
        self._threads, self._device, self._providers = config.threads, config.device, config.providers
        if not set(self._providers) & set(_WITH_DEVICE):
            require_cpu(config.device)
        available = onnxruntime.get_available_providers()
        for one in self._providers:
            name, package = PROVIDERS[one]
            if name not in available:
                raise ModelError(f"this ONNX Runtime has no provider {one}: install {package}")
        if {"cuda", "tensorrt"} & set(self._providers):
            onnxruntime.preload_dlls()  # CUDA's libraries from their wheels, where they came as such

    def load(self, path: Path, *, precise: bool, threads: int = 0, bfloat16: bool = False) -> Model:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads_of(self._threads, threads)
        # Two models take turns on the same cores: idle threads that spin would starve the other one.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        options.enable_mem_pattern = "directml" not in self._providers
        providers = [
            (PROVIDERS[one][0], provider_options(one, precise, self._device)) for one in self._providers
        ]
        try:
            session = onnxruntime.InferenceSession(
                str(path), options, providers=[*providers, "CPUExecutionProvider"]
            )
        except Exception as error:
            raise ModelError(f"ONNX Runtime cannot load {path.name}: {first_line(error)}") from error
        for one in self._providers:  # else it would go on without it, and only say so in its log
            if PROVIDERS[one][0] not in session.get_providers():
                raise ModelError(
                    f"ONNX Runtime's provider {one} does not start: check the GPU's driver and libraries,"
                    " or leave it out of compute.providers"
                )
        return _OrtModel(session, threading.Lock() if "directml" in self._providers else None)


def provider_options(provider: str, precise: bool, device: int) -> dict[str, Any]:
    """A provider's options: which GPU, and float32 arithmetic where a model is to be ``precise``."""
    if provider == "cuda":
        return {"device_id": device, "use_tf32": int(not precise)}
    if provider == "tensorrt":
        return {
            "device_id": device,
            "trt_fp16_enable": not precise,
            "trt_engine_cache_enable": True,
            "trt_engine_cache_path": str(cache_folder() / "onnxruntime"),
            "trt_timing_cache_enable": True,
            "trt_timing_cache_path": str(cache_folder() / "onnxruntime"),
        }
    if provider == "coreml":  # its GPU and neural engine compute in float16
        return {"ModelFormat": "MLProgram", "MLComputeUnits": "CPUOnly" if precise else "ALL"}
    return {"device_id": device}


def create(config: ComputeConfig) -> Backend:
    """Raises :class:`ModelError` for a provider that this build of ONNX Runtime lacks."""
    return _OrtBackend(config)
