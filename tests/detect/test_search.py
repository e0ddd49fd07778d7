from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import pytest
from clips import write_clip
from hypothesis import given
from hypothesis import strategies as st

from streamanon.config import ComputeConfig, DetectConfig
from streamanon.detect.detection_interval import DetectionInterval, Extent
from streamanon.detect.search import (
    CLOSE_UP_PX,
    FaceSearch,
    close_up,
    elsewhere,
    from_close_up,
    observe,
    plausible,
)
from streamanon.detect.tiling import View, turned_back, whole, without_halves
from streamanon.detect.verifier import Verifier
from streamanon.detect.yolo import FaceDetector
from streamanon.errors import DetectionError
from streamanon.geometry import overlap, transform
from streamanon.media.decode import read_frames
from streamanon.media.probe import probe
from streamanon.media.yuv import from_rgb, to_rgb
from streamanon.runtime.backends import open_backend
from streamanon.runtime.models import Engines
from streamanon.testing.fakes import FakeDetector, FakeSource, faces_at, moving
from streamanon.track.tracker import track
from streamanon.types import Faces, Float, Observation, Picture, RawFrame

DATA = Path(__file__).parents[1] / "data"
QUICK = DetectConfig("auto", 0.08, 0.4)
#: Where a close-up has the face.
WHERE = np.array([1, 1, 2, 2], np.float32) * np.float32(CLOSE_UP_PX / 3)
SMALL = Picture((np.zeros((32, 32), np.uint8),), "gray")
TRUTH = {0: moving((20, 20, 60, 70), (0, 0), 24)}


def statuses(every: int, source: FakeSource, fails: frozenset[int] = frozenset()) -> str:
    """One letter a frame: s(een), k (skipped), f(ailed); capital at a cut."""
    seen = observe(source, FakeDetector(TRUTH, fails=fails), DetectionInterval(every / 25))
    letters = {"seen": "s", "skipped": "k", "failed": "f"}
    return "".join(letters[o.status].upper() if o.cut else letters[o.status] for o in seen)


def test_detection_runs_on_each_nth_frame_from_the_first_on() -> None:
    source = FakeSource(10, 160, 96, TRUTH)
    assert statuses(1, source) == "s" * 10
    assert statuses(2, source) == "sksksksksk"
    assert statuses(4, source) == "skkkskkksk"


def test_the_first_frame_of_a_shot_is_looked_at() -> None:
    source = FakeSource(12, 160, 96, TRUTH, cuts=frozenset({6}), seed=1)
    assert statuses(4, source) == "skkkskSkkksk"


def test_detection_runs_on_what_may_be_a_cut_and_is_none() -> None:
    still = next(iter(FakeSource(1, 160, 96, seed=3))).picture.planes[0]
    passing = still.copy()
    passing[80:, 56:72] = 235
    frames = [frame_of(Picture((luma,), "gray"), n) for n, luma in enumerate([still] * 6 + [passing] * 2)]
    seen = list(observe(frames, FakeDetector({}), DetectionInterval(0.4)))
    assert [o.status == "seen" for o in seen] == [n in (0, 6) for n in range(8)]
    assert not any(o.cut for o in seen)


def test_a_camera_that_pans_is_looked_through_at_every_frame() -> None:
    wide = next(iter(FakeSource(1, 640, 96, seed=3))).picture.planes[0]
    frames = [
        frame_of(Picture((wide[:, shift : shift + 160].copy(),), "gray"), n)
        for n, shift in enumerate([0, 0, 0, 8, 16, 24, 24, 24, 24])
    ]
    seen = observe(frames, FakeDetector({}), DetectionInterval(0.16))
    assert [o.status == "seen" for o in seen] == [n in (0, 3, 4, 5, 8) for n in range(9)]


