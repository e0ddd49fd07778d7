"""What the network paints gets no stronger and no finer than the footage."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from streamanon.generate.softness import FINER, GAINS, Softness, _fine, softened, softness_of
from streamanon.types import Float

LIGHT = np.full((128, 128, 3), 120.0, np.float32)
SKIN = np.zeros((128, 128), bool)
SKIN[24:104, 24:104] = True


def textured(contrast: float, sigma: float = 0.0) -> Float:
    noise = np.random.default_rng(1).standard_normal((128, 128)).astype(np.float32)
    coarse = cv2.GaussianBlur(noise, (0, 0), 4)
    detail = np.asarray(noise + 12 * coarse, np.float32)
    if sigma:
        detail = np.asarray(cv2.GaussianBlur(detail, (0, 0), sigma), np.float32)
    return np.asarray(LIGHT + np.float32(contrast) * detail[..., None], np.float32)


def deviation(rgb: Float) -> float:
    return float((rgb - LIGHT)[SKIN].std())


def test_a_painting_as_soft_as_the_frame_is_left_alone() -> None:
    rgb = textured(6)
    softness = softness_of(rgb, LIGHT, rgb, SKIN)
    assert softness == Softness(1.0, 0.0)
    np.testing.assert_array_equal(softened(rgb, LIGHT, SKIN, softness), rgb)


def test_too_much_contrast_is_taken_back_and_too_little_stays() -> None:
    rgb, flat = textured(8), textured(6)
    softness = softness_of(rgb, LIGHT, flat, SKIN)
    assert softness.gain == pytest.approx(0.75)
    assert deviation(softened(rgb, LIGHT, np.ones_like(SKIN), softness)) == pytest.approx(deviation(flat))
    assert softness_of(flat, LIGHT, rgb, SKIN).gain == 1
    assert softness_of(rgb, LIGHT, textured(1), SKIN).gain == GAINS[0]


def test_a_painting_finer_than_the_frame_is_blurred() -> None:
    rgb, blurred = textured(6), textured(6, 1.5)
    softness = softness_of(rgb, LIGHT, blurred, SKIN)
    assert softness.sigma_px >= 0.7
    made = softened(rgb, LIGHT, np.ones_like(SKIN), softness)
    fine = [_fine(one[..., 0], SKIN.view(np.uint8)) for one in (made, blurred)]
    assert fine[0] <= 1.02 * FINER * fine[1]


def test_what_lies_beyond_the_mesh_stays() -> None:
    rgb = textured(8)
    made = softened(rgb, LIGHT, SKIN, Softness(0.6, 1.2))
    away = cv2.distanceTransform((~SKIN).astype(np.uint8), cv2.DIST_L2, 3) > 8
    np.testing.assert_allclose(made[away], rgb[away], atol=0.01)
    assert np.abs(made - rgb)[SKIN].max() > 5


def test_softness_moves_towards_a_new_one() -> None:
    moved = Softness(1.0, 0.0).towards(Softness(0.6, 1.2), 0.25)
    assert (moved.gain, moved.sigma_px) == pytest.approx((0.9, 0.3))
