"""Detection on a stream: which views, tiles and orientations, and re-detection of lost faces."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.config import DetectConfig
from streamanon.detect.detection_interval import DetectionInterval, Extent
from streamanon.detect.orientation import EVIDENCE_PROBABILITY, Orientation, evidence_of
from streamanon.detect.shot_cuts import CutDetector, thumbnail
from streamanon.detect.steadiness import Steadiness
from streamanon.detect.stillness import Stillness
from streamanon.detect.tiling import PADDING
from streamanon.detect.verifier import Verifier
from streamanon.detect.view_schedule import Look, ViewSchedule
from streamanon.detect.yolo import FaceDetector, best, merge, shares_of
from streamanon.errors import DetectionError
from streamanon.geometry import invert, transform
from streamanon.media.coloured_light import without_cast
from streamanon.media.yuv import crop, from_rgb, small_rgb
from streamanon.types import Faces, Float, Observation, Picture, RawFrame, Status

#: Much moves if the thumbnail changed by more than this since the last frame, mean levels of 255: a camera
#: that pans, or somebody who comes close.
MOVED_LEVELS = 4.0
#: Weight of the log-odds of the detector's score against those of the verifier's probability (1) when the
#: best of several detections of one face is chosen.
DETECTOR_WEIGHT = 0.5
#: Faces in another orientation count from this probability.
OTHER_ORIENTATION_PROBABILITY = 0.6
#: And if no likely face of the present orientation shares more than this part of the area of either box:
#: parts of a face that look like one another way up share 0.4 and more, heads side by side up to 0.2.
OTHER_FACE_SHARE = 0.3
#: Probability assumed where the verifier failed, for detections whose score is enough to start a track.
UNVERIFIED_PROBABILITY = 0.95
#: A lost face is still in its expected place if the verifier gives it this probability there.
STILL_THERE_PROBABILITY = 0.5
#: Re-detected faces count from this probability.
REDETECTION_PROBABILITY = 0.3
#: Re-detection searches a square of so many times the face's size, scaled to this many px, at these angles;
#: tilted only where the verifier saw something like a face, which leans perhaps, with this probability.
CLOSE_UP_SIZES, CLOSE_UP_PX, TILTED_PROBABILITY = 3.0, 128, 0.05
#: Half the sides of that square from its middle, in its sides: the corners of a tilted one lie farther out.
TILTED_REACH = 0.75
TILTS_DEG = (0.0, 30.0, -30.0)
#: Re-detection runs for at most so many lost faces in one frame, the largest ones.
MAX_CLOSE_UPS = 3
#: A re-detected face may be this far from the expected centre, in sizes, and differ in size by this ratio.
MAX_DISTANCE_SIZES, MAX_SIZE_RATIO = 0.5, 1.7

#: Called with the verifier's error and the number of detections that it failed on.
OnUnverified = Callable[[Exception, int], None]


class Searcher(Protocol):
    """The seam that a fake fills in tests."""

    def detect(self, frame: RawFrame, extent: Extent = "next") -> Faces:
        """Faces of a frame, not tracked yet, of as much of it as ``extent`` says. Raises
        :class:`DetectionError`.
        """
        ...

    def redetect(self, frame: RawFrame, boxes: Float) -> Faces:
        """Faces found by a second search near the expected ``boxes`` [N, 4] xyxy px. Raises
        :class:`DetectionError`.
        """
        ...

    def look_again(self, frame: RawFrame, boxes: Float) -> Float | None:
        """Probabilities [N] 0..1 that there is an upright face in each of the ``boxes`` [N, 4] xyxy px, in
        which the detector found none; None if nothing can tell.
        """
        ...


class FaceSearch:
    """Detects the faces of one stream, which players rotate by ``rotation`` degrees counter-clockwise.

    Scores are the verifier's probabilities; without a verifier they are the detector's scores. Where the
    verifier fails, the detector's scores count, raised so that more is covered, and ``on_unverified`` is
    called. Keypoints are the verifier's if the detector has none of its own.
    """

    def __init__(
        self,
        detector: FaceDetector,
        verifier: Verifier | None,
        rotation: int = 0,
        start_score: float = DetectConfig.score,
        on_unverified: OnUnverified | None = None,
    ) -> None:
        self._detector, self._verifier = detector, verifier
        self._orientation = Orientation(rotation)
        self._start_score = start_score
        self._on_unverified = on_unverified
        self._schedule = ViewSchedule(detector)

    def detect(self, frame: RawFrame, extent: Extent = "next") -> Faces:
        orientation = self._orientation
        looks = self._schedule.looks(frame, extent, orientation)
        found = self._found(frame, looks)
        verified, ranks = self._verified(frame.picture, looks, found)
        evidence = {
            look.turn: evidence_of(best(faces, rank))
            for look, faces, rank in zip(looks, verified, ranks, strict=True)
            if look.is_evidence
        }
        if evidence:
            orientation.judge(evidence)
        upright, turned = by_orientation(
            {turn: best(*_joined(looks, verified, ranks, turn)) for turn in {look.turn for look in looks}},
            orientation.turn,
            orientation.declared,
        )
        if len(evidence) == 4:
            self._schedule.others = [turn for turn, faces in turned.items() if len(faces)]
        return functools.reduce(Faces.joined, turned.values(), upright)

    def _found(self, frame: RawFrame, looks: Sequence[Look]) -> list[Faces]:
        """Each look's detections. A second look in one orientation is for its finer views."""
        found: dict[int, Faces] = {}
        faces = []
        for look in looks:
            faces.append(self._detector.search(frame, look.views, found.get(look.turn)))
            found.setdefault(look.turn, faces[-1])
        return faces

    def _verified(
        self, picture: Picture, looks: Sequence[Look], found: Sequence[Faces]
    ) -> tuple[list[Faces], list[Float]]:
        """Each look's detections with probabilities as scores, and their ranks."""
        turns = np.repeat([look.turn for look in looks], [len(faces) for faces in found]).astype(np.int64)
        together = functools.reduce(Faces.joined, found)
        verified = self._scored(picture, together, turns)
        ranks = _ranks(verified.scores, together.scores)
        ends = np.cumsum([len(faces) for faces in found])[:-1]
        rows = np.split(np.arange(len(together)), ends)
        return [verified[one] for one in rows], [ranks[one] for one in rows]

    def _scored(self, picture: Picture, faces: Faces, turns: NDArray[np.int64]) -> Faces:
        if self._verifier is None or not len(faces):
            return faces
        points = faces.keypoints
        try:
            verified = self._verifier.verify(picture, faces.boxes, turns)
            scores = verified.probabilities
            if not self._detector.has_keypoints:
                points = verified.keypoints
        except Exception as error:
            self._report_unverified(error, len(faces))
            enough = faces.scores >= self._start_score
            scores = np.where(enough, UNVERIFIED_PROBABILITY, faces.scores).astype(np.float32)
        return Faces(faces.boxes, scores, points, faces.track_ids)

    def _report_unverified(self, error: Exception, count: int) -> None:
        if self._on_unverified is not None:
            self._on_unverified(error, count)

    def redetect(self, frame: RawFrame, boxes: Float) -> Faces:
        try:
            largest = boxes[np.argsort(-np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))]
            faces, missing, probabilities = self._still_there(frame.picture, largest)
            for box, probability in zip(missing[:MAX_CLOSE_UPS], probabilities, strict=False):
                tilts = TILTS_DEG if probability >= TILTED_PROBABILITY else TILTS_DEG[:1]
                faces = merge(faces, self._near(frame.picture, box, tilts))
            return faces
        except Exception as error:
            raise DetectionError(f"detection failed on frame {frame.index}") from error

    def _still_there(self, picture: Picture, boxes: Float) -> tuple[Faces, Float, Float]:
        """The faces that the verifier confirms where they are expected; and the boxes where it confirms
        none, with their probabilities, 1 where it cannot tell.
        """
        unknown = Faces.empty(), boxes, np.ones(len(boxes), np.float32)
        if self._verifier is None or not np.isfinite(boxes).all():
            return unknown
        turns = np.full(len(boxes), self._orientation.turn)
        try:
            seen = self._verifier.verify(picture, boxes, turns)
        except Exception as error:
            self._report_unverified(error, len(boxes))
            return unknown
        faces = Faces(seen.boxes, seen.probabilities, seen.keypoints, np.full(len(boxes), -1, np.int64))
        there = (seen.probabilities >= STILL_THERE_PROBABILITY) & np.array(
            [len(plausible(faces[row : row + 1], box)) > 0 for row, box in enumerate(boxes)], bool
        )
        return faces[there], boxes[~there], seen.probabilities[~there]

    def look_again(self, frame: RawFrame, boxes: Float) -> Float | None:
        if self._verifier is None or not np.isfinite(boxes).all():
            return None
        try:
            turns = np.full(len(boxes), self._orientation.turn)
            return self._verifier.verify(frame.picture, boxes, turns).probabilities
        except Exception as error:
            self._report_unverified(error, len(boxes))
            return None

    def _near(self, picture: Picture, box: Float, tilts: Sequence[float]) -> Faces:
        for tilt in tilts:
            image, matrix = close_up(picture, box, 90.0 * self._orientation.turn + tilt)
            found = self._detector.read(image)
            square = from_rgb(np.rint(255 * image[0].transpose(1, 2, 0)).astype(np.uint8))
            found = self._scored(square, found, np.zeros(len(found), np.int64))
            if self._verifier is not None:
                found = found[found.scores >= REDETECTION_PROBABILITY]
            found = plausible(from_close_up(found, invert(matrix)), box)
            if len(found):
                return found
        return Faces.empty()


