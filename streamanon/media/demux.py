"""Opening a source and taking its video apart: the open container, its video stream, decoded frames."""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from fractions import Fraction
from io import BufferedReader
from pathlib import Path
from typing import Any, cast

import av
import av.error
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from streamanon.errors import SourceError
from streamanon.media.address import redact_url
from streamanon.media.clock import Clock, mended
from streamanon.media.file_parts import joined_flv
from streamanon.media.image_headers import MAX_PIXELS, check_size
from streamanon.media.standard_input import STDIN, SharedReader, open_standard_input

#: Frames that a decoder may hold back: 16 to reorder them, and one a thread.
_MOST_HELD_BACK = 16 + 16
#: Of these, those to reorder.
_MOST_REORDERED = 16
#: So many bytes are read to learn the time of a video that begins before zero.
_MOST_WITHOUT_TIME = 64 << 20
OPEN_SECONDS, READ_SECONDS = 20.0, 30.0
_NOT_PIPED = (
    "standard input holds no video that can be read from a pipe; give the file itself if it is an"
    " MP4 or MOV, or let ffmpeg write MPEG-TS: -f mpegts -"
)
#: Streams of pictures that are no video: covers, thumbnails.
PICTURES = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image


class GpuDecodingError(Exception):
    """Decoding on the GPU does not work, or no longer does; the reason is the message."""


@contextmanager
def open_input(path: str | Path, gpu: int | None = None) -> Iterator[InputContainer]:
    """An open container, closed at the end; failures to open are :class:`SourceError`. ``gpu``: the number
    of the NVIDIA GPU that decodes, by default the CPU; its failures are :class:`GpuDecodingError`.
    """
    name = redact_url(str(path)) if str(path) != STDIN else "standard input"
    if os.path.exists(path) and not os.path.isfile(path):
        # A folder; or a pipe or device, which cannot be read as often as is needed, and may never end.
        raise SourceError(
            f"{name} is a folder, pipe or device; give a file, or pipe the output of ffmpeg into standard"
            " input, given as -"
        )
    # FFmpeg would take 10:30.mp4 for a protocol called 10.
    address = os.path.abspath(path) if os.path.isfile(path) else str(path)
    source: Any = open_standard_input() if str(path) == STDIN else joined_flv(address) or address
    # Without the CPU's help: FFmpeg would decode there in one thread, and say nothing of it.
    hwaccel = None if gpu is None else HWAccel("cuda", str(gpu), allow_software_fallback=False)
    try:
        # Tags in odd encodings must not make a video unreadable. Timeouts: a camera or server that stops
        # answering must not hang the run.
        container = av.open(
            source,
            timeout=(OPEN_SECONDS, READ_SECONDS),
            metadata_errors="replace",
            options={"max_pixels": str(MAX_PIXELS)},
            hwaccel=hwaccel,
        )
    except (av.error.FFmpegError, OSError, RuntimeError) as error:
        _close(source)
        if gpu is not None:
            raise GpuDecodingError(_why_no_gpu(error)) from None
        if isinstance(error, RuntimeError):
            raise
        # "from None": FFmpeg's own error may quote an address with its password.
        raise SourceError(_why_not_opened(error, name)) from None
    with container:
        try:
            yield container
        finally:
            _close(source)


def _close(source: str | SharedReader | BufferedReader) -> None:
    if not isinstance(source, str):
        source.close()


def video_stream(container: InputContainer, name: str) -> VideoStream:
    """The first real video stream that can be decoded: cover pictures do not count. Raises
    :class:`SourceError` where there is none, and for a list of other files.
    """
    if container.format.name == "concat":  # under any name: who wrote it may not be meant to see those
        raise SourceError(
            f"{name} is a list of other files, which are not read; join them first: ffmpeg -f concat -i"
            " LIST -c copy joined.mkv"
        )
    streams = [stream for stream in container.streams.video if not stream.disposition & PICTURES]
    if not streams:
        raise SourceError(f"{name} has no video stream; give a file with video")
    known = [stream for stream in streams if stream.codec_context is not None]
    if not known:
        raise SourceError(
            f"{name}: this build of FFmpeg cannot decode its video; convert the file to H.264"
        )
    check_size(known[0].width, known[0].height, name)
    known[0].codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    return known[0]


