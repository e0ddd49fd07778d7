from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from streamanon.config import ComputeConfig, DetectConfig
from streamanon.detect.search import FaceSearch
from streamanon.detect.tiling import fit, input_size, letterbox
from streamanon.detect.yolo import (
    FaceDetector,
    anchors,
    decode,
    merge,
    suppress,
    without_parts,
)
from streamanon.errors import DetectionError
from streamanon.media.yuv import from_rgb
from streamanon.runtime.backends import Array, open_backend
from streamanon.runtime.models import Engines, digest
from streamanon.testing.fakes import faces_at
from streamanon.types import Faces, Float, Picture, RawFrame

Outputs = list[NDArray[np.float32]]
SIZES = [(640, 480), (480, 640), (1920, 1080), (1080, 1920), (161, 97), (33, 400), (64, 48), (3840, 2160)]


def outputs_for(boxes: Float, scores: Float, width: int, height: int) -> Outputs:
    """What a perfect network puts out for boxes [N, 4], in input px counted from the image's corner."""
    centres, strides = anchors(width, height)
    count = len(centres)
    distances = np.zeros((1, 4, count), np.float32)
    confidence = np.zeros((1, 1, count), np.float32)
    points = np.zeros((1, 10, count), np.float32)
    keypoints = faces_at(boxes).keypoints
    for box, score, spots in zip(boxes, scores, keypoints, strict=True):
        middle = (box[:2] + box[2:]) / 2
        level = 8 if box[2] - box[0] < 64 else 16
        near = np.linalg.norm(centres - middle, axis=1) + 1e6 * (strides != level)
        for anchor in np.argsort(near)[:3]:  # neighbours find the same face
            centre, stride = centres[anchor], strides[anchor]
            distances[0, :, anchor] = np.concatenate([centre - box[:2], box[2:] - centre]) / stride
            points[0, :, anchor] = ((spots - centre) / stride).ravel()
            confidence[0, 0, anchor] = score - 0.01 * (near[anchor] > near.min() + 1e-3)
    return [distances, confidence, points]


class PerfectModel:
    """Finds the given boxes (frame px) in whatever it is shown, though it never looks."""

    def __init__(self, boxes: Float, picture: Picture) -> None:
        self.boxes, self.picture = boxes, picture
        self.score = 0.9
        self.shapes: list[tuple[int, ...]] = []

    def run(self, *inputs: Array) -> list[Array]:
        height, width = inputs[0].shape[2:]
        self.shapes.append(inputs[0].shape)
        scale = min(width / self.picture.width, height / self.picture.height)
        boxes = ((self.boxes + 0.5) * scale).astype(np.float32)
        return list(outputs_for(boxes, np.full(len(boxes), self.score, np.float32), width, height))


class PerfectBackend:
    name = "perfect"

    def __init__(self, model: object) -> None:
        self.model = model

    def load(self, path: Path, *, precise: bool, threads: int = 0, bfloat16: bool = False) -> PerfectModel:
        return self.model  # type: ignore[return-value]


def detector_with(model: object, tmp_path: Path, config: DetectConfig | None = None) -> FaceDetector:
    (tmp_path / "d.onnx").write_bytes(b"")
    entry = {"file": "d.onnx", "sha256": digest(tmp_path / "d.onnx")}
    engines = Engines(tmp_path, {"face-detector": entry})
    return FaceDetector(PerfectBackend(model), engines, config or DetectConfig())


def grey(width: int, height: int) -> Picture:
    return from_rgb(np.full((height, width, 3), 90, np.uint8))


def frame_of(picture: Picture, index: int = 0) -> RawFrame:
    return RawFrame(index, index, Fraction(1, 25), picture)


def test_known_boxes_are_decoded() -> None:
    boxes = np.array([[20, 30, 50, 66], [100, 20, 190, 130], [200, 100, 230, 140]], np.float32)
    scores = np.array([0.5, 0.9, 0.7], np.float32)
    faces = decode(outputs_for(boxes, scores, 256, 160), 256, 160, 0.1)
    assert len(faces) == 3
    order = np.argsort(-scores)
    np.testing.assert_allclose(faces.scores, scores[order])
    np.testing.assert_allclose(faces.boxes, boxes[order] - 0.5, atol=1e-3)
    np.testing.assert_allclose(faces.keypoints, faces_at(boxes[order]).keypoints - 0.5, atol=1e-3)
    assert (faces.track_ids == -1).all()
    assert faces.boxes.dtype == faces.scores.dtype == faces.keypoints.dtype == np.float32


def test_faces_below_the_score_are_left_out() -> None:
    boxes = np.array([[20, 30, 50, 66], [100, 20, 190, 130]], np.float32)
    outputs = outputs_for(boxes, np.array([0.2, 0.9], np.float32), 256, 160)
    assert len(decode(outputs, 256, 160, 0.3)) == 1
    assert len(decode(outputs, 256, 160, 0.95)) == 0


