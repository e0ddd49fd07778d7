"""The models in float16, run on the CPU: their range, and how far they are from float32."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from streamanon.errors import ModelError
from streamanon.runtime.backends.half_precision import to_half
from streamanon.runtime.models import Engines

#: Largest difference from float32, in shares of the largest value: of a detector's stride and score, and of
#: the generator's colours (1.3 levels of 256).
TOLERANCE = 1e-2
#: The models that the chain loads without ``precise``.
MODELS = ("face-detector", "generator")


def inputs(session: Any) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """Pictures of even patches of 8 px, and styles, for two faces or one picture."""
    random, made = np.random.default_rng(0), {}
    for one in session.get_inputs():
        shape = [length if isinstance(length, int) else 64 for length in one.shape]
        shape[0] = shape[0] if isinstance(one.shape[0], int) else 2
        if len(shape) == 4:
            coarse = random.uniform(0.1, 0.9, (*shape[:2], shape[2] // 8, shape[3] // 8))
            made[one.name] = np.kron(coarse, np.ones((1, 1, 8, 8))).astype(np.float32)
        else:
            made[one.name] = random.normal(0, 0.3, shape).astype(np.float32)
    return made


@pytest.mark.parametrize("model", MODELS)
def test_half_precision_is_near_and_finite(model: str, engines: Engines) -> None:
    path = engines.path(model)
    half = to_half(path)
    assert len(half) < 0.62 * path.stat().st_size
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    whole, small = (
        onnxruntime.InferenceSession(one, options, providers=["CPUExecutionProvider"])
        for one in (str(path), half)
    )
    feeds = inputs(whole)
    for one, two in zip(whole.run(None, feeds), small.run(None, feeds), strict=True):
        assert two.dtype == np.float32
        assert np.isfinite(two).all()
        assert np.abs(one - two).max() <= TOLERANCE * max(1.0, float(np.abs(one).max()))


def test_the_weights_are_float16(engines: Engines) -> None:
    graph = onnx.load_from_string(to_half(engines.path("generator-style"))).graph
    large = [one for one in graph.initializer if np.prod(one.dims) > 100]
    assert large
    assert all(one.data_type == onnx.TensorProto.FLOAT16 for one in large)


def test_what_is_no_model_is_a_model_error(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelError, match=r"cannot convert bad\.onnx to half precision"):
        to_half(tmp_path / "bad.onnx")


def test_without_the_package_onnx_it_is_named(engines: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnx" else find(name))
    with pytest.raises(ModelError, match="pip install onnx"):
        to_half(engines.path("generator-style"))