def packets_of(container: InputContainer, *streams: Stream) -> Generator[Packet[Stream], None, None]:
    """The packets of these streams, by default of all, with the empty ones that end each."""
    try:
        yield from container.demux(*streams)
    except (
        IndexError
    ):  # PyAV at the end of a file in which a stream appeared that was not there when opened
        return


def timed_packets(container: InputContainer, video: VideoStream, clock: Clock) -> Iterator[Packet[Stream]]:
    """The packets of the video, of all sound and all subtitles, with mended times.

    Always of all of them, so that each reader of a file gets the same times.
    """
    streams = container.streams
    # The empty packets that end each stream are left out: a decoder is flushed by None.
    packets = packets_of(container, video, *streams.audio, *streams.subtitles)
    whole = (packet for packet in packets if packet.size)
    return mended(_counted_back(whole, video) if "matroska" in container.format.name else whole, clock)


def _counted_back(packets: Iterator[Packet[Stream]], video: VideoStream) -> Iterator[Packet[Stream]]:
    """FFmpeg tells no time of Matroska's video before zero: it follows from what comes after."""
    held: list[Packet[Stream]] = []
    begins_before_zero, timed, size, failure = False, 0, 0, None
    try:
        for packet in packets:
            held.append(packet)
            size += packet.size
            if packet.stream_index == video.index:
                timed = 0 if _stamp(packet) is None else timed + 1
                begins_before_zero |= not timed
            # One that is shown before zero may come after one that is shown later.
            if timed >= (_MOST_REORDERED if begins_before_zero else 1) or size > _MOST_WITHOUT_TIME:
                break
    except av.error.FFmpegError as error:
        failure = error
    _count_back([one for one in held if one.stream_index == video.index], _typical_ticks(video))
    yield from held
    if failure is not None:
        raise failure
    yield from packets


def _stamp(packet: Packet[Stream]) -> int | None:
    return packet.pts if packet.pts is not None else packet.dts


def _count_back(packets: list[Packet[Stream]], step: int) -> None:
    """Decoding times for those without any, which are shown before all others."""
    stamp = min((at for at in map(_stamp, packets) if at is not None), default=None)
    untimed = [one for one in packets if _stamp(one) is None]
    if stamp is None or not untimed:
        return
    for one in reversed(untimed):
        stamp = one.dts = stamp - (one.duration or step)
    for one in packets[: packets.index(untimed[-1])]:  # those between are decoded then
        stamp = one.dts = stamp if one.dts is None else one.dts


def _typical_ticks(video: VideoStream) -> int:
    rate, base = video.average_rate or Fraction(25), video.time_base or Fraction(1, 1000)
    return max(1, round(1 / (rate * base)))


def decoded(
    container: InputContainer,
    stream: VideoStream,
    name: str,
    on_skipped: Callable[[str], None] | None = None,
    clock: Clock | None = None,
    on_packet: Callable[[Packet[VideoStream]], None] | None = None,
) -> Iterator[VideoFrame]:
    """Every frame that can be decoded, even those after a broken packet; then a reading error, if any.

    ``on_skipped`` is told of packets that cannot be decoded. ``clock`` mends their times. ``on_packet`` is
    given each of the video. On a GPU a packet that cannot be decoded is a :class:`GpuDecodingError`: what
    of it is lost, only the CPU's decoder tells.
    """
    if stream.codec_context.is_hwaccel:  # more threads would only hold more frames back
        stream.thread_type, stream.codec_context.thread_count = "SLICE", 1
    else:
        stream.thread_type = "AUTO"
    packets = timed_packets(container, stream, clock or Clock(container.format.name))
    times = _DecodingTimes(container, stream)
    try:
        while True:
            failure: Exception | None = None
            try:
                packet = next(packets, None)
            except av.error.FFmpegError as error:
                packet, failure = None, error
            if packet is None or packet.stream_index == stream.index:
                mine = cast("Packet[VideoStream] | None", packet)
                times.note(mine)
                if mine is not None and on_packet is not None:
                    on_packet(mine)
                frames = _decode_packet(stream, mine, on_skipped)
                yield from map(times.give, frames)
            if failure is not None:
                raise SourceError(_why_not_read(failure, name)) from None
            if packet is None:
                return
    finally:
        # Its threads end here, not while the decoder is freed: they may have something to log, for which
        # they would wait for this thread.
        stream.codec_context.flush_buffers()


