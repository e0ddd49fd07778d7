"""Building the gallery: morphs of two portraits, and which become delegates."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from streamanon.gallery.delegates import open_gallery
from streamanon.gallery.uv_chart import Chart, chart_of_gallery
from streamanon.mesh.landmarks import NOSE_TIP
from streamanon.portraits.texture import fade_rim
from streamanon.runtime.models import Engines
from streamanon.training.gallery.choose import (
    FAR,
    NEAR,
    SECOND_USES,
    TONES,
    USES,
    bin_of,
    cell_of,
    choose,
)
from streamanon.training.gallery.folds import softer_folds
from streamanon.training.gallery.morph import (
    Recipe,
    collapse,
    even_sides,
    eyes_mask,
    folds_over,
    laplacian,
    make,
    morph,
)
from streamanon.training.gallery.portraits import FREE, Face


def face(row: int, source: str = FREE, age: float = 30.0, tone: float = 35.0, male: bool = True) -> Face:
    texture = np.full((512, 512, 3), 90 + row, np.uint8)
    return Face(
        f"{source}_{row:04d}", source, texture, np.zeros((478, 3), np.float32), tone, male, age, age
    )


def test_bands_add_up_to_the_image() -> None:
    image = np.random.default_rng(0).normal(0, 1, (512, 512, 3)).astype(np.float32)
    np.testing.assert_allclose(collapse(laplacian(image)), image, atol=1e-4)


def test_a_morph_lies_between_and_keeps_the_firsts_detail() -> None:
    rng = np.random.default_rng(0)
    first = np.clip(rng.normal(100, 12, (512, 512, 3)), 0, 255).astype(np.uint8)
    second = np.full_like(first, 180)
    mixed = morph(first, second, None).astype(float)
    assert 115 < mixed.mean() < 160
    fine = [one - np.roll(one, 1, axis=1) for one in (first.astype(float), mixed)]
    assert np.corrcoef(fine[0].ravel(), fine[1].ravel())[0, 1] > 0.9
    assert fine[1].std() > 0.8 * fine[0].std()


def test_light_from_one_side_goes_and_fine_detail_stays() -> None:
    rng = np.random.default_rng(0)
    light = np.linspace(60, 180, 512)[None, :, None]
    grain = rng.normal(0, 6, (512, 512, 3))
    sided = np.clip(light + grain, 0, 255).astype(np.uint8)
    even = even_sides(sided).astype(float)
    halves = even[:, :256].mean(), even[:, 256:].mean()
    assert abs(halves[0] - halves[1]) < 2
    fine = [one - np.roll(one, 1, axis=1) for one in (grain, even)]
    assert np.corrcoef(fine[0].ravel(), fine[1].ravel())[0, 1] > 0.85


def test_eyes_may_be_the_seconds(engines: Engines) -> None:
    gallery = open_gallery(engines)
    mask = eyes_mask(chart_of_gallery(gallery))
    x, y = (2 * gallery.uv[468] + 0.5).astype(int)
    assert mask[y, x] > 0.95
    chin = (2 * gallery.uv[152] - [0, 20]).astype(int)
    assert mask[chin[1], chin[0]] < 0.01
    assert mask.mean() < 0.3


def test_a_portrait_itself_and_its_mirror_image(engines: Engines) -> None:
    gallery = open_gallery(engines)
    chart: Chart = chart_of_gallery(gallery)
    one = gallery.delegates[0]
    faces = [Face("x", FREE, one.fine, one.shape, 0.0, True, 60.0, None)]
    texture, shape = make(Recipe(0), faces, chart)
    turned, mirrored = make(Recipe(0, None, (True, False)), faces, chart)
    np.testing.assert_array_equal(texture, even_sides(one.fine))
    np.testing.assert_allclose(turned.astype(int), texture[:, ::-1], atol=1)
    np.testing.assert_allclose(mirrored[chart.mirror] * [-1, 1, 1], shape, atol=0.02)


def _at(chart: Chart, point: int) -> tuple[slice, slice]:
    x, y = np.rint(2 * chart.uv[point]).astype(int)
    return slice(y - 6, y + 7), slice(x - 6, x + 7)


def test_folds_are_softer_in_young_faces_alone(engines: Engines) -> None:
    """Lines 5 px wide are folds on a cheek; on a lip and in a beard, and thinner ones, they stay."""
    chart = chart_of_gallery(open_gallery(engines))
    rows = np.arange(512)[:, None, None]
    lined = np.where(rows % 24 < 5, 120, 160) + np.zeros((512, 512, 3), int)
    lined[300:, :160] //= 3  # a beard
    texture = lined.astype(np.uint8)
    young, middle, old = (softer_folds(texture, years, chart).astype(int) for years in (30.0, 45.0, 60.0))
    np.testing.assert_array_equal(old, texture)
    cheek, lip, beard = _at(chart, 330), _at(chart, 17), _at(chart, 207)
    assert texture[beard].max() < 60
    assert young[cheek].std() < 0.7 * texture[cheek].std()
    assert young[cheek].std() < middle[cheek].std() < texture[cheek].std()
    for kept in (lip, beard):
        np.testing.assert_allclose(young[kept], texture[kept], atol=1)

    grain = np.where(rows % 2 == 0, 150, 160) + np.zeros((512, 512, 3), int)
    pores = softer_folds(grain.astype(np.uint8), 30.0, chart)
    np.testing.assert_allclose(pores, grain, atol=1)


@pytest.mark.parametrize("beardless", [False, True])
def test_hair_beside_a_womans_cheeks_fades_and_a_beard_stays(engines: Engines, beardless: bool) -> None:
    chart = chart_of_gallery(open_gallery(engines))
    texture = np.full((256, 256, 3), 0.6, np.float32)
    rows, columns = np.indices((256, 256))
    low = rows > chart.uv[NOSE_TIP, 1] + 12
    patch = low & (columns < 128) & (chart.depth > 14) & (chart.depth < 24)
    texture[patch] *= 0.5
    faded = fade_rim(texture, chart, beardless)[patch]
    assert faded.mean() == pytest.approx(0.58 if beardless else 0.3, abs=0.03)


def test_a_shape_turned_over_is_noticed(engines: Engines) -> None:
    gallery = open_gallery(engines)
    chart, shape = chart_of_gallery(gallery), gallery.delegates[0].shape
    assert not folds_over(shape, chart)
    moved = shape.copy()
    moved[4, 0] += 1.0  # the tip of the nose beyond the eye
    assert folds_over(moved, chart)


def test_bins_hold_what_lies_between_their_borders() -> None:
    assert [bin_of(value, TONES) for value in (-80, -30, 9.9, 28, 54, 55, 80)] == [0, 1, 1, 3, 4, 5, 5]


def within(first: Face, second: Face, reach: tuple[float, float, int]) -> bool:
    return abs(first.age - second.age) <= reach[0] and abs(first.tone - second.tone) <= reach[1]


def test_pairs_are_alike_free_first_and_no_portrait_is_everywhere() -> None:
    rng = np.random.default_rng(0)
    faces = [face(n, age=rng.uniform(20, 80), tone=rng.uniform(-40, 60), male=n % 2 > 0) for n in range(30)]
    faces += [
        face(n, "generated", rng.uniform(25, 45), rng.uniform(20, 50), n % 2 > 0) for n in range(30, 60)
    ]
    codes = rng.normal(0, 1, (60, 32)).astype(np.float32)
    recipes = choose(faces, codes, np.random.default_rng(1))
    again = choose(faces, codes, np.random.default_rng(1))
    assert [vars(one) for one in recipes] == [vars(one) for one in again]
    pairs = [(faces[one.first], faces[one.second]) for one in recipes if one.second is not None]
    assert len(pairs) > 20
    for first, second in pairs:
        assert first.source == FREE
        assert first.male == second.male
        assert within(first, second, FAR)
    assert max(Counter(first.name for first, _ in pairs).values()) <= USES
    assert max(Counter(second.name for _, second in pairs).values()) <= SECOND_USES
    filled = Counter(cell_of(one, faces) for one in recipes)
    assert max(filled.values()) <= NEAR[2]
    far = [
        one
        for one in recipes
        if one.second is not None and not within(faces[one.first], faces[one.second], NEAR)
    ]
    assert far
    assert max(filled[cell_of(one, faces)] for one in far) <= FAR[2]
    assert len({(one.first, one.second) for one in recipes}) == len(recipes)
    assert {one.first for one in recipes if one.second is None} == set(range(30))
