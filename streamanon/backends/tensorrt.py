"""TensorRT on an NVIDIA GPU, written against the documented Python API (10.x); see the README on whether
it has been run. https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/python-api-docs.html

Compiled plans are kept in the user's cache folder, by digest of model, shape, GPU and TensorRT version.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import tensorrt
import torch

from streamanon.backends import Array, Backend, Model
from streamanon.engines import digest
from streamanon.errors import ModelError

Shapes = tuple[tuple[int, ...], ...]  # one an input


class _TensorRtModel:
    """Builds one plan per set of input shapes and runs it on its own CUDA stream."""

    def __init__(self, path: Path, precise: bool) -> None:
        self._path, self._precise = path, precise
        self._logger = tensorrt.Logger(tensorrt.Logger.ERROR)
        self._stream = torch.cuda.Stream()
        self._contexts: dict[Shapes, tensorrt.IExecutionContext] = {}

    def run(self, *inputs: Array) -> list[Array]:
        shapes = tuple(one.shape for one in inputs)
        context = self._contexts.get(shapes) or self._open(shapes)
        engine = context.engine
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        taken = [n for n in names if engine.get_tensor_mode(n) == tensorrt.TensorIOMode.INPUT]
        with torch.cuda.stream(self._stream):
            sources = [torch.from_numpy(np.ascontiguousarray(one, np.float32)).cuda() for one in inputs]
            for name, source in zip(taken, sources, strict=True):
                context.set_tensor_address(name, source.data_ptr())
            outputs = {}
            for name in names:
                if name not in taken:
                    shape = tuple(context.get_tensor_shape(name))
                    outputs[name] = torch.empty(shape, dtype=torch.float32, device="cuda")
                    context.set_tensor_address(name, outputs[name].data_ptr())
            if not context.execute_async_v3(self._stream.cuda_stream):
                raise ModelError(f"TensorRT failed to run {self._path.name}")
        self._stream.synchronize()
        return [value.cpu().numpy() for value in outputs.values()]

    def _open(self, shapes: Shapes) -> tensorrt.IExecutionContext:
        plan = self._plan(shapes)
        engine = tensorrt.Runtime(self._logger).deserialize_cuda_engine(plan)
        if engine is None:
            raise ModelError(f"TensorRT cannot read its plan for {self._path.name}")
        self._contexts[shapes] = engine.create_execution_context()
        return self._contexts[shapes]

    def _plan(self, shapes: Shapes) -> bytes:
        machine = torch.cuda.get_device_name(), tensorrt.__version__
        key = (digest(self._path), shapes, self._precise, *machine)
        name = hashlib.sha256(repr(key).encode()).hexdigest()[:24]
        cached = _cache_folder() / f"{self._path.stem}-{name}.plan"
        if not cached.is_file():
            cached.parent.mkdir(parents=True, exist_ok=True)
            cached.write_bytes(self._build(shapes))
        return cached.read_bytes()

    def _build(self, shapes: Shapes) -> bytes:
        builder = tensorrt.Builder(self._logger)
        network = builder.create_network(0)
        parser = tensorrt.OnnxParser(network, self._logger)
        if not parser.parse(self._path.read_bytes()):
            raise ModelError(f"TensorRT cannot parse {self._path.name}: {parser.get_error(0)}")
        config = builder.create_builder_config()
        if not self._precise and builder.platform_has_fast_fp16:
            config.set_flag(tensorrt.BuilderFlag.FP16)
        profile = builder.create_optimization_profile()
        for number, shape in enumerate(shapes):
            profile.set_shape(network.get_input(number).name, shape, shape, shape)
        config.add_optimization_profile(profile)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise ModelError(f"TensorRT cannot build {self._path.name}")
        return bytes(plan)


class _TensorRtBackend:
    name = "tensorrt"

    def load(self, path: Path, *, precise: bool, threads: int = 0) -> Model:
        return _TensorRtModel(path, precise)


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "streamanon"


def create(threads: int) -> Backend:
    if not torch.cuda.is_available():
        raise ModelError("no CUDA device is available")
    return _TensorRtBackend()
