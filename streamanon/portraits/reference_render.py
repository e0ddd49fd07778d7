"""Identity features of delegates, so that nobody is assigned a delegate of similar identity.

Each delegate is rendered on one reference head: the mean of hundreds of faces.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from streamanon.gallery.delegates import DelegateGallery
from streamanon.generate import WarpGenerator
from streamanon.identity.encoder import CHANNELS, IdentityFeature, IdentityModel
from streamanon.media.yuv import from_rgb, write_rgb
from streamanon.types import Assignment, Delegate, Float, Geometry, Picture

#: How far the head's features move to where the delegate has them, 0..1: the default of a run.
GEOMETRY = 0.8
NOTHING: Float = np.zeros(CHANNELS, np.float32)  # the warp uses no feature


def worn(delegate: Delegate, generator: WarpGenerator, head: NDArray[np.uint8], points: Float) -> Picture:
    """``head`` [H, W, 3] uint8 RGB, with its mesh [478, 3] at ``points`` px, as the delegate."""
    bare = from_rgb(head)
    patch, _ = generator.paint(bare, Geometry(points, 1.0), Assignment(delegate, GEOMETRY, NOTHING), None)
    planes = tuple(plane.copy() for plane in bare.planes)
    write_rgb(planes, bare, patch.x0, patch.y0, patch.rgb, patch.alpha)
    return Picture(planes, bare.pixel_format, bare.matrix, bare.full_range)


def describe_all(
    delegates: Iterable[Delegate], gallery: DelegateGallery, encoder: IdentityModel
) -> tuple[Float, Float]:
    """Features [N, 256] and embeddings [N, 128] of delegates in a gallery's texture space."""
    generator, points = WarpGenerator(gallery), gallery.head_points
    seen: list[IdentityFeature] = [
        encoder.describe(worn(delegate, generator, gallery.head, points), points) for delegate in delegates
    ]
    return np.stack([one.pooled for one in seen]), np.stack([one.embedding for one in seen])
