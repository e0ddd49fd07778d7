"""Whether a picture still shows what the detector has seen of it, apart from the people it found there."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.types import Faces

#: A place of a thumbnail changed if it differs by more than so many levels of 255: a face that covers a
#: quarter of the place differs by more, noise and compression by less.
CHANGED_LEVELS = 3
#: Where people are, so many levels in so much of the whole picture are more than a person who moves.
MUCH_LEVELS, MUCH_SHARE = 10, 0.25
#: A picture is known after so many passes: then every size, and tiles, have had their turn.
KNOWN_PASSES = 6
#: Detections of this probability are people, whose own movements are no sign of anybody else.
SURE_PROBABILITY = 0.5
#: How far around a face its person's movements reach: left, above, right, below, in face sizes.
REACH = (1.5, 1.0, 1.5, 3.0)


class Stillness:
    """Compares thumbnails, uint8 [h, w], with the one of the first pass since something changed."""

    def __init__(self) -> None:
        self._first: NDArray[np.uint8] | None = None
        self._elsewhere = np.ones((0, 0), bool)
        self._passes = 0

    def is_known(self, small: NDArray[np.uint8]) -> bool:
        """Whether the detector has seen enough of this picture, in which nothing has changed since but in
        the places of people. Call it once for each frame.
        """
        if self._first is None:
            return False
        if self._first.shape != small.shape or self._changed(self._first, small):
            self._first, self._passes = None, 0
        return self._passes >= KNOWN_PASSES

    def searched(
        self, small: NDArray[np.uint8], faces: Faces, size: tuple[int, int], near_only: bool = False
    ) -> None:
        """A pass has found ``faces`` in a picture of a ``size`` (width, height), px. ``near_only``: it was
        for near faces alone, and no size or tile has had its turn.
        """
        if self._first is None:
            self._first, self._elsewhere = small, np.ones(small.shape, bool)
        self._passes += not near_only
        scale = np.tile(np.array(small.shape[::-1]) / size, 2)
        for box in faces.boxes[faces.scores >= SURE_PROBABILITY]:
            reach = np.array(REACH) * [-1, -1, 1, 1] * float(np.sqrt(np.prod(box[2:] - box[:2])))
            x0, y0, x1, y1 = ((box + reach) * scale).astype(int).clip(0)
            self._elsewhere[y0 : y1 + 1, x0 : x1 + 1] = False

    def _changed(self, first: NDArray[np.uint8], small: NDArray[np.uint8]) -> bool:
        levels = cv2.absdiff(first, small)
        much = float((levels > MUCH_LEVELS).mean()) > MUCH_SHARE
        return much or bool((levels[self._elsewhere] > CHANGED_LEVELS).any())
