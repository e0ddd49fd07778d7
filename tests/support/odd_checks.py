"""Whether an odd file became what it must: decoded frames, times, sound, texts, and what was told."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.error
import pytest
from av.audio.frame import AudioFrame
from clips import safe
from make_odd_files import OddFile
from odd_media import UnavailableError

from streamanon.config import OutputConfig
from streamanon.errors import StreamanonError
from streamanon.media.decode import read_frames
from streamanon.media.encode import VideoSink
from streamanon.media.probe import probe


@dataclass
class Found:
    """What an output holds. ``sounds``: (codec, seconds of it, first second) of each; ``texts``: codecs."""

    times: list[float]
    picture: str
    interlaced: bool
    sounds: list[tuple[str, float, float]]
    texts: list[str]


def told_of(source: Path, target: Path, config: OutputConfig) -> list[str]:
    """Write what is read, unchanged; the sentences that were said."""
    notes: list[str] = []
    info = probe(source)
    with VideoSink(target, info, config, source) as sink:
        for frame in read_frames(source, info, None, notes.append):
            sink.write(safe(frame))
    return [*sink.notes, *notes]


def look(path: Path) -> Found:
    """Decode all of it, as any PyAV program does."""
    with av.open(str(path)) as opened:
        video = opened.streams.video[0]
        frames = [
            (f.pts, f.format.name, f.interlaced_frame) for f in opened.decode(video) if f.pts is not None
        ]
        base = video.time_base or Fraction(1)
        texts = [one.codec_context.codec.canonical_name for one in opened.streams.subtitles]
        count = len(opened.streams.audio)
    sounds = [_sound(path, number) for number in range(count)]
    return Found([float(pts * base) for pts, *_ in frames], frames[0][1], frames[0][2], sounds, texts)


def _sound(path: Path, number: int) -> tuple[str, float, float]:
    frames: list[AudioFrame] = []
    with av.open(str(path)) as opened:
        stream = opened.streams.audio[number]
        name = stream.codec_context.name
        for packet in opened.demux(stream):
            with contextlib.suppress(av.error.InvalidDataError):  # damaged in the source, too
                frames += stream.decode(packet)
    first = frames[0]
    begin = float(first.pts * first.time_base) if first.pts is not None and first.time_base else 0.0
    return name, sum(frame.samples / frame.sample_rate for frame in frames), begin


def check(one: OddFile, folder: Path) -> None:
    """Make the file, write it to its output and compare; skips where this machine cannot make it."""
    source, target = folder / one.name, folder / f"out{one.output}"
    try:
        one.make(source)
    except UnavailableError as reason:
        pytest.skip(str(reason))
    if one.refused:
        with pytest.raises(StreamanonError) as caught:
            told_of(source, target, OutputConfig(preset="ultrafast"))
        assert one.refused in str(caught.value)
        assert not target.exists()
        return
    said = told_of(source, target, OutputConfig(preset="ultrafast"))
    for part in one.told:
        assert any(part in sentence for sentence in said), (part, said)
    extra = [sentence for sentence in said if not any(part in sentence for part in one.told)]
    assert extra == []
    _compare(one, look(target))


def _compare(one: OddFile, found: Found) -> None:
    assert len(found.times) == one.frames
    assert all(a < b for a, b in zip(found.times, found.times[1:], strict=False))
    assert found.times[-1] - found.times[0] == pytest.approx(one.seconds, abs=0.05)
    assert (found.picture, found.interlaced) == (one.picture, one.fields)
    assert tuple(name for name, *_ in found.sounds) == one.sounds
    assert tuple(found.texts) == one.texts
    for _, heard, begin in found.sounds:
        wanted = one.heard if one.heard is not None else one.seconds + 0.04
        assert heard == pytest.approx(wanted, abs=0.2 if one.sound_starts is None else 0.08)
        if one.sound_starts is not None:
            assert begin - found.times[0] == pytest.approx(one.sound_starts, abs=0.045)
