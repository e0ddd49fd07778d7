from __future__ import annotations

import itertools
import weakref
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from blotches import BOX, picture
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from streamanon.config import DetectConfig, LookaheadConfig
from streamanon.fakes import Box, FakeDetector, FakeSource, faces_at, moving, observe
from streamanon.lookahead import resolve
from streamanon.tracker import track
from streamanon.types import Faces, Float, Observation, Picture, RawFrame, Resolved, Status

PICTURE = Picture((np.zeros((400, 400), np.uint8),), "gray")
CONFIG = LookaheadConfig(frames=6, coast_frames=4)


def observation(
    index: int, boxes: dict[int, Box] | None, status: Status = "seen", cut: bool = False, score: float = 0.9
) -> Observation:
    """Faces by track id; None for a frame that was skipped."""
    if boxes is None:
        status = "skipped"
    faces = faces_at(np.array(list((boxes or {}).values()), np.float32).reshape(-1, 4), score)
    faces = faces.with_ids(np.array(list(boxes or {}), np.int64))
    return Observation(RawFrame(index, index, Fraction(1, 25), PICTURE), faces, status, cut)


def seen_at(frames: set[int], count: int, velocity: float = 0.0) -> list[Observation]:
    """One face, track 0, seen in some frames of a clip and missed in the others."""
    boxes: dict[int, Box] = {n: (100 + velocity * n, 100, 140 + velocity * n, 150) for n in range(count)}
    return [observation(n, {0: boxes[n]} if n in frames else {}) for n in range(count)]


def covered(resolved: list[Resolved], track_id: int = 0) -> set[int]:
    return {r.frame.index for r in resolved for t in r.targets if t.track_id == track_id}


def box_at(resolved: list[Resolved], index: int) -> Float:
    (target,) = resolved[index].targets
    return target.box


def test_a_detected_face_is_passed_as_it_is() -> None:
    clip = seen_at(set(range(5)), 5)
    for before, after in zip(clip, resolve(clip, CONFIG), strict=True):
        (target,) = after.targets
        assert target.detected
        assert target.distance == 0
        np.testing.assert_array_equal(target.box, before.faces.boxes[0])
        np.testing.assert_array_equal(target.keypoints, before.faces.keypoints[0])


def test_a_gap_is_filled_in_linearly() -> None:
    resolved = list(resolve(seen_at({0, 4}, 5, velocity=3), CONFIG))
    assert [t.distance for r in resolved for t in r.targets] == [0, 1, 2, 1, 0]
    for n in (1, 2, 3):
        (target,) = resolved[n].targets
        assert not target.detected
        straight = np.array([100 + 3 * n, 100, 140 + 3 * n, 150], np.float32)
        wider = np.array([-1.2, -1.5, 1.2, 1.5], np.float32) * (target.distance - 1)
        np.testing.assert_allclose(target.box, straight + wider, atol=1e-3)
        expected = faces_at(straight[None]).keypoints[0]
        np.testing.assert_allclose(target.keypoints, expected, atol=1e-3)


def test_a_late_found_face_is_carried_back_along_its_motion() -> None:
    resolved = list(resolve(seen_at({6, 7, 8, 9}, 12, velocity=2), CONFIG))
    assert covered(resolved) == set(range(12))
    for n in range(6):
        x0, y0, x1, y1 = box_at(resolved, n)
        assert x0 <= 100 + 2 * n
        assert x1 >= 140 + 2 * n
        assert y0 <= 100
        assert y1 >= 150
    assert resolved[2].targets[0].distance == 4


def test_a_lost_face_coasts_and_grows() -> None:
    resolved = list(resolve(seen_at({0, 1, 2, 3}, 12, velocity=2), CONFIG))
    assert covered(resolved) == set(range(8))
    widths = [float(box_at(resolved, n)[2] - box_at(resolved, n)[0]) for n in range(3, 8)]
    np.testing.assert_allclose(widths, [40 * (1 + 0.06 * n) for n in range(5)], rtol=1e-4)
    for n in range(4, 8):
        x0, _, x1, _ = box_at(resolved, n)
        assert x0 <= 100 + 2 * n
        assert x1 >= 140 + 2 * n


