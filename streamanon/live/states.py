"""What a camera or an output is doing, told in one line each time that it changes."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from enum import Enum
from typing import Any


class State(Enum):
    """*Blocked*: the chain is slower than the source, and frames are dropped; the source is left alone.
    *Stalled*: connected, and nothing comes. *Lost*: not connected, and tried again. *Ended*: for good.
    """

    STARTING = "starting"
    RUNNING = "running"
    BLOCKED = "blocked"
    STALLED = "stalled"
    LOST = "lost"
    ENDED = "ended"


class Status:
    """The state of one camera or output. ``tell`` is given each change."""

    def __init__(self, tell: Callable[[State, str], None]) -> None:
        self._tell = tell
        self._changing = threading.Lock()
        self.state = State.STARTING
        self.reason = ""

    def be(self, state: State, reason: str = "", only_from: State | None = None) -> bool:
        """Change to a state, for a reason; the same state again is told only where it is LOST for another
        reason. ``only_from``: unless it has changed meanwhile. Whether it changed now.
        """
        with self._changing:
            same = state is self.state
            known = same and (state is not State.LOST or reason == self.reason)
            if known or (only_from is not None and self.state is not only_from):
                return False
            self.state, self.reason = state, reason
            self._tell(state, reason)
            return not same


class Journal:
    """Writes one line an event, as text or as JSON. No pixels, no passwords: callers give redacted
    texts.
    """

    def __init__(self, as_json: bool, write: Callable[[str], None]) -> None:
        self._json, self._write = as_json, write

    def note(self, camera: str, event: str, **more: Any) -> None:
        """One event of a camera; what is None or empty is left out."""
        facts = {key: value for key, value in more.items() if value not in (None, "")}
        if self._json:
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + "Z"
            self._write(json.dumps({"time": stamp, "camera": camera, "event": event} | facts))
            return
        said = facts.pop("reason", "")
        rest = "".join(f", {key.replace('_', ' ')} {value}" for key, value in facts.items())
        self._write(f"streamanon: {camera}: {event}{rest}{f': {said}' if said else ''}")
