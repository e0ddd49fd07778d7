from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial

import numpy as np
import pytest

from streamanon.config import IdentityConfig
from streamanon.gallery.delegates import DelegateGallery
from streamanon.identity.assignment import SURE_VIEWS, VIEW_EVERY_FRAMES, Assigner, AssignerParts
from streamanon.identity.encoder import EMBEDDING, IdentityFeature
from streamanon.identity.reid_memory import MAX_PEOPLE, MAX_VIEWS, People, Person
from streamanon.identity.rules import Rule
from streamanon.testing.fakes import fake_distraction, fake_gallery, fake_points
from streamanon.types import Assignment, Delegate, Float, Geometry, Picture, RawFrame

POINTS = fake_points(np.array([0, 0, 90, 100], np.float32), np.full((5, 2), 45, np.float32))
BLANK = Picture((np.zeros((8, 8), np.uint8),), "gray")
RATE = 25


@dataclass
class Face:
    measurement: Geometry
    embedding: Float


def face(
    person: int,
    similarity: float = 1.0,
    masculine: float = 0.5,
    age: float = 30,
    confidence: float = 0.9,
) -> Face:
    """Somebody's face; ``similarity``: the cosine of its embedding and the person's own."""
    own, other = np.eye(EMBEDDING, dtype=np.float32)[[person % 64, 64 + person % 64]]
    embedding = similarity * own + np.float32(np.sqrt(1 - similarity**2)) * other
    geometry = Geometry(POINTS, confidence, masculine, age)
    return Face(geometry, embedding.astype(np.float32))


@dataclass
class Stage:
    """A assigner whose encoder sees the faces that it is told to."""

    gallery: DelegateGallery = field(default_factory=fake_gallery)
    config: IdentityConfig = field(default_factory=lambda: IdentityConfig(seed=0))
    key: bytes | None = None
    only: Delegate | None = None
    rules: tuple[Rule, ...] = ()
    looks: int = 0

    def __post_init__(self) -> None:
        parts = AssignerParts(
            self.gallery, self, fake_distraction(), self.config, self.key, self.only, self.rules
        )
        self.assigner = Assigner(parts)

    def describe(self, _picture: Picture, _points: Float) -> IdentityFeature:
        self.looks += 1
        return feature(self.seen.embedding)

    def assign(self, track: int, seen: Face, index: int) -> Assignment:
        self.seen = seen
        return self.assigner.assign(frame(index), track, seen.measurement)

    def meet(self, track: int, seen: Face, index: int) -> str:
        return self.assign(track, seen, index).delegate.id

    def in_view(self, tracks: tuple[int, ...] | list[int], index: int) -> None:
        self.assigner.in_view(tracks, frame(index))


def feature(embedding: Float) -> IdentityFeature:
    channels: Float = np.ones(256, np.float32)
    return IdentityFeature(embedding, channels, channels, 4.0)


def frame(index: int) -> RawFrame:
    return RawFrame(index, index, Fraction(1, RATE), BLANK)


def test_a_track_keeps_its_delegate() -> None:
    """Whoever it looks like later, and as whatever it presents."""
    stage = Stage()
    assert len({stage.meet(0, face(n % 5, age=20 + n), n) for n in range(60)}) == 1


def test_who_returns_gets_the_same_delegate() -> None:
    stage = Stage()
    first = stage.meet(0, face(0), 0)
    stage.meet(1, face(1), 0)
    stage.assigner.forget_tracks({1})
    assert stage.meet(2, face(0, similarity=0.8), 300) == first


def test_who_is_not_alike_gets_another_delegate() -> None:
    stage = Stage()
    first = stage.meet(0, face(0), 0)
    stage.assigner.forget_tracks(set())
    assert stage.meet(1, face(0, similarity=0.3), 300) != first


@pytest.mark.parametrize(
    ("similarity", "seconds", "known"), [(0.55, 0.0, True), (0.55, 2.5, False), (0.45, 0.0, False)]
)
def test_who_was_in_view_when_a_stream_paused_is_expected_back(
    similarity: float, seconds: float, known: bool
) -> None:
    """Less likeness is enough, for a short while from the first frame after the pause."""
    stage = Stage(fake_gallery(400))
    first = stage.meet(0, face(0), 0)
    stage.assigner.resume()
    stage.in_view([], 1000)
    index = 1000 + int(seconds * RATE)
    assert (stage.meet(0, face(0, similarity), index) == first) is known


