"""The chain: decode, detect, track, hold back, measure, assign, synthesise, composite, encode.

Each group of stages runs in its own thread, a few frames ahead. With ``threaded=False`` the same chain
runs in the caller's thread, for tests and profilers.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack
from typing import TypeVar

from streamanon.config import Config
from streamanon.cover.composite import composite
from streamanon.cover.covering import Covering
from streamanon.cover.keeping import keep
from streamanon.cover.measure import measure
from streamanon.cover.synthesis import assign, synthesise
from streamanon.detect.detection_interval import DetectionInterval
from streamanon.detect.guarded import GuardedSearcher
from streamanon.detect.search import Searcher, observe
from streamanon.mesh.smoothing import NEIGHBOURS
from streamanon.runtime.prefetch import Pulse, prefetch
from streamanon.track.lookahead import resolve
from streamanon.track.motion_mask import MotionMask
from streamanon.track.tracker import track
from streamanon.types import RawFrame, SafeFrame

T = TypeVar("T")
#: A last stage, which yields each frame once it is written.
Write = Callable[[Iterable[SafeFrame]], Generator[SafeFrame, None, None]]
#: Each frame that waits between two threads is held in memory. A detection takes as long as several frames,
#: so those that it lets wait are more.
AHEAD_FRAMES, FEW_AHEAD_FRAMES = 5, 2
#: Time-out of the watchdog. Long, as a backend may compile its models at the first frame, for minutes.
STALL_SECONDS = 300.0


def anonymise(
    frames: Iterable[RawFrame],
    config: Config,
    searcher: Searcher,
    covering: Covering,
    threaded: bool = True,
    stall_seconds: float = STALL_SECONDS,
    write: Write | None = None,
    interval: DetectionInterval | None = None,
    ahead: int = AHEAD_FRAMES,
) -> Generator[SafeFrame, None, None]:
    """Yield one safe frame for every raw one, in order. Close the generator to stop early.

    An error in any stage rises here, after the frames that were finished before it; so does
    :class:`StallError`, from a stage that hangs in its thread. A failure to detect or to cover faces covers
    more. Faults and all other results of the run are collected in ``covering.context``.

    ``write`` starts a frame only after the one before it was taken from this generator, so the caller knows
    which frames are written, and can stop in between. ``interval``: the stream's detection interval; by
    default ``detect.interval_seconds``, whatever the load. ``ahead``: how many frames each thread works
    ahead; of a live stream, few: each is delay as soon as a stage is slow.
    """
    context, pulse = covering.context, Pulse()
    clock, guarded = context.clock, GuardedSearcher(searcher, context.faults)
    interval = interval or DetectionInterval(config.detect.interval_seconds, config.lookahead.seconds)
    # Staggered time-outs, so that the error names the stalled stage and not one that waits for it.
    timeouts = itertools.count(stall_seconds)
    with ExitStack() as stack:

        def hand_over(
            items: Generator[T, None, None], name: str, ahead: int = ahead
        ) -> Generator[T, None, None]:
            # A failed stage does not close its input; the stack closes all of them, the last one first.
            if threaded:
                items = prefetch(items, ahead, name, pulse, next(timeouts))
            stack.callback(_close, items)
            return items

        few = min(ahead, FEW_AHEAD_FRAMES)
        decoded = hand_over(clock.watch(frames, "decode"), "decode", few)
        detected = observe(clock.watch(decoded, "detect/wait"), guarded, interval)
        motion = MotionMask() if config.cover.paranoid else None
        if motion is not None:
            detected = motion.watch(detected)
        tracked = track(detected, config.detect, guarded.redetect)
        held_back = resolve(tracked, config.lookahead, guarded.look_again)
        if motion is not None:
            held_back = motion.cover(held_back)
        resolved = hand_over(clock.watch(held_back, "detect"), "detect")
        later = NEIGHBOURS if config.lookahead.seconds else 0
        measured = measure(clock.watch(resolved, "measure/wait"), covering.measurer, later)
        meshes = hand_over(clock.watch(measured, "measure"), "measure", few)
        decided = keep(clock.watch(meshes, "composite/wait"), covering.keeping)
        assigned = assign(decided, covering.synthesiser)
        synthesised = synthesise(assigned, covering.synthesiser)
        composited = composite(synthesised, covering.compositor)
        done = hand_over(clock.watch(composited, "composite"), "composite", few)
        if write is not None:
            encoded = write(clock.watch(done, "encode/wait"))
            done = hand_over(clock.watch(encoded, "encode"), "encode", ahead=0)
        for frame in done:
            context.tally.count(frame)
            context.account, context.detections_skipped = covering.account, interval.skipped
            yield frame


def _close(items: Generator[T, None, None]) -> None:
    """Close a stage, unless an abandoned thread (stalled, or after a second Ctrl-C) still runs it."""
    if inspect.getgeneratorstate(items) != inspect.GEN_RUNNING:
        items.close()
