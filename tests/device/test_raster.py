"""Delegates' textures on meshes and the frame's light on them, on the device against the host."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

import torch
from devices import MEMORY, here, there

from streamanon.device.light import adapt, blend_border, light_field, like_skin, softened
from streamanon.device.raster import DeviceTextures
from streamanon.gallery.delegates import DelegateGallery, open_gallery
from streamanon.generate import DetailState
from streamanon.generate import border as host_border
from streamanon.generate import light as host_light
from streamanon.generate import softness as host_softness
from streamanon.generate.inputs import outlines_of
from streamanon.generate.interface import SMOOTHING
from streamanon.generate.raster import Textures
from streamanon.runtime.backends import Array
from streamanon.runtime.models import Engines
from streamanon.types import Float


@cache
def gallery() -> DelegateGallery:
    return open_gallery(Engines.open())


def mesh(width: float, middle: tuple[float, float], degrees: float = 0.0, turn: float = 0.0) -> Float:
    """A delegate's own shape, so wide, tilted by ``degrees`` and turned by ``turn``."""
    points = gallery().delegates[3].shape.astype(np.float64)
    cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    points = points @ np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    points = points @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
    points *= width / np.ptp(points[:, 0])
    points[:, :2] += np.array(middle) - (points[:, :2].max(0) + points[:, :2].min(0)) / 2
    return np.asarray(points, np.float32)


MESHES = [mesh(70, (64, 64)), mesh(78, (62.3, 70.9), 24, 35), mesh(40, (20, 100), -70, -50)]


@pytest.mark.parametrize("size", [(128, 128), (200, 150)])
def test_textures_lie_on_the_same_pixels(size: tuple[int, int]) -> None:
    """Their outlines to a few pixels of thousands; colours to a fraction of a level where both are."""
    host = Textures(gallery())
    scaled = [one * np.array([size[0] / 128, size[0] / 128, 1], np.float32) for one in MESHES]
    delegates = [gallery().delegates[number] for number in (2, 7, 7)]
    made, masks = DeviceTextures(host, MEMORY).warp(scaled, size, delegates)
    for points, delegate, rgb, mask in zip(scaled, delegates, made, masks, strict=True):
        expected, where = host.warp(points, size, delegate)
        assert (here(mask[0]) != where).sum() <= 0.002 * where.sum()
        both = here(mask[0]) & where
        apart = np.abs(here(rgb.permute(1, 2, 0)) - expected)[both]
        assert apart.mean() < 0.5
        assert np.quantile(apart, 0.995) < 6


def test_what_is_outside_or_has_no_area_has_no_pixels() -> None:
    flat, outside = MESHES[0] * np.array([1, 0, 1], np.float32), MESHES[0] + np.float32(500)
    _, masks = DeviceTextures(Textures(gallery()), MEMORY).warp(
        [flat, outside, MESHES[0]], (128, 128), [gallery().delegates[0]] * 3
    )
    assert not masks[:2].any()
    assert masks[2].any()


def test_a_mesh_seen_from_behind_has_the_same_few_pixels() -> None:
    behind = MESHES[0] * np.array([-1, 1, 1], np.float32) + np.array([128, 0, 0], np.float32)
    host, delegate = Textures(gallery()), gallery().delegates[0]
    _, (mask,) = DeviceTextures(host, MEMORY).warp([behind], (128, 128), [delegate])
    _, expected = host.warp(behind, (128, 128), delegate)
    assert (here(mask[0]) != expected).sum() <= 3


def scene(number: int) -> tuple[Float, Float, Float, np.ndarray[tuple[int, ...], np.dtype[np.bool_]]]:
    """A crop, a mesh, a texture on it and where that is."""
    random = np.random.default_rng(number)
    y, x = np.mgrid[:128, :128] / 128
    crop = np.stack([140 + 60 * x, 110 + 40 * y, 90 - 30 * x * y], axis=2)
    crop = (crop + random.normal(0, 6, crop.shape)).clip(0, 255).astype(np.float32)
    warped, mask = Textures(gallery()).warp(MESHES[number], (128, 128), gallery().delegates[number])
    return crop, MESHES[number], warped, mask


