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


class _TensorRtModel:
    """Builds one plan per input shape and runs it on its own CUDA stream."""

    def __init__(self, path: Path, precise: bool) -> None:
        self._path, self._precise = path, precise
        self._logger = tensorrt.Logger(tensorrt.Logger.ERROR)
        self._stream = torch.cuda.Stream()
        self._contexts: dict[tuple[int, ...], tensorrt.IExecutionContext] = {}

    def run(self, batch: Array) -> list[Array]:
        context = self._contexts.get(batch.shape) or self._open(batch.shape)
        engine = context.engine
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        inputs = [n for n in names if engine.get_tensor_mode(n) == tensorrt.TensorIOMode.INPUT]
        with torch.cuda.stream(self._stream):
            source = torch.from_numpy(np.ascontiguousarray(batch, np.float32)).cuda(non_blocking=True)
            context.set_tensor_address(inputs[0], source.data_ptr())
            outputs = {}
            for name in names:
                if name not in inputs:
                    shape = tuple(context.get_tensor_shape(name))
                    outputs[name] = torch.empty(shape, dtype=torch.float32, device="cuda")
                    context.set_tensor_address(name, outputs[name].data_ptr())
            if not context.execute_async_v3(self._stream.cuda_stream):
                raise ModelError(f"TensorRT failed to run {self._path.name}")
        self._stream.synchronize()
        return [value.cpu().numpy() for value in outputs.values()]

    def _open(self, shape: tuple[int, ...]) -> tensorrt.IExecutionContext:
        plan = self._plan(shape)
        engine = tensorrt.Runtime(self._logger).deserialize_cuda_engine(plan)
        if engine is None:
            raise ModelError(f"TensorRT cannot read its plan for {self._path.name}")
        self._contexts[shape] = engine.create_execution_context()
        return self._contexts[shape]

    def _plan(self, shape: tuple[int, ...]) -> bytes:
        key = (digest(self._path), shape, self._precise, torch.cuda.get_device_name(), tensorrt.__version__)
        name = hashlib.sha256(repr(key).encode()).hexdigest()[:24]
        cached = _cache_folder() / f"{self._path.stem}-{name}.plan"
        if not cached.is_file():
            cached.parent.mkdir(parents=True, exist_ok=True)
            cached.write_bytes(self._build(shape))
        return cached.read_bytes()

    def _build(self, shape: tuple[int, ...]) -> bytes:
        builder = tensorrt.Builder(self._logger)
        network = builder.create_network(0)
        parser = tensorrt.OnnxParser(network, self._logger)
        if not parser.parse(self._path.read_bytes()):
            raise ModelError(f"TensorRT cannot parse {self._path.name}: {parser.get_error(0)}")
        config = builder.create_builder_config()
        if not self._precise and builder.platform_has_fast_fp16:
            config.set_flag(tensorrt.BuilderFlag.FP16)
        profile = builder.create_optimization_profile()
        profile.set_shape(network.get_input(0).name, shape, shape, shape)
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
