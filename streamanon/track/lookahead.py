"""The look-ahead: face positions are settled after a delay, with detections from before and after.

The promise, for every track within one shot: each frame in which it is sure, and that lies at most
``seconds`` before one of its detections or at most ``coast_seconds`` after one, has a target for it, unless
the covers of detected faces hide that target (``Resolved.hidden``), or it would lie wholly outside the
picture, or it went out of the picture and came in again: then it is covered for ``coast_seconds`` from
either side.

In which frames a track is sure decides :mod:`streamanon.track.evidence`, with all passes in held frames
included. Elsewhere it may be no face, and has targets only in frames of probable detections and in those no
farther from one than one detection interval.

Where optical flow can follow a face (:mod:`streamanon.track.optical_flow`) its target moves along, and a
lost face is covered for longer. Otherwise it is extrapolated by its velocity, and in the middle of a longer
gap counts as gone.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from streamanon.config import LookaheadConfig
from streamanon.geometry import grow, is_cut
from streamanon.track.evidence import Evidence
from streamanon.track.hold import MOST_HELD_FRAMES, SLACK_SECONDS, is_due, within
from streamanon.track.optical_flow import follow
from streamanon.track.tracker import MAX_LOST_SECONDS
from streamanon.types import Float, Observation, Picture, RawFrame, Resolved, Target, View

#: The verifier's probabilities [N] of a face at the expected boxes [N, 4] of a frame; None if it cannot
#: tell. See ``Searcher.look_again``.
LookAgain = Callable[[RawFrame, Float], Float | None]
#: The step, s, in which speed and growth count: a frame at 25 a second. At a higher rate a face moves less
#: from one frame to the next.
_STEP_SECONDS = 0.04
#: Factor of an extrapolated face's speed from one step to the next: it stops after a while, as faces do,
#: rather than leave the picture.
_KEEP_SPEED = 0.9
#: An extrapolated box grows by this share of its size on every side per step, up to the most; by more
#: where one sighting alone gives no velocity, by less where optical flow follows the face.
_GROWTH = 0.03
_GROWTH_BLIND = 0.06
_GROWTH_FOLLOWED, _LEAST_FOLLOWED = 0.01, 0.06
_MOST_GROWTH = 0.5
#: Least time, steps, by which a velocity is divided: a frame at 125 a second.
_LEAST_STEPS = 0.2
#: A lost face is followed by optical flow for so many times ``coast_seconds``, and then coasts.
_FOLLOWED = 2
#: A carried face is hidden by those that were detected if so much of it lies in the ellipses in their
#: boxes, grown by this share, as sampled at so many places each way.
_COVERED_SHARE, _COVERED_MARGIN, _SAMPLES = 0.8, 0.21, 8
#: Velocity is measured over so many detections: fewer jitter, more lag behind a turn.
_FIT_SIGHTINGS = 4
#: So many later detections of a track go along with each of its targets: the first sight of somebody tells
#: little of what they look like.
_LATER_VIEWS = 4
#: Longest detection interval, frames, while detection works (``MAX_FRAMES`` of
#: ``detect.detection_interval``). Settled frames are kept no longer for following a face to the next one.
_MAX_DETECTION_INTERVAL = 10


def resolve(
    observations: Iterable[Observation], config: LookaheadConfig, look_again: LookAgain | None = None
) -> Iterator[Resolved]:
    """Hold frames back for ``config.seconds``, then emit each once, in order, every known face settled.
    ``look_again`` is called with the places to which missed faces were followed.

    A frame that the detector failed on may hold unknown faces: ``cover_all`` is set. Faces
    without a track (id -1) stay targets in their own frame only.
    """
    held: deque[tuple[Observation, _Shot]] = deque()
    shot = _Shot(config, look_again)
    for observation in observations:
        if observation.cut:
            # Frames still held keep their own shot, so nothing crosses the cut in either direction.
            shot = _Shot(config, look_again)
        shot.add(observation)
        held.append((observation, shot))
        while held and is_due(held[0][0].frame, observation.frame, len(held), config.seconds):
            yield _settle(*held.popleft())
    while held:
        yield _settle(*held.popleft())


def _settle(observation: Observation, shot: _Shot) -> Resolved:
    index = observation.frame.index
    detected = _detected(observation)
    seen = {target.track_id for target in detected}
    targets = [t for t in detected if t.track_id < 0 or shot.reaches(t.track_id, index)]
    there = _boxes(targets)
    faces = _boxes(t for t in targets if shot.is_sure(t.track_id, index))
    hidden = [t for t in targets if not shot.is_sure(t.track_id, index) and _is_within(t, faces)]
    targets = [t for t in targets if t not in hidden]
    filled = [t for t in shot.fill(observation.frame) if t.track_id not in seen]
    filled = [t for t in filled if shot.reaches(t.track_id, index)]
    # Without detection in this frame the faces of the nearest passes count as detected.
    skipped = observation.status == "skipped"
    known = [skipped and shot.is_known(t, index) for t in filled]
    surely = np.concatenate([faces, _boxes(itertools.compress(filled, known))])
    there = np.concatenate([there, surely])
    for target, one in zip(filled, known, strict=True):
        # What is surely a face is hidden only by covers of such, which are larger.
        others = surely if shot.is_sure(target.track_id, index) else there
        (targets if one or not _is_within(target, others) else hidden).append(target)
    inside, behind = (shot.settled(ones, observation.frame) for ones in (targets, hidden))
    shot.forget(observation.frame)
    failed = observation.status == "failed"
    return Resolved(observation.frame, inside, observation.cut, cover_all=failed, hidden=behind)


def _boxes(targets: Iterable[Target]) -> Float:
    """[N, 4]."""
    return np.array([t.box for t in targets], np.float32).reshape(-1, 4)


def _detected(observation: Observation) -> list[Target]:
    if observation.status != "seen":
        return []
    faces = observation.faces
    rows = zip(faces.track_ids, faces.boxes, faces.keypoints, strict=True)
    return [Target(int(track_id), box, points, True) for track_id, box, points in rows]


@dataclass(frozen=True, eq=False)
class _Sighting:
    """Where a track is in one frame: ``box`` [4] and ``keypoints`` [5, 2] in px. ``origin``: the frame of
    the detection that it was followed from; the same frame for a detection. ``repeated``:
    whether that detection was not the track's first. ``seconds``, ``origin_seconds``: the times of both
    frames.
    """

    index: int
    box: Float
    keypoints: Float
    origin: int
    repeated: bool
    seconds: float
    origin_seconds: float

    @property
    def doubt(self) -> float:
        """By how much of its size on every side the box may be off."""
        if self.detected:
            return 0.0
        return _LEAST_FOLLOWED + _GROWTH_FOLLOWED * _steps(self.seconds, self.origin_seconds)

    @property
    def detected(self) -> bool:
        return self.origin == self.index

    def followed(self, frames: Sequence[RawFrame]) -> _Sighting | None:
        """The same face in the last of ``frames``, the first of which is its own, by its motion: at once
        or, where it went too far for that, from one to the next. None where that is not certain.
        """
        here: _Sighting | None = self
        for first, second in itertools.pairwise(frames):
            if here is None:
                break
            there = here._moved(first, frames[-1])
            if there is not None:
                return there
            here = here._moved(first, second) if second is not frames[-1] else None
        return None

    def _moved(self, first: RawFrame, last: RawFrame) -> _Sighting | None:
        motion = follow(first.picture, last.picture, self.box)
        if motion is None:
            return None
        box, keypoints = motion.moved(self.box, self.keypoints)
        return replace(self, index=last.index, box=box, keypoints=keypoints, seconds=last.pts_seconds)


class _Shot:
    """What is known of the tracks of one shot: their sightings in the order of frames."""

    def __init__(self, config: LookaheadConfig, look_again: LookAgain | None) -> None:
        self._config, self._look_again = config, look_again
        self._tracks: dict[int, list[_Sighting]] = {}
        self._evidence: dict[int, Evidence] = {}
        #: The longest detection interval so far, frames, and the last frame in which all faces were looked
        #: for: a pass for near faces alone shortens no other one's interval.
        self._longest_interval = 0
        self._last_complete: int | None = None
        #: The frames not settled yet, from the last one with detection on; and the frames with detection,
        #: with the seconds since the last one.
        self._frames: deque[RawFrame] = deque()
        self._detected_frames: deque[int] = deque()
        self._passes: deque[tuple[int, float]] = deque()
        self._last_pass_seconds: float | None = None

    def add(self, observation: Observation) -> None:
        frame = observation.frame
        self._frames.append(frame)
        if observation.status != "seen":
            return
        self._weigh(observation)
        followed: dict[int, list[tuple[int, _Sighting]]] = defaultdict(list)
        for one in _detected(observation):
            if one.track_id >= 0:
                found = _sighting(one, frame, one.track_id in self._tracks)
                for back in self._see(one.track_id, found):
                    followed[back.index].append((one.track_id, back))
        for track_id, sightings in self._tracks.items():
            on = self._follow_on(sightings, frame)
            if on is not None:
                followed[on.index].append((track_id, on))
        for index, missed in followed.items():
            self._verify(index, missed)
        self._detected_frames.append(frame.index)
        if not observation.near_only:
            last, self._last_complete = self._last_complete, frame.index
            if last is not None:
                self._longest_interval = max(self._longest_interval, frame.index - last)

    def _weigh(self, observation: Observation) -> None:
        """Add what a pass says of each track to its evidence; for a new track earlier passes, too."""
        frame, faces = observation.frame, observation.faces
        last = self._last_pass_seconds
        passed = 0.0 if last is None else frame.pts_seconds - last
        self._last_pass_seconds = frame.pts_seconds
        width, height = frame.picture.width, frame.picture.height
        rows = zip(faces.track_ids.tolist(), faces.scores.tolist(), faces.boxes, strict=True)
        for track_id, score, box in rows:
            if track_id < 0:
                continue
            if track_id not in self._evidence:
                self._evidence[track_id] = Evidence()
                for index, seconds in self._passes:
                    self._evidence[track_id].missed(index, seconds)
            cut = is_cut(box, width, height)
            self._evidence[track_id].detected(score, frame.index, frame.pts_seconds, cut)
        for track_id, evidence in self._evidence.items():
            if evidence.last_index < frame.index:
                last_box = self._tracks[track_id][-1].box if track_id in self._tracks else None
                cut = last_box is not None and is_cut(last_box, width, height)
                evidence.missed(frame.index, passed, observation.denied.get(track_id), cut)
        self._passes.append((frame.index, passed))

    def _verify(self, index: int, missed: list[tuple[int, _Sighting]]) -> None:
        """Have the verifier examine the places to which missed faces were followed in frame ``index``. What
        the picture's edge cuts looks to it like no face, and so does what was detected in another
        orientation.
        """
        frame = next((frame for frame in self._frames if frame.index == index), None)
        if self._look_again is None or frame is None:
            return
        size = frame.picture.width, frame.picture.height
        upright = [
            (track_id, one)
            for track_id, one in missed
            if np.ptp(one.keypoints) > 0 and not is_cut(one.box, *size)
        ]
        seen = self._look_again(frame, np.stack([one.box for _, one in upright])) if upright else None
        for (track_id, _), probability in zip(upright, [] if seen is None else seen.tolist(), strict=False):
            self._evidence[track_id].verified(index, probability)

    def _see(self, track_id: int, found: _Sighting) -> list[_Sighting]:
        """Add a detection, and follow the face back by optical flow: a new one through all held frames, a
        lost one through the later half of the gap. Returns where it was followed to.
        """
        sightings = self._tracks.setdefault(track_id, [])
        before = next((one.index for one in reversed(sightings) if one.detected), None)
        back = [found]
        for index in reversed(self._detected_frames):
            if before is not None and index * 2 <= before + found.index:
                break
            frames = self._between(index, back[-1].index)
            one = back[-1].followed(frames[::-1]) if frames else None
            if one is None:
                break
            back.append(one)
        del sightings[bisect_left(sightings, back[-1].index, key=_index_of) :]
        sightings.extend(reversed(back))
        return back[1:]

    def _follow_on(self, sightings: list[_Sighting], frame: RawFrame) -> _Sighting | None:
        """Follow a face that was missed in this frame and known in the last detection pass: where to. A
        track with one detection only may be no face, and is not followed.
        """
        last = sightings[-1]
        if (
            not last.repeated
            or last.index >= frame.index
            or list(self._detected_frames)[-1:] != [last.index]
        ):
            return None
        limit = _FOLLOWED * self._config.coast_seconds
        frames = self._between(last.index, frame.index)
        if frames and within(last.origin_seconds, frame.pts_seconds, limit):
            one = last.followed(frames)
            if one is not None:
                sightings.append(one)
            return one
        return None

    def _between(self, first: int, last: int) -> list[RawFrame]:
        """The frames from one to another; none if the first is no longer kept."""
        frames = [frame for frame in self._frames if first <= frame.index <= last]
        return frames if frames and frames[0].index == first else []

    def fill(self, frame: RawFrame) -> Iterator[Target]:
        """Targets at a frame for the tracks that are known before or after it but not detected in it."""
        index, now = frame.index, frame.pts_seconds
        for track_id, sightings in self._tracks.items():
            place = bisect_left(sightings, index, key=_index_of)
            before, after = sightings[:place], sightings[place:]
            if after and after[0].index == index:
                if not after[0].detected:
                    yield _carry(track_id, after[0], [], index, now)
            elif before and after and not self._was_away(before, after, frame.picture):
                yield _between(track_id, before[-1], after[0], index, now)
            elif before and self._coasts(before[-1], frame):
                yield _carry(track_id, before[-1], before[-_FIT_SIGHTINGS:], index, now)
            elif after and (not before or self._coasts(after[0], frame)):
                yield _carry(track_id, after[0], after[:_FIT_SIGHTINGS], index, now)

    def _coasts(self, nearest: _Sighting, frame: RawFrame) -> bool:
        """Whether a frame is so near a sighting that a face is carried there without another one beyond."""
        return abs(nearest.seconds - frame.pts_seconds) <= self._config.coast_seconds + SLACK_SECONDS

    def _was_away(self, before: Sequence[_Sighting], after: Sequence[_Sighting], picture: Picture) -> bool:
        """Whether somebody had left the picture between two sightings: coasting from either does not reach
        the other, the edge cuts both, and by their motion the face went out and came in again.
        """
        first, second, size = before[-1], after[0], (picture.width, picture.height)
        middle = (first.index + second.index) // 2, (first.seconds + second.seconds) / 2
        if within(first.seconds, second.seconds, 2 * self._config.coast_seconds):
            return False
        gone = (
            _carry(-1, first, before[-_FIT_SIGHTINGS:], *middle),
            _carry(-1, second, after[:_FIT_SIGHTINGS], *middle),
        )
        cut = is_cut(first.box, *size) and is_cut(second.box, *size)
        return cut and not any(_touches(_without_growth(target), picture) for target in gone)

    def reaches(self, track_id: int, index: int) -> bool:
        """Whether a track is covered in a frame that it was not detected in: if it is sure, or at most one
        detection interval from a likely detection.
        """
        near = self._evidence[track_id].is_near(index, self._interval_at(index))
        return near or self.is_sure(track_id, index)

    def _interval_at(self, index: int) -> int:
        """The longest detection interval up to frame ``index``, frames."""
        return max(self._longest_interval, index - self._detected_frames[-1])

    def is_sure(self, track_id: int, index: int) -> bool:
        """Whether a track is a face in a frame; what has no track always counts as one."""
        if track_id < 0:
            return True
        return self._evidence[track_id].is_sure(self._config.sure, index)

    def is_known(self, target: Target, index: int) -> bool:
        """Whether a target is surely a face, and was detected in the pass before or after."""
        return target.distance <= self._interval_at(index) and self.is_sure(target.track_id, index)

    def settled(self, targets: Iterable[Target], frame: RawFrame) -> tuple[Target, ...]:
        """Those of a frame's targets that lie on it, with what is known of their tracks."""
        index = frame.index
        return tuple(
            replace(one, sure=self.is_sure(one.track_id, index), later=self._later(one.track_id, frame))
            for one in targets
            if _touches(one.box, frame.picture)
        )

    def _later(self, track_id: int, now: RawFrame) -> tuple[View, ...]:
        """Some of the track's detections after a frame, in frames that are not settled yet."""
        sightings = self._tracks.get(track_id, [])
        place = bisect_left(sightings, now.index + 1, key=_index_of)
        after = [one for one in sightings[place:] if one.detected]
        if not after:
            return ()
        rows = np.linspace(0, len(after) - 1, min(_LATER_VIEWS, len(after))).round().astype(int)
        chosen = {after[row].index: after[row] for row in rows}
        return tuple(
            View(frame.picture, one.box, one.keypoints)
            for frame in self._frames
            if (one := chosen.get(frame.index)) is not None
        )

    def forget(self, frame: RawFrame) -> None:
        """Drop what later frames do not need: tracks lost for longer, and old sightings."""
        index, now = frame.index, frame.pts_seconds
        reach = self._config.seconds + self._config.coast_seconds
        for track_id, sightings in list(self._tracks.items()):
            if not within(sightings[-1].seconds, now, reach):
                del self._tracks[track_id]
            else:
                place = bisect_left(sightings, index, key=_index_of)
                del sightings[: max(place - _FIT_SIGHTINGS, 0)]
        for track_id, evidence in list(self._evidence.items()):
            evidence.forget(index - MOST_HELD_FRAMES)
            if track_id not in self._tracks and not within(evidence.last_seconds, now, MAX_LOST_SECONDS):
                del self._evidence[track_id]
        while len(self._detected_frames) > 1 and self._detected_frames[0] <= index:
            self._detected_frames.popleft()
        while self._passes and self._passes[0][0] <= index:
            self._passes.popleft()
        # While detection fails the last pass is ever farther back; then nothing is followed from there.
        needed = max(min([index + 1, *self._detected_frames]), index - _MAX_DETECTION_INTERVAL)
        while self._frames and self._frames[0].index < needed:
            self._frames.popleft()


