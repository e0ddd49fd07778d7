"""The secret by which runs and cameras agree on people's delegates."""

from __future__ import annotations

from streamanon.errors import ConfigError

LEAST_BYTES, MOST_BYTES = 16, 1 << 20


def read_key(name: str) -> bytes:
    """The bytes of a key file. Raises :class:`ConfigError` for one that is missing or of a wrong size."""
    try:
        with open(name, "rb") as file:
            key = file.read(MOST_BYTES + 1)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        remedy = f"make one with: head -c 32 /dev/urandom > {name}" if missing else "check the path"
        raise ConfigError(f"cannot read the identity key {name}: {error.strerror}; {remedy}") from error
    if len(key) < LEAST_BYTES:
        raise ConfigError(f"the identity key {name} has only {len(key)} bytes: give {LEAST_BYTES} or more")
    if len(key) > MOST_BYTES:  # /dev/urandom has no end, and other bytes each time
        raise ConfigError(
            f"the identity key {name} has more than {MOST_BYTES} bytes; make a file of 32: head -c 32"
            " /dev/urandom > my.key"
        )
    return key
