from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from audits import Colours

from streamanon.audit.gallery import describe_photos, read_photos
from streamanon.audit.pairing import Image
from streamanon.errors import ConfigError
from streamanon.types import Faces


class Whole:
    """The whole picture is a face, unless it is black; a bright one has a small second face."""

    name, threshold = "whole", 0.5

    def find(self, image: Image) -> Faces:
        if not image.any():
            return Faces.empty()
        height, width = image.shape[:2]
        boxes = np.array([[0, 0, 5, 5], [0, 0, width, height]], np.float32)
        return Faces(
            boxes, np.ones(2, np.float32), np.zeros((2, 5, 2), np.float32), np.full(2, -1, np.int64)
        )


def paint(path: Path, colour: tuple[int, int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((20, 16, 3), colour, np.uint8)[..., ::-1])


def test_people_are_named_by_folder_or_file(tmp_path: Path) -> None:
    paint(tmp_path / "Ada" / "1.png", (200, 0, 0))
    paint(tmp_path / "Ada" / "2.jpg", (220, 0, 0))
    paint(tmp_path / "Bo.png", (0, 200, 0))
    paint(tmp_path / "Nobody.png", (0, 0, 0))
    photos = read_photos(tmp_path, Whole())
    assert sorted(photo.person for photo in photos) == ["Ada", "Ada", "Bo"]
    assert all(photo.face.box.tolist() == [0, 0, 16, 20] for photo in photos)


def test_the_nearest_person_is_named(tmp_path: Path) -> None:
    paint(tmp_path / "Ada.png", (200, 0, 0))
    paint(tmp_path / "Bo.png", (0, 200, 0))
    recogniser = Colours()
    gallery = describe_photos(read_photos(tmp_path, Whole()), recogniser)
    name, value = gallery.nearest(recogniser, np.array([190, 0, 0], np.float32))
    assert name == "Ada"
    assert value == pytest.approx(-10, abs=1)
    tracks = {0: np.array([195, 0, 0], np.float32), 1: np.array([90, 90, 90], np.float32)}
    assert gallery.name_people(recogniser, tracks) == {0: "Ada"}


def test_what_is_no_gallery_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no folder"):
        read_photos(tmp_path / "none", Whole())
    paint(tmp_path / "black" / "1.png", (0, 0, 0))
    with pytest.raises(ConfigError, match="no photo"):
        read_photos(tmp_path / "black", Whole())
    (tmp_path / "black" / "2.jpg").write_text("text")
    with pytest.raises(ConfigError, match=r"2\.jpg is no PNG, JPEG, WebP or BMP image"):
        read_photos(tmp_path / "black", Whole())
