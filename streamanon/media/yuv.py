"""Between a picture's planes and RGB. Pure functions over arrays; nothing here knows files or codecs.

A plane value ``p`` relates to RGB in 0..255 by ``rgb = A @ (Y, U, V) + b`` with the matrix of ITU-R
BT.601, BT.709 or BT.2020 (non-constant luminance) and the range of the picture. Chroma is taken to sit in
the middle of the luma pixels that share it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.types import Float, Picture, Plane

#: Weights of red and blue in luma (ITU-R BT.601-7, BT.709-6, BT.2020-2).
_WEIGHTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}

#: A picture is without colour where fewer than this share of its samples are further than so many levels of
#: 255 from grey: a film in black and white, also with a channel's logo. One sample in so many is looked at,
#: each way.
COLOURED_SHARE, COLOURED_LEVELS, LOOKED_AT = 0.01, 2, 4
#: Shrinking by so many times and more begins with halving.
HALVED = 8.0


def read_rgb(picture: Picture, x0: int, y0: int, x1: int, y1: int) -> Float:
    """The region's pixels as RGB, float32 [y1 - y0, x1 - x0, 3] in 0..255.

    Edges must be multiples of ``picture.chroma_step`` or the picture's own edge; else ``ValueError``.
    """
    check_region(picture, x0, y0, x1, y1)
    planes = _crop(picture.planes, picture, x0, y0, x1, y1)
    size = (x1 - x0, y1 - y0)
    values = [planes[0].astype(np.float32)]
    values += [_upsample(plane, picture.chroma_step, size) for plane in planes[1:]]
    rgb = _to_rgb(values, picture)
    return np.clip(rgb, 0, 255, out=rgb)


def read_luma(picture: Picture, x0: int, y0: int, x1: int, y1: int) -> Float:
    """The region's luma (green, of RGB) as float32 [y1 - y0, x1 - x0], black at 0 and white at 255."""
    black, white = black_and_white(picture)
    values = picture.planes[0][y0:y1, x0:x1].astype(np.float32)
    return cast(Float, (values - black) * np.float32(255 / (white - black)))


def write_rgb(
    planes: tuple[Plane, ...], picture: Picture, x0: int, y0: int, rgb: Float, alpha: Float
) -> None:
    """Blend RGB into ``planes`` (writable copies of the picture's), with the region's corner at x0, y0.

    ``rgb``: [h, w, 3] in 0..255. ``alpha``: [h, w] in 0..1. Samples that no alpha touches stay bit for bit;
    a chroma sample takes the alpha-weighted mean of its pixels. Brightness is blended as light adds up, so
    that the border between dark and light is neither. Edges as for :func:`read_rgb`; ValueError, too, for
    an alpha that is no number, as it would leave what is beneath.
    """
    height, width = alpha.shape
    if not (alpha >= 0).all():
        raise ValueError("an alpha is negative or no number")
    check_region(picture, x0, y0, x0 + width, y0 + height)
    targets = _crop(planes, picture, x0, y0, x0 + width, y0 + height)
    for number, (target, value) in enumerate(zip(targets, _from_rgb(rgb, picture), strict=True)):
        if number == 0 or picture.pixel_format.startswith("gbr"):
            _blend_light(target, value, alpha, picture)
            continue
        if picture.chroma_step == (1, 1):
            _blend(target, value, alpha, picture.bits)
            continue
        coverage = _area_mean(alpha, picture.chroma_step)
        weighted = _area_mean(value * alpha, picture.chroma_step)
        mean = np.divide(weighted, np.maximum(coverage, 1e-6), dtype=np.float32)
        _blend(target, mean, coverage, picture.bits)


def small_rgb(picture: Picture, width: int, height: int) -> NDArray[np.uint8]:
    """A scaled copy for the detector, uint8 RGB [height, width, 3], within two levels of scaling exactly,
    or four where it shrinks eightfold and more.

    Scales the planes first, so the matrix works on few pixels.
    """
    scaled = [_scale(plane, width, height) for plane in picture.planes]
    if len(scaled) == 1:
        scaled *= 3
    colour = cv2.transform(cv2.merge(scaled), matrices(picture)[0])
    if colour.dtype != np.uint8:
        colour = np.minimum(colour, 255).astype(np.uint8)
    return cast("NDArray[np.uint8]", colour)


def crop(picture: Picture, region: tuple[int, int, int, int]) -> Picture:
    """A region (xyxy px) as a picture of its own, without a copy. Edges as for :func:`read_rgb`."""
    check_region(picture, *region)
    planes = _crop(picture.planes, picture, *region)
    return Picture(planes, picture.pixel_format, picture.matrix, picture.full_range)