def test_who_had_left_before_a_pause_is_not_expected_back() -> None:
    stage = Stage(fake_gallery(400))
    first = stage.meet(0, face(0), 0)
    stage.meet(1, face(1), 0)
    stage.assigner.forget_tracks({1})
    stage.assigner.resume()
    assert stage.meet(0, face(0, 0.55), 1000) != first


def test_who_is_expected_through_a_connection_without_a_face() -> None:
    stage = Stage(fake_gallery(400))
    first = stage.meet(0, face(0), 0)
    stage.assigner.resume()
    stage.assigner.resume()
    assert stage.meet(0, face(0, 0.55), 1000) == first


def test_who_returns_under_a_new_track_while_the_old_one_is_remembered() -> None:
    stage = Stage()
    first = stage.meet(0, face(0), 0)
    assert stage.meet(1, face(0), 40) == first


@pytest.mark.parametrize(("ttl", "gone", "known"), [(60, 59, True), (60, 61, False), (0, 1, False)])
def test_who_left_is_forgotten_in_time(ttl: float, gone: int, known: bool) -> None:
    stage = Stage(fake_gallery(400), IdentityConfig(ttl_seconds=ttl, seed=0))
    first = stage.meet(0, face(0), 0)
    stage.assigner.forget_tracks(set())
    index = gone * RATE
    stage.in_view([], index)
    assert len(stage.assigner._people) == int(known)
    assert (stage.meet(1, face(0), index) == first) is known


def test_who_is_in_view_is_never_forgotten() -> None:
    stage = Stage(config=IdentityConfig(ttl_seconds=0, seed=0))
    shown = set()
    for n in range(0, 500, 5):
        stage.in_view([0], n)
        shown.add(stage.meet(0, face(0), n))
    assert len(shown) == 1
    assert stage.assigner.account.draws == 1


def test_two_new_faces_in_one_frame_never_share() -> None:
    stage = Stage()
    assert stage.meet(0, face(0), 0) != stage.meet(1, face(0), 0)


def test_a_live_persons_delegate_is_not_stolen() -> None:
    stage = Stage()
    first = stage.meet(0, face(0), 0)
    for n in range(1, 50):
        stage.in_view([0, 1], n)
        assert stage.meet(1, face(0), n) != first
        assert stage.meet(0, face(0), n) == first


def test_an_unsure_face_in_view_keeps_its_delegate_too() -> None:
    """It is not generated for a while, so nobody asks for it; it is told to be in view."""
    stage = Stage()
    first = stage.meet(0, face(0), 0)
    stage.in_view([0, 1], 5)
    assert stage.meet(1, face(0), 5) != first
    assert stage.meet(0, face(0), 6) == first


def test_faces_in_view_have_different_delegates_though_many_came_before() -> None:
    stage = Stage(fake_gallery(12))
    for n in range(40):
        stage.meet(n, face(n), n)
        stage.assigner.forget_tracks({n})
    stage.assigner.forget_tracks(set())
    shown = {stage.meet(100 + n, face(40 + n), 100) for n in range(12)}
    assert len(shown) == 12


def test_more_faces_than_delegates_still_all_get_one() -> None:
    stage = Stage(fake_gallery(4))
    shown = [stage.meet(n, face(n), 0) for n in range(9)]
    assert len(set(shown)) == 4


