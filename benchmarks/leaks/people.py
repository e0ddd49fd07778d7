"""Synthetic people for footage with a known truth: drawn once in many poses, then placed in frames.

A face is drawn by the renderer of the demo clip (``scripts/demo_people.py``) at each of a grid of poses;
a frame takes the nearest one, turned and scaled in the plane. Colours are multiplied by their coverage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from demo_people import (
    BODY_LEFT,
    BODY_STEPS,
    BODY_TOP,
    PIVOT,
    RAISED,
    Person,
    Pose,
    Style,
    Wish,
    draw_person,
    make_person,
)
from numpy.typing import NDArray

from streamanon.gallery.delegates import DelegateGallery
from streamanon.types import Float

Image = NDArray[np.uint8]

#: Faces are drawn at this many px an eye distance; a face is about so many eye distances wide.
UNIT, FACE_UNITS = 44.0, 2.15
YAWS, PITCHES = tuple(range(-80, 81, 8)), (-18, 0, 18)
#: What is kept of a drawn head, eye distances from the point about which it turns.
LEFT, TOP, RIGHT, BOTTOM = 2.5, 2.9, 2.5, 4.4
#: Below, a head's picture goes over into the body's.
FADE = 0.5
HAIRS = ("short", "long", "bob", "bun", "bald")
COLLARS = ("crew", "vneck", "jacket", "shirt")


@dataclass(frozen=True, eq=False)
class Cutout:
    """RGBA [h, w, 4] at full, half, quarter … size; ``scale``: px an eye distance at full size; ``origin``:
    where the point about which the head turns lies in it, px.
    """

    levels: tuple[Image, ...]
    scale: float
    origin: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Head:
    """One pose: what is seen, the face's pixels [h, w], and its mesh [478, 2] in eye distances."""

    seen: Cutout
    face: tuple[Image, ...]
    points: Float


@dataclass(frozen=True, eq=False)
class DrawnPerson:
    """A person in all poses. ``skin``: RGB."""

    heads: dict[tuple[int, int], Head]
    body: Cutout
    skin: tuple[int, int, int]

    def head(self, yaw: float, pitch: float) -> Head:
        nearest = (
            min(grid, key=lambda step: abs(step - way)) for grid, way in ((YAWS, yaw), (PITCHES, pitch))
        )
        across, down = nearest
        return self.heads[across, down]


@dataclass(frozen=True)
class Stance:
    """Where a head is: px of the frame and of an eye distance, degrees."""

    x: float
    y: float
    unit: float
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0

    @property
    def width(self) -> float:
        return self.unit * FACE_UNITS


def make_people(gallery: DelegateGallery, rng: np.random.Generator, count: int) -> list[DrawnPerson]:
    used: set[str] = set()
    return [draw_one(gallery, _person(gallery, rng, f"person {n}", used)) for n in range(count)]


def _person(gallery: DelegateGallery, rng: np.random.Generator, name: str, used: set[str]) -> Person:
    masculine = bool(rng.random() < 0.5)
    wish = Wish(masculine, float(rng.uniform(18, 75)), float(rng.uniform(50, 160)))
    hairs = [hair for hair in HAIRS if masculine or hair != "bald"]
    dark = rng.uniform(0.1, 1.0)
    hair_rgb = tuple(
        float(dark * c) for c in rng.choice([[110, 80, 55], [190, 185, 180], [200, 160, 90], [60, 50, 45]])
    )
    cloth = tuple(float(c) for c in (rng.uniform(30, 200) + rng.normal(0, 28, 3)).clip(10, 230))
    style = Style(
        str(rng.choice(hairs)),
        (hair_rgb[0], hair_rgb[1], hair_rgb[2]),
        (cloth[0], cloth[1], cloth[2]),
        str(rng.choice(COLLARS)),
        seed=int(rng.integers(1000)),
    )
    return make_person(gallery, name, wish, style, used)


def draw_one(gallery: DelegateGallery, person: Person) -> DrawnPerson:
    poses = [(yaw, pitch) for yaw in YAWS for pitch in PITCHES]
    heads = {(yaw, pitch): _head(gallery, person, yaw, pitch) for yaw, pitch in poses}
    body = np.dstack([person.body[..., :3] * person.body[..., 3:], 255 * person.body[..., 3]])
    origin = (PIVOT[0] - BODY_LEFT) * BODY_STEPS, (PIVOT[1] - BODY_TOP + RAISED) * BODY_STEPS
    skin = [int(c) for c in person.skin]
    return DrawnPerson(
        heads, Cutout(_levels(_bytes(body)), BODY_STEPS, origin), (skin[0], skin[1], skin[2])
    )


