"""The network's inputs against the same sums written plainly, pixel by pixel and one thing at a time.

Tolerance: a hundredth of a level of 255 in every plane, and the same pixels cut out.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from streamanon.gallery.delegates import TEXTURE_PX, DelegateGallery, open_gallery
from streamanon.generate import light, mouth
from streamanon.generate.inputs import (
    GAPES,
    MOUTH_SHARES,
    MOUTH_SOFT_PX,
    contours,
    make_inputs,
)
from streamanon.generate.interface import DetailState
from streamanon.generate.raster import RING_PX, Textures, borders, inverse_maps, owners_of, pyramid
from streamanon.geometry import CROP_PX
from streamanon.mesh.landmarks import INNER_LIPS
from streamanon.runtime.models import Engines
from streamanon.types import LUMA, Float

TOLERANCE = 0.01 / 127.5


@cache
def gallery() -> DelegateGallery:
    return open_gallery(Engines.open())


def points(size: float, gape: float = 0.0) -> Float:
    """A delegate's own shape in the middle of the crop, its lower lip moved down by ``gape`` px."""
    shape = gallery().delegates[4].shape * np.float32(size)
    shape[:, :2] += (CROP_PX - 1) / 2 - (shape[:, :2].max(0) + shape[:, :2].min(0)) / 2
    shape[[14, 87, 178, 88, 95, 317, 402, 318, 324], 1] += gape
    return np.asarray(shape, np.float32)


def crop(softness: float) -> Float:
    noise = np.random.default_rng(3).uniform(0, 255, (CROP_PX, CROP_PX, 3)).astype(np.float32)
    ramp = np.linspace(0, 60, CROP_PX, dtype=np.float32)[:, None, None]
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), softness).clip(0, 195) + ramp, np.float32)


def plain_field(rgb: Float, skin: NDArray[np.bool_]) -> Float:
    """Light enlarged by OpenCV, of layers weighted one after the other."""
    weight, cells = skin.astype(np.float32), (light.LIGHT_CELLS, light.LIGHT_CELLS)
    amount = cv2.resize(weight, cells, interpolation=cv2.INTER_AREA)[..., None]
    total = cv2.resize(rgb * weight[..., None], cells, interpolation=cv2.INTER_AREA)
    for sigma, share in light.SPREADS:
        one = cv2.GaussianBlur(amount, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)[..., None]
        two = cv2.GaussianBlur(total, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
        amount, total = amount + one * share, total + two * share
    field = cv2.resize(
        np.asarray(total / amount, np.float32), rgb.shape[1::-1], interpolation=cv2.INTER_CUBIC
    )
    return np.asarray(field.clip(0, 255), np.float32)


def plain_sharpness(grey: Float, core: NDArray[np.bool_]) -> float:
    fine = np.abs(grey - cv2.GaussianBlur(grey, (0, 0), light.FINEST_SIGMA_PX))[core].mean()
    return float(fine) / max(float(np.abs(grey)[core].mean()), 0.5)


def plain_planes(
    seen: Float, mesh: Float, warped: Float, mask: NDArray[np.bool_], last: DetailState | None
) -> tuple[Float, NDArray[np.bool_]]:
    size = float(np.sqrt(np.prod(np.ptp(mesh[:, :2], axis=0))))
    core = borders(mask, size)[1]
    skin = core & ~light.lips_of(mesh, mask.shape)
    field, own = plain_field(seen, skin), plain_field(warped, skin)
    ratio = ((field + light.LIGHT_BIAS) / (own + light.LIGHT_BIAS)).clip(*light.LIGHT_RATIO)
    lighter = np.interp(ratio @ LUMA, light.LIGHTER, (0, 1))
    shine = np.maximum((warped * ratio) @ LUMA - (1 + light.SHINE_FROM) * (field @ LUMA), 0)
    less: Float = np.asarray((1 - light.SHINE_KEPT) * lighter * shine, np.float32)
    lit = warped * ratio - less[..., None]
    painted, real = (np.asarray(one @ LUMA, np.float32) for one in (lit - field, seen - field))
    contrast = float(np.clip(real[core].std() / max(painted[core].std(), 1.0), *light.CONTRAST_RANGE))
    wanted = light.SHARPER * plain_sharpness(real, core)
    for sigma in light.SIGMAS:
        blurred = cv2.GaussianBlur(painted, (0, 0), sigma) if sigma else painted
        if plain_sharpness(np.asarray(blurred, np.float32), core) <= wanted:
            break
    carried = DetailState(contrast, sigma)
    carried = carried if last is None else last.towards(carried)
    tints = []
    for one in (field, own):
        colour = one[skin].mean(axis=0)
        grey_level = float(colour @ LUMA)
        tints.append(float(np.linalg.norm(colour - grey_level)) / max(grey_level, 1.0))
    detail = lit - field
    grey = (detail @ LUMA)[..., None]
    detail = grey + min(1.0, tints[0] / max(tints[1], light.TINY)) * (detail - grey)
    if carried.sigma_px > light.LEAST_SIGMA_PX:
        detail = cv2.GaussianBlur(detail, (0, 0), carried.sigma_px)
    lit = (field + carried.contrast * detail).clip(0, 255)
    soft = cv2.GaussianBlur(
        light.filled(mesh, INNER_LIPS, mask.shape).astype(np.float32), (0, 0), MOUTH_SOFT_PX
    )[..., None]
    lit = lit + soft * (np.interp(mouth.gape(mesh), GAPES, MOUTH_SHARES) * field - lit)
    lit = np.where(mask[..., None], lit, field)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * RING_PX + 1, 2 * RING_PX + 1))
    cut = cv2.dilate(mask.astype(np.uint8), kernel) > 0
    layers = (
        (seen / 127.5 - 1) * ~cut[..., None],
        cut[..., None],
        lit / 127.5 - 1,
        contours(mesh).transpose(1, 2, 0),
        field / 127.5 - 1,
    )
    return np.concatenate(layers, axis=2).transpose(2, 0, 1), cut


