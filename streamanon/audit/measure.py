"""The second pass: original and output side by side, face by face."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.audit.judges import Judge
from streamanon.audit.leaks import Exposure, exposures, to_grey
from streamanon.audit.pairing import Image, Pair
from streamanon.audit.people import INNER_GROWTH, FaceFrame, Person
from streamanon.audit.recognisers import Recogniser
from streamanon.geometry import grow, overlap
from streamanon.media.yuv import from_rgb
from streamanon.mesh.face_mesh import MeshModel
from streamanon.mesh.landmarks import (
    CHEEKS,
    EYE_SIDES,
    INNER_MOUTH_CORNERS,
    IRISES,
    LID_MIDDLES,
    LIP_MIDDLES,
    SKIN_POINTS,
    yaw_degrees,
)
from streamanon.types import Float, Target

#: So many frames of a track are shown to the recognisers, spread evenly.
SAMPLES = 10
#: Smaller faces are not shown to them.
LEAST_FACE_PX = 20.0
#: Nor darker ones, all of which look alike to them (standard deviation of the luma, levels).
LEAST_CONTRAST = 8.0
#: In each n-th frame faces and changes elsewhere in the output are measured.
EVERY = 5
#: Around a face, as shares of its size, changes are the cover's.
COVERED = 0.9
#: Elsewhere a pixel counts as changed if a channel differs by more than this, levels.
CHANGED_LEVELS = 24
#: A face of the output is found if a box of the judge's overlaps it by so much (intersection over union).
FOUND_IOU = 0.4
#: Faces whose mesh in the original is less sure than that are not compared by it.
LEAST_MESH_CONFIDENCE = 0.55
#: Faces are aligned at this size, px, to measure flicker.
FLICKER_PX = 48
#: What a thumbnail shows around a face, as a share of its size.
THUMBNAIL_MARGIN = 0.5
#: Below this a length, px, is taken for none, so that nothing is divided by 0.
TINY_PX = 1e-3


@dataclass(frozen=True)
class EmbeddingPair:
    """A face of the original and what the output shows there, as a recogniser describes them."""

    track: int
    index: int
    original: Float
    output: Float


@dataclass(frozen=True)
class Fidelity:
    """How one output face keeps what a viewer sees: pose, expression, gaze, skin."""

    track: int
    found: bool
    nme: float
    yaw: float
    lids: tuple[float, float]
    lips: tuple[float, float]
    gaze: float
    skin: float


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """A face that can be seen, RGB, in both videos. It shows a real face: made only when asked for."""

    track: int
    index: int
    likeness: float
    original: Image
    output: Image


@dataclass
class Measurements:
    """All that the second pass measured."""

    exposures: dict[tuple[int, int], Exposure] = field(default_factory=dict)
    embedding_pairs: dict[str, list[EmbeddingPair]] = field(default_factory=lambda: defaultdict(list))
    fidelities: list[Fidelity] = field(default_factory=list)
    flicker: list[tuple[float, float]] = field(default_factory=list)
    outside_error: list[float] = field(default_factory=list)
    outside_changed: list[float] = field(default_factory=list)
    missing: int = 0
    thumbnails: list[Thumbnail] = field(default_factory=list)


class Measurer:
    """Measures pairs of frames, one after the other. ``mesh`` measures geometry in both videos;
    ``thumbnails`` of the worst leaks are kept, at most so many.
    """

    def __init__(
        self,
        people: list[Person],
        judges: list[Judge],
        recognisers: list[Recogniser],
        mesh: MeshModel,
        thumbnails: int = 0,
    ) -> None:
        self._thumbnails = thumbnails
        self._by_frame: dict[int, list[FaceFrame]] = defaultdict(list)
        for person in people:
            for face in person.frames:
                self._by_frame[face.index].append(face)
        self._sampled = {(p.track, index) for p in people if p.sure for index in sample_frames(p)}
        self._sure = {person.track for person in people if person.sure}
        self._judge, self._recognisers, self._mesh = judges[0], recognisers, mesh
        self._last: dict[int, tuple[int, Float, Float]] = {}
        self.measured = Measurements()

    def run(self, pairs: Iterable[Pair]) -> Measurements:
        for pair in pairs:
            self._step(pair)
        return self.measured

    def _step(self, pair: Pair) -> None:
        faces = [face for face in self._by_frame[pair.index] if face.track in self._sure]
        output = pair.output
        if output is None:
            self.measured.missing += 1
            return
        boxes = np.array([face.box for face in self._by_frame[pair.index]], np.float32).reshape(-1, 4)
        if faces:
            own = np.array([face.box for face in faces], np.float32)
            for face, exposure in zip(faces, exposures(pair, own), strict=True):
                self.measured.exposures[face.track, face.index] = exposure
                if exposure.seen and self._thumbnails:
                    self._keep(Thumbnail(face.track, face.index, exposure.likeness, *_shown(pair, face)))
        self._flicker(pair, output, faces)
        for face in faces:
            if (face.track, face.index) in self._sampled:
                self._embed(pair.original, output, face)
        if pair.index % EVERY == 0:
            self._utility(pair, output, faces)
            self._outside(pair, boxes)

    def _keep(self, thumbnail: Thumbnail) -> None:
        """The worst of each track first."""
        kept = self.measured.thumbnails
        same = [one for one in kept if one.track == thumbnail.track]
        if same and same[0].likeness >= thumbnail.likeness:
            return
        others = [one for one in kept if one.track != thumbnail.track]
        ordered = sorted([*others, thumbnail], key=lambda one: -one.likeness)
        self.measured.thumbnails = ordered[: self._thumbnails]

    def _embed(self, original: Image, output: Image, face: FaceFrame) -> None:
        for recogniser in self._recognisers:
            place = recogniser.place(original, face)
            here, there = recogniser.describe(original, place), recogniser.describe(output, place)
            if np.isfinite(here).all() and np.isfinite(there).all():
                found = EmbeddingPair(face.track, face.index, here, there)
                self.measured.embedding_pairs[recogniser.name].append(found)

    def _flicker(self, pair: Pair, output: Image, faces: list[FaceFrame]) -> None:
        """Change from one frame to the next of the same face, aligned, in both videos."""
        here, there = to_grey(pair.original), to_grey(output)
        for face in faces:
            views = [_aligned(frame, face) for frame in (here, there)]
            last = self._last.get(face.track)
            if last is not None and last[0] == face.index - 1:
                changes = [
                    float(np.abs(now - before).mean()) for now, before in zip(views, last[1:], strict=True)
                ]
                self.measured.flicker.append((changes[0], changes[1]))
            self._last[face.track] = (face.index, views[0], views[1])

    def _utility(self, pair: Pair, output: Image, faces: list[FaceFrame]) -> None:
        large = [face for face in faces if face.size_px >= LEAST_FACE_PX and not face.bridged]
        if not large:
            return
        boxes = np.array([face.box for face in large], np.float32)
        found = self._judge.find(output).boxes
        hits = overlap(boxes, found).max(axis=1) >= FOUND_IOU if len(found) else np.zeros(len(boxes), bool)
        targets = [Target(face.track, face.box, face.keypoints, True) for face in large]
        meshes = [self._mesh.measure(from_rgb(image), targets) for image in (pair.original, output)]
        for face, hit, real, made in zip(large, hits, *meshes, strict=True):
            if real.confidence >= LEAST_MESH_CONFIDENCE:
                points = real.points, made.points
                self.measured.fidelities.append(
                    compare_meshes(face.track, bool(hit), pair.original, output, *points)
                )

    def _outside(self, pair: Pair, boxes: Float) -> None:
        """How much the picture changed where there is no face."""
        away = np.ones(pair.original.shape[:2], bool)
        for box in boxes:
            x0, y0, x1, y1 = (max(0, int(value)) for value in grow(box, COVERED))
            away[y0:y1, x0:x1] = False
        if away.any() and pair.output is not None:
            difference = (pair.original.astype(np.int16) - pair.output)[away].astype(np.float32)
            self.measured.outside_error.append(float((difference**2).mean()))
            self.measured.outside_changed.append(
                float((np.abs(difference).max(axis=1) > CHANGED_LEVELS).mean())
            )


def _shown(pair: Pair, face: FaceFrame) -> tuple[Image, Image]:
    assert pair.output is not None
    x0, y0, x1, y1 = (max(0, int(value)) for value in grow(face.box, THUMBNAIL_MARGIN))
    return pair.original[y0:y1, x0:x1].copy(), pair.output[y0:y1, x0:x1].copy()


def sample_frames(person: Person) -> list[int]:
    """Which frames of a track the recognisers see: well apart, seen by a judge, not too small."""
    clear = [f for f in person.frames if f.size_px >= LEAST_FACE_PX and f.contrast >= LEAST_CONTRAST]
    good = [face.index for face in clear if not face.bridged]
    if len(good) <= SAMPLES:
        return good
    return [good[round(step)] for step in np.linspace(0, len(good) - 1, SAMPLES)]


def _aligned(frame: Float, face: FaceFrame) -> Float:
    """The inner face [48, 48], grey."""
    x0, y0, x1, y1 = (float(value) for value in grow(face.box, INNER_GROWTH))
    scale = FLICKER_PX / np.maximum(1.0, np.array([x1 - x0, y1 - y0]))
    matrix = np.column_stack([np.diag(scale), -scale * [x0, y0]])
    return np.asarray(
        cv2.warpAffine(frame, matrix, (FLICKER_PX, FLICKER_PX), flags=cv2.INTER_AREA), np.float32
    )


def compare_meshes(
    track: int, found: bool, original: Image, output: Image, real: Float, made: Float
) -> Fidelity:
    """``real``, ``made``: one face's mesh points [478, 3] in original and output."""
    skin, made_skin = _skin(original, real), _skin(output, real)
    between_eyes = float(np.linalg.norm(real[IRISES[0], :2] - real[IRISES[1], :2]))
    error = np.linalg.norm(real[:SKIN_POINTS, :2] - made[:SKIN_POINTS, :2], axis=1).mean() / max(
        between_eyes, TINY_PX
    )
    shift = np.abs(gaze(real) - gaze(made)).mean()
    return Fidelity(
        track,
        found,
        nme=float(error),
        yaw=abs(yaw_degrees(real) - yaw_degrees(made)),
        lids=(openness(real, LID_MIDDLES, EYE_SIDES), openness(made, LID_MIDDLES, EYE_SIDES)),
        lips=(
            openness(real, (LIP_MIDDLES,), (INNER_MOUTH_CORNERS,)),
            openness(made, (LIP_MIDDLES,), (INNER_MOUTH_CORNERS,)),
        ),
        gaze=float(shift),
        skin=float(np.linalg.norm(skin - made_skin)),
    )


