from __future__ import annotations

import itertools
import weakref
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import pytest
from blotches import BOX, picture
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from streamanon.config import DetectConfig, LookaheadConfig
from streamanon.detect.detection_interval import DetectionInterval
from streamanon.detect.search import observe
from streamanon.testing.fakes import Box, FakeDetector, FakeSource, faces_at, moving
from streamanon.track import lookahead
from streamanon.track.evidence import COVERED_PROBABILITY, LIKELY_PROBABILITY, Evidence
from streamanon.track.hold import MOST_HELD_FRAMES
from streamanon.track.lookahead import resolve
from streamanon.track.optical_flow import Motion
from streamanon.track.tracker import track
from streamanon.types import Faces, Float, Observation, Picture, RawFrame, Resolved, Status, Target

PICTURE = Picture((np.zeros((400, 400), np.uint8),), "gray")
RATE, HELD, COAST = 25, 6, 4
CONFIG = LookaheadConfig(HELD / RATE, COAST / RATE)
BOX_IN_DOUBT = (20.0, 20.0, 120.0, 120.0)


def observation(
    index: int,
    boxes: dict[int, Box] | None,
    status: Status = "seen",
    cut: bool = False,
    score: float = 0.99,
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
    config = LookaheadConfig(0, 100 / RATE)
    resolved = list(resolve(seen_at({0, 1, 2, 3}, 100, velocity=2), config))
    x0, _, x1, _ = box_at(resolved, 30)
    assert x1 - x0 == pytest.approx(80)
    assert (x0 + x1) / 2 < 120 + 2 * 3 + 2 * 10


def test_a_gap_of_lookahead_and_coast_frames_is_covered_throughout() -> None:
    gap = HELD + COAST
    assert covered(list(resolve(seen_at({0, 1, gap + 2}, gap + 3), CONFIG))) == set(range(gap + 3))
    longer = list(resolve(seen_at({0, 1, gap + 3}, gap + 4), CONFIG))
    assert covered(longer) == set(range(gap + 4)) - {COAST + 2}


def test_later_detections_in_held_frames_go_along() -> None:
    clip = seen_at(set(range(0, 20, 2)), 20, velocity=3)
    pictures = [replace(PICTURE) for _ in clip]
    clip = [
        replace(one, frame=replace(one.frame, picture=picture))
        for one, picture in zip(clip, pictures, strict=True)
    ]
    for one in resolve(clip, CONFIG):
        index = one.frame.index
        (target,) = one.targets
        held = [n for n in range(index + 1, min(index + HELD, 19) + 1) if n % 2 == 0]
        seen = [pictures.index(view.picture) for view in target.later]
        assert set(seen) <= set(held)
        assert bool(seen) == bool(held)
        assert len(seen) <= lookahead._LATER_VIEWS
        for number, view in zip(seen, target.later, strict=True):
            np.testing.assert_array_equal(view.box, clip[number].faces.boxes[0])


def test_no_later_detection_comes_from_beyond_a_cut() -> None:
    clip = seen_at(set(range(8)), 8)
    clip[4] = replace(clip[4], cut=True)
    counts = [len(target.later) for one in resolve(clip, CONFIG) for target in one.targets]
    assert counts == [3, 2, 1, 0, 3, 2, 1, 0]


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
    config = LookaheadConfig(0, 2 / RATE)
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
    assert pulled == list(range(HELD + 1))


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


@pytest.mark.parametrize("every", [*(pytest.param(one, marks=pytest.mark.slow) for one in (1, 3)), 2])
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
    tracked = track(observe(source, detector, DetectionInterval(every / 25)), DetectConfig())
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
        faces = Faces.empty() if n in hidden else faces_at(box, 0.99).with_ids(np.zeros(1, np.int64))
        shown = picture(shift, face=until is None or n < until)
        frame = RawFrame(n, n, Fraction(1, 25), shown)
        skipped = bool(n % every)
        clip.append(
            Observation(frame, Faces.empty() if skipped else faces, "skipped" if skipped else "seen")
        )
    return clip


@pytest.mark.parametrize("probability", [0.01, 0.9])
def test_the_places_where_missed_faces_went_are_looked_at(probability: float) -> None:
    """A verifier that sees nothing there ends the cover; one that sees a face keeps it."""
    clip = curved(60, {*range(12), *range(40, 60)})
    asked: list[int] = []

    def look_again(frame: RawFrame, boxes: Float) -> Float:
        (box,) = boxes
        truth = BOX + np.array([50 * np.sin(frame.index / 15), 20 * np.cos(frame.index / 12)] * 2)
        assert np.abs(box - truth).max() < 10
        asked.append(frame.index)
        return np.full(1, probability, np.float32)

    config = LookaheadConfig(0.8, 0.6)
    found = covered(list(resolve(clip, config, look_again)))
    assert sorted(asked) == [*range(12), *range(40, 60)]
    plain = covered(list(resolve(clip, config)))
    assert found < plain if probability < 0.5 else found >= plain
    assert found >= set(range(12, 40))


@pytest.mark.parametrize("every", [*(pytest.param(one, marks=pytest.mark.slow) for one in (1, 3)), 2])
@pytest.mark.parametrize("hidden", [range(12), range(28, 60), range(20, 44)])
def test_a_face_that_is_not_found_is_followed_by_its_motion(every: int, hidden: range) -> None:
    truth = [o.faces.boxes[0] for o in curved(60, ())]
    for one in resolve(curved(60, hidden, every), LookaheadConfig(0.48, 0.48)):
        (target,) = one.targets
        low, high = truth[one.frame.index][:2], truth[one.frame.index][2:]
        assert (target.box[:2] <= low + 4).all()
        assert (target.box[2:] >= high - 4).all()


def test_a_face_is_not_followed_for_ever() -> None:
    resolved = list(resolve(curved(60, range(10, 60)), CONFIG))
    assert covered(resolved) == set(range(10 + 3 * COAST))


def test_a_face_that_something_hides_coasts_where_it_was_seen() -> None:
    resolved = list(resolve(curved(40, range(10, 40), until=10), CONFIG))
    assert covered(resolved) == set(range(10 + COAST))


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
    ("frames", "score", "expected"),
    [
        ({10}, 0.25, set()),  # not probable enough by itself
        ({10, 12, 14, 16}, 0.45, set()),  # never as likely as not
        ({10}, 0.85, range(9, 12)),  # in doubt: up to the next look
        ({10}, 0.97, range(4, 15)),  # sure: log-odds of 3.5 less 0.1 a miss make 2.2
        ({10}, 0.99, range(4, 15)),  # sure as far as the look-ahead and the coasting reach
        ({10, 11}, 0.7, range(9, 13)),  # 1.7
        ({10, 11, 12}, 0.7, range(6, 14)),  # 2.5, as long as frame 12 is known and few misses after it
        ({10, 12, 14, 16}, 0.55, range(9, 18)),  # what repeats without being likely stays in doubt
    ],
)
def test_a_track_in_doubt_is_covered_where_it_was_found(
    frames: set[int], score: float, expected: Collection[int]
) -> None:
    assert covered(list(resolve(doubted(frames, 24, score), CONFIG))) == set(expected)


