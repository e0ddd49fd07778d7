"""A texture on meshes: triangles as pixels, all triangles of all faces at once.

A pixel belongs to a triangle if OpenCV's ``fillConvexPoly`` would paint it: if it lies in the span between
two of its edges in that row, or on a line that is drawn from corner to corner. So a mesh has the same
pixels on the device and on the host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import numpy as np
import torch

from streamanon.device.resample import sample
from streamanon.gallery.delegates import TEXTURE_PX
from streamanon.generate.raster import KEPT, Textures, drawn_triangles, inverse_maps, level_of
from streamanon.runtime.backends import Array, Memory
from streamanon.types import Delegate, Float

#: Triangles are drawn in squares of this many px, or twice, four times ... as many.
SMALLEST_PX = 8
#: Pixels that are painted lie at most so far beyond a triangle's corners, both sides together.
BESIDE_PX = 3
#: Below this a length, px, is taken for it, so that nothing is divided by 0.
TINY = 1e-9


class DeviceTextures:
    """The textures of delegates on meshes, as by :class:`streamanon.generate.raster.Textures`."""

    def __init__(self, textures: Textures, memory: Memory) -> None:
        self._uv, self._triangles, self._memory = textures.uv, textures.triangles, memory
        self._levels: Callable[[Delegate], list[torch.Tensor]] = lru_cache(KEPT)(
            lambda delegate: [_planes(memory.upload(one)) for one in textures.levels(delegate)]
        )

    def warp(
        self, meshes: Sequence[Float], size: tuple[int, int], delegates: Sequence[Delegate]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The textures on ``meshes`` [478, 3], RGB 0..255 [N, 3, h, w], and where the meshes are,
        [N, 1, h, w] bool.
        """
        upload = self._memory.upload
        owners = self._owners(meshes, size)
        maps = upload(np.stack([inverse_maps(one[:, :2], self._uv, self._triangles) for one in meshes]))
        seen = owners > 0
        row = torch.arange(len(meshes), device=owners.device)[:, None, None]
        linear = maps[row, (owners - 1).clamp(min=0)]  # [N, h, w, 2, 3]
        x = torch.arange(size[0], device=owners.device, dtype=torch.float32)
        y = torch.arange(size[1], device=owners.device, dtype=torch.float32)
        at = linear[..., 0] * x[:, None] + linear[..., 1] * y[:, None, None] + linear[..., 2]
        warped = []
        for number, (mesh, delegate) in enumerate(zip(meshes, delegates, strict=True)):
            levels = self._levels(delegate)
            texture = levels[level_of(mesh, levels[0].shape[-1], len(levels))]
            places = (at[number] + 0.5) * (texture.shape[-1] / TEXTURE_PX) - 0.5
            places = torch.where(seen[number, ..., None], places, -1)
            warped.append(sample(texture, places).round())  # whole levels, as on the host
        return torch.stack(warped), seen[:, None]

    def _owners(self, meshes: Sequence[Float], size: tuple[int, int]) -> torch.Tensor:
        """Which triangle (from 1) each pixel [N, h, w] belongs to, 0: none."""
        drawn = [drawn_triangles(one, self._triangles, self._uv) for one in meshes]
        most = max(len(numbers) for numbers, _ in drawn)
        table = np.zeros((len(meshes), most + 1), np.int64)
        for row, (numbers, _) in enumerate(drawn):
            table[row, 1 : len(numbers) + 1] = numbers + 1
        upload, pixels = self._memory.upload, size[0] * size[1]
        nearest = torch.zeros(len(meshes) * pixels + 1, dtype=torch.int32, device=self._memory.device)
        for side, *group in _by_size([corners for _, corners in drawn]):
            places, ranks = _painted(side, size, *map(upload, group))
            nearest.scatter_reduce_(0, places, ranks, "amax")
        by_face = nearest[1:].reshape(len(meshes), pixels).long()
        return upload(table).gather(1, by_face).reshape(len(meshes), size[1], size[0])


def _planes(texture: torch.Tensor) -> torch.Tensor:
    return texture.permute(2, 0, 1).float().contiguous()


