"""Compiled plans on disk, so that minutes of compiling are spent once. Knows nothing of the runtime."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from streamanon.runtime.user_folders import user_folder

T = TypeVar("T")


def cache_folder() -> Path:
    """The user's cache folder."""
    return user_folder("XDG_CACHE_HOME", ".cache")


def open_plan(path: Path, build: Callable[[], bytes], load: Callable[[bytes], T | None]) -> T | None:
    """What ``load`` makes of the plan at ``path``. A plan that is missing, or that ``load`` refuses (None),
    is built and stored first. None if even the new one is refused.
    """
    kept = read_plan(path)
    loaded = load(kept) if kept else None
    if loaded is not None:
        return loaded
    plan = build()
    store_plan(path, plan)
    return load(plan)


def store_plan(path: Path, plan: bytes) -> bool:
    """Write beside and rename, so that a process that is killed leaves no torn plan. Where that is not
    possible (a full or read-only disk) nothing is stored, and False returned: it only costs time.
    """
    beside: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
        beside = Path(name)
        with os.fdopen(number, "wb") as file:
            file.write(plan)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        return False
    finally:  # also where the user interrupts it: nothing else would remove the part
        if beside is not None:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
    return True


def read_plan(path: Path) -> bytes | None:
    """What is stored at ``path``; None where that cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return None


def keep_recent(folder: Path, suffix: str, most_bytes: int) -> None:
    """Delete the plans whose names end with ``suffix``, the one used longest ago first, until the others
    hold at most ``most_bytes``. What another process deletes meanwhile, or what cannot be deleted, is left.
    """
    try:
        files = [(path, path.stat()) for path in folder.glob(f"*{suffix}")]
        total = sum(facts.st_size for _, facts in files)
        for path, facts in sorted(files, key=lambda file: file[1].st_mtime):
            if total <= most_bytes:
                return
            path.unlink()
            total -= facts.st_size
    except OSError:
        return


def mark_used(path: Path) -> None:
    """So that :func:`keep_recent` knows."""
    with contextlib.suppress(OSError):
        os.utime(path)
