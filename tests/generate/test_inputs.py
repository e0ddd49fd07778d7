from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from streamanon.errors import SynthesisError
from streamanon.gallery.delegates import DelegateGallery, open_gallery
from streamanon.generate import light
from streamanon.generate.inputs import Inputs, contours, make_inputs
from streamanon.generate.interface import DetailState
from streamanon.generate.raster import RING_PX, Textures, borders
from streamanon.geometry import CROP_PX
from streamanon.runtime.models import Engines
from streamanon.types import Float

NOTHING = np.zeros((CROP_PX, CROP_PX), np.bool_)


@cache
def gallery() -> DelegateGallery:
    return open_gallery(Engines.open())


def points(size: float = 38.0) -> Float:
    """A delegate's own shape in the middle of the crop."""
    shape = gallery().delegates[0].shape * np.float32(size)
    shape[:, :2] += (CROP_PX - 1) / 2 - (shape[:, :2].max(0) + shape[:, :2].min(0)) / 2
    return np.asarray(shape, np.float32)


def crop(seed: int = 0) -> Float:
    return np.random.default_rng(seed).uniform(60, 200, (CROP_PX, CROP_PX, 3)).astype(np.float32)


def inputs(of: Float, front: np.ndarray = NOTHING) -> Inputs:
    warped, mask = Textures(gallery()).warp(points(), (CROP_PX, CROP_PX), gallery().delegates[3])
    return make_inputs(of, points(), warped, mask, front)


def shuffled_in_cells(image: Float) -> Float:
    """The same light: pixels of bare skin change places within each of the 4 by 4 cells; all else of the
    face becomes anything.
    """
    _, mask = Textures(gallery()).warp(points(), (CROP_PX, CROP_PX), gallery().delegates[3])
    size = float(np.sqrt(np.prod(np.ptp(points()[:, :2], axis=0))))
    skin = borders(mask, size)[1] & ~light.lips_of(points(), mask.shape)
    rng, out = np.random.default_rng(5), image.copy()
    cut = inputs(image).cut
    out[cut & ~skin] = rng.uniform(0, 255, (int((cut & ~skin).sum()), 3))
    cell = CROP_PX // light.LIGHT_CELLS
    rows, columns = np.indices(mask.shape) // cell
    for number in range(light.LIGHT_CELLS**2):
        place = np.flatnonzero((skin & (rows * light.LIGHT_CELLS + columns == number)).ravel())
        flat = out.reshape(-1, 3)
        flat[place] = flat[np.roll(place, len(place) // 2)]
    return out


def test_no_pixel_of_the_face_reaches_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mask, the 4 by 4 light and the detail state held, every pixel inside may change."""
    monkeypatch.setattr(light, "_measure_detail", lambda *_: DetailState(0.8, 0.6))
    one = crop()
    two = shuffled_in_cells(one)
    before, after = inputs(one), inputs(two)
    changed = np.abs(one - two).max(axis=2) > 0
    assert (changed & before.cut).sum() > 0.95 * before.cut.sum()
    assert not (changed & ~before.cut).any()
    np.testing.assert_allclose(before.planes, after.planes, atol=1e-5)


def test_what_surrounds_the_face_does_reach_it() -> None:
    one = crop()
    two = one.copy()
    two[:8] = 255 - two[:8]
    assert np.abs(inputs(one).planes[:3] - inputs(two).planes[:3])[:, :8].max() > 0.1


def test_the_cut_is_the_mesh_and_a_ring_around_it() -> None:
    _, mask = Textures(gallery()).warp(points(), (CROP_PX, CROP_PX), gallery().delegates[3])
    found = inputs(crop())
    assert (found.cut & mask).sum() == mask.sum()
    extra = found.cut & ~mask
    rows, columns = np.nonzero(extra)
    near = [
        mask[max(0, y - RING_PX) : y + RING_PX + 1, max(0, x - RING_PX) : x + RING_PX + 1].any()
        for y, x in zip(rows, columns, strict=True)
    ]
    assert len(near) > 100
    assert all(near)
    assert (found.planes[:3, found.cut] == 0).all()


def test_what_is_in_front_stays() -> None:
    front = NOTHING.copy()
    front[60:90, 40:70] = True
    image = crop()
    found = inputs(image, front)
    assert not (found.cut & front).any()
    np.testing.assert_allclose(found.planes[:3, front], (image[front] / 127.5 - 1).T, atol=1e-5)


def test_the_light_is_the_frames() -> None:
    dark = inputs(crop() * 0.3)
    bright = inputs(crop())
    assert dark.planes[4:7][:, dark.cut].mean() < bright.planes[4:7][:, bright.cut].mean() - 0.3


def test_contours_follow_the_mesh() -> None:
    lines = contours(points())
    assert lines.shape == (3, CROP_PX, CROP_PX)
    assert 0 <= lines.min() < lines.max() <= 1
    assert (lines.sum(axis=(1, 2)) > 30).all()
    moved = contours(points() + np.array([5, 0, 0], np.float32))
    np.testing.assert_allclose(moved[:, :, 5:], lines[:, :, :-5], atol=0.1)  # places are rounded


def test_a_face_all_hidden_is_not_painted() -> None:
    with pytest.raises(SynthesisError, match="no skin"):
        inputs(crop(), np.ones_like(NOTHING))


def test_a_camera_without_colour_gets_a_face_without_colour() -> None:
    grey = crop().mean(axis=2, keepdims=True).repeat(3, axis=2)
    texture = inputs(grey).planes[4:7]
    np.testing.assert_allclose(texture[0], texture[1], atol=1e-3)
    np.testing.assert_allclose(texture[0], texture[2], atol=1e-3)
    coloured = inputs(crop() * np.array([1.1, 0.9, 0.7], np.float32)).planes[4:7]
    assert np.abs(coloured[0] - coloured[2]).max() > 0.1


def test_a_mouth_that_opens_wide_is_dark_between_the_lips() -> None:
    """The delegate's texture has closed lips: stretched, they would fill the mouth."""
    lower = [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308]
    shares = []
    for share in (0.07, 0.2, 0.55):
        mesh = points()
        apart = share * float(np.linalg.norm(mesh[308, :2] - mesh[78, :2]))
        mesh[lower[1:-1], 1] = mesh[13, 1] + apart
        warped, mask = Textures(gallery()).warp(mesh, (CROP_PX, CROP_PX), gallery().delegates[3])
        planes = make_inputs(crop(), mesh, warped, mask, NOTHING).planes
        x, y = int(mesh[14, 0]), int(mesh[13, 1] + apart / 2)
        shares.append(float(((1 + planes[4:7, y, x]) / (1 + planes[10:13, y, x])).mean()))
    assert shares[0] > 0.6
    assert shares[1] > shares[2] + 0.1
    assert shares[2] == pytest.approx(0.33, abs=0.02)
