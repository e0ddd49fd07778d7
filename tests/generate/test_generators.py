from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamanon.errors import SynthesisError
from streamanon.gallery.delegates import DelegateGallery, load_delegates
from streamanon.generate import DetailState, Patch, WarpGenerator
from streamanon.media.yuv import from_rgb
from streamanon.runtime.models import engines_folder
from streamanon.types import Assignment, Float, Geometry, Picture

FRAME = (200, 160)  # width, height


@cache
def gallery() -> DelegateGallery:
    path: Path = engines_folder() / "delegates-v3.npz"
    if not path.is_file():
        pytest.skip("the gallery's file is not here")
    return load_delegates(path)


def geometry(size: float = 60.0, centre: tuple[float, float] = (100, 80)) -> Geometry:
    """A delegate's own shape, with ``size`` px between the eyes' middles times two."""
    points = gallery().delegates[0].shape * np.float32(size / 2)
    middle = (points[:, :2].max(0) + points[:, :2].min(0)) / 2
    points = points.copy()
    points[:, :2] += np.array(centre, np.float32) - middle
    return Geometry(points, 0.9)


def picture(rgb: tuple[int, int, int] = (150, 120, 100), noise: float = 8.0) -> Picture:
    pixels = np.random.default_rng(0).normal(rgb, noise, (FRAME[1], FRAME[0], 3))
    return from_rgb(np.clip(pixels, 0, 255).astype(np.uint8))


def paint(
    where: Picture, shape: Geometry | None = None, delegate: int = 0, last: DetailState | None = None
) -> tuple[Patch, DetailState]:
    assignment = Assignment(gallery().delegates[delegate], 0.0, np.zeros(256, np.float32))
    return WarpGenerator(gallery()).paint(where, shape or geometry(), assignment, last)


def core(patch: Patch) -> Float:
    """The pixels that are wholly painted, [N, 3]."""
    return np.asarray(patch.rgb[patch.alpha > 0.99], np.float32)


def test_a_patch_fits_the_frame_and_its_numbers_their_range() -> None:
    patch, detail = paint(picture())
    height, width = patch.alpha.shape
    assert patch.rgb.shape == (height, width, 3)
    assert patch.x0 >= 0
    assert patch.y0 >= 0
    assert patch.x0 + width <= FRAME[0]
    assert patch.y0 + height <= FRAME[1]
    assert patch.rgb.dtype == patch.alpha.dtype == np.float32
    assert np.isfinite(patch.rgb).all()
    assert 0 <= patch.rgb.min() <= patch.rgb.max() <= 255
    assert 0 <= patch.alpha.min() <= patch.alpha.max() <= 1
    assert np.isfinite([detail.contrast, detail.sigma_px]).all()
    assert (patch.alpha > 0.99).mean() > 0.3
    assert patch.alpha[:2].max() < 0.5


def test_the_same_input_gives_the_same_face() -> None:
    one, two = paint(picture()), paint(picture())
    np.testing.assert_array_equal(one[0].rgb, two[0].rgb)
    assert (one[1].contrast, one[1].sigma_px) == (two[1].contrast, two[1].sigma_px)


def test_another_delegate_gives_another_face() -> None:
    one, two = (paint(picture(), delegate=n)[0] for n in (0, 7))
    assert np.abs(core(one) - core(two)).mean() > 2


@pytest.mark.parametrize("rgb", [(40, 35, 30), (150, 120, 100), (225, 200, 190), (90, 110, 200)])
def test_the_face_takes_the_frames_light(rgb: tuple[int, int, int]) -> None:
    patch, _ = paint(picture(rgb))
    assert np.abs(core(patch).mean(axis=0) - rgb).max() < 30