def _sighting(found: Target, frame: RawFrame, known: bool) -> _Sighting:
    """A detection in its own frame."""
    index, now = frame.index, frame.pts_seconds
    return _Sighting(index, found.box, found.keypoints, index, known, now, now)


def _index_of(sighting: _Sighting) -> int:
    return sighting.index


def _steps(first: float, second: float) -> float:
    """How many steps lie between two times, s."""
    return abs(second - first) / _STEP_SECONDS


def _between(track_id: int, first: _Sighting, second: _Sighting, index: int, seconds: float) -> Target:
    part = np.float32((index - first.index) / (second.index - first.index))
    box = first.box + part * (second.box - first.box)
    keypoints = first.keypoints + part * (second.keypoints - first.keypoints)
    # A long gap may hide a turn; next to a detection there is no room for one.
    nearest = min(_steps(first.seconds, seconds), _steps(second.seconds, seconds))
    growth = _GROWTH * max(nearest - 1, 0.0) + max(first.doubt, second.doubt)
    growth = min(growth, _MOST_GROWTH)
    distance = min(abs(index - one.origin) for one in (first, second))
    return Target(track_id, grow(box, growth), keypoints, False, distance, growth)


def _carry(
    track_id: int, nearest: _Sighting, fit: Sequence[_Sighting], index: int, seconds: float
) -> Target:
    """A sighting moved to another frame, backwards or forwards, by the velocity of ``fit``."""
    apart = _steps(nearest.seconds, seconds)
    steps = (1 - _KEEP_SPEED**apart) / (1 - _KEEP_SPEED)
    shift = _velocity(fit) * np.float32(steps if index > nearest.index else -steps)
    growth = apart * (_GROWTH if len(fit) > 1 else _GROWTH_BLIND)
    growth = min(growth + nearest.doubt, _MOST_GROWTH)
    box = grow(nearest.box + np.tile(shift, 2), growth)
    distance = abs(index - nearest.origin)
    return Target(track_id, box, nearest.keypoints + shift, False, distance, growth)


