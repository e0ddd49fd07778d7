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


@pytest.mark.parametrize("nonsense", [np.nan, np.inf, -1e20])
def test_nonsense_of_damaged_sound_becomes_silence(nonsense: float) -> None:
    with av.open(io.BytesIO(), "w", "matroska") as output:
        stream = output.add_stream("aac", rate=RATE, layout="mono")
        encoder = SoundEncoder(stream.codec_context, stream.encode)
        made = []
        for number in range(10):
            wave = np.full((1, 1024), nonsense if number == 5 else 0.1, np.float32)
            frame = AudioFrame.from_ndarray(wave, "fltp", "mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, number * 1024, Fraction(1, RATE)
            made += list(encoder.take(frame))
        made += list(encoder.rest())
        assert len(made) == 11  # and one of priming
