from __future__ import annotations

import pytest

from streamanon.errors import ConfigError
from streamanon.gallery.delegates import open_gallery
from streamanon.runtime.models import Engines


@pytest.mark.parametrize("sex", ["f", "m"])
@pytest.mark.parametrize("age", [*(pytest.param(one, marks=pytest.mark.slow) for one in (25, 60)), 40])
@pytest.mark.parametrize("tone", [4, *(pytest.param(one, marks=pytest.mark.slow) for one in (2, 6))])
def test_a_delegate_is_what_was_asked_for(sex: str, age: int, tone: int) -> None:
    gallery = open_gallery(Engines.open())
    found = gallery.find(f"age={age},sex={sex},tone={tone}")
    assert (found.masculine > 0.5) == (sex == "m")
    assert gallery.find(f"tone={tone}, age={age}, sex={sex}").id == found.id


def test_each_attribute_moves_the_choice() -> None:
    gallery = open_gallery(Engines.open())
    tones = {
        delegate.id: float(tone) for delegate, tone in zip(gallery.delegates, gallery.tones, strict=True)
    }
    assert abs(gallery.find("age=30,sex=f,tone=3").age - 30) < 8
    assert abs(gallery.find("age=70").age - 70) < 3
    assert tones[gallery.find("tone=6").id] < 0 < 25 < tones[gallery.find("tone=2").id]


@pytest.mark.parametrize(
    "text",
    ["age=old", "sex=x", "tone=0", "hair=red", "age=30,age=40"]
    + [pytest.param(one, marks=pytest.mark.slow) for one in ("age=", "tone=7", "age=30,", "=", "age=0")],
)
def test_anything_else_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match="age=30,sex=f,tone=3"):
        open_gallery(Engines.open()).find(text)
