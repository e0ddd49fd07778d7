"""The HTTP server that tells how the cameras are: ``/healthz``, ``/readyz`` and ``/metrics``."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler
from typing import cast

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from streamanon.errors import ConfigError
from streamanon.live.camera import Camera
from streamanon.live.http_server import HttpServer
from streamanon.live.metrics import Collector

#: A client that is silent for so long is left, s.
CLIENT_SECONDS = 5.0


class StatusServer:
    """``cameras``: by name, may change meanwhile. Raises :class:`ConfigError` where the port is taken."""

    def __init__(self, host: str, port: int, cameras: dict[str, Camera]) -> None:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(Collector(cameras))
        try:
            self._server = _Server((host, port), cameras, registry)
        except OSError as error:
            raise ConfigError(
                f"cannot listen at {host}:{port} ({error.strerror}); give another with --status"
            ) from None
        self._thread = threading.Thread(target=self._server.serve_forever, name="status", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(2)


class _Server(HttpServer):
    def __init__(
        self, address: tuple[str, int], cameras: dict[str, Camera], registry: CollectorRegistry
    ) -> None:
        self.cameras, self.registry = cameras, registry
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    timeout = CLIENT_SECONDS

    def do_GET(self) -> None:
        server = cast(_Server, self.server)
        path = self.path.split("?", 1)[0]
        if path == "/healthz":
            self._answer(200, "text/plain; charset=utf-8", b"ok\n")
        elif path == "/readyz":
            states = readiness(server.cameras)
            ready = bool(states) and all(all(one.values()) for one in states.values())
            body = json.dumps({"ready": ready, "cameras": states}, indent=2).encode() + b"\n"
            self._answer(200 if ready else 503, "application/json", body)
        elif path == "/metrics":
            self._answer(200, CONTENT_TYPE_LATEST, generate_latest(server.registry))
        else:
            self._answer(404, "text/plain; charset=utf-8", b"try /healthz, /readyz or /metrics\n")

    def _answer(self, code: int, kind: str, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not logged."""


def readiness(cameras: dict[str, Camera]) -> dict[str, dict[str, bool]]:
    """By camera and output: whether what it published last is fresh. A camera without outputs yet is told
    as not ready.
    """
    now = time.monotonic()
    return {
        name: {output.target.shown: output.is_fresh(now) for output in list(camera.outputs)}
        or {"source": False}
        for name, camera in list(cameras.items())
    }
