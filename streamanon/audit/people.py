"""The original's faces as tracks: who is on screen, where, and when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np

from streamanon.audit.judges import Judge, Sightings, look
from streamanon.audit.pairing import Image
from streamanon.config import DetectConfig
from streamanon.geometry import grow
from streamanon.pixels import from_rgb
from streamanon.shots import CutDetector, thumbnail
from streamanon.tracker import Tracker
from streamanon.types import LUMA, Faces, Float, Observation, RawFrame

#: Between two detections at most this many frames apart the face was there all the time.
BRIDGE_FRAMES = 5
#: A track counts that two judges saw at once, or that was seen in at least this many frames.
SURE_FRAMES = 4
MIN_FACE_PX = 8.0
#: A face that varies by less than this (standard deviation, levels) is black, or a wall: nothing to see.
LEAST_CONTRAST = 4.0


@dataclass(frozen=True, eq=False)
class FaceFrame:
    """One face in one frame: ``box`` [4], ``keypoints`` [5, 2] px; ``bridged``: between two detections;
    ``contrast``: standard deviation of its luma, levels.
    """

    track: int
    index: int
    box: Float
    keypoints: Float
    bridged: bool = False
    contrast: float = 255.0

    @property
    def size_px(self) -> float:
        return float(np.sqrt(max(0.0, float(np.prod(self.box[2:] - self.box[:2])))))


@dataclass(frozen=True, eq=False)
class Person:
    """One track of the original. ``sure``: not a single find of a single judge."""

    track: int
    frames: tuple[FaceFrame, ...]
    sure: bool

    @property
    def size_px(self) -> float:
        return float(np.median([face.size_px for face in self.frames]))


def find_people(images: Iterable[Image], judges: list[Judge]) -> list[Person]:
    """All tracks of a video, in the order in which they appear."""
    # The judges' thresholds have been applied already; the tracker takes whatever they give.
    tracker, cuts = Tracker(DetectConfig(score=0.0, revive_score=0.0)), CutDetector()
    seen: dict[int, list[FaceFrame]] = {}
    most: dict[int, int] = {}
    for index, image in enumerate(images):
        sightings = look(image, judges)
        frame = RawFrame(index, index, Fraction(1), from_rgb(image))
        cut = cuts.is_cut(thumbnail(frame.picture))
        tracked = tracker.step(Observation(frame, _numbered(sightings), "seen", cut)).faces
        for row, track in enumerate(tracked.track_ids.tolist()):
            box = tracked.boxes[row]
            face = FaceFrame(track, index, box, tracked.keypoints[row], contrast=_contrast(image, box))
            if face.size_px >= MIN_FACE_PX and face.contrast >= LEAST_CONTRAST:
                seen.setdefault(track, []).append(face)
                most[track] = max(most.get(track, 0), round(float(tracked.scores[row])))
    return [
        Person(track, tuple(_bridged(faces)), most[track] >= 2 or len(faces) >= SURE_FRAMES)
        for track, faces in sorted(seen.items())
    ]


def _contrast(image: Image, box: Float) -> float:
    """Of the middle of a box, without what is beside the face."""
    x0, y0, x1, y1 = (max(0, round(float(value))) for value in grow(box, -0.12))
    region = image[y0:y1, x0:x1].astype(np.float32) @ LUMA
    return float(region.std()) if region.size else 0.0


def _numbered(sightings: Sightings) -> Faces:
    """The faces with the number of witnesses for a score: it comes through the tracker."""
    faces = sightings.faces
    return Faces(faces.boxes, sightings.witnesses.astype(np.float32), faces.keypoints, faces.track_ids)


def _bridged(faces: list[FaceFrame]) -> list[FaceFrame]:
    """The same faces with short gaps filled by straight lines."""
    filled = faces[:1]
    for before, after in pairwise(faces):
        gap = after.index - before.index
        if gap <= BRIDGE_FRAMES + 1:
            filled += [_between(before, after, index) for index in range(before.index + 1, after.index)]
        filled.append(after)
    return filled


def _between(before: FaceFrame, after: FaceFrame, index: int) -> FaceFrame:
    share = np.float32((index - before.index) / (after.index - before.index))
    box = before.box + share * (after.box - before.box)
    keypoints = before.keypoints + share * (after.keypoints - before.keypoints)
    contrast = min(before.contrast, after.contrast)
    return FaceFrame(before.track, index, box, keypoints, bridged=True, contrast=contrast)
