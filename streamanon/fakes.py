"""Stand-ins with a known truth, which need no file and no model: a leak becomes a number of pixels.

::

    source = FakeSource(60, 160, 96, {0: moving((20, 20, 60, 70), (1, 0), 60)})
    detector = FakeDetector(source.faces, misses={(10, 0), (11, 0)})
    for observation in observe(source, detector, every=2): ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from streamanon.errors import DetectionError
from streamanon.types import Faces, Float, Observation, Picture, RawFrame

Box = tuple[float, float, float, float]  # xyxy px
#: Where each face is: track id to one box per frame, None where it is not to be seen.
Truth = Mapping[int, Sequence[Box | None]]
#: (frame index, track id) pairs that the detector misses, or a function that tells.
Misses = AbstractSet[tuple[int, int]] | Callable[[int, int], bool]

#: Y, U, V of a fake face. Every other square of it is dark, so that the key luma does not outlive a mosaic
#: or a blur; the background never comes near it.
KEY_COLOUR = (235, 60, 200)
_DARK_LUMA = 40
_SQUARE_PX = 4
_BACKGROUND_LUMA = (20, 160)


def moving(box: Box, velocity: tuple[float, float], count: int, start: int = 0) -> tuple[Box | None, ...]:
    """A face's truth over ``count`` frames: ``box`` in frame ``start``, then ``velocity`` px a frame."""
    (x0, y0, x1, y1), (dx, dy) = box, velocity
    steps = range(-start, count - start)
    return tuple((x0 + dx * n, y0 + dy * n, x1 + dx * n, y1 + dy * n) if n >= 0 else None for n in steps)


@dataclass(frozen=True, eq=False)
class FakeSource:
    """``count`` frames of yuv420p with ``faces`` painted in, later ones on top, at 25 frames a second.

    The background changes at the frames in ``cuts``; ``seed`` fixes it.
    """

    count: int
    width: int
    height: int
    faces: Truth = field(default_factory=dict)
    cuts: frozenset[int] = frozenset()
    seed: int = 0

    def __iter__(self) -> Iterator[RawFrame]:
        for index in range(self.count):
            yield RawFrame(index, index, Fraction(1, 25), self._paint(index), duration=1)

    def boxes(self, index: int) -> list[Box]:
        """The true faces of one frame, covered or not."""
        return list(_present(self.faces, index).values())

    def _paint(self, index: int) -> Picture:
        planes = self._background(sum(cut <= index for cut in self.cuts))
        for box in self.boxes(index):
            _paint_face(planes, box)
        return Picture(planes, "yuv420p")

    def _background(self, shot: int) -> tuple[NDArray[np.uint8], ...]:
        """Grey blocks of 16 px, others in every shot."""
        rng = np.random.default_rng((self.seed, shot))
        blocks = rng.integers(*_BACKGROUND_LUMA, (self.height // 16 + 1, self.width // 16 + 1), np.uint8)
        luma = np.kron(blocks, np.ones((16, 16), np.uint8))[: self.height, : self.width]
        chroma = (-(-self.height // 2), -(-self.width // 2))
        return luma.copy(), np.full(chroma, 128, np.uint8), np.full(chroma, 128, np.uint8)


@dataclass(frozen=True, eq=False)
class FakeDetector:
    """Finds the true faces, but for those in ``misses``; fails on the frames in ``fails``.

    ``noise_px``: standard deviation of each box edge, the same in every run.
    """

    truth: Truth
    misses: Misses = frozenset()
    fails: AbstractSet[int] = frozenset()
    noise_px: float = 0.0
    score: float = 0.9

    def detect(self, frame: RawFrame) -> Faces:
        """Faces in the order of their true ids, untracked; raises :class:`DetectionError` where told to."""
        if frame.index in self.fails:
            raise DetectionError(f"frame {frame.index} was told to fail")
        missed = self.misses if callable(self.misses) else lambda *pair: pair in self.misses
        found = [b for i, b in _present(self.truth, frame.index).items() if not missed(frame.index, i)]
        boxes = np.array(found, np.float32).reshape(-1, 4)
        noise = np.random.default_rng(frame.index).normal(0, self.noise_px, boxes.shape)
        return faces_at(boxes + noise.astype(np.float32), self.score)


def faces_at(boxes: Float, score: float = 0.9) -> Faces:
    """Untracked faces for boxes [N, 4], with keypoints where a frontal face has them."""
    count = len(boxes)
    spots = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)
    keypoints = boxes[:, None, :2] + spots * (boxes[:, None, 2:] - boxes[:, None, :2])
    return Faces(boxes, np.full(count, score, np.float32), keypoints, np.full(count, -1, np.int64))


def observe(
    frames: Iterable[RawFrame], detector: FakeDetector, every: int = 1, cuts: AbstractSet[int] = frozenset()
) -> Iterator[Observation]:
    """What a detecting stage makes of frames: each n-th one and each cut is looked at."""
    for frame in frames:
        cut = frame.index in cuts
        if frame.index % every and not cut:
            yield Observation(frame, Faces.empty(), "skipped")
            continue
        try:
            yield Observation(frame, detector.detect(frame), "seen", cut)
        except DetectionError:
            yield Observation(frame, Faces.empty(), "failed", cut)


def leaked_pixels(picture: Picture, boxes: Iterable[Box], tolerance: int = 24) -> int:
    """How many pixels within ``boxes`` still have the key colour of a fake face.

    ``picture``: 8 bit Y, U, V. A face that nothing covers leaks about half of its pixels.
    """
    step_x, step_y = picture.chroma_step
    leaked = np.zeros((picture.height, picture.width), bool)
    for box in boxes:
        rows, columns = _pixels(box)
        leaked[rows, columns] = True
    for plane, key in zip(picture.planes, KEY_COLOUR, strict=True):
        near = np.abs(plane.astype(np.int16) - key) <= tolerance
        if plane.shape != leaked.shape:
            near = near.repeat(step_y, axis=0).repeat(step_x, axis=1)[: picture.height, : picture.width]
        leaked &= near
    return int(leaked.sum())


def _present(truth: Truth, index: int) -> dict[int, Box]:
    at = {i: boxes[index] for i, boxes in truth.items() if index < len(boxes)}
    return {i: box for i, box in at.items() if box is not None}


def _paint_face(planes: tuple[NDArray[np.uint8], ...], box: Box) -> None:
    rows, columns = _pixels(box)
    region = planes[0][rows, columns]
    y, x = np.indices(region.shape) // _SQUARE_PX
    region[...] = np.where((x + y) % 2, _DARK_LUMA, KEY_COLOUR[0])
    for plane, key in zip(planes[1:], KEY_COLOUR[1:], strict=True):
        plane[rows.start // 2 : -(-rows.stop // 2), columns.start // 2 : -(-columns.stop // 2)] = key


def _pixels(box: Box) -> tuple[slice, slice]:
    """The rows and columns whose centres lie in a box; slices end at the picture's edge by themselves."""
    x0, y0, x1, y1 = (max(edge, 0.0) for edge in (box[0], box[1], box[2] + 1, box[3] + 1))
    return slice(int(np.ceil(y0)), int(y1)), slice(int(np.ceil(x0)), int(x1))
