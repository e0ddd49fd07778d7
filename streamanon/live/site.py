"""``site.yaml``: many cameras, each with its outputs and its profile, in one file.

::

    status: 127.0.0.1:9464
    cameras:
      gate:
        source: rtsp://user:password@10.0.0.5/stream
        to: [rtmp://server/app/key, hls:///srv/hls/gate]
        profile: cctv
"""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from streamanon.config import Config, build, find_profile, load_config, read_yaml
from streamanon.errors import ConfigError, StreamanonError
from streamanon.live.addresses import check_server, check_srt
from streamanon.live.camera import Audio, CameraSettings
from streamanon.live.connection import SourceOptions
from streamanon.live.encode import ENCODERS
from streamanon.live.targets import SEGMENT_SECONDS, Archiving, Target, target_of
from streamanon.media import nvenc
from streamanon.media.address import is_address, redact_text, redact_url
from streamanon.media.output_file import is_same_file

_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
#: No duration is longer, s: ten years.
_LONGEST_SECONDS = 3650 * 86_400.0
#: A time at which strftime's marks give different texts.
_SOME_TIME = time.struct_time((2033, 11, 22, 14, 55, 36, 1, 326, 0))
#: Size of the pictures with which a GPU's encoder is tried before a camera's are known, px.
_TRIAL_SIZE = (640, 360)
#: Where the state of all cameras is served if the file does not say so.
STATUS_ADDRESS = "127.0.0.1:9464"


@dataclass(frozen=True)
class CameraSection:
    """A camera as the file or the command line describes it. ``source``: an address, a device or a file;
    ``to``: outputs; ``set``: settings over the profile's, as section.key=value. Durations are numbers of
    seconds or like 10m, 6h, 7d. ``audio``: "profile" is what the profile's ``output.audio`` says.
    """

    source: str = ""
    to: tuple[str, ...] = ()
    profile: str | None = None
    set: tuple[str, ...] = ()
    audio: Literal["profile", "keep", "mask", "drop"] = "profile"
    no_signal: Literal["plain", "last"] = "plain"
    rtsp_transport: Literal["tcp", "udp"] = "tcp"
    realtime: bool = False
    loop: bool = False
    give_up_after: str | None = None
    segment: str | None = None
    keep: str | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class Plan:
    """A camera that can be started: what it does, and its profile."""

    settings: CameraSettings
    config: Config


@dataclass(frozen=True)
class Site:
    """What a file asks for. ``status``: where its state is served, HOST:PORT; None: nowhere."""

    status: str | None
    sections: Mapping[str, CameraSection]


def load_site(path: Path) -> Site:
    """Read the file. Raises :class:`ConfigError`."""
    content = read_yaml(path, "the site file")
    unknown = set(content) - {"cameras", "status"}
    if unknown:
        raise ConfigError(f"{path} has an unknown key {min(unknown)!r}; known here: cameras, status")
    cameras = content.get("cameras")
    if not isinstance(cameras, dict) or not cameras:
        raise ConfigError(f"{path} contains no camera: add a section cameras, see docs/live.md")
    status = content.get("status", STATUS_ADDRESS)
    if status is not None:
        parse_status(str(status))
    sections = {}
    for name, values in cameras.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ConfigError(
                f"{path}: a camera's name may only contain letters, digits and _.-, unlike {name!r}"
            )
        if not isinstance(values, dict):
            raise ConfigError(f"cameras.{name} must be a section with keys; see docs/live.md")
        values = {str(key): _as_text(key, value) for key, value in values.items()}
        sections[name] = build(CameraSection, values, f"cameras.{name}.")
    return Site(None if status is None else str(status), sections)


def _as_text(key: object, value: Any) -> Any:
    """Durations may be numbers; a lone output needs no list."""
    if key in ("give_up_after", "segment", "keep") and isinstance(value, (int, float)):
        return f"{value}"
    return [value] if key in ("to", "set") and isinstance(value, str) else value


