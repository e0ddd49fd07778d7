"""Synthetic people for the demo clip: a blended delegate's face on a modelled head, neck and body.

A head is a few ellipsoids (skull, jaw, ears, hair) around the face mesh, in units of the eye distance with
the origin between the eyes; everything turns with the head, is lit from the upper left and drawn without
perspective. Pixels here are those of the finer picture that the camera later halves.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.gallery.delegates import DelegateGallery
from streamanon.generate.light import open_mouth
from streamanon.generate.raster import borders, inverse_maps, owners_of
from streamanon.mesh.landmarks import CHIN, IRIS_RINGS, IRISES, LOWER_LIDS, LOWER_LIP, UPPER_LIDS
from streamanon.types import Delegate, Float

LIGHT = np.array([-0.42, -0.5, -0.76], np.float32) / np.float32(np.linalg.norm([0.42, 0.5, 0.76]))
PIVOT = np.array([0.0, 1.2, 1.2], np.float32)
SKULL = ((0.0, -0.12, 1.15), (1.2, 1.46, 1.58))
JAW = ((0.0, 0.72, 0.85), (0.98, 1.02, 0.9))
BODY_STEPS = 48  # body sprite pixels per unit
BODY_LEFT, BODY_TOP = -4.5, 0.6
RAISED = 0.35
PARTING, CROWN = 0.22, (0.0, 0.9, 1.0)


@dataclass(frozen=True)
class Wish:
    """Traits of the delegates to blend."""

    masculine: bool
    age: float
    tone: float  # mean grey of the cheeks, 0..255


@dataclass(frozen=True)
class Style:
    """Hair and clothes. ``hair``: short, long, bob, bun or bald (sides only)."""

    hair: str
    hair_rgb: tuple[float, float, float]
    cloth_rgb: tuple[float, float, float]
    collar: str = "crew"  # crew, vneck, jacket or shirt
    legs_rgb: tuple[float, float, float] = (46, 48, 58)
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Person:
    """A synthetic face with all that belongs to it."""

    name: str
    texture: NDArray[np.uint8]
    shape: Float
    masculine: bool
    style: Style
    skin: Float
    body: Float = field(repr=False)  # [h, w, 4] rgb and alpha


@dataclass(frozen=True)
class Pose:
    """Where the head is (finer px, the point about which it turns), its size and turn (degrees)."""

    x: float
    y: float
    unit: float
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    blink: float = 0.0
    mouth: float = 0.0
    blur: float = 0.0


@dataclass(frozen=True, eq=False)
class Sprite:
    """A drawn person: rgb [h, w, 3] and alpha [h, w] with the corner at (x0, y0), the face mesh's pixels,
    and its points [478, 3], all in finer px.
    """

    x0: int
    y0: int
    rgb: Float
    alpha: Float
    face: NDArray[np.bool_]
    points: Float


def cheek_tone(delegate: Delegate) -> float:
    return float(delegate.texture[140:180, 55:200].mean())


def pick(gallery: DelegateGallery, wish: Wish, used: set[str], count: int = 3) -> list[Delegate]:
    """The delegates nearest to a wish of which no other person is made."""

    def distance(delegate: Delegate) -> float:
        wrong = abs(delegate.masculine - float(wish.masculine))
        return 10 * wrong + abs(delegate.age - wish.age) / 10 + abs(cheek_tone(delegate) - wish.tone) / 12

    free = [delegate for delegate in gallery.delegates if delegate.id not in used]
    chosen = sorted(free, key=distance)[:count]
    used.update(delegate.id for delegate in chosen)
    return chosen


def make_person(gallery: DelegateGallery, name: str, wish: Wish, style: Style, used: set[str]) -> Person:
    """Blend three delegates into one more face, a little sharpened, and dress it."""
    chosen = pick(gallery, wish, used)
    shares = np.array([0.42, 0.32, 0.26], np.float32)
    blend = np.tensordot(shares, np.stack([d.texture for d in chosen]).astype(np.float32), 1)
    blend += 0.8 * (blend - cv2.GaussianBlur(blend, (0, 0), 1.6))
    texture = np.clip(blend, 0, 255).astype(np.uint8)
    shape = np.tensordot(shares, np.stack([d.shape for d in chosen]), 1).astype(np.float32)
    jaw = texture[205:235, 85:170].reshape(-1, 3).mean(0)
    skin = np.asarray(0.35 * texture[150:175, 60:195].reshape(-1, 3).mean(0) + 0.65 * jaw, np.float32)
    return Person(name, texture, shape, wish.masculine, style, skin, draw_body(skin, style, wish.masculine))


# --- shading helpers ---------------------------------------------------------------------------------


def noise(shape: tuple[int, int], sigma: tuple[float, float], seed: int) -> Float:
    """Smooth noise of unit variance that tiles; ``sigma`` along x and y."""
    field_ = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    pad = [(min(int(3 * sigma[1 - axis]) + 1, shape[axis]),) * 2 for axis in (0, 1)]
    wide = cv2.GaussianBlur(np.pad(field_, pad, "wrap"), (0, 0), sigmaX=sigma[0], sigmaY=sigma[1])
    field_ = np.asarray(wide, np.float32)[
        pad[0][0] : pad[0][0] + shape[0], pad[1][0] : pad[1][0] + shape[1]
    ]
    return np.asarray(field_ / field_.std(), np.float32)


def smooth(low: float, high: float, value: Float) -> Float:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def shade(normals: Float) -> Float:
    """Light [...] for normals [..., 3]: 1 where they face camera and light."""
    facing = normals @ LIGHT
    return np.asarray(0.42 + 0.72 * np.clip(0.25 + 0.75 * facing, 0, 1), np.float32)


def inflate(mask: Float, radius: float) -> Float:
    """Light on a flat shape blown up like a cushion with edges of ``radius`` px."""
    distance = cv2.distanceTransform((mask > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    t = np.clip(distance / radius, 0, 1)
    height = radius * np.sqrt(np.clip(1 - (1 - t) ** 2, 0, 1))
    height = cv2.GaussianBlur(height, (0, 0), radius * 0.25)
    gx, gy = (cv2.Sobel(height, cv2.CV_32F, *d, ksize=3) / 8 for d in ((1, 0), (0, 1)))
    normals = np.stack([-gx, -gy, -np.ones_like(gx)], 2)
    return shade(np.asarray(normals / np.linalg.norm(normals, axis=2, keepdims=True), np.float32))


def over(rgb: Float, alpha: Float, colour: Float, weight: Float) -> None:
    """Lay ``colour`` on a buffer in place."""
    total = weight + alpha * (1 - weight)
    rgb += (weight / np.maximum(total, 1e-4))[..., None] * (colour - rgb)
    alpha[...] = total


# --- body ----------------------------------------------------------------------------------------------


def _polygon(canvas: tuple[int, int], points: list[tuple[float, float]], both: bool = True) -> Float:
    """Coverage of a polygon in units, mirrored about x = 0 where ``both``."""
    if both:
        points = points + [(-x, y) for x, y in reversed(points)]
    place = (_rounded(np.array(points)) - [BODY_LEFT, BODY_TOP]) * BODY_STEPS
    image = np.zeros(canvas, np.uint8)
    cv2.fillPoly(image, [np.rint(place * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), BODY_STEPS * 0.025), np.float32) / np.float32(255)


def _rounded(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """A closed outline with its corners cut twice."""
    for _ in range(2):
        following = np.roll(points, -1, 0)
        points = np.stack([0.78 * points + 0.22 * following, 0.22 * points + 0.78 * following], 1).reshape(
            -1, 2
        )
    return points


def draw_body(skin: Float, style: Style, masculine: bool) -> Float:
    """Neck, torso, arms and legs [h, w, 4], seen from the front, in units below the head."""
    canvas = int((26 - BODY_TOP) * BODY_STEPS), int(-2 * BODY_LEFT * BODY_STEPS)
    rgb, alpha = np.zeros((*canvas, 3), np.float32), np.zeros(canvas, np.float32)
    wide, thick = (3.2, 0.78) if masculine else (2.7, 0.62)
    cloth, legs = np.array(style.cloth_rgb, np.float32), np.array(style.legs_rgb, np.float32)
    folds = 1 + 0.05 * noise(canvas, (12, 40), style.seed) + 0.006 * noise(canvas, (1, 1), style.seed + 1)
    hips = 0.62 * wide
    parts: list[tuple[list[tuple[float, float]], Float, float, bool]] = [
        ([(0.08, 11), (0.12, 26), (1.25, 26), (hips, 10), (hips - 0.1, 9)], legs, 0.9, False),
        ([(0, 0.6), (thick, 0.8), (thick, 2.5), (thick + 0.5, 3.1), (1.4, 4.6), (0, 5.4)], skin, 0.8, True),
    ]
    for outline, colour, radius, _ in parts:
        mask = _polygon(canvas, outline)
        lit = inflate(mask, radius * BODY_STEPS)
        over(rgb, alpha, colour * (lit * (folds if colour is legs else 1))[..., None], mask)
    torso = [(0, 3.2), (thick + 0.1, 2.75), (thick + 0.7, 3.05), (0.72 * wide, 3.45), (0.93 * wide, 3.8)]
    torso += [(wide, 4.6), (0.9 * wide, 6), (0.72 * wide, 8), (hips + 0.15, 10.6), (0, 10.6)]
    opening = _polygon(canvas, _neckline(style.collar, thick))
    mask = _polygon(canvas, torso) * (1 - opening)
    over(rgb, alpha, cloth * (inflate(_polygon(canvas, torso), 1.5 * BODY_STEPS) * folds)[..., None], mask)
    _details(rgb, alpha, canvas, style, thick)
    for side in (-1.0, 1.0):
        arm = [
            (0.72, 4.6),
            (0.84, 3.95),
            (0.97, 4.0),
            (1.07, 4.9),
            (1.13, 7),
            (1.12, 10.5),
            (0.9, 10.5),
            (0.84, 7),
        ]
        mask = _polygon(canvas, [(side * x * wide, y) for x, y in arm], both=False)
        mask *= smooth(3.7, 4.9, _rows(canvas))
        over(rgb, alpha, cloth * (inflate(mask, 0.5 * BODY_STEPS) * folds * 0.97)[..., None], mask)
    return np.dstack([rgb, alpha])


def _rows(canvas: tuple[int, int]) -> Float:
    rows = np.arange(canvas[0], dtype=np.float32) / np.float32(BODY_STEPS) + np.float32(BODY_TOP)
    return np.asarray(np.repeat(rows[:, None], canvas[1], 1), np.float32)


def _neckline(collar: str, thick: float) -> list[tuple[float, float]]:
    """The opening at the neck, right half, from the top to its lowest point."""
    deep = {"crew": 3.5, "vneck": 4.7, "jacket": 3.3, "shirt": 3.7}[collar]
    if collar == "vneck":
        return [(0, 2), (thick + 0.3, 2.5), (thick + 0.15, 2.95), (0.3, deep - 0.4), (0, deep)]
    if collar in ("jacket", "shirt"):
        return [(0, 2), (thick + 0.1, 2.4), (thick + 0.05, 2.8), (0, deep)]
    return [(0, 2), (thick + 0.1, 2.5), (thick, 2.95), (0.6 * thick, deep - 0.12), (0, deep)]


def _details(rgb: Float, alpha: Float, canvas: tuple[int, int], style: Style, thick: float) -> None:
    """Collar, lapels, tie or buttons."""
    cloth = np.array(style.cloth_rgb, np.float32)
    edge = cv2.GaussianBlur(_polygon(canvas, _neckline(style.collar, thick)), (0, 0), 4.0)
    rim = np.asarray(4 * edge * (1 - edge), np.float32)
    if style.collar in ("crew", "vneck"):
        over(rgb, alpha, 0.72 * cloth, np.asarray(0.6 * rim * smooth(2.75, 3.0, _rows(canvas)), np.float32))
        return
    pale = np.array((226, 228, 234), np.float32) if style.collar == "jacket" else 1.06 * cloth
    if style.collar == "jacket":
        front = _polygon(canvas, [(0, 3.2), (thick, 2.9), (thick + 0.15, 3.4), (0.25, 7), (0, 7.2)])
        over(rgb, alpha, pale * (0.92 * np.ones(canvas, np.float32))[..., None], front)
        tie = _polygon(canvas, [(0.16, 3.3), (0.2, 3.65), (0.36, 6.8), (0, 7.2)])
        over(rgb, alpha, np.array((92, 34, 42), np.float32), tie)
        for side in (-1, 1):
            lapel = [
                (thick + 0.12, 2.85),
                (thick + 0.7, 3.9),
                (thick + 0.5, 4.3),
                (0.15, 7.2),
                (thick - 0.1, 4.2),
            ]
            mask = _polygon(canvas, [(side * x, y) for x, y in lapel], both=False)
            over(rgb, alpha, 0.82 * cloth, mask)
    deep = _neckline(style.collar, thick)[-1][1]
    for side in (-1, 1):
        flap = [(thick - 0.1, 2.62), (thick + 0.22, 2.82), (0.66, deep + 0.22), (0.0, deep - 0.05)]
        mask = _polygon(canvas, [(side * x, y) for x, y in flap], both=False)
        light = 0.72 + np.float32(0.22) * inflate(mask, 0.2 * BODY_STEPS)
        over(rgb, alpha, np.asarray(pale * light[..., None], np.float32), mask)
    if style.collar == "shirt":
        line = _polygon(canvas, [(-0.03, 3.6), (0.03, 3.6), (0.03, 10.5), (-0.03, 10.5)], both=False)
        over(rgb, alpha, 0.75 * cloth, 0.7 * line)


# --- head ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Hit:
    """An ellipsoid as the camera sees it: coverage, depth, light and the place on the head."""

    rows: slice
    cols: slice
    cover: Float
    depth: Float
    light: Float
    place: Float


class Stage:
    """A person's window of the picture: buffers, and the turn from head to window."""

    def __init__(self, person: Person, pose: Pose, height: int) -> None:
        self.person, self.pose = person, pose
        self.x0, self.y0 = int(pose.x - 4.2 * pose.unit), int(pose.y - 3.9 * pose.unit)
        size = max(8, height - self.y0), int(8.4 * pose.unit)
        self.rgb, self.alpha = np.zeros((*size, 3), np.float32), np.zeros(size, np.float32)
        self.depth = np.full(size, 1e9, np.float32)
        self.turn = rotation(pose.yaw, pose.pitch, pose.roll)
        self.origin = np.array([pose.x - self.x0, pose.y - self.y0], np.float32)

    def project(self, points: Float) -> Float:
        """Head units [..., 3] to window px, z in the same scale."""
        turned = (points - PIVOT) @ self.turn.T * np.float32(self.pose.unit)
        turned[..., :2] += self.origin
        return np.asarray(turned, np.float32)

    def hit(self, centre: tuple[float, ...], radii: tuple[float, ...], far: bool = False) -> Hit:
        """Cast parallel rays onto an ellipsoid given in head units; ``far``: where they leave it."""
        c = self.project(np.array(centre, np.float32))
        size = np.array(radii, np.float32) * self.pose.unit
        reach = np.sqrt(((self.turn * size) ** 2).sum(1)) + 3
        x0, x1 = np.clip([c[0] - reach[0], c[0] + reach[0] + 1], 0, self.alpha.shape[1]).astype(int)
        y0, y1 = np.clip([c[1] - reach[1], c[1] + reach[1] + 1], 0, self.alpha.shape[0]).astype(int)
        y, x = np.mgrid[y0:y1, x0:x1].astype(np.float32)
        matrix = (self.turn / size).T  # window px to unit sphere
        flat = np.stack([x - c[0], y - c[1]], 2) @ matrix[:, :2].T
        d = matrix[:, 2]
        a, b = float(d @ d), flat @ d
        disc = b * b - a * ((flat * flat).sum(2) - 1)
        t = (-b + (1 if far else -1) * np.sqrt(np.maximum(disc, 0))) / a
        ball = flat + t[..., None] * d
        normals = ball @ matrix
        normals /= np.maximum(np.linalg.norm(normals, axis=2, keepdims=True), 1e-6)
        cover = smooth(0.0, min(0.5, 4 / float(size.min())), disc / a)
        place = ball * np.array(radii, np.float32) + np.array(centre, np.float32)
        return Hit(slice(y0, y1), slice(x0, x1), cover, t + c[2], shade(normals), place.astype(np.float32))

    def lay(self, hit: Hit, colour: Float, weight: Float, behind: float = 0.04) -> None:
        """Paint a hit where nothing nearer is there already."""
        depth = self.depth[hit.rows, hit.cols]
        nearer = smooth(-behind, behind, (depth - hit.depth) / np.float32(self.pose.unit))
        weight = np.asarray(weight * nearer, np.float32)
        over(self.rgb[hit.rows, hit.cols], self.alpha[hit.rows, hit.cols], colour, weight)
        np.copyto(depth, np.minimum(depth, hit.depth), where=weight > 0.5)