def _joined(
    looks: Sequence[Look], verified: Sequence[Faces], ranks: Sequence[Float], turn: int
) -> tuple[Faces, Float]:
    """The detections of one orientation and their ranks."""
    rows = [number for number, look in enumerate(looks) if look.turn == turn]
    faces = functools.reduce(Faces.joined, (verified[row] for row in rows))
    return faces, np.concatenate([ranks[row] for row in rows])


def _ranks(probabilities: Float, scores: Float) -> Float:
    """Ranks [N] 0..1 of several detections of one face: by the verifier, and by the detector where the
    verifier is sure of all of them.
    """
    odds = [np.log(one / (1 - one)) for one in (x.clip(1e-4, 1 - 1e-4) for x in (probabilities, scores))]
    return np.asarray(1 / (1 + np.exp(-(odds[0] + DETECTOR_WEIGHT * odds[1]))), np.float32)


def by_orientation(found: Mapping[int, Faces], turn: int, declared: int) -> tuple[Faces, dict[int, Faces]]:
    """The faces of the present orientation ``turn``, and those of others by turn, each face once. Others
    count if they are none of the likely ones of these and have ``OTHER_ORIENTATION_PROBABILITY``; those of
    ``declared`` need no probability.
    """
    faces, turned = found[turn], {}
    known = faces
    for other, ones in found.items():
        if other == turn:
            continue
        if other != declared:
            ones = ones[ones.scores >= OTHER_ORIENTATION_PROBABILITY]
        turned[other] = elsewhere(ones, known[known.scores >= EVIDENCE_PROBABILITY])
        known = known.joined(turned[other])
    return faces, turned


