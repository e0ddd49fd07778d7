"""Which views of a frame the detector sees: sizes and tiles in turn, other orientations now and then."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from streamanon.detect.detection_interval import ROUNDING_SECONDS, Extent
from streamanon.detect.orientation import Orientation
from streamanon.detect.tiling import LONG_SIDES, View, whole
from streamanon.types import Picture, RawFrame

#: All four orientations are searched this often, s.
ALL_ORIENTATIONS_SECONDS = 1.2


class Viewer(Protocol):
    """The views that a detector has of a picture rotated by ``turn`` quarter turns counter-clockwise."""

    def wholes(self, picture: Picture, turn: int) -> list[list[View]]:
        """Views of the whole picture in groups; each pass takes the next group."""
        ...

    def compared(self, picture: Picture, turn: int) -> list[View]:
        """Views of the whole picture by which orientations are compared."""
        ...

    def tiles(self, picture: Picture, turn: int) -> list[View]:
        """Enlarged tiles that together cover the picture; none where the whole has enough detail."""
        ...

    def near(self, picture: Picture, turn: int) -> list[View]:
        """A coarse view for near faces; none where there is no cheap one."""
        ...


class CoarseViews:
    """Smaller views of the same detector, for an overloaded machine: no tiles, and in turn the small size
    and the one for near faces. A model of a fixed input has no smaller one: its views stay.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer

    def wholes(self, picture: Picture, turn: int) -> list[list[View]]:
        near = self._viewer.near(picture, turn)
        if not near:  # of a model with a fixed input
            return self._viewer.wholes(picture, turn)
        return [[whole(picture, turn, LONG_SIDES["small"])], near]

    def compared(self, picture: Picture, turn: int) -> list[View]:
        return self.wholes(picture, turn)[0]

    def tiles(self, picture: Picture, turn: int) -> list[View]:
        return []

    def near(self, picture: Picture, turn: int) -> list[View]:
        return self._viewer.near(picture, turn)


@dataclass(frozen=True)
class Look:
    """Views of one orientation in one pass. ``is_evidence``: whether the same views are seen in all
    orientations, so that detections in them can be compared to find the camera's.
    """

    turn: int
    views: list[View]
    is_evidence: bool


class ViewSchedule:
    """Looks of each pass over a stream. ``others``: orientations besides the camera's in which faces were
    found when all four were searched last; until the next time they are searched in every pass.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer, self._coarse_viewer = viewer, CoarseViews(viewer)
        self._passes = 0
        self._compared: float | None = None
        self.others: Collection[int] = ()

    def looks(self, frame: RawFrame, extent: Extent, orientation: Orientation) -> list[Look]:
        """What a pass over a frame sees."""
        picture, turn = frame.picture, orientation.turn
        if extent == "near":
            return [Look(turn, self._viewer.near(picture, turn), False)]
        viewer = self._coarse_viewer if extent == "coarse" else self._viewer
        turns = {turn, orientation.declared, *self.others}
        if self._compares(frame.pts_seconds, orientation) or extent == "all":
            turns = set(range(4))
        looks = []
        if len(turns) > 1:
            looks = [Look(one, viewer.compared(picture, one), True) for one in sorted(turns)]
        seen = [view for look in looks if look.turn == turn for view in look.views]
        views = [view for view in self._in_turn(viewer, picture, turn, extent) if view not in seen]
        return [*looks, Look(turn, views, False)] if views else looks

    def _in_turn(self, viewer: Viewer, picture: Picture, turn: int, extent: Extent) -> list[View]:
        """The group and the tile whose turn it is, or all."""
        groups, tiles = viewer.wholes(picture, turn), viewer.tiles(picture, turn)
        number, self._passes = self._passes, self._passes + 1
        if extent == "all":
            return list(dict.fromkeys(itertools.chain(*groups, tiles)))
        return groups[number % len(groups)] + ([tiles[number % len(tiles)]] if tiles else [])

    def _compares(self, now: float, orientation: Orientation) -> bool:
        """Whether all orientations are searched."""
        before = self._compared
        if before is None or not 0 <= now - before < ALL_ORIENTATIONS_SECONDS - ROUNDING_SECONDS:
            self._compared = now
            return True
        return orientation.is_in_doubt
