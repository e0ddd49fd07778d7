"""A face whose motion can be seen: blotches that move over others that do not."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from streamanon.types import Float, Picture

SIZE = (240, 320)  # height, width
BOX = np.array([130, 90, 170, 140], np.float32)


@cache
def texture(seed: int, height: int, width: int) -> Float:
    """Smooth blotches, 0 to 255, [height, width]."""
    noise = np.random.default_rng(seed).normal(0, 1, (height, width)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 4)
    return np.asarray(128 + 45 * smooth / smooth.std(), np.float32).clip(0, 255)


def picture(
    shift: tuple[float, float] = (0, 0), scale: float = 1.0, gain: float = 1.0, face: bool = True
) -> Picture:
    """A face of blotches on others that stay where they are."""
    luma = texture(1, *SIZE)
    if face:
        own, middle = texture(2, 80, 80), (BOX[:2] + BOX[2:]) / 2 + shift
        place = np.array([[scale, 0, middle[0] - 39.5 * scale], [0, scale, middle[1] - 39.5 * scale]])
        laid = cv2.warpAffine(own, place, SIZE[::-1])
        y, x = np.mgrid[: SIZE[0], : SIZE[1]]
        half = (BOX[2:] - BOX[:2]) / 2 * scale
        inside = ((x - middle[0]) / half[0]) ** 2 + ((y - middle[1]) / half[1]) ** 2 <= 1
        luma = np.where(inside, laid, luma).astype(np.float32)
    return Picture((np.rint(luma * gain).clip(0, 255).astype(np.uint8),), "gray")
