"""The child process that speaks SRT: PyAV's FFmpeg does not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import IO

from streamanon.errors import ConfigError

PROGRAM = "srt-live-transmit"
#: Replaces itself by a program that the system kills with this process: else one that waits for a sender
#: would stay, and keep its port.
_BOUND = (
    "import ctypes, os, sys;"
    "sys.platform == 'linux' and ctypes.CDLL(None).prctl(1, 9);"
    "os.execvp(sys.argv[1], sys.argv[1:])"
)


def check_installed() -> None:
    """Raises :class:`ConfigError` where the program is missing."""
    if shutil.which(PROGRAM) is None:
        raise ConfigError(f"srt:// needs the program {PROGRAM}: install the package srt-tools")


def transmit(
    source: str, target: str, stdin: int | IO[bytes], stdout: int | IO[bytes]
) -> subprocess.Popen[bytes]:
    """Start it. ``file://con`` stands for the pipe that is given. Raises :class:`ConfigError`."""
    check_installed()
    command = [sys.executable, "-P", "-S", "-c", _BOUND, PROGRAM, "-q", "-a:no", source, target]
    return subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=subprocess.DEVNULL)
