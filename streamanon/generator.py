"""Painting a delegate's face onto a mesh: warp, light, contrast, sharpness and a soft border.

What reaches the painted face from the person is the mesh, a colour field of 4 by 4 cells, and two numbers
(contrast and sharpness); no pixel of the person's face does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, cast
from weakref import WeakKeyDictionary

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.errors import SynthesisError
from streamanon.geometry import INNER_LIPS, OUTER_LIPS
from streamanon.identity.delegates import TEXTURE_PX, DelegateGallery
from streamanon.identity.proportions import Proportions
from streamanon.mesh import snap
from streamanon.pixels import read_rgb
from streamanon.types import LUMA, Delegate, Float, Geometry, Picture, Role

WORK_PX = 224
LIGHT_CELLS = 4
FEATHER = 0.07
MOUTH_RGB = (58.0, 26.0, 26.0)
SIGMAS = (0.0, 0.6, 1.0, 1.5, 2.2, 3.2)
SMOOTHING = 0.25


@dataclass(frozen=True, eq=False)
class Patch:
    """Pixels to lay over a frame: ``rgb`` [h, w, 3] 0..255 with its corner at (x0, y0), on the chroma
    grid, and ``alpha`` [h, w] 0..1.
    """

    x0: int
    y0: int
    rgb: Float
    alpha: Float

    def faded(self, weight: float) -> Patch:
        return Patch(self.x0, self.y0, self.rgb, self.alpha * np.float32(weight))

    def __repr__(self) -> str:
        return f"Patch({self.alpha.shape[1]}x{self.alpha.shape[0]} at {self.x0}, {self.y0})"


@dataclass(frozen=True)
class Look:
    """How strong and how sharp a face's detail is in this footage; smoothed from frame to frame."""

    contrast: float
    sigma_px: float

    def towards(self, other: Look) -> Look:
        return Look(
            self.contrast + SMOOTHING * (other.contrast - self.contrast),
            self.sigma_px + SMOOTHING * (other.sigma_px - self.sigma_px),
        )


class Generator(Protocol):
    """The seam that a fake fills in tests."""

    def paint(
        self, picture: Picture, geometry: Geometry, role: Role, last: Look | None
    ) -> tuple[Patch, Look]:
        """A face of the role's delegate on the mesh. Raises :class:`SynthesisError`."""
        ...


