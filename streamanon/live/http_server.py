"""HTTP servers of a live process: each request in a thread that does not keep the process from ending."""

from __future__ import annotations

import sys
import threading
from http.server import ThreadingHTTPServer
from typing import Any

#: Connections at a time.
MOST_CONNECTIONS = 32


class HttpServer(ThreadingHTTPServer):
    """Says nothing of clients that hang up: port scanners and health checks do, and Python would print a
    traceback with their address. More than :data:`MOST_CONNECTIONS` are closed at once: each takes a thread
    and an open file, of which a flood would leave none for the cameras.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, *arguments: Any, **more: Any) -> None:
        self._places = threading.BoundedSemaphore(MOST_CONNECTIONS)
        super().__init__(*arguments, **more)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread could be started
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)
