"""How often a stream is looked at: each so many frames, and of a live one that comes too fast more rarely.

Frames of a file wait. Those of a camera do not: a chain that is slower than they come lags behind more and
more. Looks are what it can do less of, as the look-ahead follows faces in between.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from streamanon.types import RawFrame

#: However large the load, so many frames at most lie between one look and the next, or as many as the
#: look-ahead holds back if these are fewer.
MOST = 10
#: Lag, s, from which looks become rarer, and below which they become more frequent again.
BEHIND_SECONDS, CAUGHT_UP_SECONDS = 0.5, 0.1
#: Who waits for frames for this part of the time is not behind, whatever their times say.
SPARE = 0.25
#: Times that go back, or on by more than this from one frame to the next, jumped.
JUMP_SECONDS = 2.0


class Stride:
    """Which frames of one stream are looked at.

    ``every``: each so many of them, while there is no load. ``lookahead_frames``: how many frames are held
    back. ``live``: whether the stream does not wait; else there is no load. ``clock``: seconds. ``frames``
    tells the stride as it is, ``left_out`` the looks that were left out for load.
    """

    def __init__(
        self,
        every: int,
        lookahead_frames: int = 0,
        live: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._every, self._most = every, max(every, min(MOST, lookahead_frames))
        self._lag = _Lag(clock) if live else None
        self._since = self._most
        self.frames = every
        self.left_out = 0

    def follow(self, frames: Iterable[RawFrame]) -> Iterator[RawFrame]:
        """Pass frames on and keep account of when they come."""
        return self._lag.follow(frames) if self._lag is not None else iter(frames)

    def is_due(self, moves: bool) -> bool:
        """Whether to look at the next frame, in which much ``moves`` or not. To be asked for each frame
        that need not be looked at anyway.
        """
        self._since += 1
        loaded = self.frames > self._every or (self._lag is not None and self._lag.is_behind)
        if self._since >= self.frames or (moves and not loaded):
            return True
        self.left_out += moves or self._since % self._every == 0
        return False

    def looked(self, seen: bool) -> None:
        """A frame was looked at; not ``seen``: that failed, so the next one is due."""
        self._since = 0 if seen else self._most
        if self._lag is None:
            return
        self._lag.settle()
        if self._lag.is_behind:
            self.frames = min(self.frames + 1, self._most)
        elif self._lag.seconds < CAUGHT_UP_SECONDS:
            self.frames = max(self.frames - 1, self._every)


class _Lag:
    """By how many seconds frames are read later than they could be: the clock less their times, less the
    least that this has been. So neither the delay of a stream nor a burst at its start counts.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._pts: float | None = None
        self._delay, self._least = 0.0, 0.0
        self._waited, self._settled = 0.0, clock()

    @property
    def seconds(self) -> float:
        return self._delay - self._least

    @property
    def is_behind(self) -> bool:
        return self.seconds > BEHIND_SECONDS

    def follow(self, frames: Iterable[RawFrame]) -> Iterator[RawFrame]:
        asked = self._clock()
        for frame in frames:
            now = self._clock()
            self._waited += now - asked
            self._came(now, frame.pts_seconds)
            yield frame
            asked = self._clock()

    def _came(self, now: float, pts: float) -> None:
        before, self._delay = self._delay, now - pts
        if self._pts is None:
            self._least = self._delay
        elif not 0 <= pts - self._pts <= JUMP_SECONDS:  # taken to be as late as the frame before
            self._least += self._delay - before
        self._least, self._pts = min(self._least, self._delay), pts

    def settle(self) -> None:
        """Take the delay for the least one if there was time to spare: a source that paused, or whose
        pictures come more slowly than their times tell, would seem to lag for ever.
        """
        now = self._clock()
        if self._waited >= SPARE * (now - self._settled):
            self._least = self._delay
        self._waited, self._settled = 0.0, now
