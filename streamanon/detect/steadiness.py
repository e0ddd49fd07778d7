"""Whether the detector sees the same faces in the same places, pass after pass, and doubts none."""

from __future__ import annotations

from streamanon.geometry import overlap
from streamanon.types import Faces, Float

#: Finds of this probability are faces, those below the other one are none; one in between is doubted.
SURE_PROBABILITY, NO_PROBABILITY = 0.9, 0.1
#: A face is in the same place if its box shares so much with the one of the last pass (intersection over
#: union).
SAME_PLACE = 0.6
#: The finds are steady once all of so long a time were alike, s: who is found only now and then is not to
#: be looked for less often.
ALIKE_SECONDS = 1.2


class Steadiness:
    """Compares the finds of each pass with those of the one before."""

    def __init__(self) -> None:
        self._boxes: Float | None = None
        self._since = self._last = 0.0

    @property
    def is_steady(self) -> bool:
        return self._boxes is not None and self._last - self._since >= ALIKE_SECONDS

    def searched(self, faces: Faces, seconds: float) -> None:
        """A pass has found ``faces`` at a time."""
        sure = faces.scores >= SURE_PROBABILITY
        doubted = bool((~sure & (faces.scores > NO_PROBABILITY)).any())
        boxes, before = faces.boxes[sure], self._boxes
        alike = before is not None and _same_places(before, boxes)
        if not alike or seconds < self._last:
            self._since = seconds
        self._boxes, self._last = None if doubted else boxes, seconds

    def restart(self) -> None:
        """What is seen now may be something else."""
        self._boxes = None


def _same_places(before: Float, now: Float) -> bool:
    """Whether each box [N, 4] of one has one of the other in its place."""
    if len(before) != len(now):
        return False
    shared = overlap(before, now) >= SAME_PLACE
    return bool(shared.any(axis=0).all() and shared.any(axis=1).all())
