"""Extra ``train``: scipy; the samples are made of synthetic pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("scipy", reason="pip install 'streamanon[train]'")

from streamanon.mesh.landmarks import mesh_keypoints
from streamanon.training.detector_samples import (
    CUT_INSIDE,
    Pasted,
    _face_weights,
    _middle,
    _under_peak,
    _with_mined,
)
from streamanon.training.mined import Mined, read_mined
from streamanon.training.scenes import Labels, Scene

FRONT = np.array([[40, 50, 1], [60, 50, 1], [50, 60, 1], [43, 70, 1], [57, 70, 1]], np.float32)
PROFILE = np.array([[40, 50, 1], [44, 50, 1], [60, 60, 1], [45, 70, 1], [47, 70, 1]], np.float32)
FACES = np.array([[30, 35, 70, 85], [30, 35, 70, 85], [100, 100, 120, 126]], np.float32)


def scene() -> Scene:
    """Faces: a frontal one, a profile, and one that is ignored."""
    keypoints = np.stack([FRONT, PROFILE, np.zeros((5, 3), np.float32)])
    labels = Labels(FACES, keypoints, np.array([False, False, True]))
    image = np.full((200, 200, 3), 90, np.uint8)
    return Scene("street_1.webp", image, labels, "street", np.ones(3, bool), np.zeros((0, 4), np.float32))


def mined(folder: Path, name: str, judge: float, hard: float) -> Mined:
    """One detection apart from both labels, and one of the first label, with a score of 0.4."""
    nothing = np.array([150, 150, 170, 175], np.float32)
    rows: dict[str, Any] = {
        "names": np.array([name]),
        "picture": np.zeros(2, int),
        "turn": np.zeros(2, int),
        "box": np.stack([nothing, FACES[0]]),
        "score": np.array([0.5, 0.4], np.float32),
        "label": np.array([-1, 0]),
        "iou": np.array([0.0, 1.0], np.float32),
        "judge": np.array([judge, 0.9], np.float32),
        "hard": np.array([hard, 0.9], np.float32),
    }
    np.savez(folder / "scenes_more.npz", **rows)
    doubts: dict[str, Any] = {name: np.array([0.1, 0.2, 0.9], np.float32)}
    np.savez(folder / "faces.npz", **doubts)
    return read_mined(folder)[name]


def test_detections_of_nothing_are_lookalikes_and_possible_faces_are_ignored(
    tmp_path: Path,
) -> None:
    nothing = mined(tmp_path, "street_1.webp", judge=0.0, hard=0.1)
    assert (len(nothing.lookalikes), len(nothing.doubtful)) == (1, 0)
    for judge, hard in ((0.6, 0.1), (0.0, 0.7)):
        maybe = mined(tmp_path, "street_1.webp", judge, hard)
        assert (len(maybe.lookalikes), len(maybe.doubtful)) == (0, 1)
        known = _with_mined(scene(), maybe)
        assert known.labels.ignore.tolist() == [False, False, True, True]
        assert len(known.human) == len(known.labels.boxes)


def test_where_there_are_no_faces_the_judges_are_not_asked(tmp_path: Path) -> None:
    hand = mined(tmp_path, "hands_0200.webp", judge=0.9, hard=0.9)
    assert (len(hand.lookalikes), len(hand.doubtful)) == (1, 0)


def test_missed_faces_are_those_that_the_verifier_sees(tmp_path: Path) -> None:
    missed = mined(tmp_path, "street_1.webp", judge=0.0, hard=0.1).missed
    np.testing.assert_allclose(missed, [0.6, 1.0, 0.0], atol=1e-6)


def test_profiles_and_missed_faces_are_shown_more_often_and_ignored_ones_never() -> None:
    front, profile, ignored = _face_weights(scene(), None)
    assert profile > 2 * front > 0
    assert ignored == 0
    none = np.zeros((0, 4), np.float32)
    missed = Mined(none, none, np.array([1, 0, 0], np.float32))
    assert _face_weights(scene(), missed)[0] > 2 * front


def test_some_faces_are_cut_by_an_edge_but_not_by_more_than_half() -> None:
    rng = np.random.default_rng(0)
    middles = np.array([_middle(40, 200, rng) for _ in range(2000)])
    left = np.minimum(0.5 + middles / 40, 0.5 + (200 - middles) / 40).min(axis=1)
    assert left.min() >= CUT_INSIDE[0] - 1e-6
    near = (left < CUT_INSIDE[1]).mean()  # some of those that lie anywhere, too
    assert 0.2 < near < 0.45


def test_a_peak_hides_the_brow_and_leaves_the_mouth() -> None:
    box = np.array([60, 60, 140, 160], np.float32)
    image = np.random.default_rng(0).integers(100, 256, (200, 200, 3)).astype(np.uint8)
    keypoints = np.column_stack([mesh_keypoints(np.zeros((478, 2), np.float32)), np.ones(5)])
    head = Pasted(image, np.zeros((478, 2), np.float32), box, keypoints.astype(np.float32))
    for seed in range(20):
        capped = _under_peak(head, np.random.default_rng(seed))
        changed = (capped != image).any(axis=2)
        assert changed[62, 70:130].mean() > 0.9
        assert not changed[130:].any()
