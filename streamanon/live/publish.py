"""The child process behind one output: takes encoded packets from a pipe and publishes or writes them.

A server that accepts and stays silent stops this process in the middle of a call that nothing interrupts
(PyAV holds the interpreter's lock there). So it is a process of its own, which tells its progress, and
which its parent kills when the progress stops. Run as ``python -m streamanon.live.publish``; it tells, a
line of JSON each, ``{"state": "open"}``, ``{"done": PACKETS}``, ``{"state": "finished"}`` and
``{"error": TEXT}``.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import av
import av.error
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream

from streamanon.errors import SinkError, StreamanonError
from streamanon.live.acknowledged import Acknowledged
from streamanon.live.retention import Retention, new_file, remove_empty
from streamanon.live.srt import transmit
from streamanon.live.wire import CLOCK_HZ, VIDEO, Encoded, Hello, packets
from streamanon.media.output_file import OutputFile

_PR_SET_PDEATHSIG = 1
#: FFmpeg writes times of 31 bits, in milliseconds, into FLV: after 24.8 days they would be 0 again, s.
FLV_SECONDS = 2**31 // 1000
#: A server that acknowledges nothing for so long is given up, s.
UNACKNOWLEDGED_SECONDS = 5.0


class _FrozenServerError(Exception):
    """The server takes nothing more, though it keeps the connection."""


def main() -> int:
    """Publish what comes by standard input. 0: to its end; 1: the output failed."""
    _die_with_parent()
    source, told = sys.stdin.buffer, os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # nothing else may write between the lines
    hello = Hello.of(source.readline())

    def tell(**what: Any) -> None:
        told.write(json.dumps(what) + "\n")
        told.flush()

    try:
        _publish(hello, source, tell)
        tell(state="finished")
    except (av.error.FFmpegError, OSError, ValueError, StreamanonError) as error:
        if hello.kind == "archive":
            remove_empty(Path(hello.target))
        with contextlib.suppress(OSError):
            tell(error=_why(error, hello.muxer))
        return 1
    except _FrozenServerError:
        with contextlib.suppress(OSError):
            tell(error=f"the server took nothing for {UNACKNOWLEDGED_SECONDS:g} seconds")
        os._exit(1)  # closing the connection would wait for the server
    return 0


def _publish(hello: Hello, source: BinaryIO, tell: Callable[..., None]) -> None:
    with contextlib.ExitStack() as stack:
        output, finish = _open(hello, stack)
        streams = _add_streams(output, hello)
        output.start_encoding()
        tell(state="open")
        retention = Retention.of(hello.target, hello.more) if hello.kind == "archive" else None
        rtmp = hello.target.lower().startswith("rtmp://")
        server = stack.enter_context(Acknowledged(UNACKNOWLEDGED_SECONDS, rtmp))
        base: int | None = None
        for done, packet in enumerate(packets(source.read), 1):
            if base is None:
                base = packet.dts
            if packet.dts >= base:
                if hello.muxer == "flv" and packet.dts - base >= FLV_SECONDS * CLOCK_HZ:
                    raise SinkError("RTMP's times would begin anew; it is connected again")
                output.mux(_packet(packet, base, streams))
            if server.is_stuck():
                raise _FrozenServerError
            tell(done=done)
            if retention is not None:
                retention.keep(time.time())
        output.close()
        stack.close()
        finish(base is not None)


def _open(hello: Hello, stack: contextlib.ExitStack) -> tuple[OutputContainer, Callable[[bool], None]]:
    """The output, and what is done once it is closed, given whether anything is in it."""
    target: Any = hello.target
    options = dict(hello.options)
    finish: Callable[[bool], None] = _nothing
    if hello.kind == "file":
        file = OutputFile(Path(hello.target), bool(hello.more.get("overwrite")))
        stack.callback(file.close)
        target, finish = file, partial(_finish, file)
    elif hello.kind == "srt":
        target = stack.enter_context(_SrtPipe(hello.target))
    elif hello.kind == "hls":
        _clear_playlist(Path(hello.target).parent)
        # Another name each time: players and caches keep what has the same one.
        options["hls_fmp4_init_filename"] = f"init-{time.time_ns() // 1_000_000}.mp4"
    opener = _open_in_archive if hello.kind == "archive" else None
    return av.open(target, "w", format=hello.muxer, options=options, io_open=opener), finish


def _open_in_archive(path: str, _flags: int, _options: dict[str, str]) -> BinaryIO:
    return new_file(Path(path))


def _nothing(_: bool) -> None: ...


def _finish(file: OutputFile, is_filled: bool) -> None:
    if is_filled:
        file.finish()
        return
    file.discard()
    raise SinkError("no picture came")


def _add_streams(output: OutputContainer, hello: Hello) -> list[Stream]:
    with av.open(
        io.BytesIO(hello.header), format="mov", options={"probesize": "32", "analyzeduration": "0"}
    ) as header:
        streams: list[Stream] = [output.add_stream_from_template(one) for one in header.streams]
    context = streams[VIDEO].codec_context
    assert context is not None
    context.extradata = hello.setup
    if context.codec.canonical_name == "hevc" and hello.muxer in ("mp4", "mov", "hls"):
        context.codec_tag = "hvc1"  # Apple's players take no other
    return streams


def _packet(encoded: Encoded, base: int, streams: list[Stream]) -> Packet[Any]:
    packet: Packet[Any] = Packet(encoded.data)
    packet.pts, packet.dts = encoded.pts - base, encoded.dts - base
    packet.duration, packet.time_base = encoded.duration, Fraction(1, CLOCK_HZ)
    packet.is_keyframe, packet.stream = encoded.key, streams[encoded.kind]
    return packet


class _SrtPipe(io.RawIOBase):
    """MPEG-TS into ``srt-live-transmit``: PyAV's FFmpeg has no SRT. It ends with this process."""

    name = "srt"

    def __init__(self, address: str) -> None:
        self._process = transmit("file://con", address, subprocess.PIPE, subprocess.DEVNULL)
        assert self._process.stdin is not None
        self._pipe = self._process.stdin

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self._pipe.write(data)
        self._pipe.flush()
        return len(data)

    def close(self) -> None:
        if not self.closed:
            with contextlib.suppress(OSError):
                self._pipe.close()
            try:
                self._process.wait(1)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        super().close()


def _clear_playlist(folder: Path) -> None:
    """Remove what an earlier run left, which no playlist lists any more."""
    folder.mkdir(parents=True, exist_ok=True)
    for pattern in ("segment-*.m4s", "segment-*.m4s.tmp", "init-*.mp4"):
        for old in folder.glob(pattern):
            old.unlink(missing_ok=True)


def _die_with_parent() -> None:
    """The parent closes the pipe when it ends, which a process that hangs in a call does not notice."""
    for number in (signal.SIGINT, signal.SIGTERM):  # they may go to all processes: the parent decides
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _why(error: Exception, muxer: str = "") -> str:
    """Without the address, which FFmpeg's own messages quote with its password."""
    if isinstance(error, StreamanonError):
        return str(error)
    if isinstance(error, PermissionError):
        return "no permission to write, or the server refused the stream"
    if isinstance(error, av.error.EOFError):
        return "the server closed the connection"
    if muxer == "flv" and getattr(error, "errno", None) == errno.EIO:  # all that FFmpeg says of a refusal
        return "the server refused the stream; check the application and the stream key"
    return str(getattr(error, "strerror", None) or type(error).__name__)


if __name__ == "__main__":
    sys.exit(main())
