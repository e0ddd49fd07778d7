"""Packets of sound and text subtitles copied as they are, where the output's container takes them."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import av.error
import av.logging
from av.audio.stream import AudioStream
from av.bitstream import BitStreamFilterContext
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream

from streamanon.errors import SourceError
from streamanon.media import formats
from streamanon.media.demux import open_input
from streamanon.media.sound import known_layout

#: How far into a file the first packets of each stream are looked for.
_MOST_PACKETS, _MOST_BYTES = 5000, 32 << 20
#: Packets of a stream with which it is tried whether a container takes it.
_TRIED_PACKETS = 2
#: MP4 does not tell them apart; decoders do.
_ONE_NAME_IN_MP4 = {"mp1", "mp2", "mp3"}
#: Encoders begin with so much that nobody hears; more that a file says is not to be heard was cut away.
_PRIMING_SECONDS = 0.1


@dataclass
class FirstPackets:
    """The beginning of one stream. ``packets``: (bytes, pts, dts, duration) of the first ones.
    ``skipped_samples``: which its file says are not to be heard; ``told_in_header``: it says so in the
    header of the stream. ``empty``: it holds none at all.
    """

    packets: list[tuple[bytes, int | None, int | None, int]] = field(default_factory=list)
    skipped_samples: int = 0
    told_in_header: bool = False
    empty: bool = False


def first_packets(source: str | Path, indices: list[int]) -> dict[int, FirstPackets]:
    """The beginnings of these streams, as far as they come early in the file."""
    found = {index: FirstPackets() for index in indices}
    size = 0
    with open_input(source) as opened:
        for first in found.values():
            first.told_in_header = "matroska" in opened.format.name
        try:
            for count, packet in enumerate(opened.demux()):
                if packet.stream_index in found and packet.size:
                    _note(found[packet.stream_index], packet)
                size += packet.size
                enough = all(len(one.packets) == _TRIED_PACKETS for one in found.values())
                if enough or count > _MOST_PACKETS or size > _MOST_BYTES:
                    return found
        except av.error.FFmpegError:
            return found
    for first in found.values():
        first.empty = not first.packets
    return found


def _note(first: FirstPackets, packet: Packet[Stream]) -> None:
    if not first.packets:
        first.skipped_samples = _skipped_samples(packet)
    if len(first.packets) < _TRIED_PACKETS:
        first.packets.append((bytes(packet), packet.pts, packet.dts, packet.duration or 0))


def _skipped_samples(packet: Packet[Stream]) -> int:
    if not packet.has_sidedata("skip_samples"):
        return 0
    return int(struct.unpack_from("<I", bytes(packet.get_sidedata("skip_samples")))[0])


class Copied:
    """One stream, packet for packet, less what its file says is not to be heard. ``note``: what else it
    lacks, known at the end; empty: nothing.
    """

    def __init__(self, output: OutputContainer, source: Stream, path: Path, first: FirstPackets) -> None:
        target = _add_copy(output, source, path, first)
        if target is None:
            raise ValueError(f"{path.suffix} does not take this")
        self.stream = target
        self.note = ""
        self._framed = is_framed_aac(source)
        self._rate: int | None = None
        self._filter = None
        if needs_setup(source, path):
            self._filter = BitStreamFilterContext("aac_adtstoasc", source)
        # These say themselves what is not to be heard at the beginning, and Matroska where it has that from
        # another's header. It still must not be there where it was cut away.
        says = formats.has_edit_list(path) or (first.told_in_header and formats.tells_padding(path))
        self._keeps_priming = says and _is_priming(source, first)
        self._begun = self._cut = False

    def packets(self, packet: Packet[Stream]) -> Iterator[Packet[Stream]]:
        whole = _whole_frame(packet) if self._framed else packet
        if whole is None or self._is_hidden(packet) or self._changed_rate(whole):
            return
        try:
            ready = [whole] if self._filter is None else self._filter.filter(whole)
        except av.error.FFmpegError:  # a damaged header
            return
        for one in ready:
            # The set-up of a decoder is in the header already. Matroska's muxer would write it there once
            # more, over what follows.
            plain = _rewritten(one, one.size) if one.has_sidedata("new_extradata") else one
            plain.stream = self.stream
            yield plain

    def rest(self) -> Iterator[Packet[Stream]]:
        """Nothing is held back."""
        return iter(())

    def _changed_rate(self, packet: Packet[Stream]) -> bool:
        """Whether this does not fit the header that the output has of the first packet."""
        if self._filter is None:
            return False
        rate = (bytes(memoryview(packet)[:3])[2] >> 2) & 15
        self._rate = rate if self._rate is None else self._rate
        if rate != self._rate and not self.note:
            at = float((packet.pts or 0) * packet.time_base)
            self.note = f"changes its sample rate at {at:.1f} seconds and is dropped where it differs"
        return rate != self._rate

    def _is_hidden(self, packet: Packet[Stream]) -> bool:
        if self._begun:
            return packet.is_discard
        marked = packet.is_discard or packet.has_sidedata("skip_samples")
        if self._keeps_priming and marked:
            return False
        # The last packet before the cut lies across it.
        across = (marked or self._cut) and packet.pts is not None and packet.pts < 0
        self._cut = self._cut or packet.is_discard or across
        self._begun = not (packet.is_discard or across)
        return not self._begun


def _rewritten(packet: Packet[Stream], length: int) -> Packet[Stream]:
    """The first bytes of a packet, without its side data."""
    plain: Packet[Stream] = Packet(bytes(memoryview(packet)[:length]))
    plain.pts, plain.dts, plain.duration = packet.pts, packet.dts, packet.duration
    plain.time_base, plain.is_keyframe = packet.time_base, packet.is_keyframe
    return plain


def _is_priming(source: Stream, first: FirstPackets) -> bool:
    rate = source.codec_context.sample_rate if isinstance(source, AudioStream) else 0
    return not rate or first.skipped_samples / rate <= _PRIMING_SECONDS


def fits(source: Stream, path: Path, first: FirstPackets) -> bool:
    """Whether the container takes this stream as it is: tried with its first packets, in memory."""
    if source.codec_context is None:
        return False
    codec = source.codec_context.codec.canonical_name
    if source.type == "audio" and not formats.can_carry_audio(path, codec):
        return False
    if source.type == "subtitle" and not formats.can_carry_subtitles(path):
        return False
    if needs_setup(source, path) and _adts_setup(first) is None:
        return False
    if path.suffix.lower() == ".ts":  # takes all that it can carry, and two packets tell nothing of it
        return True
    memory, muxer = io.BytesIO(), formats.muxer_name(path)
    options = formats.muxer_options(path, keep_metadata=False, seekable=False)
    try:
        with av.logging.Capture() as lines, av.open(memory, "w", muxer, container_options=options) as trial:
            copy = Copied(trial, source, path, first)
            trial.start_encoding()
            for data, pts, dts, duration in first.packets:
                packet = Packet(data)
                packet.pts, packet.dts, packet.duration = pts, dts if dts is not None else pts, duration
                packet.time_base, packet.stream = source.time_base, source  # type: ignore[assignment]
                trial.mux(list(copy.packets(packet)))
        complaints = [text for level, who, text in lines if level <= av.logging.ERROR and who == muxer]
        if complaints:
            return False
        memory.seek(0)
        with av.open(memory) as opened:
            again = opened.streams[0].codec_context
            found = again.codec.canonical_name if again is not None else ""
            return found == codec or {found, codec} <= _ONE_NAME_IN_MP4
    except (ValueError, av.error.FFmpegError, IndexError, SourceError):
        return False


def _add_copy(output: OutputContainer, source: Stream, path: Path, first: FirstPackets) -> Stream | None:
    """A stream for the packets as they are; None where it cannot be told what they are."""
    target = output.add_stream_from_template(source)
    if isinstance(target, AudioStream):
        layout = known_layout(target.codec_context)
        if layout is not None:  # PCM of AVI and Matroska tells only how many there are; MP4 wants to know
            target.codec_context.layout = layout
    if needs_setup(source, path):
        setup = _adts_setup(first)
        if setup is None:
            return None
        target.codec_context.extradata = setup
    return target


def needs_setup(stream: Stream, path: Path) -> bool:
    """Whether this is AAC with a header per packet (ADTS), which the output cannot take as it is."""
    return is_framed_aac(stream) and not formats.wants_adts(path)


def is_framed_aac(stream: Stream) -> bool:
    """Whether each packet has a header of its own. One whose header is damaged is of no use to anybody."""
    context = stream.codec_context
    return context is not None and context.codec.canonical_name == "aac" and not context.extradata


def _whole_frame(packet: Packet[Stream]) -> Packet[Stream] | None:
    """The AAC frame at the beginning of this packet, less what follows where the next header is damaged;
    None where its own is.
    """
    head = bytes(memoryview(packet)[:7])
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return None
    length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return packet if length == packet.size else _rewritten(packet, length) if length < packet.size else None


def _adts_setup(first: FirstPackets) -> bytes | None:
    """AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1) of an ADTS stream, from a packet's header."""
    for head, *_ in first.packets:
        if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
            continue
        profile, rate = (head[2] >> 6) + 1, (head[2] >> 2) & 15
        channels = (head[2] & 1) << 2 | head[3] >> 6
        if channels:  # else the layout is told inside the audio
            return (profile << 11 | rate << 7 | channels << 3).to_bytes(2, "big")
    return None