@pytest.mark.parametrize("size", [12.0, 26.0, 38.0])
@pytest.mark.parametrize(("softness", "gape"), [(0.6, 0.0), (2.5, 6.0)])
@pytest.mark.parametrize("last", [None, DetailState(0.6, 1.7)])
def test_inputs_are_those_of_the_plain_sums(
    size: float, softness: float, gape: float, last: DetailState | None
) -> None:
    mesh, seen = points(size, gape), crop(softness)
    warped, mask = Textures(gallery()).warp(mesh, (CROP_PX, CROP_PX), gallery().delegates[9])
    made = make_inputs(seen, mesh, warped, mask, np.zeros_like(mask), last)
    planes, cut = plain_planes(seen, mesh, warped, mask, last)
    np.testing.assert_array_equal(made.cut, cut)
    np.testing.assert_allclose(made.planes, planes, atol=TOLERANCE)


@pytest.mark.parametrize("size", [9.0, 38.0])
def test_a_warped_texture_is_that_of_each_pixels_own_triangle(size: float) -> None:
    mesh, delegate = points(size), gallery().delegates[9]
    textures = Textures(gallery())
    warped, mask = textures.warp(mesh, (CROP_PX, 96), delegate)
    owners = owners_of(mesh, gallery().triangles, textures.uv, (CROP_PX, 96))
    maps = inverse_maps(mesh[:, :2], textures.uv, gallery().triangles)
    np.testing.assert_array_equal(mask, owners > 0)
    spread = float(np.ptp(mesh[:, 0]) + np.ptp(mesh[:, 1])) / 2
    levels = pyramid(delegate.fine)
    texture = levels[int(np.clip(np.log2(len(levels[0]) / spread), 0, len(levels) - 1))]
    factor = len(texture) / TEXTURE_PX
    for y, x in np.argwhere(mask)[::7]:
        place = (maps[owners[y, x] - 1] @ [x, y, 1] + 0.5) * factor - 0.5
        at_x, at_y = np.array(place, np.float32).reshape(2, 1, 1)
        told = cv2.remap(texture, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        np.testing.assert_allclose(warped[y, x], told[0, 0], atol=1)
