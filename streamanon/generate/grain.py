"""How fine a painted face is: as its footage, by its own detail's strength and by the camera's grain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np

from streamanon.types import LUMA, Float

#: Grain is measured in blocks this wide, px, if there are so many, in the middle of the face, px.
BLOCK_PX, FEWEST_BLOCKS, LARGEST_PX = 6, 60, 192
#: A block is used if this share of it is painted and its mean luma, levels, lies between these: clipped
#: pixels have no grain.
PAINTED, UNCLIPPED = 0.999, (8, 247)
#: What :func:`grain_of` gives for white noise of standard deviation 1.
WHITE = 0.8
#: Of the blocks' strengths, that which tells grain, as detail is elsewhere, and that which tells detail, %.
FLATTER, MIDDLING = 25, 50
#: Grain, and detail, are finer than that (sigma, px).
FINEST_SIGMA, DETAIL_SIGMA = 1.0, 1.5
#: Detail is made so much stronger at most.
MOST_GAIN = 0.75
#: Grain weaker than this, levels, is not added; stronger than that it is something else, and is bounded.
LEAST, MOST = 1.0, 14.0
#: A pixel of the frame whose luma changed by less than that, levels, did not change.
UNCHANGED = 0.5
#: Detail of that power, square levels, is hardly any.
LEAST_POWER = 1e-2
#: Rows and columns.
Part = tuple[slice, slice]


@dataclass(frozen=True, eq=False, repr=False)
class Laid:
    """Grain that was laid over a frame: the corner (x0, y0) of its region, the frame's luma ``grey`` [h, w]
    there, and the ``noise`` [h, w] of standard deviation 1. On a GPU both are tensors.
    """

    x0: int
    y0: int
    grey: Float
    noise: Float

    def shared(self, x0: int, y0: int, size: tuple[int, ...]) -> tuple[Part, Part]:
        """The part that a region with its corner at x0, y0 and of that ``size`` (height, width) shares with
        this one, as rows and columns of that region and of this one.
        """
        rows = _overlap(y0, size[0], self.y0, self.grey.shape[0])
        columns = _overlap(x0, size[1], self.x0, self.grey.shape[1])
        return (rows[0], columns[0]), (rows[1], columns[1])


def _overlap(one: int, length: int, other: int, other_length: int) -> tuple[slice, slice]:
    """What two spans share, in each."""
    first, last = max(one, other), min(one + length, other + other_length)
    last = max(first, last)
    return slice(first - one, last - one), slice(first - other, last - other)


def grain_of(grey: Float, share: Float, percent: int = FLATTER, sigma: float = FINEST_SIGMA) -> float:
    """How strong what is finer than ``sigma`` px of ``grey`` [h, w] 0..255 is, in levels, in the block that
    is stronger than ``percent`` of those where ``share`` [h, w] is 1; 0 where there are too few.
    """
    rows, columns = (length - length % BLOCK_PX for length in grey.shape)
    if not rows or not columns:
        return 0.0
    fine = grey - cv2.GaussianBlur(grey, (0, 0), sigma)
    size, whole = (columns // BLOCK_PX, rows // BLOCK_PX), np.s_[:rows, :columns]
    power, mean, inside = (
        cv2.resize(layer[whole], size, interpolation=cv2.INTER_AREA) for layer in (fine * fine, grey, share)
    )
    usable = (inside > PAINTED) & (mean > UNCLIPPED[0]) & (mean < UNCLIPPED[1])
    if usable.sum() < FEWEST_BLOCKS:
        return 0.0
    return float(np.sqrt(np.percentile(power[usable], percent)))


def detail_gain(rgb: Float, fine: Float, alpha: Float, grey: Float, grain: float) -> float:
    """By which share of ``fine`` [h, w], of its brightness, ``rgb`` [h, w, 3] has to become brighter to be
    as detailed as ``grey`` [h, w], the frame's luma, is where ``alpha`` is 1, less its ``grain``, as
    :func:`grain_of` gives it. Levels are 0..255. Of the frame two numbers are used.
    """
    fine, share, grey = middle(fine), middle(alpha), middle(grey)
    plain = cast(Float, cv2.transform(middle(rgb), LUMA[None]))
    rest = max(grain**2 - (LEAST * WHITE) ** 2, 0.0)
    wanted, own, whole = (
        grain_of(one, share, MIDDLING, DETAIL_SIGMA) ** 2 for one in (grey, plain, plain * (1 + fine))
    )
    return float(np.sqrt(np.clip((wanted - rest - own) / max(whole - own, LEAST_POWER), 0, MOST_GAIN**2)))


def add_grain(
    rgb: Float,
    alpha: Float,
    wanted: float,
    grey: Float,
    corner: tuple[int, int],
    last: Laid | None,
) -> tuple[Float, Laid | None]:
    """``rgb`` [h, w, 3] 0..255 with the grain that is ``wanted`` where ``alpha`` is 1, levels as
    :func:`grain_of` gives them for the frame's luma, ``grey`` [h, w], whose region has its ``corner`` at
    (x, y); and the grain, None where there is none. The same frame gets the same grain. As large a share of
    it stays from the ``last`` frame as there are pixels that did not change, as in dithered and strongly
    compressed footage; which pixels, chance says, for where a face changed would tell of it.
    """
    own = grain_of(cast(Float, cv2.transform(middle(rgb), LUMA[None])), middle(alpha)) if wanted else 0.0
    strength = np.sqrt(max(wanted**2 - own**2, 0.0)) / WHITE
    if strength < LEAST:
        return rgb, None
    rng = np.random.default_rng(int(1e6 * wanted))  # the same frame gets the same grain
    noise = rng.standard_normal(alpha.shape, np.float32)
    if last is not None:
        here, there = last.shared(*corner, grey.shape)
        unchanged = np.abs(grey[here] - last.grey[there]) < UNCHANGED
        if unchanged.size:
            stays = rng.random(unchanged.shape, np.float32) < unchanged.mean()
            noise[here] = np.where(stays, last.noise[there], noise[here])
    grained = rgb + np.float32(min(strength, MOST)) * noise[..., None]
    return np.asarray(grained, np.float32), Laid(*corner, grey, noise)


def middle(layer: Float) -> Float:
    """The middle of an image [h, w, ...], where grain and detail are measured."""
    return layer[tuple(_middle(length) for length in layer.shape[:2])]


def _middle(length: int) -> slice:
    start = max(0, (length - LARGEST_PX) // 2)
    return slice(start, start + LARGEST_PX)
