"""The file that a run writes: beside the name that was asked for, which it gets once it is complete."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from streamanon.errors import ConfigError, SinkError, StreamanonError, plain
from streamanon.media.address import is_address, redact_url

try:
    import fcntl
except ImportError:  # not on Windows, which lets nobody else replace or delete an open file
    fcntl = None  # type: ignore[assignment]

#: How a caller asks for it, for messages.
_OVERWRITE = "--overwrite (in Python overwrite=True)"


def partial_path(path: Path) -> Path:
    """Where a file is written before it is complete: it plays there, too."""
    return path.with_name(f"{path.stem}.partial{path.suffix}")


def is_stdout(path: Path) -> bool:
    """Whether this stands for standard output: ``-`` with the suffix of a container, in no folder."""
    return path.stem == "-" and path.parent == Path()


def file_path(path: Path) -> Path:
    """The path of a file, also where its name alone would stand for standard output."""
    return path.absolute() if is_stdout(path) else path


def shown(path: Path) -> str:
    """What an output is called in messages."""
    return "standard output" if is_stdout(path) else plain(redact_url(str(path)))


def check_free(path: Path, overwrite: bool) -> None:
    """Raises :class:`ConfigError` for a folder, and where a file would be replaced that nobody asked to
    replace.
    """
    if is_stdout(path):
        return
    if os.path.isdir(path):
        raise ConfigError(f"{redact_url(str(path))} is a folder; give a file name")
    if overwrite:
        return
    if os.path.isfile(path):
        raise ConfigError(
            f"{redact_url(str(path))} exists already; give another name, or {_OVERWRITE} to replace it"
        )
    partial = partial_path(Path(os.path.realpath(path)))
    if os.path.isfile(partial):
        raise ConfigError(
            f"{redact_url(str(partial))} exists already, from another run, unfinished or interrupted; "
            f"move it away, or give {_OVERWRITE} to replace it"
        )


def is_same_file(path: Path, other: str | Path) -> bool:
    """Whether both name one file, which need not exist. An address is no file."""
    if is_address(str(other)):
        return False
    if os.path.exists(path) and os.path.exists(other):
        return os.path.samefile(path, other)
    return os.path.realpath(path) == os.path.realpath(other)


def check_folder(path: Path, what: str = "") -> None:
    """Raises :class:`ConfigError` where the output's folder is missing or must not be written; ``what``
    names the file there, with a space behind.
    """
    folder = path.absolute().parent
    if not os.path.isdir(folder):
        raise ConfigError(f"cannot write {what}{shown(path)}: make its folder first")
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"cannot write {what}{shown(path)}: choose a folder that you may write to")


def check_writable(path: Path, overwrite: bool, inputs: Iterable[str | Path] = ()) -> None:
    """What a command checks of a small output before its work. Raises :class:`ConfigError` where the folder
    is missing, the output is one of the inputs, or a file would be replaced that nobody asked to replace.
    """
    check_folder(path)
    if any(is_same_file(path, one) for one in inputs):
        raise ConfigError(f"the output {shown(path)} is an input; give another name")
    check_free(path, overwrite)


def write_file(path: Path, content: bytes, overwrite: bool = False, what: str = "") -> None:
    """Write a small file as a whole or not at all. Raises as :class:`OutputFile` does, and
    :class:`SinkError` where the file system refuses; ``what`` names the file there, with a space behind.
    """
    try:
        _write_whole(path, content, overwrite)
    except StreamanonError:
        raise
    except OSError as error:
        raise SinkError(f"cannot write {what}{path}: {error.strerror}; check the folder") from error


def _write_whole(path: Path, content: bytes, overwrite: bool) -> None:
    file = OutputFile(path, overwrite)
    try:
        with file:
            file.write(content)
        file.finish()
    except ConfigError:  # the name was taken meanwhile: the error says where the result is
        raise
    except BaseException:
        file.discard()
        raise


class OutputFile(io.FileIO):
    """What FFmpeg writes through. A disk or reader that hangs must not stop the other threads, and PyAV
    does not let them go on while FFmpeg itself opens a file, or writes its header or end; this does.

    ``partial``: where it lies until :meth:`finish`; None for a pipe or device, which is written as it is.
    Only one at a time has it open. Raises :class:`ConfigError` where the file or its partial one exists and
    ``overwrite`` is false, and :class:`SinkError` where another run writes it.
    """

    def __init__(self, path: Path, overwrite: bool = False) -> None:
        self._target, self._overwrite = Path(os.path.realpath(path)), overwrite
        self.partial: Path | None = None
        #: Of writing: FFmpeg does not tell it, and says only that something failed.
        self.failure: OSError | None = None
        self._streams = is_stdout(path)
        if self._streams:
            super().__init__(os.dup(1), "w")
            return
        if os.path.exists(path) and not os.path.isfile(path):
            super().__init__(path, "w")
            return
        check_free(path, overwrite)
        self.partial = partial_path(self._target)
        super().__init__(_claim(self.partial, overwrite), "w")

    def write(self, data: Any, /) -> int:
        """All of some bytes: FFmpeg takes a part that was written for the whole."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.failure = error
            raise
        return len(data)

    def seekable(self) -> bool:
        """Standard output may be a file that other programs write, too: nothing goes back in it."""
        return not self._streams and super().seekable()

    def finish(self) -> None:
        """Give the closed file its name. Raises :class:`ConfigError` where that was taken meanwhile."""
        if self.partial is None:
            return
        if os.path.isfile(self._target):
            if not self._overwrite:
                taken, ours = (redact_url(str(path)) for path in (self._target, self.partial))
                raise ConfigError(
                    f"{taken} was created meanwhile by another program; the result is in {ours}"
                )
            shutil.copymode(self._target, self.partial)
        os.replace(self.partial, self._target)

    def discard(self) -> None:
        """Remove what was written, closed or not."""
        if self.partial is not None:
            self.partial.unlink(missing_ok=True)


def _claim(partial: Path, overwrite: bool) -> int:
    """The number of the file, open, empty and locked. Nothing is written through a link: in a folder that
    others may write to, anybody may have made it.
    """
    if partial.is_symlink():
        raise ConfigError(f"{shown(partial)} is a link to another file; remove it, or give another output")
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    flags |= getattr(os, "O_NOFOLLOW", 0)
    try:
        number = os.open(partial, flags | (0 if overwrite else os.O_EXCL), 0o666)
    except FileExistsError:
        raise _in_use(partial) from None
    try:
        _lock(number)
        if not os.path.samestat(os.fstat(number), os.stat(partial)):  # its run has just renamed it
            raise BlockingIOError
        os.ftruncate(number, 0)
    except (BlockingIOError, FileNotFoundError):
        os.close(number)
        raise _in_use(partial) from None
    except BaseException:
        os.close(number)
        raise
    return number


def _lock(number: int) -> None:
    """Raises BlockingIOError where another run holds the lock."""
    if fcntl is None:
        return
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # a file system without locks
        pass


def _in_use(partial: Path) -> SinkError:
    return SinkError(f"another run is writing {shown(partial)}; give this one another output")
