"""The results of one run, collected by all stages of the chain: the only way by which results leave it."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from streamanon.runtime.faults import Faults
from streamanon.runtime.stage_clock import StageClock
from streamanon.types import Account, SafeFrame


@dataclass
class Tally:
    """Counts over the frames written."""

    frames: int = 0
    withheld: int = 0
    moving: int = 0
    faces: int = 0
    by_method: Counter[str] = field(default_factory=Counter)
    detected: int = 0
    tracks: set[int] = field(default_factory=set)

    def count(self, frame: SafeFrame) -> None:
        self.frames += 1
        self.withheld += frame.report.withheld
        self.moving += bool(frame.report.moving)
        for cover in frame.report.covers:
            self.faces += 1
            self.by_method[cover.method] += 1
            self.detected += cover.detected
            self.tracks.add(cover.track_id)


class RunContext:
    """One run's results so far; may be read at any time. Every field is written by one thread only.

    ``on_error``: see :class:`Faults`. ``tally``: counts over the output frames. ``account``: the draws of
    delegates. ``notes``: what the output could not keep. ``skipped_packets``: packets that could not be
    decoded. ``decoder``: "cpu" or "cuda"; ``decoder_passed_over``: why "auto" did not take the latter.
    ``detections_skipped``: detections skipped because a live stream was too fast. ``interrupted``: whether
    the caller stopped the run before the last frame.
    """

    def __init__(self, on_error: Literal["cover", "stop"] = "cover") -> None:
        self.faults = Faults(on_error)
        self.clock, self.tally, self.account = StageClock(), Tally(), Account()
        self.notes: list[str] = []
        self.decoder, self.decoder_passed_over = "cpu", ""
        self.skipped_packets = self.detections_skipped = 0
        self.interrupted = False
        self._begun = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return time.perf_counter() - self._begun

    @property
    def frames_in(self) -> int:
        """How many frames were decoded."""
        return self.clock.items("decode")

    def skip_packet(self, _reason: str) -> None:
        """A packet could not be decoded."""
        self.skipped_packets += 1

    def note_unverified(self, error: Exception, count: int) -> None:
        """The verifier failed on ``count`` detections, which then count as faces."""
        self.faults.note("faces", "verification", error, count)
