"""Geometry apart from appearance: a face's features moved to where a delegate has them.

Kuang et al. (CVPR 2024) treat a face's appearance and its geometry as two visual clues. Here the geometry
is the place and width of eyes, brows, nose and mouth. Pose, expression and gaze stay the frame's, and so
does the outline, so that the painted face covers exactly what the person's did. Moving it, too, was tried
and hid nobody better (docs/method.md).
"""

from __future__ import annotations

import numpy as np

from streamanon.gallery.delegates import DelegateGallery
from streamanon.geometry import spreading
from streamanon.mesh.landmarks import (
    BROW_ENDS,
    BROWS,
    EYE_ENDS,
    LEFT_EYE,
    MOUTH,
    MOUTH_CORNERS,
    NOSE,
    NOSE_ENDS,
    OVAL,
    RIGHT_EYE,
)
from streamanon.types import Float

#: Their places and widths do not depend on the expression: they become the delegate's own.
STEADY = (LEFT_EYE, RIGHT_EYE, NOSE)
#: These move with the expression, so they only take over how the delegate differs from the mean face.
LIVELY = (*BROWS, MOUTH)
#: The ends by which a group's width is measured, in the order of ``STEADY + LIVELY``.
ENDS = (*EYE_ENDS, NOSE_ENDS, *BROW_ENDS, MOUTH_CORNERS)
WIDTHS = (0.8, 1.25)
_FITTED = np.array(OVAL + NOSE)


class Proportions:
    """Moves meshes towards the proportions of a gallery's delegates."""

    def __init__(self, gallery: DelegateGallery) -> None:
        self._mean = np.mean([delegate.shape for delegate in gallery.delegates], axis=0).astype(np.float32)
        self._moving = np.array([index for group in (*STEADY, *LIVELY) for index in group])
        self._spread = spreading(gallery.uv, self._moving, np.array(OVAL))

    def apply(self, points: Float, shape: Float, amount: float) -> Float:
        """``points`` [478, 3] of a frame with the features of a delegate's ``shape`` [478, 3], as far as
        ``amount`` 0..1 says.
        """
        if not amount:
            return points
        linear, shift = pose(shape, points)
        posed, mean = ((one @ linear.T + shift)[:, :2] for one in (shape, self._mean))
        moves = np.zeros((len(points), 2), np.float32)
        for number, group in enumerate((*STEADY, *LIVELY)):
            base = points[:, :2] if number < len(STEADY) else mean
            moves[list(group)] = _move(points[:, :2], posed, base, group, ENDS[number])
        moved = points.copy()
        moved[:, :2] += amount * (self._spread @ moves[self._moving])
        return moved


def pose(shape: Float, points: Float) -> tuple[Float, Float]:
    """Turn and scale [3, 3] and shift [3] that bring ``shape`` [478, 3] onto ``points`` (Umeyama, 1991)."""
    source, target = shape[_FITTED].astype(np.float64), points[_FITTED].astype(np.float64)
    middle, goal = source.mean(0), target.mean(0)
    u, spectrum, v = np.linalg.svd((target - goal).T @ (source - middle))
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ v))])
    scale = (spectrum * signs).sum() / ((source - middle) ** 2).sum()
    linear = scale * (u * signs) @ v
    return linear.astype(np.float32), np.asarray(goal - linear @ middle, np.float32)


def _move(points: Float, posed: Float, base: Float, group: tuple[int, ...], ends: tuple[int, int]) -> Float:
    """How a group's points [n, 2] move: their middle by what the delegate's differs from ``base``'s, and
    their width, by the same measure, in proportion.
    """
    first, last = ends
    middles = [(one[first] + one[last]) / 2 for one in (posed, base, points)]
    lengths = [float(np.linalg.norm(one[first] - one[last])) for one in (posed, base)]
    wider = float(np.clip(lengths[0] / max(lengths[1], 1e-3), *WIDTHS))
    shift = middles[0] - middles[1]
    return np.asarray(shift + (wider - 1) * (points[list(group)] - middles[2]), np.float32)
