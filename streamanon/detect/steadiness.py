"""Whether the detector sees the same faces in the same places, pass after pass, and doubts none."""

from __future__ import annotations

from streamanon.geometry import overlap
from streamanon.types import Faces, Float

#: Finds of this probability are faces, those below the other one are none; one in between is doubted.
SURE_PROBABILITY, NO_PROBABILITY = 0.9, 0.1
#: A face is in the same place if its box shares so much with the one of the last pass (intersection over
#: union).
SAME_PLACE = 0.6
#: The finds are steady after so many passes that were alike.
ALIKE_PASSES = 4


class Steadiness:
    """Compares the finds of each pass with those of the one before."""

    def __init__(self) -> None:
        self._boxes: Float | None = None
        self._alike = 0

    @property
    def is_steady(self) -> bool:
        return self._alike >= ALIKE_PASSES

    def searched(self, faces: Faces) -> None:
        """A pass has found ``faces``."""
        sure = faces.scores >= SURE_PROBABILITY
        doubted = bool((~sure & (faces.scores > NO_PROBABILITY)).any())
        boxes, before = faces.boxes[sure], self._boxes
        alike = before is not None and not doubted and _same_places(before, boxes)
        self._alike = self._alike + 1 if alike else 0
        self._boxes = None if doubted else boxes

    def restart(self) -> None:
        """What is seen now may be something else."""
        self._boxes, self._alike = None, 0


def _same_places(before: Float, now: Float) -> bool:
    """Whether each box [N, 4] of one has one of the other in its place."""
    if len(before) != len(now):
        return False
    shared = overlap(before, now) >= SAME_PLACE
    return bool(shared.any(axis=0).all() and shared.any(axis=1).all())
