"""One output: a queue of encoded packets, and the child process that publishes them.

Nothing here waits for a server: :meth:`ChildOutput.offer` returns at once. A reader that is too slow loses
whole groups of pictures, which are counted. A child that makes no progress is killed and started anew.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from streamanon.live.backoff import HEALTHY_SECONDS, Backoff
from streamanon.live.readable import is_readable
from streamanon.live.states import State, Status
from streamanon.live.targets import Target
from streamanon.live.wire import CLOCK_HZ, Encoded, Hello

#: A child that was sent packets and finishes none for so long is killed, s; and one that does not open.
STALL_SECONDS, OPEN_SECONDS = 5.0, 10.0
#: A child that runs or wants to is given so many times as long: the machine may be overloaded.
MOST_STARVED = 6
#: What waits for a child: at most so many seconds and bytes.
MOST_SECONDS, MOST_BYTES = 4.0, 16 << 20
#: An output that is this old when it is done is not fresh, s.
FRESH_SECONDS = 5.0
#: How long a child may take to finish its file or say goodbye, s.
CLOSE_SECONDS = 3.0
_POLL_SECONDS = 0.2


@dataclass
class OutputCounts:
    """``sent`` and ``dropped``: packets; ``groups_dropped``: groups of pictures that a slow reader lost;
    ``restarts``: children started after the first; ``stalls``: killed without progress.
    """

    sent: int = 0
    dropped: int = 0
    groups_dropped: int = 0
    restarts: int = 0
    stalls: int = 0


class PacketQueue:
    """Packets that wait, from a key frame on. What is too much is dropped by whole groups of pictures."""

    def __init__(self, counts: OutputCounts) -> None:
        self._counts = counts
        self._packets: deque[Encoded] = deque()
        self._bytes = 0
        self._ready = threading.Condition()
        self._awaits_key = True
        self._closed = False

    def __len__(self) -> int:
        return len(self._packets)

    def put(self, packet: Encoded, wait_seconds: float = 0.0) -> None:
        """Waits for room only where told to, as of a source that can wait, too."""
        with self._ready:
            if wait_seconds and self._is_filled(0.5):
                self._ready.wait_for(lambda: self._closed or not self._is_filled(0.5), wait_seconds)
            if self._closed:
                return
            if self._awaits_key and not packet.starts_group:
                self._counts.dropped += 1
                return
            self._awaits_key = False
            self._packets.append(packet)
            self._bytes += len(packet.data)
            if self._is_filled(1.0):
                self._drop()
            self._ready.notify_all()

    def get(self, seconds: float) -> Encoded | None:
        """The next packet; None where none comes in time, or at the end."""
        with self._ready:
            self._ready.wait_for(lambda: bool(self._packets) or self._closed, seconds)
            if not self._packets:
                return None
            packet = self._packets.popleft()
            self._bytes -= len(packet.data)
            self._ready.notify_all()
            return packet

    def restart(self) -> None:
        """Begin at the newest key frame that waits, or else at the next one."""
        with self._ready:
            if self._packets and self._packets[0].starts_group:
                return
            self._keep_from(self._newest_key())

    def close(self) -> None:
        """Take no more; what waits can still be got."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()

    @property
    def is_over(self) -> bool:
        return self._closed and not self._packets

    def _is_filled(self, share: float) -> bool:
        if not self._packets:
            return False
        span = self._packets[-1].dts - self._packets[0].dts
        return span > share * MOST_SECONDS * CLOCK_HZ or self._bytes > share * MOST_BYTES

    def _drop(self) -> None:
        """All but the newest group of pictures; that one, too, if it is too much by itself."""
        newest = self._newest_key()
        self._keep_from(newest if newest else len(self._packets))

    def _newest_key(self) -> int:
        """Its place; the end where there is none."""
        places = range(len(self._packets) - 1, -1, -1)
        return next((n for n in places if self._packets[n].starts_group), len(self._packets))

    def _keep_from(self, place: int) -> None:
        for _ in range(place):
            packet = self._packets.popleft()
            self._bytes -= len(packet.data)
            self._counts.dropped += 1
            self._counts.groups_dropped += packet.starts_group
        self._awaits_key = not self._packets


