"""Models of the user's own. Their answers are planted, so that each layout is read where it is known."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto
from onnx_exports import Array, Export, answer, write_export

from streamanon.config import ComputeConfig, DetectConfig
from streamanon.detect.search import FaceSearch
from streamanon.detect.ultralytics_export import pick_classes, read_facts
from streamanon.detect.ultralytics_model import (
    USUAL_PLACES,
    UltralyticsDetector,
    fitted,
    open_detector,
    try_model,
)
from streamanon.detect.verifier import Verified, Verifier
from streamanon.detect.yolo import FaceDetector
from streamanon.errors import ConfigError, DetectionError, ModelError
from streamanon.media.decode import read_frames
from streamanon.media.probe import probe
from streamanon.media.yuv import from_rgb
from streamanon.runtime.backends import Backend, examine_backends, open_backend
from streamanon.runtime.models import Engines
from streamanon.types import Picture, RawFrame

BOXES = np.array([[4, 6, 30, 40], [34, 20, 60, 58], [8, 44, 20, 60]], np.float32)
SCORES = np.array([0.6, 0.9, 0.3], np.float32)
FACE = (5, 3)
POINTS = BOXES[:, None, :2] + np.array(
    [[0.2, 0.3], [0.6, 0.3], [0.4, 0.5], [0.3, 0.9], [0.5, 0.9]], np.float32
) * (BOXES[:, None, 2:] - BOXES[:, None, :2])
Runtime: TypeAlias = Literal["onnxruntime", "openvino"]
RUNTIMES = [one.name for one in examine_backends() if one.works and one.name in ("onnxruntime", "openvino")]
KINDS = {
    "cells": Export(),
    "cells, dynamic": Export(size=None),
    "cells, pose": Export("pose", keypoints=FACE),
    "cells, pose without visibility": Export("pose", keypoints=(5, 2)),
    "cells, two classes": Export(names={0: "mask", 1: "face"}),
    "selected": Export(selected=True),
    "selected, pose": Export("pose", keypoints=FACE, selected=True),
    "selected, dynamic pose": Export("pose", size=None, keypoints=FACE, selected=True),
    "end to end": Export(selected=True, extra={"args": None, "end2end": "True"}),
    "selected, of an old exporter": Export(selected=True, extra={"args": None}),
    "cells, of an old exporter": Export(extra={"args": None}),
    "more keypoints": Export("pose", keypoints=(17, 3)),
}


@pytest.fixture(scope="module")
def backend() -> Backend:
    return open_backend(ComputeConfig("onnxruntime", 1))


def planted(path: Path, export: Export, **config: Any) -> tuple[Path, DetectConfig]:
    """A file of a kind that finds the boxes above, as faces, and a setting for it."""
    faces = np.full(3, len(export.names) - 1, np.int64)
    points = POINTS if export.keypoints[0] == 5 else None
    write_export(path, export, answer(export, BOXES, SCORES, faces, points))
    return path, DetectConfig(model=str(path), **config)


def image(width: int = 64, height: int = 64) -> Array:
    return np.full((1, 3, height, width), 0.4, np.float32)


def frame_of(picture: Picture) -> RawFrame:
    return RawFrame(0, 0, Fraction(1, 25), picture)


def grey(width: int, height: int) -> Picture:
    return from_rgb(np.full((height, width, 3), 90, np.uint8))


@pytest.mark.parametrize(
    "runtime",
    [pytest.param(one, marks=pytest.mark.slow) if one == "openvino" else one for one in RUNTIMES],
)
@pytest.mark.parametrize("kind", KINDS)
def test_known_boxes_are_read_from_each_layout(tmp_path: Path, kind: str, runtime: Runtime) -> None:
    path, config = planted(tmp_path / "m.onnx", KINDS[kind])
    faces = UltralyticsDetector(open_backend(ComputeConfig(runtime, 1)), path, config).read(image())
    order = np.argsort(-SCORES)
    np.testing.assert_allclose(faces.boxes, BOXES[order] - 0.5, atol=1e-3)
    np.testing.assert_allclose(faces.scores, SCORES[order], atol=1e-5)
    usual = BOXES[:, None, :2] + USUAL_PLACES * (BOXES[:, None, 2:] - BOXES[:, None, :2])
    points = POINTS if KINDS[kind].keypoints[0] == 5 else usual
    np.testing.assert_allclose(faces.keypoints, points[order] - 0.5, atol=1e-3)
    assert (faces.track_ids == -1).all()
    assert faces.boxes.dtype == faces.scores.dtype == faces.keypoints.dtype == np.float32


@pytest.mark.parametrize("selected", [False, True])
def test_only_the_chosen_classes_count(tmp_path: Path, backend: Backend, selected: bool) -> None:
    export = Export(names={0: "cup", 1: "face", 2: "head"}, selected=selected)
    classes = np.array([0, 1, 2])
    path = write_export(tmp_path / "m.onnx", export, answer(export, BOXES, SCORES, classes))
    for wanted, rows in (((), [1]), ((2,), [2]), (("head", "Face"), [1, 2]), ((0, "face"), [1, 0])):
        detector = UltralyticsDetector(backend, path, DetectConfig(classes=wanted))
        np.testing.assert_allclose(detector.read(image()).boxes, BOXES[rows] - 0.5, atol=1e-3)


@pytest.mark.parametrize("selected", [False, True])
def test_doubles_are_suppressed_and_low_scores_left_out(
    tmp_path: Path, backend: Backend, selected: bool
) -> None:
    boxes = np.concatenate([BOXES, BOXES[:1] + 1])
    scores = np.array([0.6, 0.9, 0.1, 0.7], np.float32)
    export = Export(selected=selected)
    path = write_export(tmp_path / "m.onnx", export, answer(export, boxes, scores))
    found = UltralyticsDetector(backend, path, DetectConfig(revive_score=0.2)).read(image())
    np.testing.assert_allclose(found.boxes, boxes[[1, 3]] - 0.5, atol=1e-3)


@pytest.mark.parametrize("selected", [False, True])
def test_sides_below_zero_are_turned_round(tmp_path: Path, backend: Backend, selected: bool) -> None:
    export = Export(selected=selected)
    output = answer(export, BOXES[:, [2, 3, 0, 1]], SCORES)
    detector = UltralyticsDetector(
        backend, write_export(tmp_path / "m.onnx", export, output), DetectConfig()
    )
    np.testing.assert_allclose(detector.read(image()).boxes, BOXES[[1, 0, 2]] - 0.5, atol=1e-3)


@pytest.mark.parametrize("turn", range(4))
@pytest.mark.parametrize("size", [(64, 64), (96, 64), None])
def test_boxes_land_in_the_frame_whatever_the_input(
    tmp_path: Path, backend: Backend, size: tuple[int, int] | None, turn: int
) -> None:
    """The frame is scaled by 1/4 into a fixed input, one of its sides filling it."""
    export = Export("pose", size=size, keypoints=FACE)
    path, config = planted(tmp_path / "m.onnx", export, size="small")
    detector = UltralyticsDetector(backend, path, config)
    width, height = (256, 192) if turn % 2 == 0 else (192, 256)
    scale = 384 / 256 if size is None else min(size[0] / 256, size[1] / 192)
    view = detector.wholes(grey(width, height), turn)[0][0]
    found = detector.detect_view(grey(width, height), view)
    expected = (BOXES[[1, 0, 2]] / scale).reshape(-1, 2, 2)
    for _ in range(turn % 4):  # back, a quarter clockwise each
        expected = np.stack([expected[..., 1] * -1, expected[..., 0]], axis=-1)
    if turn in (1, 2):
        expected[..., 0] += width
    if turn in (2, 3):
        expected[..., 1] += height
    corners = np.concatenate([expected.min(axis=1), expected.max(axis=1)], axis=1)
    np.testing.assert_allclose(found.boxes, corners - 0.5, atol=0.02)


def test_large_pictures_are_searched_in_tiles_of_the_fixed_input(tmp_path: Path, backend: Backend) -> None:
    path, config = planted(tmp_path / "m.onnx", Export(size=(96, 64)))
    detector = UltralyticsDetector(backend, path, config)
    tiles = detector.tiles(grey(640, 360), 0)
    assert len(tiles) == 6
    assert {view.size for view in tiles} == {(96, 64)}
    assert len(detector.search(frame_of(grey(640, 360)), tiles)) > 3


def test_a_close_up_fits_a_fixed_input(tmp_path: Path, backend: Backend) -> None:
    path, config = planted(tmp_path / "m.onnx", Export(size=(96, 64)))
    found = UltralyticsDetector(backend, path, config).read(image(192, 192))
    np.testing.assert_allclose(found.boxes, BOXES[[1, 0, 2]] * 3 - 0.5, atol=1e-3)


def test_a_dynamic_input_is_padded_to_the_stride(tmp_path: Path) -> None:
    path, _ = planted(tmp_path / "m.onnx", Export(size=None, extra={"stride": "64"}))
    given, scale = fitted(image(96, 160), read_facts(path))
    assert given.shape == (1, 3, 192, 128)
    assert scale.tolist() == [1, 1]
    assert (given[:, :, :160, :96] == np.float32(0.4)).all()


REFUSED = {
    "segmentation": Export("segment"),
    "classification": Export("classify"),
    "oriented boxes": Export("obb"),
    "no metadata of an ultralytics export": Export(extra={"task": None}),
    "an RT-DETR": Export(extra={"head": "RTDETRDecoder"}),
    "an RT-DETR, whose": Export(extra={"description": "Ultralytics rtdetr-l model"}),
    "float16 numbers for images and not float32: export it again without half": Export(
        element=TensorProto.FLOAT16
    ),
    "takes 2 pictures at once: export it again with batch=1": Export(batch=2),
    "keypoints of a kind": Export("pose", keypoints=(5, 4)),
    "metadata that cannot be read: export it again": Export(extra={"names": "{0: 'face'"}),
    "metadata that cannot be read": Export(extra={"names": "{}"}),
    "metadata that cannot be": Export(extra={"stride": "[8, 16"}),
    "gives 5 numbers a face where its metadata ask for 7": Export(
        extra={"names": "{0: 'face', 1: 'a', 2: 'b'}"}
    ),
}


@pytest.mark.parametrize("told", REFUSED)
def test_what_cannot_be_used_is_told_in_one_sentence(tmp_path: Path, told: str) -> None:
    export = REFUSED[told]
    output = np.repeat(answer(export, BOXES, SCORES), export.batch, axis=0)
    with pytest.raises(ModelError, match=told) as caught:
        read_facts(write_export(tmp_path / "m.onnx", export, output))
    assert str(caught.value).startswith("m.onnx ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["task", "names", "kpt_shape", "stride", "args", "end2end", "head"])
@pytest.mark.parametrize(
    "value",
    [
        "",
        "None",
        "[]",
        "(1",
        "1e999",
        "-32",
        "99999",
        "'x'",
        "[5]",
        "[-5, 3]",
        "['a', 'b']",
        "{0: 1, 2: 3}",
        "[" * 300,
        "f()",
    ],
)
def test_any_metadata_are_read_or_refused(tmp_path: Path, key: str, value: str) -> None:
    export = Export("pose", keypoints=FACE, extra={key: value})
    path = write_export(tmp_path / "m.onnx", export, answer(export, BOXES, SCORES))
    with contextlib.suppress(ModelError):
        assert read_facts(path).stride in (32, 64, 128, 256)


def test_names_cannot_steer_the_terminal(tmp_path: Path) -> None:
    path, _ = planted(tmp_path / "m.onnx", Export(names={0: "face\x1b[2J\n"}))
    assert read_facts(path).names == {0: "face[2J"}


def test_an_output_of_another_shape_is_refused(tmp_path: Path) -> None:
    path = write_export(tmp_path / "m.onnx", Export(), np.zeros((1, 5, 8, 8), np.float32))
    with pytest.raises(ModelError, match="an output of 4 dimensions and not 3"):
        read_facts(path)


def test_a_dynamic_model_that_is_not_what_it_says_is_told_before_any_work(
    tmp_path: Path, backend: Backend, engines: Engines
) -> None:
    path = write_export(
        tmp_path / "m.onnx", Export(size=None), np.zeros((1, 84, 6), np.float32)
    )  # no one says that it selects
    with pytest.raises(ModelError, match="cannot be run on a picture"):
        try_model(backend, path)
    with pytest.raises(ModelError, match="cannot be run on a picture"):
        open_detector(backend, engines, DetectConfig(model=str(path)))


@pytest.mark.parametrize(
    ("names", "wanted", "told"),
    [
        ({0: "person"}, (), "has no class called face; it has 0 person"),
        ({0: "cup", 1: "dog"}, (), "has no class called face; it has 0 cup, 1 dog: name those"),
        ({0: "face"}, ("nose",), "has no class nose; it has 0 face"),
        ({0: "face"}, (1,), "has no class 1"),
        ({n: f"thing {n}" for n in range(80)}, (), "and more: name those"),
    ],
)
def test_classes_that_are_not_there_are_told(
    tmp_path: Path, names: dict[int, str], wanted: tuple[str | int, ...], told: str
) -> None:
    path, _ = planted(tmp_path / "m.onnx", Export(names=names))
    with pytest.raises(ConfigError, match=told) as caught:
        pick_classes(read_facts(path), wanted, "m.onnx")
    assert len(str(caught.value)) < 300


def test_bodies_can_be_asked_for(tmp_path: Path) -> None:
    path, _ = planted(tmp_path / "m.onnx", Export(names={0: "person"}))
    assert pick_classes(read_facts(path), ("person",), "m.onnx") == [0]


@pytest.mark.parametrize("selected", [False, True])
@pytest.mark.parametrize(
    ("column", "spoil"), [(0, np.nan), (0, np.inf), (4, np.nan), (4, np.inf), (4, 40.0), (4, -1.0)]
)
def test_answers_that_make_no_sense_fail_the_frame(
    tmp_path: Path, backend: Backend, selected: bool, column: int, spoil: float
) -> None:
    """Else their faces would be lost."""
    export = Export(selected=selected)
    output = answer(export, BOXES, SCORES)
    if selected:
        output[0, 1, column] = spoil
    else:
        output[0, column, -2] = spoil
    path = write_export(tmp_path / "m.onnx", export, output)
    with pytest.raises(DetectionError):
        UltralyticsDetector(backend, path, DetectConfig()).detect(frame_of(grey(64, 64)))


def test_a_class_that_is_no_number_fails_the_frame(tmp_path: Path, backend: Backend) -> None:
    export = Export(selected=True)
    output = answer(export, BOXES, SCORES)
    output[0, 0, 4:6] = 5, np.nan
    path = write_export(tmp_path / "m.onnx", export, output)
    with pytest.raises(DetectionError):
        UltralyticsDetector(backend, path, DetectConfig()).detect(frame_of(grey(64, 64)))


class Sure:
    """A verifier that believes everything, and has keypoints of its own."""

    def verify(self, _picture: Picture, boxes: Array, _turns: NDArray[np.int64]) -> Verified:
        points = np.repeat(boxes[:, None, :2], 5, axis=1) + np.float32(1)
        return Verified(
            np.full(len(boxes), 0.9, np.float32), np.zeros((len(boxes), 4), np.float32), boxes, points
        )


class Broken:
    def verify(self, *_: object) -> Verified:
        raise RuntimeError("no")


@pytest.mark.parametrize("own", [True, False])
def test_keypoints_are_the_verifiers_where_the_model_has_none(
    tmp_path: Path, backend: Backend, own: bool
) -> None:
    export = Export("pose", keypoints=FACE) if own else Export()
    path, config = planted(tmp_path / "m.onnx", export)
    search = FaceSearch(UltralyticsDetector(backend, path, config), Sure())  # type: ignore[arg-type]
    found = search.detect(frame_of(grey(64, 64)))[:3]  # after them come those of other orientations
    from_verifier = found.keypoints - found.boxes[:, None, :2]
    assert (np.abs(from_verifier - 1) < 1e-3).all() != own


def test_keypoints_are_the_usual_ones_where_the_verifier_fails(tmp_path: Path, backend: Backend) -> None:
    path, config = planted(tmp_path / "m.onnx", Export())
    search = FaceSearch(UltralyticsDetector(backend, path, config), Broken())  # type: ignore[arg-type]
    found = search.detect(frame_of(grey(64, 64)))
    first = found[:1]
    places = (first.keypoints - first.boxes[:, None, :2]) / (first.boxes[:, 2:] - first.boxes[:, :2])
    np.testing.assert_allclose(places[0], USUAL_PLACES, atol=1e-3)


def test_the_setting_chooses_the_detector(tmp_path: Path, backend: Backend, engines: Engines) -> None:
    _, config = planted(tmp_path / "m.onnx", Export())
    assert isinstance(open_detector(backend, engines, config), UltralyticsDetector)
    assert type(open_detector(backend, engines, DetectConfig())) is FaceDetector
    with pytest.raises(ConfigError, match=r"detect\.classes has no effect without detect\.model"):
        open_detector(backend, engines, replace(DetectConfig(), classes=("face",)))


def test_the_real_verifier_finds_keypoints(tmp_path: Path, backend: Backend, engines: Engines) -> None:
    """Those of the demo's faces, from their boxes alone; errors in shares of the box's width."""
    data = Path(__file__).parents[1] / "data"
    faces = json.loads((data / "demo.json").read_text())["frames"][0]
    boxes = np.array([face["box"] for face in faces], np.float32) + 0.5
    export = Export(size=(640, 384))
    path = write_export(tmp_path / "m.onnx", export, answer(export, boxes, np.full(3, 0.8, np.float32)))
    clip = str(data / "demo.mp4")
    frame = next(iter(read_frames(clip, probe(clip), lambda *_: None)))
    detector = UltralyticsDetector(backend, path, DetectConfig())
    found = FaceSearch(detector, Verifier(backend, engines)).detect(frame)
    for face in faces:
        near = np.abs(found.boxes - np.array(face["box"])).max(axis=1).argmin()
        assert np.abs(found.boxes[near] - np.array(face["box"])).max() < 0.1
        apart = np.linalg.norm(found.keypoints[near] - np.array(face["keypoints"]), axis=1)
        assert apart.mean() < 0.1 * (face["box"][2] - face["box"][0])
