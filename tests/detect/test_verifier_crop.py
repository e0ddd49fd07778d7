from __future__ import annotations

import cv2
import numpy as np
import pytest

from streamanon.detect.verifier_crop import (
    GREY,
    SIZE_PX,
    read_verdicts,
    squares,
    verifier_crops,
    widened,
    without_neighbours,
)


def ramp(width: int = 200, height: int = 160) -> np.ndarray:
    """Red rises with x, green with y."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.arange(width)[None]
    image[..., 1] = np.arange(height)[:, None]
    return image


def test_the_square_is_twice_the_root_of_the_area() -> None:
    centres, sides = squares(np.array([[10, 20, 26, 84]], np.float32))
    np.testing.assert_allclose(centres, [[18, 52]])
    np.testing.assert_allclose(sides, [64])


@pytest.mark.parametrize("side", [12, 32, 50])
def test_pixels_lie_where_the_square_says(side: float) -> None:
    box = np.array([[100 - side / 2, 80 - side / 2, 100 + side / 2, 80 + side / 2]], np.float32)
    crop = verifier_crops(ramp(), box)[0] * 255
    places = (np.arange(SIZE_PX) + 0.5) / SIZE_PX * 2 * side - side - 0.5 + 0.5
    np.testing.assert_allclose(crop[0, 10], 100 + places, atol=1.1)
    np.testing.assert_allclose(crop[1, :, 10], 80 + places, atol=1.1)


def test_outside_the_picture_is_grey() -> None:
    crop = verifier_crops(ramp(), np.array([[-20, -20, 20, 20]], np.float32))[0] * 255
    np.testing.assert_allclose(crop[:, :20, :20], GREY, atol=0.5)
    nowhere = verifier_crops(ramp(), np.array([[900, 900, 920, 920]], np.float32))
    np.testing.assert_allclose(nowhere * 255, GREY, atol=0.5)


@pytest.mark.parametrize("turn", range(4))
def test_turned_finds_are_seen_turned_and_read_back(turn: int) -> None:
    image, box = ramp(), np.array([[80, 60, 120, 100]], np.float32)
    turned = verifier_crops(image, box, turn)[0]
    straight = verifier_crops(image, box)[0]
    np.testing.assert_array_equal(turned, np.rot90(straight, turn, (1, 2)))
    # a box and a point at the top left of the straight square
    shares = np.array([0.1, 0.2, 0.3, 0.6])
    corners = shares.reshape(2, 2) - 0.5
    for _ in range(turn):  # counter-clockwise: (x, y) -> (y, -x)
        corners = np.stack([corners[:, 1], -corners[:, 0]], axis=1)
    seen = np.concatenate([corners.min(0), corners.max(0)]) + 0.5
    points = np.tile(corners[0] + 0.5, 5)[None]
    outputs = [np.zeros((1, 1)), np.zeros((1, 4)), seen[None], points]
    verdicts = read_verdicts([np.asarray(one, np.float32) for one in outputs], box, turn)
    np.testing.assert_allclose(verdicts.boxes, [[68, 56, 84, 88]], atol=1e-3)
    np.testing.assert_allclose(verdicts.keypoints[0, 0], [68, 56], atol=1e-3)
    np.testing.assert_allclose(verdicts.turned, 0.25)


def test_no_finds() -> None:
    none = np.zeros((0, 4), np.float32)
    assert verifier_crops(ramp(), none).shape == (0, 3, SIZE_PX, SIZE_PX)
    shapes = ((0, 1), (0, 4), (0, 4), (0, 10))
    assert len(read_verdicts([np.zeros(s, np.float32) for s in shapes], none).logits) == 0


def textured(seed: int, width: int = 200, height: int = 200) -> np.ndarray:
    """Something smooth, of its own brightness."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(-20, 20, (8, 8, 3)).astype(np.float32) + rng.uniform(60, 190)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("turn", range(4))
@pytest.mark.parametrize("edge", [70.0, 81.0])
def test_what_lies_beyond_a_border_within_the_picture_is_hidden(turn: int, edge: float) -> None:
    """Two pictures beside each other: the square shows one of them as at a picture's own edge."""
    own, other = textured(1), textured(2)
    picture = own.copy()
    picture[: int(edge)] = other[: int(edge)] // 2
    box = np.array([[80, 80, 120, 120]], np.float32)  # the square is 60 to 140
    seen = verifier_crops(picture, box, turn)
    squares, wide = (
        np.concatenate([verifier_crops(one, some, turn) for one in (own, picture)])
        for some in (box, widened(box))
    )
    alone, rows = without_neighbours(squares, wide)
    assert rows.tolist() == [1]
    straight = np.rot90(alone[0], -turn, (1, 2))
    hidden = round((edge - 60) * SIZE_PX / 80)
    np.testing.assert_array_equal(straight[:, : hidden - 1], np.float32(GREY / 255))
    kept = np.rot90(seen[0], -turn, (1, 2))[:, hidden + 2 :]
    np.testing.assert_array_equal(straight[:, hidden + 2 :], kept)


def test_the_pictures_own_edge_and_lines_across_the_face_or_of_an_arms_length_hide_nothing() -> None:
    own, other = textured(1), textured(2)
    across, arm = own.copy(), own.copy()
    across[100:] = other[100:] // 2
    arm[:70, 55:145] = other[:70, 55:145] // 2
    box = np.array([[80, 80, 120, 120]], np.float32)
    shown = [(own, np.array([[0, 30, 40, 70]], np.float32)), (across, box), (arm, box)]
    squares, wide = (
        np.concatenate([verifier_crops(picture, change(some)) for picture, some in shown])
        for change in (lambda some: some, widened)
    )
    alone, rows = without_neighbours(squares, wide)
    assert not len(rows)
    assert alone.shape == (0, 3, SIZE_PX, SIZE_PX)
    arm[:70] = other[:70] // 2  # as long as a tile's border
    wide = verifier_crops(arm, widened(box))
    assert without_neighbours(squares[2:], wide)[1].tolist() == [0]
