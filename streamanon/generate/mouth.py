"""What shows between parted lips: teeth, tongue, the dark, at the frame's own resolution.

A row of teeth comes from an atlas of synthetic smiles, one for each delegate. It hangs from the upper lip's
edge at the scale of the head, not of the mouth: lips move over teeth; a second one stands on the lower lip.
Of the person three colours are used, the means of the upper and of the lower half between the lips, and of
what is whitest: how bright teeth are, how much of either half shows them, and whether a tongue shows.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.errors import ModelError
from streamanon.generate.layers import Layer, Look, grid, parabola, placed, softly_filled
from streamanon.mesh.landmarks import (
    BRIDGE_TOP,
    EYE_CORNERS,
    INNER_LIPS,
    INNER_MOUTH_CORNERS,
    LIP_MIDDLES,
    NOSE_BASE,
)
from streamanon.runtime.models import Engines
from streamanon.types import LUMA, Delegate, Float

ATLAS = "mouths.npz"
#: An atlas's row of teeth: pixels; how far above and below the lip's edge it reaches, in units.
ROWS, COLUMNS, ABOVE, BELOW = 48, 144, 0.02, 0.28
#: A unit is so much of the distance of the eyes' outer corners: about a smile's width.
UNIT = 0.6
#: From between the eyes to below the nose; of an average face the eyes' outer corners are so many times as
#: far apart.
NOSE_LINE, TALL = (BRIDGE_TOP, NOSE_BASE), 1.76
#: The luma, levels, to which the brightest quarter of teeth is brought in the atlas.
BRIGHT = 200.0
#: The inner edges of the lips, from the left corner to the right one.
UPPER_EDGE = INNER_LIPS[:11]
LOWER_EDGE = (INNER_LIPS[0], *INNER_LIPS[:9:-1])
#: Lips that part less than the first, in mouth widths, are closed; from the second on all is painted.
PARTED = (0.015, 0.05)
#: So narrow a gap, px, shows hardly more than the one colour that is there, and from the second on teeth,
#: tongue and dark; how much of their contrast it shows.
GAPS_PX, LEAST_TOLD = (2.5, 7.0), 0.4
#: The share of the pixels between the lips that count as the whitest; how white they are, of the skin's
#: light, and how much greener than it, from where on they are teeth, and surely so: lips and tongues are
#: redder than skin.
WHITEST, TEETH_WHITE, TEETH_GREEN = 0.2, (0.42, 0.62), (0.86, 0.98)
#: The mean of teeth, of the whitest ones: lips shade them.
SHADED = 0.8
#: By how much more of the lower half than of the upper one shows teeth, from where on they are lower teeth,
#: and surely so; else the upper ones reach down.
LOWER_MORE = (0.05, 0.3)
#: Mean lumas between lips without teeth, of the skin's, at which all is dark, and at which all is filled by
#: a tongue or the lips.
FILLED = (0.35, 0.55)
#: How much of the lower half is a tongue that fills where a tongue may lie, in the middle of it.
TONGUE_FILLS = 0.6
#: How much of its length a row shows at least, how much of it a lower row does at most, and how far apart
#: the two are at least, in units.
LEAST_SHOWN, LOWER_SHOWN, ROWS_APART = 0.12, 0.75, 0.02
#: Colours 0..255 of the dark and of a tongue, at a skin's luma of 150.
DARK, TONGUE_RGB, REFERENCE = (46.0, 20.0, 19.0), (150.0, 78.0, 76.0), 150.0
#: The bounds of teeth's brightness, of the skin's light.
TEETH_LIGHT = (0.6, 1.3)
#: How much brighter teeth are before the lips shade them.
SHADE_GAIN = 1.12
#: How much of the skin's tint teeth take on (a power), and how much of their own colour they keep.
TINTED, OWN_TINT = 0.5, 0.55
#: A row's teeth are so wide, in units; wider smiles stretch it.
SEEN_WIDTH = 0.84
#: A row is so much longer at most where teeth fill the opening.
LONGEST = 1.25
#: How far the brightness of either half may be brought to the original's.
GAINS = (0.8, 1.25)
#: A lower row is the upper one upside down, with narrower, darker teeth and a flatter arc: by so many units
#: a square unit from the middle.
LOWER_WIDTH, LOWER_LIGHT, ARC = 1.15, 0.95, 0.25
#: Softness of the opening's edge, in units and px; how far the lip's shadow reaches, in units, and how
#: strong it is; how much darker it is at the corners, from which share of the way to them.
SOFT, SOFT_PX, SHADOW, SHADOW_SHARE, CORNER_SHARE, CORNER_FROM = 0.012, 0.5, 0.045, 0.4, 0.5, 0.7
TINY = 1e-3


@dataclass(frozen=True, eq=False, repr=False)
class MouthAtlas:
    """``teeth`` [N, 48, 144, 3] uint8 RGB; ``shares`` [N, 48, 144] uint8: 255 where there is a tooth;
    ``lengths`` [N]: of the front teeth, in units.
    """

    teeth: NDArray[np.uint8]
    shares: NDArray[np.uint8]
    lengths: Float

    def of(self, delegate: Delegate) -> tuple[Float, float]:
        """The teeth of a delegate, always the same: [48, 144, 4] RGB and share, 0..255; and how long."""
        row, turned = divmod(zlib.crc32(delegate.id.encode()) % (2 * len(self.teeth)), 2)
        teeth = np.dstack([self.teeth[row], self.shares[row]]).astype(np.float32)
        return (teeth[:, ::-1] if turned else teeth), float(self.lengths[row])


def open_mouths(engines: Engines) -> MouthAtlas:
    """The installed atlas. Raises :class:`ModelError` where it cannot be read."""
    path = engines.path("mouths")
    try:
        return load_mouths(path)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ModelError(f"cannot read {path}: {error}; install streamanon again") from error


def load_mouths(path: Path) -> MouthAtlas:
    with np.load(path, allow_pickle=False) as arrays:
        return MouthAtlas(*(arrays[name] for name in ("teeth", "shares", "lengths")))


@dataclass(frozen=True, eq=False, repr=False)
class MouthFrame:
    """Where teeth lie, px: the ``origin`` between the lips' corners; a unit ``across`` and one ``down``."""

    origin: Float
    across: Float
    down: Float

    def local(self, at: Float) -> Float:
        """Points [..., 2] px in units."""
        return np.asarray(
            (at - self.origin) @ np.linalg.inv(np.stack([self.across, self.down])), np.float32
        )