@pytest.mark.parametrize("held", [0, 6])
@pytest.mark.parametrize("every", [2, 3, 5])
def test_doubt_leaves_no_frame_out_until_the_next_detection(every: int, held: int) -> None:
    config = LookaheadConfig(held / RATE, COAST / RATE)
    found = covered(list(resolve(doubted({0, every}, 4 * every, 0.55, every=every), config)))
    assert found == set(range(every + min(every, COAST) + 1))


@pytest.mark.parametrize("weak", [0.2, None])
def test_an_unlikely_find_is_covered_no_less_than_a_miss(weak: float | None) -> None:
    clip = [observation(n, {0: BOX_IN_DOUBT}, score=0.5) for n in range(8)]
    clip[4] = observation(4, {0: BOX_IN_DOUBT}, score=weak) if weak else observation(4, {})
    assert covered(list(resolve(clip, CONFIG))) == set(range(8))


def test_a_sure_track_at_the_pictures_edge_is_covered_although_it_is_missed() -> None:
    """A man who turns away while the edge cuts him: frames 52 to 68 of a concert."""
    held = LookaheadConfig(HELD / RATE, 16 / RATE)
    for x, expected in ((300.0, set(range(22))), (200.0, {0, 1, 2})):
        sure = [observation(n, {0: (x, 100, x + 99, 220)}, score=0.9) for n in range(2)]
        doubtful = [observation(n, {0: (x, 100, x + 99, 220)}, score=0.1) for n in range(2, 6)]
        clip = sure + doubtful + [observation(n, {}) for n in range(6, 40)]
        resolved = list(resolve(clip, held))
        assert covered(resolved) == expected, x
        assert all(t.sure for one in resolved for t in one.targets) == (x == 300.0)


