"""Random training crops for the face verifier: faces of all sizes, and what only looks like one.

A sample is a square as :mod:`streamanon.detect.verifier_crop` cuts it, drawn at the resolution that a face
of some size would have in a video, degraded there, and enlarged to the network's input.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.detect.verifier_crop import CONTEXT, GREY, SIZE_PX
from streamanon.training.portraits import read_portraits
from streamanon.training.verifier_mining import CORPORA, labels_of, pictures
from streamanon.training.verifier_turned import turned_portraits

PORTRAIT_SETS = ("lfw", "generated", "utk", "congress", "faker", "masked")
#: Portraits are kept no larger than this, px of the face: the network sees a face at 32.
PORTRAIT_PX = 88.0
LEAST_FACE_PX = 8.0
#: Roll up to which a face counts as upright, and from which it does not; between them nothing is shown.
UPRIGHT_DEG, FALLEN_DEG = 50.0, 78.0
#: Ratio of the nose's offset to the distance of the eyes, by yaw of 25 and 60 degrees: a nose stands out by
#: about 0.65 of that distance.
HALF_RATIO, PROFILE_RATIO = 0.30, 1.1
#: How often faces of the scenes are shown by how they are turned (front, half, profile), and if unknown.
TURN_WEIGHTS, UNKNOWN_WEIGHT = (1.0, 2.5, 5.0), 1.5
#: A box that overlaps a face by less is none; by more, but less than ``SURE_IOU``, it is not shown.
NONE_IOU, SURE_IOU = 0.15, 0.42
#: What the samples are of, and how often.
FACES = {"scene": 0.27, "pasted": 0.09, "heads": 0.05, "turned": 0.10}
OTHERS = {"finds": 0.29, "turned finds": 0.05, "fallen": 0.09, "parts": 0.12, "anywhere": 0.04}
MADE_OF_FACES = ("fallen", "parts")
#: How often a labelled face is shown: at least so often, and so much more by how doubtful the last network
#: found it, up to a doubt from which on labels are often wrong.
SURE_WEIGHT, DOUBT_WEIGHT, MOST_DOUBT = 0.5, 4.0, 0.8
#: How often what is no face is shown besides the last network's probability for it, and up to which.
LEAST_HARD, MOST_HARD = 0.03, 0.8
#: How much more often finds of these sets are shown: hands, fists and objects spoil pictures most.
SET_WEIGHTS = {"hands": 2.0, "samples": 1.5}
#: How many squares are dark, out of focus and noisy at once, as an audience before a stage is.
DIM = 0.08
#: How many squares have something before the face, and in how many of those a find: often a hand.
OCCLUDED, BY_FIND = 0.2, 0.4
#: FEI's views by how the head is turned.
FEI_TURNS = {1: 2, 2: 1, 3: 1, 8: 1, 9: 1, 10: 2}
#: One person in so many of FEI's is kept for measuring.
FEI_HELD_OUT = 5

#: What people saw who looked at the network's own doubts in train: "face" is no background (a face that
#: nobody had labelled, or not looked at), "behind" the back of a head, "nothing" a label that is no face.
#: In val, what cannot be told counts neither way and is among them, too.
CORRECTIONS = Path(__file__).with_name("verifier_corrections.json")
#: How many squares end at a picture's edge besides those that do.
EDGES = 0.12

Image = NDArray[np.uint8]
Boxes = NDArray[np.float32]


@dataclass(frozen=True)
class Sample:
    """``image`` [S, S, 3] uint8 RGB; ``face`` 1 or 0; ``turn`` index into ``TURNS`` or -1 if unknown;
    ``box`` [4] and ``keypoints`` [5, 2] in shares of the square, NaN where unknown.
    """

    image: Image
    face: int
    turn: int
    box: NDArray[np.float32]
    keypoints: NDArray[np.float32]


@dataclass(frozen=True)
class Subject:
    """Something to show: a box [4] in a picture, with the keypoints [5, 2] of a face or NaN."""

    picture: int
    box: NDArray[np.float32]
    keypoints: NDArray[np.float32]
    turn: int = -1
    quarter: int = 0


@dataclass
class Pictures:
    """Pictures as pyramids of halves, and the boxes [N, 4] of all that may be a face in each."""

    levels: list[list[Image]] = field(default_factory=list)
    faces: list[Boxes] = field(default_factory=list)

    def add(self, image: Image, faces: Boxes) -> int:
        levels = [image]
        while min(levels[-1].shape[:2]) > 96:
            levels.append(
                np.asarray(
                    cv2.resize(levels[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8
                )
            )
        self.levels.append(levels)
        self.faces.append(faces)
        return len(self.levels) - 1

    def warp(
        self, picture: int, matrix: NDArray[np.float64], size: int, border: int | None = None
    ) -> Image:
        """The picture through an affine map [2, 3] into [size, size, 3]; grey outside, or by cv2's
        ``border``.
        """
        scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
        levels = self.levels[picture]
        level = min(len(levels) - 1, max(0, round(-np.log2(max(scale, 1e-6)) - 0.15)))
        through = matrix.copy()
        if level:
            factors = [
                a / b for a, b in zip(levels[0].shape[1::-1], levels[level].shape[1::-1], strict=True)
            ]
            through[:, :2] *= factors
            through[:, 2] += matrix[:, :2] @ ((np.array(factors) - 1) / 2)
        mode = cv2.BORDER_CONSTANT if border is None else border
        warped = cv2.warpAffine(
            levels[level],
            through,
            (size, size),
            flags=cv2.INTER_LINEAR,
            borderMode=mode,
            borderValue=(GREY,) * 3,
        )
        return np.asarray(warped, np.uint8)


def turn_of(keypoints: NDArray[np.float32], width: float) -> int:
    """Front 0, half 1 or profile 2 by five keypoints [5, 2] of a face of some width px; -1 if unknown."""
    if not np.isfinite(keypoints).all():
        return -1
    eyes = keypoints[1] - keypoints[0]
    distance = max(float(np.hypot(*eyes)), 0.12 * width)
    along = eyes / max(float(np.hypot(*eyes)), 1e-6)
    ratio = abs(float((keypoints[2] - keypoints[:2].mean(0)) @ along)) / distance
    return 0 if ratio < HALF_RATIO else 1 if ratio < PROFILE_RATIO else 2


def roll_of(keypoints: NDArray[np.float32]) -> float:
    """How far a face leans, degrees clockwise; 0 if unknown."""
    if not np.isfinite(keypoints).all():
        return 0.0
    down = keypoints[3:].mean(0) - keypoints[:2].mean(0)
    return float(np.degrees(np.arctan2(-down[0], down[1])))


def square_matrix(
    centre: NDArray, side: float, degrees: float, flipped: bool, size: int
) -> NDArray[np.float64]:
    """The map [2, 3] of a square around ``centre`` px, turned clockwise, onto ``size`` px (pixel centres
    whole).
    """
    angle = np.deg2rad(degrees)
    linear = size / side * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if flipped:
        linear = linear @ np.diag([-1.0, 1.0])
    return np.column_stack([linear, np.full(2, (size - 1) / 2) - linear @ centre])


def moved_box(box: NDArray, matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    """A box through an affine map: that of its inscribed ellipse."""
    centre = matrix[:, :2] @ ((box[:2] + box[2:]) / 2) + matrix[:, 2]
    reach = np.sqrt(matrix[:, :2] ** 2 @ ((box[2:] - box[:2]) / 2) ** 2)
    return np.concatenate([centre - reach, centre + reach]).astype(np.float32)


def best_overlap(box: NDArray, others: Boxes) -> float:
    """The largest intersection over union of a box [4] with others [N, 4]."""
    if not len(others):
        return 0.0
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    common = (high - low).clip(0).prod(axis=1)
    areas = (box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(axis=1)
    return float((common / np.maximum(areas - common, 1e-6)).max())


def corrected(box: NDArray, corrections: dict, name: str, kind: str) -> bool:
    """Whether a box [4] of a picture has been looked at and called so."""
    boxes = corrections.get(name, {}).get(kind, [])
    return best_overlap(box, np.array(boxes, np.float32).reshape(-1, 4)) > 0.7


class Deck:
    """Things to draw from by weight."""

    def __init__(self, items: Sequence[Subject], weights: Sequence[float] | NDArray | None = None) -> None:
        self.items = items
        even = np.ones(len(items)) if weights is None else np.asarray(weights, np.float64)
        self._sums = np.cumsum(even)

    def __len__(self) -> int:
        return len(self.items)

    def draw(self, rng: np.random.Generator) -> Subject:
        row = int(np.searchsorted(self._sums, rng.random() * self._sums[-1], side="right"))
        return self.items[min(row, len(self.items) - 1)]


class VerifierSampler:
    """Draws samples; the same seed gives the same ones.

    ``finds``: folder of :mod:`verifier_mining`'s files. A column ``hard`` [N] in them, if there, weighs the
    finds; ``faces.npz``, if there, the labelled faces (:func:`evaluate_verifier.rescore` writes both).
    """

    def __init__(self, data: Path, finds: Path | None, seed: int, limit: int = 1_000_000) -> None:
        self.rng = np.random.default_rng(seed)
        self.store = Pictures()
        self.decks: dict[str, Deck] = {}
        self._places: dict[str, int] = {}
        self._read_scenes(data, finds, limit)
        self._read_portraits(data, finds, limit)
        self._read_heads(data)
        if finds is not None:
            self._read_finds(data, finds)
        self._choose_kinds()

    def _choose_kinds(self) -> None:
        """The kinds of samples that can be drawn; fallen faces and parts are made of the faces'."""
        shares = {**FACES, **OTHERS}
        self._kinds = [k for k in shares if k in MADE_OF_FACES or len(self.decks.get(k, ()))]
        self._kind_sums = np.cumsum([shares[kind] for kind in self._kinds])

    def _read_scenes(self, data: Path, finds: Path | None, limit: int) -> None:
        faces, weights, rest = [], [], []
        doubts = read_doubts(finds)
        corrections = json.loads(CORRECTIONS.read_text(encoding="utf-8"))
        for corpus in CORPORA:
            for count, (entry, rgb) in enumerate(pictures(data, corpus)):
                if entry["split"] != "train" or count >= limit:
                    continue
                boxes, keypoints, sure = labels_of(entry)
                number = self.store.add(rgb, boxes)
                self._places[entry["file"]] = number
                sides = np.sqrt((boxes[:, 2:] - boxes[:, :2]).clip(0).prod(axis=1))
                for row in np.flatnonzero(sure & (sides >= LEAST_FACE_PX)):
                    wrong = corrected(boxes[row], corrections, entry["file"], "nothing")
                    if wrong or abs(roll_of(keypoints[row])) > UPRIGHT_DEG:
                        continue
                    turn = turn_of(keypoints[row], float(boxes[row, 2] - boxes[row, 0]))
                    faces.append(Subject(number, boxes[row], keypoints[row], turn))
                    doubt = doubts[entry["file"]][row] if entry["file"] in doubts else 0.0
                    shown = SURE_WEIGHT + DOUBT_WEIGHT * min(float(doubt), MOST_DOUBT)
                    weights.append(shown * (TURN_WEIGHTS[turn] if turn >= 0 else UNKNOWN_WEIGHT))
                whole = np.array([0, 0, rgb.shape[1], rgb.shape[0]], np.float32)
                rest.append(Subject(number, whole, np.full((5, 2), np.nan, np.float32)))
        self.decks["scene"] = Deck(faces, weights)
        self.decks["anywhere"] = Deck(rest)
        self._backgrounds = len(rest)

    def _read_portraits(self, data: Path, finds: Path | None, limit: int) -> None:
        faces, weights = [], []
        for count, portrait in enumerate(read_portraits(data, PORTRAIT_SETS)):
            if count >= limit:
                break
            box = portrait.box
            shrink = min(1.0, PORTRAIT_PX / float(np.sqrt((box[2:] - box[:2]).prod())))
            image = cv2.resize(portrait.image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
            number = self.store.add(np.ascontiguousarray(image[..., ::-1]), (box * shrink)[None])
            points = portrait.keypoints * shrink
            faces.append(
                Subject(number, box * shrink, points, turn_of(points, float(box[2] - box[0]) * shrink))
            )
            weights.append(0.6 if portrait.source == "masked" else 1.0)
        self.decks["pasted"] = Deck(faces, weights)
        turned = []
        for image, box, points, turn in turned_portraits(finds) if finds is not None else ():
            number = self.store.add(image, box[None])
            turned.append(Subject(number, box, points, turn))
        self.decks["turned"] = Deck(turned, [TURN_WEIGHTS[s.turn] for s in turned])

    def _read_heads(self, data: Path) -> None:
        faces, weights = [], []
        for image, box, view, _person in read_heads(data, held_out=False):
            turn = FEI_TURNS.get(view, 0)
            number = self.store.add(image, box[None])
            faces.append(Subject(number, box, np.full((5, 2), np.nan, np.float32), turn))
            weights.append(TURN_WEIGHTS[turn])
        self.decks["heads"] = Deck(faces, weights)

    def _read_finds(self, data: Path, folder: Path) -> None:
        nothing: list[Subject] = []
        turned: list[Subject] = []
        hard: list[float] = []
        turned_hard: list[float] = []
        corrections = json.loads(CORRECTIONS.read_text(encoding="utf-8"))
        for name, table in read_finds(folder):
            number = self._places.get(name)
            if number is None:
                continue
            for row in np.flatnonzero(no_face(table)):
                box, quarter = table["box"][row], int(table["turn"][row])
                if not quarter and corrected(box, corrections, name, "face"):
                    continue
                behind = name.startswith("heads_") or corrected(box, corrections, name, "behind")
                unknown = np.full((5, 2), np.nan, np.float32)
                subject = Subject(number, box, unknown, 3 if behind and not quarter else -1, quarter)
                weight = float(table["hard"][row]) if "hard" in table else float(table["score"][row])
                weight = (LEAST_HARD + min(weight, MOST_HARD)) * SET_WEIGHTS.get(name.split("_")[0], 1.0)
                (turned if subject.quarter else nothing).append(subject)
                (turned_hard if subject.quarter else hard).append(weight)
        self.decks["finds"] = Deck(nothing, hard)
        self.decks["turned finds"] = Deck(turned, turned_hard)

    def draw(self) -> Sample:
        """One sample."""
        while True:
            roll = self.rng.random() * self._kind_sums[-1]
            kind = self._kinds[int(np.searchsorted(self._kind_sums, roll, side="right"))]
            sample = self._draw(kind)
            if sample is not None:
                return sample

    def draw_of(self, kind: str) -> Sample:
        """One sample of a kind."""
        while True:
            sample = self._draw(kind)
            if sample is not None:
                return sample

    def _draw(self, kind: str) -> Sample | None:
        if kind in FACES:
            subject = self.decks[kind].draw(self.rng)
            return self._face(subject, kind, self.rng.normal(0, 13) if self.rng.random() > 0.1 else None)
        if kind == "fallen":
            source = ("scene", "pasted", "turned", "heads")[self.rng.choice(4, p=(0.35, 0.3, 0.25, 0.1))]
            source = source if len(self.decks[source]) else "scene"
            return self._face(self.decks[source].draw(self.rng), source, self._fallen())
        if kind == "parts":
            source = ("scene", "pasted", "turned")[self.rng.integers(3)]
            subject = self.decks[source if len(self.decks[source]) else "scene"].draw(self.rng)
            return self._part(subject, source)
        subject = self.decks[kind].draw(self.rng)
        return self._anywhere(subject) if kind == "anywhere" else self._find(subject)

    def _fallen(self) -> float:
        """Degrees by which a face is turned so that it is none: a quarter, or upside down."""
        nominal = self.rng.choice([90.0, 180.0, 180.0, 180.0, 270.0])
        return float(nominal + np.clip(self.rng.normal(0, 12), -12, 40 if nominal == 180 else 12))

    def _face(self, subject: Subject, kind: str, degrees: float | None) -> Sample | None:
        rng = self.rng
        turned = rng.uniform(-UPRIGHT_DEG, UPRIGHT_DEG) if degrees is None else degrees
        flipped = bool(rng.random() < 0.5)
        lean = -roll_of(subject.keypoints) if flipped else roll_of(subject.keypoints)
        roll = abs((lean + turned + 180) % 360 - 180)
        if UPRIGHT_DEG < roll < FALLEN_DEG:
            return None
        face = int(roll <= UPRIGHT_DEG)
        span = subject.box[2:] - subject.box[:2]
        stretch = np.exp(rng.normal(0, 0.08))
        given = span * np.exp(rng.uniform(-0.22, 0.22)) * [stretch, 1 / stretch]
        centre = (subject.box[:2] + subject.box[2:]) / 2 + rng.uniform(-0.2, 0.2, 2) * span
        around = np.concatenate([centre - given / 2, centre + given / 2])
        if best_overlap(around, subject.box[None]) < SURE_IOU:
            return None
        return self._render(subject, around, turned, kind, face, float(np.sqrt(span.prod())), flipped)

    def _part(self, subject: Subject, kind: str) -> Sample | None:
        """A box beside, inside or around a face that overlaps it too little."""
        rng = self.rng
        span = subject.box[2:] - subject.box[:2]
        centre = (subject.box[:2] + subject.box[2:]) / 2
        way = rng.random()
        if way < 0.4:  # inside: an eye, a cheek, a chin
            given = span * np.exp(rng.uniform(np.log(0.15), np.log(0.5)))
            centre = centre + rng.uniform(-0.55, 0.55, 2) * span
        elif way < 0.6:  # around: head and shoulders
            given = span * np.exp(rng.uniform(np.log(2.2), np.log(5)))
            centre = centre + rng.uniform(-0.8, 0.8, 2) * span
        else:  # beside: an ear, a neck, hair, a shoulder
            given = span * np.exp(rng.uniform(np.log(0.4), np.log(1.6)))
            away = rng.uniform(0, 2 * np.pi)
            centre = centre + rng.uniform(0.6, 1.3) * span * [np.cos(away), np.sin(away)]
        around = np.concatenate([centre - given / 2, centre + given / 2])
        if best_overlap(around, self.store.faces[subject.picture]) > NONE_IOU or given.min() < 6:
            return None
        return self._render(subject, around, rng.normal(0, 13), kind, 0, float(np.sqrt(given.prod())))

    def _find(self, subject: Subject) -> Sample | None:
        rng = self.rng
        span = subject.box[2:] - subject.box[:2]
        given = span * np.exp(rng.uniform(-0.3, 0.3)) * np.exp(rng.normal(0, 0.08, 2))
        centre = (subject.box[:2] + subject.box[2:]) / 2 + rng.uniform(-0.25, 0.25, 2) * span
        around = np.concatenate([centre - given / 2, centre + given / 2])
        if subject.quarter == 0 and best_overlap(around, self.store.faces[subject.picture]) > NONE_IOU:
            return None
        lean = rng.normal(0, 11) if subject.quarter else rng.normal(0, 16)
        degrees = lean - 90.0 * subject.quarter
        return self._render(subject, around, degrees, "scene", 0, float(np.sqrt(span.prod())))

    def _anywhere(self, subject: Subject) -> Sample | None:
        rng = self.rng
        width, height = subject.box[2:]
        side = float(np.exp(rng.uniform(np.log(8), np.log(0.5 * max(width, height)))))
        centre = rng.uniform(0, 1, 2) * [width, height]
        around = np.concatenate([centre - side / 2, centre + side / 2])
        if best_overlap(around, self.store.faces[subject.picture]) > NONE_IOU:
            return None
        return self._render(subject, around, rng.uniform(-180, 180), "scene", 0, side)

    def _render(
        self,
        subject: Subject,
        around: NDArray,
        degrees: float,
        kind: str,
        face: int,
        native: float,
        flipped: bool | None = None,
    ) -> Sample:
        """The square around a box, at the resolution of a face of some size, degraded and enlarged."""
        rng = self.rng
        shown = float(np.exp(rng.uniform(np.log(LEAST_FACE_PX), np.log(64))))
        if rng.random() < 0.35:
            shown = native
        shown = float(np.clip(shown, 7.0, min(1.4 * max(native, LEAST_FACE_PX), 48.0)))
        size = round(CONTEXT * shown)
        side = CONTEXT * float(np.sqrt((around[2:] - around[:2]).prod()))
        flipped = bool(rng.random() < 0.5) if flipped is None else flipped
        centre = (around[:2] + around[2:]) / 2
        matrix = square_matrix(centre, side, degrees, flipped, size)
        if kind == "scene":
            image = self.store.warp(subject.picture, matrix, size)
        else:
            image = self._pasted(subject, matrix, size, kind)
        unit = matrix / size
        unit[:, 2] += 0.5 / size
        box = moved_box(subject.box, unit)
        keypoints = (subject.keypoints @ unit[:, :2].T + unit[:, 2]).astype(np.float32)
        if flipped:
            keypoints = keypoints[[1, 0, 2, 4, 3]]
        if rng.random() < OCCLUDED:
            image = self._occluded(image)
        image = degrade(image, rng)
        if rng.random() < EDGES:
            image = self._cut(image)
        if size != SIZE_PX:
            how = cv2.INTER_LINEAR if size < SIZE_PX else cv2.INTER_AREA
            image = np.asarray(cv2.resize(image, (SIZE_PX, SIZE_PX), interpolation=how), np.uint8)
        if not face:
            box, keypoints = np.full(4, np.nan, np.float32), np.full((5, 2), np.nan, np.float32)
        return Sample(image, face, subject.turn if face or subject.turn == 3 else -1, box, keypoints)

    def _pasted(self, subject: Subject, matrix: NDArray[np.float64], size: int, kind: str) -> Image:
        """A portrait or a small head on the background of some scene."""
        rng = self.rng
        portrait = self.store.levels[subject.picture][0]
        height, width = portrait.shape[:2]
        ground = self._ground(size)
        front = self.store.warp(subject.picture, matrix, size, cv2.BORDER_REPLICATE)
        soft = max(1.0, 0.04 * width)
        if rng.random() < 0.4 or kind == "heads":  # the whole crop with soft edges
            if kind == "heads" and rng.random() < 0.6:
                mask = _not_ground(portrait)
            else:
                mask = np.zeros((height, width), np.float32)
                edge = int(soft)
                mask[edge : height - edge, edge : width - edge] = 1
        else:  # head and shoulders, about
            x0, y0, x1, y1 = subject.box
            mask = np.zeros((height, width), np.float32)
            middle = ((x0 + x1) / 2, 0.6 * y0 + 0.4 * y1)
            grown = rng.uniform(0.62, 0.85)
            cv2.ellipse(mask, (middle, (2 * grown * (x1 - x0), 2.1 * grown * (y1 - y0)), 0), 1.0, -1)
            if rng.random() < 0.7:
                low = int(y1 + 0.1 * (y1 - y0))
                mask[low:, int(max(0, x0 - 0.6 * (x1 - x0))) : int(x1 + 0.6 * (x1 - x0))] = 1
        blurred = cv2.GaussianBlur(mask, (0, 0), soft * rng.uniform(0.3, 1.0))
        alpha = cv2.warpAffine(blurred, matrix, (size, size), flags=cv2.INTER_LINEAR)[..., None]
        return np.asarray(ground * (1 - alpha) + front * alpha, np.uint8)

    def _ground(self, size: int) -> Image:
        """Some place of a scene, [size, size, 3]."""
        rng = self.rng
        number = int(rng.integers(self._backgrounds))
        height, width = self.store.levels[number][0].shape[:2]
        side = float(np.exp(rng.uniform(np.log(24), np.log(min(height, width)))))
        centre = rng.uniform(0.1, 0.9, 2) * [width, height]
        matrix = square_matrix(centre, side, 0.0, bool(rng.random() < 0.5), size)
        return self.store.warp(number, matrix, size, cv2.BORDER_REPLICATE)

    def _around_find(self, size: int) -> Image:
        """What was found and is no face, close up, [size, size, 3]."""
        subject = self.decks["finds"].draw(self.rng)
        side = float((subject.box[2:] - subject.box[:2]).max()) * self.rng.uniform(0.9, 1.6)
        degrees, flipped = float(self.rng.normal(0, 40)), bool(self.rng.random() < 0.5)
        matrix = square_matrix((subject.box[:2] + subject.box[2:]) / 2, side, degrees, flipped, size)
        return self.store.warp(subject.picture, matrix, size, cv2.BORDER_REPLICATE)

    def _cut(self, image: Image) -> Image:
        """The square as if the picture ended at one side of it, or at two."""
        rng, size = self.rng, image.shape[0]
        cut = image.copy()
        for quarter in rng.choice(4, 2 if rng.random() < 0.25 else 1, replace=False):
            np.rot90(cut, quarter)[: int(size * rng.uniform(0.05, 0.34))] = GREY
        return cut

    def _occluded(self, image: Image) -> Image:
        """Something over an edge of the face, from another scene or of one colour."""
        rng, size = self.rng, image.shape[0]
        mask = np.zeros(image.shape[:2], np.uint8)
        away = rng.uniform(0, 2 * np.pi)
        reach = size * rng.uniform(0.26, 0.4)
        centre = (size / 2 + reach * np.cos(away), size / 2 + reach * np.sin(away))
        axes = (size * rng.uniform(0.15, 0.6), size * rng.uniform(0.12, 0.3))
        cv2.ellipse(mask, (centre, axes, float(rng.uniform(0, 180))), 255, -1)
        way = rng.random()
        if way < BY_FIND and len(self.decks.get("finds", ())):
            other = self._around_find(size)
        elif way < 0.7:
            other = self._ground(size)
        else:
            other = np.full_like(image, rng.integers(0, 256, 3))
        return np.where(mask[..., None] > 0, other, image)


def _not_ground(image: Image) -> NDArray[np.float32]:
    """How much of each pixel of a small head is head: what differs from the plain ground."""
    corners = np.concatenate([image[:6, :5].reshape(-1, 3), image[:6, -5:].reshape(-1, 3)]).astype(
        np.float32
    )
    apart = np.abs(image.astype(np.float32) - np.median(corners, axis=0)).max(axis=2)
    solid = (apart > 28).astype(np.uint8)
    closed = cv2.morphologyEx(solid, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    return cv2.dilate(closed, np.ones((2, 2), np.uint8)).astype(np.float32)


def read_heads(data: Path, held_out: bool) -> list[tuple[Image, NDArray[np.float32], int, int]]:
    """FEI's heads: RGB [28, 28, 3], a face's box [4] by how the head is turned, view 1 to 14, person.

    Nobody drew boxes: they are the median of what the detector finds in the enlarged heads, by view.
    """
    with tarfile.open(data / "heads_fei.tar") as archive:
        members = {Path(m.name).name: archive.extractfile(m) for m in archive if m.isfile()}
        packed, index = members["jpegs.bin"], members["index.json"]
        assert packed is not None
        assert index is not None
        blob, places = packed.read(), json.loads(index.read())
    heads = []
    for name, (offset, length) in places.items():
        person, view = (int(v) for v in Path(name).stem.split("-"))
        if (person % FEI_HELD_OUT == 0) != held_out or view == 14:
            continue
        packed_one = np.frombuffer(blob[offset : offset + length], np.uint8)
        image = np.asarray(cv2.imdecode(packed_one, cv2.IMREAD_COLOR), np.uint8)
        heads.append((np.ascontiguousarray(image[..., ::-1]), fei_box(view), view, person))
    return heads


#: Boxes of the faces in FEI's 28 px pictures: left and right by view, px; all reach from 6 to 20.5.
FEI_SIDES = {
    1: (6.8, 16.0),
    2: (8.0, 17.2),
    3: (8.6, 18.0),
    4: (8.7, 18.1),
    5: (9.2, 18.7),
    6: (10.0, 19.1),
    7: (10.5, 19.5),
    8: (10.8, 19.7),
    9: (11.3, 20.3),
    10: (12.3, 21.8),
}
FEI_FRONTAL, FEI_TOP, FEI_BOTTOM = (9.6, 18.6), 6.0, 20.5


def fei_box(view: int) -> NDArray[np.float32]:
    left, right = FEI_SIDES.get(view, FEI_FRONTAL)
    return np.array([left, FEI_TOP, right, FEI_BOTTOM], np.float32)


def read_doubts(folder: Path | None) -> dict[str, NDArray[np.float32]]:
    """By picture, how doubtful each labelled face was to the last network, 0 to 1; empty if unknown."""
    if folder is None or not (folder / "faces.npz").is_file():
        return {}
    with np.load(folder / "faces.npz") as file:
        return {name: file[name] for name in file.files}


def read_finds(folder: Path) -> list[tuple[str, dict[str, NDArray]]]:
    """The mined finds picture by picture: its file's name and the columns of its rows."""
    found = []
    for path in sorted(folder.glob("scenes*.npz")):
        with np.load(path) as file:
            table = {key: file[key] for key in file.files}
        names = table.pop("names")
        starts = np.searchsorted(table["picture"], np.arange(len(names) + 1))
        for number, name in enumerate(names):
            rows = slice(int(starts[number]), int(starts[number + 1]))
            if rows.stop > rows.start:
                found.append((str(name), {key: column[rows] for key, column in table.items()}))
    return found


def no_face(table: dict[str, NDArray]) -> NDArray[np.bool_]:
    """Which finds [N] show no face for sure: they overlap no label, or are turned over one, and no judge's
    face.
    """
    sides = np.sqrt((table["box"][:, 2:] - table["box"][:, :2]).clip(0).prod(axis=1))
    apart = (table["iou"] < NONE_IOU) & ((table["turn"] == 0) | (table["iou"] < 0.05))
    turned_over = (table["turn"] > 0) & (table["iou"] >= SURE_IOU)
    return (apart | turned_over) & (table["judge"] < 0.25) & (sides >= 6)


def degrade(image: Image, rng: np.random.Generator) -> Image:
    """Light, colour, blur, noise and compression as cameras and codecs add them; [S, S, 3] uint8, S
    small.
    """
    if rng.random() < DIM:
        return _dim(image, rng)
    out = cv2.LUT(image, _light(rng)) if rng.random() < 0.85 else image
    size = image.shape[0]
    if rng.random() < 0.25:
        grey = cv2.cvtColor(out, cv2.COLOR_RGB2GRAY)[..., None]
        mix = rng.uniform(0, 1) if rng.random() < 0.5 else 1.0
        out = (out * (1 - mix) + grey * mix).astype(np.uint8)
    way = rng.random()
    if way < 0.15:
        out = cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.4, 0.4 + size / 45)))
    elif way < 0.25:
        length = int(rng.integers(2, max(4, size // 8)))
        kernel = np.zeros((length, length), np.float32)
        ends = rng.integers(0, length, 2)
        cv2.line(kernel, (int(ends[0]), 0), (int(ends[1]), length - 1), 1.0)
        kernel = kernel if rng.random() < 0.5 else np.ascontiguousarray(kernel.T)
        out = cv2.filter2D(out, -1, kernel / kernel.sum())
    elif way < 0.4:
        small = max(12, int(size * rng.uniform(0.4, 0.9)))
        out = cv2.resize(cv2.resize(out, (small, small), interpolation=cv2.INTER_AREA), (size, size))
    if rng.random() < 0.25:
        shape = (size, size, 1 if rng.random() < 0.5 else 3)
        noise = rng.standard_normal(shape, np.float32) * np.float32(rng.uniform(2, 14))
        out = np.clip(out + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.35:
        _, packed = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))])
        out = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
    return np.asarray(out, np.uint8)


