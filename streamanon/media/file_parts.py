"""Files that are several recordings one behind the other, as ``cat a b`` and recorders that start anew make
them, and files that are a part of one. FFmpeg goes on by itself in most formats; not in these, and says
nothing of either.
"""

from __future__ import annotations

import functools
import io
import os
import struct
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

_FLV, _FLV_HEADER = b"FLV", 9 + 4  # with the size of the tag before it, which is none
_FLV_TAG = 11
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
#: AVI counts in 32 bits.
_MOST_AVI = 1 << 32
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
            return _second_mp4(file, size) if _is_mp4(head) else None
    except OSError:  # no file
        return None


def is_cut_off(path: str | Path) -> bool:
    """Whether an MP4, QuickTime, Matroska or AVI file is shorter than it says."""
    try:
        with open(path, "rb") as file:
            head = file.read(64)
            size = file.seek(0, os.SEEK_END)
            if _is_mp4(head):
                return any(at + length > size for at, _, length in _boxes(file, size))
            if head.startswith(_EBML):
                return _end_of_segment(head) > size
            return head.startswith(b"RIFF") and int.from_bytes(head[4:8], "little") + 8 > size < _MOST_AVI
    except OSError:
        return False


def _is_mp4(head: bytes) -> bool:
    return head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide")


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


def _boxes(file: BinaryIO, size: int) -> Iterator[tuple[int, bytes, int]]:
    """Place, kind and length of the boxes of a file (ISO/IEC 14496-12, 4.2)."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        length, kind = struct.unpack(">I4s", file.read(8))
        if length == 1:
            length = int.from_bytes(file.read(8), "big")
        yield at, kind, length
        if length < 8:  # up to the end, or damaged
            return
        at += length


def _second_mp4(file: BinaryIO, size: int) -> int | None:
    """One box "moov" tells of the whole file."""
    tables, second = 0, None
    for at, kind, _ in _boxes(file, size):
        if kind == b"ftyp" and at:
            second = second or at
        tables += kind == b"moov"
    return second if tables > 1 else None


def _end_of_segment(head: bytes) -> int:
    """The byte at which a Matroska file ends as it says (RFC 8794, 4); 0 where it does not."""
    at = 4
    header, width = _ebml_size(head, at)
    at += width + header
    if head[at : at + 4] != _SEGMENT:
        return 0
    size, width = _ebml_size(head, at + 4)
    unknown = size == (1 << 7 * width) - 1
    return 0 if unknown else at + 4 + width + size


def _ebml_size(data: bytes, at: int) -> tuple[int, int]:
    """A number, and how many bytes it has: as many as it begins with zero bits, and one."""
    width = 9 - data[at].bit_length() if at < len(data) and data[at] else 8
    return int.from_bytes(data[at : at + width], "big") & ((1 << 7 * width) - 1), width


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
