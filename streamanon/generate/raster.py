"""A face mesh as pixels: which triangle each shows, the way from there into the texture, the border."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.gallery.delegates import TEXTURE_PX, DelegateGallery
from streamanon.types import Delegate, Float

#: Width of the soft border, of the face's size, and at least, px; how deep inside only skin is.
FEATHER, FEATHER_PX, SURELY_SKIN = 0.07, 1.5, 0.08
#: Crop pixels by which more than the mesh is cut out: where a cheek or a jaw may lie beside it.
RING_PX = 3
#: Side of the coarsest texture.
COARSEST_PX = 32
#: Textures of so many delegates are kept ready.
KEPT = 16
#: Beside the mesh places are carried on from a square of so many px.
BESIDE_PX = 5
#: Twice the area, square px, below which a triangle is taken for none.
LEAST_AREA = 1e-3


class Textures:
    """The textures of delegates on meshes. What depends on the delegate alone is made once."""

    def __init__(self, gallery: DelegateGallery) -> None:
        self.uv = gallery.uv.astype(np.float32)
        self.triangles = gallery.triangles
        self.levels = lru_cache(KEPT)(lambda delegate: pyramid(delegate.fine))

    def warp(
        self, points: Float, size: tuple[int, int], delegate: Delegate
    ) -> tuple[Float, NDArray[np.bool_]]:
        """The texture on a mesh, [h, w, 3] RGB 0..255, and where the mesh is [h, w]."""
        return self.warp_levels(points, size, self.levels(delegate))

    def warp_levels(
        self, points: Float, size: tuple[int, int], levels: list[NDArray[np.uint8]]
    ) -> tuple[Float, NDArray[np.bool_]]:
        """The same of a texture's :func:`pyramid`."""
        places, mask = self.places(points, size)
        return sampled(levels[level_of(points, len(levels[0]), len(levels))], places), mask

    def level(self, points: Float, delegate: Delegate) -> NDArray[np.uint8]:
        """The level of a delegate's texture that is about as fine as a mesh ``points`` [478, 3] px."""
        levels = self.levels(delegate)
        return levels[level_of(points, len(levels[0]), len(levels))]

    def places(self, points: Float, size: tuple[int, int]) -> tuple[Float, NDArray[np.bool_]]:
        """Where in a texture of 256 px each pixel lies [h, w, 2], -1 beside the mesh; where the mesh is."""
        owners = owners_of(points, self.triangles, self.uv, size)
        maps = inverse_maps(points[:, :2], self.uv, self.triangles).reshape(-1, 6)
        shown = np.flatnonzero(owners)
        y, x = np.divmod(shown, size[0])
        chosen = maps.take(owners.ravel()[shown] - 1, axis=0).T
        places = np.full((*owners.shape, 2), -1, np.float32)
        flat = places.reshape(-1, 2)
        flat[shown, 0] = chosen[0] * x + chosen[1] * y + chosen[2]
        flat[shown, 1] = chosen[3] * x + chosen[4] * y + chosen[5]
        return places, owners > 0


def extended(places: Float, mask: NDArray[np.bool_]) -> Float:
    """``places`` [h, w, 2] with those beside the mesh, [h, w] ``mask``, carried on from the nearby ones."""
    inside = mask.astype(np.float32)
    known = cv2.boxFilter(np.dstack([places * inside[..., None], inside]), -1, (BESIDE_PX,) * 2)
    carried = known[..., :2] / np.maximum(known[..., 2:], 1e-3)
    return np.where(mask[..., None], places, np.asarray(carried, np.float32))


