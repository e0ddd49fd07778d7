"""Makes small odd media files with PyAV: what ``make_odd_files.py`` needs to write its corpus."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.codec.context import Flags
from av.container import OutputContainer
from av.filter.graph import Graph
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

_QUICK = {
    "libx264": {"preset": "ultrafast"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=error"},
}
_FIELD_ORDERS = {"tff": 2, "bff": 3}


@dataclass(frozen=True)
class Sound:
    """A tone that rises from 440 Hz. ``codec``: the encoder. ``start``, ``seconds``: when it is heard.
    ``samples``: FFmpeg's name of the format that is encoded, by default the encoder's first one.
    """

    codec: str
    rate: int = 48000
    layout: str = "stereo"
    start: float = 0.0
    seconds: float | None = None
    samples: str = ""


@dataclass(frozen=True)
class Clip:
    """A clip of FFmpeg's test picture. ``times``: of the frames in ``time_base``, else evenly at ``rate``.
    ``fields``: "tff" or "bff". ``texts``: codecs of subtitles; ``extra``: called with the open output.
    """

    frames: int = 50
    size: tuple[int, int] = (64, 48)
    codec: str = "libx264"
    pixel_format: str = "yuv420p"
    rate: Fraction = Fraction(25)
    options: dict[str, str] = field(default_factory=dict)
    time_base: Fraction | None = None
    times: Sequence[int] | None = None
    fields: str = ""
    colour: tuple[int, int, int, int] | None = None
    aspect: Fraction | None = None
    rotation: int = 0
    sounds: tuple[Sound, ...] = ()
    texts: tuple[str, ...] = ()
    muxer: str | None = None
    muxer_options: dict[str, str] = field(default_factory=dict)
    extra: Callable[[OutputContainer], None] | None = None


def write(path: Path, clip: Clip) -> None:
    """Encode the clip."""
    options = {"avoid_negative_ts": "disabled"} | clip.muxer_options
    with av.open(str(path), "w", format=clip.muxer, container_options=options) as output:
        video = _add_video(output, clip)
        sounds = [_add_sound(output, sound) for sound in clip.sounds]
        texts = [output.add_mux_stream(codec, time_base=Fraction(1, 1000)) for codec in clip.texts]
        if clip.extra is not None:
            clip.extra(output)
        seconds = float(clip.frames / clip.rate)
        for frame in _pictures(clip):
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        for sound, stream in zip(clip.sounds, sounds, strict=True):
            _write_sound(output, sound, stream, seconds)
        for codec, text in zip(clip.texts, texts, strict=True):
            _write_texts(output, text, codec)


def _add_video(output: OutputContainer, clip: Clip) -> VideoStream:
    video = output.add_stream(clip.codec, rate=clip.rate, options=_QUICK.get(clip.codec, {}) | clip.options)
    assert isinstance(video, VideoStream)
    context = video.codec_context
    context.width, context.height, context.pix_fmt = *clip.size, clip.pixel_format
    context.time_base = clip.time_base or 1 / clip.rate
    if clip.fields:
        context.flags |= int(Flags.interlaced_dct) | int(Flags.interlaced_me)
        context.field_order = _FIELD_ORDERS[clip.fields]
    if clip.colour is not None:
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = clip.colour
    if clip.aspect is not None:
        context.sample_aspect_ratio = clip.aspect
    if clip.rotation:
        video.set_display_rotation(clip.rotation)
    return video


def _pictures(clip: Clip) -> Iterator[VideoFrame]:
    width, height = clip.size
    count, rate = clip.frames, clip.rate
    lines = 2 if clip.fields else 1
    source = f"testsrc=s={width}x{height}:r={rate * lines}:d={float(count / rate) + 1}"
    mark = _marker(clip) if clip.fields else None
    with av.open(source, format="lavfi") as opened:
        decoded = opened.decode(video=0)
        for index in range(count):
            images = [np.asarray(next(decoded).to_ndarray(format="rgb24"), np.uint8) for _ in range(lines)]
            frame = VideoFrame.from_ndarray(_woven(images, clip.fields), format="rgb24")
            frame = frame.reformat(format=clip.pixel_format)
            frame.time_base = clip.time_base or 1 / rate
            frame.pts = (
                clip.times[index] if clip.times is not None else round(index / rate / frame.time_base)
            )
            yield frame if mark is None else mark(frame)


def _woven(images: list[NDArray[np.uint8]], fields: str) -> NDArray[np.uint8]:
    """One picture, or the lines of two in turn."""
    if not fields:
        return images[0]
    woven = images[0].copy()
    other = 1 if fields == "tff" else 0
    woven[other::2] = images[1][other::2]
    return woven


def _marker(clip: Clip) -> Callable[[VideoFrame], VideoFrame]:
    graph = Graph()
    picture = av.VideoFormat(clip.pixel_format, *clip.size)
    time_base = clip.time_base or 1 / clip.rate
    source = graph.add_buffer(width=clip.size[0], height=clip.size[1], format=picture, time_base=time_base)
    graph.link_nodes(source, graph.add("setfield", clip.fields), graph.add("buffersink")).configure()

    def mark(frame: VideoFrame) -> VideoFrame:
        graph.vpush(frame)
        return graph.vpull()

    return mark


def _add_sound(output: OutputContainer, sound: Sound) -> AudioStream:
    options = {"strict": "experimental"} if sound.codec == "vorbis" else {}
    stream = output.add_stream(sound.codec, rate=sound.rate, options=options)
    assert isinstance(stream, AudioStream)
    stream.codec_context.layout = sound.layout
    if sound.samples:
        stream.codec_context.format = av.AudioFormat(sound.samples)
    if sound.codec == "wmav2":  # has no bit rate of its own
        stream.codec_context.bit_rate = 128_000
    return stream


def _write_sound(output: OutputContainer, sound: Sound, stream: AudioStream, seconds: float) -> None:
    resampler = av.AudioResampler(stream.codec_context.format, sound.layout, sound.rate)
    length = round((sound.seconds if sound.seconds is not None else seconds - sound.start) * sound.rate)
    channels = len(av.AudioLayout(sound.layout).channels)
    start = round(sound.start * sound.rate)
    for at in range(0, length, 1024):
        now = np.arange(at, min(at + 1024, length)) / sound.rate
        phase = 2 * np.pi * (440 * now + 20 * now**2)
        wave = np.repeat(0.1 * np.sin(phase), channels).astype(np.float32)[None]
        frame = AudioFrame.from_ndarray(wave, format="flt", layout=sound.layout)
        frame.sample_rate, frame.pts, frame.time_base = sound.rate, start + at, Fraction(1, sound.rate)
        for ready in resampler.resample(frame):
            output.mux(stream.encode(ready))
    if length:
        output.mux(stream.encode(None))


_TEXTS = {
    "ass": "{number},0,Default,,0,0,0,,Line {number}",
    "mov_text": "Line {number}",
    "subrip": "<i>Line</i> {number}",
    "webvtt": "Line {number}",
    "hdmv_pgs_subtitle": "pictures, {number}",
}


def _write_texts(output: OutputContainer, stream: Stream, codec: str) -> None:
    for number in range(3):
        text = _TEXTS[codec].format(number=number).encode()
        packet: Packet[Stream] = Packet(
            len(text).to_bytes(2, "big") + text if codec == "mov_text" else text
        )
        packet.stream, packet.time_base = stream, Fraction(1, 1000)
        packet.pts = packet.dts = number * 500
        packet.duration = 400
        output.mux(packet)


def copy(source: Path, target: Path, shift: float = 0.0, options: dict[str, str] | None = None) -> None:
    """The packets of one file in another, ``shift`` seconds later. In MP4 and QuickTime what is then before
    zero is cut away by an edit list.
    """
    muxing = {"avoid_negative_ts": "disabled"} | (options or {})
    with av.open(str(source)) as opened, av.open(str(target), "w", container_options=muxing) as output:
        streams = {one.index: output.add_stream_from_template(one) for one in opened.streams}
        for packet in opened.demux():
            if packet.dts is None or packet.pts is None or not packet.size:
                continue
            ticks = round(Fraction(shift) / packet.time_base)
            packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
            packet.stream = streams[packet.stream_index]
            output.mux(packet)


class UnavailableError(Exception):
    """This machine cannot make the file; the text says what it lacks."""


def by_ffmpeg(path: Path, *arguments: str) -> None:
    """Made by FFmpeg's own command, which has encoders that PyAV does not have. Raises
    :class:`UnavailableError` without it.
    """
    command = shutil.which("ffmpeg")
    if command is None:
        raise UnavailableError("no ffmpeg command on this machine")
    subprocess.run([command, "-v", "error", "-y", *arguments, str(path)], check=True)


def join(target: Path, *parts: Path) -> None:
    """Files one behind the other, byte by byte."""
    target.write_bytes(b"".join(part.read_bytes() for part in parts))


def damage_aac_header(path: Path, number: int) -> None:
    """Spoil the header of one AAC packet in a transport stream."""
    data = bytearray(path.read_bytes())
    at = -1
    for _ in range(number):
        at = data.index(b"\xff\xf1", at + 1)
    data[at + 2] ^= 0x3C
    data[at + 3] ^= 0xFF
    path.write_bytes(data)


def edit(path: Path, *pieces: tuple[float, float]) -> None:
    """Let an MP4 of which the table is at the end show only these pieces: (first second, seconds)."""
    path.write_bytes(_edited(path.read_bytes(), pieces, 0))


def _edited(boxes: bytes, pieces: Sequence[tuple[float, float]], ticks: int) -> bytes:
    """Edits count in ``ticks`` of the track a second (ISO/IEC 14496-12, 8.4.2), and in milliseconds."""
    at, made = 0, b""
    while at < len(boxes):
        length, kind = struct.unpack_from(">I4s", boxes, at)
        content = boxes[at + 8 : at + length]
        if kind in (b"moov", b"trak"):
            media = content.find(b"mdhd")
            content = _edited(content, pieces, struct.unpack_from(">I", content, media + 16)[0])
        elif kind == b"edts":
            first = struct.unpack_from(">i", content, 20)[0]  # the encoder's priming
            entries = b"".join(
                struct.pack(">IiHH", round(seconds * 1000), first + round(begin * ticks), 1, 0)
                for begin, seconds in pieces
            )
            content = struct.pack(">I4sII", 16 + len(entries), b"elst", 0, len(pieces)) + entries
        made += struct.pack(">I4s", 8 + len(content), kind) + content
        at += length
    return made


def begin_earlier(path: Path, milliseconds: int) -> None:
    """Put all times of a Matroska file earlier, also to before zero, where no muxer writes any."""
    data = bytearray(path.read_bytes())
    _shift_blocks(data, 0, len(data), milliseconds, [0])
    path.write_bytes(data)


def _shift_blocks(data: bytearray, at: int, end: int, by: int, moved: list[int]) -> None:
    """``moved``: by how much the cluster's own time got earlier; times in blocks are counted from it."""
    while at < end:
        identifier = bytes(data[at : at + _length_of(data, at)])
        at += len(identifier)
        size, width = _number(data, at), _length_of(data, at)
        at += width
        last = end if size == (1 << 7 * width) - 1 else at + size  # all ones: not told
        if identifier in _PARENTS:
            _shift_blocks(data, at, last, by, moved)
        elif identifier == _CLUSTER_TIME:
            time = int.from_bytes(data[at:last], "big")
            moved[0] = min(time, by)
            data[at:last] = (time - moved[0]).to_bytes(last - at, "big")
        elif identifier in _BLOCKS:
            place = at + _length_of(data, at)
            time = int.from_bytes(data[place : place + 2], "big", signed=True)
            data[place : place + 2] = (time - by + moved[0]).to_bytes(2, "big", signed=True)
        at = last


#: Segment, cluster, block group; the time of a cluster; simple block, block (RFC 9559).
_PARENTS = (b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75", b"\xa0")
_CLUSTER_TIME, _BLOCKS = b"\xe7", (b"\xa3", b"\xa1")


def _length_of(data: bytearray, at: int) -> int:
    """Bytes of a number of EBML (RFC 8794, 4): as many as it has leading zeros, and one."""
    return 9 - data[at].bit_length()


def _number(data: bytearray, at: int) -> int:
    width = _length_of(data, at)
    return int.from_bytes(data[at : at + width], "big") & ((1 << 7 * width) - 1)
