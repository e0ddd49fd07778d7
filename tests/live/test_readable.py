"""Waiting for bytes, on descriptors of any number."""

from __future__ import annotations

import fcntl
import os
import resource
from collections.abc import Iterator

import pytest

from streamanon.live.readable import is_readable

#: Beyond what ``select.select`` takes.
LARGE = 1100


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Both ends of a pipe, the reading one with a large number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard <= LARGE:
        pytest.skip(f"at most {hard} files may be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, LARGE + 1), hard))
    reading, writing = os.pipe()
    large = fcntl.fcntl(reading, fcntl.F_DUPFD, LARGE)
    try:
        yield large, writing
    finally:
        for one in (reading, writing, large):
            os.close(one)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_bytes_are_told_and_their_absence(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    assert not is_readable(reading, 0.01)
    os.write(writing, b"x")
    assert is_readable(reading, 1.0)
