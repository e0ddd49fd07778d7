"""Labelled pictures of many faces (``scenes*.tar``), and what cameras and codecs do to pictures."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

UNSURE_SCORE = 0.4
#: What people saw who looked at the detector's finds without a label: "nothing" is no face and shown often
#: in training, "unsure" is a face, drawn or real, or was not looked at closely, and counts neither way.
CORRECTIONS = Path(__file__).with_name("scene_corrections.json")
#: How many pictures are hazy or against the light.
HAZY = 0.12
FLIPPED_KEYPOINTS = [1, 0, 2, 4, 3]


@dataclass(frozen=True)
class Labels:
    """Faces of one image: boxes [N, 4] xyxy px, keypoints [N, 5, 3] (x, y, visible), ignore [N] bool."""

    boxes: NDArray[np.float32]
    keypoints: NDArray[np.float32]
    ignore: NDArray[np.bool_]

    @staticmethod
    def join(parts: list[Labels]) -> Labels:
        return Labels(
            np.concatenate([p.boxes for p in parts]).astype(np.float32),
            np.concatenate([p.keypoints for p in parts]).astype(np.float32),
            np.concatenate([p.ignore for p in parts]).astype(bool),
        )

    def pick(self, keep: NDArray[np.bool_]) -> Labels:
        return Labels(self.boxes[keep], self.keypoints[keep], self.ignore[keep])

    @property
    def sizes(self) -> NDArray[np.float32]:
        return np.asarray(np.sqrt(np.prod(self.boxes[:, 2:] - self.boxes[:, :2], axis=1)), np.float32)


@dataclass(frozen=True)
class Scene:
    """One labelled picture: image [H, W, 3] uint8 BGR. ``human`` [N]: which labels a person drew;
    ``lookalikes`` [M, 4]: boxes of what was taken for a face and is none.
    """

    file: str
    image: NDArray[np.uint8]
    labels: Labels
    source: str
    human: NDArray[np.bool_]
    lookalikes: NDArray[np.float32]


def read_scenes(data: Path, split: str, corpus: str = "scenes") -> list[Scene]:
    """All scenes of a split of a corpus (``scenes``, ``scenes_more``), decoded and corrected."""
    corrections = json.loads(CORRECTIONS.read_text())
    entries = {e["file"]: e for e in json.loads((data / f"{corpus}_labels.json").read_text())}
    scenes = []
    with tarfile.open(data / f"{corpus}.tar") as archive:
        for member in archive:
            entry = entries.get(member.name) or entries.get(Path(member.name).name)
            if entry is None or entry["split"] != split:
                continue
            stream = archive.extractfile(member)
            assert stream is not None
            image = cv2.imdecode(np.frombuffer(io.BytesIO(stream.read()).getvalue(), np.uint8), 1)
            correction = corrections.get(entry["file"], {})
            labels = corrected(_labels(entry["faces"]), _boxes(correction.get("unsure", [])))
            human = np.zeros(len(labels.boxes), bool)
            human[: len(entry["faces"])] = [f["by"] == "human" for f in entry["faces"]]
            lookalikes = _boxes(correction.get("nothing", []))
            pixels = np.asarray(image, np.uint8)
            scenes.append(Scene(entry["file"], pixels, labels, entry["set"], human, lookalikes))
    return scenes


def _labels(faces: list[dict[str, object]]) -> Labels:
    boxes = np.array([f["box"] for f in faces], np.float32).reshape(-1, 4)
    keypoints = np.zeros((len(faces), 5, 3), np.float32)
    ignore = np.zeros(len(faces), bool)
    for row, face in enumerate(faces):
        if face["kpts"] is not None:
            keypoints[row, :, :2] = np.array(face["kpts"], np.float32).reshape(5, 2)
            keypoints[row, :, 2] = 1
        score = face["score"]
        weak = isinstance(score, float) and score < UNSURE_SCORE
        ignore[row] = face["by"] == "one teacher" or (face["by"] == "teacher" and weak)
    return Labels(boxes, keypoints, ignore)


def _boxes(rows: list[list[float]]) -> NDArray[np.float32]:
    return np.array(rows, np.float32).reshape(-1, 4)


def corrected(labels: Labels, unsure: NDArray[np.float32]) -> Labels:
    """The labels with ``unsure`` [M, 4] boxes added as ignored, and labels of mere parts of those too."""
    low = np.maximum(labels.boxes[:, None, :2], unsure[None, :, :2])
    high = np.minimum(labels.boxes[:, None, 2:], unsure[None, :, 2:])
    shared = np.prod((high - low).clip(0), axis=2)
    area, around = labels.sizes[:, None] ** 2, np.prod(unsure[:, 2:] - unsure[:, :2], axis=1)[None]
    part = ((shared > 0.8 * area) & (area < 0.6 * around)).any(axis=1)
    known = Labels(labels.boxes, labels.keypoints, labels.ignore | part)
    added = Labels(unsure, np.zeros((len(unsure), 5, 3), np.float32), np.ones(len(unsure), bool))
    return Labels.join([known, added])


def transform_labels(labels: Labels, matrix: NDArray[np.float64], flipped: bool) -> Labels:
    """Move labels through an affine map [2, 3]; a rotated box becomes the box of its inscribed ellipse."""
    linear, shift = matrix[:, :2], matrix[:, 2]
    centres = (labels.boxes[:, :2] + labels.boxes[:, 2:]) / 2 @ linear.T + shift
    half = (labels.boxes[:, 2:] - labels.boxes[:, :2]) / 2
    extent = np.sqrt(half**2 @ (linear**2).T)
    keypoints = labels.keypoints.copy()
    keypoints[..., :2] = keypoints[..., :2] @ linear.T + shift
    if flipped:
        keypoints = keypoints[:, FLIPPED_KEYPOINTS]
    boxes = np.concatenate([centres - extent, centres + extent], axis=1)
    return Labels(boxes.astype(np.float32), keypoints.astype(np.float32), labels.ignore)


def degrade(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Light, colour, blur, noise and compression as cameras and codecs add them; [H, W, 3] uint8."""
    out = _relight(image, rng)
    size = image.shape[1], image.shape[0]
    roll = rng.random()
    if roll < 0.15:
        out = np.asarray(cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.5, 2.0))), np.uint8)
    elif roll < 0.25:
        out = _motion_blur(out, rng)
    elif roll < 0.4:
        factor = rng.uniform(0.4, 0.8)
        small = cv2.resize(out, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        out = np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    if rng.random() < 0.25:
        noise = rng.normal(0, rng.uniform(2, 14), (size[1], size[0], 1)).astype(np.float32)
        out = np.clip(out + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        _, packed = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 80))])
        out = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
    return np.asarray(out, np.uint8)


