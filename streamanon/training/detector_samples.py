"""Random training crops for the face detector: scenes, with portraits and heads pasted in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.mesh.landmarks import KEYPOINTS, SKIN_POINTS
from streamanon.training.mined import Mined, read_mined
from streamanon.training.occluders import Occluders
from streamanon.training.portraits import read_portraits
from streamanon.training.scenes import Labels, Scene, degrade, read_scenes, transform_labels
from streamanon.training.verifier_samples import (
    PORTRAIT_SETS,
    TURN_WEIGHTS,
    UNKNOWN_WEIGHT,
    read_heads,
    turn_of,
)
from streamanon.training.verifier_turned import turned_meshes

#: How often pictures of a set are drawn, beside 1.
SET_WEIGHTS = {
    "facemask-cc0": 0.4,
    "eden-mask": 0.4,
    "eden-cctv": 0.4,
    "wider": 2.0,
    "bazaar": 2.0,
    "hands": 0.35,
    "signs": 0.2,
    "textures": 0.4,
    "lobby": 0.5,
}
FILL = 114
#: A face of which less lies in the crop is ignored.
LEAST_INSIDE = 0.4
MIN_FACE_PX = 5.0
#: How many of the crops show something that was taken for a face.
LOOKALIKES = 0.12
#: How much more often a face is shown that the detector missed.
MISSED_WEIGHT = 2.0
#: How many bear large print: round letters were taken for faces.
TEXTS = 0.05
LETTERS = "aaabcdeeeefgghijklmnoooopqrssstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0356899@&  "
FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX)
#: Portraits turned by their meshes, and heads of FEI, among what is pasted.
TURNED, HEADS = 0.3, 0.08
#: How many pasted portraits have something before the face, and how many a cap's peak.
OCCLUDED, PEAKS = 0.2, 0.06
#: How many pasted heads are cut by an edge, as of people who walk in, and how much of the face is left.
CUT, CUT_INSIDE = 0.12, (0.45, 0.9)


@dataclass(frozen=True)
class Pasted:
    """A head to paste: image [H, W, 3] uint8 BGR, mesh [478, 2] px or none, box [4], keypoints [5, 3]."""

    image: NDArray[np.uint8]
    points: NDArray[np.float32]
    box: NDArray[np.float32]
    keypoints: NDArray[np.float32]


class CropSampler:
    """Draws augmented square crops with labels; the same seed gives the same crops.

    ``mined``: folder of what the detector made of the scenes (:mod:`mined`); ``turned``: of turned
    portraits (:mod:`verifier_turned`).
    """

    def __init__(
        self, data: Path, size_px: int, seed: int, mined: Path | None = None, turned: Path | None = None
    ) -> None:
        self.rng = np.random.default_rng(seed)
        self.size_px = size_px
        self._read_scenes(data, {} if mined is None else read_mined(mined))
        self._read_portraits(data)
        self.turned = _turned(turned) if turned is not None else []
        self.heads = _heads(data)
        self.occluders = Occluders(lambda rng: self.portraits[rng.integers(len(self.portraits))].image)

    def _read_scenes(self, data: Path, mined: dict[str, Mined]) -> None:
        scenes = read_scenes(data, "train") + read_scenes(data, "train", "scenes_more")
        self.scenes = [_with_mined(scene, mined.get(scene.file)) for scene in scenes]
        weights = np.array([SET_WEIGHTS.get(scene.source, 1.0) for scene in scenes])
        self.scene_weights = np.cumsum(weights / weights.sum())
        self.lookalikes = [(n, box) for n, s in enumerate(self.scenes) for box in s.lookalikes]
        self.face_weights = [_face_weights(s, mined.get(s.file)) for s in self.scenes]

    def _read_portraits(self, data: Path) -> None:
        self.portraits, weights = [], []
        for portrait in read_portraits(data, PORTRAIT_SETS):
            keypoints = np.column_stack([portrait.keypoints, np.ones(5)]).astype(np.float32)
            self.portraits.append(Pasted(portrait.image, portrait.points, portrait.box, keypoints))
            weights.append(0.25 if portrait.source == "masked" else 1.0)
        self.portrait_weights = np.cumsum(np.array(weights) / sum(weights))

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
        number = min(int(np.searchsorted(self.scene_weights, rng.random())), len(self.scenes) - 1)
        scene, weights = self.scenes[number], self.face_weights[number]
        if weights.any() and rng.random() < 0.7:
            return scene, scene.labels.boxes[rng.choice(len(weights), p=weights / weights.sum())]
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
        head = self._head()
        source, box = head.image, head.box
        wanted = np.exp(rng.uniform(np.log(8), np.log(64 if rng.random() < 0.7 else 1.1 * size)))
        if not len(head.points):
            wanted = min(wanted, 30.0)
        scale = wanted / float(np.sqrt((box[2] - box[0]) * (box[3] - box[1])))
        centre = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2], np.float64)
        target = _middle(wanted, size, rng)
        matrix, flipped = self._affine(centre, scale, target, spread=16)
        alpha = self._alpha(head.image, box)
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
        pasted = Labels(box[None], head.keypoints[None], np.zeros(1, bool))
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

    def _head(self) -> Pasted:
        """Any portrait, a turned one, or a head of FEI; some behind a hand, hair, a mask or a peak."""
        rng = self.rng
        roll = rng.random()
        if roll < TURNED and self.turned:
            head = self.turned[rng.integers(len(self.turned))]
        elif roll > 1 - HEADS:
            return self.heads[rng.integers(len(self.heads))]
        else:
            head = self.portraits[int(np.searchsorted(self.portrait_weights, rng.random()))]
        roll = rng.random()
        if roll < OCCLUDED:
            return replace(head, image=self.occluders.draw(head.image, head.points, rng)[0])
        return replace(head, image=_under_peak(head, rng)) if roll > 1 - PEAKS else head

    def _alpha(self, image: NDArray[np.uint8], box: NDArray[np.float32]) -> NDArray[np.float32]:
        """Either the whole crop, or a soft ellipse around the head."""
        height, width = image.shape[:2]
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
        ignore = labels.ignore | (inside < LEAST_INSIDE) | (labels.sizes < MIN_FACE_PX)
        return Labels(clipped, keypoints, ignore).pick(inside > 0.05)


def _middle(face_px: float, size_px: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Where the middle of a pasted face lies: anywhere, or so near an edge that this cuts the face."""
    middle = rng.uniform(0.03, 0.97, 2) * size_px
    if rng.random() < CUT:
        to_edge = face_px * (rng.uniform(*CUT_INSIDE) - 0.5)
        middle[rng.integers(2)] = to_edge if rng.random() < 0.5 else size_px - to_edge
    return middle


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