def test_the_seed_fixes_the_draw_and_others_draw_others() -> None:
    def drawn(seed: int) -> list[str]:
        stage = Stage(config=IdentityConfig(epsilon=1, seed=seed))
        return [stage.meet(n, face(n), 0) for n in range(6)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_delegates_mostly_present_like_the_person() -> None:
    for masculine in (0.05, 0.95):
        drawn = [
            Stage(fake_gallery(32), IdentityConfig(seed=seed))
            .assign(0, face(0, masculine=masculine), 0)
            .delegate
            for seed in range(60)
        ]
        assert sum(round(delegate.masculine) == round(masculine) for delegate in drawn) > 45


@pytest.mark.parametrize("key", [None, b"key"])
def test_the_first_sight_does_not_decide_alone(key: bytes | None) -> None:
    """Of somebody who looks masculine at first and feminine in all later frames."""
    feminine = face(0, masculine=0.02).measurement
    drawn, looks = [], []
    for seed in range(40):
        stage = Stage(fake_gallery(32), IdentityConfig(seed=seed), key)
        stage.seen = face(0, masculine=0.9)
        sights = [(BLANK, feminine)] * 4
        made = stage.assigner.assign(frame(0), 0, stage.seen.measurement, partial(list, sights))
        drawn.append(made.delegate)
        again = stage.assigner.assign(frame(1), 0, stage.seen.measurement, lambda: pytest.fail("not new"))
        assert again.delegate is made.delegate
        looks.append(stage.looks)
    assert set(looks) == {5}
    if key is None:
        assert sum(delegate.masculine < 0.5 for delegate in drawn) > 30


def test_a_view_that_shows_little_counts_for_little() -> None:
    """Small and unsure views against one clear one."""
    tiny = Geometry(POINTS * np.float32(0.1), 0.4, 0.98, 30)
    drawn = []
    for seed in range(40):
        stage = Stage(fake_gallery(32), IdentityConfig(seed=seed))
        stage.seen = face(0, masculine=0.02)
        made = stage.assigner.assign(frame(0), 0, stage.seen.measurement, lambda: [(BLANK, tiny)] * 4)
        drawn.append(made.delegate)
    assert sum(delegate.masculine < 0.5 for delegate in drawn) > 30


def test_one_for_all() -> None:
    gallery = fake_gallery()
    stage = Stage(gallery, only=gallery.delegates[3])
    assert {stage.meet(n, face(n), 0) for n in range(5)} == {gallery.delegates[3].id}
    assert stage.assigner.account.draws == 0


def test_a_person_costs_one_draw() -> None:
    stage = Stage()
    for n in range(20):
        stage.meet(0, face(0), n)
        stage.meet(1, face(1), n)
    stage.assigner.forget_tracks(set())
    stage.meet(2, face(0), 30)
    assert stage.assigner.account.draws == 2
    assert stage.assigner.account.most == 1


def test_memory_is_bounded() -> None:
    people, rng = People(60), np.random.default_rng(0)
    assignment = Assignment(fake_gallery(1).delegates[0], 0.8, np.zeros(256, np.float32))
    for n in range(2 * MAX_PEOPLE):
        people.add(Person(assignment.delegate, assignment, last_index=n))
    assert len(people) == MAX_PEOPLE
    assert min(person.last_index for person in people) == MAX_PEOPLE
    person = next(iter(people))
    for _ in range(3 * MAX_VIEWS):
        person.learn(feature(np.ones(EMBEDDING, np.float32)), rng.random())
    assert len(person.views) == MAX_VIEWS


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_who_was_taken_for_somebody_is_cast_anew_once_both_are_seen(order: tuple[int, int]) -> None:
    """Somebody alike came in while the first was away; then the first one's own track goes on."""
    stage = Stage()
    stage.meet(0, face(0), 0)
    stage.in_view([1], 20)
    assert stage.meet(1, face(0), 20) == stage.meet(0, face(0), 20)
    shown: dict[int, set[str]] = {0: set(), 1: set()}
    for n in range(25, 30):
        stage.in_view(order, n)
        for track in order:
            shown[track].add(stage.meet(track, face(0), n))
    assert len(shown[0]) == len(shown[1]) == 1
    assert shown[0] != shown[1]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_embedding_that_is_no_number_does_no_harm(value: float) -> None:
    """Neither to whom it is taken for nor to the others: they are still known when they return."""
    stage = Stage()
    broken = Face(face(0).measurement, np.full(EMBEDDING, value, np.float32))
    first = stage.meet(0, face(0), 0)
    assert stage.meet(1, broken, 0) != first
    assert stage.meet(0, broken, VIEW_EVERY_FRAMES) == first
    stage.assigner.forget_tracks(set())
    stage.meet(2, broken, 100)
    stage.assigner.forget_tracks(set())
    assert stage.meet(3, face(0), 200) == first


def test_who_leaves_turned_is_known_by_how_they_looked_then() -> None:
    stage = Stage()
    first = stage.meet(0, face(0), 0)
    for n in range(1, 100):
        stage.meet(0, face(0, similarity=1 - 0.009 * n), n)
    stage.assigner.forget_tracks(set())
    assert stage.meet(1, face(0, similarity=0.1), 500) == first


def test_better_looks_count_more() -> None:
    stage = Stage()
    stage.meet(0, face(0, similarity=0.5, confidence=0.2), 0)
    for n in range(1, 12):
        stage.meet(0, face(0), 5 * n)
    (person,) = stage.assigner._people
    known = person.feature
    assert known is not None
    assert float(known @ face(0).embedding) > 0.99


def test_a_face_is_not_looked_at_in_every_frame() -> None:
    """Nor ever again, after a while, but now and then."""
    stage = Stage()
    for n in range(500):
        stage.in_view([0], n)
        stage.meet(0, face(0), n)
    assert MAX_VIEWS <= stage.looks <= MAX_VIEWS + 500 / 25


def test_who_is_known_too_late_is_counted_and_keeps_the_second_delegate() -> None:
    """Seen from aside at first, and taken for somebody new; later looks tell who it was."""
    stage = Stage()
    first = stage.meet(0, face(0), 0)
    stage.assigner.forget_tracks(set())
    second = stage.meet(1, face(0, similarity=0.2, confidence=0.1), 100)
    assert second != first
    for n in range(105, 140):
        stage.in_view([1], n)
        assert stage.meet(1, face(0), n) == second
        surely = n >= 100 + (SURE_VIEWS - 1) * VIEW_EVERY_FRAMES
        assert stage.assigner.account.switches == int(surely)
    account = stage.assigner.account
    assert (account.draws, account.switches, account.most) == (2, 1, 2)
    stage.assigner.forget_tracks(set())
    assert stage.meet(2, face(0), 300) == second
    assert stage.assigner.account.switches == 1


def test_who_is_still_followed_is_not_taken_for_somebody_who_looks_alike() -> None:
    """Their face was missed for a while, and their look-alike's was not."""
    stage = Stage()
    first = stage.meet(0, face(0), 0)
    stage.in_view([1], 20)
    second = stage.meet(1, face(0, similarity=0.2, confidence=0.1), 20)
    for n in range(25, 50):
        stage.in_view([1], n)
        stage.meet(1, face(0), n)
    assert (len(stage.assigner._people), stage.assigner.account.switches) == (2, 0)
    stage.in_view([0, 1], 50)
    assert (stage.meet(0, face(0), 50), stage.meet(1, face(0), 50)) == (first, second)


def test_who_is_followed_is_not_forgotten_while_they_are_missed() -> None:
    stage = Stage(config=IdentityConfig(ttl_seconds=1, seed=0))
    stage.meet(0, face(0), 0)
    stage.in_view([], 2 * RATE)
    assert len(stage.assigner._people) == 1
    stage.assigner.forget_tracks(set())
    stage.in_view([], 2 * RATE)
    assert not len(stage.assigner._people)


def test_features_that_are_no_numbers_give_the_delegates_own() -> None:
    class Broken(Stage):
        def describe(self, picture: Picture, points: Float) -> IdentityFeature:
            return replace(super().describe(picture, points), pooled=np.full(256, np.nan, np.float32))

    stage = Broken()
    made = stage.assign(0, face(0), 0)
    row = [one.id for one in stage.gallery.delegates].index(made.delegate.id)
    np.testing.assert_array_equal(made.feature, stage.gallery.features[row])


def test_a_later_view_that_is_no_number_does_not_count() -> None:
    class Once(Stage):
        def describe(self, picture: Picture, points: Float) -> IdentityFeature:
            found = super().describe(picture, points)
            return found if self.looks == 1 else feature(np.full(EMBEDDING, np.nan, np.float32))

    for seed in range(10):
        stages = [Once(fake_gallery(64), IdentityConfig(seed=seed, epsilon=50)) for _ in range(2)]
        drawn = []
        for stage, count in zip(stages, (0, 4), strict=True):
            stage.seen = face(0)
            sights = [(BLANK, face(0, age=70).measurement)] * count
            made = stage.assigner.assign(frame(0), 0, stage.seen.measurement, partial(list, sights))
            drawn.append(made.delegate.id)
        assert drawn[0] == drawn[1]


KEY, OTHER_KEY = bytes(range(32)), bytes(32)


def keyed(key: bytes, seen: Face) -> str:
    return Stage(fake_gallery(64), IdentityConfig(), key).meet(0, seen, 0)


def test_a_key_gives_the_same_person_the_same_delegate_in_every_run() -> None:
    people = [face(n) for n in range(30)]
    assert [keyed(KEY, p) for p in people] == [keyed(KEY, p) for p in people]
    assert [keyed(KEY, p) for p in people] != [keyed(OTHER_KEY, p) for p in people]
    assert len({keyed(KEY, p) for p in people}) > 6


def test_with_a_key_too_a_face_of_which_nothing_is_known_is_anybody() -> None:
    broken = Face(face(0).measurement, np.full(EMBEDDING, np.nan, np.float32))
    assert len({keyed(KEY, broken) for _ in range(10)}) > 1


@pytest.mark.slow
def test_with_a_key_other_looks_at_one_kind_of_face_get_the_same() -> None:
    """Whatever it presents as, which is measured a little differently each time."""
    for n in range(10):
        looks = [face(n), face(n, 0.8, masculine=0.3, age=50), face(n, 0.75, masculine=0.9)]
        assert len({keyed(KEY, one) for one in looks}) == 1
    shared = [keyed(KEY, face(n)) == keyed(KEY, face(n, similarity=0.5)) for n in range(60)]
    assert np.mean(shared) < 0.2


GALLERY = fake_gallery(12)


def rule(person: int, keep: bool = False, **changes: object) -> Rule:
    settings: dict[str, object] = {"delegate": None, "geometry": None, "appearance": None}
    return Rule(face(person).embedding, keep, **(settings | changes))  # type: ignore[arg-type]


def test_a_rule_holds_for_its_person_alone() -> None:
    stage = Stage(GALLERY, rules=(rule(0, delegate=GALLERY.delegates[7], geometry=0.25),))
    ruled, other = stage.assign(0, face(0), 0), stage.assign(1, face(1), 0)
    assert (ruled.delegate.id, ruled.geometry) == ("d007", 0.25)
    assert other.geometry == IdentityConfig().geometry
    assert other.delegate.id != "d007"


def test_nobody_else_is_drawn_the_delegate_of_a_rule() -> None:
    rules = (rule(0, delegate=GALLERY.delegates[7]),)
    for seed in range(20):
        stage = Stage(GALLERY, IdentityConfig(epsilon=0, seed=seed), rules=rules)
        shown = [stage.meet(n, face(n), 0) for n in range(5)]
        assert len(set(shown)) == 5
    stage = Stage(GALLERY, rules=rules)
    assert len({stage.meet(n, face(n), 0) for n in range(1, 13)}) == 12  # unless no other is left


def test_a_rule_holds_for_its_person_while_all_others_get_one_delegate() -> None:
    rules = (rule(0, delegate=GALLERY.delegates[7]),)
    stage = Stage(GALLERY, only=GALLERY.delegates[2], rules=rules)
    assert [stage.meet(n, face(n), 0) for n in range(3)] == ["d007", "d002", "d002"]


def test_who_is_recognised_later_gets_their_rule_then() -> None:
    stage = Stage(GALLERY, rules=(rule(0, delegate=GALLERY.delegates[7]),))
    shown = [stage.meet(0, face(0, similarity=0.2, confidence=0.05), 0)]
    shown += [stage.meet(0, face(0), n) for n in range(1, 30)]
    assert shown[0] != "d007"
    assert shown[-1] == "d007"
    assert len(set(shown)) == 2


def test_a_rule_may_say_how_much_of_a_delegate_is_seen() -> None:
    gallery = fake_gallery(40)
    seventh = gallery.delegates[7]
    shown = [
        Stage(gallery, rules=(rule(0, delegate=seventh, appearance=one),)).assign(0, face(0), 0).delegate
        for one in (1.0, 0.0)
    ]
    assert np.array_equal(shown[0].texture, seventh.texture)
    assert not np.array_equal(shown[1].texture, seventh.texture)


def test_less_appearance_brings_the_texture_nearer_to_the_mean() -> None:
    def texture(appearance: float) -> np.ndarray:
        config = IdentityConfig(epsilon=0, seed=0, appearance=appearance)
        return Stage(fake_gallery(40), config).assign(0, face(0), 0).delegate.texture.astype(int)

    whole, half, mean = texture(1.0), texture(0.5), texture(0.0)
    assert np.abs(whole - mean).mean() > 10
    assert np.abs(half - (whole + mean) / 2).max() <= 1
