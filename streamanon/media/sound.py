"""Sound that the output's container cannot hold as it is: decoded, and encoded anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import av.error
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.fifo import AudioFifo
from av.audio.format import AudioFormat
from av.audio.frame import AudioFrame
from av.audio.plane import AudioPlane
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream

from streamanon.media.adts import AdtsFrames, is_framed_aac

#: Bits a second and channel.
BIT_RATES = {"aac": 96_000, "libopus": 64_000}
_RATES = {
    "aac": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000),
    "libopus": (48000,),
}
#: What players take a number of channels for, and what is encoded of it.
CHANNEL_NAMES = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
_ENCODED = {"aac": CHANNEL_NAMES | {7: "5.1"}, "libopus": CHANNEL_NAMES | {4: "quad"}}
#: Shorter gaps are the rounding of times; longer ones up to the other are filled with silence.
_GAP_SECONDS, _LONG_GAP_SECONDS = 0.05, 2.0
#: Samples lie between -1 and 1, a little over it where sound is clipped.
_LOUDEST = 16
#: Of encoders that take any number of samples.
_FRAME_SAMPLES = 1024


def known_layout(context: AudioCodecContext) -> str | None:
    """The layout of the channels; by convention where only their number is told, None for odd numbers."""
    layout = context.layout
    if layout.name != f"{layout.nb_channels} channels":
        return layout.name
    return CHANNEL_NAMES.get(layout.nb_channels)


class SoundEncoder:
    """Frames in, of any rate and channels; packets out, as ``context``, an encoder's, has them.

    Gaps are filled with silence or, from two seconds on, left; what overlaps is cut. ``encode``: gives the
    packets of a frame, and those left for None.
    """

    def __init__(
        self, context: AudioCodecContext, encode: Callable[[AudioFrame | None], list[Any]]
    ) -> None:
        self._context, self._encode = context, encode
        self._layout, self._rate = context.layout.name, context.sample_rate
        self._resampler: AudioResampler | None = None
        self._fifo: AudioFifo | None = None
        self._next: int | None = None  # the sample that is encoded next, and those in the fifo
        self._held = 0
        self._told: Fraction | None = None

    def take(self, frame: AudioFrame) -> Iterator[Packet[Stream]]:
        """What becomes ready by one frame."""
        if not frame.samples:
            return
        told = frame.pts * frame.time_base if frame.pts is not None and frame.time_base else None
        # RealMedia has one time for many frames, which follow each other.
        seconds, self._told = None if told == self._told else told, told
        ready = self._resample(frame)
        if not ready:
            return
        ahead = 0.0
        if self._next is None:
            self._next = round((seconds or 0) * self._rate)
        elif seconds is not None:
            ahead = float(seconds) - (self._next + self._held) / self._rate
        if ahead > _LONG_GAP_SECONDS:
            yield from self._drain()
            self._next = round((seconds or Fraction(0)) * self._rate)
        elif ahead > _GAP_SECONDS:
            self._hold(self._silence(round(ahead * self._rate)))
        for piece in ready:
            if ahead < -max(_GAP_SECONDS, piece.samples / self._rate):
                ahead += piece.samples / self._rate  # was said before
                continue
            self._hold(piece)
        yield from self._ready(partial=False)

    def rest(self) -> Iterator[Packet[Stream]]:
        """What is left at the end."""
        yield from self._drain()
        if self._next is not None:
            yield from self._encode(None)

    def _resample(self, frame: AudioFrame) -> list[AudioFrame]:
        """In the encoder's format, layout and rate. Those of a source may change."""
        frame.pts = None
        for _ in range(2):
            try:
                if self._resampler is None:
                    self._resampler = AudioResampler(self._context.format, self._layout, self._rate)
                return self._resampler.resample(frame)
            except (ValueError, av.error.FFmpegError):
                self._resampler = None
        return []

    def _silence(self, samples: int) -> AudioFrame:
        frame = AudioFrame(self._context.format.name, self._layout, samples)
        for plane in _planes(frame):
            np.frombuffer(memoryview(plane), np.uint8)[:] = 0
        frame.sample_rate = self._rate
        return frame

    def _hold(self, frame: AudioFrame) -> None:
        self._fifo = self._fifo or AudioFifo()
        frame.pts = None
        self._fifo.write(frame)
        self._held += frame.samples

    def _drain(self) -> Iterator[Packet[Stream]]:
        """Encode all that is held."""
        if self._resampler is not None:
            for piece in self._resampler.resample(None):
                self._hold(piece)
            self._resampler = None
        yield from self._ready(partial=True)
        self._fifo = None

    def _ready(self, partial: bool) -> Iterator[Packet[Stream]]:
        size = self._context.frame_size or _FRAME_SAMPLES
        while self._fifo is not None and (self._held >= size or (partial and self._held)):
            frame = self._fifo.read(min(size, self._held))
            if frame is None or self._next is None:
                return
            _silence_nonsense_of(frame)
            frame.pts, frame.time_base = self._next, Fraction(1, self._rate)
            self._next += frame.samples
            self._held -= frame.samples
            yield from self._encode(frame)