@pytest.mark.slow
def test_more_faces_than_any_fixed_number_are_kept() -> None:
    boxes = np.array(
        [[x, y, x + 14, y + 16] for y in range(4, 600, 24) for x in range(4, 600, 24)], np.float32
    )
    outputs = outputs_for(boxes, np.full(len(boxes), 0.8, np.float32), 608, 608)
    assert len(decode(outputs, 608, 608, 0.3)) == len(boxes) == 625


def test_suppression_keeps_the_best_of_overlapping_boxes() -> None:
    boxes = np.array([[0, 0, 40, 40], [2, 2, 42, 42], [0, 30, 40, 70], [100, 0, 140, 40]], np.float32)
    kept = suppress(boxes, np.array([0.6, 0.9, 0.5, 0.4], np.float32))
    assert kept.tolist() == [1, 2, 3]
    assert kept.dtype == np.int64
    assert len(suppress(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))) == 0


def test_parts_of_a_surer_face_are_left_out_and_small_faces_kept() -> None:
    cheek, apart, small = [110, 110, 190, 200], [400, 0, 440, 50], [120, 120, 132, 136]
    others = faces_at(np.array([cheek, apart, small], np.float32), 0.7)
    whole = faces_at(np.array([[100, 90, 300, 330]], np.float32), 0.8)
    kept = without_parts(whole.joined(others))
    assert kept.boxes.tolist() == [[100, 90, 300, 330], apart, small]
    assert len(without_parts(others.joined(whole))) == 4
    unlikely = faces_at(whole.boxes, 0.4)
    assert len(without_parts(unlikely.joined(others))) == 4
    assert len(without_parts(Faces.empty())) == 0


def test_a_loose_box_around_a_better_one_is_left_out() -> None:
    face, loose, crowd = [314, 158, 332, 178], [308, 155, 338, 185], [280, 120, 360, 200]
    found = faces_at(np.array([face, loose, crowd], np.float32), 0.98)
    assert without_parts(found).boxes.tolist() == [face, crowd]


def test_a_face_behind_a_smaller_one_is_no_loose_box() -> None:
    """A child held before somebody's cheek: most of its face lies in the other one's box."""
    child, adult = [242, 147, 305, 226], [266, 107, 386, 255]
    found = faces_at(np.array([child, adult], np.float32), 0.98)
    assert without_parts(found).boxes.tolist() == [child, adult]


def test_a_box_that_is_left_out_takes_no_other_one_along() -> None:
    """A box over two faces side by side is loose around the one, and holds most of the other."""
    one, both, other = [204, 135, 294, 236], [200, 124, 364, 251], [280, 110, 386, 255]
    found = faces_at(np.array([one, both, other], np.float32), 0.98)
    assert without_parts(found).boxes.tolist() == [one, other]
    assert without_parts(found[[1, 2]]).boxes.tolist() == [both]


class FineModel(PerfectModel):
    """Sees the given boxes in the coarsest view, and others in the finer ones, more surely."""

    def __init__(self, coarse: Float, fine: Float, picture: Picture) -> None:
        super().__init__(coarse, picture)
        self.coarse, self.fine = coarse, fine

    def run(self, *inputs: Array) -> list[Array]:
        near = max(inputs[0].shape) == 224
        self.boxes, self.score = (self.coarse, 0.9) if near else (self.fine, 0.95)
        return super().run(*inputs)


def test_what_a_fine_view_takes_for_a_large_face_is_left_out_where_the_coarse_one_sees_it(
    tmp_path: Path,
) -> None:
    picture = grey(480, 480)
    whole, part, apart, small = (
        [120, 110, 349, 457],
        [141, 172, 351, 386],
        [10, 10, 220, 200],
        [200, 200, 230, 240],
    )
    for coarse, expected in (([whole], [whole, apart, small]), ([], [part, apart, small])):
        near, fine = (np.array(one, np.float32).reshape(-1, 4) for one in (coarse, [part, apart, small]))
        detector = detector_with(FineModel(near, fine, picture), tmp_path, DetectConfig(size="medium"))
        views = [view for group in detector.wholes(picture, 0) for view in group]
        found = np.rint(detector.search(frame_of(picture), views).boxes).astype(int).tolist()
        assert sorted(found) == sorted(expected)


def test_a_pass_in_all_orientations_leaves_out_the_same_parts_of_large_faces(tmp_path: Path) -> None:
    """There the fine view is searched after the coarse one."""
    picture = grey(480, 480)
    face, part = (np.array([box], np.float32) for box in ([120, 110, 349, 457], [141, 172, 351, 386]))
    detector = detector_with(FineModel(face, part, picture), tmp_path, DetectConfig(size="large"))
    search = FaceSearch(detector, None)
    passes = [search.detect(frame_of(picture), "all"), search.detect(frame_of(picture, 1), "next")]
    assert [np.rint(faces.boxes).astype(int).tolist() for faces in passes] == [face.tolist()] * 2


