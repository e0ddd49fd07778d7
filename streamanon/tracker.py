"""Which detections in successive frames are the same face.

Association in two passes, confident faces first, after ByteTrack (arXiv 2110.06864); but unlike there an
unmatched confident face is never dropped, and no face waits for a second detection to get its id.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from streamanon.config import DetectConfig
from streamanon.errors import DetectionError
from streamanon.geometry import overlap
from streamanon.types import Faces, Float, Observation, RawFrame

#: What a closer look finds where faces are expected, boxes [N, 4].
LookAgain = Callable[[RawFrame, Float], Faces]

#: A track that no face matched for longer than this ends.
MAX_LOST_FRAMES = 60
#: The part of its speed that a predicted face keeps from one frame to the next.
_KEEP_SPEED = 0.95
#: Faces whose sizes differ more than this (as a ratio) are not the same.
_MAX_SIZE_RATIO = 2.0
#: A face whose speed is unknown moves at most this part of the picture's diagonal in a frame.
_MAX_SPEED = 0.025
#: Faces that overlap by less than this are not parts of one.
APART = 0.2
#: Farthest match of a track with and without a history, in box sizes, however long it was lost.
_MAX_REACH, _MAX_FRESH_REACH = 1.5, 2.5


def track(
    observations: Iterable[Observation], config: DetectConfig, again: LookAgain | None = None
) -> Iterator[Observation]:
    """The same observations with ``faces.track_ids`` filled in; ids start at 0 with every call.

    Every face with a score of at least ``config.score`` is kept: it continues a track or starts one. Faces
    from ``config.revive_score`` up continue tracks, or start one where the face of a track that found
    another is expected; the others, and all below, are dropped, as the detector's threshold demands.
    Observations that are not "seen" pass unchanged. Where a face is lost, ``again`` is asked for a closer
    look.
    """
    tracker = Tracker(config, again)
    for observation in observations:
        yield tracker.step(observation)


class Tracker:
    """:func:`track`, one observation at a time."""

    def __init__(self, config: DetectConfig, again: LookAgain | None = None) -> None:
        self._config = config
        self._again = again
        self._ids = itertools.count()
        self._tracks: list[_Track] = []
        self._looked = -1

    def step(self, observation: Observation) -> Observation:
        """The observation with its faces' ids; frames must come in order."""
        index = observation.frame.index
        if observation.cut:
            self._tracks.clear()
        self._tracks = [t for t in self._tracks if index - t.index <= MAX_LOST_FRAMES]
        if observation.status != "seen":
            return observation
        picture = observation.frame.picture
        diagonal = float(np.hypot(picture.width, picture.height))
        faces = self._assign(observation.faces, index, diagonal)
        faces = faces.joined(self._found_again(observation.frame, diagonal))
        self._looked = index
        return Observation(observation.frame, faces, observation.status, observation.cut)

    def _assign(self, faces: Faces, index: int, diagonal: float) -> Faces:
        ids = np.full(len(faces), -1, np.int64)
        confident = faces.scores >= self._config.score
        weak = ~confident & (faces.scores >= self._config.revive_score)
        free, expected = list(self._tracks), _are_near(self._tracks, faces.boxes, index, diagonal)
        for group in (confident, weak):
            candidates = np.flatnonzero(group)
            for row, column in _match(free, faces.boxes[candidates], index, diagonal):
                face = int(candidates[column])
                free[row].see(faces.boxes[face], index)
                ids[face] = free[row].id
            free = [t for t in free if t.index != index]
        # Where a face is expected whose track took another one, a weak one is believed, too.
        apart = (overlap(faces.boxes, faces.boxes[ids >= 0]) < APART).all(axis=1)
        for face in map(int, np.flatnonzero((confident | (weak & expected & apart)) & (ids < 0))):
            ids[face] = next(self._ids)
            self._tracks.append(_Track(int(ids[face]), faces.boxes[face], index))
        return faces.with_ids(ids)[ids >= 0]

    def _found_again(self, frame: RawFrame, diagonal: float) -> Faces:
        """The faces seen in the look before but not in this one that a closer look finds."""
        lost = [t for t in self._tracks if t.index == self._looked and t.sightings > 1]
        if self._again is None or not lost:
            return Faces.empty()
        boxes = np.stack([t.predict(frame.index) for t in lost])
        try:
            faces = self._again(frame, boxes)
        except DetectionError:  # then it coasts
            return Faces.empty()
        ids = np.full(len(faces), -1, np.int64)
        for row, column in _match(lost, faces.boxes, frame.index, diagonal):
            lost[row].see(faces.boxes[column], frame.index)
            ids[column] = lost[row].id
        return faces.with_ids(ids)[ids >= 0]


class _Track:
    """A face's last box [4] at frame ``index`` and its velocity [2] in px a frame."""

    def __init__(self, track_id: int, box: Float, index: int) -> None:
        self.id = track_id
        self.box = box
        self.index = index
        self.velocity: Float = np.zeros(2, np.float32)
        self.sightings = 1

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

    def reach(self, index: int, diagonal: float) -> float:
        """How far from the predicted place a face may lie, in box sizes.

        In doubt a face starts a track of its own: then both stay covered by the look-ahead. A track that
        jumped to a neighbour's face would take the cover along from a face that was only missed.
        """
        frames, size = index - self.index, float(_sizes(self.box))
        if self.sightings < 3:
            return min(0.4 + min(1.2, _MAX_SPEED * diagonal / size) * frames, _MAX_FRESH_REACH)
        speed = float(np.hypot(*self.velocity)) / size
        return min(0.4 + (0.3 + 0.5 * speed) * frames, _MAX_REACH)


def _match(tracks: list[_Track], boxes: Float, index: int, diagonal: float) -> list[tuple[int, int]]:
    """Pairs (track, box), each used at most once, cheapest first."""
    if not tracks or not len(boxes):
        return []
    costs = _costs(tracks, boxes, index, diagonal)
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


def _costs(tracks: list[_Track], boxes: Float, index: int, diagonal: float) -> NDArray[np.float64]:
    """[tracks, boxes]: the cost of each pairing, infinite where it is out of the question."""
    predicted = np.stack([t.predict(index) for t in tracks])
    reach = np.array([t.reach(index, diagonal) for t in tracks])[:, None]
    sizes, others = _sizes(predicted)[:, None], _sizes(boxes)[None]
    apart = np.linalg.norm(_centres(predicted)[:, None] - _centres(boxes)[None], axis=2)
    distance = apart / np.sqrt(sizes * others)
    ratio = np.abs(np.log(sizes / others))
    cost = np.asarray(1 - overlap(predicted, boxes) + 0.5 * distance + ratio, np.float64)
    cost[~((distance <= reach) & (ratio <= np.log(_MAX_SIZE_RATIO)))] = np.inf
    return cost


def _centres(boxes: Float) -> Float:
    """[..., 4] to [..., 2]."""
    return np.asarray((boxes[..., :2] + boxes[..., 2:]) / 2, np.float32)


def _sizes(boxes: Float) -> Float:
    """The side of the square of the same area, at least a pixel: [..., 4] to [...]."""
    area = np.prod((boxes[..., 2:] - boxes[..., :2]).clip(0), axis=-1)
    return np.asarray(np.sqrt(np.maximum(area, 1.0)), np.float32)