class WarpGenerator:
    """Warps the delegate's texture triangle by triangle and gives it the frame's light."""

    def __init__(self, gallery: DelegateGallery) -> None:
        self._proportions = Proportions(gallery)
        self._uv = gallery.uv.astype(np.float32)
        self._triangles = gallery.triangles
        # What depends on the delegate alone is made once.
        self._pyramids: WeakKeyDictionary[Delegate, list[NDArray[np.uint8]]] = WeakKeyDictionary()

    def paint(
        self, picture: Picture, geometry: Geometry, role: Role, last: Look | None
    ) -> tuple[Patch, Look]:
        delegate = role.delegate
        region = _region(picture, geometry.points)
        points = self._proportions.apply(geometry.points, delegate.shape, role.geometry)
        x0, y0, x1, y1 = region
        full = (x1 - x0, y1 - y0)
        # The texture holds no more detail than that; large faces are painted small and scaled up.
        scale = min(1.0, WORK_PX / max(full))
        size = max(8, round(full[0] * scale)), max(8, round(full[1] * scale))
        source = _resized(read_rgb(picture, *region), size, cv2.INTER_AREA)
        rgb, alpha, look = self._paint_small(source, _local(points, region, size), delegate, last)
        rgb = np.clip(_resized(rgb, full, cv2.INTER_LINEAR), 0, 255)
        return Patch(x0, y0, rgb, _resized(alpha, full, cv2.INTER_LINEAR)), look

    def _paint_small(
        self, source: Float, points: Float, delegate: Delegate, last: Look | None
    ) -> tuple[Float, Float, Look]:
        """Painted face [h, w, 3] and alpha [h, w] over ``source``, whose pixels ``points`` refer to."""
        rgb, mask = self._warp(points, (source.shape[1], source.shape[0]), delegate)
        face_px = float(np.sqrt(np.prod(np.ptp(points[:, :2], axis=0))))
        alpha, core = borders(mask, face_px)
        if not core.any():
            raise SynthesisError("the mesh covers no pixel")
        skin = core & ~_lips(points, mask.shape)
        if not skin.any():
            raise SynthesisError("the mesh covers no skin")
        rgb, look = _adapt(open_mouth(rgb, points, self._uv), source, core, skin, last)
        return rgb, alpha, look

    def _warp(
        self, points: Float, size: tuple[int, int], delegate: Delegate
    ) -> tuple[Float, NDArray[np.bool_]]:
        """The texture on the mesh, [h, w, 3], and where the mesh is."""
        owners = owners_of(points, self._triangles, self._uv, size)
        mask = owners > 0
        maps = inverse_maps(points[:, :2], self._uv, self._triangles)
        y, x = np.nonzero(mask)
        chosen = maps[owners[mask] - 1]
        spread = float(np.ptp(points[:, 0]) + np.ptp(points[:, 1])) / 2
        texture, factor = self._level(delegate, spread)
        map_x = np.full(mask.shape, -1, np.float32)
        map_y = np.full(mask.shape, -1, np.float32)
        map_x[mask] = (chosen[:, 0, 0] * x + chosen[:, 0, 1] * y + chosen[:, 0, 2] + 0.5) * factor - 0.5
        map_y[mask] = (chosen[:, 1, 0] * x + chosen[:, 1, 1] * y + chosen[:, 1, 2] + 0.5) * factor - 0.5
        warped = cv2.remap(texture, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(warped, np.float32), mask

    def _level(self, delegate: Delegate, spread_px: float) -> tuple[NDArray[np.uint8], float]:
        """The texture, halved until one of its pixels is about one of the frame's."""
        if delegate not in self._pyramids:
            levels = [delegate.texture]
            for _ in range(3):
                levels.append(np.asarray(cv2.pyrDown(levels[-1]), np.uint8))
            self._pyramids[delegate] = levels
        level = int(np.clip(np.log2(TEXTURE_PX / max(spread_px, 1.0)), 0, 3))
        texture = self._pyramids[delegate][level]
        return texture, texture.shape[0] / TEXTURE_PX


def _region(picture: Picture, points: Float) -> tuple[int, int, int, int]:
    """The part of the picture under a mesh. Raises :class:`SynthesisError` where there is none."""
    if not np.isfinite(points).all():
        raise SynthesisError("the mesh holds values that are not finite")
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    x0, y0, x1, y1 = snap(picture, np.concatenate([low - 2, high + 3]))
    if x1 - x0 < 8 or y1 - y0 < 8:
        raise SynthesisError("the face lies outside the frame")
    return x0, y0, x1, y1


def _local(points: Float, region: tuple[int, int, int, int], size: tuple[int, int]) -> Float:
    """Frame coordinates as coordinates of the region scaled to ``size``."""
    x0, y0, x1, y1 = region
    steps = np.array([size[0] / (x1 - x0), size[1] / (y1 - y0)], np.float32)
    local = points.copy()
    local[:, :2] = (points[:, :2] - [x0, y0] + 0.5) * steps - 0.5
    return local


def _resized(values: Float, size: tuple[int, int], method: int) -> Float:
    return cast(Float, cv2.resize(values, size, interpolation=method))


def owners_of(
    points: Float, triangles: NDArray[np.int32], uv: Float, size: tuple[int, int]
) -> NDArray[np.int32]:
    """Which triangle (from 1) each pixel [h, w] belongs to; nearer ones win, those seen from behind and
    those without area are left out.
    """
    area = _areas(points[:, :2], triangles)
    turned = np.sign(area) == np.sign(_areas(uv, triangles))
    front = np.flatnonzero(turned & (np.abs(area) > 1e-3))
    depth = points[triangles[front], 2].sum(1)
    front = front[np.argsort(-depth)]
    corners = np.rint(points[:, :2] * 16).astype(np.int32)[triangles]
    owners = np.zeros((size[1], size[0]), np.int32)
    for number in front.tolist():
        cv2.fillConvexPoly(owners, corners[number], number + 1, cv2.LINE_8, 4)
    return owners


def _areas(points: Float, triangles: NDArray[np.int32]) -> Float:
    """Twice the signed area of each triangle."""
    a, b, c = (points[triangles[:, corner]] for corner in range(3))
    ab, ac = b - a, c - a
    return np.asarray(ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0], np.float32)


def inverse_maps(points: Float, uv: Float, triangles: NDArray[np.int32]) -> Float:
    """For each triangle the affine map [T, 2, 3] from image to texture coordinates."""
    a, b, c = (points[triangles[:, corner]].astype(np.float64) for corner in range(3))
    ab, ac = b - a, c - a
    area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    area = np.where(np.abs(area) < 1e-3, 1e-3, area)
    rows = np.stack([np.stack([ac[:, 1], -ac[:, 0]], 1), np.stack([-ab[:, 1], ab[:, 0]], 1)], 1)
    inverse = rows / area[:, None, None]  # (x, y) - a -> weights of ab and ac
    ua, ub, uc = (uv[triangles[:, corner]] for corner in range(3))
    linear = np.stack([ub - ua, uc - ua], 2) @ inverse
    shift = ua - np.einsum("tij,tj->ti", linear, a)
    return np.concatenate([linear, shift[:, :, None]], axis=2).astype(np.float32)


