"""OpenVINO: few shapes in memory, and on disk what it compiled; with a model that compiles in no time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from streamanon.config import ComputeConfig
from streamanon.runtime.backends import open_backend
from streamanon.runtime.backends.shape_cache import MOST_SHAPES
from streamanon.runtime.models import Engines
from streamanon.types import Float

openvino = pytest.importorskip("streamanon.runtime.backends.openvino")


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model; the cache is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return written(tmp_path / "relu.onnx", "Relu")


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The shapes that are compiled rather than read."""
    shapes, compile_model = [], openvino._OpenVinoModel._compile

    def remember(model: Any, given: Any) -> Any:
        shapes.append(given)
        return compile_model(model, given)

    monkeypatch.setattr(openvino._OpenVinoModel, "_compile", remember)
    return shapes  # type: ignore[return-value]


def written(path: Path, operation: str) -> Path:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, "h", "w"]) for name in "xy"]
    graph = helper.make_graph([helper.make_node(operation, ["x"], ["y"])], "one", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


def loaded(path: Path, threads: int = 1, precise: bool = True) -> Any:
    return open_backend(ComputeConfig("openvino", threads)).load(path, precise=precise)


def image(side: int = 32) -> Float:
    return np.random.default_rng(side).normal(size=(1, 3, 32, side)).astype(np.float32)


def plans(path: Path) -> list[Path]:
    return sorted((path.parent / "cache/streamanon/openvino").iterdir())


def test_few_shapes_are_kept_in_memory(path: Path) -> None:
    model = loaded(path)
    for side in range(1, MOST_SHAPES + 4):
        model.run(image(32 * side))
    assert len(model._compiled) == MOST_SHAPES


def test_a_shape_is_compiled_once_a_machine(path: Path, compiled: list[Any]) -> None:
    answers = [loaded(path).run(image())[0] for _ in range(3)]
    assert compiled == [((1, 3, 32, 32),)]
    for answer in answers:
        np.testing.assert_array_equal(answer, image().clip(0))
    loaded(path).run(image(64))
    assert len(plans(path)) == len(compiled) == 2


def test_another_model_or_setting_has_a_plan_of_its_own(path: Path, compiled: list[Any]) -> None:
    loaded(path).run(image())
    loaded(path, threads=2).run(image())
    loaded(path, precise=False).run(image())
    written(path, "Abs")
    np.testing.assert_array_equal(loaded(path).run(image())[0], np.abs(image()))
    assert len(plans(path)) == len(compiled) == 4


@pytest.mark.parametrize("content", [b"", b"torn", bytes(1000)])
def test_a_torn_plan_is_compiled_again(path: Path, compiled: list[Any], content: bytes) -> None:
    loaded(path).run(image())
    (plan,) = plans(path)
    plan.write_bytes(content)
    np.testing.assert_array_equal(loaded(path).run(image())[0], image().clip(0))
    assert len(compiled) == 2
    loaded(path).run(image())
    assert len(compiled) == 2


def test_without_a_place_to_keep_plans_models_run(path: Path, compiled: list[Any]) -> None:
    (path.parent / "cache").write_bytes(b"a file")
    for _ in range(2):
        np.testing.assert_array_equal(loaded(path).run(image())[0], image().clip(0))
    assert len(compiled) == 2


def test_what_is_kept_is_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = loaded(path)
    model.run(image())
    size = plans(path)[0].stat().st_size
    monkeypatch.setattr(openvino, "MOST_BYTES", 3 * size + size // 2)
    for side in range(2, 6):
        model.run(image(32 * side))
        assert sum(plan.stat().st_size for plan in plans(path)) <= 3 * size + size // 2
    assert len(plans(path)) == 3


def test_the_real_mesh_read_from_disk_is_the_one_compiled(path: Path, engines: Engines) -> None:
    crops = np.random.default_rng(1).random((1, 3, 128, 128), np.float32)
    first, second = (loaded(engines.path("face-mesh")).run(crops) for _ in range(2))
    for one, two in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, two)
