"""AAC with a header before each frame (ADTS, ISO/IEC 14496-3, 1.A.2), as in MPEG-TS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from av.packet import Packet
from av.stream import Stream

_LEAST_BYTES = 7
#: So many frames in a row with another set-up are no damage.
_CHANGED_FRAMES = 3
_SAMPLES = 1024
#: Hz, by their index in the header (ISO/IEC 14496-3, table 1.18).
_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)


@dataclass(frozen=True)
class Header:
    """``profile``: less one, as it is stored. ``rate``: its index. ``channels``: 0 where the audio itself
    tells them. ``length``: of the frame with its header, bytes.
    """

    profile: int
    rate: int
    channels: int
    length: int

    @property
    def setup(self) -> tuple[int, int, int]:
        """What a decoder has to know, and what seldom changes."""
        return self.profile, self.rate, self.channels

    @property
    def rate_hz(self) -> int:
        return _RATES[self.rate]

    @property
    def channel_count(self) -> int:
        return 8 if self.channels == 7 else self.channels

    @property
    def config(self) -> bytes:
        """AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1)."""
        return ((self.profile + 1) << 11 | self.rate << 7 | self.channels << 3).to_bytes(2, "big")


def read_header(data: bytes | memoryview, at: int = 0) -> Header | None:
    """The header that begins at this byte; None where none does."""
    head = bytes(data[at : at + _LEAST_BYTES])
    if len(head) < _LEAST_BYTES or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return None
    rate, channels = (head[2] >> 2) & 15, (head[2] & 1) << 2 | head[3] >> 6
    length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    if rate >= len(_RATES) or length < _LEAST_BYTES:
        return None
    return Header(head[2] >> 6, rate, channels, length)


def is_framed_aac(stream: Stream) -> bool:
    """Whether each packet has a header of its own. One whose header is damaged is of no use to anybody."""
    context = stream.codec_context
    return context is not None and context.codec.canonical_name == "aac" and not context.extradata


class AdtsFrames:
    """Whole frames of a stream's packets. Behind a damaged header FFmpeg takes many frames for one; they
    are found again, and only the damaged one is lost. ``setup``: of the last frame found.
    """

    def __init__(self) -> None:
        self.setup: tuple[int, int, int] | None = None
        self._cut, self._cut_pts = b"", 0  # a frame that goes on in the next packet
        self._other: tuple[int, int, int] | None = None
        self._others: list[Packet[Stream]] = []  # those with that set-up, in a row

    def found(self, packet: Packet[Stream]) -> Iterator[Packet[Stream]]:
        """The frames that become ready by one packet, with their times."""
        data = bytes(packet)
        header = read_header(data)
        if header is None or header.length != len(data) or self._cut or self._sure(data, 1) is not None:
            yield from self._searched(packet)
            return
        if self.setup is None or header.setup == self.setup:
            self.setup = header.setup
            self._others = []
            yield packet
            return
        self._others = [*self._others, packet] if header.setup == self._other else [packet]
        self._other = header.setup
        if len(self._others) == _CHANGED_FRAMES:
            self.setup = header.setup
            ready, self._others = self._others, []
            yield from ready

    def _searched(self, packet: Packet[Stream]) -> Iterator[Packet[Stream]]:
        """The frames within, by headers with the set-up of those before."""
        data, boundary = self._cut + bytes(packet), len(self._cut)
        pts, later = (self._cut_pts, packet.pts or 0) if boundary else (packet.pts or 0, 0)
        self._cut = b""
        if self.setup is None:
            return
        step = round(_SAMPLES / _RATES[self.setup[1]] / packet.time_base)
        at = 0
        while (place := self._next(data, at)) is not None:
            if at < boundary <= place:
                pts = later
            elif place > at:  # what is damaged is taken for one frame
                pts += step
            end = place + read_header(data, place).length  # type: ignore[union-attr]
            if end > len(data):
                self._cut, self._cut_pts = data[place:], pts
                return
            yield _frame(data[place:end], pts, step, packet)
            pts += step
            at = end

    def _next(self, data: bytes, at: int) -> int | None:
        """The place of the next whole frame: at this one, unless another begins within it."""
        header = read_header(data, at)
        following = self._sure(data, at + 1)
        mine = header is not None and header.setup == self.setup
        whole = header is not None and (following is None or following >= at + header.length)
        return at if mine and whole else following

    def _sure(self, data: bytes, at: int) -> int | None:
        """The place of the next header behind whose frame is another, or nothing."""
        while (at := data.find(b"\xff", at)) >= 0:
            header = read_header(data, at)
            if header is not None and header.setup == self.setup:
                after = read_header(data, at + header.length)
                if at + header.length + _LEAST_BYTES > len(data) or (after and after.setup == self.setup):
                    return at
            at += 1
        return None


def _frame(data: bytes, pts: int, duration: int, like: Packet[Stream]) -> Packet[Stream]:
    frame: Packet[Stream] = Packet(data)
    frame.pts = frame.dts = pts
    frame.duration, frame.time_base, frame.is_keyframe = duration, like.time_base, True
    return frame
