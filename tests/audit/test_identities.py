from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from audits import Colours

from streamanon.audit.identities import (
    Cover,
    IdentityResult,
    audit_identities,
    covers_from,
    read_originals,
    recognise,
    table,
)
from streamanon.audit.judges import Judge
from streamanon.audit.pairing import Image
from streamanon.errors import ConfigError
from streamanon.testing.fakes import FakeMesh
from streamanon.types import Faces, Float

PEOPLE = {"Ada": (200, 40, 40), "Bo": (40, 200, 40), "Cy": (40, 40, 200)}


class Centre:
    """Finds one face, in the middle of anything that is not black."""

    name, threshold = "centre", 0.5

    def find(self, image: Image) -> Faces:
        if not image.any():
            return Faces.empty()
        height, width = image.shape[:2]
        box = np.array([[width / 4, height / 4, width * 3 / 4, height * 3 / 4]], np.float32)
        points = np.full((1, 5, 2), width / 2, np.float32)
        return Faces(box, np.ones(1, np.float32), points, np.full(1, -1, np.int64))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three people of three photos each, all of one colour with a little noise."""
    noise = np.random.default_rng(0)
    for name, colour in PEOPLE.items():
        for number in range(3):
            image = np.clip(np.array(colour) + noise.normal(0, 3, (32, 32, 3)), 0, 255).astype(np.uint8)
            path = tmp_path / "photos" / name / f"{name}_{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), image[..., ::-1])
    return tmp_path / "photos"


def audited(folder: Path, method: str, cover: Cover, judge: Judge | None = None) -> IdentityResult:
    tools = (judge or Centre(), [Colours()], FakeMesh())
    originals, skipped = read_originals(folder, *tools)
    return audit_identities(originals, skipped, method, cover, *tools)


def test_photos_left_as_they_are_lead_to_their_people(folder: Path) -> None:
    result = audited(folder, "none", lambda image, _: image)
    (one,) = result.recognised
    assert (result.people, result.photos, result.skipped) == (3, 9, 0)
    for value in (one.rank1, one.tar, one.tar_same_photo, one.parrot, one.rank1_originals):
        assert value is not None
        assert value.value == 1
    assert one.chance == pytest.approx(2 / 8)
    assert result.kept.faces_found is not None
    assert result.kept.faces_found.value == 1
    assert result.kept.landmark_nme == 0


def test_photos_all_made_the_same_lead_nowhere(folder: Path) -> None:
    def alike(image: Image, _path: Path) -> Image:
        return np.full_like(image, 90)

    (one,) = audited(folder, "grey", alike).recognised
    assert one.rank1 is not None
    assert one.rank1.value <= 1 / 3
    assert one.tar is not None
    assert one.tar.value <= 1 / 3  # grey is as near to Ada as to anybody
    assert one.match is not None
    assert one.false_match is not None
    assert one.match.value == one.false_match.value == 1
    assert one.rank1_originals is not None
    assert one.rank1_originals.value == 1


class NoneOfBlack(Colours):
    """Gives no numbers for a black picture, as networks do that bring embeddings to length 1."""

    def describe(self, image: Image, place: Any) -> Float:
        found = super().describe(image, place)
        return found if image.any() else np.full_like(found, np.nan)


def test_a_face_of_which_a_recogniser_makes_nothing_does_not_hide_the_others(folder: Path) -> None:
    """Its likeness to nobody must not become the threshold for all."""
    tools = (Centre(), [NoneOfBlack()], FakeMesh())
    originals, skipped = read_originals(folder, *tools)
    covered = originals[0].path
    result = audit_identities(
        originals, skipped, "one", lambda image, path: image * np.uint8(path != covered), *tools
    )
    (one,) = result.recognised
    assert one.tar_same_photo is not None
    assert one.tar_same_photo.of == 9
    assert one.tar_same_photo.value >= 8 / 9
    assert one.rank1 is not None
    assert one.rank1.value >= 8 / 9


def test_a_recogniser_that_makes_nothing_of_an_original_is_told(folder: Path) -> None:
    black = np.zeros((32, 32, 3), np.uint8)
    cv2.imwrite(str(folder / "Ada" / "Ada_0.png"), black)

    class Everywhere(Centre):
        def find(self, image: Image) -> Faces:
            return super().find(image | np.uint8(1))

    with pytest.raises(ConfigError, match=r"colours .*Ada_0\.png.*another --recogniser"):
        read_originals(folder, Everywhere(), [NoneOfBlack()], FakeMesh())


def test_a_face_that_vanishes_is_not_found(folder: Path) -> None:
    result = audited(folder, "black", lambda image, _: image * np.uint8(0))
    assert result.kept.faces_found is not None
    assert result.kept.faces_found.value == 0


def test_rates_of_a_known_case() -> None:
    """Photos of two people on a line, at 0, 1 and 10, 11; one output of four crosses over."""
    people = np.array(["a", "a", "b", "b"])
    originals = np.array([[0.0], [1.0], [10.0], [11.0]], np.float32)
    outputs = np.array([[0.1], [10.4], [10.1], [10.9]], np.float32)
    one = recognise(OnALine(), people, originals, outputs)
    assert one.rank1 is not None
    assert (one.rank1.value, one.rank1.of) == (0.75, 4)
    assert one.rank1_originals is not None
    assert one.rank1_originals.value == 1
    # The nearest strangers are 9 apart, and a pair has to be nearer than they are.
    assert one.threshold == pytest.approx(-9, abs=0.01)
    assert one.match is not None
    assert (one.match.value, one.match.of) == (0.75, 4)
    assert one.false_match is not None
    assert one.false_match.value == 2 / 8
    # Strangers are as near as 0.4 to the one that crossed over.
    assert one.tar is not None
    assert one.tar.value == 0
    assert one.tar_same_photo is not None
    assert one.tar_same_photo.value == 0.75


class OnALine(Colours):
    def similarities(self, one: np.ndarray, two: np.ndarray) -> np.ndarray:
        return np.asarray(-np.abs(one - two.T), np.float32)


def test_another_tools_photos(folder: Path, tmp_path: Path) -> None:
    for path in folder.rglob("*.png"):
        made = tmp_path / "made" / path.relative_to(folder).with_suffix(".jpg")
        made.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(made), np.full((32, 32, 3), 7, np.uint8))
    cover = covers_from(folder, tmp_path / "made")
    some = next(folder.rglob("*.png"))
    assert (cover(np.zeros((32, 32, 3), np.uint8), some) == 7).all()
    next((tmp_path / "made").rglob(some.stem + ".jpg")).unlink()
    with pytest.raises(ConfigError, match=some.stem):
        covers_from(folder, tmp_path / "made")(np.zeros((32, 32, 3), np.uint8), some)


def test_a_folder_without_pairs_is_refused(folder: Path) -> None:
    judge: Judge = Centre()
    for path in folder.rglob("*_[12].png"):
        path.unlink()
    with pytest.raises(ConfigError, match="two photos of one"):
        audited(folder, "none", lambda image, _: image, judge)


def test_another_size_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="another size"):
        audited(folder, "cut", lambda image, _: image[:16])


def test_the_table_has_a_line_a_recogniser(folder: Path) -> None:
    result = audited(folder, "none", lambda image, _: image)
    head, rule, line = table([result, result][:1])
    assert head.count("|") == rule.count("|") == line.count("|")
    assert line.startswith("| none | colours | 100.0 % |")
