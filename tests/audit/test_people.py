from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from streamanon.audit.judges import detect_all
from streamanon.audit.pairing import Image
from streamanon.audit.people import find_people
from streamanon.types import Faces

Box = tuple[float, float, float, float]
ANN: Box = (20, 20, 60, 70)
BEN: Box = (100, 30, 130, 66)


class ScriptedJudge:
    """Finds what the script says, call by call."""

    name, threshold = "scripted", 0.5

    def __init__(self, script: Sequence[Sequence[Box]]) -> None:
        self.script, self.calls = script, 0

    def find(self, image: Image) -> Faces:
        boxes = np.array(self.script[self.calls], np.float32).reshape(-1, 4)
        self.calls += 1
        middle = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
        count = len(boxes)
        keypoints = np.repeat(middle, 5, axis=1).astype(np.float32)
        return Faces(boxes, np.full(count, 0.9, np.float32), keypoints, np.full(count, -1, np.int64))


def frames(count: int, contrast: float = 20) -> list[Image]:
    noise = np.random.default_rng(0).normal(90, contrast, (120, 160, 1))
    return [np.clip(np.repeat(noise, 3, axis=2), 0, 255).astype(np.uint8)] * count


def test_what_several_judges_find_is_one_face_with_votes() -> None:
    near = (22.0, 18.0, 63.0, 71.0)
    judges = [ScriptedJudge([[ANN]]), ScriptedJudge([[near, BEN]]), ScriptedJudge([[BEN, ANN]])]
    found = detect_all(frames(1)[0], list(judges))
    np.testing.assert_allclose(found.faces.boxes, [ANN, BEN])
    assert found.votes.tolist() == [3, 2]


def test_nobody_anywhere() -> None:
    assert find_people(frames(3), [ScriptedJudge([[]] * 3)]) == []


def test_a_track_is_a_person() -> None:
    people = find_people(frames(8), [ScriptedJudge([[ANN, BEN]] * 8)])
    assert [len(person.frames) for person in people] == [8, 8]
    assert all(person.sure for person in people)
    assert people[0].size_px == pytest.approx(np.sqrt(40 * 50))


@pytest.mark.parametrize(("gap", "bridged"), [(3, True), (5, True), (9, False)])
def test_short_gaps_are_bridged_and_long_ones_are_not(gap: int, bridged: bool) -> None:
    moved = tuple(value + 2 for value in ANN)
    script = [[ANN]] * 4 + [[]] * gap + [[moved]] * 4
    (person,) = find_people(frames(len(script)), [ScriptedJudge(script)])  # type: ignore[arg-type]
    assert len(person.frames) == 8 + gap * bridged
    assert sum(face.bridged for face in person.frames) == gap * bridged
    for face in person.frames:
        assert ANN[0] <= face.box[0] <= moved[0]


def test_a_single_find_of_one_judge_is_doubtful_and_of_two_is_not() -> None:
    script: list[list[Box]] = [[ANN]] + [[]] * 7
    (person,) = find_people(frames(8), [ScriptedJudge(script)])
    assert not person.sure
    (person,) = find_people(frames(8), [ScriptedJudge(script), ScriptedJudge(script)])
    assert person.sure


def test_a_face_in_every_frame_of_a_short_video_is_sure() -> None:
    for count in (1, 3):
        (person,) = find_people(frames(count), [ScriptedJudge([[ANN]] * count)])
        assert person.sure


def test_specks_are_no_faces() -> None:
    assert find_people(frames(5), [ScriptedJudge([[(5, 5, 11, 12)]] * 5)]) == []


@pytest.mark.parametrize(("contrast", "count"), [(0.0, 0), (2.0, 0), (8.0, 1)])
def test_what_is_black_or_a_wall_is_no_face(contrast: float, count: int) -> None:
    people = find_people(frames(8, contrast), [ScriptedJudge([[ANN]] * 8)])
    assert len(people) == count
    assert all(face.contrast == pytest.approx(contrast, rel=0.2) for p in people for face in p.frames)
