"""The stage that decides who is left visible: people known by a photo, faces in a region, chosen tracks."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from streamanon.config import parse_region
from streamanon.cover.chosen_tracks import ChosenTracks
from streamanon.cover.measure import Measured
from streamanon.geometry import stored_place
from streamanon.identity.assignment import SHARP, expected_quality
from streamanon.identity.encoder import IdentityModel
from streamanon.identity.visible_people import LEAST_KEPT_PX, Keeper
from streamanon.runtime.faults import Faults
from streamanon.track.hold import is_due
from streamanon.types import Float, Resolved, Target

#: How long a track is remembered that is in no frame, s: longer than the tracker does.
FORGET_SECONDS = 10.0
#: A mesh so many frames from the nearest detection is still of the face that was detected.
NEAR_FRAMES = 3
#: An area of the picture as shares of its width and height: left, top, right, bottom.
Area = tuple[float, float, float, float]


def area_of(region: str, width: int, height: int, rotation: int = 0, mirrored: bool = False) -> Area:
    """``region``: "left,top,right,bottom" in px as players show it; the others as for
    :func:`streamanon.geometry.stored_place`. Raises :class:`ConfigError`.
    """
    left, top, right, bottom = parse_region(region)
    (x0, y0), (x1, y1) = (
        stored_place(x, y, (width, height), rotation, mirrored) for x, y in ((left, top), (right, bottom))
    )
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


class Keeping:
    """Whom one stream shows. ``keeper`` and ``encoder``: for people known by a photo. ``areas``: where
    faces are left visible as long as they have been within and will be for ``seconds``. ``chosen``: faces
    chosen by a moment and a place.
    """

    def __init__(
        self,
        keeper: Keeper,
        encoder: IdentityModel | None,
        areas: Sequence[Area],
        chosen: ChosenTracks,
        seconds: float,
        faults: Faults,
    ) -> None:
        self.seconds = seconds
        self._keeper, self._encoder, self._areas, self._faults = keeper, encoder, areas, faults
        self._chosen = chosen
        self._strays: dict[int, float] = {}  # by track: when it was last outside all areas, s
        self._last_seen: dict[int, float] = {}
        self._visible: frozenset[int] = frozenset()  # in the last frame that was decided

    def see(self, measured: Measured) -> None:
        """What a frame tells, before it is decided on."""
        resolved = measured.resolved
        now = resolved.frame.pts_seconds
        self._chosen.see(resolved)
        for target in (*resolved.targets, *resolved.hidden):
            self._last_seen[target.track_id] = now
            if not self._is_inside(target.box, resolved):
                self._strays[target.track_id] = now
        try:
            self._describe(measured)
        except Exception as error:  # then nothing is known of them, and they stay covered
            self._faults.note("faces", "recognising", error, len(resolved.targets))
            self._keeper.doubt(target.track_id for target in resolved.targets)

    def decided(self, measured: Measured) -> Measured:
        """The frame with the tracks that are left visible in it. Whom a visible face was to hide becomes a
        target, but for what was visible itself: likely the same face, under its number before.
        """
        resolved = measured.resolved
        now = resolved.frame.pts_seconds
        tracks, hidden = _tracks_of(resolved.targets), _tracks_of(resolved.hidden)
        visible = set(self._keeper.shown(tracks, now)) | self._chosen.shown(tracks, now)
        visible |= self._visible.intersection(hidden)
        if self._areas:
            visible |= {track for track in (*tracks, *hidden) if track not in self._strays}
        self._forget(now)
        self._visible = frozenset(visible)
        if visible:
            targets = (*resolved.targets, *resolved.hidden)
            meshes = [*measured.meshes, *(None for _ in resolved.hidden)]
            resolved = replace(resolved, targets=targets, hidden=())
            measured = replace(measured, resolved=resolved, meshes=meshes)
        return replace(measured, visible=self._visible)

    def _describe(self, measured: Measured) -> None:
        frame = measured.resolved.frame
        if self._encoder is None or not self._keeper.knows_somebody:
            return
        for target, geometry in zip(measured.resolved.targets, measured.meshes, strict=True):
            if geometry is None or target.track_id < 0 or target.distance > NEAR_FRAMES:
                continue
            if float(np.ptp(geometry.points[:, 0])) < LEAST_KEPT_PX:
                continue
            feature = self._encoder.describe(frame.picture, geometry.points)
            quality = expected_quality(geometry) * min(1.0, feature.sharpness / SHARP)
            self._keeper.see(target.track_id, frame.pts_seconds, feature, quality)

    def _is_inside(self, box: Float, resolved: Resolved) -> bool:
        """Whether the middle of a box lies in an area."""
        picture = resolved.frame.picture
        x = (float(box[0]) + float(box[2]) + 1) / 2 / picture.width
        y = (float(box[1]) + float(box[3]) + 1) / 2 / picture.height
        return any(left <= x <= right and top <= y <= bottom for left, top, right, bottom in self._areas)

    def _forget(self, now: float) -> None:
        """Tracks that ended: the tracker's are lost for less than that."""
        kept = {track for track, seen in self._last_seen.items() if now - seen <= FORGET_SECONDS}
        self._last_seen = {track: seen for track, seen in self._last_seen.items() if track in kept}
        self._strays = {track: seen for track, seen in self._strays.items() if track in kept}
        self._keeper.forget(kept)


def _tracks_of(targets: Iterable[Target]) -> list[int]:
    return [target.track_id for target in targets if target.track_id >= 0]


def keep(frames: Iterable[Measured], keeping: Keeping | None) -> Iterator[Measured]:
    """The stage: holds frames back for the look-ahead, and tells of each whom it shows. An error upstream
    rises when the frames held are out.
    """
    if keeping is None:
        yield from frames
        return
    held: deque[Measured] = deque()
    error: BaseException | None = None
    measured = iter(frames)
    while error is None:
        try:
            one = next(measured)
        except BaseException as caught:
            error = caught
            break
        keeping.see(one)
        held.append(one)
        while held and is_due(held[0].resolved.frame, one.resolved.frame, len(held), keeping.seconds):
            yield keeping.decided(held.popleft())
    while held:
        yield keeping.decided(held.popleft())
    if not isinstance(error, StopIteration):
        raise error
