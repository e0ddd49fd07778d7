"""The thread that reads one connection, and the one edge at which frames may be lost.

The thread reads whatever comes, however slow the chain is: a camera that cannot send goes away, and packets
that are not read are lost inside pictures. Decoded frames wait for the chain, but only the newest few; the
others are dropped before they are processed, so that what leaves is late by a fixed time and never raw.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction

from av.audio.frame import AudioFrame

from streamanon.errors import SourceError, StreamanonError
from streamanon.live.connection import UNSTAMPED_SECONDS, Connection, Got, SourceOptions
from streamanon.live.wire import CLOCK_HZ
from streamanon.media.decode import to_picture
from streamanon.media.probe import SourceInfo
from streamanon.types import RawFrame

#: Decoded frames that wait for the chain: so many seconds of them, within bounds. Fewer would be lost
#: whenever a pass of detection takes longer, although the chain is quick enough on the whole.
WAITING_SECONDS, LEAST_WAITING, MOST_WAITING = 0.25, 2, 8

#: Without a frame for so long, or for so many usual steps, what the chain holds back is let out: else it
#: would be held until the source goes on. Seconds.
FLUSH_SECONDS, FLUSH_STEPS = 0.7, 4.0

#: Given sound and the time, s, at which it begins.
Listen = Callable[[AudioFrame, float], None]


@dataclass
class FeedCounts:
    """``read``: decoded; ``dropped``: because the chain was busy; ``damaged``: not to be trusted."""

    read: int = 0
    dropped: int = 0
    damaged: int = 0


class Feed:
    """One connection being read. ``listen``: gets the sound. ``counts`` may be shared by connections.

    ``origin``: the monotonic time, s, that counts as 0; ``index``: of the first frame. ``info``: given by
    the first connection, so that later ones deliver frames of the same size.
    """

    def __init__(
        self,
        options: SourceOptions,
        counts: FeedCounts,
        origin: float,
        index: int = 0,
        info: SourceInfo | None = None,
        listen: Listen | None = None,
        clock: Callable[[], float] = time.monotonic,
        connect: Callable[[SourceOptions, Callable[[], float]], Connection] = Connection,
    ) -> None:
        self._options, self._counts, self._origin = options, counts, origin
        self._listen, self._clock, self._connect = listen, clock, connect
        self.info, self.index = info, index
        self.has_sound = False
        #: The monotonic time of the last frame, and of the last one dropped; s.
        self.last_frame = self.last_drop = float("-inf")
        self.first_frame: float | None = None
        #: What a frame takes, s, about.
        self.step = 0.0
        self.error: StreamanonError | None = None
        self.causes: dict[str, int] = {}
        #: PTS of the frames on their way through the chain, in order, and when they arrived.
        self._arrivals: deque[tuple[int, float]] = deque()
        self._waiting: deque[Got] = deque()
        self._changed = threading.Condition()
        self._stopped = self._ended = False
        self._last_pts = -1
        #: Where a file goes on when it is read again, s.
        self._begin: float | None = None
        self._thread = threading.Thread(target=self._run, name="source", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Decoded frames that wait for the chain."""
        return len(self._waiting)

    @property
    def _most_waiting(self) -> int:
        if self.step <= 0:
            return LEAST_WAITING
        return min(MOST_WAITING, max(LEAST_WAITING, round(WAITING_SECONDS / self.step)))

    def stop(self) -> None:
        """No more frames. The thread ends with its next packet or time-out, whichever comes first."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def join(self, seconds: float) -> bool:
        """Whether the thread ended in time."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def wait(self) -> bool:
        """Until a frame is there: true; or the connection is over: false."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._waiting) or self._ended or self._stopped)
            return bool(self._waiting) and not self._stopped

    @property
    def flush_seconds(self) -> float:
        """After how long without a frame the chain lets go what it holds back."""
        return max(FLUSH_SECONDS, FLUSH_STEPS * self.step)

    def frames(self) -> Iterator[RawFrame]:
        """The frames for the chain, from one thread, until the connection is over or pauses. An error of
        the connection does not rise here: what was read is delivered first, and ``error`` tells.
        """
        while True:
            with self._changed:
                patience = None if self._options.can_wait else self.flush_seconds
                self._changed.wait_for(
                    lambda: bool(self._waiting) or self._ended or self._stopped, patience
                )
                if not self._waiting or self._stopped:
                    return
                got = self._waiting.popleft()
                self._changed.notify_all()
            assert self.info is not None
            pts = max(round((got.time - self._origin) * CLOCK_HZ), self._last_pts + 1)
            self._last_pts = pts
            self._arrivals.append((pts, got.arrival))
            picture = to_picture(got.frame, self.info)
            yield RawFrame(self.index, pts, Fraction(1, CLOCK_HZ), picture, None, got.damaged)
            self.index += 1

    def arrival_of(self, pts: int) -> float:
        """When a frame arrived that has come through the chain, s. Frames come in their order, so those
        before it are forgotten; of one that is not known the newest frame's time.
        """
        while self._arrivals and self._arrivals[0][0] <= pts:
            known, arrival = self._arrivals.popleft()
            if known == pts:
                return arrival
        return self.last_frame

    def _run(self) -> None:
        try:
            while not self._stopped:
                self._read_once()
                if not (self._options.loop and self._options.is_file) or self.first_frame is None:
                    return  # a file without a picture is not read again and again
        except StreamanonError as error:
            self.error = error
        except Exception as error:  # a bug must not end the process's other cameras
            self.error = SourceError(f"{self._options.shown}: reading failed ({type(error).__name__})")
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _read_once(self) -> None:
        with (
            self._connect(self._options, self._clock) as connection,
            closing(connection.read(lambda: self._stopped, self._begin)) as items,
        ):
            self.has_sound = connection.has_sound
            try:
                for item in items:
                    if not isinstance(item, Got):
                        if self._listen is not None:
                            self._listen(item.frame, item.time - self._origin)
                        continue
                    if self.info is None:
                        self.info = connection.describe(item.frame)
                    self._deliver(item)
            finally:
                for cause, count in connection.trust.causes.items():
                    self.causes[cause] = self.causes.get(cause, 0) + count

    def _deliver(self, got: Got) -> None:
        self._counts.read += 1
        self._counts.damaged += got.damaged
        if self.first_frame is not None:
            self.step += 0.1 * (min(got.arrival - self.last_frame, 5.0) - self.step)
        self.last_frame, self._begin = got.arrival, got.time + UNSTAMPED_SECONDS
        if self.first_frame is None:
            self.first_frame = got.arrival
        with self._changed:
            if self._options.can_wait:
                self._changed.wait_for(lambda: len(self._waiting) < self._most_waiting or self._stopped)
            while not self._options.can_wait and len(self._waiting) >= self._most_waiting:
                self._waiting.popleft()
                self._counts.dropped += 1
                self.last_drop = got.arrival
            self._waiting.append(got)
            self._changed.notify_all()
