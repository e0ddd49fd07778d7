"""People whom the user named by a photo and wants to be seen: everybody else stays covered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from streamanon.identity.encoder import EMBEDDING, IdentityFeature
from streamanon.identity.rules import Rule
from streamanon.track.hold import SLACK_SECONDS
from streamanon.types import Float

#: Cosines to the photo from which a track shows its person: of all its views together (one in a thousand
#: strangers by a single view), and of the best moment (fewer than one in a thousand).
WHOLE_TRACK, BEST_MOMENT = 0.80, 0.88
#: A moment is so long, s, and has so many views; in a still picture one view must do.
MOMENT_SECONDS, MOMENT_VIEWS = 0.6, 5
#: Cosine to the photo below which so many views in a row are somebody else's. Views of one person in clips
#: had at least 0.48, those of strangers at most 0.41.
STILL_LIKE, STILL_VIEWS = 0.45, 5
#: Cosine of so many views to those before them below which the track went on to another face: that of one
#: in a hundred pairs of strangers. Within tracks of one person it was at least 0.67.
SAME_FACE, SAME_VIEWS = 0.64, 3
#: Views below this quality tell nothing, and faces less wide than that, px, neither.
LEAST_QUALITY, LEAST_KEPT_PX = 0.05, 40.0


@dataclass(frozen=True, eq=False, repr=False)
class _View:
    seconds: float
    quality: float
    embedding: Float


@dataclass(eq=False, repr=False)
class _Track:
    """``views``: those that later frames may need, in order. ``whole`` [128]: the sum of all, by quality.
    ``best``: by rule, the likeness of its best moment. ``shown``: the rule whose person it shows.
    """

    best: list[float]
    views: list[_View] = field(default_factory=list)
    whole: Float = field(default_factory=lambda: np.zeros(EMBEDDING, np.float32))
    shown: int | None = None


class Keeper:
    """Says of tracks whether they are left visible: from their beginning or not, by all that is known of
    them up to ``seconds`` later, and no longer where they may have gone on to another person.

    ``still``: there is one frame only.
    """

    def __init__(self, rules: Sequence[Rule], seconds: float, still: bool = False) -> None:
        self._photos = np.array([rule.embedding for rule in rules], np.float32).reshape(-1, EMBEDDING)
        self._seconds = max(seconds, 0.0)
        self._least_views = 1 if still else MOMENT_VIEWS
        self._tracks: dict[int, _Track] = {}
        self._claims: dict[int, int] = {}  # by rule: the track that shows its person

    @property
    def knows_somebody(self) -> bool:
        return len(self._photos) > 0

    def see(self, track_id: int, seconds: float, feature: IdentityFeature, quality: float) -> None:
        """A view of a track, in the order of frames, up to ``self.seconds`` before it is asked for."""
        if quality < LEAST_QUALITY or not np.isfinite(feature.embedding).all():
            return
        track = self._tracks.setdefault(track_id, _Track([-1.0] * len(self._photos)))
        track.views.append(_View(seconds, quality, feature.embedding))
        track.whole = track.whole + np.float32(quality) * feature.embedding
        moment = [view for view in track.views if seconds - view.seconds <= MOMENT_SECONDS + SLACK_SECONDS]
        if len(moment) >= self._least_views:
            likes = self._photos @ _mean(moment)
            track.best = [max(pair) for pair in zip(track.best, likes.tolist(), strict=True)]

    def shown(self, tracks: Sequence[int], seconds: float) -> frozenset[int]:
        """Those of the tracks in a frame that are left visible in it; asked for in the order of frames."""
        present = set(tracks)
        self._claims = {rule: track for rule, track in self._claims.items() if track in present}
        visible = {track_id for track_id in tracks if self._shows(track_id, seconds)}
        for track in self._tracks.values():
            oldest = seconds - max(self._seconds, MOMENT_SECONDS) - SLACK_SECONDS
            track.views = [view for view in track.views if view.seconds >= oldest]
        return frozenset(visible)

    def doubt(self, tracks: Iterable[int]) -> None:
        """Something failed: what was seen of these tracks does not count any more."""
        for track_id in tracks:
            if track_id in self._tracks:
                self._doubt(self._tracks[track_id])

    def forget(self, live: Iterable[int]) -> None:
        """Drop all tracks but those."""
        known = set(live)
        self._tracks = {name: track for name, track in self._tracks.items() if name in known}

    def _shows(self, track_id: int, now: float) -> bool:
        track = self._tracks.get(track_id)
        if track is None:
            return False
        ahead = [view for view in track.views if view.seconds >= now - SLACK_SECONDS]
        behind = [view for view in reversed(track.views) if view.seconds < now - SLACK_SECONDS]
        if not _is_one_face(behind, ahead):
            self._doubt(track)
            return False
        if track.shown is None:
            track.shown = self._recognised(track)
        if track.shown is None:
            return False
        if not (ahead or behind):  # turned away for long: it may be another one who turns back
            self._doubt(track)
            return False
        photo = self._photos[track.shown]
        if not (_is_like(ahead, photo) and _is_like(behind, photo)):
            self._doubt(track)
            return False
        return self._claims.setdefault(track.shown, track_id) == track_id

    def _recognised(self, track: _Track) -> int | None:
        length = float(np.linalg.norm(track.whole))
        if not length:
            return None
        likes = self._photos @ (track.whole / length)
        rule = int(likes.argmax())
        sure = likes[rule] >= WHOLE_TRACK and track.best[rule] >= BEST_MOMENT
        return rule if sure else None

    def _doubt(self, track: _Track) -> None:
        """Nothing that was seen of it so far counts any more."""
        track.views, track.shown = [], None
        track.whole, track.best = np.zeros_like(track.whole), [-1.0] * len(self._photos)


def _is_one_face(behind: list[_View], ahead: list[_View]) -> bool:
    """Whether the next views look like the last ones; both lists begin next to the frame. Of few views more
    is forgiven, as one alone may be blurred.
    """
    first, second = behind[:SAME_VIEWS], ahead[:SAME_VIEWS]
    if not (first and second):
        return True
    least = SAME_FACE if min(len(first), len(second)) == SAME_VIEWS else STILL_LIKE
    return float(_mean(first) @ _mean(second)) >= least


def _is_like(side: list[_View], photo: Float) -> bool:
    """Whether the nearest views do not speak against the photo; too few of them do not."""
    nearest = side[:STILL_VIEWS]
    return len(nearest) < STILL_VIEWS or float(_mean(nearest) @ photo) >= STILL_LIKE


def _mean(views: Sequence[_View]) -> Float:
    """The views' mean [128], weighted by quality, unit length."""
    total = np.sum([view.quality * view.embedding for view in views], axis=0)
    return np.asarray(total / max(float(np.linalg.norm(total)), 1e-6), np.float32)
