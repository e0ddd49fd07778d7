"""Which times of two videos belong together. By their clocks, and by what their pictures look like: an
output whose beginning or middle is cut away shows other moments, in which no leak would be found.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from streamanon.audit.pairing import REACH, Times
from streamanon.types import Float

#: Clocks whose first frames are further apart than that, s, start at different zeros, or one is cut.
SAME_ZERO_SECONDS = 0.5
#: So many pictures of the output are compared with all of the original.
SAMPLES = 100
#: Pictures are compared in this share of their cells, those that are alike most: the others may be covered.
LIKEST = 0.8
#: A picture shows another moment if that is so many times as like it, and by so many levels of 255.
TIMES_BETTER, BETTER = 1.15, 0.2
#: From this share of pictures on that show other moments two videos cannot be compared.
MOST_UNPAIRED = 0.05


@dataclass(frozen=True)
class Alignment:
    """``other``: the other video's times on the original's clock. ``shift``: by how much its own clock is
    ahead of that, s. ``unpaired``: the share of its pictures that show another moment of the original, or
    1 where neither times nor pictures tell which.
    """

    other: Times
    shift: float
    unpaired: float


def align(original: Times, other: Times) -> Alignment:
    """Of the shifts that clocks and pictures suggest, that by which most pictures show the same."""
    compared = _Compared(original, other)
    by_clock = _shift_by_clock(original, other)
    votes = compared.votes(by_clock)
    shifts = [by_clock, 0.0, *_ends_apart(original, other), *([float(np.median(votes))] if votes else [])]
    shares = [compared.unpaired(shift) for shift in shifts]
    best = int(np.argmin(shares))  # the first of equal ones
    unpaired = shares[best]
    if _is_cut(original, other) and unpaired < MOST_UNPAIRED:
        alike = [one for one, share in zip(shifts, shares, strict=True) if share < MOST_UNPAIRED]
        unpaired = 1.0 if np.ptp(alike) > SAME_ZERO_SECONDS else unpaired
    moved = replace(other, seconds=tuple(second - shifts[best] for second in other.seconds))
    return Alignment(moved, shifts[best], unpaired)


def _ends_apart(original: Times, other: Times) -> tuple[float, float]:
    """By how much the other's first frame, and its last one, are later, s."""
    one, two = original.seconds, other.seconds
    return two[0] - one[0], two[-1] - one[-1]


def _shift_by_clock(original: Times, other: Times) -> float:
    """None where both start together, or the other keeps its times though its beginning is cut away."""
    begin, end = _ends_apart(original, other)
    return 0.0 if abs(begin) <= SAME_ZERO_SECONDS or begin > 0 >= end - SAME_ZERO_SECONDS else begin


def _is_cut(original: Times, other: Times) -> bool:
    """Whether the other is shorter, and its times do not tell where."""
    begin, end = _ends_apart(original, other)
    return begin - end > SAME_ZERO_SECONDS and not begin > SAME_ZERO_SECONDS >= end


class _Compared:
    """How unlike some pictures of the other video are to all of the original."""

    def __init__(self, original: Times, other: Times) -> None:
        self._original, self._other = original.seconds, other.seconds
        self._rows, self._unlike = np.zeros(0, np.int64), np.zeros((0, len(original.seconds)), np.float32)
        if original.looks is None or other.looks is None:
            return
        steps = np.linspace(0, len(other.seconds) - 1, min(SAMPLES, len(other.seconds)))
        self._rows = np.unique(steps.round().astype(np.int64))
        self._unlike = np.stack([_unlike(original.looks, other.looks[row]) for row in self._rows])

    def votes(self, shift: float) -> list[float]:
        """The shifts by which those that show another moment would show the same."""
        return [
            self._other[row] - self._original[int(unlike.argmin())]
            for row, unlike in zip(self._rows.tolist(), self._unlike, strict=True)
            if self._shows_another(row, unlike, shift)
        ]

    def unpaired(self, shift: float) -> float:
        return len(self.votes(shift)) / max(1, len(self._rows))

    def _shows_another(self, row: int, unlike: Float, shift: float) -> bool:
        at = bisect_right(self._original, self._other[row] - shift) - 1
        near = min(max(at, 0), len(self._original) - 1)
        own = unlike[max(0, near - REACH) : near + REACH + 1].min()
        return bool(own > TIMES_BETTER * unlike.min() + BETTER)


def _unlike(looks: NDArray[np.uint8], one: NDArray[np.uint8]) -> Float:
    """How far pictures [N, cells] are from ``one`` [cells], but for its brightness, levels: [N]."""
    apart = looks.astype(np.float32) - one.astype(np.float32)
    apart = np.abs(apart - np.median(apart, axis=1, keepdims=True))
    likest = int(LIKEST * apart.shape[1])
    return np.asarray(np.partition(apart, likest, axis=1)[:, :likest].mean(axis=1), np.float32)
