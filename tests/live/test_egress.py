"""Which frames the encoder is given."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Any, cast

import pytest

from streamanon.cover.seal import seal
from streamanon.live.egress import Egress
from streamanon.live.encode import Encoder
from streamanon.live.wire import CLOCK_HZ
from streamanon.testing.fakes import FakeSource
from streamanon.types import FrameReport, RawFrame, Resolved, SafeFrame


class NotingEncoder:
    """Notes the times of what it is given, s."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def video(self, frame: SafeFrame, _born: float) -> list[Any]:
        self.times.append(frame.pts / CLOCK_HZ)
        return []

    def close(self) -> list[Any]:
        return []


def safe(seconds: float) -> SafeFrame:
    (frame,) = FakeSource(1, 32, 32)
    raw = RawFrame(0, round(seconds * CLOCK_HZ), Fraction(1, CLOCK_HZ), frame.picture)
    return seal(Resolved(raw, ()), raw.picture, FrameReport(()))


def test_placeholders_give_way_to_a_source_that_is_back_and_later_than_before() -> None:
    """On a busy machine each frame came after the placeholder for its time: grey was shown for ever."""
    now = 0.0
    encoder = NotingEncoder()
    egress = Egress(cast(Encoder, encoder), [], clock=lambda: now)
    egress.close(10)  # what its thread does is done here, by a clock of our own
    for step in range(200):
        now = step / 20
        if now < 1 and step % 5 == 0:  # a fifth of a second late
            egress._show(safe(now - 0.2 + 10), now)
        elif now > 4 and step % 5 == 0:  # most of a second late
            egress._show(safe(now - 0.9 + 10), now)
        elif step % 2 == 0:
            egress._show_stub()
    assert egress.counts.stubs > 10
    assert egress.counts.late <= 4
    assert [round(b - a, 2) for a, b in pairwise(encoder.times[-10:])] == [0.25] * 9


def test_no_two_frames_are_in_one_millisecond() -> None:
    """Files and streams that count in milliseconds would show both at the same time."""
    encoder = NotingEncoder()
    egress = Egress(cast(Encoder, encoder), [])
    for seconds in (1.0, 1.0005, 1.0, 1.001, 1.04):
        egress.put(safe(seconds), 0.0)
    egress.close(10)
    assert encoder.times == pytest.approx([1.0, 1.001, 1.04])
    assert egress.counts.late == 2
