"""What is kept of a painting while its face rests: see :mod:`streamanon.generate.reuse`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from streamanon.generate.raster import reach_of
from streamanon.geometry import CROP_PX
from streamanon.mesh.landmarks import IRIS_RINGS, IRISES
from streamanon.types import Assignment, Float

#: The field of what is left: nodes each way, and how far a point's move reaches (sigma), px.
NODES, REACH_PX = 17, 5.0
#: Weight of no move at a node far from all points.
STILL = 0.05
#: Share of what was painted that has to be seen.
LEAST_SHOWN = 0.9
#: Irises move alone and are not painted by the network.
POINTS = np.setdiff1d(np.arange(478), [*IRISES, *(point for ring in IRIS_RINGS for point in ring)])


@dataclass(frozen=True, eq=False, repr=False)
class Answer:
    """What the network painted: ``rgb`` [128, 128, 3] 0..255 and the share of ``face`` [128, 128]."""

    rgb: Float
    face: Float


@dataclass(frozen=True, eq=False, repr=False)
class Kept:
    """A painting, and what it was made of. ``local`` [478, 3] px of the crop; ``mask``, ``skin``,
    ``front``, ``cut`` [128, 128]: the mesh, its skin, what was in front, and what was cut out;
    ``light`` [128, 128, 3]. ``frames``: how often it was taken again.
    """

    assignment: Assignment
    small: bool
    local: Float
    mask: NDArray[np.bool_]
    skin: NDArray[np.bool_]
    front: NDArray[np.bool_]
    cut: NDArray[np.bool_]
    light: Float
    answer: Answer
    frames: int = 0

    def cut_without(self, front: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
        """What is painted now [128, 128], as ``front`` is in front; None where the face shows in a place
        that was hidden when it was painted, and where much more of it is hidden.
        """
        cut = self.cut & ~front
        shown = (self.front & ~front & self.reach).any()
        return None if shown or cut.sum() < LEAST_SHOWN * self.cut.sum() else cut

    @cached_property
    def reach(self) -> NDArray[np.bool_]:
        """What is cut out where nothing is in front."""
        return reach_of(self.mask)

    @cached_property
    def weights(self) -> Float:
        """How much of each point's move each node [289] makes."""
        steps = np.linspace(0, CROP_PX - 1, NODES, dtype=np.float32)
        nodes = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 1, 2)
        apart = ((nodes - self.local[POINTS, :2]) ** 2).sum(axis=2)
        near = np.exp(apart * np.float32(-0.5 / REACH_PX**2))
        return np.asarray(near / (near.sum(axis=1, keepdims=True) + STILL), np.float32)
