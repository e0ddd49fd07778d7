from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from streamanon.runtime.backends.shape_cache import ShapeCache, Shapes


def shapes(number: int) -> Shapes:
    return ((1, 3, number, number),)


def test_the_one_used_longest_ago_is_dropped() -> None:
    built: list[Shapes] = []
    cache = ShapeCache(lambda key: built.append(key) or object(), most=2)  # type: ignore[func-returns-value]
    first = cache.get(shapes(1))
    cache.get(shapes(2))
    assert cache.get(shapes(1)) is first
    cache.get(shapes(3))
    assert cache.get(shapes(1)) is first
    cache.get(shapes(2))
    assert built == [shapes(1), shapes(2), shapes(3), shapes(2)]
    assert len(cache) == 2


def test_a_shape_is_built_once_for_all_who_ask_at_once() -> None:
    built: list[Shapes] = []
    start, go = threading.Barrier(4), threading.Event()

    def build(key: Shapes) -> object:
        go.wait(0.05)
        built.append(key)
        return object()

    cache = ShapeCache(build)

    def ask(_number: int) -> object:
        start.wait()
        return cache.get(shapes(1))

    with ThreadPoolExecutor(4) as pool:
        assert len(set(map(id, pool.map(ask, range(4))))) == 1
    assert built == [shapes(1)]


def test_what_cannot_be_built_is_an_error_each_time_and_is_not_kept() -> None:
    def build(_key: Shapes) -> object:
        raise ValueError("no such operator")

    cache = ShapeCache(build)
    for _ in range(2):
        with pytest.raises(ValueError, match="no such operator"):
            cache.get(shapes(1))
    assert len(cache) == 0
