"""Looking at a stream: which frames, how closely, which way up, and once more where a face was lost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.detector import PADDING, FaceDetector, View, merge
from streamanon.errors import DetectionError
from streamanon.geometry import invert, overlap, transform
from streamanon.pixels import crop, small_rgb
from streamanon.shots import CutDetector, thumbnail
from streamanon.stride import Stride
from streamanon.types import Faces, Float, Observation, Picture, RawFrame, Status

#: Between two looks there is another if the thumbnail has changed by more than this since the last frame,
#: in mean levels: a camera that pans, or somebody who comes close.
MOVED = 4.0
#: Each so many looks all four ways up are tried.
TRY_EVERY = 30
#: Faces that are upright another way count if they are as sure as this.
SURE = 0.6
#: Only faces with this score speak for a way up.
LIKELY = 0.5
#: Another way up is taken when its faces are so much surer, in so many looks on end: upside down, a near
#: face is a face as well.
CLEARLY, OFTEN = 1.3, 3
#: A lost face is looked for in a square so many times its size, scaled to this many px, upright and tilted.
AROUND, AGAIN_PX = 3.0, 192
TILTS_DEG = (0.0, 30.0, -30.0)
#: At most so many lost faces, the largest, are looked for in one frame.
MOST_AGAIN = 3
#: What is found counts if it is this near, in sizes, and its size this much like it, as a ratio.
NEAR, ALIKE = 0.5, 1.7


class Watcher(Protocol):
    """The seam that a fake fills in tests."""

    def detect(self, frame: RawFrame, fresh: bool = False) -> Faces:
        """Faces of a frame, not tracked yet. ``fresh``: nothing is known of what it shows. Raises
        :class:`DetectionError`.
        """
        ...

    def again(self, frame: RawFrame, boxes: Float) -> Faces:
        """What a closer look finds where faces are expected, ``boxes`` [N, 4]. Raises
        :class:`DetectionError`.
        """
        ...


class Watch:
    """Looks at the frames of one stream, which players turn by ``rotation`` degrees counter-clockwise."""

    def __init__(self, detector: FaceDetector, rotation: int = 0) -> None:
        self._detector = detector
        self._turn = self._told = rotation // 90 % 4
        self._looks = 0
        self._other, self._times, self._doubts = self._turn, 0, 0

    def detect(self, frame: RawFrame, fresh: bool = False) -> Faces:
        """All of the frame, and one of its tiles after the other; in a ``fresh`` one all of them. Now and
        then the other ways up as well.
        """
        closer: Sequence[View] = self._detector.tiles(frame.picture, self._turn)
        if closer and not fresh:
            number = self._looks % len(closer)
            closer = closer[number : number + 1]
        found = self._detector.search(frame, self._turn, closer)
        if self._turn != self._told:  # patterns may have turned it
            found = self._as_told(frame, found)
        if fresh or self._times or self._looks % TRY_EVERY == 0:
            found = self._turned(frame, found)
        self._looks += 1
        return found

    def _as_told(self, frame: RawFrame, found: Faces) -> Faces:
        """Also the faces that are upright as the file tells; that way is taken again if it shows more."""
        upright = self._detector.search(frame, self._told)
        self._doubts = self._doubts + 1 if _evidence(upright) > _evidence(found) else 0
        if self._doubts < OFTEN:
            return found.joined(elsewhere(upright, found))
        self._turn, self._times, self._doubts = self._told, 0, 0
        return upright.joined(elsewhere(found, upright))

    def _turned(self, frame: RawFrame, found: Faces) -> Faces:
        """Also the faces that are upright another way. The way that shows most is taken in the end."""
        others = {t: self._detector.search(frame, t) for t in range(4) if t != self._turn}
        best = max(others, key=lambda turn: _evidence(others[turn]))
        if _evidence(others[best]) <= CLEARLY * _evidence(found):
            self._times = 0
        else:
            self._times = self._times + 1 if best == self._other else 1
            self._other = best
        if self._times == OFTEN:
            self._turn, self._times = best, 0
            return others[best].joined(elsewhere(found, others[best]))
        for faces in others.values():
            found = found.joined(elsewhere(faces[faces.scores >= SURE], found))
        return found

    def again(self, frame: RawFrame, boxes: Float) -> Faces:
        try:
            near = np.argsort(-np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))[:MOST_AGAIN]
            found = [self._near(frame.picture, boxes[row]) for row in near]
        except Exception as error:
            raise DetectionError(f"detection failed on frame {frame.index}") from error
        faces = Faces.empty()
        for one in found:
            faces = merge(faces, one)
        return faces

    def _near(self, picture: Picture, box: Float) -> Faces:
        for tilt in TILTS_DEG:
            image, matrix = close_up(picture, box, 90.0 * self._turn + tilt)
            found = plausible(from_close_up(self._detector.read(image), invert(matrix)), box)
            if len(found):
                return found
        return Faces.empty()


def _evidence(faces: Faces) -> float:
    """What speaks for a way up: the faces that are likely ones."""
    return float((faces.scores[faces.scores >= LIKELY] ** 2).sum())


def elsewhere(faces: Faces, known: Faces) -> Faces:
    """The faces that overlap none of the ``known`` ones. It is not certain which way up they are, so all
    their keypoints lie in their middle.
    """
    free = faces[~(overlap(faces.boxes, known.boxes) > 0).any(axis=1)]
    middles = (free.boxes[:, :2] + free.boxes[:, 2:]) / np.float32(2)
    points = np.repeat(middles[:, None], free.keypoints.shape[1], axis=1)
    return Faces(free.boxes, free.scores, points, free.track_ids)


def close_up(picture: Picture, box: Float, angle: float) -> tuple[Float, Float]:
    """A square around a face, turned counter-clockwise by an angle in degrees: [1, 3, 192, 192] RGB 0..1,
    and the map [2, 3] from the picture to it.
    """
    middle, size = (box[:2] + box[2:]) / 2, float(np.sqrt(np.prod(box[2:] - box[:2])))
    scale = AGAIN_PX / (AROUND * size)
    reach = AROUND * size * 0.75  # the corners of a tilted square lie farther out
    step = np.array(picture.chroma_step)
    limits = np.array([picture.width, picture.height])
    low = (np.floor((middle - reach) / step) * step).astype(int).clip(0, limits - 1) // step * step
    high = np.minimum((np.ceil((middle + reach) / step) * step).astype(int), limits)
    part = crop(picture, (int(low[0]), int(low[1]), int(high[0]), int(high[1])))
    inner = max(1, round(part.width * scale)), max(1, round(part.height * scale))
    small = small_rgb(part, *inner)
    shrink = np.array([inner[0] / part.width, inner[1] / part.height])
    turn = cv2.getRotationMatrix2D((0.0, 0.0), angle, 1.0)[:, :2]
    centre = (middle - low + 0.5) * shrink - 0.5
    own = np.column_stack([turn, (AGAIN_PX - 1) / 2 - turn @ centre])
    square = cv2.warpAffine(small, own, (AGAIN_PX, AGAIN_PX), borderValue=(PADDING,) * 3)
    image = np.ascontiguousarray(square.transpose(2, 0, 1)[None], np.float32) / np.float32(255)
    linear = turn * shrink
    return image, np.column_stack([linear, (AGAIN_PX - 1) / 2 - linear @ middle]).astype(np.float32)


def from_close_up(faces: Faces, back: Float) -> Faces:
    """Faces of a close-up in px of the picture; their boxes keep their size, however tilted they are."""
    middles = transform(back, (faces.boxes[:, :2] + faces.boxes[:, 2:]) / np.float32(2))
    halves = (faces.boxes[:, 2:] - faces.boxes[:, :2]) / 2 * np.sqrt(abs(np.linalg.det(back[:, :2])))
    boxes = np.concatenate([middles - halves, middles + halves], axis=1).astype(np.float32)
    return Faces(boxes, faces.scores, transform(back, faces.keypoints), faces.track_ids)


def plausible(faces: Faces, box: Float) -> Faces:
    """Those that lie about where ``box`` [4] does and are about as large."""
    sizes = np.sqrt(np.prod((faces.boxes[:, 2:] - faces.boxes[:, :2]).clip(1e-3), axis=1))
    size = float(np.sqrt(np.prod(box[2:] - box[:2])))
    apart = np.linalg.norm((faces.boxes[:, :2] + faces.boxes[:, 2:] - box[:2] - box[2:]) / 2, axis=1)
    return faces[(apart <= NEAR * size) & (np.abs(np.log(sizes / size)) <= np.log(ALIKE))]


def observe(frames: Iterable[RawFrame], watcher: Watcher, stride: Stride) -> Iterator[Observation]:
    """Look at each n-th frame, at those in which much moves, and always at one that may be the first of a
    shot; a failure marks its frame. ``stride`` leaves looks out where a live stream comes too fast.
    """
    cuts, before = CutDetector(), None
    for frame in stride.follow(frames):
        small = thumbnail(frame.picture)
        cut, moves = cuts.is_cut(small), before is not None and _moved(before, small)
        before, fresh = small, cut or cuts.doubtful or frame.index == 0
        if not fresh and not stride.is_due(moves):
            yield Observation(frame, Faces.empty(), "skipped", cut)
            continue
        faces, status = _look(frame, watcher, fresh)
        stride.looked(status == "seen")
        yield Observation(frame, faces, status, cut)


def _moved(before: NDArray[np.uint8], small: NDArray[np.uint8]) -> bool:
    return before.shape == small.shape and float(cv2.absdiff(before, small).mean()) > MOVED


def _look(frame: RawFrame, watcher: Watcher, fresh: bool) -> tuple[Faces, Status]:
    try:
        return watcher.detect(frame, fresh), "seen"
    except DetectionError:
        return Faces.empty(), "failed"
