"""OpenVINO on the CPU: bfloat16 where the processor has it, else INT8 for models that have such a file. https://docs.openvino.ai

What it compiled is kept in the user's cache folder, as compiling takes four times as long as reading that:
by digest of model, shapes, settings, processor and OpenVINO's version. It holds weights and operations,
nothing that was ever seen.
"""

from __future__ import annotations

import functools
import hashlib
import io
from pathlib import Path

import numpy as np
import openvino

from streamanon.config import ComputeConfig
from streamanon.errors import ModelError
from streamanon.runtime.backends import (
    Array,
    Backend,
    Model,
    first_line,
    is_x86_64,
    require_cpu,
    threads_of,
)
from streamanon.runtime.backends.plan_cache import (
    cache_folder,
    keep_recent,
    mark_used,
    read_plan,
    store_plan,
)
from streamanon.runtime.backends.shape_cache import ShapeCache, Shapes
from streamanon.runtime.models import digest

#: What is kept at most, of all models, bytes: about thirty shapes of the detector.
MOST_BYTES = 384 << 20
PLAN_SUFFIX = ".plan"
#: Properties of a processor that decide what is compiled for it.
_CAPABILITIES = "OPTIMIZATION_CAPABILITIES"
_PROCESSOR = ("FULL_DEVICE_NAME", _CAPABILITIES)


class _Compiled:
    """A model compiled for one set of shapes, with as many requests as callers at the same time."""

    def __init__(self, model: openvino.CompiledModel) -> None:
        self._model = model
        self._idle: list[openvino.InferRequest] = []

    def infer(self, inputs: tuple[Array, ...]) -> list[Array]:
        """A request reads its caller's tensors, so it serves one at a time; the results are copies."""
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._model.create_infer_request()
        # Not copied by OpenVINO, in and out: a copy takes longer than the smallest networks.
        results = request.infer(dict(enumerate(inputs)), share_inputs=True, share_outputs=True)
        copies = [np.array(value) for value in results.values()]
        self._idle.append(request)  # not after an error: its state is unknown
        return copies


class _OpenVinoModel:
    """Compiles once per set of input shapes: a static shape is quicker, and a chain uses few. ``folder``:
    where that is kept.
    """

    def __init__(self, core: openvino.Core, path: Path, settings: dict[str, str], folder: Path) -> None:
        self._core, self._path, self._settings, self._folder = core, path, settings, folder
        self._compiled = ShapeCache(self._open)

    def run(self, *inputs: Array) -> list[Array]:
        return self._compiled.get(tuple(one.shape for one in inputs)).infer(inputs)

    def _open(self, shapes: Shapes) -> _Compiled:
        plan = self._folder / self._plan_name(shapes)
        compiled = self._kept(plan)
        if compiled is None:
            compiled = self._compile(shapes)
            exported = _exported(compiled)
            if exported and store_plan(plan, exported):
                keep_recent(self._folder, PLAN_SUFFIX, MOST_BYTES)
        return _Compiled(compiled)

    def _kept(self, plan: Path) -> openvino.CompiledModel | None:
        """What an earlier run compiled; None where there is nothing that this OpenVINO takes."""
        kept = read_plan(plan)
        if not kept:
            return None
        try:
            compiled = self._core.import_model(kept, "CPU", self._settings)
        except RuntimeError:
            return None
        mark_used(plan)
        return compiled

    def _compile(self, shapes: Shapes) -> openvino.CompiledModel:
        try:
            model = self._core.read_model(str(self._path))
            model.reshape({number: list(shape) for number, shape in enumerate(shapes)})
            return self._core.compile_model(model, "CPU", self._settings)
        except RuntimeError as error:
            raise ModelError(f"OpenVINO cannot load {self._path.name}: {first_line(error)}") from error

    def _plan_name(self, shapes: Shapes) -> str:
        processor = [self._core.get_property("CPU", name) for name in _PROCESSOR]
        key = repr((self._sha256, shapes, sorted(self._settings.items()), processor, openvino.__version__))
        return f"{self._path.stem}-{hashlib.sha256(key.encode()).hexdigest()[:24]}{PLAN_SUFFIX}"

    @functools.cached_property
    def _sha256(self) -> str:
        return digest(self._path)


def _exported(compiled: openvino.CompiledModel) -> bytes:
    """Empty for what OpenVINO cannot write."""
    stream = io.BytesIO()
    try:
        compiled.export_model(stream)
    except RuntimeError:
        return b""
    return stream.getvalue()


@functools.cache
def _core() -> openvino.Core:
    """One for the process. A Core gives its thread a signal stack, and frees it in whatever thread the Core
    is collected: the next signal, Ctrl-C say, would then end the process.
    """
    return openvino.Core()


class _OpenVinoBackend:
    name = "openvino"

    def __init__(self, config: ComputeConfig) -> None:
        self._core = _core()
        self._threads = config.threads
        if "CPU" not in self._core.available_devices:
            raise ModelError("OpenVINO finds no CPU device")
        # bfloat16 is as quick, and nearer to float32.
        self.prefers_int8 = is_x86_64() and "BF16" not in self._core.get_property("CPU", _CAPABILITIES)

    def load(self, path: Path, *, precise: bool, threads: int = 0, bfloat16: bool = False) -> Model:
        settings = {"PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": "NO"}
        if count := threads_of(self._threads, threads):
            settings["INFERENCE_NUM_THREADS"] = str(count)
        if precise and not bfloat16:
            settings["INFERENCE_PRECISION_HINT"] = "f32"
        return _OpenVinoModel(self._core, path, settings, cache_folder() / "openvino")


def create(config: ComputeConfig) -> Backend:
    require_cpu(config.device)
    return _OpenVinoBackend(config)