def test_growth_and_speed_are_limited() -> None:
    config = LookaheadConfig(frames=0, coast_frames=100)
    resolved = list(resolve(seen_at({0, 1, 2, 3}, 100, velocity=2), config))
    x0, _, x1, _ = box_at(resolved, 99)
    assert x1 - x0 == pytest.approx(80)
    assert (x0 + x1) / 2 < 120 + 2 * 3 + 2 * 10


def test_a_gap_of_lookahead_and_coast_frames_is_covered_throughout() -> None:
    gap = CONFIG.frames + CONFIG.coast_frames
    assert covered(list(resolve(seen_at({0, gap + 1}, gap + 2), CONFIG))) == set(range(gap + 2))
    longer = list(resolve(seen_at({0, gap + 2}, gap + 3), CONFIG))
    assert covered(longer) == set(range(gap + 3)) - {CONFIG.coast_frames + 1}


def test_nothing_crosses_a_cut() -> None:
    clip = [
        observation(n, {0: (10, 10, 50, 50)} if n in (3, 4, 6, 7) else {}, cut=n == 5) for n in range(12)
    ]
    clip[5] = observation(5, {1: (90, 90, 120, 120)}, cut=True)
    clip[6] = observation(6, {})
    clip[7] = observation(7, {})
    resolved = list(resolve(clip, CONFIG))
    assert covered(resolved, 0) == set(range(5))
    assert covered(resolved, 1) == set(range(5, 10))
    assert [r.frame.index for r in resolved if r.cut] == [5]


def test_a_failed_frame_is_covered_whole_and_keeps_its_known_faces() -> None:
    clip = seen_at({0, 1, 3, 4}, 5)
    clip[2] = observation(2, {}, status="failed")
    resolved = list(resolve(clip, CONFIG))
    assert [r.cover_all for r in resolved] == [False, False, True, False, False]
    assert covered(resolved) == set(range(5))


def test_without_lookahead_frames_come_at_once() -> None:
    config = LookaheadConfig(frames=0, coast_frames=2)
    clip = seen_at({1}, 6)
    pulled: list[int] = []
    resolved = resolve(_noting(clip, pulled), config)
    assert next(resolved).frame.index == 0
    assert pulled == [0]
    assert covered(list(resolved)) == {1, 2, 3}


def test_frames_are_held_back_as_long_as_configured() -> None:
    pulled: list[int] = []
    resolved = resolve(_noting(seen_at(set(), 20), pulled), CONFIG)
    assert next(resolved).frame.index == 0
    assert pulled == list(range(CONFIG.frames + 1))


def _noting(clip: list[Observation], pulled: list[int]) -> Iterator[Observation]:
    for item in clip:
        pulled.append(item.frame.index)
        yield item


@pytest.mark.parametrize("count", [0, 1, 3, 6, 7, 20])
def test_every_frame_comes_once_and_in_order(count: int) -> None:
    resolved = list(resolve(seen_at({2}, count), CONFIG))
    assert [r.frame.index for r in resolved] == list(range(count))


def test_faces_without_a_track_are_targets_in_their_own_frame_only() -> None:
    clip = seen_at(set(), 5)
    boxes = np.array([[10, 10, 30, 30], [50, 50, 80, 80]], np.float32)
    clip[2] = Observation(clip[2].frame, faces_at(boxes), "seen")
    assert [len(r.targets) for r in resolve(clip, CONFIG)] == [0, 0, 2, 0, 0]


def test_targets_outside_the_picture_are_left_out_and_others_not_clipped() -> None:
    clip: list[Observation] = [observation(n, {0: (-30 - 12 * n, 10, 12 - 12 * n, 50)}) for n in range(2)]
    clip += [observation(n, {}) for n in range(2, 5)]
    resolved = list(resolve(clip, CONFIG))
    assert covered(resolved) == {0, 1}
    assert resolved[0].targets[0].box[0] == -30


