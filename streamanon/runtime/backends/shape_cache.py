"""What a backend compiled for each set of input shapes: a few, the one used longest ago dropped first.

A static shape is quicker, but each costs memory (45 MB for the detector in OpenVINO, 2026.4), and a folder
of photos has as many shapes as photos.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
Shapes = tuple[tuple[int, ...], ...]  # one an input

#: Shapes kept for a model. One video needs at most 11 of the detector: four sizes upright and four turned,
#: two of tiles, and the close-up. Cameras of two shapes share some. With the default profile the
#: demo was seen to need 6 at 640x360, 5 at 1280x720 and 6 at 1920x1080.
MOST_SHAPES = 16


class ShapeCache(Generic[T]):
    """Least recently used, safe to share between threads. What was dropped lives on while it is in use."""

    def __init__(self, build: Callable[[Shapes], T], most: int = MOST_SHAPES) -> None:
        self._build, self._most = build, most
        self._kept: OrderedDict[Shapes, T] = OrderedDict()
        self._lock, self._building = threading.Lock(), threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, shapes: Shapes) -> T:
        """What was built for ``shapes``, built now if it is not there. Errors of ``build`` pass through."""
        kept = self._look_up(shapes)
        if kept is not None:
            return kept
        with self._building:  # one at a time: compiling takes all cores and the most memory
            kept = self._look_up(shapes)
            return self._add(shapes) if kept is None else kept

    def _look_up(self, shapes: Shapes) -> T | None:
        with self._lock:
            if shapes in self._kept:
                self._kept.move_to_end(shapes)
            return self._kept.get(shapes)

    def _add(self, shapes: Shapes) -> T:
        with self._lock:  # first, so that there are never more than the most
            while len(self._kept) >= self._most:
                self._kept.popitem(last=False)
        built = self._build(shapes)
        with self._lock:
            self._kept[shapes] = built
        return built
