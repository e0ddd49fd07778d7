"""Networks that are given tensors: of a CPU's backend, and of TensorRT's stand-in on the same buffers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fake_tensorrt
import numpy as np
import pytest
from fake_tensorrt import relu

pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

import torch
from devices import MEMORY, here

from streamanon.config import ComputeConfig, DetectConfig
from streamanon.detect.verifier import Verifier
from streamanon.detect.verifier_crop import widened
from streamanon.detect.yolo import FaceDetector, best
from streamanon.device.detection import DeviceFaceDetector, DeviceVerifier
from streamanon.device.models import DeviceBackend, DeviceModel
from streamanon.device.pictures import DevicePixels, Pictures
from streamanon.media.decode import read_frames
from streamanon.media.probe import probe
from streamanon.media.yuv import from_rgb
from streamanon.mesh.face_mesh import FaceMesh
from streamanon.runtime.backends import memory_of, open_backend
from streamanon.runtime.backends.tensorrt import Place, TensorRtBackend
from streamanon.runtime.backends.torch_memory import TorchMemory
from streamanon.runtime.models import Engines
from streamanon.runtime.shared_models import SharedBackend
from streamanon.types import RawFrame, Target

DEMO = Path(__file__).parents[1] / "data" / "demo.mp4"


class Uploads(TorchMemory):
    """Counts what goes to the device, the CPU here, and comes back."""

    def __init__(self) -> None:
        super().__init__(torch.device("cpu"))
        self.uploads = self.downloads = 0

    def upload(self, array: Any) -> Any:
        self.uploads += 1
        return super().upload(array)

    def download(self, tensors: Any) -> Any:
        self.downloads += len(tensors)
        return super().download(tensors)


@pytest.mark.parametrize("count", [1, 3, 21])
def test_tensorrt_runs_on_the_devices_own_buffers(count: int, tmp_path: Path) -> None:
    """The stand-in reads and writes where the tensors' addresses say."""
    memory = Uploads()
    memory.architecture = "sm86"
    backend = TensorRtBackend(Place(fake_tensorrt.fake_library(), memory, tmp_path))
    assert memory_of(backend) is memory
    assert memory_of(SharedBackend(backend)) is memory
    model = DeviceBackend(backend, memory).load(relu(tmp_path / "relu.onnx"), precise=True)
    given = torch.arange(count * 48, dtype=torch.float32).reshape(count, 3, 4, 4)
    (made,) = model.run_kept(given.mT)  # not contiguous
    assert torch.equal(made, 2 * given.mT)
    assert (memory.uploads, memory.downloads) == (0, 0)
    np.testing.assert_array_equal(model.run(given)[0], 2 * here(given))
    assert (memory.uploads, memory.downloads) == (0, 1)


def test_a_cpus_backend_is_given_the_tensors_memory() -> None:
    seen: list[Any] = []

    class Adds:
        def run(self, *inputs: Any) -> list[Any]:
            seen.extend(inputs)
            return [inputs[0] + inputs[1]]

    given = torch.ones(2, 3)
    (made,) = DeviceModel(Adds(), Uploads()).run_kept(given, np.full((2, 3), 2, np.float32))
    assert seen[0].ctypes.data == given.data_ptr()
    assert torch.equal(made, torch.full((2, 3), 3.0))


def test_memories_of_wrapped_backends_are_found() -> None:
    assert memory_of(open_backend(ComputeConfig("onnxruntime", precision="fp32"))) is None


@pytest.fixture(scope="module")
def frame() -> RawFrame:
    """The demo's first frame with several faces."""
    frames = read_frames(DEMO, probe(DEMO), lambda _: None, lambda _: None)
    return next(frames)


@pytest.mark.slow
def test_the_detector_finds_the_same_faces(engines: Engines, frame: RawFrame) -> None:
    backend, config = open_backend(ComputeConfig("onnxruntime", 1)), DetectConfig()
    on_host = FaceDetector(backend, engines, config)
    on_device = DeviceFaceDetector(DeviceBackend(backend, MEMORY), engines, config, Pictures(MEMORY))
    expected, found = best(on_host.detect(frame)), best(on_device.detect(frame))
    assert len(found) == len(expected) > 0
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=0.5)
    np.testing.assert_allclose(found.scores, expected.scores, atol=0.02)


