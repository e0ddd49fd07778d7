"""Covering the faces of a frame: the only place where a :class:`SafeFrame` is made.

Each face is on one rung: a generated face, or an irreversible mosaic, or plain colour. Whatever fails or
cannot be trusted falls to the next one; a generated face that fades lies on an opaque mosaic until it is
fully there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from streamanon.config import CoverConfig
from streamanon.faults import FARTHEST_PX, Faults
from streamanon.generator import Generator, Job, Look, Painting, Patch
from streamanon.geometry import grow, mesh_keypoints, yaw_degrees
from streamanon.identity.casting import Account, Casting
from streamanon.mesh import MeshModel, snap
from streamanon.pixels import read_rgb, write_rgb
from streamanon.redact import MAX_CELLS, blur, cells_of, ellipse_alpha, mosaic, solid
from streamanon.steady import NEIGHBOURS, followed, steadied
from streamanon.types import (
    Cover,
    Float,
    FrameReport,
    Geometry,
    Method,
    Picture,
    Plane,
    RawFrame,
    Resolved,
    SafeFrame,
    Target,
)

#: A face already generated stays so down to this much less confidence, and this much more turn.
CONFIDENCE_SLACK = 0.12
YAW_SLACK_DEG = 7.0
STALE_FRAMES = 100
#: A face at most this many frames from its nearest detection is taken to be in view.
IN_VIEW_FRAMES = 3
#: A face that is not painted and far from it is measured again only after so many frames; one that is less
#: far after a few.
HOPELESS_CONFIDENCE = 0.1
HOPELESS_REST_FRAMES, REST_FRAMES = 8, 3
#: Boxes smaller than this share of the least generated face are not measured at all.
LEAST_BOX = 0.8
#: An ellipse in a box grown by less than this would leave the box's own corners bare.
LEAST_MARGIN = 0.21
#: How opaque a generated face must be in its middle. Sound ones have 0.83 and more, turned as they may be.
LEAST_OPACITY = 0.7
#: How much of its middle may show something in front of the face.
MOST_FRONT = 0.7


@dataclass
class _TrackState:
    """What is remembered of a track: how far its generated face has faded in, its last mesh as painted, and
    its last ones as measured, by frame. ``cells``: the colours of its mosaic, which are taken once: of many
    frames more could be learned.
    """

    weight: float | None = None
    points: Float | None = None
    past: deque[tuple[int, Float]] = field(default_factory=lambda: deque(maxlen=NEIGHBOURS))
    look: Look | None = None
    last_index: int = -1
    rests_until: int = -1
    visible: bool = False
    cells: Float | None = None

    def fall(self) -> None:
        """To the next rung."""
        self.weight, self.points = 0.0, None


@dataclass(frozen=True)
class Synthesis:
    """The parts that make a generated face."""

    mesh: MeshModel
    casting: Casting
    generator: Generator


@dataclass(frozen=True)
class Held:
    """A frame that waits to be covered, with one measurement a target, or None where it would not help, or
    could not be made.
    """

    resolved: Resolved
    measured: list[Geometry | None]

    def mesh_of(self, track_id: int, least_confidence: float) -> Float | None:
        """A track's mesh, if it is sure."""
        for target, found in zip(self.resolved.targets, self.measured, strict=True):
            if target.track_id == track_id and found is not None:
                return found.points if found.confidence >= least_confidence else None
        return None


