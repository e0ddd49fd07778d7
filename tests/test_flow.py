from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamanon.flow import prefetch


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
@given(st.lists(st.integers(), max_size=20), st.integers(1, 5))
def test_items_come_in_order_and_complete(items: list[int], size: int) -> None:
    assert list(prefetch(items, size, "order")) == items
    assert not named("order")


def test_stages_can_be_chained() -> None:
    doubled = (2 * n for n in prefetch(range(50), 3, "chain-a"))
    assert list(prefetch(doubled, 2, "chain-b")) == [2 * n for n in range(50)]
    assert not named("chain-a")
    assert not named("chain-b")


def test_it_works_ahead_by_the_queue_and_one_in_hand() -> None:
    upstream = Upstream(100)
    ahead = prefetch(upstream, 3, "ahead")
    assert upstream.made == 0
    assert next(ahead) == 0
    wait_until(lambda: upstream.made == 5)
    time.sleep(0.05)
    assert upstream.made == 5
    ahead.close()


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


def test_no_room_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        next(prefetch([1], 0, "none"))


def test_nothing_starts_before_the_first_item_is_asked_for() -> None:
    ahead = prefetch(Upstream(3), 2, "lazy")
    assert not named("lazy")
    ahead.close()
