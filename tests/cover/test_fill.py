from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from streamanon.cover.fill import GRAIN, MARGIN_PX, fill, hidden_by, shade
from streamanon.types import Float


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def disc(height: int, width: int, radius: float) -> NDArray[np.bool_]:
    y, x = np.ogrid[:height, :width]
    inside: NDArray[np.bool_] = (x - width / 2) ** 2 + (y - height / 2) ** 2 < radius**2
    return inside


@pytest.mark.parametrize("shape", [(64, 64), (61, 37), (9, 80), (3, 3), (1, 5)])
def test_no_hidden_pixel_has_any_part_in_it(shape: tuple[int, int]) -> None:
    picture: Float = rng().uniform(0, 255, (*shape, 3)).astype(np.float32)
    hidden = disc(*shape, min(shape) / 3 + 1)
    other = picture.copy()
    other[hidden] = np.random.default_rng(1).uniform(0, 255, (int(hidden.sum()), 3))
    np.testing.assert_array_equal(fill(picture, hidden, rng()), fill(other, hidden, rng()))


def test_what_is_hidden_is_a_little_more_than_covers_faces_and_what_moves() -> None:
    """Codecs and chroma samples carry a face's colours beyond its edge."""
    nothing = np.zeros((0, 4), np.float32)
    alpha = np.zeros((60, 80), np.float32)
    alpha[20:31, 10:16] = 0.01
    by_alpha = hidden_by(alpha, [], nothing, (0, 0))
    rows, columns = np.flatnonzero(by_alpha.any(axis=1)), np.flatnonzero(by_alpha.any(axis=0))
    assert (rows[0], rows[-1]) == (20 - MARGIN_PX, 30 + MARGIN_PX)
    assert (columns[0], columns[-1]) == (10 - MARGIN_PX, 15 + MARGIN_PX)
    moving = np.array([[110, 220, 115, 230], [-50, -50, -40, -40]], np.float32)
    by_motion = hidden_by(np.zeros_like(alpha), [], moving, (100, 200))
    np.testing.assert_array_equal(by_motion, by_alpha)
    by_face = hidden_by(np.zeros_like(alpha), [moving[0]], nothing, (100, 200))
    assert by_face[25, 12]
    assert by_face[20 - 2, 12]
    assert not (by_face & ~by_alpha).any()


def test_what_is_not_hidden_stays() -> None:
    picture: Float = rng().uniform(0, 255, (50, 40, 3)).astype(np.float32)
    hidden = disc(50, 40, 12)
    np.testing.assert_array_equal(fill(picture, hidden, rng())[~hidden], picture[~hidden])


def test_a_plain_wall_is_filled_with_its_own_colour() -> None:
    wall = np.broadcast_to(np.array([180, 120, 60], np.float32), (80, 70, 3)).copy()
    hidden = disc(80, 70, 25)
    wall[hidden] = 0
    filled = fill(wall, hidden, rng())[hidden]
    np.testing.assert_allclose(filled.mean(axis=0), [180, 120, 60], atol=1)
    assert np.abs(filled - [180, 120, 60]).max() < 6 * GRAIN


def test_between_two_colours_it_goes_from_one_to_the_other() -> None:
    picture = np.zeros((60, 120, 3), np.float32)
    picture[:, 60:] = 200
    hidden = disc(60, 120, 24)
    filled = fill(picture, hidden, rng())
    row = filled[30, :, 0]
    assert row[40] < 60 < 140 < row[80]
    assert np.abs(np.diff(row[37:84])).max() < 40  # no hard step within the hole


def test_nothing_known_is_plain() -> None:
    picture: Float = rng().uniform(0, 255, (20, 20, 3)).astype(np.float32)
    filled = fill(picture, np.ones((20, 20), bool), rng())
    assert filled.std() < 2 * GRAIN


def test_a_shade_is_a_tone_in_the_middle_and_nothing_at_the_edge() -> None:
    grey = np.full((60, 60, 3), 128, np.float32)
    tone = np.array([200, 140, 110], np.float32)
    shaded = shade(grey, (30, 30), (20, 25), tone, 128.0)
    assert shaded[30, 30, 0] > shaded[30, 30, 2] + 30
    np.testing.assert_array_equal(shaded[0], grey[0])


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="hidden must be"):
        fill(np.zeros((4, 4, 3), np.float32), np.zeros((4, 5), bool), rng())


@pytest.mark.parametrize("colour", [(20, 60, 250), (255, 255, 250)])
def test_a_logo_or_a_lamp_beside_the_hole_does_not_shine_into_it(colour: tuple[int, int, int]) -> None:
    wall = np.broadcast_to(np.array([60, 45, 40], np.float32), (80, 80, 3)).copy()
    hidden = disc(80, 80, 26)
    spotted = wall.copy()
    spotted[34:46, 66:78] = colour  # touches the hole
    assert not hidden[34:46, 68:78].any()
    plain, filled = fill(wall, hidden, rng())[hidden], fill(spotted, hidden, rng())[hidden]
    assert np.abs(filled - plain).max() < 3


def test_two_halves_keep_their_colours() -> None:
    picture = np.zeros((80, 80, 3), np.float32)
    picture[:, :40] = [180, 60, 60]
    picture[:, 40:] = [60, 60, 180]
    filled = fill(picture, disc(80, 80, 26), rng())
    assert filled[40, 16, 0] > 150 > 90 > filled[40, 64, 0]