def to_rgb(picture: Picture) -> NDArray[np.uint8]:
    """The whole picture as uint8 RGB [H, W, 3]."""
    return np.rint(read_rgb(picture, 0, 0, picture.width, picture.height)).astype(np.uint8)


def from_rgb(rgb: NDArray[np.uint8]) -> Picture:
    """A picture (gbrp, so nothing is lost) of uint8 RGB [H, W, 3]."""
    planes = tuple(np.ascontiguousarray(rgb[:, :, channel]) for channel in (1, 2, 0))
    return Picture(planes, "gbrp", full_range=True)


def is_without_colour(picture: Picture) -> bool:
    """Whether a picture is in black and white, by a part of its samples."""
    if len(picture.planes) == 1:
        return True
    is_rgb = picture.pixel_format.startswith("gbr")
    looked_at = picture.planes if is_rgb else picture.planes[1:]
    planes = [plane[::LOOKED_AT, ::LOOKED_AT].astype(np.int32) for plane in looked_at]
    if is_rgb:
        apart = np.maximum.reduce(planes) - np.minimum.reduce(planes)
    else:
        apart = np.maximum(*(np.abs(plane - (1 << picture.bits - 1)) for plane in planes))
    return float((apart > COLOURED_LEVELS << picture.bits - 8).mean()) < COLOURED_SHARE


def check_region(picture: Picture, x0: int, y0: int, x1: int, y1: int) -> None:
    """Raises ValueError where a region does not fit the chroma grid."""
    step_x, step_y = picture.chroma_step
    inside = 0 <= x0 < x1 <= picture.width and 0 <= y0 < y1 <= picture.height
    aligned_x = x0 % step_x == 0 and (x1 % step_x == 0 or x1 == picture.width)
    aligned_y = y0 % step_y == 0 and (y1 % step_y == 0 or y1 == picture.height)
    if not (inside and aligned_x and aligned_y):
        raise ValueError(f"region {(x0, y0, x1, y1)} does not fit the chroma grid of {picture!r}")


def _crop(
    planes: tuple[Plane, ...], picture: Picture, x0: int, y0: int, x1: int, y1: int
) -> tuple[Plane, ...]:
    """Views of the region in each plane."""
    step_x, step_y = picture.chroma_step
    chroma = np.s_[y0 // step_y : -(-y1 // step_y), x0 // step_x : -(-x1 // step_x)]
    return (planes[0][y0:y1, x0:x1], *(plane[chroma] for plane in planes[1:]))


def _upsample(plane: Plane, step: tuple[int, int], size: tuple[int, int]) -> Float:
    """Chroma at the size (width, height) of its luma, linearly; the last row or column may be half used."""
    values = plane.astype(np.float32)
    if step == (1, 1):
        return values
    full = (plane.shape[1] * step[0], plane.shape[0] * step[1])
    scaled = cv2.resize(values, full, interpolation=cv2.INTER_LINEAR)
    return cast(Float, scaled[: size[1], : size[0]])


def _area_mean(values: Float, step: tuple[int, int]) -> Float:
    """Means over the luma pixels of each chroma sample; odd edges count their last pixels twice."""
    step_x, step_y = step
    height, width = values.shape
    if height % step_y or width % step_x:
        values = np.pad(values, ((0, height % step_y), (0, width % step_x)), mode="edge")
    size = (values.shape[1] // step_x, values.shape[0] // step_y)
    # The averaging is exact for whole factors, and quicker than a reshape and a mean.
    return cast(Float, cv2.resize(values, size, interpolation=cv2.INTER_AREA))


def _blend(target: Plane, value: Float, alpha: Float, bits: int) -> None:
    """Move ``target`` (in place) towards ``value`` by ``alpha``; nothing is written where alpha is 0."""
    old = target.astype(np.float32)
    mixed = value - old
    mixed *= alpha
    mixed += old
    _store(target, mixed, value, alpha, bits)


def _blend_light(target: Plane, value: Float, alpha: Float, picture: Picture) -> None:
    """The same for luma or a colour, whose square is about the light that a display makes of it (in
    ITU-R BT.1886: its power of 2.4).
    """
    black = np.float32(black_and_white(picture)[0])
    old, new = target.astype(np.float32), value - black
    old -= black
    for one in (old, new):
        np.maximum(one, 0, out=one)
    whole = new + black
    for one in (old, new):
        one *= one
    new -= old
    new *= alpha
    new += old
    np.maximum(new, 0, out=new)
    np.sqrt(new, out=new)
    new += black
    _store(target, new, whole, alpha, picture.bits)


def _store(target: Plane, mixed: Float, whole: Float, alpha: Float, bits: int) -> None:
    """Round ``mixed`` into ``target`` where alpha is more than 0, and ``whole`` where it is 1: where
    nothing of the old shows, not even its rounding error does.
    """
    np.copyto(mixed, whole, where=alpha >= 1)
    np.rint(mixed, out=mixed)
    np.clip(mixed, 0, (1 << bits) - 1, out=mixed)
    np.copyto(target, mixed.astype(target.dtype), where=alpha > 0)


def _scale(plane: Plane, width: int, height: int) -> Plane:
    if plane.shape == (height, width):
        return plane
    if plane.shape[0] >= height and plane.shape[1] >= width:
        return shrunk(plane, width, height)
    return cast(Plane, cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR))


def shrunk(plane: Plane, width: int, height: int) -> Plane:
    """A plane averaged down to ``width`` by ``height``. What shrinks much is halved first: OpenCV averages
    whole factors tens of times as quickly as others.
    """
    while min(plane.shape[1] / width, plane.shape[0] / height) >= HALVED and not any(
        side % 2 for side in plane.shape
    ):
        half = plane.shape[1] // 2, plane.shape[0] // 2
        plane = cast(Plane, cv2.resize(plane, half, interpolation=cv2.INTER_AREA))
    return cast(Plane, cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA))


