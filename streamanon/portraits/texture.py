"""Turning a portrait's texture into a delegate's: flaws, light, rim and skin tone."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.gallery.filters import blur, fill, lab, luma, smoothstep
from streamanon.gallery.uv_chart import Chart, bare_skin, region
from streamanon.mesh.landmarks import (
    BRIDGE_TOP,
    BROWS,
    EYES,
    FOREHEAD,
    IRISES,
    LID_MIDDLES,
    LIP_MIDDLES,
    LIPS,
    NOSE_TIP,
    NOSTRILS,
    OUTER_LIPS,
    yaw_degrees,
)
from streamanon.types import Float

#: Texture pixels by which hair is blurred before its darkness is judged, and what is grain.
HAIR_BLUR_PX, GRAIN_BLUR_PX = 1.5, 2.5
#: Texture pixels over which the rim fades into skin.
RIM_PX = 14.0
#: The largest flaws (:func:`flaws`) that a portrait in any light may have.
PORTRAIT_LIMITS = {
    "fringe": 0.23,
    "hair": 0.10,
    "foreign": 0.15,
    "strands": 0.13,
    "patch": 0.60,
    "glasses": 0.235,
    "teeth": 1.0,
}
#: Teeth: luma over the skin's, and the share of the lips' middle that gloss alone may have, for dark skin
#: and lighter; how much less red than skin (Lab's a); the middle, in lips' widths to either side.
TEETH_DARK, TEETH_LIGHT = (1.15, 0.1), (0.85, 0.004)
TEETH_RED, MIDDLE_OF_LIPS = 5.0, 0.3
MAX_YAW_DEG = 11.0
#: Of the inter-ocular distance: with a wider gap teeth show; with a narrower opening eyes look shut.
MAX_MOUTH_GAP, LEAST_LIDS = 0.05, 0.075
FOREIGN_AB = 14.0  # distance in Lab's a and b from the skin's
#: Skin with a smaller individual typology angle, degrees, has the limits of dark skin.
DARK_TONE_DEGREES = 10.0
#: Least luma, 0..1, before a logarithm or a division.
LEAST_LUMA = 0.02
#: Coarse light: its blur, texture px; and the shares of skin under the blur between which it becomes known.
LIGHT_SIGMA_PX, KNOWN_LIGHT = 16.0, (0.02, 0.2)
#: Share of the unusual symmetric light that is removed.
RELIEF_REMOVED = 0.5
#: Fading hair and cloth, texture px: how far around brows and eyes nothing fades; height of the band over
#: which the upper face begins; depths below the rim down to which hair and cloth are searched.
FADE_FEATURES_PX, BAND_PX, HAIR_DEPTH_PX, CLOTH_DEPTH_PX = 8, 20, 34, 30
#: Luma relative to the skin's: how much darker hair and how much lighter cloth begins to be, and surely is.
HAIR_DARKER, CLOTH_LIGHTER = (0.22, 0.38), (0.25, 0.4)
#: Weight from which a texel counts as known, and the largest grain kept on filled skin, 0..1.
SURELY_KNOWN, MAX_GRAIN = 0.98, 0.02
#: Flaws: luma relative to the skin's below which a texel is a fringe, and hair; depth below the rim and
#: distance from features, texture px, of what is measured.
FRINGE_LUMA, HAIR_LUMA = 0.66, 0.42
INNER_DEPTH_PX, FEATURES_PX = 10, 6


def tone_degrees(texture: Float, chart: Chart) -> float:
    """Individual typology angle of a texture [256, 256, 3] RGB 0..1: the median over the bare skin (no
    features, 18 px and more from the rim) of atan2(L - 50, b), degrees; light skin has large ones.
    """
    light, _, yellow = np.median(lab(texture)[bare_skin(chart)], axis=0)
    return float(np.degrees(np.arctan2(light - 50, yellow)))


def low_light(texture: Float, skin: NDArray[np.bool_]) -> tuple[Float, Float]:
    """Log tone [256, 256, 3] of a texture, and its coarse part as the bare skin shows it."""
    mask = np.asarray(skin, np.float32)
    tone = np.asarray(np.log(np.maximum(texture, LEAST_LUMA)), np.float32)
    known = smoothstep(blur(mask, LIGHT_SIGMA_PX), *KNOWN_LIGHT)
    return tone, fill(blur(tone, LIGHT_SIGMA_PX, mask), known)


def relief(texture: Float, skin: NDArray[np.bool_]) -> Float:
    """The symmetric part [256, 256] of a texture's light, log, mean 0 over the skin."""
    low = low_light(texture, skin)[1].mean(2)
    both = (low + low[:, ::-1]) / 2
    return np.asarray(both - both[skin].mean(), np.float32)


