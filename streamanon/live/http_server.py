"""HTTP servers of a live process: each request in a thread that does not keep the process from ending."""

from __future__ import annotations

import sys
from http.server import ThreadingHTTPServer
from typing import Any


class HttpServer(ThreadingHTTPServer):
    """Says nothing of clients that hang up: port scanners and health checks do, and Python would print a
    traceback with their address.
    """

    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)
