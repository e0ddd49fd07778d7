"""Audio and subtitles: copied packet for packet from the source, or converted where that cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import av.error
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.subtitles.stream import SubtitleStream

from streamanon.config import OutputConfig
from streamanon.media import formats
from streamanon.media.address import redact_url
from streamanon.media.clock import Clock
from streamanon.media.copying import Copied, FirstPackets, first_packets, fits, learn
from streamanon.media.demux import open_input, timed_packets, video_stream
from streamanon.media.muxer import Muxer
from streamanon.media.sound import EncodedSound, known_layout
from streamanon.media.texts import ConvertedText

#: Tags that describe the old file rather than what it shows.
_STRUCTURAL_TAGS = frozenset(
    {"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "rotate", "handler_name"}
    | {"vendor_id", "language", "number_of_frames", "number_of_bytes", "bps"}
)
#: FFmpeg knows these by another code in QuickTime files, and writes none for codes that it does not know.
_QUICKTIME_LANGUAGES = {"deu": "ger", "nld": "dut", "swe": "sve", "isl": "ice", "zho": "chi", "sqi": "alb"}


class Track(Protocol):
    """One stream on its way from the source into the output. ``stream``: of the output."""

    @property
    def stream(self) -> Stream: ...

    @property
    def note(self) -> str:
        """What it lacks, known at the end; empty: nothing."""

    def packets(self, packet: Packet[Stream]) -> Iterator[Packet[Stream]]:
        """What goes into the output of one packet of the source."""

    def rest(self) -> Iterator[Packet[Stream]]:
        """What is left at the end."""


class PassThrough:
    """Takes audio and subtitles over from the source, in the order in which they lie there.

    ``shift``: seconds by which all is earlier than in the source. ``notes``: sentences on what changes.
    ``removed``: what is left out as these say, or as was asked; ``untold``: what else is. Raises
    :class:`SourceError` if the source cannot be opened.
    """

    def __init__(
        self,
        muxer: Muxer,
        stack: ExitStack,
        path: Path,
        config: OutputConfig,
        source: str | Path | None,
        shift: Fraction = Fraction(0),
    ) -> None:
        self._muxer, self._path, self._config, self._shift = muxer, path, config, shift
        self._tracks: dict[int, Track] = {}
        self._labels: dict[int, str] = {}
        self._heard: set[int] = set()
        self._waiting: Packet[Stream] | None = None
        self._packets: Iterator[Packet[Stream]] = iter(())
        self.notes: tuple[str, ...] = ()
        self.removed: tuple[str, ...] = ()
        self.untold: tuple[str, ...] = ()
        if source is None:
            return
        own = ExitStack()
        opened, name = own.enter_context(open_input(source)), redact_url(str(source))
        stack.enter_context(own)
        video = video_stream(opened, name)
        self._add_tracks(opened, source)
        self._add_chapters(opened)
        if config.keep_metadata:
            muxer.container.metadata.update(_kept_tags(opened.metadata))
            muxer.container.streams.video[0].metadata.update(_kept_tags(video.metadata))
        else:
            tagged = [one for one in (opened, *opened.streams) if getattr(one, "type", "") != "attachment"]
            tags = {key for one in tagged for key in _kept_tags(one.metadata)}
            self.removed += (f"tags: {', '.join(sorted(tags))}",) if tags else ()
        if self._tracks:
            self._packets = self._readable(timed_packets(opened, video, Clock(opened.format.name)))
        else:  # a pipe keeps in memory what somebody has still to read
            own.close()

    @property
    def sounds(self) -> tuple[int, ...]:
        """The audio streams that had a packet, by their numbers in the output."""
        return tuple(sorted(self._heard))

    def late_notes(self) -> tuple[str, ...]:
        """What is known at the end only."""
        return tuple(f"{self._labels[index]} {one.note}" for index, one in self._tracks.items() if one.note)

    def copy_until(self, seconds: Fraction | None) -> None:
        """Copy what starts by then, in the source's time; None: all that is left."""
        while True:
            packet, self._waiting = self._waiting or next(self._packets, None), None
            if packet is None:
                break
            assert packet.dts is not None
            if seconds is not None and packet.dts * packet.time_base > seconds:
                self._waiting = packet
                return
            self._put(self._tracks[packet.stream_index].packets(packet))
        if seconds is None:
            for track in self._tracks.values():
                self._put(track.rest())

    def finish(self) -> None:
        """Write what the tracks still hold, without reading on."""
        for track in self._tracks.values():
            self._put(track.rest())

    def _put(self, packets: Iterator[Packet[Stream]]) -> None:
        for packet in packets:
            if self._shift:
                ticks = round(self._shift / packet.time_base)
                packet.pts = packet.pts - ticks if packet.pts is not None else None
                packet.dts = packet.dts - ticks if packet.dts is not None else None
            if packet.stream.type == "audio":
                self._heard.add(packet.stream.index)
            self._muxer.put(packet)

    def _add_tracks(self, opened: InputContainer, source: str | Path) -> None:
        streams: list[Stream] = [*opened.streams.audio, *opened.streams.subtitles]
        wanted = [one for one in streams if getattr(self._config, _SETTINGS[one.type]) != "drop"]
        self.removed += tuple(_label(one) for one in streams if one not in wanted)
        if not wanted:
            return
        beginnings = first_packets(source, [stream.index for stream in wanted])
        for stream in sorted(wanted, key=lambda item: item.index):
            track = self._make_track(stream, beginnings[stream.index])
            if track is None:
                continue
            self._tracks[stream.index] = track
            self._labels[stream.index] = _label(stream)
            track.stream.metadata.update(_stream_tags(stream, self._path, self._config.keep_metadata))
            track.stream.disposition = stream.disposition

    def _make_track(self, stream: Stream, first: FirstPackets) -> Track | None:
        """How this stream gets into the output; None where it does not. Adds the notes on either."""
        output, suffix, label = self._muxer.container, self._path.suffix.lower(), _label(stream)
        if first.empty:
            self._drop(label, "is empty")
            return None
        learn(stream, first)
        if _is_text_or_sound(stream) and fits(stream, self._path, first):
            return Copied(output, stream, self._path, first)
        if isinstance(stream, AudioStream) and _can_be_encoded(stream):
            context = stream.codec_context
            codec = formats.sound_encoder(self._path, context.codec.canonical_name, context.format.name)
            sound = EncodedSound(output, stream, codec)
            name = sound.stream.codec_context.codec.canonical_name
            change = sound.change + ", without loss" * formats.is_lossless(codec)
            self.notes += (f"{label} does not fit into {suffix} and is stored as {name}{change}",)
            return sound
        text = formats.text_encoder(self._path)
        if isinstance(stream, SubtitleStream) and _is_text_or_sound(stream) and text is not None:
            self.notes += (
                f"{label} does not fit into {suffix} and is stored as {text}, without its styles",
            )
            return ConvertedText(output, stream, text)
        self._drop(label, _why_dropped(stream, suffix))
        return None

    def _drop(self, label: str, why: str, verb: str = "is") -> None:
        self.notes += (f"{label} {why} and {verb} dropped",)
        self.removed += (label,)

    def _add_chapters(self, opened: InputContainer) -> None:
        """Chapters stay; their titles are tags as any others."""
        chapters = opened.chapters()
        if not chapters:
            return
        if self._path.suffix.lower() == ".ts":
            self._drop(f"{len(chapters)} chapters", "cannot be stored in .ts", "are")
            return
        for chapter in chapters:
            assert chapter["time_base"] is not None
            ticks = round(self._shift / chapter["time_base"])
            chapter["start"], chapter["end"] = chapter["start"] - ticks, chapter["end"] - ticks
            if not self._config.keep_metadata:
                chapter["metadata"] = {}
        if not self._config.keep_metadata:
            self.untold += (f"titles of {len(chapters)} chapters",)
        self._muxer.container.set_chapters(chapters)

    def _readable(self, packets: Iterator[Packet[Stream]]) -> Iterator[Packet[Stream]]:
        """The tracks' packets. One without a time follows the packet before it; the first ones without are
        left out. Ends where the source cannot be read any further.
        """
        ends: dict[int, int] = {}
        while True:
            try:
                packet = next(packets, None)
            except av.error.FFmpegError:
                return
            if packet is None:
                return
            if packet.dts is None:
                packet.dts = packet.pts if packet.pts is not None else ends.get(packet.stream_index)
            if packet.dts is not None and packet.stream_index in self._tracks:
                if packet.stream.type == "audio":  # RealMedia has a time for the first of many only
                    ends[packet.stream_index] = packet.dts + (packet.duration or 0)
                yield packet


