"""Where a face went from one frame to another, by the motion of its pixels.

Sparse optical flow (pyramidal Lucas–Kanade) of a grid of points on the face; points that fail the
forward-backward check are left out, and the rest votes on shift and scale (Kalal et al., *Forward-Backward
Error: Automatic Detection of Tracking Failures*, ICPR 2010).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.geometry import grow
from streamanon.types import Float, Picture, Plane

#: Faces are followed at this size, px, in a window that reaches so many face sizes beyond them.
FACE_PX, AROUND = 40.0, 1.0
#: A small face is enlarged at most this much: more adds no detail.
MOST_ZOOM = 2.0
GRID = 7
#: Points lie on this share of the box: on the face, not beside it.
INNER = 0.6
WINDOW_PX, LEVELS = 13, 3
#: Least template-matching score, correlation -1..1, of a face that moved far.
LEAST_MATCH = 0.75
#: A box shrinks by this share on each side to leave out its corners, which show the background.
CORNER = 0.1
#: Largest forward-backward error of a point, px; and the least share of points within it.
MOST_RETURN_PX = 1.0
LEAST_BELIEVED = 0.5
#: Largest median distance of those points from the face's common motion, px.
MOST_SCATTER_PX = 2.0
MOST_SCALE = 1.25
#: Least correlation (-1..1) of the face in both frames, and the size in px at which it is computed.
LEAST_LIKENESS, LIKENESS_PX = 0.6, 20
#: Least contrast (standard deviation, levels) for any motion estimate.
LEAST_CONTRAST = 3.0

Grey = NDArray[np.uint8]


@dataclass(frozen=True)
class Motion:
    """``shift`` (x, y) px of a face's centre, and by what it grew."""

    shift: tuple[float, float]
    scale: float

    def moved(self, box: Float, points: Float) -> tuple[Float, Float]:
        """A face's box [4] and points [N, 2], moved along."""
        middle = (box[:2] + box[2:]) / 2
        there = middle + np.array(self.shift, np.float32)
        scale = np.float32(self.scale)
        corners = (box.reshape(2, 2) - middle) * scale + there
        return corners.reshape(4).astype(np.float32), ((points - middle) * scale + there).astype(np.float32)


def follow(first: Picture, second: Picture, box: Float) -> Motion | None:
    """How the face in ``box`` [4] of one picture moved to another; None where that is not certain."""
    if not np.isfinite(box).all():
        return None
    try:
        return _follow(first, second, box)
    except (cv2.error, ValueError):  # then the face coasts
        return None


def _follow(first: Picture, second: Picture, box: Float) -> Motion | None:
    size = float(np.sqrt(np.prod((box[2:] - box[:2]).clip(0))))
    window = _window(first, box)
    if size < 4 or window is None or first.planes[0].shape != second.planes[0].shape:
        return None
    zoom = min(FACE_PX / size, MOST_ZOOM)
    here, there = _view(first, window, zoom), _view(second, window, zoom)
    if here.std() < LEAST_CONTRAST or there.std() < LEAST_CONTRAST:
        return None
    local = (box - np.tile(window[:2], 2)) * np.float32(zoom)
    found = _flow(here, _like(there, here), local) or _leap(here, there, local)
    if found is None or _likeness(here, there, local, found) < LEAST_LIKENESS:
        return None
    return Motion((found.shift[0] / zoom, found.shift[1] / zoom), found.scale)


def _window(picture: Picture, box: Float) -> NDArray[np.int64] | None:
    """The search region around a face, xyxy px; None where too little of the face is in it."""
    area = grow(box, AROUND)
    limits = np.array([picture.width, picture.height] * 2)
    window = np.round(area).astype(np.int64).clip(0, limits)
    inside = np.minimum(box[2:], limits[2:]) - np.maximum(box[:2], 0)
    share = float(np.prod(inside.clip(0)) / max(float(np.prod(box[2:] - box[:2])), 1e-6))
    return window if share > 0.5 and (window[2:] - window[:2]).min() >= 8 else None


def _view(picture: Picture, window: NDArray[np.int64], zoom: float) -> Grey:
    x0, y0, x1, y1 = window
    luma = picture.planes[0][y0:y1, x0:x1]
    size = max(8, round((x1 - x0) * zoom)), max(8, round((y1 - y0) * zoom))
    way = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    small = cast(Plane, cv2.resize(luma, size, interpolation=way))
    return (small >> (picture.bits - 8)).astype(np.uint8)


