"""One connection to a source, which gives its video and its sound; opened, read and closed in one
thread.
"""

from __future__ import annotations

import logging
import os
import subprocess
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import av.error
import av.logging
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame

from streamanon.errors import SourceError
from streamanon.live.addresses import reason, why_no_device, why_not_opened, with_encoded_login
from streamanon.live.damage import Trust
from streamanon.live.readable import is_readable
from streamanon.live.srt import transmit
from streamanon.live.times import LEAST_STEP, StreamTimes
from streamanon.live.wire import CLOCK_HZ
from streamanon.media.address import is_address, redact_url
from streamanon.media.demux import packets_of, video_stream
from streamanon.media.image_headers import MAX_PIXELS, check_size
from streamanon.media.probe import Colour, SourceInfo

#: How long a source may take to answer, and to send the next packet, s.
OPEN_SECONDS, READ_SECONDS = 10.0, 10.0
#: How long FFmpeg analyses a stream before it says what is in it, by scheme: by default 5 s, which delays
#: the first picture. RTMP does not announce whether there will be sound.
_ANALYZE_MICROSECONDS = {
    **dict.fromkeys(("rtsp", "rtsps"), "100000"),
    **dict.fromkeys(("rtmp", "rtmps"), "500000"),
    "udp": "1000000",
}
#: A server of RTMP may send sound alone until the next key frame, which some encoders make every 10 s.
LATE_VIDEO_SECONDS = 20.0
#: HLS comes in segments at once. It is played at its own speed and a little faster, so that what a slower
#: clock leaves over does not pile up.
PACE = 1.01
#: A paced source that is this late starts its pace anew, s.
PACE_LATE_SECONDS = 1.0
#: What a frame without a time stamp takes, s.
UNSTAMPED_SECONDS = 0.04
#: Frame rates that sources declare and that can be true.
_RATES = (Fraction(1), Fraction(240))


@dataclass(frozen=True)
class SourceOptions:
    """How a source is read. ``address``: an address, a device (/dev/video0) or a file; ``realtime``: a
    file at its own speed; ``loop``: a file again and again; ``transport``: of RTSP, tcp or udp.
    """

    address: str = field(repr=False)
    realtime: bool = False
    loop: bool = False
    transport: str = "tcp"
    sound: bool = True
    open_seconds: float = OPEN_SECONDS
    read_seconds: float = READ_SECONDS

    @property
    def shown(self) -> str:
        """The address without its secrets."""
        return redact_url(self.address)

    @property
    def scheme(self) -> str:
        return self.address.split("://", 1)[0].lower() if "://" in self.address else ""

    @property
    def is_device(self) -> bool:
        return self.address.startswith("/dev/")

    @property
    def is_file(self) -> bool:
        """Whether its end is the end, and not a loss."""
        return not self.is_device and (self.scheme == "file" or not is_address(self.address))

    @property
    def can_wait(self) -> bool:
        """Whether it may be read as slowly as the chain works, without a frame lost."""
        return self.is_file and not self.realtime


@dataclass(frozen=True, eq=False)
class Got:
    """A decoded frame at ``time`` (s, this machine's clock) which arrived at ``arrival`` (s, monotonic).
    ``damaged``: not to be trusted.
    """

    frame: VideoFrame
    time: float
    arrival: float
    damaged: bool


@dataclass(frozen=True, eq=False)
class Heard:
    """Decoded sound that begins at ``time``."""

    frame: AudioFrame
    time: float


