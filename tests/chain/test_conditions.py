"""Faces stay covered whatever the footage: the demo clip, changed as cameras and editors change footage."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from streamanon.config import ComputeConfig, CoverConfig, DetectConfig, LookaheadConfig
from streamanon.detect.detection_interval import DetectionInterval
from streamanon.detect.search import FaceSearch, observe
from streamanon.detect.tiling import turned_back
from streamanon.detect.verifier import Verifier
from streamanon.detect.yolo import FaceDetector
from streamanon.geometry import grow
from streamanon.media.decode import read_frames
from streamanon.media.probe import probe
from streamanon.media.yuv import from_rgb, to_rgb
from streamanon.runtime.backends import open_backend
from streamanon.runtime.models import Engines
from streamanon.track.lookahead import resolve
from streamanon.track.tracker import track
from streamanon.types import Float, RawFrame, Resolved

DATA = Path(__file__).parents[1] / "data"
#: The demo's cut is in the middle of these.
FIRST, CUT, LAST = 105, 125, 145
DISSOLVE_FRAMES = 10
#: Less sure than any profile but the smallest machines'.
QUICK = DetectConfig("auto", 0.08, 0.4)
LEAST_PX, LEAST_VISIBLE, LEAST_COVERED = 20, 0.5, 0.75

Image = NDArray[np.uint8]
Footage = list[tuple[Image, Float]]


@pytest.fixture(scope="module")
def footage() -> Footage:
    """Frames [H, W, 3] RGB, each with the boxes [N, 4] of its faces."""
    truth = json.loads((DATA / "demo.json").read_text())["frames"]
    path, found = DATA / "demo.mp4", []
    for frame in read_frames(path, probe(path)):
        if frame.index >= LAST:
            break
        if frame.index >= FIRST:
            faces = [f["box"] for f in truth[frame.index] if _counts(f)]
            found.append((to_rgb(frame.picture), np.array(faces, np.float32).reshape(-1, 4)))
    return found


def _counts(face: dict[str, object]) -> bool:
    box, visible = face["box"], face["visible"]
    assert isinstance(box, list)
    assert isinstance(visible, float)
    return visible >= LEAST_VISIBLE and box[2] - box[0] >= LEAST_PX


@pytest.fixture(scope="module")
def detector(engines: Engines) -> FaceDetector:
    return FaceDetector(open_backend(ComputeConfig(backend="onnxruntime", threads=1)), engines, QUICK)


@pytest.fixture(scope="module")
def verifier(engines: Engines) -> Verifier:
    return Verifier(open_backend(ComputeConfig(backend="onnxruntime", threads=1)), engines)


def turned(quarters: int) -> Callable[[Footage], Footage]:
    def change(footage: Footage) -> Footage:
        return [(_turned(rgb, quarters), _turned_boxes(rgb, boxes, quarters)) for rgb, boxes in footage]

    return change


def _turned(rgb: Image, quarters: int) -> Image:
    return np.ascontiguousarray(np.rot90(rgb, quarters))


def _turned_boxes(rgb: Image, boxes: Float, quarters: int) -> Float:
    height, width = rgb.shape[:2]
    sides = (width, height) if quarters % 2 == 0 else (height, width)
    corners = turned_back(boxes.reshape(-1, 2, 2), *sides, -quarters % 4)
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def mirrored(footage: Footage) -> Footage:
    made = []
    for rgb, boxes in footage:
        left, top, right, bottom = boxes.T
        edge = np.float32(rgb.shape[1] - 1)
        there = np.stack([edge - right, top, edge - left, bottom], axis=1)
        made.append((np.ascontiguousarray(rgb[:, ::-1]), there))
    return made


def faded(footage: Footage) -> Footage:
    """In from black, and out again."""
    count = len(footage)
    lit = ((min(1.0, (n + 1) / 10, (count - n) / 10), *pair) for n, pair in enumerate(footage))
    return [((rgb * light).astype(np.uint8), boxes) for light, rgb, boxes in lit]


def flashed(footage: Footage) -> Footage:
    lit = {6, 7, 25}
    return [
        (np.minimum(rgb.astype(np.int32) * 2 + 90, 255).astype(np.uint8) if n in lit else rgb, boxes)
        for n, (rgb, boxes) in enumerate(footage)
    ]


def panned(footage: Footage) -> Footage:
    """A camera that sweeps to and fro, 8 px a frame."""
    made = []
    for n, (rgb, boxes) in enumerate(footage):
        shift = round(60 * np.sin(n / 7))
        matrix = np.array([[1, 0, shift], [0, 1, 0]], np.float32)
        moved = cv2.warpAffine(rgb, matrix, rgb.shape[1::-1], borderMode=cv2.BORDER_REFLECT)
        inside = boxes + np.array([shift, 0, shift, 0], np.float32)
        whole = (inside[:, 0] >= 0) & (inside[:, 2] < rgb.shape[1])
        made.append((np.asarray(moved, np.uint8), inside[whole]))
    return made


def interlaced(footage: Footage) -> Footage:
    """Every other line is a frame older."""
    made = [footage[0]]
    for (before, _), (rgb, boxes) in pairwise(footage):
        combed = rgb.copy()
        combed[1::2] = before[1::2]
        made.append((combed, boxes))
    return made


def dissolved(footage: Footage) -> Footage:
    """The first shot's last frame fades into the second shot; the faces that show more count."""
    cut = CUT - FIRST
    made, (last, old) = list(footage), footage[cut - 1]
    for step in range(DISSOLVE_FRAMES):
        share = (step + 1) / (DISSOLVE_FRAMES + 1)
        rgb, boxes = footage[cut + step]
        mixed = np.asarray(cv2.addWeighted(rgb, share, last, 1 - share, 0), np.uint8)
        made[cut + step] = mixed, old if share < 0.5 else boxes
    return made


