"""Times of a live source on this machine's clock.

A source's time stamps cannot be taken as they are: they start anywhere, jump when a server restarts, wrap,
go back to zero, single ones are hours off, and each stream's clock runs a little fast or slow, so that
picture and sound drift apart by seconds in a day. What they are good at is the distance between two
frames. So a stream's output time is its time stamp plus an offset, and the offset is corrected by when
frames arrive.
"""

from __future__ import annotations

from collections import deque

#: A time stamp that is farther than this from where it may be is a jump, s.
JUMP_SECONDS = 1.0
#: So many jumps in a row are a new count; fewer are strays, which get a time of their own.
STRAYS = 3
#: Least lateness is taken over so long, s, in buckets of :data:`BUCKET_SECONDS`: of the frames that the
#: network held up least.
WINDOW_SECONDS, BUCKET_SECONDS = 10.0, 0.5
#: Drift is corrected by at most this share of the time that passes.
SLEW = 0.005
#: Drift below this is not corrected, s: it is the arrival's jitter.
IGNORED_SECONDS = 0.002
#: A lateness that stays above this is a pause that the time stamps did not count, s: corrected at once.
STEP_SECONDS = 0.7
#: Two frames are at least this far apart, s: more than the millisecond by which containers count.
LEAST_STEP = 2e-3


class StreamTimes:
    """One stream's output times, s, strictly increasing.

    ``offset``: what is added to time stamps at first; None: so that the first frame's time is its arrival.
    """

    def __init__(self, offset: float | None = None) -> None:
        self._offset = offset
        self._last: float | None = None
        self._arrived = 0.0
        self._strays = 0
        self._lateness = _Lateness()
        self.jumps = 0

    @property
    def offset(self) -> float | None:
        """What is added to time stamps now, s."""
        return self._offset

    def at(self, stamp: float | None, arrival: float, other: float | None = None) -> float:
        """The output time of a frame stamped ``stamp`` (s, None: not stamped) that arrives at ``arrival``.

        ``other``: the offset of the stream that this one is in sync with, tried first after a jump.
        """
        if self._offset is None:
            self._offset = arrival - (stamp if stamp is not None else arrival)
        due = arrival if self._last is None else self._last + max(arrival - self._arrived, LEAST_STEP)
        time = due if stamp is None else self._placed(stamp, arrival, due, other)
        if self._last is not None:
            time = max(time, self._last + LEAST_STEP)
        self._last, self._arrived = time, arrival
        return time

    def _placed(self, stamp: float, arrival: float, due: float, other: float | None) -> float:
        assert self._offset is not None
        time = stamp + self._offset
        if self._last is not None and not self._last - LEAST_STEP < time <= due + JUMP_SECONDS:
            return self._jumped(stamp, due, other)
        self._strays = 0
        self._correct(time, arrival)
        return stamp + self._offset

    def _jumped(self, stamp: float, due: float, other: float | None) -> float:
        self._strays += 1
        if self._strays < STRAYS:
            return due
        self.jumps += 1
        self._strays = 0
        fits = other is not None and abs(stamp + other - due) <= JUMP_SECONDS
        self._offset = other if fits and other is not None else due - stamp
        self._lateness = _Lateness()
        return stamp + self._offset

    def _correct(self, time: float, arrival: float) -> None:
        """Move the offset towards where the least late frames say that it was at first."""
        assert self._offset is not None
        drift, elapsed = self._lateness.drift(arrival, arrival - time)
        if drift > STEP_SECONDS:
            self._offset += drift
            self._lateness.shift(drift)
        elif abs(drift) > IGNORED_SECONDS:
            step = max(-SLEW * elapsed, min(SLEW * elapsed, drift))
            self._offset += step
            self._lateness.shift(step)


class _Lateness:
    """How late frames arrive, by their time stamps: the least of the last seconds against the first
    ones'.
    """

    def __init__(self) -> None:
        self._buckets: deque[list[float]] = deque()  # [begin, least]
        self._first: float | None = None
        self._since = self._begun = 0.0

    def drift(self, now: float, late: float) -> tuple[float, float]:
        """How much later frames arrive than at first, s; and the seconds since this was asked last."""
        elapsed = max(0.0, now - self._since) if self._buckets else 0.0
        self._since = now
        if not self._buckets:
            self._begun = now
        if not self._buckets or now - self._buckets[-1][0] >= BUCKET_SECONDS:
            self._buckets.append([now, late])
        else:
            self._buckets[-1][1] = min(self._buckets[-1][1], late)
        while now - self._buckets[0][0] > WINDOW_SECONDS:
            self._buckets.popleft()
        least = min(bucket[1] for bucket in self._buckets)
        if now - self._begun < WINDOW_SECONDS or self._first is None:
            # Not known well yet. A server that sends its last group of pictures at once begins late.
            self._first = least
            return 0.0, elapsed
        return self._paused(now) or least - self._first, elapsed

    def _paused(self, now: float) -> float:
        """By how much all frames of the last seconds were late; 0 where that is no pause: a burst that
        makes up for a stall of the network is late at its beginning only.
        """
        assert self._first is not None
        recent = [bucket for bucket in self._buckets if now - bucket[0] <= STEP_WINDOW_SECONDS]
        late = min(bucket[1] for bucket in recent) - self._first
        return late if late > STEP_SECONDS and now - recent[0][0] > STEP_WINDOW_SECONDS - 1 else 0.0

    def shift(self, seconds: float) -> None:
        """Output times are later by so much from now on."""
        for bucket in self._buckets:
            bucket[1] -= seconds


#: A pause is told from a burst that catches up by so long a time of late frames, s.
STEP_WINDOW_SECONDS = 3.0
