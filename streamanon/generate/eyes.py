"""What shows between open lids: white, iris and pupil, at the frame's own resolution.

The iris has the delegate's colours, taken from the texture by distance from its middle, and lies where the
person looks. Of the person one number is used: how bright the whites are.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import cv2
import numpy as np

from streamanon.generate.layers import Layer, Look, grid, parabola, placed, softly_filled
from streamanon.mesh.landmarks import EYE_SIDES, EYES, IRIS_RINGS, IRISES, LID_MIDDLES, LIDS
from streamanon.types import LUMA, Delegate, Float

#: Of an iris's radius, the rings of which colours are taken, and how far beside the middle, of that ring.
RINGS, SECTOR = 12, 0.6
#: Lids apart by less than the first, of an eye's width, are closed; from the second on all is painted.
OPEN = (0.07, 0.12)
#: A closed lid, in eye widths from the line of lashes: how far it reaches up and down, softly; the lashes'
#: thickness, and how dark they are; how much the lid's ball shines, and where.
LID_REACH, LID_SOFT = (-0.36, 0.12), (0.2, 0.1)
LASHES, LASH_SHARE, BULGE, BULGE_AT, BULGE_SIZE = 0.03, 0.5, 0.06, -0.1, 0.06
#: Below the eyes and right above the lids a texture shows skin as shaded as closed lids are at the lashes
#: and below the brows; blurred by so much of its side (sigma); the bounds of either shade.
LID_PLACES = ((228, 229, 230, 231, 448, 449, 450, 451), (29, 27, 28, 56, 259, 257, 258, 286))
LID_SIGMA, LID_SHADES = 0.008, (0.85, 1.05)
#: Lids this far apart show how bright the whites are; that and its bounds, of the skin's luma.
SHOWN, WHITE, WHITE_RANGE = 0.2, 1.1, (0.9, 1.6)
#: Whites are brighter than the mean of what shows between lids, lashes and iris too, by so much.
WHITER = 1.15
#: An iris's radius, of an eye's width.
RADIUS = (0.17, 0.24)
#: How red the whites are, and how much of the skin's tint they take on (a power).
WHITE_RGB, TINTED = (1.03, 0.99, 0.97), 0.25
#: Softness of the opening's edge and of the iris's, in radii and px.
SOFT, SOFT_PX = 0.06, 0.4
#: The upper lid's shadow: how strong, and how far it reaches, in radii; the corners': how strong.
SHADOW, SHADOW_REACH, CORNERS = 0.45, 0.55, 0.4
#: The reflected light: where, how large (in radii), how bright, of the whites', how opaque.
GLINT, GLINT_SIZE, GLINT_LIGHT, GLINT_SHARE = (-0.3, -0.38), 0.17, 1.15, 0.8
#: Streaks of an iris: how many, how strong; how much brighter it is at its lower edge.
STREAKS, STREAK_SHARE, IRIS_BELOW = 23, 0.12, 0.15
#: Where contrast is low an eye is about so bright, of the skin's luma.
MEAN_LIGHT = 0.75
#: Bounds of how much brighter than in the texture an iris is.
GAINS = (0.5, 1.5)
TINY = 1e-3


@dataclass(frozen=True, eq=False, repr=False)
class Irises:
    """``rings`` [12, 3] RGB 0..255: an iris's colours from the middle outwards; ``skin``: the luma of the
    skin that they belong to; ``phase``: of the streaks; ``lid`` [2, 3]: how bright lids are, of the
    skin, at the lashes and below the brows.
    """

    rings: Float
    skin: float
    phase: float
    lid: Float


def irises_of(delegate: Delegate, uv: Float) -> Irises:
    """A delegate's, out of its texture: beside the middle of both eyes, where lids do not cover it. ``uv``
    [478, 2]: where the mesh points lie in a texture of 256 px.
    """
    texture = delegate.fine
    places = (uv.astype(np.float64) + 0.5) * (len(texture) / 256) - 0.5
    radii = (np.arange(RINGS) + 0.5) / RINGS
    angles = np.linspace(-SECTOR, SECTOR, 9)
    angles = np.concatenate([angles, np.pi - angles])
    seen = []
    for iris, ring in zip(IRISES, IRIS_RINGS, strict=True):
        radius = np.linalg.norm(places[list(ring)] - places[iris], axis=1).mean()
        x = places[iris, 0] + radius * np.outer(radii, np.cos(angles))
        y = places[iris, 1] + radius * np.outer(radii, np.sin(angles))
        maps = x.astype(np.float32), y.astype(np.float32)
        seen.append(cv2.remap(texture, *maps, cv2.INTER_LINEAR).astype(np.float32))
    rings = np.median(np.concatenate(seen, axis=1), axis=1).astype(np.float32)
    smooth = cv2.GaussianBlur(texture, (0, 0), LID_SIGMA * len(texture))
    columns, rows = np.rint(places[np.array(LID_PLACES)]).astype(int).transpose(2, 0, 1)
    lid = np.median(smooth[rows, columns], axis=1) / np.maximum(delegate.skin, 1)
    phase = (zlib.crc32(delegate.id.encode()) % 1000) / 1000
    lid = np.asarray(lid.clip(*LID_SHADES), np.float32)
    return Irises(rings, max(float(delegate.skin @ LUMA), 1.0), phase, lid)


def eye_white(crop: Float, lights: Float, points: Float) -> float | None:
    """How bright the whites of a person's eyes are, of the luma of the skin about, ``lights`` [2, 3]
    by eye: the mean of the brighter half between the lids; None where the eyes are not open.
    ``points``: in the crop, px.
    """
    found = []
    for eye, (outline, light) in enumerate(zip(EYES, lights, strict=True)):
        if openness(points, eye) < SHOWN:
            continue
        ring = points[list(outline), :2]
        x0, y0 = np.floor(ring.min(0)).astype(int).clip(0)
        x1, y1 = np.ceil(ring.max(0)).astype(int).clip(0) + 1
        part = crop[y0:y1, x0:x1]
        mask = np.zeros(part.shape[:2], np.uint8)
        if not mask.size:
            continue
        cv2.fillPoly(mask, [np.rint(16 * (ring - [x0, y0])).astype(np.int32)], 1, cv2.LINE_8, 4)
        luma = part[mask > 0] @ LUMA
        if len(luma):
            brighter = float(luma[luma >= np.median(luma)].mean())
            found.append(WHITER * brighter / max(float(light @ LUMA), 1.0))
    return float(np.clip(np.mean(found), *WHITE_RANGE)) if found else None


def openness(points: Float, eye: int) -> float:
    """How far the lids are apart, in eye widths."""
    lids, sides = (
        points[first, :2] - points[last, :2] for first, last in (LID_MIDDLES[eye], EYE_SIDES[eye])
    )
    return float(np.linalg.norm(lids)) / max(float(np.linalg.norm(sides)), TINY)


@dataclass(frozen=True, eq=False, repr=False)
class _Eye:
    """Where an eye lies, px: its corners' middle line from ``first`` along ``level``, so ``width``;
    ``light`` [3]: the skin's colour about.
    """

    number: int
    points: Float
    light: Float

    @property
    def first(self) -> Float:
        return self.points[EYE_SIDES[self.number][0], :2]

    @property
    def width(self) -> float:
        first, last = (self.points[corner, :2] for corner in EYE_SIDES[self.number])
        return max(float(np.linalg.norm(last - first)), TINY)

    @property
    def level(self) -> Float:
        first, last = (self.points[corner, :2] for corner in EYE_SIDES[self.number])
        return np.asarray((last - first) / self.width, np.float32)

    @property
    def skin(self) -> float:
        return max(float(self.light @ LUMA), 1.0)

    def local(self, at: Float) -> tuple[Float, Float]:
        """Places [..., 2] px along and below the line of the corners, in eye widths."""
        away, level = (at - self.first) / self.width, self.level
        u = away[..., 0] * level[0] + away[..., 1] * level[1]
        v = away[..., 1] * level[0] - away[..., 0] * level[1]
        return np.asarray(u, np.float32), np.asarray(v, np.float32)

    def lid(self, *lids: tuple[int, ...]) -> Float:
        """The mean of some lids as a polynomial, below the corners' line of the place along it."""
        u, v = self.local(np.mean([self.points[list(lid), :2] for lid in lids], axis=0))
        return parabola(u, v)