class Compositor:
    """Covers frame after frame of one video. ``synthesis`` is None for the plain methods; ``noise`` is the
    mosaics', by default seeded by the system and known to nobody.
    """

    def __init__(
        self,
        config: CoverConfig,
        synthesis: Synthesis | None,
        noise: np.random.Generator | None = None,
    ) -> None:
        self._config = config
        self._synthesis = synthesis
        self._noise = np.random.default_rng() if noise is None else noise
        self._tracks: dict[int, _TrackState] = {}
        self.faults = Faults(config.on_error)

    @property
    def account(self) -> Account:
        """What was drawn so far."""
        return Account() if self._synthesis is None else self._synthesis.casting.account

    def hold(self, resolved: Resolved) -> Held:
        """Measure the faces of a frame. Frames are held, and composed, in order."""
        if not resolved.cover_all:
            try:
                return Held(resolved, self._measure(resolved.frame, resolved.targets))
            except Exception as error:  # whatever it was, these faces go to the next rung
                self.faults.note("faces", "measuring", error, len(resolved.targets))
        return Held(resolved, [None] * len(resolved.targets))

    def compose(self, held: Held, later: Sequence[Held] = ()) -> SafeFrame:
        """Cover a frame; ``later``: those held after it, as far as is known."""
        frame = held.resolved.frame
        if not held.resolved.cover_all:
            try:
                return self._composed(held, later)
            except Exception as error:
                self.faults.note("frames", "covering", error)
        return _safe(frame, _covered_whole(frame.picture), FrameReport((), withheld=True))

    def _composed(self, held: Held, later: Sequence[Held]) -> SafeFrame:
        resolved = held.resolved
        frame = resolved.frame
        if not all(_is_placed(box) for box in (*(one.box for one in resolved.targets), *resolved.moving)):
            raise ValueError("a face lies nowhere")
        if not resolved.targets and not len(resolved.moving):
            return _safe(frame, frame.picture, FrameReport(()))
        self._drop_stale(frame.index)
        self._tell_who_is_in_view(resolved)
        planes = tuple(plane.copy() for plane in frame.picture.planes)
        measured = [self._steady(held, row, later) for row in range(len(resolved.targets))]
        moving = tuple(self._cover_moving(frame.picture, planes, box) for box in resolved.moving)
        # Near faces last: they hide far ones.
        order = np.argsort([_area(target.box) for target in resolved.targets])
        jobs = {row: self._job(frame, resolved.targets[row], measured[row]) for row in order}
        patches = self._painted(resolved, jobs)
        covers = [self._cover(frame, planes, resolved.targets[row], patches.get(row)) for row in order]
        picture = Picture(
            planes, frame.picture.pixel_format, frame.picture.matrix, frame.picture.full_range
        )
        return _safe(frame, picture, FrameReport(tuple(covers), moving=moving))

    def _steady(self, held: Held, row: int, later: Sequence[Held]) -> Geometry | None:
        """A measurement with its mesh brought to rest among its neighbours in time."""
        target, index, found = held.resolved.targets[row], held.resolved.frame.index, held.measured[row]
        state = self._state(target)
        if found is None:
            state.past.clear()
            return found
        least = self._config.min_confidence - CONFIDENCE_SLACK
        if found.confidence < least:
            return found
        before = dict(state.past)
        after = {one.resolved.frame.index: one.mesh_of(target.track_id, least) for one in later}
        pairs = []
        for step in range(1, NEIGHBOURS + 1):
            pair = before.get(index - step), after.get(index + step)
            if pair[0] is None or pair[1] is None:
                break
            pairs.append((pair[0], pair[1]))
        state.past.append((index, found.points))
        if pairs:
            state.points = None
            return replace(found, points=steadied(found.points, pairs))
        state.points = followed(state.points, found.points)
        return replace(found, points=state.points)

    def _drop_stale(self, index: int) -> None:
        self._tracks = {t: s for t, s in self._tracks.items() if index - s.last_index <= STALE_FRAMES}
        if self._synthesis is not None:
            self._synthesis.casting.forget_tracks(set(self._tracks))

    def _tell_who_is_in_view(self, resolved: Resolved) -> None:
        """Coasting tracks do not count: their person may have come back under another track."""
        if self._synthesis is not None:
            near = [t.track_id for t in resolved.targets if t.distance <= IN_VIEW_FRAMES]
            self._synthesis.casting.in_view(near, resolved.frame)

    def _measure(self, frame: RawFrame, targets: tuple[Target, ...]) -> list[Geometry | None]:
        """One measurement a target, or None where it would not help, or could not be made."""
        measured: list[Geometry | None] = [None] * len(targets)
        rows = [row for row, target in enumerate(targets) if self._worth_measuring(target, frame.index)]
        if self._synthesis is None or not rows:
            return measured
        found = list(self._synthesis.mesh.measure(frame.picture, [targets[row] for row in rows]))
        for row, measurement in zip(rows, found, strict=True):
            if not _is_sound(measurement):
                self.faults.note("faces", "measuring", ValueError("no sound mesh"))
                continue
            measured[row] = measurement
            state = self._state(targets[row])
            state.last_index = frame.index
            if not state.weight:
                state.rests_until = frame.index + self._rest(measurement.confidence)
        return measured

    def _rest(self, confidence: float) -> int:
        if confidence >= self._config.min_confidence:
            return 0
        return REST_FRAMES if confidence >= HOPELESS_CONFIDENCE else HOPELESS_REST_FRAMES

    def _worth_measuring(self, target: Target, index: int) -> bool:
        resting = index < self._state(target).rests_until
        return not resting and _area(target.box) >= (LEAST_BOX * self._config.min_face_px) ** 2

    def _state(self, target: Target) -> _TrackState:
        return self._tracks.setdefault(target.track_id, _TrackState())

    def _cover(
        self, frame: RawFrame, planes: tuple[Plane, ...], target: Target, patch: Patch | None
    ) -> Cover:
        state = self._state(target)
        if state.visible:
            return Cover(target.track_id, snap(frame.picture, target.box), "kept", target.detected)
        weight = 0.0 if patch is None or state.weight is None else state.weight
        if patch is None or weight < 1:
            region, method = self._plain(frame.picture, planes, target, patch)
        if patch is not None:
            alpha = patch.alpha * np.float32(weight)
            write_rgb(planes, frame.picture, patch.x0, patch.y0, patch.rgb, alpha)
            painted = _region_of(patch)
            region = painted if weight >= 1 else _around(region, painted)
            method = "synthesize" if weight >= 0.5 else method
        return Cover(target.track_id, region, method, target.detected)

    def _job(self, frame: RawFrame, target: Target, measured: Geometry | None) -> Job | None:
        """What the generator is asked for, or None where the next rung has to do, or where somebody is seen
        whom the user wants to be seen. Moves the track's fade along.
        """
        state = self._state(target)
        state.last_index, state.visible = frame.index, False
        if self._synthesis is None or measured is None:
            state.fall()
            return None
        trusted = self._trusted(frame.picture, target, measured, established=bool(state.weight))
        state.weight = self._faded(state.weight, trusted)
        if state.weight <= 0:
            state.points = None
            return None
        try:
            role = self._synthesis.casting.role(frame, target.track_id, measured)
        except Exception as error:  # a face that cannot be made is covered by the next rung
            self.faults.note("faces", "casting", error)
            state.fall()
            return None
        if role.visible and target.detected:
            state.visible, state.weight, state.points = True, None, None
            return None
        return Job(measured, role, state.look)

    def _painted(self, resolved: Resolved, jobs: Mapping[int, Job | None]) -> dict[int, Patch]:
        """The painted faces that cover the person's, by row of the target."""
        rows = [row for row, job in jobs.items() if job is not None]
        wanted = [job for job in jobs.values() if job is not None]
        if self._synthesis is None or not wanted:
            return {}
        picture = resolved.frame.picture
        try:
            made = list(self._synthesis.generator.paint(picture, wanted))
            if len(made) != len(wanted):
                raise ValueError(f"{len(made)} paintings for {len(wanted)} faces")
        except Exception as error:  # as above: the next rung
            self.faults.note("faces", "painting", error, len(rows))
            made = [None] * len(rows)
        patches = {}
        for row, job, painting in zip(rows, wanted, made, strict=True):
            state = self._state(resolved.targets[row])
            if painting is not None and self._hides(painting, picture, job):
                state.look, patches[row] = painting.look, painting.patch
            else:
                state.fall()
        return patches

    def _hides(self, painting: Painting, picture: Picture, job: Job) -> bool:
        """Whether the painted face covers the person's. What is no patch at all does not."""
        try:
            return _covers(painting.patch, picture, job.geometry.points)
        except Exception as error:
            self.faults.note("faces", "painting", error)
            return False

    def _faded(self, weight: float | None, trusted: bool) -> float:
        if weight is None:  # a new face: nothing to fade from
            return 1.0 if trusted else 0.0
        step = 1.0 / max(1, self._config.fade_frames)
        return float(np.clip(weight + (step if trusted else -step), 0.0, 1.0))

    def _trusted(self, picture: Picture, target: Target, measured: Geometry, established: bool) -> bool:
        """Whether the mesh is good enough to paint on; an established face is given some slack."""
        config = self._config
        slack = float(established)
        points = measured.points[:, :2]
        extent = np.concatenate([points.min(0), points.max(0)]).astype(np.float32)
        return bool(
            measured.confidence >= config.min_confidence - slack * CONFIDENCE_SLACK
            and abs(yaw_degrees(measured.points)) <= config.max_yaw_deg + slack * YAW_SLACK_DEG
            and min(extent[2:] - extent[:2]) >= config.min_face_px * (1 - 0.15 * slack)
            and _agrees(target, points, extent)
            and _share_inside(points, picture) >= 0.6
        )

    def _cover_moving(
        self, picture: Picture, planes: tuple[Plane, ...], box: Float
    ) -> tuple[int, int, int, int]:
        """Plain colour over a whole box, whoever is in it: it has no track whose mosaic could stay one."""
        region = snap(picture, box + np.array([0, 0, 1, 1], np.float32))
        x0, y0, x1, y1 = region
        if x1 > x0 and y1 > y0:
            rgb = solid(np.zeros((y1 - y0, x1 - x0, 3), np.float32))
            write_rgb(planes, picture, x0, y0, rgb, np.ones(rgb.shape[:2], np.float32))
        return region

    def _plain(
        self, picture: Picture, planes: tuple[Plane, ...], target: Target, patch: Patch | None
    ) -> tuple[tuple[int, int, int, int], Method]:
        """Mosaic, blur or solid over the grown box, and beneath what is painted; solid where those fail."""
        box = grow(target.box, max(self._config.margin, LEAST_MARGIN))
        region = snap(picture, box + np.array([-1, -1, 2, 2], np.float32))
        x0, y0, x1, y1 = region
        method: Method = "solid"
        if x1 > x0 and y1 > y0:
            middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
            centre = float(middle[0] - x0), float(middle[1] - y0)
            alpha = ellipse_alpha(x1 - x0, y1 - y0, centre, (float(half[0]), float(half[1])))
            method = self._flatten(picture, planes, target, region, alpha)
        if patch is not None:
            self._flatten(picture, planes, target, _region_of(patch), patch.alpha)
        return region, method

    def _flatten(
        self,
        picture: Picture,
        planes: tuple[Plane, ...],
        target: Target,
        region: tuple[int, int, int, int],
        alpha: Float,
    ) -> Method:
        """Cover a region of the picture as far as ``alpha`` says."""
        rgb, method = self._flattened(picture, region, self._state(target))
        write_rgb(planes, picture, region[0], region[1], rgb, alpha)
        return method

    def _flattened(
        self, picture: Picture, region: tuple[int, int, int, int], state: _TrackState
    ) -> tuple[Float, Method]:
        method = self._config.method
        width, height = region[2] - region[0], region[3] - region[1]
        if method != "solid":
            try:
                if state.cells is None:
                    rows = max(1, min(MAX_CELLS, round(MAX_CELLS * height / width)))
                    columns = min(MAX_CELLS, width)
                    state.cells = cells_of(read_rgb(picture, *region), columns, rows, self._noise)
                flatten = blur if method == "blur" else mosaic
                return flatten(state.cells, width, height), "blur" if method == "blur" else "mosaic"
            except Exception as error:  # the last rung needs nothing
                self.faults.note("faces", "flattening", error)
        return solid(np.zeros((height, width, 3), np.float32)), "solid"


