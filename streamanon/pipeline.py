"""The chain, written once: decode, detect, track, hold back, resolve, composite, encode.

Each group of stages runs in a thread of its own, a few frames ahead. Without threads the same chain runs
in one, which is how tests and profilers want it.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack
from typing import TypeVar

from streamanon.compositor import Compositor, composite
from streamanon.config import Config
from streamanon.faults import GuardedWatcher
from streamanon.flow import Pulse, prefetch
from streamanon.lookahead import resolve
from streamanon.metrics import StageClock
from streamanon.moving import cover_motion
from streamanon.steady import NEIGHBOURS
from streamanon.stride import Stride
from streamanon.tracker import track
from streamanon.types import RawFrame, SafeFrame
from streamanon.watch import Watcher, observe

T = TypeVar("T")
#: A last stage, which yields each frame once it is written.
Write = Callable[[Iterable[SafeFrame]], Generator[SafeFrame, None, None]]
AHEAD_FRAMES = 5
#: A runtime may build its engines at the first frame, which takes minutes.
STALL_SECONDS = 300.0


def anonymise(
    frames: Iterable[RawFrame],
    config: Config,
    watcher: Watcher,
    compositor: Compositor,
    clock: StageClock,
    threaded: bool = True,
    stall_seconds: float = STALL_SECONDS,
    write: Write | None = None,
    stride: Stride | None = None,
) -> Generator[SafeFrame, None, None]:
    """Yield one safe frame for every raw one, in order. Close the generator to stop early.

    An error in any stage rises here, after the frames that were finished before it; so does
    :class:`StallError`, from a stage that hangs in a thread. What fails in looking for faces and in
    covering them is covered, and counted in ``compositor.faults``.

    ``write`` works on no frame before the one before it was taken here: whoever takes them knows which are
    written, and may stop it in between. ``stride``: of this stream; by default one that knows no load.
    """
    pulse, guarded = Pulse(), GuardedWatcher(watcher, compositor.faults)
    stride = stride or Stride(config.detect.every)
    # What hangs is waited for by all that comes after it: the first of them, who knows its name, tells.
    patience = itertools.count(stall_seconds)
    with ExitStack() as stack:

        def hand_over(
            items: Generator[T, None, None], name: str, ahead: int = AHEAD_FRAMES
        ) -> Generator[T, None, None]:
            # A stage that fails does not close what it iterates over; the stack does, last one first.
            if threaded:
                items = prefetch(items, ahead, name, pulse, next(patience))
            stack.callback(_close, items)
            return items

        decoded = hand_over(clock.watch(frames, "decode"), "decode")
        seen = observe(clock.watch(decoded, "detect/wait"), guarded, stride)
        settled = resolve(track(seen, config.detect, guarded.again), config.lookahead)
        if config.detect.paranoid:
            settled = cover_motion(settled, config.lookahead.frames)
        resolved = hand_over(clock.watch(settled, "detect"), "detect")
        later = min(NEIGHBOURS, config.lookahead.frames)
        covered = composite(clock.watch(resolved, "composite/wait"), compositor, later)
        done = hand_over(clock.watch(covered, "composite"), "composite")
        if write is not None:
            stored = write(clock.watch(done, "encode/wait"))
            done = hand_over(clock.watch(stored, "encode"), "encode", ahead=0)
        yield from done


def _close(items: Generator[T, None, None]) -> None:
    """Not what a thread that was left behind, hanging or at a second Ctrl-C, still works on."""
    if inspect.getgeneratorstate(items) != inspect.GEN_RUNNING:
        items.close()
