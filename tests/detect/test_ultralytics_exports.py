"""Exports that ultralytics itself makes, of tiny networks with drawn weights: read as it reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from streamanon.config import ComputeConfig, DetectConfig
from streamanon.detect.ultralytics_export import read_facts
from streamanon.detect.ultralytics_model import UltralyticsDetector
from streamanon.detect.yolo import FaceDetector
from streamanon.errors import ModelError
from streamanon.media.decode import read_frames
from streamanon.media.probe import probe
from streamanon.runtime.backends import open_backend
from streamanon.runtime.models import Engines

ultralytics = pytest.importorskip("ultralytics", reason="ultralytics, which exports, is not installed")

#: Exporting warns of much that is not ours.
pytestmark = pytest.mark.filterwarnings("ignore")

SIDE, LEAST_SCORE = 160, 0.3
KINDS: list[tuple[str, dict[str, Any]]] = [
    (family, options)
    for family in ("yolov8n", "yolov8n-pose", "yolo11n", "yolo11n-pose", "yolo26n", "yolo26n-pose")
    for options in ({}, {"nms": True, "conf": 0.01, "iou": 0.5}, {"dynamic": True})
] + [("yolo26n", {"nms": False}), ("yolo26n-pose", {"nms": False, "dynamic": True})]


def exported(folder: Path, family: str, options: dict[str, Any]) -> Path:
    """A network a sixteenth as wide as the published one, of one class and five keypoints."""
    import torch

    torch.manual_seed(1)
    shipped = next(
        Path(ultralytics.__file__).parent.glob(f"cfg/models/**/{family.replace('n', '', 1)}.yaml")
    )
    layout = yaml.safe_load(shipped.read_text()) | {"nc": 1}
    layout["scales"] = {"n": [0.33, 0.0625, 256]}
    if "kpt_shape" in layout:
        layout["kpt_shape"] = [5, 3]
    (folder / f"{family}.yaml").write_text(yaml.safe_dump(layout))
    model = ultralytics.YOLO(folder / f"{family}.yaml")
    model.model.names = {0: "face"}
    with torch.no_grad():
        for name, weights in model.model.named_parameters():
            if "model.2" in name and "cv3" in name and weights.shape == (1,):
                weights.zero_()  # from the start all scores are near 0
            elif weights.dim() > 1:
                weights.mul_(2.5)  # so that they differ from cell to cell
    model.save(folder / f"{family}.pt")
    made = ultralytics.YOLO(folder / f"{family}.pt").export(
        format="onnx", imgsz=SIDE, simplify=False, verbose=False, **options
    )
    return Path(made)


@pytest.mark.parametrize(("family", "options"), KINDS)
def test_faces_are_those_that_ultralytics_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str, options: dict[str, Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = exported(tmp_path, family, options)
    facts = read_facts(path)
    assert facts.names == {0: "face"}
    assert facts.has_keypoints == family.endswith("pose")
    assert facts.size == (None if options.get("dynamic") else (SIDE, SIDE))
    picture = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    theirs = ultralytics.YOLO(path, task=facts.task).predict(
        picture[..., ::-1].copy(), imgsz=SIDE, conf=LEAST_SCORE, iou=0.5, rect=False, verbose=False
    )[0]
    detector = UltralyticsDetector(
        open_backend(ComputeConfig("onnxruntime", 1)), path, DetectConfig(revive_score=LEAST_SCORE)
    )
    ours = detector.read((picture.transpose(2, 0, 1)[None] / np.float32(255)).astype(np.float32))
    scores = theirs.boxes.conf.cpu().numpy()
    assert len(scores) > 1
    if facts.selected and not options.get("nms"):
        assert 0 < len(ours) <= len(scores)  # end to end, ultralytics suppresses no doubles
    else:
        assert len(ours) == len(scores)
    inside = 0
    boxes = np.asarray(theirs.boxes.xyxy.cpu().numpy())
    for row, box in enumerate((ours.boxes + 0.5).clip(0, SIDE)):  # ultralytics clips to the picture
        inside += int((box % SIDE > 0).any())
        apart = np.abs(boxes - box).max(axis=1) + np.abs(scores - ours.scores[row])
        assert apart.min() < 0.05
        if facts.has_keypoints:
            points = theirs.keypoints.xy.cpu().numpy()[apart.argmin()].clip(0, SIDE)
            np.testing.assert_allclose((ours.keypoints[row] + 0.5).clip(0, SIDE), points, atol=0.05)
    assert inside


@pytest.mark.parametrize("options", [{"dynamic": True}, {"imgsz": [1024, 1024]}])
def test_the_built_in_detector_finds_the_same_faces_as_an_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engines: Engines, options: dict[str, Any]
) -> None:
    """Its weights, exported by ultralytics, on a frame of the demo; a fixed size differs a little."""
    pytest.importorskip("safetensors", reason="the weights are read with safetensors")
    from streamanon.training.detector import build_model

    monkeypatch.chdir(tmp_path)
    model = ultralytics.YOLO("yolo11n-pose.yaml")
    model.model = build_model(engines.folder / "face-detector.safetensors").float().eval()
    model.model.names, model.model.task = {0: "face"}, "pose"
    model.save(tmp_path / "face.pt")
    path = Path(ultralytics.YOLO(tmp_path / "face.pt").export(format="onnx", simplify=False, **options))
    clip = Path(__file__).parents[1] / "data" / "demo.mp4"
    frame = next(iter(read_frames(clip, probe(clip), lambda *_: None)))
    backend = open_backend(ComputeConfig("onnxruntime", 1))
    ours = FaceDetector(backend, engines, DetectConfig()).detect(frame)
    theirs = UltralyticsDetector(backend, path, DetectConfig()).detect(frame)
    exact = "dynamic" in options
    assert len(ours) == len(theirs) == 3
    for box, points in zip(ours.boxes, ours.keypoints, strict=True):
        near = np.abs(theirs.boxes - box).max(axis=1).argmin()
        assert np.abs(theirs.boxes[near] - box).max() < (0.05 if exact else 6)
        assert np.abs(theirs.keypoints[near] - points).mean() < (0.05 if exact else 6)


@pytest.mark.parametrize("family", ["yolo11n-seg", "yolo11n-cls", "yolo11n-obb"])
def test_other_tasks_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="not for finding faces"):
        read_facts(exported(tmp_path, family, {}))
