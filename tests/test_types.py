from __future__ import annotations

import dataclasses
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from streamanon.testing.safe_frames import unchecked_safe_frame
from streamanon.types import (
    PIXEL_FORMATS,
    Delegate,
    Faces,
    Geometry,
    Picture,
    RawFrame,
    SafeFrame,
)


def planes_for(pixel_format: str, width: int = 7, height: int = 5) -> tuple[np.ndarray[Any, Any], ...]:
    step_x, step_y, bits = PIXEL_FORMATS[pixel_format]
    dtype = np.uint8 if bits == 8 else np.uint16
    chroma = (-(-height // step_y), -(-width // step_x))
    luma = np.zeros((height, width), dtype)
    return (
        (luma,)
        if pixel_format.startswith("gray")
        else (luma, np.zeros(chroma, dtype), np.zeros(chroma, dtype))
    )


@pytest.mark.parametrize("pixel_format", PIXEL_FORMATS)
def test_a_picture_knows_its_size_with_odd_edges(pixel_format: str) -> None:
    picture = Picture(planes_for(pixel_format), pixel_format)
    assert (picture.width, picture.height) == (7, 5)
    assert (*picture.chroma_step, picture.bits) == PIXEL_FORMATS[pixel_format]


@pytest.mark.parametrize(
    ("planes", "pixel_format", "message"),
    [
        (planes_for("yuv420p"), "nv12", "unknown pixel format"),
        (planes_for("yuv420p"), "gray", "plane count"),
        (planes_for("gray"), "yuv420p", "plane count"),
        ((), "gray", "plane count"),
        (planes_for("yuv444p"), "yuv420p", "do not fit"),
        (planes_for("yuv420p"), "yuv420p10le", "uint16"),
        (planes_for("gray10le"), "gray", "uint8"),
        ((np.zeros((4, 4, 3), np.uint8),), "gray", r"\[H, W\]"),
        ((np.zeros(4, np.uint8),), "gray", r"\[H, W\]"),
    ],
)
def test_planes_that_do_not_fit_are_refused(planes: Any, pixel_format: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Picture(planes, pixel_format)


def test_faces_check_their_shapes() -> None:
    good = {
        "boxes": np.zeros((2, 4), np.float32),
        "scores": np.zeros(2, np.float32),
        "keypoints": np.zeros((2, 5, 2), np.float32),
        "track_ids": np.zeros(2, np.int64),
    }
    assert len(Faces(**good)) == 2  # type: ignore[arg-type]
    for name, value in good.items():
        with pytest.raises(ValueError, match=name):
            Faces(**{**good, name: np.concatenate([value] * 2)[:3].reshape(3, -1, 1)})  # type: ignore[arg-type]


def test_faces_are_picked_by_mask_and_by_index() -> None:
    boxes = np.arange(12, dtype=np.float32).reshape(3, 4)
    faces = Faces(boxes, np.ones(3, np.float32), np.zeros((3, 5, 2), np.float32), np.array([4, 5, 6]))
    assert faces[np.array([True, False, True])].track_ids.tolist() == [4, 6]
    assert faces[np.array([2, 0])].boxes[:, 0].tolist() == [8, 0]
    assert len(faces[np.zeros(3, bool)]) == 0
    assert faces.with_ids(np.array([7, 8, 9])).track_ids.tolist() == [7, 8, 9]
    with pytest.raises(ValueError, match="track_ids"):
        faces.with_ids(np.array([7]))


def test_empty_faces_have_the_right_shapes() -> None:
    empty = Faces.empty()
    assert len(empty) == 0
    assert len(empty[np.zeros(0, bool)]) == 0
    assert empty.boxes.dtype == np.float32
    assert empty.track_ids.dtype == np.int64


@pytest.mark.parametrize("kind", [RawFrame, SafeFrame])
def test_time_in_seconds(kind: Any) -> None:
    picture = Picture(planes_for("gray"), "gray")
    frame: Any = RawFrame(index=0, pts=3003, time_base=Fraction(1, 90_000), picture=picture)
    frame = unchecked_safe_frame(frame) if kind is SafeFrame else frame
    assert frame.pts_seconds == pytest.approx(0.0333666, rel=1e-4)


def test_no_repr_shows_pixels() -> None:
    pixels = np.full((6, 6), 201, np.uint8)
    picture = Picture((pixels,), "gray")
    frame = RawFrame(0, 0, Fraction(1, 25), picture)
    safe = unchecked_safe_frame(frame)
    texture = np.full((256, 256, 3), 201, np.uint8)
    shape, code = np.full((478, 3), 201, np.float32), np.full(4, 201, np.float32)
    delegate = Delegate("d", texture, shape, code, 0.5, 40.0)
    for shown in (picture, frame, safe, delegate):
        assert "201" not in repr(shown)


def test_frozen() -> None:
    picture = Picture(planes_for("gray"), "gray")
    with pytest.raises(dataclasses.FrozenInstanceError):
        picture.matrix = "bt709"  # type: ignore[misc]


@pytest.mark.parametrize("shape", [(477, 3), (478, 2), (478,)])
def test_geometry_checks_its_points(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="478"):
        Geometry(np.zeros(shape, np.float32), 0.9)


def test_a_delegate_checks_its_arrays() -> None:
    texture, shape = np.zeros((256, 256, 3), np.uint8), np.zeros((478, 3), np.float32)
    code = np.zeros(4, np.float32)
    with pytest.raises(ValueError, match="texture"):
        Delegate("d", texture[:128], shape, code, 0.5, 40.0)
    with pytest.raises(ValueError, match="shape"):
        Delegate("d", texture, shape[:100], code, 0.5, 40.0)