def test_two_copies_of_a_face_are_merged() -> None:
    faces = faces_at(np.array([[110, 110, 190, 200], [400, 0, 440, 50]], np.float32), 0.9)
    assert len(merge(faces, faces)) == 2
    assert len(merge(faces, Faces.empty())) == 2
    assert len(merge(Faces.empty(), Faces.empty())) == 0


@pytest.mark.parametrize("size", ["auto", "small", "medium", "large"])
@pytest.mark.parametrize(("width", "height"), [*SIZES, (1, 1), (7, 900), (10000, 20)])
def test_input_sizes_are_multiples_of_32(width: int, height: int, size: str) -> None:
    across, down = input_size(width, height, size)
    assert across % 32 == down % 32 == 0
    assert min(across, down) >= 32
    assert max(across, down) <= 1024
    if 0.2 < width / height < 5 and max(width, height) > 96:
        assert (across / down) / (width / height) == pytest.approx(1, abs=0.35)


def test_larger_settings_look_closer() -> None:
    sides = [max(input_size(1920, 1080, size)) for size in ("small", "medium", "large")]
    assert sides == sorted(set(sides))
    assert max(fit(1920, 1080, 224)) == 224


@pytest.mark.parametrize(
    ("frame", "wanted"),
    [
        ((1920, 1080), (576, 320)),
        ((720, 1280), (320, 576)),
        ((480, 480), (448, 448)),
        ((320, 240), (384, 288)),
    ],
)
def test_auto_takes_like_many_pixels_whatever_the_shape(
    frame: tuple[int, int], wanted: tuple[int, int]
) -> None:
    assert input_size(*frame, "auto") == wanted


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_letterboxes_keep_the_shape_and_pad_with_grey(width: int, height: int) -> None:
    colour = np.array([250, 150, 170], np.uint8)  # duller than light of one colour, which loses its colour
    image, scale = letterbox(
        from_rgb(np.full((height, width, 3), colour, np.uint8)), *input_size(width, height, "small")
    )
    inner_w, inner_h = round(width * scale), round(height * scale)
    assert image.shape[:2] == (1, 3)
    assert image.dtype == np.float32
    inner = image[0, :, : max(1, inner_h), : max(1, inner_w)]
    np.testing.assert_allclose(inner.mean(axis=(1, 2)), colour / 255, atol=0.02)
    rest = np.concatenate([image[0, :, inner_h:].ravel(), image[0, :, :, inner_w:].ravel()])
    assert not rest.size or (np.abs(rest - 114 / 255) < 1e-3).all()


@pytest.mark.parametrize(("width", "height"), [(640, 480), (480, 640), (1920, 1080), (641, 363)])
def test_boxes_come_back_in_the_frames_pixels(width: int, height: int, tmp_path: Path) -> None:
    boxes = np.array([[60, 50, 130, 140], [250, 200, 320, 290]], np.float32)
    picture = grey(width, height)
    model = PerfectModel(boxes, picture)
    faces = detector_with(model, tmp_path).detect(frame_of(picture))
    order = np.argsort(faces.boxes[:, 0])
    np.testing.assert_allclose(faces.boxes[order], boxes, atol=0.05)
    np.testing.assert_allclose(faces.keypoints[order], faces_at(boxes).keypoints, atol=0.6)
    assert all(shape[2] % 32 == shape[3] % 32 == 0 for shape in model.shapes)


@pytest.mark.parametrize("broken", ["error", "shape", "boxes", "scores"])
def test_whatever_goes_wrong_is_a_detection_error(broken: str, tmp_path: Path) -> None:
    picture = grey(320, 240)

    class Broken(PerfectModel):
        def run(self, *inputs: Array) -> list[Array]:
            if broken == "error":
                raise RuntimeError("device lost")
            outputs = super().run(*inputs)
            outputs[0][:] *= np.nan if broken == "boxes" else 1
            outputs[1][:] *= np.nan if broken == "scores" else 1
            return outputs[:2] if broken == "shape" else outputs

    boxes = np.array([[60, 50, 130, 140]], np.float32)
    with pytest.raises(DetectionError, match="frame 3"):
        detector_with(Broken(boxes, picture), tmp_path).detect(frame_of(picture, 3))


def test_the_real_model_runs(engines: Engines) -> None:
    detector = FaceDetector(open_backend(ComputeConfig("onnxruntime", 1)), engines, DetectConfig())
    for width, height in ((320, 240), (97, 161)):
        faces = detector.detect(frame_of(grey(width, height)))
        assert (faces.boxes[:, 2:] >= faces.boxes[:, :2]).all()
        assert ((faces.scores >= DetectConfig().revive_score) & (faces.scores <= 1)).all()
