"""Meshes made steady over time, without lag: each is measured against its neighbours before and after.

A face that trembles by a measurement's noise is brought to rest; what moves, evenly or suddenly (an
eyelid), stays where it was measured.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streamanon.types import Float

#: So many neighbours on either side are looked at, where so many frames are held back.
NEIGHBOURS = 2
#: Share of a face's width by which a point may be off the middle of its neighbours and count as trembling.
TREMBLE = 0.02


def steadied(points: Float, pairs: Sequence[tuple[Float, Float]]) -> Float:
    """``points`` [478, 3] px; ``pairs``: the same face's as many frames before and after, nearest first."""
    size = max(float(np.ptp(points[:, 0])), 1.0)
    total, weight = points.copy(), np.ones((len(points), 1), np.float32)
    for before, after in pairs:
        apart = np.linalg.norm(((before + after) / 2 - points)[:, :2], axis=1, keepdims=True) / size
        near = np.exp(-((apart / TREMBLE) ** 2)).astype(np.float32)
        total += near * (before + after)
        weight += 2 * near
    return np.asarray(total / weight, np.float32)


def followed(previous: Float | None, points: Float) -> Float:
    """Where nothing is held back: a mesh [478, 3] moved towards the new one, quickly when the face moves,
    slowly when it trembles.
    """
    if previous is None:
        return points
    size = max(float(np.ptp(points[:, 0])), 1.0)
    moved = np.linalg.norm((points - previous)[:, :2], axis=1, keepdims=True) / size
    share = np.clip(0.35 + 14 * moved, 0.35, 1.0)
    return np.asarray(previous + share * (points - previous), np.float32)
