"""Which detections in successive frames are the same face.

Association in two passes, confident faces first, after ByteTrack (arXiv 2110.06864); but unlike there an
unmatched confident face is never dropped, and no face waits for a second detection to get its id.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from streamanon.config import DetectConfig
from streamanon.errors import DetectionError
from streamanon.geometry import overlap
from streamanon.track.hold import within
from streamanon.types import Faces, Float, Observation, RawFrame

#: Re-detection near the boxes [N, 4] where faces are expected; see ``Searcher.redetect``.
Redetect = Callable[[RawFrame, Float], Faces]

#: A track that no face matched for longer than this ends, s.
MAX_LOST_SECONDS = 2.4
#: The part of its speed that a predicted face keeps from one frame to the next.
_KEEP_SPEED = 0.95
#: Faces whose sizes differ more than this (as a ratio) are not the same.
_MAX_SIZE_RATIO = 2.0
#: A face whose speed is unknown moves at most this part of the picture's diagonal in a frame.
_MAX_SPEED = 0.025
#: Faces that overlap by less than this are not parts of one.
APART = 0.2
#: A re-detected face that overlaps another face by this much is that one.
_SAME_IOU = 0.4
#: Farthest match of a track with and without a history, in box sizes, however long it was lost.
_MAX_REACH, _MAX_FRESH_REACH = 1.5, 2.5
#: The farthest match of a weak face with a track that was lost for longer than so many seconds: what comes
#: to where somebody was is likely somebody else, or no face, and must not pass for the same one.
_MAX_WEAK_REACH, _LONG_LOST_SECONDS = 0.5, 0.4
#: What a match reaches in any case, in box sizes: detections of a face at rest differ by less.
_LEAST_REACH = 0.4
#: By how much the reach grows a frame, in box sizes: of a track with a history, and besides for each box
#: size that it moves a frame, as speeds change; and of one without, at most.
_REACH_GROWTH, _REACH_GROWTH_BY_SPEED, _MAX_FRESH_GROWTH = 0.3, 0.5, 1.2
#: Detections from which a track has a history.
_HISTORY_SIGHTINGS = 3


def track(
    observations: Iterable[Observation], config: DetectConfig, redetect: Redetect | None = None
) -> Iterator[Observation]:
    """The same observations with ``faces.track_ids`` and ``denied`` filled in; ids start at 0 with every
    call.

    Every face with a score of at least ``config.score`` is kept: it continues a track or starts one. Faces
    from ``config.revive_score`` up continue tracks, or start one where the face of a track that found
    another, or was lost long ago, is expected; the others, and all below, are dropped, as the detector's
    threshold demands.
    Observations that are not "seen" pass unchanged. ``redetect`` is called where a
    face was lost.
    """
    tracker = Tracker(config, redetect)
    for observation in observations:
        yield tracker.step(observation)


class Tracker:
    """:func:`track`, one observation at a time."""

    def __init__(self, config: DetectConfig, redetect: Redetect | None = None) -> None:
        self._config = config
        self._redetect = redetect
        self._ids = itertools.count()
        self._tracks: list[_Track] = []
        self._last_detection = -1

    def step(self, observation: Observation) -> Observation:
        """The observation with its faces' ids; frames must come in order."""
        index, now = observation.frame.index, observation.frame.pts_seconds
        if observation.cut:
            self._tracks.clear()
        self._tracks = [t for t in self._tracks if within(t.seconds, now, MAX_LOST_SECONDS)]
        for known in self._tracks:
            known.long_lost = not within(known.seconds, now, _LONG_LOST_SECONDS)
        if observation.status != "seen":
            return observation
        picture = observation.frame.picture
        diagonal = float(np.hypot(picture.width, picture.height))
        faces = self._assign(observation.faces, index, diagonal)
        found = self._redetected(observation.frame, diagonal)
        faces = faces.joined(found[(overlap(found.boxes, faces.boxes) < _SAME_IOU).all(axis=1)])
        self._last_detection = index
        for seen in self._tracks:
            if seen.index == index:
                seen.seconds = now
        unlikely = observation.faces[observation.faces.scores < self._config.revive_score]
        denied = self._denied(unlikely, index, diagonal)
        return replace(observation, faces=faces, denied=denied)

    def _denied(self, unlikely: Faces, index: int, diagonal: float) -> dict[int, float]:
        """The tracks without a face in this frame at whose place there is a detection that is probably
        none, with its probability. They do not follow it.
        """
        lost = [t for t in self._tracks if t.index < index]
        pairs = _match(lost, unlikely.boxes, index, diagonal)
        return {lost[row].id: float(unlikely.scores[column]) for row, column in pairs}

    def _assign(self, faces: Faces, index: int, diagonal: float) -> Faces:
        ids = np.full(len(faces), -1, np.int64)
        confident = faces.scores >= self._config.score
        weak = ~confident & (faces.scores >= self._config.revive_score)
        free, expected = list(self._tracks), _are_near(self._tracks, faces.boxes, index, diagonal)
        for group in (confident, weak):
            candidates = np.flatnonzero(group)
            for row, column in _match(free, faces.boxes[candidates], index, diagonal, group is weak):
                face = int(candidates[column])
                free[row].see(faces.boxes[face], index)
                ids[face] = free[row].id
            free = [t for t in free if t.index != index]
        # A weak face also starts a track where the face of a track is expected that took another one, or
        # that was lost too long ago to pass for the same.
        apart = (overlap(faces.boxes, faces.boxes[ids >= 0]) < APART).all(axis=1)
        for face in map(int, np.flatnonzero((confident | (weak & expected & apart)) & (ids < 0))):
            ids[face] = next(self._ids)
            self._tracks.append(_Track(int(ids[face]), faces.boxes[face], index))
        return faces.with_ids(ids)[ids >= 0]

    def _redetected(self, frame: RawFrame, diagonal: float) -> Faces:
        """Faces of the previous detection pass that this one missed and re-detection found."""
        lost = [t for t in self._tracks if t.index == self._last_detection and t.sightings > 1]
        if self._redetect is None or not lost:
            return Faces.empty()
        boxes = np.stack([t.predict(frame.index) for t in lost])
        try:
            faces = self._redetect(frame, boxes)
        except DetectionError:  # then it coasts
            return Faces.empty()
        ids = np.full(len(faces), -1, np.int64)
        for row, column in _match(lost, faces.boxes, frame.index, diagonal):
            lost[row].see(faces.boxes[column], frame.index)
            ids[column] = lost[row].id
        return faces.with_ids(ids)[ids >= 0]


