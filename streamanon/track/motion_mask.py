"""The motion mask of ``cover.paranoid``: covers whatever moves, and so faces that the detector never finds.

After the motion masking of network cameras: a pixel of a small luma picture that changes within the frames
around a frame (``BACK_SECONDS`` back, and as far ahead as is held) is motion. So a moving thing is covered
with its trail, before it starts and after it stops. A moving camera changes every pixel: then all is
covered.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.track.hold import MOST_HELD_FRAMES, within
from streamanon.types import Float, Observation, Picture, Resolved

#: The longer side of the small picture, px: a face of an eightieth of the frame is two of them wide.
LONG_SIDE = 160
#: A change still counts this long afterwards, s: somebody who then holds still for longer is uncovered.
BACK_SECONDS = 1.0
#: Levels of luma by which a pixel must change: so many times the picture's own noise, within these limits.
NOISE_FACTOR, LEAST_CHANGE, MOST_CHANGE = 4.0, 6.0, 16.0
#: The noise is what this share of the pixels, the still ones, stays below, in so many pictures.
STILL_SHARE, NOISE_PICTURES = 0.1, 8
#: Regions closer than this, px of the small picture, are joined. A region grows on every
#: side by a share of its longer side, as only the edges of a plain object change, and by some px.
JOIN_PX = 5
GROWTH, GROWTH_PX = 0.25, 2
#: With more than this share of the picture in regions, all of it is covered.
MOST_SHARE = 0.7


@dataclass(frozen=True, eq=False)
class _Seen:
    """A small picture, and whether its frame is the first of a shot."""

    seconds: float
    small: NDArray[np.uint8]
    cut: bool


class MotionMask:
    """What moves in one stream. It keeps small pictures only: the look-ahead holds the frames.

    ``watch`` is the stage before the look-ahead and ``cover`` the one after it, in one thread. Nothing
    crosses a cut.
    """

    def __init__(self) -> None:
        self._past: deque[_Seen] = deque(maxlen=MOST_HELD_FRAMES)
        #: Those watched and not covered yet, at most as many as the look-ahead holds.
        self._ahead: deque[_Seen] = deque()

    def watch(self, observations: Iterable[Observation]) -> Iterator[Observation]:
        """Pass frames on as they go into the look-ahead."""
        for observation in observations:
            frame = observation.frame
            self._ahead.append(_Seen(frame.pts_seconds, small_luma(frame.picture), observation.cut))
            yield observation

    def cover(self, frames: Iterable[Resolved]) -> Iterator[Resolved]:
        """The same frames, in the same order, as they come out of it, with ``moving`` filled in."""
        for resolved in frames:
            picture = resolved.frame.picture
            yield replace(resolved, moving=moving_boxes(self._window(), picture.width, picture.height))

    def _window(self) -> list[NDArray[np.uint8]]:
        """The small pictures around the next frame to cover, which becomes past."""
        now, past = self._ahead.popleft(), self._past
        if now.cut:
            past.clear()
        while past and not within(past[0].seconds, now.seconds, BACK_SECONDS):
            past.popleft()
        later = itertools.takewhile(lambda one: not one.cut, self._ahead)
        window = [one.small for one in (*past, now, *later)]
        past.append(now)
        return window


def small_luma(picture: Picture) -> NDArray[np.uint8]:
    """The first plane, at most 160 px long and smoothed against noise: uint8 [h, w]."""
    shrink = min(1.0, LONG_SIDE / max(picture.width, picture.height))
    size = max(1, round(picture.width * shrink)), max(1, round(picture.height * shrink))
    small = cv2.blur(cv2.resize(picture.planes[0], size, interpolation=cv2.INTER_AREA), (3, 3))
    return (np.asarray(small, np.uint16) >> (picture.bits - 8)).astype(np.uint8)


def moving_boxes(window: Sequence[NDArray[np.uint8]], width: int, height: int) -> Float:
    """Boxes [N, 4] xyxy px of a frame of ``width`` by ``height`` for what changes within ``window``."""
    stack = np.stack(window)
    spread = (stack.max(axis=0) - stack.min(axis=0)).astype(np.float32)
    mask = spread > np.clip(NOISE_FACTOR * _noise(stack), LEAST_CHANGE, MOST_CHANGE)
    if not mask.any():
        return np.zeros((0, 4), np.float32)
    joined = cv2.dilate(mask.astype(np.uint8), np.ones((JOIN_PX, JOIN_PX), np.uint8))
    count, _, regions, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    boxes = [_grown(regions[number, :4], mask.shape) for number in range(1, count)]
    covered = np.zeros(mask.shape, bool)
    for x0, y0, x1, y1 in boxes:
        covered[y0:y1, x0:x1] = True
    if covered.mean() > MOST_SHARE:
        boxes = [(0, 0, mask.shape[1], mask.shape[0])]
    scale = np.array([width / mask.shape[1], height / mask.shape[0]] * 2)
    return np.asarray(np.array(boxes) * scale - 0.5, np.float32)


def _noise(stack: NDArray[np.uint8]) -> float:
    """The most levels by which a still pixel changes between frames: what one in ten stays below."""
    if len(stack) < 2:
        return 0.0
    steps = np.abs(np.diff(stack[-NOISE_PICTURES:].astype(np.int16), axis=0))
    return float(np.quantile(steps.max(axis=0), STILL_SHARE))


def _grown(region: NDArray[Any], shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    x, y, width, height = (int(edge) for edge in region)
    pad = round(GROWTH * max(width, height)) + GROWTH_PX
    return max(x - pad, 0), max(y - pad, 0), min(x + width + pad, shape[1]), min(y + height + pad, shape[0])
