"""The texture space of the gallery: where a face's mesh points lie in a square texture, and unwrapping."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.gallery.delegates import FINE_PX, TEXTURE_PX, DelegateGallery
from streamanon.gallery.filters import fill
from streamanon.mesh.landmarks import BROWS, EYES, IRISES, LIPS, NOSTRILS
from streamanon.types import Float

#: Bare skin lies so far below the hull's rim and so far from features, texture px.
SKIN_DEPTH_PX, FEATURES_PX = 18, 6
#: Slack of barycentric coordinates, so that pixels on an edge belong to a triangle.
EDGE_SLACK = 1e-9


@dataclass(frozen=True, eq=False)
class Chart:
    """The texture space: ``uv`` [478, 2] px, ``triangles`` [T, 3], ``mirror`` [478], ``mean`` [478, 3]
    (a face in inter-ocular units); and per texture pixel its triangle's points [256, 256, 3] int with their
    weights [256, 256, 3], the hull [256, 256] bool and the depth below its rim [256, 256] px. (Or 512.)
    """

    uv: Float
    triangles: NDArray[np.int32]
    mirror: NDArray[np.int32]
    mean: Float
    corners: NDArray[np.int64]
    weights: Float
    hull: NDArray[np.bool_]
    depth: Float


def chart_of(
    uv: Float,
    triangles: NDArray[np.int32],
    mirror: NDArray[np.int32],
    mean: Float,
    side: int = TEXTURE_PX,
) -> Chart:
    """The chart of mesh points ``uv`` [478, 2] px joined by ``triangles`` [T, 3], in ``side`` px."""
    size = (side, side)
    corners = np.zeros((*size, 3), np.int64)
    weights = np.zeros((*size, 3), np.float32)
    hull = np.zeros(size, np.bool_)
    for triangle in triangles:
        a, b, c = uv[triangle].astype(np.float64)
        low = np.floor(np.minimum(np.minimum(a, b), c)).astype(int).clip(0)
        high = (np.ceil(np.maximum(np.maximum(a, b), c)).astype(int) + 1).clip(0, side)
        x, y = np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1]))
        two = np.stack([x - c[0], y - c[1]], axis=-1) @ np.linalg.inv(np.column_stack([a - c, b - c])).T
        shares = np.concatenate([two, 1 - two.sum(-1, keepdims=True)], axis=-1)
        inside = shares.min(-1) >= -EDGE_SLACK
        window = np.s_[low[1] : high[1], low[0] : high[0]]
        corners[window][inside], weights[window][inside] = triangle, shares[inside]
        hull[window] |= inside
    depth = cv2.distanceTransform(np.asarray(hull, np.uint8), cv2.DIST_L2, 5)
    return Chart(uv, triangles, mirror, mean, corners, weights, hull, np.asarray(depth, np.float32))


def chart_of_gallery(gallery: DelegateGallery) -> Chart:
    mean = np.mean([delegate.shape for delegate in gallery.delegates], axis=0).astype(np.float32)
    return chart_of(gallery.uv, gallery.triangles, gallery.mirror, normalise(mean))


def fine_chart(chart: Chart) -> Chart:
    """The same space at the textures' full size."""
    factor = FINE_PX / TEXTURE_PX
    uv = ((chart.uv + 0.5) * factor - 0.5).astype(np.float32)
    return chart_of(uv, chart.triangles, chart.mirror, chart.mean, FINE_PX)


def normalise(points: Float) -> Float:
    """Points [478, 3] with the irises at distance 1 about the origin."""
    left, right = (points[iris] for iris in IRISES)
    return np.asarray((points - (left + right) / 2) / np.linalg.norm((right - left)[:2]), np.float32)


def align(points: Float, mean: Float) -> Float:
    """Rotate, scale and shift ``points`` [478, 3] onto ``mean`` (Procrustes in three dimensions)."""
    a, b = points - points.mean(0), mean - mean.mean(0)
    u, s, vt = np.linalg.svd(a.T @ b)
    flip = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
    scale = float((s * np.diag(flip)).sum() / (a * a).sum())
    return np.asarray(scale * a @ (u @ flip @ vt) + mean.mean(0), np.float32)


def mirrored(shape: Float, chart: Chart) -> Float:
    """The mirror image of a shape [478, 3]."""
    return normalise(shape[chart.mirror] * np.array([-1, 1, 1], np.float32))


def unwrap(image: NDArray[np.uint8], points: Float, chart: Chart) -> Float:
    """A portrait [H, W, 3] with mesh ``points`` [478, 2] px as a texture of the chart's size,
    [256, 256, 3] float32, same channels, 0..1; extended smoothly outside the hull.
    """
    at = np.einsum("hwk,hwkc->hwc", chart.weights, points[chart.corners]).astype(np.float32)
    texture = cv2.remap(image, at[..., 0], at[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    known = np.asarray(chart.depth > 1, np.float32)
    return fill(np.asarray(texture / 255, np.float32), known).clip(0, 1)


def region(chart: Chart, *outlines: tuple[int, ...], grow_px: int = 0) -> NDArray[np.bool_]:
    """The convex hulls of mesh points in the texture as one mask [256, 256], grown or (< 0) shrunk."""
    mask = np.zeros((TEXTURE_PX, TEXTURE_PX), np.uint8)
    for outline in outlines:
        corners = cv2.convexHull(np.round(chart.uv[list(outline)]).astype(np.int32))
        cv2.fillConvexPoly(mask, corners, 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, [2 * abs(grow_px) + 1] * 2)
    return np.asarray((cv2.dilate if grow_px >= 0 else cv2.erode)(mask, kernel), np.bool_)


def bare_skin(chart: Chart) -> NDArray[np.bool_]:
    """Where a face shows skin and nothing else, well inside the rim: [256, 256]."""
    features = region(chart, *BROWS, *EYES, LIPS, NOSTRILS, grow_px=FEATURES_PX)
    return np.asarray((chart.depth > SKIN_DEPTH_PX) & ~features)
