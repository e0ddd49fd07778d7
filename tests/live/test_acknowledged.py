"""A server that takes nothing more is noticed long before the buffers are full."""

from __future__ import annotations

import socket
import sys
import time

import pytest
from live_scenes import wait_for

from streamanon.live.acknowledged import Acknowledged

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="TCP_INFO is Linux's")


def test_a_server_that_reads_nothing_is_stuck_and_one_that_reads_is_not() -> None:
    now = 0.0
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        with socket.create_connection(listening.getsockname()) as sending:
            server, _ = listening.accept()
            with server, Acknowledged(5.0, lambda: now) as acknowledged:
                assert not acknowledged.is_stuck
                now = 100.0
                assert not acknowledged.is_stuck, "nothing was sent, and so nothing waits"
                sending.sendall(bytes(200_000))
                time.sleep(0.1)
                assert not acknowledged.is_stuck
                now = 104.0
                assert not acknowledged.is_stuck
                now = 106.0
                assert acknowledged.is_stuck
                server.settimeout(1)
                server.recv(200_000)
                assert wait_for(lambda: not acknowledged.is_stuck, 5)
