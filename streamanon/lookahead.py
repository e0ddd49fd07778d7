"""Settling, with a few frames of hindsight, where the faces are.

The promise, for every track and within one shot: each frame that lies at most ``frames`` before one of its
detections or at most ``coast_frames`` after one has a target for it. A gap of up to ``frames +
coast_frames`` frames between two detections is therefore covered throughout; in the middle of a longer one
a track counts as gone. Targets that would lie wholly outside the picture are left out.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from streamanon.config import LookaheadConfig
from streamanon.geometry import grow
from streamanon.types import Float, Observation, Picture, Resolved, Target

#: The part of its speed that a carried face keeps from one frame to the next: it stops after a while, as
#: faces do, rather than leave the picture.
_KEEP_SPEED = 0.9
#: A carried box grows by this much of its size on every side for each frame, up to the most; by more
#: where a single sighting tells no velocity.
_GROWTH = 0.03
_GROWTH_BLIND = 0.06
_MOST_GROWTH = 0.5
#: Velocity is measured over so many detections: fewer jitter, more lag behind a turn.
_FIT_SIGHTINGS = 4


def resolve(observations: Iterable[Observation], config: LookaheadConfig) -> Iterator[Resolved]:
    """Hold back ``config.frames`` frames, then emit each once, in order, with every known face settled.

    A frame that the detector failed on may hold faces that nobody knows of: ``cover_all`` is set. Faces
    without a track (id -1) stay targets in their own frame only.
    """
    held: deque[tuple[Observation, _Shot]] = deque()
    shot = _Shot()
    for observation in observations:
        if observation.cut:
            # Frames still held keep their own shot, so nothing crosses the cut in either direction.
            shot = _Shot()
        shot.add(observation)
        held.append((observation, shot))
        if len(held) > config.frames:
            yield _settle(*held.popleft(), config)
    while held:
        yield _settle(*held.popleft(), config)


def _settle(observation: Observation, shot: _Shot, config: LookaheadConfig) -> Resolved:
    index = observation.frame.index
    targets = _detected(observation)
    seen = {target.track_id for target in targets}
    targets += [t for t in shot.fill(index, config.coast_frames) if t.track_id not in seen]
    shot.forget(index, config.frames + config.coast_frames)
    inside = tuple(t for t in targets if _touches(t.box, observation.frame.picture))
    return Resolved(observation.frame, inside, observation.cut, cover_all=observation.status == "failed")


def _detected(observation: Observation) -> list[Target]:
    if observation.status != "seen":
        return []
    faces = observation.faces
    rows = zip(faces.track_ids, faces.boxes, faces.keypoints, strict=True)
    return [Target(int(track_id), box, points, True) for track_id, box, points in rows]


@dataclass(frozen=True, eq=False)
class _Sighting:
    """A detection of one track: ``box`` [4] and ``keypoints`` [5, 2] in px."""

    index: int
    box: Float
    keypoints: Float


class _Shot:
    """What is known of the tracks of one shot: their sightings in the order of frames."""

    def __init__(self) -> None:
        self._tracks: dict[int, list[_Sighting]] = {}

    def add(self, observation: Observation) -> None:
        for target in _detected(observation):
            if target.track_id >= 0:
                sighting = _Sighting(observation.frame.index, target.box, target.keypoints)
                self._tracks.setdefault(target.track_id, []).append(sighting)

    def fill(self, index: int, coast_frames: int) -> Iterator[Target]:
        """Targets at a frame for the tracks that are known before or after it but not seen in it."""
        for track_id, sightings in self._tracks.items():
            place = bisect_left(sightings, index, key=lambda s: s.index)
            before, after = sightings[:place], sightings[place:]
            if after and after[0].index == index:
                continue
            if before and after:
                yield _between(track_id, before[-1], after[0], index)
            elif after:
                yield _carry(track_id, after[0], after[:_FIT_SIGHTINGS], index)
            elif index - before[-1].index <= coast_frames:
                yield _carry(track_id, before[-1], before[-_FIT_SIGHTINGS:], index)

    def forget(self, index: int, frames: int) -> None:
        """Drop what frames after ``index`` will not need: tracks lost for longer, and old sightings."""
        for track_id, sightings in list(self._tracks.items()):
            if sightings[-1].index < index - frames:
                del self._tracks[track_id]
            else:
                place = bisect_left(sightings, index, key=lambda s: s.index)
                del sightings[: max(place - _FIT_SIGHTINGS, 0)]


def _between(track_id: int, first: _Sighting, second: _Sighting, index: int) -> Target:
    part = np.float32((index - first.index) / (second.index - first.index))
    box = first.box + part * (second.box - first.box)
    keypoints = first.keypoints + part * (second.keypoints - first.keypoints)
    distance = min(index - first.index, second.index - index)
    # A long gap may hide a turn; next to a detection there is no room for one.
    grown = grow(box, min(_GROWTH * (distance - 1), _MOST_GROWTH))
    return Target(track_id, grown, keypoints, detected=False, distance=distance)


def _carry(track_id: int, origin: _Sighting, fit: list[_Sighting], index: int) -> Target:
    """A sighting moved to another frame, backwards or forwards, by the velocity of ``fit``."""
    distance = abs(index - origin.index)
    frames = (1 - _KEEP_SPEED**distance) / (1 - _KEEP_SPEED)
    shift = _velocity(fit) * np.float32(frames if index > origin.index else -frames)
    growth = _GROWTH if len(fit) > 1 else _GROWTH_BLIND
    box = grow(origin.box + np.tile(shift, 2), min(growth * distance, _MOST_GROWTH))
    return Target(track_id, box, origin.keypoints + shift, detected=False, distance=distance)


def _velocity(sightings: list[_Sighting]) -> Float:
    """Of the box's centre, [2] px a frame; zero for a single sighting."""
    first, last = sightings[0], sightings[-1]
    frames = last.index - first.index
    if frames == 0:
        return np.zeros(2, np.float32)
    moved = (last.box - first.box).reshape(2, 2).mean(axis=0) / frames
    return np.asarray(moved, np.float32)


def _touches(box: Float, picture: Picture) -> bool:
    """Whether any part of a box lies on the picture, whose pixels reach from -0.5 to size - 0.5."""
    x0, y0, x1, y1 = (float(edge) for edge in box)
    outside = x1 <= -0.5 or y1 <= -0.5 or x0 >= picture.width - 0.5 or y0 >= picture.height - 0.5
    return not outside