@pytest.mark.parametrize(("away", "speed", "expected"), [(50, 8.0, False), (50, 0.0, True), (8, 8.0, True)])
def test_the_edge_by_which_somebody_left_is_not_covered_until_they_return(
    away: int, speed: float, expected: bool
) -> None:
    """Who stays at the edge is covered all along, and who is away for a moment."""
    boxes: dict[int, Box] = {}
    for n in range(4):
        x = 350 - (3 - n) * speed
        boxes[n], boxes[6 + away - n] = ((x, 100, x + 50, 160),) * 2
    clip = [observation(n, {0: boxes[n]} if n in boxes else {}) for n in range(7 + away)]
    resolved = list(resolve(clip, LookaheadConfig(60 / RATE, 10 / RATE)))
    middle = (6 + away) // 2
    assert (middle in covered(resolved)) == expected
    assert {*range(5), *range(2 + away, 7 + away)} <= covered(resolved)


def test_a_sure_track_that_returns_soon_is_still_sure() -> None:
    for gap, expected in ((8, range(16)), (60, {*range(7), *range(62, 65)})):
        again = 3 + gap
        clip = doubted({0, 1, 2}, again, 0.99) + doubted({again}, again + 12, 0.4)[again:]
        assert covered(list(resolve(clip, CONFIG))) == set(expected), gap


def test_what_is_denied_where_it_is_expected_ends_sooner() -> None:
    clip = doubted({2}, 20, 0.98)
    assert covered(list(resolve(clip, CONFIG))) == set(range(7))
    denied = [replace(o, denied={0: 0.02}) if o.frame.index > 2 else o for o in clip]
    assert covered(list(resolve(denied, CONFIG))) == set(range(4))


def test_a_carried_face_that_the_covers_of_found_ones_hide_has_none_of_its_own() -> None:
    faces: dict[int, Box] = {0: (100, 100, 140, 150), 1: (150, 100, 190, 150)}
    between: Box = (125, 105, 165, 145)
    for second, hidden in (({1: faces[1]}, True), ({}, False)):
        clip = [observation(n, {0: faces[0], **second}) for n in range(8)]
        clip[6] = observation(6, {0: faces[0], **second, 2: between})
        done = list(resolve(clip, CONFIG))
        assert (covered(done, 2) == {6}) == hidden
        assert {one.track_id for frame in done for one in frame.hidden} == ({2} if hidden else set())


def test_a_lost_track_in_a_face_has_no_cover_in_frames_without_detection_either() -> None:
    """A mouth wide open once looked like a face below the face; both were painted in the skipped frames."""
    face, mouth = (100.0, 100.0, 200.0, 240.0), (110.0, 150.0, 190.0, 230.0)
    clip = [observation(n, {0: face} if n % 3 == 0 else None) for n in range(30)]
    for n in (6, 9):
        clip[n] = observation(n, {0: face, 1: mouth})
    assert covered(list(resolve(clip, CONFIG)), 1) == set(range(4, 12))
    assert covered(list(resolve(clip, CONFIG)), 0) == set(range(30))


def test_a_find_in_doubt_between_two_faces_has_no_cover_of_its_own() -> None:
    faces: dict[int, Box] = {0: (100, 100, 140, 150), 1: (145, 100, 185, 150), 2: (122, 105, 163, 145)}
    for names, score, expected in (((0, 1), 0.5, False), ((0,), 0.5, True), ((0, 1), 0.99, True)):
        clip = [observation(n, {i: faces[i] for i in (*names, 2)}) for n in range(8)]
        scores = np.full(len(names) + 1, 0.99, np.float32)
        scores[-1] = score
        clip = [replace(o, faces=replace(o.faces, scores=scores)) for o in clip]
        assert (covered(list(resolve(clip, CONFIG)), 2) == set(range(8))) == expected


def test_a_carried_face_is_not_hidden_by_covers_in_doubt() -> None:
    """These are smaller, and may be gone in the next frame."""
    faces: dict[int, Box] = {0: (100, 100, 140, 150), 1: (95, 95, 145, 155)}
    for score, hidden in ((0.55, False), (0.99, True)):
        clip = [observation(n, {0: faces[0]}) for n in range(12)]
        clip[6] = observation(6, {1: faces[1]}, score=score)
        assert (6 not in covered(list(resolve(clip, CONFIG)), 0)) == hidden


