"""Face recognisers: how alike two faces are, and from where on they count as one person.

An output face is described where the original's face lies: the attacker of whom an audit has to think knows
where faces were, and a face that was moved or hidden from detectors is not thereby anonymous.
"""

from __future__ import annotations

import contextlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from streamanon.audit.pairing import Image
from streamanon.audit.people import FaceFrame
from streamanon.config import ComputeConfig
from streamanon.errors import ConfigError, StreamanonError
from streamanon.geometry import alignment
from streamanon.identity.encoder import CROP_PX, IdentityEncoder
from streamanon.media.yuv import from_rgb
from streamanon.mesh.face_mesh import aligned_crop
from streamanon.runtime.backends import open_backend
from streamanon.runtime.backends.onnxruntime import create
from streamanon.runtime.models import Engines
from streamanon.types import Float

#: Where ArcFace's 112 px crops have eyes, nose and mouth corners (InsightFace, alignment template).
ARCFACE_POINTS = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]],
    np.float32,
)


class Recogniser(Protocol):
    """``threshold``: the similarity at a false accept rate of 1e-3; ``relation``: to streamanon itself."""

    name: str
    relation: str
    threshold: float

    def place(self, image: Image, face: FaceFrame) -> Any:
        """Where exactly a face of the original lies; good for other frames of the same size."""
        ...

    def describe(self, image: Image, place: Any) -> Float:
        """A face's embedding [D]."""
        ...

    def similarities(self, one: Float, two: Float) -> Float:
        """How alike each of ``one`` [N, D] and each of ``two`` [M, D] are, [N, M]."""
        ...


def similarity(recogniser: Recogniser, one: Float, two: Float) -> float:
    """How alike two embeddings [D] are."""
    return float(recogniser.similarities(one[None], two[None])[0, 0])


class DlibRecogniser:
    """dlib's ResNet (CC0), by ``pip install 'streamanon[audit]'``; similarity is 1 - distance."""

    name = "dlib"
    relation = "taught streamanon's identity encoder, but takes no part in streamanon's decisions"
    #: Distance 0.546: one in a thousand of 2 million pairs of different people in LFW (train split).
    threshold = 1 - 0.546

    def __init__(self) -> None:
        import dlib

        spec = importlib.util.find_spec("face_recognition_models")
        if spec is None or spec.origin is None:
            raise ImportError("face_recognition_models")
        folder = Path(spec.origin).parent / "models"
        self._dlib = dlib
        self._points = dlib.shape_predictor(str(folder / "shape_predictor_5_face_landmarks.dat"))
        network = folder / "dlib_face_recognition_resnet_model_v1.dat"
        self._network = dlib.face_recognition_model_v1(str(network))

    def place(self, image: Image, face: FaceFrame) -> Any:
        corners = [round(float(value)) for value in face.box]
        return self._points(np.ascontiguousarray(image), self._dlib.rectangle(*corners))

    def describe(self, image: Image, place: Any) -> Float:
        return np.array(
            self._network.compute_face_descriptor(np.ascontiguousarray(image), place), np.float32
        )

    def similarities(self, one: Float, two: Float) -> Float:
        first, second = one.astype(np.float64), two.astype(np.float64)
        squares = (first**2).sum(1)[:, None] + (second**2).sum(1)[None] - 2 * first @ second.T
        return np.asarray(1 - np.sqrt(squares.clip(0)), np.float32)


class _Cosine:
    """Embeddings compared by the cosine of their angle."""

    def similarities(self, one: Float, two: Float) -> Float:
        lengths = np.linalg.norm(one, axis=1)[:, None] * np.linalg.norm(two, axis=1)[None]
        return np.asarray(one @ two.T / lengths.clip(1e-6), np.float32)


class EncoderRecogniser(_Cosine):
    """The network that streamanon itself knows people by; learned from dlib's embeddings."""

    name = "streamanon encoder"
    relation = "part of streamanon: it chose the delegates, so its result counts for little"
    #: One in a thousand of 15 million pairs of different people in LFW (train split).
    threshold = 0.806

    def __init__(self, compute: ComputeConfig) -> None:
        backend = open_backend(compute)
        self._encoder = IdentityEncoder(backend, Engines.open())

    def place(self, image: Image, face: FaceFrame) -> Float:
        return alignment(face.keypoints, CROP_PX)

    def describe(self, image: Image, place: Float) -> Float:
        return self._encoder.describe_crop(aligned_crop(from_rgb(image), place, CROP_PX)).embedding


@dataclass(frozen=True)
class _Recipe:
    """How a network wants its pixels: RGB 0..255 less ``mean``, over ``scale``."""

    mean: float
    scale: float
    threshold: float


#: OpenCV's SFace (128 numbers, pixels as they are; threshold of its authors) and ArcFace as InsightFace
#: ships it (512 numbers).
RECIPES = {128: _Recipe(0.0, 1.0, 0.363), 512: _Recipe(127.5, 127.5, 0.35)}


class OnnxRecogniser(_Cosine):
    """A network from a file of the user's: 112 px crops aligned as for ArcFace."""

    relation = "given by the user, independent of streamanon"

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        if not path.is_file():
            raise ConfigError(f"there is no file {path}; check --recogniser")
        try:
            self._model = create(ComputeConfig()).load(path, precise=True)
            length = int(np.ravel(self._model.run(np.zeros((1, 3, 112, 112), np.float32))[0]).size)
        except (StreamanonError, RuntimeError, ValueError) as error:
            raise ConfigError(f"{path} takes no 112 px faces: give an ArcFace-style ONNX file") from error
        if length not in RECIPES:
            raise ConfigError(
                f"{path} gives {length} numbers a face; known are SFace (128) and ArcFace (512)"
            )
        self._recipe = RECIPES[length]
        self.threshold = self._recipe.threshold

    def place(self, image: Image, face: FaceFrame) -> Float:
        return fit_similarity(face.keypoints, ARCFACE_POINTS)

    def describe(self, image: Image, place: Float) -> Float:
        crop = cv2.warpAffine(image, place, (112, 112)).astype(np.float32)
        batch = ((crop - self._recipe.mean) / self._recipe.scale).transpose(2, 0, 1)[None]
        return np.ravel(self._model.run(np.ascontiguousarray(batch, np.float32))[0])


def fit_similarity(points: Float, target: Float) -> Float:
    """The similarity [2, 3] that takes points [N, 2] nearest to ``target``, by least squares."""
    x, y = points.astype(np.float64).T
    one, zero = np.ones_like(x), np.zeros_like(x)
    rows = np.concatenate([np.stack([x, -y, one, zero], 1), np.stack([y, x, zero, one], 1)])
    (a, b, u, v), *_ = np.linalg.lstsq(rows, target.T.ravel().astype(np.float64), rcond=None)
    return np.array([[a, -b, u], [b, a, v]], np.float32)


def open_recognisers(compute: ComputeConfig, files: list[Path]) -> list[Recogniser]:
    """dlib where it is installed, streamanon's own, and the user's."""
    found: list[Recogniser] = []
    with contextlib.suppress(ImportError):
        found.append(DlibRecogniser())
    return [*found, EncoderRecogniser(compute), *(OnnxRecogniser(path) for path in files)]
