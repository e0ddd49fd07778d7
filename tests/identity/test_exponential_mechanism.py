from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamanon.config import IdentityConfig
from streamanon.identity.assignment import Assigner, AssignerParts
from streamanon.identity.encoder import CHANNELS
from streamanon.identity.exponential_mechanism import (
    Attributes,
    Traits,
    attributes_of,
    probabilities,
    traits_of,
    traits_of_kind,
    utilities,
)
from streamanon.testing.fakes import FakeEncoder, fake_distraction, fake_gallery, fake_points
from streamanon.types import Geometry, Picture, RawFrame

POINTS = fake_points(np.array([0, 0, 40, 50], np.float32), np.zeros((5, 2), np.float32))
ATTRIBUTES = st.tuples(st.floats(0, 1), st.floats(0, 110), st.floats(-90, 90))
LIKENESSES = st.lists(st.floats(-1, 1), min_size=5, max_size=5)
PEOPLE = st.tuples(ATTRIBUTES, LIKENESSES)
Who = tuple[tuple[float, float, float], list[float]]
NUMBERS = st.floats(allow_nan=True, allow_infinity=True, width=32)


def measured(masculine: float, age: float) -> Geometry:
    return Geometry(POINTS, 0.9, masculine, age)


DELEGATES = Attributes(
    np.array([0.0, 0.1, 0.5, 0.9, 1.0], np.float32),
    np.array([20, 60, 35, 25, 70], np.float32),
    np.array([-40, 0, 60, 30, -20], np.float32),
)


@given(PEOPLE, PEOPLE, st.floats(0, 20))
def test_any_two_people_are_within_the_bound(one: Who, two: Who, epsilon: float) -> None:
    """No delegate is more than exp(epsilon) times as likely for one person as for another, whatever they
    present as and whichever delegates they look like.
    """
    first, second = (
        probabilities(utilities(Traits(*traits), DELEGATES, np.array(likenesses, np.float32)), epsilon)
        for traits, likenesses in (one, two)
    )
    assert (first <= second * np.exp(epsilon) * (1 + 1e-9)).all()
    assert first.sum() == pytest.approx(1)


@given(NUMBERS, NUMBERS, NUMBERS)
def test_utilities_stay_in_their_bounds_whatever_is_measured(a: float, b: float, c: float) -> None:
    fit = utilities(Traits(a, b, c), DELEGATES)
    assert ((fit >= 0) & (fit <= 1)).all()


def test_of_those_who_fit_the_one_most_like_the_person_fits_least() -> None:
    """Whatever the person's cosines are as a whole: those of small faces are all low."""
    crowd = Attributes(*(np.full(42, value, np.float32) for value in (0.9, 30, 20)))
    cosines = np.linspace(-0.5, 0.1, 42).astype(np.float32)
    for shift in (0.0, 0.2):
        fit = utilities(Traits(0.9, 30, 20), crowd, cosines + np.float32(shift))
        assert (fit[:10] > 0.9).all()
        assert (fit[-20:] == 0).all()


def test_who_is_alike_in_any_case_does_not_fit() -> None:
    crowd = Attributes(*(np.full(42, value, np.float32) for value in (0.9, 30, 20)))
    cosines = np.full(42, 0.3, np.float32)
    cosines[7] = 0.6
    fit = utilities(Traits(0.9, 30, 20), crowd, cosines)
    assert fit[7] < 1
    assert (np.delete(fit, 7) == 1).all()


def test_where_all_who_fit_are_alike_others_fit_better() -> None:
    """However much: a face like theirs is what others look for."""
    ages = np.array([30] * 30 + [55] * 30, np.float32)
    crowd = Attributes(np.full(60, 0.9, np.float32), ages, np.full(60, 20, np.float32))
    cosines = np.array([0.3] * 30 + [-0.1] * 30, np.float32)
    fit = utilities(Traits(0.9, 30, 20), crowd, cosines)
    assert (fit[30:] == 1).all()
    assert (fit[:30] == 0).all()


def test_a_view_does_not_change_who_fits_a_kind_unless_a_delegate_is_nearly_the_person() -> None:
    crowd = Attributes(*(np.full(42, value, np.float32) for value in (0.9, 30, 20)))
    kind = np.linspace(-0.3, 0.3, 42).astype(np.float32)
    views = kind + np.float32(0.04), kind[::-1].copy()
    one, two = (utilities(Traits(0.9, 30, 20), crowd, view, kind) for view in views)
    np.testing.assert_array_equal(one, two)
    near = kind.copy()
    near[0] = 0.8
    assert one[0] == 1
    assert utilities(Traits(0.9, 30, 20), crowd, near, kind)[0] < 1


def test_nothing_known_fits_nobody_better() -> None:
    fit = utilities(Traits(float("nan"), float("nan"), float("nan")), DELEGATES)
    assert (fit == fit[0]).all()


