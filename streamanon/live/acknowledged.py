"""Whether a server still takes what it is sent, as the system's TCP tells it.

A server that freezes is answered for by its system until its buffer is full (some 400 kB were seen). Then
this end's buffer fills, megabytes: minutes of a small stream. Until then no call waits. Here that is not
waited for. What the server's buffer takes is seen only where its program says something from time to time,
which RTMP servers do if asked to (RTMP 1.0, 5.4.4 Window Acknowledgement Size).
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

#: Places in Linux's ``struct tcp_info`` (since 4.1) of ``tcpi_bytes_acked``, ``tcpi_bytes_received``,
#: ``tcpi_unacked`` (packets) and ``tcpi_notsent_bytes``.
_ACKED, _RECEIVED, _UNACKED, _UNSENT, _INFO_BYTES = 120, 128, 24, 144, 148
#: An RTMP server is asked to say what it read after the bytes of so many packets: FFmpeg reads one of its
#: messages every ten packets, and more would pile up. It is asked again as the stream's rate grows: by this
#: factor, looked at every so many packets.
ANSWER_PACKETS, LOOK_PACKETS, LEAST_WINDOW_BYTES, GROWN = 25, 250, 4096, 1.5
#: It does so if it spoke so many times at least half of that apart; then it is frozen once it says nothing
#: over so many times the longest stretch before.
SURE_ANSWERS, SILENT_STRETCHES = 4, 3
#: RTMP's chunk stream for control messages, and types of these; of the last one, an answer to a ping.
_CONTROL, _WINDOW_SIZE, _USER_CONTROL, _PING_ANSWER = 2, 5, 4, 7


@dataclass(frozen=True)
class _Progress:
    """Bytes ``acked`` and ``received`` so far, and whether more of ours ``waits``."""

    acked: int
    received: int
    waits: bool


@dataclass
class _Connection:
    """``acked``, ``moved`` (s): the last progress. ``window``: after how many bytes the server was asked to
    speak; 0: it was not. ``received``, ``heard`` (bytes acked, s): when it spoke last. ``answers``,
    ``longest`` (bytes): how often it did at such intervals, and the longest one. ``looked``: packets and
    bytes when the rate was looked at last.
    """

    socket: socket.socket
    acked: int = -1
    moved: float = 0.0
    window: int = 0
    received: int = 0
    heard: tuple[int, float] = (0, 0.0)
    answers: int = 0
    longest: int = 0
    looked: tuple[int, int] = (0, 0)


class Acknowledged:
    """The TCP connections that this process has open now. Linux only: elsewhere there are none.

    ``patience``: how long bytes may wait without any being acknowledged, s. ``rtmp``: whether they are to
    RTMP servers, which are asked to answer. Only while FFmpeg is between two messages call this.
    """

    def __init__(
        self, patience: float, rtmp: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._patience, self._rtmp, self._clock = patience, rtmp, clock
        self._packets = 0
        self._connections = [_Connection(one) for one in _connections()]

    def __enter__(self) -> Acknowledged:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._connections:
            one.socket.close()

    def is_stuck(self) -> bool:
        """Whether a server takes nothing more; asked after each packet."""
        now = self._clock()
        self._packets += 1
        seen = [(one, _progress(one.socket)) for one in self._connections]
        if self._rtmp and self._packets % LOOK_PACKETS == ANSWER_PACKETS:
            for one, progress in seen:
                self._ask(one, progress, now)
        waits = [max(_waits(*one, now), _is_silent(*one, now)) for one in seen]
        return max(waits, default=0.0) > self._patience

    def _ask(self, one: _Connection, seen: _Progress, now: float) -> None:
        packets, acked = one.looked
        one.looked = self._packets, seen.acked
        window = round(ANSWER_PACKETS * (seen.acked - acked) / (self._packets - packets))
        if window <= GROWN * one.window:
            return
        if not one.window:
            one.received, one.heard = seen.received, (seen.acked, now)
        one.window = max(LEAST_WINDOW_BYTES, window)
        with contextlib.suppress(OSError):
            one.socket.send(window_request(one.window))


def window_request(size: int) -> bytes:
    """RTMP messages that ask for an acknowledgement after each so many bytes. An answer to a ping follows
    that was not asked for: servers ignore it, and FFmpeg's own, whose headers leave out what the last
    message in this chunk stream had said, are still read right.
    """
    request = struct.pack(">I", size)
    return _message(_WINDOW_SIZE, request) + _message(_USER_CONTROL, struct.pack(">HI", _PING_ANSWER, 0))


def _message(kind: int, body: bytes) -> bytes:
    """In one chunk with a full header; time and message stream are 0."""
    return struct.pack(">B3x3sB4x", _CONTROL, len(body).to_bytes(3, "big"), kind) + body


def _waits(one: _Connection, seen: _Progress, now: float) -> float:
    """For how long bytes have waited and none was acknowledged, s."""
    if seen.acked != one.acked or not seen.waits:
        one.acked, one.moved = seen.acked, now
    return now - one.moved


def _is_silent(one: _Connection, seen: _Progress, now: float) -> float:
    """For how long a server that told what it read has not done so, s."""
    if not one.window:
        return 0.0
    stretch = seen.acked - one.heard[0]
    if seen.received != one.received:
        if stretch >= one.window // 2:
            one.answers, one.longest = one.answers + 1, max(one.longest, stretch)
        one.received, one.heard = seen.received, (seen.acked, now)
        return 0.0
    frozen = one.answers >= SURE_ANSWERS and stretch > SILENT_STRETCHES * one.longest
    return now - one.heard[1] if frozen else 0.0


def _progress(connection: socket.socket) -> _Progress:
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    if len(info) < _INFO_BYTES:
        return _Progress(0, 0, False)
    unacked, unsent = (struct.unpack_from("=I", info, place)[0] for place in (_UNACKED, _UNSENT))
    acked, received = (struct.unpack_from("=Q", info, place)[0] for place in (_ACKED, _RECEIVED))
    return _Progress(acked, received, bool(unacked or unsent))


def _connections() -> list[socket.socket]:
    """This process's TCP sockets, each once, however many descriptors it has."""
    found: dict[int, socket.socket] = {}
    if sys.platform != "linux":
        return []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            inode = os.stat(f"/proc/self/fd/{name}").st_ino
            one = socket.socket(fileno=os.dup(int(name)))
            internet = one.family in (socket.AF_INET, socket.AF_INET6)
            if internet and one.type == socket.SOCK_STREAM and inode not in found:
                found[inode] = one
            else:
                one.close()
    return list(found.values())
