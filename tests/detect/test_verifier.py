"""The verifier: what it is shown, how its answers are read, and what it says of synthetic people."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from remembering import RememberingBackend

from streamanon.config import ComputeConfig, DetectConfig
from streamanon.detect.search import FaceSearch
from streamanon.detect.verifier import BATCH_SIZES, OUTPUT_WIDTHS, Verifier, calibrated, crops
from streamanon.detect.verifier_crop import (
    mirrored_boxes,
    verifier_crops,
    widened,
    without_neighbours,
)
from streamanon.detect.yolo import FaceDetector
from streamanon.errors import ModelError
from streamanon.geometry import overlap
from streamanon.media.decode import read_frames
from streamanon.media.probe import probe
from streamanon.media.yuv import from_rgb, to_rgb
from streamanon.runtime.backends import Array, Backend, open_backend
from streamanon.runtime.models import Engines
from streamanon.types import Float, Picture, RawFrame

DATA = Path(__file__).parents[1] / "data"
FRAME = 150


@pytest.fixture(scope="module")
def backend() -> Backend:
    return RememberingBackend(open_backend(ComputeConfig(backend="onnxruntime", threads=1)))


@pytest.fixture(scope="module")
def verifier(backend: Backend, engines: Engines) -> Verifier:
    return Verifier(backend, engines)


@pytest.fixture(scope="module")
def demo() -> tuple[Picture, Float]:
    """A picture of three synthetic people, and the boxes of their faces [N, 4]."""
    path = DATA / "demo.mp4"
    frame = next(one for one in read_frames(path, probe(path)) if one.index == FRAME)
    faces = json.loads((DATA / "demo.json").read_text())["frames"][FRAME]
    return frame.picture, np.array([one["box"] for one in faces if one["visible"] > 0.5], np.float32)


def test_faces_are_most_probable_the_right_way_up(verifier: Verifier, demo: tuple[Picture, Float]) -> None:
    picture, boxes = demo
    found = [verifier.verify(picture, boxes, np.full(len(boxes), turn)).probabilities for turn in range(4)]
    assert found[0].min() > 0.9
    assert max(found[1].max(), found[3].max()) < 0.5
    assert (
        found[0] - found[2] >= 0
    ).all()  # upside down they may look like faces, but no more than upright


def test_what_is_beside_faces_is_none(verifier: Verifier, demo: tuple[Picture, Float]) -> None:
    picture, boxes = demo
    sizes = boxes[:, 2:] - boxes[:, :2]
    beside = np.asarray(boxes + np.tile(sizes * np.float32(1.2), 2), np.float32)
    assert (verifier.verify(picture, beside, np.zeros(len(boxes), np.int64)).probabilities < 0.5).all()


def test_finer_boxes_lie_on_the_faces(verifier: Verifier, demo: tuple[Picture, Float]) -> None:
    picture, boxes = demo
    sizes = boxes[:, 2:] - boxes[:, :2]
    shifted = np.asarray(boxes + np.float32(0.1) * np.tile(sizes, 2), np.float32)
    finer = verifier.verify(picture, shifted, np.zeros(len(boxes), np.int64)).boxes
    assert np.diag(overlap(finer, boxes)).min() > 0.5


@pytest.mark.parametrize("count", [0, 1, 4, 5, 16, 17, 40])
def test_any_number_of_finds_is_answered_in_order(
    verifier: Verifier, demo: tuple[Picture, Float], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture, boxes = demo
    many = boxes[np.arange(count) % len(boxes)]
    shapes: list[int] = []
    run = verifier._model.run

    def noted(*inputs: Array) -> list[Array]:
        shapes.append(len(inputs[0]))
        return run(*inputs)

    monkeypatch.setattr(verifier._model, "run", noted)
    verified = verifier.verify(picture, many, np.zeros(count, np.int64))
    assert len(verified.probabilities) == len(verified.boxes) == len(verified.turned) == count
    assert set(shapes) <= set(BATCH_SIZES)
    alone = verifier.verify(picture, boxes, np.zeros(len(boxes), np.int64)).probabilities
    np.testing.assert_allclose(verified.probabilities, alone[np.arange(count) % len(boxes)], atol=1e-3)


@given(st.floats(-20, 180), st.floats(-20, 120), st.floats(2, 150), st.integers(0, 3))
def test_parts_of_a_picture_give_the_crops_of_the_whole(x: float, y: float, size: float, turn: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    rgb = np.asarray(cv2.resize(noise, (160, 120), interpolation=cv2.INTER_LINEAR), np.uint8)
    box = np.array([[x, y, x + size, y + size]], np.float32)
    found = crops(from_rgb(rgb), box, np.array([turn]))
    assert np.abs(found - verifier_crops(rgb, box, turn)).mean() < 0.03


def test_logits_are_calibrated_by_size() -> None:
    table = [
        (8.0, np.array([[-1, 0.2], [1, 0.8]], np.float32)),
        (32.0, np.array([[0, 0.1], [2, 0.9]], np.float32)),
    ]
    logits = np.array([0, 0, -5, 5, 1], np.float32)
    sizes = np.array([4, 31, 20, 20, 32], np.float32)
    np.testing.assert_allclose(calibrated(logits, sizes, table), [0.5, 0.5, 0.2, 0.8, 0.5], atol=1e-6)


def test_a_manifest_without_a_calibration_is_an_error(backend: Backend, engines: Engines) -> None:
    entry = {key: value for key, value in engines.models["face-verifier"].items() if key != "calibration"}
    without = Engines(engines.folder, {**engines.models, "face-verifier": entry})
    with pytest.raises(ModelError, match="calibration"):
        Verifier(backend, without)


def test_where_the_verifier_fails_the_detector_counts_and_it_is_told(
    backend: Backend,
    engines: Engines,
    verifier: Verifier,
    demo: tuple[Picture, Float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: Array) -> list[Array]:
        raise RuntimeError("told to fail")

    monkeypatch.setattr(verifier._model, "run", broken)
    told: list[int] = []
    config = DetectConfig("auto")
    detector = FaceDetector(backend, engines, config)
    search = FaceSearch(detector, verifier, 0, config.score, lambda _, count: told.append(count))
    picture, boxes = demo
    faces = search.detect(RawFrame(0, 0, Fraction(1, 25), picture))
    assert (overlap(boxes, faces[faces.scores >= 0.9].boxes).max(axis=1) > 0.4).all()
    assert sum(told) > 0


@pytest.mark.parametrize(
    "width", [320, *(pytest.param(one, marks=pytest.mark.slow) for one in (640, 1280))]
)
@pytest.mark.parametrize("size", ["auto", pytest.param("large", marks=pytest.mark.slow)])
def test_no_face_is_upside_down_on_upright_people(
    backend: Backend,
    engines: Engines,
    verifier: Verifier,
    demo: tuple[Picture, Float],
    width: int,
    size: str,
) -> None:
    """Also of one near face, which the detector finds another way up as well."""
    rgb, boxes = to_rgb(demo[0]), demo[1]
    scale = width / rgb.shape[1]
    near = boxes[np.argmax(boxes[:, 2] - boxes[:, 0])]
    middle, half = (near[:2] + near[2:]) / 2, 0.8 * (near[3] - near[1])
    low = np.maximum(middle - half, 0).astype(int)
    high = (middle + half).astype(int)
    pictures = [
        cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA),
        cv2.resize(rgb[low[1] : high[1], low[0] : high[0]], (width, width)),
    ]
    detector = FaceDetector(backend, engines, DetectConfig(size="auto" if size == "auto" else "large"))
    for shown in pictures:
        search = FaceSearch(detector, verifier)
        picture = from_rgb(np.ascontiguousarray(shown, np.uint8))
        for n in range(4):
            faces = search.detect(RawFrame(n, n, Fraction(1, 25), picture), extent="all")
            assert len(faces) > 0
            likely = faces[faces.scores >= 0.3]
            spread = np.ptp(likely.keypoints, axis=1).max(axis=1)
            painted = likely[spread > 0]  # the others, of which the way up is not known, get no face
            assert (
                painted.keypoints[:, :2, 1].mean(axis=1) < painted.keypoints[:, 3:, 1].mean(axis=1)
            ).all()


def test_what_is_in_doubt_is_shown_mirrored_and_the_mean_counts(
    backend: Backend, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One find in doubt of two: two more squares, smaller and larger, of that one alone."""
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    picture, boxes = from_rgb(noise), np.array([[20, 20, 60, 70], [80, 30, 120, 80]], np.float32)
    shown: list[Float] = []

    def run(squares: Float) -> list[Float]:
        shown.append(squares)
        logits = [[6.0], [1.0]] if len(shown) == 1 else [[-2.0], [-5.0]]
        widths = OUTPUT_WIDTHS[1:]
        return [np.array(logits, np.float32), *(np.zeros((len(squares), w), np.float32) for w in widths)]

    verifier = Verifier(backend, engines)
    monkeypatch.setattr(verifier, "_run", run)
    found = verifier.verify(picture, boxes, np.zeros(2, np.int64)).probabilities
    table = verifier._calibration
    sizes = np.full(2, np.sqrt(2000), np.float32)
    np.testing.assert_allclose(found, calibrated(np.array([6, -2], np.float32), sizes, table))
    assert [len(one) for one in shown] == [2, 2]
    again = mirrored_boxes(boxes[1:]).reshape(-1, 4)
    expected = crops(picture, again, np.zeros(2, np.int64))[..., ::-1]
    np.testing.assert_array_equal(shown[1], expected)
    sides = again[:, 2] - again[:, 0]
    assert sides[0] < 40 < sides[1]


