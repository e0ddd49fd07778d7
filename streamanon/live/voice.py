"""A voice made another: pitch and formants moved.

Resampling moves both by one factor and changes the length; overlapping pieces, laid where they fit best
(WSOLA: Verhelst and Roelands, ICASSP 1993), give the length back. The factor is drawn from the system's
randomness and wanders slowly, so that nobody can just turn it back.

What this does not promise: words, accent, rhythm and choice of words stay and can tell who speaks; a
recogniser that was trained on changed voices may still know them. Whoever must not be known by their voice
needs ``--audio drop``.
"""

from __future__ import annotations

import numpy as np

from streamanon.types import Float

#: Factors of pitch, downwards and upwards: five to seven semitones.
DOWN, UP = (0.67, 0.76), (1.32, 1.5)
#: How far the factor wanders, as a share, and over how many seconds.
WANDER, WANDER_SECONDS = 0.04, 5.0
#: Samples of a piece, and how far its place may move to fit; at 48 kHz 43 ms and 11 ms.
PIECE, REACH = 2048, 512
_HALF = PIECE // 2


class VoiceMask:
    """Changes sound [2, N] float32 at 48 kHz, piece by piece; what comes out is as long as what goes in,
    and late by ``delay_samples``.
    """

    delay_samples = 3 * PIECE

    def __init__(self, rng: np.random.Generator | None = None) -> None:
        self._rng = np.random.default_rng() if rng is None else rng
        low, high = (DOWN, UP)[int(self._rng.integers(2))]
        self._factor = float(self._rng.uniform(low, high))
        self._wander = 0.0
        self._window = np.hanning(PIECE + 1)[:-1].astype(np.float32)
        self._in: Float = np.zeros((2, self.delay_samples), np.float32)
        #: Where in the input, samples, the next piece is taken from.
        self._from = 0.0
        self._tail: Float = np.zeros((2, _HALF), np.float32)
        self._out: Float = np.zeros((2, 0), np.float32)

    def mask(self, samples: Float) -> Float:
        """As many samples as are given."""
        count = samples.shape[1]
        self._in = np.concatenate([self._in, samples], axis=1)
        parts = [self._out]
        have = self._out.shape[1]
        while have < count:
            piece = self._next_piece()
            parts.append(piece)
            have += piece.shape[1]
        track = np.concatenate(parts, axis=1)
        self._out = track[:, count:]
        return np.ascontiguousarray(track[:, :count])

    def _next_piece(self) -> Float:
        """Half a piece of output: a resampled piece of input, faded into the one before."""
        factor = self._factor * (1 + self._wander)
        self._wander_on()
        span = int(np.ceil(PIECE * factor)) + 2
        place = self._best_place(span, factor)
        grid = place + np.arange(PIECE) * factor
        left = grid.astype(np.int64)
        share = (grid - left).astype(np.float32)
        source = self._in
        if left[-1] + 1 >= source.shape[1]:  # the very end: what is not there yet is silence
            source = np.pad(source, ((0, 0), (0, int(left[-1]) + 2 - source.shape[1])))
        piece = (source[:, left] * (1 - share) + source[:, left + 1] * share) * self._window
        out = self._tail + piece[:, :_HALF]
        self._tail = piece[:, _HALF:].copy()
        self._from += _HALF
        spent = int(self._from) - PIECE
        if spent > PIECE:
            self._in, self._from = self._in[:, spent:], self._from - spent
        return np.asarray(out, np.float32)

    def _best_place(self, span: int, factor: float) -> int:
        """Near where the piece is due, the place at which it goes on as the last one ended."""
        due = int(self._from)
        last = int(self._in.shape[1]) - span - 1
        if last <= 0 or not self._tail.any():
            return int(max(0, min(due, last)))
        low = int(max(0, min(due - REACH, last)))
        high = int(max(0, min(due + REACH, last)))
        steps = np.arange(low, high + 1, 8)
        taken = (np.arange(0, _HALF, 8) * factor).astype(np.int64)
        mono: Float = np.asarray(self._in.mean(axis=0), np.float32)
        candidates: Float = mono[steps[:, None] + taken[None]]
        target: Float = np.asarray(self._tail.mean(axis=0)[::8], np.float32)
        fit: Float = np.asarray(candidates @ target, np.float32)
        fit /= np.linalg.norm(candidates, axis=1) + 1e-6
        return int(low + 8 * fit.argmax())

    def _wander_on(self) -> None:
        share = _HALF / (48_000 * WANDER_SECONDS)
        self._wander += float(self._rng.normal(0, WANDER * np.sqrt(2 * share))) - share * self._wander
        self._wander = float(np.clip(self._wander, -WANDER, WANDER))
