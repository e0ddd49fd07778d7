"""Planes to RGB and back, checked against FFmpeg's own conversion (swscale) and against bit-exactness."""

from __future__ import annotations

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from streamanon.media import yuv as pixels
from streamanon.types import PIXEL_FORMATS, Picture

FORMATS = sorted(PIXEL_FORMATS)
SWSCALE_MATRIX = {"bt601": "ITU601", "bt709": "ITU709", "bt2020": "BT2020"}


def smooth_rgb(width: int = 64, height: int = 48) -> NDArray[np.uint8]:
    """Colours that vary slowly, so that how chroma is scaled makes little difference."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    rgb = np.stack([60 + 120 * x, 60 + 120 * y, 180 - 60 * x - 60 * y], axis=2)
    return rgb.astype(np.uint8)


def by_swscale(rgb: NDArray[np.uint8], fmt: str, matrix: str, full_range: bool) -> Picture:
    """The picture that FFmpeg makes of ``rgb``."""
    frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
        format=fmt,
        dst_colorspace=SWSCALE_MATRIX[matrix],
        dst_color_range="JPEG" if full_range else "MPEG",
    )
    dtype = np.dtype(np.uint8 if PIXEL_FORMATS[fmt][2] == 8 else np.uint16)
    planes = []
    for plane in frame.planes:
        rows = np.frombuffer(memoryview(plane), dtype).reshape(plane.height, -1)
        planes.append(rows[:, : plane.width].copy())
    return Picture(tuple(planes), fmt, matrix, full_range)


def noise(fmt: str, width: int, height: int, seed: int = 7) -> Picture:
    """Random planes."""
    step_x, step_y, bits = PIXEL_FORMATS[fmt]
    random = np.random.default_rng(seed)
    dtype = np.uint8 if bits == 8 else np.uint16
    shapes = [(height, width)] + [(-(-height // step_y), -(-width // step_x))] * 2
    count = 1 if fmt.startswith("gray") else 3
    planes = tuple(random.integers(0, 1 << bits, shape).astype(dtype) for shape in shapes[:count])
    return Picture(planes, fmt)


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("matrix", ["bt601", "bt709", "bt2020"])
@pytest.mark.parametrize("fmt", [name for name in FORMATS if name.startswith("yuv")])
def test_colours_agree_with_swscale(fmt: str, matrix: str, full_range: bool) -> None:
    rgb = smooth_rgb()
    back = pixels.to_rgb(by_swscale(rgb, fmt, matrix, full_range))
    assert np.abs(back.astype(int) - rgb).max() <= 5
    assert np.abs(back.astype(int) - rgb).mean() < 1.2


@pytest.mark.parametrize("fmt", ["gbrp", "gbrp10le"])
def test_rgb_formats_agree_with_swscale(fmt: str) -> None:
    rgb = smooth_rgb()
    back = pixels.to_rgb(by_swscale(rgb, fmt, "bt709", True))
    assert np.abs(back.astype(int) - rgb).max() <= 1


@pytest.mark.parametrize(("full_range", "black", "white"), [(False, 16, 235), (True, 0, 255)])
def test_grey_ranges(full_range: bool, black: int, white: int) -> None:
    plane = np.array([[black, white]], np.uint8)
    assert pixels.to_rgb(Picture((plane,), "gray", full_range=full_range)).tolist() == [
        [[0] * 3, [255] * 3]
    ]


@pytest.mark.parametrize("size", [(64, 48), (63, 47)])
@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("fmt", FORMATS)
def test_written_colours_are_read_back(fmt: str, full_range: bool, size: tuple[int, int]) -> None:
    blank = noise(fmt, *size)
    picture = Picture(tuple(plane.copy() for plane in blank.planes), fmt, "bt709", full_range)
    rgb = smooth_rgb(*size).astype(np.float32)
    if fmt.startswith("gray"):
        rgb = np.repeat(rgb[:, :, :1], 3, axis=2)
    pixels.write_rgb(picture.planes, picture, 0, 0, rgb, np.ones(rgb.shape[:2], np.float32))
    back = pixels.read_rgb(picture, 0, 0, *size)
    assert back.dtype == np.float32
    assert np.abs(back - rgb).max() <= 4


@pytest.mark.parametrize("fmt", FORMATS)
def test_nothing_changes_where_alpha_is_zero(fmt: str) -> None:
    picture = noise(fmt, 40, 32)
    planes = tuple(plane.copy() for plane in picture.planes)
    alpha = np.zeros((16, 16), np.float32)
    alpha[5:9, 3:11] = 0.5
    pixels.write_rgb(planes, picture, 8, 4, np.full((16, 16, 3), 90, np.float32), alpha)
    step_x, step_y = picture.chroma_step
    for number, (new, old) in enumerate(zip(planes, picture.planes, strict=True)):
        sx, sy = (1, 1) if number == 0 else (step_x, step_y)
        changed_y, changed_x = np.nonzero(new != old)
        assert len(changed_y)
        assert (4 + 5) // sy <= changed_y.min()
        assert changed_y.max() <= (4 + 8) // sy
        assert (8 + 3) // sx <= changed_x.min()
        assert changed_x.max() <= (8 + 10) // sx


@pytest.mark.parametrize("fmt", FORMATS)
def test_nothing_of_the_old_shows_beneath_what_is_opaque(fmt: str) -> None:
    """Not even in how a value is rounded: an average over many frames would bring it out."""
    rgb = np.random.default_rng(5).integers(0, 255, (32, 40, 3)).astype(np.float32) + np.float32(0.5)
    opaque = np.ones((32, 40), np.float32)
    written = []
    for seed in range(3):
        picture = noise(fmt, 40, 32, seed)
        planes = tuple(plane.copy() for plane in picture.planes)
        pixels.write_rgb(planes, picture, 0, 0, rgb, opaque)
        written.append(planes)
    for planes in written[1:]:
        for one, other in zip(planes, written[0], strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("wrong", [np.nan, -0.5])
def test_an_alpha_that_is_no_share_is_refused(wrong: float) -> None:
    """It would leave what is beneath."""
    picture = noise("yuv420p", 40, 32)
    planes = tuple(plane.copy() for plane in picture.planes)
    alpha = np.ones((16, 16), np.float32)
    alpha[3, 3] = wrong
    with pytest.raises(ValueError, match="an alpha is"):
        pixels.write_rgb(planes, picture, 8, 4, np.full((16, 16, 3), 90, np.float32), alpha)


def test_half_covered_chroma_moves_half_way_to_the_covered_colour() -> None:
    planes = (np.full((2, 2), 100, np.uint8), *(np.full((1, 1), 100, np.uint8) for _ in range(2)))
    picture = Picture(planes, "yuv420p", "bt601", True)
    red = np.zeros((2, 2, 3), np.float32)
    red[:, 0] = (255, 0, 0)
    red[:, 1] = (0, 0, 255)  # under alpha 0: must not colour anything
    alpha = np.array([[1, 0], [1, 0]], np.float32)
    pixels.write_rgb(planes, picture, 0, 0, red, alpha)
    assert planes[0].tolist() == [[76, 100], [76, 100]]
    assert (int(planes[1][0, 0]), int(planes[2][0, 0])) == (92, 178)


def test_a_region_reads_like_the_whole() -> None:
    picture = by_swscale(smooth_rgb(), "yuv420p", "bt709", False)
    whole = pixels.read_rgb(picture, 0, 0, 64, 48)
    part = pixels.read_rgb(picture, 10, 8, 30, 48)
    assert part.shape == (40, 20, 3)
    assert np.abs(part - whole[8:48, 10:30]).max() <= 3


@pytest.mark.parametrize("region", [(1, 0, 8, 8), (0, 0, 7, 8), (0, 0, 0, 8), (-2, 0, 8, 8), (0, 0, 66, 8)])
def test_regions_off_the_grid_are_refused(region: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        pixels.read_rgb(noise("yuv420p", 64, 48), *region)


@pytest.mark.parametrize("fmt", FORMATS)
def test_small_copy_matches_the_exact_path(fmt: str) -> None:
    picture = by_swscale(smooth_rgb(320, 180), fmt, "bt709", True)
    for plane in picture.planes:
        plane.flags.writeable = False
    small = pixels.small_rgb(picture, 96, 54)
    exact = pixels.read_rgb(picture, 0, 0, 320, 180)
    scaled = cv2.resize(exact, (96, 54), interpolation=cv2.INTER_AREA)
    assert small.shape == (54, 96, 3)
    assert small.dtype == np.uint8
    assert np.abs(small - scaled).max() <= 2
    much_less = cv2.resize(exact, (28, 16), interpolation=cv2.INTER_AREA)
    apart = np.abs(pixels.small_rgb(picture, 28, 16) - much_less)
    assert apart.max() <= 4
    assert apart.mean() <= 1
    same = pixels.small_rgb(picture, 320, 180)
    assert np.abs(same[8:-8, 8:-8] - exact[8:-8, 8:-8]).max() <= 2


def test_rgb_survives_as_a_picture() -> None:
    rgb = np.random.default_rng(3).integers(0, 256, (15, 17, 3)).astype(np.uint8)
    picture = pixels.from_rgb(rgb)
    assert picture.pixel_format == "gbrp"
    np.testing.assert_array_equal(pixels.to_rgb(picture), rgb)


@pytest.mark.parametrize(("fmt", "black", "middle"), [("yuv420p", 16, 171), ("gray", 0, 180)])
def test_brightness_is_blended_as_light_adds_up(fmt: str, black: int, middle: int) -> None:
    planes = blank(fmt, black)
    picture = Picture(planes, fmt, "bt601", full_range=fmt == "gray")
    white, half = np.full((4, 4, 3), 255, np.float32), np.full((4, 4), 0.5, np.float32)
    pixels.write_rgb(planes, picture, 0, 0, white, half)
    assert set(planes[0].ravel().tolist()) == {middle}


def blank(fmt: str, black: int) -> tuple[np.ndarray, ...]:
    luma = np.full((4, 4), black, np.uint8)
    return (luma,) if fmt == "gray" else (luma, *(np.full((2, 2), 128, np.uint8) for _ in range(2)))


@pytest.mark.parametrize("fmt", ["yuv420p", "yuv444p10le", "gbrp", "gray"])
def test_a_picture_in_black_and_white_is_told_from_one_in_colour(fmt: str) -> None:
    """A few coloured samples, as of a channel's logo, and noise of two levels make no colour."""
    rng = np.random.default_rng(0)
    _, _, bits = PIXEL_FORMATS[fmt]
    scale, kind = 1 << bits - 8, np.uint8 if bits == 8 else np.uint16
    grey = rng.integers(16, 236, (320, 320))
    step_x, step_y, _ = PIXEL_FORMATS[fmt]
    planes = [(grey * scale).astype(kind)]
    for _ in range(0 if fmt == "gray" else 2):
        level = grey if fmt == "gbrp" else np.full((320 // step_y, 320 // step_x), 128)
        planes.append(((level + rng.integers(-1, 2, level.shape)) * scale).astype(kind))
    assert pixels.is_without_colour(Picture(tuple(planes), fmt))
    if fmt == "gray":
        return
    height, width = planes[1].shape
    logo, top = planes[1][: height // 16, : width // 16], planes[1][: height // 4]
    logo[:] = logo + 30 * scale
    assert pixels.is_without_colour(Picture(tuple(planes), fmt))
    top[:] = top + 4 * scale
    assert not pixels.is_without_colour(Picture(tuple(planes), fmt))
