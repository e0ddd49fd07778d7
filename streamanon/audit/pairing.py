"""Two videos side by side: each frame of the original with the frames of the other around the same time."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.errors import SourceError
from streamanon.media.decode import read_frames
from streamanon.media.display import as_shown
from streamanon.media.probe import probe
from streamanon.media.yuv import to_rgb
from streamanon.types import Picture

Image = NDArray[np.uint8]

#: The step of a video of one frame, seconds.
DEFAULT_STEP_SECONDS = 0.04
#: Moments are compared by small grey copies of so many cells each way.
LOOK_CELLS = 16
#: How many frames before and after may show what an original frame shows.
REACH = 3


@dataclass(frozen=True)
class Times:
    """When each frame of a video is shown, in seconds from the container's zero, and the size of the
    picture as it is shown. ``looks`` [N, cells] of 0..255: the frames in a few grey cells each.
    """

    name: str
    seconds: tuple[float, ...]
    width: int
    height: int
    looks: NDArray[np.uint8] | None = field(default=None, compare=False, repr=False)

    def duration_of(self, index: int) -> float:
        """How long a frame is shown: until the next one, or for the usual step."""
        if index + 1 < len(self.seconds):
            return self.seconds[index + 1] - self.seconds[index]
        return self.step

    @property
    def step(self) -> float:
        """The usual time between frames, seconds."""
        return float(np.median(np.diff(self.seconds))) if len(self.seconds) > 1 else DEFAULT_STEP_SECONDS


@dataclass(frozen=True, eq=False)
class Pair:
    """One frame of the original, RGB [H, W, 3], and frames of the other video at the same size, the one
    shown at the same time first. ``others`` is empty where the other video shows nothing.
    """

    index: int
    original: Image
    others: tuple[Image, ...]

    @property
    def output(self) -> Image | None:
        return self.others[0] if self.others else None


def read_times(path: str | Path) -> Times:
    """Raises :class:`SourceError` for a video without frames."""
    info = probe(path)
    seconds, looks = list[float](), list[Image]()
    for frame in read_frames(path, info):
        seconds.append(frame.pts_seconds)
        looks.append(_look(frame.picture, info.display_matrix))
    if not seconds:
        raise SourceError(f"no frame of {info.name} can be decoded; audit another file")
    stored = np.empty((info.height, info.width, 3), np.uint8)
    height, width, _ = as_shown(stored, info.display_matrix).shape
    return Times(Path(info.name).name, tuple(seconds), width, height, np.stack(looks))


def _look(picture: Picture, display_matrix: tuple[int, ...] | None) -> Image:
    """The luma of a picture as it is shown, in a few cells [cells] of 0..255."""
    small = cv2.resize(picture.planes[0], (LOOK_CELLS, LOOK_CELLS), interpolation=cv2.INTER_AREA)
    levels = (small.astype(np.float32) / (1 << picture.bits - 8)).astype(np.uint8)
    return as_shown(levels[..., None], display_matrix).ravel()


def read_rgb_frames(path: str | Path) -> Iterator[Image]:
    """The frames, RGB [H, W, 3], as players show them: some tools store a phone's video upright, others
    keep its rotation, and judges know upright faces only.
    """
    info = probe(path)
    for frame in read_frames(path, info):
        yield as_shown(to_rgb(frame.picture), info.display_matrix)


def counterparts(original: Times, other: Times) -> list[int | None]:
    """For each original frame the frame of the other video that is on screen in its middle.

    None: before the other video's start or after its end, by more than half a second. Both are on one
    clock, as by :func:`streamanon.audit.alignment.align`.
    """
    starts = other.seconds
    found: list[int | None] = []
    for index, second in enumerate(original.seconds):
        middle = second + original.duration_of(index) / 2
        at = bisect_left(starts, middle) - 1
        outside = middle < starts[0] - 0.5 or middle > starts[-1] + other.step + 0.5
        found.append(None if outside else min(max(at, 0), len(starts) - 1))
    return found


def read_pairs(
    original: str | Path, other: str | Path, times: tuple[Times, Times], reach: int = REACH
) -> Iterator[Pair]:
    """Every frame of the original with its counterpart and ``reach`` frames on either side of that."""
    matches = counterparts(*times)
    size = times[0].width, times[0].height
    window: dict[int, Image] = {}
    numbered = enumerate(read_rgb_frames(other))
    for index, rgb in enumerate(read_rgb_frames(original)):
        middle = matches[index] if index < len(matches) else None
        if middle is None:
            yield Pair(index, rgb, ())
            continue
        while not window or max(window) < middle + reach:
            number, frame = next(numbered, (-1, None))
            if frame is None:
                break
            window[number] = _at_size(frame, size)
        window = {number: frame for number, frame in window.items() if number >= middle - reach}
        near = sorted((n for n in window if n <= middle + reach), key=lambda n: abs(n - middle))
        yield Pair(index, rgb, tuple(window[number] for number in near))


def _at_size(frame: Image, size: tuple[int, int]) -> Image:
    if (frame.shape[1], frame.shape[0]) == size:
        return frame
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)
