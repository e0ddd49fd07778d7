"""Which backend "auto" takes where several work: timed with stand-ins whose speed is known."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamanon.config import ComputeConfig
from streamanon.runtime import backends
from streamanon.runtime.backends import Array, Backend, Model, choose_backend, trials
from streamanon.runtime.backends.trials import Trial, decide
from streamanon.runtime.models import Engines


class Clock:
    """Time passes only where a stand-in says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Stand:
    """A backend that takes ``seconds`` a run and answers with ``value``, or fails."""

    memory = None

    def __init__(self, name: str, clock: Clock, seconds: float, value: Any = 1.0) -> None:
        self.name, self.clock, self.seconds, self.value, self.loads = name, clock, seconds, value, 0

    def load(self, path: Path, *, precise: bool, threads: int = 0, bfloat16: bool = False) -> Model:
        self.loads += 1
        return self

    def run(self, *inputs: Array) -> list[Array]:
        if isinstance(self.value, Exception):
            raise self.value
        self.clock.now += self.seconds
        return [np.full((1, 4), self.value, np.float32)]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Clock:
    """Timing is asked for, in a cache of its own."""
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", clock)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv(trials.SWITCH, "1")
    return clock


def install(monkeypatch: pytest.MonkeyPatch, stands: dict[str, Stand | str]) -> None:
    """Backends that work, or a reason why one does not open; all others are not installed."""

    def tried(name: str, _config: ComputeConfig) -> tuple[Backend | None, str]:
        stand = stands.get(name, "not installed")
        return (None, stand) if isinstance(stand, str) else (stand, "works")

    monkeypatch.setattr(backends, "_try", tried)
    monkeypatch.setattr(backends, "_missing", lambda name: "" if name in stands else "not installed")


