"""Threads for a chain of iterators: the only place in the package that makes pipeline threads.

Data goes down, cancellation goes up. A stage is a plain generator; ``prefetch`` runs its upstream in one
thread, up to ``size`` items ahead. Closing the iterator that ``prefetch`` returned stops the thread and
closes the upstream inside that thread. A stalled stage is detected by a :class:`Pulse` (a watchdog) and
abandoned.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from typing import TypeVar

from streamanon.errors import StallError

T = TypeVar("T")
_POLL_SECONDS = 0.1


class _End:
    """The last thing in a queue: why the upstream stopped (None: it was exhausted)."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class Pulse:
    """A watchdog: it beats whenever an item moves anywhere in a chain. A slow chain beats, a stalled
    one does not.

    Waiting is counted in polls, not by the clock, so that time in which the process is suspended does
    not count.
    """

    def __init__(self) -> None:
        self._beats = 0

    def wait(self, ready: queue.SimpleQueue[T], patience_seconds: float) -> T | None:
        """The next item; None if nothing moved in the whole chain for too long."""
        seen, waited = self._beats, 0.0
        while waited < patience_seconds:
            try:
                item = ready.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                waited = waited + _POLL_SECONDS if self._beats == seen else 0.0
                seen = self._beats
                continue
            self._beats += 1
            return item
        self._beats += 1  # restart: later stages still finish the file, and do not stall by that
        return None

    def join(self, thread: threading.Thread, patience_seconds: float) -> None:
        """Wait for a thread to end, but no longer than ``patience_seconds``."""
        waited = 0.0
        while thread.is_alive() and waited < patience_seconds:
            thread.join(_POLL_SECONDS)
            waited += _POLL_SECONDS


def prefetch(
    items: Iterable[T],
    size: int,
    name: str,
    pulse: Pulse | None = None,
    patience_seconds: float = float("inf"),
) -> Generator[T, None, None]:
    """Yield ``items`` in order while one thread works up to ``size`` of them ahead; with 0 each is begun
    when it is asked for.

    Items that were produced before an upstream error are delivered first; then the error rises here. The
    thread starts at the first ``next()``. ``pulse``: shared by all hand-overs of a chain; without a beat
    for ``patience_seconds`` :class:`StallError` rises. The stalled thread cannot be ended; it is left
    behind, and does not keep the process from ending.
    """
    if size < 0:
        raise ValueError(f"prefetch cannot work {size} items ahead")
    pulse = pulse or Pulse()
    ready: queue.SimpleQueue[T | _End] = queue.SimpleQueue()
    wanted, stop = threading.Semaphore(size), threading.Event()
    thread = threading.Thread(target=_pump, args=(items, ready, wanted, stop), name=name, daemon=True)
    stalled = False
    thread.start()
    try:
        while True:
            wanted.release()
            item = pulse.wait(ready, patience_seconds)
            if item is None:
                stalled = True
                raise StallError(f"stage {name} stalled: no frame for {patience_seconds:.0f} seconds")
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        stop.set()
        wanted.release()
        if not stalled:
            pulse.join(thread, patience_seconds)


def _pump(
    items: Iterable[T],
    ready: queue.SimpleQueue[T | _End],
    wanted: threading.Semaphore,
    stop: threading.Event,
) -> None:
    iterator: Iterator[T] | None = None
    error: BaseException | None = None
    try:
        iterator = iter(items)
        while wanted.acquire() and not stop.is_set():
            try:
                item = next(iterator)
            except StopIteration:
                break
            ready.put(item)
    except BaseException as caught:  # handed to the consumer, whatever it is
        error = caught
    finally:
        close_error = _close(iterator)
        ready.put(_End(error or close_error))


def _close(iterator: object) -> BaseException | None:
    close = getattr(iterator, "close", None)
    if close is None:
        return None
    try:
        close()
    except BaseException as error:
        return error
    return None
