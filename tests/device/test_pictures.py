"""What is read of a picture on the device (here: PyTorch on the CPU) against what NumPy's path reads.

Tolerances, in levels of 0..255, are a few times what was seen; OpenCV computes places to 1/32 px and, of
8-bit planes, whole levels.
"""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

import torch
from devices import DEVICE, MEMORY, here, there

from streamanon.detect.tiling import View, tiles, whole
from streamanon.detect.tiling import letterbox as host_letterbox
from streamanon.device.detection import letterbox
from streamanon.device.pictures import DevicePicture, DevicePixels, Pictures
from streamanon.device.resample import blur, blur_each, resize_area, resize_linear
from streamanon.geometry import CROP_PX, alignment
from streamanon.media.yuv import crop, read_luma, read_rgb
from streamanon.mesh.face_mesh import PixelWindow
from streamanon.runtime.backends.torch_memory import TorchMemory
from streamanon.testing.fakes import faces_at
from streamanon.types import PIXEL_FORMATS, Float, Picture

FORMATS = sorted(PIXEL_FORMATS)


def textured(fmt: str, width: int, height: int, seed: int = 0) -> Picture:
    """Blobs of many sizes with some noise, in every plane, as in footage."""
    step_x, step_y, bits = PIXEL_FORMATS[fmt]
    random = np.random.default_rng(seed)
    planes = []
    for number in range(1 if fmt.startswith("gray") else 3):
        full = (height, width) if number == 0 else (-(-height // step_y), -(-width // step_x))
        y, x = np.mgrid[: full[0], : full[1]]
        waves = sum(
            30 / n * np.sin(n * (x * a + y * b) / 40 + c)
            for n in (1, 2, 4)
            for a, b, c in [random.uniform(-2, 2, 3)]
        )
        values = (120 + waves + random.normal(0, 2, full)).clip(16, 235) * (1 << (bits - 8))
        planes.append(values.astype(np.uint8 if bits == 8 else np.uint16))
    return Picture(tuple(planes), fmt)


def on_device(picture: Picture) -> DevicePicture:
    return Pictures(MEMORY).of(picture)


def levels_apart(one: Any, other: Any) -> Float:
    return np.abs(here(one).astype(np.float32) - here(other).astype(np.float32))


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("region", [(0, 0, 63, 47), (8, 4, 40, 30)])
def test_a_region_is_the_same(fmt: str, region: tuple[int, int, int, int]) -> None:
    picture = textured(fmt, 63, 47)
    held = on_device(picture)
    assert levels_apart(held.rgb(region).permute(1, 2, 0), read_rgb(picture, *region)).max() < 0.01
    assert levels_apart(held.luma(region), read_luma(picture, *region)).max() < 0.001


@pytest.mark.parametrize("fmt", ["yuv420p", "yuv422p10le", "gbrp", "gray"])
@pytest.mark.parametrize("scale", [0.2, 0.45, 0.55, 1.0, 2.5])
@pytest.mark.parametrize("middle", [(160, 120), (8, 230), (-2000, 0)])
def test_aligned_crops_are_the_same(fmt: str, scale: float, middle: tuple[int, int]) -> None:
    """At any size of face, at the edges and outside; two in one batch. The mean and nearly all pixels:
    chroma is read between samples once here and twice there.
    """
    picture = textured(fmt, 321, 241)
    half = 20 / scale
    boxes = np.array([[-half, -1.2 * half, half, 1.2 * half]] * 2, np.float32) + np.tile(middle, 2)
    boxes[1] += 3.3
    matrices = [alignment(one) for one in faces_at(np.asarray(boxes, np.float32)).keypoints]
    host = PixelWindow(picture)
    expected = np.stack([host.crop(one).transpose(2, 0, 1) for one in matrices])
    with MEMORY.active():
        made = DevicePixels(Pictures(MEMORY), picture).crops(matrices, CROP_PX)
    apart = levels_apart(made, expected)
    assert apart.mean() < 0.5
    assert np.quantile(apart, 0.999) < 4.5


@pytest.mark.parametrize("fmt", ["yuv420p", "yuv420p10le", "yuv444p", "gbrp", "gray"])
@pytest.mark.parametrize("turn", [0, 1, 2, 3])
def test_letterboxes_are_the_same(fmt: str, turn: int) -> None:
    """Up to rounding to whole levels, of the samples, then of the colours, and in coloured light again."""
    picture = textured(fmt, 638, 358)
    views = [whole(picture, turn, 576), whole(picture, turn, 224), *tiles(picture, turn, 224)[:2]]
    views.append(View((0, 0, 638, 358), (1024, 576), turn))
    for view in views:
        expected, _ = host_letterbox(crop(picture, view.region), *view.size, view.turn)
        apart = 255 * levels_apart(letterbox(on_device(picture), view), expected)
        assert apart.max() < 5.1
        assert apart.mean() < 0.6


@pytest.mark.parametrize("blue", [0.4, 0.3, 0.0])
def test_letterboxes_of_pictures_in_coloured_light_are_the_same(blue: float) -> None:
    picture = textured("gbrp", 638, 358)
    for plane in (picture.planes[1], picture.planes[0]):  # blue and green, of gbrp
        plane[:] = (plane * blue).astype(plane.dtype)
    view = whole(picture, 0, 576)
    expected, _ = host_letterbox(picture, *view.size, 0)
    apart = 255 * levels_apart(letterbox(on_device(picture), view), expected)
    assert apart.max() < 5.1
    assert apart.mean() < 0.5


def test_a_picture_is_uploaded_once_and_kept_no_longer_than_it_lives() -> None:
    uploads: list[int] = []

    class Counting(TorchMemory):
        def upload(self, array: Any) -> Any:
            uploads.append(array.nbytes)
            return super().upload(array)

    pictures = Pictures(Counting(DEVICE))
    picture = textured("yuv420p", 64, 48)
    assert pictures.of(picture) is pictures.of(picture)
    assert sum(uploads) == sum(plane.nbytes for plane in picture.planes) + 2 * 3 * 4 * 4
    del picture
    gc.collect()
    assert not len(pictures)


def test_what_is_uploaded_is_a_copy() -> None:
    """Decoders use their memory again."""
    picture = textured("yuv420p", 64, 48)
    held = on_device(picture)
    before = held.planes[0].clone()
    picture.planes[0][:] = 0
    assert torch.equal(held.planes[0], before)


def noise(*shape: int) -> Float:
    return np.random.default_rng(1).uniform(0, 255, shape).astype(np.float32)


@pytest.mark.parametrize("size", [(30, 20), (37, 11), (61, 43)])
def test_averaging_down_is_opencvs(size: tuple[int, int]) -> None:
    import cv2

    values = noise(43, 61)
    expected = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(here(resize_area(there(values), size)), expected, atol=0.01)


@pytest.mark.parametrize("size", [(30, 20), (122, 86), (100, 43)])
def test_linear_scaling_is_opencvs(size: tuple[int, int]) -> None:
    import cv2

    values = noise(43, 61)
    expected = cv2.resize(values, size, interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(here(resize_linear(there(values), size)), expected, atol=0.02)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 3.2])
def test_blurs_are_opencvs(sigma: float) -> None:
    import cv2

    values = noise(16, 33)
    expected = cv2.GaussianBlur(values, (0, 0), sigma)
    np.testing.assert_allclose(here(blur(there(values), sigma)), expected, atol=0.02)


def test_each_image_of_a_batch_has_its_own_blur() -> None:
    import cv2

    values, sigmas = noise(3, 2, 32, 32), [0.0, 0.6, 2.2]
    made = blur_each(there(values), there(np.array(sigmas, np.float32)), 3.2)
    np.testing.assert_allclose(here(made[0]), values[0], atol=0.001)
    for row, sigma in enumerate(sigmas[1:], 1):
        for channel in (0, 1):
            expected = cv2.GaussianBlur(values[row, channel], (0, 0), sigma)
            np.testing.assert_allclose(here(made[row, channel]), expected, atol=0.02)
