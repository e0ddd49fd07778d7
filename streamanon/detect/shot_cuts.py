"""Where one shot ends and the next begins, from small luma pictures.

A pixel counts as unexplained when nothing near its place in the other picture has its luma. Motion moves
luma to a near place, so pans and fast faces explain themselves; a hard cut does not. Gain and offset are
evened out first, so most flashes are explained too; of a blinding one only the beginning is a cut.
Dissolves and fades are not cuts.

Shots with much the same lumas near the same places explain each other, too. In doubt blocks decide:
whatever moves, much of a picture goes on in the next one of the shot, by the same way, and over a cut
nothing does.
"""

from __future__ import annotations

from collections import deque
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.types import Float, Picture, Plane

THUMBNAIL_SIZE = (64, 36)  # width, height
#: From the first on a picture may start a shot, and does if its blocks go on nowhere; from the second on it
#: does in any case. Over 1,600 frames of real footage without a cut the worst was 0.028, over drawn footage
#: of people who run close by and of whip pans 0.114. Of 700 joins of unrelated pictures the least was
#: 0.051, one in ten was below 0.124; of three real cuts the least was 0.142.
_DOUBT, _THRESHOLD = 0.05, 0.12
#: Blocks of so many px each way, so far apart, are looked for within these distances, px across and down,
#: and go on where they correlate so much, together if their ways differ by no more than this, px.
_BLOCK, _STRIDE, _REACH, _CORRELATION, _SAME_WAY = 8, 4, (24, 9), 0.8, 2
#: A picture in doubt starts a shot if less than this share of its blocks goes on together. Of 31 joins of
#: unrelated photos that were in doubt half had 0.03 and one in ten 0.17 or more, two cuts in a film 0.01
#: and 0.03; pans by 12 to 28 % of the width a frame, blurred by half of it, 0.10 and more, a van that
#: drives past 0.42. Nearer to the cuts: one that is missed costs a cover in the wrong place, one that is
#: seen in a pan leaves a face bare.
_GOES_ON = 0.07
#: Blocks with a smaller standard deviation have nothing to be found by.
_LEAST_TEXTURE = 4.0
#: In a whip pan every frame is unexplained; only what stands out from the last few counts.
_OUTSTANDING = 1.5
_RECENT_FRAMES = 5
_FLASH_FRAMES = 3
_NEAR = np.ones((9, 9), np.uint8)
#: Added to standard deviations, so that the noise of a black picture is not blown up.
_LEAST_CONTRAST = 4.0


class CutDetector:
    """Decides for each picture whether it starts a new shot; the first one does not.

    ``doubtful``: whether the last picture given may start one. As faces are not carried over a cut, a
    false cut could leave them uncovered; a doubtful one only triggers detection.
    """

    def __init__(self) -> None:
        self.doubtful = False
        self._previous: NDArray[np.uint8] | None = None
        self._before_cut: NDArray[np.uint8] | None = None
        self._since_cut = 0
        self._recent: deque[float] = deque(maxlen=_RECENT_FRAMES)

    def is_cut(self, luma_small: NDArray[np.uint8]) -> bool:
        """``luma_small``: uint8 [h, w], as from :func:`thumbnail`, of the frame after the last one given.

        A picture of another size than the one before starts a new shot.
        """
        previous, self._previous = self._previous, luma_small
        self.doubtful = False
        if previous is None:
            return False
        self._since_cut += 1
        cut = previous.shape != luma_small.shape or self._stands_out(previous, luma_small)
        if cut:
            self._before_cut, self._since_cut = previous, 0
        return cut

    def _stands_out(self, previous: NDArray[np.uint8], picture: NDArray[np.uint8]) -> bool:
        change = unexplained(previous, picture)
        limit = max(_DOUBT, _OUTSTANDING * float(np.median(self._recent or [0.0])))
        self._recent.append(change)
        self.doubtful = change > limit
        if not self.doubtful or (change <= _THRESHOLD and going_on(previous, picture) >= _GOES_ON):
            return False
        return not self._ends_flash(picture)

    def _ends_flash(self, picture: NDArray[np.uint8]) -> bool:
        """Whether this is the old shot again, a moment after a supposed cut.

        Were the end of a blinding flash a cut as well, the frames of the flash, in which faces are hard to
        find, would be a shot of their own and nothing could be carried into them.
        """
        old = self._before_cut
        if old is None or self._since_cut > _FLASH_FRAMES or old.shape != picture.shape:
            return False
        return unexplained(old, picture) <= _DOUBT


def thumbnail(picture: Picture) -> NDArray[np.uint8]:
    """A small copy of the first plane (luma, or green of a gbrp picture): uint8 [36, 64]."""
    small = cast(Plane, cv2.resize(picture.planes[0], THUMBNAIL_SIZE, interpolation=cv2.INTER_AREA))
    return (small >> (picture.bits - 8)).astype(np.uint8)


def unexplained(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """How much of either luma picture (uint8 [h, w]) the other one cannot explain, in units of contrast.

    0 for equal pictures and for small motion, about 0.1 to 0.4 over a hard cut.
    """
    one, two = first.astype(np.float32), second.astype(np.float32)
    contrast = (float(one.std()) + float(two.std())) / 2 + _LEAST_CONTRAST
    return max(_residue(one, two), _residue(two, one)) / contrast


def going_on(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """The share 0..1 of the blocks of the ``second`` luma picture (uint8 [h, w]) that are found in the
    first one, moved alike; 1 where nothing can be told, as there is no texture.
    """
    one, two = first.astype(np.float32), second.astype(np.float32)
    across, down = _REACH
    around = cv2.copyMakeBorder(
        one, down, down, across, across, cv2.BORDER_CONSTANT, value=float(one.mean())
    )
    textured, ways = 0, []
    for y in range(0, two.shape[0] - _BLOCK + 1, _STRIDE):
        for x in range(0, two.shape[1] - _BLOCK + 1, _STRIDE):
            block = two[y : y + _BLOCK, x : x + _BLOCK]
            if block.std() < _LEAST_TEXTURE:
                continue
            textured += 1
            near = around[y : y + _BLOCK + 2 * down, x : x + _BLOCK + 2 * across]
            _, best, _, place = cv2.minMaxLoc(cv2.matchTemplate(near, block, cv2.TM_CCOEFF_NORMED))
            if best >= _CORRELATION:
                ways.append(place)
    if not textured:
        return 1.0
    places = np.array(ways, np.int64).reshape(-1, 2)
    alike = (np.abs(places[:, None] - places[None]) <= _SAME_WAY).all(axis=2).sum(axis=1)
    return float(alike.max(initial=0)) / textured


def _residue(picture: Float, other: Float) -> float:
    """Mean distance of each pixel from the range of lumas near its place in ``other``.

    With gain and offset evened out (for changes of light) or without (for objects that come in).
    """
    gain = (float(picture.std()) + _LEAST_CONTRAST) / (float(other.std()) + _LEAST_CONTRAST)
    matched = np.clip((other - other.mean()) * gain + picture.mean(), 0, 255).astype(np.float32)
    return min(_outside_range(picture, matched), _outside_range(picture, other))


def _outside_range(picture: Float, other: Float) -> float:
    above = np.maximum(picture - cv2.dilate(other, _NEAR), 0)
    below = np.maximum(cv2.erode(other, _NEAR) - picture, 0)
    return float((above + below).mean())