def test_a_damaged_frame_counts_as_failed_and_the_next_one_is_new() -> None:
    calls: list[tuple[int, Extent]] = []

    class Noting(FakeDetector):
        def detect(self, frame: RawFrame, extent: Extent = "next") -> Faces:
            calls.append((frame.index, extent))
            return super().detect(frame, extent)

    frames = [replace(one, damaged=one.index in (4, 5)) for one in FakeSource(9, 64, 48)]
    seen = list(observe(frames, Noting({}), DetectionInterval(0.12)))
    assert [one.frame.index for one in seen if one.status == "failed"] == [4, 5]
    assert calls == [(0, "all"), (3, "next"), (6, "all")]


def test_after_a_failure_the_next_frame_is_looked_at() -> None:
    source = FakeSource(12, 160, 96, TRUTH)
    assert statuses(4, source, frozenset({4, 5})) == "skkkffskkksk"
    assert statuses(4, source, frozenset({0})) == "fskkkskkkskk"


@pytest.fixture(scope="module")
def detector(engines: Engines) -> FaceDetector:
    return FaceDetector(open_backend(ComputeConfig(backend="onnxruntime", threads=1)), engines, QUICK)


@pytest.fixture(scope="module")
def verifier(engines: Engines) -> Verifier:
    return Verifier(open_backend(ComputeConfig(backend="onnxruntime", threads=1)), engines)


@pytest.fixture(scope="module")
def demo() -> tuple[RawFrame, Float]:
    """A frame of three people, and the boxes of their faces."""
    path = DATA / "demo.mp4"
    for frame in read_frames(path, probe(path)):
        if frame.index == 150:
            break
    faces = json.loads((DATA / "demo.json").read_text())["frames"][150]
    return frame, np.array([face["box"] for face in faces if face["visible"] > 0.5], np.float32)


def searched(detector: FaceDetector, frame: RawFrame, turn: int) -> Faces:
    """What all views of the whole picture show."""
    groups = detector.wholes(frame.picture, turn)
    return detector.search(frame, [view for group in groups for view in group])


def frame_of(picture: Picture, index: int = 0) -> RawFrame:
    return RawFrame(index, index, Fraction(1, 25), picture)


def turned(frame: RawFrame, quarters: int, index: int = 0) -> RawFrame:
    """The frame turned counter-clockwise."""
    return frame_of(from_rgb(np.ascontiguousarray(np.rot90(to_rgb(frame.picture), quarters))), index)


def all_found(faces: Faces, boxes: Float, least: float = 0.4) -> bool:
    return len(faces) > 0 and bool((overlap(boxes, faces.boxes).max(axis=1) > least).all())


@given(st.integers(0, 3), st.integers(2, 50), st.integers(2, 50), st.integers(0, 2**32 - 1))
def test_points_of_a_turned_picture_are_turned_back(turn: int, width: int, height: int, seed: int) -> None:
    picture = np.random.default_rng(seed).random((height, width))
    there = np.rot90(picture, turn)
    y, x = np.mgrid[: there.shape[0], : there.shape[1]]
    points = np.stack([x, y], axis=-1).reshape(-1, 2).astype(np.float32)
    back = turned_back(points, width, height, turn).astype(int)
    np.testing.assert_array_equal(picture[back[:, 1], back[:, 0]], there.ravel())


TURNS = [1, *(pytest.param(one, marks=pytest.mark.slow) for one in (0, 2, 3))]


@pytest.mark.parametrize("turn", TURNS)
def test_a_turned_picture_gives_the_faces_of_the_upright_one(
    detector: FaceDetector, demo: tuple[RawFrame, Float], turn: int
) -> None:
    frame, boxes = demo
    upright = searched(detector, frame, 0)
    assert all_found(upright, boxes)
    sideways = turned(frame, -turn)
    found = searched(detector, sideways, turn)
    back = turned_back(found.boxes.reshape(-1, 2, 2), frame.picture.width, frame.picture.height, -turn % 4)
    there = np.concatenate([back.min(axis=1), back.max(axis=1)], axis=1)
    assert all_found(Faces(there, found.scores, found.keypoints, found.track_ids), boxes)


