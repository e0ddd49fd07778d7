"""Detection on stills of any size: padded to a few shapes, as backends compile the detector for each."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from streamanon.detect.detection_interval import Extent
from streamanon.detect.search import Searcher
from streamanon.detect.tiling import PADDING
from streamanon.types import Faces, Float, Picture, RawFrame

#: Long side by short side of what is searched: square and a little less than 4:3 and 16:9, so that rounding
#: to the detector's grid gives one shape for each.
ASPECTS = (1.76, 1.31, 1.0)
#: Below this long side, px, the detector's input grows with the picture; then it does so in steps.
SMALL_PX, STEP_PX = 512, 128


class StillSearch:
    """Searches a still with grey below and to the right of it, where boxes stay what they are. The scale of
    its faces and what the networks see around them do not change: they pad with the same grey.
    """

    def __init__(self, search: Searcher) -> None:
        self._search = search

    def detect(self, frame: RawFrame, extent: Extent = "next") -> Faces:
        return self._search.detect(_on_canvas(frame), extent)

    def redetect(self, frame: RawFrame, boxes: Float) -> Faces:
        return self._search.redetect(_on_canvas(frame), boxes)

    def look_again(self, frame: RawFrame, boxes: Float) -> Float | None:
        return self._search.look_again(_on_canvas(frame), boxes)


def _on_canvas(raw: RawFrame) -> RawFrame:
    return replace(raw, picture=padded(raw.picture))


def canvas(width: int, height: int) -> tuple[int, int]:
    """The (width, height) px of one of the few shapes that hold a picture."""
    long, short = max(width, height), min(width, height)
    if long < SMALL_PX:
        long = math.ceil(long / STEP_PX) * STEP_PX
    aspect = next(one for one in ASPECTS if long / short >= one)
    short = max(short, math.ceil(long / aspect))
    return (long, short) if width >= height else (short, long)


def padded(picture: Picture) -> Picture:
    """The picture on its canvas. It must be RGB of 8 bits, as stills are; else it is returned as it is."""
    if picture.pixel_format != "gbrp":
        return picture
    width, height = canvas(picture.width, picture.height)
    edges = ((0, height - picture.height), (0, width - picture.width))
    planes = tuple(np.pad(plane, edges, constant_values=PADDING) for plane in picture.planes)
    return Picture(planes, picture.pixel_format, picture.matrix, picture.full_range)