class Connection:
    """An open source; use as a context manager. Raises :class:`SourceError` where it does not open."""

    def __init__(self, options: SourceOptions, clock: Callable[[], float] = time.monotonic) -> None:
        self._options, self._clock = options, clock
        self._stack = ExitStack()
        try:
            self._open()
        except BaseException:
            self._stack.close()
            raise

    def _open(self) -> None:
        self._container = self._open_container()
        self._video = video_stream(self._container, self._options.shown)
        # One thread: with frame threads two frames more are held back, and FFmpeg's complaints would come
        # from threads whose lines nobody catches.
        self._video.thread_type, self._video.codec_context.thread_count = "SLICE", 1
        audio = self._container.streams.audio if self._options.sound else ()
        playable = [one for one in audio if one.codec_context is not None]
        self._audio: AudioStream | None = playable[0] if playable else None
        self.trust = Trust(self._video.codec_context.name)
        #: Motion JPEG over HTTP has no times, and HLS comes faster than it is to be shown.
        name = self._container.format.name
        self._by_arrival = name in ("mpjpeg", "video4linux2,v4l2")
        self._paced = self._options.realtime or ("hls" in name.split(","))

    def _open_container(self) -> InputContainer:
        """The stream, once it has a picture: FLV does not tell beforehand what it will hold."""
        options = self._options
        opened = self._stack.enter_context(_open(options, self._stack))
        if options.is_file or opened.streams.video or opened.format.name not in ("flv", "live_flv"):
            return opened
        opened.close()
        opened = self._stack.enter_context(_open(options, self._stack, LATE_VIDEO_SECONDS))
        if not opened.streams.video:
            raise SourceError(
                f"{options.shown} sent sound but no picture for {LATE_VIDEO_SECONDS:g} seconds; let the"
                " encoder send a key frame every second or two"
            )
        return opened

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def has_sound(self) -> bool:
        return self._audio is not None

    def describe(self, frame: VideoFrame) -> SourceInfo:
        """What the source holds, by its first frame. Frames are delivered as yuv420p of even size."""
        name, codec = self._options.shown, self._video.codec_context
        check_size(frame.width, frame.height, name)
        rate = self._video.average_rate or self._video.guessed_rate
        full = 2 if frame.format.name.startswith("yuvj") else int(frame.color_range)
        return SourceInfo(
            name=name,
            container=self._container.format.name,
            codec=codec.name,
            width=max(2, frame.width // 2 * 2),
            height=max(2, frame.height // 2 * 2),
            pixel_format=frame.format.name,
            picture_format="yuv420p",
            time_base=Fraction(1, CLOCK_HZ),
            average_rate=rate if rate and _RATES[0] <= rate <= _RATES[1] else None,
            sample_aspect_ratio=self._video.sample_aspect_ratio or None,
            colour=Colour(frame.color_primaries, frame.color_trc, frame.colorspace, full),
            audio_streams=len(self._container.streams.audio),
        )

    def read(
        self, should_stop: Callable[[], bool], begin: float | None = None
    ) -> Generator[Got | Heard, None, None]:
        """What comes, until the source ends or ``should_stop``. Raises :class:`SourceError` where reading
        fails, and where packets come without a picture. ``begin``: the time of the first frame of a file
        that is not read at its own speed; by default when it arrives.
        """
        clock = self._clock
        times = _PlainTimes(begin) if self._options.can_wait else _SourceTimes()
        pace = _Pace(clock, should_stop) if self._paced else None
        picture_at = clock()
        streams = [self._video, *([self._audio] if self._audio is not None else [])]
        capture = av.logging.Capture(local=True)
        with closing(packets_of(self._container, *streams)) as packets:
            while not should_stop():
                asked = clock()
                with capture as lines:
                    packet = self._next(packets)
                if packet is None:
                    return
                if clock() - asked >= self._options.read_seconds and not self._options.is_file:
                    raise self._silent()  # FFmpeg first lets go what it held back
                if packet.stream_index != self._video.index:
                    yield from self._sounds(packet, times)
                else:
                    for frame, trusted in self._pictures(packet, capture, lines):
                        stamp = None if self._by_arrival else _seconds(frame)
                        if pace is not None and stamp is not None:
                            pace.wait(stamp)
                        arrival = clock()
                        yield Got(frame, times.video(stamp, arrival), arrival, not trusted)
                        picture_at = clock()  # a slow output may have held this up
                lines.clear()
                if clock() - picture_at > self._options.read_seconds:
                    shown = self._options.shown
                    raise SourceError(f"{shown} sends packets but no picture; check that it plays")

    def _next(self, packets: Iterator[Packet[Any]]) -> Packet[Any] | None:
        try:
            packet = next(packets, None)
            return _copied(packet) if packet is not None and self._options.is_device else packet
        except av.error.EOFError:
            return None
        except av.error.ExitError:
            raise self._silent() from None
        except (av.error.FFmpegError, OSError) as error:
            what = "that it is plugged in" if self._options.is_device else "the network"
            raise SourceError(
                f"reading {self._options.shown} failed ({reason(error)}); check {what}"
            ) from None

    def _silent(self) -> SourceError:
        seconds = self._options.read_seconds
        return SourceError(f"{self._options.shown} sent nothing for {seconds:g} seconds; check the network")

    def _pictures(
        self, packet: Packet[Any], capture: av.logging.Capture, lines: list[tuple[int, str, str]]
    ) -> Iterator[tuple[VideoFrame, bool]]:
        trust = self.trust
        if packet.size:
            trust.packet(packet)
        frames: list[VideoFrame] = []
        with capture:
            try:
                frames = self._video.decode(packet if packet.size else None)
            except av.error.EOFError:
                pass
            except av.error.FFmpegError:
                trust.failed()
        trust.complaints(lines)
        for frame in frames:
            yield frame, trust.frame(frame)

    def _sounds(self, packet: Packet[Any], times: _SourceTimes | _PlainTimes) -> Iterator[Heard]:
        assert self._audio is not None
        if not packet.size:
            return
        try:
            frames = self._audio.decode(packet)
        except av.error.FFmpegError:
            return  # a gap, which the track fills with silence
        for frame in frames:
            begins = times.audio(_seconds(frame), self._clock())
            if begins is not None:
                yield Heard(frame, begins)


class _SourceTimes:
    """Output times of both streams, which share the first frame's offset: so they are in sync as the source
    says. Sound before the first frame has no time.
    """

    def __init__(self) -> None:
        self._video = StreamTimes()
        self._audio: StreamTimes | None = None

    def video(self, stamp: float | None, arrival: float) -> float:
        return self._video.at(stamp, arrival)

    def audio(self, stamp: float | None, arrival: float) -> float | None:
        offset = self._video.offset
        if offset is None:
            return None
        if self._audio is None:
            self._audio = StreamTimes(offset)
        return self._audio.at(stamp, arrival, offset)


class _PlainTimes:
    """The same for a file that is read as fast as can be: when its frames arrive tells nothing."""

    def __init__(self, begin: float | None) -> None:
        self._begin, self._offset, self._last = begin, 0.0, float("-inf")

    def video(self, stamp: float | None, arrival: float) -> float:
        if self._last == float("-inf"):
            begin = arrival if self._begin is None else self._begin
            self._offset = begin - (stamp or 0.0)
            self._last = begin
            return begin
        wanted = stamp + self._offset if stamp is not None else self._last + UNSTAMPED_SECONDS
        self._last = max(wanted, self._last + LEAST_STEP)
        return self._last

    def audio(self, stamp: float | None, _arrival: float) -> float | None:
        return None if stamp is None or self._last == float("-inf") else stamp + self._offset


class _Pace:
    """Waits until a frame is due, by its time stamp from the first one on."""

    def __init__(self, clock: Callable[[], float], should_stop: Callable[[], bool]) -> None:
        self._clock, self._should_stop = clock, should_stop
        self._begun: float | None = None
        self._first = 0.0

    def wait(self, stamp: float) -> None:
        now = self._clock()
        if self._begun is None or not 0 <= stamp - self._first <= 1e5:
            self._begun, self._first = now, stamp
        due = self._begun + (stamp - self._first) / PACE
        if now - due > PACE_LATE_SECONDS or due - now > 60:
            self._begun, self._first = now, stamp
            return
        while (left := due - self._clock()) > 0 and not self._should_stop():
            time.sleep(min(left, 0.1))


def _copied(packet: Packet[Any]) -> Packet[Any]:
    """The packet with memory of its own. A device's packets, and the raw frames decoded from them, lie in
    buffers that are gone when the device is closed: whoever frees one later ends the process.
    """
    copy: Packet[Any] = Packet(bytes(packet))
    copy.stream, copy.time_base = packet.stream, packet.time_base
    copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration
    copy.is_keyframe = packet.is_keyframe
    return copy


def quiet_ffmpeg() -> None:
    """Let FFmpeg's lines reach :class:`Trust` and nobody else: they quote addresses with their
    passwords.
    """
    logger = logging.getLogger("libav")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    av.logging.set_skip_repeated(False)
    av.logging.set_level(av.logging.DEBUG)


def _seconds(frame: VideoFrame | AudioFrame) -> float | None:
    stamp = frame.pts if frame.pts is not None else frame.dts
    return float(stamp * frame.time_base) if stamp is not None and frame.time_base else None


def _open(options: SourceOptions, stack: ExitStack, analyze_seconds: float | None = None) -> InputContainer:
    """``analyze_seconds``: how long FFmpeg analyses the stream, by default what suits its scheme."""
    shown = options.shown
    source: Any
    form: str | None = None
    settings: dict[str, str] = {}
    if options.scheme == "srt":
        source, form = stack.enter_context(SrtReader(options.address, options.read_seconds)), "mpegts"
    elif options.is_device:
        source, form = options.address, "v4l2"
        if not os.path.exists(source):
            raise SourceError(f"there is no device {source}; plug the camera in, or give another")
    elif options.is_file:
        source = options.address.removeprefix("file://")
        if not Path(source).is_file():
            raise SourceError(f"there is no file {shown}; check the path")
        source = os.path.abspath(source)  # FFmpeg would take 10:30.mp4 for a protocol called 10
    else:
        source, settings = _network_source(options)
    if analyze_seconds is not None:
        settings["analyzeduration"] = str(round(analyze_seconds * 1e6))
    # FFmpeg waits twice as long for UDP and TCP as it is asked to.
    share = 0.5 if options.scheme in ("udp", "tcp") else 1.0
    try:
        opened: InputContainer = av.open(
            source,
            format=form,
            options={"max_pixels": str(MAX_PIXELS)} | settings,
            timeout=(
                (options.open_seconds + (analyze_seconds or 0.0)) * share,
                options.read_seconds * share,
            ),
            metadata_errors="replace",
        )
        return opened
    except (av.error.FFmpegError, OSError) as error:
        if options.is_device:
            raise SourceError(why_no_device(error, shown)) from None
        raise SourceError(why_not_opened(error, shown, options.open_seconds)) from None


def _network_source(options: SourceOptions) -> tuple[str, dict[str, str]]:
    """The address as FFmpeg takes it, and FFmpeg's options for it."""
    address, settings = with_encoded_login(options.address), {}
    if options.scheme in _ANALYZE_MICROSECONDS:
        settings["analyzeduration"] = _ANALYZE_MICROSECONDS[options.scheme]
    if options.scheme.startswith("rtsp"):
        settings["rtsp_transport"] = options.transport
    if options.scheme == "udp" and "fifo_size" not in address:
        address += ("&" if "?" in address else "?") + "fifo_size=1000000&overrun_nonfatal=1"
    return address, settings


class SrtReader:
    """MPEG-TS from ``srt-live-transmit``, a child process: PyAV's FFmpeg has no SRT."""

    def __init__(self, address: str, read_seconds: float) -> None:
        self.name = "srt"
        self._seconds = read_seconds
        self._process = transmit(address, "file://con", subprocess.DEVNULL, subprocess.PIPE)
        assert self._process.stdout is not None
        self._pipe = self._process.stdout.fileno()

    def __enter__(self) -> SrtReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def read(self, size: int) -> bytes:
        """Some bytes; none at the end, and where nothing comes for too long."""
        return os.read(self._pipe, size) if is_readable(self._pipe, self._seconds) else b""
