"""Safe frames made by hand, for tests of what comes after covering."""

from __future__ import annotations

from streamanon.types import _SEAL, FrameReport, RawFrame, SafeFrame


def unchecked_safe_frame(frame: RawFrame, report: FrameReport | None = None) -> SafeFrame:
    """The raw frame as if it had been covered, whatever it shows."""
    report = report or FrameReport(())
    return SafeFrame(frame.index, frame.pts, frame.time_base, frame.picture, report, frame.duration, _SEAL)
