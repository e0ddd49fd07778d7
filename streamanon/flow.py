"""Threads for a chain of iterators: the only place in the package that makes pipeline threads.

Data goes down, cancellation goes up. A stage is a plain generator; ``prefetch`` runs its upstream in one
thread behind a bounded queue. Closing the iterator that ``prefetch`` returned stops the thread and closes
the upstream inside that thread.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
_POLL_SECONDS = 0.1


class _End:
    """The last thing in a queue: why the upstream stopped (None: it was exhausted)."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def prefetch(items: Iterable[T], size: int, name: str) -> Generator[T, None, None]:
    """Yield ``items`` in order while one thread works up to ``size`` of them ahead.

    Items that were produced before an upstream error are delivered first; then the error rises here. The
    thread starts at the first ``next()``.
    """
    if size < 1:
        raise ValueError(f"prefetch needs room for at least one item, not {size}")
    hand_over: queue.Queue[T | _End] = queue.Queue(size)
    stop = threading.Event()
    thread = threading.Thread(target=_pump, args=(items, hand_over, stop), name=name, daemon=True)
    thread.start()
    try:
        while True:
            item = hand_over.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        stop.set()
        thread.join()


def _pump(items: Iterable[T], hand_over: queue.Queue[T | _End], stop: threading.Event) -> None:
    iterator: Iterator[T] | None = None
    error: BaseException | None = None
    try:
        iterator = iter(items)
        for item in iterator:
            if not _put(hand_over, item, stop):
                break
    except BaseException as caught:  # handed to the consumer, whatever it is
        error = caught
    finally:
        close_error = _close(iterator)
        _put(hand_over, _End(error or close_error), stop)


def _put(hand_over: queue.Queue[T | _End], item: T | _End, stop: threading.Event) -> bool:
    while not stop.is_set():
        try:
            hand_over.put(item, timeout=_POLL_SECONDS)
        except queue.Full:
            continue
        return True
    return False


def _close(iterator: object) -> BaseException | None:
    close = getattr(iterator, "close", None)
    if close is None:
        return None
    try:
        close()
    except BaseException as error:
        return error
    return None
