from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from streamanon.config import DetectConfig
from streamanon.detect.detection_interval import DetectionInterval
from streamanon.detect.search import observe
from streamanon.testing.fakes import Box, FakeDetector, FakeSource, Misses, Truth, faces_at, moving
from streamanon.track.tracker import MAX_LOST_SECONDS, Tracker, track
from streamanon.types import Faces, Observation, Picture, RawFrame, Status

CONFIG = DetectConfig(score=0.5, revive_score=0.2)
PICTURE = Picture((np.zeros((360, 640), np.uint8),), "gray")


def observation(
    index: int,
    boxes: list[Box],
    scores: list[float] | None = None,
    status: Status = "seen",
    cut: bool = False,
) -> Observation:
    faces = faces_at(np.array(boxes, np.float32).reshape(-1, 4))
    if scores is not None:
        faces = Faces(faces.boxes, np.array(scores, np.float32), faces.keypoints, faces.track_ids)
    return Observation(RawFrame(index, index, Fraction(1, 25), PICTURE), faces, status, cut)


def square(x: float, y: float = 50, size: float = 20) -> Box:
    return (x, y, x + size, y + size)


def ids(observations: list[Observation]) -> list[list[int]]:
    return [o.faces.track_ids.tolist() for o in track(observations, CONFIG)]


def tracked_truth(
    truth: Truth, count: int, every: int = 1, misses: Misses = frozenset()
) -> dict[int, set[int]]:
    """Which track ids each true face got, by the nearest box."""
    source = FakeSource(count, 640, 360, truth)
    got: dict[int, set[int]] = {i: set() for i in truth}
    for seen in track(
        observe(source, FakeDetector(truth, misses, noise_px=0.7), DetectionInterval(every / 25)), CONFIG
    ):
        for box, track_id in zip(seen.faces.boxes, seen.faces.track_ids, strict=True):
            at = {i: b[seen.frame.index] for i, b in truth.items()}
            nearest = min(at, key=lambda i: float(np.abs(np.array(at[i] or [1e9] * 4) - box).sum()))
            got[nearest].add(int(track_id))
    return got


def assert_one_id_each(got: dict[int, set[int]]) -> None:
    assert all(len(found) == 1 for found in got.values()), got
    assert len(set.union(*got.values())) == len(got), got


def test_a_face_gets_its_id_at_once_and_keeps_it() -> None:
    assert ids([observation(n, [square(10 + 3 * n)]) for n in range(5)]) == [[0]] * 5


def test_a_face_keeps_its_id_when_the_camera_pans_away_from_it_and_back() -> None:
    """Nothing is found while it is far; then it is where it was, not where its motion pointed."""
    places = [300 - 6.0 * n for n in range(5)]
    away = [observation(n, [square(200, y)]) for n, y in enumerate(places)]
    gone = [observation(n, []) for n in range(5, 24)]
    assert ids(away + gone + [observation(24, [square(200, places[-1] + 4)])])[-1] == [0]


def test_what_is_probably_no_face_is_denied_and_not_followed() -> None:
    clip = [observation(0, [square(10), square(200)])]
    clip += [observation(n, [square(10 + 4 * n), square(200)], [0.05, 0.9]) for n in (1, 2)]
    first, *later = list(track(clip, CONFIG))
    assert first.denied == {}
    for one in later:
        assert one.faces.track_ids.tolist() == [1]
        assert one.denied == pytest.approx({0: 0.05})


def test_a_face_that_was_found_is_not_denied() -> None:
    clip = [observation(0, [square(10)]), observation(1, [square(10), square(12)], [0.9, 0.05])]
    assert [o.denied for o in track(clip, CONFIG)] == [{}, {}]


def test_ids_start_anew_with_every_call() -> None:
    clip = [observation(0, [square(0), square(100)])]
    assert ids(clip) == ids(clip) == [[0, 1]]


def test_interleaved_calls_do_not_share_ids() -> None:
    one, two = (track([observation(n, [square(0)]) for n in range(2)], CONFIG) for _ in range(2))
    assert [next(one).faces.track_ids.tolist(), next(two).faces.track_ids.tolist()] == [[0], [0]]


def test_a_cut_ends_all_tracks() -> None:
    clip = [observation(n, [square(0)], cut=n == 2) for n in range(4)]
    assert ids(clip) == [[0], [0], [1], [1]]


