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

from streamanon.generate.kept import Answer, Kept
from streamanon.generate.light import LIGHT_BIAS, light_field
from streamanon.generate.moves import POINTS, field, fitted
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
#: How far a point's move reaches (sigma), px of the crop.
REACH_PX = 5.0


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
        moves = field(self.kept.local[POINTS, :2], self.moves, (CROP_PX, CROP_PX), REACH_PX)
        x, y = cv2.split(_PLACES - moves)
        lit = self.kept.answer.rgb * self._ratio(light)
        rgb, face = (
            np.asarray(cv2.remap(one, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), np.float32)
            for one in (lit, self.kept.answer.face)
        )
        return Answer(rgb, face)

    def _ratio(self, light: Float) -> Float:
        return np.asarray((light + LIGHT_BIAS) / (self.kept.light + LIGHT_BIAS), np.float32)


_PLACES = np.stack(np.meshgrid(np.arange(CROP_PX), np.arange(CROP_PX)), axis=-1).astype(np.float32)


def resting(
    kept: Kept, points: Float, matrix: Float, scale: float, assignment: Assignment
) -> Resting | None:
    """Where a kept painting lies for a mesh ``points`` [478, 3] px of the frame; None where it has to be
    painted anew. ``matrix`` [2, 3]: the face's alignment; ``scale``: frame px a crop px.
    """
    if kept.frames >= MOST_FRAMES or kept.assignment is not assignment:
        return None
    there, goal = points[POINTS, :2], kept.local[POINTS, :2]
    found = fitted(there, goal)
    if np.abs(found[:, :2] @ np.linalg.inv(matrix[:, :2]) - np.eye(2)).max() > TURNED:
        return None
    moves = there @ found[:, :2].T + found[:, 2] - goal
    if float(np.square(moves).sum(axis=1).max()) > (MOVED_PX / max(scale, 1.0)) ** 2:
        return None
    return Resting(kept, found, moves.astype(np.float32))