def openness(
    points: Float, across: tuple[tuple[int, int], ...], along: tuple[tuple[int, int], ...]
) -> float:
    """Height over width of eyes or mouth, mean of both eyes."""
    shares = []
    for (a, b), (c, d) in zip(across, along, strict=True):
        width = float(np.linalg.norm(points[c, :2] - points[d, :2]))
        shares.append(float(np.linalg.norm(points[a, :2] - points[b, :2])) / max(width, TINY_PX))
    return float(np.mean(shares))


def frechet(one: Float, two: Float) -> float:
    """The Fréchet distance of the Gaussians of two sets of features (Dowson and Landau, 1982)."""
    means, covariances = zip(
        *((x.mean(0), np.cov(x.T.astype(np.float64))) for x in (one, two)), strict=True
    )
    values, vectors = np.linalg.eigh(covariances[0])
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    joint = np.sqrt(np.linalg.eigvalsh(root @ covariances[1] @ root).clip(0)).sum()
    traces = np.trace(covariances[0]) + np.trace(covariances[1])
    return float(((means[0] - means[1]) ** 2).sum() + traces - 2 * joint)


def gaze(points: Float) -> NDArray[np.float64]:
    """Where each iris lies between the corners of its eye, 0..1."""
    places = []
    for iris, (left, right) in zip(IRISES, EYE_SIDES, strict=True):
        across = points[right, :2] - points[left, :2]
        offset = points[iris, :2] - points[left, :2]
        places.append(float(offset @ across) / max(float(across @ across), TINY_PX))
    return np.array(places)


def _skin(image: Image, points: Float) -> Float:
    """Mean colour of the cheeks, CIE L*a*b*; the distance between two is ΔE (CIE 1976)."""
    at = np.rint(points[list(CHEEKS), :2]).astype(int)
    x = at[:, 0].clip(0, image.shape[1] - 1)
    y = at[:, 1].clip(0, image.shape[0] - 1)
    colour = image[y, x].mean(axis=0, dtype=np.float32)[None, None] / np.float32(255)
    return np.asarray(cv2.cvtColor(colour, cv2.COLOR_RGB2LAB)[0, 0], np.float32)
