"""The detector's INT8 file: where it is taken, and that it answers like the float32 one."""

from __future__ import annotations

import importlib.util
import platform
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from streamanon.config import ComputeConfig, DetectConfig
from streamanon.detect.yolo import FaceDetector, detector_name
from streamanon.geometry import overlap
from streamanon.media.yuv import from_rgb
from streamanon.model_list import chain_models
from streamanon.runtime.backends import Backend, open_backend, prefers_int8
from streamanon.runtime.models import Engines
from streamanon.runtime.shared_models import SharedBackend
from streamanon.types import Faces, RawFrame

DEMO = Path(__file__).parents[1] / "data" / "demo.mp4"
NAMES = [name for name in ("onnxruntime", "openvino") if importlib.util.find_spec(name)]
#: Of faces that the float32 file is sure of: overlap of the boxes, and how far scores and keypoints (in
#: shares of the box's side) may move.
SURE, LEAST_OVERLAP, SCORE, KEYPOINT = 0.5, 0.85, 0.06, 0.05


def opened(name: str, precision: str = "auto") -> Backend:
    return open_backend(ComputeConfig(name, 1, precision=precision))  # type: ignore[arg-type]


@pytest.fixture
def x86_64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")


@pytest.fixture(scope="module")
def frames() -> list[RawFrame]:
    """Some of the demo clip, three seconds apart."""
    with av.open(str(DEMO)) as file:
        shown = [f.to_ndarray(format="rgb24") for n, f in enumerate(file.decode(video=0)) if n % 75 == 0]
    return [
        RawFrame(n, n, Fraction(1, 25), from_rgb(np.asarray(rgb, np.uint8))) for n, rgb in enumerate(shown)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_its_answers_are_those_of_float32(
    name: str, frames: list[RawFrame], engines: Engines, x86_64: None
) -> None:
    whole = FaceDetector(opened(name, "fp32"), engines, DetectConfig())
    int8 = FaceDetector(IntegersHere(opened(name)), engines, DetectConfig())
    compared, moved = 0, False
    for frame in frames:
        one, two = whole.detect(frame), int8.detect(frame)
        compared += _agree(one, two) + _agree(two, one)
        moved = moved or not np.array_equal(one.boxes, two.boxes)
    assert compared >= 16
    assert moved, "both were the same file"


def _agree(one: Faces, two: Faces) -> int:
    """How many faces ``one`` is sure of; all must be in ``two``."""
    sure = one[one.scores >= SURE]
    overlaps = overlap(sure.boxes, two.boxes)
    matches = two[overlaps.argmax(axis=1)]
    assert (overlaps.max(axis=1) >= LEAST_OVERLAP).all()
    assert np.abs(matches.scores - sure.scores).max() <= SCORE
    sides = (sure.boxes[:, 2:] - sure.boxes[:, :2]).max(axis=1)
    assert (np.abs(matches.keypoints - sure.keypoints) <= KEYPOINT * sides[:, None, None]).all()
    return len(sure)


class IntegersHere:
    """A backend that runs INT8 files whatever the processor."""

    prefers_int8 = True

    def __init__(self, backend: Backend) -> None:
        self.name, self.load = backend.name, backend.load


@pytest.mark.parametrize(("capabilities", "taken"), [(["FP32", "INT8"], True), (["FP32", "BF16"], False)])
def test_openvino_takes_it_where_there_is_no_bfloat16(
    capabilities: list[str], taken: bool, x86_64: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    openvino = pytest.importorskip("streamanon.runtime.backends.openvino")

    class Core:
        available_devices = ("CPU",)

        def get_property(self, device: str, name: str) -> list[str]:
            assert (device, name) == ("CPU", "OPTIMIZATION_CAPABILITIES")
            return capabilities

    monkeypatch.setattr(openvino, "_core", Core)
    assert prefers_int8(opened("openvino")) is taken
    assert not prefers_int8(opened("openvino", "fp32"))


def test_onnx_runtime_runs_float32(x86_64: None) -> None:
    """In INT8 it left a large profile at the picture's edge bare, which it covers in float32."""
    assert detector_name(opened("onnxruntime")) == "face-detector"


@pytest.mark.parametrize("name", NAMES)
def test_other_kinds_of_processors_run_float32(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert detector_name(opened(name)) == "face-detector"


def test_a_shared_backend_takes_what_its_own_does(x86_64: None) -> None:
    backend = opened("onnxruntime")
    assert prefers_int8(SharedBackend(IntegersHere(backend)))
    assert not prefers_int8(SharedBackend(backend))


@pytest.mark.slow
def test_only_the_detector_has_two_files(engines: Engines) -> None:
    whole, int8 = ([one.path.name for one in chain_models(engines, int8=which)] for which in (False, True))
    assert [(a, b) for a, b in zip(whole, int8, strict=True) if a != b] == [
        ("face-detector.onnx", "face-detector-int8.onnx")
    ]
    assert engines.path("face-detector-int8").name == "face-detector-int8.onnx"  # and its digest matches