def even_light(texture: Float, skin: NDArray[np.bool_], typical: Float) -> Float:
    """Take a texture's light towards the middle: the difference between left and right goes wholly, what
    differs from the ``typical`` relief [256, 256] by half.
    """
    tone, low = low_light(texture, skin)
    sided = (low - low[:, ::-1]) / 2
    excess = RELIEF_REMOVED * (relief(texture, skin) - typical)[..., None]
    return np.asarray(np.exp(tone - sided - excess).clip(0, 1), np.float32)


def fade_rim(texture: Float, chart: Chart, beardless: bool = False) -> Float:
    """Let a texture's rim, and hair that reaches into it, fade into the skin further in; extend the skin
    beyond the hull. ``beardless``: what is dark beside the lower face is no beard, but hair or make-up.
    """
    grey, skin = luma(texture), bare_skin(chart)
    level = float(np.median(grey[skin]))
    rows = np.indices(grey.shape)[0]
    features = blur(region(chart, *BROWS, *EYES, grow_px=FADE_FEATURES_PX).astype(np.float32), 2)
    above = smoothstep(chart.uv[BRIDGE_TOP, 1] + BAND_PX / 2 - rows, 0, BAND_PX)
    beside = smoothstep(HAIR_DEPTH_PX - chart.depth, 0, 10)
    if not beardless:
        beside = beside * smoothstep(chart.uv[NOSE_TIP, 1] + BAND_PX / 2 - rows, 0, BAND_PX)
    soft = blur(grey, HAIR_BLUR_PX) / level
    hair = np.maximum(above, beside) * smoothstep(1 - soft, *HAIR_DARKER)
    cloth = above * smoothstep(CLOTH_DEPTH_PX - chart.depth, 0, 8) * smoothstep(soft - 1, *CLOTH_LIGHTER)
    spread = np.asarray(
        cv2.dilate(np.maximum(hair, cloth) * (1 - features), np.ones((9, 9), np.uint8)), np.float32
    )
    known = smoothstep(chart.depth, 3, RIM_PX) * (1 - blur(spread, 2)).clip(0, 1)
    far = fill(texture, blur((skin & (known > SURELY_KNOWN)).astype(np.float32), HAIR_BLUR_PX))
    grain = texture - blur(texture, GRAIN_BLUR_PX)
    tame = grain.clip(-MAX_GRAIN, MAX_GRAIN) * smoothstep(chart.depth, 1, 6)[..., None]
    mixed = known[..., None] * texture + (1 - known[..., None]) * (far + tame)
    return np.asarray(mixed.clip(0, 1), np.float32)


