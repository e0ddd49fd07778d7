"""Rooms for the demo clip, and the camera that films them.

Rooms are painted once, at twice the clip's size; coordinates in here are the clip's pixels.
"""

from __future__ import annotations

import cv2
import numpy as np
from demo_people import Sprite, noise, smooth
from numpy.typing import NDArray

from streamanon.types import Float

WIDTH, HEIGHT, FINER = 640, 360, 2

Colour = tuple[float, float, float]
Points = list[tuple[float, float]]


class Room:
    """A picture in the making."""

    def __init__(self, seed: int) -> None:
        self.rgb = np.zeros((HEIGHT * FINER, WIDTH * FINER, 3), np.float32)
        self.random = np.random.default_rng(seed)
        self.y, self.x = np.mgrid[0 : HEIGHT * FINER, 0 : WIDTH * FINER].astype(np.float32) / FINER

    def shape(self, points: Points, soft: float = 0.6) -> Float:
        """Coverage of a polygon."""
        image = np.zeros(self.rgb.shape[:2], np.uint8)
        cv2.fillPoly(image, [np.rint(np.array(points) * FINER * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        return np.asarray(cv2.GaussianBlur(image, (0, 0), soft * FINER), np.float32) / np.float32(255)

    def mix(self, weight: Float, colour: Colour | Float) -> None:
        self.rgb += weight[..., None] * (np.asarray(colour, np.float32) - self.rgb)

    def fill(
        self, points: Points, colour: Colour | Float, soft: float = 0.6, strength: float = 1.0
    ) -> None:
        self.mix(self.shape(points, soft) * np.float32(strength), colour)

    def box(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        colour: Colour | Float,
        soft: float = 0.6,
        strength: float = 1.0,
    ) -> None:
        self.fill([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], colour, soft, strength)

    def shadow(self, points: Points, soft: float, strength: float) -> None:
        self.rgb *= 1 - np.float32(strength) * self.shape(points, soft)[..., None]

    def glow(self, x: float, y: float, radius: float, strength: float) -> None:
        """Light that falls off around a point."""
        away = ((self.x - x) ** 2 + (self.y - y) ** 2) / radius**2
        self.rgb *= 1 + np.float32(strength) * np.exp(-away)[..., None]

    def grain(self, sigma: tuple[float, float], strength: float, seed: int) -> None:
        texture = noise((HEIGHT * FINER, WIDTH * FINER), sigma, seed)
        self.rgb *= 1 + np.float32(strength) * texture[..., None]

    def finish(self, blur: float) -> Float:
        """The picture, a little out of focus."""
        return np.asarray(np.clip(cv2.GaussianBlur(self.rgb, (0, 0), blur * FINER), 0, 255), np.float32)


def office() -> Float:
    """A wall with a window, shelves, a picture and a plant."""
    room = Room(3)
    room.rgb[:] = (
        np.array([186, 180, 168], np.float32) * (1.05 - 0.0009 * room.x - 0.0004 * room.y)[..., None]
    )
    room.grain((2, 2), 0.008, 1)
    room.box(0, 322, 640, 360, (104, 86, 70), 1)
    room.box(0, 316, 640, 322, (222, 218, 210), 0.8)
    _window(room, 24, 30, 150, 190)
    _shelves(room, 404, 46, 600, 240)
    room.shadow([(262, 56), (324, 56), (324, 106), (262, 106)], 4, 0.3)
    room.box(258, 50, 318, 100, (58, 50, 44))
    room.box(262, 54, 314, 96, (214, 206, 190))
    for _ in range(7):
        x, y = room.random.uniform(266, 306), room.random.uniform(58, 90)
        tint = room.random.uniform(60, 190, 3)
        room.box(
            x,
            y,
            x + room.random.uniform(4, 16),
            y + room.random.uniform(3, 8),
            tint.astype(np.float32),
            1.5,
        )
    _plant(room, 372, 240)
    room.glow(90, 110, 220, 0.22)
    room.shadow([(0, 300), (640, 300), (640, 360), (0, 360)], 14, 0.25)
    return room.finish(1.1)


def _window(room: Room, x0: float, y0: float, x1: float, y1: float) -> None:
    room.box(x0 - 6, y0 - 6, x1 + 6, y1 + 6, (226, 224, 220))
    pane = room.shape([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    sky = np.array([196, 216, 238], np.float32) + (room.y - y0)[..., None] * np.array(
        [0.25, 0.16, 0.06], np.float32
    )
    room.mix(pane, sky)
    left = x0
    while left < x1:
        wide, high = room.random.uniform(12, 26), room.random.uniform(40, 100)
        tint = room.random.uniform(130, 176) * np.array([0.96, 1.0, 1.06], np.float32)
        block = room.shape(
            [(left, y1 - high), (left + wide, y1 - high), (left + wide, y1), (left, y1)], 1.4
        )
        room.mix(block * pane, tint)
        lines = (np.sin(room.x * 1.4) > 0.3) & (np.sin(room.y * 0.9) > 0.2)
        room.mix(block * pane * lines * np.float32(0.25), (96, 110, 130))
        left += wide + 2
    for x in (x0 + (x1 - x0) / 2,):
        room.box(x - 3, y0, x + 3, y1, (224, 222, 218))
    room.box(x0, y0 + 0.4 * (y1 - y0), x1, y0 + 0.4 * (y1 - y0) + 4, (224, 222, 218))
    room.box(x0 - 10, y1 + 5, x1 + 10, y1 + 12, (236, 234, 230))
    room.shadow([(x0 - 8, y1 + 13), (x1 + 12, y1 + 13), (x1 + 12, y1 + 20), (x0 - 8, y1 + 20)], 3, 0.25)


def _shelves(room: Room, x0: float, y0: float, x1: float, y1: float) -> None:
    room.shadow([(x0 + 8, y0 + 8), (x1 + 12, y0 + 8), (x1 + 12, y1 + 8), (x0 + 8, y1 + 8)], 6, 0.35)
    room.box(x0, y0, x1, y1, (120, 88, 60))
    rows = 4
    tall = (y1 - y0) / rows
    for row in range(rows):
        top, floor = y0 + row * tall + 4, y0 + (row + 1) * tall - 4
        room.box(x0 + 4, top, x1 - 4, floor, (78, 58, 42))
        x = x0 + 6
        while x < x1 - 14:
            wide, high = room.random.uniform(4, 10), room.random.uniform(0.55, 0.9) * (floor - top)
            if room.random.random() < 0.82:
                tint = room.random.choice(
                    np.array(
                        [
                            [142, 52, 44],
                            [52, 76, 112],
                            [196, 182, 150],
                            [70, 92, 70],
                            [60, 54, 58],
                            [186, 132, 62],
                        ]
                    )
                ) * room.random.uniform(0.7, 1.05)
                room.box(x, floor - high, x + wide - 0.7, floor, tint.astype(np.float32), 0.4)
            x += wide
        room.shadow([(x0 + 4, top), (x1 - 4, top), (x1 - 4, top + 8), (x0 + 4, top + 8)], 4, 0.5)
    room.grain((14, 0.8), 0.02, 4)


def _plant(room: Room, x: float, y: float) -> None:
    for _ in range(46):
        angle, length = room.random.normal(-np.pi / 2, 0.75), room.random.uniform(26, 74)
        tip = x + length * np.cos(angle) * 0.7, y + length * np.sin(angle)
        side = np.array([-np.sin(angle), np.cos(angle)]) * room.random.uniform(3, 7)
        mid = x + 0.6 * (tip[0] - x), y + 0.6 * (tip[1] - y) - 4
        green = np.array([62, 104, 54], np.float32) * np.float32(room.random.uniform(0.55, 1.25))
        room.fill(
            [(x, y), (mid[0] + side[0], mid[1] + side[1]), tip, (mid[0] - side[0], mid[1] - side[1])], green
        )
    room.fill([(x - 18, y - 4), (x + 18, y - 4), (x + 13, y + 34), (x - 13, y + 34)], (196, 190, 182))
    room.shadow([(x + 4, y - 4), (x + 19, y - 4), (x + 14, y + 34), (x + 6, y + 34)], 3, 0.3)


def desk() -> tuple[Float, Float]:
    """A desk with a screen that stands before the farthest person: rgb and coverage."""
    room = Room(5)
    cover = np.zeros(room.rgb.shape[:2], np.float32)
    parts: list[tuple[Points, Colour]] = [
        ([(286, 236), (470, 236), (486, 254), (270, 254)], (176, 138, 98)),
        ([(270, 254), (486, 254), (486, 264), (270, 264)], (132, 100, 70)),
        ([(276, 264), (480, 264), (478, 365), (278, 365)], (88, 70, 54)),
        ([(394, 196), (446, 196), (446, 232), (394, 232)], (40, 42, 46)),
        ([(415, 232), (425, 232), (430, 243), (410, 243)], (58, 60, 64)),
        ([(300, 238), (330, 238), (334, 246), (298, 246)], (232, 230, 224)),
    ]
    for outline, colour in parts:
        mask = room.shape(outline)
        room.mix(np.where(cover > 0.02, mask, np.ceil(mask)), colour)
        cover = np.maximum(cover, mask)
    return room.finish(0.3), cover


def corridor() -> Float:
    """A corridor with doors, ceiling lights and a bright end."""
    room = Room(8)
    far = (286.0, 96.0, 372.0, 214.0)
    near = (-330.0, -330.0, 990.0, 620.0)

    def at(u: float, v: float, depth: float) -> tuple[float, float]:
        """A place on a cross-section: u, v in 0..1, depth 0 near to 1 far (already in perspective)."""
        x0, y0, x1, y1 = (n + (f - n) * depth for n, f in zip(near, far, strict=True))
        return x0 + u * (x1 - x0), y0 + v * (y1 - y0)

    sides: list[tuple[list[tuple[float, float]], Colour]] = [
        ([(0, 0), (1, 0)], (206, 206, 202)),
        ([(0, 1), (1, 1)], (116, 112, 108)),
        ([(0, 0), (0, 1)], (172, 176, 174)),
        ([(1, 0), (1, 1)], (152, 154, 152)),
    ]
    for (one, two), colour in sides:
        room.fill([at(*one, 0), at(*two, 0), at(*two, 1), at(*one, 1)], colour, 0.5)
    room.box(*far, (224, 230, 232))
    room.box(far[0] + 18, far[1] + 30, far[2] - 18, far[3], (188, 204, 212), 1.5)
    room.box(far[0] + 41, far[1] + 30, far[0] + 44, far[3], (110, 116, 120), 0.8)
    for start in (0.45, 0.62, 0.76, 0.86, 0.93):
        end = start + (1 - start) * 0.22
        pane = start + 0.3 * (end - start)
        for u, tone in ((0.0, 0.95), (1.0, 0.85)):
            door = [at(u, 0.36, start), at(u, 0.36, end), at(u, 1, end), at(u, 1, start)]
            room.fill(door, np.float32(tone) * np.array([112, 84, 62], np.float32))
            room.fill(
                [at(u, 0.4, pane), at(u, 0.4, end), at(u, 0.62, end), at(u, 0.62, pane)],
                (150, 166, 172),
                0.6,
                0.6,
            )
        lamp = [at(0.42, 0, start), at(0.58, 0, start), at(0.58, 0, end), at(0.42, 0, end)]
        room.fill(lamp, (255, 253, 246), 1.2)
        room.fill(
            [at(0.4, 1, start), at(0.6, 1, start), at(0.6, 1, end), at(0.4, 1, end)],
            (176, 174, 170),
            5,
            0.5,
        )
    for u in (0.0, 1.0):
        room.fill([at(u, 0.97, 0), at(u, 0.97, 1), at(u, 1, 1), at(u, 1, 0)], (92, 90, 88))
    room.grain((3, 3), 0.01, 9)
    room.glow(330, 150, 190, 0.12)
    return room.finish(1.6)


def compose(
    room: Float, sprites: list[Sprite], fronts: list[tuple[Float, Float] | None]
) -> tuple[Float, list[float]]:
    """Lay sprites, far to near, on a room; after each, what stands before it. Returns the picture and how
    much of each face is seen (0..1).
    """
    picture = room.copy()
    owners = np.full(picture.shape[:2], -1, np.int32)
    for index, (sprite, front) in enumerate(zip(sprites, fronts, strict=True)):
        x0, y0 = max(sprite.x0, 0), max(sprite.y0, 0)
        x1 = min(sprite.x0 + sprite.alpha.shape[1], picture.shape[1])
        y1 = min(sprite.y0 + sprite.alpha.shape[0], picture.shape[0])
        if x1 > x0 and y1 > y0:
            part = slice(y0 - sprite.y0, y1 - sprite.y0), slice(x0 - sprite.x0, x1 - sprite.x0)
            here = slice(y0, y1), slice(x0, x1)
            alpha = sprite.alpha[part]
            picture[here] += alpha[..., None] * (sprite.rgb[part] - picture[here])
            owners[here][alpha > 0.5] = -1
            owners[here][sprite.face[part]] = index
        if front is not None:
            picture += front[1][..., None] * (front[0] - picture)
            owners[front[1] > 0.5] = -1
    seen = [float((owners == i).sum()) / max(1, int(s.face.sum())) for i, s in enumerate(sprites)]
    return picture, seen


def film(picture: Float, frame: int) -> NDArray[np.uint8]:
    """The camera: half size, a soft lens, darker corners, grain; uint8 RGB."""
    small = cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    small = np.asarray(cv2.GaussianBlur(small, (0, 0), 0.45), np.float32)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    away = ((x / WIDTH - 0.5) ** 2 + (y / HEIGHT - 0.5) ** 2) * 2
    small = small * (1 - np.float32(0.16) * smooth(0.2, 1.0, np.asarray(away, np.float32)))[..., None]
    random = np.random.default_rng(1000 + frame)
    grain = random.standard_normal((HEIGHT, WIDTH, 1)).astype(np.float32) * 1.6
    grain = grain + random.standard_normal((HEIGHT, WIDTH, 3)).astype(np.float32) * 0.7
    return np.asarray(np.clip(small + grain + 0.5, 0, 255), np.uint8)
