"""What a test of the device path does itself is queued with what it tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _in_its_stream() -> Iterator[None]:
    from devices import MEMORY  # not above: it imports PyTorch, without which the tests are skipped

    with MEMORY.active():
        yield
