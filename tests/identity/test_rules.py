from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamanon.config import PersonRule, load_config
from streamanon.errors import ConfigError
from streamanon.identity.key import read_key
from streamanon.identity.rules import Rule, load_rules, rule_for
from streamanon.testing.fakes import FakeEncoder, FakeMesh, faces_at, fake_gallery
from streamanon.types import Faces, RawFrame

FACE = (20.0, 20.0, 120.0, 140.0)


class Finds:
    """A detector that finds the same faces in every picture."""

    def __init__(self, boxes: Sequence[tuple[float, ...]]) -> None:
        self.faces = faces_at(np.array(boxes, np.float32).reshape(-1, 4))

    def detect(self, _frame: RawFrame) -> Faces:
        return self.faces


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "someone.png"
    cv2.imwrite(str(path), np.full((160, 160, 3), 128, np.uint8))
    return path


def load(rule: PersonRule, boxes: Sequence[tuple[float, ...]] = (FACE,), confidence: float = 0.9) -> Rule:
    (loaded,) = load_rules([rule], Finds(boxes), FakeMesh(confidence), FakeEncoder(), fake_gallery())
    return loaded


def test_a_rule_knows_its_person_and_delegate(photo: Path) -> None:
    loaded = load(PersonRule(str(photo), delegate="d003", appearance=0.5))
    assert loaded.delegate is not None
    assert (loaded.delegate.id, loaded.appearance, loaded.geometry) == ("d003", 0.5, None)
    assert rule_for([loaded], loaded.embedding) is loaded
    assert rule_for([loaded], -loaded.embedding) is None
    assert rule_for([], loaded.embedding) is None


@pytest.mark.parametrize(
    ("boxes", "confidence", "told"),
    [
        ([], 0.9, "no face was found"),
        ([FACE, (80.0, 20.0, 155.0, 100.0)], 0.9, "2 faces of like size were found"),
        ([(20.0, 20.0, 60.0, 70.0)], 0.9, "less than 60 px wide"),
        ([FACE], 0.2, "from the front"),
    ],
)
def test_a_photo_that_cannot_tell_who_it_is_is_refused(
    photo: Path, boxes: list[tuple[float, ...]], confidence: float, told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        load(PersonRule(str(photo)), boxes, confidence)


def test_of_a_large_face_and_a_small_one_behind_the_large_one_is_taken(
    photo: Path, caplog: pytest.LogCaptureFixture
) -> None:
    behind = (130.0, 20.0, 155.0, 60.0)
    for boxes in ([FACE, behind], [behind, FACE]):
        np.testing.assert_array_equal(
            load(PersonRule(str(photo)), boxes).embedding, load(PersonRule(str(photo))).embedding
        )
    assert "2 faces were found in someone.png, and the largest is taken" in caplog.text


def test_files_that_are_no_photos_are_named(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no image")
    with pytest.raises(ConfigError, match=r"text\.jpg is no PNG, JPEG"):
        load(PersonRule(str(tmp_path / "text.jpg")))
    with pytest.raises(ConfigError, match=r"cannot read .*gone\.jpg"):
        load(PersonRule(str(tmp_path / "gone.jpg")))


def test_rules_come_from_the_profile(tmp_path: Path) -> None:
    profile = tmp_path / "p.yaml"
    profile.write_text(
        "identity:\n  people:\n    - {photo: a.jpg, keep: true}\n    - {photo: b.jpg, geometry: 1}\n"
    )
    people = load_config(profile).identity.people
    assert people == (PersonRule("a.jpg", keep=True), PersonRule("b.jpg", geometry=1.0))


@pytest.mark.parametrize(
    ("people", "told"),
    [
        ("{photo: a.jpg}", "identity.people is a list"),
        ("[{keep: true}]", "needs a photo"),
        ("[{photo: a.jpg, geometry: 2}]", "geometry in identity.people must lie between 0 and 1"),
        ("[{photo: a.jpg, keeep: true}]", r"identity.people\[0\].keeep.*did you mean"),
    ],
)
def test_wrong_rules_are_named(tmp_path: Path, people: str, told: str) -> None:
    profile = tmp_path / "p.yaml"
    profile.write_text(f"identity:\n  people: {people}\n")
    with pytest.raises(ConfigError, match=told):
        load_config(profile)


def test_a_key_is_bytes_that_are_many_enough(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(bytes(range(32)))
    (tmp_path / "short").write_bytes(b"1234")
    assert read_key(str(tmp_path / "key")) == bytes(range(32))
    with pytest.raises(ConfigError, match="has only 4 bytes: give 16"):
        read_key(str(tmp_path / "short"))
    with pytest.raises(ConfigError, match="make one with"):
        read_key(str(tmp_path / "gone"))


@pytest.mark.skipif(not Path("/dev/urandom").exists(), reason="needs a device without an end")
def test_a_device_without_an_end_is_no_key() -> None:
    with pytest.raises(ConfigError, match="make a file of 32"):
        read_key("/dev/urandom")
