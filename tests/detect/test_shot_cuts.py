"""Shot cuts on synthetic footage; what real clips gave is told in ``streamanon/detect/shot_cuts.py``."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from streamanon.detect.shot_cuts import CutDetector, going_on, thumbnail, unexplained
from streamanon.testing.fakes import FakeSource, moving
from streamanon.types import Picture

Grey = NDArray[np.uint8]


def scene(seed: int, width: int = 64, height: int = 36) -> Grey:
    """Smooth random light and shade."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 8), np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(smooth, np.uint8)


def cuts(pictures: list[Grey]) -> list[int]:
    detector = CutDetector()
    return [index for index, picture in enumerate(pictures) if detector.is_cut(picture)]


def noisy(picture: Grey, seed: int) -> Grey:
    noise = np.random.default_rng(seed).normal(0, 3, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def test_hard_cuts_are_found_at_the_first_frame_of_each_shot() -> None:
    shots = [noisy(scene(shot), 10 * shot + n) for shot in range(8) for n in range(6)]
    assert cuts(shots) == [6, 12, 18, 24, 30, 36, 42]


def test_shots_of_two_frames_are_found() -> None:
    assert cuts([scene(shot) for shot in range(4) for _ in range(2)]) == [2, 4, 6]


def test_a_cut_to_black_and_back_is_found() -> None:
    black = np.full((36, 64), 16, np.uint8)
    assert cuts([scene(0)] * 6 + [noisy(black, 1)] * 6 + [scene(1)] * 6) == [6, 12]


def test_a_dark_cut_is_found() -> None:
    dark = [(scene(seed) // 8 + 16).astype(np.uint8) for seed in (0, 1)]
    assert cuts([dark[0]] * 4 + [dark[1]] * 4) == [4]


@pytest.mark.parametrize("step", [1, 3])
def test_a_pan_is_no_cut(step: int) -> None:
    wide = scene(3, 64 + 30 * step)
    assert cuts([wide[:, n * step : n * step + 64].copy() for n in range(30)]) == []


def test_a_fast_large_object_is_no_cut() -> None:
    pictures = [np.ascontiguousarray(scene(5) // 2) for _ in range(12)]
    for n, picture in enumerate(pictures):
        picture[12:, max(4 * n - 20, 0) : 4 * n] = 150
    assert cuts(pictures) == []


def test_what_may_be_a_cut_is_a_reason_to_doubt_only() -> None:
    """Somebody who runs close by, at ten frames a second."""
    base = np.ascontiguousarray(scene(5) // 2)
    passing = base.copy()
    passing[8:, 20:28] = 160
    detector = CutDetector()
    told = [(detector.is_cut(picture), detector.doubtful) for picture in (base, base, passing, passing)]
    assert 0.05 < unexplained(base, passing) < 0.12
    assert told == [(False, False), (False, False), (False, True), (False, False)]


def street(seed: int, width: int = 64) -> Grey:
    """Fine texture everywhere, so that any two have much the same lumas near the same places."""
    noise = np.random.default_rng(seed).normal(0, 1, (36, width)).astype(np.float32)
    fine = np.asarray(cv2.GaussianBlur(noise, (0, 0), 1.2), np.float32)
    coarse = scene(seed, width).astype(np.float32) - 128
    return np.asarray(np.clip(128 + 30 * fine / fine.std() + coarse / 2, 0, 255), np.uint8)


@pytest.mark.parametrize("seed", [6, 9])
def test_a_cut_to_a_shot_of_the_same_lumas_is_found_as_nothing_goes_on(seed: int) -> None:
    assert 0.05 < unexplained(street(seed), street(seed + 1)) < 0.12
    assert cuts([noisy(street(seed + n // 6), n) for n in range(12)]) == [6]


@pytest.mark.parametrize(("seed", "step"), [(0, 8), (0, 12), (3, 20)])
def test_a_pan_in_doubt_is_no_cut_as_what_was_in_sight_goes_on(seed: int, step: int) -> None:
    """One whip of an eighth to a third of the picture's width."""
    wide = street(seed, 120)
    first, second = wide[:, :64].copy(), wide[:, step : 64 + step].copy()
    assert 0.05 < unexplained(first, second) < 0.12
    assert cuts([first] * 4 + [second] * 4) == []


def test_what_goes_on_has_moved_alike() -> None:
    """Blocks that are all in the other picture, each elsewhere, are no motion."""
    one = street(3)
    rows = one.reshape(6, 6, 64)
    assert going_on(one, one) == 1
    assert going_on(one, rows[[1, 0, 3, 2, 5, 4]].reshape(36, 64)) < 0.5


def test_without_texture_nothing_can_be_told_of_what_goes_on() -> None:
    assert going_on(street(0), np.full((36, 64), 16, np.uint8)) == 1


def test_a_change_of_light_is_no_cut() -> None:
    base = scene(7) // 4 + 40
    brighter = np.clip(base * 1.6 + 20, 0, 255).astype(np.uint8)
    assert cuts([base] * 5 + [brighter] + [base] * 5) == []


@pytest.mark.parametrize("length", [1, 2, 3])
def test_the_end_of_a_blinding_flash_is_no_cut(length: int) -> None:
    base = scene(7)
    blinding = np.clip(base * 3.0 + 100, 0, 255).astype(np.uint8)
    assert cuts([base] * 5 + [blinding] * length + [base] * 5) in ([], [5])


def test_a_whip_pan_does_not_cut_in_every_frame() -> None:
    wide = scene(9, 64 + 20 * 25)
    wide[:, ::2] = scene(11, 64 + 20 * 25)[:, ::2]
    assert len(cuts([wide[:, 25 * n : 25 * n + 64].copy() for n in range(20)])) <= 4


def test_another_picture_size_is_a_cut() -> None:
    detector = CutDetector()
    assert not detector.is_cut(scene(0))
    assert detector.is_cut(scene(0, 32, 18))
    assert not detector.is_cut(scene(0, 32, 18))


def test_detectors_share_no_state() -> None:
    first, second = CutDetector(), CutDetector()
    first.is_cut(scene(0))
    assert not second.is_cut(scene(1))


def test_unexplained_is_symmetric_and_nothing_for_equal_pictures() -> None:
    one, two = scene(1), scene(2)
    assert unexplained(one, one) == 0
    assert unexplained(one, two) == pytest.approx(unexplained(two, one))
    assert unexplained(one, two) > 0.05


def test_thumbnails_of_8_and_10_bits_agree() -> None:
    luma = scene(4, 320, 180)
    eight = Picture((luma,), "gray")
    ten = Picture((luma.astype(np.uint16) * 4,), "gray10le")
    assert thumbnail(eight).shape == (36, 64)
    assert thumbnail(ten).dtype == np.uint8
    assert np.abs(thumbnail(eight).astype(int) - thumbnail(ten)).max() <= 1


def test_a_thumbnail_of_a_tiny_picture_has_the_same_size() -> None:
    assert thumbnail(Picture((scene(4, 20, 10),), "gray")).shape == (36, 64)


def test_fake_clips_have_the_cuts_that_they_say() -> None:
    faces = {0: moving((10, 10, 60, 70), (6, 0), 20), 1: moving((150, 20, 200, 80), (-5, 1), 20)}
    source = FakeSource(20, 240, 136, faces, cuts=frozenset({7, 13}))
    assert cuts([thumbnail(frame.picture) for frame in source]) == [7, 13]
