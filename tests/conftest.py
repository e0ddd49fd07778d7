"""Fixtures that several test files share."""

from __future__ import annotations

from pathlib import Path

import pytest
from clips import write_clip


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64x48, 12 frames at 25 a second, with AAC."""
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", audio=["aac"])
