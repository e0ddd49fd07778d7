"""When a stage that holds frames back releases the oldest one: by time, since a limit in frames would be a
shorter time at a higher frame rate.
"""

from __future__ import annotations

from streamanon.types import RawFrame

#: Most frames held, whatever time they span: 10 s at 60 a second, or 1.9 GB of 1080p. Otherwise a stream
#: whose time stamps hardly advance would be held for ever. Beyond it the look-ahead is shorter.
MOST_HELD_FRAMES = 600
#: Times are compared with this much slack, s: float64 seconds since 1970 are exact to 2e-7.
SLACK_SECONDS = 1e-6


def within(first: float, last: float, seconds: float) -> bool:
    """Whether a time is at most ``seconds`` after another."""
    return last - first <= seconds + SLACK_SECONDS


def is_due(oldest: RawFrame, newest: RawFrame, count: int, seconds: float) -> bool:
    """Whether the oldest of ``count`` held frames is released: the newest is ``seconds`` later, or they are
    too many.
    """
    apart = newest.pts_seconds - oldest.pts_seconds
    return apart >= seconds - SLACK_SECONDS or count > MOST_HELD_FRAMES
