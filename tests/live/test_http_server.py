"""Clients of the status page and of Motion JPEG that hang up."""

from __future__ import annotations

import socket
import struct
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler

import pytest
from live_scenes import wait_for

import streamanon.live.http_server as http_server
from streamanon.live.http_server import HttpServer
from streamanon.live.mjpeg import MjpegOutput
from streamanon.live.status_server import StatusServer
from streamanon.live.targets import target_of


def hang_up(port: int, sent: bytes) -> None:
    """Connect, send, and reset the connection, as port scanners do; returns once the server noticed."""
    threads = threading.active_count()
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(sent)
    assert wait_for(lambda: threading.active_count() > threads)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    assert wait_for(lambda: threading.active_count() == threads)


@pytest.mark.parametrize("sent", [b"", b"GET /he"])
def test_clients_that_hang_up_are_not_told(sent: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    """A traceback with their address would be in the log of each."""
    status = StatusServer("127.0.0.1", 0, {})
    view = MjpegOutput(target_of("mjpeg://127.0.0.1:0"), lambda _state, _reason: None)
    try:
        for port in (status.port, view.port):
            hang_up(port, sent)
        with urllib.request.urlopen(f"http://127.0.0.1:{status.port}/healthz", timeout=10) as answer:
            assert answer.read() == b"ok\n"
    finally:
        status.close()
        view.close()
        view.join(5)
    assert capsys.readouterr().err == ""


def test_a_flood_of_connections_takes_no_more_than_its_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "MOST_CONNECTIONS", 3)
    status = StatusServer("127.0.0.1", 0, {})
    threads = threading.active_count()
    clients = [socket.create_connection(("127.0.0.1", status.port)) for _ in range(5)]
    try:
        for client in clients[3:]:
            client.settimeout(10)
            assert client.recv(1) == b""
        assert threading.active_count() <= threads + 3
        for client in clients:
            client.close()
        assert wait_for(lambda: threading.active_count() == threads)
        with urllib.request.urlopen(f"http://127.0.0.1:{status.port}/healthz", timeout=10) as answer:
            assert answer.status == 200
    finally:
        status.close()


def test_an_error_of_ours_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    server = HttpServer(("127.0.0.1", 0), BaseHTTPRequestHandler, bind_and_activate=False)
    try:
        try:
            raise ValueError("a bug")
        except ValueError:
            server.handle_error(None, "client")
    finally:
        server.server_close()
    assert "ValueError: a bug" in capsys.readouterr().err
