"""Writing video: encodes safe frames and copies audio and subtitles, packet for packet.

The packets come from the source file, which the sink opens a second time. It copies them up to the time of
each frame it writes, so nothing is handed between threads and nothing piles up in memory.
"""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import av.error
import numpy as np
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from streamanon import container as containers
from streamanon.config import OutputConfig
from streamanon.container import Encoding
from streamanon.errors import ConfigError, SinkError
from streamanon.source import SourceInfo, open_input, redact_url, video_stream
from streamanon.types import Picture, SafeFrame

_log = logging.getLogger(__name__)

_KEYFRAME_SECONDS = 2  # also what a crash can cost of a fragmented MP4
#: Tags that describe the old file rather than what it shows.
_STRUCTURAL_TAGS = frozenset(
    {"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "rotate", "handler_name"}
    | {"vendor_id", "language", "number_of_frames", "number_of_bytes", "bps"}
)
#: FFmpeg knows these by another code in QuickTime files, and writes none for codes that it does not know.
_QUICKTIME_LANGUAGES = {"deu": "ger", "nld": "dut", "swe": "sve", "isl": "ice", "zho": "chi", "sqi": "alb"}


class VideoSink:
    """An output file. Use as a context manager; leaving it by an exception still finishes the file.

    ``path``: its suffix picks the container. ``source``: where audio and subtitle packets come from, if
    anywhere. ``notes`` tells what could not be kept. Raises :class:`ConfigError` for what cannot be
    written as asked and :class:`SinkError` for what the file system refuses. Use it from one thread.
    """

    def __init__(
        self, path: str | Path, info: SourceInfo, config: OutputConfig, source: str | Path | None = None
    ) -> None:
        self.path = Path(path)
        self.frames = 0
        self._info = info
        self._encoding = containers.choose_encoding(self.path, info, config)
        _check_path(self.path, source)
        self._durations: dict[int, int] = {}
        self._stack = ExitStack()
        self._closed = False
        try:
            file = self._open_file()
            self._output = _open_output(file, self.path, config)
            self._video = _add_video(self._output, info, self._encoding)
            self._passed = _PassThrough(self._output, self._stack, self.path, config, source)
            self._guard(self._output.start_encoding)
        except BaseException:
            self._abandon()
            raise
        self.notes: tuple[str, ...] = info.notes + self._encoding.notes + self._passed.notes
        for note in self.notes:
            _log.warning("%s: %s", self.path.name, note)

    def __enter__(self) -> VideoSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
            return
        try:
            self.close(complete=False)
        except SinkError as second:  # the first error is the one to tell
            _log.debug("%s", second)

    def write(self, frame: SafeFrame) -> None:
        """Encode one frame, after the packets that belong before it.

        Takes exactly :class:`SafeFrame` (else ``TypeError``): no raw frame can reach the file.
        """
        if type(frame) is not SafeFrame:
            raise TypeError(f"the sink writes only SafeFrame, not {type(frame).__name__}")
        if (frame.picture.width, frame.picture.height) != (self._info.width, self._info.height):
            raise ValueError(f"{frame.picture!r} does not have the source's size")
        encoded = _to_video_frame(frame, self._encoding)
        if frame.duration:
            self._durations[frame.pts] = frame.duration
        self._guard(lambda: self._passed.copy_until(frame.pts * frame.time_base))
        self._guard(lambda: self._encode(encoded))
        self.frames += 1

    def close(self, complete: bool = True) -> None:
        """Finish the file. ``complete=False``: stop audio and subtitles where the video stopped."""
        if self._closed:
            return
        if not self.frames:
            self._abandon()
            return
        self._closed = True
        with self._stack:
            try:
                if complete:
                    self._guard(lambda: self._passed.copy_until(None))
                self._guard(lambda: self._encode(None))
            finally:
                self._guard(self._output.close)

    def _open_file(self) -> _OutputFile:
        try:
            file = _OutputFile(self.path, "w")
        except OSError as error:
            raise _refused(self.path, error) from error
        self._stack.callback(self._guard, file.close)
        return file

    def _encode(self, frame: VideoFrame | None) -> None:
        for packet in self._video.encode(frame):
            duration = self._durations.pop(packet.pts or 0, None)
            if duration:  # encoders forget it, and players need the last one
                packet.duration = duration
            self._output.mux(packet)

    def _guard(self, step: Callable[[], None]) -> None:
        try:
            step()
        except (av.error.FFmpegError, OSError) as error:
            raise _refused(self.path, error) from error

    def _abandon(self) -> None:
        """Close without a single frame: leave no file that looks like a video."""
        self._closed = True
        with self._stack:
            output = getattr(self, "_output", None)
            if output is None:
                return
            try:
                output.close()
            except (av.error.FFmpegError, OSError) as error:
                _log.debug("closing %s: %s", self.path, error)
            if self.path.is_file() and not self.path.is_symlink():  # and not a pipe or a device
                self.path.unlink()


class _PassThrough:
    """Copies audio and subtitle packets from the source, in the order in which they lie there."""

    def __init__(
        self,
        output: OutputContainer,
        stack: ExitStack,
        path: Path,
        config: OutputConfig,
        source: str | Path | None,
    ) -> None:
        self._output = output
        self._targets: dict[int, Stream] = {}
        self._filters: dict[int, BitStreamFilterContext] = {}
        self._waiting: Packet[Stream] | None = None
        self._packets: Iterator[Packet[Stream]] = iter(())
        self.notes: tuple[str, ...] = ()
        if source is None:
            return
        opened = stack.enter_context(open_input(source))
        self.notes = self._add_streams(opened, source, path, config)
        if config.keep_metadata:
            output.metadata.update(_kept_tags(opened.metadata))
            _keep_video_tags(output, opened, redact_url(str(source)))
        if self._targets:
            streams = [opened.streams[index] for index in self._targets]
            self._packets = _readable(opened.demux(*streams))

    def copy_until(self, seconds: Fraction | None) -> None:
        """Copy what starts by then; None: all that is left."""
        while True:
            packet, self._waiting = self._waiting or next(self._packets, None), None
            if packet is None:
                return
            if seconds is not None and packet.dts is not None and packet.dts * packet.time_base > seconds:
                self._waiting = packet
                return
            self._copy(packet)

    def _copy(self, packet: Packet[Stream]) -> None:
        index = packet.stream_index
        ready = self._filters[index].filter(packet) if index in self._filters else [packet]
        for one in ready:
            one.stream = self._targets[index]
            self._output.mux(one)

    def _add_streams(
        self, opened: InputContainer, source: str | Path, path: Path, config: OutputConfig
    ) -> tuple[str, ...]:
        wanted: list[Stream] = []
        if config.audio == "copy":
            wanted += opened.streams.audio
        if config.subtitles == "copy":
            wanted += opened.streams.subtitles
        notes = []
        for stream in sorted(wanted, key=lambda item: item.index):
            framed = _frames_itself(stream, path)
            setup = _adts_setup(source, stream.index) if framed else None
            target = None if framed and setup is None else _add_copy(self._output, stream, path)
            if target is None:
                notes.append(f"{_label(stream)} cannot be copied into {path.suffix} and is dropped")
                continue
            self._targets[stream.index] = target
            target.metadata.update(_stream_tags(stream, path, config.keep_metadata))
            target.disposition = stream.disposition
            if setup is not None:
                target.codec_context.extradata = setup
                self._filters[stream.index] = BitStreamFilterContext("aac_adtstoasc", stream)
        return tuple(notes)


def _check_path(path: Path, source: str | Path | None) -> None:
    # Not Path's: of an address, which may be long, it asks the file system, and passes on the refusal.
    if source is not None and os.path.exists(path) and os.path.exists(source) and path.samefile(source):
        raise ConfigError(f"the output {path} is the input itself; give another name")
    if not path.parent.is_dir():
        raise SinkError(f"there is no folder {path.parent}; create it first")
    if path.is_dir():
        raise SinkError(f"{path} is a folder; give a file name")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise SinkError(f"{path} may not be written; choose another folder")


class _OutputFile(io.FileIO):
    """What FFmpeg writes through. A disk or reader that hangs must not stop the other threads, and PyAV
    does not let them go on while FFmpeg itself opens a file, or writes its header or end; this does.
    """

    def write(self, data: Any, /) -> int:
        """All of some bytes: FFmpeg takes a part that was written for the whole."""
        rest = memoryview(data)
        while rest:
            rest = rest[super().write(rest) :]
        return len(data)


def _open_output(file: _OutputFile, path: Path, config: OutputConfig) -> OutputContainer:
    muxer = {".mkv": "matroska", ".ts": "mpegts"}.get(path.suffix.lower(), path.suffix.lower()[1:])
    try:
        return av.open(file, "w", format=muxer, container_options=containers.muxer_options(path, config))
    except (av.error.FFmpegError, OSError) as error:
        raise _refused(path, error) from error


def _refused(path: Path, error: Exception) -> SinkError:
    return SinkError(f"cannot write {path}: {_reason(error)}; check the disk and the folder")


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or type(error).__name__)


