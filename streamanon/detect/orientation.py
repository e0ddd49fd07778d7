"""The orientation of a stream, from the faces detected in each of the four rotations."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from streamanon.types import Faces

#: Faces from this probability count as evidence for an orientation.
EVIDENCE_PROBABILITY = 0.5
#: The orientation changes when another one has more than this many times its evidence in this many
#: detection passes in a row.
ORIENTATION_RATIO, ORIENTATION_DETECTIONS = 1.3, 3


class Orientation:
    """``turn``: by how many quarter turns counter-clockwise a stream's pictures are rotated for detection.

    It starts with ``declared``, the file's own ``rotation`` (degrees), and returns to it as soon as that
    has as much evidence: patterns can mislead it, and a close face can look like a face upside down, too.
    """

    def __init__(self, rotation: int = 0) -> None:
        self.turn = self.declared = rotation // 90 % 4
        self._other, self._passes, self._doubts = self.turn, 0, 0

    @property
    def is_in_doubt(self) -> bool:
        """Whether another orientation had more evidence in the last pass over all four."""
        return self._passes > 0

    def judge(self, evidence: Mapping[int, float]) -> None:
        """Add one detection pass's evidence by turn: of the present and the declared one, or all four."""
        if self.turn != self.declared:
            doubtful = evidence[self.declared] > 0 and evidence[self.declared] >= evidence[self.turn]
            self._doubts = self._doubts + 1 if doubtful else 0
            if self._doubts >= ORIENTATION_DETECTIONS:
                self._take(self.declared)
                return
        if len(evidence) == 4:
            self._compare(evidence)

    def _compare(self, evidence: Mapping[int, float]) -> None:
        best = max((turn for turn in evidence if turn != self.turn), key=evidence.__getitem__)
        if evidence[best] <= ORIENTATION_RATIO * evidence[self.turn]:
            self._passes = 0
            return
        self._passes = self._passes + 1 if best == self._other else 1
        self._other = best
        if self._passes >= ORIENTATION_DETECTIONS:
            self._take(best)

    def _take(self, turn: int) -> None:
        self.turn, self._passes, self._doubts = turn, 0, 0


def evidence_of(faces: Faces) -> float:
    """Evidence for an orientation: the sum of squared probabilities of the likely faces."""
    likely = faces.scores[faces.scores >= EVIDENCE_PROBABILITY]
    return float(np.square(likely).sum())
