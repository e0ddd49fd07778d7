"""Waiting for bytes of a pipe."""

from __future__ import annotations

import selectors


def is_readable(descriptor: int, seconds: float) -> bool:
    """Whether there are bytes to read, or the end, within ``seconds``: of any descriptor. ``select.select``
    fails from 1024 on, which a site of many cameras reaches.
    """
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        return bool(selector.select(seconds))
