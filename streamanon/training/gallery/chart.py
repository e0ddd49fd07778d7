"""The texture space of a set of portraits: their symmetric mean face, laid flat."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]
from scipy.spatial import Delaunay  # type: ignore[import-untyped]

from streamanon.identity.chart import Chart, align, chart_of, normalise
from streamanon.identity.delegates import TEXTURE_PX
from streamanon.types import Float

MARGIN_PX = 6.0
ROUNDS = 4


def make_chart(points: Float) -> Chart:
    """The texture space of portraits' meshes [N, 478, 3]: their symmetric mean, scaled to the texture."""
    mean = normalise(points[0])
    for _ in range(ROUNDS):
        mean = np.mean([align(p, mean) for p in points], axis=0)
        mirror = mirror_table(normalise(mean))
        mean = normalise((mean + (mean * np.array([-1, 1, 1]) + [2 * mean[:, 0].mean(), 0, 0])[mirror]) / 2)
        mean[:, 0] -= (mean[:, 0] + mean[mirror, 0]).mean() / 2
    low, high = mean[:, :2].min(0), mean[:, :2].max(0)
    scale = (TEXTURE_PX - 1 - 2 * MARGIN_PX) / float((high - low).max())
    uv = ((mean[:, :2] - (low + high) / 2) * scale + (TEXTURE_PX - 1) / 2).astype(np.float32)
    triangles = _same_turn(uv, np.asarray(Delaunay(uv.astype(np.float64)).simplices, np.int32))
    return chart_of(uv, triangles, mirror, mean.astype(np.float32))


def mirror_table(mean: Float) -> NDArray[np.int32]:
    """Each mesh point's counterpart on the other side of a mean face [478, 3]."""
    flipped = mean * np.array([-1, 1, 1], np.float32)
    cost = np.linalg.norm(mean[:, None] - flipped[None], axis=2)
    cost[:468, 468:] = cost[468:, :468] = 10  # irises go to irises
    return np.asarray(linear_sum_assignment(cost + cost.T)[1], np.int32)


def _same_turn(uv: Float, triangles: NDArray[np.int32]) -> NDArray[np.int32]:
    """The triangles with their corners in the same sense of rotation, none degenerate."""
    a, b, c = uv[triangles].astype(np.float64).transpose(1, 0, 2)
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    turned = np.where((area < 0)[:, None], triangles[:, [0, 2, 1]], triangles)
    return np.ascontiguousarray(turned[np.abs(area) > 1e-6], np.int32)
