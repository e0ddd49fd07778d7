"""The face verifier: a small network that classifies each detection together with its surroundings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamanon.detect.verifier_crop import (
    DOUBTFUL_LOGIT,
    SIZE_PX,
    as_input,
    mean_logits,
    mirrored_boxes,
    read_verdicts,
    squares,
    turned_square,
    widened,
    without_neighbours,
)
from streamanon.errors import ModelError
from streamanon.geometry import sizes_of
from streamanon.media.coloured_light import without_cast
from streamanon.media.yuv import crop, small_rgb
from streamanon.runtime.backends import Backend
from streamanon.runtime.models import Engines
from streamanon.types import Float, Picture

#: Batches are filled up to one of these sizes, as runtimes compile once per shape. On a CPU a larger batch
#: costs as much a square as one of four.
BATCH_SIZES = (1, 4)
#: Outputs per detection: face logit, head turn, box, five keypoints; and the largest valid magnitude.
OUTPUT_WIDTHS, MAX_OUTPUT = (1, 4, 4, 10), 1e4
#: The part of a picture around a square that is read for it, px: bilinear scaling reaches this far.
MARGIN_PX = 2


@dataclass(frozen=True)
class Verified:
    """The verifier's results for N detections: ``probabilities`` [N] float32 that each is a face in the
    orientation it was verified in; ``turned`` [N, 4] of ``verifier_crop.TURNS``, given a head;
    ``boxes`` [N, 4] xyxy px, finer boxes, and ``keypoints`` [N, 5, 2] px, in the picture.
    """

    probabilities: Float
    turned: Float
    boxes: Float
    keypoints: Float


class Verifier:
    """The face verifier with its calibration. Raises :class:`ModelError` where the manifest has none."""

    def __init__(self, backend: Backend, engines: Engines) -> None:
        self._model = backend.load(engines.path("face-verifier"), precise=True, threads=1)
        self._calibration = _read_calibration(engines.models["face-verifier"])

    def verify(self, picture: Picture, boxes: Float, turns: NDArray[np.int64]) -> Verified:
        """Results for boxes [N, 4] xyxy px, verified in the picture rotated by ``turns`` [N] quarter turns
        counter-clockwise. Raises ValueError for invalid outputs.
        """
        seen = self.input_of(picture, boxes, turns)
        verdicts = read_verdicts(self._run(seen), boxes, turns.tolist())
        logits = self._settled(picture, boxes, turns, verdicts.logits)
        logits = np.maximum(logits, self._alone(picture, boxes, turns, seen, verdicts.logits))
        sure = calibrated(logits, sizes_of(boxes), self._calibration)
        return Verified(sure, verdicts.turned, verdicts.boxes, verdicts.keypoints)

    def _settled(self, picture: Picture, boxes: Float, turns: NDArray[np.int64], logits: Float) -> Float:
        """The logits [N], those in doubt as means with the mirrored squares'."""
        rows = np.flatnonzero(np.abs(logits) < DOUBTFUL_LOGIT)
        if not len(rows):
            return logits
        again = mirrored_boxes(boxes[rows])
        seen = self.input_of(picture, again.reshape(-1, 4), np.tile(turns[rows], len(again)))
        mirrored = self._run(self.mirrored(seen))[0].reshape(len(again), -1)
        settled = logits.copy()
        settled[rows] = mean_logits(logits[rows], mirrored)
        return settled

    def _alone(
        self, picture: Picture, boxes: Float, turns: NDArray[np.int64], seen: Float, logits: Float
    ) -> Float:
        """The logits [N] of squares ``seen`` [N, 3, S, S] in doubt that the border of a picture within the
        picture crosses, without what lies beyond it: the mean with the mirror image. -inf for the others.
        """
        found = np.full(len(logits), -np.inf, np.float32)
        rows = np.flatnonzero(np.abs(logits) < DOUBTFUL_LOGIT)
        if not len(rows):
            return found
        wide = self.input_of(picture, widened(boxes[rows]), turns[rows])
        alone, cut = self.without_neighbours(seen[rows], wide)
        if len(cut):
            both = [self._run(one)[0].reshape(-1) for one in (alone, self.mirrored(alone))]
            found[rows[cut]] = np.mean(both, axis=0)
        return found

    def input_of(self, picture: Picture, boxes: Float, turns: NDArray[np.int64]) -> Float:
        """What the network sees of boxes [N, 4]: [N, 3, S, S]."""
        return crops(picture, boxes, turns)

    def mirrored(self, squares_: Float) -> Float:
        """Squares [N, 3, S, S], left and right exchanged."""
        return np.ascontiguousarray(squares_[..., ::-1])

    def without_neighbours(self, squares_: Float, wide: Float) -> tuple[Float, NDArray[np.int64]]:
        """As :func:`streamanon.detect.verifier_crop.without_neighbours`."""
        return without_neighbours(squares_, wide)

    def _run(self, squares_: Float) -> list[Float]:
        """Squares [N, 3, S, S] -> the network's outputs [N, ...], in batches of ``BATCH_SIZES``."""
        parts: list[list[Float]] = []
        start = 0
        while start < len(squares_) or not parts:
            left = len(squares_) - start
            size = next((size for size in BATCH_SIZES if size >= left), BATCH_SIZES[-1])
            batch = np.zeros((size, 3, SIZE_PX, SIZE_PX), np.float32)
            count = min(size, left)
            batch[:count] = squares_[start : start + count]
            outputs = self._model.run(batch)
            check(outputs, size)
            parts.append([one[:count] for one in outputs])
            start += size
        return [np.concatenate(output) for output in zip(*parts, strict=True)]