def test_light_from_one_side_stays_there() -> None:
    pixels = np.zeros((FRAME[1], FRAME[0], 3), np.uint8)
    pixels[:, : FRAME[0] // 2], pixels[:, FRAME[0] // 2 :] = 60, 180
    patch, _ = paint(from_rgb(pixels))
    middle = patch.alpha.shape[1] // 2
    left, right = patch.rgb[:, : middle - 10], patch.rgb[:, middle + 10 :]
    assert (
        right[patch.alpha[:, middle + 10 :] > 0.9].mean()
        > left[patch.alpha[:, : middle - 10] > 0.9].mean() + 50
    )


def test_no_pixel_of_the_person_comes_through() -> None:
    """Two faces with the same light, contrast and sharpness but other pixels are painted nearly alike."""
    rng = np.random.default_rng(1)
    paints = []
    for _ in range(2):
        cells = rng.permutation(np.repeat([90.0, 150.0], FRAME[0] * FRAME[1] // 32))
        fine = np.kron(cells.reshape(FRAME[1] // 4, FRAME[0] // 4), np.ones((4, 4)))[..., None]
        paints.append(paint(from_rgb(np.repeat(fine, 3, axis=2).astype(np.uint8)))[0])
    one, two = core(paints[0]), core(paints[1])
    assert np.abs(one - two).mean() < 12
    assert np.corrcoef(one.ravel(), two.ravel())[0, 1] > 0.75


@pytest.mark.parametrize(("square", "most"), [(1, 0.12), (2, 0.12), (4, 0.25)])
@pytest.mark.parametrize("size", [60, 90])
def test_the_face_does_not_follow_the_pattern_beneath(size: float, square: int, most: float) -> None:
    """Strong black and white squares: what is painted over them does not tell where they were."""
    for seed in range(4):
        rows, columns = FRAME[1] // square, FRAME[0] // square
        cells = np.random.default_rng(seed).choice([60.0, 190.0], (rows, columns))
        pattern = np.kron(cells, np.ones((square, square), np.float32))
        beneath = from_rgb(np.repeat(pattern[..., None], 3, axis=2).astype(np.uint8))
        patch, _ = paint(beneath, geometry(size), delegate=9 * seed)
        height, width = patch.alpha.shape
        under = pattern[patch.y0 : patch.y0 + height, patch.x0 : patch.x0 + width]
        whole, painted = patch.alpha > 0.99, patch.rgb.mean(axis=2)
        assert abs(np.corrcoef(painted[whole], under[whole])[0, 1]) < most
        # The same measure finds half of the pattern, were it there.
        assert np.corrcoef((painted + 0.5 * under)[whole], under[whole])[0, 1] > 0.45


def test_a_face_in_the_dark_is_darker_than_one_in_the_light() -> None:
    means = [
        float(core(paint(picture((level, level, level), noise=2))[0]).mean()) for level in (15, 60, 200)
    ]
    assert means[0] < 40 < means[1] < 90 < means[2]


@pytest.mark.parametrize("size", [30, 60, 110])
def test_alpha_is_one_in_the_middle_and_nothing_outside_the_mesh(size: float) -> None:
    shape = geometry(size)
    patch, _ = paint(picture(), shape)
    corner = np.array([patch.x0, patch.y0], np.float32)
    outline = cv2.convexHull(np.asarray(shape.points[:, :2] - corner, np.float32))
    hull = np.zeros(patch.alpha.shape, np.uint8)
    cv2.fillConvexPoly(hull, np.rint(outline).astype(np.int32), 1)
    outside = cv2.dilate(hull, np.ones((3, 3), np.uint8)) == 0
    assert outside.any()
    assert (patch.alpha[outside] == 0).all()
    inside = cv2.distanceTransform(hull, cv2.DIST_L2, 5)
    assert (patch.alpha[inside > 0.6 * inside.max()] == 1).all()


@pytest.mark.parametrize("size", [14, 30, 60, 110])
def test_every_size_is_painted(size: float) -> None:
    patch, _ = paint(picture(), geometry(size))
    assert np.isfinite(patch.rgb).all()
    assert patch.alpha.max() > 0.9


@pytest.mark.parametrize("centre", [(0, 80), (199, 80), (100, 0), (100, 159), (195, 155)])
def test_faces_at_the_edge_are_painted_inside_the_frame(centre: tuple[float, float]) -> None:
    patch, _ = paint(picture(), geometry(60, centre))
    height, width = patch.alpha.shape
    assert patch.x0 + width <= FRAME[0]
    assert patch.y0 + height <= FRAME[1]
    assert patch.alpha.max() > 0.9


@pytest.mark.parametrize("what", ["nan", "inf", "away", "point", "line"])
def test_what_cannot_be_painted_is_a_synthesis_error(what: str) -> None:
    points = geometry().points.copy()
    if what == "away":
        points[:, 0] += 5000
    elif what == "point":
        points[:] = 50
    elif what == "line":
        points[:, 1] = 80
    else:
        points[7] = float(what)
    with pytest.raises(SynthesisError):
        paint(picture(), Geometry(points, 0.9))


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le", "gray"])
def test_patches_lie_on_the_chroma_grid(pixel_format: str) -> None:
    kind = np.uint16 if pixel_format.endswith("10le") else np.uint8
    luma = np.full((97, 161), 100 if kind is np.uint8 else 400, kind)
    chroma = [np.full((49, 81), 128 if kind is np.uint8 else 512, kind)] * 2
    odd = Picture((luma,) if pixel_format == "gray" else (luma, *chroma), pixel_format)
    patch, _ = paint(odd, geometry(40, (140, 70)))
    step_x, step_y = odd.chroma_step
    height, width = patch.alpha.shape
    assert patch.x0 % step_x == patch.y0 % step_y == 0
    assert (patch.x0 + width) % step_x == 0 or patch.x0 + width == 161
    assert (patch.y0 + height) % step_y == 0 or patch.y0 + height == 97


def test_the_look_moves_slowly_from_frame_to_frame() -> None:
    start = DetailState(0.5, 3.0)
    _, alone = paint(picture(noise=30))
    _, after = paint(picture(noise=30), last=start)
    assert min(start.contrast, alone.contrast) <= after.contrast <= max(start.contrast, alone.contrast)
    assert abs(after.sigma_px - start.sigma_px) <= abs(alone.sigma_px - start.sigma_px)


def test_a_patch_shows_no_pixels() -> None:
    patch, _ = paint(picture())
    assert len(repr(patch)) < 60