def _head(gallery: DelegateGallery, person: Person, yaw: int, pitch: int) -> Head:
    at = 6 * UNIT
    mouth = 0.12 if (yaw // 8 + pitch) % 3 == 0 else 0.0
    sprite = draw_person(
        gallery,
        person,
        Pose(at, at, UNIT, float(yaw), float(pitch), mouth=mouth),
        round(at + BOTTOM * UNIT),
    )
    x0, y0 = round(at - LEFT * UNIT) - sprite.x0, max(round(at - TOP * UNIT) - sprite.y0, 0)
    window = np.s_[y0:, x0 : x0 + round((LEFT + RIGHT) * UNIT)]
    alpha = sprite.alpha[window].copy()
    steps = np.arange(alpha.shape[0])[::-1] / (FADE * UNIT)
    alpha *= np.minimum(steps, 1)[:, None].astype(np.float32)
    sides = np.minimum(np.arange(alpha.shape[1]), np.arange(alpha.shape[1])[::-1]) / (FADE * UNIT)
    alpha *= np.minimum(sides, 1)[None].astype(np.float32)
    seen = _bytes(np.dstack([sprite.rgb[window] * alpha[..., None], 255 * alpha]))
    origin = at - sprite.x0 - x0, at - sprite.y0 - y0
    points = (sprite.points[:, :2] - np.float32(at)) / np.float32(UNIT)
    face = sprite.face[window].astype(np.uint8) * np.uint8(255)
    return Head(Cutout(_levels(seen), UNIT, origin), _levels(face), np.asarray(points, np.float32))


def _bytes(values: Float) -> Image:
    return np.asarray(np.clip(values + 0.5, 0, 255), np.uint8)


def _levels(image: Image) -> tuple[Image, ...]:
    levels = [image]
    while min(levels[-1].shape[:2]) > 24:
        height, width = levels[-1].shape[:2]
        small = cv2.resize(levels[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        levels.append(np.asarray(small, np.uint8))
    return tuple(levels)


class Canvas:
    """A frame in the making: ``rgb`` [H, W, 3] uint8 and ``owners`` [H, W] int16, whose face is seen where,
    -1: no face.
    """

    def __init__(self, background: Image) -> None:
        self.rgb = np.ascontiguousarray(background)
        self.owners = np.full(background.shape[:2], -1, np.int16)

    def place(
        self, person: DrawnPerson, stance: Stance, number: int, smear: tuple[float, float] = (0.0, 0.0)
    ) -> float:
        """Draw somebody in front of all that is there, smeared over a way [px]. Returns how many pixels
        their face would have if nothing were in front of it.
        """
        head = person.head(stance.yaw, stance.pitch)
        self._lay(person.body, stance, 0.0, smear)
        self._lay(head.seen, stance, stance.roll, smear)
        placed = _warp(head.face, head.seen, stance, stance.roll, self.owners.shape)
        if placed is not None:
            rows, columns, face = placed
            self.owners[rows, columns][face > 127] = number
        return float((head.face[0] > 127).sum()) * (stance.unit / UNIT) ** 2

    def _lay(self, cutout: Cutout, stance: Stance, roll: float, smear: tuple[float, float]) -> None:
        placed = _warp(cutout.levels, cutout, stance, roll, self.owners.shape)
        if placed is None:
            return
        rows, columns, seen = placed
        if np.hypot(*smear) >= 2:
            seen = _smeared(seen, smear)
        self.rgb[rows, columns] = _over(self.rgb[rows, columns], seen)
        self.owners[rows, columns][seen[..., 3] > 127] = -1

    def cover(self, rows: slice, columns: slice, front: Image) -> None:
        """Lay RGBA in front of a region."""
        self.rgb[rows, columns] = _over(self.rgb[rows, columns], front)
        self.owners[rows, columns][front[..., 3] > 127] = -1


def _over(behind: Image, front: Image) -> Image:
    left = cv2.merge([np.uint8(255) - front[..., 3]] * 3)
    return np.asarray(cv2.add(cv2.multiply(behind, left, scale=1 / 255), front[..., :3]), np.uint8)


def _smeared(seen: Image, way: tuple[float, float]) -> Image:
    length = min(int(np.hypot(*way)) | 1, 31)
    kernel = np.zeros((length, length), np.float32)
    middle = (length - 1) / 2
    reach = np.array(way) / np.hypot(*way) * middle
    ends = [tuple(round(v) for v in middle + sign * reach) for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0)
    return np.asarray(
        cv2.filter2D(seen, -1, kernel / kernel.sum(), borderType=cv2.BORDER_CONSTANT), np.uint8
    )


def _warp(
    levels: Sequence[Image], cutout: Cutout, stance: Stance, roll: float, shape: tuple[int, ...]
) -> tuple[slice, slice, Image] | None:
    """A cut-out, turned and scaled, with the part of the frame it falls on; None for outside."""
    scale, level = stance.unit / cutout.scale, 0
    while scale < 0.6 and level + 1 < len(levels):
        scale, level = scale * 2, level + 1
    image = levels[level]
    origin = (np.array(cutout.origin) + 0.5) / 2**level - 0.5
    angle = np.radians(roll)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    height, width = image.shape[:2]
    corners = (np.array([[0, 0], [width, 0], [0, height], [width, height]]) - origin) @ turn.T
    at = np.array([stance.x, stance.y])
    low = np.floor(corners.min(0) + at).astype(int).clip(0)
    high = np.minimum(np.ceil(corners.max(0) + at).astype(int) + 1, [shape[1], shape[0]])
    if (high <= low).any():
        return None
    shift = at - low - turn @ origin
    matrix = np.column_stack([turn, shift]).astype(np.float32)
    size = int(high[0] - low[0]), int(high[1] - low[1])
    return (
        slice(low[1], high[1]),
        slice(low[0], high[0]),
        np.asarray(cv2.warpAffine(image, matrix, size), np.uint8),
    )


def face_box(person: DrawnPerson, stance: Stance) -> Float:
    """The mesh's box [4], xyxy px."""
    angle = np.radians(stance.roll)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], np.float32)
    points = person.head(stance.yaw, stance.pitch).points @ turn.T * np.float32(stance.unit)
    points = points + np.array([stance.x, stance.y], np.float32)
    return np.concatenate([points.min(0), points.max(0)]).astype(np.float32)