def _like(grey: Grey, other: Grey) -> Grey:
    """With the brightness and contrast of another: light that changes is no motion."""
    gain = (float(other.std()) + 1) / (float(grey.std()) + 1)
    return cast(
        Grey, cv2.convertScaleAbs(grey, None, gain, float(other.mean()) - gain * float(grey.mean()))
    )


def _leap(here: Grey, there: Grey, box: Float) -> Motion | None:
    """For blurred faces and long ways: where a template is found again, and from there found back here."""
    template = np.round(grow(box, -CORNER)).astype(np.int64).clip(0, here.shape[::-1] * 2)
    shift, score = _matched(here, there, template)
    back, _ = _matched(there, here, template + np.tile(shift, 2))
    if score < LEAST_MATCH or np.abs(shift + back).max() > MOST_RETURN_PX:
        return None
    return Motion((float(shift[0]), float(shift[1])), 1.0)


def _matched(here: Grey, there: Grey, template: NDArray[np.int64]) -> tuple[NDArray[np.int64], float]:
    """How far [2] px from its place a region (xyxy) is found again, and how alike it is, -1..1."""
    x0, y0, x1, y1 = template
    scores = cv2.matchTemplate(there, here[y0:y1, x0:x1], cv2.TM_CCOEFF_NORMED)
    _, best, _, (x, y) = cv2.minMaxLoc(scores)
    return np.array([x - x0, y - y0], np.int64), best


def _flow(here: Grey, there: Grey, box: Float) -> Motion | None:
    middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * INNER
    steps = np.linspace(-1, 1, GRID, dtype=np.float32)
    grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    points = np.asarray(middle + half * grid, np.float32)
    moved, arrived = _traced(here, there, points)
    back, returned = _traced(there, here, moved)
    missed = np.linalg.norm(back - points, axis=1)
    sure = arrived & returned & (missed <= MOST_RETURN_PX)
    if sure.mean() < LEAST_BELIEVED:
        return None
    return _vote(points[sure] - middle, (moved - points)[sure])


def _traced(here: Grey, there: Grey, points: Float) -> tuple[Float, NDArray[np.bool_]]:
    size = (WINDOW_PX, WINDOW_PX)
    moved, found, _ = cv2.calcOpticalFlowPyrLK(
        here,
        there,
        points,
        points.copy(),
        winSize=size,
        maxLevel=LEVELS,
    )
    return np.asarray(moved, np.float32), found[:, 0] > 0


def _vote(places: Float, shifts: Float) -> Motion | None:
    """The median shift, and the scale by the median change of distances between points."""
    shift = np.median(shifts, axis=0)
    rows, columns = np.triu_indices(len(places), 1)
    before = np.linalg.norm(places[rows] - places[columns], axis=1)
    ends = places + shifts
    scale = float(np.median(np.linalg.norm(ends[rows] - ends[columns], axis=1) / before))
    scatter = np.median(np.linalg.norm(shifts - shift - (scale - 1) * places, axis=1))
    if scatter > MOST_SCATTER_PX or not 1 / MOST_SCALE <= scale <= MOST_SCALE:
        return None
    # Where the points' own centre is off the face's, growth moves the face's as well.
    return Motion((float(shift[0]), float(shift[1])), scale)


def _likeness(here: Grey, there: Grey, box: Float, motion: Motion) -> float:
    moved, _ = motion.moved(box, np.zeros((0, 2), np.float32))
    one, two = (_patch(grey, grow(place, -CORNER)) for grey, place in ((here, box), (there, moved)))
    if one.std() < LEAST_CONTRAST or two.std() < LEAST_CONTRAST:
        return 0.0
    return float(np.corrcoef(one.ravel(), two.ravel())[0, 1])


def _patch(grey: Grey, box: Float) -> Float:
    centre = (float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2)
    size = max(4, round(float(box[2] - box[0]))), max(4, round(float(box[3] - box[1])))
    cut = cv2.getRectSubPix(grey, size, centre)
    return cv2.resize(cut, (LIKENESS_PX, LIKENESS_PX), interpolation=cv2.INTER_AREA).astype(np.float32)
