"""Backgrounds and foregrounds for footage with a known truth: no face is in them."""

from __future__ import annotations

import cv2
import numpy as np
from demo_scene import corridor, office

from benchmarks.leaks.people import Canvas, Image, Stance

Colour = tuple[int, int, int]


def place(rng: np.random.Generator, width: int, height: int) -> Image:
    """A wall, street or room [height, width, 3] with clutter on it; or one of the demo clip's rooms."""
    if rng.random() < 0.25:
        room = office() if rng.random() < 0.5 else corridor()
        image = cv2.resize(room, (width, height), interpolation=cv2.INTER_AREA)
        return np.asarray(image.clip(0, 255), np.uint8)
    top, bottom = np.array(_colour(rng)), np.array(_colour(rng))
    down = np.linspace(0, 1, height)[:, None, None]
    image = np.broadcast_to(top * (1 - down) + bottom * down, (height, width, 3)).astype(np.uint8).copy()
    for _ in range(int(rng.integers(15, 60))):
        _thing(rng, image)
    rough = rng.normal(0, rng.uniform(1, 6), (height // 2 + 1, width // 2 + 1)).astype(np.float32)
    grain = cv2.resize(rough, (width, height), interpolation=cv2.INTER_LINEAR)
    image = (image + grain[..., None]).clip(0, 255).astype(np.uint8)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.6, 2.0))), np.uint8)


def _thing(rng: np.random.Generator, image: Image) -> None:
    """A door, window, sign, shelf, lamp or bush."""
    height, width = image.shape[:2]
    x, y = (int(rng.integers(0, side)) for side in (width, height))
    size = height * rng.uniform(0.04, 0.35)
    wide, high = (int(size * rng.uniform(0.3, 1.2)) + 2 for _ in range(2))
    colour = _colour(rng)
    kind = rng.integers(5)
    if kind == 0:
        cv2.circle(image, (x, y), max(2, wide // 4), colour, -1, cv2.LINE_AA)
    elif kind == 1:
        for _ in range(40):
            way = rng.normal(0, 0.3 * size, 2)
            shade = tuple(int(c * rng.uniform(0.5, 1.3)) % 256 for c in (50, 95, 45))
            cv2.ellipse(
                image,
                (int(x + way[0]), int(y + way[1])),
                (3 + wide // 12, 2 + wide // 30),
                float(rng.uniform(0, 180)),
                0,
                360,
                shade,
                -1,
                cv2.LINE_AA,
            )
    else:
        cv2.rectangle(image, (x, y), (x + wide, y + high), colour, -1)
        bars, step = _colour(rng), max(3, int(size * rng.uniform(0.05, 0.3)))
        for line in range(step, high if kind == 2 else wide, step):
            ends = (
                ((x, y + line), (x + wide, y + line))
                if kind == 2
                else ((x + line, y), (x + line, y + high))
            )
            cv2.line(image, *ends, bars, max(1, step // 4))
        cv2.rectangle(image, (x, y), (x + wide, y + high), _colour(rng), 1)


def _colour(rng: np.random.Generator) -> Colour:
    red, green, blue = (int(c) for c in (rng.uniform(25, 225) + rng.normal(0, 22, 3)).clip(0, 255))
    return red, green, blue


def post(rng: np.random.Generator, height: int, width_px: float) -> Image:
    """An upright post, tree or door frame, RGBA [height, width, 4]."""
    width = max(3, round(width_px))
    light = np.linspace(0.7, 1.1, width)[None, :, None]
    image = np.ones((height, width, 1)) * light * np.array(_colour(rng))
    image += rng.normal(0, 5, (height, 1, 1))
    return np.dstack([image.clip(0, 255), np.full((height, width), 255)]).astype(np.uint8)


def raise_hand(canvas: Canvas, skin: Colour, stance: Stance, lift: float) -> None:
    """A hand, at times with a phone, comes up in front of a face; ``lift``: 0 (down) to 1 (before it)."""
    unit = stance.unit
    reach = 1.6 * unit
    x, y = stance.x + 0.25 * unit * np.sin(stance.x), stance.y - 0.7 * unit + (1 - lift) * 4.5 * unit
    size = int(2 * reach) + 2
    hand = np.zeros((size, size, 4), np.uint8)
    middle = size / 2

    def at(across: float, down: float) -> tuple[int, int]:
        return int(middle + across * unit), int(middle + down * unit)

    dark = tuple(int(0.8 * c) for c in skin)
    cv2.ellipse(
        hand, at(0, 0.35), (int(0.55 * unit), int(0.62 * unit)), 8, 0, 360, (*skin, 255), -1, cv2.LINE_AA
    )
    for number in range(4):
        across = -0.42 + 0.28 * number
        cv2.line(
            hand,
            at(across, 0.2),
            at(across * 1.2, -0.75),
            (*dark, 255),
            max(2, int(0.27 * unit)),
            cv2.LINE_AA,
        )
        cv2.line(
            hand,
            at(across, 0.2),
            at(across * 1.2, -0.72),
            (*skin, 255),
            max(1, int(0.2 * unit)),
            cv2.LINE_AA,
        )
    cv2.line(hand, at(0, 0.7), at(0.3, 1.6), (*skin, 255), max(2, int(0.6 * unit)), cv2.LINE_AA)
    if int(stance.unit * 10) % 2:
        cv2.rectangle(hand, at(-0.35, -0.5), at(0.35, 0.5), (40, 40, 46, 255), -1)
    hand[..., :3] = cv2.multiply(hand[..., :3], cv2.merge([hand[..., 3]] * 3), scale=1 / 255)
    _lay(canvas, hand, round(x - middle), round(y - middle))


def _lay(canvas: Canvas, front: Image, x: int, y: int) -> None:
    height, width = canvas.rgb.shape[:2]
    x0, y0 = max(x, 0), max(y, 0)
    x1, y1 = min(x + front.shape[1], width), min(y + front.shape[0], height)
    if x1 > x0 and y1 > y0:
        canvas.cover(slice(y0, y1), slice(x0, x1), front[y0 - y : y1 - y, x0 - x : x1 - x])


def stand_before(canvas: Canvas, front: Image, x: float) -> None:
    """A foreground from the frame's top down, its left side at ``x`` px."""
    _lay(canvas, front, round(x), 0)
