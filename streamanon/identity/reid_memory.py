"""People in view and people who left a short while ago, known by their faces; kept in memory only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from streamanon.identity.encoder import EMBEDDING, IdentityFeature
from streamanon.identity.rules import Rule
from streamanon.types import Assignment, Delegate, Float

#: How many views of a face are kept, the best ones; then a new one is wanted if it is better than the worst
#: by this factor.
MAX_VIEWS = 6
BETTER = 1.1
MAX_PEOPLE = 200
#: A sum of views shorter than this has no direction.
NO_LENGTH = 1e-6
#: Likeness to somebody of whom nothing is known.
UNKNOWN = -1.0


@dataclass(frozen=True, eq=False, repr=False)
class View:
    """One picture of a face, described; ``quality`` above 0: how much it counts."""

    quality: float
    embedding: Float


@dataclass(eq=False, repr=False)
class Person:
    """Somebody with a delegate and an assignment made of it. ``rule``: the user's for them, if recognised.

    ``feature`` [128]: the views' weighted mean, unit length. ``latest`` [128]: the last view. Both are None
    before the first view. ``last_seen`` (s), ``last_index``: of the last frame they were in. ``draws``: how
    many delegates were drawn for them, as far as is known.
    """

    delegate: Delegate
    assignment: Assignment
    rule: Rule | None = None
    views: list[View] = field(default_factory=list)
    feature: Float | None = None
    latest: Float | None = None
    last_seen: float = 0.0
    last_index: int = -1
    draws: int = 1

    def wants(self, quality: float) -> bool:
        """Whether a view of that quality would be kept."""
        return len(self.views) < MAX_VIEWS or quality > BETTER * self.views[-1].quality

    def learn(self, feature: IdentityFeature, quality: float) -> None:
        """Take a view into account. Of people in memory, :meth:`People.learn` has to know."""
        if quality > 0 and np.isfinite(feature.embedding).all():
            self.latest = feature.embedding
            self.views.append(View(quality, feature.embedding))
            self.views = sorted(self.views, key=lambda view: -view.quality)[:MAX_VIEWS]
            self.feature = _mean(self.views)


class People:
    """Who was seen, until ``ttl_seconds`` after they were last; with 0, until they leave.

    All means stand in one matrix and all latest views in another, [N, 128] each, in the people's order: a
    search is two products, however many people are known.
    """

    def __init__(self, ttl_seconds: float) -> None:
        self._ttl = ttl_seconds
        self._known: list[Person] = []
        self._means, self._latest = _rows(()), _rows(())
        self._described = np.zeros(0, np.bool_)

    def __len__(self) -> int:
        return len(self._known)

    def __iter__(self) -> Iterator[Person]:
        return iter(self._known)

    def add(self, person: Person) -> None:
        self._keep(sorted([*self._known, person], key=lambda one: one.last_index)[-MAX_PEOPLE:])

    def remove(self, person: Person) -> None:
        self._keep([one for one in self._known if one is not person])

    def forget(self, now: float, present: Iterable[Person]) -> None:
        """Drop those who left longer ago than the time to live, s; ``present``: who did not leave."""
        here = {id(person) for person in present}
        kept = [p for p in self._known if id(p) in here or now - p.last_seen < self._ttl]
        if len(kept) < len(self._known):
            self._keep(kept)

    def learn(self, person: Person, feature: IdentityFeature, quality: float) -> None:
        """Take a view of ``person`` into account, whether or not they are still in memory."""
        person.learn(feature, quality)
        for row, one in enumerate(self._known):
            if one is person:
                self._describe(row)

    def most_alike(self, embedding: Float, index: int) -> tuple[Person | None, float]:
        """Of those who are not in frame ``index``, who looks most like that, and how much: the cosine -1..1
        of ``embedding`` [128] and the person's mean or, if it is more, the latest view of them, as somebody
        may return as they left, turned. -1 where nothing is known.
        """
        away = np.array([person.last_index < index for person in self._known], np.bool_)
        if not away.any():
            return None, UNKNOWN
        likeness = np.full(len(self._known), UNKNOWN, np.float32)
        if np.isfinite(embedding).all():
            both = np.maximum(self._means @ embedding, self._latest @ embedding)
            likeness[self._described] = both[self._described]
        best = int(np.where(away, likeness, -np.inf).argmax())
        return self._known[best], float(likeness[best])

    def _keep(self, people: list[Person]) -> None:
        self._known = people
        self._means, self._latest = _rows([p.feature for p in people]), _rows([p.latest for p in people])
        self._described = np.array([p.feature is not None for p in people], np.bool_)

    def _describe(self, row: int) -> None:
        person = self._known[row]
        if person.feature is not None and person.latest is not None:
            self._means[row], self._latest[row] = person.feature, person.latest
            self._described[row] = True


def _mean(views: Sequence[View]) -> Float:
    """The views' mean [128], weighted by quality, unit length."""
    total = np.sum([view.quality * view.embedding for view in views], axis=0)
    return np.asarray(total / max(float(np.linalg.norm(total)), NO_LENGTH), np.float32)


def _rows(embeddings: Sequence[Float | None]) -> Float:
    """Embeddings as a matrix [N, 128], zeros where there is none."""
    rows = np.zeros((len(embeddings), EMBEDDING), np.float32)
    for row, embedding in zip(rows, embeddings, strict=True):
        if embedding is not None:
            row[:] = embedding
    return rows
