"""What is read of delegates that heads wear, and who is left out by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np

from streamanon.gallery.delegates import gallery_of, read_fields
from streamanon.training.readings import Head, readings, weights_of, with_readings

GALLERY = Path(__file__).parents[2] / "engines" / "delegates-v3.npz"


def head(male: bool, tone: float) -> Head:
    nothing = cast(Any, None)
    return Head(male, tone, nothing, nothing, nothing)


HEADS = [head(True, -40), head(True, 50), head(False, -40), head(False, 50), head(False, 52)]


class FakeWearing:
    """On dark heads delegates read as masculine and 60, on light ones as feminine and 20."""

    def read(self, head: Head, row: int) -> tuple[float, float]:
        return (0.9, 60.0) if head.tone < 0 else (0.1, 20.0)


def test_heads_of_the_same_sex_count_and_those_of_like_tone_most() -> None:
    weights = weights_of(HEADS, np.array([True, False]), np.array([-45, 48], np.float32))
    np.testing.assert_allclose(weights.sum(0), 1)
    assert (weights[2:, 0] == 0).all()
    assert (weights[:2, 1] == 0).all()
    assert weights[0, 0] > 0.9
    assert weights[2, 1] < 0.05


def test_a_delegate_reads_as_on_heads_of_its_tone() -> None:
    gallery = gallery_of(read_fields(GALLERY))
    odds, years = readings(gallery, cast(Any, FakeWearing()), HEADS)
    dark, light = int(gallery.tones.argmin()), int(gallery.tones.argmax())
    assert odds[dark] > 1.5
    assert odds[light] < -1.5
    assert years[dark] > 50
    assert years[light] < 30


def test_who_reads_as_the_other_sex_or_as_neither_is_left_out() -> None:
    arrays = read_fields(GALLERY)
    count = len(arrays["ids"])
    odds = np.where(arrays["masculine"] > 0.5, 2.0, -2.0).astype(np.float32)
    odds[3], odds[5], odds[8] = -odds[3], 0.2, 0.0
    years = np.linspace(20, 70, count).astype(np.float32)
    made = with_readings(arrays, odds, years)
    assert len(made["ids"]) == count - 3
    assert not {str(arrays["ids"][row]) for row in (3, 5, 8)} & set(made["ids"].tolist())
    before, after = gallery_of(arrays), gallery_of({**arrays, **made})
    for delegate in after.delegates[::40]:
        old = before.find(delegate.id)
        np.testing.assert_array_equal(delegate.stored, old.stored)
        assert (delegate.masculine > 0.5) == (old.masculine > 0.5)
    assert after.delegates[-1].worn is not None
    assert after.delegates[-1].worn[1] == years[-1]
