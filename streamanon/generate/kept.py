"""What is kept of a painting while its face rests: see :mod:`streamanon.generate.reuse`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamanon.generate.raster import reach_of
from streamanon.types import Assignment, Float

#: Share of what was painted that has to be seen.
LEAST_SHOWN = 0.9


@dataclass(frozen=True, eq=False, repr=False)
class Answer:
    """What the network painted: ``rgb`` [128, 128, 3] 0..255 and the share of ``face`` [128, 128]."""

    rgb: Float
    face: Float


@dataclass(frozen=True, eq=False, repr=False)
class Kept:
    """A painting, and what it was made of. ``local`` [478, 3] px of the crop; ``places``
    [128, 128, 2]: where in the texture each pixel lies; ``mask``, ``skin``, ``front``, ``cut`` [128, 128]:
    the mesh, its skin, what was in front, and what was cut out; ``light`` [128, 128, 3]. ``frames``: how
    often it was taken again.
    """

    assignment: Assignment
    local: Float
    places: Float
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
        shown = (self.front & ~front & reach_of(self.mask)).any()
        return None if shown or cut.sum() < LEAST_SHOWN * self.cut.sum() else cut