def test_passes_for_near_faces_alone_do_not_shorten_the_interval_of_others() -> None:
    """At a high frame rate, while much moves, they come between: a face in doubt is covered up to the next
    pass all the same.
    """
    box: Box = (20, 20, 40, 45)
    clip = [observation(n, {0: box} if n % 5 == 0 else {}, score=0.55) for n in range(21)]
    clip = [replace(o, near_only=o.frame.index % 5 > 0) for o in clip]
    assert covered(list(resolve(clip, CONFIG))) == set(range(21))


def test_doubt_ends_with_a_cut_and_begins_anew() -> None:
    clip = doubted({2}, 12, 0.99) + [
        observation(n, {0: (20, 20, 120, 120)} if n == 20 else {}, score=0.55) for n in range(12, 30)
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

    def known(self, index: int) -> list[Observation]:
        """The looks of a frame's shot that are known when it is settled."""
        held = self.clip[: index + round(self.config.seconds * RATE) + 1]
        return [
            o for o in held if o.status == "seen" and self.shot_of(o.frame.index) == self.shot_of(index)
        ]

    def is_covered(self, track_id: int, index: int) -> bool:
        """What the promise says of a track in a frame."""
        coast = round(self.config.coast_seconds * RATE)
        evidence, finds, looks = Evidence(), dict[int, float](), list[int]()
        for look in self.known(index):
            n = look.frame.index
            mine = look.faces.scores[look.faces.track_ids == track_id]
            if len(mine):
                finds[n] = float(mine[0])
                evidence.detected(finds[n], n, n / RATE)
            else:
                evidence.missed(n, (n - looks[-1]) / RATE if looks else 0.0)
            looks.append(n)
        sure = evidence.is_sure(self.config.sure, index)
        if not any(n >= index - coast for n in finds):
            return False
        stride = max((b - a for a, b in itertools.pairwise(looks)), default=0)
        near = max(stride, index - looks[-1])
        likely = any(p >= LIKELY_PROBABILITY for p in finds.values())
        near_find = any(p >= COVERED_PROBABILITY and abs(n - index) <= near for n, p in finds.items())
        return sure or (likely and near_find)


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
    config = LookaheadConfig(draw(st.integers(0, 12)) / RATE, draw(st.integers(0, 12)) / RATE)
    return Scenario(clip, config)


def _place(track_id: int, index: int, speeds: Float) -> Box:
    x, y = 100 + 80 * track_id + speeds[track_id, 0] * index, 200 + speeds[track_id, 1] * index
    return (float(x), float(y), float(x) + 40, float(y) + 50)


@settings(max_examples=60, deadline=None)
@given(scenarios())
def test_the_promise(scenario: Scenario) -> None:
    """A track has a target where, and only where, it was detected within reach in the same shot; one in
    doubt where that is near enough.
    """
    resolved = list(resolve(scenario.clip, scenario.config))
    assert [r.frame for r in resolved] == [o.frame for o in scenario.clip]
    assert [r.cover_all for r in resolved] == [o.status == "failed" for o in scenario.clip]
    for track_id in range(3):
        expected = {n for n in range(len(resolved)) if scenario.is_covered(track_id, n)}
        assert covered(resolved, track_id) == expected


@pytest.mark.slow
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


@settings(max_examples=50, deadline=None)
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


@pytest.mark.slow
def test_memory_does_not_grow_over_a_long_stream() -> None:
    """3,000 frames, a new track every few of them; counts what is alive, wherever it is stored."""
    faces_made: list[weakref.ref[Float]] = []
    frames_made: list[weakref.ref[RawFrame]] = []

    def stream() -> Iterator[Observation]:
        for n in range(3_000):
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
            assert sum(made() is not None for made in frames_made) <= HELD + 3
            assert sum(made() is not None for made in faces_made) <= 60


def late(rate: int, found_after: float) -> list[Observation]:
    """5 s of a face that is there from the first frame on and found only ``found_after`` seconds later."""
    clip = []
    for n in range(5 * rate):
        made = observation(n, {0: (100, 100, 140, 150)} if n >= found_after * rate else {})
        clip.append(replace(made, frame=replace(made.frame, time_base=Fraction(1, rate))))
    return clip


@pytest.mark.parametrize("rate", [10, 25, 60])
def test_a_late_face_is_covered_from_its_first_frame_at_any_rate(rate: int) -> None:
    assert covered(list(resolve(late(rate, 1.2), LookaheadConfig()))) == set(range(5 * rate))


@pytest.mark.parametrize("rate", [10, 25, 60])
def test_a_lost_face_coasts_as_long_at_any_rate(rate: int) -> None:
    clip = [replace(o, faces=Faces.empty()) if n > rate else o for n, o in enumerate(late(rate, 0))]
    assert covered(list(resolve(clip, LookaheadConfig(0.5, 0.4)))) == set(range(rate + 1 + 2 * rate // 5))


@pytest.mark.parametrize("rate", [50, 100])
def test_a_carried_face_moves_and_grows_as_much_at_any_rate(rate: int) -> None:
    def last_box(rate: int) -> Float:
        lost, xs = rate // 5, [100 + 60 * (n + 1) / rate for n in range(rate)]
        boxes: list[Box] = [(x, 100, x + 40, 150) for x in xs]
        clip = [observation(n, {0: boxes[n]} if n < rate - lost else {}) for n in range(rate)]
        timed = [replace(o, frame=replace(o.frame, time_base=Fraction(1, rate))) for o in clip]
        return box_at(list(resolve(timed, LookaheadConfig(0.2, 0.4))), rate - 1)

    np.testing.assert_allclose(last_box(rate), last_box(25), atol=0.1)


@pytest.mark.parametrize("step", [0, -1])
def test_times_that_do_not_advance_hold_no_frame_for_ever(step: int) -> None:
    clip = [replace(o, frame=replace(o.frame, pts=step * n)) for n, o in enumerate(seen_at({0}, 700))]
    pulled: list[int] = []
    first = next(resolve(_noting(clip, pulled), CONFIG))
    assert first.frame.index == 0
    assert pulled[-1] == MOST_HELD_FRAMES


@pytest.mark.parametrize("seconds", [0, 0.24, 1.8])
def test_frames_do_not_pile_up_while_detection_fails(seconds: float) -> None:
    """Nor does a face that is seen again after 2,000 such frames end the run."""
    frames_made: list[weakref.ref[RawFrame]] = []

    def stream() -> Iterator[Observation]:
        for n in range(2100):
            fails = 20 <= n < 2020
            box: dict[int, Box] = {} if fails else {0: (10, 10, 50, 50)}
            made = observation(n, box, "failed" if fails else "seen")
            frames_made.append(weakref.ref(made.frame))
            yield made

    most, done = 0, 0
    for resolved in resolve(stream(), LookaheadConfig(seconds, 0.48)):
        done += 1
        assert resolved.cover_all == (20 <= resolved.frame.index < 2020)
        if done % 50 == 0:
            most = max(most, sum(made() is not None for made in frames_made))
    assert done == 2100
    assert most <= seconds * RATE + 15


def test_a_face_is_followed_through_a_long_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    """By motion that is certain only from one frame to the next, over more of them than Python recurses."""
    frames = [replace(o.frame, picture=Picture(PICTURE.planes, "gray")) for o in seen_at(set(), 1500)]
    order = {id(frame.picture): frame.index for frame in frames}

    def follow(first: Picture, last: Picture, _box: Float) -> Motion | None:
        return Motion((1.0, 0.0), 1.0) if order[id(last)] - order[id(first)] == 1 else None

    monkeypatch.setattr(lookahead, "follow", follow)
    target = Target(0, np.array([0, 0, 40, 50], np.float32), np.zeros((5, 2), np.float32), True)
    there = lookahead._sighting(target, frames[0], known=True).followed(frames)
    assert there is not None
    assert (there.index, there.origin, there.box.tolist()) == (1499, 0, [1499, 0, 1539, 50])


def test_a_detector_that_finds_nothing_gives_no_targets() -> None:
    source = FakeSource(10, 64, 64)
    tracked = track(observe(source, FakeDetector({}), DetectionInterval(0.04)), DetectConfig())
    assert [(r.targets, r.cover_all) for r in resolve(tracked, CONFIG)] == [((), False)] * 10


def test_empty_faces_are_fine() -> None:
    frame = RawFrame(0, 0, Fraction(1, 25), PICTURE)
    (resolved,) = resolve([Observation(frame, Faces.empty(), "seen")], CONFIG)
    assert resolved.targets == ()
