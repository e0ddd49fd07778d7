"""Detector inputs: the regions (views, tiles) of a picture that inference runs on, and their scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streamanon.media.coloured_light import without_cast
from streamanon.media.yuv import small_rgb
from streamanon.types import Faces, Float, Picture

#: Long side of the network's input, px, by the setting ``detect.size``.
LONG_SIDES = {"small": 384, "medium": 576, "large": 1024}
#: Pixels of the input that "auto" aims at.
AUTO_PIXELS = 576 * 324
#: Pictures so many times as large as the input for the whole picture are searched in tiles as well.
TILED_FROM_RATIO = 1.5
#: Columns by rows of a wide picture's tiles, and the share of a tile by which two overlap.
TILE_GRID, TILE_OVERLAP = (3, 2), 0.2
#: A face this close to the edge of a tile, in its own sizes, may be cut off by it.
EDGE_MARGIN_SIZES = 0.1
#: The network's sides are multiples of this, px; up to this share of one is cut off rather than added.
GRID_PX, ROUND_DOWN = 32, 0.25
#: Grey level around a picture that does not fill the network's input, as in training.
PADDING = 114


@dataclass(frozen=True)
class View:
    """One detector input: ``region`` of a picture (xyxy px, on its chroma grid), rotated by ``turn``
    quarter turns counter-clockwise and scaled to the network's ``size`` (width, height).
    """

    region: tuple[int, int, int, int]
    size: tuple[int, int]
    turn: int = 0

    @property
    def scale(self) -> float:
        """Pixels of the network's input for one of the picture."""
        x0, y0, x1, y1 = self.region
        sides = (x1 - x0, y1 - y0) if self.turn % 2 == 0 else (y1 - y0, x1 - x0)
        return min(self.size[0] / sides[0], self.size[1] / sides[1])


def whole(picture: Picture, turn: int, long_side: int) -> View:
    """All of a picture, its long side scaled to ``long_side`` px."""
    return _view((0, 0, picture.width, picture.height), turn, long_side)


def tiles(picture: Picture, turn: int, long_side: int) -> list[View]:
    """Tiles that together cover a picture; none where the whole at ``long_side`` px has enough detail."""
    width, height = picture.width, picture.height
    if max(width, height) < TILED_FROM_RATIO * long_side:
        return []
    step_x, step_y = picture.chroma_step
    grid = TILE_GRID if width >= height else TILE_GRID[::-1]
    columns = [_on_grid(span, step_x, width) for span in _spans(width, grid[0])]
    rows = [_on_grid(span, step_y, height) for span in _spans(height, grid[1])]
    regions = [(x0, y0, x1, y1) for y0, y1 in rows for x0, x1 in columns]
    return [_view(region, turn, long_side) for region in regions]


def _view(region: tuple[int, int, int, int], turn: int, long_side: int) -> View:
    sides = region[2] - region[0], region[3] - region[1]
    width, height = sides if turn % 2 == 0 else sides[::-1]
    return View(region, fit(width, height, min(long_side, 2 * max(sides))), turn)


def _spans(length: int, count: int) -> list[tuple[float, float]]:
    """``count`` spans of a length that overlap."""
    size = length / (count - TILE_OVERLAP * (count - 1))
    return [(n * size * (1 - TILE_OVERLAP), n * size * (1 - TILE_OVERLAP) + size) for n in range(count)]


def _on_grid(span: tuple[float, float], step: int, length: int) -> tuple[int, int]:
    return int(span[0]) // step * step, min(-(-int(np.ceil(span[1])) // step) * step, length)


def turned_back(points: Float, width: int, height: int, turn: int) -> Float:
    """Points [..., 2] of a turned picture in px of it as it was, ``width`` by ``height``."""
    x, y = points[..., 0], points[..., 1]
    ways = ((x, y), (width - 1 - y, x), (width - 1 - x, height - 1 - y), (y, height - 1 - x))
    return np.stack(ways[turn % 4], axis=-1).astype(np.float32)


def without_halves(faces: Faces, region: tuple[int, int, int, int], picture: Picture) -> Faces:
    """The faces that no edge of a region cuts off, except where it is the picture's own edge."""
    low, high = np.array(region[:2]), np.array(region[2:])
    margin = EDGE_MARGIN_SIZES * (faces.boxes[:, 2:] - faces.boxes[:, :2])
    cut = ((faces.boxes[:, :2] < low + margin) & (low > 0)) | (
        (faces.boxes[:, 2:] > high - margin) & (high < [picture.width, picture.height])
    )
    return faces[~cut.any(axis=1)]


def input_size(width: int, height: int, size: str) -> tuple[int, int]:
    """The network's (width, height) for a frame: its long side by ``size``, both multiples of 32.

    "auto" stays between the small and the medium size, with as many pixels for a square frame as for a wide
    one; nothing is scaled up much.
    """
    longest = max(width, height)
    if size == "auto":
        even = float(np.sqrt(AUTO_PIXELS * longest / min(width, height)))
        long_side = int(np.clip(min(even, longest), LONG_SIDES["small"], LONG_SIDES["medium"]))
    else:
        long_side = LONG_SIDES[size]
    return fit(width, height, min(long_side, 2 * longest))


def fit(width: int, height: int, long_side: int) -> tuple[int, int]:
    """A frame's (width, height) scaled to a long side, both rounded to multiples of 32."""
    scale = long_side / max(width, height)
    return _round_up(width * scale), _round_up(height * scale)


def _round_up(pixels: float) -> int:
    return max(GRID_PX, int(np.ceil(pixels / GRID_PX - ROUND_DOWN)) * GRID_PX)


def letterbox(picture: Picture, width: int, height: int, turn: int = 0) -> tuple[Float, float]:
    """The picture, turned by quarters and scaled into [1, 3, height, width] RGB 0..1, grey below or to the
    right; and the scale.
    """
    sides = (picture.width, picture.height) if turn % 2 == 0 else (picture.height, picture.width)
    scale = min(width / sides[0], height / sides[1])
    inner = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    small = np.rot90(without_cast(small_rgb(picture, *inner)), turn)
    canvas = np.full((height, width, 3), PADDING, np.uint8)
    canvas[: small.shape[0], : small.shape[1]] = small
    image = np.ascontiguousarray(canvas.transpose(2, 0, 1)[None], np.float32)
    image /= 255
    return image, scale
