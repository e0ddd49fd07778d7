"""Passwords in addresses, pauses between attempts, and sentences on why something failed."""

from __future__ import annotations

import errno
import socket

import av.error
import pytest

from streamanon.live import publish
from streamanon.live.addresses import why_no_device, why_not_opened, with_encoded_login
from streamanon.live.backoff import HEALTHY_SECONDS, LONGEST_SECONDS, Backoff
from streamanon.live.states import State, Status
from streamanon.media.address import redact_text


@pytest.mark.parametrize(
    ("given", "encoded"),
    [
        ("rtsp://cam/stream", "rtsp://cam/stream"),
        ("rtsp://u:p@cam/s", "rtsp://u:p@cam/s"),
        ("rtsp://u:p@ss@cam/s", "rtsp://u:p%40ss@cam/s"),
        ("rtsp://u:p@ss/w#rd@127.0.0.1:554/s", "rtsp://u:p%40ss%2Fw%23rd@127.0.0.1:554/s"),
        ("rtsp://u:p@ss/w@cam.lan/s", "rtsp://u:p%40ss%2Fw@cam.lan/s"),
        ("rtsp://u:p@cam/s?x=a@b.c", "rtsp://u:p@cam/s?x=a@b.c"),
        ("rtsp://u:p@cam/stream@hd", "rtsp://u:p@cam/stream@hd"),
        ("rtsp://u:a/b#c:d@cam:554/s", "rtsp://u:a%2Fb%23c%3Ad@cam:554/s"),
        ("rtsp://u:p%40ss@cam/s", "rtsp://u:p%40ss@cam/s"),
        ("rtsp://u:100%@cam/s", "rtsp://u:100%25@cam/s"),
        ("rtsp://cam:554/stream@hd", "rtsp://cam:554/stream@hd"),
        ("rtsp://cam/a?user=x@y", "rtsp://cam/a?user=x@y"),
        ("rtsp://u:p@[::1]:554/s", "rtsp://u:p@[::1]:554/s"),
        ("rtsp://u:p w@cam/s", "rtsp://u:p%20w@cam/s"),
        ("/dev/video0", "/dev/video0"),
    ],
)
def test_logins_are_encoded_for_the_user(given: str, encoded: str) -> None:
    assert with_encoded_login(given) == encoded


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (av.error.InvalidDataError(1, "x"), "did not answer within 3 seconds"),
        (av.error.HTTPUnauthorizedError(1, "x"), "refuses the user name or password"),
        (av.error.HTTPNotFoundError(1, "x"), "does not exist on its server"),
        (PermissionError(13, "x"), "nothing is published there yet"),
        (av.error.ProtocolNotFoundError(1, "x"), "is not supported"),
        (OSError(5, "Input/output error", "rtsp://u:secret@cam"), "Input/output error"),
    ],
)
def test_why_a_source_does_not_open(error: Exception, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda _host, _port: [])
    sentence = why_not_opened(error, "rtsp://***@cam/s", 3)
    assert said in sentence
    assert "secret" not in sentence
    assert redact_text(sentence) == sentence


def test_a_server_whose_name_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_host: str, _port: None) -> None:
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    error = OSError(errno.EIO, "Input/output error", "rtmp://u:secret@cam/app/key")
    sentence = why_not_opened(error, "rtmp://***@cam/***", 3)
    assert "cannot be resolved" in sentence
    monkeypatch.setattr(socket, "getaddrinfo", lambda _host, _port: [])
    assert "nothing is published there yet" in why_not_opened(error, "rtmp://***@cam/***", 3)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EBUSY, "Device or resource busy"), "in use by another program"),
        (PermissionError(errno.EACCES, "Permission denied"), "add your user to the group video"),
        (OSError(errno.ENOTTY, "Inappropriate ioctl for device"), "is no camera"),
        (OSError(errno.EIO, "Input/output error"), "check that it is plugged in"),
    ],
)
def test_why_a_device_does_not_open(error: OSError, said: str) -> None:
    assert said in why_no_device(error, "/dev/video0")


def test_a_loss_is_told_once_for_each_reason() -> None:
    told: list[tuple[State, str]] = []
    status = Status(lambda state, reason: told.append((state, reason)))
    for state, reason in (
        (State.LOST, "refused"),
        (State.LOST, "refused"),
        (State.LOST, "wrong password"),
        (State.RUNNING, ""),
        (State.STALLED, "for 2 seconds"),
        (State.STALLED, "for 3 seconds"),
    ):
        status.be(state, reason)
    assert [reason for _, reason in told] == ["refused", "wrong password", "", "for 2 seconds"]


def test_pauses_grow_and_only_health_sets_them_back() -> None:
    backoff = Backoff(lambda: 0.5)
    assert [backoff.pause() for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    assert backoff.pause(HEALTHY_SECONDS / 2) == LONGEST_SECONDS, "connect-and-die must not loop"
    assert backoff.pause(HEALTHY_SECONDS) == 1


def test_pauses_are_spread() -> None:
    low, high = Backoff(lambda: 0.0).pause(), Backoff(lambda: 1.0).pause()
    assert (low, high) == (0.8, 1.2)
    assert all(Backoff().pause() <= LONGEST_SECONDS for _ in range(50))


def test_a_server_that_hangs_up_is_told_as_such() -> None:
    assert publish._why(av.error.EOFError(1, "x")) == "the server closed the connection"


def test_a_refusal_of_rtmp_says_what_to_check() -> None:
    refused = OSError(errno.EIO, "Input/output error")
    assert "check the application and the stream key" in publish._why(refused, "flv")
    assert publish._why(refused, "matroska") == "Input/output error"
