"""Replaces every face in a video with a synthetic one, the same one for the same person.

    for frame in streamanon.Anonymizer("cctv").frames("in.mp4"):
        pixels = streamanon.to_rgb(frame.picture)

The names below are loaded when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamanon.api import Anonymizer, anonymize
    from streamanon.config import Config, load_config
    from streamanon.errors import StreamanonError
    from streamanon.media.yuv import to_rgb

__version__ = "0.1.0"
__all__ = ["Anonymizer", "Config", "StreamanonError", "anonymize", "load_config", "to_rgb"]

_HOMES = {
    "Anonymizer": "streamanon.api",
    "anonymize": "streamanon.api",
    "Config": "streamanon.config",
    "load_config": "streamanon.config",
    "StreamanonError": "streamanon.errors",
    "to_rgb": "streamanon.media.yuv",
}


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'streamanon' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
