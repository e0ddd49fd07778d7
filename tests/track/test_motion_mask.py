"""What moves is covered although no detector finds it: the paranoid setting."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamanon.config import Config, CoverConfig, LookaheadConfig
from streamanon.cover.covering import Covering
from streamanon.mesh.smoothing import NEIGHBOURS
from streamanon.pipeline import anonymise
from streamanon.runtime.run_context import Tally
from streamanon.testing.fakes import FakeDetector, FakeSource, leaked_pixels, moving
from streamanon.track.lookahead import resolve
from streamanon.track.motion_mask import MotionMask
from streamanon.types import Faces, Observation, Picture, RawFrame, Resolved, SafeFrame

COUNT = 30
BLIND = FakeDetector({})
CONFIG = Config(lookahead=LookaheadConfig(0.32, 0.32), cover=CoverConfig("mosaic", paranoid=True))


def run(frames: Iterable[RawFrame], config: Config = CONFIG) -> list[SafeFrame]:
    compositor = Covering(config.cover, None)
    return list(anonymise(frames, config, BLIND, compositor, threaded=False))


def covered(frames: Iterable[RawFrame], seconds: float, cut: int = -1) -> list[Resolved]:
    """With nothing detected, held back for ``seconds``."""
    mask = MotionMask()
    seen = (Observation(frame, Faces.empty(), "seen", frame.index == cut) for frame in frames)
    return list(mask.cover(resolve(mask.watch(seen), LookaheadConfig(seconds, 0))))


def leaks(source: FakeSource, done: list[SafeFrame]) -> list[int]:
    return [leaked_pixels(frame.picture, source.boxes(frame.index)) for frame in done]


@settings(max_examples=6, deadline=None)
@given(
    st.sampled_from([(433, 243), (640, 360), (161, 97)]),
    st.floats(0.05, 0.35),
    st.floats(0, 6.28),
    st.floats(0.04, 0.3),
    st.integers(0, 99),
    st.integers(6, 12),
)
def test_every_pixel_of_a_face_that_moves_is_covered(
    size: tuple[int, int], face: float, angle: float, speed: float, seed: int, ahead: int
) -> None:
    """On a still background; ``face`` in widths of the frame, ``speed`` in widths of the face a frame."""
    width = max(face * size[0], 8.0)
    velocity = speed * width * float(np.cos(angle)), speed * width * float(np.sin(angle))
    x, y = 0.4 * size[0], 0.35 * size[1]
    truth = {0: moving((x, y, x + width, y + 1.2 * width), velocity, COUNT)}
    source = FakeSource(COUNT, *size, truth, seed=seed)
    done = run(source, replace(CONFIG, lookahead=LookaheadConfig(ahead / 25, ahead / 25)))
    assert [frame.index for frame in done] == list(range(COUNT))
    assert sum(leaks(source, done)) == 0


@pytest.mark.parametrize("paranoid", [False, True])
def test_frames_are_held_back_once(paranoid: bool) -> None:
    """What moves is known from small pictures, so the delay and the memory are the look-ahead's."""
    read = itertools.count()
    source = (frame for frame in FakeSource(COUNT, 64, 48) if next(read) >= 0)
    config = replace(CONFIG, cover=CoverConfig("mosaic", paranoid=paranoid))
    chain = anonymise(source, config, BLIND, Covering(config.cover, None), threaded=False)
    next(chain)
    chain.close()
    assert next(read) <= round(0.32 * 25) + 1 + NEIGHBOURS


def test_without_it_the_face_leaks() -> None:
    source = FakeSource(COUNT, 320, 180, {0: moving((60, 50, 100, 100), (3, 0), COUNT)})
    assert min(leaks(source, run(source, replace(CONFIG, cover=CoverConfig("mosaic"))))) > 500
    assert sum(leaks(source, run(source))) == 0