def frame_of(points: Float) -> MouthFrame:
    """Of a mesh [478, 2 or 3]: level with the eyes, half with the mouth; as large as the head."""
    eyes, lips = (
        points[last, :2] - points[first, :2] for first, last in (EYE_CORNERS, INNER_MOUTH_CORNERS)
    )
    level = _unit(eyes) + _unit(lips)
    size = UNIT * float(np.linalg.norm(eyes))
    middle = points[list(INNER_MOUTH_CORNERS), :2].mean(axis=0)
    across = _unit(level) * size
    tall = UNIT * TALL * float(np.linalg.norm(points[NOSE_LINE[0], :2] - points[NOSE_LINE[1], :2]))
    down = np.array([-across[1], across[0]]) / max(size, TINY) * max(tall, TINY)
    return MouthFrame(*(np.asarray(one, np.float32) for one in (middle, across, down)))


def upper_edge(points: Float, frame: MouthFrame) -> Float:
    """The upper lip's inner edge as a polynomial: v of u, in units."""
    return _edge(points, UPPER_EDGE, frame)


def _edge(points: Float, edge: tuple[int, ...], frame: MouthFrame) -> Float:
    u, v = frame.local(points[list(edge), :2]).T
    return parabola(u, v)


def gape(points: Float) -> float:
    """How far the lips part, in mouth widths."""
    width, gap = (
        float(np.linalg.norm(points[first, :2] - points[last, :2]))
        for first, last in (INNER_MOUTH_CORNERS, LIP_MIDDLES)
    )
    return gap / max(width, TINY)


def mouth_colours(crop: Float, light: Float, points: Float) -> Float | None:
    """The mean colours [3, 3] of the upper and the lower half between parted lips, and of the whitest
    pixels there, of the luma of the skin about, ``light`` [3]; None where they are closed. ``points``: the
    person's own in the crop, px.
    """
    if gape(points) < PARTED[0]:
        return None
    ring = points[list(INNER_LIPS), :2]
    upper, lower = points[list(UPPER_EDGE), :2], points[list(LOWER_EDGE), :2]
    between = (upper + lower) / 2
    skin = max(float(light @ LUMA), 1.0)
    (x0, y0), (x1, y1) = np.floor(ring.min(0)).astype(int) - 1, np.ceil(ring.max(0)).astype(int) + 2
    x0, y0 = max(0, x0), max(0, y0)
    part = np.ascontiguousarray(crop[y0:y1, x0:x1])
    if not part.size:
        return None
    means, inside = [], np.zeros(part.shape[:2], np.uint8)
    for edge in (upper, lower):
        half = np.rint(16 * (np.concatenate([edge, between[::-1]]) - [x0, y0])).astype(np.int32)
        mask = np.zeros(part.shape[:2], np.uint8)
        cv2.fillPoly(mask, [half], 1, cv2.LINE_8, 4)
        means.append(cv2.mean(part, mask)[:3])
        inside |= mask
    seen = part[inside > 0]
    if not len(seen):
        return None
    white = _whiteness(seen, light)
    means.append(seen[np.argsort(white)[-max(1, round(WHITEST * len(seen))) :]].mean(axis=0))
    return np.asarray(means, np.float32) / np.float32(skin)


