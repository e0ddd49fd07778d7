"""A SafeFrame is a frame whose faces are covered, and there is no other way to one."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import numpy as np
import pytest

from streamanon.cover.seal import blank, repeated, seal
from streamanon.testing.fakes import FakeSource, leaked_pixels
from streamanon.testing.safe_frames import unchecked_safe_frame
from streamanon.types import Cover, FrameReport, Picture, RawFrame, Resolved, SafeFrame, Target

TARGET = Target(3, np.array([4, 4, 20, 20], np.float32), np.zeros((5, 2), np.float32), True)
COVER = Cover(3, (4, 4, 20, 20), "mosaic", True)


def raw() -> RawFrame:
    (frame,) = FakeSource(1, 64, 48)
    return frame


def repainted(picture: Picture) -> Picture:
    return dataclasses.replace(picture, planes=tuple(plane.copy() for plane in picture.planes))


def test_nobody_else_makes_a_safe_frame() -> None:
    frame = raw()
    with pytest.raises(TypeError, match=r"streamanon\.cover\.seal"):
        SafeFrame(0, 0, Fraction(1, 25), frame.picture, FrameReport(()))
    with pytest.raises(TypeError, match=r"streamanon\.cover\.seal"):
        SafeFrame(0, 0, Fraction(1, 25), frame.picture, FrameReport(()), None, object())


def test_a_safe_frame_cannot_be_given_another_picture() -> None:
    frame = raw()
    safe = seal(Resolved(frame, ()), frame.picture, FrameReport(()))
    assert safe.is_sealed
    with pytest.raises(TypeError, match=r"streamanon\.cover\.seal"):
        dataclasses.replace(safe, picture=repainted(frame.picture))


def test_one_made_past_the_constructor_is_not_sealed() -> None:
    assert not object.__new__(SafeFrame).is_sealed


def test_every_face_needs_its_cover() -> None:
    frame = raw()
    one = Resolved(frame, (TARGET,))
    done = seal(one, repainted(frame.picture), FrameReport((COVER,)))
    assert (done.index, done.pts, done.duration) == (frame.index, frame.pts, frame.duration)
    for covers in ((), (dataclasses.replace(COVER, track_id=4),), (COVER, COVER)):
        with pytest.raises(ValueError, match="no cover"):
            seal(one, repainted(frame.picture), FrameReport(covers))


def test_what_moves_needs_its_cover() -> None:
    frame = raw()
    moving = Resolved(frame, (), moving=np.array([[0, 0, 9, 9]], np.float32))
    seal(moving, repainted(frame.picture), FrameReport((), moving=((0, 0, 10, 10),)))
    with pytest.raises(ValueError, match="moves has no cover"):
        seal(moving, repainted(frame.picture), FrameReport(()))


def test_a_frame_of_which_nothing_is_known_is_withheld() -> None:
    frame = raw()
    unknown = Resolved(frame, (), cover_all=True)
    seal(unknown, repainted(frame.picture), FrameReport((), withheld=True))
    with pytest.raises(ValueError, match="covered whole"):
        seal(unknown, repainted(frame.picture), FrameReport(()))


@pytest.mark.parametrize("report", [FrameReport((COVER,)), FrameReport((), withheld=True)])
def test_the_raw_picture_is_no_covered_one(report: FrameReport) -> None:
    frame = raw()
    with pytest.raises(ValueError, match="raw picture"):
        seal(Resolved(frame, (TARGET,)), frame.picture, report)


def test_a_safe_frame_is_repeated_and_a_raw_one_is_not() -> None:
    source = FakeSource(1, 64, 48, {0: ((10, 10, 30, 30),)})
    frame = next(iter(source))
    safe = unchecked_safe_frame(frame)
    again = repeated(safe, 99)
    assert again.is_sealed
    assert (again.pts, again.picture) == (99, safe.picture)
    with pytest.raises(TypeError, match="only a SafeFrame"):
        repeated(frame, 99)  # type: ignore[arg-type]
    plain = blank(safe, 7)
    assert plain.is_sealed
    assert plain.report.withheld
    assert all(len(np.unique(plane)) == 1 for plane in plain.picture.planes)
    assert leaked_pixels(plain.picture, source.boxes(0)) == 0
