"""Every error that streamanon raises on purpose.

::

    StreamanonError
    ├── ConfigError (ValueError)      a setting, option or profile is wrong
    ├── SourceError (OSError)         the input cannot be opened or read
    ├── SinkError (OSError)           the output cannot be written
    ├── ModelError (RuntimeError)     a model or backend cannot be loaded or run
    ├── StallError (TimeoutError)     a stage stalled: no frame for minutes
    ├── FaultError (RuntimeError)     something failed, and cover.on_error is "stop"
    ├── DetectionError (RuntimeError) one frame's detection failed: the frame is covered whole
    └── SynthesisError (RuntimeError) one face could not be made: the next rung covers it

The first six end the run. The last two are recoverable and are caught inside the chain, where the
answer is always to cover more. DetectionError is raised, too, for a lone image that is covered whole.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import traceback
from pathlib import Path
from typing import TextIO

#: Of ASCII and Latin-1, line separators, and those that turn the direction of what follows.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


class StreamanonError(Exception):
    """Root of the tree; the command line prints its message as one sentence."""


class ConfigError(StreamanonError, ValueError):
    """Fatal: a setting, option or profile is wrong."""


class SourceError(StreamanonError, OSError):
    """Fatal: the input cannot be opened or read."""


class SinkError(StreamanonError, OSError):
    """Fatal: the output cannot be written."""


class ModelError(StreamanonError, RuntimeError):
    """Fatal: a model or backend cannot be loaded or run."""


class StallError(StreamanonError, TimeoutError):
    """Fatal: a stage stalled: it delivered no frame for minutes."""


class FaultError(StreamanonError, RuntimeError):
    """Fatal: something failed that could have been covered, and the user asked to stop at that."""


class DetectionError(StreamanonError, RuntimeError):
    """Recoverable: detection failed on one frame, which is then covered whole. Raised for an image by
    itself of which nothing can be shown.
    """


class SynthesisError(StreamanonError, RuntimeError):
    """Recoverable: one face could not be synthesised; the next rung covers it."""


def sentence(error: BaseException) -> str:
    """One line on any error, with its notes: the message of one of ours, else what it was and where.

    Messages of others are not shown, as they may quote an address with its password.
    """
    return "; ".join([_said(error), *getattr(error, "__notes__", ())])


def _said(error: BaseException) -> str:
    if isinstance(error, StreamanonError):
        return " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return "not enough memory: scale the input down, or set a shorter look-ahead"
    package = Path(__file__).parent
    steps = traceback.extract_tb(error.__traceback__)
    ours = [step for step in steps if package in Path(step.filename).parents]
    place = f" in {Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else ""
    if isinstance(error, OSError) and error.strerror:
        return f"system error{place}: {error.strerror}"
    return f"unexpected {type(error).__name__}{place}; this is a bug: please report it"


def plain(text: str) -> str:
    """One line in which control characters are written as \\x1b: names of files and what stands in them
    may come from strangers, and a terminal or a log would obey.
    """
    return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], text)


def _plain_lines(text: str) -> str:
    return "\n".join(map(plain, text.split("\n")))


def tell(line: str, stream: TextIO | None = None) -> None:
    """Print a line, to stderr by default, and do not fail if nobody reads it."""
    stream = sys.stderr if stream is None else stream
    try:
        # In one write, as several threads tell.
        print(f"{_plain_lines(line)}\n", end="", file=stream, flush=True)
    except OSError:
        _close_quietly(stream)


def answer(text: str) -> None:
    """Print what a command was asked for, to standard output. Raises :class:`SinkError` where it cannot be
    written; a reader who goes away has read enough.
    """
    try:
        print(_plain_lines(text), flush=True)
    except BrokenPipeError:
        _close_quietly(sys.stdout)
    except OSError as error:
        _close_quietly(sys.stdout)
        raise SinkError(f"cannot write to standard output: {error.strerror}; send it elsewhere") from error


def _close_quietly(stream: TextIO) -> None:
    """What is buffered would fail once more when Python ends."""
    with contextlib.suppress(OSError), open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())
