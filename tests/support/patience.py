"""Watchdogs that wait for less long, so that tests of stalls take little time."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from streamanon.runtime.prefetch import prefetch

#: Seconds by which each stage waits longer than the one before it; in the product 1.
STEP_SECONDS = 0.25


def shorten(stall_seconds: float, step_seconds: float = STEP_SECONDS) -> Any:
    """In place of ``pipeline.prefetch``: the n-th stage waits ``stall_seconds`` and n steps.

    ``stall_seconds``: what :func:`anonymise` is called with.
    """

    def waiting(items: Any, ahead: int, name: str, pulse: Any, patience: float) -> Generator[Any]:
        patience = stall_seconds + step_seconds * (patience - stall_seconds)
        return prefetch(items, ahead, name, pulse, patience)

    return waiting
