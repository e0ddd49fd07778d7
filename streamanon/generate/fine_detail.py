"""A texture's own detail at the frame's resolution, which the network's painting lacks."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.generate.border import luma_of
from streamanon.generate.light import filled
from streamanon.generate.raster import extended, localising, sampled
from streamanon.geometry import scale_of
from streamanon.mesh.landmarks import EYES, INNER_LIPS
from streamanon.types import Float

#: A face is detailed at no more than so many pixels.
WORK_PX = 900
#: Of that detail what is kept: finer than so many crop pixels (sigma). The network's own is coarser.
DETAIL_SIGMA = 1.3
#: And no brighter than what is about it by that share: skin beside a dark brow would shine.
BRIGHTEST = np.float32(0.12)
#: A blur as strong as that, px, is made at half the size.
HALVED_SIGMA = 2.0


def work_size(region: tuple[int, int, int, int]) -> tuple[int, int]:
    """Width and height, px, at which a region of the frame is detailed."""
    x0, y0, x1, y1 = region
    shrink = min(1.0, WORK_PX / max(x1 - x0, y1 - y0))
    return max(8, round((x1 - x0) * shrink)), max(8, round((y1 - y0) * shrink))


def fine_detail(
    texture: NDArray[np.uint8],
    places: Float,
    mask: NDArray[np.bool_],
    points: Float,
    back: Float,
    region: tuple[int, int, int, int],
) -> Float:
    """How much brighter than what is about it each pixel of a ``texture`` is, of that: [h, w] of a
    ``region`` of the frame.

    ``places`` [128, 128, 2], ``mask`` [128, 128]: where in the texture the crop's pixels lie, and where its
    mesh is; ``back`` [2, 3]: from there to the frame. ``points`` [478, 3]: the mesh, px of the region at
    its :func:`work_size`.
    """
    x0, y0, x1, y1 = region
    size = work_size(region)
    into = localising(region, size)
    into = np.column_stack([into[:, :2] @ back[:, :2], into[:, :2] @ back[:, 2] + into[:, 2]])
    at, seen = (
        cv2.warpAffine(one, into, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for one in (extended(places, mask), mask.astype(np.float32))
    )
    for outline in (INNER_LIPS, *EYES):  # where the texture is stretched or squeezed
        seen[filled(points, outline, seen.shape) > 0] = 0
    inside = (seen > 0.5).astype(np.float32)
    luma = luma_of(sampled(texture, np.asarray(at, np.float32))) * inside
    around, share = _coarse(np.dstack([luma, inside]), DETAIL_SIGMA * scale_of(into))
    # Less and less of it towards the edge, beyond which nothing is known.
    fading = (2 * share - 1).clip(0) * inside
    fine = (luma * share / np.maximum(around, 1.0) - 1).clip(max=BRIGHTEST) * fading
    return np.asarray(cv2.resize(fine, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR), np.float32)


def _coarse(values: Float, sigma: float) -> tuple[Float, ...]:
    """The channels of ``values`` [h, w, C] without what is finer than ``sigma`` px; a strong blur is made
    at half the size.
    """
    if sigma < HALVED_SIGMA:
        return _channels(cv2.GaussianBlur(values, (0, 0), sigma))
    small = cv2.resize(values, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(small, (0, 0), sigma / 2)
    return _channels(cv2.resize(blurred, values.shape[1::-1], interpolation=cv2.INTER_LINEAR))


def _channels(values: object) -> tuple[Float, ...]:
    return tuple(np.ascontiguousarray(np.moveaxis(np.asarray(values, np.float32), 2, 0)))
