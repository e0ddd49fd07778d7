from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from streamanon.identity.encoder import EMBEDDING, IdentityFeature
from streamanon.identity.rules import Rule
from streamanon.identity.visible_people import STILL_LIKE, STILL_VIEWS, Keeper
from streamanon.types import Float

RATE, AHEAD = 25, 1.0


def person(number: int, similarity: float = 1.0, towards: int = 0) -> Float:
    """An embedding; ``similarity``: its cosine to that of the person ``towards``, if that is another."""
    axes = np.eye(EMBEDDING, dtype=np.float32)
    if number == towards:
        return np.asarray(axes[number], np.float32)
    other = np.float32(np.sqrt(1 - similarity**2))
    return np.asarray(similarity * axes[towards] + other * axes[number], np.float32)


OWN, STRANGER = person(0), person(1, 0.2)
RULE = Rule(OWN, True, None, None, None)


def feature(embedding: Float) -> IdentityFeature:
    blank = np.zeros(256, np.float32)
    return IdentityFeature(embedding, blank, blank, 9.0)


def shown(
    *tracks: Sequence[Float | None],
    seconds: float = AHEAD,
    quality: float = 0.5,
    rules: Sequence[Rule] = (RULE,),
) -> list[list[bool]]:
    """Of tracks with a view in each frame, or None: whether they are visible, frame by frame."""
    keeper, ahead, seen = Keeper(rules, seconds), round(seconds * RATE), 0
    found = []
    for index in range(len(tracks[0])):
        while seen <= min(index + ahead, len(tracks[0]) - 1):
            for track_id, views in enumerate(tracks):
                view = views[seen]
                if view is not None:
                    keeper.see(track_id, seen / RATE, feature(view), quality)
            seen += 1
        visible = keeper.shown(range(len(tracks)), index / RATE)
        found.append([track_id in visible for track_id in range(len(tracks))])
    return found


def one(views: Sequence[Float | None], **options: float) -> list[bool]:
    return [visible for (visible,) in shown(views, **options)]  # type: ignore[arg-type]


def test_who_is_on_the_photo_is_visible_from_the_first_frame_to_the_last() -> None:
    assert one([OWN] * 80) == [True] * 80


def test_views_that_vary_change_nothing() -> None:
    views: list[Float | None] = [person(1 + n % 5, 0.93) for n in range(100)]
    views[40:44] = [person(9, 0.5)] * 2 + [None] * 2  # a blink, and blur
    assert one(views) == [True] * 100


@pytest.mark.parametrize("similarity", [0.2, 0.6, 0.79, 0.86])
def test_nobody_else_is_visible(similarity: float) -> None:
    assert not any(one([person(1, similarity)] * 80))


def test_a_moment_alone_does_not_show_a_stranger() -> None:
    """However well some frames match: as a whole the track does not."""
    assert not any(one([person(1, 0.66)] * 40 + [person(1, 0.9)] * 15 + [person(1, 0.66)] * 40))


def test_few_or_poor_views_show_nobody() -> None:
    assert not any(one([OWN] * 4))
    assert not any(one([OWN] * 80, quality=0.04))
    assert not any(one([np.full(EMBEDDING, np.nan, np.float32)] * 80))


def test_a_track_that_goes_on_to_somebody_else_is_covered_before() -> None:
    for other in (STRANGER, person(1, 0.55)):
        visible = one([OWN] * 60 + [other] * 60)
        assert all(visible[:50])
        assert not any(visible[60:])


def test_one_that_goes_on_little_by_little_is_covered_too() -> None:
    """Each view is like the one before, and after a while none is like the photo."""
    cosines = np.cos(np.linspace(0, np.pi / 2, 150))
    visible = one([OWN] * 60 + [person(1, float(cosine)) for cosine in cosines] + [person(1, 0.0)] * 20)
    assert all(visible[:60])
    beyond = 60 + int((cosines > STILL_LIKE).sum()) + STILL_VIEWS
    assert not any(visible[beyond:])


def test_one_that_goes_on_while_turned_away_is_covered_too() -> None:
    visible = one([OWN] * 60 + [None] * 15 + [STRANGER] * 60)
    assert all(visible[:50])
    assert not any(visible[75:])


def test_a_face_turned_away_for_a_moment_stays_visible_and_for_long_does_not() -> None:
    assert all(one([OWN] * 60 + [None] * 20 + [OWN] * 60))
    visible = one([OWN] * 60 + [None] * 100 + [OWN] * 60)
    assert not any(visible[90:130])
    assert all(visible[-30:])


def test_who_is_recognised_later_is_visible_from_then_on() -> None:
    views = [person(1, 0.7)] * 50 + [OWN] * 150
    visible = one(views)
    first = visible.index(True)
    assert all(visible[first:])


def test_of_two_alike_one_is_visible() -> None:
    visible = shown([OWN] * 60, [OWN] * 60)
    assert visible == [[True, False]] * 60


def test_somebody_else_may_be_the_person_once_the_first_one_left() -> None:
    """Under another number, after a cut say."""
    keeper = Keeper([RULE], 0.0, still=True)
    for track_id in (0, 1):
        keeper.see(track_id, 0.0, feature(OWN), 0.5)
    assert keeper.shown([0, 1], 0.0) == {0}
    assert keeper.shown([1], 0.04) == {1}


def test_each_photo_has_its_person() -> None:
    other = Rule(person(5, 0, 0), True, None, None, None)
    assert (
        shown([OWN] * 40, [other.embedding] * 40, [STRANGER] * 40, rules=(RULE, other))
        == [[True, True, False]] * 40
    )


def test_in_a_still_one_view_must_do() -> None:
    keeper = Keeper([RULE], 0.0, still=True)
    for track_id, embedding in enumerate((OWN, person(1, 0.86), STRANGER)):
        keeper.see(track_id, 0.0, feature(embedding), 0.5)
    assert keeper.shown([0, 1, 2, 3], 0.0) == {0}


def test_tracks_that_ended_are_forgotten() -> None:
    keeper = Keeper([RULE], 0.0, still=True)
    keeper.see(0, 0.0, feature(OWN), 0.5)
    keeper.forget([])
    assert not keeper.shown([0], 0.0)
