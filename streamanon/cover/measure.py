"""The stage that measures faces: one mesh a target, smoothed between its neighbours in time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np

from streamanon.config import CoverConfig
from streamanon.cover.track_states import LIFETIME_SECONDS, time_of
from streamanon.cover.trust import (
    CONFIDENCE_SLACK,
    is_large_enough,
    is_placed,
    is_sound,
    trusts_mesh,
)
from streamanon.mesh.face_mesh import MeshModel
from streamanon.mesh.smoothing import NEIGHBOURS, followed, steadied
from streamanon.runtime.faults import Faults
from streamanon.types import Float, Geometry, RawFrame, Resolved, Target

#: Below this confidence a mesh tells nothing: a face is far from being generated.
HOPELESS_CONFIDENCE = 0.1
#: An unsure mesh between sure ones is replaced if its middle lies this near to theirs, in sizes of a mesh.
BRIDGED_APART = 0.2
#: And if these are at most so far apart, s.
BRIDGED_SECONDS = 0.125
#: How long a face rests that is not generated before it is measured again, s: far from it, and near.
HOPELESS_REST_SECONDS, REST_SECONDS = Fraction(32, 100), Fraction(12, 100)


@dataclass(frozen=True)
class Measured:
    """A frame with one mesh a target, None where it would not help or could not be made. ``failed``:
    nothing of it can be trusted, so that it is covered whole. ``trusted``: tracks whose mesh is good enough
    to begin to paint on; ``soon``: those that are among these in one of the next frames. ``visible``:
    tracks that are left as they are, as the user asked.
    """

    resolved: Resolved
    meshes: list[Geometry | None]
    failed: bool = False
    trusted: frozenset[int] = frozenset()
    soon: frozenset[int] = frozenset()
    visible: frozenset[int] = frozenset()

    def mesh_of(self, track_id: int, least_confidence: float) -> Float | None:
        """A track's mesh [478, 3], if it is sure."""
        for target, found in zip(self.resolved.targets, self.meshes, strict=True):
            if target.track_id == track_id and found is not None:
                return found.points if found.confidence >= least_confidence else None
        return None


@dataclass
class _Track:
    """``past``: its last meshes as measured, by frame; ``points``: the last one as smoothed; ``sure``: the
    last sure one, as smoothed, and the box that it was in. ``rests_until``: the time, s, before which it
    is not measured; ``sure_until``: before which it does not rest, whatever is measured, as its face may be
    a generated one. ``last_seen``: the time, s.
    """

    last_seen: Fraction
    past: deque[tuple[int, Float]] = field(default_factory=lambda: deque(maxlen=NEIGHBOURS))
    points: Float | None = None
    sure: tuple[Float, Float] | None = None
    rests_until: Fraction | None = None
    sure_until: Fraction | None = None


