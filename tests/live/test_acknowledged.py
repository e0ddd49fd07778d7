"""A server that takes nothing more is noticed long before the buffers are full."""

from __future__ import annotations

import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from live_scenes import wait_for

from streamanon.live.acknowledged import (
    ANSWER_PACKETS,
    SURE_ANSWERS,
    Acknowledged,
    _progress,
    window_request,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="TCP_INFO is Linux's")


def test_a_server_that_reads_nothing_is_stuck_and_one_that_reads_is_not() -> None:
    now = 0.0
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        with socket.create_connection(listening.getsockname()) as sending:
            server, _ = listening.accept()
            with server, Acknowledged(5.0, clock=lambda: now) as acknowledged:
                assert not acknowledged.is_stuck()
                now = 100.0
                assert not acknowledged.is_stuck(), "nothing was sent, and so nothing waits"
                sending.sendall(bytes(200_000))
                time.sleep(0.1)
                assert not acknowledged.is_stuck()
                now = 104.0
                assert not acknowledged.is_stuck()
                now = 106.0
                assert acknowledged.is_stuck()
                server.settimeout(1)
                server.recv(200_000)
                assert wait_for(lambda: not acknowledged.is_stuck(), 5)


class RtmpServer:
    """One connection of ours to it. It reads what is sent, and if it ``answers``, it says so at each window
    that it was asked for.
    """

    PACKET = 400

    def __init__(self, sending: socket.socket, server: socket.socket, answers: bool) -> None:
        self._sending, self._server, self._answers = sending, server, answers
        self._read = self._told = self._window = self._sent = 0
        self.now = 0.0
        sending.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def take(self, acknowledged: Acknowledged, frozen: bool = False) -> bool:
        """A packet is sent: whether it is then said to be stuck."""
        self._sending.sendall(bytes(self.PACKET))
        self._sent += self.PACKET
        self.now += 0.08
        self._server.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        if not frozen:
            self._read_all()
        assert wait_for(lambda: _progress(self._sending).acked >= self._sent, 20)
        before = self._window
        stuck = acknowledged.is_stuck()
        if not frozen:
            self._read_all()
            if self._window != before:
                self._sent += len(window_request(self._window))
        return stuck

    def _read_all(self) -> None:
        self._server.setblocking(False)
        try:
            data = self._server.recv(1 << 20)
        except BlockingIOError:
            return
        self._read += len(data)
        if data[:1] == b"\2":
            self._window = struct.unpack_from(">I", data, 12)[0]
            assert data == window_request(self._window)
        while self._answers and self._window and self._read - self._told >= self._window:
            self._server.send(bytes(16))
            self._told += self._window


@contextmanager
def rtmp_server(answers: bool) -> Iterator[tuple[RtmpServer, Acknowledged]]:
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_connection(listening.getsockname()) as sending,
    ):
        server, _ = listening.accept()
        with server:
            one = RtmpServer(sending, server, answers)
            with Acknowledged(5.0, rtmp=True, clock=lambda: one.now) as acknowledged:
                yield one, acknowledged


def test_the_request_is_as_rtmp_has_it() -> None:
    """5.4.4 and 7.1.7 of RTMP 1.0, in the chunk stream that is for them: some servers take no other."""
    window, ping = window_request(0x12345678)[:16], window_request(0x12345678)[16:]
    assert window == bytes.fromhex("02 000000 000004 05 00000000 12345678")
    assert ping == bytes.fromhex("02 000000 000006 04 00000000 0007 00000000")


SURE_PACKETS = (SURE_ANSWERS + 2) * ANSWER_PACKETS


@pytest.mark.slow
def test_an_rtmp_server_that_reads_nothing_is_stuck_though_its_system_takes_all() -> None:
    """A small stream: the system's buffer is far from full, and all is acknowledged."""
    with rtmp_server(answers=True) as (server, acknowledged):
        for _ in range(2 * SURE_PACKETS):
            assert not server.take(acknowledged)
        frozen = server.now
        while not server.take(acknowledged, frozen=True):
            assert server.now < frozen + 20
        assert server.now > frozen + 3


def test_an_rtmp_server_that_never_answers_is_not_stuck() -> None:
    with rtmp_server(answers=False) as (server, acknowledged):
        for _ in range(3 * SURE_PACKETS):
            assert not server.take(acknowledged)
