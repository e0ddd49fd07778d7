"""Meshes smoothed over time, without lag: each point is compared with its neighbours before and after.

Jitter by the noise of measurements is averaged out; what moves, evenly or suddenly (an eyelid), stays where
it was measured.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streamanon.mesh.eye_mouth import PARTS
from streamanon.types import Float

#: Neighbours used on either side, where so many frames are held back.
NEIGHBOURS = 2
#: Share of a face's width by which a point may be off the middle of its neighbours and count as jitter.
JITTER = 0.02
#: The same of eyes and mouth, which are measured more closely and move fast; and in px, where that is more.
PART_JITTER, PART_JITTER_PX = 0.006, 1.0
#: Without look-ahead: the least share of the way to the new mesh, and how much it grows with the motion,
#: per width of the face.
LEAST_STEP, STEP_GAIN = 0.35, 14
_PARTS = [point for part in PARTS for point in part]


def steadied(points: Float, pairs: Sequence[tuple[Float, Float]]) -> Float:
    """``points`` [478, 3] px; ``pairs``: the same face's as many frames before and after, nearest first."""
    size = max(float(np.ptp(points[:, 0])), 1.0)
    jitter = np.full((len(points), 1), JITTER, np.float32)
    jitter[_PARTS] = min(JITTER, max(PART_JITTER, PART_JITTER_PX / size))
    total, weight = points.copy(), np.ones((len(points), 1), np.float32)
    for before, after in pairs:
        apart = np.linalg.norm(((before + after) / 2 - points)[:, :2], axis=1, keepdims=True) / size
        near = np.exp(-((apart / jitter) ** 2)).astype(np.float32)
        total += near * (before + after)
        weight += 2 * near
    return np.asarray(total / weight, np.float32)


def followed(previous: Float | None, points: Float) -> Float:
    """Where nothing is held back: a mesh [478, 3] moved towards the new one, quickly when the face moves,
    slowly when it jitters.
    """
    if previous is None:
        return points
    size = max(float(np.ptp(points[:, 0])), 1.0)
    moved = np.linalg.norm((points - previous)[:, :2], axis=1, keepdims=True) / size
    share = np.clip(LEAST_STEP + STEP_GAIN * moved, LEAST_STEP, 1.0)
    return np.asarray(previous + share * (points - previous), np.float32)
