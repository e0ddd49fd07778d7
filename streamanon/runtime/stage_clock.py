"""Where the time of a run goes: seconds and items by stage."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")
_END = object()


class StageClock:
    """Seconds spent in each stage. Every key is written by one thread only."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._items: dict[str, int] = {}

    def watch(self, items: Iterable[T], key: str) -> Generator[T, None, None]:
        """Pass ``items`` on and add the time that it takes to get them to ``key``. Closes them, too."""
        iterator = iter(items)
        self._seconds.setdefault(key, 0.0)
        self._items.setdefault(key, 0)
        try:
            while (item := self._next(iterator, key)) is not _END:
                yield item
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()

    def _next(self, iterator: Iterator[T], key: str) -> Any:
        begun = time.perf_counter()
        item = next(iterator, _END)
        self._seconds[key] += time.perf_counter() - begun
        self._items[key] += item is not _END
        return item

    def items(self, key: str) -> int:
        """How many items passed ``key``."""
        return self._items.get(key, 0)

    def stages(self) -> dict[str, float]:
        """Working seconds by stage: the time of ``stage`` minus the time it waited, ``stage/wait``."""
        known = dict(self._seconds)  # at once: other threads may begin stages meanwhile
        return {
            key: max(0.0, seconds - known.get(f"{key}/wait", 0.0))
            for key, seconds in known.items()
            if not key.endswith("/wait")
        }
