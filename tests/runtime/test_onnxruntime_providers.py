"""ONNX Runtime's providers other than the CPU: what is asked of them, and what happens without them. None
has run here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnxruntime
import pytest

from streamanon.config import ComputeConfig, load_config
from streamanon.errors import ConfigError, ModelError
from streamanon.runtime.backends import open_backend
from streamanon.runtime.backends.onnxruntime import PROVIDERS, create, provider_options

Sessions = list[dict[str, Any]]
Started = Callable[[str], bool]


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> Sessions:
    """The arguments of every session that was made; all providers are there and start."""
    return _fake(monkeypatch, lambda _name: True)


def _fake(monkeypatch: pytest.MonkeyPatch, starts: Started) -> Sessions:
    made: Sessions = []

    def session(_path: str, options: Any, providers: list[Any]) -> SimpleNamespace:
        made.append({"options": options, "providers": providers})
        names = [one if isinstance(one, str) else one[0] for one in providers]
        return SimpleNamespace(get_providers=lambda: [n for n in names if starts(n)], get_inputs=list)

    known = [name for name, _ in PROVIDERS.values()]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: known)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    return made


def test_they_come_before_the_cpu_in_the_order_given(sessions: Sessions) -> None:
    create(ComputeConfig(providers=("tensorrt", "cuda"), device=1)).load(Path("a.onnx"), precise=False)
    names = [one if isinstance(one, str) else one[0] for one in sessions[0]["providers"]]
    assert names == ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    assert [options["device_id"] for _, options in sessions[0]["providers"][:2]] == [1, 1]


def test_without_them_the_cpu_is_all(sessions: Sessions) -> None:
    create(ComputeConfig()).load(Path("a.onnx"), precise=True)
    assert sessions[0]["providers"] == ["CPUExecutionProvider"]


def test_precise_models_get_float32() -> None:
    assert provider_options("cuda", True, 0)["use_tf32"] == 0
    assert provider_options("tensorrt", True, 0)["trt_fp16_enable"] is False
    assert provider_options("coreml", True, 0)["MLComputeUnits"] == "CPUOnly"
    assert provider_options("tensorrt", False, 0)["trt_fp16_enable"] is True


def test_directml_gets_no_memory_patterns_and_one_caller_at_a_time(sessions: Sessions) -> None:
    model: Any = create(ComputeConfig(providers=("directml",))).load(Path("a.onnx"), precise=True)
    assert sessions[0]["options"].enable_mem_pattern is False
    assert hasattr(model._lock, "locked")


def test_one_that_this_build_lacks_is_named() -> None:
    said = r"this ONNX Runtime has no provider coreml: install .*\); or leave out compute\.providers$"
    with pytest.raises(ModelError, match=said):
        open_backend(ComputeConfig(providers=("coreml",)))


def test_one_that_does_not_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime itself would go on, on the CPU."""
    _fake(monkeypatch, lambda name: name == "CPUExecutionProvider")
    with pytest.raises(ModelError, match=r"provider cuda does not start: check .* or leave it out"):
        create(ComputeConfig(providers=("cuda",))).load(Path("a.onnx"), precise=True)


def test_a_gpu_needs_a_provider_that_has_several() -> None:
    with pytest.raises(ModelError, match=r"compute\.device 1 names a GPU and this runs on the CPU"):
        create(ComputeConfig(providers=("coreml",), device=1))


def test_they_are_read_from_the_command_line() -> None:
    assert load_config(None, ["compute.providers=[cuda]"]).compute.providers == ("cuda",)
    with pytest.raises(ConfigError, match=r"compute\.providers\[0\] must be one of cuda, tensorrt"):
        load_config(None, ["compute.providers=[rocm]"])
