"""Sound that is encoded anew: what encoders would not take."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np
import pytest
from av.audio.frame import AudioFrame

from streamanon.media.sound import SoundEncoder

RATE = 48_000


@pytest.mark.parametrize("layout", ["mono", "7.1"])
@pytest.mark.parametrize("nonsense", [np.nan, np.inf, -1e20])
def test_nonsense_of_damaged_sound_becomes_silence(nonsense: float, layout: str) -> None:
    channels = av.AudioLayout(layout).nb_channels
    with av.open(io.BytesIO(), "w", "matroska") as output:
        stream = output.add_stream("aac", rate=RATE, layout=layout)
        encoder = SoundEncoder(stream.codec_context, stream.encode)
        made = []
        for number in range(10):
            wave = np.full((1, channels * 1024), nonsense if number == 5 else 0.1, np.float32)
            frame = AudioFrame.from_ndarray(wave, "flt", layout)
            frame.sample_rate, frame.pts, frame.time_base = RATE, number * 1024, Fraction(1, RATE)
            made += list(encoder.take(frame))
        made += list(encoder.rest())
        assert len(made) == 11  # and one of priming


@pytest.mark.parametrize("layout", ["mono", "7.1"])
def test_a_gap_is_filled_with_silence(layout: str) -> None:
    channels = av.AudioLayout(layout).nb_channels
    with av.open(io.BytesIO(), "w", "matroska") as output:
        stream = output.add_stream("aac", rate=RATE, layout=layout)
        encoder = SoundEncoder(stream.codec_context, stream.encode)
        made = []
        for at in (0, 1024, 48_000 + 1024):
            frame = AudioFrame.from_ndarray(np.full((1, channels * 1024), 0.1, np.float32), "flt", layout)
            frame.sample_rate, frame.pts, frame.time_base = RATE, at, Fraction(1, RATE)
            made += list(encoder.take(frame))
        made += list(encoder.rest())
        assert len(made) == 50