def dark(footage: Footage) -> Footage:
    rng = np.random.default_rng(0)
    return [
        ((0.22 * rgb + rng.normal(4, 4, rgb.shape)).clip(0, 255).astype(np.uint8), boxes)
        for rgb, boxes in footage
    ]


def as_it_is(footage: Footage) -> Footage:
    return footage


CONDITIONS: dict[str, Callable[[Footage], Footage]] = {
    "cut": as_it_is,
    "turned left": turned(1),
    "upside down": turned(2),
    "turned right": turned(3),
    "mirrored": mirrored,
    "faded": faded,
    "flashed": flashed,
    "panned": panned,
    "dissolved": dissolved,
    "interlaced": interlaced,
    "dark": dark,
}
QUICK_ONES = ("dark",)


def bare(resolved: Resolved, boxes: Float) -> list[float]:
    """For each face too little of which is covered by the mosaics' ellipses: how much is."""
    steps = np.linspace(-1, 1, 15)
    spots = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    spots = spots[(spots**2).sum(axis=1) <= 1]
    found = []
    for box in boxes:
        places = (box[:2] + box[2:]) / 2 + spots * (box[2:] - box[:2]) / 2
        hidden = np.zeros(len(places), bool)
        for target in resolved.targets:
            area = grow(target.box, CoverConfig().margin)
            middle, half = (area[:2] + area[2:]) / 2, (area[2:] - area[:2]) / 2
            hidden |= (((places - middle) / half) ** 2).sum(axis=1) <= 1
        if hidden.mean() < LEAST_COVERED:
            found.append(float(hidden.mean()))
    return found


@pytest.mark.parametrize(
    "name", [one if one in QUICK_ONES else pytest.param(one, marks=pytest.mark.slow) for one in CONDITIONS]
)
def test_no_face_is_bare(footage: Footage, detector: FaceDetector, verifier: Verifier, name: str) -> None:
    made = CONDITIONS[name](footage)
    assert sum(len(boxes) for _, boxes in made) > len(made)

    def frames() -> Iterator[RawFrame]:
        for n, (rgb, _) in enumerate(made):
            yield RawFrame(n, n, Fraction(1, 25), from_rgb(rgb))

    search = FaceSearch(detector, verifier)
    observed = observe(frames(), search, DetectionInterval(QUICK.interval_seconds))
    seen = track(observed, QUICK, search.redetect)
    leaks = {
        one.frame.index: shares
        for one in resolve(seen, LookaheadConfig(0.48, 0.48))
        if (shares := bare(one, made[one.frame.index][1])) and not one.cover_all
    }
    assert not leaks
