"""Whatever moves, for those who would rather cover too much: an answer to faces that no detector finds.

After the motion masking of network cameras: a pixel of a small luma picture that changes within the frames
around a frame, a while back and as far ahead as is held, belongs to what moves. So it is covered with its
trail, before it starts and after it stops. A camera that moves changes every pixel: then all is covered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.types import Float, Picture, Resolved

#: The longer side of the small picture, px: a face of an eightieth of the frame is two of them wide.
LONG_SIDE = 160
#: So many frames later a change still counts: who moved once and then holds still that long, is seen.
BACK_FRAMES = 25
#: Levels of luma by which a pixel must change: so many times the picture's own noise, within these limits.
NOISE_FACTOR, LEAST_CHANGE, MOST_CHANGE = 4.0, 6.0, 16.0
#: Parts of one thing closer than this, px of the small picture, are joined. On every side a region grows by
#: a share of its longer side, as of a plain thing only the edges change, and by some px.
JOIN_PX = 5
GROWTH, GROWTH_PX = 0.25, 2
#: With more than this share of the picture in regions, all of it is covered.
MOST_SHARE = 0.7


@dataclass(frozen=True, eq=False)
class _Seen:
    resolved: Resolved
    small: NDArray[np.uint8]


def cover_motion(frames: Iterable[Resolved], ahead: int) -> Iterator[Resolved]:
    """Hold back ``ahead`` frames, then emit each, in order, with ``moving`` filled in.

    Nothing crosses a cut.
    """
    past: deque[NDArray[np.uint8]] = deque(maxlen=BACK_FRAMES)
    held: deque[_Seen] = deque()
    for resolved in frames:
        held.append(_Seen(resolved, small_luma(resolved.frame.picture)))
        if len(held) > ahead:
            yield _settled(held, past)
    while held:
        yield _settled(held, past)


def _settled(held: deque[_Seen], past: deque[NDArray[np.uint8]]) -> Resolved:
    """The first of the held frames, which becomes past."""
    first, *later = held
    held.popleft()
    if first.resolved.cut:
        past.clear()
    window = [*past, first.small]
    for one in later:
        if one.resolved.cut:
            break
        window.append(one.small)
    past.append(first.small)
    picture = first.resolved.frame.picture
    return replace(first.resolved, moving=moving_boxes(window, picture.width, picture.height))


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
    steps = np.abs(np.diff(stack[-8:].astype(np.int16), axis=0))
    return float(np.quantile(steps.max(axis=0), 0.1))


def _grown(region: NDArray[Any], shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    x, y, width, height = (int(edge) for edge in region)
    pad = round(GROWTH * max(width, height)) + GROWTH_PX
    return max(x - pad, 0), max(y - pad, 0), min(x + width + pad, shape[1]), min(y + height + pad, shape[0])
