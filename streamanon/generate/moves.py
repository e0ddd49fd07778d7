"""How a face moved between two meshes: an affine map, and what is left as a smooth field."""

from __future__ import annotations

import cv2
import numpy as np

from streamanon.mesh.landmarks import IRIS_RINGS, IRISES
from streamanon.types import Float

#: Irises move alone, within the eye.
POINTS = np.setdiff1d(np.arange(478), [*IRISES, *(point for ring in IRIS_RINGS for point in ring)])
#: Nodes of the field, each way.
NODES = 17
#: Weight of no move at a node far from all points.
STILL = 0.05


def fitted(points: Float, goal: Float) -> Float:
    """The affine map [2, 3] that brings points [N, 2] nearest to their ``goal`` [N, 2]."""
    middle, end = points.mean(axis=0), goal.mean(axis=0)
    away = points - middle
    linear = (goal - end).T @ away @ np.linalg.inv(away.T @ away)
    return np.column_stack([linear, end - linear @ middle]).astype(np.float32)


def field(points: Float, moves: Float, size: tuple[int, int], reach: float) -> Float:
    """The moves [N, 2] of points [N, 2] px of an image of ``size`` (width, height) as a smooth field
    [h, w, 2] over it. ``reach``: how far a point's move reaches (sigma), px.
    """
    # The weight of a point at a node is the product of one by columns and one by rows.
    across, down = (
        np.exp((nodes - points[:, axis]) ** 2 * np.float32(-0.5 / reach**2))
        for axis, nodes in enumerate(
            np.linspace(0, length - 1, NODES, dtype=np.float32)[:, None] for length in size
        )
    )
    near = down @ across.T + np.float32(STILL)
    coarse = np.stack([(down * moves[:, n]) @ across.T / near for n in (0, 1)], axis=2)
    return np.asarray(cv2.resize(coarse, size, interpolation=cv2.INTER_LINEAR), np.float32)
