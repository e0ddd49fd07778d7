"""Softer folds in a delegate's texture.

Portraits smile, frown, and are lit hard: the folds that they keep beside nose and eyes and on the forehead
make a calm face that wears them look ten years older than the portrait.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.gallery.delegates import FINE_PX
from streamanon.gallery.filters import blur, luma, smoothstep
from streamanon.gallery.uv_chart import Chart, bare_skin, region
from streamanon.mesh.landmarks import BROWS, EYES, LIPS, NOSE, NOSTRILS
from streamanon.types import Float

#: Folds are coarser than the first and finer than the second (sigma, px of 512): pores and shape stay.
FOLDS_PX = (1.5, 14.0)
#: Share of their shade that goes, and the years between which less and less of it does.
SOFTER, FOLDED_YEARS = 0.7, (38.0, 52.0)
#: How far around brows, eyes and nose, and around lips and nostrils, nothing changes, and how softly, px of
#: 256; depths below the rim over which it begins to.
NEAR_EYES_PX, NEAR_LIPS_PX, SOFT_PX, RIM_PX = 3, 5, 2.0, (4.0, 12.0)
#: Hair is darker than so much of the skin's luma: there nothing changes, above the second number all does.
HAIR_LUMA, HAIR_SIGMA_PX = (0.6, 0.85), 6.0
#: Before a logarithm.
DARKEST = 0.02


def softer_folds(texture: NDArray[np.uint8], years: float, chart: Chart) -> NDArray[np.uint8]:
    """A texture [512, 512, 3] of a face of that age with softer folds; as it is from 52 on. ``chart``: of
    256 px.
    """
    strength = SOFTER * (1 - float(np.interp(years, FOLDED_YEARS, (0, 1))))
    if strength == 0:
        return texture
    rgb = np.asarray(texture / np.float32(255), np.float32)
    shade, skin = np.log(rgb + DARKEST).mean(2), _skin(rgb, chart)
    folds = blur(shade, FOLDS_PX[0]) - blur(shade, FOLDS_PX[1], skin)
    softened = (rgb + DARKEST) * np.exp(-strength * skin * folds)[..., None] - DARKEST
    return np.rint(255 * softened.clip(0, 1)).astype(np.uint8)


def _skin(rgb: Float, chart: Chart) -> Float:
    """Weights [512, 512] of the skin beside features and beards."""
    features = region(chart, *BROWS, *EYES, NOSE, grow_px=NEAR_EYES_PX)
    features |= region(chart, LIPS, NOSTRILS, grow_px=NEAR_LIPS_PX)
    inside = smoothstep(chart.depth, *RIM_PX) * ~features
    weights = cv2.resize(blur(np.asarray(inside, np.float32), SOFT_PX), (FINE_PX, FINE_PX))
    grey = luma(rgb)
    small = cv2.resize(grey, features.shape[::-1], interpolation=cv2.INTER_AREA)
    ratio = blur(grey, HAIR_SIGMA_PX) / max(float(np.median(small[bare_skin(chart)])), DARKEST)
    return np.asarray(weights * smoothstep(np.asarray(ratio, np.float32), *HAIR_LUMA), np.float32)
