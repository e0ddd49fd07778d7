"""Addresses of cameras and servers as FFmpeg wants them, and its errors in plain words."""

from __future__ import annotations

import errno
import re
import socket
from urllib.parse import quote, unquote, urlsplit

import av.error

from streamanon.errors import ConfigError
from streamanon.live.srt import check_installed

#: What follows the login in an address.
_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[\w.\-]+)(:\d+)?([/?#]|$)")
#: The same where it can hardly be a part of a password.
_SURE_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[\w\-]+(\.[\w\-]+)+|[\w.\-]+:\d+|localhost)(:\d+)?([/?#]|$)")
_PORT = re.compile(r"[\w.\-]+:\d+([/?#]|$)")


def with_encoded_login(address: str) -> str:
    """The address with name and password percent-encoded, which FFmpeg refuses otherwise.

    What is encoded already stays. Where a password holds ``@`` and ``/`` in a way that could be read as a
    server's name, only the user can tell: write it encoded.
    """
    scheme, mark, rest = address.partition("://")
    if not mark:
        return address
    places = [found.start() for found in re.finditer("@", rest) if _HOST.match(rest, found.start() + 1)]
    if (
        not places
        or _PORT.match(rest)
        or (":" not in rest[: places[0]] and re.search(r"[/?#]", rest[: places[0]]))
    ):
        return address  # the @ stands in the path, if anywhere
    at = places[0]
    for later in places[1:]:
        if "?" not in rest[at:later] and _SURE_HOST.match(rest, later + 1):
            at = later
    user, colon, password = rest[:at].partition(":")
    return f"{scheme}://{_encoded(user)}{colon}{_encoded(password)}@{rest[at + 1 :]}"


#: A passphrase; a login before the server; in a stream id the password, as in publish:PATH:USER:PASSWORD or
#: #!::u=USER,s=PASSWORD.
_SRT_SECRET = re.compile(
    r"(?i)passphrase|://[^/?]*@|streamid=(?!#!::)[^:&]*:[^:&]*:[^:&]*:|streamid=#!::(?:[^&]*,)?(?:s|p|pass\w*|token|key)="
)
#: Schemes that have no usual port, and those that may be listened at, without a server's name.
_NEED_PORT, _MAY_LISTEN = ("udp", "tcp", "srt"), re.compile(r"(?i)(udp|tcp|srt|https?|rtmp)://")


def check_server(address: str, shown: str, listens: bool) -> None:
    """Raises :class:`ConfigError` for an address without a server, or with a port that cannot be one.
    ``listens``: whether the server's name may be missing where the protocol can wait for the other side.
    """
    try:
        parts = urlsplit(with_encoded_login(address))
        scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
    except ValueError:
        raise ConfigError(f"{shown} has no valid server and port; check the part after ://") from None
    if not host and not (listens and _MAY_LISTEN.match(address)):
        raise ConfigError(f"{shown} names no server; write its name or address after ://")
    if not port and scheme in _NEED_PORT:
        raise ConfigError(f"{shown} names no port: write it after the server, as in {scheme}://HOST:9000")


def check_srt(address: str, shown: str) -> None:
    """Raises :class:`ConfigError` where the program that speaks SRT here is missing, and for a passphrase
    or password: it takes them only as an argument, which every user of the machine can read.
    """
    if not re.match(r"(?i)srt:", address):
        return
    if _SRT_SECRET.search(unquote(address)):
        raise ConfigError(
            f"{shown}: an SRT passphrase or password would be visible in the process list; let a gateway"
            " such as MediaMTX speak SRT, and use its rtsp:// address"
        )
    check_installed()


def _encoded(text: str) -> str:
    return "".join(
        part if re.fullmatch(r"%[0-9A-Fa-f]{2}", part) else quote(part, safe="")
        for part in re.split(r"(%[0-9A-Fa-f]{2})", text)
    )


def why_no_device(error: Exception, device: str) -> str:
    """One sentence on why a camera at this machine could not be opened."""
    if isinstance(error, PermissionError):
        return f"no permission to read {device}; add your user to the group video"
    if getattr(error, "errno", None) == errno.EBUSY:
        return f"{device} is in use by another program; close it, or give another camera"
    if getattr(error, "errno", None) in (errno.ENOTTY, errno.EINVAL, errno.ENODEV):
        return f"{device} is no camera ({reason(error)}); list cameras with v4l2-ctl --list-devices"
    return f"{device} cannot be opened ({reason(error)}); check that it is plugged in"


def why_not_opened(error: Exception, shown: str, seconds: float) -> str:
    """One sentence on why a source could not be opened, with what to do."""
    silent = f"{shown} did not answer within {seconds:g} seconds; check the address and the network"
    if isinstance(error, av.error.HTTPUnauthorizedError):
        return f"{shown} refuses the user name or password; write the right ones before the server's name"
    if isinstance(error, av.error.HTTPForbiddenError):
        return f"{shown} refuses access; check the account's rights"
    if isinstance(error, av.error.HTTPNotFoundError):
        return f"{shown} does not exist on its server; check the path"
    if isinstance(error, av.error.ProtocolNotFoundError):
        return f"{shown}: this kind of address is not supported; use rtsp, rtmp, http, udp, srt or a device"
    if isinstance(error, av.error.ExitError):
        return silent
    if isinstance(error, av.error.InvalidDataError):
        if shown.lower().startswith("rtsp"):  # FFmpeg tells a time-out of RTSP so
            return silent
        return f"{shown} sends no video that can be read; check that it plays"
    rtmp = shown.lower().startswith("rtmp")
    if getattr(error, "errno", None) == errno.EIO and _is_unknown(shown):
        return f"the server name in {shown} cannot be resolved; check its spelling and the network"
    if isinstance(error, PermissionError) or (rtmp and getattr(error, "errno", None) == errno.EIO):
        return f"{shown} refuses access, or nothing is published there yet; check the name and the rights"
    if isinstance(error, FileNotFoundError):
        return f"there is no {shown}; check the path"
    if isinstance(error, ConnectionRefusedError):
        return f"{shown} refuses the connection; check that the server runs, and its port"
    return f"{shown} cannot be opened ({reason(error)}); check the address and the network"


def _is_unknown(shown: str) -> bool:
    """Whether the server's name leads to no address; FFmpeg calls that an error of input or output."""
    try:
        socket.getaddrinfo(urlsplit(shown).hostname, None)
    except socket.gaierror:
        return True
    except ValueError:
        return False
    return False


def reason(error: Exception) -> str:
    """The system's words for an error; never FFmpeg's own, which quote the address."""
    return str(getattr(error, "strerror", None) or type(error).__name__)
