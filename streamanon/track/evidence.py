"""Whether a track is a face in a frame, by all that was seen of it before and after: one rule.

Each detection pass is a look, and each look at a track changes its log-odds of being a face there: a
detection adds those of its probability, one that the verifier denies at the track's place subtracts some,
and a look that finds nothing subtracts a little, for detectors miss faces that turn away. The looks add up
forwards from the track's first detection and backwards from the last look that is known, each sum within
limits, so that what was seen long ago is forgotten; both together are the log-odds at a frame. This is the
forward-backward algorithm for a track that is a face or not, and may change (a box that slid from a face to
a hand).

Where a track was missed but can be followed by its motion, the verifier looks at the place. If it sees a
face the miss does not count; if it sees none, that counts against the track before its first detection and
after its last one. In between, somebody may stand before the face.

A face that the picture's edge cuts is mostly missed while it is still in view, and looks like none where it
is found: neither counts against it.

A track is covered around its detections only where that sum reaches the threshold. A face that was found
often is so for as long as the look-ahead covers it; one sure detection among many looks that found nothing
covers only the frames about it. Frames of probable detections, and the frames up to the next look, are
covered in any case, but for tracks none of whose detections was a face as likely as not.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, field, replace

#: Limits of one detection's log-odds: detections of one track are alike, so that no single one may overrule
#: the others.
MIN_FIND, MAX_FIND = -1.5, 5.0
#: Log-odds subtracted by each second of looks that found nothing, and most by one look.
MISS_PER_SECOND, MAX_MISS = 2.5, 0.5
#: Weight of the log-odds of a detection that was denied, and its limit.
DENIED_WEIGHT, MIN_DENIED = 0.2, -0.6
#: The same of a second look at where a missed track was followed to.
DOUBT_WEIGHT, MIN_DOUBT = 0.1, -0.3
#: A miss does not count where the verifier gives the place at least this probability.
CONFIRMED_PROBABILITY = 0.5
#: Limits of the sums. A track at the upper one is a face with probability 0.9 up to 1.5 s after its last
#: detection, one that was found once at 0.99 up to half a second; before the first one it is 0.4 s more.
MIN_SUM, MAX_SUM = -1.0, 7.0
#: Slack of the comparison with the threshold, log-odds: probabilities are float32.
SLACK = 1e-4
#: Detections of a track that is not sure are covered from this probability, if any of them had the other
#: one: of many looks at a face one is better than the rest.
FIND_PROBABILITY, LIKELY_PROBABILITY = 0.3, 0.5


@dataclass(frozen=True)
class _Look:
    """``odds``: what a look at frame ``index`` adds; ``before``: the sum up to it and with it; ``found``:
    whether it found the track. ``doubt``: what the verifier's second look adds, at most 0, before the first
    detection and after the last one.
    """

    index: int
    odds: float
    found: bool
    before: float = 0.0
    doubt: float = 0.0


@dataclass
class Evidence:
    """Evidence that a track is a face: its looks in order; frame ``first`` of its first detection,
    ``found`` and time ``last`` (s) of its last one; and the frames of ``likely`` detections, which are
    covered if ``was_likely``, one of them, was a face as likely as not.
    """

    first: int | None = None
    found: int = 0
    last: float = 0.0
    likely: list[int] = field(default_factory=list)
    was_likely: bool = False
    _looks: list[_Look] = field(default_factory=list)

    def find(self, probability: float, index: int, seconds: float, cut: bool = False) -> None:
        """The track was found in frame ``index``, at a time, as a face with this probability 0..1. ``cut``:
        by the picture's edge.
        """
        self.first = index if self.first is None else self.first
        self.found, self.last = index, seconds
        if probability >= FIND_PROBABILITY:
            self.likely.append(index)
        self.was_likely = self.was_likely or probability >= LIKELY_PROBABILITY
        least = 0.0 if cut else MIN_FIND
        self._add(index, min(max(log_odds(probability), least), MAX_FIND), True)

    def miss(self, index: int, seconds: float, denied: float | None = None, cut: bool = False) -> None:
        """The look at frame ``index``, ``seconds`` after the last one, did not find the track, or found it
        with a probability ``denied`` that is none of a face. ``cut``: by the picture's edge, where it was
        last.
        """
        missed = 0.0 if cut else -min(MISS_PER_SECOND * seconds, MAX_MISS)
        if denied is not None and not cut:
            missed += max(DENIED_WEIGHT * min(log_odds(denied), 0.0), MIN_DENIED)
        self._add(index, missed, False)

    def look_again(self, index: int, probability: float) -> None:
        """In frame ``index`` the track was missed, but could be followed there, and the verifier gave that
        place this probability 0..1 of a face.
        """
        place = bisect_left(self._looks, index, key=lambda look: look.index)
        if place == len(self._looks) or self._looks[place].index != index:
            return
        if self._looks[place].found or not self._looks[place].odds:
            return
        if probability >= CONFIRMED_PROBABILITY:
            self._looks[place] = replace(self._looks[place], odds=0.0, doubt=0.0)
        else:
            doubt = max(DOUBT_WEIGHT * log_odds(probability), MIN_DOUBT)
            self._looks[place] = replace(self._looks[place], doubt=doubt)
        for row in range(place, len(self._looks)):
            look, last = self._looks[row], self._looks[row - 1].before if row else 0.0
            self._looks[row] = replace(look, before=self._sum(last, look.index, look.odds))

    def is_sure(self, threshold: float, index: int) -> bool:
        """Whether the track is a face in frame ``index`` with at least the probability ``threshold``."""
        return self.log_odds_at(index) >= log_odds(threshold) - SLACK

    def log_odds_at(self, index: int) -> float:
        """The log-odds that the track is a face in frame ``index``, by the looks before and after."""
        before = after = 0.0
        for look in reversed(self._looks):
            if look.index <= index:
                before = look.before
                break
            after = _limited(after + look.odds)
        return before + after + self._doubt_at(index)

    def _doubt_at(self, index: int) -> float:
        """The second looks' log-odds from the first detection back, or from the last one on, to a frame
        ``index``: none in between, where somebody may stand before the face.
        """
        if self.first is None or self.first <= index <= self.found:
            return 0.0
        low, high = (index, self.first) if index < self.first else (self.found, index)
        return sum(look.doubt for look in self._looks if low <= look.index <= high)

    def is_near(self, index: int, frames: float) -> bool:
        """Whether a detection that is covered in any case is at most ``frames`` from frame ``index``."""
        return self.was_likely and any(abs(index - one) <= frames for one in self.likely)

    def forget(self, index: int) -> None:
        """Drop what is before frame ``index``, but for its sum."""
        self.likely = [one for one in self.likely if one >= index]
        while len(self._looks) > 1 and self._looks[1].index <= index:
            del self._looks[0]

    def _add(self, index: int, odds: float, found: bool) -> None:
        before = self._looks[-1].before if self._looks else 0.0
        self._looks.append(_Look(index, odds, found, self._sum(before, index, odds)))

    def _sum(self, before: float, index: int, odds: float) -> float:
        """Looks before the first detection tell nothing of what comes after it."""
        known = self.first is not None and index >= self.first
        return _limited(before + odds) if known else 0.0


def _limited(total: float) -> float:
    return min(max(total, MIN_SUM), MAX_SUM)


def log_odds(probability: float) -> float:
    """Of a probability 0..1; finite at both ends."""
    limited = min(max(probability, 1e-6), 1 - 1e-6)
    return math.log(limited / (1 - limited))
