"""What the stages of covering remember of each track: one place, one lifetime."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from streamanon.cover.painted import Painted
from streamanon.generate import DetailState
from streamanon.track.tracker import MAX_LOST_SECONDS
from streamanon.types import Float, RawFrame

#: A track that was not in a frame for so long does not come back: the tracker has ended it. Seconds.
LIFETIME_SECONDS = Fraction(str(MAX_LOST_SECONDS))


@dataclass
class TrackState:
    """``weight`` 0..1: how far its generated face has faded in, None for a new one; ``trusted``: whether
    its mesh is in this frame; ``detail``: of the generated face; ``painted``: that face as it was painted
    last. ``visible``: shown in this frame, as the user asked. ``tone`` [3]: the mean skin of its delegate,
    RGB. ``cells``: the colours of its mosaic, which are taken once: of many frames more could be learned.
    ``last_seen``: the time, s.
    """

    weight: float | None = None
    trusted: bool = False
    detail: DetailState | None = None
    painted: Painted | None = None
    visible: bool = False
    tone: Float | None = None
    cells: Float | None = None
    last_seen: Fraction | None = None

    def fall(self) -> None:
        """To the next rung."""
        self.weight = 0.0


class TrackStates:
    """States by track id, shared by the stages that cover one stream."""

    def __init__(self) -> None:
        self._states: dict[int, TrackState] = {}

    def __len__(self) -> int:
        return len(self._states)

    def of(self, track_id: int) -> TrackState:
        """A track's state, a new one if it is not known."""
        return self._states.setdefault(track_id, TrackState())

    def see(self, track_id: int, frame: RawFrame) -> TrackState:
        """The state of a track that is in a frame."""
        state = self.of(track_id)
        state.last_seen = time_of(frame)
        return state

    def forget(self, frame: RawFrame) -> set[int]:
        """Drop the tracks that were not seen for their lifetime; returns the ids of the others."""
        oldest = time_of(frame) - LIFETIME_SECONDS
        self._states = {
            name: state
            for name, state in self._states.items()
            if state.last_seen is None or state.last_seen >= oldest
        }
        return set(self._states)


def time_of(frame: RawFrame) -> Fraction:
    """A frame's time, s."""
    return frame.pts * frame.time_base