@pytest.mark.parametrize("every", [1, 2, 3])
def test_tracked_fake_faces_stay_within_their_targets(every: int) -> None:
    """The true face, whenever it is there, lies within a target, give or take the detector's noise."""
    truth = {
        0: moving((30, 40, 80, 100), (3, 0), 80),
        1: moving((300, 60, 340, 110), (-2, 1), 80, start=10),
    }
    source = FakeSource(80, 400, 240, truth, cuts=frozenset({41}))
    rng = np.random.default_rng(0)
    misses = {(n, i) for n in range(80) for i in truth if rng.random() < 0.3 and n not in (40, 42)}
    detector = FakeDetector(truth, misses, noise_px=0.5)
    tracked = track(observe(source, detector, every, cuts=source.cuts), DetectConfig())
    for resolved in resolve(tracked, LookaheadConfig()):
        for x0, y0, x1, y1 in source.boxes(resolved.frame.index):
            boxes = [t.box for t in resolved.targets]
            assert any(
                b[0] <= x0 + 6 and b[1] <= y0 + 6 and b[2] >= x1 - 6 and b[3] >= y1 - 6 for b in boxes
            ), (resolved.frame.index, x0, boxes)


def curved(
    count: int, hidden: Collection[int], every: int = 1, until: int | None = None
) -> list[Observation]:
    """A face that turns back and forth, so that its velocity foretells little; it is not found in the
    frames that are ``hidden``, and is behind something from frame ``until``.
    """
    clip = []
    for n in range(count):
        shift = (50 * np.sin(n / 15), 20 * np.cos(n / 12))
        box = (BOX + np.array([*shift, *shift], np.float32))[None]
        faces = Faces.empty() if n in hidden else faces_at(box).with_ids(np.zeros(1, np.int64))
        shown = picture(shift, face=until is None or n < until)
        frame = RawFrame(n, n, Fraction(1, 25), shown)
        skipped = bool(n % every)
        clip.append(
            Observation(frame, Faces.empty() if skipped else faces, "skipped" if skipped else "seen")
        )
    return clip


@pytest.mark.parametrize("every", [1, 2, 3])
@pytest.mark.parametrize("hidden", [range(12), range(28, 60), range(20, 44)])
def test_a_face_that_is_not_found_is_followed_by_its_motion(every: int, hidden: range) -> None:
    truth = [o.faces.boxes[0] for o in curved(60, ())]
    for one in resolve(curved(60, hidden, every), LookaheadConfig(12, 12)):
        (target,) = one.targets
        low, high = truth[one.frame.index][:2], truth[one.frame.index][2:]
        assert (target.box[:2] <= low + 4).all()
        assert (target.box[2:] >= high - 4).all()


def test_a_face_is_not_followed_for_ever() -> None:
    resolved = list(resolve(curved(60, range(10, 60)), CONFIG))
    assert covered(resolved) == set(range(10 + 3 * CONFIG.coast_frames))


def test_a_face_that_something_hides_coasts_where_it_was_seen() -> None:
    resolved = list(resolve(curved(40, range(10, 40), until=10), CONFIG))
    assert covered(resolved) == set(range(10 + CONFIG.coast_frames))


def doubted(
    frames: Collection[int], count: int, score: float, size: float = 100, every: int = 1
) -> list[Observation]:
    """A square face with a score, found in some frames; of 100 px it makes a sixteenth of the picture."""
    box = {0: (20.0, 20.0, 20 + size, 20 + size)}
    return [
        observation(n, (box if n in frames else {}) if n % every == 0 else None, score=score)
        for n in range(count)
    ]


@pytest.mark.parametrize(
    ("frames", "score", "size", "expected"),
    [
        ({10}, 0.69, 100, range(9, 12)),  # in doubt
        ({10}, 0.71, 100, range(4, 15)),  # sure at once
        ({10, 11, 12}, 0.55, 100, range(9, 14)),  # squares that make 0.91
        ({10, 11, 12, 13}, 0.55, 100, range(7, 18)),  # 1.21, but only when frame 13 is held
        ({10, 13}, 0.5, 100, range(9, 15)),  # nor does doubt leave frames out next to a detection
        ({10, 14}, 0.5, 100, {9, 10, 11, 13, 14, 15}),
        ({10}, 0.4, 56, range(7, 14)),  # a fiftieth of the picture: 3 frames
        ({10}, 0.4, 20, range(4, 15)),  # a small one costs little
    ],
)
def test_a_track_in_doubt_is_carried_the_less_the_larger_it_is(
    frames: set[int], score: float, size: float, expected: Collection[int]
) -> None:
    assert covered(list(resolve(doubted(frames, 24, score, size), CONFIG))) == set(expected)


