"""OpenVINO on the CPU: bfloat16 where the processor has it. https://docs.openvino.ai"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import openvino

from streamanon.backends import Array, Backend, Model, first_line
from streamanon.errors import ModelError

Shapes = tuple[tuple[int, ...], ...]  # one an input


class _OpenVinoModel:
    """Compiles once per set of input shapes: a static shape is quicker, and a chain uses few."""

    def __init__(self, core: openvino.Core, path: Path, settings: dict[str, str]) -> None:
        self._core, self._path, self._settings = core, path, settings
        self._requests: dict[Shapes, openvino.InferRequest] = {}

    def run(self, *inputs: Array) -> list[Array]:
        shapes = tuple(one.shape for one in inputs)
        request = self._requests.get(shapes) or self._compile(shapes)
        results = request.infer(dict(enumerate(inputs)))
        return [np.array(value) for value in results.values()]

    def _compile(self, shapes: Shapes) -> openvino.InferRequest:
        try:
            model = self._core.read_model(str(self._path))
            model.reshape({number: list(shape) for number, shape in enumerate(shapes)})
            compiled = self._core.compile_model(model, "CPU", self._settings)
            self._requests[shapes] = compiled.create_infer_request()
        except RuntimeError as error:
            raise ModelError(f"OpenVINO cannot load {self._path.name}: {first_line(error)}") from error
        return self._requests[shapes]


@functools.cache
def _core() -> openvino.Core:
    """One for the process. A Core gives its thread a signal stack, and frees it in whatever thread the Core
    is collected: the next signal, Ctrl-C say, would then end the process.
    """
    return openvino.Core()


class _OpenVinoBackend:
    name = "openvino"

    def __init__(self, threads: int) -> None:
        self._core = _core()
        self._threads = threads
        if "CPU" not in self._core.available_devices:
            raise ModelError("OpenVINO finds no CPU device")

    def load(self, path: Path, *, precise: bool, threads: int = 0) -> Model:
        settings = {"PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": "NO"}
        if threads or self._threads:
            settings["INFERENCE_NUM_THREADS"] = str(threads or self._threads)
        if precise:
            settings["INFERENCE_PRECISION_HINT"] = "f32"
        return _OpenVinoModel(self._core, path, settings)


def create(threads: int) -> Backend:
    return _OpenVinoBackend(threads)
