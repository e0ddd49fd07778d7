"""What a generator hands to the compositor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from streamanon.generate.grain import Laid
from streamanon.generate.kept import Kept
from streamanon.generate.softness import Softness
from streamanon.types import Assignment, Float, Geometry, Picture

#: Share of the way from the last frame's detail state to the measured one.
SMOOTHING = 0.25


@dataclass(frozen=True, eq=False)
class Patch:
    """Pixels to lay over a frame: ``rgb`` [h, w, 3] 0..255 with its corner at (x0, y0), on the chroma
    grid, and ``alpha`` [h, w] 0..1. ``front`` [h, w] 0..1: where something in front of the face stays to be
    seen; None: nowhere. On a GPU ``rgb`` is a tensor that only the GPU's canvas takes.
    """

    x0: int
    y0: int
    rgb: Float
    alpha: Float
    front: Float | None = None

    def __repr__(self) -> str:
        return f"Patch({self.alpha.shape[1]}x{self.alpha.shape[0]} at {self.x0}, {self.y0})"


@dataclass(frozen=True, eq=False, repr=False)
class DetailState:
    """What is carried from a face's frame to its next: how strong and how sharp detail is in this footage,
    smoothed; ``front`` [32, 32]: the crop's cells that showed something in front; ``mouth`` [3, 3]: colours
    between the lips (:func:`streamanon.generate.mouth.mouth_colours`), smoothed; ``white``:
    how bright eyes are (:func:`streamanon.generate.eyes.eye_white`), smoothed; ``kept``: the painting, for
    the next frame if the face rests; ``soft``: how soft the painting is made, smoothed; ``grain`` that was
    laid over it.
    """

    contrast: float
    sigma_px: float
    front: NDArray[np.bool_] | None = None
    mouth: Float | None = None
    white: float | None = None
    kept: Kept | None = None
    soft: Softness | None = None
    grain: Laid | None = None

    def towards(self, other: DetailState) -> DetailState:
        return DetailState(
            self.contrast + SMOOTHING * (other.contrast - self.contrast),
            self.sigma_px + SMOOTHING * (other.sigma_px - self.sigma_px),
            other.front,
        )


@dataclass(frozen=True, eq=False, repr=False)
class Job:
    """A face to be painted: its mesh, what the person becomes, and the state after the last frame."""

    geometry: Geometry
    assignment: Assignment
    last: DetailState | None


@dataclass(frozen=True, eq=False)
class Painting:
    patch: Patch
    detail: DetailState


class Generator(Protocol):
    """The seam that a fake fills in tests."""

    def paint(self, picture: Picture, jobs: Sequence[Job]) -> list[Painting | None]:
        """One painting a job, in order; None where that face cannot be made."""
        ...
