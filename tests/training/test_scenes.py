from __future__ import annotations

import json

import numpy as np

from streamanon.training.scenes import CORRECTIONS, Labels, corrected, transform_labels


def labels(*boxes: tuple[float, float, float, float]) -> Labels:
    count = len(boxes)
    keypoints = np.zeros((count, 5, 3), np.float32)
    return Labels(np.array(boxes, np.float32).reshape(-1, 4), keypoints, np.zeros(count, bool))


def test_unsure_boxes_are_ignored_and_so_are_labels_of_their_parts() -> None:
    part, whole, elsewhere = (12, 12, 30, 30), (10, 10, 48, 50), (80, 80, 90, 90)
    unsure = np.array([[10, 10, 50, 50], [200, 0, 220, 20]], np.float32)
    done = corrected(labels(part, whole, elsewhere), unsure)
    assert done.ignore.tolist() == [True, False, False, True, True]
    np.testing.assert_array_equal(done.boxes[3:], unsure)


def test_without_corrections_nothing_changes() -> None:
    given = labels((0, 0, 9, 9))
    done = corrected(given, np.zeros((0, 4), np.float32))
    np.testing.assert_array_equal(done.boxes, given.boxes)
    assert not done.ignore.any()


def test_a_turned_box_holds_the_turned_ellipse() -> None:
    quarter = np.array([[0.0, -1.0, 100.0], [1.0, 0.0, 0.0]])
    done = transform_labels(labels((10, 20, 30, 60)), quarter, flipped=False)
    np.testing.assert_allclose(done.boxes, [[40, 10, 80, 30]], atol=1e-4)


def test_the_corrections_are_boxes() -> None:
    for entry in json.loads(CORRECTIONS.read_text()).values():
        assert set(entry) <= {"unsure", "nothing"}
        for x0, y0, x1, y1 in [box for boxes in entry.values() for box in boxes]:
            assert x0 < x1
            assert y0 < y1
