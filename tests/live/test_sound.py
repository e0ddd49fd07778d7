"""Sound: gaps, drift, codecs; a voice made another."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from av.audio.frame import AudioFrame
from live_scenes import tone

from streamanon.live.sound import RATE, SoundTrack, stretched
from streamanon.live.voice import VoiceMask
from streamanon.types import Float


def clicks(track: Float) -> list[float]:
    """Where the clicks of :func:`tone` begin, s."""
    loud = np.flatnonzero(np.abs(track[0]) > 0.4)
    return [
        float(at) / RATE for at, gap in zip(loud, np.diff(loud, prepend=-RATE), strict=True) if gap > 4000
    ]


def laid(track: SoundTrack, end: float, size: int = 1024) -> tuple[int, Float]:
    pieces = track.until(end, size)
    for (first, _), (second, _) in pairwise(pieces):
        assert second == first + size
    return pieces[0][0], np.concatenate([samples for _, samples in pieces], axis=1)


def test_silence_without_sound() -> None:
    track = SoundTrack()
    track.until(10.0, 1024)
    position, samples = laid(track, 11.0)
    assert position == 480_000
    assert not samples.any()


def test_a_stop_of_an_hour_is_not_made_up_for() -> None:
    """The process was stopped by a signal, or its container was: an hour of samples is 1.4 GB."""
    track = SoundTrack()
    track.until(0.0, 1024)
    pieces = track.until(3600.0, 1024)
    assert 59 < sum(samples.shape[1] for _, samples in pieces) / RATE <= 60
    assert pieces[-1][0] == pytest.approx(3600 * RATE, abs=2048)


def test_a_gap_is_silence_and_what_follows_stays_in_place() -> None:
    track = SoundTrack()
    track.until(0.0, 1024)
    for number in range(0, 3 * RATE, 960):
        if not RATE <= number < 2 * RATE:
            track.hear(tone(number, 960), number / RATE)
    _, samples = laid(track, 3.0)
    assert not samples[:, RATE + 400 : 2 * RATE - 400].any()
    assert clicks(samples) == pytest.approx([0.0, 2.0], abs=0.001)


@pytest.mark.parametrize("drift", [1e-3, pytest.param(-1e-3, marks=pytest.mark.slow)])
def test_drifting_sound_is_stretched_and_not_cut(drift: float) -> None:
    track = SoundTrack()
    track.until(0.0, 1024)
    worst, parts = 0.0, []
    for number in range(0, 60 * RATE, 960):
        track.hear(tone(number, 960), number / RATE * (1 + drift))
        parts += [samples for _, samples in track.until(number / RATE * (1 + drift), 1024)]
        worst = max(worst, abs(track.off))
    assert worst < 0.01
    found = clicks(np.concatenate(parts, axis=1))
    assert found == pytest.approx([n * (1 + drift) for n in range(len(found))], abs=0.02)
    assert len(found) >= 59


def test_another_codec_after_a_reconnect() -> None:
    track = SoundTrack()
    track.until(0.0, 1024)
    track.hear(tone(0, 4800), 0.0)
    law = AudioFrame.from_ndarray(np.full((1, 800), 8000, np.int16), format="s16", layout="mono")
    law.sample_rate, law.pts, law.time_base = 8000, 0, Fraction(1, 8000)
    track.hear(law, 0.1)
    _, samples = laid(track, 0.19)
    assert samples[0, 6000:8000].mean() == pytest.approx(8000 / 32768, abs=0.1)


@pytest.mark.parametrize("nonsense", [np.nan, np.inf, -1e30])
def test_damaged_sound_is_silence(nonsense: float) -> None:
    track = SoundTrack()
    track.until(0.0, 1024)
    wave = np.full((2, 4800), 0.25, np.float32)
    wave[:, 1000:2000] = nonsense
    damaged = AudioFrame.from_ndarray(wave, format="fltp", layout="stereo")
    damaged.sample_rate = RATE
    track.hear(damaged, 0.0)
    _, samples = laid(track, 0.1)
    assert not samples[:, 1000:2000].any()
    assert (samples[:, :1000] == 0.25).all()


def test_channels_that_cannot_be_mixed_are_silence() -> None:
    track = SoundTrack()
    track.until(0.0, 1024)
    strange = AudioFrame(format="fltp", layout="9 channels", samples=4800)
    strange.sample_rate = RATE
    track.hear(strange, 0.0)
    track.hear(tone(0, 4800), 0.1)
    _, samples = laid(track, 0.2)
    assert not samples[:, :4800].any()
    assert clicks(samples) == pytest.approx([0.1], abs=0.001)


def test_stretching_keeps_the_ends() -> None:
    wave = np.tile(np.linspace(0, 1, 1000, dtype=np.float32), (2, 1))
    longer = stretched(wave, 10)
    assert longer.shape == (2, 1010)
    assert longer[0, 0] == 0
    assert longer[0, -1] == pytest.approx(1)


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_a_masked_voice_has_another_pitch_and_the_same_length(seed: int) -> None:
    mask = VoiceMask(np.random.default_rng(seed))
    at = np.arange(4 * RATE) / RATE
    voice = np.sum([np.sin(2 * np.pi * 150 * k * at) / k for k in range(1, 12)], axis=0)
    samples = np.tile((0.2 * voice).astype(np.float32), (2, 1))
    out = np.concatenate([mask.mask(samples[:, n : n + 1024]) for n in range(0, 4 * RATE, 1024)], axis=1)
    assert out.shape == samples.shape
    spectrum = np.abs(np.fft.rfft(out[0, RATE : 3 * RATE] * np.hanning(2 * RATE)))
    pitch = float(np.argmax(spectrum[:600])) / 2
    ratio = pitch / 150
    assert 0.6 < ratio < 0.8 or 1.25 < ratio < 1.6
    assert 0.5 < float(out[:, RATE:].std() / samples.std()) < 1.5


def test_a_masked_track_stays_in_sync() -> None:
    track = SoundTrack(VoiceMask(np.random.default_rng(5)))
    track.until(0.0, 1024)
    for number in range(0, 6 * RATE, 960):
        track.hear(tone(number, 960), number / RATE)
    _, samples = laid(track, 5.0)
    energy = np.convolve(samples[0] ** 2, np.ones(480), "same")
    loud = np.flatnonzero(energy > 0.3 * energy.max()) / RATE
    for second in (1, 2, 3, 4):
        near = loud[np.abs(loud - second) < 0.2]
        assert len(near)
        assert abs(float(near.mean()) - second) < 0.04
