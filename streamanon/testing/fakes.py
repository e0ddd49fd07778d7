"""Stand-ins with a known truth, which need no file and no model: a leak becomes a number of pixels.

::

    source = FakeSource(60, 160, 96, {0: moving((20, 20, 60, 70), (1, 0), 60)})
    detector = FakeDetector(source.faces, misses={(10, 0), (11, 0)})
    for observation in observe(source, detector, DetectionInterval(0.08)): ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from streamanon.config import IdentityConfig
from streamanon.detect.detection_interval import Extent
from streamanon.errors import DetectionError, SynthesisError
from streamanon.gallery.delegates import DelegateGallery
from streamanon.generate import DetailState, Job, Painting, Patch
from streamanon.identity.assignment import Assigner, AssignerParts
from streamanon.identity.distraction import Distraction
from streamanon.identity.encoder import CHANNELS, EMBEDDING, IdentityFeature
from streamanon.identity.rules import Rule
from streamanon.mesh.face_mesh import snap
from streamanon.mesh.landmarks import IRISES, MOUTH_CORNERS, NOSE_DEPTH, NOSE_TIP, OVAL_SIDES
from streamanon.types import Assignment, Delegate, Faces, Float, Geometry, Picture, RawFrame, Target

Box = tuple[float, float, float, float]  # xyxy px
#: Where each face is: track id to one box per frame, None where it is not to be seen.
Truth = Mapping[int, Sequence[Box | None]]
#: (frame index, track id) pairs that the detector misses, or a function that tells.
Misses = AbstractSet[tuple[int, int]] | Callable[[int, int], bool]

#: Y, U, V of a fake face. Every other square of it is dark, so that the key luma does not outlive a mosaic
#: or a blur; more or less dark, so that motion is not mistaken. The background never comes near it.
KEY_COLOUR = (235, 60, 200)
_DARK_LUMAS = (16, 110)
_SQUARE_PX = 4
_BACKGROUND_LUMA = (20, 160)


def moving(box: Box, velocity: tuple[float, float], count: int, start: int = 0) -> tuple[Box | None, ...]:
    """A face's truth over ``count`` frames: ``box`` in frame ``start``, then ``velocity`` px a frame."""
    (x0, y0, x1, y1), (dx, dy) = box, velocity
    steps = range(-start, count - start)
    return tuple((x0 + dx * n, y0 + dy * n, x1 + dx * n, y1 + dy * n) if n >= 0 else None for n in steps)


