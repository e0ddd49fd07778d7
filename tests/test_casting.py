from __future__ import annotations

import numpy as np
import pytest

from streamanon.fakes import fake_gallery, fake_points
from streamanon.identity.casting import MAX_PERSONS, Casting
from streamanon.mesh import Measurement
from streamanon.types import Geometry

POINTS = fake_points(np.array([0, 0, 40, 50], np.float32), np.zeros((5, 2), np.float32))


def face(
    person: int, similarity: float = 1.0, masculine: float = 0.5, age: float = 30, skin: float = 120
) -> Measurement:
    """Somebody's face; ``similarity``: the cosine of its likeness and the person's own."""
    own, other = np.eye(1024, dtype=np.float32)[[person, 1023 - person]]
    likeness = similarity * own + np.float32(np.sqrt(1 - similarity**2)) * other
    colour = np.full(3, skin, np.float32)
    return Measurement(Geometry(POINTS, 0.9, masculine, age), likeness.astype(np.float32), colour)


def test_a_track_keeps_its_delegate() -> None:
    casting = Casting(fake_gallery(), seed=0)
    ids = {casting.delegate(0, face(0, skin=60 + 3 * n), n).id for n in range(50)}
    assert len(ids) == 1


def test_who_returns_gets_the_same_delegate() -> None:
    casting = Casting(fake_gallery(), seed=0)
    first = casting.delegate(0, face(0), 0)
    casting.delegate(1, face(1), 0)
    casting.forget_tracks({1})
    assert casting.delegate(2, face(0, similarity=0.8), 300).id == first.id
    assert casting.delegate(3, face(0, similarity=0.3), 301).id != first.id


def test_who_returns_under_a_new_track_while_the_old_one_is_remembered() -> None:
    casting = Casting(fake_gallery(), seed=0)
    first = casting.delegate(0, face(0), 0)
    casting.in_view([1], 20)
    assert casting.delegate(1, face(0), 20).id == first.id


def test_two_new_faces_in_one_frame_never_share() -> None:
    """Even twins."""
    casting = Casting(fake_gallery(), seed=0)
    assert casting.delegate(0, face(0), 0).id != casting.delegate(1, face(0), 0).id


def test_a_live_persons_delegate_is_not_stolen() -> None:
    """A look-alike comes in while the person is in view, whichever of the two is asked for first."""
    casting = Casting(fake_gallery(), seed=0)
    first = casting.delegate(0, face(0), 0)
    casting.in_view([1, 0], 1)
    assert casting.delegate(1, face(0), 1).id != first.id
    assert casting.delegate(0, face(0), 1).id == first.id


def test_an_unsure_face_in_view_keeps_its_delegate_too() -> None:
    """Its mesh is not good enough to be painted, so nobody asks for its delegate for a while."""
    casting = Casting(fake_gallery(), seed=0)
    first = casting.delegate(0, face(0), 0)
    for n in range(1, 20):
        casting.in_view([0], n)
    casting.in_view([0, 1], 20)
    assert casting.delegate(1, face(0), 20).id != first.id


def test_faces_in_view_have_different_delegates_though_many_came_before() -> None:
    casting = Casting(fake_gallery(12), seed=0)
    for n in range(40):
        casting.forget_tracks(set())
        casting.delegate(n, face(n), n)
    casting.forget_tracks(set())
    ids = [casting.delegate(100 + n, face(100 + n), 50).id for n in range(12)]
    assert len(set(ids)) == 12


def test_more_faces_than_delegates_still_all_get_one() -> None:
    casting = Casting(fake_gallery(4), seed=0)
    ids = [casting.delegate(n, face(n), 0).id for n in range(20)]
    assert len(set(ids)) == 4


def test_the_seed_fixes_the_draw_and_others_draw_others() -> None:
    def draw(seed: int | None) -> list[str]:
        casting = Casting(fake_gallery(), seed)
        return [casting.delegate(n, face(n), 0).id for n in range(6)]

    assert draw(1) == draw(1)
    assert len({tuple(draw(seed)) for seed in range(8)}) > 1
    assert len({tuple(draw(None)) for _ in range(8)}) > 1


def test_delegates_mostly_present_like_the_person() -> None:
    """Delegates of the fake gallery are masculine by turns; an even draw would hit half of the time."""
    for masculine in (0.1, 0.9):
        drawn = [
            Casting(fake_gallery(32), seed, 12).delegate(0, face(0, masculine=masculine), 0)
            for seed in range(60)
        ]
        assert sum(round(delegate.masculine) == round(masculine) for delegate in drawn) > 45


def test_one_for_all() -> None:
    gallery = fake_gallery()
    casting = Casting(gallery, seed=0, only=gallery.delegates[3])
    assert {casting.delegate(n, face(n), 0).id for n in range(5)} == {gallery.delegates[3].id}
    assert casting.draws == 0


def test_a_person_costs_one_draw() -> None:
    casting = Casting(fake_gallery(), seed=0)
    for n in range(20):
        casting.delegate(0, face(0), n)
        casting.delegate(1, face(1), n)
    casting.forget_tracks(set())
    casting.delegate(2, face(0), 30)
    assert casting.draws == 2


def test_memory_is_bounded() -> None:
    casting = Casting(fake_gallery(), seed=0)
    for n in range(3 * MAX_PERSONS):
        casting.forget_tracks({n - 1, n})
        casting.delegate(n, face(n % 512), 10 * n)
    assert len(casting._persons) <= MAX_PERSONS
    assert len(casting._of_track) <= 3


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_who_was_taken_for_somebody_is_cast_anew_once_both_are_seen(order: tuple[int, int]) -> None:
    """Somebody alike came in while the first was away; then the first one's own track goes on."""
    casting = Casting(fake_gallery(), seed=0)
    casting.delegate(0, face(0), 0)
    casting.in_view([1], 20)
    assert casting.delegate(1, face(0), 20).id == casting.delegate(0, face(0), 20).id
    shown: dict[int, set[str]] = {0: set(), 1: set()}
    for n in range(25, 30):
        casting.in_view(order, n)
        for track in order:
            shown[track].add(casting.delegate(track, face(0), n).id)
    assert len(shown[0]) == len(shown[1]) == 1
    assert shown[0] != shown[1]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_likeness_that_is_no_number_does_no_harm(value: float) -> None:
    """Neither to whom it is taken for nor to the others: they are still known when they return."""
    casting = Casting(fake_gallery(), seed=0)
    likeness, skin = np.full(1024, value, np.float32), np.full(3, 120, np.float32)
    broken = Measurement(Geometry(POINTS, 0.9), likeness, skin)
    first = casting.delegate(0, face(0), 0)
    assert casting.delegate(1, broken, 0).id != first.id
    assert casting.delegate(0, broken, 1).id == first.id
    casting.forget_tracks(set())
    casting.delegate(2, broken, 100)
    casting.forget_tracks(set())
    assert casting.delegate(3, face(0), 200).id == first.id


def test_a_likeness_that_changes_slowly_is_followed() -> None:
    """As when a head turns: who leaves at the end of the turn is known by how they looked then."""
    casting = Casting(fake_gallery(), seed=0)
    first = casting.delegate(0, face(0), 0)
    for n in range(1, 100):
        casting.delegate(0, face(0, similarity=1 - 0.009 * n), n)
    casting.forget_tracks(set())
    assert casting.delegate(1, face(0, similarity=0.1), 500).id == first.id
