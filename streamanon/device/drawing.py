"""What the host draws for the device: what follows from where a face's mesh lies, none of its pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamanon.device.pictures import Region
from streamanon.errors import SynthesisError
from streamanon.generate.border import rings_of
from streamanon.generate.inputs import between_lips, contours, outlines_of
from streamanon.generate.interface import Job
from streamanon.generate.network import (
    DETAIL_SCALE,
    FRONT_SLACK,
    FRONT_SURE,
    in_front,
    opacity_bounds,
    region_of_cut,
)
from streamanon.generate.proportions import Proportions
from streamanon.generate.silhouette import sides_of
from streamanon.geometry import alignment, invert, scale_of, transform
from streamanon.mesh.landmarks import mesh_keypoints
from streamanon.types import Delegate, Float, Picture


@dataclass(frozen=True, eq=False, repr=False)
class Placed:
    """A face that may be painted. ``points`` [478, 3] px of the frame and ``local`` of the crop, both with
    the delegate's proportions; ``matrix`` from the frame to the crop.
    """

    job: Job
    points: Float
    local: Float
    matrix: Float

    @property
    def large(self) -> bool:
        return scale_of(invert(self.matrix)) > DETAIL_SCALE

    @property
    def delegate(self) -> Delegate:
        return self.job.assignment.delegate


@dataclass(frozen=True, eq=False, repr=False)
class Drawn:
    """What follows from where a face lies: ``layers`` [L, 128, 128] in the order of ``LAYERS``; ``sides``
    [3, 64, 64] of its border; ``region`` of the frame; ``cells`` [32, 32]: what is in front of the face.
    """

    layers: Float
    sides: Float
    region: Region
    cells: NDArray[np.bool_]


#: The layers that are drawn on the host, and how many planes each has.
LAYERS = {
    "core": 1,
    "skin": 1,
    "cut": 1,
    "mouth": 1,
    "contours": 3,
    "rings": 4,
    "opacity": 2,
    "front": 1,
}


def place(job: Job, proportions: Proportions) -> Placed | None:
    """None for a mesh that is no number."""
    geometry, assignment = job.geometry, job.assignment
    if not np.isfinite(geometry.points).all():
        return None
    points = proportions.apply(geometry.points, assignment.delegate.shape, assignment.geometry)
    matrix = alignment(mesh_keypoints(geometry.points))
    return Placed(job, points, transform(matrix, points), matrix)


def draw(picture: Picture, face: Placed, mask: NDArray[np.bool_], shares: Float) -> Drawn | None:
    """What is drawn of a mesh that is where ``mask`` [128, 128] is; ``shares`` [32, 32]: how likely
    something is in front. None where no face can be made; the rules are those of :class:`NetworkGenerator`.
    """
    before = None if face.job.last is None else face.job.last.front
    cells = np.asarray(shares > FRONT_SURE - (0 if before is None else FRONT_SLACK * before))
    try:
        front = in_front(cells, mask, face.local)
        outlines = outlines_of(face.local, mask, front)
        region = region_of_cut(picture, outlines.cut, invert(face.matrix))
    except SynthesisError:
        return None
    mouth = np.zeros(mask.shape, np.float32)
    place, soft = between_lips(face.local, mask.shape)
    mouth[place] = soft
    layers = {
        "core": outlines.core[None],
        "skin": outlines.skin[None],
        "cut": outlines.cut[None],
        "mouth": mouth[None],
        "contours": contours(face.local),
        "rings": rings_of(outlines.cut).stacked(),
        "opacity": opacity_bounds(outlines.cut),
        "front": front[None],
    }
    stacked = np.concatenate([np.asarray(layers[name], np.float32) for name in LAYERS])
    return Drawn(stacked, sides_of(outlines.cut, face.local).stacked(), region, cells)