def sampled(texture: NDArray[np.uint8], places: Float) -> Float:
    """A texture's colours [h, w, 3] at ``places`` [h, w, 2] px of one of 256 px."""
    factor = np.float32(len(texture) / TEXTURE_PX)
    x, y = cv2.split(places * factor + (factor - 1) / 2)
    colours = cv2.remap(texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(colours, np.float32)


def level_of(points: Float, side_px: int, count: int) -> int:
    """Which of a texture's ``count`` levels, the first ``side_px`` wide, is about as fine as the frame."""
    spread = float(np.ptp(points[:, 0]) + np.ptp(points[:, 1])) / 2
    return int(np.clip(np.log2(side_px / max(spread, 1.0)), 0, count - 1))


def localising(region: tuple[int, int, int, int], size: tuple[int, int]) -> Float:
    """The map [2, 3] from the frame to a region of it scaled to ``size``."""
    x0, y0, x1, y1 = region
    across, down = size[0] / (x1 - x0), size[1] / (y1 - y0)
    return np.array(
        [[across, 0, (0.5 - x0) * across - 0.5], [0, down, (0.5 - y0) * down - 0.5]], np.float32
    )


def localised(points: Float, region: tuple[int, int, int, int], size: tuple[int, int]) -> Float:
    """Frame coordinates as coordinates of the region scaled to ``size``."""
    x0, y0, x1, y1 = region
    steps = np.array([size[0] / (x1 - x0), size[1] / (y1 - y0)], np.float32)
    local = points.copy()
    local[:, :2] = (points[:, :2] - [x0, y0] + 0.5) * steps - 0.5
    return local


def pyramid(texture: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """A texture [512, 512, 3] or [256, 256, 3] and its halves down to 32 px."""
    levels = [texture]
    while len(levels[-1]) > COARSEST_PX:
        levels.append(np.asarray(cv2.pyrDown(levels[-1]), np.uint8))
    return levels


def owners_of(
    points: Float, triangles: NDArray[np.int32], uv: Float, size: tuple[int, int]
) -> NDArray[np.int32]:
    """Which triangle (from 1) each pixel [h, w] belongs to; nearer ones win, those seen from behind and
    those without area are left out.
    """
    drawn, corners = drawn_triangles(points, triangles, uv)
    owners = np.zeros((size[1], size[0]), np.int32)
    for number, triangle in zip(drawn.tolist(), corners, strict=True):
        cv2.fillConvexPoly(owners, triangle, number + 1, cv2.LINE_8, 4)
    return owners


def drawn_triangles(
    points: Float, triangles: NDArray[np.int32], uv: Float
) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    """The numbers [V] of the triangles that are seen, the nearest last, and their corners [V, 3, 2] in
    sixteenths of a pixel.
    """
    area = _areas(points[:, :2], triangles)
    turned = np.sign(area) == np.sign(_areas(uv, triangles))
    front = np.flatnonzero(turned & (np.abs(area) > LEAST_AREA))
    depth = points[triangles[front], 2].sum(1)
    front = front[np.argsort(-depth)]
    return front, np.rint(points[:, :2] * 16).astype(np.int32)[triangles[front]]


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
    area = np.where(np.abs(area) < LEAST_AREA, LEAST_AREA, area)
    rows = np.stack([np.stack([ac[:, 1], -ac[:, 0]], 1), np.stack([-ab[:, 1], ab[:, 0]], 1)], 1)
    inverse = rows / area[:, None, None]  # (x, y) - a -> weights of ab and ac
    ua, ub, uc = (uv[triangles[:, corner]] for corner in range(3))
    linear = np.stack([ub - ua, uc - ua], 2) @ inverse
    shift = ua - np.einsum("tij,tj->ti", linear, a)
    return np.concatenate([linear, shift[:, :, None]], axis=2).astype(np.float32)


def borders(mask: NDArray[np.bool_], face_px: float) -> tuple[Float, NDArray[np.bool_]]:
    """Alpha that rises from the mesh's edge inwards, and the core where skin is surely skin."""
    inward = _inward(mask)
    rise = np.clip(inward / max(FEATHER_PX, FEATHER * face_px), 0, 1)
    alpha = rise * rise * (3 - 2 * rise)
    return np.asarray(alpha, np.float32), inward > SURELY_SKIN * face_px


def core_of(mask: NDArray[np.bool_], face_px: float) -> NDArray[np.bool_]:
    """The core [h, w] alone."""
    return np.asarray(_inward(mask) > SURELY_SKIN * face_px)


def reach_of(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What is cut out [128, 128] of a mesh that is where ``mask`` [128, 128] is."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * RING_PX + 1, 2 * RING_PX + 1))
    return np.asarray(cv2.dilate(mask.view(np.uint8), kernel) > 0)


def _inward(mask: NDArray[np.bool_]) -> Float:
    """How far each pixel lies from the mesh's edge, px; the image's edge is none."""
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1], np.float32)
