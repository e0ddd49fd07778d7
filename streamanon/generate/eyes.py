"""What shows between open lids: white, iris and pupil, at the frame's own resolution.

The iris has the delegate's colours, taken from the texture by distance from its middle, and lies where the
person looks. Of the person one number is used: how bright the whites are.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from streamanon.mesh.landmarks import EYE_SIDES, EYES, IRIS_RINGS, IRISES, LID_MIDDLES, LIDS
from streamanon.types import LUMA, Delegate, Float

#: Of an iris's radius, the rings of which colours are taken, and how far beside the middle, of that ring.
RINGS, SECTOR = 12, 0.6
#: Lids apart by less than the first, of an eye's width, are closed; from the second on all is painted.
OPEN = (0.07, 0.12)
#: A closed lid, in eye widths from the line of lashes: the skin above and below of whose colours it is, how
#: far it reaches up and down; the lashes' thickness, and how dark they are; how much the lid bulges out.
LID_FROM, LID_REACH = (-0.3, 0.2), (-0.2, 0.11)
LASHES, LASH_SHARE, BULGE = 0.03, 0.5, 0.06
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
#: The reflected light: where, how large (in radii), how bright, of the whites'.
GLINT, GLINT_SIZE, GLINT_LIGHT = (-0.3, -0.38), 0.17, 1.15
#: Streaks of an iris: how many, how strong.
STREAKS, STREAK_SHARE = 23, 0.12
#: Bounds of how much brighter than in the texture an iris is.
GAINS = (0.5, 1.5)
TINY = 1e-3


@dataclass(frozen=True, eq=False, repr=False)
class Irises:
    """``rings`` [12, 3] RGB 0..255: an iris's colours from the middle outwards; ``skin``: the luma of the
    skin that they belong to; ``phase``: of the streaks.
    """

    rings: Float
    skin: float
    phase: float


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
    phase = (zlib.crc32(delegate.id.encode()) % 1000) / 1000
    return Irises(rings, max(float(delegate.skin @ LUMA), 1.0), phase)


def eye_white(crop: Float, light: Float, points: Float) -> float | None:
    """How bright the whites of a person's eyes are, of the ``light``'s luma [h, w, 3]: the mean of the
    brighter half between the lids; None where the eyes are not open. ``points``: in the crop, px.
    """
    found = []
    for eye, outline in enumerate(EYES):
        ring = points[list(outline), :2]
        if _openness(points, eye) < SHOWN:
            continue
        x0, y0 = np.floor(ring.min(0)).astype(int).clip(0)
        x1, y1 = np.ceil(ring.max(0)).astype(int) + 1
        part = np.ascontiguousarray(crop[y0:y1, x0:x1])
        mask = np.zeros(part.shape[:2], np.uint8)
        if not mask.size:
            continue
        cv2.fillPoly(mask, [np.rint(16 * (ring - [x0, y0])).astype(np.int32)], 1, cv2.LINE_8, 4)
        luma = (part @ LUMA)[mask > 0]
        if not len(luma):
            continue
        skin = light[min(y0, len(light) - 1), min(x0, light.shape[1] - 1)] @ LUMA
        found.append(WHITER * float(luma[luma >= np.median(luma)].mean()) / max(float(skin), 1.0))
    return float(np.clip(np.mean(found), *WHITE_RANGE)) if found else None


def paint_eyes(
    rgb: Float,
    points: Float,
    lights: Sequence[Float],
    irises: Irises,
    white: float,
    look: tuple[float, float],
) -> None:
    """Paint into ``rgb`` [h, w, 3] 0..255, in its own pixels, between the lids of ``points`` [478, 3] px.
    ``lights``: the skin's colour [3] about either eye; ``white``: as :func:`eye_white` gives it; ``look``:
    the footage's contrast, 0..1, and its blur (sigma, px).
    """
    apart = np.array([_openness(points, eye) for eye in (0, 1)])
    apart = (apart + apart.min()) / 2  # lids close together: one eye may be measured late
    for eye, amount in enumerate(np.interp(apart, OPEN, (0, 1)).tolist()):
        if amount < 1:
            _paint_lid(rgb, points, eye, look, 1 - amount)
        if amount:
            _paint_eye(rgb, points, eye, lights[eye], irises, white, look, amount)


def _openness(points: Float, eye: int) -> float:
    """How far the lids are apart, in eye widths."""
    lids, sides = (
        points[first, :2] - points[last, :2] for first, last in (LID_MIDDLES[eye], EYE_SIDES[eye])
    )
    return float(np.linalg.norm(lids)) / max(float(np.linalg.norm(sides)), TINY)


def _paint_eye(
    rgb: Float,
    points: Float,
    eye: int,
    light: Float,
    irises: Irises,
    white: float,
    look: tuple[float, float],
    amount: float,
) -> None:
    ring = points[list(EYES[eye]), :2]
    first, last = (points[corner, :2] for corner in EYE_SIDES[eye])
    width = max(float(np.linalg.norm(last - first)), TINY)
    middle = points[IRISES[eye], :2]
    around = points[list(IRIS_RINGS[eye]), :2]
    radius = float(np.clip(np.linalg.norm(around - middle, axis=1).mean() / width, *RADIUS)) * width
    soft = SOFT * radius + SOFT_PX
    reach = 3 * soft + 1
    (x0, y0), (x1, y1) = np.floor(ring.min(0) - reach).astype(int), np.ceil(ring.max(0) + reach).astype(int)
    x0, y0, x1, y1 = max(0, x0), max(0, y0), min(rgb.shape[1], x1), min(rgb.shape[0], y1)
    if x1 - x0 < 2 or y1 - y0 < 2:
        return
    opening = np.zeros((y1 - y0, x1 - x0), np.uint8)
    cv2.fillPoly(opening, [np.rint(16 * (ring - [x0, y0])).astype(np.int32)], 255, cv2.LINE_AA, 4)
    weight = cv2.GaussianBlur(opening.astype(np.float32) / 255, (0, 0), soft)
    y, x = np.mgrid[y0:y1, x0:x1].astype(np.float32)
    skin = max(float(light @ LUMA), 1.0)
    tint = (light / skin) ** TINTED * np.array(WHITE_RGB, np.float32)
    ball = np.float32(white * skin) * tint + np.zeros((*x.shape, 1), np.float32)
    along = ((x - first[0]) * (last[0] - first[0]) + (y - first[1]) * (last[1] - first[1])) / width**2
    ball *= (1 - CORNERS * np.clip(np.abs(2 * along - 1) - 0.4, 0, 0.6) / 0.6)[..., None]
    ball = _with_iris(ball, x - middle[0], y - middle[1], radius, irises, skin)
    lid = np.polyfit(points[list(LIDS[eye][0]), 0], points[list(LIDS[eye][0]), 1], 2)
    below = np.clip((y - np.polyval(lid, x)) / (SHADOW_REACH * radius), 0, 3)
    ball *= (1 - SHADOW * np.exp(-below))[..., None]
    glint = np.exp(
        -(((x - middle[0]) / radius - GLINT[0]) ** 2 + ((y - middle[1]) / radius - GLINT[1]) ** 2)
        / GLINT_SIZE**2
    )[..., None]
    ball += 0.8 * glint * (GLINT_LIGHT * white * skin - ball)
    contrast, sigma = look
    if sigma > SOFT_PX:
        ball = np.asarray(cv2.GaussianBlur(ball, (0, 0), sigma), np.float32)
    ball = skin * 0.75 + contrast * (ball - skin * 0.75)
    part = rgb[y0:y1, x0:x1]
    part += (amount * weight[..., None]) * (ball - part)


def _paint_lid(rgb: Float, points: Float, eye: int, look: tuple[float, float], amount: float) -> None:
    """A closed lid: skin between what lies above and below it, and a line of lashes."""
    first, last = (points[corner, :2] for corner in EYE_SIDES[eye])
    width = max(float(np.linalg.norm(last - first)), TINY)
    level = (last - first) / width
    down = np.array([-level[1], level[0]], np.float32)
    lids = np.stack([points[list(lid), :2] for lid in LIDS[eye]]).mean(axis=0) - first
    lashes = np.polyfit(lids @ level / width, lids @ down / width, 2)
    columns, (low, high) = max(8, round(1.2 * width)), LID_REACH
    rows = max(6, round((high - low) * width) + 2)
    along = np.linspace(-0.05, 1.05, columns, dtype=np.float32)
    curve = np.polyval(lashes, along).astype(np.float32)

    def seen(depth: float) -> Float:
        at = first + width * (along[:, None] * level + (curve + depth)[:, None] * down)
        line = cv2.remap(
            rgb,
            at[None, :, 0].astype(np.float32),
            at[None, :, 1].astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return np.asarray(cv2.GaussianBlur(line, (0, 0), columns / 8), np.float32)

    above, below = (seen(depth) for depth in LID_FROM)
    depth = np.linspace(low, high, rows, dtype=np.float32)[:, None]
    share = (depth - LID_FROM[0]) / (LID_FROM[1] - LID_FROM[0])
    lid = above + share[..., None] * (below - above)
    tapered = np.clip(4 * along * (1 - along), 0, 1) ** 0.5
    contrast, sigma = look
    thick = np.hypot(LASHES, sigma / width)
    lash = LASH_SHARE * contrast * LASHES / thick * np.exp(-((depth / thick) ** 2)) * tapered
    bulge = BULGE * contrast * np.exp(-(((depth + 0.1) / 0.06) ** 2)) * tapered
    lid = lid * (1 + bulge - lash)[..., None]
    fade = np.clip((depth - low) / 0.06, 0, 1) * np.clip((high - depth) / 0.06, 0, 1)
    ends = np.clip((along + 0.05) / 0.12, 0, 1) * np.clip((1.05 - along) / 0.12, 0, 1)
    _lay_over(rgb, np.dstack([lid, fade * ends * amount]), first, level, down, width, lashes)


def _lay_over(
    rgb: Float, strip: Float, first: Float, level: Float, down: Float, width: float, lashes: Float
) -> None:
    """Lay a ``strip`` [rows, columns, RGB and share] that follows a curve over ``rgb``."""
    (low, high), (rows, columns) = LID_REACH, strip.shape[:2]
    ends = np.array([[u, v] for u in (-0.05, 1.05) for v in (low - 0.2, high + 0.2)])
    places = first + width * (ends[:, :1] * level + ends[:, 1:] * down)
    x0, y0 = np.floor(places.min(0)).astype(int).clip(0)
    x1, y1 = np.minimum(np.ceil(places.max(0)).astype(int) + 1, rgb.shape[1::-1])
    if x1 - x0 < 2 or y1 - y0 < 2:
        return
    y, x = np.mgrid[y0:y1, x0:x1].astype(np.float32)
    u = ((x - first[0]) * level[0] + (y - first[1]) * level[1]) / width
    v = ((x - first[0]) * down[0] + (y - first[1]) * down[1]) / width - np.polyval(lashes, u)
    map_x = np.asarray((u + 0.05) / 1.1 * (columns - 1), np.float32)
    map_y = np.asarray((v - low) / (high - low) * (rows - 1), np.float32)
    laid = cv2.remap(
        strip.astype(np.float32),
        map_x,
        map_y,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(0, 0, 0, 0),
    )
    part = rgb[y0:y1, x0:x1]
    part += laid[..., 3:] * (laid[..., :3] - part)


def _with_iris(ball: Float, x: Float, y: Float, radius: float, irises: Irises, skin: float) -> Float:
    """The iris over the white; ``x``, ``y`` [h, w]: places, px, from its middle."""
    away = np.sqrt(x * x + y * y) / radius
    at = np.clip(away * RINGS - 0.5, 0, RINGS - 1)
    colour = np.stack([np.interp(at, np.arange(RINGS), one) for one in irises.rings.T], axis=-1)
    angle = np.arctan2(y, x)
    streaks = np.sin(STREAKS * angle + 6.28 * irises.phase) * np.sin(7 * angle + 3 * irises.phase)
    between = np.clip((away - 0.35) / 0.15, 0, 1) * np.clip((0.95 - away) / 0.15, 0, 1)
    colour *= (1 + STREAK_SHARE * streaks * between + 0.15 * between * y / radius)[..., None]
    colour *= np.clip(skin / irises.skin, *GAINS)
    edge = SOFT + 0.7 / radius
    share = np.clip((1 + edge - away) / (2 * edge), 0, 1)
    return np.asarray(ball + share[..., None] * (colour - ball), np.float32)
