"""The committed gallery of delegates keeps its promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from streamanon.errors import ConfigError
from streamanon.gallery.delegates import (
    ROWS,
    DelegateGallery,
    gallery_of,
    load_delegates,
    open_gallery,
    read_fields,
    write_fields,
)
from streamanon.gallery.uv_chart import Chart, chart_of_gallery
from streamanon.portraits.texture import flaws, tone_degrees
from streamanon.runtime.models import Engines

GALLERY = Path(__file__).parents[2] / "engines" / "delegates-v3.npz"
TEXTURE_PX = 256
#: Borders of the tone bins (degrees of ITA) and of the age groups.
TONES = (-90, -30, 10, 28, 41, 55, 90)
AGES = (0, 33, 45, 57, 120)


@pytest.fixture(scope="module")
def gallery() -> DelegateGallery:
    return load_delegates(GALLERY)


@pytest.fixture(scope="module")
def coarse(gallery: DelegateGallery) -> NDArray[np.float64]:
    """The textures' insides [N, 3072], small, each with mean 0 and length 1, less the average face."""
    small = np.array(
        [cv2.resize(d.texture, (32, 32), interpolation=cv2.INTER_AREA) for d in gallery.delegates]
    )
    flat = small.reshape(len(small), -1).astype(np.float64)
    flat -= flat.mean(0)
    flat -= flat.mean(1, keepdims=True)
    return np.asarray(flat / np.linalg.norm(flat, axis=1, keepdims=True))


@pytest.fixture(scope="module")
def chart(gallery: DelegateGallery) -> Chart:
    return chart_of_gallery(gallery)


def hull(gallery: DelegateGallery) -> NDArray[np.uint8]:
    mask = np.zeros((TEXTURE_PX, TEXTURE_PX), np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.round(gallery.uv).astype(np.int32)), 1)
    return mask


def test_there_are_enough(gallery: DelegateGallery) -> None:
    assert len(gallery) >= 300
    assert len({d.id for d in gallery.delegates}) == len(gallery)


def test_the_file_is_small() -> None:
    assert GALLERY.stat().st_size < 25_000_000


def test_arrays_have_their_shapes(gallery: DelegateGallery) -> None:
    codes = np.array([d.code for d in gallery.delegates])
    assert codes.shape == (len(gallery), 32)
    assert codes.dtype == np.float32
    assert np.isfinite(codes).all()
    assert all(d.stored.ndim == 1 for d in gallery.delegates), "decoded when read"
    assert all(d.fine.shape == (512, 512, 3) for d in gallery.delegates[::16])
    assert all(d.texture.shape == (256, 256, 3) for d in gallery.delegates[::16])
    assert all(d.shape.dtype == np.float32 for d in gallery.delegates)
    assert gallery.uv.dtype == np.float32
    assert all(a.dtype == np.int32 for a in (gallery.triangles, gallery.mirror))


def test_every_delegate_is_mostly_of_one_portrait(gallery: DelegateGallery) -> None:
    assert (gallery.weights[:, 0] > 0.5).all()
    np.testing.assert_allclose(gallery.weights.sum(1), 1, atol=1e-4)


def test_shapes_are_normalised(gallery: DelegateGallery) -> None:
    for delegate in gallery.delegates:
        left, right = delegate.shape[468], delegate.shape[473]
        assert np.linalg.norm((right - left)[:2]) == pytest.approx(1, abs=1e-3)
        np.testing.assert_allclose((left + right) / 2, 0, atol=1e-3)
        assert delegate.shape[152, 1] > 0.8  # the chin is below the eyes


def test_uv_lies_inside_the_texture(gallery: DelegateGallery) -> None:
    assert gallery.uv.min() >= 1
    assert gallery.uv.max() <= TEXTURE_PX - 2


def test_uv_is_symmetric(gallery: DelegateGallery) -> None:
    mirror, uv = gallery.mirror, gallery.uv
    np.testing.assert_array_equal(mirror[mirror], np.arange(478))
    np.testing.assert_allclose(uv[mirror] * [-1, 1] + [TEXTURE_PX - 1, 0], uv, atol=0.05)
    assert mirror[33] == 263
    assert mirror[468] == 473
    assert mirror[61] == 291


def test_triangles_cover_the_hull_once(gallery: DelegateGallery) -> None:
    triangles = gallery.triangles
    assert triangles.min() >= 0
    assert triangles.max() < 478
    assert len({tuple(sorted(t)) for t in triangles.tolist()}) == len(triangles)
    a, b, c = gallery.uv[triangles].transpose(1, 0, 2)
    areas = ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2
    assert (areas > 0).all()
    outline = cv2.contourArea(cv2.convexHull(gallery.uv))
    assert areas.sum() == pytest.approx(outline, rel=0.01)


def test_presentation_is_balanced(gallery: DelegateGallery) -> None:
    masculine = np.array([d.masculine for d in gallery.delegates])
    assert ((masculine >= 0) & (masculine <= 1)).all()
    assert 0.45 <= (masculine > 0.5).mean() <= 0.55
    assert (np.abs(masculine - 0.5) >= 0.1).all()


@pytest.mark.parametrize("male", [False, True])
def test_every_tone_and_age_is_there_for_either_sex(gallery: DelegateGallery, male: bool) -> None:
    rows = [row for row, d in enumerate(gallery.delegates) if (d.masculine > 0.5) == male]
    tones = np.histogram(gallery.tones[rows], TONES)[0]
    ages = np.histogram([gallery.delegates[row].age for row in rows], AGES)[0]
    assert tones[1:-1].min() >= 20
    assert tones.min() >= 3
    assert ages.min() >= 26


