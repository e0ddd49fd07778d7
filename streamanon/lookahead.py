"""Settling, with a few frames of hindsight, where the faces are.

The promise, for every track that is sure and within one shot: each frame that lies at most ``frames``
before one of its detections or at most ``coast_frames`` after one has a target for it. A gap of up to
``frames + coast_frames`` frames between two detections is therefore covered throughout. Targets that would
lie wholly outside the picture are left out.

A track is sure as soon as one of its detections has a score of at least 0.7, or the squares of their scores
make 1; detections in frames that are held count as well. Until then it may be no face. Then the frames of
its detections have targets, and of the others within reach those that are no farther from a detection than
one look is from the next, or than it takes the detected box to make 6 % of a picture, added up over frames:
60 frames for a box of a thousandth of the picture, 6 for one of a hundredth.

Where the motion of a face can be seen (:mod:`streamanon.motion`) a target follows it, and a lost face is
covered for longer; else it is carried on by its velocity, and in the middle of a longer gap counts as gone.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from streamanon.config import LookaheadConfig
from streamanon.geometry import grow
from streamanon.motion import follow
from streamanon.tracker import MAX_LOST_FRAMES
from streamanon.types import Float, Observation, Picture, RawFrame, Resolved, Target

#: The part of its speed that a carried face keeps from one frame to the next: it stops after a while, as
#: faces do, rather than leave the picture.
_KEEP_SPEED = 0.9
#: A carried box grows by this much of its size on every side for each frame, up to the most; by more
#: where a single sighting tells no velocity, by less where the face's motion is seen.
_GROWTH = 0.03
_GROWTH_BLIND = 0.06
_GROWTH_FOLLOWED, _LEAST_FOLLOWED = 0.01, 0.06
_MOST_GROWTH = 0.5
#: A lost face is followed for so many times ``coast_frames``, and then coasts.
_FOLLOWED = 2
#: What makes a track sure: one such score, or such a sum of squares. Hands, hair and floors hardly reach
#: the first; large ones, which cost most, are seldom found often enough for the second.
_SURE_SCORE, _SURE_EVIDENCE = 0.7, 1.0
#: In doubt, so many pictures may be covered on either side of a detection, by its box added up over frames.
_DOUBTED_PICTURES = 0.06
#: Velocity is measured over so many detections: fewer jitter, more lag behind a turn.
_FIT_SIGHTINGS = 4


def resolve(observations: Iterable[Observation], config: LookaheadConfig) -> Iterator[Resolved]:
    """Hold back ``config.frames`` frames, then emit each once, in order, with every known face settled.

    A frame that the detector failed on may hold faces that nobody knows of: ``cover_all`` is set. Faces
    without a track (id -1) stay targets in their own frame only.
    """
    held: deque[tuple[Observation, _Shot]] = deque()
    shot = _Shot(config)
    for observation in observations:
        if observation.cut:
            # Frames still held keep their own shot, so nothing crosses the cut in either direction.
            shot = _Shot(config)
        shot.add(observation)
        held.append((observation, shot))
        if len(held) > config.frames:
            yield _settle(*held.popleft())
    while held:
        yield _settle(*held.popleft())


def _settle(observation: Observation, shot: _Shot) -> Resolved:
    index = observation.frame.index
    targets = _detected(observation)
    seen = {target.track_id for target in targets}
    filled = (t for t in shot.fill(index) if t.track_id not in seen)
    targets += [t for t in filled if t.distance <= shot.reach(t.track_id, index)]
    shot.forget(index)
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
    """Where a track is in one frame: ``box`` [4] and ``keypoints`` [5, 2] in px. ``origin``: the frame of
    the detection that it was followed from; the same frame for a detection. ``again``: whether that was not
    the track's first one.
    """

    index: int
    box: Float
    keypoints: Float
    origin: int
    again: bool

    @property
    def doubt(self) -> float:
        """By how much of its size on every side the box may be off."""
        return 0.0 if self.detected else _LEAST_FOLLOWED + _GROWTH_FOLLOWED * abs(self.index - self.origin)

    @property
    def detected(self) -> bool:
        return self.origin == self.index

    def followed(self, frames: Sequence[RawFrame]) -> _Sighting | None:
        """The same face in the last of ``frames``, the first of which is its own, by its motion: at once
        or, where it went too far for that, from one to the next. None where that is not certain.
        """
        motion = follow(frames[0].picture, frames[-1].picture, self.box)
        if motion is not None:
            return _Sighting(
                frames[-1].index, *motion.moved(self.box, self.keypoints), self.origin, self.again
            )
        if len(frames) == 2:
            return None
        near = self.followed(frames[:2])
        return None if near is None else near.followed(frames[1:])


@dataclass
class _Evidence:
    """What speaks for a track's being a face: its best score and the sum of their squares; and the share of
    the picture that its last detection, in frame ``last``, takes.
    """

    best: float = 0.0
    total: float = 0.0
    share: float = 0.0
    last: int = 0

    @property
    def sure(self) -> bool:
        return self.best >= _SURE_SCORE or self.total >= _SURE_EVIDENCE

    def add(self, score: float, box: Float, frame: RawFrame) -> None:
        picture, self.last = frame.picture, frame.index
        self.best, self.total = max(self.best, score), self.total + score**2
        self.share = float(np.prod((box[2:] - box[:2]).clip(0))) / (picture.width * picture.height)


class _Shot:
    """What is known of the tracks of one shot: their sightings in the order of frames."""

    def __init__(self, config: LookaheadConfig) -> None:
        self._config = config
        self._tracks: dict[int, list[_Sighting]] = {}
        self._evidence: dict[int, _Evidence] = {}
        #: The frames between two looks, at most.
        self._stride = 0
        #: The frames that are not settled yet, and those from the last one that the detector looked at.
        self._frames: deque[RawFrame] = deque()
        self._looked: deque[int] = deque()

    def add(self, observation: Observation) -> None:
        frame = observation.frame
        self._frames.append(frame)
        if observation.status != "seen":
            return
        for one, score in zip(_detected(observation), observation.faces.scores.tolist(), strict=True):
            if one.track_id >= 0:
                evidence = self._evidence.setdefault(one.track_id, _Evidence())
                evidence.add(score, one.box, frame)
                known = one.track_id in self._tracks
                self._see(one.track_id, _Sighting(frame.index, one.box, one.keypoints, frame.index, known))
        for sightings in self._tracks.values():
            self._follow_on(sightings, frame.index)
        if self._looked:
            self._stride = max(self._stride, frame.index - self._looked[-1])
        self._looked.append(frame.index)

    def _see(self, track_id: int, found: _Sighting) -> None:
        """Note a detection, and follow the face back: a new one through all frames that are held, one that
        was lost through the later half of the gap.
        """
        sightings = self._tracks.setdefault(track_id, [])
        before = next((one.index for one in reversed(sightings) if one.detected), None)
        back = [found]
        for index in reversed(self._looked):
            if before is not None and index * 2 <= before + found.index:
                break
            one = back[-1].followed(self._between(index, back[-1].index)[::-1])
            if one is None:
                break
            back.append(one)
        del sightings[bisect_left(sightings, back[-1].index, key=lambda s: s.index) :]
        sightings.extend(reversed(back))

    def _follow_on(self, sightings: list[_Sighting], index: int) -> None:
        """Follow a face that was not found in this frame, if it was in the last one looked at. What was
        found once may be no face.
        """
        last = sightings[-1]
        limit = last.origin + _FOLLOWED * self._config.coast_frames
        if last.again and last.index < index <= limit and self._looked and self._looked[-1] == last.index:
            one = last.followed(self._between(last.index, index))
            if one is not None:
                sightings.append(one)

    def _between(self, first: int, last: int) -> list[RawFrame]:
        return [frame for frame in self._frames if first <= frame.index <= last]

    def fill(self, index: int) -> Iterator[Target]:
        """Targets at a frame for the tracks that are known before or after it but not detected in it."""
        for track_id, sightings in self._tracks.items():
            place = bisect_left(sightings, index, key=lambda s: s.index)
            before, after = sightings[:place], sightings[place:]
            if after and after[0].index == index:
                if not after[0].detected:
                    yield _carry(track_id, after[0], [], index)
            elif before and after:
                yield _between(track_id, before[-1], after[0], index)
            elif after:
                yield _carry(track_id, after[0], after[:_FIT_SIGHTINGS], index)
            elif index - before[-1].index <= self._config.coast_frames:
                yield _carry(track_id, before[-1], before[-_FIT_SIGHTINGS:], index)

    def reach(self, track_id: int, index: int) -> float:
        """How many frames from its detections a track may be carried to frame ``index``."""
        evidence = self._evidence[track_id]
        if evidence.sure:
            return np.inf
        next_look = max(self._stride, index - self._looked[-1])
        return max(next_look, _DOUBTED_PICTURES / max(evidence.share, 1e-9))

    def forget(self, index: int) -> None:
        """Drop what frames after ``index`` will not need: tracks lost for longer, and old sightings."""
        reach = self._config.frames + self._config.coast_frames
        for track_id, sightings in list(self._tracks.items()):
            if sightings[-1].index < index - reach:
                del self._tracks[track_id]
            else:
                place = bisect_left(sightings, index, key=lambda s: s.index)
                del sightings[: max(place - _FIT_SIGHTINGS, 0)]
        for track_id, evidence in list(self._evidence.items()):
            if track_id not in self._tracks and evidence.last < index - MAX_LOST_FRAMES:
                del self._evidence[track_id]
        while len(self._looked) > 1 and self._looked[0] <= index:
            self._looked.popleft()
        while self._frames and self._frames[0].index < min([index + 1, *self._looked]):
            self._frames.popleft()


def _between(track_id: int, first: _Sighting, second: _Sighting, index: int) -> Target:
    part = np.float32((index - first.index) / (second.index - first.index))
    box = first.box + part * (second.box - first.box)
    keypoints = first.keypoints + part * (second.keypoints - first.keypoints)
    # A long gap may hide a turn; next to a detection there is no room for one.
    growth = _GROWTH * (min(index - first.index, second.index - index) - 1)
    growth += max(first.doubt, second.doubt)
    distance = min(abs(index - one.origin) for one in (first, second))
    return Target(
        track_id, grow(box, min(growth, _MOST_GROWTH)), keypoints, detected=False, distance=distance
    )


def _carry(track_id: int, nearest: _Sighting, fit: list[_Sighting], index: int) -> Target:
    """A sighting moved to another frame, backwards or forwards, by the velocity of ``fit``."""
    apart = abs(index - nearest.index)
    frames = (1 - _KEEP_SPEED**apart) / (1 - _KEEP_SPEED)
    shift = _velocity(fit) * np.float32(frames if index > nearest.index else -frames)
    growth = apart * (_GROWTH if len(fit) > 1 else _GROWTH_BLIND)
    growth += nearest.doubt
    box = grow(nearest.box + np.tile(shift, 2), min(growth, _MOST_GROWTH))
    distance = abs(index - nearest.origin)
    return Target(track_id, box, nearest.keypoints + shift, detected=False, distance=distance)


def _velocity(sightings: list[_Sighting]) -> Float:
    """Of the box's centre, [2] px a frame; zero for a single sighting."""
    if len(sightings) < 2:
        return np.zeros(2, np.float32)
    first, last = sightings[0], sightings[-1]
    frames = last.index - first.index
    moved = (last.box - first.box).reshape(2, 2).mean(axis=0) / frames
    return np.asarray(moved, np.float32)


def _touches(box: Float, picture: Picture) -> bool:
    """Whether any part of a box lies on the picture, whose pixels reach from -0.5 to size - 0.5."""
    x0, y0, x1, y1 = (float(edge) for edge in box)
    outside = x1 <= -0.5 or y1 <= -0.5 or x0 >= picture.width - 0.5 or y0 >= picture.height - 0.5
    return not outside
