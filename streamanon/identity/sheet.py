"""Pictures of delegates, to look at."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.identity.delegates import DelegateGallery
from streamanon.types import Delegate


def contact_sheet(
    gallery: DelegateGallery, delegates: Sequence[Delegate], tile_px: int = 128, columns: int = 14
) -> NDArray[np.uint8]:
    """Delegates on grey, each texture on its own proportions, [H, W, 3] RGB."""
    columns = min(columns, len(delegates))
    tiles = [render(delegate, gallery, tile_px) for delegate in delegates]
    tiles += [np.full_like(tiles[0], 128)] * (-len(tiles) % columns)
    return np.vstack([np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)])


def render(delegate: Delegate, gallery: DelegateGallery, tile_px: int) -> NDArray[np.uint8]:
    """A delegate's texture on its own shape, frontal, on grey: [tile, tile, 3] RGB."""
    big = 2 * tile_px
    centre, scale = np.array([0.5, 0.40]) * big, 0.28 * big
    at = delegate.shape[:, :2] * scale + centre
    canvas = np.full((big, big, 3), 128, np.uint8)
    for corners in gallery.triangles:
        source, target = gallery.uv[corners], at[corners].astype(np.float32)
        low = np.floor(target.min(0)).astype(int).clip(0)
        high = np.ceil(target.max(0)).astype(int) + 1
        size = (int(high[0] - low[0]), int(high[1] - low[1]))
        patch = cv2.warpAffine(
            delegate.texture,
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
