"""A painting that moves along with its face for a moment, so that not every frame is painted.

From one mesh to the next a face moves by an affine map and little more, and a smooth field of what is left
takes lips and lids along. Where that is not enough it is painted: a face that turns or speaks quickly, in
light that changes, or with something in front of it, such as a hand, that moves by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np

from streamanon.cover.trust import Region, inner_face, region_of
from streamanon.generate import Job, Patch
from streamanon.generate.moves import POINTS, field, fitted
from streamanon.geometry import alignment, invert, scale_of, transform
from streamanon.media.yuv import read_luma
from streamanon.mesh.face_mesh import snap
from streamanon.mesh.landmarks import mesh_keypoints
from streamanon.types import Assignment, Float, Picture

#: The most that a point may be off the affine map, and how far its move reaches (sigma), px of the crop.
MOVED_PX, REACH_PX = 2.0, 5.0
#: The most that the face may have turned, grown or narrowed, as a share.
TURNED = 0.06
#: The most that the mean luma about the face may have changed, as a share.
LIGHT_CHANGE = 0.06
#: Something is in front of a face if this much of a pixel shows it, within the mesh's outline drawn in to
#: this share of its size. What lies about it, as hair does, goes along with the face.
FRONT, INNER_SHARE = 0.5, 0.75
#: So much of a pixel is no pixel more.
ROUNDING_PX = 0.02


@dataclass(frozen=True, eq=False, repr=False)
class Painted:
    """A face's last painting. ``points`` [478, 3] px of its frame; ``luma``: the mean in its region, levels
    of 255; ``time``: s.
    """

    patch: Patch
    points: Float
    assignment: Assignment
    luma: float
    time: Fraction

    @staticmethod
    def of(patch: Patch, job: Job, picture: Picture, time: Fraction) -> Painted | None:
        """What is kept of a painting; None where it cannot move along, as one on a GPU does not either."""
        points = job.geometry.points
        if not isinstance(patch.rgb, np.ndarray):
            return None
        if patch.front is not None and (patch.front > FRONT)[inner_face(patch, points, INNER_SHARE)].any():
            return None
        luma = _luma(picture, region_of(patch))
        return Painted(patch, points, job.assignment, luma, time)

    def moved(self, picture: Picture, job: Job) -> Patch | None:
        """The painting where the face is now; None where it has to be painted anew."""
        points = job.geometry.points
        if job.assignment is not self.assignment or not np.isfinite(points).all():
            return None
        there, goal = points[POINTS, :2], self.points[POINTS, :2]
        back = fitted(there, goal)
        if np.abs(back[:, :2] - np.eye(2)).max() > TURNED:
            return None
        moves = transform(back, there) - goal
        scale = 1 / scale_of(alignment(mesh_keypoints(self.points)))
        if float(np.square(moves).sum(axis=1).max()) > (MOVED_PX * scale) ** 2:
            return None
        region = _region(picture, region_of(self.patch), invert(back))
        if region is None or abs(_luma(picture, region) - self.luma) > LIGHT_CHANGE * self.luma:
            return None
        return self._placed(region, back, there, moves, REACH_PX * scale)

    def _placed(self, region: Region, back: Float, there: Float, moves: Float, reach: float) -> Patch:
        """The patch in a ``region`` of the picture; ``back`` [2, 3]: from there to where it was."""
        x0, y0, x1, y1 = region
        size = x1 - x0, y1 - y0
        corner = np.array([x0, y0], np.float32)
        columns, rows = np.arange(x0, x1, dtype=np.float32), np.arange(y0, y1, dtype=np.float32)[:, None]
        away = field(there - corner, moves, size, reach)
        start = np.array([self.patch.x0, self.patch.y0], np.float32)
        x, y = (
            back[n, 0] * columns + back[n, 1] * rows + (back[n, 2] - start[n]) - away[..., n]
            for n in (0, 1)
        )
        front = np.zeros_like(self.patch.alpha) if self.patch.front is None else self.patch.front
        shares = np.dstack([self.patch.alpha, front])
        rgb = cv2.remap(self.patch.rgb, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        shown = cv2.remap(shares, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        alpha, front = (np.asarray(one, np.float32) for one in cv2.split(shown))
        return Patch(x0, y0, np.asarray(rgb, np.float32).clip(0, 255), alpha, front)


def _region(picture: Picture, region: Region, onward: Float) -> Region | None:
    """Where a region lies now; None where hardly any of it is in the picture."""
    x0, y0, x1, y1 = region
    corners = np.array([[x, y] for x in (x0, x1) for y in (y0, y1)], np.float32)
    placed = transform(onward, corners)
    x0, y0, x1, y1 = snap(
        picture, np.concatenate([placed.min(0) + ROUNDING_PX, placed.max(0) - ROUNDING_PX])
    )
    return (x0, y0, x1, y1) if x1 - x0 >= 8 and y1 - y0 >= 8 else None


def _luma(picture: Picture, region: Region) -> float:
    return float(read_luma(picture, *region).mean())
