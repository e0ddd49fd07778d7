"""Faults: a failure in a stage covers more and is counted by its cause; or it ends the run."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Literal

from streamanon.errors import FaultError

#: Coordinates, px, beyond which a box or a mesh is invalid: no picture is that large.
FARTHEST_PX = 1e6


class Faults:
    """Counts by cause, such as "frames: detection failed (RuntimeError)", from any thread.

    ``on_error``: with "stop" the first failure raises :class:`FaultError`.
    """

    def __init__(self, on_error: Literal["cover", "stop"] = "cover") -> None:
        self.counts: Counter[str] = Counter()
        self._stops, self._lock = on_error == "stop", threading.Lock()

    def note(self, unit: Literal["frames", "faces"], stage: str, error: Exception, count: int = 1) -> None:
        """Count a failure of ``stage``, which covers more in ``count`` frames or faces."""
        if isinstance(error, FaultError):  # counted already, by an inner stage
            raise error
        kind = type(error.__cause__ or error).__name__  # messages may quote anything
        with self._lock:
            self.counts[f"{unit}: {stage} failed ({kind})"] += count
        if self._stops:
            raise FaultError(f"{stage} failed ({kind}) and cover.on_error is stop") from error
