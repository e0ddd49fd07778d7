"""How plans are opened, kept and run, with a fake library on the host. No plan has run on a GPU here."""

from __future__ import annotations

import importlib.util
import inspect
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fake_tensorrt
import numpy as np
import pytest
from fake_tensorrt import relu
from onnx import TensorProto, helper

from streamanon.config import ComputeConfig
from streamanon.errors import ModelError
from streamanon.runtime.backends import Model, choose_backend, tensorrt_library
from streamanon.runtime.backends.tensorrt import Place, TensorRtBackend
from streamanon.runtime.backends.tensorrt_library import open_library


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Relu of pictures [batch, 3, 4, 4]; the fake doubles its input, whatever the model."""
    return relu(tmp_path / "relu.onnx")


def load(model: Path, folder: Path, rtx: bool = True) -> tuple[Model, Any]:
    place = Place(fake_tensorrt.fake_library(rtx), fake_tensorrt.HostMemory(), folder)
    return TensorRtBackend(place).load(model, precise=True), place.library.api


def pictures(count: int, side: int = 4) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(count).normal(size=(count, 3, side, side)).astype(np.float32)


def test_the_fake_has_nothing_that_tensorrt_lacks() -> None:
    """Else the tests here would pass where the library fails."""
    if not any(map(importlib.util.find_spec, tensorrt_library.RTX_PACKAGES)):
        pytest.skip("TensorRT-RTX is not installed: pip install '.[trt-rtx]'")
    real = open_library(rtx=True).api
    own = {"built", "fails", "loaded", "contexts", "runs", "profiles", "ranges", "kept", "held", "target"}
    checked = 0
    for name, fake in vars(fake_tensorrt).items():
        if inspect.isclass(fake) and fake.__module__ == "fake_tensorrt" and hasattr(real, name):
            public = {one for one in vars(fake) if not one.startswith("_")} - own
            assert public <= set(dir(getattr(real, name))), name
            checked += 1
    assert checked >= 14


@pytest.mark.parametrize("count", [1, 3, 8])
@pytest.mark.parametrize("rtx", [True, False])
def test_a_plan_runs_what_fits_its_profiles(count: int, rtx: bool, model: Path, tmp_path: Path) -> None:
    loaded, api = load(model, tmp_path, rtx)
    given = pictures(count)
    np.testing.assert_array_equal(loaded.run(given)[0], 2 * given)
    assert len(api.Builder.built) == 1
    assert api.Runtime.loaded[0].runs == [{1: 0, 3: 1, 8: 2}[count]]


def test_more_faces_than_a_plan_takes_go_through_in_batches(model: Path, tmp_path: Path) -> None:
    loaded, api = load(model, tmp_path)
    given = pictures(21)
    np.testing.assert_array_equal(loaded.run(given)[0], 2 * given)
    assert len(api.Builder.built) == 1
    assert api.Runtime.loaded[0].runs == [2, 2, 2]


def test_other_shapes_get_a_plan_of_their_own(model: Path, tmp_path: Path) -> None:
    loaded, api = load(model, tmp_path)
    given = pictures(2, side=6)
    for _ in range(2):
        np.testing.assert_array_equal(loaded.run(given)[0], 2 * given)
    assert len(api.Builder.built) == 2


def test_a_profile_has_one_context_for_all_runs(model: Path, tmp_path: Path) -> None:
    loaded, api = load(model, tmp_path)
    for count in (1, 1, 4, 3, 1):
        loaded.run(pictures(count))
    assert api.Runtime.loaded[0].contexts == 2


def test_a_plan_is_built_once_a_machine(model: Path, tmp_path: Path) -> None:
    load(model, tmp_path)
    loaded, api = load(model, tmp_path)
    assert not api.Builder.built
    np.testing.assert_array_equal(loaded.run(pictures(1))[0], 2 * pictures(1))


@pytest.mark.parametrize("torn", [b"", b"plan[[", b"of another version"])
def test_a_plan_that_does_not_load_is_rebuilt(torn: bytes, model: Path, tmp_path: Path) -> None:
    load(model, tmp_path)
    file = next(tmp_path.glob("*.plan"))
    whole = file.read_bytes()
    file.write_bytes(torn)
    loaded, api = load(model, tmp_path)
    assert len(api.Builder.built) == 1
    assert file.read_bytes() == whole
    np.testing.assert_array_equal(loaded.run(pictures(1))[0], 2 * pictures(1))


def test_a_plan_that_never_loads_is_one_sentence(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake_tensorrt.Builder, "build_serialized_network", lambda *_: b"of another version")
    with pytest.raises(ModelError, match=r"cannot read its own plan for relu\.onnx: of another GPU$"):
        load(model, tmp_path)


def test_compiled_kernels_are_kept_for_the_next_run(model: Path, tmp_path: Path) -> None:
    loaded, _ = load(model, tmp_path)
    loaded.run(pictures(1))
    kept = next(tmp_path.glob("*.kernels"))
    assert kept.read_bytes() == b"kernels"
    load(model, tmp_path)[0].run(pictures(1))
    assert kept.read_bytes() == b"kernelskernels", "the second run knew those of the first"


def test_kernels_that_do_not_fit_are_made_anew(model: Path, tmp_path: Path) -> None:
    load(model, tmp_path)[0].run(pictures(1))
    kept = next(tmp_path.glob("*.kernels"))
    kept.write_bytes(b"of another driver")
    load(model, tmp_path)[0].run(pictures(1))
    assert kept.read_bytes() == b"kernels"


@pytest.mark.parametrize("most", [None, 0])
def test_only_the_users_cache_is_kept_small(most: int | None, tmp_path: Path) -> None:
    """A folder that was asked for may hold plans of other GPUs."""
    folder = tmp_path / "plans"
    place = Place(fake_tensorrt.fake_library(), fake_tensorrt.HostMemory(), folder, most)
    for number in range(2):
        path = relu(tmp_path / f"relu{number}.onnx")
        given = pictures(1)
        loaded = TensorRtBackend(place).load(path, precise=True)
        np.testing.assert_array_equal(loaded.run(given)[0], 2 * given)
    kept = {path.name.split("-")[0] for path in folder.glob("*.plan")}
    assert kept == (set() if most == 0 else {"relu0", "relu1"})


def test_plans_that_were_used_stay(tmp_path: Path) -> None:
    folder, library = tmp_path / "plans", fake_tensorrt.fake_library()
    paths = [relu(tmp_path / f"relu{number}.onnx") for number in range(3)]

    def use(path: Path, most: int) -> None:
        TensorRtBackend(Place(library, fake_tensorrt.HostMemory(), folder, most)).load(path, precise=True)

    for path in paths:
        use(path, 1 << 20)
    for number, plan in enumerate(sorted(folder.glob("*.plan"))):
        os.utime(plan, (number, number))
    size = max(plan.stat().st_size for plan in folder.glob("*.plan"))
    use(paths[0], 2 * size)
    assert {plan.name.split("-")[0] for plan in folder.glob("*.plan")} == {"relu0", "relu2"}


def test_several_inputs_and_outputs_are_bound_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order of the ONNX file, which is that of arguments and results everywhere."""
    names = ["b", "a", "z", "y"]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3]) for name in names]
    nodes = [helper.make_node("Relu", [one], [other]) for one, other in (("a", "y"), ("b", "z"))]
    graph = helper.make_graph(nodes, "two", ends[:2], ends[2:])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (tmp_path / "two.onnx").write_bytes(made.SerializeToString())
    bound: list[tuple[str, int]] = []

    def bind(_self: Any, name: str, address: int) -> bool:
        bound.append((name, address))
        return True

    monkeypatch.setattr(fake_tensorrt.IExecutionContext, "set_tensor_address", bind)
    monkeypatch.setattr(fake_tensorrt.IExecutionContext, "execute_async_v3", lambda *_: True)
    place = Place(fake_tensorrt.fake_library(), fake_tensorrt.HostMemory(), tmp_path / "plans")
    loaded: Any = TensorRtBackend(place).load(tmp_path / "two.onnx", precise=True)
    given = [place.memory.upload(np.full((1, 3), value, np.float32)) for value in (1, 2)]
    results = loaded.run_on_device(*given)
    assert [name for name, _ in bound] == names
    assert [address for _, address in bound] == [one.data_ptr() for one in (*given, *results)]


