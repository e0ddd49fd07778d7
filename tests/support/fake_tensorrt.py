"""A library with TensorRT's API that doubles its input, on the host: what runs on a GPU, without one.

A plan is ``b"plan"`` and its profiles as JSON. ``tests/runtime/test_tensorrt.py`` checks that everything
used here exists in TensorRT-RTX, where that is installed.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from enum import Enum, IntEnum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from streamanon.runtime.backends import Array
from streamanon.runtime.backends.tensorrt_library import Library


class ILogger:
    INTERNAL_ERROR, ERROR, WARNING = range(3)


class BuilderFlag(Enum):
    TF32 = 7


class NetworkDefinitionCreationFlag(IntEnum):
    STRONGLY_TYPED = 1


class ComputeCapability(Enum):
    SM86 = 86
    SM89 = 89


class INetworkDefinition:
    num_inputs = 0

    def get_input(self, number: int) -> SimpleNamespace:
        return SimpleNamespace(name=f"x{number}")


class OnnxParser:
    num_errors = 0

    def __init__(self, network: INetworkDefinition, log: Any) -> None:
        self._network, self._log = network, log

    def parse(self, model: bytes) -> bool:
        try:
            self._network.num_inputs = len(onnx.load_from_string(model).graph.input)
        except Exception:  # of protobuf, which is not a dependency
            self._log.log(ILogger.ERROR, "no ONNX model\nmore")
            return False
        return True


class IOptimizationProfile:
    def __init__(self) -> None:
        self.ranges: list[Any] = []

    def set_shape(self, _name: str, *ranges: tuple[int, ...]) -> None:
        self.ranges.append(ranges)


class ITimingCache:
    def __init__(self, kept: bytes) -> None:
        self.kept = kept

    def serialize(self) -> bytes:
        return self.kept + b"timed"


class IBuilderConfig:
    num_compute_capabilities = 0

    def __init__(self) -> None:
        self.profiles: list[Any] = []
        self.flags = {BuilderFlag.TF32}
        self.target = ""

    def clear_flag(self, flag: BuilderFlag) -> None:
        self.flags.discard(flag)

    def set_compute_capability(self, target: ComputeCapability, index: int) -> bool:
        assert index < self.num_compute_capabilities
        self.target = target.name
        return True

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        self.profiles.append(profile.ranges)
        return len(self.profiles) - 1

    def create_timing_cache(self, kept: bytes) -> ITimingCache | None:
        return None if kept == b"torn" else ITimingCache(kept)

    def set_timing_cache(self, cache: ITimingCache, _ignore_mismatch: bool) -> bool:
        return True


class Builder:
    #: What ``build_serialized_network`` was given, over all builders.
    built: list[IBuilderConfig] = []  # noqa: RUF012
    fails = False

    def __init__(self, log: Any) -> None:
        self._log = log

    def create_network(self, flags: int) -> INetworkDefinition:
        assert flags == 2
        return INetworkDefinition()

    def create_builder_config(self) -> IBuilderConfig:
        return IBuilderConfig()

    def create_optimization_profile(self) -> IOptimizationProfile:
        return IOptimizationProfile()

    def build_serialized_network(
        self, _network: INetworkDefinition, config: IBuilderConfig
    ) -> bytes | None:
        self.built.append(config)
        if self.fails:
            self._log.log(ILogger.ERROR, "out of memory")
            return None
        return b"plan" + json.dumps(config.profiles).encode()


class IRuntimeCache:
    def __init__(self) -> None:
        self.held = b""

    def deserialize(self, kept: bytes) -> bool:
        self.held = kept if kept.startswith(b"kernels") else b""
        return bool(self.held)

    def serialize(self) -> bytes:
        return b"kernels" + self.held


class IRuntimeConfig:
    _cache: IRuntimeCache

    def create_runtime_cache(self) -> IRuntimeCache:
        return IRuntimeCache()

    def set_runtime_cache(self, cache: IRuntimeCache) -> bool:
        self._cache = cache
        return True

    def get_runtime_cache(self) -> IRuntimeCache:
        return self._cache


class IExecutionContext:
    def __init__(self, profiles: list[Any], runs: list[int]) -> None:
        self._profiles, self._runs = profiles, runs
        self._shape: tuple[int, ...] = ()
        self._at: dict[str, int] = {}
        self._number = -1

    def set_optimization_profile_async(self, number: int, _stream: int) -> bool:
        self._number = number
        return True

    def set_input_shape(self, _name: str, shape: tuple[int, ...]) -> bool:
        least, _, most = self._profiles[self._number][0]
        self._shape = tuple(shape)
        return all(a <= b <= c for a, b, c in zip(least, shape, most, strict=True))

    def get_tensor_shape(self, _name: str) -> tuple[int, ...]:
        return self._shape

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._at[name] = address
        return True

    def execute_async_v3(self, _stream: int) -> bool:
        self._runs.append(self._number)
        size = int(np.prod(self._shape))
        given, made = (
            np.ctypeslib.as_array(ctypes.cast(self._at[name], ctypes.POINTER(ctypes.c_float)), (size,))
            for name in ("x", "y")
        )
        made[:] = 2 * given
        return True


class ICudaEngine:
    def __init__(self, profiles: list[Any]) -> None:
        self._profiles = profiles
        self.contexts, self.runs = 0, list[int]()

    def create_runtime_config(self) -> IRuntimeConfig:
        return IRuntimeConfig()

    def create_execution_context(self, _config: IRuntimeConfig | None = None) -> IExecutionContext:
        self.contexts += 1
        return IExecutionContext(self._profiles, self.runs)


class Runtime:
    #: All engines that were loaded.
    loaded: list[ICudaEngine] = []  # noqa: RUF012

    def __init__(self, log: Any) -> None:
        self._log = log

    def deserialize_cuda_engine(self, plan: bytes) -> ICudaEngine | None:
        try:
            assert plan.startswith(b"plan")
            engine = ICudaEngine(json.loads(plan[4:]))
        except (AssertionError, ValueError):
            self._log.log(ILogger.ERROR, "of another GPU")
            return None
        self.loaded.append(engine)
        return engine


class HostMemory:
    """Where a GPU's memory would be."""

    device = None
    stream = 0

    def __init__(self, architecture: str = "sm86", name: str = "a GPU") -> None:
        self.architecture, self.name = architecture, name

    def active(self) -> AbstractContextManager[object]:
        return nullcontext()

    def upload(self, array: Array) -> Any:
        return _Held(np.array(array, np.float32))

    def empty(self, shape: tuple[int, ...]) -> Any:
        return _Held(np.full(shape, np.nan, np.float32))

    def join(self, tensors: Sequence[Any]) -> Any:
        return _Held(np.concatenate([tensor.values for tensor in tensors]))

    def download(self, tensors: Sequence[Any]) -> list[Array]:
        return [tensor.values for tensor in tensors]


class _Held:
    def __init__(self, values: Array) -> None:
        self.values, self.shape = values, values.shape

    def __getitem__(self, rows: slice) -> _Held:
        return _Held(self.values[rows])

    def contiguous(self) -> _Held:
        return _Held(np.ascontiguousarray(self.values))

    def data_ptr(self) -> int:
        return int(self.values.ctypes.data)


def fake_library(rtx: bool = True, version: str = "1.7") -> Library:
    """With fresh lists of what was built and loaded, in ``library.api``."""
    Builder.built, Runtime.loaded = [], []
    api = SimpleNamespace(**{name: kind for name, kind in globals().items() if isinstance(kind, type)})
    return Library("TensorRT-RTX" if rtx else "TensorRT", version, api, rtx)


def relu(path: Path, element: int = TensorProto.FLOAT) -> Path:
    """A model of pictures [batch, 3, 4, 4]."""
    ends = [helper.make_tensor_value_info(name, element, ["batch", 3, 4, 4]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "relu", ends[:1], ends[1:])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(made.SerializeToString())
    return path
