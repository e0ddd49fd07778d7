"""A delegate of one portrait, or of two: coarse shade and shape of both, fine detail of the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.gallery.delegates import FINE_PX
from streamanon.gallery.filters import blur
from streamanon.gallery.uv_chart import Chart, mirrored, normalise, region
from streamanon.mesh.landmarks import BROWS, EYES
from streamanon.training.gallery.folds import softer_folds
from streamanon.training.gallery.portraits import Face
from streamanon.types import Float

#: How much of the second portrait each band has, fine (1 px of 512) to coarse: two photographs' details
#: added up are neither's.
SECOND = (0.0, 0.0, 0.05, 0.25, 0.4, 0.45, 0.45, 0.45)
#: And its shape.
SECOND_SHAPE = 0.45
#: How far around eyes and brows they reach, px of 256, and how softly.
EYES_GROW_PX, EYES_SOFT_PX = 8, 4.0
DARKEST = 0.02  # before a logarithm
#: What is coarser than that (sigma, px of 512) is the same on the left and on the right.
SIDED_SIGMA_PX = 4.0


@dataclass(frozen=True, eq=False)
class Recipe:
    """``first`` gives most of it and is free; ``second``: None for the portrait itself. ``turned``: whether
    the first, or the second, is mirrored; ``eyes``: whether eyes and brows are the second's wholly.
    """

    first: int
    second: int | None = None
    turned: tuple[bool, bool] = (False, False)
    eyes: bool = False

    @property
    def shares(self) -> tuple[float, float]:
        return (1.0, 0.0) if self.second is None else (1 - SECOND_SHAPE, SECOND_SHAPE)


def make(recipe: Recipe, faces: Sequence[Face], chart: Chart) -> tuple[NDArray[np.uint8], Float]:
    """Texture [512, 512, 3] uint8 RGB and shape [478, 3]."""
    texture, shape = _turned(faces[recipe.first], recipe.turned[0], chart)
    if recipe.second is not None:
        texture2, shape2 = _turned(faces[recipe.second], recipe.turned[1], chart)
        texture = morph(texture, texture2, eyes_mask(chart) if recipe.eyes else None)
        shape = normalise(shape + SECOND_SHAPE * (shape2 - shape))
    return softer_folds(even_sides(texture), age_of(recipe, faces), chart), shape


def even_sides(texture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A texture [512, 512, 3] without the shadows and shine of a light from one side, and with as much of a
    beard on either: the mean of both sides in log colour, but for fine detail.
    """
    tone = np.log(texture.astype(np.float32) / 255 + DARKEST)
    low = cv2.GaussianBlur(tone, (0, 0), SIDED_SIGMA_PX)
    even = np.exp(tone - (low - low[:, ::-1]) / 2) - DARKEST
    return np.rint(255 * even.clip(0, 1)).astype(np.uint8)


def age_of(recipe: Recipe, faces: Sequence[Face]) -> float:
    """Years. Wrinkles are fine detail, and the first portrait's."""
    own = faces[recipe.first].age
    return own if recipe.second is None else 0.65 * own + 0.35 * faces[recipe.second].age


def morph(first: NDArray[np.uint8], second: NDArray[np.uint8], wholly: Float | None) -> NDArray[np.uint8]:
    """Two textures [512, 512, 3] joined band by band, in log colour; where the mask ``wholly`` [512, 512]
    is 1 all but the coarsest shade is the second's.
    """
    bands = [laplacian(np.log(one.astype(np.float32) / 255 + DARKEST)) for one in (first, second)]
    joined = []
    for level, (a, b) in enumerate(zip(*bands, strict=True)):
        share: Float | float = SECOND[level]
        if wholly is not None and level < len(SECOND) - 2:
            size = (a.shape[1], a.shape[0])
            mask = cv2.resize(wholly, size, interpolation=cv2.INTER_AREA)[..., None]
            share = np.asarray(SECOND[level] + (1 - SECOND[level]) * mask, np.float32)
        joined.append(np.asarray(a + share * (b - a), np.float32))
    mixed = np.exp(collapse(joined)) - DARKEST
    return np.rint(255 * mixed.clip(0, 1)).astype(np.uint8)


def eyes_mask(chart: Chart) -> Float:
    """Where eyes and brows are [512, 512], softly."""
    mask = region(chart, BROWS[0] + EYES[0], BROWS[1] + EYES[1], grow_px=EYES_GROW_PX)
    soft = blur(mask.astype(np.float32), EYES_SOFT_PX)
    return np.asarray(cv2.resize(soft, (FINE_PX, FINE_PX), interpolation=cv2.INTER_LINEAR), np.float32)


def laplacian(image: Float) -> list[Float]:
    """Bands of an image [512, 512, 3], fine to coarse; the last holds the rest."""
    levels = [np.asarray(image, np.float32)]
    for _ in range(len(SECOND) - 1):
        levels.append(np.asarray(cv2.pyrDown(levels[-1]), np.float32))
    fine = [level - cv2.pyrUp(below) for level, below in pairwise(levels)]
    return [*(np.asarray(band, np.float32) for band in fine), levels[-1]]


def collapse(bands: Sequence[Float]) -> Float:
    """What ``laplacian`` took apart."""
    image = bands[-1]
    for band in reversed(bands[:-1]):
        image = np.asarray(cv2.pyrUp(image) + band, np.float32)
    return image


def folds_over(shape: Float, chart: Chart) -> bool:
    """Whether any sizeable triangle of a frontal shape [478, 3] is turned over."""
    a, b, c = shape[chart.triangles][..., :2].transpose(1, 0, 2)
    ab, ac = b - a, c - a
    area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    inner = chart.depth[tuple(np.round(chart.uv[chart.triangles].mean(1)).astype(int).T[::-1])] > 24
    return bool((area[inner] < -2e-3).any())


def _turned(face: Face, turn: bool, chart: Chart) -> tuple[NDArray[np.uint8], Float]:
    if not turn:
        return face.texture, face.shape
    return np.ascontiguousarray(face.texture[:, ::-1]), mirrored(face.shape, chart)
