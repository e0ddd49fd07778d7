"""Where a face lies: alignment from keypoints, boxes, head turn. Pure functions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streamanon.types import Float

CROP_PX = 128
#: Outer eye corners (as seen in the image: left, right) and mouth corners of the mesh.
EYE_CORNERS = (33, 263)
MOUTH_CORNERS = (61, 291)
IRISES = (468, 473)
NOSE_TIP = 4
OVAL_SIDES = (234, 454)
INNER_LIPS = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
OUTER_LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)

BROWS = ((70, 63, 105, 66, 107, 55, 65, 52, 53, 46), (300, 293, 334, 296, 336, 285, 295, 282, 283, 276))
NOSE = (1, 2, 4, 5, 6, 19, 94, 98, 327, 97, 326, 168, 195, 197, 64, 294, 48, 278, 115, 344)
OVAL: tuple[int, ...] = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378)
OVAL += (400, 377, 152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)


def alignment(keypoints: Float, crop_px: int = CROP_PX) -> Float:
    """The similarity [2, 3] from frame pixels to a square crop of ``crop_px``, eyes level.

    ``keypoints`` [5, 2]. The side is the larger of 3.4 eye distances and 3.6 eye-to-mouth distances, so
    that a turned head, whose eyes close up, keeps its scale; the centre lies 45 % of the way from the
    eyes to the mouth.
    """
    eyes, mouth = (keypoints[0] + keypoints[1]) / 2, (keypoints[3] + keypoints[4]) / 2
    across, down = keypoints[1] - keypoints[0], mouth - eyes
    right = across + np.array([down[1], -down[0]])
    length = float(np.hypot(*right))
    cos, sin = (right / length) if length > 1e-6 else (1.0, 0.0)
    side = max(3.4 * float(np.hypot(*across)), 3.6 * float(np.hypot(*down)), 4.0)
    centre = eyes + 0.45 * down
    linear = crop_px / side * np.array([[cos, sin], [-sin, cos]])
    shift = (crop_px - 1) / 2 - linear @ centre
    return np.column_stack([linear, shift]).astype(np.float32)


def invert(matrix: Float) -> Float:
    """The inverse of an affine map [2, 3]."""
    linear = np.linalg.inv(matrix[:, :2].astype(np.float64))
    return np.column_stack([linear, -linear @ matrix[:, 2]]).astype(np.float32)


def transform(matrix: Float, points: Float) -> Float:
    """Move points [..., 2 or 3] by a similarity [2, 3]; a third coordinate is scaled along."""
    moved = points[..., :2] @ matrix[:, :2].T + matrix[:, 2]
    if points.shape[-1] == 3:
        scale = np.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))
        moved = np.concatenate([moved, points[..., 2:] * scale], axis=-1)
    return np.asarray(moved, np.float32)


def mesh_keypoints(points: Float) -> Float:
    """The five detection keypoints [5, 2] of a mesh [478, 2 or 3]."""
    return points[[*IRISES, NOSE_TIP, *MOUTH_CORNERS], :2]


def yaw_degrees(points: Float) -> float:
    """How far a head is turned, 0 for frontal, positive when the nose points right in the image.

    From where the nose tip lies between the sides of the face oval, along the line between them.
    """
    left, right = points[OVAL_SIDES[0], :2], points[OVAL_SIDES[1], :2]
    across = right - left
    length = float(across @ across)
    if length < 1e-6:
        return 90.0
    offset = 2 * float((points[NOSE_TIP, :2] - left) @ across) / length - 1
    return float(np.degrees(np.arcsin(np.clip(offset / 1.15, -1, 1))))


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
    centred = places.astype(np.float64) - places.mean(axis=0)
    goals = centred[np.concatenate([moving, still])]
    lengths = (centred**2).sum(axis=1), (goals**2).sum(axis=1)
    apart = (lengths[0][:, None] + lengths[1] - 2 * centred @ goals.T).clip(1e-6)
    weights = 1 / (apart * np.sqrt(apart))
    weights /= weights.sum(axis=1, keepdims=True)
    spread = weights[:, : len(moving)]
    spread[moving] = np.eye(len(moving))
    spread[still] = 0
    return np.asarray(spread, np.float32)
