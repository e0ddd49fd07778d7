"""Faces chosen by where they are at one moment, left visible from then on while they are followed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from streamanon.config import parse_moment
from streamanon.geometry import overlap, stored_place
from streamanon.types import Float, Resolved, Target

#: A face is lost, and what is found there later may be another one, after so long without a detection, s.
LOST_SECONDS = 0.5
#: Overlap (IoU) with another face from which their tracks may have been exchanged.
MET_OVERLAP = 0.1

#: Frames' times are sums of fractions.
ROUNDING_SECONDS = 1e-6


@dataclass(frozen=True)
class Moment:
    """``seconds`` after the first frame; ``x``, ``y``: a place, as shares of the picture's sides."""

    seconds: float
    x: float
    y: float


def moment_of(text: str, width: int, height: int, rotation: int = 0, mirrored: bool = False) -> Moment:
    """``text``: "seconds@x,y" in px as players show it; the others as for
    :func:`streamanon.geometry.stored_place`. Raises :class:`ConfigError`.
    """
    seconds, x, y = parse_moment(text)
    return Moment(seconds, *stored_place(x + 0.5, y + 0.5, (width, height), rotation, mirrored))


class ChosenTracks:
    """The chosen tracks of one stream. One that is lost, or meets another face, is covered for good."""

    def __init__(self, moments: Iterable[Moment]) -> None:
        self._waiting = list(moments)
        self._first: float | None = None
        self._since: dict[int, float] = {}  # by track: from when on it is visible, s
        self._detected: dict[int, float] = {}  # by chosen track: when it was last detected, s

    def see(self, resolved: Resolved) -> None:
        """What a frame tells, before it is decided on; frames in order."""
        now = resolved.frame.pts_seconds
        self._first = now if self._first is None else self._first
        self._drop(resolved.targets, now)
        passed = now - self._first + ROUNDING_SECONDS
        due = [one for one in self._waiting if one.seconds <= passed]
        self._waiting = [one for one in self._waiting if one not in due]
        for moment in due:
            self._choose(moment, resolved, now)

    def shown(self, tracks: Sequence[int], now: float) -> set[int]:
        return {track for track in tracks if self._since.get(track, now + 1) <= now}

    def _choose(self, moment: Moment, resolved: Resolved, now: float) -> None:
        """The face around the moment's place; the one whose middle is nearest where there are several."""
        picture = resolved.frame.picture
        x, y = moment.x * picture.width - 0.5, moment.y * picture.height - 0.5
        there = [one for one in resolved.targets if one.track_id >= 0 and _holds(one.box, x, y)]
        if not there:
            return
        chosen = min(there, key=lambda one: _distance(one.box, x, y))
        if not _meets_another(chosen, resolved.targets):
            self._since[chosen.track_id] = self._detected[chosen.track_id] = now

    def _drop(self, targets: Sequence[Target], now: float) -> None:
        for target in targets:
            if target.track_id in self._detected and target.detected:
                self._detected[target.track_id] = now
            if target.track_id in self._since and _meets_another(target, targets):
                del self._since[target.track_id], self._detected[target.track_id]
        lost = [track for track, seen in self._detected.items() if now - seen > LOST_SECONDS]
        for track in lost:
            del self._since[track], self._detected[track]


def _holds(box: Float, x: float, y: float) -> bool:
    return bool(box[0] <= x <= box[2] and box[1] <= y <= box[3])


def _distance(box: Float, x: float, y: float) -> float:
    return float(abs((box[0] + box[2]) / 2 - x) + abs((box[1] + box[3]) / 2 - y))


def _meets_another(target: Target, targets: Sequence[Target]) -> bool:
    others = [one.box for one in targets if one is not target and one.sure]
    return any(overlap(target.box[None], other[None])[0, 0] > MET_OVERLAP for other in others)
