"""Blending: five parts of a face from five portraits, joined band by band, told apart from the mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.geometry import BROWS, NOSE
from streamanon.identity.chart import BRIDGE_TOP, EYES, Chart, mirrored, normalise, region
from streamanon.identity.delegates import TEXTURE_PX
from streamanon.identity.filters import blur, smoothstep
from streamanon.identity.texture import fade_rim
from streamanon.training.gallery.portraits import DARKEST, Face
from streamanon.types import Float

PARTS = ("eyes", "nose", "lower", "cheeks", "forehead")
LEVELS = 6  # of the pyramid: bands of about 1, 2, 4, 8, 16 px and what is coarser
SEAM_PX = 2.0
SHAPE_SEAM_PX = 13.0
#: Of each band, how much of it is made symmetric: half and half takes one-sided light away wholly.
SYMMETRY = (0.0, 0.0, 0.15, 0.4, 0.5, 0.5)
#: Of each band, how many standard deviations of its kind a pixel may differ from the mean, softly: outdoor
#: light and gloss differ more.
LIMITS = ((6.0, 4.0), (4.5, 3.0), (3.2, 2.0), (2.6, 1.6), (2.4, 1.5), (2.2, 1.5))
#: Of each band, how far it is moved away from the mean face of its kind. Fine detail stays as it is.
TEXTURE_SPREAD = (1.0, 1.0, 1.12, 1.25, 1.25, 1.25)
#: The same of shapes, at the outline and inside.
SHAPE_SPREAD = (1.1, 1.35)
INSIDE_PX = (5.0, 35.0)
MAX_SHAPE = 3.2  # standard deviations of any mesh point
#: x
DARK = 12.0  # degrees of ITA: darker faces have a mean of their own
EYES_KEEP = 0.6  # how much of their own brightness the eyes keep where the skin's tone is shifted
NOSE_BASE = 2


@dataclass(frozen=True, eq=False)
class Recipe:
    """``donors`` [5]: the face that each of ``PARTS`` is from; ``turned`` [5]: whether it is mirrored;
    ``tone``: the delegate's, degrees.
    """

    donors: NDArray[np.int64]
    turned: NDArray[np.bool_]
    tone: float


@dataclass(frozen=True, eq=False)
class Kind:
    """All darker or lighter faces of one sex presentation: the mean log texture's bands, and the standard
    deviations of their grey and of their colours; the mean shape [478, 3] and its standard deviation.
    """

    bands: list[Float]
    spreads: list[tuple[Float, Float]]
    shape: Float
    deviation: Float


class Blender:
    """Makes textures and shapes of recipes over ``faces``."""

    def __init__(self, faces: Sequence[Face], chart: Chart) -> None:
        self._faces, self._chart = faces, chart
        self._masks = part_masks(chart)
        self._pyramids = [pyramid(mask) for mask in self._masks]
        self._mirrored = [pyramid(mask[:, ::-1]) for mask in self._masks]
        at = np.round(chart.uv).astype(int)
        wide = np.array([blur(mask, SHAPE_SEAM_PX) for mask in self._masks])[:, at[:, 1], at[:, 0]]
        self._pulls = wide / wide.sum(0)
        inside = smoothstep(chart.depth[at[:, 1], at[:, 0]], *INSIDE_PX)
        self._spread = SHAPE_SPREAD[0] + inside * (SHAPE_SPREAD[1] - SHAPE_SPREAD[0])
        #: How much of the face each part is [5].
        self.shares = np.asarray(self._masks[:, chart.hull].mean(1), np.float32)
        self._openings = blur(region(chart, *EYES).astype(np.float32), 1.0)[..., None]
        self._curve = tone_curve(faces)
        self._kinds = {
            (male, dark): _kind([face for face in faces if _kind_of([face]) == (male, dark)], chart)
            for male in (False, True)
            for dark in (False, True)
        }

    def texture(self, recipe: Recipe) -> Float:
        """[256, 256, 3] float32 RGB 0..1."""
        faces = [self._faces[row] for row in recipe.donors]
        logs = [_log_texture(face, turn) for face, turn in zip(faces, recipe.turned, strict=True)]
        joined = _join([laplacian(log) for log in logs], self._pyramids)
        # A pyramid's levels are no mirror images of a mirrored picture's: their grids begin at one side.
        flipped = _join([laplacian(log[:, ::-1]) for log in logs], self._mirrored)
        kind = self._kinds[_kind_of(faces)]
        mixed = []
        for level in range(LEVELS):
            band = joined[level] + SYMMETRY[level] * (flipped[level] - joined[level])
            apart = TEXTURE_SPREAD[level] * (band - kind.bands[level])
            mixed.append(kind.bands[level] + _limited(apart, kind.spreads[level], LIMITS[level]))
        skin = np.tensordot(self.shares, np.array([face.skin for face in faces]), 1)
        tone = float(self.shares @ np.array([face.tone for face in faces]))
        colour = skin + self._curve(recipe.tone) - self._curve(tone)
        undone = EYES_KEEP * self._openings * (faces[0].skin - colour)
        texture = np.exp(collapse(mixed) + colour + undone).clip(0, 1)
        return fade_rim(np.asarray(texture, np.float32), self._chart)

    def shape(self, recipe: Recipe) -> Float:
        """[478, 3], normalised; moved away from the mean face of its kind."""
        faces = [self._faces[row] for row in recipe.donors]
        kind = self._kinds[_kind_of(faces)]
        shapes = [
            mirrored(face.shape, self._chart) if turn else face.shape
            for face, turn in zip(faces, recipe.turned, strict=True)
        ]
        mixed = np.einsum("kv,kvc->vc", self._pulls, np.array(shapes))
        apart = self._spread[:, None] * (mixed - kind.shape)
        limit = MAX_SHAPE * kind.deviation
        return normalise(np.asarray(kind.shape + apart.clip(-limit, limit), np.float32))


class ToneCurve:
    """The usual log RGB [3] of skin of some tone, by a quadratic through the portraits'."""

    def __init__(self, tones: Float, skins: Float) -> None:
        self._terms = np.linalg.lstsq(self._powers(tones), skins, rcond=None)[0]

    @staticmethod
    def _powers(tones: Float) -> Float:
        scaled = np.asarray(tones, np.float32) / 50
        return np.stack([np.ones_like(scaled), scaled, scaled**2], axis=-1)

    def __call__(self, tone: float) -> Float:
        return np.asarray(self._powers(np.array(tone, np.float32)) @ self._terms, np.float32)


