"""The chain, written once: decode, detect, track, hold back, resolve, composite.

Each group of stages runs in a thread of its own behind a bounded queue. Without threads the same chain runs
in one, which is how tests and profilers want it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, closing
from typing import TypeVar

from streamanon.compositor import Compositor, composite
from streamanon.config import Config
from streamanon.flow import prefetch
from streamanon.lookahead import resolve
from streamanon.metrics import StageClock
from streamanon.steady import NEIGHBOURS
from streamanon.tracker import track
from streamanon.types import RawFrame, SafeFrame
from streamanon.watch import Watcher, observe

T = TypeVar("T")
QUEUE_FRAMES = 4


def anonymise(
    frames: Iterable[RawFrame],
    config: Config,
    watcher: Watcher,
    compositor: Compositor,
    clock: StageClock,
    threaded: bool = True,
) -> Generator[SafeFrame, None, None]:
    """Yield one safe frame for every raw one, in order. Close the generator to stop early.

    An error in any stage rises here, after the frames that were finished before it.
    """
    with ExitStack() as stack:

        def hand_over(items: Generator[T, None, None], name: str) -> Iterator[T]:
            # A stage that fails does not close what it iterates over; the stack does, last one first.
            return stack.enter_context(closing(prefetch(items, QUEUE_FRAMES, name) if threaded else items))

        decoded = hand_over(clock.watch(frames, "decode"), "decode")
        seen = observe(clock.watch(decoded, "detect/wait"), watcher, config.detect)
        settled = resolve(track(seen, config.detect, watcher.again), config.lookahead)
        resolved = hand_over(clock.watch(settled, "detect"), "detect")
        ahead = min(NEIGHBOURS, config.lookahead.frames)
        covered = composite(clock.watch(resolved, "composite/wait"), compositor, ahead)
        yield from hand_over(clock.watch(covered, "composite"), "composite")