def test_tensorrt_keeps_no_kernels(model: Path, tmp_path: Path) -> None:
    load(model, tmp_path, rtx=False)[0].run(pictures(1))
    assert not list(tmp_path.glob("*.kernels"))


def test_each_of_several_callers_gets_their_own_answers(model: Path, tmp_path: Path) -> None:
    loaded, _ = load(model, tmp_path)
    start = threading.Barrier(4)

    def ask(count: int) -> None:
        start.wait()
        for _ in range(30):
            np.testing.assert_array_equal(loaded.run(pictures(count))[0], 2 * pictures(count))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, range(1, 5)))


def test_inputs_of_other_types_are_refused(tmp_path: Path) -> None:
    half = relu(tmp_path / "half.onnx", TensorProto.FLOAT16)
    with pytest.raises(ModelError, match=r"half\.onnx takes float16: export it with float32 inputs"):
        load(half, tmp_path)


def test_a_gpu_that_tensorrt_rtx_does_not_know_is_told(tmp_path: Path) -> None:
    place = Place(fake_tensorrt.fake_library(), fake_tensorrt.HostMemory("sm90"), tmp_path)
    with pytest.raises(ModelError, match=r"nothing for this GPU \(sm90\), only for sm86, sm89: install"):
        TensorRtBackend(place)


def test_without_a_gpu_it_says_so() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    if not tensorrt_library.is_installed():
        pytest.skip("neither TensorRT nor TensorRT-RTX is installed")
    with pytest.raises(
        ModelError, match=r"tensorrt: no (NVIDIA driver is installed|CUDA device is available)\);"
    ):
        choose_backend(ComputeConfig("tensorrt"))
