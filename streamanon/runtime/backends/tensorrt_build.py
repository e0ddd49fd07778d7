"""From an ONNX file to a TensorRT plan. With TensorRT-RTX this needs no GPU.
https://docs.nvidia.com/deeplearning/tensorrt-rtx/latest/inference-library/cpu-engines.html

Networks are strongly typed: half precision is written into the ONNX file first, as TensorRT 11 and
TensorRT-RTX have no flag for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamanon.errors import ModelError
from streamanon.runtime.backends.half_precision import to_half
from streamanon.runtime.backends.plan_cache import read_plan, store_plan
from streamanon.runtime.backends.tensorrt_library import Library, make_log
from streamanon.runtime.backends.tensorrt_profiles import Profile
from streamanon.runtime.models import digest

PLAN_SUFFIX = ".plan"


@dataclass(frozen=True)
class PlanSpec:
    """All that a plan depends on but the library. ``target``: the GPU's architecture, as "sm86";
    ``gpu``: its name, where plans are for one kind of GPU alone; ``half``: float16 arithmetic.
    """

    path: Path
    target: str
    half: bool
    profiles: tuple[Profile, ...]
    gpu: str = ""

    def file_name(self, library: Library) -> str:
        """Another one wherever a plan would not fit."""
        key = repr((digest(self.path), self.profiles, self.gpu, library.name, library.version))
        precision = "fp16" if self.half else "fp32"
        short = hashlib.sha256(key.encode()).hexdigest()[:16]
        return f"{self.path.stem}-{self.target}-{precision}-{short}{PLAN_SUFFIX}"


def check_target(library: Library, target: str) -> None:
    """Raises :class:`ModelError` for an architecture that the library does not build for."""
    known = library.targets()
    if target not in known:
        raise ModelError(
            f"{library.name} {library.version} builds for {', '.join(known)}, not for {target}"
        )


def build_plan(library: Library, spec: PlanSpec, timings: Path | None = None) -> bytes:
    """The plan. ``timings``: a file with what TensorRT has timed already; TensorRT-RTX times nothing.

    Raises :class:`ModelError`.
    """
    log, said = make_log(library)
    builder = library.api.Builder(log)
    network = builder.create_network(1 << int(library.api.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = library.api.OnnxParser(network, log)
    if not parser.parse(to_half(spec.path) if spec.half else _bytes_of(spec.path)):
        reason = parser.get_error(0).desc() if parser.num_errors else _first(said)
        raise ModelError(f"{library.name} cannot read {spec.path.name}: {reason}")
    config = _config(library, builder, spec)
    _add_profiles(builder, config, network, spec.profiles)
    cache = _timing_cache(config, timings) if timings is not None and not library.rtx else None
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ModelError(f"{library.name} cannot build {spec.path.name}: {_first(said)}")
    if timings is not None and cache is not None:
        store_plan(timings, bytes(cache.serialize()))
    return bytes(plan)


def _config(library: Library, builder: Any, spec: PlanSpec) -> Any:
    config = builder.create_builder_config()
    if not spec.half:  # TF32 has float16's precision, and is on by default
        config.clear_flag(library.api.BuilderFlag.TF32)
    if library.rtx:
        check_target(library, spec.target)
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(library.api.ComputeCapability, spec.target.upper()), 0)
    return config


def _add_profiles(builder: Any, config: Any, network: Any, profiles: Sequence[Profile]) -> None:
    names = [network.get_input(number).name for number in range(network.num_inputs)]
    for ranges in profiles:
        profile = builder.create_optimization_profile()
        for name, one in zip(names, ranges, strict=True):
            profile.set_shape(name, *one)
        config.add_optimization_profile(profile)


def _timing_cache(config: Any, file: Path) -> Any:
    """What is kept of another version or GPU is refused, and begun anew."""
    for kept in (read_plan(file), b""):
        cache = config.create_timing_cache(kept or b"")
        if cache is not None and config.set_timing_cache(cache, False):
            return cache
    return None


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read the model {path}: {error.strerror}; check the path") from error


def _first(said: list[str]) -> str:
    return said[0].strip().splitlines()[0] if said else "it gives no reason"
