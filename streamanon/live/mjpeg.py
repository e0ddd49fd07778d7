"""A browser's view: Motion JPEG over HTTP. Each viewer gets the newest picture; a slow one skips some."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import cast
from urllib.parse import urlsplit

import cv2

from streamanon.errors import SinkError
from streamanon.live.http_server import HttpServer
from streamanon.live.outputs import OutputCounts
from streamanon.live.states import State, Status
from streamanon.live.targets import Target
from streamanon.media.yuv import to_rgb
from streamanon.types import SafeFrame, check_safe

JPEG_QUALITY = 80
#: A viewer that takes nothing for so long is gone, s.
VIEWER_SECONDS = 10.0
#: Most viewers at a time.
MOST_VIEWERS = 8
_BOUNDARY = b"picture"


class MjpegOutput:
    """Serves one camera. Nothing is compressed while nobody looks."""

    def __init__(self, target: Target, tell: Callable[[State, str], None]) -> None:
        self.target, self.counts = target, OutputCounts()
        self.status = Status(tell)
        self.newest: float | None = None
        self.failure = ""  # viewers that leave are none
        #: Taken by each viewer as long as they look.
        self.places = threading.BoundedSemaphore(MOST_VIEWERS)
        self._frame: SafeFrame | None = None
        self._number = 0
        self._changed = threading.Condition()
        self._closed = False
        parts = urlsplit(target.address)
        try:
            self._server = _Server((parts.hostname or "127.0.0.1", parts.port or 0), self)
        except OSError as error:
            raise SinkError(
                f"cannot listen at {target.shown} ({error.strerror}); choose another port"
            ) from None
        self._thread = threading.Thread(target=self._server.serve_forever, name="mjpeg", daemon=True)
        self._thread.start()
        self.status.be(State.RUNNING)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def waiting(self) -> int:
        return 0

    def show(self, frame: SafeFrame, born: float) -> None:
        """The newest picture; returns at once."""
        check_safe(frame)
        with self._changed:
            self._frame, self._number = frame, self._number + 1
            self.newest = born or self.newest
            self._changed.notify_all()

    def next_picture(self, after: int) -> tuple[int, bytes] | None:
        """The first picture after number ``after``, as JPEG, and its number; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._number > after or self._closed)
            frame, number = self._frame, self._number
            if self._closed or frame is None:
                return None
        self.counts.dropped += max(0, number - after - 1) if after else 0
        _, data = cv2.imencode(
            ".jpg", to_rgb(frame.picture)[:, :, ::-1], (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY)
        )
        return number, data.tobytes()

    def is_fresh(self, now: float, age_seconds: float = 5.0) -> bool:
        return self.newest is not None and now - self.newest <= age_seconds

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def join(self, seconds: float) -> None:
        """End the server; viewers' threads end with their next picture."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(seconds)
        self.status.be(State.ENDED)


class _Server(HttpServer):
    request_queue_size = MOST_VIEWERS

    def __init__(self, address: tuple[str, int], output: MjpegOutput) -> None:
        self.output = output
        super().__init__(address, _Viewer)


class _Viewer(BaseHTTPRequestHandler):
    timeout = VIEWER_SECONDS

    def do_GET(self) -> None:
        output = cast(_Server, self.server).output
        if not output.places.acquire(blocking=False):
            self.send_error(503, "too many viewers")
            return
        try:
            with contextlib.suppress(OSError):
                self._show(output)
        finally:
            output.places.release()

    def _show(self, output: MjpegOutput) -> None:
        self.send_response(200)
        self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={_BOUNDARY.decode()}")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        number = 0
        while (found := output.next_picture(number)) is not None:
            number, data = found
            head = b"--%s\r\nContent-Type: image/jpeg\r\n" % _BOUNDARY
            self.wfile.write(head + b"Content-Length: %d\r\n\r\n" % len(data) + data + b"\r\n")
            output.counts.sent += 1

    def log_message(self, format: str, *args: object) -> None:
        """Viewers are not told one by one."""