def batch(images: Sequence[Array]) -> torch.Tensor:
    """Images [h, w, 3] or [h, w] as [N, C, h, w]."""
    return torch.stack(
        [there(np.asarray(one, np.float32).reshape(128, 128, -1)) for one in images]
    ).permute(0, 3, 1, 2)


def test_faces_get_the_same_light_contrast_and_sharpness() -> None:
    """A whole batch at once, with and without a frame before: within a tenth of a level."""
    scenes = [scene(0), scene(1)]
    nothing = np.zeros((128, 128), bool)
    outlines = [outlines_of(points, mask, nothing) for _, points, _, mask in scenes]
    crops, warped = batch([one[0] for one in scenes]), batch([one[2] for one in scenes])
    core, skin = batch([one.core for one in outlines]), batch([one.skin for one in outlines])
    light = light_field(crops, skin)
    last = there(np.array([[0.5, 1.0], [np.nan, np.nan]], np.float32))
    lit, detail = adapt(warped, light, crops, core, skin, last)
    for row, (crop, _, texture, _) in enumerate(scenes):
        expected = host_light.light_field(crop, outlines[row].skin)
        assert np.abs(here(light[row].permute(1, 2, 0)) - expected).max() < 0.1
        before = DetailState(0.5, 1.0) if row == 0 else None
        made, state = host_light.adapt(
            texture, expected, crop, outlines[row].core, outlines[row].skin, before
        )
        assert float(detail.contrast[row]) == pytest.approx(state.contrast, abs=0.002)
        assert float(detail.sigma_px[row]) == pytest.approx(state.sigma_px, abs=0.002)
        assert np.abs(here(lit[row].permute(1, 2, 0)) - made).max() < 0.2


def test_paintings_are_as_soft() -> None:
    """A whole batch at once, with and without a frame before."""
    scenes = [scene(0), scene(1)]
    nothing = np.zeros((128, 128), bool)
    skins = [outlines_of(points, mask, nothing).skin for _, points, _, mask in scenes]
    lights = [host_light.light_field(crop, skin) for (crop, *_), skin in zip(scenes, skins, strict=True)]
    crops, textures = batch([one[0] for one in scenes]), batch([one[2] for one in scenes])
    masks, last = batch([one[3] for one in scenes]), there(np.array([[0.8, 1.0], [np.nan] * 2], np.float32))
    made, numbers = softened(textures, batch(lights), crops, batch(skins), masks > 0, last)
    for row, (crop, _, texture, mask) in enumerate(scenes):
        expected = host_softness.softness_of(texture, lights[row], crop, skins[row])
        if row == 0:
            expected = host_softness.Softness(0.8, 1.0).towards(expected, SMOOTHING)
        assert here(numbers[row]) == pytest.approx([expected.gain, expected.sigma_px], abs=0.002)
        soft = host_softness.softened(texture, lights[row], mask, expected)
        assert np.abs(soft - texture).max() > 5
        assert np.abs(here(made[row].permute(1, 2, 0)) - soft).max() < 0.2


def test_borders_take_over_the_same_colours() -> None:
    crop, points, texture, mask = scene(0)
    cut = outlines_of(points, mask, np.zeros((128, 128), bool)).cut
    light = host_light.light_field(crop, mask)
    expected, sure = host_border.blend_border(texture, crop, light, cut)
    assert np.abs(expected - texture).max() > 5
    assert 0 < sure.mean() < 1
    rings = there(host_border.rings_of(cut).stacked()[None])
    made, beside = blend_border(batch([texture]), batch([crop]), batch([light]), batch([cut]), rings)
    assert np.abs(here(made[0].permute(1, 2, 0)) - expected).max() < 0.1
    assert np.abs(here(beside[0, 0]) - sure).max() < 0.001


def test_skin_gets_the_same_tint() -> None:
    crop, _, texture, mask = scene(0)
    light = host_light.light_field(crop, mask)
    expected = host_border.like_skin(texture, light)
    assert np.abs(expected - texture).max() > 5
    made = like_skin(batch([texture]), batch([light]))
    assert np.abs(here(made[0].permute(1, 2, 0)) - expected).max() < 0.01
