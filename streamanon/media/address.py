"""Addresses of streams: what counts as one, and how one is shown without its secrets."""

from __future__ import annotations

import re

_SECRETS = "(?:user|login|pass|pwd|token|key|secret|auth|cred|sig)"
#: Schemes that FFmpeg reads over a network; with one of them, a slash too few does not make it a file.
_SCHEMES = "(?:rtsps?|rtmp[a-z]*|https?|hls|s?ftp|srt|s?rtp|rist|udp|tcp|tls|wss?|mms[a-z]*)"
_ADDRESS = re.compile(rf"(?i)://|\b{_SCHEMES}(?::|//)|^\W*[a-z][a-z0-9+.-]+:[/\\]")
#: What only a name and a password look like, even where the scheme is missing.
_LOGIN = re.compile(r"[^\s:/\\]{2,}:\S*@")


def is_address(text: str) -> bool:
    """Whether this names a stream and not a file; also where it is mistyped, as with one slash."""
    return _ADDRESS.search(text) is not None


def redact_url(address: str) -> str:
    """The address without user name, password, the values of its query and of what is named like a secret,
    and the stream key of RTMP, for messages. Errs on the side of hiding more. Paths of files stay.
    """
    if not is_address(address) and not _LOGIN.search(address):
        return address
    head = rf"(?:.*?://|\W*{_SCHEMES}:[/\\]*)?"
    address = re.sub(rf"(?is)^({head}).*@", r"\1***@", address)
    address = re.sub(r"(?is)(\brtmp[a-z]*:[/\\]*[^/\s]*/).+", r"\1***", address)
    address = re.sub(r"([?&#;])([^=&#;\s]*=?)([^&#;\s]*)", _hidden, address)
    return re.sub(rf"(?i)({_SECRETS}[^=/\s]*=)[^&\s]*", r"\1***", address)


def redact_text(text: str) -> str:
    """A message in which every address is shown without its secrets."""
    text = re.sub(r"(?<=://)[^\n]*@", "***@", text)  # a password may hold spaces
    return re.sub(r"\S+", lambda word: redact_url(word[0]), text)


def _hidden(found: re.Match[str]) -> str:
    """The name of a query's value without the value; a part without a name may be one itself."""
    mark, name, value = found.groups()
    if not name and not value:
        return mark
    return f"{mark}{name}***" if name.endswith("=") else f"{mark}***"