def _whiteness(colours: Float, light: Float) -> Float:
    """How white colours [..., 3] are in a ``light`` [3] that makes white skin 1."""
    return np.asarray((colours / np.maximum(light, TINY)).min(axis=-1), np.float32)


def mouth_layers(
    points: Float,
    size: tuple[int, int],
    light: Float,
    teeth: tuple[Float, float],
    colours: Float | None,
    look: Look,
) -> list[Layer]:
    """What to lay between the lips of ``points`` [478, 3] px of an image of ``size`` (width, height).
    ``light`` [3]: of the skin about; ``teeth``: as :meth:`MouthAtlas.of` gives them; ``colours``: the
    person's, as :func:`mouth_colours` gives them.
    """
    amount = float(np.interp(gape(points), PARTED, (0, 1)))
    frame, ring = frame_of(points), points[list(INNER_LIPS), :2]
    soft = SOFT * float(np.linalg.norm(frame.across)) + SOFT_PX
    place = placed(ring, 3 * soft + 1, size)
    if colours is None or not amount or place is None:
        return []
    weight = np.float32(amount) * softly_filled(ring, place, soft)
    inner = _interior(frame.local(grid(place)), points, frame, light, teeth, colours)
    mean = np.asarray(colours[:2].mean(axis=0) * (light @ LUMA), np.float32)
    gap = float(np.linalg.norm(points[LIP_MIDDLES[0], :2] - points[LIP_MIDDLES[1], :2]))
    told = replace(look, contrast=look.contrast * float(np.interp(gap, GAPS_PX, (LEAST_TOLD, 1))))
    return [Layer(place[0], place[1], told.seen(inner, mean), weight)]


def _interior(
    at: Float,
    points: Float,
    frame: MouthFrame,
    light: Float,
    teeth: tuple[Float, float],
    colours: Float,
) -> Float:
    """What lies between the lips at places ``at`` [h, w, 2], in units: [h, w, 3]."""
    u, v = at[..., 0], at[..., 1]
    upper = upper_edge(points, frame)
    lower = _edge(points, LOWER_EDGE, frame)
    top = np.polyval(upper, u).astype(np.float32)
    bottom = np.polyval(lower, u).astype(np.float32)
    open_by = np.maximum(bottom - top, TINY)
    down = np.clip((v - top) / open_by, 0, 1)
    skin = max(float(light @ LUMA), 1.0)
    luma = colours @ LUMA
    surely = _teeth_share(colours[2], light)
    shares, tongues = _told(colours, light)
    # A tongue lies low: what is redder above is lip and gum, which a smile bares over its teeth.
    gum = max(0.0, float(tongues[0] - tongues[1]))
    tongue = np.float32(np.clip(float(tongues[1]) / TONGUE_FILLS, 0, 1))
    inner = np.array(DARK, np.float32) + np.zeros((*u.shape, 1), np.float32)
    round_ = np.exp(-((u / 0.3) ** 2) - ((1 - down) / 0.55) ** 2)[..., None]
    inner += tongue * round_ * (np.array(TONGUE_RGB, np.float32) - inner)
    inner *= np.float32(skin / REFERENCE)
    seen = colours[0] + np.clip(2 * down - 0.5, 0, 1)[..., None] * (colours[1] - colours[0])
    filled = (1 - surely) * float(np.interp(luma[:2].mean(), FILLED, (0, 1)))
    inner += np.float32(filled) * (np.float32(skin) * seen - inner)
    row, length = teeth
    tint = (light / skin) ** TINTED
    gain = (
        np.float32(np.clip(SHADE_GAIN * (colours[2] @ LUMA), *TEETH_LIGHT) * skin / BRIGHT)
        * tint
        / float(tint @ LUMA)
    )
    gap = float(np.polyval(lower, 0.0) - np.polyval(upper, 0.0))
    above, below = _rows(surely * (shares + np.array([gum, 0], np.float32)), gap, length)
    ends = frame.local(points[list(INNER_MOUTH_CORNERS), :2])[:, 0]
    narrower = np.float32(min(1.0, SEEN_WIDTH / max(float(ends[1] - ends[0]), TINY)))
    longer = max(1.0, above / length)
    inner = _lay(inner, row, narrower * u, (v - top + longer * length - above) / longer, gain)
    if below:
        along = np.float32(LOWER_WIDTH) * narrower * u
        deep = np.asarray(bottom - v + length - below - ARC * along**2, np.float32)
        inner = _lay(inner, row, along, deep, np.float32(LOWER_LIGHT) * gain)
    depth = (v - top) / SHADOW
    shade = 1 - SHADOW_SHARE * np.exp(-np.maximum(depth, 0))
    outwards = np.abs((2 * u - ends.sum()) / max(float(ends[1] - ends[0]), TINY))
    shade *= 1 - CORNER_SHARE * np.clip((outwards - CORNER_FROM) / (1 - CORNER_FROM), 0, 1)
    inner = inner * shade[..., None].astype(np.float32)
    return _as_bright(inner, down, luma * skin)