def _add_video(output: OutputContainer, info: SourceInfo, encoding: Encoding) -> VideoStream:
    if encoding.encoder == "libsvtav1":
        os.environ.setdefault("SVT_LOG", "1")  # errors only; it has no other switch
    rate = info.average_rate if info.average_rate and info.average_rate <= 1000 else Fraction(25)
    stream = output.add_stream(encoding.encoder, rate=rate, options=encoding.options)
    assert isinstance(stream, VideoStream)
    context = stream.codec_context
    context.width, context.height, context.pix_fmt = info.width, info.height, encoding.pixel_format
    context.time_base = info.time_base
    context.gop_size = max(1, round(rate * _KEYFRAME_SECONDS))
    context.color_primaries, context.color_trc = encoding.colour.primaries, encoding.colour.transfer
    context.colorspace, context.color_range = encoding.colour.matrix, encoding.colour.range
    if info.sample_aspect_ratio:
        context.sample_aspect_ratio = info.sample_aspect_ratio
    if info.display_matrix:
        stream.set_display_matrix(info.display_matrix)
    elif info.rotation:
        stream.set_display_rotation(info.rotation)
    return stream


def _add_copy(output: OutputContainer, stream: Stream, path: Path) -> Stream | None:
    """A stream for the packets as they are; None where the container cannot carry them."""
    if stream.codec_context is None:
        return None
    codec = stream.codec_context.codec
    if stream.type == "audio" and not containers.can_carry_audio(path, codec.canonical_name):
        return None
    if stream.type == "subtitle" and not (codec.text_sub and containers.can_carry_subtitles(path)):
        return None
    try:
        return output.add_stream_from_template(stream)
    except (ValueError, av.error.FFmpegError):
        return None


