"""A painted face takes over the colour of the skin around it, and of nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from streamanon.generate.border import blend_border, without_yellow
from streamanon.types import Float

SKIN, PAINTED, WALL = (200.0, 150.0, 120.0), (190.0, 140.0, 130.0), (40.0, 60.0, 200.0)


def parts(around: tuple[float, float, float]) -> tuple[Float, Float, Float, np.ndarray]:
    """Painting, crop and light [128, 128, 3], and a round cut, whose inside in the crop is black."""
    y, x = np.indices((128, 128))
    cut = (x - 64) ** 2 + (y - 64) ** 2 < 40**2
    crop = np.where(cut[..., None], 0, np.array(around)).astype(np.float32)
    return np.full((128, 128, 3), PAINTED, np.float32), crop, np.full_like(crop, SKIN), cut


def test_the_rim_meets_the_skin_and_the_middle_stays() -> None:
    rgb, crop, light, cut = parts(SKIN)
    blended = blend_border(rgb, crop, light, cut)
    np.testing.assert_allclose(blended[64, 64], PAINTED, atol=0.1)
    assert np.abs(blended[64, 26] - SKIN).max() < 1.5


def test_hair_and_walls_give_no_colour() -> None:
    rgb, crop, light, cut = parts(WALL)
    assert np.abs(blend_border(rgb, crop, light, cut)[cut] - PAINTED).max() < 0.5


def test_nothing_under_the_face_is_looked_at() -> None:
    rgb, crop, light, cut = parts(SKIN)
    other = crop.copy()
    other[cut] = np.random.default_rng(0).uniform(0, 255, (int(cut.sum()), 3))
    first, second = blend_border(rgb, crop, light, cut), blend_border(rgb, other, light, cut)
    assert first == pytest.approx(second, abs=1e-4)


def test_painting_is_not_much_yellower_than_the_skin() -> None:
    light = np.tile(np.array([150, 150, 160], np.float32), (8, 8, 1))
    yellow, own = light * [1, 1, 0.5], light * [1.1, 0.9, 1]
    made = without_yellow(yellow.astype(np.float32), light)
    assert (made[..., 2] > 1.5 * yellow[..., 2]).all()
    np.testing.assert_array_equal(made[..., :2], yellow[..., :2].astype(np.float32))
    np.testing.assert_array_equal(without_yellow(own.astype(np.float32), light), own.astype(np.float32))
