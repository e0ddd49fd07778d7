"""Faces in light of one colour."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from streamanon.config import ComputeConfig, DetectConfig
from streamanon.detect.tiling import letterbox, whole
from streamanon.detect.verifier import Verifier
from streamanon.detect.yolo import FaceDetector
from streamanon.geometry import overlap
from streamanon.media.coloured_light import without_cast
from streamanon.media.decode import read_frames
from streamanon.media.probe import probe
from streamanon.media.yuv import from_rgb, to_rgb
from streamanon.runtime.backends import open_backend
from streamanon.runtime.models import Engines
from streamanon.types import Float

DATA = Path(__file__).parents[1] / "data"
FRAME = 150
LIGHTS = {"red": (1, 0.15, 0.1), "blue": (0.1, 0.25, 1), "green": (0.15, 1, 0.3), "purple": (0.9, 0.2, 1)}


@pytest.fixture(scope="module")
def demo() -> tuple[np.ndarray, Float]:
    """RGB of three synthetic people, and the boxes of their faces [N, 4]."""
    path = DATA / "demo.mp4"
    frame = next(one for one in read_frames(path, probe(path)) if one.index == FRAME)
    faces = json.loads((DATA / "demo.json").read_text())["frames"][FRAME]
    boxes = [one["box"] for one in faces if one["visible"] > 0.5]
    return to_rgb(frame.picture), np.array(boxes, np.float32)


@pytest.mark.parametrize("light", LIGHTS)
def test_faces_are_found_in_light_of_one_colour(
    light: str, demo: tuple[np.ndarray, Float], engines: Engines
) -> None:
    rgb, boxes = demo
    picture = from_rgb((rgb * np.array(LIGHTS[light], np.float32)).astype(np.uint8))
    backend = open_backend(ComputeConfig(backend="onnxruntime", threads=1))
    found = FaceDetector(backend, engines, DetectConfig()).detect_view(picture, whole(picture, 0, 576))
    sure = Verifier(backend, engines).verify(picture, boxes, np.zeros(len(boxes), np.int64)).probabilities
    assert (overlap(boxes, found.boxes[found.scores > 0.5]) > 0.4).any(axis=1).all()
    assert sure.min() > 0.9


def test_ordinary_pictures_keep_their_colours(demo: tuple[np.ndarray, Float]) -> None:
    rgb, _ = demo
    assert without_cast(rgb) is rgb
    assert without_cast(np.zeros((8, 8, 3), np.uint8)).max() == 0


def test_colour_goes_gradually_as_light_becomes_coloured(demo: tuple[np.ndarray, Float]) -> None:
    lit = [(demo[0] * np.array([1, one, one])).astype(np.uint8) for one in (0.6, 0.35, 0.2)]
    kept = [_spread(without_cast(rgb)) / _spread(rgb) for rgb in lit]
    assert kept[0] == 1
    assert 0.1 < kept[1] < 0.9
    assert kept[2] == 0


def _spread(rgb: np.ndarray) -> float:
    """By how many levels the channels differ, in the mean."""
    return float(np.ptp(rgb.astype(int), axis=2).mean())


def test_blue_light_is_not_black(demo: tuple[np.ndarray, Float]) -> None:
    rgb, _ = demo
    image, _ = letterbox(from_rgb((rgb * np.array([0, 0.1, 1])).astype(np.uint8)), 576, 320)
    assert abs(255 * image.mean() - rgb[..., 2].mean()) < 20
