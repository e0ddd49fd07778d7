"""A painting ends where the face does, not where a mesh that is a few pixels off says."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from streamanon.gallery.delegates import open_gallery
from streamanon.generate.silhouette import STEP, background, left_out, sides_of
from streamanon.mesh.landmarks import BROWS
from streamanon.runtime.models import Engines
from streamanon.types import Float

SKIN = np.array([200, 150, 125], np.float32)
WALL, LAMP, NIGHT = ([90, 95, 90], [250, 250, 245], [10, 12, 20])
#: So far the mesh reaches over the jaw, px of the crop.
OVER = 5


@pytest.fixture(scope="module")
def mesh() -> Float:
    """[478, 3] px of a crop: an upright face in its middle."""
    points = open_gallery(Engines.open()).delegates[0].shape.copy()
    points *= 84 / float(np.ptp(points[:, 0]))
    points[:, :2] += 64 - (points[:, :2].max(0) + points[:, :2].min(0)) / 2
    return points


@pytest.fixture
def cut(mesh: Float) -> NDArray[np.bool_]:
    filled = np.zeros((128, 128), np.uint8)
    cv2.fillConvexPoly(filled, cv2.convexHull(np.rint(mesh[:, :2]).astype(np.int32)), 1)
    return filled > 0


def depth_in(cut: NDArray[np.bool_]) -> Float:
    return np.asarray(cv2.distanceTransform(cut.astype(np.uint8), cv2.DIST_L2, 5), np.float32)


def left(crop: Float, cut: NDArray[np.bool_], mesh: Float) -> Float:
    told = background(crop, sides_of(cut, mesh))
    into = np.array([[STEP, 0, 0], [0, STEP, 0]], np.float32)
    placed = [cv2.warpAffine(one, into, (128, 128)) for one in cv2.split(told)]
    return left_out(crop, np.dstack(placed).astype(np.float32))


def scene(cut: NDArray[np.bool_], behind: Float) -> Float:
    """A face that ends ``OVER`` px inside the cut, before what is ``behind`` it."""
    return np.where((depth_in(cut) > OVER)[..., None], SKIN, behind).astype(np.float32)


@pytest.mark.parametrize("behind", [[WALL], [LAMP], [NIGHT], [WALL, LAMP, NIGHT]])
def test_background_under_the_mesh_is_left_to_the_picture(
    behind: list[list[float]], cut: NDArray[np.bool_], mesh: Float
) -> None:
    """Of stripes of several colours, too: each is found again outside."""
    stripes = np.array(behind, np.float32)[(np.arange(128) // 12) % len(behind)]
    made = left(scene(cut, stripes[None].repeat(128, axis=0)), cut, mesh)
    jaw = np.arange(128)[:, None] > mesh[list(np.ravel([61, 291])), 1].mean()
    depth = depth_in(cut)
    overlaid = jaw & (depth > 1) & (depth < OVER - 1)
    assert overlaid.sum() > 100
    assert made[overlaid].mean() > 0.9
    assert made[depth > OVER + 2].max() < 0.2
    assert made[depth > OVER + 2].mean() < 0.005


def test_where_both_sides_are_alike_nothing_is(cut: NDArray[np.bool_], mesh: Float) -> None:
    assert left(scene(cut, SKIN - 10), cut, mesh).max() == 0
    spots = np.random.default_rng(1).normal(0, 5, (128, 128, 3))
    assert left((SKIN + spots).astype(np.float32), cut, mesh).max() == 0


def test_nothing_at_the_brows_and_nothing_deep_in_the_face(cut: NDArray[np.bool_], mesh: Float) -> None:
    """Dark hair before dark hair, and a face that is half in shadow."""
    crop = scene(cut, np.array(NIGHT, np.float32))
    crop[:, 64:] = NIGHT
    made = left(crop, cut, mesh)
    brows = int(mesh[[one for group in BROWS for one in group], 1].max())
    assert made[:brows].max() == 0
    assert made[depth_in(cut) > 12].max() == 0
    assert made.max() > 0.9


def test_a_cut_without_an_outside_or_an_inside_loses_nothing(mesh: Float) -> None:
    crop = np.random.default_rng(2).uniform(0, 255, (128, 128, 3)).astype(np.float32)
    for cut in (np.ones((128, 128), bool), np.zeros((128, 128), bool)):
        assert left(crop, cut, mesh).max() == 0
    thin = np.zeros((128, 128), bool)
    thin[:, 60:66] = True
    assert left(crop, thin, mesh).max() == 0
