"""Detection with one kind of error: every exception and every invalid result is counted as a fault."""

from __future__ import annotations

import numpy as np

from streamanon.detect.detection_interval import Extent
from streamanon.detect.search import Searcher
from streamanon.errors import DetectionError
from streamanon.runtime.faults import FARTHEST_PX, Faults
from streamanon.types import Faces, Float, RawFrame


class GuardedSearcher:
    """A searcher whose failures are all :class:`DetectionError`. Invalid results count as failures: a face
    whose score or coordinates are NaN would be lost.
    """

    def __init__(self, searcher: Searcher, faults: Faults) -> None:
        self._searcher, self._faults = searcher, faults

    def detect(self, frame: RawFrame, extent: Extent = "next") -> Faces:
        try:
            return _validated(self._searcher.detect(frame, extent))
        except Exception as error:
            self._faults.note("frames", "detection", error)
            raise DetectionError(f"detection failed on frame {frame.index}") from error

    def redetect(self, frame: RawFrame, boxes: Float) -> Faces:
        try:
            return _validated(self._searcher.redetect(frame, boxes))
        except Exception as error:
            self._faults.note("faces", "re-detection", error, len(boxes))
            raise DetectionError(f"re-detection failed on frame {frame.index}") from error

    def look_again(self, frame: RawFrame, boxes: Float) -> Float | None:
        """None where it fails: then misses count as they are."""
        try:
            found = self._searcher.look_again(frame, boxes)
            if found is None:
                return None
            if found.shape != (len(boxes),) or not ((found >= 0) & (found <= 1)).all():
                raise ValueError("the probabilities of a second look are not valid")
            return found
        except Exception as error:
            self._faults.note("faces", "verification", error, len(boxes))
            return None


def _validated(faces: Faces) -> Faces:
    if type(faces) is not Faces:
        raise TypeError(f"a detector returns Faces, not {type(faces).__name__}")
    for numbers in (faces.boxes, faces.scores, faces.keypoints):
        if numbers.dtype != np.float32:
            raise TypeError(f"faces are float32, not {numbers.dtype}")
        if not (np.abs(numbers) < FARTHEST_PX).all():  # false for NaN
            raise ValueError("a face has coordinates or a score that are not finite")
    if (faces.boxes[:, 2:] < faces.boxes[:, :2]).any():
        raise ValueError("a face has a negative size")
    return faces
