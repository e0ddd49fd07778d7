from __future__ import annotations

import numpy as np
import pytest

from streamanon.detect.search import CLOSE_UP_PX
from streamanon.detect.tiling import LONG_SIDES, input_size, tiles, whole
from streamanon.detect.verifier import BATCH_SIZES
from streamanon.detect.yolo import COARSE_LONG_SIDE
from streamanon.generate.network import CHUNKS
from streamanon.media.yuv import from_rgb
from streamanon.runtime.backends.tensorrt_profiles import (
    BATCHES,
    VIEW_SIDES,
    Range,
    exactly,
    fitting,
    profiles_of,
)
from streamanon.runtime.models import Engines
from streamanon.runtime.onnx_header import Port, read_onnx_header
from streamanon.types import Picture


def picture(width: int, height: int) -> Picture:
    return from_rgb(np.zeros((height, width, 3), np.uint8))


def shapes(*given: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    return given


def profiles(engines: Engines, model: str) -> tuple[tuple[Range, ...], ...]:
    return profiles_of(read_onnx_header(engines.path(model)).inputs)


def test_batches_have_the_tightest_profile(engines: Engines) -> None:
    mesh = profiles(engines, "face-mesh")
    found = [fitting(mesh, shapes((count, 3, 128, 128))) for count in (1, 2, 4, 5, 8, 9)]
    assert found == [0, 1, 1, 2, 2, None]
    assert [one[0].best[0] for one in mesh] == list(BATCHES)
    assert set(BATCH_SIZES) <= set(BATCHES)
    assert max(CHUNKS) == max(BATCHES)


def test_inputs_with_batches_of_their_own_share_a_profile(engines: Engines) -> None:
    parts = profiles(engines, "face-parts")
    assert fitting(parts, shapes((2, 3, 64, 64), (1, 3, 64, 64))) == 1


def test_the_detectors_usual_views_have_profiles_of_their_own(engines: Engines) -> None:
    """For each setting of ``detect.size``, upright and turned."""
    detector = profiles(engines, "face-detector")
    sides = {COARSE_LONG_SIDE, *LONG_SIDES.values()}
    exact = set()
    for turn in (0, 1):
        for side in sides:
            width, height = whole(picture(1920, 1080), turn, side).size
            exact.add(fitting(detector, shapes((1, 3, height, width))))
    assert exact == set(range(2 * len(VIEW_SIDES)))
    assert len(detector) == 2 * len(VIEW_SIDES) + 1


@pytest.mark.parametrize("size", [(1920, 1080), (640, 480), (1080, 1920), (3840, 2160), (720, 720)])
def test_every_view_of_usual_pictures_has_a_profile(size: tuple[int, int], engines: Engines) -> None:
    detector = profiles(engines, "face-detector")
    views = [
        view
        for turn in range(4)
        for detail in ("auto", *LONG_SIDES)
        for long_side in (max(input_size(*size, detail)),)
        for view in (whole(picture(*size), turn, long_side), *tiles(picture(*size), turn, long_side))
    ]
    sides = {view.size for view in views} | {(CLOSE_UP_PX, CLOSE_UP_PX)}
    assert all(fitting(detector, shapes((1, 3, height, width))) is not None for width, height in sides)


def test_a_detector_of_ones_own_sees_one_picture_at_a_time() -> None:
    for channels in (3, None):
        own = profiles_of([Port("images", "float32", (None, channels, None, None))])
        assert fitting(own, shapes((1, 3, 640, 640))) == len(own) - 1
    assert fitting(own, shapes((2, 3, 640, 640))) is None


def test_a_model_without_a_free_length_has_one_profile() -> None:
    fixed = profiles_of([Port("images", "float32", (1, 3, 640, 640))])
    assert fixed == exactly(((1, 3, 640, 640),))


def test_an_exact_profile_takes_its_shapes_alone() -> None:
    one = exactly(((1, 3, 32, 64), (1, 8)))
    assert fitting(one, ((1, 3, 32, 64), (1, 8))) == 0
    for other in (((1, 3, 64, 32), (1, 8)), ((1, 3, 32, 64),), ((1, 3, 32), (1, 8))):
        assert fitting(one, other) is None
