"""A texture on meshes: triangles as pixels, all triangles of all faces at once.

A pixel belongs to a triangle if OpenCV's ``fillConvexPoly`` would paint it: if it lies in the span between
two of its edges in that row, or on a line that is drawn from corner to corner. So a mesh has the same
pixels on the device and on the host.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import numpy as np
import torch

from streamanon.device.resample import sample
from streamanon.gallery.delegates import TEXTURE_PX
from streamanon.generate.raster import KEPT, Textures, drawn_triangles, inverse_maps, level_of
from streamanon.runtime.backends import Array, Memory
from streamanon.types import Delegate, Float

#: Triangles are drawn in squares of so many px, by their size: in few groups, each of which is some thirty
#: operations of a GPU whatever their number.
SIDES_PX = (8, 16, 48, 160)
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


def _by_size(faces: Sequence[Array]) -> Iterator[tuple[int, Array, Array, Array, Array, Array]]:
    """The triangles of all faces in groups of about the same size: the side of a square that holds each,
    px; where the squares lie [M, 2]; their :func:`_spans` and :func:`_lines`; their ranks within their face
    [M], from 1 for the farthest; and their faces [M].
    """
    corners = np.concatenate(faces).astype(np.float32) / 16
    ranks = np.concatenate([np.arange(1, len(one) + 1, dtype=np.int32) for one in faces])
    owners = np.concatenate([np.full(len(one), row, np.int64) for row, one in enumerate(faces)])
    needed = np.ptp(corners, axis=1).max(axis=1, initial=0) + BESIDE_PX
    groups = np.searchsorted(SIDES_PX, needed)
    for group in np.unique(groups).tolist():
        rows = groups == group
        some = corners[rows]
        side = SIDES_PX[group] if group < len(SIDES_PX) else math.ceil(needed[rows].max())
        origin = np.floor(some.min(axis=1)) - 1
        yield side, origin, _spans(some), _lines(some), ranks[rows], owners[rows]


def _spans(corners: Float) -> Float:
    """Of triangles [M, 3, 2] px the edges that rows meet, [M, 3, 4]: their first and last row, where the
    edge is in the first, and by how much it moves from row to row.
    """
    first, last = corners, np.roll(corners, -1, axis=1)
    swapped = (first[..., 1] > last[..., 1])[..., None]
    top, bottom = np.where(swapped, last, first), np.where(swapped, first, last)
    begin, end = _rounded(top[..., 1]), _rounded(bottom[..., 1])
    slope = (bottom[..., 0] - top[..., 0]) / np.maximum(end - begin, 1)
    end = np.where(end > begin, end, begin - 1)  # a level edge has no rows
    return np.stack([begin, end, top[..., 0], slope], axis=2).astype(np.float32)


def _lines(corners: Float) -> Float:
    """Of triangles [M, 3, 2] px the lines from corner to corner, one pixel wide, [M, 3, 7]: whether steps
    go across (else down), the first step's place, how many follow, the line's place beside it and by how
    much that moves from step to step, and the last pixel (x, y).
    """
    first, last = corners, np.roll(corners, -1, axis=1)
    apart = np.abs(last - first)
    level = apart[..., :1] > apart[..., 1:]
    first, last = (np.where(level, one, one[..., ::-1]) for one in (first, last))  # along, beside
    swapped = first[..., :1] > last[..., :1]
    first, last = np.where(swapped, last, first), np.where(swapped, first, last)
    (begin, start), (end, stop) = (np.moveaxis(one, 2, 0) for one in (first, last))
    slope = (stop - start) / np.maximum(end - begin, TINY)
    x, y = np.moveaxis(_rounded(np.where(level, last, last[..., ::-1])), 2, 0)
    rows = level[..., 0], _rounded(begin), np.floor(end - begin), start, slope, x, y
    return np.stack(rows, axis=2).astype(np.float32)


def _painted(
    side: int,
    size: tuple[int, int],
    origin: torch.Tensor,
    spans: torch.Tensor,
    lines: torch.Tensor,
    ranks: torch.Tensor,
    faces: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """All pixels of the triangles' squares: where each lies among all faces' pixels, from 1, or 0 where no
    triangle is; and its triangle's rank.
    """
    steps = torch.arange(side, device=origin.device, dtype=torch.float32)
    x = (origin[:, :1] + steps)[:, None, :]  # [M, 1, side]
    y = (origin[:, 1:] + steps)[:, :, None]  # [M, side, 1]
    inside = _in_span(spans, x, y) | _on_lines(lines, x, y)
    inside &= (x >= 0) & (x < size[0]) & (y >= 0) & (y < size[1])
    places = (faces[:, None, None] * size[1] + y.long()) * size[0] + x.long() + 1
    return torch.where(inside, places, 0).flatten(), ranks[:, None, None].expand_as(inside).flatten()


def _in_span(spans: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Whether pixels lie between the leftmost and the rightmost edge that their row meets."""
    begin, end, start, slope = spans[..., None].unbind(dim=2)  # [M, 3, 1] each
    rows = y.mT
    at = torch.floor(start + (rows - begin) * slope + 0.5)  # [M, 3, side]
    meets = (rows >= begin) & (rows <= end)
    left = torch.where(meets, at, torch.inf).amin(dim=1)[..., None]
    right = torch.where(meets, at, -torch.inf).amax(dim=1)[..., None]
    return (x >= left) & (x <= right)


def _on_lines(lines: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Whether pixels lie on the line from one corner to the next."""
    level, begin, count, start, slope, last_x, last_y = lines[..., None, None].unbind(dim=2)
    x, y = x[:, None], y[:, None]
    along, beside = torch.where(level > 0, x, y), torch.where(level > 0, y, x)  # [M, 3, side, side]
    steps = along - begin
    line = (steps >= 0) & (steps <= count) & (beside == torch.floor(start + steps * slope + 0.5))
    return (line | ((x == last_x) & (y == last_y))).any(dim=1)


def _rounded(values: Float) -> Float:
    return np.asarray(np.floor(values + np.float32(0.5)), np.float32)