class _Track:
    """A face's last box [4] at frame ``index``, at ``seconds``, and its velocity [2] in px a frame.
    ``long_lost``: whether that was long ago.
    """

    def __init__(self, track_id: int, box: Float, index: int) -> None:
        self.id = track_id
        self.box = box
        self.index = index
        self.seconds = 0.0
        self.velocity: Float = np.zeros(2, np.float32)
        self.sightings = 1
        self.long_lost = False

    def see(self, box: Float, index: int) -> None:
        moved = (_centres(box) - _centres(self.box)) / np.float32(index - self.index)
        # The first measured velocity is all there is; later ones are smoothed against jitter.
        weight = np.float32(1.0 if self.sightings == 1 else 0.5)
        self.velocity = (self.velocity + weight * (moved - self.velocity)).astype(np.float32)
        self.box, self.index = box, index
        self.sightings += 1

    def predict(self, index: int) -> Float:
        """The box [4] expected at a later frame."""
        frames = (1 - _KEEP_SPEED ** (index - self.index)) / (1 - _KEEP_SPEED)
        shift = self.velocity * np.float32(frames)
        return np.concatenate([self.box[:2] + shift, self.box[2:] + shift])

    def reach(self, index: int, diagonal: float, weak: bool = False) -> float:
        """How far from the predicted place a face, perhaps a ``weak`` one, may lie, in box sizes.

        In doubt a face starts a track of its own: then both stay covered by the look-ahead. A track that
        jumped to a neighbour's face would take the cover along from a face that was only missed.
        """
        if weak and self.long_lost:
            return _MAX_WEAK_REACH
        frames, size = index - self.index, float(_sizes(self.box))
        if self.sightings < _HISTORY_SIGHTINGS:
            growth = min(_MAX_FRESH_GROWTH, _MAX_SPEED * diagonal / size)
            return min(_LEAST_REACH + growth * frames, _MAX_FRESH_REACH)
        speed = float(np.hypot(*self.velocity)) / size
        growth = _REACH_GROWTH + _REACH_GROWTH_BY_SPEED * speed
        return min(_LEAST_REACH + growth * frames, _MAX_REACH)


