"""Writing video: encodes safe frames; :mod:`streamanon.media.remux` copies audio and subtitles beside them.

The packets come from the source file, which the sink opens a second time. It copies them up to the time of
each frame it writes, so nothing is handed between threads and nothing piles up in memory.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import av.error
import numpy as np
from av.codec.context import Flags
from av.container import OutputContainer
from av.filter.graph import Graph
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from streamanon.config import OutputConfig
from streamanon.errors import ConfigError, SinkError, StreamanonError
from streamanon.media import formats
from streamanon.media.formats import Encoding
from streamanon.media.muxer import FFmpegLog, Muxer
from streamanon.media.output_file import OutputFile, is_stdout, shown
from streamanon.media.probe import SourceInfo
from streamanon.media.remux import PassThrough
from streamanon.media.written_file import check_written
from streamanon.types import Picture, Plane, SafeFrame, check_safe

_log = logging.getLogger(__name__)

_REMEDY = "give an output that ends with .mkv, or --audio drop"
_KEYFRAME_SECONDS = 2
#: Values of AVFieldOrder.
_FIELD_ORDERS = {"top first": 2, "bottom first": 3}


class VideoSink:
    """An output file. Use as a context manager. It is written as NAME.partial.mp4 and gets its name when it
    is closed; leaving it by an exception finishes it, so that it plays, but leaves it there.

    ``path``: its suffix picks the container. ``source``: where audio and subtitle packets come from, if
    anywhere. ``gpu``: the number of the one that encodes, where one does. ``notes`` tells what could not be
    kept, ``removed`` what was left out. Raises :class:`ConfigError` for what cannot be written as asked and
    :class:`SinkError` for what the file system or the container refuses. Use it from one thread.
    """

    def __init__(
        self,
        path: str | Path,
        info: SourceInfo,
        config: OutputConfig,
        source: str | Path | None = None,
        overwrite: bool = False,
        gpu: int = 0,
    ) -> None:
        self.path = Path(path)
        self.frames = 0
        self._name = shown(self.path) if is_stdout(self.path) else self.path.name
        self._info = info
        self._encoding = formats.choose_encoding(self.path, info, config, gpu)
        _check_path(self.path, source)
        self._shift = formats.start_shift(info)
        self._fields = Fields(self._encoding.field_order) if self._encoding.field_order else None
        self._durations: dict[int, int] = {}
        self._stack = ExitStack()
        self._stack.enter_context(FFmpegLog())
        self._closed = False
        self._file: OutputFile | None = None
        try:
            self._file = self._open_file(overwrite)
            self._output = _open_output(self._file, self.path, config)
            self._video = _add_video(self._output, info, self._encoding)
            self._muxer = Muxer(self._output, shown(self.path), _REMEDY)
            self._passed = PassThrough(self._muxer, self._stack, self.path, config, source, self._shift)
            self._guard(self._muxer.start)
        except BaseException:
            self._abandon()
            raise
        self.removed = info.dropped + self._passed.untold + self._passed.removed
        self.notes: tuple[str, ...] = info.notes + self._encoding.notes + self._passed.notes
        untold = info.dropped + self._passed.untold
        if untold:
            self.notes += (f"removed: {'; '.join(untold)}",)
        for note in self.notes:
            _log.warning("%s: %s", self._name, note)

    @property
    def partial(self) -> Path | None:
        """Where the file lies while it is written; None for a pipe or device."""
        return self._file.partial if self._file is not None else None

    def __enter__(self) -> VideoSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
            return
        try:
            self._finish(complete=False)
        except SinkError as second:  # the first error is the one to tell
            _log.debug("%s", second)

    def write(self, frame: SafeFrame) -> None:
        """Encode one frame, after the packets that belong before it.

        Takes exactly :class:`SafeFrame` (else ``TypeError``): no raw frame can reach the file.
        """
        check_safe(frame)
        if (frame.picture.width, frame.picture.height) != (self._info.width, self._info.height):
            raise ValueError(f"{frame.picture!r} does not have the source's size")
        encoded = _to_video_frame(frame, self._encoding, self._shift)
        if frame.duration:
            self._durations[encoded.pts or 0] = round(
                frame.duration * frame.time_base / self._encoding.time_base
            )
        if self._fields is not None:
            encoded = self._fields.marked(encoded)
        self._guard(lambda: self._passed.copy_until(frame.pts * frame.time_base))
        self._guard(lambda: self._encode(encoded))
        self.frames += 1

    def close(self, complete: bool = True) -> None:
        """Finish the file and give it its name.

        ``complete=False``: stop audio and subtitles where the video stopped.
        """
        if self._closed:
            return
        self._finish(complete)
        late = self._passed.late_notes()
        self.notes += late
        for note in late:
            _log.warning("%s: %s", self._name, note)
        if self.frames and self._file is not None:
            if self._file.partial is not None:
                check_written(self._file.partial, self._muxer, self._passed.sounds, _REMEDY)
            self._guard(self._file.finish)

    def _finish(self, complete: bool) -> None:
        """Write what is left and close."""
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
                else:
                    self._guard(self._passed.finish)
                self._guard(lambda: self._encode(None))
            finally:
                self._guard(self._muxer.close)

    def _open_file(self, overwrite: bool) -> OutputFile:
        try:
            file = OutputFile(self.path, overwrite)
        except StreamanonError:
            raise
        except OSError as error:
            raise _refused(self.path, error) from error
        self._stack.callback(self._guard, file.close)
        return file

    def _encode(self, frame: VideoFrame | None) -> None:
        """Write what is ready by a frame; None: all that is left."""
        packets = self._video.encode(frame)
        for packet in packets:
            duration = self._durations.pop(packet.pts or 0, None)
            if duration:  # encoders forget it, and players need the last one
                packet.duration = duration
            if frame is None and packet is packets[-1]:
                self._muxer.put_last(packet)
            else:
                self._muxer.put(packet)

    def _guard(self, step: Callable[[], None]) -> None:
        try:
            step()
        except StreamanonError:
            raise
        except (av.error.FFmpegError, OSError) as error:
            failure = self._file.failure if self._file is not None else None
            raise _refused(self.path, failure or error) from error

    def _abandon(self) -> None:
        """Close without a single frame: leave no file that looks like a video."""
        self._closed = True
        with self._stack:
            output = getattr(self, "_output", None)
            try:
                if output is not None:
                    output.close()
            except (av.error.FFmpegError, OSError) as error:
                _log.debug("closing %s: %s", self.path, error)
        if self._file is not None:
            self._file.discard()


def _check_path(path: Path, source: str | Path | None) -> None:
    if is_stdout(path):
        return
    # Not Path's: of an address, which may be long, it asks the file system, and passes on the refusal.
    if source is not None and os.path.exists(path) and os.path.exists(source) and path.samefile(source):
        raise ConfigError(f"the output {path} is the input itself; give another name")
    if not os.path.isdir(path.parent):
        raise SinkError(f"there is no folder {shown(path.parent)}; create it first")
    if os.path.isdir(path):
        raise SinkError(f"{shown(path)} is a folder; give a file name")
    if not os.access(path if os.path.exists(path) else path.parent, os.W_OK):
        raise SinkError(f"no permission to write {shown(path)}; choose another folder")


def _open_output(file: OutputFile, path: Path, config: OutputConfig) -> OutputContainer:
    try:
        return av.open(
            file,
            "w",
            format=formats.muxer_name(path),
            container_options=formats.muxer_options(path, config.keep_metadata, file.seekable()),
        )
    except (av.error.FFmpegError, OSError) as error:
        raise _refused(path, error) from error


def _refused(path: Path, error: Exception) -> SinkError:
    if isinstance(error, BrokenPipeError):
        remedy = "keep the program that reads it running"
    else:
        remedy = "check where it goes" if is_stdout(path) else "check the disk and the folder"
    return SinkError(f"cannot write {shown(path)}: {_reason(error)}; {remedy}")


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
    context.time_base = encoding.time_base
    if encoding.tag is not None:
        context.codec_tag = encoding.tag
    if encoding.field_order:
        context.flags |= int(Flags.interlaced_dct) | int(Flags.interlaced_me)
        context.field_order = _FIELD_ORDERS[encoding.field_order]
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


class Fields:
    """Marks frames as interlaced, which PyAV itself cannot. ``order``: "top first" or "bottom first"."""

    def __init__(self, order: str) -> None:
        self._mode = "tff" if order == "top first" else "bff"
        self._graph: Graph | None = None

    def marked(self, frame: VideoFrame) -> VideoFrame:
        """The frame, marked."""
        if self._graph is None:
            self._graph = Graph()
            size = {"width": frame.width, "height": frame.height, "format": frame.format}
            source = self._graph.add_buffer(time_base=frame.time_base, **size)  # type: ignore[arg-type]
            self._graph.link_nodes(
                source, self._graph.add("setfield", self._mode), self._graph.add("buffersink")
            ).configure()
        self._graph.vpush(frame)
        return self._graph.vpull()


def _to_video_frame(frame: SafeFrame, encoding: Encoding, shift: Fraction) -> VideoFrame:
    """The frame in the encoder's pixel format: over its own planes where they are in that format, so that
    those of a frame without faces are still the decoder's; else copied. ``shift`` seconds earlier.
    """
    picture = frame.picture
    if picture.pixel_format.startswith("gray") and encoding.pixel_format.startswith("yuv"):
        deep = "10le" if picture.bits == 10 and not encoding.pixel_format.endswith("10le") else ""
        built = _converted(_grey_frame(picture, encoding.pixel_format + deep), picture, encoding)
    elif picture.pixel_format == encoding.pixel_format and _lies_as_ffmpeg_reads(picture):
        built = VideoFrame.from_dlpack([_unlocked(p) for p in picture.planes], format=picture.pixel_format)
    else:
        built = _converted(_filled(picture.planes, picture, picture.pixel_format), picture, encoding)
    built.pts = round((frame.pts * frame.time_base - shift) / encoding.time_base)
    built.time_base = encoding.time_base
    built.colorspace, built.color_range = encoding.colour.matrix, encoding.colour.range
    built.color_primaries, built.color_trc = encoding.colour.primaries, encoding.colour.transfer
    return built


def _lies_as_ffmpeg_reads(picture: Picture) -> bool:
    """Whether every chroma sample is whole, and rows lie from top to bottom, pixel by pixel."""
    step_x, step_y = picture.chroma_step
    in_rows = all(p.strides[0] > 0 and p.strides[1] == p.itemsize for p in picture.planes)
    return in_rows and not (picture.width % step_x or picture.height % step_y)


def _unlocked(plane: Plane) -> Plane:
    """The same memory without the mark that it is read-only, which DLPack cannot tell."""
    view = plane.view()
    view.flags.writeable = True
    return view


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
    if built.format.name == encoding.pixel_format:
        return built
    if picture.pixel_format.startswith("gbrp"):
        return built.reformat(format=encoding.pixel_format, dst_colorspace="ITU709", dst_color_range="MPEG")
    kept = "JPEG" if picture.full_range else "MPEG"
    return built.reformat(format=encoding.pixel_format, src_color_range=kept, dst_color_range=kept)
