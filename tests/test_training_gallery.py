"""Building the gallery: joining parts and choosing delegates."""

from __future__ import annotations

import numpy as np
import pytest

from streamanon.engines import Engines
from streamanon.identity.chart import chart_of_gallery
from streamanon.identity.delegates import open_gallery

pytest.importorskip("scipy", reason="needs streamanon[train]")

from streamanon.training.gallery.blend import (
    PARTS,
    Recipe,
    collapse,
    folds_over,
    laplacian,
    part_masks,
)
from streamanon.training.gallery.candidates import QUOTAS, TONES, Candidate, bin_of
from streamanon.training.gallery.measure import THRESHOLD, distances
from streamanon.training.gallery.select import MAX_USES, PASSES, choose


def candidate(row: int, embedding: np.ndarray, donors: tuple[int, ...] | None = None) -> Candidate:
    own = donors or tuple(range(5 * row, 5 * row + 5))
    recipe = Recipe(np.array(own, np.int64), np.zeros(5, np.bool_), 35.0)
    empty = np.zeros(0, np.uint8)
    return Candidate(recipe, empty, np.zeros((478, 3), np.float32), embedding, 0.9, 25.0, 35.0, 0.6, 0.6)


def test_bands_add_up_to_the_image() -> None:
    image = np.random.default_rng(0).normal(0, 1, (256, 256, 3)).astype(np.float32)
    np.testing.assert_allclose(collapse(laplacian(image)), image, atol=1e-4)


def test_parts_cover_the_face_once_and_none_prevails(engines: Engines) -> None:
    chart = chart_of_gallery(open_gallery(engines))
    masks = part_masks(chart)
    np.testing.assert_allclose(masks.sum(0), 1, atol=1e-4)
    np.testing.assert_allclose(masks, masks[:, :, ::-1], atol=0.25)
    shares = masks[:, chart.hull].mean(1)
    assert len(shares) == len(PARTS)
    assert shares.min() >= 0.05
    assert shares.max() <= 0.45


def test_a_shape_turned_over_is_noticed(engines: Engines) -> None:
    gallery = open_gallery(engines)
    chart, shape = chart_of_gallery(gallery), gallery.delegates[0].shape
    assert not folds_over(shape, chart)
    moved = shape.copy()
    moved[4, 0] += 1.0  # the tip of the nose beyond the eye
    assert folds_over(moved, chart)


def test_bins_hold_what_lies_between_their_borders() -> None:
    assert [bin_of(value, TONES) for value in (-80, -30, 9.9, 28, 54, 55, 80)] == [0, 1, 1, 3, 4, 5, 5]


def test_distances() -> None:
    one, two = np.eye(3, dtype=np.float32), np.zeros((1, 3), np.float32)
    np.testing.assert_allclose(distances(one, two), 1)
    assert distances(one, one)[0, 1] == pytest.approx(np.sqrt(2))


def test_those_chosen_lie_apart_and_no_cell_has_more_than_its_quota() -> None:
    rng = np.random.default_rng(0)
    crowd = [candidate(row, rng.normal(0, 0.06, 128)) for row in range(60)]
    chosen = choose(crowd)
    assert 0 < len(chosen) <= QUOTAS[0]
    embeddings = np.array([crowd[row].embedding for row in chosen])
    apart = distances(embeddings, embeddings)[np.triu_indices(len(chosen), 1)]
    assert apart.min() >= min(floor for floor, _ in PASSES)
    assert pytest.approx(0.546) == THRESHOLD


def test_one_portrait_gives_the_same_part_only_so_often() -> None:
    crowd = [
        candidate(row, 2 * np.eye(60)[row], (0, 5 * row + 1, 5 * row + 2, 5 * row + 3, 5 * row + 4))
        for row in range(20)
    ]
    assert len(choose(crowd)) == MAX_USES
