"""Fixtures that several test files share."""

from __future__ import annotations

from pathlib import Path

import pytest
from clips import write_clip

from streamanon.engines import Engines
from streamanon.errors import ModelError


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64x48, 12 frames at 25 a second, with AAC."""
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", audio=["aac"])


@pytest.fixture(scope="session")
def engines() -> Engines:
    """The real models; skips while one of them is missing or being retrained."""
    engines = Engines.open()
    try:
        for name in ("face-detector", "face-mesh", "delegates"):
            engines.path(name)
    except ModelError as error:
        pytest.skip(str(error))
    return engines