def rotation(yaw: float, pitch: float, roll: float) -> Float:
    """Head to camera; positive yaw turns the nose to the right of the image, positive pitch down."""
    y, p, r = np.radians([-yaw, pitch, roll])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return np.asarray(about_z @ about_x @ about_y, np.float32)


def expression(shape: Float, blink: float, mouth: float) -> Float:
    """The shape with its eyes ``blink`` shut (0..1) and the mouth open by ``mouth`` units."""
    points = shape.copy()
    upper, lower = list(UPPER_LIDS), list(LOWER_LIDS)
    shut = np.float32(0.92 * blink)
    for iris, ring, lids in zip(IRISES, IRIS_RINGS, (lower[:7], lower[7:]), strict=True):
        irises = (iris, *ring)
        floor = points[lids, 1].mean()
        points[list(irises), 1] += shut * (floor - points[list(irises), 1])
    points[upper] += shut * (shape[lower] - shape[upper])
    lip = list(LOWER_LIP)
    points[lip, 1] += np.float32(mouth) * np.clip(1 - (shape[lip, 0] / np.float32(0.42)) ** 2, 0, 1)
    points[list(CHIN), 1] += np.float32(0.7 * mouth)
    return points


def draw_person(gallery: DelegateGallery, person: Person, pose: Pose, height: int) -> Sprite:
    """A person in a pose; ``height``: where the picture ends below."""
    stage = Stage(person, pose, height)
    _back_hair(stage)
    _body(stage)
    points = stage.project(expression(person.shape, pose.blink, pose.mouth))
    face, mask, light, depth = _face(stage, gallery, points)
    albedo = _spread(face, mask)
    _skull(stage, albedo)
    solid = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.7)
    over(stage.rgb, stage.alpha, albedo * light[..., None], np.asarray(solid, np.float32))
    feather = borders(mask, 2.3 * pose.unit)[0]
    over(stage.rgb, stage.alpha, face * light[..., None], feather)
    stage.depth = np.where(mask, depth, stage.depth)
    _hair(stage)
    rgb, alpha = stage.rgb, stage.alpha
    if pose.blur > 0:
        colour = cv2.GaussianBlur(rgb * alpha[..., None], (0, 0), pose.blur)
        alpha = np.asarray(cv2.GaussianBlur(alpha, (0, 0), pose.blur), np.float32)
        rgb = np.asarray(colour / np.maximum(alpha, 1e-3)[..., None], np.float32)
    corner = np.array([stage.x0, stage.y0, 0], np.float32)
    return Sprite(stage.x0, stage.y0, rgb, alpha, mask, points + corner)