@pytest.mark.parametrize("held", [0, 6])
@pytest.mark.parametrize("every", [2, 3, 5])
def test_doubt_leaves_no_frame_out_until_the_next_look(every: int, held: int) -> None:
    config = LookaheadConfig(held, 4)
    found = covered(list(resolve(doubted({0, every}, 4 * every, 0.4, every=every), config)))
    assert found == set(range(every + min(every, config.coast_frames) + 1))


def test_a_sure_track_that_returns_is_still_sure() -> None:
    clip = doubted({2}, 30, 0.9)[:30] + doubted({30}, 40, 0.3)[30:]
    assert covered(list(resolve(clip, CONFIG))) == {*range(7), *range(24, 35)}


def test_doubt_ends_with_a_cut_and_begins_anew() -> None:
    clip = doubted({2}, 12, 0.9) + [
        observation(n, {0: (20, 20, 120, 120)} if n == 20 else {}, score=0.4) for n in range(12, 30)
    ]
    clip[12] = observation(12, {}, cut=True)
    assert covered(list(resolve(clip, CONFIG))) == {*range(7), 19, 20, 21}


@dataclass(frozen=True)
class Scenario:
    clip: list[Observation]
    config: LookaheadConfig

    def shot_of(self, index: int) -> int:
        return sum(o.cut for o in self.clip[: index + 1])

    def detections(self, track_id: int) -> list[int]:
        return [
            o.frame.index
            for o in self.clip
            if o.status == "seen" and track_id in o.faces.track_ids.tolist()
        ]

    def reach(self, track_id: int, index: int) -> float:
        """How far a track may be carried to a frame, by what is known when that is settled."""
        known = [o for o in self.clip[: index + self.config.frames + 1] if o.status == "seen"]
        known = [o for o in known if self.shot_of(o.frame.index) == self.shot_of(index)]
        mine = [o.faces[o.faces.track_ids == track_id] for o in known]
        scores = np.concatenate([faces.scores for faces in mine]) if mine else np.zeros(0)
        if (scores >= 0.7).any() or (scores.astype(float) ** 2).sum() >= 1:
            return np.inf
        looks = [o.frame.index for o in known]
        stride = max((b - a for a, b in itertools.pairwise(looks)), default=0)
        return max(stride, index - looks[-1], 0.06 * 400 * 400 / (40 * 50)) if looks else 0


