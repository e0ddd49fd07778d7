"""How long to wait before a connection is tried again."""

from __future__ import annotations

import random
from collections.abc import Callable

#: The first pause and the longest, s; each is twice the one before.
FIRST_SECONDS, LONGEST_SECONDS = 1.0, 30.0
#: A pause is longer or shorter by up to this share, so that many cameras do not all come back at once.
JITTER = 0.2
#: Only a connection that was healthy for so long sets the pause back: one that connects and dies at once
#: must not loop without one. Seconds.
HEALTHY_SECONDS = 5.0


class Backoff:
    """Pauses between attempts."""

    def __init__(self, rng: Callable[[], float] = random.random) -> None:
        self._rng, self._failures = rng, 0

    @property
    def failures(self) -> int:
        """Attempts in a row after which the connection was not healthy."""
        return self._failures

    def pause(self, healthy_seconds: float = 0.0) -> float:
        """The next pause, s, after a connection that was healthy for so long."""
        if healthy_seconds >= HEALTHY_SECONDS:
            self._failures = 0
        plain = min(FIRST_SECONDS * 2.0 ** min(self._failures, 10), LONGEST_SECONDS)
        self._failures += 1
        return min(plain * (1 + JITTER * (2 * self._rng() - 1)), LONGEST_SECONDS)