def _body(stage: Stage) -> None:
    """The body, with the head's shadow on it."""
    unit, size = stage.pose.unit, stage.alpha.shape[::-1]
    factor = unit / BODY_STEPS
    corner = np.array([BODY_LEFT - PIVOT[0], BODY_TOP - RAISED - PIVOT[1]], np.float32)
    shift = stage.origin + corner * np.float32(unit)
    matrix = np.array([[factor, 0, shift[0]], [0, factor, shift[1]]], np.float32)
    body = cv2.warpAffine(
        stage.person.body, matrix, size, flags=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    )
    shadow = np.zeros(stage.alpha.shape, np.float32)
    for centre, radii in (JAW, ((0.0, 0.6, 0.4), (0.95, 1.2, 0.8))):
        hit = stage.hit(centre, radii)
        shadow[hit.rows, hit.cols] = np.maximum(shadow[hit.rows, hit.cols], hit.cover)
    drop = np.array([[1, 0, 0.22 * unit], [0, 1, 0.55 * unit]], np.float32)
    shadow = np.asarray(
        cv2.GaussianBlur(cv2.warpAffine(shadow, drop, size), (0, 0), 0.22 * unit), np.float32
    )
    colour = body[..., :3] * (1 - 0.55 * shadow)[..., None] ** np.array([0.9, 1.0, 1.05], np.float32)
    over(stage.rgb, stage.alpha, np.asarray(colour, np.float32), np.asarray(body[..., 3], np.float32))