def _velocity(sightings: Sequence[_Sighting]) -> Float:
    """Of the box's centre, [2] px a step; zero for a single sighting."""
    if len(sightings) < 2:
        return np.zeros(2, np.float32)
    first, last = sightings[0], sightings[-1]
    # Time stamps may repeat.
    steps = max(_steps(first.seconds, last.seconds), _LEAST_STEPS)
    moved = (last.box - first.box).reshape(2, 2).mean(axis=0) / np.float32(steps)
    return np.asarray(moved, np.float32)


def _is_within(target: Target, boxes: Float) -> bool:
    """Whether a target, as far as it is known, lies in the covers of faces that were detected in this frame
    (``boxes`` [N, 4]): then it is one of them, under another number, or behind them, or between two.
    """
    if not len(boxes):
        return False
    steps = (np.arange(_SAMPLES, dtype=np.float32) + 0.5) / _SAMPLES - 0.5
    span = (target.box[2:] - target.box[:2]) / (1 + 2 * target.growth)
    x, y = np.meshgrid(*((target.box[:2] + target.box[2:]) / 2 + span * steps[:, None]).T)
    middles, halves = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    halves = np.maximum(halves * (1 + 2 * _COVERED_MARGIN), 1e-3)
    apart = ((x[..., None] - middles[:, 0]) / halves[:, 0]) ** 2
    apart += ((y[..., None] - middles[:, 1]) / halves[:, 1]) ** 2
    return bool((apart.min(axis=2) <= 1).mean() >= _COVERED_SHARE)


def _without_growth(target: Target) -> Float:
    """The box [4] of the face itself, where it is expected."""
    return grow(target.box, -target.growth / (1 + 2 * target.growth))


def _touches(box: Float, picture: Picture) -> bool:
    """Whether any part of a box lies on the picture, whose pixels reach from -0.5 to size - 0.5."""
    x0, y0, x1, y1 = (float(edge) for edge in box)
    outside = x1 <= -0.5 or y1 <= -0.5 or x0 >= picture.width - 0.5 or y0 >= picture.height - 0.5
    return not outside
