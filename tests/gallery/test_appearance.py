"""A delegate's appearance, brought nearer to the mean of those who fit a person."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from streamanon.gallery.appearance import AMONG, towards
from streamanon.gallery.delegates import FINE_PX, TEXTURE_PX
from streamanon.testing.fakes import fake_gallery

GALLERY = fake_gallery(2 * AMONG)
AWAY = np.arange(2 * AMONG, dtype=np.float32)


def test_none_of_it_is_the_mean_of_those_who_fit_best() -> None:
    last = GALLERY.delegates[-1]
    mean = np.mean([one.fine for one in GALLERY.delegates[:AMONG]], axis=0)
    np.testing.assert_array_equal(towards(GALLERY, last, AWAY, 0.0).fine, np.rint(mean))
    half = (mean + last.fine) / 2
    np.testing.assert_array_equal(towards(GALLERY, last, AWAY, 0.5).fine, np.rint(half))
    assert towards(GALLERY, last, AWAY, 1.0) is last


@pytest.mark.parametrize("row", [0, -1])
def test_a_users_smaller_textures_and_installed_ones_are_mixed(row: int) -> None:
    """``streamanon delegates add`` makes textures of half the installed ones' size."""
    large = np.full((FINE_PX, FINE_PX, 3), 200, np.uint8)
    first = dataclasses.replace(GALLERY.delegates[0], stored=large)
    mixed = dataclasses.replace(GALLERY, delegates=(first, *GALLERY.delegates[1:]))
    made = towards(mixed, mixed.delegates[row], AWAY, 0.0)
    assert made.fine.shape[0] == (FINE_PX if row == 0 else TEXTURE_PX)
    rest = [float(one.fine[0, 0, 0]) for one in mixed.delegates[1:AMONG]]
    assert float(made.fine.mean()) == pytest.approx((200 + sum(rest)) / AMONG, abs=0.5)
