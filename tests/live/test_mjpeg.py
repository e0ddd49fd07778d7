"""Viewers of Motion JPEG."""

from __future__ import annotations

import socket
import urllib.request

import pytest

from streamanon.live.mjpeg import MOST_VIEWERS, MjpegOutput
from streamanon.live.targets import target_of


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_viewer_whose_picture_fails_leaves_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_output: MjpegOutput, _after: int) -> None:
        raise ValueError("a picture that cannot be encoded")

    monkeypatch.setattr(MjpegOutput, "next_picture", fails)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    output = MjpegOutput(target_of(f"mjpeg://127.0.0.1:{port}"), lambda _state, _reason: None)
    try:
        for _ in range(MOST_VIEWERS + 1):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
                assert answer.status == 200
                answer.read()
    finally:
        output.close()
        output.join(5)