def plan(
    name: str,
    section: CameraSection,
    strict: bool = False,
    duration: float | None = None,
    config: Config | None = None,
) -> Plan:
    """What a section means. ``config``: instead of its profile and settings. Raises :class:`ConfigError`
    for what cannot be done.
    """
    if config is None:
        config = load_config(section.profile or "livestream", section.set)
    _check_settings(config)
    if not section.source:
        raise ConfigError(f"camera {name} has no source: give it an address, a device or a file")
    if any(re.search(r"[\x00-\x1f\x7f]", text) for text in (section.source, *section.to)):
        raise ConfigError(f"camera {name}: an address or path holds a control character; leave it out")
    for text in (section.source, *section.to):
        if is_address(text) and text != text.strip():
            raise ConfigError(
                f"camera {name}: a space stands before or after {redact_url(text.strip())}; leave it out"
            )
    if not section.to:
        raise ConfigError(f"camera {name} has no output: give it at least one, e.g. hls:///srv/hls/{name}")
    audio = _audio(section, config)
    source = SourceOptions(
        _from_file(section.source),
        realtime=section.realtime,
        loop=section.loop,
        transport=section.rtsp_transport,
        sound=audio != "drop",
    )
    _check_source(source, section)
    if any(_from_file(to) == source.address for to in section.to):
        raise ConfigError(f"{source.shown} is the source, too; give the output another address")
    targets = _targets(section, config)
    read = source.address.removeprefix("file://")
    for target in targets:
        if source.is_file and target.kind == "file" and is_same_file(Path(target.address), read):
            raise ConfigError(f"{target.shown} is the source, too; give the output another name")
    give_up = None if section.give_up_after is None else seconds_of(section.give_up_after, "give_up_after")
    settings = CameraSettings(
        name,
        source,
        targets,
        audio=audio,
        stub=section.no_signal,
        give_up_after=give_up,
        strict=strict,
        duration=duration,
    )
    return Plan(settings, config)


def _audio(section: CameraSection, config: Config) -> Audio:
    if section.audio == "profile":
        return "drop" if config.output.audio == "drop" else "keep"
    return section.audio


def files_of(section: CameraSection) -> tuple[str, ...]:
    """What stands in the files that a section names: addresses, and its profile. Raises
    :class:`ConfigError` where they cannot be read.
    """
    named = [_from_file(text) for text in (section.source, *section.to) if text.startswith("@")]
    if section.profile is not None:
        profile = find_profile(section.profile)
        named.append(str(read_yaml(profile)) if os.path.isfile(profile) else "")
    return tuple(named)


def _targets(section: CameraSection, config: Config) -> tuple[Target, ...]:
    """Where the section's pictures go, each once."""
    archiving = Archiving(
        SEGMENT_SECONDS if section.segment is None else seconds_of(section.segment, "segment"),
        None if section.keep is None else seconds_of(section.keep, "keep"),
    )
    targets = _told_apart(target_of(_from_file(to), archiving, section.overwrite) for to in section.to)
    places = set()
    for target in targets:
        if config.output.codec == "hevc" and target.muxer == "flv":
            raise ConfigError(
                f"{target.shown} takes H.264: leave output.codec out, or send HEVC by rtsp, srt, udp or hls"
            )
        if _place(target) in places:
            raise ConfigError(f"{target.shown} is given twice; leave one out")
        places.add(_place(target))
    if (section.segment or section.keep) and not any(target.kind == "archive" for target in targets):
        raise ConfigError(
            "segment and keep only apply to rolling archives, whose names contain %Y%m%d-%H%M%S: leave"
            " them out"
        )
    return targets


def _told_apart(targets: Iterable[Target]) -> tuple[Target, ...]:
    """Outputs whose addresses differ in what is hidden alone, such as a stream key, are numbered."""
    seen: Counter[str] = Counter()
    made = []
    for target in targets:
        seen[target.shown] += 1
        number = seen[target.shown]
        made.append(target if number == 1 else replace(target, shown=f"{target.shown} ({number})"))
    return tuple(made)


def _place(target: Target) -> str:
    """The same for outputs that would be in each other's way."""
    if target.kind == "mjpeg":
        return f"port {urlsplit(target.address).port}"
    if is_address(target.address):
        return target.address
    path = os.path.realpath(target.address)
    return time.strftime(path, _SOME_TIME) if target.kind == "archive" else path  # %F is %Y-%m-%d


