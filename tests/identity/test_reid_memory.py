"""The memory of people: the same answers as if every mean were computed anew at each question."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamanon.identity.encoder import CHANNELS, EMBEDDING, IdentityFeature
from streamanon.identity.reid_memory import MAX_PEOPLE, MAX_VIEWS, People, Person
from streamanon.testing.fakes import fake_gallery
from streamanon.types import Assignment, Float

DELEGATE = fake_gallery(1).delegates[0]
NOTHING: Float = np.zeros(CHANNELS, np.float32)


def person(index: int = -1, seen: float = 0.0) -> Person:
    return Person(DELEGATE, Assignment(DELEGATE, 1.0, NOTHING), last_index=index, last_seen=seen)


def embedding(rng: np.random.Generator) -> Float:
    numbers = rng.normal(0, 1, EMBEDDING)
    return np.asarray(numbers / np.linalg.norm(numbers), np.float32)


def feature(numbers: Float) -> IdentityFeature:
    return IdentityFeature(numbers, NOTHING, NOTHING, 4.0)


class Naive:
    """People as a list of all their views; every mean is computed when it is asked for."""

    def __init__(self) -> None:
        self.views: dict[int, list[tuple[float, Float]]] = {}
        self.latest: dict[int, Float] = {}

    def learn(self, one: Person, numbers: Float, quality: float) -> None:
        if quality > 0 and np.isfinite(numbers).all():
            self.latest[id(one)] = numbers
            views = [*self.views.get(id(one), []), (quality, numbers)]
            self.views[id(one)] = sorted(views, key=lambda view: -view[0])[:MAX_VIEWS]

    def likeness(self, one: Person, numbers: Float) -> float:
        if id(one) not in self.views or not np.isfinite(numbers).all():
            return -1.0
        total = sum(quality * view.astype(np.float64) for quality, view in self.views[id(one)])
        mean = total / np.linalg.norm(total)
        return max(float(mean @ numbers), float(self.latest[id(one)] @ numbers))


ACTIONS = ["add", "learn", "learn", "learn", "lost", "remove", "leave", "ask"]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "learn", "learn", "learn", "lost", "remove", "leave", "ask"]),
        st.integers(0, 9),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(STEPS, st.integers(0, 2**31))
def test_the_memory_answers_as_one_that_computes_every_mean_anew(
    steps: list[tuple[str, int]], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    people, naive, everybody = People(1e9), Naive(), [person()]
    people.add(everybody[0])
    for index, (step, number) in enumerate(steps):
        one, numbers = everybody[number % len(everybody)], embedding(rng)
        if step == "add":
            everybody.append(person(index))
            people.add(everybody[-1])
        elif step in ("learn", "lost"):
            quality = float(rng.uniform(-0.1, 1))
            numbers = numbers if step == "learn" else numbers * np.float32(np.nan)
            people.learn(one, feature(numbers), quality)
            naive.learn(one, numbers, quality)
        elif step == "remove":
            people.remove(one)
        elif step == "leave":
            one.last_seen = -1e9
            people.forget(1.0, [])
            one.last_seen = 0.0
        elif one.latest is not None and rng.random() < 0.5:
            numbers = one.latest
        found, likeness = people.most_alike(numbers, index)
        away = [(naive.likeness(p, numbers), p) for p in people if p.last_index < index]
        best = max((pair[0] for pair in away), default=-1.0)
        assert likeness == pytest.approx(best, abs=1e-5)
        assert (found is None) == (not away)
        if found is not None:
            assert naive.likeness(found, numbers) == pytest.approx(best, abs=1e-5)


def test_who_is_in_the_frame_is_not_taken_for_somebody_else() -> None:
    people, here, numbers = People(10.0), person(7), embedding(np.random.default_rng(0))
    people.add(here)
    people.learn(here, feature(numbers), 1.0)
    assert people.most_alike(numbers, 7) == (None, -1.0)
    assert people.most_alike(numbers, 8)[0] is here


def test_somebody_is_known_by_their_latest_view_too() -> None:
    rng = np.random.default_rng(0)
    people, one, latest = People(10.0), person(), embedding(rng)
    people.add(one)
    for _ in range(MAX_VIEWS):
        people.learn(one, feature(embedding(rng)), 1.0)
    people.learn(one, feature(latest), 0.01)
    found, likeness = people.most_alike(latest, 1)
    assert found is one
    assert likeness == pytest.approx(1, abs=1e-5)


def test_the_memory_has_an_end() -> None:
    people = People(10.0)
    for index in range(MAX_PEOPLE + 5):
        people.add(person(index))
    assert [one.last_index for one in people] == list(range(5, MAX_PEOPLE + 5))


def test_a_look_among_many_people_computes_no_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    rng, people = np.random.default_rng(0), People(10.0)
    for _ in range(50):
        people.add(one := person())
        people.learn(one, feature(embedding(rng)), 1.0)
    monkeypatch.setattr("streamanon.identity.reid_memory._mean", None)
    assert people.most_alike(embedding(rng), 1)[0] is not None
