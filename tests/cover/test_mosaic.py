from __future__ import annotations

import numpy as np
import pytest

from streamanon.cover.mosaic import (
    MAX_CELLS,
    NOISE,
    SHADES,
    SOLID_RGB,
    TINT_NOISE,
    blur,
    cells_of,
    ellipse_alpha,
    mosaic,
    solid,
)
from streamanon.types import Float

RGB: Float = np.random.default_rng(0).uniform(0, 255, (90, 72, 3)).astype(np.float32)


def cells(rgb: Float = RGB, seed: int = 0, columns: int = 6, rows: int = 6) -> Float:
    return cells_of(rgb, columns, rows, np.random.default_rng(seed))


def test_the_strength_is_what_was_measured() -> None:
    """Less noise would be a decision after benchmarks/covers/fallbacks.py, not a tweak."""
    assert MAX_CELLS <= 6
    assert NOISE >= 24
    assert TINT_NOISE >= 8


def test_a_mosaic_is_flat_cells() -> None:
    flat = mosaic(cells(columns=6, rows=5), 72, 90)
    assert flat.shape == RGB.shape
    assert flat.dtype == np.float32
    for row in range(5):
        for column in range(6):
            cell = np.s_[18 * row : 18 * row + 18, 12 * column : 12 * column + 12]
            assert len(np.unique(flat[cell].reshape(-1, 3), axis=0)) == 1
    assert len(np.unique(flat.reshape(-1, 3), axis=0)) == 30


def test_of_the_person_there_is_one_colour() -> None:
    """Whatever lies where: with the same noise, faces of one mean colour have one cover."""
    shuffled = np.random.default_rng(1).permutation(RGB.reshape(-1, 3)).reshape(RGB.shape)
    plain = np.broadcast_to(RGB.mean(axis=(0, 1)), RGB.shape).astype(np.float32)
    for other in (shuffled, plain, RGB[::-1], RGB[:, ::-1]):
        np.testing.assert_allclose(cells(other), cells(), atol=1e-2)


def test_the_cover_follows_the_colour() -> None:
    red = np.broadcast_to(np.array([180, 90, 60], np.float32), (20, 20, 3))
    many = np.mean([cells(red, seed).mean(axis=(0, 1)) for seed in range(400)], axis=0)
    np.testing.assert_allclose(many, red[0, 0], atol=4 * NOISE / 20)


def test_the_noise_is_as_strong_as_it_says() -> None:
    grey = np.full((20, 20, 3), 128, np.float32)
    drawn = np.stack([cells(grey, seed) for seed in range(400)])
    tints = drawn.mean(axis=(1, 2))
    assert tints.mean(axis=1).std() == pytest.approx(NOISE, rel=0.15)
    assert (tints - tints.mean(axis=1, keepdims=True)).std() == pytest.approx(
        TINT_NOISE * np.sqrt(2 / 3), rel=0.15
    )
    assert (drawn - tints[:, None, None]).std() == pytest.approx(SHADES, rel=0.05)
    np.testing.assert_allclose(np.diff(drawn - tints[:, None, None], axis=-1), 0, atol=1e-3)


def test_another_draw_is_another_noise() -> None:
    rng = np.random.default_rng(0)
    first, second = (cells_of(RGB, 6, 6, rng) for _ in range(2))
    assert np.abs(first - second).max() > 1
    np.testing.assert_array_equal(first, cells())


@pytest.mark.parametrize(
    ("columns", "rows"), [(0, 4), (MAX_CELLS + 1, 4), (4, 0), (4, MAX_CELLS + 1), (-1, -1)]
)
def test_too_many_cells_are_refused(columns: int, rows: int) -> None:
    with pytest.raises(ValueError, match="mosaic"):
        cells(columns=columns, rows=rows)


def test_a_blur_is_made_of_the_cells_alone() -> None:
    smooth, flat = blur(cells(), 72, 90), mosaic(cells(), 72, 90)
    assert smooth.shape == flat.shape
    assert np.abs(np.diff(smooth, axis=1)).max() < np.abs(np.diff(flat, axis=1)).max()


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 2, 3), (2, 300, 3)])
def test_tiny_regions_work(shape: tuple[int, int, int]) -> None:
    region = np.full(shape, 100, np.float32)
    for cover in (mosaic, blur):
        covered = cover(cells(region, columns=min(MAX_CELLS, shape[1]), rows=1), shape[1], shape[0])
        assert covered.shape == shape
        assert np.isfinite(covered).all()
    assert (solid(region) == SOLID_RGB).all()


def test_covers_stay_in_range() -> None:
    for value in (0.0, 255.0):
        for cover in (mosaic, blur):
            covered = cover(cells(np.full((40, 40, 3), value, np.float32)), 40, 40)
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
