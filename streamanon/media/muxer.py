"""The container that is written: packets in an order that no muxer refuses, and what the muxer logs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.logging
from av.container import OutputContainer
from av.packet import Packet
from av.rational import AVRational
from av.stream import Stream

from streamanon.errors import SinkError

#: MP4 and QuickTime count from packet to packet in so many ticks; more ends the process.
_MOST_TICKS = 2**31 - 1
#: A file that begins earlier than that is moved to zero as a whole: Matroska cannot hold such times. Less
#: before zero is the priming of sound, which stays.
_EARLIEST_SECONDS = -1
#: Muxers that take texts of the same time, as subtitles in layers have.
_TAKE_EQUAL_TIMES = frozenset({"matroska", "webm"})


@dataclass
class Written:
    """What went into one stream: packets, and seconds at which the first and the last begin and all end."""

    packets: int
    begin: Fraction
    last: Fraction
    end: Fraction

    def note(self, at: Fraction, duration: Fraction) -> None:
        """One packet more, at ``at`` seconds."""
        self.packets += 1
        self.begin, self.last = min(self.begin, at), max(self.last, at)
        self.end = max(self.end, at + duration)


class Muxer:
    """An open output container.

    Packets of one stream that are not later than the one before are moved behind it, as muxers refuse them
    or, in FFmpeg, end the process. ``name``: of the file, for messages. ``written``: by stream number.
    Raises :class:`SinkError` where FFmpeg's muxer logs an error: it says that all is well where it does.
    """

    def __init__(self, container: OutputContainer, name: str, remedy: str) -> None:
        self.container = container
        self.written: dict[int, Written] = {}
        self._name, self._remedy = name, remedy
        self._last: dict[int, int] = {}
        self._later: Fraction | None = None

    def start(self) -> None:
        """Write the header. All streams must be there."""
        self._listen(self.container.start_encoding)

    def put(self, packet: Packet[Stream]) -> None:
        """Write one packet of ``packet.stream``; one without a time is left out."""
        stream = packet.stream
        assert stream.time_base is not None
        packet.rescale_ts(AVRational(stream.time_base))
        dts = packet.dts if packet.dts is not None else packet.pts
        if dts is None:
            return
        if self._later is None:
            begin = dts * stream.time_base
            self._later = -begin if begin < _EARLIEST_SECONDS else Fraction(0)
        if self._later:
            ticks = round(self._later / stream.time_base)
            dts += ticks
            packet.pts = packet.pts + ticks if packet.pts is not None else None
        last = self._last.get(stream.index)
        if last is not None:
            equal = stream.type == "subtitle" and self.container.format.name in _TAKE_EQUAL_TIMES
            dts = max(dts, last if equal else last + 1)
        pts = max(dts, packet.pts if packet.pts is not None else dts)
        apart = max(pts - dts, 0 if last is None else dts - last)
        if apart > _MOST_TICKS and self.container.format.name in ("mp4", "mov"):
            seconds = float(apart * stream.time_base)
            jump = f"times jump by {seconds:.0f} seconds"
            raise SinkError(f"cannot write {self._name}: {jump}; {self._remedy}")
        self._last[stream.index], packet.dts, packet.pts = dts, dts, pts
        packet.duration = min(max(0, packet.duration or 0), _MOST_TICKS)
        self._count(stream.index, packet.pts * stream.time_base, packet.duration * stream.time_base)
        self._listen(lambda: self.container.mux(packet))

    def put_last(self, packet: Packet[Stream]) -> None:
        """Write the last packet of a stream, which lasts until all of that stream has ended.

        FFmpeg's MP4 muxer ends its edit list where the last fragment ends, so that players would leave out
        pictures that are decoded in the fragment before it and shown later.
        """
        so_far = self.written.get(packet.stream.index)
        if so_far is not None and packet.pts is not None and self.container.format.name in ("mp4", "mov"):
            left = so_far.end - packet.pts * packet.time_base - (self._later or 0)
            packet.duration = max(packet.duration or 0, round(left / packet.time_base))
        self.put(packet)

    def close(self) -> None:
        """Finish the file."""
        self._listen(self.container.close)

    def _count(self, index: int, at: Fraction, duration: Fraction) -> None:
        self.written.setdefault(index, Written(0, at, at, at)).note(at, duration)

    def _listen(self, step: Callable[[], Any]) -> None:
        name = self.container.format.name
        with av.logging.Capture() as lines:
            step()
        errors = [text.strip() for level, who, text in lines if level <= av.logging.ERROR and who == name]
        if errors:
            raise SinkError(f"cannot write {self._name}: the muxer says {errors[0]!r}; {self._remedy}")


class FFmpegLog:
    """While one of these is entered, FFmpeg's errors reach whoever captures them; nobody else sees them.

    FFmpeg has one log for the process, and PyAV leaves it off.
    """

    _lock = threading.Lock()
    _entered, _ours = 0, False

    def __enter__(self) -> FFmpegLog:
        with self._lock:
            FFmpegLog._entered += 1
            if FFmpegLog._entered == 1 and av.logging.get_level() is None:
                FFmpegLog._ours = True
                logging.getLogger("libav").setLevel(logging.CRITICAL + 1)
                av.logging.set_skip_repeated(False)
                av.logging.set_level(av.logging.ERROR)
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            FFmpegLog._entered -= 1
            if not FFmpegLog._entered and FFmpegLog._ours:
                FFmpegLog._ours = False
                av.logging.set_level(None)
                av.logging.set_skip_repeated(True)
