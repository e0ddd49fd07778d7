from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from streamanon.audit.pairing import read_rgb_frames
from streamanon.audit.people import FaceFrame
from streamanon.audit.recognisers import (
    ARCFACE_POINTS,
    EncoderRecogniser,
    OnnxRecogniser,
    fit_similarity,
    open_recognisers,
    similarity,
)
from streamanon.config import ComputeConfig
from streamanon.errors import ConfigError
from streamanon.geometry import transform


def a_network(path: Path, numbers: int) -> Path:
    """A network whose embedding is the mean colour, seen from ``numbers`` random sides."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(3).normal(size=(numbers, 3, 1, 1)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["x"], ["m"]),
            helper.make_node("Conv", ["m", "w"], ["c"]),
            helper.make_node("Flatten", ["c"], ["y"]),
        ],
        "colour",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 112, 112])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, numbers])],
        [numpy_helper.from_array(weights, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def a_face(scale: float = 1.0, shift: float = 0.0) -> FaceFrame:
    points = ARCFACE_POINTS * np.float32(scale) + np.float32(shift)
    return FaceFrame(0, 0, np.array([0, 0, 112, 112], np.float32) * scale + shift, points)


def test_points_that_were_turned_and_scaled_are_taken_back() -> None:
    angle, scale = 0.4, 0.6
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = (ARCFACE_POINTS @ turn.T + [30, -12]).astype(np.float32)
    back = transform(fit_similarity(moved, ARCFACE_POINTS), moved)
    np.testing.assert_allclose(back, ARCFACE_POINTS, atol=1e-3)


def test_all_points_count_where_they_disagree() -> None:
    moved = ARCFACE_POINTS.copy()
    moved[2] += 10
    error = transform(fit_similarity(moved, ARCFACE_POINTS), moved) - ARCFACE_POINTS
    np.testing.assert_allclose(error.mean(axis=0), 0, atol=1e-3)
    assert 4 < np.abs(error[2]).max() < 10


@pytest.mark.parametrize("numbers", [128, 512])
def test_a_users_network_tells_colours_apart(numbers: int, tmp_path: Path) -> None:
    recogniser = OnnxRecogniser(a_network(tmp_path / "net.onnx", numbers))
    assert recogniser.name == "net"
    red, blue = np.zeros((2, 240, 240, 3), np.uint8)
    red[..., 0], blue[..., 2] = 250, 250
    face = a_face(2.0, 8.0)
    place = recogniser.place(red, face)
    one, two = recogniser.describe(red, place), recogniser.describe(blue, place)
    assert one.shape == (numbers,)
    assert similarity(recogniser, one, one) == pytest.approx(1)
    assert similarity(recogniser, one, two) < 0.9


def test_arcface_wants_grey_to_be_zero(tmp_path: Path) -> None:
    recogniser = OnnxRecogniser(a_network(tmp_path / "net.onnx", 512))
    grey = np.full((112, 112, 3), 127, np.uint8)
    np.testing.assert_allclose(recogniser.describe(grey, recogniser.place(grey, a_face())), 0, atol=0.05)


@pytest.mark.parametrize(("numbers", "told"), [(64, "64 numbers"), (0, "no file"), (-1, "no 112 px faces")])
def test_what_cannot_be_used_is_named(numbers: int, told: str, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    if numbers > 0:
        a_network(path, numbers)
    elif numbers < 0:
        path.write_text("not a network")
    with pytest.raises(ConfigError, match=told):
        OnnxRecogniser(path)


def test_streamanons_own_says_what_it_is() -> None:
    recognisers = open_recognisers(ComputeConfig(backend="onnxruntime"), [])
    own = recognisers[-1]
    assert isinstance(own, EncoderRecogniser)
    assert "part of streamanon" in own.relation


def test_similarities_agree_with_each_pair() -> None:
    values = np.random.default_rng(0).normal(size=(5, 128)).astype(np.float32)
    for recogniser in open_recognisers(ComputeConfig(backend="onnxruntime"), []):
        table = recogniser.similarities(values, values)
        assert table.shape == (5, 5)
        for row in range(5):
            assert similarity(recogniser, values[row], values[row]) == pytest.approx(1, abs=1e-3)
            assert similarity(recogniser, values[row], values[2]) == pytest.approx(table[row, 2], abs=1e-3)


@pytest.mark.slow
@pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("dlib", "face_recognition_models")),
    reason="dlib is not installed: pip install '.[audit]'",
)
def test_dlib_knows_a_person_again() -> None:
    """The people of the shipped clip, half a second apart."""
    clip = Path(__file__).parents[1] / "data" / "demo.mp4"
    truth = json.loads(clip.with_suffix(".json").read_text())["frames"]
    recogniser = open_recognisers(ComputeConfig(backend="onnxruntime"), [])[0]
    assert recogniser.name == "dlib"
    seen: dict[int, list[np.ndarray]] = {}
    for index, image in enumerate(read_rgb_frames(clip)):
        for face in truth[index] if index in (0, 12) else []:
            box, points = np.array(face["box"], np.float32), np.array(face["keypoints"], np.float32)
            place = recogniser.place(image, FaceFrame(face["track"], index, box, points))
            seen.setdefault(face["track"], []).append(recogniser.describe(image, place))
        if index == 12:
            break
    twice = [pair for pair in seen.values() if len(pair) == 2]
    assert twice
    assert all(similarity(recogniser, one, two) > recogniser.threshold for one, two in twice)
