"""``streamanon delegates add``: a user's own synthetic portraits become delegates."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from streamanon.errors import ConfigError, SourceError, StreamanonError
from streamanon.gallery.delegates import WORN_AGE, DelegateGallery
from streamanon.gallery.filters import encode
from streamanon.gallery.uv_chart import Chart, align, bare_skin, chart_of_gallery, normalise, unwrap
from streamanon.identity.encoder import IdentityModel
from streamanon.media.images import read_image
from streamanon.media.yuv import from_rgb
from streamanon.mesh.face_mesh import MeshModel
from streamanon.portraits.codes import CodeBasis
from streamanon.portraits.reference_render import describe_all
from streamanon.portraits.texture import (
    PORTRAIT_LIMITS,
    even_light,
    fade_rim,
    flaws,
    relief,
    stance,
    stance_flaw,
    tone_degrees,
)
from streamanon.types import Delegate, Faces, Float, Geometry, RawFrame, Target

PORTRAITS = (".png", ".jpg", ".jpeg", ".webp")
FORMATS = ("PNG", "JPEG", "WebP")
LEAST_SCORE, LEAST_CONFIDENCE = 0.5, 0.55
LEAST_FACE_PX = 120
#: Cosine of two delegates' embeddings, both worn by the same head, from which they are one face.
SAME_FACE = 0.93
#: The inner rims of the lips, from corner to corner; how much of the gap between them is left.
UPPER_LIP = (191, 80, 81, 82, 13, 312, 311, 310, 415)
LOWER_LIP = (95, 88, 178, 87, 14, 317, 402, 318, 324)
LIPS_LEFT = 0.15
_STANCE = {
    "yaw": "the head is turned: give one that looks into the camera",
    "gap": "the mouth is open: give one with closed lips",
    "lids": "the eyes are shut: give one with open eyes",
}
_HAIR = "hair lies over the face: give one with a bare forehead"
#: The mesh network sees gaps of 0.03 to 0.14 between closed lips, too: that teeth show tells more.
MAX_MOUTH_GAP = 0.15
_FLAWS = {
    "fringe": _HAIR,
    "hair": _HAIR,
    "strands": _HAIR,
    "foreign": "something covers the forehead, or coloured light does: give a bare face in plain light",
    "patch": "light or something else covers one side: give one lit evenly",
    "glasses": "there are glasses: give one without",
    "teeth": _STANCE["gap"],
}


class Detector(Protocol):
    """The seam that a fake fills in tests."""

    def detect(self, frame: RawFrame) -> Faces: ...


@dataclass(frozen=True, eq=False)
class Added:
    """A portrait as a delegate: ``texture`` [256, 256, 3] float32 RGB 0..1, ``shape`` [478, 3], ``feature``
    [256] and ``embedding`` [128] as in a gallery.
    """

    texture: Float
    shape: Float
    masculine: float
    age: float
    tone: float
    feature: Float
    embedding: Float


class RefusedError(Exception):
    """Why a portrait cannot be used, and what to do."""


class Converter:
    """Makes delegates of portraits, in a gallery's texture space and its light."""

    def __init__(
        self, gallery: DelegateGallery, detector: Detector, mesh: MeshModel, encoder: IdentityModel
    ) -> None:
        self._gallery, self._encoder = gallery, encoder
        self._chart: Chart = chart_of_gallery(gallery)
        self._skin = bare_skin(self._chart)
        mean = np.mean([delegate.texture for delegate in gallery.delegates], axis=0) / 255
        self._typical = relief(np.asarray(mean, np.float32), self._skin)
        self._detector, self._mesh = detector, mesh

    def convert(self, image: NDArray[np.uint8]) -> Added:
        """A portrait [H, W, 3] RGB as a delegate. Raises :class:`RefusedError`."""
        measured = self._measure(image)
        check_points(measured.points, image.shape[1], image.shape[0])
        points = close_lips(measured.points)
        raw = unwrap(image, points[:, :2], self._chart)
        even = even_light(raw, self._skin, self._typical)
        found = flaws(even, self._chart)
        for name, limit in PORTRAIT_LIMITS.items():
            if found[name] > limit:
                raise RefusedError(_FLAWS[name])
        texture, shape = fade_rim(even, self._chart), normalise(align(points, self._chart.mean))
        masculine = float(np.clip(measured.masculine, 0, 1))
        age = float(np.clip(measured.age, 1, 110))
        pixels = np.rint(255 * texture.clip(0, 1)).astype(np.uint8)
        delegate = Delegate("new", pixels, shape, np.zeros(1, np.float32), masculine, age)
        features, embeddings = describe_all([delegate], self._gallery, self._encoder)
        tone = tone_degrees(texture, self._chart)
        return Added(texture, shape, masculine, age, tone, features[0], embeddings[0])

    def _measure(self, image: NDArray[np.uint8]) -> Geometry:
        picture = from_rgb(image)
        try:
            faces = self._detector.detect(RawFrame(0, 0, Fraction(1), picture))
        except StreamanonError as error:
            raise RefusedError("the search for a face failed in it: save it again or remove it") from error
        rows = np.flatnonzero(faces.scores >= LEAST_SCORE)
        if not len(rows):
            raise RefusedError(
                "no face was found: give an upright portrait, in focus, with some room around"
            )
        if len(rows) > 1:
            raise RefusedError(f"{len(rows)} faces were found: cut it to one")
        row = int(rows[0])
        target = Target(0, faces.boxes[row], faces.keypoints[row], True)
        measured = self._mesh.measure(picture, [target])[0]
        if not measured.confidence >= LEAST_CONFIDENCE:
            raise RefusedError("the face cannot be measured: give one in focus that nothing covers")
        return measured


