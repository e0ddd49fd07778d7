"""How many streams a machine sustains: each in a process of its own, all at once, each at the full rate."""

from __future__ import annotations

from collections.abc import Callable

#: More are not tried.
MOST_STREAMS = 64


def most_sustained(sustains: Callable[[int], bool], most: int = MOST_STREAMS) -> int:
    """The largest count that is sustained, by doubling and then halving the steps; 0 if one is too many."""
    low, high = 0, 1
    while high <= most and sustains(high):
        low, high = high, 2 * high
    high = min(high, most + 1)
    while high - low > 1:
        middle = (low + high) // 2
        if sustains(middle):
            low = middle
        else:
            high = middle
    return low
