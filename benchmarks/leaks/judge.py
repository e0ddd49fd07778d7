"""Which faces of footage with a known truth can be seen in what a contender makes of it, and why.

A face counts if it is at least 10 px across and at least half of it is seen in the raw frame; it is in full
view if four fifths are. It is bare if less than three quarters of its pixels that are seen have been
changed; at its rim only, if three quarters of what lies between brows and mouth have. The cause follows
from the frames in which the contender found it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.leaks.footage import Face, Frame
from streamanon.geometry import grow, overlap
from streamanon.types import Float

BINS = ((10, 12), (12, 20), (20, 40), (40, 80), (80, 1000))
LEAST_VISIBLE, FULL_VIEW, BARE, TRIMMED = 0.5, 0.8, 0.75, 0.95
#: The region of the features reaches beyond eyes, nose and mouth by this share of its size.
FEATURES_MARGIN = 0.3
#: A find is of a face if their boxes overlap by this much, or its middle lies in the face's.
LEAST_OVERLAP = 0.2
#: What is covered farther than this share of a face from every face's box is covered for nothing.
AROUND = 0.6

KINDS = ("in full view", "turned", "partly hidden")

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Covered:
    """What a contender did to a frame: which pixels [H, W] it changed, and where it found faces [N, 4]."""

    mask: Mask
    found: Float


@dataclass
class Tally:
    """``faces`` and ``bare``: face-frames by (bin, kind of :data:`KINDS`); ``trimmed``: of which more than
    a twentieth is seen, by bin. ``tracks`` and ``bare_tracks`` by the bin of their largest face;
    ``causes``: bare face-frames by (bin, why); ``rims``: those at their rim only, by bin. ``exposed``:
    milliseconds. ``wasted``: the share of the picture that is covered for nothing, summed over the frames.
    """

    faces: Counter[tuple[int, str]] = field(default_factory=Counter)
    bare: Counter[tuple[int, str]] = field(default_factory=Counter)
    trimmed: Counter[int] = field(default_factory=Counter)
    tracks: Counter[int] = field(default_factory=Counter)
    bare_tracks: Counter[int] = field(default_factory=Counter)
    causes: Counter[tuple[int, str]] = field(default_factory=Counter)
    rims: Counter[int] = field(default_factory=Counter)
    exposed: Counter[int] = field(default_factory=Counter)
    wasted: float = 0.0
    frames: int = 0

    def add(self, other: Tally) -> None:
        for name in ("faces", "bare", "trimmed", "tracks", "bare_tracks", "causes", "rims", "exposed"):
            getattr(self, name).update(getattr(other, name))
        self.wasted += other.wasted
        self.frames += other.frames


@dataclass(frozen=True)
class _Seen:
    """One face in one frame: its bin and kind, the share of it that is covered, and whether its features
    are.
    """

    bin: int
    kind: str
    covered: float
    features_covered: bool


def judge(frames: Iterable[tuple[Frame, Covered]], rate: int, ahead_seconds: float) -> Tally:
    """``rate``: frames a second; ``ahead_seconds``: the contender's look-ahead."""
    tally = Tally()
    seen: dict[int, dict[int, _Seen]] = defaultdict(dict)
    found: dict[int, list[int]] = defaultdict(list)
    for index, (frame, covered) in enumerate(frames):
        tally.frames += 1
        tally.wasted += _wasted(frame.faces, covered.mask)
        for face in frame.faces:
            if _is_found(face, covered.found):
                found[face.track].append(index)
            place = _bin(face.size)
            if place is not None and face.visible >= LEAST_VISIBLE:
                share = float(covered.mask[frame.owners == face.track].mean())
                features = share < BARE and _covers_features(covered.mask, face)
                seen[face.track][index] = _Seen(place, _kind(face), share, features)
    for track, times in seen.items():
        _count(tally, times, found[track], rate, round(ahead_seconds * rate))
    return tally


def _count(tally: Tally, times: dict[int, _Seen], found: list[int], rate: int, ahead: int) -> None:
    largest = max(one.bin for one in times.values())
    tally.tracks[largest] += 1
    bare = {index: one for index, one in times.items() if one.covered < BARE}
    tally.bare_tracks[largest] += bool(bare)
    for one in times.values():
        tally.faces[one.bin, one.kind] += 1
        tally.trimmed[one.bin] += one.covered < TRIMMED
    for index, one in bare.items():
        tally.bare[one.bin, one.kind] += 1
        tally.rims[one.bin] += one.features_covered
        tally.exposed[one.bin] += round(1000 / rate)
        tally.causes[one.bin, cause(index, found, ahead)] += 1


def _covers_features(mask: Mask, face: Face) -> bool:
    """Whether three quarters of what lies between brows and mouth are covered; no if that is not known."""
    if face.features is None:
        return False
    middle = face.features.mean(axis=0)
    spread = middle + (1 + 2 * FEATURES_MARGIN) * (face.features - middle)
    region = np.zeros(mask.shape, np.uint8)
    cv2.fillConvexPoly(region, cv2.convexHull(np.rint(spread).astype(np.int32)), 1)
    return bool(region.any() and mask[region > 0].mean() >= BARE)


def cause(index: int, found: list[int], ahead: int) -> str:
    """Why a face is bare in a frame, by the frames in which it was found; ``ahead``: look-ahead, frames."""
    if not found:
        return "never found"
    if index in found:
        return "found, cover too small"
    if index < found[0]:
        return "found too late" if found[0] - index > ahead else "before it was found"
    return "after it was last found" if index > found[-1] else "between two finds"


def _kind(face: Face) -> str:
    if face.visible < FULL_VIEW:
        return "partly hidden"
    return "turned" if face.turned else "in full view"


def _bin(size: float) -> int | None:
    return next((number for number, (low, high) in enumerate(BINS) if low <= size < high), None)


def _is_found(face: Face, found: Float) -> bool:
    if not len(found):
        return False
    middles = (found[:, :2] + found[:, 2:]) / 2
    inside = ((middles > face.box[:2]) & (middles < face.box[2:])).all(axis=1)
    alike = np.prod(found[:, 2:] - found[:, :2], axis=1) < 6 * np.prod(face.box[2:] - face.box[:2])
    return bool(((inside & alike) | (overlap(found, face.box[None])[:, 0] >= LEAST_OVERLAP)).any())


def _wasted(faces: Iterable[Face], mask: Mask) -> float:
    rest = mask.copy()
    for face in faces:
        x0, y0, x1, y1 = np.round(grow(face.box, AROUND)).astype(int)
        rest[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = False
    return float(rest.mean())
