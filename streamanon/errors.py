"""Every error that streamanon raises on purpose.

::

    StreamanonError
    ├── ConfigError (ValueError)      a setting, option or profile is wrong
    ├── SourceError (OSError)         the input cannot be opened or read
    ├── SinkError (OSError)           the output cannot be written
    ├── ModelError (RuntimeError)     a model or backend cannot be loaded or run
    ├── DetectionError (RuntimeError) one frame's detection failed: the frame is covered whole
    └── SynthesisError (RuntimeError) one face could not be made: the next rung covers it

The first four end the run. The last two are recoverable and are caught inside the chain, where the
answer is always to cover more.
"""

from __future__ import annotations


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


class DetectionError(StreamanonError, RuntimeError):
    """Recoverable: detection failed on one frame, which is then covered whole."""


class SynthesisError(StreamanonError, RuntimeError):
    """Recoverable: one face could not be synthesised; the next rung covers it."""
