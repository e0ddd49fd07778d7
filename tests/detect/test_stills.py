from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from streamanon.detect.detection_interval import Extent
from streamanon.detect.stills import StillSearch, canvas, padded
from streamanon.detect.tiling import PADDING, tiles, whole
from streamanon.media.yuv import from_rgb, to_rgb
from streamanon.types import Faces, Float, Picture, RawFrame


def shapes(sizes: list[tuple[int, int]]) -> set[tuple[int, int]]:
    """All inputs of the detector, upright and turned, for pictures of so many px."""
    found = set()
    for width, height in sizes:
        blank = Picture((np.zeros((height, width), np.uint8),), "gray")
        long_side = min(1024, 2 * max(width, height))
        sides = {224, long_side} | ({576} if long_side > max(576, width, height) else set())
        views = [whole(blank, turn, side) for turn in range(4) for side in sides]
        found |= {view.size for view in [*views, *tiles(blank, 0, long_side)]}
    return found


SIZES = [
    (int(width), int(height))
    for width, height in np.random.default_rng(0).integers(520, 4200, (60, 2))
    if max(width, height) <= 2.2 * min(width, height)
]


def test_photos_of_all_sizes_become_a_few_shapes() -> None:
    assert len(shapes(SIZES)) > 50
    assert len(shapes([canvas(*size) for size in SIZES])) <= 24


@pytest.mark.parametrize("kind", [(4, 3), (3, 2), (16, 9), (1, 1)])
def test_photos_of_one_kind_have_one_shape_however_large(kind: tuple[int, int]) -> None:
    found = set()
    for scale in range(520, 900, 7):
        for odd in (0, 1):
            width, height = canvas(kind[0] * scale + odd, kind[1] * scale)
            found.add(whole(Picture((np.zeros((height, width), np.uint8),), "gray"), 0, 1024).size)
    assert len(found) == 1


def test_small_pictures_have_a_few_shapes() -> None:
    assert len(shapes([canvas(n, n * 3 // 4) for n in range(20, 500, 3)])) <= 26


def test_a_canvas_holds_its_picture_and_little_more() -> None:
    for width, height in SIZES:
        wide, high = canvas(width, height)
        assert wide >= width
        assert high >= height
        assert max(wide, high) == max(width, height), "the scale stays"
        assert wide * high <= 1.36 * width * height


def test_boxes_are_the_pictures_own_and_the_rest_is_grey() -> None:
    rgb = np.random.default_rng(1).integers(0, 255, (30, 90, 3), np.uint8)

    class Sees:
        seen: Picture

        def detect(self, frame: RawFrame, extent: Extent = "next") -> Faces:
            self.seen = frame.picture
            return Faces.empty()

        def redetect(self, _frame: RawFrame, _boxes: Float) -> Faces:
            return Faces.empty()

        def look_again(self, _frame: RawFrame, _boxes: Float) -> Float | None:
            return None

    search = Sees()
    StillSearch(search).detect(RawFrame(0, 0, Fraction(1), from_rgb(rgb)))
    shown = to_rgb(search.seen)
    assert shown.shape == (73, 128, 3)
    assert (shown[:30, :90] == rgb).all()
    assert (shown[30:] == PADDING).all()
    assert (shown[:, 90:] == PADDING).all()
    assert padded(Picture((np.zeros((9, 9), np.uint8),), "gray")).width == 9
