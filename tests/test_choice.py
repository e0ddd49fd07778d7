from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamanon.config import IdentityConfig
from streamanon.fakes import FakeEncoder, fake_gallery, fake_points
from streamanon.identity.casting import Casting
from streamanon.identity.choice import Attributes, attributes_of, probabilities, utilities
from streamanon.mesh import Measurement
from streamanon.types import Geometry, Picture, RawFrame

POINTS = fake_points(np.array([0, 0, 40, 50], np.float32), np.zeros((5, 2), np.float32))
ATTRIBUTES = st.tuples(st.floats(0, 1), st.floats(0, 110), st.floats(0, 255))
NUMBERS = st.floats(allow_nan=True, allow_infinity=True, width=32)


def person(masculine: float, age: float, skin: float) -> Measurement:
    geometry = Geometry(POINTS, 0.9, masculine, age)
    return Measurement(geometry, np.full(3, skin, np.float32))


DELEGATES = Attributes(
    np.array([0.0, 0.1, 0.5, 0.9, 1.0], np.float32),
    np.array([20, 60, 35, 25, 70], np.float32),
    np.array([60, 120, 180, 140, 90], np.float32),
)


@given(ATTRIBUTES, ATTRIBUTES, st.floats(0, 20))
def test_any_two_people_are_within_the_bound(one: object, two: object, epsilon: float) -> None:
    """No delegate is more than exp(epsilon) times as likely for one person as for another."""
    first, second = (
        probabilities(utilities(person(*who), DELEGATES), epsilon)  # type: ignore[misc]
        for who in (one, two)
    )
    assert (first <= second * np.exp(epsilon) * (1 + 1e-9)).all()
    assert first.sum() == pytest.approx(1)


@given(NUMBERS, NUMBERS, NUMBERS)
def test_utilities_stay_in_their_bounds_whatever_is_measured(a: float, b: float, c: float) -> None:
    fit = utilities(person(a, b, c), DELEGATES)
    assert ((fit >= 0) & (fit <= 1)).all()


def test_who_fits_best_is_likeliest() -> None:
    fit = utilities(person(0.0, 20, 60), DELEGATES)
    assert fit[0] == pytest.approx(1)
    assert fit.argmax() == 0
    assert fit[3] == fit[4] == 0
    chances = probabilities(fit, 4)
    assert chances[0] == pytest.approx(np.exp(2) / (np.exp(2 * fit.astype(np.float64))).sum())


def test_no_budget_draws_evenly() -> None:
    np.testing.assert_allclose(probabilities(utilities(person(0, 20, 60), DELEGATES), 0), 0.2)


def test_who_is_taken_is_never_drawn_and_the_others_keep_their_proportions() -> None:
    fit = utilities(person(0.4, 30, 150), DELEGATES)
    allowed = np.array([True, False, True, True, False])
    chances, all_chances = probabilities(fit, 6, allowed), probabilities(fit, 6)
    assert chances[1] == chances[4] == 0
    np.testing.assert_allclose(chances[allowed], all_chances[allowed] / all_chances[allowed].sum())


@pytest.mark.parametrize("keyed", [False, True])
@pytest.mark.parametrize("epsilon", [0.0, 2.0, 8.0])
def test_frequencies_follow_the_formula(epsilon: float, keyed: bool) -> None:
    """Drawn as the product draws: one casting a draw; or one key a draw."""
    gallery, count = fake_gallery(6), 1500
    who = person(0.8, 30, 120)
    wanted = probabilities(utilities(who, attributes_of(gallery.delegates)), epsilon)
    seen = dict.fromkeys((delegate.id for delegate in gallery.delegates), 0)
    frame = RawFrame(0, 0, Fraction(1, 25), Picture((np.zeros((8, 8), np.uint8),), "gray"))
    for number in range(count):
        config = IdentityConfig(epsilon=epsilon, seed=None if keyed else number)
        key = number.to_bytes(32, "big") if keyed else None
        casting = Casting(gallery, FakeEncoder(), config, key)
        seen[casting.role(frame, 0, who).delegate.id] += 1
    found = np.array(list(seen.values())) / count
    # Four standard deviations, each.
    assert (np.abs(found - wanted) < 4 * np.sqrt(wanted * (1 - wanted) / count) + 1e-9).all()
    if epsilon:
        assert wanted.max() > 1.5 * wanted.min()
