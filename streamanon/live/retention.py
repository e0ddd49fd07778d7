"""Which files of a rolling archive are kept."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from pathlib import Path
from typing import Any, BinaryIO

#: The folder is looked through this often, s.
EVERY_SECONDS = 10.0


class Retention:
    """Removes files of an archive that are older than ``keep_seconds``, except the newest.

    ``pattern``: the path with strftime's marks in the file name, which alone decides which files are the
    archive's: nothing else in the folder is touched.
    """

    def __init__(self, pattern: Path, keep_seconds: float) -> None:
        self._folder, self._keep = pattern.parent, keep_seconds
        self._names = re.compile(_expression(pattern.name))
        self._looked = float("-inf")

    @staticmethod
    def of(target: str, more: dict[str, Any]) -> Retention | None:
        """As an archive's settings say; None where everything is kept."""
        keep = more.get("keep_seconds")
        return None if keep is None else Retention(Path(target), float(keep))

    def keep(self, now: float) -> None:
        """``now``: s since 1970. A file that cannot be removed is tried again later."""
        if 0 <= now - self._looked < EVERY_SECONDS:  # negative: the clock was set back
            return
        self._looked = now
        with contextlib.suppress(OSError):
            files = [one for one in os.scandir(self._folder) if self._names.fullmatch(one.name)]
            dated = sorted((one.stat().st_mtime, one.path) for one in files if one.is_file())
            # The newest is being written, and what its writer holds back has no date yet.
            for changed, path in dated[:-1]:
                with contextlib.suppress(OSError):
                    if now - changed > self._keep:
                        os.unlink(path)


def remove_empty(pattern: Path) -> None:
    """Remove an archive's files without content: a full disk leaves one with each attempt."""
    names = re.compile(_expression(pattern.name))
    with contextlib.suppress(OSError):
        for entry in os.scandir(pattern.parent):
            if names.fullmatch(entry.name) and entry.is_file() and not entry.stat().st_size:
                os.unlink(entry.path)


#: What strftime's marks become.
_MARKS = {"Y": r"\d{4}", "m": r"\d\d", "d": r"\d\d", "H": r"\d\d", "M": r"\d\d", "S": r"\d\d"}
_MARKS |= {"j": r"\d{3}", "s": r"\d+", "y": r"\d\d", "F": r"\d{4}-\d\d-\d\d", "T": r"\d\d:\d\d:\d\d"}


def new_file(path: Path) -> BinaryIO:
    """A file of an archive, open for writing. It replaces none: a name comes again where the clock is set
    back, as at the end of summer time, and then gets a number. Raises OSError.
    """
    wanted = path
    for number in itertools.count(2):
        try:
            return open(path, "xb")
        except FileExistsError:
            path = wanted.with_name(f"{wanted.stem}_{number}{wanted.suffix}")
    raise AssertionError


def _expression(name: str) -> str:
    """What the names of an archive's files look like, also those that :func:`new_file` gave a number."""
    stem, suffix = os.path.splitext(name)
    parts = re.split(r"%(.)", stem)
    marks = [_MARKS.get(mark, ".*?") if mark != "%" else "%" for mark in parts[1::2]]
    plain = "".join(
        text for pair in zip([re.escape(p) for p in parts[::2]], [*marks, ""], strict=True) for text in pair
    )
    return plain + r"(_\d+)?" + re.escape(suffix)