@st.composite
def scenarios(draw: DrawFn) -> Scenario:
    """Up to three faces (the same ids in every shot, to tempt), random misses, stride, cuts, failures."""
    count = draw(st.integers(1, 60))
    every = draw(st.integers(1, 5))
    tracks = draw(st.integers(1, 3))
    miss_rate = draw(st.sampled_from([0.0, 0.3, 0.7, 0.95]))
    fail_rate = draw(st.sampled_from([0.0, 0.1, 0.5]))
    cut_rate = draw(st.sampled_from([0.0, 0.05, 0.3]))
    scores = draw(st.sampled_from([(0.7, 1.0), (0.15, 0.9), (0.15, 0.5)]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    speeds = rng.uniform(-1, 1, (tracks, 2)).astype(np.float32)
    clip = []
    for n in range(count):
        cut = bool(rng.random() < cut_rate)
        if n % every and not cut:
            clip.append(observation(n, None))
        elif rng.random() < fail_rate:
            clip.append(observation(n, {}, "failed", cut))
        else:
            present = [i for i in range(tracks) if rng.random() >= miss_rate]
            boxes = {i: _place(i, n, speeds) for i in present}
            clip.append(observation(n, boxes, cut=cut, score=float(rng.uniform(*scores))))
    config = LookaheadConfig(draw(st.integers(0, 12)), draw(st.integers(0, 12)))
    return Scenario(clip, config)


def _place(track_id: int, index: int, speeds: Float) -> Box:
    x, y = 100 + 80 * track_id + speeds[track_id, 0] * index, 200 + speeds[track_id, 1] * index
    return (float(x), float(y), float(x) + 40, float(y) + 50)


@settings(max_examples=250, deadline=None)
@given(scenarios())
def test_the_promise(scenario: Scenario) -> None:
    """A track has a target where, and only where, it was detected within reach in the same shot; one in
    doubt where that is near enough.
    """
    config = scenario.config
    resolved = list(resolve(scenario.clip, config))
    assert [r.frame for r in resolved] == [o.frame for o in scenario.clip]
    assert [r.cover_all for r in resolved] == [o.status == "failed" for o in scenario.clip]
    for track_id in range(3):
        expected = set()
        for n in range(len(resolved)):
            known = [
                d
                for d in scenario.detections(track_id)
                if d <= n + config.frames and scenario.shot_of(d) == scenario.shot_of(n)
            ]
            near = any(d >= n - config.coast_frames for d in known)
            if near and min(abs(d - n) for d in known) <= scenario.reach(track_id, n):
                expected.add(n)
        assert covered(resolved, track_id) == expected


@settings(max_examples=100, deadline=None)
@given(scenarios())
def test_targets_tell_where_they_come_from(scenario: Scenario) -> None:
    for resolved in resolve(scenario.clip, scenario.config):
        index = resolved.frame.index
        assert len({t.track_id for t in resolved.targets}) == len(resolved.targets)
        for target in resolved.targets:
            same_shot = [
                d
                for d in scenario.detections(target.track_id)
                if scenario.shot_of(d) == scenario.shot_of(index)
            ]
            assert target.detected == (index in same_shot)
            assert any(abs(d - index) == target.distance for d in same_shot)
            assert target.box.dtype == target.keypoints.dtype == np.float32


@settings(max_examples=100, deadline=None)
@given(scenarios(), st.integers(0, 2**32 - 1))
def test_carried_boxes_hold_the_face_under_steady_slow_motion(scenario: Scenario, seed: int) -> None:
    """At up to a pixel a frame and 40 px of size, growth makes up for the damped velocity."""
    speeds = np.random.default_rng(seed).uniform(-1, 1, (3, 2)).astype(np.float32)
    clip = []
    for before in scenario.clip:
        boxes = {int(i): _place(int(i), before.frame.index, speeds) for i in before.faces.track_ids}
        status: Status = before.status
        clip.append(observation(before.frame.index, boxes, status, before.cut))
    for resolved in resolve(clip, scenario.config):
        for target in resolved.targets:
            truth = np.array(_place(target.track_id, resolved.frame.index, speeds), np.float32)
            assert (target.box[:2] <= truth[:2] + 0.01).all()
            assert (target.box[2:] >= truth[2:] - 0.01).all()


def test_memory_does_not_grow_over_a_long_stream() -> None:
    """10,000 frames, a new track every few of them; counts what is alive, wherever it is stored."""
    faces_made: list[weakref.ref[Float]] = []
    frames_made: list[weakref.ref[RawFrame]] = []

    def stream() -> Iterator[Observation]:
        for n in range(10_000):
            boxes: dict[int, Box] = {0: (10, 10, 50, 50)}
            if n % 3:
                boxes[n // 5 + 1] = (100, 100, 140, 150)
            made = observation(n, boxes)
            faces_made.append(weakref.ref(made.faces.keypoints))
            frames_made.append(weakref.ref(made.frame))
            assert made.faces.keypoints.base is None  # else a view could outlive what is counted
            yield made

    for resolved in resolve(stream(), CONFIG):
        if resolved.frame.index % 1000 == 900:
            assert sum(made() is not None for made in frames_made) <= CONFIG.frames + 3
            assert sum(made() is not None for made in faces_made) <= 60


def test_a_detector_that_finds_nothing_gives_no_targets() -> None:
    source = FakeSource(10, 64, 64)
    tracked = track(observe(source, FakeDetector({})), DetectConfig())
    assert all(not r.targets and not r.cover_all for r in resolve(tracked, CONFIG))


def test_empty_faces_are_fine() -> None:
    frame = RawFrame(0, 0, Fraction(1, 25), PICTURE)
    (resolved,) = resolve([Observation(frame, Faces.empty(), "seen")], CONFIG)
    assert resolved.targets == ()