def composite(frames: Iterable[Resolved], compositor: Compositor, ahead: int) -> Iterator[SafeFrame]:
    """The stage: cover one frame after the other, each when ``ahead`` more have been measured. An error in
    what comes before rises when the frames held are out.
    """
    held: deque[Held] = deque()
    error: BaseException | None = None
    resolved = iter(frames)
    while error is None:
        try:
            held.append(compositor.hold(next(resolved)))
        except BaseException as caught:
            error = caught
        if held and (error is not None or len(held) > ahead):
            yield compositor.compose(held.popleft(), held)
    while held:
        yield compositor.compose(held.popleft(), held)
    if not isinstance(error, StopIteration):
        raise error


def _is_placed(box: Float) -> bool:
    """Whether it is a box. Comparisons with what is no number are false."""
    return box.shape == (4,) and bool((np.abs(box) < FARTHEST_PX).all() and (box[2:] >= box[:2]).all())


def _is_sound(measured: object) -> bool:
    """Whether it is a measurement, in numbers: an infinite confidence would pass for a sure one."""
    return (
        isinstance(measured, Geometry)
        and measured.points.dtype == np.float32
        and bool(np.isfinite(measured.points).all())
        and bool(np.isfinite(measured.confidence))
    )


def _agrees(target: Target, points: Float, extent: Float) -> bool:
    """Whether the mesh lies where the detector, which knows nothing of it, saw the face."""
    shared = np.minimum(extent[2:], target.box[2:]) - np.maximum(extent[:2], target.box[:2])
    covered = float(np.prod(shared.clip(0))) / max(_area(target.box), 1.0)
    # Carried boxes have grown, so less of them is face.
    if covered < (0.6 if target.detected else 0.35):
        return False
    spread = float(np.sqrt(_area(extent)))
    apart = np.linalg.norm(mesh_keypoints(points) - target.keypoints, axis=1).mean()
    return bool(apart < (0.2 if target.detected else 0.3) * spread)