def test_a_face_is_covered_before_it_starts_and_after_it_stops() -> None:
    still = [(60.0, 50.0, 100.0, 100.0)] * 6
    way = [(60.0 + 5 * n, 50.0, 100.0 + 5 * n, 100.0) for n in range(10)]
    source = FakeSource(COUNT, 320, 180, {0: still + way + [way[-1]] * (COUNT - 16)})
    assert sum(leaks(source, run(source))) == 0


def test_a_still_picture_stays_as_it_is() -> None:
    source = FakeSource(COUNT, 320, 180)
    for before, after in zip(source, run(source), strict=True):
        assert after.report.moving == ()
        assert (
            after.picture is before.picture or (after.picture.planes[0] == before.picture.planes[0]).all()
        )


def test_noise_does_not_count_as_motion() -> None:
    rng = np.random.default_rng(3)
    frames = []
    for frame in FakeSource(COUNT, 640, 360):
        luma = frame.picture.planes[0].astype(float) + rng.normal(0, 4, (360, 640))
        planes = (luma.clip(0, 255).astype(np.uint8), *frame.picture.planes[1:])
        frames.append(replace(frame, picture=Picture(planes, "yuv420p")))
    assert all(frame.report.moving == () for frame in run(frames))


def test_nothing_crosses_a_cut() -> None:
    face = moving((40, 40, 80, 90), (4, 0), 15)
    source = FakeSource(COUNT, 320, 180, {0: (*face, *[None] * 15)}, cuts=frozenset({15}))
    done = covered(source, 0.32, cut=15)
    assert [len(one.moving) for one in done] == [1] * 15 + [0] * 15


def test_a_camera_that_moves_covers_everything() -> None:
    wide = next(iter(FakeSource(1, 800, 180, seed=5))).picture
    frames = []
    for index, frame in enumerate(FakeSource(COUNT, 320, 180)):
        x = 6 * index
        planes = tuple(
            np.ascontiguousarray(plane[:, x // step : (x + 320) // step])
            for plane, step in zip(wide.planes, (1, 2, 2), strict=True)
        )
        frames.append(replace(frame, picture=Picture(planes, "yuv420p")))
    for done in run(frames):
        assert done.report.moving == ((0, 0, 320, 180),)
        assert len(np.unique(done.picture.planes[0])) <= 36


@pytest.mark.parametrize("pixel_format", ["yuv420p10le", "gray", "gbrp"])
def test_other_formats(pixel_format: str) -> None:
    rng = np.random.default_rng(1)
    top = 1023 if "10" in pixel_format else 255
    kind: Any = np.uint16 if "10" in pixel_format else np.uint8
    back = rng.integers(0, top, (91, 161)).astype(kind)

    def picture(index: int) -> Picture:
        luma = back.copy()
        luma[30:60, 20 + 3 * index : 50 + 3 * index] = np.indices((30, 30)).sum(axis=0) % 2 * top
        others = () if pixel_format == "gray" else (luma, luma)
        if "420" in pixel_format:
            others = (np.full((46, 81), 512, kind), np.full((46, 81), 512, kind))
        return Picture((luma, *others), pixel_format)

    base = list(FakeSource(12, 161, 91))
    frames = [replace(frame, picture=picture(frame.index)) for frame in base]
    for frame in run(frames):
        x = 20 + 3 * frame.index
        assert (frame.picture.planes[0][30:60, x : x + 30] < top).all()


def test_the_stage_keeps_order_and_counts() -> None:
    source = FakeSource(9, 64, 48)
    for ahead in (0, 3, 20):
        done = covered(source, ahead / 25)
        assert [one.frame.index for one in done] == list(range(9))


def test_the_tally_counts_frames() -> None:
    source = FakeSource(COUNT, 320, 180, {0: moving((60, 50, 100, 100), (3, 0), COUNT)})
    tally = Tally()
    for frame in run(source):
        tally.count(frame)
    assert tally.moving == COUNT
