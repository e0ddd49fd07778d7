from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from streamanon.audit.judges import Judge, YuNetJudge, detect_all, open_judges
from streamanon.audit.pairing import Image
from streamanon.config import ComputeConfig
from streamanon.errors import ConfigError
from streamanon.types import Faces

IMAGE = np.zeros((100, 200, 3), np.uint8)


class Sees:
    threshold = 0.5

    def __init__(self, name: str, *boxes: tuple[float, float, float, float]) -> None:
        self.name, self._boxes = name, np.array(boxes, np.float32).reshape(-1, 4)

    def find(self, image: Image) -> Faces:
        count = len(self._boxes)
        points = np.zeros((count, 5, 2), np.float32)
        return Faces(self._boxes, np.full(count, 0.9, np.float32), points, np.full(count, -1, np.int64))


def test_a_face_that_two_judges_see_is_one_with_two_votes() -> None:
    judges: list[Judge] = [
        Sees("one", (10, 10, 50, 50)),
        Sees("two", (12, 11, 52, 51), (100, 10, 140, 50)),
        Sees("three", (101, 10, 141, 50)),
    ]
    found = detect_all(IMAGE, judges)
    assert found.votes.tolist() == [2, 2]
    np.testing.assert_allclose(found.faces.boxes[0], [10, 10, 50, 50])


def test_one_judges_two_finds_of_a_face_are_one_witness() -> None:
    judges: list[Judge] = [
        Sees("one", (10, 10, 50, 50)),
        Sees("two", (11, 11, 51, 51), (9, 9, 49, 49)),
    ]
    assert detect_all(IMAGE, judges).votes.tolist() == [2]


def test_nothing_is_found_where_nobody_sees_anything() -> None:
    found = detect_all(IMAGE, [Sees("one"), Sees("two")])
    assert len(found.faces) == 0
    assert found.votes.tolist() == []


def test_the_projects_own_is_always_there() -> None:
    assert open_judges(ComputeConfig(backend="onnxruntime"))[0].name == "streamanon face-detector"


def test_yunets_file_is_checked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no file"):
        open_judges(ComputeConfig(backend="onnxruntime"), tmp_path / "none.onnx")
    broken = tmp_path / "broken.onnx"
    broken.write_text("no network")
    with pytest.raises(ConfigError, match=r"broken\.onnx is no YuNet"):
        YuNetJudge(broken)
