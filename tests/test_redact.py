from __future__ import annotations

import numpy as np
import pytest

from streamanon.redact import MAX_CELLS, NOISE, SOLID_RGB, blur, cells_of, ellipse_alpha, mosaic, solid
from streamanon.types import Float

RGB: Float = np.random.default_rng(0).uniform(0, 255, (90, 72, 3)).astype(np.float32)


def test_six_cells_are_the_most() -> None:
    """What is known to be irreversible for faces; more of them would be a decision, not a tweak."""
    assert MAX_CELLS <= 6


def test_a_mosaic_is_flat_cells_with_nearly_their_means() -> None:
    flat = mosaic(RGB, 6, 5, seed=1)
    assert flat.shape == RGB.shape
    assert flat.dtype == np.float32
    for row in range(5):
        for column in range(6):
            cell = np.s_[18 * row : 18 * row + 18, 12 * column : 12 * column + 12]
            assert len(np.unique(flat[cell].reshape(-1, 3), axis=0)) == 1
            assert np.abs(flat[cell][0, 0] - RGB[cell].mean(axis=(0, 1))).max() < 5 * NOISE


def test_the_noise_stays_while_the_track_does() -> None:
    np.testing.assert_array_equal(mosaic(RGB, 4, 4, seed=3), mosaic(RGB, 4, 4, seed=3))
    assert (mosaic(RGB, 4, 4, seed=3) != mosaic(RGB, 4, 4, seed=4)).any()


def test_frames_of_a_trembling_face_do_not_add_up() -> None:
    """The noise is the same in every frame of a track, so that averaging many frames leaves it there."""
    grey = np.full((60, 60, 3), 128, np.float32)
    mean = np.mean([cells_of(grey, 6, 6, seed=2) for _ in range(50)], axis=0)
    assert np.abs(mean - 128).mean() > NOISE / 2


@pytest.mark.parametrize(("columns", "rows"), [(0, 4), (MAX_CELLS + 1, 4), (4, 0), (-1, -1)])
def test_too_many_cells_are_refused(columns: int, rows: int) -> None:
    for cover in (mosaic, blur):
        with pytest.raises(ValueError, match="mosaic"):
            cover(RGB, columns, rows, 0)


def test_a_blur_holds_no_more_than_the_mosaic() -> None:
    """Two faces with the same cells give the same blur, whatever else is in them."""
    other = mosaic(RGB, 6, 6, seed=0)
    flat = np.repeat(np.repeat(cells_means(RGB), 15, axis=0), 12, axis=1)
    np.testing.assert_allclose(blur(flat, 6, 6, seed=0), blur(RGB, 6, 6, seed=0), atol=0.01)
    assert np.abs(np.diff(blur(RGB, 6, 6, seed=0), axis=1)).max() < np.abs(np.diff(other, axis=1)).max()


def cells_means(rgb: Float) -> Float:
    return np.asarray(rgb.reshape(6, 15, 6, 12, 3).mean(axis=(1, 3)), np.float32)


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 2, 3), (2, 300, 3)])
def test_tiny_regions_work(shape: tuple[int, int, int]) -> None:
    region = np.full(shape, 100, np.float32)
    columns = min(MAX_CELLS, shape[1])
    for cover in (mosaic, blur):
        assert np.abs(cover(region, columns, 1, 0) - 100).max() < 5 * NOISE
    assert (solid(region) == SOLID_RGB).all()


def test_covers_stay_in_range() -> None:
    for value in (0.0, 255.0):
        region = np.full((40, 40, 3), value, np.float32)
        for cover in (mosaic, blur):
            covered = cover(region, 6, 6, 0)
            assert covered.min() >= 0
            assert covered.max() <= 255


def test_an_ellipse_is_opaque_inside_and_ends_two_pixels_outside() -> None:
    alpha = ellipse_alpha(101, 81, (50, 40), (40, 30))
    y, x = np.mgrid[:81, :101]
    radius = np.hypot((x - 50) / 40, (y - 40) / 30)
    assert (alpha[radius <= 1] == 1).all()
    assert (alpha[radius > 1 + 2 / 30] == 0).all()
    assert ((alpha > 0) & (alpha < 1)).any()


def test_an_ellipse_of_no_size_still_covers_its_centre() -> None:
    assert ellipse_alpha(9, 9, (4, 4), (0, 0))[4, 4] == 1
