"""How long each frame takes in each stage, and each network for a batch."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from streamanon.runtime.backends import Model
from streamanon.runtime.backends.tensorrt_profiles import BATCHES
from streamanon.runtime.onnx_header import Port
from streamanon.runtime.stage_clock import StageClock

_WAIT = "/wait"


class LatencyClock(StageClock):
    """Also keeps the seconds of work, without waiting, that each item took in each stage."""

    def __init__(self) -> None:
        super().__init__()
        self._work: dict[str, list[float]] = {}

    def _next(self, iterator: Iterator[Any], key: str) -> Any:
        waiting = f"{key}{_WAIT}"
        before = self._seconds[key], self._seconds.get(waiting, 0.0), self._items[key]
        item = super()._next(iterator, key)
        if not key.endswith(_WAIT) and self._items[key] > before[2]:
            waited = self._seconds.get(waiting, 0.0) - before[1]
            self._work.setdefault(key, []).append(self._seconds[key] - before[0] - waited)
        return item

    def milliseconds(self) -> dict[str, list[float]]:
        """By stage, one value a frame."""
        return {key: [1000 * value for value in values] for key, values in self._work.items()}


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """The 50th, 95th and 99th percentile."""
    found = np.percentile(values, (50, 95, 99))
    return {f"p{share}": round(float(value), 3) for share, value in zip((50, 95, 99), found, strict=True)}


def batches_of(inputs: Sequence[Port], quick: bool) -> tuple[int, ...]:
    """The batches to time; ``quick``, or where the model's batch is fixed, one face alone."""
    return BATCHES if inputs[0].shape[0] is None and not quick else BATCHES[:1]


def time_network(model: Model, given: Sequence[Any], seconds: float, most: int = 200) -> list[float]:
    """Milliseconds of single runs, after one that is not counted, for about so many seconds."""
    model.run(*given)
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while not taken or (time.perf_counter() < end and len(taken) < most):
        begun = time.perf_counter()
        model.run(*given)
        taken.append(1000 * (time.perf_counter() - begun))
    return taken
