from __future__ import annotations

import cv2
import numpy as np
import pytest

from streamanon.errors import DetectionError
from streamanon.testing.fakes import FakeDetector, FakeSource, leaked_pixels, moving
from streamanon.types import Picture

FACES = {0: moving((10, 12, 49, 61), (2, 1), 12), 1: moving((90, 20, 129, 69), (-1, 0), 12, start=4)}
SOURCE = FakeSource(12, 161, 97, FACES, cuts=frozenset({6}))


def test_the_clip_is_what_it_says() -> None:
    frames = list(SOURCE)
    assert [frame.index for frame in frames] == list(range(12))
    assert [frame.pts_seconds for frame in frames[:3]] == pytest.approx([0, 0.04, 0.08])
    assert all((f.picture.width, f.picture.height) == (161, 97) for f in frames)
    assert SOURCE.boxes(0) == [(10, 12, 49, 61)]
    assert len(SOURCE.boxes(5)) == 2


def test_the_clip_is_the_same_every_time_and_frames_share_no_memory() -> None:
    first, second = list(SOURCE), list(SOURCE)
    for one, two in zip(first, second, strict=True):
        assert all((a == b).all() for a, b in zip(one.picture.planes, two.picture.planes, strict=True))
    first[0].picture.planes[0][:] = 0
    assert first[1].picture.planes[0].any()


def test_a_bare_face_leaks_about_half_of_its_pixels() -> None:
    for frame in SOURCE:
        boxes = SOURCE.boxes(frame.index)
        assert 0.45 < leaked_pixels(frame.picture, boxes) / (2000 * len(boxes)) < 0.55


def test_the_background_leaks_nothing() -> None:
    bare = FakeSource(12, 161, 97, cuts=frozenset({6}))
    everywhere = [(0.0, 0.0, 160.0, 96.0)]
    assert all(leaked_pixels(frame.picture, everywhere) == 0 for frame in bare)
    outside = [(130.0, 0.0, 160.0, 96.0)]
    assert all(leaked_pixels(frame.picture, outside) == 0 for frame in SOURCE)


def test_one_bare_pixel_row_is_found() -> None:
    planes = [plane.copy() for plane in next(iter(SOURCE)).picture.planes]
    planes[0][13:] = 40
    assert leaked_pixels(Picture(tuple(planes), "yuv420p"), SOURCE.boxes(0)) == 20


@pytest.mark.parametrize("cell", [8, 12])
def test_a_mosaic_or_a_blur_leaks_nothing(cell: int) -> None:
    frame = next(iter(SOURCE))
    luma, *chroma = (plane.copy() for plane in frame.picture.planes)
    region = luma[12:62, 10:50]
    small = cv2.resize(region, (40 // cell, 50 // cell), interpolation=cv2.INTER_AREA)
    luma[12:62, 10:50] = cv2.resize(small, (40, 50), interpolation=cv2.INTER_NEAREST)
    assert leaked_pixels(Picture((luma, *chroma), "yuv420p"), SOURCE.boxes(0)) == 0
    luma[12:62, 10:50] = cv2.GaussianBlur(region, (0, 0), 6)
    assert leaked_pixels(Picture((luma, *chroma), "yuv420p"), SOURCE.boxes(0)) == 0


def test_faces_beyond_the_edge_are_painted_as_far_as_they_are_there() -> None:
    source = FakeSource(3, 64, 64, {0: [(-20, -20, 10, 10), (50, 50, 90, 90), (-50, -50, -9, -9)]})
    leaks = [leaked_pixels(f.picture, source.boxes(f.index)) for f in source]
    assert 40 < leaks[0] < 80
    assert 70 < leaks[1] < 125
    assert leaks[2] == 0


def test_the_detector_finds_the_truth_misses_and_fails_as_told() -> None:
    detector = FakeDetector(FACES, misses={(5, 0)}, fails={7})
    frames = list(SOURCE)
    np.testing.assert_array_equal(detector.detect(frames[5]).boxes, np.array([FACES[1][5]], np.float32))
    np.testing.assert_array_equal(detector.detect(frames[6]).boxes, np.array(SOURCE.boxes(6), np.float32))
    with pytest.raises(DetectionError, match="frame 7"):
        detector.detect(frames[7])
    assert len(FakeDetector(FACES, misses=lambda index, face: face == 1).detect(frames[5])) == 1
    assert len(FakeDetector({}).detect(frames[5])) == 0


def test_noise_is_the_same_every_time_and_other_in_every_frame() -> None:
    detector = FakeDetector({0: [(10, 10, 50, 50)] * 12}, noise_px=1)
    frames = list(SOURCE)
    one, again, other = (detector.detect(frames[n]).boxes for n in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert 0 < np.abs(one - other).max() < 10
