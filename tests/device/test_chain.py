"""The whole chain with its pixels on the device, against the one that never leaves the host."""

from __future__ import annotations

import itertools
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

from devices import DEVICE

from streamanon.api import Anonymizer
from streamanon.bench.faces import time_faces
from streamanon.config import ComputeConfig, load_config
from streamanon.device import grain as device_grain
from streamanon.device.detection import DeviceFaceDetector
from streamanon.device.painting import DeviceGenerator
from streamanon.generate import grain as host_grain
from streamanon.media.yuv import to_rgb
from streamanon.runtime.backends import Backend, Model, open_backend
from streamanon.runtime.backends.torch_memory import TorchMemory
from streamanon.types import SafeFrame

DEMO = Path(__file__).parents[1] / "data" / "demo.mp4"


class OnDevice:
    """A CPU's backend that says that its models have a memory of their own."""

    def __init__(self, backend: Backend) -> None:
        self.name, self._backend = backend.name, backend
        self.memory = TorchMemory(DEVICE)

    def load(self, path: Path, *, precise: bool, threads: int = 0, bfloat16: bool = False) -> Model:
        return self._backend.load(path, precise=precise, threads=threads, bfloat16=bfloat16)


def covered(anonymizer: Anonymizer, count: int | None) -> list[SafeFrame]:
    frames = anonymizer.frames(DEMO)
    with closing(frames):
        made = list(itertools.islice(frames, count))
    assert not frames.faults
    return made


def compare(count: int | None) -> None:
    """Most frames have the same covers in the same places, and nearly the same pixels; where a decision
    was close, a frame may differ. Grain, whose random numbers differ, is left out.
    """
    # On a GPU every face is painted in every frame.
    config = load_config(None, ["identity.seed=8", "compute.threads=1", "cover.repaint_seconds=0"])
    backend = open_backend(ComputeConfig("onnxruntime", 1))
    on_host, on_device = Anonymizer(config, backend), Anonymizer(config, OnDevice(backend))
    assert isinstance(on_device.detector, DeviceFaceDetector)
    assert on_device.parts is not None
    assert isinstance(on_device.parts.generator, DeviceGenerator)
    expected, made = (covered(one, count) for one in (on_host, on_device))
    assert len(made) == len(expected) > 0
    differ, apart, painted = 0, [], 0
    for one, other in zip(expected, made, strict=True):
        assert [c.track_id for c in one.report.covers] == [c.track_id for c in other.report.covers]
        assert one.report.withheld == other.report.withheld
        alike = [c.method for c in one.report.covers] == [c.method for c in other.report.covers]
        differ += not alike
        for cover, twin in zip(one.report.covers, other.report.covers, strict=True):
            assert np.abs(np.subtract(cover.box, twin.box)).max() <= 6 or not alike
            painted += cover.method == "synthesize"
        apart.append(np.abs(to_rgb(one.picture).astype(int) - to_rgb(other.picture)).mean())
    assert painted >= len(made)
    assert differ <= 0.02 * len(made)
    assert np.mean(apart) < 0.2
    assert np.max(apart) < 1.5


@pytest.fixture(autouse=True)
def _no_grain(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (host_grain, device_grain):
        monkeypatch.setattr(module, "LEAST", 1e9)


@pytest.mark.slow
def test_the_demos_begin_is_covered_alike() -> None:
    compare(12)


@pytest.mark.slow
def test_faces_made_at_once_are_timed_on_the_device() -> None:
    """What ``streamanon bench`` times where there is a GPU."""
    config = load_config(None, ["compute.threads=1"])
    anonymizer = Anonymizer(config, OnDevice(open_backend(ComputeConfig("onnxruntime", 1))))
    assert time_faces(anonymizer, 4, 0)["faces_per_second"] > 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_whole_demo_is_covered_alike() -> None:
    compare(None)