@pytest.mark.parametrize("status", ["skipped", "failed"])
def test_a_cut_in_a_frame_without_detections_ends_all_tracks(status: Status) -> None:
    clip = [
        observation(0, [square(0)]),
        observation(1, [], status=status, cut=True),
        observation(2, [square(0)]),
    ]
    assert ids(clip) == [[0], [], [1]]


@pytest.mark.parametrize("status", ["skipped", "failed"])
def test_unseen_frames_pass_unchanged(status: Status) -> None:
    unseen = observation(1, [], status=status)
    clip = list(track([observation(0, [square(0)]), unseen, observation(2, [square(4)])], CONFIG))
    assert clip[1] is unseen
    assert clip[2].faces.track_ids.tolist() == [0]


def test_weak_faces_continue_tracks_but_start_none() -> None:
    clip = [
        observation(0, [square(0), square(100)], [0.9, 0.3]),
        observation(1, [square(0), square(100)], [0.3, 0.3]),
        observation(2, [square(0), square(100)], [0.1, 0.9]),
    ]
    found = list(track(clip, CONFIG))
    assert [o.faces.track_ids.tolist() for o in found] == [[0], [0], [1]]
    assert found[1].faces.boxes[0, 0] == 0


@pytest.mark.parametrize(
    ("lost", "shift", "score", "expected"),
    [(4, 20, 0.3, 0), (20, 5, 0.3, 0), (20, 20, 0.3, 1), (20, 20, 0.9, 0)],
)
def test_a_weak_face_continues_a_track_lost_long_ago_only_at_its_place(
    lost: int, shift: int, score: float, expected: int
) -> None:
    """Elsewhere it has a track of its own: it must not pass for somebody who was surely there."""
    known = [observation(n, [square(100)]) for n in range(4)]
    missed = [observation(4 + n, []) for n in range(lost)]
    again = observation(4 + lost, [square(100 + shift)], [score])
    assert ids([*known, *missed, again])[-1] == [expected]


def test_a_weak_face_does_not_take_a_track_from_a_confident_one() -> None:
    clip = [observation(0, [square(0)]), observation(1, [square(0), square(3)], [0.3, 0.9])]
    assert ids(clip)[1] == [0]


def test_a_weak_face_starts_a_track_where_one_is_expected_that_found_another() -> None:
    """Somebody at the picture's edge, hardly seen, is not bare because a pattern beside them is surer."""
    walk = [observation(n, [square(20 * n)]) for n in range(4)]
    clip = [*walk, observation(4, [square(60), square(88)], [0.9, 0.3])]
    assert ids(clip) == [[0]] * 4 + [[0, 1]]
    alone = [*walk, observation(4, [square(60), square(200)], [0.9, 0.3])]
    assert ids(alone)[4] == [0]  # nobody is expected there
    part = [*walk, observation(4, [square(78), square(86)], [0.9, 0.3])]
    assert ids(part)[4] == [0]  # part of the same face


def test_a_score_just_at_the_threshold_is_kept() -> None:
    low, exact = np.nextafter(np.float32(0.5), np.float32(0)), 0.5
    assert ids([observation(0, [square(0), square(100)], [float(low), exact])]) == [[0]]


@pytest.mark.parametrize("every", [1, 2, 5])
def test_fast_small_faces_without_overlap_keep_their_id(every: int) -> None:
    truth = {0: moving((0, 50, 12, 62), (14, 3), 40), 1: moving((600, 90, 614, 106), (-12, 0), 40)}
    if every > 2:
        truth = {0: moving((0, 50, 12, 62), (5, 1), 40), 1: moving((600, 90, 614, 106), (-5, 0), 40)}
    assert_one_id_each(tracked_truth(truth, 40, every))


def test_crossing_faces_keep_their_ids() -> None:
    truth = {0: moving((0, 40, 40, 80), (4, 0), 60), 1: moving((240, 52, 280, 92), (-4, 0), 60)}
    assert_one_id_each(tracked_truth(truth, 60, 2))


def test_crossing_faces_that_hide_each_other_keep_their_ids() -> None:
    truth = {0: moving((0, 40, 40, 80), (4, 0), 60), 1: moving((240, 46, 280, 86), (-4, 0), 60)}
    hidden = {(n, 1) for n in range(26, 35)}
    assert_one_id_each(tracked_truth(truth, 60, 1, hidden))


def test_a_row_of_faces_under_a_pan_keeps_its_ids() -> None:
    truth = {n: moving((40.0 * n, 40, 40.0 * n + 30, 80), (8, 2), 20) for n in range(8)}
    assert_one_id_each(tracked_truth(truth, 20, 2))


