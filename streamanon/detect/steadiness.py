"""Whether pass after pass detects the same faces in the same places, none of them uncertain."""

from __future__ import annotations

from streamanon.geometry import overlap
from streamanon.types import Faces, Float

#: Detections of at least the first probability are faces, of at most the other one none; one in between is
#: uncertain.
SURE_PROBABILITY, NO_PROBABILITY = 0.9, 0.1
#: A face is in the same place if its box shares so much with the one of the last pass (intersection over
#: union).
SAME_PLACE = 0.6
#: Detections are steady once those of so long a time were alike, s: somebody who is detected only now and
#: then is not to be searched for less often.
ALIKE_SECONDS = 1.2


class Steadiness:
    """Compares the detections of each pass with those of the one before."""

    def __init__(self) -> None:
        self._boxes: Float | None = None
        self._since = self._last = 0.0

    @property
    def is_steady(self) -> bool:
        return self._boxes is not None and self._last - self._since >= ALIKE_SECONDS

    def searched(self, faces: Faces, seconds: float) -> None:
        """A pass has detected ``faces`` at ``seconds``."""
        sure = faces.scores >= SURE_PROBABILITY
        is_uncertain = bool((~sure & (faces.scores > NO_PROBABILITY)).any())
        boxes, before = faces.boxes[sure], self._boxes
        alike = before is not None and _same_places(before, boxes)
        if not alike or seconds < self._last:
            self._since = seconds
        self._boxes, self._last = None if is_uncertain else boxes, seconds

    def restart(self) -> None:
        """What is seen now may be something else."""
        self._boxes = None


def _same_places(before: Float, now: Float) -> bool:
    """Whether each box [N, 4] of one has one of the other in its place."""
    if len(before) != len(now):
        return False
    shared = overlap(before, now) >= SAME_PLACE
    return bool(shared.any(axis=0).all() and shared.any(axis=1).all())