def _by_size(faces: Sequence[Array]) -> Iterator[tuple[int, Array, Array, Array]]:
    """The triangles of all faces in groups of about the same size: the side of a square that holds each,
    px; their corners [M, 3, 2] px; their ranks within their face [M], from 1 for the farthest; and their
    faces [M].
    """
    corners = np.concatenate(faces).astype(np.float32) / 16
    ranks = np.concatenate([np.arange(1, len(one) + 1, dtype=np.int32) for one in faces])
    owners = np.concatenate([np.full(len(one), row, np.int64) for row, one in enumerate(faces)])
    sides = np.ptp(corners, axis=1).max(axis=1, initial=0) + BESIDE_PX
    doublings = np.ceil(np.log2(np.maximum(sides / SMALLEST_PX, 1))).astype(int)
    for doubling in np.unique(doublings).tolist():
        rows = doublings == doubling
        yield SMALLEST_PX << doubling, corners[rows], ranks[rows], owners[rows]


def _painted(
    side: int, size: tuple[int, int], corners: torch.Tensor, ranks: torch.Tensor, faces: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """All pixels of the triangles' squares: where each lies among all faces' pixels, from 1, or 0 where no
    triangle is; and its triangle's rank.
    """
    steps = torch.arange(side, device=corners.device, dtype=torch.float32)
    origin = corners.amin(dim=1).floor() - 1
    x = (origin[:, :1] + steps)[:, None, :]  # [M, 1, side]
    y = (origin[:, 1:] + steps)[:, :, None]  # [M, side, 1]
    inside = _in_span(corners, x, y) | _on_lines(corners, x, y)
    inside &= (x >= 0) & (x < size[0]) & (y >= 0) & (y < size[1])
    places = 1 + (faces[:, None, None] * size[1] + y.long()) * size[0] + x.long()
    return torch.where(inside, places, 0).flatten(), ranks[:, None, None].expand_as(inside).flatten()


def _in_span(corners: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Whether pixels lie between the leftmost and the rightmost edge that their row meets."""
    first, last = corners, corners.roll(-1, dims=1)
    swapped = (first[..., 1] > last[..., 1])[..., None]
    top, bottom = torch.where(swapped, last, first), torch.where(swapped, first, last)
    begin, end = _rounded(top[..., 1]), _rounded(bottom[..., 1])
    slope = (bottom[..., 0] - top[..., 0]) / (end - begin).clamp(min=1)
    rows = y.mT  # [M, 1, side]
    at = top[..., :1] + (rows - begin[..., None]) * slope[..., None]  # [M, 3, side]
    meets = (rows >= begin[..., None]) & (rows <= end[..., None]) & (end > begin)[..., None]
    left = torch.where(meets, at, torch.inf).amin(dim=1)
    right = torch.where(meets, at, -torch.inf).amax(dim=1)
    return (x >= _rounded(left)[..., None]) & (x <= _rounded(right)[..., None])


def _on_lines(corners: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Whether pixels lie on the line from one corner to the next, one pixel wide."""
    found = torch.zeros(1, dtype=torch.bool, device=corners.device)
    for number in range(3):
        first, last = corners[:, number], corners[:, (number + 1) % 3]
        apart = (last - first).abs()
        level = apart[:, :1] > apart[:, 1:]  # else it is steep, and steps go down
        first, last = (torch.where(level, one, one.flip(1)) for one in (first, last))
        swapped = first[:, :1] > last[:, :1]
        first, last = torch.where(swapped, last, first), torch.where(swapped, first, last)
        (begin, start), (end, stop) = (one[..., None, None].unbind(1) for one in (first, last))
        slope = (stop - start) / (end - begin).clamp(min=TINY)
        level = level[..., None]
        along, beside = torch.where(level, x, y), torch.where(level, y, x)
        steps = along - _rounded(begin)
        line = (steps >= 0) & (steps <= torch.floor(end - begin))
        line &= beside == _rounded(start + steps * slope)
        found = found | line | ((along == _rounded(end)) & (beside == _rounded(stop)))
    return found


def _rounded(values: torch.Tensor) -> torch.Tensor:
    return torch.floor(values + 0.5)
