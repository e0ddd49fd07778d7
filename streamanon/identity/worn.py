"""What the identity encoder sees in delegates, so that nobody is given one who looks like them.

A delegate is looked at as it is worn, by a head that is nobody's: the mean of hundreds.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from streamanon.generator import WarpGenerator
from streamanon.identity.delegates import DelegateGallery
from streamanon.identity.encoder import CHANNELS, IdentityFeature, IdentityModel
from streamanon.pixels import from_rgb, write_rgb
from streamanon.types import Delegate, Float, Geometry, Picture, Role

GEOMETRY = 0.8
NOTHING: Float = np.zeros(CHANNELS, np.float32)  # a warp takes no feature


def worn(delegate: Delegate, generator: WarpGenerator, head: NDArray[np.uint8], points: Float) -> Picture:
    """``head`` [H, W, 3] uint8 RGB, with its mesh [478, 3] at ``points`` px, as the delegate."""
    bare = from_rgb(head)
    patch, _ = generator.paint(bare, Geometry(points, 1.0), Role(delegate, GEOMETRY, NOTHING), None)
    planes = tuple(plane.copy() for plane in bare.planes)
    write_rgb(planes, bare, patch.x0, patch.y0, patch.rgb, patch.alpha)
    return Picture(planes, bare.pixel_format, bare.matrix, bare.full_range)


def look_at_all(
    delegates: Iterable[Delegate], gallery: DelegateGallery, encoder: IdentityModel
) -> tuple[Float, Float]:
    """Features [N, 256] and embeddings [N, 128] of delegates in a gallery's texture space."""
    generator, points = WarpGenerator(gallery), gallery.head_points
    looks: list[IdentityFeature] = [
        encoder.describe(worn(delegate, generator, gallery.head, points), points) for delegate in delegates
    ]
    return np.stack([one.pooled for one in looks]), np.stack([one.embedding for one in looks])