@pytest.mark.parametrize(
    ("slow", "quick", "chosen"), [(0.02, 0.01, "onnxruntime"), (0.012, 0.01, "openvino")]
)
def test_the_order_stands_unless_another_is_clearly_quicker(
    slow: float, quick: float, chosen: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    stands = {"openvino": Stand("openvino", clock, slow), "onnxruntime": Stand("onnxruntime", clock, quick)}
    install(monkeypatch, dict(stands))
    choice = choose_backend(ComputeConfig())
    assert choice.backend.name == chosen
    reasons = {one.name: one.reason for one in choice.passed_over}
    assert reasons["tensorrt"] == "not installed"
    (other,) = stands.keys() - {chosen}
    assert reasons[other].startswith("works, takes")
    expected = stands[other].seconds / stands[chosen].seconds
    assert f"{expected:.2f} times as long as {chosen}" in reasons[other]


def test_it_is_done_once_and_again_for_other_settings(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    stands = {"openvino": Stand("openvino", clock, 0.03), "onnxruntime": Stand("onnxruntime", clock, 0.01)}
    install(monkeypatch, dict(stands))
    for _ in range(3):
        choice = choose_backend(ComputeConfig())
        assert choice.backend.name == "onnxruntime"
        assert "3.00 times" in {one.name: one.reason for one in choice.passed_over}["openvino"]
    assert stands["openvino"].loads == len(trials.MODELS)
    choose_backend(ComputeConfig(threads=1))
    assert stands["openvino"].loads == 2 * len(trials.MODELS)
    monkeypatch.setattr(trials, "_version", lambda package: "9")
    choose_backend(ComputeConfig())
    assert stands["openvino"].loads == 3 * len(trials.MODELS)


def test_one_that_fails_while_it_is_timed_is_passed_over(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Exhausted(Stand):
        def run(self, *inputs: Array) -> list[Array]:
            if clock.now > 0.05:
                self.value = RuntimeError("out of memory")
            return super().run(*inputs)

    stands = {
        "openvino": Exhausted("openvino", clock, 0.01),
        "onnxruntime": Stand("onnxruntime", clock, 0.02),
    }
    install(monkeypatch, dict(stands))
    choice = choose_backend(ComputeConfig())
    assert choice.backend.name == "onnxruntime"
    reasons = {one.name: one.reason for one in choice.passed_over}
    assert reasons["openvino"] == "fails: out of memory"


def test_other_models_are_timed_anew(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    stands = {"openvino": Stand("openvino", clock, 0.03), "onnxruntime": Stand("onnxruntime", clock, 0.01)}
    install(monkeypatch, dict(stands))
    choose_backend(ComputeConfig())
    monkeypatch.setattr(Engines, "digests", lambda _: {"generator": "0"})
    choose_backend(ComputeConfig())
    assert stands["openvino"].loads == 2 * len(trials.MODELS)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (2.0, "results are wrong"),
        (float("nan"), "results are wrong"),
        (RuntimeError("no memory\nat all"), "fails: no memory"),
    ],
)
def test_a_quick_one_that_is_wrong_is_not_taken(
    value: Any, reason: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    stands = {
        "tensorrt": Stand("tensorrt", clock, 0.001, value),
        "openvino": Stand("openvino", clock, 0.02, 1.02),  # rounded
        "onnxruntime": Stand("onnxruntime", clock, 0.021),
    }
    install(monkeypatch, dict(stands))
    choice = choose_backend(ComputeConfig())
    assert choice.backend.name == "openvino"
    assert reason in {one.name: one.reason for one in choice.passed_over}["tensorrt"]


def test_what_could_not_be_opened_is_tried_again(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    stands: dict[str, Stand | str] = {
        "tensorrt": "no NVIDIA driver is installed",
        "openvino": Stand("openvino", clock, 0.02),
        "onnxruntime": Stand("onnxruntime", clock, 0.02),
    }
    install(monkeypatch, stands)
    for _ in range(2):
        choice = choose_backend(ComputeConfig())
        assert choice.backend.name == "openvino"
        reasons = {one.name: one.reason for one in choice.passed_over}
        assert reasons["tensorrt"] == "no NVIDIA driver is installed"
    stands["tensorrt"] = Stand("tensorrt", clock, 0.001)
    assert choose_backend(ComputeConfig()).backend.name == "tensorrt"


def test_nothing_is_timed_where_there_is_no_choice_or_none_is_wanted(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Stand("onnxruntime", clock, 0.01)
    install(monkeypatch, {"openvino": "broken", "onnxruntime": one})
    assert choose_backend(ComputeConfig()).backend is one
    other = Stand("openvino", clock, 0.05)
    install(monkeypatch, {"openvino": other, "onnxruntime": one})
    assert choose_backend(ComputeConfig("onnxruntime")).backend is one
    monkeypatch.setenv(trials.SWITCH, "0")
    assert choose_backend(ComputeConfig()).backend is other
    assert one.loads == other.loads == 0


def test_nothing_is_timed_where_nothing_can_be_remembered(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "streamanon").write_text("no folder")
    stands = {"openvino": Stand("openvino", clock, 0.05), "onnxruntime": Stand("onnxruntime", clock, 0.01)}
    install(monkeypatch, dict(stands))
    assert choose_backend(ComputeConfig()).backend.name == "openvino"
    assert stands["openvino"].loads == 0


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"chosen": "openvino"}'])
def test_torn_memories_are_made_anew(
    content: bytes, clock: Clock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stands = {"openvino": Stand("openvino", clock, 0.05), "onnxruntime": Stand("onnxruntime", clock, 0.01)}
    install(monkeypatch, dict(stands))
    choose_backend(ComputeConfig())
    (file,) = (tmp_path / "streamanon").glob("backend-*.json")
    assert json.loads(file.read_text())["chosen"] == "onnxruntime"
    file.write_bytes(content)
    assert choose_backend(ComputeConfig()).backend.name == "onnxruntime"
    assert json.loads(file.read_text())["chosen"] == "onnxruntime"


def test_none_is_chosen_of_none() -> None:
    assert decide(["a"], {}, {"a": "fails: at all"}) is None
    assert decide(["a", "b"], {"b": 3.0}, {"a": "fails"}) == Trial("b", {"a": "fails"}, {"b": 3.0})


@pytest.mark.slow
def test_the_real_ones_agree_and_one_is_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, engines: Engines
) -> None:
    """OpenVINO in bfloat16 is near enough to ONNX Runtime to be trusted; whichever is quicker."""
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv(trials.SWITCH, "1")
    monkeypatch.setattr(trials, "ROUNDS", 1)
    config = ComputeConfig(threads=1)
    choice = choose_backend(config)
    kept = trials.remembered(config)
    assert kept is not None
    assert kept.milliseconds.keys() == {"openvino", "onnxruntime"}
    assert choice.backend.name == kept.chosen
    assert choose_backend(config).backend.name == kept.chosen