@pytest.mark.parametrize("turn", [1, *(pytest.param(one, marks=pytest.mark.slow) for one in (0, 2, 3))])
def test_the_verifier_sees_the_same(turn: int, engines: Engines, frame: RawFrame) -> None:
    """Squares of any size, also beyond the picture's edges: within rounding; and what it makes of them."""
    backend = open_backend(ComputeConfig("onnxruntime", 1))
    on_host = Verifier(backend, engines)
    on_device = DeviceVerifier(DeviceBackend(backend, MEMORY), engines, Pictures(MEMORY))
    boxes = np.array(
        [
            [185, 115, 245, 200],
            [330, 120, 370, 170],
            [440.3, 101.7, 500.1, 190.2],
            [100, 60, 320, 340],
            [-30, -20, 20, 40],
            [600, 300, 700, 400],
            [-90, 100, -40, 160],
            [320, 100, 323, 104],
            [180, 110, 250, 205],
        ],
        np.float32,
    )
    turns = np.full(len(boxes), turn, np.int64)
    seen, expected = (one.input_of(frame.picture, boxes, turns) for one in (on_device, on_host))
    apart = 255 * np.abs(here(seen) - expected)
    assert apart.max() < 5.1
    assert apart.mean() < 0.5
    one, other = (one.verify(frame.picture, boxes, turns) for one in (on_device, on_host))
    assert other.probabilities.max() > (0.9 if turn == 0 else 0)
    np.testing.assert_allclose(one.probabilities, other.probabilities, atol=0.05)
    np.testing.assert_allclose(one.boxes, other.boxes, atol=3)
    nothing = on_device.verify(frame.picture, boxes[:0], turns[:0])
    assert nothing.probabilities.shape == (0,)


def test_the_verifier_leaves_out_what_lies_beyond_a_border_on_the_device_too(engines: Engines) -> None:
    rgb = np.full((200, 160, 3), 60, np.uint8)
    rgb[50:] = 160
    picture, turns = from_rgb(rgb), np.zeros(2, np.int64)
    boxes = np.array([[60, 130, 100, 170], [60, 54, 100, 94]], np.float32)
    backend = open_backend(ComputeConfig("onnxruntime", 1))
    on_host = Verifier(backend, engines)
    on_device = DeviceVerifier(DeviceBackend(backend, MEMORY), engines, Pictures(MEMORY))
    (expected, rows), (found, on) = (
        one.without_neighbours(*(one.input_of(picture, some, turns) for some in (boxes, widened(boxes))))
        for one in (on_host, on_device)
    )
    assert rows.tolist() == on.tolist() == [1]
    np.testing.assert_allclose(here(found), expected, atol=0.01)
    one, other = (one.verify(picture, boxes, turns) for one in (on_device, on_host))
    np.testing.assert_allclose(one.probabilities, other.probabilities, atol=0.05)


@pytest.mark.slow
def test_meshes_are_the_same_measured_together(engines: Engines, frame: RawFrame) -> None:
    """Within a few hundredths of a pixel of faces some 100 px wide."""
    backend = open_backend(ComputeConfig("onnxruntime", 1))
    faces = best(FaceDetector(backend, engines, DetectConfig()).detect(frame))
    targets = [
        Target(n, box + shift, points + shift, True)
        for n, (box, points) in enumerate(zip(faces.boxes, faces.keypoints, strict=True))
        for shift in (np.float32(0), np.float32(1.5))
    ]
    pictures = Pictures(MEMORY)
    mesh = FaceMesh(DeviceBackend(backend, MEMORY), engines, lambda one: DevicePixels(pictures, one), 4)
    found = mesh.measure(frame.picture, targets)
    for one, expected in zip(
        found, FaceMesh(backend, engines).measure(frame.picture, targets), strict=True
    ):
        assert np.abs(one.points - expected.points)[:, :2].max() < 0.5
        assert one.confidence == pytest.approx(expected.confidence, abs=0.02)
