"""Whether a track is a face in a frame, by all that was seen of it before and after: one rule.

Each detection pass changes a track's log-odds of being a face: a detection adds those of its probability,
one that the verifier denies at the track's place subtracts some, and a pass that misses the track subtracts
a little, for detectors miss faces that turn away. These terms add up forwards from the track's first
detection and backwards from the last pass that is known, each sum within limits, so that what was seen long
ago is forgotten; both sums together are the log-odds at a frame. This is the forward-backward algorithm for
a track that is a face or not, and may change (a box that slid from a face to a hand).

Where a track was missed but can be followed by its motion, the verifier examines that place. If it sees a
face the miss does not count; if it sees none, that counts against the track before its first detection and
after its last one. In between, somebody may stand before the face.

A face that the picture's edge cuts is mostly missed while it is still in view, and looks like none where it
is detected: neither counts against it.

A track is covered around its detections only where that sum reaches the threshold. A face that was detected
often is so for as long as the look-ahead covers it; one sure detection among many passes that missed it
covers only the frames about it. Frames of probable detections, and the frames up to the next pass, are
covered in any case, but for tracks none of whose detections was a face as likely as not.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, field, replace

#: Limits of one detection's log-odds: detections of one track are alike, so that no single one may overrule
#: the others.
MIN_DETECTION, MAX_DETECTION = -1.5, 5.0
#: Log-odds subtracted by each second of passes that missed the track, and most by one pass.
MISS_PER_SECOND, MAX_MISS = 2.5, 0.5
#: Weight of the log-odds of a detection that was denied, and its limit.
DENIED_WEIGHT, MIN_DENIED = 0.2, -0.6
#: The same of verifying the place to which a missed track was followed.
DOUBT_WEIGHT, MIN_DOUBT = 0.1, -0.3
#: A miss does not count where the verifier gives the place at least this probability.
CONFIRMED_PROBABILITY = 0.5
#: Limits of the sums. A track at the upper one is a face with probability 0.9 up to 1.5 s after its last
#: detection, one that was detected once at 0.99 up to half a second; before the first one it is 0.4 s more.
MIN_SUM, MAX_SUM = -1.0, 7.0
#: Slack of the comparison with the threshold, log-odds: probabilities are float32.
SLACK = 1e-4
#: Detections of a track that is not sure are covered from this probability, if any of them had the other
#: one: of many views of a face one is better than the rest.
COVERED_PROBABILITY, LIKELY_PROBABILITY = 0.3, 0.5


@dataclass(frozen=True)
class _Pass:
    """``odds``: what the detection pass at frame ``index`` adds; ``before``: the sum up to it and with it;
    ``detected``: whether it detected the track. ``doubt``: what verifying the track's place adds, at most
    0, before the first detection and after the last one.
    """

    index: int
    odds: float
    detected: bool
    before: float = 0.0
    doubt: float = 0.0


@dataclass
class Evidence:
    """Evidence that a track is a face: the detection passes in order; the frames of its first and its last
    detection, and the time of the last one, s; and the frames of ``likely`` detections, which are covered
    if ``was_likely``, one of them, was a face as likely as not.
    """

    first_index: int | None = None
    last_index: int = 0
    last_seconds: float = 0.0
    likely: list[int] = field(default_factory=list)
    was_likely: bool = False
    _passes: list[_Pass] = field(default_factory=list)

    def detected(self, probability: float, index: int, seconds: float, cut: bool = False) -> None:
        """The track was detected in frame ``index``, at ``seconds``, as a face with this probability 0..1.
        ``cut``: by the picture's edge.
        """
        self.first_index = index if self.first_index is None else self.first_index
        self.last_index, self.last_seconds = index, seconds
        if probability >= COVERED_PROBABILITY:
            self.likely.append(index)
        self.was_likely = self.was_likely or probability >= LIKELY_PROBABILITY
        least = 0.0 if cut else MIN_DETECTION
        self._add(index, min(max(log_odds(probability), least), MAX_DETECTION), True)

    def missed(self, index: int, seconds: float, denied: float | None = None, cut: bool = False) -> None:
        """The pass at frame ``index``, ``seconds`` after the last one, did not detect the track, or with a
        probability ``denied`` that is none of a face. ``cut``: by the picture's edge, where it was last.
        """
        odds = 0.0 if cut else -min(MISS_PER_SECOND * seconds, MAX_MISS)
        if denied is not None and not cut:
            odds += max(DENIED_WEIGHT * min(log_odds(denied), 0.0), MIN_DENIED)
        self._add(index, odds, False)

    def verified(self, index: int, probability: float) -> None:
        """In frame ``index`` the track was missed, but could be followed there, and the verifier gave that
        place this probability 0..1 of a face.
        """
        place = bisect_left(self._passes, index, key=lambda one: one.index)
        if place == len(self._passes) or self._passes[place].index != index:
            return
        if self._passes[place].detected or not self._passes[place].odds:
            return
        if probability >= CONFIRMED_PROBABILITY:
            self._passes[place] = replace(self._passes[place], odds=0.0, doubt=0.0)
        else:
            doubt = max(DOUBT_WEIGHT * log_odds(probability), MIN_DOUBT)
            self._passes[place] = replace(self._passes[place], doubt=doubt)
        for row in range(place, len(self._passes)):
            one, last = self._passes[row], self._passes[row - 1].before if row else 0.0
            self._passes[row] = replace(one, before=self._sum(last, one.index, one.odds))

    def is_sure(self, threshold: float, index: int) -> bool:
        """Whether the track is a face in frame ``index`` with at least the probability ``threshold``."""
        return self.log_odds_at(index) >= log_odds(threshold) - SLACK

    def log_odds_at(self, index: int) -> float:
        """The log-odds that the track is a face in frame ``index``, by the passes before and after."""
        before = after = 0.0
        for one in reversed(self._passes):
            if one.index <= index:
                before = one.before
                break
            after = _limited(after + one.odds)
        return before + after + self._doubt_at(index)

    def _doubt_at(self, index: int) -> float:
        """The verified places' log-odds from the first detection back, or from the last one on, to a frame
        ``index``: none in between, where somebody may stand before the face.
        """
        first, last = self.first_index, self.last_index
        if first is None or first <= index <= last:
            return 0.0
        low, high = (index, first) if index < first else (last, index)
        return sum(one.doubt for one in self._passes if low <= one.index <= high)

    def is_near(self, index: int, frames: float) -> bool:
        """Whether a detection that is covered in any case is at most ``frames`` from frame ``index``."""
        return self.was_likely and any(abs(index - one) <= frames for one in self.likely)

    def forget(self, index: int) -> None:
        """Drop what is before frame ``index``, but for its sum."""
        self.likely = [one for one in self.likely if one >= index]
        while len(self._passes) > 1 and self._passes[1].index <= index:
            del self._passes[0]

    def _add(self, index: int, odds: float, detected: bool) -> None:
        before = self._passes[-1].before if self._passes else 0.0
        self._passes.append(_Pass(index, odds, detected, self._sum(before, index, odds)))

    def _sum(self, before: float, index: int, odds: float) -> float:
        """Passes before the first detection say nothing of what comes after it."""
        known = self.first_index is not None and index >= self.first_index
        return _limited(before + odds) if known else 0.0


def _limited(total: float) -> float:
    return min(max(total, MIN_SUM), MAX_SUM)


def log_odds(probability: float) -> float:
    """Of a probability 0..1; finite at both ends."""
    limited = min(max(probability, 1e-6), 1 - 1e-6)
    return math.log(limited / (1 - limited))