class Measurer:
    """Measures the frames of one stream in order. ``mesh``: None where no face is generated. It shares
    nothing with the stages after it, so that it can run in a thread of its own.
    """

    def __init__(self, config: CoverConfig, mesh: MeshModel | None, faults: Faults) -> None:
        self._config, self._mesh, self._faults = config, mesh, faults
        self._tracks: dict[int, _Track] = {}

    def measure(self, resolved: Resolved) -> Measured:
        """The meshes of a frame as they are measured. What fails goes to the next rung."""
        nothing: list[Geometry | None] = [None] * len(resolved.targets)
        if resolved.cover_all:
            return Measured(resolved, nothing, failed=True)
        try:
            meshes = self._measured(resolved.frame, resolved.targets)
            return Measured(resolved, meshes, trusted=self._trusted(resolved, meshes))
        except Exception as error:
            self._faults.note("faces", "measuring", error, len(resolved.targets))
        return Measured(resolved, nothing)

    def smooth(self, one: Measured, later: Sequence[Measured]) -> Measured:
        """The frame with its meshes at rest among their neighbours; ``later``: the frames after it."""
        if one.failed:
            return one
        try:
            resolved = one.resolved
            if not all(is_placed(box) for box in (*(t.box for t in resolved.targets), *resolved.moving)):
                raise ValueError("a box without a place")
            meshes = [self._smoothed(one, row, later) for row in range(len(one.meshes))]
            return replace(one, meshes=meshes, soon=frozenset().union(*(other.trusted for other in later)))
        except Exception as error:
            self._faults.note("frames", "covering", error)
            return replace(one, failed=True)

    def _measured(self, frame: RawFrame, targets: tuple[Target, ...]) -> list[Geometry | None]:
        measured: list[Geometry | None] = [None] * len(targets)
        self._forget(frame)
        rows = [row for row, target in enumerate(targets) if self._worth_measuring(target, frame)]
        if self._mesh is None or not rows:
            return measured
        found = list(self._mesh.measure(frame.picture, [targets[row] for row in rows]))
        for row, measurement in zip(rows, found, strict=True):
            if not is_sound(measurement):
                self._faults.note("faces", "measuring", ValueError("no sound mesh"))
                continue
            measured[row] = measurement
            self._plan_rest(self._see(targets[row], frame), time_of(frame), measurement.confidence)
        return measured

    def _trusted(self, resolved: Resolved, meshes: Sequence[Geometry | None]) -> frozenset[int]:
        picture = resolved.frame.picture
        return frozenset(
            target.track_id
            for target, found in zip(resolved.targets, meshes, strict=True)
            if found is not None and trusts_mesh(self._config, picture, target, found, established=False)
        )

    def _see(self, target: Target, frame: RawFrame) -> _Track:
        track = self._tracks.setdefault(target.track_id, _Track(time_of(frame)))
        track.last_seen = time_of(frame)
        return track

    def _forget(self, frame: RawFrame) -> None:
        oldest = time_of(frame) - LIFETIME_SECONDS
        self._tracks = {name: one for name, one in self._tracks.items() if one.last_seen >= oldest}

    def _plan_rest(self, track: _Track, now: Fraction, confidence: float) -> None:
        """A face that may be generated, now or soon, or is fading, is measured in every frame; others
        rest.
        """
        established = track.sure_until is not None and now <= track.sure_until
        if confidence >= self._config.min_confidence - established * CONFIDENCE_SLACK:
            track.sure_until = now + Fraction(self._config.fade_seconds)
        elif not established and confidence < self._least:
            track.rests_until = now + self._rest_seconds(confidence)

    @property
    def _least(self) -> float:
        """The confidence that is enough beside frames in which the face is sure."""
        return self._config.min_confidence - CONFIDENCE_SLACK

    @staticmethod
    def _rest_seconds(confidence: float) -> Fraction:
        return REST_SECONDS if confidence >= HOPELESS_CONFIDENCE else HOPELESS_REST_SECONDS

    def _worth_measuring(self, target: Target, frame: RawFrame) -> bool:
        track = self._tracks.get(target.track_id)
        resting = track is not None and track.rests_until is not None and time_of(frame) < track.rests_until
        return not resting and is_large_enough(target.box, self._config.min_face_px)

    def _smoothed(self, one: Measured, row: int, later: Sequence[Measured]) -> Geometry | None:
        target, found = one.resolved.targets[row], one.meshes[row]
        state = self._see(target, one.resolved.frame)
        if found is None:
            state.past.clear()
            return found
        placed = self._placed(one, state, target, found, later)
        if placed.confidence >= self._least:
            state.sure = placed.points, target.box
        return placed

    def _placed(
        self, one: Measured, state: _Track, target: Target, found: Geometry, later: Sequence[Measured]
    ) -> Geometry:
        """A mesh among its neighbours. One that tells nothing is replaced by them, or by the last sure one,
        moved with its box, to fade out on.
        """
        index, before = one.resolved.frame.index, dict(state.past)
        after = {other.resolved.frame.index: other.mesh_of(target.track_id, self._least) for other in later}
        if found.confidence < self._least:
            frame = (later[0] if later else one).resolved.frame
            most = _frames_within(BRIDGED_SECONDS, float(time_of(frame) - time_of(one.resolved.frame)))
            hopeless = found.confidence < HOPELESS_CONFIDENCE
            bridged = _between(index, None if hopeless else found.points, before, after, most)
            if bridged is not None:
                return Geometry(bridged, self._least)
            if hopeless and state.sure is not None:
                return Geometry(_moved(*state.sure, target.box), HOPELESS_CONFIDENCE)
            return found
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


def _moved(points: Float, before: Float, now: Float) -> Float:
    """A mesh [478, 3] moved and scaled as its box [4] xyxy px."""
    scale = np.sqrt(np.prod(now[2:] - now[:2]) / max(float(np.prod(before[2:] - before[:2])), 1.0))
    middles = (np.append((box[:2] + box[2:]) / 2, 0) for box in (before, now))
    return np.asarray((points - next(middles)) * scale + next(middles), np.float32)


def _frames_within(seconds: float, step: float) -> int:
    """How many frames last so long, if one lasts a ``step``, s; 0 where that is not known."""
    return int(seconds / step) if step > 0 else 0


def _between(
    index: int,
    found: Float | None,
    before: Mapping[int, Float],
    after: Mapping[int, Float | None],
    most: int,
) -> Float | None:
    """A mesh [478, 3] that was not sure in a frame or two, from the sure ones before and after it; None
    where there are none within ``most`` frames, or where it was ``found`` elsewhere.
    """
    earlier = [one for one in before if one < index]
    later = [one for one, points in after.items() if one > index and points is not None]
    if not earlier or not later or min(later) - max(earlier) > most:
        return None
    first, last = before[max(earlier)], after[min(later)]
    assert last is not None
    share = np.float32((index - max(earlier)) / (min(later) - max(earlier)))
    points = first + share * (last - first)
    if found is not None:
        apart = np.linalg.norm((points - found)[:, :2].mean(axis=0))
        if apart > BRIDGED_APART * np.sqrt(np.prod(np.ptp(points[:, :2], axis=0))):
            return None
    return np.asarray(points, np.float32)


def measure(frames: Iterable[Resolved], measurer: Measurer, ahead: int) -> Iterator[Measured]:
    """The stage: each frame is passed on when ``ahead`` more have been measured. An error upstream rises
    when the frames held are out.
    """
    held: deque[Measured] = deque()
    error: BaseException | None = None
    resolved = iter(frames)
    while error is None:
        try:
            held.append(measurer.measure(next(resolved)))
        except BaseException as caught:
            error = caught
        if held and (error is not None or len(held) > ahead):
            yield measurer.smooth(held.popleft(), held)
    while held:
        yield measurer.smooth(held.popleft(), held)
    if not isinstance(error, StopIteration):
        raise error