class EncodedSound:
    """One audio stream, encoded anew with ``encoder``, FFmpeg's name of it. Raises ValueError where the
    container does not take what the encoder makes.
    """

    def __init__(self, output: OutputContainer, source: AudioStream, encoder: str) -> None:
        context, known = source.codec_context, known_layout(source.codec_context)
        if known is not None:
            context.layout = known
        rates = _RATES.get(encoder)
        rate = context.sample_rate if rates is None or context.sample_rate in rates else 48000
        stream = output.add_stream(encoder, rate=rate)
        assert isinstance(stream, AudioStream)
        self.stream, self._source, self.note = stream, source, ""
        stream.codec_context.layout = _ENCODED.get(encoder, CHANNEL_NAMES).get(
            context.layout.nb_channels, "stereo"
        )
        if encoder == "flac" and context.format.bits > 16:  # it would take 16 of 24
            stream.codec_context.format = AudioFormat("s32")
        if encoder in BIT_RATES:
            stream.codec_context.bit_rate = BIT_RATES[encoder] * stream.codec_context.layout.nb_channels
        self._frames = AdtsFrames() if is_framed_aac(source) else None
        self._encoder = SoundEncoder(stream.codec_context, stream.encode)

    @property
    def change(self) -> str:
        """What becomes of its channels, if they change."""
        before, after = self._source.codec_context.layout.nb_channels, self.stream.codec_context.layout
        return f", {before} channels as {after.name}" if after.nb_channels != before else ""

    def packets(self, packet: Packet[Stream]) -> Iterator[Packet[Stream]]:
        """What the encoder makes of one packet of the source; damaged ones give silence."""
        for whole in [packet] if self._frames is None else self._frames.found(packet):
            for frame in decoded_sound(self._source, whole):
                yield from self._encoder.take(frame)

    def rest(self) -> Iterator[Packet[Stream]]:
        """What is left at the end."""
        for frame in decoded_sound(self._source, None):
            yield from self._encoder.take(frame)
        yield from self._encoder.rest()


def _planes(frame: AudioFrame) -> tuple[AudioPlane, ...]:
    """Those that are there: of eight channels PyAV gives more, of other memory."""
    return frame.planes[: frame.layout.nb_channels if frame.format.is_planar else 1]


def silence_nonsense(samples: np.ndarray) -> None:
    """In place: what decoders make of damaged sound may be no number, or a huge one; encoders refuse it."""
    samples[~(np.abs(samples) < _LOUDEST)] = 0


def _silence_nonsense_of(frame: AudioFrame) -> None:
    if not frame.format.name.startswith(("flt", "dbl")):
        return
    for plane in _planes(frame):
        kind = np.float32 if frame.format.bits == 32 else np.float64
        silence_nonsense(np.frombuffer(memoryview(plane), kind))


def decoded_sound(stream: AudioStream, packet: Packet[Stream] | None) -> list[AudioFrame]:
    """The frames of a packet, or those that are left; none of a damaged one."""
    try:
        return stream.decode(packet)
    except av.error.FFmpegError:
        return []