def _face(
    stage: Stage, gallery: DelegateGallery, points: Float
) -> tuple[Float, NDArray[np.bool_], Float, Float]:
    """The texture on the mesh, the mesh's pixels, light and depth."""
    uv, triangles = gallery.uv, gallery.triangles
    owners = owners_of(points, triangles, uv, (stage.alpha.shape[1], stage.alpha.shape[0]))
    mask = owners > 0
    level = int(np.clip(np.log2(256 / (3 * stage.pose.unit)), 0, 3))
    texture = stage.person.texture
    for _ in range(level):
        texture = np.asarray(cv2.pyrDown(texture), np.uint8)
    place = (_lookup(points, uv, triangles, owners) + 0.5) * np.float32(0.5**level) - 0.5
    face = cv2.remap(
        texture, place[..., 0], place[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    face = open_mouth(np.asarray(face, np.float32), points, uv)
    normals = _normals(points, triangles)
    across = _lookup(points, normals[:, :2], triangles, owners)
    z = _lookup(points, points[:, [2, 2]], triangles, owners)[..., 0]
    ahead = -np.sqrt(np.clip(1 - (across**2).sum(2), 0, 1))
    light = shade(np.dstack([across, ahead]))
    return face, mask, _within(light, mask, 0.05 * stage.pose.unit + 0.3), z


def _within(values: Float, mask: NDArray[np.bool_], sigma: float) -> Float:
    """Values blurred inside a mask, carried on just beyond it: what lies outside has no say."""
    weight = mask.astype(np.float32)
    total, amount = (cv2.GaussianBlur(v, (0, 0), sigma) for v in (values * weight, weight))
    return np.asarray(total / np.maximum(amount, 1e-4), np.float32)


def _lookup(points: Float, values: Float, triangles: NDArray[np.int32], owners: NDArray[np.int32]) -> Float:
    """Per-vertex ``values`` [478, 2] spread over the pixels [h, w, 2] of the mesh."""
    maps = inverse_maps(points[:, :2], values, triangles)
    y, x = np.nonzero(owners)
    chosen = maps[owners[y, x] - 1]
    result = np.zeros((*owners.shape, 2), np.float32)
    result[y, x] = chosen[:, :, 0] * x[:, None] + chosen[:, :, 1] * y[:, None] + chosen[:, :, 2]
    return result


def _normals(points: Float, triangles: NDArray[np.int32]) -> Float:
    """Normals [478, 3] at the mesh points, towards the camera."""
    a, b, c = (points[triangles[:, corner]] for corner in range(3))
    flat = np.cross(b - a, c - a)
    total = np.zeros_like(points)
    for corner in range(3):
        np.add.at(total, triangles[:, corner], flat)
    if total[:, 2].sum() > 0:
        total = -total
    return np.asarray(total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-6), np.float32)


def _spread(face: Float, mask: NDArray[np.bool_]) -> Float:
    """The face's colours, smoothed and carried on beyond its rim."""
    inside = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.float32)
    size = max(4, mask.shape[1] // 8), max(4, mask.shape[0] // 8)
    amount = cv2.resize(inside, size, interpolation=cv2.INTER_AREA)
    total = cv2.resize(face * inside[..., None], size, interpolation=cv2.INTER_AREA)
    sums, weights = np.zeros_like(total), np.zeros_like(amount)
    for sigma, share in ((1.5, 1.0), (5.0, 0.02), (20.0, 1e-4)):
        sums += np.asarray(share * cv2.GaussianBlur(total, (0, 0), sigma), np.float32)
        weights += np.asarray(share * cv2.GaussianBlur(amount, (0, 0), sigma), np.float32)
    field_ = sums / np.maximum(weights, 1e-9)[..., None]
    return np.asarray(cv2.resize(field_, mask.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def _skull(stage: Stage, albedo: Float) -> None:
    """Skull, jaw and ears in the face's own colours."""
    for centre, radii in (SKULL, JAW):
        hit = stage.hit(centre, radii)
        stage.lay(hit, albedo[hit.rows, hit.cols] * hit.light[..., None], hit.cover)
    for side in (-1.0, 1.0):
        for centre, radii, tint in (
            ((side * 1.2, 0.32, 1.3), (0.13, 0.4, 0.26), (1.0, 0.93, 0.9)),
            ((side * 1.25, 0.3, 1.2), (0.1, 0.22, 0.14), (0.72, 0.6, 0.56)),
        ):
            hit = stage.hit(centre, radii)
            colour = stage.person.skin * np.array(tint, np.float32) * hit.light[..., None]
            stage.lay(hit, np.asarray(colour, np.float32), hit.cover * np.float32(0.9))


# --- hair ----------------------------------------------------------------------------------------------


def _strands(style: Style) -> Float:
    """A tile of strands, running down; those of short hair are short."""
    length = 7 if style.hair in ("short", "bald") else 24
    fine = noise((256, 512), (0.8, length), style.seed + 5)
    coarse = noise((256, 512), (4, 2 * length), style.seed + 6)
    return np.asarray(0.6 * fine + 0.6 * coarse, np.float32)


def _hair_colour(
    stage: Stage, hit: Hit, axis: tuple[float, float, float] | None = None
) -> tuple[Float, Float]:
    """Colour of a hair surface, and its strands: falling around an ``axis`` (x, z and how wide for its
    depth), else combed sideways from a parting.
    """
    style, place = stage.person.style, hit.place
    if axis is None:
        across = place[..., 2] * 55
    else:
        across = (
            np.arctan2((place[..., 0] - axis[0]) / axis[2], place[..., 2] - axis[1]) / (2 * np.pi) * 512
        )
    map_x, map_y = (
        np.asarray(v % n, np.float32) for v, n in ((across, 512), (place[..., 1] * 40 + 120, 256))
    )
    tile = _strands(style)
    pattern = cv2.remap(tile, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    base = np.array(style.hair_rgb, np.float32)
    gloss = (4 + 0.09 * base) * smooth(0.85, 1.05, hit.light)[..., None] * (1 + 0.4 * pattern)[..., None]
    colour = base * (hit.light * (0.86 + 0.14 * pattern))[..., None] + gloss
    return np.asarray(np.clip(colour, 4, 250), np.float32), np.asarray(pattern, np.float32)


def _mass(stage: Stage, centre: tuple[float, ...], radii: tuple[float, ...], low: float = 9.0) -> None:
    """An ellipsoid of hair, frayed where it ends below ``low``."""
    hit = stage.hit(centre, radii)
    colour, pattern = _hair_colour(stage, hit, (centre[0], centre[2], radii[0] / radii[2]))
    ends = smooth(0, 0.25, low + 0.12 * pattern - hit.place[..., 1])
    stage.lay(hit, colour, hit.cover * ends, behind=0.02)


def _back_hair(stage: Stage) -> None:
    """The far half of the hair, and what hangs behind the neck."""
    hit = _cap(stage, far=True)
    colour, pattern = _hair_colour(stage, hit, CROWN)
    line = _hairline(stage.person.style, hit.place) + 0.05 * pattern
    cover = np.asarray(hit.cover * smooth(0, 0.15, line - hit.place[..., 1]), np.float32)
    over(stage.rgb[hit.rows, hit.cols], stage.alpha[hit.rows, hit.cols], colour * np.float32(0.75), cover)
    if stage.person.style.hair == "long":
        _mass(stage, (0, 0.9, 1.7), (1.5, 2.5, 0.9), 3.2)
    elif stage.person.style.hair == "bob":
        _mass(stage, (0, 0.5, 1.6), (1.48, 1.75, 1.0), 1.9)


def _hairline(style: Style, place: Float) -> Float:
    """The height above which there is hair, at places [..., 3] on the head."""
    steps = [-0.5, 0.1, 0.5, 0.8, 1.02, 1.2, 1.7]
    heights = [-0.93, -0.88, -0.62, -0.15, 0.3, 0.3, 1.2]
    if style.hair == "bald":
        steps, heights = [0.3, 0.75, 0.9, 1.1, 1.25, 1.7], [-9.0, -3.0, -0.3, 0.3, 0.35, 1.2]
    elif style.hair in ("long", "bob"):
        heights = [-1.1, -0.8, -0.35, 0.2, 0.9, 1.4, 1.6]
    line = np.interp(place[..., 2], steps, heights)
    if style.hair in ("long", "bob"):
        away = np.abs(place[..., 0] - PARTING)
        line = np.maximum(line, np.minimum(-1.12 + 0.62 * away**1.6, -0.2))
    return np.asarray(line, np.float32)


def _cap(stage: Stage, far: bool = False) -> Hit:
    """The hair that lies on the skull."""
    centre, radii = SKULL
    thick = {"short": 0.1, "bald": 0.05, "long": 0.2, "bob": 0.26, "bun": 0.1}[stage.person.style.hair]
    return stage.hit((0, centre[1] - thick * 0.6, centre[2]), tuple(r + thick for r in radii), far)


def _hair(stage: Stage) -> None:
    """Hair on the skull, and what hangs beside the face."""
    style, hit = stage.person.style, _cap(stage)
    parted = style.hair in ("long", "bob")
    colour, pattern = _hair_colour(stage, hit, None if parted else CROWN)
    if parted:
        colour *= 1 - np.float32(0.3) * np.exp(-(((hit.place[..., :1] - PARTING) / 0.05) ** 2))
    loose = 0.03 if parted else 0.05
    line = _hairline(style, hit.place) + loose * pattern
    cover = smooth(0.0, 0.22, line - hit.place[..., 1]) * hit.cover
    if style.hair == "short":
        cover = cover * (1 - np.float32(0.4) * smooth(-0.75, 0.1, hit.place[..., 1]))  # skin shines through
    _hair_shadow(stage, hit, cover)
    stage.depth += np.float32(0.3 * stage.pose.unit) * (stage.depth < 1e8)
    stage.lay(hit, colour, cover)
    if style.hair == "short":
        _mass(stage, (0.03, -1.28, 0.7), (0.86, 0.5, 0.95), -0.98)
    if parted:
        low, length = (3.3, 2.0) if style.hair == "long" else (1.9, 1.35)
        for side in (-1.0, 1.0):
            _mass(stage, (side * 1.2, 0.55 + length - 1.35, 1.05), (0.27, length, 0.62), low)
    if style.hair == "bun":
        _mass(stage, (0, -1.75, 1.7), (0.55, 0.5, 0.55))


def _hair_shadow(stage: Stage, hit: Hit, cover: Float) -> None:
    """Hair darkens the skin just below it."""
    shadow = cv2.GaussianBlur(cover, (0, 0), 0.09 * stage.pose.unit)
    stage.rgb[hit.rows, hit.cols] *= (1 - 0.35 * shadow)[..., None].astype(np.float32)
