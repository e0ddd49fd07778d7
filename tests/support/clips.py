"""Tiny clips written with PyAV, and a run that changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from streamanon.config import OutputConfig
from streamanon.media.decode import read_frames
from streamanon.media.encode import VideoSink
from streamanon.media.probe import probe
from streamanon.testing.safe_frames import unchecked_safe_frame
from streamanon.types import RawFrame, SafeFrame

QUICK = {"libx264": {"preset": "ultrafast", "crf": "10"}, "libx265": {"x265-params": "log-level=error"}}


def picture_rgb(index: int, width: int, height: int) -> NDArray[np.uint8]:
    """A gradient that moves with ``index``, uint8 [height, width, 3]."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 3 + index * 5, y * 4, x + y + index], axis=2).astype(np.uint8)


def write_clip(
    path: Path,
    *,
    pts: Sequence[int] | int = 12,
    time_base: Fraction = Fraction(1, 25),
    size: tuple[int, int] = (64, 48),
    pixel_format: str = "yuv420p",
    codec: str = "libx264",
    rate: Fraction | int = 25,
    audio: Sequence[str] = (),
    subtitle: str | None = None,
    rotation: int = 0,
    matrix: tuple[int, ...] | None = None,
    aspect: Fraction | None = None,
    colour: tuple[int, int, int, int] | None = None,
    tags: dict[str, str] | None = None,
    cover: bool = False,
    options: dict[str, str] | None = None,
    muxer: dict[str, str] | None = None,
) -> Path:
    """Write a clip of moving gradients. ``colour``: primaries, transfer, matrix, range (ITU-T H.273)."""
    times = range(pts) if isinstance(pts, int) else pts
    muxing = {"avoid_negative_ts": "disabled"} | (muxer or {})
    with av.open(str(path), "w", container_options=muxing) as output:
        output.metadata.update(tags or {})
        video = output.add_stream(codec, rate=rate, options=QUICK.get(codec, {}) | (options or {}))
        assert isinstance(video, VideoStream)
        context = video.codec_context
        context.width, context.height, context.pix_fmt = *size, pixel_format
        context.time_base = time_base
        if aspect:
            context.sample_aspect_ratio = aspect
        if colour:
            context.color_primaries, context.color_trc, context.colorspace, context.color_range = colour
        if rotation:
            video.set_display_rotation(rotation)
        if matrix:
            video.set_display_matrix(matrix)
        sounds = [_add_audio(output, name, number) for number, name in enumerate(audio)]
        text = _add_subtitle(output, subtitle) if subtitle else None
        if cover:
            _add_cover(output)
        for index, at in enumerate(times):
            frame = VideoFrame.from_ndarray(picture_rgb(index, *size), format="rgb24")
            frame = frame.reformat(format=pixel_format)
            frame.pts, frame.time_base = at, time_base
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        for sound in sounds:
            _write_audio(output, sound, float(max(times) * time_base) + 0.04)
        if text is not None:
            _write_subtitles(output, text)
    return path


def pass_through(source: Path, target: Path, config: OutputConfig | None = None) -> VideoSink:
    """Write what is read, unchanged."""
    info = probe(source)
    with VideoSink(target, info, config or OutputConfig(preset="ultrafast"), source) as sink:
        for frame in read_frames(source, info):
            sink.write(safe(frame))
    return sink


def safe(frame: RawFrame) -> SafeFrame:
    """The frame as if it had been covered."""
    return unchecked_safe_frame(frame)


def times(path: Path) -> list[Fraction]:
    """Seconds of every decoded frame, as any PyAV program reads them."""
    with av.open(str(path)) as opened:
        stamps = [(frame.pts, frame.time_base) for frame in opened.decode(video=0)]
    return [Fraction(pts * base) for pts, base in stamps if pts is not None and base is not None]


def packets(path: Path, kind: str) -> list[tuple[int, Fraction, bytes]]:
    """(Which stream of this kind, seconds, bytes) of every packet of "audio" or "subtitles"."""
    with av.open(str(path)) as opened:
        streams: tuple[Stream, ...] = getattr(opened.streams, kind)
        if not streams:
            return []
        order = {stream.index: number for number, stream in enumerate(streams)}
        found = [packet for packet in opened.demux(*streams) if packet.size and packet.pts is not None]
        listed = [
            (order[p.stream_index], p.pts * p.time_base, bytes(p)) for p in found if p.pts is not None
        ]
        return sorted(listed, key=lambda item: item[:2])


def _add_audio(output: av.container.OutputContainer, name: str, number: int) -> Stream:
    stream = output.add_stream(name, rate=48000)
    stream.metadata["language"] = ("deu", "eng", "fra")[number]
    stream.metadata["title"] = "SecretTrack"
    stream.disposition = Disposition.default if number == 0 else Disposition.comment
    return stream


def _write_audio(output: av.container.OutputContainer, stream: Stream, seconds: float) -> None:
    random = np.random.default_rng(stream.index)
    planar = "p" in stream.codec_context.format.name  # type: ignore[attr-defined]
    for at in range(0, int(seconds * 48000), 1024):
        noise = random.normal(0, 0.1, (2, 1024))
        data = (noise if planar else noise.T.reshape(1, -1)).astype(np.float32)
        if stream.name == "pcm_s16le":
            frame = av.AudioFrame.from_ndarray(
                (data * 9000).astype(np.int16), format="s16", layout="stereo"
            )
        else:
            frame = av.AudioFrame.from_ndarray(data, format="fltp" if planar else "flt", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48000, at, Fraction(1, 48000)
        output.mux(stream.encode(frame))  # type: ignore[attr-defined]
    output.mux(stream.encode(None))  # type: ignore[attr-defined]


def _add_subtitle(output: av.container.OutputContainer, name: str) -> Stream:
    stream = output.add_mux_stream(name, time_base=Fraction(1, 1000))
    stream.metadata["language"] = "swe"
    return stream


def _write_subtitles(output: av.container.OutputContainer, stream: Stream) -> None:
    for number in range(3):
        packet = Packet(f"Line {number}".encode())
        packet.stream, packet.time_base = stream, Fraction(1, 1000)
        packet.pts = packet.dts = number * 120
        packet.duration = 100
        output.mux(packet)


def _add_cover(output: av.container.OutputContainer) -> None:
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 32, 32, "yuvj420p"
    encoder.time_base = Fraction(1, 25)
    frame = VideoFrame.from_ndarray(picture_rgb(0, 32, 32), format="rgb24").reformat(format="yuvj420p")
    data = b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
    output.add_attachment("cover.jpg", "image/jpeg", data)