def _dim(image: Image, rng: np.random.Generator) -> Image:
    """Dark, out of focus, noisy and compressed at once; [S, S, 3] uint8."""
    size = image.shape[0]
    tint = np.exp(rng.normal(0, 0.15, 3)).astype(np.float32)
    blurred = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(size / 50, size / 16)))
    out = (blurred / np.float32(255)) ** np.float32(rng.uniform(0.9, 1.5))
    out *= tint * np.float32(255 * rng.uniform(0.12, 0.5))
    out += rng.standard_normal(out.shape, np.float32) * np.float32(rng.uniform(0.5, 5))
    out += np.float32(rng.uniform(0, 14))
    _, packed = cv2.imencode(
        ".jpg", out.clip(0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 95))]
    )
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)


def _light(rng: np.random.Generator) -> Image:
    """A table [1, 256, 3] of gamma, gain, contrast and tint."""
    ramp = np.arange(256, dtype=np.float32) / 255
    gamma = np.exp(rng.normal(0, 0.25)) * (rng.uniform(1.5, 3.0) if rng.random() < 0.1 else 1.0)
    gain = np.exp(rng.normal(0, 0.2)) * (rng.uniform(0.15, 0.6) if rng.random() < 0.16 else 1.0)
    curve = (ramp**gamma - 0.5) * np.exp(rng.normal(0, 0.15)) + 0.5
    if rng.random() < 0.08:  # haze, or against the light
        curve = (curve - 0.5) * rng.uniform(0.3, 0.8) + rng.uniform(0.4, 0.65)
    tint = np.exp(rng.normal(0, 0.07 if rng.random() < 0.85 else 0.3, 3))
    return np.clip(255 * gain * curve[:, None] * tint[None], 0, 255).astype(np.uint8)[None]
