"""The secret by which runs and cameras agree on people's delegates."""

from __future__ import annotations

from pathlib import Path

from streamanon.errors import ConfigError

LEAST_BYTES = 16


def read_key(name: str) -> bytes:
    """The bytes of a key file. Raises :class:`ConfigError` for one that is missing or too short."""
    try:
        key = Path(name).read_bytes()
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        remedy = f"make one with: head -c 32 /dev/urandom > {name}" if missing else "check the path"
        raise ConfigError(f"cannot read the identity key {name}: {error.strerror}; {remedy}") from error
    if len(key) < LEAST_BYTES:
        raise ConfigError(f"the identity key {name} has only {len(key)} bytes: give {LEAST_BYTES} or more")
    return key
