"""Where a face ends before its background: a painting does not reach over the jaw.

A mesh is a few pixels off the jaw here and there, and a soft edge laid over a lamp or a window is seen at
once. So near the border of the cut, from the eyes down, each pixel is compared with what is deeper in the
face and with what is outside of it there: one that is as the outside is left to the picture. It shows no
more of the face than what lies around it does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.generate.border import rising
from streamanon.mesh.landmarks import EYE_ENDS, MOUTH_CORNERS
from streamanon.types import Float

#: Every so many pixels of the crop are compared, each way.
STEP = 2
#: So far outside the cut its background is looked at, and so deep inside the face, crop px.
OUTSIDE_PX, INSIDE_PX = 3.0, 10.0
#: From the first depth on nothing of the painting is left out, up to the second one all may be, crop px.
DEPTHS_PX = (10.0, 6.0)
#: Of the way from the eyes to the mouth: where it begins, and from where it is done wholly. Above are
#: brows, glasses and hair, which lie over the face.
LEVELS = (0.0, 0.3)
#: How much face and background have to differ, as a distance of colours in levels.
APART = (25.0, 55.0)
#: Shares of the face in a colour up to which a pixel is background, and from which it is face.
SHARES = (0.25, 0.6)
#: The nearest of so many compared pixels to all sides counts as well, of every third of them.
NEARBY, NEARBY_STEP = 6, 3
#: Single pixels are no background: a blur before colours are compared (sigma, px of crop and frame).
SPECK_SIGMA_PX = 0.8


@dataclass(frozen=True, eq=False, repr=False)
class Sides:
    """What lies on both sides of a border, of every second pixel of a crop, each [h / 2, w / 2]: which
    pixel of the crop (row times width and column) is the nearest deeper ``inside`` and ``outside``, and how
    far the pixel itself may be left out, ``reach`` 0..1.
    """

    inside: NDArray[np.int64]
    outside: NDArray[np.int64]
    reach: Float

    def stacked(self) -> Float:
        """[3, h / 2, w / 2]."""
        return np.stack([self.inside, self.outside, self.reach]).astype(np.float32)


def sides_of(cut: NDArray[np.bool_], local: Float) -> Sides:
    """Of a ``cut`` [h, w] about a mesh ``local`` [478, 3], px. Nothing may be left out where a side is
    missing.
    """
    small = np.ascontiguousarray(cut[::STEP, ::STEP])
    depth, away = (_distance(one) for one in (small, ~small))
    within, without = depth >= INSIDE_PX / STEP, away >= OUTSIDE_PX / STEP
    if not within.any() or not without.any():
        none = np.zeros(small.shape, np.int64)
        return Sides(none, none, none.astype(np.float32))
    eyes, mouth = (float(local[np.ravel(ends), 1].mean()) for ends in (EYE_ENDS, MOUTH_CORNERS))
    level = (np.arange(0, len(cut), STEP, dtype=np.float32)[:, None] - eyes) / max(mouth - eyes, 1.0)
    reach = rising(-depth, (-DEPTHS_PX[0] / STEP, -DEPTHS_PX[1] / STEP)) * rising(level, LEVELS) * small
    return Sides(_nearest(within), _nearest(without), np.asarray(reach, np.float32))


def background(crop: Float, sides: Sides) -> Float:
    """How to tell a face from what is behind it, of every second pixel of a ``crop`` [h, w, 3]:
    [h / 2, w / 2, 5].

    The dot product of a colour with the first three and 1 with the fourth is 0 for the background and 1
    for the face, both of those nearby that are most like the pixel itself; the fifth is how surely, 0..1.
    """
    told = np.zeros((*sides.reach.shape, 5), np.float32)
    rows, columns = np.nonzero(sides.reach)
    if not len(rows):
        return told
    smooth = np.asarray(cv2.GaussianBlur(crop, (0, 0), SPECK_SIGMA_PX), np.float32)
    own = smooth[::STEP, ::STEP][rows, columns]
    near = np.arange(-NEARBY, NEARBY + 1, NEARBY_STEP)
    down, along = (
        (one[:, None] + near).clip(0, length - 1)
        for one, length in zip((rows, columns), sides.reach.shape, strict=True)
    )
    face, behind = (
        _most_alike(own, smooth.reshape(-1, 3)[places[down[:, :, None], along[:, None]]])
        for places in (sides.inside, sides.outside)
    )
    way = face - behind
    square = np.square(way).sum(axis=1)
    sure = rising(np.sqrt(square), APART) * sides.reach[rows, columns]
    way = way / np.maximum(square, 1)[:, None]
    told[rows, columns] = np.column_stack([way, -(behind * way).sum(axis=1), sure])
    return told


def left_out(rgb: Float, told: Float) -> Float:
    """How much of a painting over ``rgb`` [h, w, 3] is left to the picture, [h, w] 0..1; ``told``
    [h, w, 5]: see :func:`background`.
    """
    sure = told[..., 4]
    seen = np.flatnonzero(sure.any(axis=1))
    left = np.zeros_like(sure)
    if not len(seen):
        return left
    rows = slice(seen[0], seen[-1] + 1)
    smooth = cv2.GaussianBlur(rgb[rows], (0, 0), SPECK_SIGMA_PX)
    share = cv2.transform(smooth * told[rows, :, :3], np.ones((1, 3), np.float32)) + told[rows, :, 3]
    left[rows] = sure[rows] * (1 - rising(share, SHARES))
    return left


def _most_alike(own: Float, colours: Float) -> Float:
    """Of the ``colours`` [P, K, K, 3] about each pixel the one that is nearest to its ``own`` [P, 3]."""
    colours = colours.reshape(len(own), -1, 3)
    best = np.square(colours - own[:, None]).sum(axis=2).argmin(axis=1)
    return cast(Float, colours[np.arange(len(best)), best])


def _distance(inside: NDArray[np.bool_]) -> Float:
    return np.asarray(cv2.distanceTransform(inside.view(np.uint8), cv2.DIST_L2, 3), np.float32)


def _nearest(those: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Which pixel of a crop is the nearest of ``those`` [h / 2, w / 2] to each."""
    _, labels = cv2.distanceTransformWithLabels(
        (~those).view(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    rows, columns = np.nonzero(those)
    places = np.zeros(int(labels.max()) + 1, np.int64)
    places[labels[rows, columns]] = (rows * those.shape[1] * STEP + columns) * STEP
    return np.asarray(places[labels])
