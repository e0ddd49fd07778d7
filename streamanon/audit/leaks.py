"""Whether a face of the original can be seen in the other video.

The face's detail (what is finer than about a tenth of it) is looked for in the same place, a few pixels
around it and a few frames before and after. Correlation does not mind contrast, light or another codec.
What the codec changes is measured in the surroundings, which are not covered: a face that differs no more
than they do was not covered either; a generated face with the same expression differs more.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.audit.pairing import Image, Pair
from streamanon.geometry import grow
from streamanon.types import Float

#: Faces are compared at this many pixels at most, and no smaller than that.
MOST_PX, LEAST_PX = 32, 8
#: The face within its box, as shares of the sides: without the corners, which show what is behind.
INNER = (0.12, 0.10, 0.88, 0.94)
#: How far around a box its surroundings go, in box sizes; and how far faces reach beyond their boxes.
SURROUNDINGS, REACH = 0.8, 0.35
#: Below this correlation a face is never seen.
LEAST_LIKENESS = 0.6
#: What of a seen face's detail may differ: so many times what differs in its surroundings, and this share.
SLACK, SHARE = 5.0, 0.08
#: At least this share of the surroundings is taken to be untouched.
UNTOUCHED = 0.4
#: Detail of a face is what a blur takes away: its sigma, of the face's size, and px.
DETAIL_SIGMA, DETAIL_SIGMA_PX = 0.1, 0.5
#: A region with less detail than that (standard deviation, levels) correlates with nothing.
EMPTY = 1e-3
#: Detail of less than this (standard deviation, levels) is noise.
FLAT = 1.0
#: A flat face counts as seen where it changed by less than this, mean level.
UNCHANGED = 2.5


@dataclass(frozen=True)
class Exposure:
    """How much of a face can be seen: ``likeness``, the correlation -1..1 of its detail; ``needed``, what
    it has to reach to count as seen; ``change``, mean absolute difference in levels.
    """

    likeness: float
    needed: float
    change: float

    @property
    def seen(self) -> bool:
        return self.likeness >= self.needed


HIDDEN = Exposure(0.0, 1.0, 255.0)


def to_grey(image: Image) -> Float:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.float32)


def exposures(pair: Pair, boxes: Float) -> list[Exposure]:
    """One for each box [N, 4]: in whichever frame around the face can be seen best."""
    original = to_grey(pair.original)
    others = [to_grey(other) for other in pair.others]
    return [_exposure(original, others, box, boxes) for box in boxes]


def _exposure(original: Float, others: list[Float], box: Float, boxes: Float) -> Exposure:
    if not others:
        return HIDDEN
    view = _View(box)
    here, there = view.cut(original), [view.cut(other) for other in others]
    change = min(float(np.abs(view.inner(here) - view.inner(cut)).mean()) for cut in there)
    fine, finest = view.detail(here), [view.detail(cut) for cut in there]
    # Cut first: else strong detail around a faint face would be blurred into it.
    slip = view.slip
    face = view.detail(view.inner(here, slip))[slip:-slip, slip:-slip]
    if face.std() < FLAT:
        return Exposure(1.0 if change < UNCHANGED else 0.0, 1.0, change)
    context = view.context(boxes, original.shape)
    # The least of all: in frames of another time the surroundings may have moved.
    differs = min(_unexplained(fine, other, context, max(4, view.face_px // 4)) for other in finest)
    regions = [view.detail(view.inner(cut, slip)) for cut in there]
    found = [Exposure(_found(face, region), _needed(region, differs), change) for region in regions]
    return max(found, key=lambda e: (e.seen, e.likeness))


def _needed(region: Float, differs: float) -> float:
    """The correlation at which what a face does not explain of ``region`` is what codecs do."""
    share = 1 - SLACK * differs / max(float(region.var()), FLAT**2)
    return max(LEAST_LIKENESS, float(np.sqrt(max(0.0, share) / (1 + SHARE))))


class _View:
    """A face and its surroundings, scaled so that all faces are compared at a like size."""

    def __init__(self, box: Float) -> None:
        self._box = box
        size = float(np.sqrt(max(1.0, float(np.prod(box[2:] - box[:2])))))
        self.face_px = int(np.clip(size, LEAST_PX, MOST_PX))
        self.scale = self.face_px / size
        self.slip = max(1, self.face_px // 12)
        corners = grow(box, SURROUNDINGS)
        self._origin = np.floor(corners[:2])
        self._size = np.maximum(1, np.ceil((corners[2:] - self._origin) * self.scale)).astype(int)

    def cut(self, frame: Float) -> Float:
        """The region [h, w] of a frame; beyond the frame its border is repeated."""
        x0, y0 = self._origin.astype(int)
        across, down = (int(np.ceil(n / self.scale)) for n in self._size)
        height, width = frame.shape
        columns = np.clip(np.arange(x0, x0 + across), 0, width - 1)
        rows = np.clip(np.arange(y0, y0 + down), 0, height - 1)
        region = frame[rows[:, None], columns[None]]
        method = cv2.INTER_AREA if self.scale < 1 else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(region, self._size.tolist(), interpolation=method), np.float32)

    def detail(self, cut: Float) -> Float:
        return np.asarray(
            cut - cv2.GaussianBlur(cut, (0, 0), DETAIL_SIGMA * self.face_px + DETAIL_SIGMA_PX), np.float32
        )

    def inner(self, cut: Float, slip: int = 0) -> Float:
        x0, y0, x1, y1 = self._local(self._box, INNER)
        height, width = cut.shape
        return cut[max(0, y0 - slip) : min(height, y1 + slip), max(0, x0 - slip) : min(width, x1 + slip)]

    def context(self, boxes: Float, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """Where there is no face, and a frame: [h, w]."""
        inside = np.zeros(self._size[::-1], bool)
        frame = np.array([0, 0, shape[1], shape[0]], np.float32)
        x0, y0, x1, y1 = self._local(frame, (0, 0, 1, 1))
        inside[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)] = True
        for box in boxes:
            x0, y0, x1, y1 = self._local(grow(box, REACH), (0, 0, 1, 1))
            inside[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)] = False
        return inside

    def _local(self, box: Float, part: tuple[float, float, float, float]) -> list[int]:
        shares = np.array(part).reshape(2, 2)
        corners = box[:2] + shares * (box[2:] - box[:2])
        return [round(float(v)) for v in ((corners - self._origin) * self.scale).ravel()]


def _found(face: Float, region: Float) -> float:
    """The best normalised correlation of a face within a slightly larger region."""
    if any(f > r for f, r in zip(face.shape, region.shape, strict=True)) or region.std() < EMPTY:
        return 0.0
    scores = cv2.matchTemplate(region, face, cv2.TM_CCOEFF_NORMED)
    return float(np.nan_to_num(scores, posinf=0.0, neginf=0.0).max())


def _unexplained(here: Float, there: Float, context: NDArray[np.bool_], tile: int) -> float:
    """The variance in the surroundings' detail that the original's does not explain, levels squared.

    From their tiles, so that other things that were covered there do not count.
    """
    found = []
    for y in range(0, context.shape[0] - tile + 1, tile):
        for x in range(0, context.shape[1] - tile + 1, tile):
            part = np.s_[y : y + tile, x : x + tile]
            a, b = here[part] - here[part].mean(), there[part] - there[part].mean()
            if context[part].all() and a.std() >= FLAT:
                found.append(float(((b * b).sum() - (a * b).sum() ** 2 / (a * a).sum()) / a.size))
    return float(np.quantile(found, UNTOUCHED)) if len(found) >= 4 else 0.0
