"""What a generator hands to the compositor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from streamanon.types import Float, Geometry, Picture, Role

SMOOTHING = 0.25


@dataclass(frozen=True, eq=False)
class Patch:
    """Pixels to lay over a frame: ``rgb`` [h, w, 3] 0..255 with its corner at (x0, y0), on the chroma
    grid, and ``alpha`` [h, w] 0..1. ``front`` [h, w] 0..1: where something in front of the face stays to be
    seen; None: nowhere.
    """

    x0: int
    y0: int
    rgb: Float
    alpha: Float
    front: Float | None = None

    def __repr__(self) -> str:
        return f"Patch({self.alpha.shape[1]}x{self.alpha.shape[0]} at {self.x0}, {self.y0})"


@dataclass(frozen=True)
class Look:
    """How strong and how sharp a face's detail is in this footage; smoothed from frame to frame."""

    contrast: float
    sigma_px: float

    def towards(self, other: Look) -> Look:
        return Look(
            self.contrast + SMOOTHING * (other.contrast - self.contrast),
            self.sigma_px + SMOOTHING * (other.sigma_px - self.sigma_px),
        )


class Generator(Protocol):
    """The seam that a fake fills in tests."""

    def paint(
        self, picture: Picture, geometry: Geometry, role: Role, last: Look | None
    ) -> tuple[Patch, Look]:
        """A face of the role's delegate on the mesh. Raises :class:`SynthesisError`."""
        ...
