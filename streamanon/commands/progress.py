"""Whether commands draw a progress bar."""

from __future__ import annotations

import sys


def hides_progress(quiet: bool) -> bool:
    """With ``--quiet``, and where nobody would see the bar move: in a log, or without standard error."""
    return quiet or sys.stderr is None or not sys.stderr.isatty()
