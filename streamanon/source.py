"""Reading video: what a file holds (:func:`probe`) and its frames (:func:`read_frames`).

One generator opens, reads and closes the container, so that it all happens in the thread that runs it.
Audio and subtitles are not read here: the sink copies their packets from the file itself.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Disposition, Stream
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from streamanon.errors import SourceError
from streamanon.imagesize import MAX_PIXELS, check_size
from streamanon.types import PIXEL_FORMATS, Picture, Plane, RawFrame

OPEN_SECONDS, READ_SECONDS = 20.0, 30.0

_SECRETS = "(?:user|login|pass|pwd|token|key|secret|auth|cred|sig)"
_PICTURES = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
#: Values of AVColorSpace (ITU-T H.273); others are told by the picture's height.
_MATRICES = {1: "bt709", 4: "bt601", 5: "bt601", 6: "bt601", 7: "bt709", 9: "bt2020", 10: "bt2020"}


@dataclass(frozen=True)
class Colour:
    """Colour tags as numbers of ITU-T H.273, 2: not told; ``range`` 0: not told, 1: limited, 2: full."""

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    range: int = 0


@dataclass(frozen=True)
class SourceInfo:
    """What a source holds.

    ``name``: its path, or its address without passwords. ``pixel_format``: what the file has;
    ``picture_format``: what frames are delivered in. ``rotation``: degrees counter-clockwise;
    ``display_matrix``: the nine numbers behind it. ``frames`` is an estimate. ``dropped``: streams that are
    not carried over. ``notes``: sentences on what is lost.
    """

    name: str
    container: str
    codec: str
    width: int
    height: int
    pixel_format: str
    picture_format: str
    time_base: Fraction
    average_rate: Fraction | None = None
    frames: int | None = None
    duration_seconds: float | None = None
    rotation: int = 0
    display_matrix: tuple[int, ...] | None = None
    sample_aspect_ratio: Fraction | None = None
    colour: Colour = Colour()
    audio_streams: int = 0
    subtitle_streams: int = 0
    dropped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def live(self) -> bool:
        """Whether it comes at its own pace, as a camera's: an address that does not tell how long it is."""
        return "://" in self.name and self.duration_seconds is None


def redact_url(address: str) -> str:
    """The address without user name, password, the values of its query and of what is named like a secret,
    and the stream key of RTMP, for messages. Errs on the side of hiding more. Paths of files stay.
    """
    if "://" not in address:
        return address
    address = re.sub(r"(?<=://)\S*@", "***@", address)
    address = re.sub(r"(?i)^(rtmp\w*://[^/\s]*/).+", r"\1***", address)
    address = re.sub(r"([?&#;][^=&#;\s]*=?)[^&#;\s]*", _hidden, address)
    return re.sub(rf"(?i)({_SECRETS}[^=/\s]*=)[^&\s]*", r"\1***", address)


def _hidden(found: re.Match[str]) -> str:
    """The name of a query's value without the value; a part without a name may be one itself."""
    name = found.group(1)
    return f"{name}***" if name.endswith("=") else f"{name[0]}***"


def probe(path: str | Path) -> SourceInfo:
    """Open the source, decode its first frame and tell what it holds.

    Raises :class:`SourceError` if there is no such file, it is no media, or no video can be decoded.
    """
    name = redact_url(str(path))
    with open_input(path) as container:
        stream = video_stream(container, name)
        for frame in _decode(container, stream, name, _ignore):
            return _describe(container, stream, frame, name)
    raise SourceError(f"{name} has a video stream but no frame of it can be decoded; check that it plays")


def read_frames(
    path: str | Path, info: SourceInfo, on_skipped: Callable[[str], None] | None = None
) -> Iterator[RawFrame]:
    """Yield every frame with its own time; ``info`` comes from :func:`probe`.

    Planes are read-only views of the decoder's memory wherever the format allows it. Packets that cannot
    be decoded are left out and told to ``on_skipped``. Frames whose size or format differs from the first
    one's are scaled to it. Raises :class:`SourceError`, after the frames so far, if reading fails.
    """
    with open_input(path) as container:
        stream = video_stream(container, info.name)
        previous: int | None = None
        step = _typical_step(info)
        for index, frame in enumerate(_decode(container, stream, info.name, on_skipped or _ignore)):
            check_size(frame.width, frame.height, info.name)
            pts = _next_pts(frame.pts if frame.pts is not None else frame.dts, previous, step)
            previous, step = pts, frame.duration or step
            yield RawFrame(index, pts, info.time_base, to_picture(frame, info), frame.duration or None)


