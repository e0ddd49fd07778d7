"""A painted face takes over the colour of the skin around it, and of nothing else."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from streamanon.generate.border import RAMP_PX, blend_border, like_skin
from streamanon.types import LUMA, Float

SKIN, PAINTED, WALL = (200.0, 150.0, 120.0), (190.0, 140.0, 130.0), (40.0, 60.0, 200.0)


def parts(around: tuple[float, float, float]) -> tuple[Float, Float, Float, np.ndarray]:
    """Painting, crop and light [128, 128, 3], and a round cut, whose inside in the crop is black."""
    y, x = np.indices((128, 128))
    cut = (x - 64) ** 2 + (y - 64) ** 2 < 40**2
    crop = np.where(cut[..., None], 0, np.array(around)).astype(np.float32)
    return np.full((128, 128, 3), PAINTED, np.float32), crop, np.full_like(crop, SKIN), cut


def test_the_rim_meets_the_skin_and_the_middle_stays() -> None:
    rgb, crop, light, cut = parts(SKIN)
    blended, beside = blend_border(rgb, crop, light, cut)
    np.testing.assert_allclose(blended[64, 64], PAINTED, atol=0.1)
    assert np.abs(blended[64, 26] - SKIN).max() < 1.5
    assert beside[64, 26] > 0.7
    assert beside[64, 64] == 0


def test_hair_and_walls_give_no_colour() -> None:
    rgb, crop, light, cut = parts(WALL)
    blended, beside = blend_border(rgb, crop, light, cut)
    assert np.abs(blended[cut] - PAINTED).max() < 0.5
    assert beside.max() < 0.01


def test_nothing_that_is_hidden_is_looked_at() -> None:
    rgb, crop, light, cut = parts(SKIN)
    hidden = cv2.distanceTransform(cut.astype(np.uint8), cv2.DIST_L2, 3) >= RAMP_PX
    other = crop.copy()
    other[hidden] = np.random.default_rng(0).uniform(0, 255, (int(hidden.sum()), 3))
    first, second = blend_border(rgb, crop, light, cut), blend_border(rgb, other, light, cut)
    for one, two in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, two)


def test_skin_that_shines_through_the_edge_beside_hair_is_met() -> None:
    """A forehead's shine below dark hair would be a bright line along the painted face."""
    rgb, crop, light, cut = parts(WALL)
    depth = cv2.distanceTransform(cut.astype(np.uint8), cv2.DIST_L2, 3)
    bright = np.array(SKIN, np.float32) * 1.2
    crop[cut & (depth < RAMP_PX)] = bright
    blended, _ = blend_border(rgb, crop, light, cut)
    before, after = (np.abs(one[64, 27] - bright).max() for one in (rgb, blended))
    assert after < 0.5 * before


def test_no_line_is_left_along_the_rim() -> None:
    """Networks overshoot there: neither surroundings nor the face have such colours."""
    rgb, crop, light, cut = parts(SKIN)
    y, x = np.indices((128, 128))
    line = np.abs(np.hypot(x - 64, y - 64) - 38) < 1
    for level in (0, 255):
        lined = np.where(line[..., None], np.float32(level), rgb)
        blended, _ = blend_border(lined, crop, light, cut)
        assert np.abs(blended[line] - SKIN).max() < 12


def test_a_hard_shade_beside_the_face_is_not_taken_for_its_light() -> None:
    """Hair throws shadows on foreheads: skin that is much darker than the face is not matched."""
    rgb, crop, light, cut = parts((100.0, 75.0, 60.0))
    blended, beside = blend_border(rgb, crop, light, cut)
    assert np.abs(blended[cut] - PAINTED).max() < 4
    assert beside.max() < 0.1


@pytest.mark.parametrize("tint", [(1, 1, 0.5), (0.8, 1.1, 0.9), (0.9, 1, 1.3)])
def test_painting_is_not_much_yellower_greener_or_bluer_than_the_skin(tint: tuple[float, ...]) -> None:
    light = np.tile(np.array([200, 150, 120], np.float32), (8, 8, 1))
    painted = (0.8 * light * np.array(tint)).astype(np.float32)
    made = like_skin(painted, light)
    np.testing.assert_allclose(made @ LUMA, painted @ LUMA, rtol=1e-4)
    own, before, after = (one / (one @ LUMA)[..., None] for one in (light, painted, made))
    assert np.abs(after - own).max() < 0.6 * np.abs(before - own).max()


def test_lips_and_ruddy_cheeks_keep_their_red() -> None:
    light = np.tile(np.array([200, 150, 120], np.float32), (8, 8, 1))
    lips = np.full_like(light, (190, 100, 95))
    assert np.abs(like_skin(lips, light) - lips).max() < 12
