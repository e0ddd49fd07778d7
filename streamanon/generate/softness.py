"""No stronger and no finer detail than the footage has: the network sharpens what it paints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.generate.border import luma_of
from streamanon.types import Float

#: The bounds of how much of the painting's contrast is left.
GAINS = (0.7, 1.0)
#: Blurs that are tried (sigma, px) until detail finer than a sigma, px, is so many times as strong as the
#: frame's at most.
SIGMAS, FINE_SIGMA_PX, FINER = (0.0, 0.5, 0.7, 0.9, 1.2, 1.6), 1.2, 1.4
#: Below this sigma, px, it is no blur; below this contrast, levels, there is none.
LEAST_SIGMA_PX, LEAST_CONTRAST = 0.3, 1.0
#: The edge of the mesh, beyond which nothing is changed, is blurred by that (sigma, px).
EDGE_SIGMA_PX = 2.0


@dataclass(frozen=True)
class Softness:
    """``gain``: what is left of the contrast; ``sigma_px``: how far it is blurred. Two numbers are all that
    is told of the frame.
    """

    gain: float
    sigma_px: float

    def towards(self, other: Softness, share: float) -> Softness:
        return Softness(
            self.gain + share * (other.gain - self.gain),
            self.sigma_px + share * (other.sigma_px - self.sigma_px),
        )


def softness_of(rgb: Float, light: Float, source: Float, skin: NDArray[np.bool_]) -> Softness:
    """What makes ``rgb`` as soft as the ``source``, both [h, w, 3] 0..255 in a ``light`` [h, w, 3], by what
    they are where ``skin`` [h, w] is.
    """
    inside = skin.view(np.uint8)
    painted, real = (luma_of(cast(Float, one - light)) for one in (rgb, source))
    gain = deviation(real, inside) / max(deviation(painted, inside), LEAST_CONTRAST)
    gain = float(np.clip(gain, *GAINS))
    wanted = FINER * _fine(real, inside) / gain
    for sigma in SIGMAS:
        blurred = cv2.GaussianBlur(painted, (0, 0), sigma) if sigma else painted
        if _fine(cast(Float, blurred), inside) <= wanted:
            break
    return Softness(gain, sigma)


def softened(rgb: Float, light: Float, mask: NDArray[np.bool_], softness: Softness) -> Float:
    """``rgb`` [h, w, 3], so much softer where ``mask`` [h, w] is."""
    if softness.gain >= 1 and softness.sigma_px <= LEAST_SIGMA_PX:
        return rgb
    detail = rgb - light
    soft = cast(Float, detail * np.float32(softness.gain))
    if softness.sigma_px > LEAST_SIGMA_PX:
        soft = cast(Float, cv2.GaussianBlur(soft, (0, 0), softness.sigma_px))
    share = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), EDGE_SIGMA_PX)
    return cast(Float, rgb + cv2.merge([share] * 3) * (soft - detail))


def _fine(grey: Float, inside: NDArray[np.uint8]) -> float:
    return deviation(cast(Float, grey - cv2.GaussianBlur(grey, (0, 0), FINE_SIGMA_PX)), inside)


def deviation(grey: Float, inside: NDArray[np.uint8]) -> float:
    """The standard deviation of ``grey`` [h, w] where ``inside`` is not 0."""
    return float(cv2.meanStdDev(grey, mask=inside)[1][0, 0])