@contextmanager
def open_input(path: str | Path) -> Iterator[InputContainer]:
    """An open container, closed at the end; failures to open are :class:`SourceError`."""
    name = redact_url(str(path))
    if os.path.exists(path) and not os.path.isfile(path):
        # A folder; or a pipe or device, which cannot be read as often as is needed, and may never end.
        raise SourceError(f"{name} cannot be read; give a file, not a folder, a pipe or a device")
    try:
        # Timeouts: a camera or server that stops answering must not hang the run.
        # Tags in odd encodings must not make a video unreadable.
        container = av.open(
            str(path),
            timeout=(OPEN_SECONDS, READ_SECONDS),
            metadata_errors="replace",
            options={"max_pixels": str(MAX_PIXELS)},
        )
    except (av.error.FFmpegError, OSError) as error:
        # "from None": FFmpeg's own error may quote an address with its password.
        raise SourceError(_why_not_opened(error, name)) from None
    with container:
        yield container


def video_stream(container: InputContainer, name: str) -> VideoStream:
    """The first real video stream: cover pictures do not count."""
    streams = [stream for stream in container.streams.video if not stream.disposition & _PICTURES]
    if not streams:
        raise SourceError(f"{name} has no video stream; give a file with video")
    if streams[0].codec_context is None:
        raise SourceError(
            f"{name}: this build of FFmpeg cannot decode its video; convert the file to H.264"
        )
    check_size(streams[0].width, streams[0].height, name)
    streams[0].codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    return streams[0]


def to_picture(frame: VideoFrame, info: SourceInfo) -> Picture:
    """The frame's planes in ``info.picture_format`` and size, as read-only views that keep it alive."""
    full_range = _is_full_range(frame)
    if not _is_delivered_as_is(frame, info):
        frame = _convert(frame, info, full_range)
    count = 1 if info.picture_format.startswith("gray") else 3
    depth = np.dtype(np.uint8 if PIXEL_FORMATS[info.picture_format][2] == 8 else np.uint16)
    planes = tuple(_view(plane, depth) for plane in frame.planes[:count])
    return Picture(planes, info.picture_format, _matrix_name(frame.colorspace, info.height), full_range)


def picture_format(name: str) -> str:
    """The format of ``PIXEL_FORMATS`` that holds most of FFmpeg's pixel format ``name``.

    Alpha goes, more than ten bits become ten, chroma is never stored coarser than it was, except that
    what is coarser than 4:2:0 or 4:2:2 becomes that.
    """
    pixels = VideoFormat(name, 64, 64)
    parts = [part for part in pixels.components if not part.is_alpha]
    suffix = "" if pixels.has_palette or max(part.bits for part in parts) <= 8 else "10le"
    if pixels.is_rgb or pixels.has_palette or pixels.is_bayer:
        return f"gbrp{suffix}"
    if len(parts) < 3:
        return f"gray{suffix}"
    if pixels.chroma_width(64) == 64:
        return f"yuv444p{suffix}"
    return f"yuv{'422' if pixels.chroma_height(64) == 64 else '420'}p{suffix}"


def _ignore(_message: str) -> None:
    pass


def _why_not_opened(error: Exception, name: str) -> str:
    if isinstance(error, FileNotFoundError):
        return f"there is no file {name}; check the path"
    if isinstance(error, PermissionError):
        return f"{name} cannot be read; give a file that you may read"
    if isinstance(error, av.error.InvalidDataError):
        return f"{name} is not a video file, or its beginning or index is missing; check that it plays"
    if isinstance(error, av.error.ExitError):
        return f"{name} did not answer within {OPEN_SECONDS:.0f} seconds; check the address and the network"
    return f"{name} cannot be opened ({_reason(error)}); check the path or address"


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or type(error).__name__)


def _decode(
    container: InputContainer, stream: VideoStream, name: str, on_skipped: Callable[[str], None]
) -> Iterator[VideoFrame]:
    """Every frame that can be decoded, even those after a broken packet; then a reading error, if any."""
    stream.thread_type = "AUTO"
    packets = container.demux(stream)
    while True:
        failure: Exception | None = None
        try:
            packet = next(packets, None)
        except av.error.FFmpegError as error:
            packet, failure = None, error
        yield from _decode_packet(stream, packet, on_skipped)
        if failure is not None:
            raise SourceError(_why_not_read(failure, name)) from None
        if packet is None:
            return


def _decode_packet(
    stream: VideoStream, packet: av.Packet[VideoStream] | None, on_skipped: Callable[[str], None]
) -> list[VideoFrame]:
    """The frames that became ready; without a packet, those that the decoder still holds."""
    try:
        return stream.decode(packet)
    except av.error.EOFError:  # it was flushed already
        return []
    except av.error.FFmpegError as error:
        on_skipped(f"a packet could not be decoded ({_reason(error)})")
        return []


def _why_not_read(error: Exception, name: str) -> str:
    if isinstance(error, av.error.ExitError):
        return f"{name} sent nothing for {READ_SECONDS:.0f} seconds; check the network"
    return f"reading {name} failed ({_reason(error)}); the file or the connection is damaged from there on"


def _typical_step(info: SourceInfo) -> int:
    """Ticks between frames, where the frames do not tell."""
    rate = info.average_rate or Fraction(25)
    return max(1, round(1 / (rate * info.time_base)))


