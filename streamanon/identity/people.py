"""People in view and people who left a short while ago, known by their faces; kept in memory only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from streamanon.identity.encoder import IdentityFeature
from streamanon.identity.rules import Rule
from streamanon.types import Delegate, Float, Role

#: So many looks at a face are kept, the best ones; a new one must be better than the worst by this factor.
VIEWS = 6
BETTER = 1.1
MAX_PEOPLE = 200


@dataclass(frozen=True, eq=False, repr=False)
class View:
    """One look at a face; ``quality`` above 0: how much it counts."""

    quality: float
    embedding: Float


@dataclass(eq=False, repr=False)
class Person:
    """Somebody with a delegate and a role made of it. ``rule``: the user's for them, if recognised.
    ``last_seen``, s, and ``last_index``: of the last frame they were in. ``draws``: how many delegates were
    drawn for them, as far as is known.
    """

    delegate: Delegate
    role: Role
    rule: Rule | None = None
    views: list[View] = field(default_factory=list)
    latest: Float | None = None
    last_seen: float = 0.0
    last_index: int = -1
    draws: int = 1

    @property
    def feature(self) -> Float | None:
        """The views' weighted mean [128], unit length; None where there is no view."""
        if not self.views:
            return None
        total = np.sum([view.quality * view.embedding for view in self.views], axis=0)
        return np.asarray(total / max(float(np.linalg.norm(total)), 1e-6), np.float32)

    def wants(self, quality: float) -> bool:
        """Whether a look of that quality would be kept."""
        return len(self.views) < VIEWS or quality > BETTER * self.views[-1].quality

    def learn(self, feature: IdentityFeature, quality: float) -> None:
        if quality > 0 and np.isfinite(feature.embedding).all():
            self.latest = feature.embedding
            self.views.append(View(quality, feature.embedding))
            self.views = sorted(self.views, key=lambda view: -view.quality)[:VIEWS]

    def likeness(self, embedding: Float) -> float:
        """Cosine -1..1 of an embedding and the person's feature or, if it is more, the latest look at them:
        somebody may return as they left, turned. -1 where nothing is known.
        """
        mine = self.feature
        if mine is None or self.latest is None or not np.isfinite(embedding).all():
            return -1.0
        return max(float(mine @ embedding), float(self.latest @ embedding))


class People:
    """Who was seen, until ``ttl_seconds`` after they were last; with 0, until they leave."""

    def __init__(self, ttl_seconds: float) -> None:
        self._ttl = ttl_seconds
        self._known: list[Person] = []

    def __len__(self) -> int:
        return len(self._known)

    def __iter__(self) -> Iterator[Person]:
        return iter(self._known)

    def add(self, person: Person) -> None:
        self._known.append(person)
        self._known = sorted(self._known, key=lambda one: one.last_index)[-MAX_PEOPLE:]

    def remove(self, person: Person) -> None:
        self._known = [one for one in self._known if one is not person]

    def forget(self, now: float, present: Iterable[Person]) -> None:
        """Drop those who left longer ago than the time to live, s; ``present``: who did not leave."""
        here = {id(person) for person in present}
        self._known = [p for p in self._known if id(p) in here or now - p.last_seen < self._ttl]

    def most_alike(self, embedding: Float, index: int) -> tuple[Person | None, float]:
        """Of those who are not in frame ``index``, who looks most like that, and how much."""
        away = [(person, person.likeness(embedding)) for person in self._known if person.last_index < index]
        return max(away, key=lambda pair: pair[1], default=(None, -1.0))
