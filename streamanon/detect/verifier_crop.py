"""Input and output of the face verifier. NumPy and OpenCV only.

The verifier's input is a square around a box: its centre is the box's, its side twice the root of the box's
area, so that hair, shoulders and hands are inside. The square is scaled to ``SIZE_PX``; what lies outside
the picture is grey (``GREY``). Detections in a rotated picture are cropped with the same rotation, as
the network knows upright faces only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
#: Side of the network's input, px.
SIZE_PX = 64
#: Side of the square, in roots of the box's area.
CONTEXT = 2.0
GREY = 114
LEAST_SIDE = 4.0
#: Where the network is less sure than this it is shown the square again, mirrored, with these parts of its
#: surroundings; the mean of the three logits counts.
DOUBTFUL_LOGIT, MIRRORED_CONTEXTS = 4.0, (0.85, 1.18)
#: The border of a picture within the picture (a tile of a video call, a split screen): along a row of the
#: square this share of the pixels differs by this much (of 1) from one side of it to the other, and that is
#: so many times what it is this many rows beside. Borders are looked for up to this share of the square
#: from its sides, where no eyes, nose or mouth lie.
BORDER_SHARE, BORDER_STEP, BORDER_PEAK = 0.75, 0.05, 2.0
BORDER_BESIDE, BORDER_REACH = (3, 4, 5), 0.375
#: In a square so many times as wide such a border goes on; the edge of an arm does not.
WIDER = 2.0
#: How a face is turned, in the order of the network's output: yaw below about 25°, below about 60°, more,
#: and the back of a head (which is no face).
TURNS = ("front", "half", "profile", "behind")


@dataclass(frozen=True)
class Verdicts:
    """Results for N detections: ``logits`` [N] face or not (not calibrated), ``turned`` [N, 4]
    probabilities of ``TURNS`` given a head, ``boxes`` [N, 4] xyxy px finer boxes and ``keypoints`` [N, 5,
    2] px (left eye, right eye, nose, left and right mouth corner as seen when upright), both in the
    picture.
    """

    logits: Float
    turned: Float
    boxes: Float
    keypoints: Float


def squares(boxes: Float) -> tuple[Float, Float]:
    """Centres [N, 2] and sides [N] px of the squares around boxes [N, 4] xyxy px (pixel centres are
    whole).
    """
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    spans = (boxes[:, 2:] - boxes[:, :2]).clip(1.0)
    sides = np.maximum(CONTEXT * np.sqrt(spans.prod(axis=1)), LEAST_SIDE)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    return centres.astype(np.float32), sides.astype(np.float32)


def verifier_crops(rgb: NDArray[np.uint8], boxes: Float, turns: Sequence[int] | int = 0) -> Float:
    """The network's input [N, 3, S, S] float32 RGB 0..1 for boxes [N, 4] xyxy px of a picture [H, W, 3]
    uint8.

    ``turns``: by how many quarters counter-clockwise the picture was turned for the detection.
    Large squares are averaged down by a whole number first, so that nothing aliases.
    """
    centres, sides = squares(boxes)
    quarters = np.broadcast_to(np.asarray(turns, np.int64), (len(sides),))
    crops = np.empty((len(sides), SIZE_PX, SIZE_PX, 3), np.uint8)
    for row, (centre, side, turn) in enumerate(zip(centres, sides, quarters, strict=True)):
        crops[row] = turned_square(rgb, centre, float(side), int(turn))
    return as_input(crops)


def as_input(crops: NDArray[np.uint8]) -> Float:
    """Squares [N, S, S, 3] as the network takes them: [N, 3, S, S] 0..1."""
    return np.multiply(crops.transpose(0, 3, 1, 2), np.float32(1 / 255), order="C")


def mirrored_boxes(boxes: Float) -> Float:
    """Boxes [2, N, 4] about the same middles as ``boxes`` [N, 4], whose squares are shown mirrored."""
    return np.stack([_scaled(boxes, factor) for factor in MIRRORED_CONTEXTS])


def widened(boxes: Float) -> Float:
    """Boxes [N, 4] about the same middles as ``boxes`` [N, 4], ``WIDER`` times as wide and high."""
    return _scaled(boxes, WIDER)


def _scaled(boxes: Float, factor: float) -> Float:
    middles, halves = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    return np.hstack([middles - factor * halves, middles + factor * halves]).astype(np.float32)


def mean_logits(logits: Float, mirrored: Float) -> Float:
    """Of logits [N] and those of the mirrored squares [2, N]."""
    return np.asarray((logits + mirrored.sum(axis=0)) / (1 + len(mirrored)), np.float32)


def without_neighbours(squares_: Float, wide: Float) -> tuple[Float, NDArray[np.int64]]:
    """Of squares [N, 3, S, S] those [K, 3, S, S] that the border of a picture within the picture crosses,
    grey beyond it, as beyond the picture's own edge; and their rows [K]. ``wide`` [N, 3, S, S]: those of
    the :func:`widened` boxes.

    In a video call's tile a face that the tile cuts has a stranger's chin for its forehead, which looks
    like no face.
    """
    made: list[Float] = []
    rows: list[int] = []
    for row, (square, around) in enumerate(zip(squares_, wide, strict=True)):
        alone = square.copy()
        for quarter in range(4):
            hidden = _rows_beyond(np.rot90(square, quarter, (1, 2)), np.rot90(around, quarter, (1, 2)))
            np.rot90(alone, quarter, (1, 2))[:, :hidden] = GREY / 255
            if hidden and (not rows or rows[-1] != row):
                rows.append(row)
        if rows and rows[-1] == row:
            made.append(alone)
    shape = (len(made), *squares_.shape[1:])
    return np.array(made, np.float32).reshape(shape), np.array(rows, np.int64)


def _rows_beyond(square: Float, wide: Float) -> int:
    """How many rows of a square [3, S, S] lie above the border of a picture within the picture, which goes
    on in the ``wide`` one; 0 without one, and where nothing but the picture's own outside lies above it.
    """
    step = _steps(square)
    padded = np.pad(step, max(BORDER_BESIDE))
    beside = np.max([np.roll(padded, way * far) for far in BORDER_BESIDE for way in (1, -1)], axis=0)
    beside = beside[max(BORDER_BESIDE) : -max(BORDER_BESIDE)]
    borders = np.flatnonzero((step > BORDER_STEP) & (step > BORDER_PEAK * beside))
    borders = borders[borders < BORDER_REACH * SIZE_PX]
    going_on = np.pad(_steps(wide), 1)
    middles = np.rint((borders + 1.5 - SIZE_PX / 2) / WIDER + SIZE_PX / 2 - 0.5).astype(int)
    borders = borders[np.max([going_on[middles + at] for at in (-1, 0, 1)], axis=0) > BORDER_STEP]
    if not len(borders):
        return 0
    hidden = int(borders[-1]) + 2  # the first step is about the square's second row, which may be mixed
    return hidden if _seen(square)[:, : max(hidden - 3, 1)].any() else 0


def _steps(square: Float) -> Float:
    """By how much (of 1) at least ``BORDER_SHARE`` of the pixels differ from one side to the other of each
    row but the first and the last [S - 2], of those columns that show the picture.
    """
    inside = _seen(square).any(axis=(0, 1))
    if not inside.any():
        return np.zeros(square.shape[1] - 2, np.float32)
    steps = np.abs(square[:, 2:] - square[:, :-2]).mean(axis=0)[:, inside]
    return np.asarray(np.quantile(steps, 1 - BORDER_SHARE, axis=1), np.float32)


def _seen(square: Float) -> NDArray[np.bool_]:
    """What is not the grey of the picture's outside."""
    return np.asarray(np.abs(square - np.float32(GREY / 255)) > 1 / 255)


