"""How long frames take from arrival to encoded, as a histogram with fixed buckets."""

from __future__ import annotations

from bisect import bisect_left

#: Upper edges, s.
BUCKETS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)


class Latency:
    """``counts``: by bucket, the last one of what is longer than all; ``total``: of all, s."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds
