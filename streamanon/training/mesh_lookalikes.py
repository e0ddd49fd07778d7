"""What is taken for a face and is none, so that the face mesh's confidence learns to tell it: what the
detector finds where there is no face, and places beside and inside faces.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamanon.training.verifier_mining import CORPORA, labels_of, pictures
from streamanon.training.verifier_samples import (
    CORRECTIONS,
    NONE_IOU,
    best_overlap,
    corrected,
    no_face,
    read_finds,
)

#: Smaller finds and faces are not shown, px: the root of the box's area.
LEAST_PX = 14.0
#: A find is shown by the detector's score and so much more.
LEAST_WEIGHT = 0.1
#: One scene of ``train`` in so many is held out, for choosing thresholds.
HELD_OUT = 8
#: How much of a picture about a find is kept, in sizes of its box to each side of its middle: crops are
#: about 1.7 sizes wide, and jittered.
REACH = 2.0
#: The size of what is shown beside a face, in sizes of the face; inside it; how far off, likewise.
BESIDE_SIZE, INSIDE_SIZE = (0.5, 1.4), (0.3, 0.55)
BESIDE_OFF, INSIDE_OFF = (0.75, 1.3), (0.0, 0.4)
INSIDE = 0.3
#: Where a face's keypoints lie in its box, for labels without any.
USUAL_KEYPOINTS = ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.33, 0.79), (0.67, 0.79))

Image = NDArray[np.uint8]
Boxes = NDArray[np.float32]


@dataclass(frozen=True)
class Lookalike:
    """``image`` [H, W, 3] BGR and ``keypoints`` [5, 2] px in it, as a detector gives them."""

    image: Image
    keypoints: NDArray[np.float32]


@dataclass(frozen=True)
class LabelledFace:
    """``box`` [4] and ``keypoints`` [5, 2] px in ``image`` [H, W, 3] BGR; ``faces`` [N, 4]: all there."""

    image: Image
    box: NDArray[np.float32]
    keypoints: NDArray[np.float32]
    faces: Boxes


class Lookalikes:
    """The look-alikes of the scenes of split ``train``, but for those held out."""

    def __init__(self, finds: list[Lookalike], scores: list[float], faces: list[LabelledFace]) -> None:
        self.finds, self._faces = finds, faces
        self._sums = np.cumsum(LEAST_WEIGHT + np.array(scores))

    def find(self, rng: np.random.Generator) -> Lookalike:
        """One of the detector's finds, those of a high score more often."""
        place = int(np.searchsorted(self._sums, rng.random() * self._sums[-1], side="right"))
        return self.finds[min(place, len(self.finds) - 1)]

    def beside(self, rng: np.random.Generator) -> Lookalike:
        """A place that overlaps a face little: an ear, hair, the neck, an eye, a cheek."""
        while True:
            made = moved(self._faces[rng.integers(len(self._faces))], rng)
            if made is not None:
                return made


def moved(face: LabelledFace, rng: np.random.Generator) -> Lookalike | None:
    """A face's keypoints moved beside it, or drawn in; None if they came to lie on a face."""
    inside = rng.random() < INSIDE
    sizes, off = (INSIDE_SIZE, INSIDE_OFF) if inside else (BESIDE_SIZE, BESIDE_OFF)
    size, angle = float(rng.uniform(*sizes)), float(rng.uniform(0, 2 * np.pi))
    span, middle = face.box[2:] - face.box[:2], (face.box[:2] + face.box[2:]) / 2
    centre = middle + rng.uniform(*off) * span * [np.cos(angle), np.sin(angle)]
    box = np.concatenate([centre - size * span / 2, centre + size * span / 2])
    height, width = face.image.shape[:2]
    if best_overlap(box, face.faces) > (INSIDE_SIZE[1] ** 2 if inside else NONE_IOU):
        return None
    if (centre < 0).any() or (centre >= [width, height]).any() or size * span.min() < LEAST_PX / 2:
        return None
    return part(face.image, box, centre + size * (face.keypoints - middle))


def part(image: Image, box: NDArray, keypoints: NDArray) -> Lookalike:
    """The part of a picture about a box, with its keypoints."""
    centre, reach = (box[:2] + box[2:]) / 2, REACH * float(np.sqrt((box[2:] - box[:2]).prod()))
    low = np.floor(centre - reach).clip(0).astype(int)
    high = np.ceil(centre + reach).astype(int)
    return Lookalike(image[low[1] : high[1], low[0] : high[0]], (keypoints - low).astype(np.float32))


def is_held_out(file: str) -> bool:
    """Whether a scene of ``train`` is held out, by its file's name."""
    return zlib.crc32(file.encode()) % HELD_OUT == 0


def read_lookalikes(data: Path, folder: Path, split: str = "train", held_out: bool = False) -> Lookalikes:
    """``folder``: of :mod:`verifier_mining`; ``held_out``: those of the held-out scenes instead (in other
    splits none are).
    """
    tables = dict(read_finds(folder))
    corrections = json.loads(CORRECTIONS.read_text(encoding="utf-8"))
    finds, scores, faces = [], [], []
    for corpus in CORPORA:
        for entry, rgb in pictures(data, corpus):
            name = entry["file"]
            if entry["split"] != split or (split == "train" and is_held_out(name) != held_out):
                continue
            image = np.ascontiguousarray(rgb[..., ::-1])
            boxes, keypoints, sure = labels_of(entry)
            for box, points in zip(boxes[sure], keypoints[sure], strict=True):
                if size_of(box) >= LEAST_PX:
                    faces.append(LabelledFace(image, box, known_or_usual(points, box), boxes))
            table = tables.get(name)
            if table is None:
                continue
            for row in np.flatnonzero(no_face(table) & (table["turn"] == 0)):
                box = table["box"][row]
                if size_of(box) >= LEAST_PX and not corrected(box, corrections, name, "face"):
                    finds.append(part(image, box, table["keypoints"][row]))
                    scores.append(float(table["score"][row]))
    return Lookalikes(finds, scores, faces)


def size_of(box: NDArray) -> float:
    return float(np.sqrt((box[2:] - box[:2]).clip(0).prod()))


def known_or_usual(keypoints: NDArray, box: NDArray) -> NDArray[np.float32]:
    """A label's keypoints [5, 2], or where a face from the front has them in its box."""
    if np.isfinite(keypoints).all():
        return np.asarray(keypoints, np.float32)
    return (box[:2] + np.array(USUAL_KEYPOINTS) * (box[2:] - box[:2])).astype(np.float32)
