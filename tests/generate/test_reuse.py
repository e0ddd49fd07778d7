from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from painting import CELLS, Networks, assignment, face, generator, one, picture

from streamanon.generate import DetailState, Painting
from streamanon.generate.reuse import MOST_FRAMES
from streamanon.media.yuv import from_rgb
from streamanon.mesh.landmarks import LID_MIDDLES
from streamanon.types import Geometry, Picture

HAND = np.zeros((CELLS, CELLS), np.float32)
HAND[18:24, :16] = 0.95


class Run:
    """Frames of one face, each with the state after the one before."""

    def __init__(self, networks: Networks | None = None) -> None:
        self.networks = networks or Networks()
        self._painter, self._part = generator(self.networks), assignment()
        self._last: DetailState | None = None

    def frame(self, mesh: Geometry | None = None, of: Picture | None = None) -> Painting:
        painting = one(self._painter, of or still(), mesh or face(40), self._part, self._last)
        assert painting is not None
        self._last = painting.detail
        return painting

    @property
    def painted(self) -> int:
        """How often the network was asked."""
        return self.networks.calls["generator"]


@cache
def still() -> Picture:
    return picture()


def test_a_face_that_rests_is_painted_once_in_a_while_and_looks_the_same() -> None:
    run = Run()
    first = run.frame().patch
    for number in range(1, MOST_FRAMES + 2):
        again = run.frame().patch
        assert run.painted == (1 if number <= MOST_FRAMES else 2)
        assert (again.x0, again.y0, again.alpha.shape) == (first.x0, first.y0, first.alpha.shape)
        inside = first.alpha > 0.99
        assert np.abs(again.rgb - first.rgb)[inside].mean() < 1.5
        assert np.abs(again.alpha - first.alpha).max() < 0.02


def test_a_painting_that_is_taken_again_goes_along_with_the_face() -> None:
    run = Run()
    here, there = run.frame(face(40, (140, 120))).patch, run.frame(face(40, (148, 124))).patch
    assert run.painted == 1
    assert (there.x0 - here.x0, there.y0 - here.y0) == (8, 4)


def test_a_lid_that_closes_is_painted() -> None:
    run, mesh = Run(), face(40)
    run.frame(mesh)
    (upper, lower), points = LID_MIDDLES[0], mesh.points.copy()
    points[upper] += 0.7 * (points[lower] - points[upper])
    run.frame(Geometry(points, 0.9))
    assert run.painted == 2


@pytest.mark.parametrize("factor", [0.5, 0.75])
def test_light_that_changes_much_is_painted(factor: float) -> None:
    run = Run()
    run.frame()
    run.frame(of=picture(lambda pixels: factor * pixels))
    assert run.painted == 2


def test_light_that_changes_little_is_followed() -> None:
    run = Run()
    plain, brighter = (from_rgb(np.full((240, 320, 3), level, np.uint8)) for level in (120, 130))
    first, second = run.frame(of=plain).patch, run.frame(of=brighter).patch
    assert run.painted == 1
    inside = first.alpha > 0.99
    assert 6 < (second.rgb - first.rgb)[inside].mean() < 12


def test_what_was_behind_a_hand_is_painted_when_it_shows() -> None:
    run = Run(Networks(HAND))
    hidden = run.frame().patch
    run.networks.front = np.zeros_like(HAND)
    shown = run.frame().patch
    assert run.painted == 2
    assert (hidden.alpha < shown.alpha - 0.9).sum() > 100
    np.testing.assert_allclose(shown.alpha, Run().frame().patch.alpha, atol=0.02)


def test_a_finger_that_comes_in_front_is_left_at_once() -> None:
    finger = np.zeros((CELLS, CELLS), np.float32)
    finger[20:22, :10] = 0.95
    run = Run()
    run.frame()
    run.networks.front = finger
    patch = run.frame().patch
    assert patch.front is not None
    assert (patch.front > 0.9).any()
    assert patch.alpha[patch.front > 0.9].max() < 0.2