@dataclass(frozen=True, eq=False)
class FakeSource:
    """``count`` frames of yuv420p with ``faces`` painted in, later ones on top, at 25 frames a second.

    The background changes at the frames in ``cuts``; ``seed`` fixes it.
    """

    count: int
    width: int
    height: int
    faces: Truth = field(default_factory=dict)
    cuts: frozenset[int] = frozenset()
    seed: int = 0

    def __iter__(self) -> Iterator[RawFrame]:
        for index in range(self.count):
            yield RawFrame(index, index, Fraction(1, 25), self._paint(index), duration=1)

    def boxes(self, index: int) -> list[Box]:
        """The true faces of one frame, covered or not."""
        return list(_present(self.faces, index).values())

    def _paint(self, index: int) -> Picture:
        planes = self._background(sum(cut <= index for cut in self.cuts))
        for box in self.boxes(index):
            _paint_face(planes, box)
        return Picture(planes, "yuv420p")

    def _background(self, shot: int) -> tuple[NDArray[np.uint8], ...]:
        """Grey blocks of 16 px, darker and lighter ones by places, others in every shot."""
        rng = np.random.default_rng((self.seed, shot))
        darkest, brightest = _BACKGROUND_LUMA
        middle = (darkest + brightest) // 2
        rows, columns = self.height // 16 + 1, self.width // 16 + 1
        blocks = rng.integers(darkest, middle, (rows, columns), np.uint8)
        light = rng.integers(0, 2, (rows // 4 + 1, columns // 4 + 1), np.uint8)
        blocks += np.kron(light, np.full((4, 4), middle - darkest, np.uint8))[:rows, :columns]
        luma = np.kron(blocks, np.ones((16, 16), np.uint8))[: self.height, : self.width]
        chroma = (-(-self.height // 2), -(-self.width // 2))
        return luma.copy(), np.full(chroma, 128, np.uint8), np.full(chroma, 128, np.uint8)


@dataclass(frozen=True, eq=False)
class FakeDetector:
    """Finds the true faces, but for those in ``misses``; fails on the frames in ``fails``.

    ``noise_px``: standard deviation of each box edge, the same in every run. ``score``: of every face; by
    default one detection is enough for the look-ahead's promise.
    """

    truth: Truth
    misses: Misses = frozenset()
    fails: AbstractSet[int] = frozenset()
    noise_px: float = 0.0
    score: float = 0.999

    def detect(self, frame: RawFrame, extent: Extent = "next") -> Faces:
        """Faces in the order of their true ids, untracked; raises :class:`DetectionError` where told to."""
        if frame.index in self.fails:
            raise DetectionError(f"frame {frame.index} was told to fail")
        missed = self.misses if callable(self.misses) else lambda *pair: pair in self.misses
        found = [b for i, b in _present(self.truth, frame.index).items() if not missed(frame.index, i)]
        boxes = np.array(found, np.float32).reshape(-1, 4)
        noise = np.random.default_rng(frame.index).normal(0, self.noise_px, boxes.shape)
        return faces_at(boxes + noise.astype(np.float32), self.score)

    def redetect(self, _frame: RawFrame, _boxes: Float) -> Faces:
        """A second search finds nothing else."""
        return Faces.empty()

    def look_again(self, _frame: RawFrame, _boxes: Float) -> Float | None:
        """No verifier."""
        return None


def faces_at(boxes: Float, score: float = 0.9) -> Faces:
    """Untracked faces for boxes [N, 4], with keypoints where a frontal face has them."""
    count = len(boxes)
    spots = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)
    keypoints = boxes[:, None, :2] + spots * (boxes[:, None, 2:] - boxes[:, None, :2])
    return Faces(boxes, np.full(count, score, np.float32), keypoints, np.full(count, -1, np.int64))


def leaked_pixels(picture: Picture, boxes: Iterable[Box], tolerance: int = 24) -> int:
    """How many pixels within ``boxes`` still have the key colour of a fake face.

    ``picture``: 8 bit Y, U, V. A face that nothing covers leaks about half of its pixels.
    """
    step_x, step_y = picture.chroma_step
    leaked = np.zeros((picture.height, picture.width), bool)
    for box in boxes:
        rows, columns = _pixels(box)
        leaked[rows, columns] = True
    for plane, key in zip(picture.planes, KEY_COLOUR, strict=True):
        near = np.abs(plane.astype(np.int16) - key) <= tolerance
        if plane.shape != leaked.shape:
            near = near.repeat(step_y, axis=0).repeat(step_x, axis=1)[: picture.height, : picture.width]
        leaked &= near
    return int(leaked.sum())


def _present(truth: Truth, index: int) -> dict[int, Box]:
    at = {i: boxes[index] for i, boxes in truth.items() if index < len(boxes)}
    return {i: box for i, box in at.items() if box is not None}


def _paint_face(planes: tuple[NDArray[np.uint8], ...], box: Box) -> None:
    rows, columns = _pixels(box)
    region = planes[0][rows, columns]
    y, x = np.indices(region.shape) // _SQUARE_PX
    dark = np.random.default_rng(0).integers(*_DARK_LUMAS, (64, 64))[y % 64, x % 64]
    region[...] = np.where((x + y) % 2, dark, KEY_COLOUR[0])
    for plane, key in zip(planes[1:], KEY_COLOUR[1:], strict=True):
        plane[rows.start // 2 : -(-rows.stop // 2), columns.start // 2 : -(-columns.stop // 2)] = key


def _pixels(box: Box) -> tuple[slice, slice]:
    """The rows and columns whose centres lie in a box; slices end at the picture's edge by themselves."""
    x0, y0, x1, y1 = (max(edge, 0.0) for edge in (box[0], box[1], box[2] + 1, box[3] + 1))
    return slice(int(np.ceil(y0)), int(y1)), slice(int(np.ceil(x0)), int(x1))


#: The mesh point whose depth tells the person.
PERSON_POINT = 5

#: What :class:`FakeGenerator` paints, RGB.
PAINT_RGB = (40.0, 200.0, 60.0)


@dataclass(eq=False)
class FakeMesh:
    """A mesh that fills each target's box and has its keypoints, so a cover of it is a cover of the box.

    ``confidence``: of every measurement, or a function of the call's number (from 0; one call a frame with
    faces) and the track that returns it or raises. ``person`` gives a track's person (default: each track
    another), for :class:`FakeEncoder`; ``yaw_degrees`` turns the head.
    """

    confidence: float | Callable[[int, int], float] = 0.95
    person: Callable[[int], int] = field(default=lambda track_id: track_id)
    yaw_degrees: float = 0.0
    calls: int = 0

    def measure(self, _picture: Picture, targets: Sequence[Target]) -> list[Geometry]:
        """One measurement a target, in order."""
        call, self.calls = self.calls, self.calls + 1
        return [self._measure_one(call, target) for target in targets]

    def _measure_one(self, call: int, target: Target) -> Geometry:
        sure = (
            self.confidence
            if isinstance(self.confidence, float)
            else self.confidence(call, target.track_id)
        )
        points = fake_points(target.box, target.keypoints, self.yaw_degrees)
        points[PERSON_POINT, 2] = self.person(target.track_id)
        return Geometry(points, sure)


@dataclass(eq=False)
class FakeEncoder:
    """Knows whom a :class:`FakeMesh` measured. ``fails`` (of the call's number) may raise."""

    fails: Callable[[int], None] = field(default=lambda _call: None)
    calls: int = 0

    def describe(self, _picture: Picture, points: Float) -> IdentityFeature:
        """Two people's embeddings are hardly alike, one's are the same."""
        self.calls += 1
        self.fails(self.calls - 1)
        numbers = np.random.default_rng(int(points[PERSON_POINT, 2])).normal(0, 1, EMBEDDING)
        embedding = np.asarray(numbers / np.linalg.norm(numbers), np.float32)
        channels: Float = np.ones(CHANNELS, np.float32)
        return IdentityFeature(embedding, channels, channels, 4.0)


@dataclass(eq=False)
class FakeGenerator:
    """Paints flat :data:`PAINT_RGB` over the mesh's box; ``fails`` (of the call's number) may raise."""

    fails: Callable[[int], None] = field(default=lambda _call: None)
    delegates: list[str] = field(default_factory=list)

    def paint(self, picture: Picture, jobs: Sequence[Job]) -> list[Painting | None]:
        """The painted boxes; an error of ``fails`` costs its own face alone."""
        made: list[Painting | None] = []
        for job in jobs:
            try:
                made.append(Painting(*self.paint_one(picture, job.geometry, job.assignment, job.last)))
            except Exception:
                made.append(None)
        return made

    def paint_one(
        self, picture: Picture, geometry: Geometry, assignment: Assignment, last: DetailState | None
    ) -> tuple[Patch, DetailState]:
        """A painted box; notes the delegate's id."""
        self.delegates.append(assignment.delegate.id)
        self.fails(len(self.delegates) - 1)
        low, high = geometry.points[:, :2].min(0), geometry.points[:, :2].max(0)
        x0, y0, x1, y1 = snap(picture, np.concatenate([low - 1, high + 2]))
        if x1 <= x0 or y1 <= y0:
            raise SynthesisError("the face lies outside the frame")
        alpha = np.ones((y1 - y0, x1 - x0), np.float32)
        rgb = np.broadcast_to(np.array(PAINT_RGB, np.float32), (*alpha.shape, 3)).copy()
        return Patch(x0, y0, rgb, alpha), last or DetailState(1.0, 0.0)


def fake_points(box: Float, keypoints: Float, yaw_degrees: float = 0.0) -> Float:
    """Mesh points [478, 3] that fill a box, with the five keypoints of a detection where they belong."""
    across, down = np.meshgrid(np.linspace(0, 1, 24), np.linspace(0, 1, 20))
    grid = np.stack([across.ravel(), down.ravel()], axis=1)[-478:]
    points = np.zeros((478, 3), np.float32)
    points[:, :2] = box[:2] + grid * (box[2:] - box[:2])
    points[:4, :2] = box[[0, 1, 2, 1, 0, 3, 2, 3]].reshape(4, 2)
    points[[*IRISES, NOSE_TIP, *MOUTH_CORNERS], :2] = keypoints
    half = 0.25 * (box[2] - box[0])
    shift = NOSE_DEPTH * np.tan(np.radians(yaw_degrees)) * half
    points[OVAL_SIDES[0], :2] = keypoints[2] - [half + shift, 0]
    points[OVAL_SIDES[1], :2] = keypoints[2] + [half - shift, 0]
    return points


KINDS = EMBEDDING


def fake_distraction() -> Distraction:
    """No identity directions, and probes that tell nothing but the middle: 0.5, 40 years, 30 degrees; as
    many kinds of faces as embeddings have numbers.
    """
    nothing: Float = np.zeros((0, CHANNELS), np.float32)
    probes = np.full((3, CHANNELS), 1e-9, np.float32)
    middle = np.array([0.5, 40, 30], np.float32)
    anchors = np.eye(KINDS, EMBEDDING, dtype=np.float32)
    return Distraction(nothing, probes, middle, anchors, np.tile(middle, (KINDS, 1)))


def fake_assigner(seed: int | None = 0, rules: Sequence[Rule] = ()) -> Assigner:
    """Draws from :func:`fake_gallery` for whom :class:`FakeMesh` measures."""
    config = IdentityConfig(seed=seed)
    parts = AssignerParts(fake_gallery(), FakeEncoder(), fake_distraction(), config, rules=tuple(rules))
    return Assigner(parts)


def fake_gallery(count: int = 12) -> DelegateGallery:
    """Delegates of flat colour, "d000" onwards, on a mesh of two triangles."""
    uv = fake_points(np.array([0, 0, 255, 255], np.float32), np.full((5, 2), 127, np.float32))[:, :2]
    delegates = tuple(
        Delegate(
            id=f"d{number:03d}",
            stored=np.full((256, 256, 3), 40 + 170 * number // count, np.uint8),
            shape=np.zeros((478, 3), np.float32),
            code=np.zeros(4, np.float32),
            masculine=float(number % 2),
            age=20.0 + number,
        )
        for number in range(count)
    )
    triangles = np.array([[0, 1, 2], [1, 3, 2]], np.int32)
    weights = np.full((count, 4), 0.25, np.float32)
    tones = np.linspace(-50, 60, count, dtype=np.float32)
    rng = np.random.default_rng(1)
    features, embeddings = (
        rng.normal(0, 1, (count, size)).astype(np.float32) for size in (CHANNELS, EMBEDDING)
    )
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    mirror = np.arange(478, dtype=np.int32)
    head, points = np.full((256, 256, 3), 120, np.uint8), np.pad(uv, ((0, 0), (0, 1)))
    return DelegateGallery(
        delegates, uv, triangles, mirror, weights, tones, features, embeddings, head, points
    )
