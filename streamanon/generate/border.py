"""One skin: a painted face takes over the colour of the skin that it borders on, and keeps its own inside.

Only pixels outside the cut are looked at, and those in its edge that shine through, as far as they do: they
stay to be seen anyway.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.types import LUMA, Float

#: Over so many crop pixels the painted face gives way to what surrounds it.
RAMP_PX = 4.0
#: So near the edge of the cut, crop px, surroundings and painting are compared; and so near the painting is
#: kept within the colours that are about, which are those outside and those deeper inside.
NEAR_PX, RIM_PX = 3.5, 4.5
#: Those colours are taken from so many px around, and a little blurred: one pixel is no colour.
AROUND_PX, SPECK_SIGMA = 11, 0.8
#: No colour is so far from black, levels.
FAR = np.float32(1e3)
#: How near surroundings must be to the skin's light to count as skin: in levels of luma, darker (hair
#: shades the forehead, and the jaw the neck) and brighter, and in tint, which is colour over luma.
DARKER, BRIGHTER, LIKE_TINT = 30.0, 60.0, 0.13
#: A difference spreads along the border by so many crop px (sigma), and inwards by so many.
ALONG_PX, INWARDS_PX = 5.0, 14.0
#: Bounds of how much more green and blue than the skin painting may be, of its luma, and in levels. Of
#: faces in even light 2 or 3 in 100 pixels are less blue; the network paints lids by dark brows yellow.
GREENER, BLUER, LEVELS = (-1.0, 0.01), (-0.035, 0.04), 1.0
#: Shares of skin among the surroundings nearby between which the difference begins to be taken over and is
#: taken over wholly; the same for the network's own edge, which then counts for nothing; the difference's
#: bound, levels.
SKIN_SHARES, EDGE_SHARES, MOST = (0.05, 0.3), (0.4, 0.7), 40.0
#: A ring of which there is less than that nearby, and a weight less than that, count as that.
LEAST_RING, LEAST_SHARE = 0.02, 1e-4


@dataclass(frozen=True, eq=False, repr=False)
class Rings:
    """About a cut's edge, each [h, w]: how much is ``shown`` of what is just outside and shines through,
    0..1; what is just ``inside``, and the ``rim``, whose colours are bounded; how much of a difference is
    carried inwards, ``nearness`` 0..1.
    """

    shown: Float
    inside: NDArray[np.bool_]
    rim: NDArray[np.bool_]
    nearness: Float

    def stacked(self) -> Float:
        """[4, h, w]."""
        return np.stack([self.shown, self.inside, self.rim, self.nearness]).astype(np.float32)


def blend_border(rgb: Float, crop: Float, light: Float, cut: NDArray[np.bool_]) -> tuple[Float, Float]:
    """``rgb`` [128, 128, 3] 0..255, the painting of a ``cut`` [128, 128], with the colours of the ``crop``
    [128, 128, 3] around it where those are skin; ``light`` [128, 128, 3]: the skin's colour. And how surely
    skin is beside each pixel [128, 128], 0..1.
    """
    rings = rings_of(cut)
    rgb = within_reach(rgb, crop, cut, rings.rim)
    ring = rings.shown
    around, seen = _means(crop, ring * likeness(crop, light))
    painted, _ = _means(rgb, rings.inside.astype(np.float32))
    beside = cast(Float, seen / np.maximum(_spread(ring), LEAST_RING))
    step = cv2.merge([rising(beside, SKIN_SHARES)] * 3) * (around - painted)
    full, edge = (cast(Float, cv2.resize(one, cut.shape[::-1])) for one in (step, beside))
    taken = cv2.merge([rings.nearness] * 3) * full.clip(-MOST, MOST)
    return cast(Float, rgb + taken), rising(edge, EDGE_SHARES)


def rising(values: Float, ends: tuple[float, float]) -> Float:
    """0 up to the first of the ``ends``, 1 from the second on."""
    return ((values - np.float32(ends[0])) * np.float32(1 / (ends[1] - ends[0]))).clip(0, 1)


def rings_of(cut: NDArray[np.bool_]) -> Rings:
    """Of a ``cut`` [h, w]."""
    inside, outside = cut.view(np.uint8), (~cut).view(np.uint8)
    depth, away = (cv2.distanceTransform(one, cv2.DIST_L2, 3) for one in (inside, outside))
    return Rings(
        np.where(cut, (1 - depth / np.float32(RAMP_PX)).clip(0), away <= NEAR_PX).astype(np.float32),
        cut & (depth <= NEAR_PX),
        cut & (depth <= RIM_PX),
        np.asarray(np.exp(-((depth / INWARDS_PX) ** 2)), np.float32),
    )


def within_reach(rgb: Float, crop: Float, cut: NDArray[np.bool_], rim: NDArray[np.bool_]) -> Float:
    """``rgb`` with no colour in the ``rim`` of the ``cut`` that is neither outside it nor further in: the
    network draws bright and dark lines along it.
    """
    rim_mask = rim.view(np.uint8)
    known = cv2.GaussianBlur(cv2.copyTo(rgb, cut.view(np.uint8), crop.copy()), (0, 0), SPECK_SIGMA)
    kernel = np.ones((AROUND_PX, AROUND_PX), np.uint8)
    bounds = []
    for grow, none in ((cv2.dilate, -FAR), (cv2.erode, FAR)):
        known[rim] = none
        bounds.append(grow(known, kernel))
    bounded = cv2.min(cv2.max(rgb, bounds[1]), bounds[0])
    return cast(Float, cv2.copyTo(bounded, rim_mask, rgb.copy()))


def likeness(rgb: Float, light: Float) -> Float:
    """How much like skin in that ``light`` a colour ``rgb`` is, both [h, w, 3] 0..255: [h, w] of 0..1."""
    lumas = [np.maximum(luma_of(one), 1) for one in (rgb, light)]
    tints = [cv2.divide(one, cv2.merge([luma] * 3)) for one, luma in zip((rgb, light), lumas, strict=True)]
    apart = lumas[0] - lumas[1]
    apart = cv2.max(apart / np.float32(BRIGHTER), -apart / np.float32(DARKER)) ** 2
    away = (tints[0] - tints[1]) / np.float32(LIKE_TINT)
    return cast(Float, cv2.exp(-apart - cv2.transform(away * away, np.ones((1, 3), np.float32))))


def luma_of(rgb: Float) -> Float:
    """[h, w] of [h, w, 3]."""
    return cast(Float, cv2.transform(rgb, LUMA[None]))


def like_skin(rgb: Float, light: Float) -> Float:
    """``rgb`` [h, w, 3] 0..255, as bright but not much greener, bluer or yellower, of its luma, than the
    skin's ``light`` [h, w, 3]: beards and shadows of a texture have other colours than this footage shows.
    """
    luma, levels = luma_of(rgb), luma_of(light)
    share = luma / np.maximum(levels, 1)
    red, green, blue = cv2.split(rgb)
    _, own_green, own_blue = cv2.split(light)
    made = [
        cv2.min(cv2.max(channel, own * share + low * luma - LEVELS), own * share + high * luma + LEVELS)
        for channel, own, (low, high) in ((green, own_green, GREENER), (blue, own_blue, BLUER))
    ]
    # As bright as before.
    red = red + (LUMA[1] * (green - made[0]) + LUMA[2] * (blue - made[1])) / LUMA[0]
    return cast(Float, cv2.merge([red, *made]))


def _means(values: Float, weight: Float) -> tuple[Float, Float]:
    """The local mean of what has weight, and the weight itself, spread; at half the size."""
    shares = cv2.merge([weight] * 3)
    spread = _spread(weight)
    total = _spread(cast(Float, cv2.multiply(values, shares)))
    return cast(Float, cv2.divide(total, cv2.merge([np.maximum(spread, LEAST_SHARE)] * 3))), spread


def _spread(values: Float) -> Float:
    """Blurred, at half the size."""
    small = cv2.resize(values, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return cast(Float, cv2.GaussianBlur(small, (0, 0), ALONG_PX / 2))