def _share_inside(points: Float, picture: Picture) -> float:
    inside = ((points >= 0) & (points < [picture.width, picture.height])).all(axis=1)
    return float(inside.mean())


def _covers(patch: Patch, picture: Picture, points: Float) -> bool:
    """Whether a patch can be laid over the picture and hides what is beneath the middle of the mesh."""
    region, (height, width) = _region_of(patch), patch.alpha.shape
    if snap(picture, np.array(region, np.float32)) != region or patch.rgb.shape != (height, width, 3):
        return False
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    x0, y0 = np.ceil((3 * low + high) / 4).clip(0).astype(int)
    x1, y1 = np.minimum((low + 3 * high) / 4 + 1, [picture.width, picture.height]).astype(int)
    rows = slice(max(y0 - patch.y0, 0), max(y1 - patch.y0, 0))
    columns = slice(max(x0 - patch.x0, 0), max(x1 - patch.x0, 0))
    front = np.zeros_like(patch.alpha) if patch.front is None else patch.front
    if not np.isfinite([one.sum() for one in (patch.rgb, patch.alpha, front)]).all():
        raise ValueError("a painted face holds what is no number")
    hidden = float((patch.alpha + front)[rows, columns].clip(0, 1).sum())
    return bool(
        -0.01 <= patch.alpha.min() <= patch.alpha.max() <= 1.01
        and hidden >= LEAST_OPACITY * max(x1 - x0, 1) * max(y1 - y0, 1)
        and float(front[rows, columns].sum()) <= MOST_FRONT * front[rows, columns].size
    )