@given(st.permutations(range(5)), ATTRIBUTES)
def test_the_order_of_delegates_does_not_matter(order: list[int], who: tuple[float, float, float]) -> None:
    mixed = Attributes(*(getattr(DELEGATES, name)[order] for name in ("masculine", "age", "tone")))
    one, two = utilities(Traits(*who), DELEGATES), utilities(Traits(*who), mixed)
    np.testing.assert_allclose(one[order], two, atol=1e-6)


def test_age_is_the_mean_of_mesh_and_feature_and_tone_the_features() -> None:
    traits = traits_of(measured(0.2, 30), {"masculine": 1.4, "age": 50, "ita": 10})
    assert (traits.age, traits.tone) == pytest.approx((40, 10))


@pytest.mark.parametrize(
    ("mesh", "probe", "male"),
    [(0.99, 1.0, True), (0.01, 0.0, False), (0.27, 0.63, False), (0.9, 0.3, False), (0.3, 0.95, True)],
)
def test_sex_is_what_mesh_and_feature_say_together(mesh: float, probe: float, male: bool) -> None:
    traits = traits_of(measured(mesh, 30), {"masculine": probe, "age": 30, "ita": 10})
    assert 0 < traits.masculine < 1
    assert (traits.masculine > 0.5) == male


def test_sex_of_a_kind_is_what_its_feature_says() -> None:
    assert traits_of_kind(0.9, 30, 10).masculine > 0.9
    assert traits_of_kind(0.2, 30, 10).masculine < 0.1


def test_who_reads_as_neither_when_worn_fits_less_than_who_reads_as_the_persons_sex() -> None:
    """Another age or tone within reach is the lesser evil."""
    masculine = np.array([0.5] * 21 + [0.97] * 21, np.float32)
    ages = np.array([40] * 21 + [44] * 21, np.float32)
    crowd = Attributes(masculine, ages, np.full(42, 20, np.float32))
    fit = utilities(Traits(0.99, 40, 20), crowd)
    assert fit[21:].min() >= fit[:21].max()
    assert fit[21:].sum() > 0


def test_who_fits_best_is_likeliest() -> None:
    fit = utilities(Traits(0.0, 20, -40), DELEGATES)
    assert fit[0] == pytest.approx(1)
    assert fit.argmax() == 0
    assert (np.delete(fit, 0) == 0).all()
    chances = probabilities(fit, 4)
    assert chances[0] == pytest.approx(np.exp(2) / (np.exp(2 * fit.astype(np.float64))).sum())


def test_no_budget_draws_evenly() -> None:
    np.testing.assert_allclose(probabilities(utilities(Traits(0, 20, 60), DELEGATES), 0), 0.2)


def test_who_is_taken_is_never_drawn_and_the_others_keep_their_proportions() -> None:
    fit = utilities(Traits(0.4, 30, 150), DELEGATES)
    allowed = np.array([True, False, True, True, False])
    chances, all_chances = probabilities(fit, 6, allowed), probabilities(fit, 6)
    assert chances[1] == chances[4] == 0
    np.testing.assert_allclose(chances[allowed], all_chances[allowed] / all_chances[allowed].sum())


@pytest.mark.parametrize("keyed", [False, True])
@pytest.mark.parametrize("epsilon", [0.0, 2.0, 8.0])
def test_frequencies_follow_the_formula(epsilon: float, keyed: bool) -> None:
    """Drawn as the product draws: one assigner a draw; or one key a draw."""
    gallery, count = fake_gallery(6), 1500
    who, encoder, distraction = measured(0.8, 30), FakeEncoder(), fake_distraction()
    told = distraction.attributes(np.zeros(CHANNELS, np.float32))
    traits = Traits(*map(float, distraction.anchor_attributes[0])) if keyed else traits_of(who, told)
    frame = RawFrame(0, 0, Fraction(1, 25), Picture((np.zeros((8, 8), np.uint8),), "gray"))
    embedding = encoder.describe(frame.picture, who.points).embedding
    likenesses, kind = gallery.embeddings @ embedding, distraction.kind_of(embedding)
    of_kind = gallery.embeddings @ distraction.anchors[kind] if keyed else None
    wanted = probabilities(utilities(traits, attributes_of(gallery), likenesses, of_kind), epsilon)
    seen = dict.fromkeys((delegate.id for delegate in gallery.delegates), 0)
    for number in range(count):
        config = IdentityConfig(epsilon=epsilon, seed=None if keyed else number)
        key = number.to_bytes(32, "big") if keyed else None
        assigner = Assigner(AssignerParts(gallery, encoder, distraction, config, key))
        seen[assigner.assign(frame, 0, who).delegate.id] += 1
    found = np.array(list(seen.values())) / count
    # Four standard deviations, each.
    assert (np.abs(found - wanted) < 4 * np.sqrt(wanted * (1 - wanted) / count) + 1e-9).all()
    if epsilon:
        assert wanted.max() > 1.1 * wanted.min()
