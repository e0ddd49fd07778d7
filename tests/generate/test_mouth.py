"""Mouths painted on a plain face: closed ones stay closed, teeth hang from the upper lip, light is kept."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from streamanon.gallery.delegates import DelegateGallery, open_gallery
from streamanon.generate.layers import Look, lay
from streamanon.generate.mouth import (
    LOWER_EDGE,
    TONGUE_RGB,
    MouthAtlas,
    frame_of,
    gape,
    mouth_colours,
    mouth_layers,
    open_mouths,
)
from streamanon.mesh.landmarks import INNER_LIPS, LIP_MIDDLES
from streamanon.runtime.models import Engines
from streamanon.types import LUMA, Float

SIZE = 256
SKIN = np.array([180, 140, 120], np.float32)


@cache
def gallery() -> DelegateGallery:
    return open_gallery(Engines.open())


@cache
def atlas() -> MouthAtlas:
    return open_mouths(Engines.open())


def face(gap: float) -> Float:
    """A mesh whose lips part by ``gap`` mouth widths: the lower one is moved down."""
    points = gallery().delegates[0].shape * np.float32(70) + np.array([128, 100, 0], np.float32)
    upper, lower = (points[list(edge)] for edge in (INNER_LIPS[:11], LOWER_EDGE))
    points[list(LOWER_EDGE)] = upper
    width = float(np.ptp(lower[:, 0]))
    arch = 1 - np.linspace(-1, 1, 11, dtype=np.float32) ** 2
    points[list(LOWER_EDGE), 1] += gap * width * arch
    return np.asarray(points, np.float32)


def painted(gap: float, upper: float, lower: float, teeth_luma: float = 0.9) -> tuple[Float, Float]:
    points = face(gap)
    image = np.tile(SKIN, (SIZE, SIZE, 1)).astype(np.float32)
    colours = np.array([[upper] * 3, [lower] * 3, [teeth_luma] * 3], np.float32)
    teeth = atlas().of(gallery().delegates[0])
    lay(image, mouth_layers(points, (SIZE, SIZE), SKIN, teeth, colours, Look(1.0, 0.0)))
    return image, points


def test_low_contrast_leaves_the_colour_of_the_light() -> None:
    warm = np.array([[1.2, 1.0, 0.8]] * 3, np.float32)
    points = face(0.3)
    (layer,) = mouth_layers(
        points, (SIZE, SIZE), SKIN, atlas().of(gallery().delegates[0]), warm, Look(0.0, 0.0)
    )
    assert layer.rgb == pytest.approx(np.broadcast_to(warm[0] * (SKIN @ LUMA), layer.rgb.shape), abs=0.1)


def test_closed_lips_stay_closed() -> None:
    image, points = painted(0.005, 1, 1)
    assert gape(points) < 0.01
    assert (image == SKIN).all()
    assert mouth_colours(image, SKIN, points) is None


@pytest.mark.parametrize("gap", [0.1, 0.25, 0.5])
def test_nothing_is_painted_beyond_the_lips(gap: float) -> None:
    image, points = painted(gap, 0.8, 0.3)
    changed = np.argwhere(np.abs(image - SKIN).max(axis=2) > 4)[:, ::-1]
    ring = points[list(INNER_LIPS), :2]
    assert (changed >= ring.min(0) - 5).all()
    assert (changed <= ring.max(0) + 5).all()
    assert len(changed) > 20


def test_teeth_are_above_and_dark_below_in_a_wide_mouth() -> None:
    image, points = painted(0.5, 0.8, 0.2)
    top, bottom = points[list(LIP_MIDDLES), :2]
    column = (image @ LUMA)[:, round(float(top[0]))]
    upper = column[round(float(top[1])) + 2 : round(float(top[1])) + 8].mean()
    lower = column[round(float(bottom[1])) - 12 : round(float(bottom[1])) - 4].mean()
    assert upper > 2 * lower


def test_it_is_about_as_bright_as_the_persons_mouth() -> None:
    """Of two colours, the one above and the one below the middle."""
    found = []
    for level in (0.3, 0.7):
        image, points = painted(0.4, level, level)
        seen = mouth_colours(image, SKIN, points)
        assert seen is not None
        np.testing.assert_allclose(seen[:2] @ LUMA, level, atol=0.25)
        found.append(seen[:2] @ LUMA)
    assert (found[1] > 1.1 * found[0]).all()


def test_teeth_are_as_bright_as_the_persons() -> None:
    """However dark the rest of the mouth is."""
    found = []
    for level in (0.7, 1.1):
        image, points = painted(0.4, 0.45, 0.3, teeth_luma=level)
        seen = mouth_colours(image, SKIN, points)
        assert seen is not None
        found.append(float(seen[2] @ LUMA))
    assert found == pytest.approx([0.7, 1.1], abs=0.2)
    assert found[1] > 1.2 * found[0]


def column(image: Float, points: Float) -> Float:
    """The lumas from lip to lip, of the skin's, in the middle of the mouth."""
    top, bottom = points[list(LIP_MIDDLES), :2]
    lumas = (image @ LUMA)[round(float(top[1])) + 2 : round(float(bottom[1])) - 1, round(float(top[0]))]
    return np.asarray(lumas / (SKIN @ LUMA), np.float32)