def eye_layers(
    points: Float,
    size: tuple[int, int],
    lights: Float,
    irises: Irises,
    white: float,
    look: Look,
) -> list[Layer]:
    """What to lay between the lids, and over closed ones, of ``points`` [478, 3] px of an image of
    ``size`` (width, height). ``lights`` [2, 3]: the skin's colour about either eye; ``white``: as
    :func:`eye_white` gives it.
    """
    apart = np.array([openness(points, eye) for eye in (0, 1)])
    apart = (apart + 2 * apart.min()) / 3  # lids close together: one eye may be measured late
    layers = []
    for number, amount in enumerate(np.interp(apart, OPEN, (0, 1)).tolist()):
        eye = _Eye(number, points, np.asarray(lights[number], np.float32))
        made = (_lid(eye, size, irises, look, 1 - amount), _ball(eye, size, irises, white, look, amount))
        layers += [layer for layer in made if layer is not None]
    return layers


def _lid(eye: _Eye, size: tuple[int, int], irises: Irises, look: Look, amount: float) -> Layer | None:
    """A closed lid: skin, and a line of lashes."""
    if not amount:
        return None
    (low, high), lashes = LID_REACH, eye.lid(*LIDS[eye.number])
    rim = np.array([low - 0.2, high + 0.2])
    corners = eye.first + eye.width * np.array([-0.25, 1.25])[:, None] * eye.level
    down = np.array([-eye.level[1], eye.level[0]])
    box = np.concatenate([corners + eye.width * edge * down for edge in rim])
    place = placed(box, 1.0, size)
    if place is None:
        return None
    u, v = eye.local(grid(place))
    v = v - np.polyval(lashes, u).astype(np.float32)
    tapered = np.sqrt(np.clip(4 * u * (1 - u), 0, 1))
    thick = float(np.hypot(LASHES, look.sigma_px / eye.width))
    lash = LASH_SHARE * look.contrast * LASHES / thick * np.exp(-((v / thick) ** 2)) * tapered
    bulge = BULGE * look.contrast * np.exp(-(((v - BULGE_AT) / BULGE_SIZE) ** 2)) * tapered
    fade = np.clip((v - low) / LID_SOFT[0], 0, 1) * np.clip((high - v) / LID_SOFT[1], 0, 1)
    ends = np.clip((u + 0.14) / 0.16, 0, 1) * np.clip((1.14 - u) / 0.16, 0, 1)
    up = np.clip(v / low, 0, 1)[..., None]
    rgb = eye.light * (irises.lid[0] + up * (irises.lid[1] - irises.lid[0])) * (1 + bulge - lash)[..., None]
    return Layer(
        place[0], place[1], np.asarray(rgb, np.float32), np.asarray(fade * ends * amount, np.float32)
    )


