"""Packets of sound and text subtitles copied as they are, where the output's container takes them."""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import av.error
import av.logging
from av.audio.codeccontext import AudioCodecContext
from av.audio.format import AudioFormat
from av.audio.stream import AudioStream
from av.bitstream import BitStreamFilterContext
from av.codec.context import CodecContext
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream

from streamanon.errors import SourceError
from streamanon.media import formats
from streamanon.media.adts import AdtsFrames, Header, is_framed_aac, read_header
from streamanon.media.codec_headers import without_tags
from streamanon.media.demux import open_input, packets_of
from streamanon.media.sound import BIT_RATES, CHANNEL_NAMES, SoundEncoder, decoded_sound, known_layout

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
            for count, packet in enumerate(packets_of(opened)):
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


def learn(stream: Stream, first: FirstPackets) -> None:
    """Tell the stream its sample rate and channels by its first packets, where it begins so late in the
    file that FFmpeg does not know them.
    """
    context = stream.codec_context
    if not isinstance(context, AudioCodecContext) or context.sample_rate:
        return
    decoder = CodecContext.create(context.codec.name, "r")
    assert isinstance(decoder, AudioCodecContext)
    for data, *_ in first.packets:
        with contextlib.suppress(av.error.FFmpegError):
            for frame in decoder.decode(Packet(data)):
                context.sample_rate, context.layout = frame.sample_rate, frame.layout
                context.format = frame.format
                return


class Copied:
    """One stream, packet for packet, less what its file says is not to be heard. ``note``: what becomes of
    it on the way, known at the end; empty: nothing.
    """

    def __init__(self, output: OutputContainer, source: Stream, path: Path, first: FirstPackets) -> None:
        target = _add_copy(output, source, path, first)
        if target is None:
            raise ValueError(f"{path.suffix} does not take this")
        self.stream = target
        self._frames = AdtsFrames() if is_framed_aac(source) else None
        self._plain = _WithoutHeaders(target, source, first) if needs_setup(source, path) else None
        # These say themselves what is not to be heard at the beginning, and Matroska where it has that from
        # another's header. It still must not be there where it was cut away.
        says = formats.has_edit_list(path) or (first.told_in_header and formats.tells_padding(path))
        self._keeps_priming = says and _is_priming(source, first)
        self._begun = self._cut = False

    @property
    def note(self) -> str:
        return "" if self._plain is None else self._plain.note

    def packets(self, packet: Packet[Stream]) -> Iterator[Packet[Stream]]:
        if self._is_hidden(packet):
            return
        for whole in [packet] if self._frames is None else self._frames.found(packet):
            yield from self._ready([whole] if self._plain is None else self._plain.packets(whole))

    def rest(self) -> Iterator[Packet[Stream]]:
        """What is left at the end."""
        yield from self._ready([] if self._plain is None else self._plain.rest())

    def _ready(self, packets: Iterable[Packet[Stream]]) -> Iterator[Packet[Stream]]:
        for one in packets:
            # The set-up of a decoder is in the header already. Matroska's muxer would write it there once
            # more, over what follows.
            plain = _rewritten(one) if one.has_sidedata("new_extradata") else one
            plain.stream = self.stream
            yield plain

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


class _WithoutHeaders:
    """AAC less the header of each frame, whose place in the output is the header of the stream. Frames that
    do not fit that, as where a broadcast changes its channels, are encoded anew as those at the beginning.
    """

    def __init__(self, target: Stream, source: Stream, first: FirstPackets) -> None:
        assert isinstance(source, AudioStream)
        self._target, self._source = target, source
        self._header = first_header(first)
        self._filter = BitStreamFilterContext("aac_adtstoasc", source)
        self._encoder: SoundEncoder | None = None
        self._end = 0.0  # of what was copied, s
        self.note = ""

    def packets(self, frame: Packet[Stream]) -> Iterator[Packet[Stream]]:
        header = read_header(memoryview(frame))
        if header is None:
            return
        at = float((frame.pts or 0) * frame.time_base)
        if self._header is None or header.setup == self._header.setup:
            yield from self.rest()
            self._end = at + float((frame.duration or 0) * frame.time_base)
            with contextlib.suppress(av.error.FFmpegError):  # several frames behind one header
                yield from self._filter.filter(frame)
            return
        self.note = self.note or (
            f"changes its sample rate or channels at {at:.1f} seconds and is re-encoded where it differs"
            " from its beginning"
        )
        self._encoder = self._encoder or self._make_encoder()
        for sound in decoded_sound(self._source, frame):
            yield from self._in_time(self._encoder.take(sound))

    def rest(self) -> Iterator[Packet[Stream]]:
        """What the encoder holds."""
        if self._encoder is not None:
            yield from self._in_time(self._encoder.rest())
            self._encoder = None

    def _in_time(self, packets: Iterable[Packet[Stream]]) -> Iterator[Packet[Stream]]:
        """Less the encoder's priming, for which there is no time between what is copied."""
        return (one for one in packets if float((one.pts or 0) * one.time_base) > self._end - 0.01)

    def _make_encoder(self) -> SoundEncoder:
        assert self._header is not None
        context = CodecContext.create("aac", "w")
        assert isinstance(context, AudioCodecContext)
        context.sample_rate, context.format = self._header.rate_hz, AudioFormat("fltp")
        context.layout = CHANNEL_NAMES[self._header.channel_count]
        context.bit_rate = BIT_RATES["aac"] * self._header.channel_count
        return SoundEncoder(context, context.encode)


def _rewritten(packet: Packet[Stream]) -> Packet[Stream]:
    """The packet without its side data."""
    plain: Packet[Stream] = Packet(bytes(packet))
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
    if needs_setup(source, path) and first_header(first) is None:
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
    if isinstance(target, AudioStream) and isinstance(source, AudioStream):
        target.codec_context.sample_rate = source.codec_context.sample_rate
        layout = known_layout(source.codec_context)
        if layout is not None:  # PCM of AVI and Matroska tells only how many there are; MP4 wants to know
            target.codec_context.layout = layout
    context = target.codec_context
    assert context is not None
    if needs_setup(source, path):
        header = first_header(first)
        if header is None:
            return None
        context.extradata = header.config
    elif context.extradata:
        plain = without_tags(context.codec.canonical_name, bytes(context.extradata))
        if plain is None:
            return None
        context.extradata = plain
    return target


def needs_setup(stream: Stream, path: Path) -> bool:
    """Whether this is AAC with a header per packet (ADTS), which the output cannot take as it is."""
    return is_framed_aac(stream) and not formats.wants_adts(path)


def first_header(first: FirstPackets) -> Header | None:
    """Of an ADTS stream that tells its channels there; None of others."""
    for data, *_ in first.packets:
        header = read_header(data)
        if header is not None and header.length == len(data) and header.channels:
            return header
    return None
