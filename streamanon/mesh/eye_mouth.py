"""Eyes and mouth looked at closely: a mesh measured from a whole face hardly follows lids, irises and lips.

The idea is Grishchenko et al.'s attention mesh (2020): small networks, each given one part upright and
enlarged, say where its points are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streamanon.geometry import alignment, invert, spreading, transform
from streamanon.mesh.landmarks import (
    BROWS,
    EYE_ENDS,
    LEFT_EYE,
    MOUTH,
    MOUTH_CORNERS,
    NOSE,
    OVAL,
    RIGHT_EYE,
    mesh_keypoints,
)
from streamanon.types import Float

PATCH_PX = 64
#: Patch pixels a pixel of the face's aligned crop.
EYE_ZOOM, MOUTH_ZOOM = 2.0, 1.2
PARTS = (LEFT_EYE, RIGHT_EYE, MOUTH)
_MOVING = np.array([point for part in PARTS for point in part])
_STILL = np.array([*OVAL, *NOSE, *BROWS[0], *BROWS[1]])
_ENDS = (*EYE_ENDS, MOUTH_CORNERS)


def placements(points: Float) -> list[Float]:
    """Where both eyes and the mouth of a mesh [478, 2 or 3] are looked at: maps [2, 3] from its pixels to
    those of a patch. The right eye's is mirrored, so that it looks like a left one.
    """
    matrix = alignment(mesh_keypoints(points)).astype(np.float64)
    placed = []
    for (first, last), zoom in zip(_ENDS, (EYE_ZOOM, EYE_ZOOM, MOUTH_ZOOM), strict=True):
        middle = (points[first, :2] + points[last, :2]) / 2
        linear = zoom * matrix[:, :2]
        placed.append(np.column_stack([linear, (PATCH_PX - 1) / 2 - linear @ middle]))
    placed[1][0] = [0, 0, PATCH_PX - 1] - placed[1][0]
    return [np.asarray(one, np.float32) for one in placed]


def refined(points: Float, placed: Sequence[Float], found: Sequence[Float]) -> Float:
    """A mesh [478, 3] px with eyes and mouth where they were ``found`` in the patches that ``placed`` says
    (eyes [21, 2], mouth [40, 2]); what lies about them moves along.
    """
    seen = [transform(invert(matrix), part) for matrix, part in zip(placed, found, strict=True)]
    moves = np.concatenate(seen) - points[_MOVING, :2]
    moved = points.copy()
    moved[:, :2] += spreading(points[:, :2], _MOVING, _STILL) @ moves
    return moved
