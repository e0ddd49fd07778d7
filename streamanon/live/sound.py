"""The sound of a live stream: one unbroken track, in sync with the picture, however the source's comes.

Sound arrives decoded, each piece with its time. It is laid on a track of samples; where a piece is a little
off, it is stretched or pressed a little, where it is missing there is silence. So gaps, reconnects, another
codec after a reconnect, and a clock that runs a little fast all end here, and the encoder sees none of it.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Protocol, cast

import av.error
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler

from streamanon.media.sound import silence_nonsense
from streamanon.types import Float

RATE, CHANNELS = 48_000, 2
#: A piece that is off by more than this is not stretched: what is missing becomes silence, what is too
#: much is left out. Seconds.
MOST_OFF = 0.06
#: A piece that is off by less stays as it is, s.
LEAST_OFF = 0.004
#: The most by which a piece is stretched or pressed, as a share of its length: a sixth of a semitone.
MOST_STRETCH = 0.01
#: Sound that waits for its picture, at most, s.
MOST_WAITING = 60.0


class Masker(Protocol):
    """Changes a voice. Takes and gives [2, N] float32; what comes out may be late by a fixed time."""

    delay_samples: int

    def mask(self, samples: Float) -> Float: ...


class SoundTrack:
    """Written by the source's thread (:meth:`hear`), read by the output's (:meth:`until`)."""

    def __init__(self, masker: Masker | None = None) -> None:
        self._masker = masker
        self._delay = masker.delay_samples / RATE if masker is not None else 0.0
        self._lock = threading.Lock()
        self._pieces: deque[tuple[float, Float]] = deque()
        self._resampler: AudioResampler | None = None
        self._source: tuple[object, ...] | None = None
        self._left: Float = np.zeros((CHANNELS, 0), np.float32)
        #: Number of the next sample; sample n is at n / RATE.
        self._position: int | None = None
        #: How far the last piece was off, s.
        self.off = 0.0

    def hear(self, frame: AudioFrame, begins: float) -> None:
        """Take a decoded piece of sound that begins at a time, s."""
        begins -= self._delay
        made = self._resampled(frame)
        with self._lock:
            for samples in made:
                self._pieces.append((begins, samples))
                begins += samples.shape[1] / RATE
            while self._pieces and begins - self._pieces[0][0] > MOST_WAITING:
                self._pieces.popleft()

    def _resampled(self, frame: AudioFrame) -> list[Float]:
        """As [2, N] at :data:`RATE`. Nothing, which is silence, of channels that nobody knows how to mix:
        the picture goes on.
        """
        source = (frame.format.name, frame.layout.name, frame.sample_rate)
        frame.pts = None  # its times are ours, and the resampler must not fill gaps by the source's
        try:
            if self._resampler is None or source != self._source:
                self._resampler, self._source = AudioResampler("fltp", "stereo", RATE), source
            made = [np.array(one.to_ndarray(), np.float32) for one in self._resampler.resample(frame)]
        except (ValueError, av.error.FFmpegError):
            self._resampler = None
            return []
        for samples in made:
            silence_nonsense(samples)
        return made

    def forget(self) -> None:
        """Drop what waits: it belongs to a connection that is over."""
        with self._lock:
            self._pieces.clear()

    def until(self, end: float, size: int) -> list[tuple[int, Float]]:
        """Pieces of ``size`` samples [2, size], each with the number of its first sample, up to a time, s.
        Unbroken from one call to the next: where there is no sound, silence. What is longer ago than
        :data:`MOST_WAITING` is left out.
        """
        last = round(end * RATE)
        earliest = last - round(MOST_WAITING * RATE)
        if self._position is None:
            self._position = last
        elif self._position < earliest:  # the process was stopped for so long
            self._position, self._left = earliest, self._left[:, :0]
        parts = [self._left]
        have = self._position + self._left.shape[1]
        while have < last:
            piece = self._take(end)
            if piece is None:
                break
            laid = self._laid(*piece, have)
            have += laid.shape[1]
            parts.append(laid)
        if have < last:
            parts.append(self._changed(np.zeros((CHANNELS, last - have), np.float32)))
        track = np.concatenate(parts, axis=1)
        made = []
        while track.shape[1] >= size:
            made.append((self._position, np.ascontiguousarray(track[:, :size])))
            track, self._position = track[:, size:], self._position + size
        self._left = track
        return made

    def _take(self, end: float) -> tuple[float, Float] | None:
        with self._lock:
            if self._pieces and self._pieces[0][0] < end:
                return self._pieces.popleft()
            return None

    def _laid(self, begins: float, samples: Float, have: int) -> Float:
        """A piece as it follows what is there: after silence, shortened, or stretched a little."""
        off = begins - have / RATE
        self.off = off
        if off > MOST_OFF:
            gap: Float = np.zeros((CHANNELS, round(off * RATE)), np.float32)
            samples = np.concatenate([gap, samples], axis=1)
        elif off < -MOST_OFF:
            samples = samples[:, min(samples.shape[1], round(-off * RATE)) :]
        elif abs(off) > LEAST_OFF:
            most = max(1, round(samples.shape[1] * MOST_STRETCH))
            samples = stretched(samples, int(np.clip(round(off * RATE), -most, most)))
        return self._changed(samples)

    def _changed(self, samples: Float) -> Float:
        return samples if self._masker is None or not samples.shape[1] else self._masker.mask(samples)


def stretched(samples: Float, more: int) -> Float:
    """[C, N] made longer (or shorter) by a few samples, linearly."""
    count = samples.shape[1]
    if not more or count + more < 2:
        return samples
    places = np.linspace(0, count - 1, count + more)
    left = np.minimum(places.astype(np.int64), count - 2)
    share = (places - left).astype(np.float32)
    return cast(Float, samples[:, left] * (1 - share) + samples[:, left + 1] * share)
