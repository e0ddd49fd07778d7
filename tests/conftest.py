"""Fixtures that several test files share."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from clips import write_clip
from hypothesis import settings
from remembering import Key, remembered

from streamanon.errors import ModelError
from streamanon.runtime.backends import Model
from streamanon.runtime.models import Engines

# The same examples in every run, however busy the machine; --hypothesis-profile=default looks for new ones.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What models compile to goes to a folder of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("STREAMANON_MEASURE", "0")  # backends are timed only by the tests of that
        yield


@pytest.fixture(autouse=True)
def _own_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws without a seed: the same ones in every run of a test, other ones each time within it."""
    draws = itertools.count()
    default_rng = np.random.default_rng
    monkeypatch.setattr(
        np.random, "default_rng", lambda seed=None: default_rng(next(draws) if seed is None else seed)
    )


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64x48, 12 frames at 25 a second, with AAC."""
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", audio=["aac"])


@pytest.fixture(scope="session")
def engines() -> Engines:
    """The real models; skips while one of them is missing or being retrained."""
    engines = Engines.open()
    try:
        for name in ("face-detector", "face-verifier", "face-mesh", "delegates"):
            engines.path(name)
    except ModelError as error:
        pytest.skip(str(error))
    return engines


@pytest.fixture(scope="session")
def _loaded_models() -> dict[Key, Model]:
    return {}


@pytest.fixture(scope="module")
def remembering_models(_loaded_models: dict[Key, Model]) -> Iterator[None]:
    """The real models, loaded once for all modules that use this, and run once for each input."""
    with remembered(_loaded_models):
        yield
