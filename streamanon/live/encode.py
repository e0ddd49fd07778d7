"""H.264 or HEVC, and AAC, for live outputs: encoded once, whatever the number of outputs."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from streamanon.config import OutputConfig
from streamanon.live.sound import RATE
from streamanon.live.wire import AUDIO, CLOCK_HZ, VIDEO, Encoded
from streamanon.media import nvenc
from streamanon.media.probe import SourceInfo
from streamanon.types import Float, SafeFrame, check_safe

#: A key frame at least this often, s: HLS segments and parts that a slow reader loses begin with one.
GROUP_SECONDS = 1.0
#: AAC: samples of a packet, bits a second.
AAC_SAMPLES, AAC_BITRATE = 1024, 128_000
#: Most bits of a pixel and second, beside the CRF, so that noise at night does not fill the line.
BITS_PER_PIXEL = 0.15
#: By ``output.codec``, those that servers and players take live.
ENCODERS = {"h264": "libx264", "hevc": "libx265"}
_GLOBAL_HEADER = 1 << 22


class Encoder:
    """One camera's encoder. ``rate``: frames a second, about. ``gpu``: the number of the one that encodes,
    where one does. Use it from one thread.
    """

    def __init__(
        self,
        info: SourceInfo,
        config: OutputConfig,
        rate: Fraction,
        sound: bool,
        threads: int = 1,
        gpu: int = 0,
    ) -> None:
        header = io.BytesIO()
        movflags = {"movflags": "empty_moov+frag_keyframe+default_base_moof"}
        self._container = av.open(header, "w", format="mp4", options=movflags)
        self._video = self._add_video(info, config, rate, threads, gpu)
        self._audio = self._add_audio() if sound else None
        self._container.start_encoding()
        #: What :class:`streamanon.live.wire.Hello` wants.
        self.header = header.getvalue()
        self.setup = bytes(self._video.codec_context.extradata or b"")
        self._size = (info.width, info.height)
        self._key_at = float("-inf")

    def _add_video(
        self, info: SourceInfo, config: OutputConfig, rate: Fraction, threads: int, gpu: int
    ) -> VideoStream:
        pixels = info.width * info.height
        most = max(500_000, int(pixels * min(float(rate), 60.0) * BITS_PER_PIXEL))
        options = {"maxrate": str(most), "bufsize": str(most), "forced-idr": "1"}
        encoder = ENCODERS[config.codec]
        if config.encoder == "nvenc":
            encoder = nvenc.encoder_of(config.codec)
            options |= nvenc.options_of(config, gpu, live=True)
        else:
            options |= {"preset": config.preset, "tune": "zerolatency", "crf": str(config.crf)}
            if config.codec == "hevc":
                options["x265-params"] = f"log-level=error:pools={threads}"
        video = self._container.add_stream(encoder, rate=rate, options=options)
        assert isinstance(video, VideoStream)
        context = video.codec_context
        context.width, context.height, context.pix_fmt = info.width, info.height, "yuv420p"
        context.time_base, context.gop_size = Fraction(1, CLOCK_HZ), max(1, round(rate * 2))
        context.max_b_frames, context.thread_count = 0, threads
        context.flags |= _GLOBAL_HEADER
        colour = info.colour
        context.color_primaries, context.color_trc = colour.primaries, colour.transfer
        context.colorspace, context.color_range = colour.matrix, colour.range
        if info.sample_aspect_ratio:
            context.sample_aspect_ratio = info.sample_aspect_ratio
        return video

    def _add_audio(self) -> AudioStream:
        audio = self._container.add_stream("aac", rate=RATE, layout="stereo")
        assert isinstance(audio, AudioStream)
        audio.bit_rate = AAC_BITRATE
        audio.codec_context.flags |= _GLOBAL_HEADER
        return audio

    def video(self, frame: SafeFrame, born: float = 0.0) -> list[Encoded]:
        """The packets of a frame. Takes exactly :class:`SafeFrame` (else ``TypeError``): no raw frame can
        reach an output. ``born``: when its picture arrived, s.
        """
        check_safe(frame)
        if (frame.picture.width, frame.picture.height) != self._size:
            raise ValueError(f"{frame.picture!r} does not have the stream's size")
        built = VideoFrame(*self._size, "yuv420p")
        for target, plane in zip(built.planes, frame.picture.planes, strict=True):
            rows = np.frombuffer(memoryview(target), np.uint8).reshape(target.height, -1)
            rows[:, : target.width] = plane
        built.pts, built.time_base = frame.pts, frame.time_base
        context = self._video.codec_context
        built.colorspace, built.color_range = context.colorspace, context.color_range
        built.color_primaries, built.color_trc = context.color_primaries, context.color_trc
        if frame.pts_seconds - self._key_at >= GROUP_SECONDS - 0.01:
            built.pict_type = PictureType.I
            self._key_at = frame.pts_seconds
        return list(_encoded(VIDEO, self._video.encode(built), born))

    def sound(self, position: int, samples: Float) -> list[Encoded]:
        """The packets of :data:`AAC_SAMPLES` samples [2, N], the first of which has this number."""
        assert self._audio is not None
        frame = AudioFrame.from_ndarray(np.clip(samples, -1, 1), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = RATE, position, Fraction(1, RATE)
        return list(_encoded(AUDIO, self._audio.encode(frame), 0.0))

    def close(self) -> list[Encoded]:
        """What is left, and the end."""
        left = list(_encoded(VIDEO, self._video.encode(None), 0.0))
        if self._audio is not None:
            left += _encoded(AUDIO, self._audio.encode(None), 0.0)
        return left


def _encoded(kind: int, packets: Iterable[Packet], born: float) -> Iterator[Encoded]:  # type: ignore[type-arg]
    for packet in packets:
        if packet.pts is None or packet.time_base is None:
            continue
        scale = packet.time_base * CLOCK_HZ
        pts = round(packet.pts * scale)
        dts = pts if packet.dts is None else round(packet.dts * scale)
        duration = round((packet.duration or 0) * scale)
        yield Encoded(kind, packet.is_keyframe, pts, dts, duration, bytes(packet), born)
