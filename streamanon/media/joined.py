"""Files that are several recordings one behind the other, as ``cat a b`` and recorders that start anew make
them. FFmpeg goes on by itself in most formats; not in these.
"""

from __future__ import annotations

import functools
import io
import os
import struct
from bisect import bisect_right
from pathlib import Path
from typing import Any, BinaryIO

_FLV, _FLV_HEADER = b"FLV", 9 + 4  # with the size of the tag before it, which is none
_FLV_TAG = 11
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")


def joined_flv(path: str) -> io.BufferedReader | None:
    """A Flash video of several recordings as one: without the headers within, for which FFmpeg would skip
    all that follows. None for any other file.
    """
    headers = _flv_headers(path)
    return io.BufferedReader(_WithoutParts(path, headers, _FLV_HEADER)) if headers else None


def unread_from(path: str | Path) -> int | None:
    """The byte at which a second recording begins, in MP4, QuickTime and ASF: FFmpeg reads none of
    it or, of fragments, a part.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(16)
            size = file.seek(0, os.SEEK_END)
            if head == _ASF_HEADER:
                return _second_asf(file, size)
            return _second_mp4(file, size) if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide") else None
    except OSError:  # no file
        return None


def _flv_headers(path: str) -> tuple[int, ...]:
    """The places of all headers but the first one."""
    try:
        with open(path, "rb") as file:
            if file.read(3) != _FLV:
                return ()
            facts = os.fstat(file.fileno())
    except OSError:  # an address; or what opening it once more will tell
        return ()
    return _walked(path, facts.st_size, facts.st_mtime_ns)


@functools.lru_cache(maxsize=4)
def _walked(path: str, size: int, _changed: int) -> tuple[int, ...]:
    """From tag to tag (Adobe's Flash Video specification, E.3). A file is opened several times in a run."""
    found, at = [], _FLV_HEADER
    with open(path, "rb", buffering=0) as file:
        while at + _FLV_TAG < size:
            file.seek(at)
            head = file.read(_FLV_TAG)
            if head.startswith(_FLV):
                found.append(at)
                at += _FLV_HEADER
            elif head[8:11] != bytes(3):  # the number of the stream, always 0: this is no tag
                break
            else:
                at += _FLV_TAG + int.from_bytes(head[1:4], "big") + 4
    return tuple(found)


def _second_mp4(file: BinaryIO, size: int) -> int | None:
    """Of boxes (ISO/IEC 14496-12, 4.2) one tells of the whole file."""
    tables, second, at = 0, None, 0
    while at + 8 <= size:
        file.seek(at)
        length, kind = struct.unpack(">I4s", file.read(8))
        if length == 1:
            length = int.from_bytes(file.read(8), "big")
        if kind == b"ftyp" and at:
            second = second or at
        tables += kind == b"moov"
        if length < 8:  # up to the end, or damaged
            break
        at += length
    return second if tables > 1 else None


def _second_asf(file: BinaryIO, size: int) -> int | None:
    at = 0
    while at + 24 <= size:
        file.seek(at)
        kind, length = struct.unpack("<16sQ", file.read(24))
        if kind == _ASF_HEADER and at:
            return at
        if length < 24:
            return None
        at += length
    return None


class _WithoutParts(io.RawIOBase):
    """A file as if the ``length`` bytes from each of ``places`` on were not there."""

    def __init__(self, path: str, places: tuple[int, ...], length: int) -> None:
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 - closed by close()
        self._length = length
        #: Where each piece begins, without the parts and with them.
        self._shown = [0, *(place - number * length for number, place in enumerate(places))]
        self._stored = [0, *(place + length for place in places)]
        self._end = os.fstat(self._file.fileno()).st_size - len(places) * length
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._end}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        row = bisect_right(self._shown, self._at) - 1
        ends = [*self._shown[1:], self._end]
        most = max(0, min(len(buffer), ends[row] - self._at))
        self._file.seek(self._stored[row] + self._at - self._shown[row])
        count = self._file.readinto(memoryview(buffer)[:most]) or 0
        self._at += count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()