def tone_curve(faces: Sequence[Face]) -> ToneCurve:
    return ToneCurve(np.array([f.tone for f in faces]), np.array([f.skin for f in faces]))


def part_masks(chart: Chart) -> Float:
    """Which part each texture pixel belongs to, [5, 256, 256], in the order of ``PARTS``; soft by a few
    px; they add up to 1.
    """
    rows = np.indices((TEXTURE_PX, TEXTURE_PX))[0]
    eyes = region(chart, BROWS[0] + EYES[0], BROWS[1] + EYES[1], grow_px=9)
    lower = rows > chart.uv[NOSE_BASE, 1] + 4
    nose = region(chart, NOSE, grow_px=5) & ~eyes & ~lower
    forehead = (rows < chart.uv[BRIDGE_TOP, 1]) & ~eyes
    cheeks = ~(eyes | lower | nose | forehead)
    hard = np.array([eyes, nose, lower, cheeks, forehead], np.float32)
    soft = np.array([blur(mask, SEAM_PX) for mask in hard])
    return np.asarray(soft / soft.sum(0), np.float32)


def pyramid(image: Float) -> list[Float]:
    """Gaussian pyramid, fine to coarse."""
    levels = [np.asarray(image, np.float32)]
    for _ in range(LEVELS - 1):
        levels.append(np.asarray(cv2.pyrDown(levels[-1]), np.float32))
    return levels


def laplacian(image: Float) -> list[Float]:
    """Bands of an image [256, 256, 3], fine to coarse; the last holds the rest."""
    levels = pyramid(image)
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


def _kind_of(faces: Sequence[Face]) -> tuple[bool, bool]:
    """Whether faces present as male, and whether they are dark on average."""
    return faces[0].masculine > 0.5, float(np.mean([face.tone for face in faces])) < DARK


def _log_texture(face: Face, turn: bool) -> Float:
    """Log texture less the skin's mean."""
    texture = face.texture[:, ::-1] if turn else face.texture
    return np.log(np.maximum(texture.astype(np.float32), DARKEST)) - face.skin


def _limited(apart: Float, spreads: tuple[Float, Float], limits: tuple[float, float]) -> Float:
    """A band's difference from the mean [h, w, 3], its grey and its colour each limited softly."""
    grey = apart.mean(2, keepdims=True)
    parts = []
    for part, spread, limit in zip((grey, apart - grey), spreads, limits, strict=True):
        bound = limit * spread + 1e-4
        parts.append(bound * np.tanh(part / bound))
    return np.asarray(parts[0] + parts[1], np.float32)


def _join(bands: Sequence[Sequence[Float]], masks: Sequence[Sequence[Float]]) -> list[Float]:
    """The bands of some pictures, each where its mask is."""
    joined = []
    for level in range(LEVELS):
        weights = np.array([mask[level] for mask in masks])[..., None]
        total = (weights * np.array([band[level] for band in bands])).sum(0) / weights.sum(0)
        joined.append(np.asarray(total, np.float32))
    return joined


def _kind(faces: Sequence[Face], chart: Chart) -> Kind:
    """Of the faces and their mirror images."""
    logs = [log for face in faces for log in (_log_texture(face, False), _log_texture(face, True))]
    means = laplacian(np.mean(logs, axis=0, dtype=np.float32))
    squares = [[np.zeros((*mean.shape[:2], 1), np.float32) for mean in means] for _ in range(2)]
    for log in logs:
        for level, band in enumerate(laplacian(log)):
            apart = band - means[level]
            grey = apart.mean(2, keepdims=True)
            for part, sums in zip((grey, apart - grey), squares, strict=True):
                sums[level] += (part**2).mean(2, keepdims=True)
    greys, tints = ([np.sqrt(square / len(logs)) for square in sums] for sums in squares)
    shapes = np.array([face.shape for face in faces] + [mirrored(face.shape, chart) for face in faces])
    return Kind(means, list(zip(greys, tints, strict=True)), shapes.mean(0), shapes.std(0))
