"""What a source holds: its container, its video stream and the first frame of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from shlex import quote
from typing import cast

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.stream import AttachmentStream, Stream
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from streamanon.errors import SourceError
from streamanon.media.address import is_address, redact_url
from streamanon.media.clock import Clock
from streamanon.media.demux import PICTURES, decoded, open_input, timed_packets, video_stream
from streamanon.media.display import (
    HdrLight,
    field_order,
    hdr_light,
    is_mirrored,
    lost_metadata,
    rotation_of,
    side_data,
)
from streamanon.media.file_parts import is_cut_off, unread_from
from streamanon.media.standard_input import STDIN

#: What begins later was cut out of something longer, and its clock not set back. What begins earlier is no
#: encoder's priming, which may lie before zero; pictures may not: containers would take them for cut away.
_EARLIEST_START_SECONDS, _LATEST_START_SECONDS = Fraction(-1, 10), 60
#: So many packets are read to find where every audio stream begins.
_MOST_PACKETS = 500


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
    ``picture_format``: what frames are delivered in. ``rotation``: degrees counter-clockwise, in
    quarters; ``display_matrix``: the nine numbers behind it. ``frames`` is an estimate. ``start``: seconds
    at which the clock begins where that means nothing, as in MPEG-TS. ``field_order``: of an interlaced
    video. ``hdr``: static metadata of HDR10. ``dropped``: streams and metadata that are not carried over.
    ``notes``: sentences on what is lost.
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
    start: Fraction = Fraction(0)
    field_order: str = ""
    hdr: HdrLight | None = None
    audio_streams: int = 0
    subtitle_streams: int = 0
    dropped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def mirrored(self) -> bool:
        """Whether players mirror the pictures left to right, after they have turned them."""
        return is_mirrored(self.display_matrix)

    @property
    def live(self) -> bool:
        """Whether it comes at its own pace, as a camera's: an address that does not tell how long it is."""
        return is_address(self.name) and self.duration_seconds is None


def probe(path: str | Path) -> SourceInfo:
    """Open the source, decode its first frame and tell what it holds.

    Raises :class:`SourceError` if there is no such file, it is no media, or no video can be decoded.
    """
    name = redact_url(str(path))
    with open_input(path) as container:
        stream = video_stream(container, name)
        clock = Clock(container.format.name)
        for frame in decoded(container, stream, name, clock=clock):
            info = _describe(container, stream, frame, name, _start(container, stream, clock))
            return replace(info, notes=info.notes + tuple(_missing(path)))
    raise SourceError(f"{name} has a video stream but no frame of it can be decoded; check that it plays")


def _missing(path: str | Path) -> Iterator[str]:
    if str(path) == STDIN:
        return
    if is_cut_off(path):
        yield "the end of the file is missing, as after an interrupted download or recording"
    begin = unread_from(path)
    if begin is not None:
        name, second = quote(Path(path).name), f"second{Path(path).suffix}"
        yield (
            "the file holds a second recording after the first, which is not read completely; to extract"
            f" it: tail -c +{begin + 1} {name} > {second}"
        )


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


def _start(container: InputContainer, stream: VideoStream, clock: Clock) -> Fraction:
    """Where a clock begins that starts anywhere: the first time of any stream. Reads on for it."""
    begin = min(clock.begins.values(), default=Fraction(0))
    is_meant = _EARLIEST_START_SECONDS < begin < _LATEST_START_SECONDS
    if not clock.starts_anywhere and is_meant and clock.begins.get(stream.index, 0) >= 0:
        return Fraction(0)
    wanted = 1 + len(container.streams.audio)
    try:
        for _ in itertools.islice(timed_packets(container, stream, clock), _MOST_PACKETS):
            if len(clock.begins) >= wanted:
                break
    except av.error.FFmpegError:
        pass  # whoever reads the frames will tell
    return min(clock.begins.values(), default=Fraction(0))


def _describe(
    container: InputContainer, stream: VideoStream, frame: VideoFrame, name: str, start: Fraction
) -> SourceInfo:
    duration = _duration_seconds(container, stream)
    rate = stream.average_rate or stream.guessed_rate
    delivered, matrix = picture_format(frame.format.name), _display_matrix(frame)
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
        rotation=rotation_of(matrix),
        display_matrix=matrix,
        sample_aspect_ratio=stream.sample_aspect_ratio or None,
        colour=_colour(frame),
        start=start,
        field_order=field_order(stream, frame),
        hdr=hdr_light(frame),
        audio_streams=len(container.streams.audio),
        subtitle_streams=len(container.streams.subtitles),
        dropped=(
            *(_label(other) for other in container.streams if _is_dropped(other, stream)),
            *lost_metadata(frame),
        ),
        notes=_notes(frame.format, delivered, _is_transparent(stream)),
    )


def _display_matrix(frame: VideoFrame) -> tuple[int, ...] | None:
    matrix = side_data(frame, "DISPLAYMATRIX")
    return None if matrix is None else tuple(np.frombuffer(matrix, np.int32).tolist())


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
    if stream.type == "attachment":  # its name may tell who made it
        kind = cast(AttachmentStream, stream).mimetype or "unknown type"
        return f"stream {stream.index}: attachment, {kind}"
    kind = "cover picture" if stream.type == "video" and stream.disposition & PICTURES else stream.type
    codec = stream.codec_context.name if stream.codec_context is not None else "unknown codec"
    return f"stream {stream.index}: {kind}, {codec}"


def _is_transparent(stream: VideoStream) -> bool:
    """Whether WebM has transparency beside the video, which FFmpeg's own decoders leave out."""
    return any(key.lower() == "alpha_mode" and value == "1" for key, value in stream.metadata.items())


def _notes(pixels: VideoFormat, delivered: str, transparent: bool) -> tuple[str, ...]:
    notes = []
    if transparent or any(part.is_alpha for part in pixels.components):
        notes.append("transparency is dropped")
    bits = max(part.bits for part in pixels.components)
    if bits > 10 and not pixels.has_palette:
        notes.append(f"reduced from {bits} to 10 bits per sample")
    if any(kind in pixels.name for kind in ("410", "411", "440")):
        notes.append(f"chroma is resampled from {pixels.name} to {delivered}")
    return tuple(notes)