def elsewhere(faces: Faces, known: Faces) -> Faces:
    """The faces that share at most ``OTHER_FACE_SHARE`` with each of the ``known`` ones. Their orientation
    is uncertain, so all their keypoints are set to the box centre.
    """
    shared = np.maximum(shares_of(faces.boxes, known.boxes), shares_of(known.boxes, faces.boxes).T)
    free = faces[~(shared > OTHER_FACE_SHARE).any(axis=1)]
    middles = (free.boxes[:, :2] + free.boxes[:, 2:]) / np.float32(2)
    points = np.repeat(middles[:, None], free.keypoints.shape[1], axis=1)
    return Faces(free.boxes, free.scores, points, free.track_ids)


def close_up(picture: Picture, box: Float, angle: float) -> tuple[Float, Float]:
    """A square around a face, turned counter-clockwise by an angle in degrees: [1, 3, S, S] RGB 0..1,
    and the map [2, 3] from the picture to it.
    """
    middle, size = (box[:2] + box[2:]) / 2, float(np.sqrt(np.prod(box[2:] - box[:2])))
    scale = CLOSE_UP_PX / (CLOSE_UP_SIZES * size)
    reach = CLOSE_UP_SIZES * size * TILTED_REACH
    step = np.array(picture.chroma_step)
    limits = np.array([picture.width, picture.height])
    low = (np.floor((middle - reach) / step) * step).astype(int).clip(0, limits - 1) // step * step
    high = np.minimum((np.ceil((middle + reach) / step) * step).astype(int), limits)
    high = np.maximum(high, np.minimum(low + step, limits))  # some of it, for a face that left
    part = crop(picture, (int(low[0]), int(low[1]), int(high[0]), int(high[1])))
    inner = max(1, round(part.width * scale)), max(1, round(part.height * scale))
    small = without_cast(small_rgb(part, *inner))
    shrink = np.array([inner[0] / part.width, inner[1] / part.height])
    turn = cv2.getRotationMatrix2D((0.0, 0.0), angle, 1.0)[:, :2]
    centre = (middle - low + 0.5) * shrink - 0.5
    own = np.column_stack([turn, (CLOSE_UP_PX - 1) / 2 - turn @ centre])
    square = cv2.warpAffine(small, own, (CLOSE_UP_PX, CLOSE_UP_PX), borderValue=(PADDING,) * 3)
    image = np.ascontiguousarray(square.transpose(2, 0, 1)[None], np.float32) / np.float32(255)
    linear = turn * shrink
    return image, np.column_stack([linear, (CLOSE_UP_PX - 1) / 2 - linear @ middle]).astype(np.float32)