def _next_pts(pts: int | None, previous: int | None, step: int) -> int:
    """A strictly increasing time that changes ``pts`` as little as can be."""
    if previous is None:
        return pts or 0
    if pts is None:
        return previous + step
    if pts > previous:
        return pts
    # A small slip is nudged. After a jump back nothing later would be larger: go on at the usual pace.
    return previous + (1 if previous - pts <= step else step)


def _is_full_range(frame: VideoFrame) -> bool:
    name = frame.format.name
    if name.startswith("gray") and frame.color_range != ColorRange.MPEG:
        return True
    rgb = picture_format(name).startswith("gbrp")
    return rgb or name.startswith("yuvj") or frame.color_range == ColorRange.JPEG


def _matrix_name(colour_space: int, height: int) -> str:
    """By the tag; without one by convention, as players do."""
    return _MATRICES.get(colour_space, "bt709" if height >= 720 else "bt601")


def _layout(name: str) -> str:
    """The planar format whose first planes ``name`` shares: alpha planes come last, yuvj is yuv."""
    return name.replace("yuvj", "yuv").replace("yuva", "yuv").replace("gbrap", "gbrp")


def _is_delivered_as_is(frame: VideoFrame, info: SourceInfo) -> bool:
    same_size = (frame.width, frame.height) == (info.width, info.height)
    return same_size and _layout(frame.format.name) == info.picture_format


def _convert(frame: VideoFrame, info: SourceInfo, full_range: bool) -> VideoFrame:
    """By swscale, at the same range: values move between planes but keep their meaning."""
    colour_range = ColorRange.JPEG if full_range else ColorRange.MPEG
    return frame.reformat(
        info.width,
        info.height,
        info.picture_format,
        src_color_range=colour_range,
        dst_color_range=colour_range,
        interpolation="BICUBIC",
    )


def _view(plane: VideoPlane, depth: np.dtype[np.generic]) -> Plane:
    """[H, W] over the plane's memory, which the view keeps alive."""
    rows = np.frombuffer(memoryview(plane), depth).reshape(plane.height, -1)
    view = rows[:, : plane.width]
    if plane.line_size < 0:  # stored bottom-up
        view = view[::-1]
    view.flags.writeable = False
    return view


def _describe(container: InputContainer, stream: VideoStream, frame: VideoFrame, name: str) -> SourceInfo:
    duration = _duration_seconds(container, stream)
    rate = stream.average_rate or stream.guessed_rate
    delivered = picture_format(frame.format.name)
    return SourceInfo(
        name=name,
        container=container.format.name,
        codec=stream.codec_context.name,
        width=frame.width,
        height=frame.height,
        pixel_format=frame.format.name,
        picture_format=delivered,
        time_base=stream.time_base or Fraction(1, 90000),
        average_rate=rate,
        frames=stream.frames or (round(duration * rate) if duration and rate else None),
        duration_seconds=duration,
        rotation=frame.rotation,
        display_matrix=_display_matrix(frame),
        sample_aspect_ratio=stream.sample_aspect_ratio or None,
        colour=_colour(frame),
        audio_streams=len(container.streams.audio),
        subtitle_streams=len(container.streams.subtitles),
        dropped=tuple(_label(other) for other in container.streams if _is_dropped(other, stream)),
        notes=_notes(frame.format, delivered),
    )


def _display_matrix(frame: VideoFrame) -> tuple[int, ...] | None:
    try:
        item = cast(Any, frame.side_data)[SideDataType.DISPLAYMATRIX]  # PyAV's stub knows other keys
    except (KeyError, ValueError):  # ValueError: PyAV does not know some other side data of the frame
        return None
    return tuple(np.frombuffer(bytes(item), np.int32).tolist())


def _duration_seconds(container: InputContainer, stream: VideoStream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def _colour(frame: VideoFrame) -> Colour:
    full = ColorRange.JPEG if frame.format.name.startswith("yuvj") else frame.color_range
    return Colour(frame.color_primaries, frame.color_trc, frame.colorspace, int(full))


def _is_dropped(other: Stream, chosen: VideoStream) -> bool:
    return other.index != chosen.index and other.type not in ("audio", "subtitle")


def _label(stream: Stream) -> str:
    kind = "cover picture" if stream.type == "video" and stream.disposition & _PICTURES else stream.type
    codec = stream.codec_context.name if stream.codec_context is not None else "unknown codec"
    return f"stream {stream.index}: {kind}, {codec}"


def _notes(pixels: VideoFormat, delivered: str) -> tuple[str, ...]:
    notes = []
    if any(part.is_alpha for part in pixels.components):
        notes.append("transparency is dropped")
    bits = max(part.bits for part in pixels.components)
    if bits > 10 and not pixels.has_palette:
        notes.append(f"{bits} bits per sample become 10")
    if any(kind in pixels.name for kind in ("410", "411", "440")):
        notes.append(f"chroma is resampled from {pixels.name} to {delivered}")
    return tuple(notes)
