"""Addresses are shown without what is secret in them."""

from __future__ import annotations

import pytest

from streamanon.errors import SourceError
from streamanon.media.address import is_address, redact_text, redact_url
from streamanon.media.probe import probe


def test_passwords_are_never_shown() -> None:
    with pytest.raises(SourceError) as caught:
        probe("http://anna:s3cret@127.0.0.1:9/a.mp4?token=s3cret")
    shown = f"{caught.value!r} {caught.value.__cause__!r}"
    assert "s3cret" not in shown
    assert "anna" not in shown
    assert "127.0.0.1" in shown


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://u:p@cam/1", "rtsp://***@cam/1"),
        ("rtsp://u:p/w@x#y@cam:554/1", "rtsp://***@cam:554/1"),
        ("http://cam/1?user=a&password=b&x=c", "http://cam/1?user=***&password=***&x=***"),
        ("http://cam/1?s3cret", "http://cam/1?***"),
        ("http://cam/1#key=b;c", "http://cam/1#key=***"),
        ("rtsp://cam/user=admin_password=b_channel=1.sdp", "rtsp://cam/user=***"),
        ("rtmp://host/app/live_key?x", "rtmp://host/***"),
        ("srt://host:9000?passphrase=b&streamid=c", "srt://host:9000?passphrase=***&streamid=***"),
        ("a?password=b.mp4", "a?password=b.mp4"),
        ("http://cam/1?access_token=b", "http://cam/1?access_token=***"),
        ("a@b.mp4", "a@b.mp4"),
        ("rtsp:/anna:s3cret@cam/1", "rtsp:/***@cam/1"),
        ("rtsp:anna:s3cret@cam", "rtsp:***@cam"),
        ("rtsp//anna:s3cret@cam", "***@cam"),
        ("RTSP:\\\\anna:s3cret@cam", "RTSP:\\\\***@cam"),
        ("anna:p/s3cret@cam/1", "***@cam/1"),
        ("rtsp://anna:s3 cret@cam/1", "rtsp://***@cam/1"),
        ("http:/cam/a.jpg?token=s3cret", "http:/cam/a.jpg?token=***"),
        ("rtmp:/host/live/s3cret", "rtmp:/host/***"),
        ("C:/a/b@c.mp4", "C:/a/b@c.mp4"),
        ("talk: part 2;x.mp4", "talk: part 2;x.mp4"),
    ],
)
def test_redaction(address: str, shown: str) -> None:
    assert redact_url(address) == shown


def test_messages_that_quote_an_address() -> None:
    told = redact_text("invalid choice: 'rtsp:/anna:s3cret@cam' (choose from run); see http://x y@cam/1.")
    assert told == "invalid choice: 'rtsp:/***@cam' (choose from run); see http://***@cam/1."


@pytest.mark.parametrize("text", ["rtsp:/cam/1", "http://cam", "tcp:cam", "xy:/z"])
def test_what_is_an_address(text: str) -> None:
    assert is_address(text)


@pytest.mark.parametrize("text", ["a.mp4", "/data/a:b.mp4", "C:/a.mp4", "C:\\a.mp4", "@x.mp4"])
def test_what_is_a_file(text: str) -> None:
    assert not is_address(text)