def _check_settings(config: Config) -> None:
    """Whether a camera can have these settings, and the files that they name are there."""
    if config.output.codec not in ENCODERS:
        known = " or ".join(ENCODERS)
        raise ConfigError(f"live outputs are {known}: set output.codec to it, not {config.output.codec}")
    if config.output.encoder == "nvenc":
        nvenc.options_of(config.output, config.compute.device)
        nvenc.check_nvenc(config.output.codec, _TRIAL_SIZE, "yuv420p", config.compute.device)
    if config.compute.decoder == "cuda":
        raise ConfigError(
            "cameras are decoded on the CPU, as a GPU does not tell which pictures are damaged: leave"
            " compute.decoder out"
        )
    if config.cover.keep_tracks:  # a moment would come again after each reconnect, and show somebody else
        raise ConfigError(
            "--keep-track (cover.keep_tracks) is for files; for cameras --keep PHOTO and --keep-region"
            " leave faces visible"
        )
    identity = config.identity
    for name in (identity.key, identity.gallery, *(rule.photo for rule in identity.people)):
        if name is not None and not os.path.isfile(name):
            raise ConfigError(f"there is no file {name}, which the settings name; check the path")


def _from_file(text: str) -> str:
    """``@FILE`` stands for the line in that file: an address with its password, readable by this user
    only.
    """
    if not text.startswith("@"):
        return text
    try:
        lines = [one.strip() for one in Path(text[1:]).read_text("utf-8-sig").splitlines() if one.strip()]
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"cannot read {text[1:]}: write an address into it, alone on its line") from None
    if len(lines) != 1:
        raise ConfigError(f"{text[1:]} must hold one line, an address")
    return lines[0]


def _check_source(source: SourceOptions, section: CameraSection) -> None:
    if source.is_file and not Path(source.address.removeprefix("file://")).is_file():
        raise ConfigError(
            f"there is no file {source.shown}; check the path, or write a camera as rtsp://SERVER/PATH or"
            " /dev/video0"
        )
    if (section.realtime or section.loop) and not source.is_file:
        raise ConfigError(f"realtime and loop only apply to files, not to {source.shown}; leave them out")
    if section.rtsp_transport == "udp" and not source.scheme.startswith("rtsp"):
        raise ConfigError(f"leave rtsp_transport out: it has no effect on {source.shown}")
    if not source.is_file and not source.is_device:
        check_server(source.address, source.shown, listens=True)
        check_srt(source.address, source.shown)


def seconds_of(text: str, name: str) -> float:
    """A duration like 90, 90s, 10m, 6h or 7d."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", text.strip())
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if not 0 < seconds <= _LONGEST_SECONDS:
        raise ConfigError(f"{name} takes a duration like 90s, 10m, 6h or 7d, not {text!r}")
    return seconds


def parse_status(text: str) -> tuple[str, int]:
    """HOST:PORT, or a port alone, which means this machine only."""
    host, _, port = text.rpartition(":")
    if not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65535:
        raise ConfigError(f"status takes HOST:PORT or a port, not {text!r}")
    return host.strip("[]") or "127.0.0.1", int(port)


def check_site(path: Path) -> list[str]:
    """All that is wrong with a file, a sentence each."""
    try:
        site = load_site(path)
    except StreamanonError as error:
        return [str(error)]
    faults, plans = [], []
    for name, section in site.sections.items():
        try:
            plans.append(plan(name, section))
        except StreamanonError as error:
            faults.append(f"{name}: {redact_text(str(error))}")
    return faults + shared_targets(plans, site.status)


def shared_targets(plans: Iterable[Plan], status: str | None) -> list[str]:
    """Outputs that two cameras would write, or a camera and the server of the state."""
    owners = {} if status is None else {f"port {parse_status(status)[1]}": "status"}
    faults = []
    for one in plans:
        for target in one.settings.targets:
            owner = owners.setdefault(_place(target), one.settings.name)
            if owner != one.settings.name:
                faults.append(f"{one.settings.name}: {target.shown} is also written by {owner}; change one")
    return faults


def with_threads(one: Plan, cameras: int, cores: int) -> Plan:
    """The plan with its share of the machine's cores: encoders and networks of all cameras together use
    about as many threads as there are cores.
    """
    share = max(1, cores // max(1, cameras))
    settings = replace(one.settings, encoder_threads=min(share, 4))
    if one.config.compute.threads:
        return replace(one, settings=settings)
    compute = replace(one.config.compute, threads=cores)
    return Plan(settings, replace(one.config, compute=compute))