def _frames_itself(stream: Stream, path: Path) -> bool:
    """AAC of MPEG-TS has a header per packet (ADTS); other containers want its set-up once, apart."""
    context = stream.codec_context
    is_aac = context is not None and context.codec.canonical_name == "aac"
    return is_aac and not context.extradata and path.suffix.lower() != ".ts"


def _adts_setup(source: str | Path, index: int) -> bytes | None:
    """AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1) of an ADTS stream, from its first packet's header."""
    with open_input(source) as opened:
        head = next(
            (bytes(packet)[:7] for packet in opened.demux(opened.streams[index]) if packet.size), b""
        )
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return None
    profile, rate = (head[2] >> 6) + 1, (head[2] >> 2) & 15
    channels = (head[2] & 1) << 2 | head[3] >> 6
    if not channels:  # the layout is told inside the audio
        return None
    return (profile << 11 | rate << 7 | channels << 3).to_bytes(2, "big")


def _readable(packets: Iterator[Packet[Stream]]) -> Iterator[Packet[Stream]]:
    """Packets with data and a time; ends where the source cannot be read on (its reader tells)."""
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError as error:
            _log.warning("audio and subtitles end early: %s", error.strerror)
            return
        if packet is None:
            return
        if packet.dts is None:
            packet.dts = packet.pts
        if packet.size and packet.dts is not None:
            yield packet


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


def _keep_video_tags(output: OutputContainer, opened: InputContainer, name: str) -> None:
    output.streams.video[0].metadata.update(_kept_tags(video_stream(opened, name).metadata))


def _to_video_frame(frame: SafeFrame, encoding: Encoding) -> VideoFrame:
    """Planes copied into FFmpeg's memory, in the encoder's pixel format."""
    picture = frame.picture
    if picture.pixel_format.startswith("gray") and encoding.pixel_format.startswith("yuv"):
        built = _grey_frame(picture, encoding.pixel_format)
    else:
        built = _converted(_filled(picture.planes, picture, picture.pixel_format), picture, encoding)
    built.pts, built.time_base = frame.pts, frame.time_base
    built.colorspace, built.color_range = encoding.colour.matrix, encoding.colour.range
    built.color_primaries, built.color_trc = encoding.colour.primaries, encoding.colour.transfer
    return built


def _filled(planes: tuple[np.ndarray, ...], picture: Picture, pixel_format: str) -> VideoFrame:
    built = VideoFrame(picture.width, picture.height, pixel_format)
    for target, plane in zip(built.planes, planes, strict=False):
        rows = np.frombuffer(memoryview(target), plane.dtype).reshape(target.height, -1)
        rows[:, : target.width] = plane
    return built


def _grey_frame(picture: Picture, pixel_format: str) -> VideoFrame:
    """Grey as YUV without colour. Not by swscale, which takes every grey for full range."""
    built = _filled(picture.planes, picture, pixel_format)
    for chroma in built.planes[1:]:
        np.frombuffer(memoryview(chroma), picture.planes[0].dtype)[:] = 1 << (picture.bits - 1)
    return built


def _converted(built: VideoFrame, picture: Picture, encoding: Encoding) -> VideoFrame:
    if picture.pixel_format == encoding.pixel_format:
        return built
    if picture.pixel_format.startswith("gbrp"):
        return built.reformat(format=encoding.pixel_format, dst_colorspace="ITU709", dst_color_range="MPEG")
    kept = "JPEG" if picture.full_range else "MPEG"
    return built.reformat(format=encoding.pixel_format, src_color_range=kept, dst_color_range=kept)