class ChildOutput:
    """One target, published by a child process of its own, which is started again whenever it ends.

    ``tell``: given each change of state. ``header`` and ``setup``: see :class:`Hello`.
    """

    def __init__(
        self,
        target: Target,
        header: bytes,
        setup: bytes,
        tell: Callable[[State, str], None],
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        self.target = target
        self.counts = OutputCounts()
        self.status = Status(tell)
        #: When the picture in the last packet that was published had arrived, s; None: none was.
        self.newest: float | None = None
        self._hello = Hello(
            target.kind, target.address, target.muxer, target.options, header, setup, target.more
        )
        self._stall_seconds = stall_seconds
        #: Why the last pictures did not get there; empty while they do.
        self.failure = ""
        #: For so long a child has to publish before the output counts as running again, s: one that opens
        #: and fails each time would be told each time.
        self.probation = 0.0
        self._queue = PacketQueue(self.counts)
        self._stop = threading.Event()
        self._child: _Child | None = None
        self._thread = threading.Thread(target=self._run, name="output", daemon=True)
        self._thread.start()

    def offer(self, packet: Encoded, wait_seconds: float = 0.0) -> None:
        """Publish a packet, or drop it; returns at once, unless told to wait for room."""
        self._queue.put(packet, wait_seconds)

    @property
    def waiting(self) -> int:
        """Packets that wait."""
        return len(self._queue)

    def is_fresh(self, now: float, age_seconds: float = FRESH_SECONDS) -> bool:
        """Whether what was published last is not old."""
        return self.status.state is State.RUNNING and (
            self.newest is not None and now - self.newest <= age_seconds
        )

    def close(self) -> None:
        """No more packets; what waits is still published. :meth:`join` waits for it."""
        self._queue.close()
        self._stop.set()

    def join(self, seconds: float) -> None:
        """Wait for the end, and kill what does not end."""
        thread = self._thread

        def ended(most: float) -> bool:
            thread.join(most)
            return not thread.is_alive()

        if self._child is None:  # its first child is being started
            ended(seconds)
        child = self._child
        if child is not None and not child.wait_for(ended, seconds):
            child.kill()
            thread.join(1)

    def _run(self) -> None:
        backoff = Backoff()
        while not self._queue.is_over:
            self._queue.restart()
            try:
                child = self._child = _Child(self._hello, self)
            except OSError as error:  # too many processes, threads or files: perhaps not for long
                why = f"its process cannot be started ({error.strerror})"
                if self._is_lost(why, backoff.pause()) or self._stop.is_set():
                    break
                continue
            healthy = child.serve(self._queue)
            self.counts.stalls += child.stalled
            if self._queue.is_over or self._stop.is_set():
                if self.target.kind == "file" and not child.finished:
                    self.failure = child.reason or "it could not be finished"
                break
            self.counts.restarts += 1
            if child.opened:
                self.probation = 0.0 if healthy >= HEALTHY_SECONDS else HEALTHY_SECONDS
            if self._is_lost(child.reason or "its process ended", backoff.pause(healthy)):
                break
        self.status.be(State.ENDED, self.failure)

    def _is_lost(self, why: str, pause: float) -> bool:
        """Tell a failure, and wait for the next attempt; a file has none: it is lost."""
        self.failure = why
        if self.target.kind == "file":
            self._queue.close()
            return True
        self.status.be(State.LOST, why)
        self._stop.wait(pause)
        return False


class _Child:
    """One child process, from its start to its end."""

    def __init__(self, hello: Hello, output: ChildOutput) -> None:
        self._output, self._hello = output, hello
        self.reason = ""
        self.stalled = False
        #: Whether it published all that it was given, and closed.
        self.finished = False
        self._opened: float | None = None
        self._sent = self._done = 0
        self._moved = self._ran = time.monotonic()
        #: When the pictures of the packets that are under way had arrived, s.
        self._under_way: deque[tuple[int, float]] = deque()
        self._ended = threading.Event()
        self._process = subprocess.Popen(
            # -P: a file in the working folder that is called like a module would be run. It imports from
            # where this process does.
            [sys.executable, "-P", "-m", "streamanon.live.publish"],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # with what it starts itself it can be killed as one group
        )
        self._watcher = threading.Thread(target=self._watch, name="output watch", daemon=True)
        try:
            self._watcher.start()
        except RuntimeError:  # too many threads
            self.kill()
            with self._process:  # closes its pipes
                pass
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from None

    @property
    def opened(self) -> bool:
        """Whether it could begin to publish."""
        return self._opened is not None

    def serve(self, queue: PacketQueue) -> float:
        """Send packets until the child ends, or the queue; returns for how long it was healthy, s."""
        pipe = self._process.stdin
        assert pipe is not None
        try:
            pipe.write(self._hello.to_bytes())
            pipe.flush()
            while not self._ended.is_set():
                packet = queue.get(_POLL_SECONDS)
                if packet is None:
                    if queue.is_over:
                        break
                    continue
                self._send(packet)
        except OSError:
            pass  # the child is gone: its reason comes by the other pipe
        begun_to_close = time.monotonic()
        with contextlib.suppress(OSError):
            pipe.close()
        self.wait_for(self._ended.wait, CLOSE_SECONDS)
        self.kill()
        self._watcher.join(1)
        return 0.0 if self._opened is None or self.stalled else begun_to_close - self._opened

    def _send(self, packet: Encoded) -> None:
        assert self._process.stdin is not None
        if self._sent == self._done:
            self._moved = time.monotonic()
        self._sent += 1
        if packet.born:
            self._under_way.append((self._sent, packet.born))
        self._process.stdin.write(packet.to_bytes())
        self._process.stdin.flush()
        self._output.counts.sent += 1

    def wait_for(self, ended: Callable[[float], bool], seconds: float) -> bool:
        """Whether ``ended``, which waits for so many seconds, comes true in time: more is given to a child
        that waits for a core, which is not one that hangs.
        """
        begun = time.monotonic()
        until, most = begun + seconds, begun + MOST_STARVED * seconds
        while not ended(_POLL_SECONDS):
            now = time.monotonic()
            if _wants_to_run(self._process.pid):
                until = min(now + seconds, most)
            if now >= until:
                return False
        return True

    def kill(self) -> None:
        """The child and all that it started."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2)

    def _watch(self) -> None:
        """Read what the child tells, and kill it when it makes no progress."""
        told = self._process.stdout
        assert told is not None
        number, rest = told.fileno(), b""
        while True:
            if is_readable(number, _POLL_SECONDS):
                data = os.read(number, 65536)
                if not data:
                    break
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self._heard(line)
            elif self._makes_no_progress():
                self.stalled = True
                self.reason = f"no progress for {self._limit:g} seconds"
                self.kill()
        told.close()
        self._ended.set()

    def _heard(self, line: bytes) -> None:
        with contextlib.suppress(ValueError):
            message = json.loads(line)
            self._moved = time.monotonic()
            if message.get("state") == "open":
                self._opened = self._moved
            self.finished |= message.get("state") == "finished"
            if self._opened is not None and self._moved - self._opened >= self._output.probation:
                self._output.status.be(State.RUNNING)
            if "error" in message:
                self.reason = str(message["error"])
            self._done = message.get("done", self._done)
            while self._under_way and self._under_way[0][0] <= self._done:
                self._output.newest, self._output.failure = self._under_way.popleft()[1], ""

    def _makes_no_progress(self) -> bool:
        if self._opened is not None and self._sent == self._done:
            return False
        now = time.monotonic()
        if _wants_to_run(self._process.pid):  # it waits for a core and not for a server
            self._ran = now
        starved_until = self._moved + MOST_STARVED * self._limit
        return now - max(self._moved, min(self._ran, starved_until)) > self._limit

    @property
    def _limit(self) -> float:
        """How long it may take for the next step, s."""
        stall = self._output._stall_seconds
        return max(OPEN_SECONDS, stall) if self._opened is None else stall


def _wants_to_run(process: int) -> bool:
    """Whether it runs or waits for a processor core; false where the system does not tell."""
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] == b"R"
    except (OSError, IndexError):
        return False
