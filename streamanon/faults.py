"""What fails on the way is answered by covering more, and counted by its cause; or it ends the run."""

from __future__ import annotations

from collections import Counter
from typing import Literal

import numpy as np

from streamanon.errors import DetectionError, FaultError
from streamanon.types import Faces, Float, RawFrame
from streamanon.watch import Watcher

#: Coordinates, px, beyond which a box is nonsense.
FARTHEST_PX = 1e6


class Faults:
    """Counts by cause, as "frames: detection failed (RuntimeError)". Every cause is counted in one thread.

    ``on_error``: with "stop" the first failure raises :class:`FaultError`.
    """

    def __init__(self, on_error: Literal["cover", "stop"] = "cover") -> None:
        self.counts: Counter[str] = Counter()
        self._stops = on_error == "stop"

    def note(self, unit: Literal["frames", "faces"], stage: str, error: Exception, count: int = 1) -> None:
        """``count`` frames or faces are covered more, because ``stage`` failed."""
        if isinstance(error, FaultError):  # noted already, further down
            raise error
        kind = type(error.__cause__ or error).__name__  # messages may quote anything
        self.counts[f"{unit}: {stage} failed ({kind})"] += count
        if self._stops:
            raise FaultError(f"{stage} failed ({kind}) and cover.on_error is stop") from error


class GuardedWatcher:
    """A watcher all of whose failures are :class:`DetectionError`: also answers that make no sense, as
    faces without a number for a score or a place would be lost.
    """

    def __init__(self, watcher: Watcher, faults: Faults) -> None:
        self._watcher, self._faults = watcher, faults

    def detect(self, frame: RawFrame, fresh: bool = False) -> Faces:
        try:
            return _sound(self._watcher.detect(frame, fresh))
        except Exception as error:
            self._faults.note("frames", "detection", error)
            raise DetectionError(f"detection failed on frame {frame.index}") from error

    def again(self, frame: RawFrame, boxes: Float) -> Faces:
        try:
            return _sound(self._watcher.again(frame, boxes))
        except Exception as error:
            self._faults.note("faces", "a closer look", error, len(boxes))
            raise DetectionError(f"a closer look at frame {frame.index} failed") from error


def _sound(faces: Faces) -> Faces:
    if type(faces) is not Faces:
        raise TypeError(f"a detector gives Faces, not {type(faces).__name__}")
    for numbers in (faces.boxes, faces.scores, faces.keypoints):
        if numbers.dtype != np.float32:
            raise TypeError(f"faces are float32, not {numbers.dtype}")
        if not (np.abs(numbers) < FARTHEST_PX).all():  # false for what is not a number, too
            raise ValueError("a face lies nowhere")
    if (faces.boxes[:, 2:] < faces.boxes[:, :2]).any():
        raise ValueError("a face has a negative size")
    return faces