def test_a_missed_face_does_not_jump_to_its_new_neighbour() -> None:
    """Else the neighbour would take the cover along, and the missed face would stay bare."""
    clip = [observation(n, [square(100)]) for n in range(6)] + [observation(6, [square(130)])]
    assert ids(clip)[-1] == [1]


@pytest.mark.parametrize("every", [1, 2, 3])
def test_a_fresh_track_does_not_jump_across_the_picture_either(every: int) -> None:
    """Two faces that are found in turn, as in a clip where one was missed and then the other."""
    clip = [observation(0, [square(100, size=40)]), observation(every, [square(210, size=46)])]
    assert ids(clip) == [[0], [1]]


def test_a_face_of_another_size_is_another_face() -> None:
    clip = [observation(0, [square(100, size=20)]), observation(1, [square(90, size=60)])]
    assert ids(clip) == [[0], [1]]


def test_a_track_ends_when_it_is_lost_for_long() -> None:
    most = round(MAX_LOST_SECONDS * 25)
    for gap, expected in ((most, [0]), (most + 1, [1])):
        assert ids([observation(0, [square(0)]), observation(gap, [square(0)])])[-1] == expected


@pytest.mark.slow
def test_tracks_do_not_pile_up() -> None:
    tracker = Tracker(CONFIG)
    for n in range(500):
        tracker.step(observation(n, [square(100.0 * (n % 50), 100.0 * n)]))
    assert len(tracker._tracks) <= MAX_LOST_SECONDS * 25 + 1


def test_passes_for_near_faces_alone_are_told() -> None:
    """A pan at 50 frames a second: the look-ahead goes by what was looked for."""
    grey = np.random.default_rng(0).integers(0, 255, (20, 36), np.uint8).repeat(10, 0).repeat(10, 1)
    pictures = [Picture((np.roll(grey, 8 * n, axis=1),), "gray") for n in range(9)]
    pan = [RawFrame(n, n, Fraction(1, 50), one) for n, one in enumerate(pictures)]
    done = track(observe(pan, FakeDetector({}), DetectionInterval(0.08, 1.8)), CONFIG)
    assert [one.near_only for one in done] == [n % 4 > 0 for n in range(9)]


def test_degenerate_boxes_are_kept() -> None:
    clip = [observation(n, [(5, 5, 5, 5), (9, 9, 3, 3)]) for n in range(3)]
    assert all(len(found) == 2 for found in ids(clip))


@st.composite
def clips(draw: DrawFn) -> list[Observation]:
    statuses: list[Status] = draw(st.lists(st.sampled_from(["seen", "seen", "seen", "skipped", "failed"])))
    clip = []
    for index, status in enumerate(statuses):
        count = draw(st.integers(0, 6)) if status == "seen" else 0
        corner = st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 30))
        boxes = [square(x, y, size) for x, y, size in (draw(corner) for _ in range(count))]
        scores = [draw(st.floats(0, 1, width=32)) for _ in range(count)]
        clip.append(observation(index, boxes, scores, status, draw(st.booleans()) and draw(st.booleans())))
    return clip


@settings(max_examples=150, deadline=None)
@given(clips())
def test_every_confident_face_is_kept_and_ids_are_unique(clip: list[Observation]) -> None:
    tracked = list(track(clip, CONFIG))
    assert [o.frame for o in tracked] == [o.frame for o in clip]
    for before, after in zip(clip, tracked, strict=True):
        confident = before.faces[before.faces.scores >= CONFIG.score]
        kept = after.faces[after.faces.scores >= CONFIG.score]
        np.testing.assert_array_equal(confident.boxes, kept.boxes)
        np.testing.assert_array_equal(confident.keypoints, kept.keypoints)
        assert (after.faces.track_ids >= 0).all()
        assert len(set(after.faces.track_ids.tolist())) == len(after.faces)
        assert (after.faces.scores >= CONFIG.revive_score).all()
        assert (after.cut, after.status) == (before.cut, before.status)


@settings(max_examples=60, deadline=None)
@given(clips())
def test_no_id_is_used_on_both_sides_of_a_cut(clip: list[Observation]) -> None:
    shots: list[set[int]] = [set()]
    for tracked in track(clip, CONFIG):
        if tracked.cut:
            shots.append(set())
        shots[-1] |= set(tracked.faces.track_ids.tolist())
    assert sum(map(len, shots)) == len(set().union(*shots))
