"""One skin: a painted face takes over the colour of the skin that it borders on, and keeps its own inside.

Only pixels outside the cut are looked at, which stay to be seen anyway.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.types import LUMA, Float

#: So near the edge of the cut, crop px, surroundings and painting are compared; and so near the painting is
#: kept within the colours that are about, which are those outside and those deeper inside.
NEAR_PX, RIM_PX = 3.5, 4.5
#: Those colours are taken from so many px around, and a little blurred: one pixel is no colour.
AROUND_PX, SPECK_SIGMA = 11, 0.8
#: No colour is so far from black, levels.
FAR = np.float32(1e3)
#: How near surroundings must be to the skin's light to count as skin: in levels of luma (hair shades the
#: forehead, and the jaw the neck), and in tint, which is colour over luma.
LIKE_LUMA, LIKE_TINT = 30.0, 0.13
#: A difference spreads along the border by so many crop px (sigma), and inwards by so many.
ALONG_PX, INWARDS_PX = 5.0, 14.0
#: Bounds of how much more green and blue than the skin painting may be, of its luma, and in levels.
GREENER, BLUER, LEVELS = (-1.0, 0.02), (-0.07, 0.04), 1.0
#: Shares of skin among the surroundings nearby between which the difference begins to be taken over and is
#: taken over wholly; the same for the network's own edge, which then counts for nothing; the difference's
#: bound, levels.
SKIN_SHARES, EDGE_SHARES, MOST = (0.05, 0.3), (0.4, 0.7), 40.0
#: A ring of which there is less than that nearby, and a weight less than that, count as that.
LEAST_RING, LEAST_SHARE = 0.02, 1e-4


@dataclass(frozen=True, eq=False, repr=False)
class Rings:
    """About a cut's edge, each [h, w]: what is just ``outside`` and just ``inside`` of it, and the ``rim``,
    whose colours are bounded; how much of a difference is carried inwards, ``nearness`` 0..1.
    """

    outside: NDArray[np.bool_]
    inside: NDArray[np.bool_]
    rim: NDArray[np.bool_]
    nearness: Float

    def stacked(self) -> Float:
        """[4, h, w]."""
        return np.stack([self.outside, self.inside, self.rim, self.nearness]).astype(np.float32)


def blend_border(rgb: Float, crop: Float, light: Float, cut: NDArray[np.bool_]) -> tuple[Float, Float]:
    """``rgb`` [128, 128, 3] 0..255, the painting of a ``cut`` [128, 128], with the colours of the ``crop``
    [128, 128, 3] around it where those are skin; ``light`` [128, 128, 3]: the skin's colour. And how surely
    skin is beside each pixel [128, 128], 0..1.
    """
    rings = rings_of(cut)
    rgb = within_reach(rgb, crop, cut, rings.rim)
    ring = rings.outside.astype(np.float32)
    around, seen = _means(crop, ring * likeness(crop, light))
    painted, _ = _means(rgb, rings.inside.astype(np.float32))
    seen = seen / np.maximum(cv2.GaussianBlur(ring, (0, 0), ALONG_PX), LEAST_RING)
    share = (np.interp(seen, SKIN_SHARES, (0, 1)).astype(np.float32) * rings.nearness)[..., None]
    blended = rgb + (share * (around - painted)).clip(-MOST, MOST)
    return np.asarray(blended, np.float32), np.interp(seen, EDGE_SHARES, (0, 1)).astype(np.float32)


def rings_of(cut: NDArray[np.bool_]) -> Rings:
    """Of a ``cut`` [h, w]."""
    inside, outside = cut.view(np.uint8), (~cut).view(np.uint8)
    depth, away = (cv2.distanceTransform(one, cv2.DIST_L2, 3) for one in (inside, outside))
    return Rings(
        ~cut & (away <= NEAR_PX),
        cut & (depth <= NEAR_PX),
        cut & (depth <= RIM_PX),
        np.asarray(np.exp(-((depth / INWARDS_PX) ** 2)), np.float32),
    )


def within_reach(rgb: Float, crop: Float, cut: NDArray[np.bool_], rim: NDArray[np.bool_]) -> Float:
    """``rgb`` with no colour in the ``rim`` of the ``cut`` that is neither outside it nor further in: the
    network draws bright and dark lines along it.
    """
    known = np.where(cut[..., None], rgb, crop)
    known = cv2.GaussianBlur(known, (0, 0), SPECK_SIGMA)
    kernel = np.ones((AROUND_PX, AROUND_PX), np.uint8)
    most = cv2.dilate(np.where(rim[..., None], -FAR, known), kernel)
    least = cv2.erode(np.where(rim[..., None], FAR, known), kernel)
    return np.asarray(np.where(rim[..., None], np.minimum(np.maximum(rgb, least), most), rgb), np.float32)


def likeness(rgb: Float, light: Float) -> Float:
    """How much like skin in that ``light`` a colour ``rgb`` is, both [h, w, 3] 0..255: [h, w] of 0..1."""
    lumas = [np.maximum(one @ LUMA, 1.0) for one in (rgb, light)]
    darker = (lumas[0] - lumas[1]) / LIKE_LUMA
    tinted = (rgb / lumas[0][..., None] - light / lumas[1][..., None]) / LIKE_TINT
    return np.asarray(np.exp(-(darker**2) - (tinted**2).sum(axis=2)), np.float32)


def like_skin(rgb: Float, light: Float) -> Float:
    """``rgb`` [h, w, 3] 0..255, as bright but not much greener, bluer or yellower, of its luma, than the
    skin's ``light`` [h, w, 3]: beards and shadows of a texture have other colours than this footage shows.
    """
    tints = light / np.maximum(light @ LUMA, 1.0)[..., None]
    luma = rgb @ LUMA
    made = rgb.copy()
    for channel, (low, high) in ((1, GREENER), (2, BLUER)):
        own = tints[..., channel]
        made[..., channel] = made[..., channel].clip(
            (own + low) * luma - LEVELS, (own + high) * luma + LEVELS
        )
    made[..., 0] += (luma - made @ LUMA) / LUMA[0]  # as bright as before
    return made


def _means(values: Float, weight: Float) -> tuple[Float, Float]:
    """The local mean [h, w, 3] of what has weight, and the weight itself, spread [h, w]."""
    spread = cv2.GaussianBlur(weight, (0, 0), ALONG_PX)
    total = cv2.GaussianBlur(values * weight[..., None], (0, 0), ALONG_PX)
    return cast(Float, total / np.maximum(spread, LEAST_SHARE)[..., None]), cast(Float, spread)