def check_points(points: Float, width: int, height: int) -> None:
    """Whether a mesh [478, 3] px can become a delegate's. Raises :class:`RefusedError`."""
    if not np.isfinite(points).all():
        raise RefusedError("the face cannot be measured: give one in focus that nothing covers")
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    if low.min() < 0 or high[0] > width - 1 or high[1] > height - 1:
        raise RefusedError("the face is cut off: give one with the whole face and some room around it")
    across = float(high[0] - low[0])
    if across < LEAST_FACE_PX:
        raise RefusedError(f"the face is only {across:.0f} px wide: give one of {LEAST_FACE_PX} px or more")
    flaw = stance_flaw(stance(points), MAX_MOUTH_GAP)
    if flaw is not None:
        raise RefusedError(_STANCE[flaw])


def close_lips(points: Float) -> Float:
    """A mesh [478, 3] whose inner lips all but meet: between closed ones the network sees a gap."""
    closed = points.copy()
    upper, lower = points[list(UPPER_LIP)], points[list(LOWER_LIP)]
    half = (lower - upper) * np.float32(LIPS_LEFT / 2)
    closed[list(UPPER_LIP)] = (upper + lower) / 2 - half
    closed[list(LOWER_LIP)] = (upper + lower) / 2 + half
    return closed


def read_additions(
    folder: Path, converter: Converter, tell: Callable[[str], None], beside: Float | None = None
) -> list[Added]:
    """The portraits in a folder that can become delegates; ``tell`` gets a line for each other one. No two
    may show the same face, nor one of those ``beside`` which they will stand: embeddings [N, 128].

    Raises :class:`ConfigError` for no folder, and where none is left.
    """
    if not folder.is_dir():
        raise ConfigError(f"there is no folder {folder}; give one with portraits")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in PORTRAITS)
    if not paths:
        raise ConfigError(f"{folder} holds no portrait; give a folder with png, jpg or webp files")
    added: list[Added] = []
    known = [] if beside is None else list(beside)
    for path in paths:
        try:
            one = converter.convert(_read(path))
            if any(float(one.embedding @ other) >= SAME_FACE for other in known):
                raise RefusedError("it shows a face that is in the gallery already: leave it out")
            added.append(one)
            known.append(one.embedding)
        except RefusedError as refused:
            tell(f"{path.name}: {refused}")
    if not added:
        raise ConfigError(f"none of {len(paths)} portraits in {folder} can be used; see the lines above")
    return added


def _read(path: Path) -> NDArray[np.uint8]:
    try:
        return read_image(path, FORMATS, name="it")
    except SourceError as error:
        raise RefusedError(str(error)) from error


def extend(arrays: dict[str, NDArray[Any]], added: Sequence[Added], only: bool) -> dict[str, NDArray[Any]]:
    """A gallery's fields (as ``read_fields`` gives them) with portraits ``added`` at the end; ``only``:
    with nothing else in it.
    """
    jpegs = [encode(one.texture) for one in added]
    taken = [] if only else [str(name) for name in arrays["ids"]]
    numbers = [int(name[1:]) for name in taken if re.fullmatch("u[0-9]+", name)]
    first = 1 + max(numbers, default=-1)
    weights = np.zeros((len(added), arrays["weights"].shape[1]), np.float32)
    weights[:, 0] = 1
    pixels = [np.rint(255 * one.texture.clip(0, 1)).astype(np.uint8) for one in added]
    shapes = np.array([one.shape for one in added], np.float32)
    new: dict[str, NDArray[Any]] = {
        "ids": np.array([f"u{first + row:03d}" for row in range(len(added))]),
        "jpegs": np.concatenate(jpegs),
        "jpeg_sizes": np.array([len(jpeg) for jpeg in jpegs], np.int32),
        "shapes": shapes,
        "codes": CodeBasis.of_fields(arrays).codes(np.array(pixels), shapes),
        "masculine": np.array([one.masculine for one in added], np.float32),
        "ages": np.array([one.age for one in added], np.float32),
        "worn_masculine": np.array([one.masculine for one in added], np.float32),
        "worn_ages": np.array([WORN_AGE * one.age for one in added], np.float32),
        "tones": np.array([one.tone for one in added], np.float32),
        "weights": weights,
        "features": np.array([one.feature for one in added], np.float32),
        "embeddings": np.array([one.embedding for one in added], np.float32),
    }
    if not only:
        new = {name: np.concatenate([arrays[name], rows]) for name, rows in new.items()}
    return {**arrays, **new}