def check(outputs: list[Float], count: int) -> None:
    """Raises ValueError for outputs of a wrong shape, type or magnitude."""
    expected = [(count, width) for width in OUTPUT_WIDTHS]
    if [one.shape for one in outputs] != expected or any(one.dtype != np.float32 for one in outputs):
        raise ValueError("the verifier's outputs have a wrong shape or type")
    if not all((np.abs(one) < MAX_OUTPUT).all() for one in outputs):  # false for NaN
        raise ValueError("the verifier's outputs are not valid numbers")


def crops(picture: Picture, boxes: Float, turns: NDArray[np.int64]) -> Float:
    """The network's input [N, 3, S, S] float32 RGB 0..1; only what it needs of the picture becomes RGB."""
    made = np.empty((len(boxes), SIZE_PX, SIZE_PX, 3), np.uint8)
    centres, sides = squares(boxes)
    for row, (centre, side, turn) in enumerate(zip(centres, sides.tolist(), turns.tolist(), strict=True)):
        region = region_of_square(picture, centre, side)
        part = crop(picture, region)
        rgb = without_cast(small_rgb(part, part.width, part.height))
        made[row] = turned_square(rgb, centre - np.array(region[:2], np.float32), side, turn)
    return as_input(made)


def region_of_square(picture: Picture, centre: Float, side: float) -> tuple[int, int, int, int]:
    """The part of a picture, on its chroma grid, that holds a square; at least a pixel of it."""
    reach = side / 2 + MARGIN_PX + max(1, int(side / SIZE_PX))
    edges = []
    sizes = (picture.width, picture.height)
    for middle, length, step in zip(centre.tolist(), sizes, picture.chroma_step, strict=True):
        first = min(max(math.floor(middle - reach), 0), length - 1) // step * step
        last = min(max(math.ceil(middle + reach) + 1, first + 1), length)
        edges.append((first, min(-(-last // step) * step, length)))
    (x0, x1), (y0, y1) = edges
    return x0, y0, x1, y1


def calibrated(logits: Float, sizes: Float, table: list[tuple[float, Float]]) -> Float:
    """Probabilities [N] of logits [N], by the ``sizes`` [N] of their detections in px: linear between the
    knots [K, 2] of the last row (from px, knots) of the ``table`` that begins at or below the size, and
    constant beyond their ends.
    """
    found = np.zeros(len(logits), np.float32)
    begins = np.array([begin for begin, _ in table])
    numbers = np.clip(np.searchsorted(begins, sizes, side="right") - 1, 0, len(table) - 1)
    for number, (_, knots) in enumerate(table):
        rows = numbers == number
        found[rows] = np.interp(logits[rows], knots[:, 0], knots[:, 1])
    return found


def _read_calibration(entry: dict[str, Any]) -> list[tuple[float, Float]]:
    try:
        table = [
            (float(row["from_px"]), np.array(row["knots"], np.float32)) for row in entry["calibration"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError("the face verifier has no calibration: install streamanon again") from error
    if not table or any(knots.ndim != 2 or knots.shape[1] != 2 for _, knots in table):
        raise ModelError("the face verifier's calibration cannot be read: install streamanon again")
    return table