@pytest.mark.parametrize("turn", TURNS)
def test_a_camera_that_is_not_upright_is_found_out(
    detector: FaceDetector, verifier: Verifier, demo: tuple[RawFrame, Float], turn: int
) -> None:
    frame, boxes = demo
    count = len(boxes)
    search = FaceSearch(detector, verifier)
    found = [
        len(search.detect(turned(frame, turn, n), extent="all" if n == 0 else "next")) for n in range(4)
    ]
    assert found[0] > 0
    assert min(found[2:]) >= count


@pytest.mark.slow
def test_a_camera_that_is_turned_is_found_out(
    detector: FaceDetector,
    verifier: Verifier,
    demo: tuple[RawFrame, Float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streamanon.detect.view_schedule.ALL_ORIENTATIONS_SECONDS", 0.2)
    frame, boxes = demo
    search = FaceSearch(detector, verifier)
    search.detect(frame, extent="all")
    found = [len(search.detect(turned(frame, 1, n))) for n in range(9)]
    assert min(found[-2:]) >= len(boxes)


@pytest.mark.slow
def test_a_camera_that_is_upright_stays_so(
    detector: FaceDetector, verifier: Verifier, demo: tuple[RawFrame, Float]
) -> None:
    """Near faces are found upside down as well; those that are upright count."""
    frame, boxes = demo
    near = boxes[np.argmax(boxes[:, 2] - boxes[:, 0])]
    image, _ = close_up(frame.picture, near, 0)
    close = frame_of(from_rgb(np.rint(255 * image[0].transpose(1, 2, 0)).astype(np.uint8)))
    search = FaceSearch(detector, verifier)
    for _ in range(5):
        faces = search.detect(close, extent="all")
        keypoints = faces.keypoints[overlap(WHERE[None], faces.boxes)[0].argmax()]
        assert keypoints[:2, 1].max() < keypoints[3:, 1].min()


class Seen:
    """A detector that finds one face a way up, with these scores; None where there is none."""

    def __init__(self, *scores: float | None) -> None:
        self.scores = scores
        self.places = [WHERE] * 4
        self.searched: list[int] = []

    def wholes(self, picture: Picture, turn: int) -> list[list[View]]:
        return [[whole(picture, turn, 32)]]

    def compared(self, picture: Picture, turn: int) -> list[View]:
        return [whole(picture, turn, 32)]

    def tiles(self, _picture: Picture, _turn: int) -> list[View]:
        return []

    def search(self, _frame: RawFrame, views: Sequence[View], _coarser: Faces | None = None) -> Faces:
        (view,) = views
        self.searched.append(view.turn)
        score = self.scores[view.turn]
        return Faces.empty() if score is None else faces_at(self.places[view.turn][None], score)


def test_faces_upright_in_the_declared_orientation_count_however_it_is_turned() -> None:
    """Patterns that look like faces another way up must not hide those of a camera that is upright."""
    detector = Seen(None, None, 0.9, None)
    search = FaceSearch(cast(FaceDetector, detector), None)
    for n in range(4):
        search.detect(frame_of(SMALL, n), extent="all")
    detector.scores = (0.45, None, None, None)
    assert len(search.detect(frame_of(SMALL, 4))) == 1


def test_a_camera_that_was_turned_by_mistake_is_turned_back() -> None:
    """Upside down a near face is one as well, and which way it is painted depends on this."""
    detector = Seen(None, None, 0.9, None)
    search = FaceSearch(cast(FaceDetector, detector), None)
    for n in range(4):
        search.detect(frame_of(SMALL, n), extent="all")
    detector.scores = (0.8, None, 0.7, None)
    scores = [search.detect(frame_of(SMALL, n)).scores.tolist() for n in range(4, 8)]
    assert scores == [[np.float32(0.7)]] * 2 + [[np.float32(0.8)]] * 2
    detector.scores = (0.8, None, 0.85, None)
    assert search.detect(frame_of(SMALL, 8)).scores.tolist() == [np.float32(0.8)]


def test_an_orientation_in_which_a_face_was_found_is_searched_in_every_pass() -> None:
    """Somebody who lies is not lost until all four are searched again."""
    detector = Seen(0.9, 0.9, None, None)
    detector.places[1] = WHERE + 100
    search = FaceSearch(cast(FaceDetector, detector), None)
    search.detect(frame_of(SMALL, 0), "all")
    detector.searched.clear()
    found = [len(search.detect(frame_of(SMALL, n))) for n in range(1, 4)]
    assert found == [2, 2, 2]
    assert detector.searched == [0, 1] * 3


def test_faces_that_are_hardly_any_do_not_turn_a_camera() -> None:
    search = FaceSearch(cast(FaceDetector, Seen(None, None, 0.45, None)), None)
    assert [len(search.detect(frame_of(SMALL, n), extent="all")) for n in range(8)] == [0] * 8


def test_faces_upright_in_another_orientation_count_where_no_other_is() -> None:
    known = faces_at(np.array([[10, 10, 50, 50]], np.float32))
    others = faces_at(np.array([[20, 30, 60, 70], [15, 40, 30, 70], [100, 10, 140, 60]], np.float32))
    found = elsewhere(others, known)
    np.testing.assert_array_equal(found.boxes, others.boxes[2:])
    assert (found.keypoints == [120, 35]).all()
    assert len(elsewhere(others, Faces.empty())) == 3
    assert len(elsewhere(Faces.empty(), known)) == 0


@pytest.mark.parametrize("apart", [30.0, 39.0])
def test_somebody_who_lies_beside_an_upright_face_is_found(apart: float) -> None:
    """A baby held to a cheek: their boxes overlap."""
    detector = Seen(0.9, 0.9, None, None)
    detector.places[1] = WHERE + np.array([apart, 5, apart, 5], np.float32)
    search = FaceSearch(cast(FaceDetector, detector), None)
    assert [len(search.detect(frame_of(SMALL, n), "all")) for n in range(3)] == [2, 2, 2]


def test_the_declared_orientation_is_taken(
    detector: FaceDetector, verifier: Verifier, demo: tuple[RawFrame, Float], tmp_path: Path
) -> None:
    """As players do: a clip tagged with a rotation is seen upright once it is turned by it."""
    info = probe(write_clip(tmp_path / "clip.mp4", rotation=90))
    assert info.rotation % 360 == 90
    frame, boxes = demo
    search = FaceSearch(detector, verifier, info.rotation)
    search.detect(frame_of(from_rgb(np.zeros((64, 64, 3), np.uint8))))
    assert len(search.detect(turned(frame, -1))) >= len(boxes)


@pytest.mark.parametrize(
    "size",
    [
        (1081, 1923),
        *(pytest.param(one, marks=pytest.mark.slow) for one in ((1920, 1080), (3840, 2160), (721, 1281))),
    ],
)
def test_tiles_show_all_of_a_large_picture_closer(detector: FaceDetector, size: tuple[int, int]) -> None:
    width, height = size
    planes = (np.zeros((height, width), np.uint8),) + 2 * (
        np.zeros((-(-height // 2), -(-width // 2)), np.uint8),
    )
    picture = Picture(planes, "yuv420p")
    tiles = detector.tiles(picture, 0)
    seen = np.zeros((height, width), bool)
    for view in tiles:
        x0, y0, x1, y1 = view.region
        assert (x0 % 2, y0 % 2) == (0, 0)
        assert x1 == width or x1 % 2 == 0
        assert y1 == height or y1 % 2 == 0
        seen[y0:y1, x0:x1] = True
        assert view.scale > 1.5 * whole(picture, 0, max(tiles[0].size)).scale
        assert len(detector.detect_view(picture, view)) == 0
    assert seen.all()
    assert detector.tiles(Picture((np.zeros((240, 320), np.uint8),), "gray"), 0) == []


@pytest.mark.slow
def test_far_faces_of_a_large_picture_are_found_in_its_tiles(
    detector: FaceDetector, verifier: Verifier, demo: tuple[RawFrame, Float]
) -> None:
    frame, boxes = demo
    rgb = to_rgb(frame.picture)
    near = boxes[np.argmax(boxes[:, 2] - boxes[:, 0])]
    scale = 16 / float(near[2] - near[0])
    small = np.asarray(cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    wide = np.full((1080, 1920, 3), 90, np.uint8)
    spots = [(30, 40), (1500, 300), (900, 800)]
    for x, y in spots:
        wide[y : y + small.shape[0], x : x + small.shape[1]] = small
    there = np.stack([near * scale + [x, y, x, y] for x, y in spots]).astype(np.float32)
    search = FaceSearch(detector, verifier)
    assert all_found(search.detect(frame_of(from_rgb(wide)), extent="all"), there, 0.3)
    found = [search.detect(frame_of(from_rgb(wide), n)) for n in range(1, 7)]
    for box in there:
        assert any(all_found(faces, box[None], 0.3) for faces in found)


def test_faces_cut_in_two_by_a_tile_are_left_to_the_next() -> None:
    picture = Picture((np.zeros((100, 200), np.uint8),), "gray")
    boxes = np.array([[0, 10, 20, 30], [90, 10, 119, 30], [60, 10, 80, 30], [60, 80, 80, 99]], np.float32)
    kept = without_halves(faces_at(boxes), (0, 0, 120, 100), picture)
    np.testing.assert_array_equal(kept.boxes, boxes[[0, 2, 3]])


@pytest.mark.slow
@given(st.floats(-180, 180), st.floats(20, 280), st.floats(20, 200), st.floats(12, 90))
def test_a_close_up_is_where_its_map_says(angle: float, x: float, y: float, size: float) -> None:
    frame = FakeSource(1, 320, 240, {0: moving((x, y, x + 1, y + 1), (0, 0), 1)})
    (picture,) = [one.picture for one in frame]
    image, matrix = close_up(picture, np.array([x, y, x + size, y + size], np.float32), angle)
    assert image.shape == (1, 3, CLOSE_UP_PX, CLOSE_UP_PX)
    box = faces_at(np.array([[x, y, x + size, y + size]], np.float32))
    there = transform(matrix, box.boxes.reshape(2, 2).mean(axis=0))
    np.testing.assert_allclose(there, (CLOSE_UP_PX - 1) / 2, atol=0.01)
    moved = Faces(
        np.concatenate([there - CLOSE_UP_PX / 6, there + CLOSE_UP_PX / 6])[None].astype(np.float32),
        box.scores,
        transform(matrix, box.keypoints),
        box.track_ids,
    )
    back = from_close_up(moved, _inverse(matrix))
    np.testing.assert_allclose(back.boxes, box.boxes, atol=0.02 * size)  # the scale is a whole number of px
    np.testing.assert_allclose(back.keypoints, box.keypoints, atol=0.05)


def _inverse(matrix: Float) -> Float:
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack([linear, -linear @ matrix[:, 2]]).astype(np.float32)


@pytest.mark.parametrize("tilt", [0, 35, -35])
@pytest.mark.parametrize("turn", [0, 1])
def test_redetection_finds_tilted_and_turned_faces(
    detector: FaceDetector, verifier: Verifier, demo: tuple[RawFrame, Float], tilt: int, turn: int
) -> None:
    frame, boxes = demo
    near = boxes[np.argmax(boxes[:, 2] - boxes[:, 0])]
    image, _ = close_up(frame.picture, near, tilt)
    rgb = np.rint(255 * image[0].transpose(1, 2, 0)).astype(np.uint8)
    shown = turned(frame_of(from_rgb(rgb)), turn)
    found = FaceSearch(detector, verifier, -90 * turn % 360).redetect(shown, WHERE[None])
    assert len(found) == 1
    assert overlap(found.boxes, WHERE[None]).max() > 0.4


@pytest.mark.parametrize("place", [(-400, 100), (900, 100), (100, -400), (100, 700)])
def test_a_face_that_left_the_picture_does_not_stop_the_search_for_others(
    detector: FaceDetector, verifier: Verifier, demo: tuple[RawFrame, Float], place: tuple[int, int]
) -> None:
    frame, boxes = demo
    size = np.array([80, 80], np.float32)
    left = np.concatenate([place, place + size])[None].astype(np.float32)
    found = FaceSearch(detector, verifier).redetect(frame, np.concatenate([left, boxes]))
    assert all_found(found, boxes, 0.4)
    without = FaceSearch(detector, None).redetect(frame, np.concatenate([left, boxes[:1]]))
    assert all_found(without, boxes[:1], 0.3)


def test_what_redetection_finds_elsewhere_does_not_count() -> None:
    box = np.array([100, 100, 140, 140], np.float32)
    others = np.array([[102, 98, 141, 143], [130, 100, 170, 140], [90, 90, 160, 160], [115, 115, 125, 125]])
    np.testing.assert_array_equal(plausible(faces_at(others.astype(np.float32)), box).boxes, others[:1])


def test_a_second_look_tells_faces_from_walls_in_any_orientation(
    detector: FaceDetector, verifier: Verifier, demo: tuple[RawFrame, Float]
) -> None:
    frame, boxes = demo
    search = FaceSearch(detector, verifier)
    seen = search.look_again(frame, boxes)
    beside = search.look_again(frame, np.array([[2, 2, 30, 34]], np.float32))
    assert seen is not None
    assert beside is not None
    assert (seen > 0.5).all()
    assert (beside < 0.3).all()
    fallen = FaceSearch(detector, verifier, 180).look_again(frame, boxes)
    assert fallen is not None
    assert (fallen < seen - 0.2).all()
    assert FaceSearch(detector, None).look_again(frame, boxes) is None
    assert search.look_again(frame, np.full((1, 4), np.nan, np.float32)) is None


def test_redetection_that_fails_is_an_error(detector: FaceDetector, verifier: Verifier) -> None:
    picture = Picture((np.zeros((64, 64), np.uint8),), "gray")
    with pytest.raises(DetectionError, match="frame 4"):
        FaceSearch(detector, verifier).redetect(frame_of(picture, 4), np.full((1, 4), np.nan, np.float32))


def test_a_lost_face_is_redetected() -> None:
    """It keeps its track; whoever was not there before is not looked for."""
    truth = {0: moving((20, 20, 60, 70), (1, 0), 20), 1: moving((200, 20, 240, 70), (0, 0), 20, start=12)}
    source = FakeSource(20, 320, 120, truth)
    fake = FakeDetector(truth, {(n, face) for n in range(8, 11) for face in truth})
    asked: list[tuple[int, int]] = []

    def redetect(frame: RawFrame, boxes: Float) -> Faces:
        asked.append((frame.index, len(boxes)))
        return faces_at(np.array([truth[0][frame.index]], np.float32), 0.2)

    seen: list[Observation] = list(
        track(observe(source, fake, DetectionInterval(0.04)), DetectConfig(), redetect)
    )
    assert asked == [(8, 1), (9, 1), (10, 1)]
    assert all(0 in o.faces.track_ids.tolist() for o in seen)
    assert len(seen[9].faces) == 1


def test_redetection_that_fails_leaves_the_face_to_coast() -> None:
    truth = {0: moving((20, 20, 60, 70), (1, 0), 12)}

    def redetect(_frame: RawFrame, _boxes: Float) -> Faces:
        raise DetectionError("told to fail")

    fake = FakeDetector(truth, {(n, 0) for n in range(8, 12)})
    seen = list(
        track(
            observe(FakeSource(12, 160, 96, truth), fake, DetectionInterval(0.04)), DetectConfig(), redetect
        )
    )
    assert [len(o.faces) for o in seen] == [1] * 8 + [0] * 4
