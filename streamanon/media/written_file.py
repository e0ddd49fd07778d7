"""Opening a finished file again: muxers log much of what they cannot write, and say that all is well."""

from __future__ import annotations

from collections.abc import Collection
from fractions import Fraction
from pathlib import Path

import av.error
import av.logging

from streamanon.errors import SinkError, SourceError
from streamanon.media.address import redact_url
from streamanon.media.demux import open_input, packets_of
from streamanon.media.muxer import Muxer, Written

#: As they call themselves in FFmpeg's log.
_DEMUXERS = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "mpegts"})
#: By how much a stream may be shorter than what was written: a packet or two of sound.
_SHORTER_SECONDS = Fraction(1, 2)


def check_written(path: Path, muxer: Muxer, sounds: Collection[int], remedy: str) -> None:
    """Raises :class:`SinkError` where the file does not open, or lacks streams, frames or seconds of what
    the muxer was given. ``sounds``: numbers of the audio streams that had a packet.
    """
    shown = redact_url(str(path))
    try:
        with av.logging.Capture() as lines:
            found = _read(path)
    except (SourceError, av.error.FFmpegError):
        raise SinkError(f"{shown} was written but cannot be opened; {remedy}") from None
    suspect = [text for level, who, text in lines if level <= av.logging.ERROR and who in _DEMUXERS]
    if suspect:
        raise SinkError(f"{shown} was written but is damaged ({suspect[0].strip()}); {remedy}")
    videos = [one for kind, one in found if kind == "video"]
    heard = [one for kind, one in found if kind == "audio"]
    wanted, video = muxer.written[0], videos[0] if videos else Written(0, *[Fraction(0)] * 3)
    if video.packets < wanted.packets or len(heard) < len(sounds):
        held = f"{video.packets} of {wanted.packets} frames and {len(heard)} of {len(sounds)} audio streams"
        raise SinkError(f"{shown} was written but holds only {held}; {remedy}")
    pairs = [(video, wanted), *zip(heard, (muxer.written[index] for index in sorted(sounds)), strict=False)]
    for have, want in pairs:
        # MPEG-TS does not tell how long the last packet is.
        if have.end - have.begin < want.last - want.begin - _SHORTER_SECONDS:
            lasts = f"{float(have.end - have.begin):.1f} of {float(want.end - want.begin):.1f} seconds"
            raise SinkError(f"{shown} was written but holds only {lasts}; {remedy}")


def _read(path: Path) -> list[tuple[str, Written]]:
    """What is in each stream, as it is read: its type, and what :class:`Written` tells."""
    found: dict[int, Written] = {}
    with open_input(path) as opened:
        for packet in packets_of(opened, *opened.streams.video, *opened.streams.audio):
            is_hidden = packet.is_discard and packet.stream.type == "video"  # of sound, it is priming
            if not packet.size or packet.pts is None or is_hidden:
                continue
            at = packet.pts * packet.time_base
            one = found.setdefault(packet.stream_index, Written(0, at, at, at))
            one.note(at, (packet.duration or 0) * packet.time_base)
        return [(opened.streams[index].type, one) for index, one in sorted(found.items())]
