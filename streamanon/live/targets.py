"""Where a live output goes: what an address or path stands for, and how it is written."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from streamanon.errors import ConfigError
from streamanon.live.addresses import check_server, check_srt, with_encoded_login
from streamanon.media.address import is_address, redact_url
from streamanon.media.output_file import check_folder, check_free

Kind = Literal["network", "srt", "hls", "archive", "file", "mjpeg", "device"]

#: HLS: segments of a second, so that a player is some three seconds behind.
HLS_SEGMENT_SECONDS, HLS_SEGMENTS = 1, 6
#: Length of a rolling archive's files, s.
SEGMENT_SECONDS = 600.0
#: Bytes of a UDP packet that no usual network splits: seven of MPEG-TS's 188.
UDP_PACKET_BYTES = 1316
_MUXERS = {".mkv": "matroska", ".mp4": "mp4", ".mov": "mov", ".ts": "mpegts"}
_FRAGMENTS = "frag_keyframe+delay_moov+default_base_moof"
_NETWORK = {"rtmp": "flv", "rtmps": "flv", "rtsp": "rtsp", "rtsps": "rtsp"}
_NETWORK |= {"udp": "mpegts", "tcp": "mpegts"}
#: With its length in front a picture ends where it does; else receivers wait for the next one's beginning.
_TRANSPORT = {"omit_video_pes_length": "0"}
KNOWN = (
    "rtmp, rtsp, srt or udp and a server, hls:///FOLDER, mjpeg://HOST:PORT, /dev/videoN or a file (.mkv,"
    " .mp4, .mov, .ts)"
)


@dataclass(frozen=True)
class Archiving:
    """``segment_seconds``: length of a rolling archive's files. ``keep_seconds``: how long they are kept,
    None: for ever.
    """

    segment_seconds: float = SEGMENT_SECONDS
    keep_seconds: float | None = None


@dataclass(frozen=True)
class Target:
    """One output. ``address``: for FFmpeg, with passwords; ``shown``: for people, without."""

    kind: Kind
    address: str = field(repr=False)
    shown: str
    muxer: str = ""
    options: dict[str, str] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)


def target_of(text: str, archiving: Archiving | None = None, overwrite: bool = False) -> Target:
    """What ``--to`` names. Raises :class:`ConfigError` for what cannot be an output."""
    shown = redact_url(text)
    scheme = text.split("://", 1)[0].lower() if "://" in text else ""
    if scheme == "hls":
        return _hls(text, shown)
    if scheme == "mjpeg":
        return _mjpeg(text, shown)
    if scheme == "srt":
        check_server(text, shown, listens=True)
        check_srt(text, shown)
        return Target("srt", text, shown, "mpegts", _TRANSPORT | {"muxdelay": "0"})
    if scheme in _NETWORK:
        return _network(scheme, text, shown)
    if is_address(text):
        raise ConfigError(f"cannot send to {shown}: give {KNOWN}")
    if text.startswith("/dev/video"):
        return _device(text)
    path = Path(text)
    muxer = _MUXERS.get(path.suffix.lower())
    if muxer is None:
        raise ConfigError(f"cannot write {shown}: give {KNOWN}")
    check_folder(path)
    if "%" in path.name:
        return _archive(Path(os.path.abspath(path)), shown, muxer, archiving or Archiving())
    check_free(path, overwrite)
    options = {"flush_packets": "1"} | ({"movflags": _FRAGMENTS} if muxer in ("mp4", "mov") else {})
    return Target("file", text, shown, muxer, options, {"overwrite": overwrite})


def _network(scheme: str, text: str, shown: str) -> Target:
    check_server(text, shown, listens=False)
    address = with_encoded_login(text)
    if scheme.startswith("rtmp") and not urlsplit(address).path.strip("/"):
        raise ConfigError(f"{shown} names no application and stream key: put them after the server")
    options = {"flush_packets": "1"}
    if _NETWORK[scheme] == "mpegts":
        options |= _TRANSPORT
    if scheme.startswith("rtsp"):
        options["rtsp_transport"] = "tcp"
    if scheme == "udp" and "pkt_size" not in text:
        address += ("&" if "?" in address else "?") + f"pkt_size={UDP_PACKET_BYTES}"
    if scheme.startswith("rtmp"):
        options["flvflags"] = "no_duration_filesize"
    return Target("network", address, shown, _NETWORK[scheme], options)


def _hls(text: str, shown: str) -> Target:
    folder = Path(text.split("://", 1)[1])
    if not folder.name:
        raise ConfigError(f"{shown} names no folder: write hls:///srv/hls/camera")
    nearest = next(one for one in (folder, *folder.absolute().parents) if os.path.lexists(one))
    if not nearest.is_dir():
        raise ConfigError(f"{shown}: {nearest} is no folder; give another")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise ConfigError(f"cannot write into {nearest}: choose a folder that you may write to")
    folder = Path(os.path.abspath(folder))  # FFmpeg would take a: at its beginning for a protocol
    options = {
        "hls_time": str(HLS_SEGMENT_SECONDS),
        "hls_list_size": str(HLS_SEGMENTS),
        "hls_flags": "delete_segments+independent_segments+program_date_time+temp_file",
        "hls_segment_type": "fmp4",
        "hls_start_number_source": "epoch",
        "hls_segment_filename": str(folder / "segment-%d.m4s"),
    }
    return Target("hls", str(folder / "index.m3u8"), shown, "hls", options)


def _mjpeg(text: str, shown: str) -> Target:
    try:
        parts = urlsplit(text)
        known = parts.hostname and parts.port is not None
    except ValueError:
        known = False
    if not known:
        raise ConfigError(f"{shown} needs an address and a port: write mjpeg://127.0.0.1:8081")
    return Target("mjpeg", text, shown)


def _device(text: str) -> Target:
    if not os.path.exists(text):
        raise ConfigError(
            f"there is no device {text}: a virtual camera needs the kernel module v4l2loopback (package"
            " v4l2loopback-dkms; modprobe v4l2loopback)"
        )
    if not os.access(text, os.W_OK):
        raise ConfigError(f"{text} cannot be written: add your user to the group video")
    return Target("device", text, text, "v4l2")


def _archive(path: Path, shown: str, muxer: str, archiving: Archiving) -> Target:
    if "%S" not in path.name and "%s" not in path.name and "%T" not in path.name:
        raise ConfigError(
            f"{path.name} must contain the second, or files would overwrite each other: add %S"
        )
    options = {
        "segment_time": f"{archiving.segment_seconds:f}",
        "strftime": "1",
        "reset_timestamps": "1",
        "segment_format": muxer,
    }
    if muxer in ("mp4", "mov"):
        options["segment_format_options"] = f"movflags={_FRAGMENTS}"
    more = {"keep_seconds": archiving.keep_seconds}
    return Target("archive", str(path), shown, "segment", options, more)