def _rows(shares: Float, gap: float, length: float) -> tuple[float, float]:
    """How much of the upper and of the lower row of teeth shows, in units, where lips are ``gap`` apart and
    teeth ``length`` long; ``shares`` [2]: of teeth in the upper and in the lower half.
    """
    lower = float(np.interp(shares[1] - shares[0], LOWER_MORE, (0, 1)))
    teeth = float(shares.sum()) * gap / 2
    below = lower * float(shares[1]) * gap / 2
    above = float(np.clip(teeth - below, LEAST_SHOWN * length, LONGEST * length))
    below = min(max(below, teeth - above), LOWER_SHOWN * length, gap - above - ROWS_APART)
    return above, max(0.0, below)


def _lay(inner: Float, row: Float, u: Float, v: Float, gain: Float) -> Float:
    """A row of teeth over what is there; ``u``, ``v``: places in the row, in units."""
    x = ((u + 0.5) * COLUMNS - 0.5).astype(np.float32)
    y = ((np.maximum(v, 0) + ABOVE) / (ABOVE + BELOW) * ROWS - 0.5).astype(np.float32)
    seen = cv2.remap(row, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(0, 0, 0, 0))
    share = seen[..., 3:] / np.float32(255)
    grey = (seen[..., :3] @ LUMA)[..., None]
    tooth = grey + OWN_TINT * (seen[..., :3] - grey)
    return np.asarray(inner + share * (tooth * gain - inner), np.float32)


def _as_bright(inner: Float, down: Float, wanted: Float) -> Float:
    """Both halves brought towards the brightness ``wanted`` [2] of the original's."""
    luma = inner @ LUMA
    gains = []
    for half, level in ((down < 0.5, wanted[0]), (down >= 0.5, wanted[1])):
        inside = half & (down > 0) & (down < 1)
        own = float(luma[inside].mean()) if inside.any() else float(level)
        gains.append(float(np.clip(float(level) / max(own, 1.0), *GAINS)))
    gain = np.interp(down, (0.25, 0.75), gains).astype(np.float32)
    return np.asarray(inner * gain[..., None], np.float32)


def _teeth_share(colour: Float, light: Float) -> float:
    """How surely the whitest ``colour`` [3] between the lips, of the luma of skin in ``light`` [3], is a
    tooth's.
    """
    red, green, blue = colour * (light @ LUMA) / np.maximum(light, TINY)
    white = np.interp(min(red, green, blue), TEETH_WHITE, (0, 1))
    return float(white * np.interp(green / max(red, TINY), TEETH_GREEN, (0, 1)))


def _told(colours: Float, light: Float) -> tuple[Float, Float]:
    """How much of the upper and of the lower half is teeth, and how much a tongue (or a lip), [2] each, by
    what is red and what is green in them; the rest is dark.
    """
    relative = np.asarray(colours[:, :2] * (light @ LUMA) / np.maximum(light[:2], TINY), np.float32)
    drawn = np.array([DARK[:2], TONGUE_RGB[:2]], np.float32) / REFERENCE * (light @ LUMA)
    dark, tongue = drawn / np.maximum(light[:2], TINY)
    tooth, tongue, seen = SHADED * relative[2] - dark, tongue - dark, relative[:2] - dark
    alone = [(seen @ one / max(float(one @ one), TINY)).clip(0, 1) for one in (tooth, tongue)]
    both = np.stack([tooth, tongue], axis=1)
    if abs(np.linalg.det(both)) < TINY:
        return alone[0], np.zeros(2, np.float32)
    teeth, tongues = np.linalg.solve(both, seen.T)
    teeth, tongues = np.where(tongues < 0, alone[0], teeth), np.where(teeth < 0, alone[1], tongues)
    over = np.maximum(1, teeth.clip(0) + tongues.clip(0))
    return (teeth.clip(0) / over).astype(np.float32), (tongues.clip(0) / over).astype(np.float32)


def _unit(vector: Float) -> Float:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), TINY), np.float32)