def from_close_up(faces: Faces, back: Float) -> Faces:
    """Faces of a close-up in px of the picture; their boxes keep their size, however tilted they are."""
    middles = transform(back, (faces.boxes[:, :2] + faces.boxes[:, 2:]) / np.float32(2))
    halves = (faces.boxes[:, 2:] - faces.boxes[:, :2]) / 2 * np.sqrt(abs(np.linalg.det(back[:, :2])))
    boxes = np.concatenate([middles - halves, middles + halves], axis=1).astype(np.float32)
    return Faces(boxes, faces.scores, transform(back, faces.keypoints), faces.track_ids)


def plausible(faces: Faces, box: Float) -> Faces:
    """The faces whose place and size are close to those of ``box`` [4]."""
    sizes = np.sqrt(np.prod((faces.boxes[:, 2:] - faces.boxes[:, :2]).clip(1e-3), axis=1))
    size = float(np.sqrt(np.prod(box[2:] - box[:2])))
    apart = np.linalg.norm((faces.boxes[:, :2] + faces.boxes[:, 2:] - box[:2] - box[2:]) / 2, axis=1)
    return faces[
        (apart <= MAX_DISTANCE_SIZES * size) & (np.abs(np.log(sizes / size)) <= np.log(MAX_SIZE_RATIO))
    ]


def observe(
    frames: Iterable[RawFrame], searcher: Searcher, interval: DetectionInterval
) -> Iterator[Observation]:
    """Run detection on the frames that ``interval`` says. A failure marks its frame, and so does damage."""
    cuts, stillness, steadiness = CutDetector(), Stillness(), Steadiness()
    before, known = None, False
    for frame in interval.follow(frames):
        if frame.damaged:
            before = None
            interval.searched("next", False)
            yield Observation(frame, Faces.empty(), "failed")
            continue
        small = thumbnail(frame.picture)
        cut, moves = cuts.is_cut(small), before is not None and _moved(before, small)
        was_known, known = known, stillness.is_known(small)
        if cut or before is None or cuts.doubtful or was_known > known:
            steadiness.restart()
        steady = steadiness.is_steady
        extent = interval.extent(frame, cut or before is None, cuts.doubtful, moves, known, steady)
        before = small
        if extent is None:
            yield Observation(frame, Faces.empty(), "skipped", cut)
            continue
        faces, status = _detect(frame, searcher, extent)
        interval.searched(extent, status == "seen")
        if status == "seen":
            size = frame.picture.width, frame.picture.height
            stillness.searched(small, faces, size, near_only=extent == "near")
            if extent != "near":
                steadiness.searched(faces, frame.pts_seconds)
        yield Observation(frame, faces, status, cut, near_only=extent == "near")


def _moved(before: NDArray[np.uint8], small: NDArray[np.uint8]) -> bool:
    return before.shape == small.shape and float(cv2.absdiff(before, small).mean()) > MOVED_LEVELS


def _detect(frame: RawFrame, searcher: Searcher, extent: Extent) -> tuple[Faces, Status]:
    try:
        return searcher.detect(frame, extent), "seen"
    except DetectionError:
        return Faces.empty(), "failed"
