"""Building plans: with TensorRT-RTX for GPUs that are not here, and what any library needs with a fake."""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import fake_tensorrt
import pytest
from fake_tensorrt import relu
from onnx import TensorProto

from streamanon.commands.engines import plan_specs
from streamanon.detect.yolo import INT8_NAME
from streamanon.errors import ModelError
from streamanon.model_list import Loaded, chain_models
from streamanon.runtime.backends import tensorrt_library
from streamanon.runtime.backends.half_precision import to_half
from streamanon.runtime.backends.tensorrt_build import PlanSpec, build_plan, check_target
from streamanon.runtime.backends.tensorrt_library import Library, make_log, open_library
from streamanon.runtime.backends.tensorrt_profiles import Profile, exactly
from streamanon.runtime.models import Engines
from streamanon.runtime.onnx_header import read_onnx_header

ENGINES = Path(__file__).parents[2] / "engines"
#: TensorRT takes signed activations only, and the INT8 file, for CPUs, has unsigned ones.
MODELS = [path for path in sorted(ENGINES.glob("*.onnx")) if path.stem != INT8_NAME]
TARGETS = ("sm86", "sm89")
QUICK = (("face-occlusion", "sm86"), ("identity-encoder", "sm89"))
PROFILE: tuple[Profile, ...] = exactly(((1, 3, 4, 4),))
CASES = [
    pytest.param(path.stem, target, marks=[] if (path.stem, target) in QUICK else [pytest.mark.slow])
    for path in MODELS
    for target in TARGETS
]


@pytest.fixture(scope="module")
def rtx() -> Library:
    if not any(map(importlib.util.find_spec, tensorrt_library.RTX_PACKAGES)):
        pytest.skip("TensorRT-RTX is not installed: pip install '.[trt-rtx]'")
    return open_library(rtx=True)


@pytest.fixture
def models(engines: Engines) -> dict[str, Loaded]:
    return {model.path.stem: model for model in chain_models(engines)}


