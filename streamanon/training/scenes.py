"""Random training crops for the face detector: scenes, with portraits pasted in."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.training.portraits import Portrait, read_portraits

PORTRAIT_SETS = ("lfw", "generated", "utk", "congress", "faker", "masked")
MASKED_SETS = ("facemask-cc0", "eden-mask", "eden-cctv")
FILL = 114
UNSURE_SCORE = 0.4
MIN_FACE_PX = 5.0
#: What people saw who looked at the detector's finds without a label: "nothing" is no face and shown often
#: in training, "unsure" is a face, drawn or real, or was not looked at closely, and counts neither way.
CORRECTIONS = Path(__file__).with_name("scene_corrections.json")
#: How many of the crops show something that was taken for a face.
LOOKALIKES = 0.1
#: How many bear large print: round letters were taken for faces.
TEXTS = 0.06
LETTERS = "aaabcdeeeefgghijklmnoooopqrssstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0356899@&  "
#: How many are hazy or against the light.
HAZY = 0.12
FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX)
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

    image: NDArray[np.uint8]
    labels: Labels
    source: str
    human: NDArray[np.bool_]
    lookalikes: NDArray[np.float32]


def read_scenes(data: Path, split: str) -> list[Scene]:
    """All scenes of a split, decoded, with their corrections."""
    corrections = json.loads(CORRECTIONS.read_text())
    entries = {e["file"]: e for e in json.loads((data / "scenes_labels.json").read_text())}
    scenes = []
    with tarfile.open(data / "scenes.tar") as archive:
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
            scenes.append(Scene(np.asarray(image, np.uint8), labels, entry["set"], human, lookalikes))
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
        ignore[row] = face["by"] == "teacher" and isinstance(score, float) and score < UNSURE_SCORE
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


class CropSampler:
    """Draws augmented square crops with labels; the same seed gives the same crops."""

    def __init__(self, data: Path, size_px: int, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.size_px = size_px
        self.scenes = read_scenes(data, "train")
        self.portraits = list(read_portraits(data, PORTRAIT_SETS))
        weights = np.array([0.4 if s.source in MASKED_SETS else 1.0 for s in self.scenes])
        self.scene_weights = weights / weights.sum()
        self.lookalikes = [(n, box) for n, s in enumerate(self.scenes) for box in s.lookalikes]
        kind = np.array([0.25 if p.source == "masked" else 1.0 for p in self.portraits])
        self.portrait_weights = np.cumsum(kind / kind.sum())

    def draw(self) -> tuple[NDArray[np.uint8], Labels]:
        """One crop [size, size, 3] uint8 RGB with its labels."""
        image, labels = self._scene_crop()
        if self.rng.random() < TEXTS:
            image, labels = self._write(image, labels)
        for _ in range(self.rng.choice([0, 1, 2, 4], p=[0.4, 0.3, 0.2, 0.1])):
            image, labels = self._paste(image, labels)
        labels = self._visible(labels)
        return np.ascontiguousarray(degrade(image, self.rng)[..., ::-1]), labels

    def _scene_crop(self) -> tuple[NDArray[np.uint8], Labels]:
        rng, size = self.rng, self.size_px
        scene, box = self._subject()
        height, width = scene.image.shape[:2]
        if box is not None:
            x0, y0, x1, y1 = box
            wanted = np.exp(rng.uniform(np.log(9), np.log(150)))
            scale = float(np.clip(wanted / max(1.0, np.sqrt((x1 - x0) * (y1 - y0))), 0.25, 2.0))
            centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2]) + rng.uniform(-0.42, 0.42, 2) * size / scale
        else:
            scale = float(np.exp(rng.uniform(np.log(0.4), np.log(1.5))))
            centre = rng.uniform(0, 1, 2) * [width, height]
        scale = max(scale, 0.6 * size / max(width, height))
        reach = np.minimum(size / scale / 2, np.array([width, height]) / 2)
        centre = np.clip(centre, reach, [width, height] - reach)  # little of the crop is padding
        matrix, flipped = self._affine(centre, scale, np.array([size / 2, size / 2]), spread=12)
        image = cv2.warpAffine(
            scene.image,
            matrix,
            (size, size),
            flags=cv2.INTER_AREA if scale < 0.7 else cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(FILL, FILL, FILL),
        )
        if scale < 0.6:
            image = self._shrunk(scene.image, matrix, scale)
        return np.asarray(image, np.uint8), transform_labels(scene.labels, matrix, flipped)

    def _subject(self) -> tuple[Scene, NDArray[np.float32] | None]:
        """A scene, and what of it the crop is to show: a face, something like one, or just anything."""
        rng = self.rng
        if self.lookalikes and rng.random() < LOOKALIKES:
            number, box = self.lookalikes[rng.integers(len(self.lookalikes))]
            return self.scenes[number], box
        scene = self.scenes[rng.choice(len(self.scenes), p=self.scene_weights)]
        sure = np.flatnonzero(~scene.labels.ignore)
        if len(sure) and rng.random() < 0.7:
            return scene, scene.labels.boxes[rng.choice(sure)]
        return scene, None

    def _shrunk(
        self, source: NDArray[np.uint8], matrix: NDArray[np.float64], scale: float
    ) -> NDArray[np.uint8]:
        """Warp by way of an area-averaged copy: warpAffine alone would alias."""
        small = cv2.resize(source, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        through = matrix.copy()
        through[:, :2] /= scale
        warped = cv2.warpAffine(
            small, through, (self.size_px, self.size_px), borderValue=(FILL, FILL, FILL)
        )
        return np.asarray(warped, np.uint8)

    def _affine(
        self, centre: NDArray[np.float64], scale: float, target: NDArray[np.float64], spread: float
    ) -> tuple[NDArray[np.float64], bool]:
        rng = self.rng
        angle = np.deg2rad(rng.normal(0, spread) if rng.random() > 0.08 else rng.uniform(-100, 100))
        cos, sin = np.cos(angle), np.sin(angle)
        stretch = np.exp(rng.uniform(-0.12, 0.12))
        linear = scale * np.array([[cos, -sin], [sin, cos]]) @ np.diag([stretch, 1 / stretch])
        flipped = bool(rng.random() < 0.5)
        if flipped:
            linear = linear @ np.diag([-1.0, 1.0])
        return np.column_stack([linear, target - linear @ centre]), flipped

    def _paste(self, image: NDArray[np.uint8], labels: Labels) -> tuple[NDArray[np.uint8], Labels]:
        rng, size = self.rng, self.size_px
        portrait = self.portraits[int(np.searchsorted(self.portrait_weights, rng.random()))]
        source = self._occluded(portrait)
        box = portrait.box
        wanted = np.exp(rng.uniform(np.log(8), np.log(64 if rng.random() < 0.7 else 280)))
        scale = wanted / float(np.sqrt((box[2] - box[0]) * (box[3] - box[1])))
        centre = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2], np.float64)
        target = rng.uniform(0.03, 0.97, 2) * size
        matrix, flipped = self._affine(centre, scale, target, spread=16)
        alpha = self._alpha(portrait, box)
        if scale < 0.6:
            small = cv2.resize(source, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            shape = (small.shape[1], small.shape[0])
            alpha = np.asarray(cv2.resize(alpha, shape, interpolation=cv2.INTER_AREA), np.float32)
            through = matrix.copy()
            through[:, :2] /= scale
            source = np.asarray(small, np.uint8)
        else:
            through = matrix
        warped = cv2.warpAffine(source, through, (size, size), borderMode=cv2.BORDER_REPLICATE)
        weight = np.asarray(cv2.warpAffine(alpha, through, (size, size)), np.float32)[..., None]
        blended = (image * (1 - weight) + warped * weight).astype(np.uint8)
        keypoints = np.concatenate([portrait.keypoints, np.ones((5, 1))], axis=1)[None]
        pasted = Labels(box[None], keypoints.astype(np.float32), np.zeros(1, bool))
        moved = transform_labels(pasted, matrix, flipped)
        return blended, Labels.join([_covered(labels, weight[..., 0]), moved])

    def _write(self, image: NDArray[np.uint8], labels: Labels) -> tuple[NDArray[np.uint8], Labels]:
        """Lines of print on a plain ground over a part of the crop; the faces below are gone."""
        rng, size = self.rng, self.size_px
        x0, y0 = (int(v) for v in rng.uniform(0, 0.6, 2) * size)
        x1, y1 = x0 + int(rng.uniform(0.3, 1) * size), y0 + int(rng.uniform(0.15, 0.8) * size)
        ground, ink = rng.integers(0, 256, 3), rng.integers(0, 256, 3)
        if rng.random() < 0.5:
            ground, ink = np.full(3, rng.integers(190, 256)), np.full(3, rng.integers(0, 90))
        written = image.copy()
        written[y0:y1, x0:x1] = ground
        font = int(rng.choice(FONTS))
        height = float(np.exp(rng.uniform(np.log(10), np.log(90))))  # of a capital, px
        colour = tuple(int(v) for v in ink)
        for line in np.arange(y0 + height * 1.3, y1, height * 1.6):
            words = "".join(rng.choice(list(LETTERS), 40))
            thick = max(1, int(height * rng.uniform(0.08, 0.2)))
            cv2.putText(written, words, (x0, int(line)), font, height / 21, colour, thick, cv2.LINE_AA)
        written[:, :x0], written[:, x1:], written[y1:] = image[:, :x0], image[:, x1:], image[y1:]
        return written, _covered(labels, (written != image).any(axis=2).astype(np.float32))

    def _occluded(self, portrait: Portrait) -> NDArray[np.uint8]:
        rng = self.rng
        if rng.random() > 0.2:
            return portrait.image
        image = portrait.image.copy()
        x0, y0, x1, y1 = portrait.box
        width, height = x1 - x0, y1 - y0
        colour = tuple(int(c) for c in rng.integers(0, 256, 3))
        centre = (int(x0 + rng.uniform(0, 1) * width), int(y0 + rng.choice([0.05, 0.95]) * height))
        axes = (int(width * rng.uniform(0.15, 0.5)), int(height * rng.uniform(0.15, 0.4)))
        cv2.ellipse(image, centre, axes, rng.uniform(0, 180), 0, 360, colour, -1)
        return image

    def _alpha(self, portrait: Portrait, box: NDArray[np.float32]) -> NDArray[np.float32]:
        """Either the whole crop, or a soft ellipse around the head."""
        height, width = portrait.image.shape[:2]
        alpha = np.zeros((height, width), np.float32)
        if self.rng.random() < 0.5:
            edge = max(1, int(0.04 * width))
            alpha[edge:-edge, edge:-edge] = 1
            return np.asarray(cv2.blur(alpha, (edge, edge)), np.float32)
        centre = ((box[0] + box[2]) / 2, box[1] * 0.55 + box[3] * 0.45)
        axes = ((box[2] - box[0]) * 0.72, (box[3] - box[1]) * 0.78)
        cv2.ellipse(alpha, (centre, (2 * axes[0], 2 * axes[1]), 0), 1.0, -1)
        soft = max(3, int((box[2] - box[0]) * self.rng.uniform(0.03, 0.15)) | 1)
        return np.asarray(cv2.GaussianBlur(alpha, (soft, soft), 0), np.float32)

    def _visible(self, labels: Labels) -> Labels:
        """Clip to the crop; drop what lies outside, ignore what is cut through or too small to learn."""
        size = float(self.size_px)
        clipped = labels.boxes.clip(0, size)
        area = np.prod(labels.boxes[:, 2:] - labels.boxes[:, :2], axis=1)
        inside = np.prod((clipped[:, 2:] - clipped[:, :2]).clip(0), axis=1) / np.maximum(area, 1e-6)
        outside = ((labels.keypoints[..., :2] < 0) | (labels.keypoints[..., :2] >= size)).any(-1)
        keypoints = labels.keypoints.copy()
        keypoints[outside] = 0
        ignore = labels.ignore | (inside < 0.5) | (labels.sizes < MIN_FACE_PX)
        return Labels(clipped, keypoints, ignore).pick(inside > 0.05)


def _covered(labels: Labels, weight: NDArray[np.float32]) -> Labels:
    """Drop the faces that a paste hides and ignore those that it half hides."""
    height, width = weight.shape
    hidden = np.zeros(len(labels.boxes), np.float32)
    for row, box in enumerate(labels.boxes):
        x0, y0, x1, y1 = np.clip(box.round().astype(int), 0, [width, height, width, height])
        patch = weight[y0 : max(y0 + 1, y1), x0 : max(x0 + 1, x1)]
        hidden[row] = patch.mean() if patch.size else 0.0
    ignore = labels.ignore | (hidden > 0.25)
    return Labels(labels.boxes, labels.keypoints, ignore).pick(hidden < 0.75)


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
