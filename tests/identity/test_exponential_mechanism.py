from __future__ import annotations

from dataclasses import replace
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
    distances,
    probabilities,
    traits_of,
    traits_of_kind,
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
    np.array([24, 66, 40, 30, 75], np.float32),
)


NAMES = ("masculine", "age", "tone", "portrait_age")


@given(PEOPLE, PEOPLE, st.floats(0, 20), st.lists(st.booleans(), min_size=5, max_size=5).filter(any))
def test_any_two_people_are_within_the_bound(
    one: Who, two: Who, epsilon: float, allowed: list[bool]
) -> None:
    """No delegate is more than exp(epsilon) times as likely for one person as for another, whatever they
    present as, whichever delegates they look like and whoever is taken.
    """
    first, second = (
        probabilities(
            distances(Traits(*traits), DELEGATES, np.array(likenesses, np.float32)),
            epsilon,
            np.array(allowed),
        )
        for traits, likenesses in (one, two)
    )
    assert (first <= second * np.exp(epsilon) * (1 + 1e-9)).all()
    assert first.sum() == pytest.approx(1)


@given(st.lists(st.integers(0, 3), min_size=2, max_size=60), st.floats(0, 20))
def test_who_is_not_known_is_within_the_bound_and_equals_are_equally_likely(
    steps: list[int], epsilon: float
) -> None:
    known = np.array(steps, np.float32)
    first, second = probabilities(known, epsilon), probabilities(np.zeros_like(known), epsilon)
    np.testing.assert_allclose(second, 1 / len(steps))
    assert (first <= second * np.exp(epsilon) * (1 + 1e-9)).all()
    assert (second <= first * np.exp(epsilon) * (1 + 1e-9)).all()
    for step in set(steps):
        assert len(np.unique(first[known == step])) == 1
        assert first[known == step][0] >= first[known > step].max(initial=0) * (1 - 1e-9)


@given(NUMBERS, NUMBERS, NUMBERS)
def test_distances_are_finite_whatever_is_measured(a: float, b: float, c: float) -> None:
    away = distances(Traits(a, b, c), DELEGATES)
    assert np.isfinite(away).all()
    assert (away >= 0).all()


def test_of_those_who_fit_the_one_most_like_the_person_fits_least() -> None:
    """Whatever the person's cosines are as a whole: those of small faces are all low."""
    crowd = Attributes(*(np.full(42, value, np.float32) for value in (0.9, 30, 20, 34)))
    cosines = np.linspace(-0.5, 0.1, 42).astype(np.float32)
    for shift in (0.0, 0.2):
        away = distances(Traits(0.9, 30, 20), crowd, cosines + np.float32(shift))
        assert (away[:10] == away.min()).all()
        assert (np.diff(away[-20:]) > 0).all()


def test_who_is_alike_in_any_case_does_not_fit() -> None:
    crowd = Attributes(*(np.full(42, value, np.float32) for value in (0.9, 30, 20, 34)))
    cosines = np.full(42, 0.3, np.float32)
    cosines[7] = 0.6
    away = distances(Traits(0.9, 30, 20), crowd, cosines)
    others = np.delete(away, 7)
    assert (others == others[0]).all()
    assert away[7] > others[0] + 1


def test_where_all_who_fit_are_alike_others_fit_better() -> None:
    """However much: a face like theirs is what others look for."""
    ages = np.array([30] * 30 + [55] * 30, np.float32)
    crowd = Attributes(np.full(60, 0.9), ages, np.full(60, 20), np.full(60, 34))
    cosines = np.array([0.3] * 30 + [-0.1] * 30, np.float32)
    away = distances(Traits(0.9, 30, 20), crowd, cosines)
    assert away[30:].max() < away[:30].min()


def test_a_view_does_not_change_who_fits_a_kind_unless_a_delegate_is_nearly_the_person() -> None:
    crowd = Attributes(*(np.full(42, value, np.float32) for value in (0.9, 30, 20, 34)))
    kind = np.linspace(-0.3, 0.3, 42).astype(np.float32)
    views = kind + np.float32(0.04), kind[::-1].copy()
    one, two = (distances(Traits(0.9, 30, 20), crowd, view, kind) for view in views)
    np.testing.assert_array_equal(one, two)
    near = kind.copy()
    near[0] = 0.8
    assert distances(Traits(0.9, 30, 20), crowd, near, kind)[0] > one[0] + 1


def test_nothing_known_fits_nobody_better() -> None:
    away = distances(Traits(float("nan"), float("nan"), float("nan")), DELEGATES)
    assert (away == away[0]).all()


@given(st.permutations(range(5)), ATTRIBUTES)
def test_the_order_of_delegates_does_not_matter(order: list[int], who: tuple[float, float, float]) -> None:
    mixed = Attributes(
        *(getattr(DELEGATES, name)[order] for name in ("masculine", "age", "tone", "portrait_age"))
    )
    one, two = (probabilities(distances(Traits(*who), these), 4) for these in (DELEGATES, mixed))
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
    crowd = Attributes(masculine, ages, np.full(42, 20, np.float32), ages)
    away = distances(Traits(0.99, 40, 20), crowd)
    assert away[21:].max() <= away[:21].min()


def test_who_fits_best_is_likeliest() -> None:
    away = distances(Traits(0.0, 20, -40), DELEGATES)
    assert away.argmin() == 0
    chances = probabilities(away, 4)
    np.testing.assert_allclose(chances, np.array([np.exp(4), 1, 1, 1, 1]) / (np.exp(4) + 4))


def test_no_budget_draws_evenly() -> None:
    np.testing.assert_allclose(probabilities(distances(Traits(0, 20, 60), DELEGATES), 0), 0.2)


def test_who_is_taken_is_never_drawn_and_the_next_fits_best() -> None:
    away = np.array([0, 3, 1, 2, 4], np.float32)
    chances = probabilities(away, 6, np.array([False, True, True, True, False]))
    np.testing.assert_allclose(chances, np.array([0, 1, np.exp(6), 1, 0]) / (np.exp(6) + 2))


def test_in_a_large_gallery_all_of_the_best_are_as_likely() -> None:
    chances = probabilities(np.arange(353, dtype=np.float32), 8)
    assert (chances[:10] == chances[0]).all()
    assert chances[:10].sum() > 0.98
    assert (np.diff(chances[9:12]) <= 0).all()
    np.testing.assert_allclose(chances[11:], chances[0] * np.exp(-8))


def test_on_close_ups_delegates_look_as_old_as_their_portraits() -> None:
    gallery = fake_gallery(6)
    delegates = tuple(replace(one, age=60.0, worn=(0.9, 40.0)) for one in gallery.delegates)
    older = replace(gallery, delegates=delegates)
    ages = [float(attributes_of(older, width).age[0]) for width in (0, 130, 225, 320, 900)]
    assert ages == pytest.approx([40, 40, 47, 54, 54])


def test_who_is_read_as_young_but_looks_old_fits_less() -> None:
    """By the same reading when worn; a portrait's age counts for small faces, too."""
    portraits = np.array([52] * 21 + [34] * 21, np.float32)
    crowd = Attributes(np.full(42, 0.9), np.full(42, 30), np.full(42, 20), portraits)
    away = distances(Traits(0.9, 30, 20), crowd)
    assert away[21:].max() < away[:21].min() - 2


@pytest.mark.slow
@pytest.mark.parametrize("keyed", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "epsilon", [2.0, *(pytest.param(one, marks=pytest.mark.slow) for one in (0.0, 8.0))]
)
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
    wanted = probabilities(distances(traits, attributes_of(gallery), likenesses, of_kind), epsilon)
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
