"""The stages that assign delegates and synthesise faces, for those faces whose mesh is trusted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from typing import Protocol

import numpy as np

from streamanon.config import CoverConfig
from streamanon.cover.canvas import Canvas, HostCanvas
from streamanon.cover.measure import Measured
from streamanon.cover.painted import Painted
from streamanon.cover.track_states import TrackStates, time_of
from streamanon.cover.trust import area, hides, is_sound, opaque_inside, trusts_mesh
from streamanon.generate import Generator, Job, Painting, Patch
from streamanon.identity.assignment import Assigner, Sight
from streamanon.mesh.face_mesh import MeshModel
from streamanon.runtime.faults import Faults
from streamanon.types import Geometry, Picture, RawFrame, Resolved, Target

#: A face at most this many frames from its nearest detection is taken to be in view.
IN_VIEW_FRAMES = 3
#: ``cover.repaint_seconds`` on an overloaded machine, if it is not more.
LOADED_REPAINT_SECONDS = 0.14


class Load(Protocol):
    """What an overloaded machine has to leave out now."""

    @property
    def rare_painting(self) -> bool:
        """Whether faces are to be painted less often."""
        ...


@dataclass(frozen=True)
class NoLoad:
    """A machine that keeps up, or need not."""

    rare_painting: bool = False


@dataclass(frozen=True)
class Synthesis:
    """The parts that make a generated face. ``load``: what is left out; ``canvas``: what the generator's
    patches are laid over.
    """

    mesh: MeshModel
    assigner: Assigner
    generator: Generator
    load: Load = NoLoad()
    canvas: Callable[[Picture], Canvas] = HostCanvas


@dataclass(frozen=True)
class Assigned:
    """A frame with what is to be generated, by row of the target; near faces last: they hide far ones."""

    resolved: Resolved
    jobs: Mapping[int, Job | None] = field(default_factory=dict)
    failed: bool = False


@dataclass(frozen=True)
class Synthesised:
    """A frame with the faces generated, by row of the target; ``order``: of the rows, near faces last."""

    resolved: Resolved
    order: tuple[int, ...] = ()
    patches: Mapping[int, Patch] = field(default_factory=dict)
    failed: bool = False


class Synthesiser:
    """Assigns and generates the faces of one stream. ``parts``: None where no face is generated."""

    def __init__(
        self, config: CoverConfig, parts: Synthesis | None, tracks: TrackStates, faults: Faults
    ) -> None:
        self._config, self._parts, self._tracks, self._faults = config, parts, tracks, faults
        #: The time of the last frame, s, and how long before this one that was.
        self._time: Fraction | None = None
        self._elapsed = 0.0

    def assign(self, measured: Measured) -> Assigned:
        """Which faces are generated and as whom. Moves the tracks' fades along."""
        resolved = measured.resolved
        self._advance(resolved.frame)
        if measured.failed:
            return Assigned(resolved, failed=True)
        try:
            if resolved.targets or len(resolved.moving):
                self._tell_assignment(resolved)
            order = np.argsort([area(target.box) for target in resolved.targets])
            jobs = {
                int(row): self._job(measured, resolved.targets[row], measured.meshes[row]) for row in order
            }
            return Assigned(resolved, jobs)
        except Exception as error:
            self._faults.note("frames", "covering", error)
            return Assigned(resolved, failed=True)

    def synthesise(self, assigned: Assigned) -> Synthesised:
        """The generated faces that hide the person's; the others go to the next rung."""
        resolved = assigned.resolved
        if assigned.failed:
            return Synthesised(resolved, failed=True)
        try:
            return Synthesised(resolved, tuple(assigned.jobs), self._patches(resolved, assigned.jobs))
        except Exception as error:
            self._faults.note("frames", "covering", error)
            return Synthesised(resolved, failed=True)

    def _advance(self, frame: RawFrame) -> None:
        time = time_of(frame)
        before, self._time = time if self._time is None else self._time, time
        self._elapsed = max(0.0, float(time - before))

    def _tell_assignment(self, resolved: Resolved) -> None:
        """Which tracks there still are, and which are in view. Coasting tracks do not count: their person
        may have come back under another track.
        """
        live = self._tracks.forget(resolved.frame)
        if self._parts is not None:
            self._parts.assigner.forget_tracks(live)
            near = [t.track_id for t in resolved.targets if t.distance <= IN_VIEW_FRAMES]
            self._parts.assigner.in_view(near, resolved.frame)

    def _job(self, measured: Measured, target: Target, mesh: Geometry | None) -> Job | None:
        """What the generator is asked for, or None where the next rung has to do, or where somebody is
        visible whom the user wants to be seen.
        """
        frame, track = measured.resolved.frame, target.track_id
        state = self._tracks.see(track, frame)
        state.visible = track in measured.visible
        if state.visible:
            state.weight = None
            return None
        if self._parts is None or mesh is None:
            state.fall()
            return None
        known = bool(state.weight) or track in measured.soon
        state.trusted = trusts_mesh(self._config, frame.picture, target, mesh, established=known)
        state.weight = self._faded(state.weight, state.trusted)
        if state.weight <= 0:
            return None
        try:
            later = partial(self._later, self._parts.mesh, target)
            assignment = self._parts.assigner.assign(frame, track, mesh, later)
        except Exception as error:  # a face that cannot be made is covered by the next rung
            self._faults.note("faces", "assigning a delegate", error)
            state.fall()
            return None
        state.tone = assignment.delegate.skin
        return Job(mesh, assignment, state.detail)

    def _later(self, mesh: MeshModel, target: Target) -> list[Sight]:
        """The face in later frames, where its mesh can be trusted. A failure leaves out that view only."""
        seen = []
        for view in target.later:
            there = Target(target.track_id, view.box, view.keypoints, detected=True)
            try:
                (measured,) = mesh.measure(view.picture, [there])
                if not is_sound(measured):
                    raise ValueError("no sound mesh")
            except Exception as error:
                self._faults.note("faces", "measuring", error)
                continue
            if trusts_mesh(self._config, view.picture, there, measured, established=False):
                seen.append((view.picture, measured))
        return seen

    def _faded(self, weight: float | None, trusted: bool) -> float:
        if weight is None:  # a new face: nothing to fade from
            return 1.0 if trusted else 0.0
        fade = self._config.fade_seconds
        step = self._elapsed / fade if fade else 1.0
        return float(np.clip(weight + (step if trusted else -step), 0.0, 1.0))

    def _patches(self, resolved: Resolved, jobs: Mapping[int, Job | None]) -> dict[int, Patch]:
        asked = {row: job for row, job in jobs.items() if job is not None}
        patches = self._moved(resolved, asked)
        rows = [row for row in asked if row not in patches]
        wanted = [asked[row] for row in rows]
        if self._parts is None or not wanted:
            return patches
        picture = resolved.frame.picture
        made: list[Painting | None]
        try:
            made = list(self._parts.generator.paint(picture, wanted))
            if len(made) != len(wanted):
                raise ValueError(f"{len(made)} paintings for {len(wanted)} faces")
        except Exception as error:
            self._faults.note("faces", "painting", error, len(rows))
            made = [None] * len(rows)
        for row, job, painting in zip(rows, wanted, made, strict=True):
            state = self._tracks.of(resolved.targets[row].track_id)
            if painting is not None and self._hides(painting, picture, job):
                state.detail = painting.detail
                patches[row] = patch = opaque_inside(painting.patch, job.geometry.points)
                if self._repaint_seconds:
                    state.painted = Painted.of(patch, job, picture, time_of(resolved.frame))
            else:
                state.fall()
        return patches

    def _moved(self, resolved: Resolved, jobs: Mapping[int, Job]) -> dict[int, Patch]:
        """The faces whose last painting moves along."""
        picture, patches = resolved.frame.picture, {}
        oldest = time_of(resolved.frame) - Fraction(self._repaint_seconds)
        for row, job in jobs.items():
            painted = self._tracks.of(resolved.targets[row].track_id).painted
            if painted is None or painted.time <= oldest:
                continue
            patch = painted.moved(picture, job)
            if patch is not None and hides(patch, picture, job.geometry.points):
                patches[row] = opaque_inside(patch, job.geometry.points)
        return patches

    @property
    def _repaint_seconds(self) -> float:
        loaded = self._parts is not None and self._parts.load.rare_painting
        return max(self._config.repaint_seconds, LOADED_REPAINT_SECONDS if loaded else 0.0)

    def _hides(self, painting: Painting, picture: Picture, job: Job) -> bool:
        """Whether the painted face covers the person's. What is no patch at all does not."""
        try:
            return hides(painting.patch, picture, job.geometry.points)
        except Exception as error:
            self._faults.note("faces", "painting", error)
            return False


def assign(frames: Iterable[Measured], synthesiser: Synthesiser) -> Iterator[Assigned]:
    """The stage: whom each face becomes."""
    return map(synthesiser.assign, frames)


def synthesise(frames: Iterable[Assigned], synthesiser: Synthesiser) -> Iterator[Synthesised]:
    """The stage: the generated faces of each frame, in one batch."""
    return map(synthesiser.synthesise, frames)
