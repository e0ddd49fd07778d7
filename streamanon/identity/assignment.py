"""Which delegate each person in view gets: one, which they keep, also after leaving and returning.

A delegate is drawn once a person, never a frame, by the exponential mechanism
(:mod:`.exponential_mechanism`), for what the views of the look-ahead tell together. It stays whatever later
views of the face say, unless they show somebody for whom the user made a rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamanon.config import IdentityConfig
from streamanon.gallery.appearance import towards
from streamanon.gallery.delegates import DelegateGallery
from streamanon.identity.distraction import Distraction
from streamanon.identity.encoder import IdentityFeature, IdentityModel
from streamanon.identity.exponential_mechanism import (
    attributes_of,
    distances,
    draw,
    keyed_noise,
    mean_traits,
    traits_of,
    traits_of_kind,
    width_of,
)
from streamanon.identity.reid_memory import People, Person
from streamanon.identity.rules import Rule, rule_for
from streamanon.mesh.landmarks import yaw_degrees
from streamanon.types import Account, Assignment, Delegate, Float, Geometry, Picture, RawFrame

#: Cosine of two features from which they are taken for one person's: that of one in a hundred pairs of
#: different people in LFW (train split), and of 67 in a hundred pairs of photos of one.
SAME_PERSON = 0.64
#: The same for those who were in view when a stream paused, for so long after it goes on, s: they are
#: likely to be who is there. Five in a hundred pairs of strangers in LFW (train split) are so much alike,
#: and 88 of photos of one.
EXPECTED_PERSON, EXPECT_SECONDS = 0.5, 2.0
#: A face is described again (a view) after so many frames if that view would be better than those kept, and
#: after the larger number in any case.
VIEW_EVERY_FRAMES, VIEW_AT_LEAST_EVERY_FRAMES = 5, 25
#: So many views, before a track is said to show somebody who was known already.
SURE_VIEWS = 3
#: Views of faces this wide, px, and this sharp, levels of luma, count fully.
LARGE_PX, SHARP = 80.0, 4.0
#: No view that is used counts for less.
LEAST_WEIGHT = 1e-3

#: A face in a picture, as measured there, and described.
Sight = tuple[Picture, Geometry]
_Described = tuple[Geometry, IdentityFeature]


@dataclass(eq=False)
class _Track:
    person: Person
    last_view: int


@dataclass(frozen=True)
class AssignerParts:
    """``key``: the same gives the same kind of face the same delegate in every run; without one each draw
    is independent. ``only``: everybody gets this one, and nothing is drawn, but for whom ``rules`` hold.
    """

    gallery: DelegateGallery
    encoder: IdentityModel
    distraction: Distraction
    config: IdentityConfig
    key: bytes | None = None
    only: Delegate | None = None
    rules: tuple[Rule, ...] = ()


class Assigner:
    """Assignments by track, for one run."""

    def __init__(self, parts: AssignerParts) -> None:
        self._gallery, self._encoder, self._config = parts.gallery, parts.encoder, parts.config
        self._distraction, self._mean_feature = parts.distraction, parts.gallery.features.mean(axis=0)
        self._only, self._rules = parts.only, parts.rules
        self._everybody = self._same_for_all() if not parts.rules else None
        self._attributes = attributes_of(parts.gallery)
        self._rng = np.random.default_rng(parts.config.seed)
        self._key = parts.key
        self._people = People(parts.config.ttl_seconds)
        self._tracks: dict[int, _Track] = {}
        self._expected: list[Person] = []
        self._expected_until: float | None = None
        self._account = Account()

    @property
    def account(self) -> Account:
        return self._account

    def assign(
        self,
        frame: RawFrame,
        track_id: int,
        geometry: Geometry,
        later: Callable[[], Sequence[Sight]] = tuple,
    ) -> Assignment:
        """What a track becomes in a frame: what it was, what a known person was, or something new, for
        which the same face in ``later`` frames is asked for.
        """
        if self._everybody is not None:
            return self._everybody
        track, feature = self._tracks.get(track_id), None
        quality = expected_quality(geometry)
        if track is None or self._due(track, quality, frame.index):
            feature = self._encoder.describe(frame.picture, geometry.points)
        if track is None:
            assert feature is not None
            person = self._known(feature, frame)
            if person is None:
                sights = [(geometry, feature), *self._described(later())]
                person = self._new_person(sights, frame.index)
            track = self._tracks[track_id] = _Track(person, frame.index)
        person = track.person
        person.last_seen, person.last_index = frame.pts_seconds, frame.index
        if feature is None:
            return person.assignment
        track.last_view = frame.index
        self._people.learn(person, feature, _quality(geometry, feature))
        self._notice(person, frame.index)
        self._apply_rules(person, geometry, feature)
        return person.assignment

    def in_view(self, tracks: Iterable[int], frame: RawFrame) -> None:
        """Tell whose tracks are in a frame, before :meth:`assign` is called for any of them: nobody else is
        taken for those persons in this frame. Of two tracks in view that were taken for one person, the
        second turns out to be somebody else.
        """
        claimed: set[int] = set()
        for track_id in tracks:
            track = self._tracks.get(track_id)
            if track is None:
                continue
            if id(track.person) in claimed:
                del self._tracks[track_id]
                continue
            claimed.add(id(track.person))
            track.person.last_seen, track.person.last_index = frame.pts_seconds, frame.index
        self._still_expected(frame.pts_seconds)
        self._people.forget(frame.pts_seconds, [track.person for track in self._tracks.values()])

    def forget_tracks(self, live: set[int]) -> None:
        """Drop tracks that have ended; the persons behind them stay known."""
        self._tracks = {name: track for name, track in self._tracks.items() if name in live}

    def resume(self) -> None:
        """The stream paused, perhaps for long: no track goes on, and who was in view is expected back."""
        self._expected = [track.person for track in self._tracks.values()] or self._expected
        self._expected_until = None
        self._tracks = {}

    def _due(self, track: _Track, quality: float, index: int) -> bool:
        """Whether a face is described again."""
        since = index - track.last_view
        return since >= VIEW_AT_LEAST_EVERY_FRAMES or (
            since >= VIEW_EVERY_FRAMES and track.person.wants(quality)
        )

    def _known(self, feature: IdentityFeature, frame: RawFrame) -> Person | None:
        person, likeness = self._people.most_alike(feature.embedding, frame.index)
        expected = any(one is person for one in self._still_expected(frame.pts_seconds))
        return person if likeness >= (EXPECTED_PERSON if expected else SAME_PERSON) else None

    def _still_expected(self, now: float) -> list[Person]:
        if self._expected_until is None:
            self._expected_until = now + EXPECT_SECONDS
        if now > self._expected_until:
            self._expected = []
        return self._expected

    def _notice(self, person: Person, index: int) -> None:
        """Better views may tell that somebody was known already. Their delegate stays; the other one is
        forgotten, and its draw is added to theirs.
        """
        feature = person.feature
        if feature is None or len(person.views) < SURE_VIEWS:
            return
        earlier, likeness = self._people.most_alike(feature, index)
        tracked = any(track.person is earlier for track in self._tracks.values())
        if earlier is None or tracked or likeness < SAME_PERSON:
            return
        self._people.remove(earlier)
        person.draws += earlier.draws
        switched = int(earlier.delegate.id != person.delegate.id)
        self._count(switches=switched, most=person.draws)

    def _apply_rules(self, person: Person, geometry: Geometry, feature: IdentityFeature) -> None:
        """A rule that fits from now on holds for as long as the person is known."""
        if person.rule is not None or person.feature is None or not self._rules:
            return
        person.rule = rule_for(self._rules, person.feature)
        if person.rule is not None:
            away = self._distances([(geometry, feature)])
            person.assignment = self._assignment_for(person.delegate, away, person.rule, feature)

    def _described(self, sights: Sequence[Sight]) -> list[_Described]:
        """Those of the sights that can be described."""
        described = [(two, self._encoder.describe(one, two.points)) for one, two in sights]
        return [one for one in described if _is_known(one[1])]

    def _distances(self, sights: Sequence[_Described]) -> Float:
        """How far the delegates are from fitting a person, by one or several sights. The person's identity
        is used only to exclude delegates that are too much alike: attributes are read from the distracted
        feature.
        """
        if not _is_known(sights[0][1]):
            return np.zeros(len(self._gallery), np.float32)  # nothing is known: nobody fits better
        weights = [max(_quality(geometry, feature), LEAST_WEIGHT) for geometry, feature in sights]
        embedding = _mean_direction([feature.embedding for _, feature in sights], weights)
        embeddings, distraction = self._gallery.embeddings, self._distraction
        likenesses = embeddings @ embedding
        if self._key is None:
            told = [distraction.apply(feature, self._mean_feature) for _, feature in sights]
            traits = [
                traits_of(geometry, distraction.attributes(one))
                for (geometry, _), one in zip(sights, told, strict=True)
            ]
            widest = max(width_of(geometry) for geometry, _ in sights)
            attributes = attributes_of(self._gallery, widest)
            return distances(mean_traits(traits, weights), attributes, likenesses)
        # What differs from view to view should not change the draw.
        kind = distraction.kind_of(embedding)
        traits_by_kind = traits_of_kind(*map(float, distraction.anchor_attributes[kind]))
        return distances(
            traits_by_kind, self._attributes, likenesses, embeddings @ distraction.anchors[kind]
        )

    def _new_person(self, sights: Sequence[_Described], index: int) -> Person:
        away, feature = self._distances(sights), sights[0][1]
        delegate = self._only or self._drawn(away, feature)
        person = Person(delegate, self._assignment_for(delegate, away, None, feature), last_index=index)
        self._people.add(person)
        return person

    def _drawn(self, away: Float, feature: IdentityFeature) -> Delegate:
        delegates = self._gallery.delegates
        live = {track.person.delegate.id for track in self._tracks.values()}
        known = live | {person.delegate.id for person in self._people}
        ruled = {rule.delegate.id for rule in self._rules if rule.delegate is not None}
        # With more persons than delegates one who left gives theirs away, before anybody in view does.
        steps: tuple[set[str], ...] = (known | ruled, live | ruled, live, set())
        masks = [np.array([d.id not in taken for d in delegates]) for taken in steps]
        allowed = next(mask for mask in masks if mask.any())
        self._count(draws=1, most=1)
        return delegates[draw(away, self._config.epsilon, allowed, self._noise(feature.embedding))]

    def _same_for_all(self) -> Assignment | None:
        """What everybody becomes where the user chose one delegate: no face is described."""
        if self._only is None:
            return None
        return Assignment(self._only, self._config.geometry, self._gallery.features[self._row(self._only)])

    def _row(self, delegate: Delegate) -> int:
        return next(row for row, one in enumerate(self._gallery.delegates) if one.id == delegate.id)

    def _assignment_for(
        self, delegate: Delegate, away: Float, rule: Rule | None, feature: IdentityFeature
    ) -> Assignment:
        appearance, geometry = self._config.appearance, self._config.geometry
        if rule is not None:
            delegate = rule.delegate or delegate
            appearance = appearance if rule.appearance is None else rule.appearance
            geometry = geometry if rule.geometry is None else rule.geometry
        target = self._gallery.features[self._row(delegate)]
        known = np.isfinite(feature.pooled).all() and np.isfinite(feature.importance).all()
        distracted = self._distraction.apply(feature, target) if known else target
        return Assignment(towards(self._gallery, delegate, away, appearance), geometry, distracted)

    def _noise(self, embedding: Float) -> NDArray[np.float64]:
        names = [delegate.id for delegate in self._gallery.delegates]
        if self._key is None or not np.isfinite(embedding).all():
            return self._rng.gumbel(size=len(names))
        return keyed_noise(self._key, self._distraction.kind_of(embedding), names)

    def _count(self, draws: int = 0, switches: int = 0, most: int = 0) -> None:
        before = self._account
        self._account = Account(before.draws + draws, before.switches + switches, max(before.most, most))


def _is_known(feature: IdentityFeature) -> bool:
    return bool(np.isfinite(feature.pooled).all() and np.isfinite(feature.embedding).all())


def _quality(geometry: Geometry, feature: IdentityFeature) -> float:
    """How much a view of a face tells, 0..1."""
    return expected_quality(geometry) * min(1.0, feature.sharpness / SHARP)


def _mean_direction(embeddings: Sequence[Float], weights: Sequence[float]) -> Float:
    """The unit vector [D] towards which unit vectors point together; the first, where they point apart."""
    mean = np.average(np.stack(embeddings), axis=0, weights=weights)
    length = float(np.linalg.norm(mean))
    return np.asarray(mean / length if length > 0 else embeddings[0], np.float32)


def expected_quality(geometry: Geometry) -> float:
    """How much a view of a face would tell, 0..1, before it is described: size, frontality, confidence."""
    size = min(1.0, width_of(geometry) / LARGE_PX)
    frontality = float(np.cos(np.radians(yaw_degrees(geometry.points)))) ** 4
    return float(size * frontality * max(geometry.confidence, 0.0) ** 2)
