"""The scripts in ``examples/`` run, on a few frames of the demo clip and with cheap covers."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import av
import cv2
import pytest

import streamanon
from streamanon.config import ComputeConfig, CoverConfig, DetectConfig, OutputConfig
from streamanon.runtime.models import Engines

ROOT = Path(__file__).parent.parent
FRAMES = 6
QUICK = streamanon.Config(
    detect=DetectConfig(size="small", interval_seconds=0.12),
    cover=CoverConfig(method="mosaic"),
    output=OutputConfig(preset="ultrafast"),
    compute=ComputeConfig(backend="onnxruntime", threads=1),
)


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, engines: Engines) -> Path:
    """The demo clip's first frames, without sound."""
    path = tmp_path_factory.mktemp("examples") / "in.mp4"
    with av.open(str(ROOT / "tests" / "data" / "demo.mp4")) as demo, av.open(str(path), "w") as cut:
        video = demo.streams.video[0]
        copy = cut.add_stream_from_template(video)
        for _, packet in zip(range(FRAMES), demo.demux(video), strict=False):
            packet.stream = copy
            cut.mux(packet)
    return path


def frames_of(path: Path) -> int:
    with av.open(str(path)) as file:
        return sum(1 for _ in file.decode(video=0))


def test_every_example_has_its_test() -> None:
    names = {path.stem for path in (ROOT / "examples").glob("*.py")}
    assert names == {"anonymise_file", "own_encoder", "image_folder", "own_profile", "read_report"}


def test_anonymise_file(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out.mp4"
    example("anonymise_file").main(str(clip), str(output), QUICK)
    assert frames_of(output) == frames_of(clip)
    assert f"{frames_of(clip)} frames" in capsys.readouterr().out


def test_own_encoder(clip: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mkv"
    example("own_encoder").main(str(clip), str(output), QUICK)
    assert frames_of(output) == frames_of(clip)


def test_image_folder(clip: Path, tmp_path: Path) -> None:
    photos, safe = tmp_path / "photos", tmp_path / "safe"
    photos.mkdir()
    with av.open(str(clip)) as file:
        rgb = next(file.decode(video=0)).to_ndarray(format="rgb24")
    cv2.imwrite(str(photos / "one.png"), rgb[:, :, ::-1])
    (photos / "notes.txt").write_text("not an image")
    example("image_folder").main(str(photos), str(safe), QUICK)
    assert [path.name for path in safe.iterdir()] == ["one.png"]
    after = cv2.imread(str(safe / "one.png"))
    assert after is not None
    assert after.shape == rgb.shape
    assert (after[:, :, ::-1] != rgb).any()


@pytest.mark.slow
def test_own_profile_and_read_report(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.mp4"
    own = example("own_profile")
    own.main(str(clip), str(output))
    assert frames_of(output) == frames_of(clip)
    report = streamanon.Anonymizer(own.PREVIEW).run(clip, tmp_path / "again.mp4").as_dict()
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report))
    assert example("read_report").main(str(path)) == 0
    report["frames"]["withheld"] = 2
    path.write_text(json.dumps(report))
    assert example("read_report").main(str(path)) == 1
    assert "check: 2 frames are covered whole" in capsys.readouterr().out
