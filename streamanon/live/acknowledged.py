"""Whether a server still takes what it is sent, as the system's TCP tells it.

A server that freezes is answered for by its system until its buffer is full (some 400 kB were seen). Then
this end's buffer fills, megabytes: minutes of a small stream. Until then no call waits. Here that is not
waited for. What the server's buffer takes cannot be seen from this end.
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

#: Bytes that the other end has acknowledged: the place in Linux's ``struct tcp_info`` (since 4.1) of
#: ``tcpi_bytes_acked``; and of ``tcpi_unacked`` (packets) and ``tcpi_notsent_bytes``.
_ACKED, _UNACKED, _UNSENT, _INFO_BYTES = 120, 24, 144, 148


@dataclass
class _Connection:
    socket: socket.socket
    acked: int = -1
    moved: float = 0.0


class Acknowledged:
    """The TCP connections that this process has open now. Linux only: elsewhere there are none.

    ``patience``: how long bytes may wait without any being acknowledged, s.
    """

    def __init__(self, patience: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience, self._clock = patience, clock
        self._connections = [_Connection(one) for one in _connections()]

    def __enter__(self) -> Acknowledged:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._connections:
            one.socket.close()

    @property
    def is_stuck(self) -> bool:
        """Whether a server takes nothing more."""
        now = self._clock()
        return any(self._waits_for(one, now) > self._patience for one in self._connections)

    def _waits_for(self, one: _Connection, now: float) -> float:
        acked, waiting = _progress(one.socket)
        if acked != one.acked or not waiting:
            one.acked, one.moved = acked, now
        return now - one.moved


def _progress(connection: socket.socket) -> tuple[int, bool]:
    """Bytes acknowledged so far, and whether more were written."""
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    if len(info) < _INFO_BYTES:
        return 0, False
    unacked, unsent = (struct.unpack_from("=I", info, place)[0] for place in (_UNACKED, _UNSENT))
    return struct.unpack_from("=Q", info, _ACKED)[0], bool(unacked or unsent)


def _connections() -> list[socket.socket]:
    found: list[socket.socket] = []
    if sys.platform != "linux":
        return found
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            one = socket.socket(fileno=os.dup(int(name)))
            if one.family in (socket.AF_INET, socket.AF_INET6) and one.type == socket.SOCK_STREAM:
                found.append(one)
            else:
                one.close()
    return found
