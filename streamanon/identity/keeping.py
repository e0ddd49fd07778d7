"""People whom the user named by a photo and wants to be seen: everybody else stays covered."""

from __future__ import annotations

import numpy as np

from streamanon.identity.encoder import IdentityFeature
from streamanon.identity.people import Person
from streamanon.identity.rules import Rule
from streamanon.types import Geometry

#: Cosines from which somebody is left visible: of all looks together (between one in a thousand and one in
#: ten thousand strangers by a single look), and of the frame's own.
KEPT_PERSON, KEPT_FRAME = 0.88, 0.80
LEAST_KEPT_PX = 40.0
CONFIRMED = 3


class Keeper:
    """Says in which frames somebody is left visible: while each single one shows them beyond doubt.

    ``confirmed``: so many frames in a row must agree.
    """

    def __init__(self, confirmed: int = CONFIRMED) -> None:
        self._least = confirmed
        self._confirmed: dict[int, tuple[int, int]] = {}  # by track: the last frame, how many in a row
        self._shown: dict[int, tuple[int, int]] = {}  # by rule: the last frame, the track

    def shows(
        self, person: Person, feature: IdentityFeature, geometry: Geometry, track_id: int, index: int
    ) -> bool:
        """Whether track ``track_id`` may be left visible in frame ``index``, in which it looks like
        ``feature``. Nobody is before several frames in a row agree, and never two at once.
        """
        rule = person.rule
        if rule is None or not self._agrees(rule, person, feature, geometry):
            self._confirmed.pop(track_id, None)
            return False
        self._confirmed = {t: seen for t, seen in self._confirmed.items() if index - seen[0] <= 1}
        count = 1 + self._confirmed.get(track_id, (index, 0))[1]
        self._confirmed[track_id] = index, count
        shown_index, shown_track = self._shown.get(id(rule), (-1, -1))
        if count < self._least or (shown_index == index and shown_track != track_id):
            return False
        self._shown[id(rule)] = index, track_id
        return True

    def _agrees(self, rule: Rule, person: Person, feature: IdentityFeature, geometry: Geometry) -> bool:
        known = person.feature
        wide = float(np.ptp(geometry.points[:, 0])) >= LEAST_KEPT_PX
        return bool(
            wide
            and known is not None
            and float(known @ rule.embedding) >= KEPT_PERSON
            and float(feature.embedding @ rule.embedding) >= KEPT_FRAME
        )
