"""Contact sheets: rendered pictures of delegates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.gallery.delegates import DelegateGallery
from streamanon.types import Delegate

#: Level of the background.
GREY = 128
#: A face in its tile: the point between the eyes (x, y) and the inter-ocular distance, shares of the tile.
CENTRE, EYE_DISTANCE = (0.5, 0.40), 0.28
#: Tiles are rendered at so many times their size.
SUPERSAMPLING = 2
#: Side of the tile, px, for which labels are 14 px high.
LABEL_TILE_PX = 128
#: How the card's picture of a whole gallery is laid out, and its JPEG quality.
SHEET_COLUMNS, SHEET_QUALITY = 20, 84


def contact_sheet(
    gallery: DelegateGallery, delegates: Sequence[Delegate], tile_px: int = 128, columns: int = 14
) -> NDArray[np.uint8]:
    """Delegates on grey, each texture on its own proportions, with their ids, [H, W, 3] RGB."""
    columns = min(columns, len(delegates))
    tiles = [labelled(render(delegate, gallery, tile_px), delegate.id) for delegate in delegates]
    tiles += [np.full_like(tiles[0], GREY)] * (-len(tiles) % columns)
    return np.vstack([np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)])


def write_sheet(gallery: DelegateGallery, path: Path) -> None:
    """Write a JPEG file that shows all delegates of a gallery."""
    sheet = contact_sheet(gallery, gallery.delegates, columns=SHEET_COLUMNS)
    options = [cv2.IMWRITE_JPEG_QUALITY, SHEET_QUALITY]
    path.write_bytes(cv2.imencode(".jpg", sheet[..., ::-1], options)[1].tobytes())


def labelled(tile: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    """A tile with the delegate's id in its corner."""
    size = len(tile) / LABEL_TILE_PX
    at = (round(4 * size), round(14 * size))
    return np.asarray(
        cv2.putText(tile, name, at, cv2.FONT_HERSHEY_SIMPLEX, 0.4 * size, (255,) * 3, 1, cv2.LINE_AA),
        np.uint8,
    )


def render(delegate: Delegate, gallery: DelegateGallery, tile_px: int) -> NDArray[np.uint8]:
    """A delegate's texture on its own shape, frontal, on grey: [tile, tile, 3] RGB."""
    big = SUPERSAMPLING * tile_px
    centre, scale = np.array(CENTRE) * big, EYE_DISTANCE * big
    at = delegate.shape[:, :2] * scale + centre
    canvas = np.full((big, big, 3), GREY, np.uint8)
    texture = delegate.texture
    for corners in gallery.triangles:
        source, target = gallery.uv[corners], at[corners].astype(np.float32)
        low = np.floor(target.min(0)).astype(int).clip(0)
        high = np.ceil(target.max(0)).astype(int) + 1
        size = (int(high[0] - low[0]), int(high[1] - low[1]))
        patch = cv2.warpAffine(
            texture,
            cv2.getAffineTransform(source, np.asarray(target - low, np.float32)),
            size,
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        mask = np.zeros(size[::-1], np.uint8)
        cv2.fillConvexPoly(mask, np.round(target - low).astype(np.int32), 1)
        window = (slice(low[1], high[1]), slice(low[0], high[0]))
        shown = canvas[window]  # smaller than the patch where that leaves the tile
        inside = mask[: shown.shape[0], : shown.shape[1]] > 0
        shown[inside] = patch[: shown.shape[0], : shown.shape[1]][inside]
    return np.asarray(cv2.resize(canvas, (tile_px, tile_px), interpolation=cv2.INTER_AREA), np.uint8)