@pytest.mark.parametrize(("model", "target"), CASES)
def test_every_model_is_built_for_gpus_that_are_not_here(
    model: str, target: str, rtx: Library, models: dict[str, Loaded]
) -> None:
    specs = plan_specs([models[model]], [target], ["fp16"])
    assert [spec.half for spec in specs] == [not models[model].precise]
    plan = build_plan(rtx, specs[0])
    weights = models[model].path.stat().st_size * (0.5 if specs[0].half else 1)
    assert len(plan) > 0.8 * weights


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_a_network_has_the_files_names_in_its_order(path: Path, half: bool, rtx: Library) -> None:
    """Profiles are given by order, and a plan's inputs and outputs are bound by name."""
    log, _ = make_log(rtx)
    builder = rtx.api.Builder(log)
    network = builder.create_network(1 << int(rtx.api.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = rtx.api.OnnxParser(network, log)
    assert parser.parse(to_half(path) if half else path.read_bytes())
    header = read_onnx_header(path)
    for ports, count, get in (
        (header.inputs, network.num_inputs, network.get_input),
        (header.outputs, network.num_outputs, network.get_output),
    ):
        assert [get(number).name for number in range(count)] == [port.name for port in ports]
        assert all(get(number).dtype == rtx.api.DataType.FLOAT for number in range(count))


def test_a_small_model_is_built_in_half_precision(rtx: Library, models: dict[str, Loaded]) -> None:
    """The plan of a model in float16 holds half as many bytes of weights."""
    spec = plan_specs([models["generator-style"]], ["sm89"], ["fp32"])[0]
    half = PlanSpec(spec.path, spec.target, True, spec.profiles)
    assert len(build_plan(rtx, half)) < 0.75 * len(build_plan(rtx, spec))


def test_the_targets_are_told(rtx: Library) -> None:
    assert {"sm80", "sm86", "sm89", "sm120"} <= set(rtx.targets())
    with pytest.raises(ModelError, match=r"builds for sm80, .*sm120.*, not for sm90$"):
        check_target(rtx, "sm90")


def test_turing_has_no_float32(
    rtx: Library, models: dict[str, Loaded], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where this fails, that version can do it, and ``NOT_FLOAT32`` may go."""
    spec = plan_specs([models["generator-style"]], ["sm75"], ["fp32"])[0]
    with pytest.raises(ModelError, match=r"not for sm75$"):
        build_plan(rtx, spec)
    monkeypatch.setattr(tensorrt_library, "NOT_FLOAT32", set())
    with pytest.raises(ModelError, match="FP32 GEMM is not supported"):
        build_plan(rtx, spec)


@pytest.mark.parametrize("half", [False, True])
def test_what_is_no_model_is_one_sentence(rtx: Library, half: bool, tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelError, match=r"bad\.onnx") as caught:
        build_plan(rtx, PlanSpec(tmp_path / "bad.onnx", "sm86", half, PROFILE))
    assert "\n" not in str(caught.value)


def test_profiles_that_do_not_fit_the_model_are_one_sentence(rtx: Library, engines: Engines) -> None:
    spec = PlanSpec(engines.path("generator-style"), "sm86", False, exactly(((1, 7),)))
    with pytest.raises(ModelError, match=r"cannot build generator-style\.onnx: .") as caught:
        build_plan(rtx, spec)
    assert "\n" not in str(caught.value)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return relu(tmp_path / "model.onnx")


def test_a_plan_is_named_by_all_that_it_depends_on(model: Path, tmp_path: Path) -> None:
    library = fake_tensorrt.fake_library()
    other = tmp_path / "other" / "model.onnx"
    other.parent.mkdir()
    relu(other, TensorProto.FLOAT16)
    given = (model, "sm86", False, PROFILE, "L4")
    specs = [
        PlanSpec(*given),
        PlanSpec(other, *given[1:]),
        PlanSpec(model, "sm89", *given[2:]),
        PlanSpec(*given[:2], True, *given[3:]),
        PlanSpec(*given[:3], exactly(((2, 3, 4, 4),)), "L4"),
        PlanSpec(*given[:4], "L40"),
    ]
    names = [spec.file_name(library) for spec in specs]
    names += [specs[0].file_name(fake_tensorrt.fake_library(version="1.8"))]
    names += [specs[0].file_name(fake_tensorrt.fake_library(rtx=False))]
    assert len(set(names)) == 8
    assert names[0].startswith("model-sm86-fp32-")
    assert names[3].startswith("model-sm86-fp16-")
    assert all(name.endswith(".plan") for name in names)


def test_float32_does_without_tf32(model: Path) -> None:
    library = fake_tensorrt.fake_library()
    build_plan(library, PlanSpec(model, "sm89", False, PROFILE))
    config = library.api.Builder.built[0]
    assert not config.flags
    assert (config.target, config.num_compute_capabilities) == ("SM89", 1)


def test_tensorrt_builds_for_the_gpu_at_hand_and_keeps_its_timings(model: Path, tmp_path: Path) -> None:
    library, timings = fake_tensorrt.fake_library(rtx=False), tmp_path / "cache" / "timings"
    for kept in (b"timed", b"timedtimed"):
        build_plan(library, PlanSpec(model, "sm90", False, PROFILE), timings)
        assert timings.read_bytes() == kept
    assert library.api.Builder.built[0].target == ""
    assert library.targets() == []


def test_torn_timings_are_begun_anew(model: Path, tmp_path: Path) -> None:
    timings = tmp_path / "timings"
    timings.write_bytes(b"torn")
    build_plan(fake_tensorrt.fake_library(rtx=False), PlanSpec(model, "sm90", False, PROFILE), timings)
    assert timings.read_bytes() == b"timed"


def test_a_failed_build_tells_the_librarys_reason(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = fake_tensorrt.fake_library()
    monkeypatch.setattr(library.api.Builder, "fails", True)
    with pytest.raises(ModelError, match=r"^TensorRT-RTX cannot build model\.onnx: out of memory$"):
        build_plan(library, PlanSpec(model, "sm86", False, PROFILE))


def test_a_failed_parse_tells_the_librarys_reason(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"bad")
    with pytest.raises(ModelError, match=r"^TensorRT-RTX cannot read bad\.onnx: no ONNX model$"):
        build_plan(fake_tensorrt.fake_library(), PlanSpec(tmp_path / "bad.onnx", "sm86", False, PROFILE))


def test_a_missing_model_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot read the model .*gone\.onnx: No such file"):
        build_plan(fake_tensorrt.fake_library(), PlanSpec(tmp_path / "gone.onnx", "sm86", False, PROFILE))


def test_an_old_tensorrt_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    old = ModuleType("tensorrt")
    old.__spec__, old.__dict__["__version__"] = ModuleSpec("tensorrt", None), "8.6.1"
    monkeypatch.setitem(sys.modules, "tensorrt", old)
    with pytest.raises(ModelError, match=r"^TensorRT 8\.6\.1 is too old: install tensorrt>=10$"):
        open_library()


def test_without_either_library_the_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ModelError, match="pip install tensorrt-rtx-cu12-libs tensorrt-rtx-cu12-bindings"):
        open_library()
