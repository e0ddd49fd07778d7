"""Eyes painted on a plain face: they look where the mesh looks, and closed ones are lids."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from streamanon.gallery.delegates import DelegateGallery, open_gallery
from streamanon.generate.eyes import WHITE, WHITE_RANGE, Irises, eye_layers, eye_white, irises_of
from streamanon.generate.layers import Look, lay
from streamanon.mesh.landmarks import EYE_SIDES, EYES, IRIS_RINGS, IRISES, LIDS
from streamanon.runtime.models import Engines
from streamanon.types import LUMA, Float

SIZE = 256
SKIN = np.array([180, 140, 120], np.float32)
DARK = Irises(np.full((12, 3), 30, np.float32), 140.0, 0.3, np.full((2, 3), 0.9, np.float32))


@cache
def gallery() -> DelegateGallery:
    return open_gallery(Engines.open())


def face(openness: float, gaze: float = 0.0) -> Float:
    """A mesh whose lids are apart by ``openness`` eye widths, and that looks aside by ``gaze`` of one."""
    points = gallery().delegates[0].shape * np.float32(70) + np.array([128, 100, 0], np.float32)
    arch = 1 - np.linspace(-1, 1, 9, dtype=np.float32) ** 2
    for eye in (0, 1):
        first, last = (points[corner].copy() for corner in EYE_SIDES[eye])
        width = float(np.linalg.norm(last - first))
        line = first + np.linspace(0, 1, 9, dtype=np.float32)[:, None] * (last - first)
        for lid, side in zip(LIDS[eye], (-1, 1), strict=True):
            points[list(lid)] = line
            points[list(lid), 1] += side * arch * openness * width / 2
        points[IRISES[eye]] = (first + last) / 2 + np.array([gaze * width, 0, 0], np.float32)
        for point, step in zip(IRIS_RINGS[eye], ((1, 0), (0, -1), (-1, 0), (0, 1)), strict=True):
            points[point] = points[IRISES[eye]] + 0.2 * width * np.array([*step, 0], np.float32)
    return np.asarray(points, np.float32)


def painted(points: Float, white: float = WHITE, irises: Irises = DARK) -> Float:
    image = np.tile(SKIN, (SIZE, SIZE, 1)).astype(np.float32)
    lay(image, eye_layers(points, (SIZE, SIZE), np.stack([SKIN, SKIN]), irises, white, Look(1.0, 0.0)))
    return image


@pytest.mark.parametrize("gaze", [-0.2, 0.0, 0.2])
def test_the_iris_lies_where_the_mesh_sees_it(gaze: float) -> None:
    points = face(0.4, gaze)
    luma = painted(points) @ LUMA
    for eye in (0, 1):
        first, last = (points[corner, :2] for corner in EYE_SIDES[eye])
        width = float(np.linalg.norm(last - first))
        row = luma[round(float(points[IRISES[eye], 1])) + 1]
        x0, x1 = round(float(first[0])) + 2, round(float(last[0])) - 1
        dark = np.flatnonzero(row[x0:x1] < 70) + x0
        assert abs(dark.mean() - points[IRISES[eye], 0]) < 0.06 * width


def test_nothing_is_painted_beyond_open_lids() -> None:
    points = face(0.35)
    changed = np.argwhere(np.abs(painted(points) - SKIN).max(axis=2) > 4)[:, ::-1]
    rings = [points[list(outline), :2] for outline in EYES]
    inside = [((changed >= ring.min(0) - 4) & (changed <= ring.max(0) + 4)).all(axis=1) for ring in rings]
    assert (inside[0] | inside[1]).all()


def test_closed_eyes_are_skin_with_a_line_of_lashes() -> None:
    luma = painted(face(0.02)) @ LUMA
    skin = float(SKIN @ LUMA)
    assert luma.max() < 1.1 * skin
    assert luma.min() < 0.85 * skin
    assert (luma < 0.8 * skin).sum() < 120


def test_both_lids_close_together() -> None:
    """Of two measured in the midst of a blink, the later one does not stay wide open."""
    points = face(0.02)
    half = face(0.17)
    points[list(EYES[1])] = half[list(EYES[1])]
    one, other = painted(points), painted(half)
    x0 = round(float(points[EYE_SIDES[1][0], 0]))
    assert np.abs(one[:, x0:] - other[:, x0:]).max() > 5


def test_the_white_is_measured_and_bounded() -> None:
    points = face(0.4)
    for white in (1.0, 1.3):
        seen = eye_white(painted(points, white), np.stack([SKIN, SKIN]), points)
        assert seen is not None
        assert WHITE_RANGE[0] <= seen <= WHITE_RANGE[1]
    assert eye_white(painted(points), np.stack([SKIN, SKIN]), face(0.05)) is None


def test_an_iris_has_the_textures_colours() -> None:
    uv = gallery().uv
    found = [irises_of(delegate, uv) for delegate in gallery().delegates[:12]]
    for one in found:
        luma = one.rings @ LUMA
        assert luma[:3].mean() < luma[-3:].mean() + 40
        assert luma.max() < 200
    assert len({one.rings.tobytes() for one in found}) > 6


def test_closed_lids_hide_the_dark_lines_above_them_in_the_delegates_own_shade() -> None:
    """A delegate's line of lashes, painted above lids that are shut, as a texture with deep creases has."""
    points = face(0.0)
    image = np.tile(SKIN, (SIZE, SIZE, 1)).astype(np.float32)
    first, last = (points[corner, :2] for corner in EYE_SIDES[0])
    width, y = float(np.linalg.norm(last - first)), round(float(first[1]))
    crease, middle = round(y - 0.12 * width), round(float((first + last)[0] / 2))
    image[crease] = 20
    shaded = Irises(DARK.rings, DARK.skin, DARK.phase, np.array([[1.0] * 3, [0.85] * 3], np.float32))
    lay(image, eye_layers(points, (SIZE, SIZE), np.stack([SKIN, SKIN]), shaded, WHITE, Look(1.0, 0.0)))
    column = image[:, middle] @ LUMA / (SKIN @ LUMA)
    assert column[crease] > 0.65
    assert column[round(y - 0.05 * width)] > column[round(y - 0.2 * width)]
    assert column[y - 4 : y + 5].min() < 0.75


@pytest.mark.slow
def test_lids_are_as_dark_as_their_delegates_skin_is_there() -> None:
    shades = np.array([irises_of(one, gallery().uv).lid for one in gallery().delegates])
    assert shades.shape[1:] == (2, 3)
    assert 0.85 <= shades.min() <= shades.max() <= np.float32(1.05)
    assert np.median(shades[:, 0] - shades[:, 1]) > 0.02
    assert shades[:, 0].std() > 0.02
