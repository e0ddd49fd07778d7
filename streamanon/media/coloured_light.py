"""Faces in light of one colour, as under water or on a stage, are looked for and measured without colour.

The networks learnt from faces in ordinary light. In light of one colour they miss many, while they find the
same faces in grey (docs/threat-model.md).
"""

from __future__ import annotations

from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", np.uint8, np.float32)
#: Saturation of a picture's mean colour (0..1) from which on colour is left out in part, and wholly. Skin
#: alone has .4 to .55, a lawn .35, a room in candle-light .6.
BEGINS, ENDS = 0.6, 0.75
#: Added to the mean colour's brightest channel, levels: in the dark noise would look saturated.
DARK = 8.0


def without_cast(rgb: NDArray[T]) -> NDArray[T]:
    """RGB [H, W, 3] of 0..255, without colour if its mean colour is saturated. For the grey the channels
    count by how bright they are: in blue light the luma is nearly black.
    """
    share = share_left_out(rgb)
    if share == 0:
        return rgb
    mean = np.array(cv2.mean(rgb)[:3])
    grey = np.tile(mean / mean.sum(), (3, 1))
    return np.asarray(cv2.transform(rgb, (1 - share) * np.eye(3) + share * grey), rgb.dtype)


def share_left_out(rgb: NDArray[T]) -> float:
    """Of colour, 0..1, of RGB [H, W, 3] of 0..255."""
    mean = cv2.mean(rgb)[:3]
    saturation = (max(mean) - min(mean)) / (max(mean) + DARK)
    return min(max((saturation - BEGINS) / (ENDS - BEGINS), 0.0), 1.0)
