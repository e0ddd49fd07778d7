from __future__ import annotations

import importlib
import importlib.util
import logging
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from streamanon.config import ComputeConfig
from streamanon.errors import ConfigError, ModelError
from streamanon.runtime.backends import (
    Backend,
    Model,
    choose_backend,
    examine_backends,
    open_backend,
    threads_of,
)
from streamanon.runtime.models import Engines

NAMES = [name for name in ("onnxruntime", "openvino") if importlib.util.find_spec(name)]
CONTRACT = [verdict.name for verdict in examine_backends() if verdict.works]
BATCHES = {
    "face-detector": [(1, 3, 96, 160), (1, 3, 224, 128)],
    "face-mesh": [(1, 3, 128, 128)],
    "identity-encoder": [(1, 3, 112, 112)],
}
MODELS = [pytest.param("face-detector", marks=pytest.mark.slow), "face-mesh", "identity-encoder"]
OUTPUTS = {"face-detector": 3, "face-mesh": 2, "identity-encoder": 4}


def open_named(name: str, threads: int = 1) -> Backend:
    return open_backend(ComputeConfig(name, threads))  # type: ignore[arg-type]


def images(shape: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Smooth pictures; noise alone is nothing that a model was made for."""
    coarse = np.random.default_rng(0).uniform(0.1, 0.9, (*shape[:2], 4, 4))
    tiles = (1, 1, -(-shape[2] // 4), -(-shape[3] // 4))
    return np.kron(coarse, np.ones(tiles))[:, :, : shape[2], : shape[3]].astype(np.float32)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("model", MODELS)
def test_a_backend_runs_every_shape(name: str, model: str, engines: Engines) -> None:
    loaded = open_named(name).load(engines.path(model), precise=True)
    for shape in [*BATCHES[model], BATCHES[model][0]]:
        outputs = loaded.run(images(shape))
        assert len(outputs) == OUTPUTS[model]
        assert all(o.dtype == np.float32 and np.isfinite(o).all() and o.shape[0] == 1 for o in outputs)
        again = loaded.run(images(shape))
        assert all(one is not two for one, two in zip(outputs, again, strict=True))


@pytest.mark.skipif(len(NAMES) < 2, reason="only one runtime is installed")
@pytest.mark.parametrize("precise", [True, False])
@pytest.mark.parametrize("model", MODELS)
def test_backends_agree(model: str, precise: bool, engines: Engines) -> None:
    """To rounding where float32 is asked for, and to bfloat16 where it is not."""
    for shape in BATCHES[model]:
        given = [
            open_named(name).load(engines.path(model), precise=precise).run(images(shape)) for name in NAMES
        ]
        for one, two in zip(*given, strict=True):
            assert one.shape == two.shape
            scale = max(1.0, float(np.abs(one).max()))
            assert np.abs(one - two).max() / scale < (2e-3 if precise else 0.08)


def test_earlier_outputs_are_not_overwritten(engines: Engines) -> None:
    for name in NAMES:
        loaded = open_named(name).load(engines.path("face-mesh"), precise=True)
        first = loaded.run(images((1, 3, 128, 128)))[0]
        kept = first.copy()
        loaded.run(1 - images((1, 3, 128, 128)))
        np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_is_no_model_is_a_model_error(name: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(ModelError, match=r"bad\.onnx"):
        open_named(name).load(path, precise=True).run(images((1, 3, 128, 128)))


def test_auto_gives_one_that_works() -> None:
    assert open_backend(ComputeConfig()).name in ("tensorrt", *NAMES)


def _without(monkeypatch: pytest.MonkeyPatch, *missing: str) -> None:
    if "tensorrt" in missing:
        missing += ("tensorrt_rtx", "tensorrt_rtx_bindings")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in missing else find(name))


def _broken(monkeypatch: pytest.MonkeyPatch, *names: str, error: Exception) -> None:
    real = importlib.import_module

    def create(_config: ComputeConfig) -> Backend:
        raise error

    def import_module(name: str) -> object:
        return SimpleNamespace(create=create) if name.rpartition(".")[2] in names else real(name)

    monkeypatch.setattr(importlib, "import_module", import_module)


def test_auto_falls_back_to_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    _without(monkeypatch, "tensorrt", "openvino")
    assert open_backend(ComputeConfig()).name == "onnxruntime"


def test_auto_goes_on_past_a_broken_one(monkeypatch: pytest.MonkeyPatch) -> None:
    _without(monkeypatch, "tensorrt")
    _broken(monkeypatch, "openvino", error=OSError("driver too old"))
    assert open_backend(ComputeConfig()).name == "onnxruntime"


def test_auto_tells_every_reason_if_none_works(monkeypatch: pytest.MonkeyPatch) -> None:
    _without(monkeypatch, "tensorrt", "openvino", "onnxruntime")
    with pytest.raises(ModelError) as caught:
        open_backend(ComputeConfig())
    for name in ("tensorrt", "openvino", "onnxruntime"):
        assert f"{name}: the package {name} is not installed" in str(caught.value)


def test_auto_tells_why_it_passed_others_over(monkeypatch: pytest.MonkeyPatch) -> None:
    _without(monkeypatch, "tensorrt")
    _broken(monkeypatch, "openvino", error=OSError("driver too old"))
    choice = choose_backend(ComputeConfig())
    assert choice.backend.name == "onnxruntime"
    reasons = {one.name: one.reason for one in choice.passed_over}
    assert reasons["tensorrt"] == "the package tensorrt is not installed"
    assert reasons.keys() == {"tensorrt", "openvino"}
    assert not choose_backend(ComputeConfig("onnxruntime")).passed_over


def test_tensorrt_without_pytorch_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name == "torch" else find("numpy" if name.startswith("tensorrt") else name),
    )
    with pytest.raises(ModelError, match=r"\(tensorrt: the package torch is not installed\); leave it to"):
        open_named("tensorrt")


class _Precisions:
    """A backend that notes how models are loaded."""

    name = "noting"

    def __init__(self) -> None:
        self.asked: list[bool] = []

    def load(self, path: Path, *, precise: bool, threads: int = 0, bfloat16: bool = False) -> Model:
        self.asked.append(precise)
        return SimpleNamespace(run=lambda *inputs: list(inputs))


@pytest.mark.parametrize(("precision", "asked"), [("auto", [False, True]), ("fp32", [True, True])])
def test_float32_everywhere_is_a_setting(
    precision: Any, asked: list[bool], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    noting, real = _Precisions(), importlib.import_module

    def import_module(name: str) -> object:
        ours = name.rpartition(".")[2] == "onnxruntime"
        return SimpleNamespace(create=lambda _config: noting) if ours else real(name)

    monkeypatch.setattr(importlib, "import_module", import_module)
    backend = open_backend(ComputeConfig("onnxruntime", precision=precision))
    assert backend.name == "noting"
    for precise in (False, True):
        backend.load(tmp_path, precise=precise)
    assert noting.asked == asked


def test_providers_are_for_onnxruntime_alone() -> None:
    with pytest.raises(ConfigError, match=r"compute\.providers is for the backend onnxruntime, not open"):
        open_backend(ComputeConfig("openvino", providers=("cuda",)))


@pytest.mark.parametrize("name", ["tensorrt", "openvino", "onnxruntime"])
def test_a_named_backend_is_never_replaced(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _without(monkeypatch, name)
    with pytest.raises(ModelError, match=f"{name}: the package {name} is not installed"):
        open_named(name)


def test_a_named_backend_that_is_broken_tells_why(monkeypatch: pytest.MonkeyPatch) -> None:
    _broken(monkeypatch, "onnxruntime", error=OSError("driver too old\nwith details"))
    with pytest.raises(ModelError, match=r"onnxruntime: OSError: driver too old\); leave it to auto"):
        open_backend(ComputeConfig("onnxruntime"))


def test_verdicts_cover_every_backend(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        verdicts = examine_backends()
    assert [verdict.name for verdict in verdicts] == ["tensorrt", "openvino", "onnxruntime"]
    assert all(verdict.works == (verdict.reason == "works") for verdict in verdicts)
    assert verdicts[2].works


@pytest.mark.parametrize("name", CONTRACT)
def test_each_of_several_callers_gets_their_own_answers(name: str, engines: Engines) -> None:
    loaded = open_named(name).load(engines.path("identity-encoder"), precise=True)
    batches = [np.roll(images((1, 3, 112, 112)), 17 * n, axis=2) + np.float32(0.02 * n) for n in range(4)]
    alone = [[one.copy() for one in loaded.run(batch)] for batch in batches]
    start = threading.Barrier(len(batches))

    def ask(number: int) -> list[list[np.ndarray[Any, Any]]]:
        start.wait()
        return [loaded.run(batches[number]) for _ in range(15)]

    with ThreadPoolExecutor(len(batches)) as pool:
        answers = list(pool.map(ask, range(len(batches))))
    for expected, given in zip(alone, answers, strict=True):
        for one in given:
            for first, second in zip(expected, one, strict=True):
                np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("most", "useful", "threads"), [(0, 0, 0), (0, 1, 1), (4, 0, 4), (4, 1, 1), (1, 3, 1)]
)
def test_the_setting_bounds_the_threads_of_every_network(most: int, useful: int, threads: int) -> None:
    assert threads_of(most, useful) == threads


@pytest.mark.parametrize("name", NAMES)
def test_a_gpu_is_not_looked_for_in_a_backend_of_the_cpu(name: str) -> None:
    with pytest.raises(ModelError, match=r"compute\.device 1 names a GPU and this runs on the CPU"):
        open_backend(ComputeConfig(name, device=1))  # type: ignore[arg-type]


def test_tensorrt_runs_the_models(engines: Engines) -> None:
    pytest.importorskip("tensorrt", reason="TensorRT is not installed")
    verdict = examine_backends()[0]
    if not verdict.works:
        pytest.skip(verdict.reason)
    for model, shapes in BATCHES.items():
        quick = open_backend(ComputeConfig("tensorrt")).load(engines.path(model), precise=True)
        slow = open_backend(ComputeConfig("onnxruntime")).load(engines.path(model), precise=True)
        for shape in shapes:
            for one, two in zip(quick.run(images(shape)), slow.run(images(shape)), strict=True):
                assert np.abs(one - two).max() / max(1.0, float(np.abs(two).max())) < 2e-2


@pytest.mark.skipif("openvino" not in NAMES, reason="OpenVINO is not installed")
def test_a_signal_does_no_harm_after_openvino_was_used_up_in_another_thread() -> None:
    """In a process of its own: where it fails, it is a crash."""
    program = """
import gc, signal, threading
from streamanon.runtime.backends import open_backend
from streamanon.config import ComputeConfig
backends = [open_backend(ComputeConfig(backend="openvino"))]
thread = threading.Thread(target=lambda: (backends.clear(), gc.collect()))
thread.start(); thread.join()
signal.signal(signal.SIGINT, lambda number, frame: print("still here"))
signal.raise_signal(signal.SIGINT)
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout) == (0, "still here\n")


@pytest.mark.parametrize("name", NAMES)
def test_a_runtime_tells_nobody_that_it_is_used(name: str) -> None:
    """In a process of its own, as both decide it when they are imported."""
    program = f"""
import os, sys
from streamanon.runtime.backends import open_backend
from streamanon.config import ComputeConfig
open_backend(ComputeConfig(backend={name!r}))
telemetry = [one for one in sys.modules if one.startswith("openvino_telemetry.")]
print(os.environ["ORT_DISABLE_TELEMETRY"], telemetry)
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout) == (0, "1 []\n")
