"""Standard input for several readers, each of which reads it from its start."""

from __future__ import annotations

import functools
import io
import os
import threading
from bisect import bisect_right
from pathlib import Path
from typing import Any

from streamanon.errors import SourceError

#: How standard input is called as a source.
STDIN = "-"
#: So many first bytes are kept for those who open it later: more than is decoded before the output is open.
HEAD_BYTES = 64 << 20
_PIECE = 1 << 16


class SharedStream:
    """A pipe, read once and handed to all readers. In memory is the head and what the slowest open reader
    has not read yet: audio is read seconds after the video beside it.
    """

    def __init__(self, number: int, head_bytes: int = HEAD_BYTES) -> None:
        self._number, self._head_bytes = number, head_bytes
        self._pieces: list[bytes] = []
        self._starts: list[int] = []  # of the pieces, bytes from the beginning
        self._end = 0
        self._over = False
        self._readers: list[SharedReader] = []
        self._lock, self._reading = threading.Lock(), threading.Lock()

    def open(self) -> SharedReader:
        """A reader at the start. Raises :class:`SourceError` once that is no longer in memory."""
        with self._lock:
            if self._starts and self._starts[0]:
                raise SourceError("standard input can be read once only; give a file to read it again")
            reader = SharedReader(self)
            self._readers.append(reader)
            return reader

    def read_at(self, place: int, most: int) -> bytes:
        """Bytes from ``place`` on, waiting for some; empty at the end."""
        while True:
            with self._lock:
                if place < self._end:
                    row = bisect_right(self._starts, place) - 1
                    at = place - self._starts[row]
                    return self._pieces[row][at : at + most]
                if self._over:
                    return b""
            self._read_on(place)

    def _read_on(self, place: int) -> None:
        """Wait for more, unless another reader has got it meanwhile."""
        with self._reading:
            if place < self._end or self._over:
                return
            piece = os.read(self._number, _PIECE)
            with self._lock:
                self._over = not piece
                if piece:
                    self._starts.append(self._end)
                    self._pieces.append(piece)
                    self._end += len(piece)

    def forget(self) -> None:
        """Drop what every open reader has read, once all are past the head."""
        with self._lock:
            slowest = min((reader.place for reader in self._readers), default=0)
            if slowest > self._head_bytes:
                done = bisect_right(self._starts, slowest) - 1
                del self._starts[:done], self._pieces[:done]

    @property
    def held(self) -> int:
        """Bytes in memory."""
        return sum(map(len, self._pieces))

    def leave(self, reader: SharedReader) -> None:
        with self._lock:
            self._readers = [one for one in self._readers if one is not reader]


class SharedReader(io.RawIOBase):
    """One reader of a :class:`SharedStream`; it cannot seek."""

    def __init__(self, stream: SharedStream) -> None:
        self._stream, self.place = stream, 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        found = self._stream.read_at(self.place, size if size >= 0 else _PIECE)
        self.place += len(found)
        self._stream.forget()
        return found

    def readinto(self, buffer: Any, /) -> int:
        found = self.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)

    def close(self) -> None:
        if not self.closed:
            self._stream.leave(self)
        super().close()


@functools.cache
def _standard_input() -> SharedStream:
    """One for the process, as standard input is."""
    return SharedStream(0)


def open_standard_input() -> SharedReader | str:
    """What PyAV opens: a reader of the pipe, or the path of the file that standard input is."""
    itself = Path("/proc/self/fd/0")  # elsewhere a path of it would share its place with other readers
    return str(itself) if itself.is_file() else _standard_input().open()