def _ball(
    eye: _Eye, size: tuple[int, int], irises: Irises, white: float, look: Look, amount: float
) -> Layer | None:
    """White, iris and reflected light, in the upper lid's shadow."""
    points, ring = eye.points, eye.points[list(EYES[eye.number]), :2]
    middle, around = points[IRISES[eye.number], :2], points[list(IRIS_RINGS[eye.number]), :2]
    radius = float(np.clip(np.linalg.norm(around - middle, axis=1).mean() / eye.width, *RADIUS)) * eye.width
    soft = SOFT * radius + SOFT_PX
    place = placed(ring, 3 * soft + 1, size)
    if not amount or place is None:
        return None
    weight = amount * softly_filled(ring, place, soft)
    at = grid(place)
    u, v = eye.local(at)
    tint = (eye.light / eye.skin) ** TINTED * np.array(WHITE_RGB, np.float32)
    dim = 1 - CORNERS * np.clip(np.abs(2 * u - 1) - 0.4, 0, 0.6) / 0.6
    ball = np.asarray(white * eye.skin * tint * dim[..., None], np.float32)
    x, y = np.moveaxis((at - middle) / np.float32(radius), -1, 0)
    ball = _with_iris(ball, x, y, radius, irises, eye.skin)
    below = (v - np.polyval(eye.lid(LIDS[eye.number][0]), u)) * eye.width / (SHADOW_REACH * radius)
    ball *= (1 - SHADOW * np.exp(-np.clip(below, 0, 3)))[..., None].astype(np.float32)
    glint = GLINT_SHARE * np.exp(-((x - GLINT[0]) ** 2 + (y - GLINT[1]) ** 2) / GLINT_SIZE**2)
    ball += glint[..., None] * (np.float32(GLINT_LIGHT * white * eye.skin) - ball)
    return Layer(place[0], place[1], look.seen(ball, np.float32(MEAN_LIGHT * eye.skin)), weight)


def _with_iris(ball: Float, x: Float, y: Float, radius: float, irises: Irises, skin: float) -> Float:
    """The iris over the white; ``x``, ``y`` [h, w]: places from its middle, in its ``radius``, px."""
    away = np.sqrt(x * x + y * y)
    at = np.clip(away * RINGS - 0.5, 0, RINGS - 1)
    low = at.astype(np.int32).clip(0, RINGS - 2)
    colour = irises.rings[low] + (at - low)[..., None] * (irises.rings[low + 1] - irises.rings[low])
    angle = np.arctan2(y, x)
    streaks = np.sin(STREAKS * angle + 6.28 * irises.phase) * np.sin(7 * angle + 3 * irises.phase)
    between = np.clip((away - 0.35) / 0.15, 0, 1) * np.clip((0.95 - away) / 0.15, 0, 1)
    gain = np.clip(skin / irises.skin, *GAINS)
    colour *= (gain * (1 + between * (STREAK_SHARE * streaks + IRIS_BELOW * y)))[..., None]
    edge = SOFT + 0.7 / radius
    share = np.clip((1 + edge - away) / (2 * edge), 0, 1)
    return np.asarray(ball + share[..., None] * (colour - ball), np.float32)
