"""Who plays whom: each person in view gets one delegate and keeps it, also after leaving and returning.

A delegate is drawn once a person, never a frame, by the exponential mechanism (:mod:`.choice`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from streamanon.config import IdentityConfig
from streamanon.identity.choice import attributes_of, probabilities, utilities
from streamanon.identity.delegates import DelegateGallery
from streamanon.mesh import Measurement
from streamanon.types import Delegate, Float

#: Cosine of two likenesses above which a new track is taken for a person seen before.
SAME_PERSON = 0.62
MAX_PERSONS = 200
LEARNING = 0.05


@dataclass
class _Person:
    likeness: Float
    delegate: Delegate
    last_index: int


class Casting:
    """Delegates by track, for one run. ``seed`` fixes the draws; without one every run draws others.

    ``draws``: how many there were; each costs ``epsilon`` of its person's budget. ``only``: everybody gets
    this one, and nothing is drawn.
    """

    def __init__(
        self,
        gallery: DelegateGallery,
        seed: int | None = None,
        epsilon: float = IdentityConfig.epsilon,
        only: Delegate | None = None,
    ) -> None:
        self._only = only
        self._delegates = gallery.delegates
        self._attributes = attributes_of(gallery.delegates)
        self._epsilon = epsilon
        self._rng = np.random.default_rng(seed)
        self.draws = 0
        self._persons: list[_Person] = []
        self._of_track: dict[int, _Person] = {}

    def delegate(self, track_id: int, measurement: Measurement, index: int) -> Delegate:
        """The delegate of a track in frame ``index``: the track's own, a known person's, or a new one."""
        if self._only is not None:
            return self._only
        likeness = measurement.likeness
        if not np.isfinite(likeness).all():
            likeness = np.zeros_like(likeness)  # like nobody
        person = self._of_track.get(track_id)
        if person is None:
            person = self._recognise(likeness, index) or self._cast(measurement, likeness, index)
            self._of_track[track_id] = person
        person.last_index = index
        moved = (1 - LEARNING) * person.likeness + LEARNING * likeness
        person.likeness = (moved / max(float(np.linalg.norm(moved)), 1e-6)).astype(np.float32)
        return person.delegate

    def in_view(self, tracks: Iterable[int], index: int) -> None:
        """Tell whose tracks are in frame ``index``, before any delegate of it is asked for: nobody else is
        taken for those persons in this frame. Of two tracks in view that were taken for one person, the
        second turns out to be somebody else.
        """
        claimed: list[_Person] = []
        for track in tracks:
            person = self._of_track.get(track)
            if person is None:
                continue
            if any(person is other for other in claimed):
                del self._of_track[track]
                continue
            claimed.append(person)
            person.last_index = index

    def forget_tracks(self, live: set[int]) -> None:
        """Drop tracks that have ended; the persons behind them stay known."""
        self._of_track = {track: person for track, person in self._of_track.items() if track in live}

    def _recognise(self, likeness: Float, index: int) -> _Person | None:
        away = [p for p in self._persons if p.last_index < index]
        if not away:
            return None
        scores = [float(p.likeness @ likeness) for p in away]
        best = int(np.argmax(scores))
        return away[best] if scores[best] >= SAME_PERSON else None

    def _cast(self, measurement: Measurement, likeness: Float, index: int) -> _Person:
        live = {person.delegate.id for person in self._of_track.values()}
        known = live | {person.delegate.id for person in self._persons}
        # With more persons than delegates one who left gives theirs away, before anybody in view does.
        masks = [np.array([d.id not in taken for d in self._delegates]) for taken in (known, live, set())]
        allowed = next(mask for mask in masks if mask.any())
        chances = probabilities(utilities(measurement, self._attributes), self._epsilon, allowed)
        self.draws += 1
        pick = int(self._rng.choice(len(self._delegates), p=chances))
        person = _Person(likeness, self._delegates[pick], index)
        self._persons = sorted(self._persons, key=lambda p: p.last_index)[-MAX_PERSONS + 1 :]
        self._persons.append(person)
        return person
