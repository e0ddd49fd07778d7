"""Text subtitles of a kind that the output's container does not know: converted."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import av.error
from av.codec.context import CodecContext
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.subtitles.codeccontext import SubtitleCodecContext
from av.subtitles.stream import SubtitleStream

_MILLISECOND = Fraction(1, 1000)
#: What encoders want to know of styles, for a source that does not tell.
_PLAIN_HEADER = b"""[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, \
Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, \
MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,0

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


def _usable_header(encoder: str, header: bytes | None) -> bytes:
    """The source's styles if the encoder can read them."""
    trial = CodecContext.create(encoder, "w")
    assert isinstance(trial, SubtitleCodecContext)
    trial.time_base, trial.subtitle_header = _MILLISECOND, header or _PLAIN_HEADER
    try:
        trial.open()
    except av.error.FFmpegError:
        return _PLAIN_HEADER
    return header or _PLAIN_HEADER


class ConvertedText:
    """One stream of subtitles, converted by ``encoder``, FFmpeg's name of it; styles go as far as that
    format has none.
    """

    def __init__(self, output: OutputContainer, source: SubtitleStream, encoder: str) -> None:
        source.codec_context.open(strict=False)
        stream = output.add_stream(encoder)
        assert isinstance(stream, SubtitleStream)
        stream.time_base = _MILLISECOND
        stream.codec_context.time_base = _MILLISECOND
        stream.codec_context.subtitle_header = _usable_header(encoder, source.codec_context.subtitle_header)
        self.stream, self._source, self.note = stream, source, ""

    def packets(self, packet: Packet[Stream]) -> Iterator[Packet[Stream]]:
        """The text of one packet; nothing for one that holds none, or that is damaged."""
        try:
            text = self._source.codec_context.decode2(packet)
            if text is None or not len(text):
                return
            shown = text.end_display_time
            made = self.stream.codec_context.encode_subtitle(text)
        except av.error.FFmpegError:
            return
        if not made.size:
            return
        made.stream, made.time_base = self.stream, packet.time_base
        made.pts = made.dts = packet.pts
        known = packet.duration or (
            round(shown * _MILLISECOND / packet.time_base) if 0 < shown < 2**31 else 0
        )
        made.duration = known
        yield made

    def rest(self) -> Iterator[Packet[Stream]]:
        """Nothing is held back."""
        return iter(())