class _DecodingTimes:
    """Times for frames whose packets do not tell when they are shown, as in AVI: reordered frames leave the
    decoder in the order in which they are shown, so that each gets the earliest decoding time that is left.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._untold = container.format.name == "avi"  # what FFmpeg guesses there is in the wrong order
        self._context = stream.codec_context
        self._waiting: list[int] = []

    def note(self, packet: Packet[VideoStream] | None) -> None:
        """A packet that is to be decoded."""
        if packet is None:
            return
        if self._untold:
            packet.pts = None if self._context.reorder_depth else packet.dts
        if packet.pts is None and packet.dts is not None:
            heapq.heappush(self._waiting, packet.dts)
            if len(self._waiting) > _MOST_HELD_BACK:  # of packets that gave no frame
                heapq.heappop(self._waiting)

    def give(self, frame: VideoFrame) -> VideoFrame:
        """The frame with a time, if it had none."""
        if frame.pts is None and self._waiting:
            frame.pts = heapq.heappop(self._waiting)
        return frame


def _why_not_opened(error: Exception, name: str) -> str:
    if isinstance(error, FileNotFoundError):
        return f"there is no file {name}; check the path"
    if isinstance(error, PermissionError):
        return f"no permission to read {name}; give a file that you may read"
    if isinstance(error, av.error.InvalidDataError) and name == "standard input":
        return _NOT_PIPED
    if isinstance(error, av.error.InvalidDataError):
        return f"{name} is not a video file, or its beginning or index is missing; check that it plays"
    if isinstance(error, av.error.ExitError):
        return f"{name} did not answer within {OPEN_SECONDS:.0f} seconds; check the address and the network"
    return f"{name} cannot be opened ({_reason(error)}); check the path or address"


def _decode_packet(
    stream: VideoStream, packet: av.Packet[VideoStream] | None, on_skipped: Callable[[str], None] | None
) -> list[VideoFrame]:
    """The frames that became ready; without a packet, those that the decoder still holds."""
    try:
        return stream.decode(packet)
    except av.error.EOFError:  # it was flushed already
        return []
    except av.error.FFmpegError as error:
        if stream.codec_context.is_hwaccel:
            raise GpuDecodingError(f"its decoder refused a packet: {_reason(error)}") from None
        if on_skipped is not None:
            on_skipped(f"a packet could not be decoded ({_reason(error)})")
        return []


def _why_not_read(error: Exception, name: str) -> str:
    if name == STDIN and isinstance(error, av.error.InvalidDataError):
        return _NOT_PIPED
    if isinstance(error, av.error.ExitError):
        return f"{name} sent nothing for {READ_SECONDS:.0f} seconds; check the network"
    return f"reading {name} failed ({_reason(error)}); the file or the connection is damaged from there on"


def _why_no_gpu(error: Exception) -> str:
    if isinstance(error, PermissionError):  # what FFmpeg makes of a library that does not load
        return "NVIDIA's driver is not installed"
    if isinstance(error, RuntimeError):
        return "FFmpeg's decoder for this codec does not support it"
    return f"NVIDIA's driver refused it: {_reason(error)}"


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or type(error).__name__)
