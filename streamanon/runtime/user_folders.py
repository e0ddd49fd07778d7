"""Where a user's own data and caches lie, by the XDG Base Directory Specification."""

from __future__ import annotations

import os
from pathlib import Path


def user_folder(variable: str, within_home: str) -> Path:
    """The folder that the environment's ``variable`` names, or the one in the user's home. For a user
    without a home, as in a container, it is one that cannot be made: nothing is read or stored there.
    """
    given = os.environ.get(variable)
    if given:
        return Path(given) / "streamanon"
    try:
        home = Path.home()
    except RuntimeError:
        home = Path(os.devnull)
    return home / within_home / "streamanon"