def _region_of(patch: Patch) -> tuple[int, int, int, int]:
    height, width = patch.alpha.shape
    return patch.x0, patch.y0, patch.x0 + width, patch.y0 + height


def _around(one: tuple[int, int, int, int], two: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """The smallest region that holds both."""
    return min(one[0], two[0]), min(one[1], two[1]), max(one[2], two[2]), max(one[3], two[3])


def _area(box: Float) -> float:
    return float(np.prod((box[2:] - box[:2]).clip(0)))


def _covered_whole(picture: Picture) -> Picture:
    """The frame as plain colour: where nothing is known about it, it may show a face from edge to edge."""
    step_x, step_y = picture.chroma_step
    corner = tuple(
        np.zeros_like(p[: 1 if n else step_y, : 1 if n else step_x]) for n, p in enumerate(picture.planes)
    )
    spot = Picture(corner, picture.pixel_format, picture.matrix, picture.full_range)
    grey = solid(np.zeros((spot.height, spot.width, 3), np.float32))
    write_rgb(corner, spot, 0, 0, grey, np.ones((spot.height, spot.width), np.float32))
    planes = tuple(np.full_like(p, c[0, 0]) for p, c in zip(picture.planes, corner, strict=True))
    return Picture(planes, picture.pixel_format, picture.matrix, picture.full_range)


def _safe(frame: RawFrame, picture: Picture, report: FrameReport) -> SafeFrame:
    return SafeFrame(frame.index, frame.pts, frame.time_base, picture, report, frame.duration)