def _match(
    tracks: list[_Track], boxes: Float, index: int, diagonal: float, weak: bool = False
) -> list[tuple[int, int]]:
    """Pairs (track, box), each used at most once, cheapest first. ``weak``: those of weak faces."""
    if not tracks or not len(boxes):
        return []
    costs = _costs(tracks, boxes, index, diagonal, weak)
    pairs: list[tuple[int, int]] = []
    used_rows: set[int] = set()
    used_columns: set[int] = set()
    for flat in np.argsort(costs, axis=None, kind="stable"):
        row, column = divmod(int(flat), len(boxes))
        if not np.isfinite(costs[row, column]):
            break
        if row not in used_rows and column not in used_columns:
            pairs.append((row, column))
            used_rows.add(row)
            used_columns.add(column)
    return pairs


def _are_near(tracks: list[_Track], boxes: Float, index: int, diagonal: float) -> NDArray[np.bool_]:
    """[boxes]: whether one of the tracks may have come there."""
    if not tracks or not len(boxes):
        return np.zeros(len(boxes), np.bool_)
    return np.asarray(np.isfinite(_costs(tracks, boxes, index, diagonal)).any(axis=0))


def _costs(
    tracks: list[_Track], boxes: Float, index: int, diagonal: float, weak: bool = False
) -> NDArray[np.float64]:
    """[tracks, boxes]: the cost of each pairing, infinite where it is out of the question. Each face is
    expected where it moved to, and where it was last, as cameras pan back and people stop.
    """
    reach = np.array([t.reach(index, diagonal, weak) for t in tracks])
    moved = _costs_at(reach, np.stack([t.predict(index) for t in tracks]), boxes)
    return np.minimum(moved, _costs_at(reach, np.stack([t.box for t in tracks]), boxes))


def _costs_at(reach: NDArray[np.float64], predicted: Float, boxes: Float) -> NDArray[np.float64]:
    """The same for tracks at the places ``predicted`` [tracks, 4], from which they ``reach`` so far."""
    sizes, others = _sizes(predicted)[:, None], _sizes(boxes)[None]
    apart = np.linalg.norm(_centres(predicted)[:, None] - _centres(boxes)[None], axis=2)
    distance = apart / np.sqrt(sizes * others)
    ratio = np.abs(np.log(sizes / others))
    cost = np.asarray(1 - overlap(predicted, boxes) + 0.5 * distance + ratio, np.float64)
    cost[~((distance <= reach[:, None]) & (ratio <= np.log(_MAX_SIZE_RATIO)))] = np.inf
    return cost


def _centres(boxes: Float) -> Float:
    """[..., 4] to [..., 2]."""
    return np.asarray((boxes[..., :2] + boxes[..., 2:]) / 2, np.float32)


def _sizes(boxes: Float) -> Float:
    """The side of the square of the same area, at least a pixel: [..., 4] to [...]."""
    area = np.prod((boxes[..., 2:] - boxes[..., :2]).clip(0), axis=-1)
    return np.asarray(np.sqrt(np.maximum(area, 1.0)), np.float32)
