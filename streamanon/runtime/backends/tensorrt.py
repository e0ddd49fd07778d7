"""TensorRT (10 and later) and TensorRT-RTX on an NVIDIA GPU. Plans are built and tested without a GPU; no
plan has run on one yet. https://docs.nvidia.com/deeplearning/tensorrt/latest/

A plan holds all usual shapes of a model (``tensorrt_profiles``). Plans are kept in ``compute.plans``, by
default the user's cache folder; ``streamanon engines build`` makes them beforehand.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from streamanon.config import ComputeConfig
from streamanon.errors import ModelError
from streamanon.runtime.backends import Array, Backend, Memory, Model
from streamanon.runtime.backends.plan_cache import (
    cache_folder,
    keep_recent,
    mark_used,
    open_plan,
    read_plan,
    store_plan,
)
from streamanon.runtime.backends.shape_cache import ShapeCache, Shapes
from streamanon.runtime.backends.tensorrt_build import PLAN_SUFFIX, PlanSpec, build_plan
from streamanon.runtime.backends.tensorrt_library import Library, make_log, open_library
from streamanon.runtime.backends.tensorrt_profiles import BATCHES, Profile, exactly, fitting, profiles_of
from streamanon.runtime.onnx_header import read_onnx_header

#: Most that plans, and compiled kernels, may hold in the user's cache folder, bytes: those of one GPU in
#: both precisions hold 0.2 GB, and each version of a model or of TensorRT adds as much.
MOST_BYTES = 2 << 30
KERNEL_SUFFIX = ".kernels"


@dataclass(frozen=True)
class Place:
    """Where plans run and where they are kept; those used longest ago go where they hold more than
    ``most_bytes``.
    """

    library: Library
    memory: Memory
    folder: Path
    most_bytes: int | None = None

    def spec(self, path: Path, half: bool, profiles: tuple[Profile, ...]) -> PlanSpec:
        """TensorRT's plans are for one kind of GPU alone, TensorRT-RTX's for an architecture."""
        gpu = "" if self.library.rtx else self.memory.name
        return PlanSpec(path, self.memory.architecture, half, profiles, gpu)


class _Engine:
    """One plan on the device, with a context for each of its profiles that is used."""

    def __init__(self, place: Place, spec: PlanSpec) -> None:
        self._place, self._profiles = place, spec.profiles
        self._file = place.folder / spec.file_name(place.library)
        log, said = make_log(place.library)
        self._runtime = place.library.api.Runtime(log)
        timings = place.folder / f"timings-{place.library.version}-{spec.target}.cache"
        engine: Any = open_plan(
            self._file,
            lambda: build_plan(place.library, spec, timings),
            self._runtime.deserialize_cuda_engine,
        )
        mark_used(self._file)
        if place.most_bytes is not None:
            for suffix in (PLAN_SUFFIX, KERNEL_SUFFIX):
                keep_recent(place.folder, suffix, place.most_bytes)
        if engine is None:
            reason = said[-1].splitlines()[0] if said else "it gives no reason"
            raise ModelError(
                f"{place.library.name} cannot read its own plan for {spec.path.name}: {reason}"
            )
        self._engine, self._contexts = engine, dict[int, Any]()
        self._kernels = self._open_kernels() if place.library.rtx else None
        # By name and not by the engine's numbers, whose order TensorRT does not promise.
        header = read_onnx_header(spec.path)
        self._inputs = [port.name for port in header.inputs]
        self._outputs = [port.name for port in header.outputs]

    def run(self, inputs: Sequence[Any]) -> list[Any] | None:
        """Tensors of the device, float32 and contiguous, in and out: the work is queued in its stream, and
        its host does not wait. None where no profile takes these shapes. One caller at a time.
        """
        number = fitting(self._profiles, shapes_of(inputs))
        if number is None:
            return None
        memory, new = self._place.memory, number not in self._contexts
        context = self._context(number)
        for name, source in zip(self._inputs, inputs, strict=True):
            if not context.set_input_shape(name, tuple(source.shape)):
                raise ModelError(f"the plan {self._file.name} does not take the shape {source.shape}")
            context.set_tensor_address(name, source.data_ptr())
        outputs = [memory.empty(tuple(context.get_tensor_shape(name))) for name in self._outputs]
        for name, output in zip(self._outputs, outputs, strict=True):
            context.set_tensor_address(name, output.data_ptr())
        if not context.execute_async_v3(memory.stream):
            raise ModelError(f"{self._place.library.name} failed to run the plan {self._file.name}")
        if new and self._kernels is not None:
            store_plan(self._kernel_file, bytes(self._kernels.get_runtime_cache().serialize()))
        return outputs

    def _context(self, number: int) -> Any:
        if number not in self._contexts:
            context = (
                self._engine.create_execution_context()
                if self._kernels is None
                else self._engine.create_execution_context(self._kernels)
            )
            if context is None or not context.set_optimization_profile_async(
                number, self._place.memory.stream
            ):
                raise ModelError(f"the GPU has no room for the plan {self._file.name}: free its memory")
            self._contexts[number] = context
        return self._contexts[number]

    @property
    def _kernel_file(self) -> Path:
        return self._file.with_suffix(KERNEL_SUFFIX)

    def _open_kernels(self) -> Any:
        """TensorRT-RTX compiles kernels when a plan first runs: those of earlier runs, where they fit."""
        config = self._engine.create_runtime_config()
        cache = config.create_runtime_cache()
        kept = read_plan(self._kernel_file)
        if kept:
            cache.deserialize(kept)  # refuses what was kept on another GPU or driver, and stays empty
        config.set_runtime_cache(cache)
        return config


def shapes_of(inputs: Sequence[Any]) -> Shapes:
    return tuple(tuple(map(int, one.shape)) for one in inputs)


class _TensorRtModel:
    """One plan for the usual shapes, opened at once, and one for each set of others that occurs."""

    def __init__(self, place: Place, path: Path, half: bool) -> None:
        inputs = read_onnx_header(path).inputs
        for port in inputs:
            if port.element != "float32":
                raise ModelError(f"{path.name} takes {port.element}: export it with float32 inputs")
        self._place, self._path, self._half = place, path, half
        self._profiles = profiles_of(inputs)
        self._others = ShapeCache(lambda shapes: self._open(exactly(shapes)))
        self._running = threading.Lock()
        with place.memory.active():
            self._usual = self._open(self._profiles)

    def run(self, *inputs: Array) -> list[Array]:
        memory = self._place.memory
        with self._running, memory.active():
            tensors = [memory.upload(np.asarray(one, np.float32)) for one in inputs]
            return memory.download(self._in_batches(tensors))

    def run_on_device(self, *inputs: Any) -> list[Any]:
        """As :meth:`run`, with float32 tensors of the device; the results are there once its stream is."""
        # A context holds the addresses of one caller's tensors.
        with self._running, self._place.memory.active():
            return self._in_batches([one.contiguous() for one in inputs])

    def _in_batches(self, inputs: Sequence[Any]) -> list[Any]:
        """In batches of the largest profile, where the model takes no more faces at once."""
        most = BATCHES[-1]
        count = int(inputs[0].shape[0])
        alike = all(one.shape[0] == count for one in inputs)
        if count <= most or not alike or not self._takes([one[:most] for one in inputs]):
            return self._run(inputs)
        parts = [
            self._run([one[start : start + most] for one in inputs]) for start in range(0, count, most)
        ]
        return [self._place.memory.join(part) for part in zip(*parts, strict=True)]

    def _takes(self, inputs: Sequence[Any]) -> bool:
        return fitting(self._profiles, shapes_of(inputs)) is not None

    def _run(self, inputs: Sequence[Any]) -> list[Any]:
        results = self._usual.run(inputs)
        if results is None:
            results = self._others.get(shapes_of(inputs)).run(inputs)
        assert results is not None
        return results

    def _open(self, profiles: tuple[Profile, ...]) -> _Engine:
        return _Engine(self._place, self._place.spec(self._path, self._half, profiles))


class TensorRtBackend:
    name = "tensorrt"

    def __init__(self, place: Place) -> None:
        self._place, self.memory = place, place.memory
        known = place.library.targets()
        if place.library.rtx and place.memory.architecture not in known:
            raise ModelError(
                f"{place.library.name} {place.library.version} has nothing for this GPU"
                f" ({place.memory.architecture}), only for {', '.join(known)}: install tensorrt"
            )

    def load(self, path: Path, *, precise: bool, threads: int = 0, bfloat16: bool = False) -> Model:
        """``threads`` is for the backends that run on the CPU."""
        return _TensorRtModel(self._place, path, half=not precise)


def _require_driver() -> None:
    """Raises :class:`ModelError` where no program can use an NVIDIA GPU."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError as error:
        raise ModelError("no NVIDIA driver is installed") from error


def create(config: ComputeConfig) -> Backend:
    """On the CUDA device ``compute.device``, with the plans in ``compute.plans``. Raises
    :class:`ModelError`.
    """
    _require_driver()
    # Here and not above: the tests of this file do without PyTorch, which takes seconds to import.
    from streamanon.runtime.backends.torch_memory import open_cuda

    library, memory = open_library(), open_cuda(config.device)
    if config.plans is None:
        return TensorRtBackend(Place(library, memory, cache_folder(), MOST_BYTES))
    return TensorRtBackend(Place(library, memory, Path(config.plans)))