def _relight(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    ramp = np.arange(256, dtype=np.float32) / 255
    gamma = np.exp(rng.normal(0, 0.25)) * (rng.uniform(1.5, 3.0) if rng.random() < 0.1 else 1.0)
    gain = np.exp(rng.normal(0, 0.2)) * (rng.uniform(0.2, 0.6) if rng.random() < 0.1 else 1.0)
    curve = (ramp**gamma - 0.5) * np.exp(rng.normal(0, 0.15)) + 0.5
    if rng.random() < HAZY:
        curve = (curve - 0.5) * rng.uniform(0.3, 0.8) + rng.uniform(0.4, 0.65)
    tint = np.exp(rng.normal(0, 0.07, 3))
    table = np.clip(255 * gain * curve[:, None] * tint[None], 0, 255).astype(np.uint8)
    out = cv2.LUT(image, table[None])
    if rng.random() < 0.3:
        grey = cv2.cvtColor(out, cv2.COLOR_BGR2GRAY)[..., None]
        mix = rng.uniform(0, 1) if rng.random() < 0.6 else 1.0
        out = (out * (1 - mix) + grey * mix).astype(np.uint8)
    return np.asarray(out, np.uint8)


def _motion_blur(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    length = int(rng.integers(3, 10))
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1
    turn = cv2.getRotationMatrix2D((length / 2 - 0.5, length / 2 - 0.5), rng.uniform(0, 180), 1)
    kernel = np.asarray(cv2.warpAffine(kernel, turn, (length, length)), np.float32)
    return np.asarray(cv2.filter2D(image, -1, kernel / max(float(kernel.sum()), 1e-6)), np.uint8)
