from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamanon.errors import StallError
from streamanon.runtime.prefetch import Pulse, prefetch


def wait_until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def named(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == name]


class Upstream:
    """Counts up; remembers what was asked of it, and in which thread it was closed."""

    def __init__(self, count: int, error_at: int | None = None) -> None:
        self.made = 0
        self.closed_in = ""
        self._count = count
        self._error_at = error_at

    def __iter__(self) -> Iterator[int]:
        try:
            for n in range(self._count):
                if n == self._error_at:
                    raise OSError("upstream broke")
                self.made += 1
                yield n
        finally:
            self.closed_in = threading.current_thread().name


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(), max_size=20), st.integers(0, 5))
def test_items_come_in_order_and_complete(items: list[int], size: int) -> None:
    assert list(prefetch(items, size, "order")) == items
    assert not named("order")


def test_stages_can_be_chained() -> None:
    doubled = (2 * n for n in prefetch(range(50), 3, "chain-a"))
    assert list(prefetch(doubled, 2, "chain-b")) == [2 * n for n in range(50)]
    assert not named("chain-a")
    assert not named("chain-b")


@pytest.mark.parametrize("size", [0, 1, 3])
def test_it_works_so_many_items_ahead(size: int) -> None:
    upstream = Upstream(100)
    ahead = prefetch(upstream, size, "ahead")
    assert upstream.made == 0
    for taken in range(3):
        assert next(ahead) == taken
        wait_until(lambda: upstream.made >= taken + 1 + size)  # noqa: B023
        time.sleep(0.05)
        assert upstream.made == taken + 1 + size
    ahead.close()
    assert not named("ahead")


def test_items_before_an_error_are_delivered_first() -> None:
    ahead = prefetch(Upstream(10, error_at=4), 2, "error")
    assert [next(ahead) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(OSError, match="upstream broke"):
        next(ahead)
    assert not named("error")


def test_an_error_at_the_very_start_rises() -> None:
    class Unopened:
        def __iter__(self) -> Iterator[int]:
            raise OSError("cannot open")

    with pytest.raises(OSError, match="cannot open"):
        list(prefetch(Unopened(), 2, "start"))
    assert not named("start")


def test_closing_stops_the_thread_and_closes_the_upstream_in_it() -> None:
    upstream = Upstream(10**9)
    ahead = prefetch(upstream, 2, "closing")
    assert next(ahead) == 0
    ahead.close()
    assert upstream.closed_in == "closing"
    assert not named("closing")


def test_exhaustion_closes_the_upstream_in_its_thread() -> None:
    upstream = Upstream(3)
    assert list(prefetch(upstream, 2, "exhausted")) == [0, 1, 2]
    assert upstream.closed_in == "exhausted"


def test_closing_a_chain_closes_all_of_it() -> None:
    upstream = Upstream(10**9)
    last = prefetch(prefetch(upstream, 2, "inner"), 2, "outer")
    assert next(last) == 0
    last.close()
    assert upstream.closed_in == "inner"
    assert not named("inner")
    assert not named("outer")


def test_an_error_in_the_consumer_stops_the_thread() -> None:
    ahead = prefetch(Upstream(10**9), 2, "consumer")
    assert next(ahead) == 0
    with pytest.raises(RuntimeError, match="consumer broke"):
        ahead.throw(RuntimeError("consumer broke"))
    assert not named("consumer")


class BadClose:
    """An iterator whose closing fails."""

    def __init__(self, count: int, error: Exception | None = None) -> None:
        self._items = iter(range(count))
        self._error = error

    def __iter__(self) -> BadClose:
        return self

    def __next__(self) -> int:
        if self._error is not None:
            raise self._error
        return next(self._items)

    def close(self) -> None:
        raise OSError("closing broke")


def test_an_error_on_closing_rises_after_the_items() -> None:
    ahead = prefetch(BadClose(2), 4, "bad-close")
    assert [next(ahead), next(ahead)] == [0, 1]
    with pytest.raises(OSError, match="closing broke"):
        next(ahead)


def test_the_first_error_is_told_not_the_one_on_closing() -> None:
    with pytest.raises(ValueError, match="the cause"):
        list(prefetch(BadClose(2, ValueError("the cause")), 4, "two-errors"))


def test_less_than_nothing_ahead_is_refused() -> None:
    with pytest.raises(ValueError, match="-1 items ahead"):
        next(prefetch([1], -1, "none"))


class Stuck:
    """Hangs after its first item, or as it is closed, until it is let go."""

    def __init__(self, closing: bool = False) -> None:
        self.let_go, self.closing = threading.Event(), closing

    def __iter__(self) -> Iterator[int]:
        try:
            yield 0
            if not self.closing:
                self.let_go.wait(20)
            yield 1
        finally:
            if self.closing:
                self.let_go.wait(20)


@pytest.mark.parametrize("size", [0, 2])
def test_what_hangs_is_told_and_left_behind(size: int) -> None:
    upstream = Stuck()
    ahead = prefetch(upstream, size, "stuck", Pulse(), 0.3)
    assert next(ahead) == 0
    with pytest.raises(StallError, match="stage stuck stalled"):
        next(ahead)
    assert named("stuck")
    upstream.let_go.set()
    wait_until(lambda: not named("stuck"))


def test_closing_does_not_wait_for_ever() -> None:
    upstream = Stuck(closing=True)
    ahead = prefetch(upstream, 0, "stuck-closing", Pulse(), 0.3)
    assert next(ahead) == 0
    ahead.close()
    assert named("stuck-closing")
    upstream.let_go.set()
    wait_until(lambda: not named("stuck-closing"))


def test_whoever_is_told_of_a_hang_has_time_to_finish() -> None:
    """The one after them waits anew: to finish a file takes longer than their patience differs."""
    upstream, pulse, finished = Stuck(), Pulse(), threading.Event()

    def finishing(items: Iterator[int]) -> Iterator[int]:
        try:
            yield from items
        finally:
            time.sleep(0.4)
            finished.set()

    inner = prefetch(upstream, 1, "hanging", pulse, 0.3)
    outer = prefetch(finishing(inner), 1, "finishing", pulse, 0.5)
    with pytest.raises(StallError, match="stage hanging stalled"):
        list(outer)
    assert finished.is_set()
    upstream.let_go.set()
    wait_until(lambda: not named("hanging"))


def test_nothing_starts_before_the_first_item_is_asked_for() -> None:
    ahead = prefetch(Upstream(3), 2, "lazy")
    assert not named("lazy")
    ahead.close()