_SETTINGS = {"audio": "audio", "subtitle": "subtitles"}


def _can_be_encoded(stream: AudioStream) -> bool:
    context = stream.codec_context
    return context is not None and bool(context.sample_rate) and known_layout(context) is not None


def _is_text_or_sound(stream: Stream) -> bool:
    context = stream.codec_context
    return context is not None and (stream.type == "audio" or context.codec.text_sub)


def _why_dropped(stream: Stream, suffix: str) -> str:
    if stream.codec_context is None:
        return "cannot be decoded by this build of FFmpeg"
    if stream.type == "subtitle" and not stream.codec_context.codec.text_sub:
        return "holds pictures, in which faces are not detected,"
    return f"does not fit into {suffix}"


def _label(stream: Stream) -> str:
    context = stream.codec_context
    codec = context.codec.canonical_name if context is not None else "unknown codec"
    return f"{stream.type} stream {stream.index} ({codec})"


def _stream_tags(stream: Stream, path: Path, keep: bool) -> dict[str, str]:
    tags = _kept_tags(stream.metadata) if keep else {}
    language = stream.language
    if language and path.suffix.lower() == ".mov":
        language = _QUICKTIME_LANGUAGES.get(language, language)
    return tags | ({"language": language} if language else {})


def _kept_tags(tags: dict[str, str]) -> dict[str, str]:
    kept = {key: value for key, value in tags.items() if key.lower() not in _STRUCTURAL_TAGS}
    return {key: value for key, value in kept.items() if not key.startswith("_STATISTICS")}
