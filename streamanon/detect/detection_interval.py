"""Which frames the detector runs on, and what of them it sees: one rule for files and live streams.

The first frame of a shot is searched in full, and one frame each detection interval in part. The interval
is a time, so as much is seen of a second whatever the frame rate. In between, while much moves, a frame is
searched for near faces, and tracked ones are verified in place.

A file can be read at any pace. A live stream cannot: a chain slower than it lags more and more, or loses
frames. First faces are painted less often, which uncovers nothing; then detection is done less often, as
the look-ahead follows faces between detections; then detection sees a smaller copy of the frame.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from streamanon.types import RawFrame

#: What of a frame is searched: "all": every view, in every orientation. "next": the views whose turn it is.
#: "near": what shows near faces. "coarse": the same as "next" on a smaller copy.
Extent = Literal["all", "next", "near", "coarse"]

#: Longest interval under load, s; or what the look-ahead holds back, if that is less.
MAX_SECONDS = 0.4
#: Interval while the picture shows nothing new, s, or half of what the look-ahead holds back, if that is
#: less: whoever appears changes it, and is covered from the first frame on by the look-ahead.
STILL_SECONDS = 0.24
#: By how much the interval is longer while pass after pass sees the same faces in the same places, up to
#: this share of what the look-ahead holds back.
STEADY_FACTOR, STEADY_SHARE = 2.0, 0.25
#: Longest interval at all, frames: the look-ahead follows a face no farther to its next detection.
MAX_FRAMES = 10
#: By how much the interval grows or shrinks at once, s.
STEP_SECONDS = 0.04
#: The interval grows above this lag and shrinks below that one, s.
BEHIND_SECONDS, CAUGHT_UP_SECONDS = 0.5, 0.1
#: After a frame was lost for so long, s, nothing is taken back of what load made necessary, and then a step
#: each shorter time.
WARY_SECONDS, STEP_BACK_SECONDS = 5.0, 1.0
#: What is saved before the interval grows, and what follows once it is at its longest: a smaller copy of
#: the frame for the detector, which finds fewer of the smallest faces.
_RARE_PAINTING, _SMALLER_COPY = 1, 2
#: A step of each down and up, by what it changes.
_DOWN = {_RARE_PAINTING: "rarer painting", _SMALLER_COPY: "smaller copy"}
_UP = {_RARE_PAINTING: "more painting", _SMALLER_COPY: "larger copy"}
#: A chain that spends this share of its time waiting for frames does not lag, whatever the time stamps say.
IDLE_SHARE = 0.25
#: A time stamp that goes back, or forward by more than this between two frames, is a jump, s.
JUMP_SECONDS = 2.0
#: A frame lasts so long, s, where its time stamp says nothing.
USUAL_FRAME_SECONDS = 0.04
#: Time stamps may be rounded by so much, s: to whole milliseconds at both ends of an interval.
ROUNDING_SECONDS = 0.002


class DetectionInterval:
    """Decides for each frame of one stream what of it is searched.

    ``base``: the interval without load, s; 0: every frame, whatever it shows. ``lookahead``: how far the
    look-ahead holds back, s. ``live``: whether the stream cannot wait; only then is there load.
    ``clock``: seconds. ``lost``: how many frames were lost so far, as the chain was too slow.
    ``behind_seconds``: the lag above which there is load, s; by default :data:`BEHIND_SECONDS`.
    ``seconds`` is the present interval, ``skipped`` the number of detections skipped because of load,
    ``coarse`` of those on a smaller copy, ``steps`` of changes because of load, by what they changed.
    """

    def __init__(
        self,
        base: float,
        lookahead: float = 0.0,
        live: bool = False,
        clock: Callable[[], float] = time.monotonic,
        lost: Callable[[], int] = lambda: 0,
        behind_seconds: float | None = None,
    ) -> None:
        self._clock, self._lost = clock, lost
        self._lost_before, self._wary_until = lost(), float("-inf")
        self._economy = 0
        self._base, self._most = base, max(base, min(MAX_SECONDS, lookahead))
        self._still = min(STILL_SECONDS, lookahead / 2) if base else 0.0
        self._steady = min(STEADY_FACTOR * base, STEADY_SHARE * lookahead)
        behind = BEHIND_SECONDS if behind_seconds is None else behind_seconds
        self._lag = _Lag(clock, behind) if live else None
        self._caught_up = CAUGHT_UP_SECONDS if behind_seconds is None else behind_seconds / 2
        self._passed = _Passed()
        self._skipping = _Passed()
        self._failed = False
        self.seconds = base
        self.skipped = self.coarse = 0
        self.steps: Counter[str] = Counter()

    @property
    def rare_painting(self) -> bool:
        """Whether faces are to be painted less often."""
        return self._economy >= _RARE_PAINTING

    def follow(self, frames: Iterable[RawFrame]) -> Iterator[RawFrame]:
        """Pass frames on and measure the lag."""
        return self._lag.follow(frames) if self._lag is not None else iter(frames)

    def extent(
        self,
        frame: RawFrame,
        starts_shot: bool,
        may_start: bool,
        moves: bool,
        known: bool = False,
        steady: bool = False,
    ) -> Extent | None:
        """What of the next frame is searched; None: nothing. Call it once for each frame.

        ``starts_shot``: nothing is known of what it shows. ``may_start``: it may be so. ``moves``: much
        changed in it. ``known``: it shows what was searched before, as :class:`Stillness` tells.
        ``steady``: the last passes have seen the same, as :class:`Steadiness` tells.
        """
        passed, since_skipped = self._passed.to(frame), self._skipping.to(frame)
        if starts_shot:
            return "all"
        due = max(self.seconds, self._still if known else 0.0, self._steady if steady else 0.0)
        late = passed >= due - ROUNDING_SECONDS or self._passed.frames >= MAX_FRAMES
        if self._failed or may_start or late:
            return "coarse" if self._economy >= _SMALLER_COPY else "next"
        loaded = self.seconds > self._base or (self._lag is not None and self._lag.is_behind)
        if moves and not loaded:
            return "near"
        if loaded and (moves or since_skipped >= self._base - ROUNDING_SECONDS):
            self.skipped += 1
            self._skipping.restart()
        return None

    def searched(self, extent: Extent, succeeded: bool) -> None:
        """The detector ran on that frame; if it failed, the next frame is due."""
        self._failed = not succeeded
        if extent == "near":
            return
        self._passed.restart()
        self._skipping.restart()
        self.coarse += extent == "coarse"
        if self._lag is None:
            return
        self._lag.settle()
        now, lost = self._clock(), self._lost()
        if lost > self._lost_before:
            self._lost_before, self._wary_until = lost, now + WARY_SECONDS
            self._save()
        elif self._lag.is_behind:
            self._save()
        elif self._lag.seconds < self._caught_up and now >= self._wary_until:
            if self._lost_before:
                self._wary_until = now + STEP_BACK_SECONDS
            self._spend()

    def _save(self) -> None:
        """One step less work."""
        if self._economy >= _RARE_PAINTING and self.seconds < self._most - ROUNDING_SECONDS:
            longer = self.seconds + STEP_SECONDS
            self.seconds = longer if longer < self._most - ROUNDING_SECONDS else self._most
            self.steps["longer interval"] += 1
        elif self._economy < _SMALLER_COPY:
            self._economy += 1
            self.steps[_DOWN[self._economy]] += 1

    def _spend(self) -> None:
        """One step back."""
        if self._economy <= _RARE_PAINTING and self.seconds > self._base:
            shorter = self.seconds - STEP_SECONDS
            self.seconds = shorter if shorter > self._base + ROUNDING_SECONDS else self._base
            self.steps["shorter interval"] += 1
        elif self._economy:
            self.steps[_UP[self._economy]] += 1
            self._economy -= 1


class _Passed:
    """``seconds`` and ``frames`` since the last restart."""

    def __init__(self) -> None:
        self.seconds, self.frames = 0.0, 0
        self._pts: float | None = None

    def to(self, frame: RawFrame) -> float:
        """Seconds up to a frame, the one after the last given."""
        pts, before = frame.pts_seconds, self._pts
        step = USUAL_FRAME_SECONDS if before is None else pts - before
        self.seconds += step if step > 0 else USUAL_FRAME_SECONDS
        self.frames += 1
        self._pts = pts
        return self.seconds

    def restart(self) -> None:
        self.seconds, self.frames = 0.0, 0


class _Lag:
    """How late frames are read, s: the clock minus their time stamps, minus the smallest such difference so
    far. So neither the delay of a stream nor a burst at its start counts.
    """

    def __init__(self, clock: Callable[[], float], behind_seconds: float) -> None:
        self._clock, self._behind = clock, behind_seconds
        self._pts: float | None = None
        self._delay, self._least = 0.0, 0.0
        self._waited, self._settled = 0.0, clock()

    @property
    def seconds(self) -> float:
        return self._delay - self._least

    @property
    def is_behind(self) -> bool:
        return self.seconds > self._behind

    def follow(self, frames: Iterable[RawFrame]) -> Iterator[RawFrame]:
        requested = self._clock()
        for frame in frames:
            now = self._clock()
            self._waited += now - requested
            self._arrived(now, frame.pts_seconds)
            yield frame
            requested = self._clock()

    def _arrived(self, now: float, pts: float) -> None:
        before, self._delay = self._delay, now - pts
        if self._pts is None:
            self._least = self._delay
        elif not 0 <= pts - self._pts <= JUMP_SECONDS:  # a jump: assume the lag of the frame before
            self._least += self._delay - before
        self._least, self._pts = min(self._least, self._delay), pts

    def settle(self) -> None:
        """Reset the lag to 0 if the chain was idle: a source that paused, or that delivers frames more
        slowly than their time stamps say, would otherwise seem to lag for ever.
        """
        now = self._clock()
        if self._waited >= IDLE_SHARE * (now - self._settled):
            self._least = self._delay
        self._waited, self._settled = 0.0, now
