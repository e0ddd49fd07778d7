"""When a picture counts as known: searched often enough, and nothing changed but where people are."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest

from streamanon.detect.detection_interval import STILL_SECONDS, DetectionInterval, Extent
from streamanon.detect.search import observe
from streamanon.detect.shot_cuts import thumbnail
from streamanon.detect.stillness import KNOWN_PASSES, Stillness
from streamanon.types import Faces, Picture, RawFrame

SIZE = (640, 360)
FACE = np.array([300, 100, 360, 170], np.float32)


def picture(seed: int = 0, *squares: tuple[int, int, int]) -> Picture:
    """Noise of 2 levels on grey, with bright squares: x, y, side."""
    luma = np.random.default_rng(seed).normal(90, 2, SIZE[::-1]).clip(0, 255).astype(np.uint8)
    for x, y, side in squares:
        luma[y : y + side, x : x + side] = 150
    chroma = np.full((SIZE[1] // 2, SIZE[0] // 2), 128, np.uint8)
    return Picture((luma, chroma, chroma), "yuv420p", "bt709", False)


def faces(score: float = 0.9) -> Faces:
    points = np.full((1, 5, 2), 330, np.float32)
    return Faces(FACE[None], np.array([score], np.float32), points, np.array([-1]))


def known_after(stillness: Stillness, pictures: list[Picture], found: Faces) -> list[bool]:
    """Whether each picture was known when it came; every one is searched."""
    known = []
    for one in pictures:
        small = thumbnail(one)
        known.append(stillness.is_known(small))
        stillness.searched(small, found, SIZE)
    return known


def test_a_still_picture_is_known_after_some_passes() -> None:
    seen = known_after(Stillness(), [picture(seed) for seed in range(10)], Faces.empty())
    assert seen == [False] * KNOWN_PASSES + [True] * (10 - KNOWN_PASSES)


@pytest.mark.parametrize("side", [12, 16, 40])
@pytest.mark.parametrize("place", [(0, 0), (17, 211), (600, 300)])
def test_whoever_appears_makes_it_unknown(place: tuple[int, int], side: int) -> None:
    stillness = Stillness()
    assert known_after(stillness, [picture(seed) for seed in range(8)], Faces.empty())[-1]
    assert not stillness.is_known(thumbnail(picture(9, (*place, side))))


def test_slow_change_adds_up() -> None:
    stillness = Stillness()
    fading = [picture(seed) for seed in range(40)]
    for step, one in enumerate(fading):
        one.planes[0][:60, :60] += np.uint8(step // 4)
    assert not all(known_after(stillness, fading, Faces.empty())[KNOWN_PASSES:])


def test_a_person_may_move_but_nobody_else() -> None:
    moving = [picture(seed, (310 + 4 * seed, 120, 30), (290 + 6 * seed, 200, 50)) for seed in range(10)]
    assert known_after(Stillness(), moving, faces())[-1]
    elsewhere = [picture(seed, (20 + 6 * seed, 200, 30)) for seed in range(10)]
    assert not any(known_after(Stillness(), elsewhere, faces()))


def test_another_shot_is_not_known_however_large_the_face() -> None:
    large = np.array([[160, 20, 480, 340]], np.float32)
    close_up = Faces(
        large, np.array([0.9], np.float32), np.full((1, 5, 2), 300, np.float32), np.array([-1])
    )
    stillness = Stillness()
    assert known_after(stillness, [picture(seed) for seed in range(8)], close_up)[-1]
    other = picture(9)
    other.planes[0][:, 200:420] += 40
    assert not stillness.is_known(thumbnail(other))


def test_a_doubtful_find_is_no_person() -> None:
    moving = [picture(seed, (310 + 4 * seed, 120, 30)) for seed in range(10)]
    assert not any(known_after(Stillness(), moving, faces(0.3)))


def test_a_picture_of_another_size_is_not_known() -> None:
    stillness = Stillness()
    known_after(stillness, [picture(seed) for seed in range(8)], Faces.empty())
    assert not stillness.is_known(np.full((18, 32), 90, np.uint8))


def test_passes_for_near_faces_do_not_make_it_known() -> None:
    """While somebody close moves, each frame is searched, but mostly in one coarse view."""
    searching = Searching()
    moving = [picture(seed, (300 - 90 * (seed % 2), 90, 250)) for seed in range(30)]
    frames = (RawFrame(n, n, Fraction(1, 25), one) for n, one in enumerate(moving))
    searching.found = Faces(
        np.array([[250, 60, 510, 340]], np.float32),
        np.array([0.9], np.float32),
        np.full((1, 5, 2), 380, np.float32),
        np.array([-1]),
    )
    list(observe(frames, searching, DetectionInterval(0.08, 0.6)))
    passes = zip(searching.seen, searching.extents, strict=True)
    others = [index for index, extent in passes if extent != "near"]
    steps = np.diff(others)
    assert len(others) < len(searching.seen) / 2
    assert (steps[: KNOWN_PASSES - 1] <= 2).all()
    assert (steps[KNOWN_PASSES:] > 2).all()


class Searching:
    """Notes which frames are searched, and how; ``found`` by each pass, by default nobody."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.extents: list[Extent] = []
        self.found = Faces.empty()

    def detect(self, frame: RawFrame, extent: Extent = "next") -> Faces:
        self.seen.append(frame.index)
        self.extents.append(extent)
        return self.found

    def redetect(self, frame: RawFrame, boxes: np.ndarray) -> Faces:
        return Faces.empty()

    def look_again(self, frame: RawFrame, boxes: np.ndarray) -> None:
        return None


def searched(pictures: list[Picture], lookahead: float) -> list[int]:
    def frames() -> Iterator[RawFrame]:
        for index, one in enumerate(pictures):
            yield RawFrame(index, index, Fraction(1, 25), one)

    searching = Searching()
    list(observe(frames(), searching, DetectionInterval(0.08, lookahead)))
    return searching.seen


def test_a_still_picture_is_searched_less_often_until_something_changes() -> None:
    still, changed = [picture(n) for n in range(40)], [picture(n, (400, 200, 30)) for n in range(40, 60)]
    seen = searched(still + changed, 0.6)
    assert seen[:KNOWN_PASSES] == [0, 2, 4, 6, 8, 10]
    apart = np.diff([index for index in seen if 10 <= index <= 40])
    assert set(apart[:-1].tolist()) == {round(STILL_SECONDS * 25)}
    assert [index for index in seen if 40 <= index < 50] == [40, 42, 44, 46, 48]


@pytest.mark.slow
def test_no_less_often_than_the_look_ahead_can_make_good() -> None:
    seen = searched([picture(n) for n in range(30)], 0.2)
    assert np.diff(seen).max() * 0.04 <= 0.1 + 0.04
    assert searched([picture(n) for n in range(20)], 0.0) == list(range(0, 20, 2))
