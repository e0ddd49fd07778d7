"""Every error that streamanon raises on purpose.

::

    StreamanonError
    ├── ConfigError (ValueError)      a setting, option or profile is wrong
    ├── SourceError (OSError)         the input cannot be opened or read
    ├── SinkError (OSError)           the output cannot be written
    ├── ModelError (RuntimeError)     a model or backend cannot be loaded or run
    ├── StallError (TimeoutError)     a stage hangs: nothing moved for minutes
    ├── FaultError (RuntimeError)     something failed, and cover.on_error is "stop"
    ├── DetectionError (RuntimeError) one frame's detection failed: the frame is covered whole
    └── SynthesisError (RuntimeError) one face could not be made: the next rung covers it

The first six end the run. The last two are recoverable and are caught inside the chain, where the
answer is always to cover more.
"""

from __future__ import annotations

import traceback
from pathlib import Path


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
    """Fatal: a stage hangs."""


class FaultError(StreamanonError, RuntimeError):
    """Fatal: something failed that could have been covered, and the user asked to stop at that."""


class DetectionError(StreamanonError, RuntimeError):
    """Recoverable: detection failed on one frame, which is then covered whole."""


class SynthesisError(StreamanonError, RuntimeError):
    """Recoverable: one face could not be synthesised; the next rung covers it."""


def sentence(error: BaseException) -> str:
    """One line on any error: the message of one of ours, else what it was and where. Messages of others are
    not shown, as they may quote an address with its password.
    """
    if isinstance(error, StreamanonError):
        return " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return "there is not enough memory; scale the input down, or set lookahead.frames lower"
    package = Path(__file__).parent
    steps = traceback.extract_tb(error.__traceback__)
    places = [
        f" in {Path(s.filename).name}:{s.lineno}" for s in steps if package in Path(s.filename).parents
    ]
    return f"unexpected {type(error).__name__}{''.join(places[-1:])}; this is a defect, please report it"
