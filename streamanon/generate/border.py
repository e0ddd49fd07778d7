"""One skin: a painted face takes over the colour of the skin that it borders on, and keeps its own inside.

Only pixels outside the cut are looked at, which stay to be seen anyway.
"""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.types import LUMA, Float

#: Width, crop px, of the ring of surroundings and of painting that are compared.
RING_PX = 7
#: How near, levels, surroundings must be to the skin's light to count as skin.
LIKE_SKIN = 45.0
#: A difference spreads along the border by so many crop px (sigma), and inwards by so many.
ALONG_PX, INWARDS_PX = 5.0, 14.0
#: How much less blue than the skin, of its luma, painting may be.
LESS_BLUE = 0.1
#: Share of skin-like surroundings nearby from which the difference is taken over wholly; its bound, levels.
SURE_SHARE, MOST = 0.05, 40.0


def blend_border(rgb: Float, crop: Float, light: Float, cut: NDArray[np.bool_]) -> Float:
    """``rgb`` [128, 128, 3] 0..255, the painting of a ``cut`` [128, 128], with the colours of the ``crop``
    [128, 128, 3] around it where those are skin; ``light`` [128, 128, 3]: the skin's colour.
    """
    outer, inner, nearness = rings_of(cut)
    skin = outer * np.exp(-((np.linalg.norm(crop - light, axis=2) / LIKE_SKIN) ** 2)).astype(np.float32)
    around, seen = _means(crop, skin)
    painted, _ = _means(rgb, inner.astype(np.float32))
    share = np.clip(seen / SURE_SHARE, 0, 1) * nearness
    return np.asarray(rgb + (share[..., None] * (around - painted)).clip(-MOST, MOST), np.float32)


def rings_of(cut: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_], Float]:
    """Of a ``cut`` [h, w]: the rings outside and inside its edge, and how much of what differs there is
    carried inwards to each pixel, 0..1.
    """
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * RING_PX + 1,) * 2)
    inside = cut.view(np.uint8)
    outer = (cv2.dilate(inside, kernel) > 0) & ~cut
    inner = cut & (cv2.erode(inside, kernel) == 0)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3)
    return outer, inner, np.asarray(np.exp(-((depth / INWARDS_PX) ** 2)), np.float32)


def without_yellow(rgb: Float, light: Float) -> Float:
    """``rgb`` [h, w, 3] 0..255 where its blue is not much less, of its luma, than that of the skin's
    ``light`` [h, w, 3]: in bluish or grey footage the network paints yellow about the eyes.
    """
    least = (light[..., 2] / np.maximum(light @ LUMA, 1.0) - LESS_BLUE) * (rgb @ LUMA)
    made = rgb.copy()
    made[..., 2] = np.maximum(made[..., 2], least)
    return made


def _means(values: Float, weight: Float) -> tuple[Float, Float]:
    """The local mean [h, w, 3] of what has weight, and the weight itself, spread [h, w]."""
    spread = cv2.GaussianBlur(weight, (0, 0), ALONG_PX)
    total = cv2.GaussianBlur(values * weight[..., None], (0, 0), ALONG_PX)
    return cast(Float, total / np.maximum(spread, 1e-4)[..., None]), cast(Float, spread)