def test_lower_teeth_stand_on_the_lower_lip_with_the_dark_above_them() -> None:
    lumas = column(*painted(0.5, 0.3, 0.75))
    dark = int(np.argmin(lumas))
    assert lumas[dark] < 0.4
    assert lumas[dark:].max() > 0.65
    assert dark < len(lumas) * 0.7


def test_clenched_teeth_leave_no_dark() -> None:
    assert column(*painted(0.15, 0.9, 0.9, teeth_luma=1.0))[1:].min() > 0.45


def test_a_tongue_is_not_painted_as_teeth() -> None:
    points = face(0.4)
    image = np.tile(SKIN, (SIZE, SIZE, 1)).astype(np.float32)
    red = SKIN / (SKIN @ LUMA) * np.array([0.9, 0.7, 0.75], np.float32)
    teeth = atlas().of(gallery().delegates[0])
    lay(image, mouth_layers(points, (SIZE, SIZE), SKIN, teeth, np.stack([red] * 3), Look(1.0, 0.0)))
    x, y = points[list(LIP_MIDDLES), :2].mean(axis=0).round().astype(int)
    seen = image[y, x] / SKIN
    assert seen[0] > 1.1 * seen[1]
    assert 0.5 < seen[0] < 1.2


def test_a_tongue_between_two_rows_is_not_painted_as_long_teeth() -> None:
    """Both halves half teeth, half tongue: red in the middle, as where no tooth is white."""
    tongue, teeth = np.array(TONGUE_RGB) / 150, SKIN / (SKIN @ LUMA) * np.float32(1.1)
    half = np.asarray((tongue + 0.8 * teeth) / 2, np.float32)
    points = face(0.6)
    image = np.tile(SKIN, (SIZE, SIZE, 1)).astype(np.float32)
    row = atlas().of(gallery().delegates[0])
    colours = np.stack([half, half, teeth])
    lay(image, mouth_layers(points, (SIZE, SIZE), SKIN, row, colours, Look(1.0, 0.0)))
    x, y = points[list(LIP_MIDDLES), :2].mean(axis=0).round().astype(int)
    seen = image[y + 3, x] / SKIN
    assert seen[0] > 1.2 * seen[1]


def test_a_smile_that_bares_the_gum_shows_its_teeth_and_no_dark() -> None:
    """Above half lip or gum, below mostly teeth: they hang from above, and no dark is between."""
    gum, teeth = np.array(TONGUE_RGB) / 150, SKIN / (SKIN @ LUMA) * np.float32(1.1)
    upper, lower = (np.asarray(s * 0.8 * teeth + (1 - s) * gum, np.float32) for s in (0.45, 0.75))
    points = face(0.25)
    image = np.tile(SKIN, (SIZE, SIZE, 1)).astype(np.float32)
    row = atlas().of(gallery().delegates[0])
    colours = np.stack([upper, lower, teeth])
    lay(image, mouth_layers(points, (SIZE, SIZE), SKIN, row, colours, Look(1.0, 0.0)))
    lumas = column(image, points)
    assert lumas[2 : len(lumas) * 2 // 3].min() > 0.5


def test_a_delegate_keeps_its_teeth_and_others_have_others() -> None:
    delegates = gallery().delegates[:40]
    rows = [atlas().of(delegate)[0] for delegate in delegates]
    assert (atlas().of(delegates[3])[0] == rows[3]).all()
    assert len({row.tobytes() for row in rows}) > 8


def test_teeth_do_not_grow_with_the_mouth() -> None:
    """Their scale is the head's: lips move over them."""
    narrow, wide = frame_of(face(0.1)), frame_of(face(0.5))
    np.testing.assert_allclose(narrow.across, wide.across)
    np.testing.assert_allclose(narrow.down, wide.down)
