"""What is painted over a face hides it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from streamanon.config import CoverConfig
from streamanon.cover.trust import INNER_SHARE, hides, opaque_inside, trusts_mesh
from streamanon.generate import Patch
from streamanon.mesh.landmarks import mesh_keypoints
from streamanon.testing.fakes import FakeSource, fake_points
from streamanon.types import Float, Geometry, Target

BOX: Float = np.array([60, 30, 100, 80], np.float32)
POINTS = fake_points(BOX, np.tile((BOX[:2] + BOX[2:]) / 2, (5, 1)).astype(np.float32))
PICTURE = next(iter(FakeSource(1, 160, 120))).picture
#: Where the inner face surely is, rows and columns of the patch.
INNER = np.s_[20:32, 16:26]


def patch(alpha: float = 1.0) -> Patch:
    shape = 52, 44
    return Patch(58, 28, np.full((*shape, 3), 90, np.float32), np.full(shape, alpha, np.float32))


@pytest.mark.parametrize("alpha", [0.72, 0.8, 0.9, 0.97])
def test_the_inner_face_is_made_opaque(alpha: float) -> None:
    thin = patch(alpha)
    done = opaque_inside(thin, POINTS)
    assert hides(thin, PICTURE, POINTS)
    assert (done.alpha[INNER] == 1).all()
    assert done.alpha[0, 0] == np.float32(alpha)
    inner = (done.alpha == 1).mean()
    assert 0.6 < inner / (INNER_SHARE**2 * 40 * 50 / thin.alpha.size) < 1.4


def test_an_opaque_painting_stays_as_it_is() -> None:
    whole = patch(0.99)
    assert opaque_inside(whole, POINTS) is whole


def test_what_is_in_front_stays_to_be_seen() -> None:
    front = np.zeros((52, 44), np.float32)
    front[:, 24:] = 1
    done = opaque_inside(replace(patch(0.7), alpha=np.float32(0.7) * (1 - front), front=front), POINTS)
    assert not done.alpha[:, 24:].any()
    assert (done.alpha[20:32, 13:16] == 1).all()


def test_a_face_outside_the_patch_does_no_harm() -> None:
    thin = patch(0.7)
    assert opaque_inside(thin, POINTS + np.float32(900)) is thin


def test_no_face_is_painted_on_what_may_be_none() -> None:
    target = Target(0, BOX, mesh_keypoints(POINTS), True)
    measured = Geometry(POINTS, 0.9)
    for sure in (True, False):
        one = replace(target, sure=sure)
        assert trusts_mesh(CoverConfig(), PICTURE, one, measured, established=True) == sure


@pytest.mark.parametrize(
    ("share", "new", "established"), [(0.7, True, True), (0.5, False, True), (0.4, False, False)]
)
def test_a_face_already_painted_may_cover_less_of_its_box(
    share: float, new: bool, established: bool
) -> None:
    x0, y0, x1, y1 = BOX
    wider = np.array([x0, y0, x1, y0 + (y1 - y0) / share], np.float32)
    target, measured = Target(0, wider, mesh_keypoints(POINTS), True), Geometry(POINTS, 0.9)
    for known, trusted in ((False, new), (True, established)):
        assert trusts_mesh(CoverConfig(), PICTURE, target, measured, established=known) is trusted