class Window(NamedTuple):
    """Where the pixels of a square are read: a ``part`` (xyxy px) of the picture, averaged down to
    ``inner`` (width, height) px, at the places that ``matrix`` [2, 3] maps the square's pixels to. The part
    has no pixels where the square lies outside the picture.
    """

    part: tuple[int, int, int, int]
    inner: tuple[int, int]
    matrix: NDArray[np.float64]


def window_of(centre: Float, side: float, width: int, height: int) -> Window:
    """Of the square around a centre (px) of a picture."""
    left, top = (middle + 0.5 - side / 2 for middle in centre.tolist())  # from the first pixel's corner
    factor = max(1, int(side / SIZE_PX))
    x0, y0 = (max(0, int(v) - factor) for v in (left, top))
    x1, y1 = (min(n, int(v + side) + 2 + factor) for v, n in ((left, width), (top, height)))
    inner = max(1, (x1 - x0) // factor), max(1, (y1 - y0) // factor)
    reduced = max(1, x1 - x0) / inner[0], max(1, y1 - y0) / inner[1]
    scale = side / SIZE_PX
    across, down = scale / reduced[0], scale / reduced[1]
    matrix = np.array(
        [
            [across, 0, (left - x0) / reduced[0] + across / 2 - 0.5],
            [0, down, (top - y0) / reduced[1] + down / 2 - 0.5],
        ]
    )
    return Window((x0, y0, x1, y1), inner, matrix)


def turned_square(rgb: NDArray[np.uint8], centre: Float, side: float, turn: int) -> NDArray[np.uint8]:
    """The square [S, S, 3] around a centre (px), grey outside the picture, turned by quarters."""
    straight = _square(rgb, centre, side)
    return np.rot90(straight, turn) if turn % 4 else straight


def _square(rgb: NDArray[np.uint8], centre: Float, side: float) -> NDArray[np.uint8]:
    (x0, y0, x1, y1), inner, matrix = window_of(centre, side, rgb.shape[1], rgb.shape[0])
    part = rgb[y0:y1, x0:x1]
    if part.size == 0:
        return np.full((SIZE_PX, SIZE_PX, 3), GREY, np.uint8)
    if inner != (x1 - x0, y1 - y0):
        part = np.asarray(cv2.resize(part, inner, interpolation=cv2.INTER_AREA), np.uint8)
    square = cv2.warpAffine(
        part,
        matrix,
        (SIZE_PX, SIZE_PX),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(GREY, GREY, GREY),
    )
    return np.asarray(square, np.uint8)


def read_verdicts(outputs: Sequence[Float], boxes: Float, turns: Sequence[int] | int = 0) -> Verdicts:
    """The network's outputs (logits [N, 1], turned [N, 4], boxes [N, 4], keypoints [N, 10]) in px of the
    picture.

    Boxes and keypoints come in shares of the square's side, from its top left corner, in the rotated crop.
    """
    logits, turned, shares, points = (np.asarray(one, np.float32) for one in outputs)
    centres, sides = squares(boxes)
    quarters = np.broadcast_to(np.asarray(turns, np.int64), (len(sides),)) % 4
    corners = (
        _turned_back(shares.reshape(-1, 2, 2) - 0.5, quarters) * sides[:, None, None] + centres[:, None]
    )
    keypoints = (
        _turned_back(points.reshape(-1, 5, 2) - 0.5, quarters) * sides[:, None, None] + centres[:, None]
    )
    finer = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    exps = np.exp(turned - turned.max(axis=1, keepdims=True)) if len(turned) else turned
    return Verdicts(
        logits.reshape(-1),
        (exps / exps.sum(axis=1, keepdims=True)).astype(np.float32),
        finer.astype(np.float32),
        keypoints.astype(np.float32),
    )


def _turned_back(points: Float, quarters: NDArray[np.int64]) -> Float:
    """Points [N, P, 2] about the square's centre, from the rotated crop to the picture's orientation."""
    x, y = points[..., 0], points[..., 1]
    ways = np.stack([np.stack(w, -1) for w in ((x, y), (-y, x), (-x, -y), (y, -x))])
    return np.asarray(ways[quarters, np.arange(len(points))], np.float32)
