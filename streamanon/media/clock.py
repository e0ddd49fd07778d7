"""One clock for all streams of a file whose times jump: joined recordings, resets, damaged headers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

from av.packet import Packet
from av.stream import Stream

#: Formats whose clock may start anew anywhere, as recordings of broadcasts and cameras do.
_JUMPING_FORMATS = frozenset({"mpegts", "mpegtsraw", "mpeg", "vob", "flv", "rtsp", "sdp", "rtp", "hls"})
#: A longer gap is a jump of the clock. For those formats as in FFmpeg (``dts_delta_threshold``); in the
#: others a gap is mostly meant, but more than this does not fit into an MP4 of microseconds.
_JUMP_SECONDS, _LONGEST_GAP_SECONDS = Fraction(10), Fraction(1800)
#: By how much a packet may be earlier than the one before: decoding times never are, pictures' times are.
_SLIP_SECONDS, _REORDERED_SECONDS = Fraction(1, 5), Fraction(3, 2)
#: A picture is shown at most so long after it is decoded (ISO/IEC 13818-1, 2.4.2.6).
_MOST_AHEAD_SECONDS = Fraction(10)
#: After so long the times of MPEG-TS and MPEG-PS begin anew.
_ROUND_SECONDS = Fraction(2**33, 90_000)
#: How many corrections are remembered: for streams that follow late, and for single wrong times.
_REMEMBERED = 4


class Clock:
    """Mends the times of packets, given in the order in which they lie in the file.

    Where the times of one stream jump, all streams are moved alike, each from where its own times jump.
    Packets whose times do not jump stay exactly as they are. It depends on nothing but the packets, so
    that two readers of a file agree. ``starts_anywhere``: whether the first time means nothing.
    ``begins``: the first time of each stream that is not cut away. ``jumps``: of each, the seconds at which
    and by how many.
    """

    def __init__(self, container_format: str) -> None:
        self.starts_anywhere = not _JUMPING_FORMATS.isdisjoint(container_format.split(","))
        self._longest_gap = _JUMP_SECONDS if self.starts_anywhere else _LONGEST_GAP_SECONDS
        self.begins: dict[int, Fraction] = {}
        self._corrections: list[Fraction] = [Fraction(0)]  # the newest last
        self._in_use: dict[int, Fraction] = {}
        self._next: dict[int, Fraction] = {}  # by decoding time, as packets follow each other
        self._ends: dict[int, Fraction] = {}  # by what is shown last
        self._without_dts: set[int] = set()  # streams whose last packet tells only when it is shown
        self.jumps: list[tuple[Fraction, Fraction]] = []

    def told(self) -> str:
        """What is to be said of the jumps; empty without any."""
        if not self.jumps:
            return ""
        at, by = self.jumps[0]
        if self.starts_anywhere and by > _ROUND_SECONDS / 2:  # FFmpeg takes a jump back for a whole round
            by -= _ROUND_SECONDS
        often = "once" if len(self.jumps) == 1 else f"{len(self.jumps)} times, first"
        where = (
            f"by {abs(float(by)):.1f} seconds {'back' if by < 0 else 'ahead'}, at {float(at):.1f} seconds"
        )
        return f"the file's time stamps jump {often} {where}; picture and sound continue without the jump"

    def mend(self, packet: Packet[Stream]) -> None:
        """Correct the times of this packet, in place."""
        stamp = packet.dts if packet.dts is not None else packet.pts
        if stamp is None:
            return
        base, index = packet.time_base, packet.stream_index
        if self.starts_anywhere and packet.pts is not None:
            ahead = (packet.pts - stamp) * base
            if not -_REORDERED_SECONDS <= ahead <= _MOST_AHEAD_SECONDS:  # damaged
                packet.pts = None
        seconds = stamp * base
        if packet.is_discard:  # cut away by an edit list, in whatever order
            correction = self._in_use.get(index, self._corrections[-1])
        elif packet.stream.type in ("video", "audio"):
            by_dts = packet.dts is not None and index not in self._without_dts
            correction = self._fitting(index, seconds, _SLIP_SECONDS if by_dts else _REORDERED_SECONDS)
            if packet.dts is None:
                self._without_dts.add(index)
            else:
                self._without_dts.discard(index)
            shown = packet.pts if packet.pts is not None else stamp
            duration = packet.duration or 0
            end = (max(stamp, shown) + duration) * base + correction
            self._in_use[index] = correction
            self._next[index] = (stamp + duration) * base + correction
            self._ends[index] = max(end, self._ends.get(index, end))
            self.begins.setdefault(index, shown * base + correction)
        else:  # texts come now and then: what holds where they lie holds for them
            correction = self._corrections[-1]
        if correction:
            ticks = round(correction / base)
            packet.pts = packet.pts + ticks if packet.pts is not None else None
            packet.dts = packet.dts + ticks if packet.dts is not None else None

    def _fitting(self, index: int, seconds: Fraction, slip: Fraction) -> Fraction:
        """The correction with which this goes on where its stream ended, or at most ``slip`` before."""
        if index not in self._next:
            return self._beginning(index, seconds)
        follows, now = self._next[index], self._in_use[index]
        if self._goes_on(seconds + now - follows, slip):
            return now
        for number, known in reversed(list(enumerate(self._corrections))):
            if known != now and self._goes_on(seconds + known - follows, _REORDERED_SECONDS):
                return self._follow(number, max(Fraction(0), self._ends[index] - seconds - known))
        return self._jump(index, seconds)

    def _beginning(self, index: int, seconds: Fraction) -> Fraction:
        """Of a stream that begins: what the others have, unless it would be far from them."""
        latest = max(self._ends.values(), default=None)
        apart = 0 if latest is None else abs(seconds + self._corrections[-1] - latest)
        return self._corrections[-1] if apart <= self._longest_gap else self._jump(index, seconds)

    def _goes_on(self, ahead: Fraction, slip: Fraction) -> bool:
        return -slip <= ahead <= self._longest_gap

    def _follow(self, number: int, overlap: Fraction) -> Fraction:
        """Take over what another stream began. What it overlaps is added for all: nothing is lost."""
        self._corrections.append(self._corrections.pop(number) + overlap)
        if overlap:
            for index, used in self._in_use.items():
                if used == self._corrections[-1] - overlap:
                    self._in_use[index] = self._corrections[-1]
        return self._corrections[-1]

    def _jump(self, index: int, seconds: Fraction) -> Fraction:
        """A new correction, by which all goes on where the last stream ended."""
        now = self._in_use.get(index, self._corrections[-1])
        correction = max(self._ends.values()) - seconds
        self.jumps.append((max(self._ends.values()), now - correction))
        self._corrections = [*self._corrections, correction][-_REMEMBERED:]
        return correction


def mended(packets: Iterable[Packet[Stream]], clock: Clock) -> Iterator[Packet[Stream]]:
    """The packets with mended times."""
    for packet in packets:
        clock.mend(packet)
        yield packet