def _to_rgb(values: list[Float], picture: Picture) -> Float:
    """Plane values, float32 [H, W] each, to RGB [H, W, 3], not yet limited to 0..255."""
    if len(values) == 1:
        values = values * 3
    return cast(Float, cv2.transform(cv2.merge(values), matrices(picture)[0]))


def _from_rgb(rgb: Float, picture: Picture) -> list[Float]:
    """RGB [H, W, 3] to plane values, float32 [H, W] each and all at full size."""
    values = cast(Float, cv2.transform(np.ascontiguousarray(rgb, np.float32), matrices(picture)[1]))
    return [values[:, :, number] for number in range(len(picture.planes))]


def black_and_white(picture: Picture) -> tuple[float, float]:
    """Luma of black and of white."""
    return _range(picture.full_range or picture.pixel_format.startswith("gbr"), picture.bits)


def _range(full: bool, bits: int) -> tuple[float, float]:
    unit = float(1 << (bits - 8))
    return (0.0, float((1 << bits) - 1)) if full else (16 * unit, 235 * unit)


def matrices(picture: Picture) -> tuple[Float, Float]:
    """The matrices [3, 4] from plane values to RGB and back."""
    family = picture.pixel_format.removesuffix("10le").rstrip("p")
    return _matrices(family[:3], picture.matrix, picture.full_range, picture.bits)


@lru_cache(maxsize=32)
def _matrices(family: str, matrix: str, full_range: bool, bits: int) -> tuple[Float, Float]:
    top = float((1 << bits) - 1)
    unit = float(1 << (bits - 8))
    black, white = _range(full_range or family == "gbr", bits)
    luma_gain = 255 / (white - black)
    if family == "gbr":
        planes_to_rgb = luma_gain * np.array([[0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0]], np.float64)
        return _with_inverse(planes_to_rgb)
    offset = np.array([black, 128 * unit, 128 * unit])
    chroma_gain = 255 / top if full_range else 255 / (224 * unit)
    gains = np.diag([luma_gain, chroma_gain, chroma_gain])
    if family == "gra":
        return _grey_matrices(luma_gain, black)
    colour = _ycc_to_rgb(*_WEIGHTS[matrix]) @ gains
    return _with_inverse(np.column_stack([colour, -colour @ offset]))


def _ycc_to_rgb(red: float, blue: float) -> NDArray[np.float64]:
    """From Y in 0..1 and Cb, Cr in -0.5..0.5 to R, G, B in 0..1."""
    green = 1 - red - blue
    to_red, to_blue = 2 * (1 - red), 2 * (1 - blue)
    return np.array([[1, 0, to_red], [1, -blue * to_blue / green, -red * to_red / green], [1, to_blue, 0]])


def _grey_matrices(gain: float, black: float) -> tuple[Float, Float]:
    """Grey is read thrice (as R, G and B) and written as BT.709 luma."""
    red, blue = _WEIGHTS["bt709"]
    read = np.column_stack([gain * np.eye(3), np.full(3, -gain * black)])
    write = np.tile([red / gain, (1 - red - blue) / gain, blue / gain, black], (3, 1))
    return read.astype(np.float32), write.astype(np.float32)


def _with_inverse(forward: NDArray[np.float64]) -> tuple[Float, Float]:
    inverse = np.linalg.inv(forward[:, :3])
    backward = np.column_stack([inverse, -inverse @ forward[:, 3]])
    return forward.astype(np.float32), backward.astype(np.float32)