def borders(mask: NDArray[np.bool_], face_px: float) -> tuple[Float, NDArray[np.bool_]]:
    """Alpha that rises from the mesh's edge inwards, and the core where skin is surely skin."""
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    inward = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    rise = np.clip(inward / max(1.5, FEATHER * face_px), 0, 1)
    alpha = rise * rise * (3 - 2 * rise)
    return np.asarray(alpha, np.float32), inward > 0.08 * face_px


def _lips(points: Float, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Where the lips are [h, w]: their colour is not the light's and would redden the chin."""
    lips = np.zeros(shape, np.uint8)
    outline = np.rint(points[list(OUTER_LIPS), :2] * 16).astype(np.int32)
    cv2.fillPoly(lips, [outline], 1, cv2.LINE_8, 4)
    reach = max(1, int(0.02 * float(np.ptp(points[:, 0]))))
    return cv2.dilate(lips, np.ones((2 * reach + 1,) * 2, np.uint8)) > 0


def open_mouth(rgb: Float, points: Float, uv: Float) -> Float:
    """Darken the inside of a mouth that is open wider than the delegate's own."""
    excess = _gape(points) - _gape(uv)
    if excess < 0.06:
        return rgb
    lips = np.rint(points[list(INNER_LIPS), :2] * 16).astype(np.int32)
    inside = np.zeros(rgb.shape[:2], np.float32)
    cv2.fillPoly(inside, [lips], 1.0, cv2.LINE_8, 4)
    soft = 0.03 * float(np.ptp(points[:, 0])) + 0.5
    weight = cv2.GaussianBlur(inside, (0, 0), soft) * min(1.0, (excess - 0.06) / 0.15) * 0.9
    return np.asarray(rgb + weight[..., None] * (np.array(MOUTH_RGB, np.float32) - rgb), np.float32)


def _gape(points: Float) -> float:
    """How far the lips part, in mouth widths."""
    width = float(np.linalg.norm(points[78, :2] - points[308, :2]))
    return float(np.linalg.norm(points[13, :2] - points[14, :2])) / max(width, 1e-3)


def _adapt(
    rgb: Float, source: Float, core: NDArray[np.bool_], skin: NDArray[np.bool_], last: Look | None
) -> tuple[Float, Look]:
    """Give the painted face the frame's light, contrast and sharpness."""
    light, own = _light(source, skin), _light(rgb, skin)
    lit = rgb * np.clip((light + 6) / (own + 6), 0.1, 6)
    look = _measure_look(lit, source, light, core)
    look = look if last is None else last.towards(look)
    detail = lit - light
    if look.sigma_px > 0.3:
        detail = cv2.GaussianBlur(detail, (0, 0), look.sigma_px)
    return np.asarray(light + look.contrast * detail, np.float32), look


def _light(rgb: Float, skin: NDArray[np.bool_]) -> Float:
    """The colour field [h, w, 3] of 4 by 4 cells, from skin pixels alone."""
    weight = skin.astype(np.float32)
    cells = (LIGHT_CELLS, LIGHT_CELLS)
    amount = _resized(weight, cells, cv2.INTER_AREA)[..., None]
    total = _resized(rgb * weight[..., None], cells, cv2.INTER_AREA)
    for blurred in _widening(amount, total):
        amount, total = amount + blurred[0], total + blurred[1]
    field = _resized(total / amount, (rgb.shape[1], rgb.shape[0]), cv2.INTER_CUBIC)
    return np.asarray(np.clip(field, 0, 255), np.float32)


def _widening(amount: Float, total: Float) -> Iterator[tuple[Float, Float]]:
    """Faint copies, wider and wider: they fill cells without pixels from their neighbours."""
    for sigma, share in ((1.0, 0.02), (3.0, 1e-4)):
        spread = cv2.GaussianBlur(amount, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)[..., None]
        colour = cv2.GaussianBlur(total, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
        yield np.asarray(spread * share, np.float32), np.asarray(colour * share, np.float32)


def _measure_look(lit: Float, source: Float, light: Float, core: NDArray[np.bool_]) -> Look:
    """Contrast of the source's detail over the painted one's, and the blur that makes them as sharp."""
    painted, real = _grey(lit - light), _grey(source - light)
    contrast = float(real[core].std()) / max(float(painted[core].std()), 1.0)
    wanted = 1.15 * _sharpness(real, core)
    for sigma in SIGMAS:
        blurred = cv2.GaussianBlur(painted, (0, 0), sigma) if sigma else painted
        if _sharpness(np.asarray(blurred, np.float32), core) <= wanted:
            break
    return Look(float(np.clip(contrast, 0.45, 1.1)), sigma)


def _grey(rgb: Float) -> Float:
    return np.asarray(rgb @ LUMA, np.float32)


def _sharpness(grey: Float, core: NDArray[np.bool_]) -> float:
    """The finest detail's share of all detail."""
    fine = np.abs(grey - cv2.GaussianBlur(grey, (0, 0), 1.2))[core].mean()
    return float(fine) / max(float(np.abs(grey)[core].mean()), 0.5)
