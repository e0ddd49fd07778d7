"""The rule by which a track is a face."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from streamanon.track.evidence import COVERED_PROBABILITY, LIKELY_PROBABILITY, MAX_SUM, MIN_SUM, Evidence

SURE = 0.9
RATE = 25
probabilities = st.floats(0, 1)
#: Finds by their probability, and misses.
looks = st.lists(st.one_of(probabilities, st.none()), max_size=60)


def after(seen: list[float | None], denied: float | None = None) -> Evidence:
    """A look a frame: what was found, or None; what was not found was denied with a probability, or not."""
    evidence = Evidence()
    for n, probability in enumerate(seen):
        if probability is None:
            evidence.missed(n, 1 / RATE, denied)
        else:
            evidence.detected(probability, n, n / RATE)
    return evidence


def sure_frames(seen: list[float | None], denied: float | None = None) -> set[int]:
    evidence = after(seen, denied)
    return {n for n in range(len(seen)) if evidence.is_sure(SURE, n)}


def test_one_sure_find_covers_the_frames_about_it_and_no_more() -> None:
    frames = sure_frames([None] * 40 + [0.99] + [None] * 40)
    assert set(range(28, 53)) <= frames <= set(range(25, 56))
    assert sure_frames([0.95]) == {0}
    assert not sure_frames([0.85])


def test_many_sure_finds_cover_as_far_as_the_look_ahead_reaches() -> None:
    ahead = round(1.8 * RATE)
    frames = sure_frames([None] * ahead + [0.95] * 4 + [None] * ahead)
    assert frames >= set(range(ahead + 4 + RATE))


def test_a_likely_find_that_repeats_becomes_sure_with_hindsight() -> None:
    assert not sure_frames([0.7, 0.7])
    assert sure_frames([0.7, 0.7, 0.7]) == {0, 1, 2}


def test_an_unlikely_find_never_becomes_sure_however_often_it_repeats() -> None:
    assert not sure_frames([0.45] * 500)


def test_one_sure_find_among_many_that_were_denied_is_no_face() -> None:
    seen = [None] * 15 + [0.95] + [None] * 4
    assert 15 in sure_frames(seen)
    assert not sure_frames(seen, denied=0.02)


def test_a_face_found_often_outlasts_a_few_denials() -> None:
    seen = [0.95] * 10 + [None] * 5 + [0.95] * 10
    assert sure_frames(seen, denied=0.02) == set(range(25))


def test_what_the_verifier_sees_where_a_missed_face_went_counts() -> None:
    """Before its first detection and after its last one alike."""
    seen = [None] * 30 + [0.95] * 4 + [None] * 30
    plain = sure_frames(seen)
    for probability, expected in ((0.01, range(17, 47)), (0.9, range(64))):
        evidence = after(seen)
        for n, one in enumerate(seen):
            if one is None:
                evidence.verified(n, probability)
        found = {n for n in range(len(seen)) if evidence.is_sure(SURE, n)}
        assert set(range(30, 34)) <= found
        assert found <= set(expected) if probability < 0.5 else found == set(expected)
        assert (found < plain) == (probability < 0.5)


def test_who_is_denied_between_two_detections_is_still_there() -> None:
    """Somebody may stand before the face."""
    seen = [0.95] * 4 + [None] * 30 + [0.95] * 4
    evidence = after(seen)
    before = [evidence.log_odds_at(n) for n in range(len(seen))]
    for n in range(4, 34):
        evidence.verified(n, 0.01)
    assert [evidence.log_odds_at(n) for n in range(len(seen))] == before


def test_a_second_look_changes_no_detection_and_nothing_at_the_edge() -> None:
    evidence = Evidence()
    evidence.detected(0.95, 0, 0.0)
    evidence.missed(1, 0.04, cut=True)
    before = [evidence.log_odds_at(n) for n in range(3)]
    for n in range(3):
        evidence.verified(n, 0.01)
    assert [evidence.log_odds_at(n) for n in range(3)] == before


def test_a_miss_before_a_face_came_does_not_count_against_it() -> None:
    assert sure_frames([None] * 100 + [0.95]) >= {100}


def test_what_the_edge_cuts_is_no_evidence_against_a_face() -> None:
    evidence = Evidence()
    evidence.detected(0.95, 0, 0.0, cut=True)
    before = evidence.log_odds_at(0)
    for n in range(1, 50):
        evidence.detected(0.05, n, n / RATE, cut=True) if n % 2 else evidence.missed(
            n, 1 / RATE, 0.02, cut=True
        )
    assert evidence.log_odds_at(49) == before
    assert evidence.likely == [0]


def test_misses_weigh_by_time_whatever_the_interval_of_detection() -> None:
    often, seldom = Evidence(), Evidence()
    for one, step in ((often, 1), (seldom, 4)):
        one.detected(0.95, 0, 0.0)
        for n in range(step, 13, step):
            one.missed(n, step / RATE)
    assert abs(often.log_odds_at(12) - seldom.log_odds_at(12)) < 1e-6


@settings(deadline=None)
@given(looks, st.integers(0, 59))
def test_a_lower_threshold_covers_no_less(seen: list[float | None], index: int) -> None:
    evidence = after(seen)
    assert evidence.is_sure(0.6, index) or not evidence.is_sure(SURE, index)


@settings(deadline=None)
@given(looks, probabilities)
def test_no_track_is_past_saving(seen: list[float | None], probability: float) -> None:
    assert 2 * MIN_SUM <= after(seen).log_odds_at(len(seen) // 2) <= 2 * MAX_SUM
    assert len(seen) + 1 in sure_frames(seen + [0.95] * 2)


@settings(deadline=None)
@given(looks, st.integers(1, 60))
def test_what_was_forgotten_changes_nothing_later(seen: list[float | None], index: int) -> None:
    whole, part = after(seen), after(seen)
    part.forget(index)
    assert [part.log_odds_at(n) for n in range(index, 60)] == [
        whole.log_odds_at(n) for n in range(index, 60)
    ]


@settings(deadline=None)
@given(looks, st.integers(0, 80), st.integers(0, 10))
def test_likely_finds_are_covered_as_far_as_the_next_detection(
    seen: list[float | None], index: int, frames: int
) -> None:
    likely = [n for n, p in enumerate(seen) if p is not None and p >= COVERED_PROBABILITY]
    is_likely = any(p is not None and p >= LIKELY_PROBABILITY for p in seen)
    expected = is_likely and any(abs(n - index) <= frames for n in likely)
    assert after(seen).is_near(index, frames) == expected
