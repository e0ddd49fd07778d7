"""Encoded packets between this process and the child processes that publish them, over a pipe.

First a line of JSON that says where to and what (:class:`Hello`), then packets, each with a header of fixed
length. Addresses go this way, too, and not by the command line, which every user of the machine can read.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

#: Ticks a second of all times here.
CLOCK_HZ = 90_000
VIDEO, AUDIO = 0, 1
#: Kind, whether it is a key frame, PTS, DTS, duration, bytes of data.
_HEADER = struct.Struct("<BBqqiI")
#: A packet is no larger, bytes; more is a broken pipe's noise.
_MOST_BYTES = 1 << 28


@dataclass(frozen=True)
class Encoded:
    """An encoded packet. ``kind``: :data:`VIDEO` or :data:`AUDIO`; times in ticks of :data:`CLOCK_HZ`.
    ``born``: when its picture arrived, s by the monotonic clock; it stays in this process.
    """

    kind: int
    key: bool
    pts: int
    dts: int
    duration: int
    data: bytes = field(repr=False)
    born: float = 0.0

    @property
    def starts_group(self) -> bool:
        """Whether decoding can begin here."""
        return self.kind == VIDEO and self.key

    def to_bytes(self) -> bytes:
        head = _HEADER.pack(self.kind, self.key, self.pts, self.dts, self.duration, len(self.data))
        return head + self.data


@dataclass(frozen=True)
class Hello:
    """What a child is told first.

    ``target``: an address or path; ``muxer``: FFmpeg's name of the format, with its ``options``.
    ``header``: an MP4 file without samples, which tells the streams. ``setup``: the video's parameter sets
    (SPS, PPS) as they stand before a key frame. ``more``: what a kind of output needs besides.
    """

    kind: str
    target: str
    muxer: str
    options: dict[str, str]
    header: bytes = field(repr=False)
    setup: bytes = field(repr=False)
    more: dict[str, Any] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        content = asdict(self)
        for name in ("header", "setup"):
            content[name] = base64.b64encode(content[name]).decode()
        return json.dumps(content).encode() + b"\n"

    @staticmethod
    def of(line: bytes) -> Hello:
        content = json.loads(line)
        for name in ("header", "setup"):
            content[name] = base64.b64decode(content[name])
        return Hello(**content)


def packets(read: Callable[[int], bytes]) -> Iterator[Encoded]:
    """The packets of a pipe, until it ends; ``read`` gives as many bytes as asked for, fewer at the end."""
    while len(head := read(_HEADER.size)) == _HEADER.size:
        kind, key, pts, dts, duration, size = _HEADER.unpack(head)
        if size > _MOST_BYTES:
            return
        data = read(size)
        if len(data) < size:
            return
        yield Encoded(kind, bool(key), pts, dts, duration, data)