@pytest.mark.slow
def test_ages_and_skin_tones_are_spread(gallery: DelegateGallery) -> None:
    ages = np.array([d.age for d in gallery.delegates])
    assert ((ages >= 10) & (ages <= 100)).all()
    assert np.percentile(ages, 95) - np.percentile(ages, 5) > 12
    inside = hull(gallery) > 0
    tones = [np.median(d.texture[inside].mean(1)) for d in gallery.delegates]
    assert np.percentile(tones, 95) - np.percentile(tones, 5) > 50


def test_tones_are_those_of_the_textures(gallery: DelegateGallery, chart: Chart) -> None:
    for row in range(0, len(gallery), 8):
        measured = tone_degrees(np.asarray(gallery.delegates[row].texture / 255, np.float32), chart)
        assert gallery.tones[row] == pytest.approx(measured, abs=1.5)


@pytest.mark.slow
def test_faces_are_bare(gallery: DelegateGallery, chart: Chart) -> None:
    """No hat nor fringe on any; foreign colours, strands and lines across the nose on few: light, folds."""
    found = [
        flaws(np.asarray(gallery.delegates[row].texture / 255, np.float32), chart)
        for row in range(0, len(gallery), 8)
    ]
    assert max(one["fringe"] for one in found) < 0.08
    assert max(one["hair"] for one in found) < 0.03
    limits = {"foreign": 0.05, "strands": 0.07, "glasses": 0.11, "patch": 0.5}
    for name, limit in limits.items():
        assert np.quantile([one[name] for one in found], 0.85) < limit, name


def test_no_two_delegates_are_alike(coarse: NDArray[np.float64]) -> None:
    likeness = coarse @ coarse.T
    np.fill_diagonal(likeness, 0)
    assert likeness.max() < 0.98


@pytest.mark.slow
def test_textures_are_light_evenly_and_never_black(gallery: DelegateGallery) -> None:
    inside = hull(gallery) > 0
    for delegate in gallery.delegates:
        grey = delegate.texture.mean(2)
        assert grey[~inside].min() > 20, delegate.id
        left, right = grey[:, : TEXTURE_PX // 2][inside[:, :128]], grey[:, 128:][inside[:, 128:]]
        assert abs(left.mean() - right.mean()) < 0.12 * grey.mean(), delegate.id


def test_a_repr_shows_no_pixels(gallery: DelegateGallery) -> None:
    assert "array" not in repr(gallery.delegates[0])


def test_an_archive_without_its_fields_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.npz"
    np.savez(path, version=np.int32(1))
    with pytest.raises(ValueError, match="ids"):
        load_delegates(path)


def test_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "newer.npz"
    with np.load(GALLERY, allow_pickle=False) as archive:
        np.savez(path, **{**{name: archive[name] for name in archive.files}, "version": np.int32(4)})
    with pytest.raises(ValueError, match="version 4"):
        load_delegates(path)


@pytest.mark.slow
def test_what_is_written_is_read_again(tmp_path: Path, gallery: DelegateGallery) -> None:
    path = tmp_path / "copy.npz"
    write_fields(path, read_fields(GALLERY))
    assert path.read_bytes() == GALLERY.read_bytes()


def _first(arrays: dict[str, NDArray[Any]], count: int) -> dict[str, NDArray[Any]]:
    """A gallery's fields with its first delegates alone."""
    few = {name: arrays[name][:count] for name in ROWS if name != "jpegs"}
    return arrays | few | {"jpegs": arrays["jpegs"][: int(few["jpeg_sizes"].sum())]}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"ids": np.array(["../../evil", "d001", "d002"])}, "ids"),
        ({"ids": np.array(["d001", "d001", "d002"])}, "ids"),
        ({"ids": np.array(["", "d001", "d002"])}, "ids"),
        ({"masculine": np.zeros(2, np.float32)}, "masculine"),
        ({"shapes": np.full((3, 478, 3), np.nan, np.float32)}, "shapes"),
        ({"codes": np.zeros((3, 7), np.float32)}, "codes"),
        ({"features": np.zeros((3, 9), np.float32)}, "features"),
        ({"ages": np.array(["young", "old", "old"])}, "young"),
        ({"triangles": np.full((4, 3), 478, np.int32)}, "triangles"),
    ],
)
def test_fields_that_do_not_fit_are_no_gallery(
    changes: dict[str, NDArray[Any]], told: str, tmp_path: Path
) -> None:
    """With some, each face would get a fill; and pictures of delegates are named after their ids."""
    few = _first(read_fields(GALLERY), 3)
    assert len(gallery_of(few)) == 3
    write_fields(tmp_path / "own.npz", few | changes)
    with pytest.raises(ValueError, match=told):
        load_delegates(tmp_path / "own.npz")


def test_a_gallery_of_nobody_is_none() -> None:
    with pytest.raises(ValueError, match="ids"):
        gallery_of(_first(read_fields(GALLERY), 0))


@pytest.mark.parametrize("kind", ["array", "damaged", "empty", "compressed otherwise", "encrypted"])
def test_a_file_that_is_no_archive_is_no_gallery(kind: str, engines: Engines, tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    if kind == "array":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    else:
        np.savez_compressed(path, allow_pickle=False, version=np.arange(4000))
        content = bytearray(path.read_bytes())
        entry = content.index(b"PK\x01\x02")  # of the archive's directory
        if kind == "empty":
            content.clear()
        elif kind == "damaged":  # the first field's compressed bytes begin behind the local header
            content[60:100] = b"\xff" * 40
        elif kind == "encrypted":
            content[6] = content[entry + 8] = 1
        else:
            content[8] = content[entry + 10] = 99
        path.write_bytes(content)
    with pytest.raises(ConfigError, match="is no gallery"):
        open_gallery(engines, path)
