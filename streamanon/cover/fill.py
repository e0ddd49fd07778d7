"""A cover made of the surroundings: no pixel of the face is read, so only its place and size can be told.

The hole is filled by pull-push interpolation (Gortler et al., The Lumigraph, 1996, section 3.4): known
pixels are averaged into coarser and coarser levels, and what is unknown takes the value of the
next coarser one.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.types import LUMA, Float

#: How far around the hole its surroundings are read, as a share of the hole's size, and at least, px.
RING_SHARE, LEAST_RING_PX = 0.35, 6.0
#: The hole is wider than the cover by this many pixels: chroma samples and codecs carry the face's colours
#: so far beyond its edge.
MARGIN_PX = 3
#: Standard deviation of the grain, levels of 0..255, so that the fill does not look like plastic.
GRAIN = 2.5
#: Opacity of the skin tone in the middle of a head, and the share of its radius at which it begins to fade.
SHADE_OPACITY, SHADE_FLAT = 0.65, 0.45
#: How much darker or lighter than the delegate's skin the tone may get, by the light around.
LEAST_LIGHT, MOST_LIGHT = 0.35, 1.3
#: What is brighter, darker or of stronger colour than this share of the surroundings counts as the share's
#: limit: a lamp or a logo beside a face does not shine into its fill. Measured on at most so many pixels.
COMMON_SHARE, MOST_SAMPLES = 0.88, 4096
#: Where nothing around the hole is known: plain grey.
UNKNOWN_RGB = (96.0, 96.0, 96.0)


def fill(rgb: Float, hidden: NDArray[np.bool_], rng: np.random.Generator) -> Float:
    """The region [H, W, 3] in 0..255 with its ``hidden`` pixels [H, W] interpolated from all others.

    Changing any hidden pixel leaves the result unchanged. Pixels that are not hidden stay as they are.
    """
    if hidden.shape != rgb.shape[:2]:
        raise ValueError(f"hidden must be {rgb.shape[:2]}, not {hidden.shape}")
    known = ~hidden
    if not known.any():
        smooth: Float = np.broadcast_to(np.array(UNKNOWN_RGB, np.float32), rgb.shape).copy()
    else:
        colour = np.where(known[..., None], _without_outliers(rgb, known), np.float32(0))
        smooth = _pull_push(colour, known.astype(np.float32))
    grain = rng.normal(0, GRAIN, rgb.shape[:2]).astype(np.float32)[..., None]
    return np.where(known[..., None], rgb, (smooth + grain).clip(0, 255)).astype(np.float32)


def shade(rgb: Float, centre: tuple[float, float], axes: tuple[float, float], tone: Float) -> Float:
    """A filled region [H, W, 3] tinted by a skin tone [3] (RGB, 0..255) in an ellipse, softly to its edge.

    The tone takes the fill's own brightness in part, so that a head in the dark stays dark.
    """
    height, width = rgb.shape[:2]
    y, x = np.ogrid[:height, :width]
    radius = np.sqrt(((x - centre[0]) / max(axes[0], 1)) ** 2 + ((y - centre[1]) / max(axes[1], 1)) ** 2)
    ramp = np.clip((1 - radius) / (1 - SHADE_FLAT), 0, 1)
    share = (SHADE_OPACITY * ramp * ramp * (3 - 2 * ramp)).astype(np.float32)[..., None]
    light = float(rgb.mean()) / max(float(tone.mean()), 1.0)
    lit = tone * np.float32(np.clip(np.sqrt(light), LEAST_LIGHT, MOST_LIGHT))
    return np.asarray(rgb + share * (lit - rgb), np.float32)


def hidden_by(alpha: Float, others: Sequence[Float], corner: tuple[int, int]) -> NDArray[np.bool_]:
    """Which pixels of a region [H, W] with its top left at ``corner`` (x, y) may show a face: those
    that ``alpha`` [H, W] covers, and those in the ``others``' ellipses (boxes [4] xyxy px).
    """
    hidden = (alpha > 0).astype(np.uint8)
    for box in others:
        middle, half = (box[:2] + box[2:]) / 2 - corner, (box[2:] - box[:2]) / 2
        cv2.ellipse(hidden, ((float(middle[0]), float(middle[1])), tuple(map(float, 2 * half)), 0.0), 1, -1)
    return cv2.dilate(hidden, np.ones((2 * MARGIN_PX + 1,) * 2, np.uint8)) > 0


def surroundings(box: Float) -> Float:
    """The box [4] xyxy px with the ring around it that its fill is made of."""
    ring = np.maximum(RING_SHARE * (box[2:] - box[:2]), LEAST_RING_PX)
    return np.concatenate([box[:2] - ring, box[2:] + ring]).astype(np.float32)


def _without_outliers(rgb: Float, known: NDArray[np.bool_]) -> Float:
    """The region [H, W, 3] with its luma limited to what is common among the ``known`` pixels [H, W], and
    its chroma to as far from their median as is common. Only known pixels are read.
    """
    around = rgb[known]
    around = around[:: max(1, len(around) // MOST_SAMPLES)]
    luma = around @ LUMA
    low, high = np.quantile(luma, [1 - COMMON_SHARE, COMMON_SHARE])
    chroma = around - luma[:, None]
    middle = np.median(chroma, axis=0)
    reach = np.quantile(np.linalg.norm(chroma - middle, axis=1), COMMON_SHARE)
    own = (rgb @ LUMA)[..., None]
    strong = rgb - own - middle
    far = np.linalg.norm(strong, axis=2, keepdims=True)
    limited = strong * np.minimum(1, reach / np.maximum(far, 1e-6))
    return np.asarray(own.clip(low, high) + middle + limited, np.float32)


def _pull_push(colour: Float, weight: Float) -> Float:
    """``colour`` [H, W, 3], which is zero where ``weight`` [H, W] is, with the unknown filled in."""
    height, width = weight.shape
    if weight.min() >= 1 or min(height, width) <= 1:
        total = max(float(weight.sum()), 1e-6)
        mean = colour.sum(axis=(0, 1)) / total
        return np.where(weight[..., None] > 0, colour / np.maximum(weight, 1e-6)[..., None], mean)
    size = (max(1, width // 2), max(1, height // 2))
    sums = cv2.resize(colour, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], 3)
    weights = cv2.resize(weight, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0])
    # A cell is known as soon as half of it is: its colour is that of the known pixels in it.
    full = np.minimum(2 * weights, 1)
    scaled = sums * (full / np.maximum(weights, 1e-6))[..., None]
    coarse = _pull_push(scaled.astype(np.float32), full.astype(np.float32))
    push = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(colour + (1 - weight)[..., None] * push.reshape(height, width, 3), np.float32)
