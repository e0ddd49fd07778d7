"""A painting of the network taken again for a face that rests.

While a mesh, the light and what is in front hardly change, the network would paint nearly the same. So
its last answer is laid where the face is now: by the affine map between both meshes, what is left of the
difference as a smooth field, and the light as the ratio of both fields. Eyes and the inside of the mouth
are no part of it: they are painted anew in every frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from streamanon.generate.kept import POINTS, Answer, Kept
from streamanon.generate.light import LIGHT_BIAS, light_field
from streamanon.geometry import CROP_PX
from streamanon.types import Assignment, Float

#: A painting is taken again for so many frames at most: surroundings and sharpness change, too.
MOST_FRAMES = 4
#: The most that a point of the mesh may be off the painted one, in px of the crop and of the frame: lids
#: and lips that move are painted anew.
MOVED_PX = 1.0
#: The most that the face may have turned, grown or narrowed, as a share.
TURNED = 0.03
#: The light's bounds, of what it was.
LIGHT_CHANGE = (0.87, 1.15)
#: The field of what is left: nodes each way, and how far a point's move reaches (sigma), px.
NODES, REACH_PX = 17, 5.0
#: Weight of no move at a node far from all points.
STILL = 0.05


@dataclass(frozen=True, eq=False, repr=False)
class Resting:
    """Where a kept painting lies now: ``matrix`` [2, 3] from the frame to its crop; ``moves`` [468, 2] px:
    how far points are off it.
    """

    kept: Kept
    matrix: Float
    moves: Float

    def light(self, crop: Float) -> Float | None:
        """The light [128, 128, 3] in the crop now; None where it changed too much."""
        light = light_field(crop, self.kept.skin)
        ratio = self._ratio(light)[self.kept.cut]
        low, high = float(ratio.min()), float(ratio.max())
        return light if LIGHT_CHANGE[0] <= low and high <= LIGHT_CHANGE[1] else None

    def answer(self, light: Float) -> Answer:
        """The painting in that light, with its points where they are now."""
        moves = _field(self.kept.local[POINTS, :2], self.moves)
        x, y = cv2.split(_PLACES - moves)
        lit = self.kept.answer.rgb * self._ratio(light)
        rgb, face = (
            np.asarray(cv2.remap(one, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), np.float32)
            for one in (lit, self.kept.answer.face)
        )
        return Answer(rgb, face)

    def _ratio(self, light: Float) -> Float:
        return np.asarray((light + LIGHT_BIAS) / (self.kept.light + LIGHT_BIAS), np.float32)


def _field(points: Float, moves: Float) -> Float:
    """The moves [N, 2] of points [N, 2] px as a smooth field over the crop [128, 128, 2]."""
    steps = np.linspace(0, CROP_PX - 1, NODES, dtype=np.float32)[:, None]
    # The weight of a point at a node is the product of one by rows and one by columns.
    across, down = (np.exp((steps - points[:, n]) ** 2 * np.float32(-0.5 / REACH_PX**2)) for n in (0, 1))
    near = down @ across.T + np.float32(STILL)
    field = np.stack([(down * moves[:, n]) @ across.T / near for n in (0, 1)], axis=2)
    return np.asarray(cv2.resize(field, (CROP_PX, CROP_PX), interpolation=cv2.INTER_LINEAR), np.float32)


_PLACES = np.stack(np.meshgrid(np.arange(CROP_PX), np.arange(CROP_PX)), axis=-1).astype(np.float32)


def resting(
    kept: Kept, points: Float, matrix: Float, scale: float, assignment: Assignment, small: bool
) -> Resting | None:
    """Where a kept painting lies for a mesh ``points`` [478, 3] px of the frame; None where it has to be
    painted anew. ``matrix`` [2, 3]: the face's alignment; ``scale``: frame px a crop px.
    """
    if kept.frames >= MOST_FRAMES or kept.assignment is not assignment or kept.small is not small:
        return None
    there, goal = points[POINTS, :2], kept.local[POINTS, :2]
    found = _fitted(there, goal)
    if np.abs(found[:, :2] @ np.linalg.inv(matrix[:, :2]) - np.eye(2)).max() > TURNED:
        return None
    moves = there @ found[:, :2].T + found[:, 2] - goal
    if float(np.square(moves).sum(axis=1).max()) > (MOVED_PX / max(scale, 1.0)) ** 2:
        return None
    return Resting(kept, found, moves.astype(np.float32))


def _fitted(points: Float, goal: Float) -> Float:
    """The affine map [2, 3] that brings points [N, 2] nearest to their ``goal`` [N, 2]."""
    middle, end = points.mean(axis=0), goal.mean(axis=0)
    away = points - middle
    linear = (goal - end).T @ away @ np.linalg.inv(away.T @ away)
    return np.column_stack([linear, end - linear @ middle]).astype(np.float32)