def flaws(texture: Float, chart: Chart) -> dict[str, float]:
    """How far an evened-out texture [256, 256, 3] is from a bare face, one number a flaw: dark hair and
    foreign colours in the upper face, strands on the forehead, patches on one side, glasses.
    """
    skin, grey = bare_skin(chart), luma(texture)
    ratio = grey / max(float(np.median(grey[skin])), LEAST_LUMA)
    features = region(chart, *BROWS, *EYES, LIPS, NOSTRILS, grow_px=FEATURES_PX)
    zone = (chart.depth > INNER_DEPTH_PX) & ~features
    upper = zone & (np.indices(grey.shape)[0] < chart.uv[BRIDGE_TOP, 1] + 5)
    forehead = region(chart, FOREHEAD) & (chart.depth > INNER_DEPTH_PX)
    colour = lab(texture)[..., 1:]
    foreign = np.linalg.norm(colour - np.median(colour[skin], axis=0), axis=2) > FOREIGN_AB
    return {
        "fringe": float((ratio[upper] < FRINGE_LUMA).mean()),
        "hair": float((ratio[upper] < HAIR_LUMA).mean()),
        "foreign": float(foreign[upper].mean()),
        "strands": float(np.abs(ratio - blur(ratio, 3))[forehead].mean()),
        "patch": float(np.percentile(np.abs(blur(ratio - ratio[:, ::-1], 3))[zone], 98)),
        "glasses": bridge_line(ratio, chart),
        "lopsided": float(
            np.abs(blur(ratio - ratio[:, ::-1], HAIR_BLUR_PX))[region(chart, *BROWS, *EYES)].mean()
        ),
        "teeth": _teeth(texture, ratio, chart),
    }


def _teeth(texture: Float, ratio: Float, chart: Chart) -> float:
    """How much of the lips' middle is lighter than lips are and less red than skin, of what gloss may be:
    above 1 it is teeth. Dark lips shine more, and teeth behind them stand out more.
    """
    lips = region(chart, OUTER_LIPS, grow_px=1)
    columns = np.indices(lips.shape)[1]
    middle = lips & (np.abs(columns - (lips.shape[1] - 1) / 2) < MIDDLE_OF_LIPS * np.ptp(columns[lips]))
    red = lab(texture)[..., 1]
    lightness, gloss = TEETH_DARK if tone_degrees(texture, chart) < DARK_TONE_DEGREES else TEETH_LIGHT
    pale = (red < np.median(red[bare_skin(chart)]) - TEETH_RED) & (ratio > lightness)
    return float(pale[middle].mean()) / gloss


def bridge_line(ratio: Float, chart: Chart) -> float:
    """The contrast of a thin level line across the bridge of the nose, as only glasses draw it."""
    low, high = (int(chart.uv[point, 1]) for point in (8, 195))
    smooth = blur(ratio, 1)
    lines = [
        cv2.morphologyEx(smooth, kind, np.ones((9, 1))) for kind in (cv2.MORPH_BLACKHAT, cv2.MORPH_TOPHAT)
    ]
    across = [cv2.erode(np.asarray(li[low + 4 : high, 118:138]), np.ones((1, 13))) for li in lines]
    return float(max(a.max() for a in across))


def stance(points: Float) -> dict[str, float]:
    """A head's pose from its mesh [478, 3]: how far it is turned (degrees), the mouth's gap and
    the narrower eye's opening (of the inter-ocular distance), and that distance (px).
    """
    scale = float(np.linalg.norm(points[IRISES[0], :2] - points[IRISES[1], :2]))
    ends = (LIP_MIDDLES, *LID_MIDDLES)
    gaps = [float(np.linalg.norm(points[a, :2] - points[b, :2])) for a, b in ends]
    return {
        "yaw": abs(yaw_degrees(points)),
        "gap": gaps[0] / scale,
        "lids": min(gaps[1:]) / scale,
        "scale": scale,
    }


def stance_flaw(found: dict[str, float], max_gap: float = MAX_MOUTH_GAP) -> str | None:
    """The first of "yaw", "gap" and "lids" that a portrait may not have so, of what :func:`stance` gave."""
    if not found["yaw"] < MAX_YAW_DEG:
        return "yaw"
    if not found["gap"] < max_gap:
        return "gap"
    return None if found["lids"] > LEAST_LIDS else "lids"
