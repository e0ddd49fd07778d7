"""The one place that makes a :class:`SafeFrame`: only of a frame whose every face has its cover."""

from __future__ import annotations

import numpy as np

from streamanon.cover.mosaic import SOLID_RGB
from streamanon.types import _SEAL, FrameReport, Picture, Resolved, SafeFrame, check_safe


def seal(resolved: Resolved, picture: Picture, report: FrameReport) -> SafeFrame:
    """``picture`` as the covered frame. Raises ValueError where a face or a region that moves has no cover
    in ``report``, and where something was to be covered and the picture is still the raw one.
    """
    frame = resolved.frame
    covered = sorted(cover.track_id for cover in report.covers)
    if not report.withheld:
        if resolved.cover_all:
            raise ValueError("a frame of which nothing is known must be covered whole")
        if covered != sorted(target.track_id for target in resolved.targets):
            raise ValueError("a face has no cover")
        if len(report.moving) != len(resolved.moving):
            raise ValueError("a region that moves has no cover")
    if picture is frame.picture and (report.withheld or report.covers or report.moving):
        raise ValueError("a raw picture is no covered one")
    return SafeFrame(frame.index, frame.pts, frame.time_base, picture, report, frame.duration, _SEAL)


def repeated(frame: SafeFrame, pts: int) -> SafeFrame:
    """The same covered picture once more, at another time: where a live source shows nothing."""
    check_safe(frame)
    return SafeFrame(frame.index, pts, frame.time_base, frame.picture, frame.report, None, _SEAL)


def blank(like: SafeFrame, pts: int) -> SafeFrame:
    """The plain colour of frames covered whole, in the size and format of a frame (Y, U, V)."""
    old = like.picture
    level = SOLID_RGB[0] if old.full_range else 16 + SOLID_RGB[0] * 219 / 255
    values = (round(level * 2 ** (old.bits - 8)), *(1 << (old.bits - 1),) * 2)
    planes = tuple(np.full_like(plane, value) for plane, value in zip(old.planes, values, strict=False))
    grey = Picture(planes, old.pixel_format, old.matrix, old.full_range)
    return SafeFrame(like.index, pts, like.time_base, grey, FrameReport((), withheld=True), None, _SEAL)
