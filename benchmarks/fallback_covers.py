"""Faces as somebody sees them through a cover of few cells: what the attacks of fallbacks.py work on.

A cover is made of the detected box, grown; a face is kept as a crop somewhat larger than that, so that
boxes which tremble, as a detector's do, can be cut from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.audit.gallery import find_photos, largest_face, read_photo
from streamanon.audit.judges import Judge
from streamanon.config import CoverConfig
from streamanon.geometry import grow
from streamanon.training.portraits import read_portraits
from streamanon.types import Float

Crops = NDArray[np.uint8]

#: Crops are this wide, px; what is covered of one that does not tremble is its middle.
CROP_PX, COVERED_PX = 96, 72
#: Frames of one track, or tracks of one person, that an attacker of videos has.
VIDEO_FRAMES = 25
#: How far detected boxes lie from a mesh's extent, in its widths and heights (means over train faces).
MESH_TO_BOX = np.array([-0.02, -0.10, 0.005, -0.005], np.float32)
SETS = ("lfw", "generated", "utk", "congress", "faker")


@dataclass(frozen=True, eq=False)
class Faces:
    """``crops`` [N, 96, 96, 3] RGB; ``people`` [N], names; ``embeddings`` [N, 128] of the bare faces, by dlib's
    ResNet; ``paths``, where they are files.
    """

    crops: Crops
    people: NDArray[np.str_]
    embeddings: Float
    paths: tuple[Path, ...] = ()

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, keep: NDArray[np.bool_]) -> Faces:
        paths = tuple(path for path, wanted in zip(self.paths, keep, strict=bool(self.paths)) if wanted)
        return Faces(self.crops[keep], self.people[keep], self.embeddings[keep], paths)


def crop_around(image: NDArray[np.uint8], box: Float) -> Crops:
    """The crop [96, 96, 3] of a face whose box [4] xyxy was detected; the image's edge goes on."""
    covered = grow(box, CoverConfig().margin)
    wide = grow(covered, (CROP_PX / COVERED_PX - 1) / 2)
    height, width = image.shape[:2]
    x0, y0, x1, y1 = (round(float(value)) for value in wide)
    before, after = (max(0, -y0), max(0, -x0)), (max(0, y1 - height), max(0, x1 - width))
    padded = cv2.copyMakeBorder(image, before[0], after[0], before[1], after[1], cv2.BORDER_REPLICATE)
    cut = padded[y0 + before[0] : y1 + before[0], x0 + before[1] : x1 + before[1]]
    return np.asarray(cv2.resize(cut, (CROP_PX, CROP_PX), interpolation=cv2.INTER_AREA), np.uint8)


def read_people(folder: Path, judge: Judge) -> tuple[list[Path], Crops, list[Float]]:
    """The photos of ``folder/person/photo.jpg`` in which a face is detected, their crops and their boxes."""
    paths, crops, boxes = [], [], []
    for path in find_photos(folder):
        image = read_photo(path)
        pad = max(image.shape) // 4  # faces that fill their photo are found better with something around
        wide = cv2.copyMakeBorder(image, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
        face = largest_face(np.ascontiguousarray(wide, np.uint8), judge)
        if face is not None:
            box = np.asarray(face.box - np.float32(pad), np.float32)
            paths.append(path)
            boxes.append(box)
            crops.append(crop_around(image, box))
    return paths, np.stack(crops), boxes


def read_labelled(data: Path, sets: Sequence[str] = SETS) -> Faces:
    """The train split of the labelled crops. Only ``lfw`` says who is who; elsewhere each is a person."""
    crops, people, embeddings = [], [], []
    for number, portrait in enumerate(read_portraits(data, sets)):
        box, size = portrait.box, np.tile(portrait.box[2:] - portrait.box[:2], 2)
        rgb = np.ascontiguousarray(portrait.image[..., ::-1])
        crops.append(crop_around(rgb, np.asarray(box + MESH_TO_BOX * size, np.float32)))
        people.append(portrait.group if portrait.source == "lfw" else f"{portrait.source} {number}")
        embeddings.append(portrait.embedding)
    return Faces(np.stack(crops), np.array(people), np.stack(embeddings))


def cell_means(crops: Crops, cells: int, shifts: NDArray[np.int64]) -> Crops:
    """Means [N, K, cells, cells, 3] of the crops under K boxes, moved by ``shifts`` [K, 2] or [N, K, 2] px
    from the middle.
    """
    moved = np.broadcast_to(shifts, (len(crops), *shifts.shape[-2:])) + (CROP_PX - COVERED_PX) // 2
    found = np.empty((*moved.shape[:2], cells, cells, 3), np.uint8)
    for row, crop in enumerate(crops):
        for number, (x, y) in enumerate(moved[row]):
            cut = crop[y : y + COVERED_PX, x : x + COVERED_PX]
            found[row, number] = cv2.resize(cut, (cells, cells), interpolation=cv2.INTER_AREA)
    return found


def trembling(rng: np.random.Generator, cells: int, count: int) -> NDArray[np.int64]:
    """Shifts [count, 2] px of a box over all of a cell, as far as the crop goes: the most there is to learn
    from several frames.
    """
    if count == 1:
        return np.zeros((1, 2), np.int64)
    reach = min(COVERED_PX // (2 * cells), (CROP_PX - COVERED_PX) // 2 - 3)
    return rng.integers(-reach, reach + 1, (count, 2))