def test_a_find_in_doubt_is_shown_without_what_lies_beyond_a_border(
    backend: Backend, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two finds in two tiles of a video call, one below the border and one far from it: the first is shown
    again, straight and mirrored, grey above the border, and that counts where it is more likely a face.
    """
    rgb = np.full((200, 160, 3), 60, np.uint8)
    rgb[50:] = 160
    picture = from_rgb(rgb)
    boxes = np.array([[60, 54, 100, 94], [60, 130, 100, 170]], np.float32)
    shown: list[Float] = []
    answers = [[1.0, 1.0], [-2.0] * 4, [2.0], [4.0]]

    def run(squares: Float) -> list[Float]:
        shown.append(squares)
        logits = np.array(answers[len(shown) - 1], np.float32)[:, None]
        return [logits, *(np.zeros((len(squares), w), np.float32) for w in OUTPUT_WIDTHS[1:])]

    verifier = Verifier(backend, engines)
    monkeypatch.setattr(verifier, "_run", run)
    found = verifier.verify(picture, boxes, np.zeros(2, np.int64)).probabilities
    expected = calibrated(np.array([3, -1], np.float32), np.full(2, 40, np.float32), verifier._calibration)
    np.testing.assert_allclose(found, expected)
    wide = crops(picture, widened(boxes), np.zeros(2, np.int64))
    alone, _ = without_neighbours(shown[0], wide)
    np.testing.assert_array_equal(shown[2], alone)
    np.testing.assert_array_equal(shown[3], alone[..., ::-1])
    assert np.isclose(alone[0, :, 0], 114 / 255).all()
    assert np.isclose(alone[0, :, 20:], 160 / 255, atol=0.01).all()
