"""A whole run with a model of the user's own, whose answers are planted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import jsonschema
import numpy as np
import pytest
from av.video.stream import VideoStream
from numpy.typing import NDArray
from onnx_exports import Export, answer, write_export

from streamanon.cli import main
from streamanon.runtime.models import digest

DATA = Path(__file__).parents[1] / "data"
FRAMES = 5
#: Mean change of luma, levels: far more than the encoder's, far less than of a face in plain colour.
COVERED_LEVELS, ALIKE_LEVELS = 15.0, 3.0
SETTINGS = ["--method", "solid", "--backend", "onnxruntime", "--set", "compute.threads=1"]
SETTINGS += ["--set", "detect.interval_seconds=0", "--quiet"]


@pytest.fixture(scope="module")
def faces() -> list[dict[str, Any]]:
    """Those of the first frame of the demo; they hardly move in the next ones."""
    found: list[dict[str, Any]] = json.loads((DATA / "demo.json").read_text())["frames"][0]
    return found


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first frames of the demo clip."""
    path = tmp_path_factory.mktemp("short") / "short.mp4"
    with av.open(str(DATA / "demo.mp4")) as source, av.open(str(path), "w") as target:
        video = target.add_stream("libx264", rate=25, options={"crf": "5", "preset": "ultrafast"})
        assert isinstance(video, VideoStream)
        video.width, video.height, video.pix_fmt = 640, 360, "yuv420p"
        for _, frame in zip(range(FRAMES), source.decode(video=0), strict=False):
            frame.pict_type = av.video.frame.PictureType.NONE
            target.mux(video.encode(frame))
        target.mux(video.encode(None))
    return path


def luma(path: Path) -> NDArray[np.float32]:
    with av.open(str(path)) as file:
        planes = [frame.to_ndarray(format="gray") for frame in file.decode(video=0)]
    return np.stack(planes).astype(np.float32)


def planted_model(path: Path, faces: list[dict[str, Any]], export: Export) -> Path:
    boxes = np.array([face["box"] for face in faces], np.float32)
    return write_export(path, export, answer(export, boxes, np.full(len(boxes), 0.9, np.float32)))


@pytest.mark.parametrize("selected", [pytest.param(False, marks=pytest.mark.slow), True])
def test_the_boxes_that_it_finds_are_covered_and_no_others(
    tmp_path: Path, short: Path, faces: list[dict[str, Any]], selected: bool, engines: object
) -> None:
    found, missed = faces[:2], faces[2]
    model = planted_model(tmp_path / "own.onnx", found, Export(size=(640, 384), selected=selected))
    output, report = tmp_path / "out.mp4", tmp_path / "report.json"
    arguments = ["run", str(short), "-o", str(output), "--detector", str(model), "--report", str(report)]
    assert main([*arguments, *SETTINGS]) == 0
    changes = np.abs(luma(output) - luma(short))
    assert len(changes) == FRAMES
    for face in found:
        x0, y0, x1, y1 = (round(side) for side in face["box"])
        assert changes[:, y0:y1, x0:x1].mean(axis=(1, 2)).min() > COVERED_LEVELS
    x0, y0, x1, y1 = (round(side) for side in missed["box"])
    assert changes[:, y0:y1, x0:x1].mean(axis=(1, 2)).max() < ALIKE_LEVELS
    written = json.loads(report.read_text())
    assert written["models"]["face-detector"] == digest(model)
    assert written["settings"]["detect"]["model"] == "own.onnx"
    schema = Path(__file__).parents[2] / "streamanon" / "runtime" / "run_report.schema.json"
    jsonschema.validate(written, json.loads(schema.read_text()))


def test_a_stored_model_is_used_by_its_name(
    tmp_path: Path,
    short: Path,
    faces: list[dict[str, Any]],
    engines: object,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    model = planted_model(tmp_path / "own.onnx", faces, Export(size=(640, 384)))
    assert main(["models", "add", str(model), "--name", "mine", "--backend", "onnxruntime"]) == 0
    model.unlink()
    output, report = tmp_path / "out.mp4", tmp_path / "report.json"
    arguments = ["run", str(short), "-o", str(output), "--detector", "mine", "--report", str(report)]
    assert main([*arguments, *SETTINGS]) == 0
    written = json.loads(report.read_text())
    assert written["face_frames"]["detected"] == len(faces) * FRAMES
    assert written["settings"]["detect"]["model"] == "mine"


def test_answers_that_make_no_sense_cover_the_whole_frame(
    tmp_path: Path, short: Path, faces: list[dict[str, Any]], engines: object
) -> None:
    export = Export(size=(640, 384))
    output = answer(export, np.array([faces[0]["box"]], np.float32), np.array([np.nan], np.float32))
    model = write_export(tmp_path / "own.onnx", export, output)
    done, report = tmp_path / "out.mp4", tmp_path / "report.json"
    arguments = ["run", str(short), "-o", str(done), "--detector", str(model), "--report", str(report)]
    main([*arguments, *SETTINGS])
    assert json.loads(report.read_text())["frames"]["withheld"] == FRAMES
    assert np.std(luma(done), axis=(1, 2)).max() < 5


def test_a_model_that_cannot_be_used_is_told_before_any_work(
    tmp_path: Path, short: Path, faces: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    model = planted_model(tmp_path / "own.onnx", faces, Export("segment", size=(640, 384)))
    output = tmp_path / "out.mp4"
    assert main(["run", str(short), "-o", str(output), "--detector", str(model), *SETTINGS]) == 2
    assert "own.onnx is for segmentation" in capsys.readouterr().err
    assert not output.exists()
