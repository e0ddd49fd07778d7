"""A cover made of the surroundings: no pixel of the face is read, so only its place and size can be told.

The hole is filled by pull-push interpolation (Gortler et al., The Lumigraph, 1996, section 3.4): known
pixels are averaged into coarser and coarser levels, and what is unknown takes the value of the
next coarser one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

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
COMMON_SHARE, MOST_SAMPLES = 0.88, 2048
#: Where nothing around the hole is known: plain grey.
UNKNOWN_RGB = (96.0, 96.0, 96.0)
#: RGB to luma and two axes of chroma, and back.
_OPPONENT: Float = np.stack([LUMA, np.array([0.7, -0.7, 0.0]), np.array([-0.4, -0.4, 0.8])]).astype(
    np.float32
)
_FROM_OPPONENT: Float = np.linalg.inv(_OPPONENT).astype(np.float32)


def fill(rgb: Float, hidden: NDArray[np.bool_], rng: np.random.Generator) -> Float:
    """The region [H, W, 3] in 0..255 with its ``hidden`` pixels [H, W] interpolated from all others.

    Changing any hidden pixel leaves the result unchanged. Pixels that are not hidden stay as they are.
    """
    if hidden.shape != rgb.shape[:2]:
        raise ValueError(f"hidden must be {rgb.shape[:2]}, not {hidden.shape}")
    if hidden.all():
        smooth: Float = np.broadcast_to(np.array(UNKNOWN_RGB, np.float32), rgb.shape).copy()
    else:
        smooth = _pushed(_weighted(_without_outliers(rgb, ~hidden), (~hidden).astype(np.float32)))
    smooth += np.float32(GRAIN) * rng.standard_normal((*hidden.shape, 1), np.float32)
    np.clip(smooth, 0, 255, out=smooth)
    return np.asarray(cv2.copyTo(rgb, (~hidden).view(np.uint8), smooth), np.float32)


def shade(
    rgb: Float, centre: tuple[float, float], axes: tuple[float, float], tone: Float, around: float
) -> Float:
    """A filled region [H, W, 3] tinted by a skin tone [3] (RGB, 0..255) in an ellipse, softly to its edge.

    The tone takes the brightness ``around``, 0..255, in part, so that a head in the dark stays dark.
    """
    height, width = rgb.shape[:2]
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    x, y = ((one - c) / max(a, 1) for one, c, a in zip((x, y), centre, axes, strict=True))
    ramp = np.clip((1 - np.sqrt(x * x + y * y)) / np.float32(1 - SHADE_FLAT), 0, 1)
    share = (np.float32(SHADE_OPACITY) * ramp * ramp * (3 - 2 * ramp))[..., None]
    light = around / max(float(tone.mean()), 1.0)
    lit = tone * np.float32(np.clip(np.sqrt(light), LEAST_LIGHT, MOST_LIGHT))
    return np.asarray(rgb + share * (lit - rgb), np.float32)


def hidden_by(
    alpha: Float, faces: Sequence[Float], moving: Float, corner: tuple[int, int]
) -> NDArray[np.bool_]:
    """Which pixels of a region [H, W] with its top left at ``corner`` (x, y) may show a face: those that
    ``alpha`` [H, W] covers, those in the ellipses of ``faces`` (boxes [4] xyxy px), and those in the boxes
    [N, 4] of what is ``moving``.
    """
    hidden = (alpha > 0).astype(np.uint8)
    for box in faces:
        middle, half = (box[:2] + box[2:]) / 2 - corner, (box[2:] - box[:2]) / 2
        cv2.ellipse(hidden, ((float(middle[0]), float(middle[1])), tuple(map(float, 2 * half)), 0.0), 1, -1)
    for x0, y0, x1, y1 in (moving - np.array([*corner, *corner], np.float32)).round().astype(int):
        hidden[max(y0, 0) : max(y1 + 1, 0), max(x0, 0) : max(x1 + 1, 0)] = 1
    return cv2.dilate(hidden, np.ones((2 * MARGIN_PX + 1,) * 2, np.uint8)) > 0


def surroundings(box: Float) -> Float:
    """The box [4] xyxy px with the ring around it that its fill is made of."""
    ring = np.maximum(RING_SHARE * (box[2:] - box[:2]), LEAST_RING_PX)
    return np.concatenate([box[:2] - ring, box[2:] + ring]).astype(np.float32)


def _without_outliers(rgb: Float, known: NDArray[np.bool_]) -> Float:
    """The region [H, W, 3] with its luma limited to what is common among the ``known`` pixels [H, W], and
    its chroma to as far from their median as is common. Only known pixels are measured.
    """
    rows = np.flatnonzero(known)
    rows = rows[:: max(1, len(rows) // MOST_SAMPLES)]
    most, middle = int(COMMON_SHARE * (len(rows) - 1)), len(rows) // 2
    luma, *chroma = (np.asarray(one, np.float32) for one in cv2.split(cv2.transform(rgb, _OPPONENT)))
    around = np.sort(luma.ravel()[rows])
    np.clip(luma, around[len(rows) - 1 - most], around[most], out=luma)
    medians = [np.sort(one.ravel()[rows])[middle] for one in chroma]
    for one, median in zip(chroma, medians, strict=True):
        one -= median
    strength = cv2.magnitude(*chroma)
    reach = np.sort(strength.ravel()[rows])[most]
    share = np.minimum(np.float32(1), reach / np.maximum(strength, np.float32(1e-6)))
    for one, median in zip(chroma, medians, strict=True):
        one *= share
        one += median
    return cast(Float, cv2.transform(cv2.merge([luma, *chroma]), _FROM_OPPONENT))


def _weighted(rgb: Float, weight: Float) -> Float:
    """``rgb`` [H, W, 3] times ``weight`` [H, W], and the weight itself: [H, W, 4]."""
    return cast(Float, cv2.merge([*(cv2.multiply(one, weight) for one in cv2.split(rgb)), weight]))


def _pushed(weighted: Float) -> Float:
    """What the next coarser level gives to each pixel [H, W, 3]; ``weighted`` [H, W, 4] as at
    :func:`_weighted`.
    """
    height, width = weighted.shape[:2]
    if weighted[..., 3].min() >= 1 or min(height, width) <= 1:
        total = max(float(weighted[..., 3].sum()), 1e-6)
        mean = weighted[..., :3].sum(axis=(0, 1)) / total
        return np.broadcast_to(mean.astype(np.float32), (height, width, 3)).copy()
    size = (max(1, width // 2), max(1, height // 2))
    coarse = np.asarray(cv2.resize(weighted, size, interpolation=cv2.INTER_AREA), np.float32)
    coarse = coarse.reshape(size[1], size[0], 4)
    # A cell is known as soon as half of it is: its colour is that of the known pixels in it.
    weight = coarse[..., 3].copy()
    coarse *= (np.minimum(2 * weight, 1) / np.maximum(weight, 1e-6))[..., None]
    known = np.ascontiguousarray(coarse[..., :3])
    if (unknown := 1 - coarse[..., 3:]).any():
        known += unknown * _pushed(coarse)
    push = cv2.resize(known, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(push.reshape(height, width, 3), np.float32)
