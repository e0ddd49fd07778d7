"""Faces made at once are really made, or nothing is timed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from streamanon.api import Anonymizer
from streamanon.bench import child
from streamanon.bench.child import Given, run_faces
from streamanon.bench.faces import NotMadeError, time_faces
from streamanon.config import ComputeConfig, load_config
from streamanon.errors import ConfigError
from streamanon.runtime.backends import open_backend
from streamanon.types import Faces


@pytest.fixture(scope="module")
def anonymizer() -> Anonymizer:
    return Anonymizer(
        load_config(None, ["compute.threads=1"]), open_backend(ComputeConfig("onnxruntime", 1))
    )


@pytest.mark.parametrize("count", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_so_many_faces_are_made(count: int, anonymizer: Anonymizer) -> None:
    found = time_faces(anonymizer, count, 0)
    assert found["milliseconds"]["p50"] > 0
    rate = 1000 * count / found["milliseconds"]["p50"]
    assert found["faces_per_second"] == pytest.approx(rate, rel=0.01, abs=0.06)  # told to a tenth


def test_a_face_that_is_not_found_is_not_timed(
    anonymizer: Anonymizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anonymizer, "detector", SimpleNamespace(detect=lambda _frame: Faces.empty()))
    with pytest.raises(NotMadeError, match=r"^0 of 4 faces were found"):
        time_faces(anonymizer, 4, 0)


@pytest.mark.slow
def test_a_face_that_is_not_painted_is_not_timed(
    anonymizer: Anonymizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert anonymizer.parts is not None
    generator = SimpleNamespace(paint=lambda _picture, jobs: [None] * len(jobs))
    monkeypatch.setattr(
        anonymizer, "parts", SimpleNamespace(**vars(anonymizer.parts) | {"generator": generator})
    )
    with pytest.raises(NotMadeError, match=r"^0 of 1 faces were painted"):
        time_faces(anonymizer, 1, 0)


def test_without_generated_faces_it_says_so(
    anonymizer: Anonymizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anonymizer, "parts", None)
    with pytest.raises(ConfigError, match="use synthesize"):
        time_faces(anonymizer, 1, 0)


def test_a_number_that_fails_is_told_beside_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def timed(_anonymizer: Any, count: int, _seconds: float) -> dict[str, Any]:
        if count == 16:
            raise NotMadeError("15 of 16 faces were found")
        return {"faces_per_second": 1.0}

    monkeypatch.setattr(child, "time_faces", timed)
    monkeypatch.setattr(child, "Anonymizer", lambda config: config)
    rows = run_faces(Given(None, []), "onnxruntime", "auto", quick=False)
    assert [row["faces"] for row in rows] == [1, 4, 8, 16]
    assert [row.get("error") for row in rows] == [None, None, None, "15 of 16 faces were found"]


@pytest.mark.slow
def test_every_run_has_a_new_picture(anonymizer: Anonymizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a device would keep the planes, and their way there would not be timed."""
    assert anonymizer.parts is not None
    seen: list[int] = []
    kept: list[Any] = []
    paint = anonymizer.parts.generator.paint

    def noting(picture: Any, jobs: Any) -> Any:
        kept.append(picture)
        seen.append(id(picture))
        return paint(picture, jobs)

    monkeypatch.setattr(anonymizer.parts.generator, "paint", noting)
    time_faces(anonymizer, 1, 60, most=2)
    assert len(set(seen)) == len(seen) == 3
    assert all(np.shares_memory(kept[0].planes[0], one.planes[0]) for one in kept)
