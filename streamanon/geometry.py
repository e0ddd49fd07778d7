"""Where a face lies: alignment from keypoints, affine maps, boxes. Pure functions."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from streamanon.types import Float

CROP_PX = 128
#: The side of an aligned crop, in distances between the eyes and from eyes to mouth, whichever is more; and
#: at least, px. All networks that see aligned crops were trained with these.
EYES_PER_CROP, EYES_TO_MOUTH_PER_CROP, LEAST_CROP_SIDE_PX = 3.4, 3.6, 4.0
#: Where the crop's centre lies between the eyes (0) and the mouth (1).
CROP_CENTRE = 0.45


def alignment(keypoints: Float, crop_px: int = CROP_PX) -> Float:
    """The similarity [2, 3] from frame pixels to a square crop of ``crop_px``, eyes level.

    ``keypoints`` [5, 2]. The side is the larger of 3.4 eye distances and 3.6 eye-to-mouth distances, so
    that a turned head, whose eyes close up, keeps its scale; the centre lies 45 % of the way from the
    eyes to the mouth.
    """
    # In Python's numbers: a NumPy call on two of them takes longer than the sum.
    (left_x, left_y), (right_x, right_y), _, *mouth = keypoints.tolist()
    (mouth_x, mouth_y) = ((a + b) / 2 for a, b in zip(*mouth, strict=True))
    eyes_x, eyes_y = (left_x + right_x) / 2, (left_y + right_y) / 2
    across_x, across_y, down_x, down_y = (
        right_x - left_x,
        right_y - left_y,
        mouth_x - eyes_x,
        mouth_y - eyes_y,
    )
    level_x, level_y = across_x + down_y, across_y - down_x
    length = math.hypot(level_x, level_y)
    cos, sin = (level_x / length, level_y / length) if length > 1e-6 else (1.0, 0.0)
    side = max(
        EYES_PER_CROP * math.hypot(across_x, across_y),
        EYES_TO_MOUTH_PER_CROP * math.hypot(down_x, down_y),
        LEAST_CROP_SIDE_PX,
    )
    centre_x, centre_y = eyes_x + CROP_CENTRE * down_x, eyes_y + CROP_CENTRE * down_y
    cos, sin, middle = crop_px / side * cos, crop_px / side * sin, (crop_px - 1) / 2
    rows = (
        (cos, sin, middle - cos * centre_x - sin * centre_y),
        (-sin, cos, middle + sin * centre_x - cos * centre_y),
    )
    return np.array(rows, np.float32)


def invert(matrix: Float) -> Float:
    """The inverse of an affine map [2, 3]; ValueError where it has none."""
    (a, b, x), (c, d, y) = matrix.tolist()
    area = a * d - b * c
    if not area:
        raise ValueError("a map onto a line has no inverse")
    a, b, c, d = d / area, -b / area, -c / area, a / area
    return np.array(((a, b, -a * x - b * y), (c, d, -c * x - d * y)), np.float32)


def scale_of(matrix: Float) -> float:
    """How much longer an affine map [2, 3] makes things, in the mean."""
    (a, b, _), (c, d, _) = matrix.tolist()
    return math.sqrt(abs(a * d - b * c))


def transform(matrix: Float, points: Float) -> Float:
    """Move points [..., 2 or 3] by a similarity [2, 3]; a third coordinate is scaled along."""
    moved = np.empty(points.shape, np.float32)
    moved[..., :2] = points[..., :2] @ matrix[:, :2].T + matrix[:, 2]
    if points.shape[-1] == 3:
        moved[..., 2] = points[..., 2] * scale_of(matrix)
    return moved


#: A box ends at the picture's edge if no more of its longer side than this share lies between.
EDGE_SHARE = 0.03


def is_cut(box: Float, width: int, height: int) -> bool:
    """Whether a face's box [4] xyxy px reaches the edge of a picture, so that part of it lies outside."""
    near = EDGE_SHARE * float((box[2:] - box[:2]).max())
    return bool(
        box[0] <= near or box[1] <= near or box[2] >= width - 1 - near or box[3] >= height - 1 - near
    )


def stored_place(
    x: float, y: float, size: tuple[int, int], rotation: int = 0, mirrored: bool = False
) -> tuple[float, float]:
    """Where a place, px from the left upper corner of what players show, lies in the picture as it is
    stored, as shares of its ``size`` (width, height). Players turn that by ``rotation`` degrees
    counter-clockwise and then mirror it left to right where it is ``mirrored``.
    """
    width, height = size if rotation % 180 == 0 else size[::-1]
    x, y = x / width, y / height
    x = 1 - x if mirrored else x
    for _ in range(rotation // 90 % 4):  # back by a quarter turn: what is on top is on the right
        x, y = 1 - y, x
    return x, y


def sizes_of(boxes: Float) -> Float:
    """The roots of the areas of boxes [N, 4]: [N]."""
    return np.asarray(np.sqrt(np.prod((boxes[:, 2:] - boxes[:, :2]).clip(0), axis=1)), np.float32)


def grow(box: Float, margin: float) -> Float:
    """A box [4] xyxy with ``margin`` of its size added on every side."""
    pad = (box[2:] - box[:2]) * margin
    return np.concatenate([box[:2] - pad, box[2:] + pad]).astype(np.float32)


def overlap(first: Float, second: Float) -> Float:
    """Intersection over union of boxes [N, 4] and [M, 4]: [N, M]."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common = np.prod((high - low).clip(0), axis=2)
    areas = [np.prod((b[:, 2:] - b[:, :2]).clip(0), axis=1) for b in (first, second)]
    return np.asarray(common / np.maximum(areas[0][:, None] + areas[1][None] - common, 1e-9), np.float32)


def spreading(places: Float, moving: NDArray[np.intp], still: NDArray[np.intp]) -> Float:
    """How much of each moving point's move every point makes, [N, moving], for points at ``places`` [N, 2]:
    near ones most (inverse cubes of distances), the ``still`` ones none.
    """
    spread = np.zeros((len(places), len(moving)), np.float32)
    spread[moving] = np.eye(len(moving), dtype=np.float32)
    goals, free = np.concatenate([moving, still]), np.ones(len(places), bool)
    free[goals] = False
    others = np.flatnonzero(free)
    x, y = places[:, 0].astype(np.float32), places[:, 1].astype(np.float32)
    apart = (x[others, None] - x[goals]) ** 2 + (y[others, None] - y[goals]) ** 2
    np.maximum(apart, np.float32(1e-6), out=apart)
    weights = 1 / (apart * np.sqrt(apart))
    weights /= weights.sum(axis=1, keepdims=True)
    spread[others] = weights[:, : len(moving)]
    return spread