def _with_mined(scene: Scene, mined: Mined | None) -> Scene:
    """The scene with what was taken for a face, and with what may be one ignored."""
    if mined is None:
        return scene
    lookalikes = np.concatenate([scene.lookalikes, mined.lookalikes]).astype(np.float32)
    count = len(mined.doubtful)
    doubtful = Labels(mined.doubtful, np.zeros((count, 5, 3), np.float32), np.ones(count, bool))
    human = np.concatenate([scene.human, np.zeros(count, bool)])
    return replace(scene, labels=Labels.join([scene.labels, doubtful]), lookalikes=lookalikes, human=human)


def _face_weights(scene: Scene, mined: Mined | None) -> NDArray[np.float64]:
    """How often each label is shown: turned and missed faces more often, ignored ones never."""
    labels = scene.labels
    weights = np.zeros(len(labels.boxes))
    for row in np.flatnonzero(~labels.ignore):
        known = labels.keypoints[row, :, 2].all()
        turn = turn_of(labels.keypoints[row, :, :2], float(np.ptp(labels.boxes[row, ::2]))) if known else -1
        weights[row] = TURN_WEIGHTS[turn] if turn >= 0 else UNKNOWN_WEIGHT
        if mined is not None and row < len(mined.missed):
            weights[row] *= 1 + MISSED_WEIGHT * mined.missed[row]
    return weights


def _turned(folder: Path) -> list[Pasted]:
    heads = []
    for _, image, mesh, _ in turned_meshes(folder):
        points = mesh[:, :2]
        face = points[:SKIN_POINTS]
        box = np.concatenate([face.min(0), face.max(0)]).astype(np.float32)
        keypoints = np.column_stack([points[list(KEYPOINTS)], np.ones(5)]).astype(np.float32)
        heads.append(Pasted(np.ascontiguousarray(image[..., ::-1]), points, box, keypoints))
    return heads


def _heads(data: Path) -> list[Pasted]:
    none, unknown = np.zeros((0, 2), np.float32), np.zeros((5, 3), np.float32)
    return [
        Pasted(np.ascontiguousarray(image[..., ::-1]), none, box, unknown)
        for image, box, _, _ in read_heads(data, held_out=False)
    ]


def _under_peak(head: Pasted, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The head's picture with a cap, whose peak hides the face down to the brows or below the eyes."""
    x0, y0, x1, y1 = head.box
    width, height = x1 - x0, y1 - y0
    level = y0 + height * rng.uniform(0.12, 0.45)
    tilt, bow = rng.uniform(-0.15, 0.15) * width, rng.uniform(0, 0.12) * height
    across = np.linspace(-0.2, 1.2, 12)
    edge = level + tilt * (across - 0.5) - bow * (1 - (2 * across - 1) ** 2)
    rim = np.column_stack([x0 + across * width, edge])
    top = np.array([[x1 + 0.1 * width, y0 - 0.5 * height], [x0 - 0.1 * width, y0 - 0.5 * height]])
    capped = head.image.copy()
    colour = tuple(int(c) for c in rng.integers(0, 256 if rng.random() < 0.4 else 90, 3))
    cv2.fillPoly(capped, [np.concatenate([rim, top]).round().astype(np.int32)], colour, cv2.LINE_AA)
    return capped
