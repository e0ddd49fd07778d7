from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from streamanon import __version__
from streamanon.commands import doctor
from streamanon.errors import ModelError
from streamanon.runtime.backends import Choice, Verdict
from streamanon.runtime.backends.tensorrt_library import is_installed
from streamanon.runtime.models import Engines


def test_it_tells_versions_models_and_encoders() -> None:
    told = doctor.describe()
    assert told.startswith(f"streamanon {__version__}, Python 3.")
    for word in ("processor cores", "numpy", "face-detector", "delegates", "encoders", "h264"):
        assert word in told


def test_it_tells_why_each_backend_was_or_was_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts = [
        Verdict("tensorrt", False, "ModelError: no CUDA device is available"),
        Verdict("openvino", True, "works"),
        Verdict("onnxruntime", True, "works"),
    ]
    monkeypatch.setattr(doctor, "examine_backends", lambda: verdicts)
    chosen = SimpleNamespace(name="openvino")
    monkeypatch.setattr(doctor, "choose_backend", lambda _: Choice(chosen))
    told = doctor.describe().splitlines()
    assert "  tensorrt: ModelError: no CUDA device is available" in told
    assert "  openvino: chosen" in told
    assert "  onnxruntime: works, but openvino comes first" in told
    assert any("chosen: openvino" in line for line in told)


def test_it_tells_what_timing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts = [Verdict("openvino", True, "works"), Verdict("onnxruntime", True, "works")]
    monkeypatch.setattr(doctor, "examine_backends", lambda: verdicts)
    slower = Verdict("openvino", False, "works, takes 2.00 times as long as onnxruntime here")
    choice = Choice(SimpleNamespace(name="onnxruntime"), (slower,))
    monkeypatch.setattr(doctor, "choose_backend", lambda _: choice)
    told = doctor.describe().splitlines()
    assert "  openvino: works, takes 2.00 times as long as onnxruntime here" in told
    assert "  onnxruntime: chosen" in told


def test_it_works_without_any_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "examine_backends", lambda: [Verdict("openvino", False, "gone")])
    assert "chosen: none" in doctor.describe()


@pytest.mark.skipif(is_installed(), reason="TensorRT is installed")
def test_it_tells_why_tensorrt_was_not_chosen() -> None:
    assert "  tensorrt: the package tensorrt is not installed" in doctor.describe().splitlines()


def test_it_tells_of_a_changed_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.onnx").write_bytes(b"x")
    entries = {"a": {"file": "a.onnx", "sha256": "0"}, "b": {"file": "b.onnx", "sha256": "0"}}
    (tmp_path / "manifest.json").write_text(json.dumps({"models": entries}))
    engines = Engines.open(tmp_path)
    monkeypatch.setattr(Engines, "open", staticmethod(lambda: engines))
    told = doctor.describe()
    assert "differs from its digest" in told
    assert "b.onnx is missing" in told


def test_it_works_without_models(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Engines:
        raise ModelError("no models found")

    monkeypatch.setattr(Engines, "open", staticmethod(missing))
    assert "models: no models found" in doctor.describe()
