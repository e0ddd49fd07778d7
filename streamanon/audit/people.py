"""The original's faces as tracks: who is on screen, where, and when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np

from streamanon.audit.judges import JointDetections, Judge, detect_all
from streamanon.audit.pairing import Image
from streamanon.config import DetectConfig
from streamanon.detect.shot_cuts import CutDetector, thumbnail
from streamanon.geometry import grow
from streamanon.media.yuv import from_rgb
from streamanon.track.tracker import Tracker
from streamanon.types import LUMA, Faces, Float, Observation, RawFrame

#: Gaps between two detections of at most this many frames are filled: the face was there.
BRIDGE_FRAMES = 5
#: A track counts if two judges found it in one frame, or if it was found in at least this many frames,
#: or in every frame of a shorter video.
SURE_FRAMES = 4
#: Smaller faces do not count.
MIN_FACE_PX = 8.0
#: The tracker's time from one frame to the next: pairs of frames come without times.
FRAME_SECONDS = Fraction(1, 25)
#: A face whose luma varies by less than this (standard deviation, levels) is black, or no face.
LEAST_CONTRAST = 4.0
#: The inner face: its box grown by this share of its size, without what is beside the face.
INNER_GROWTH = -0.12


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
    frames = 0
    for index, image in enumerate(images):
        frames += 1
        detections = detect_all(image, judges)
        frame = RawFrame(index, index, FRAME_SECONDS, from_rgb(image))
        cut = cuts.is_cut(thumbnail(frame.picture))
        tracked = tracker.step(Observation(frame, _numbered(detections), "seen", cut)).faces
        for row, track in enumerate(tracked.track_ids.tolist()):
            box = tracked.boxes[row]
            face = FaceFrame(track, index, box, tracked.keypoints[row], contrast=_contrast(image, box))
            if face.size_px >= MIN_FACE_PX and face.contrast >= LEAST_CONTRAST:
                seen.setdefault(track, []).append(face)
                most[track] = max(most.get(track, 0), round(float(tracked.scores[row])))
    enough = min(SURE_FRAMES, frames)
    return [
        Person(track, tuple(_bridged(faces)), most[track] >= 2 or len(faces) >= enough)
        for track, faces in sorted(seen.items())
    ]


def _contrast(image: Image, box: Float) -> float:
    """Standard deviation of the inner face's luma, levels."""
    x0, y0, x1, y1 = (max(0, round(float(value))) for value in grow(box, INNER_GROWTH))
    region = image[y0:y1, x0:x1].astype(np.float32) @ LUMA
    return float(region.std()) if region.size else 0.0


def _numbered(detections: JointDetections) -> Faces:
    """The faces with their votes as scores: the tracker passes scores on."""
    faces = detections.faces
    return Faces(faces.boxes, detections.votes.astype(np.float32), faces.keypoints, faces.track_ids)


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
