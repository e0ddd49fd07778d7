"""Which frames the encoder is given."""

from __future__ import annotations

from fractions import Fraction
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


def test_no_two_frames_are_in_one_millisecond() -> None:
    """Files and streams that count in milliseconds would show both at the same time."""
    encoder = NotingEncoder()
    egress = Egress(cast(Encoder, encoder), [])
    for seconds in (1.0, 1.0005, 1.0, 1.001, 1.04):
        egress.put(safe(seconds), 0.0)
    egress.close(10)
    assert encoder.times == pytest.approx([1.0, 1.001, 1.04])
    assert egress.counts.late == 2
