"""Settings: nested frozen dataclasses, read from YAML profiles and ``key=value`` overrides."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import yaml

from streamanon.errors import ConfigError
from streamanon.types import Method


@dataclass(frozen=True)
class DetectConfig:
    """``size``: the detector's input, smallest to largest, or "auto" by the frame's size. ``every``: look
    at each n-th frame (1 to 10); the look-ahead fills in the others. ``score``: what starts a track;
    ``revive_score``: what continues one.
    ``paranoid``: cover whatever moves, too, for faces that the detector never finds; all of the picture
    while the camera moves.
    """

    size: Literal["auto", "small", "medium", "large"] = "large"
    every: int = 1
    score: float = 0.3
    revive_score: float = 0.15
    paranoid: bool = False


@dataclass(frozen=True)
class LookaheadConfig:
    """``frames``: how many frames the output is held back (0: none, and the first frames of a face that
    the detector finds late are uncovered). ``coast_frames``: how long a lost face stays covered.
    """

    frames: int = 45
    coast_frames: int = 12


@dataclass(frozen=True)
class CoverConfig:
    """``method``: what covers a face. ``min_face_px``: narrower faces get a mosaic instead of a
    synthesised face. ``min_confidence``: so do faces whose mesh is less sure than this. ``max_yaw_deg``:
    and profiles. ``margin``: how much the mosaic, blur or solid cover, an ellipse, exceeds the detected box
    on each side; below 0.21 it would not hold the box's corners, so that is the least. ``on_error``: what
    fails in finding, measuring or painting faces is covered more, and told at the end; or "stop" finishes
    the file where it is, with exit code 2.
    """

    method: Method = "synthesize"
    min_face_px: float = 20.0
    min_confidence: float = 0.3
    max_yaw_deg: float = 60.0
    margin: float = 0.35
    fade_frames: int = 4
    on_error: Literal["cover", "stop"] = "cover"


@dataclass(frozen=True)
class PersonRule:
    """What holds for one person, known by ``photo``, an image file that shows them alone. ``keep``: leave
    them visible. ``delegate``, ``geometry``, ``appearance``: theirs, instead of everybody's.
    """

    photo: str = ""
    keep: bool = False
    delegate: str | None = None
    geometry: float | None = None
    appearance: float | None = None

    def __post_init__(self) -> None:
        if not self.photo:
            raise ConfigError("a rule in identity.people needs a photo: the path of an image of the person")
        for name in ("geometry", "appearance"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ConfigError(f"{name} in identity.people must lie between 0 and 1, not {value}")


@dataclass(frozen=True)
class IdentityConfig:
    """``epsilon``: privacy budget of a person's draw of a delegate; 0 draws evenly, more prefers who fits.
    ``geometry``: how far eyes, brows, nose and mouth move to where the delegate has them, 0..1.
    ``appearance``: how far the skin and features go from the mean of the delegates that fit a person to
    the one drawn, 0..1. ``delegate``: the id of one that all faces get, instead of a draw.
    ``gallery``: a file of delegates by ``streamanon delegates add``, instead of the installed ones.
    ``ttl_seconds``: how long somebody who left is remembered, so that they get the same delegate when they
    return; 0 is never. ``key``: a file of secret bytes; the same gives the same person mostly the same
    delegate in every run. ``seed``: fixes which delegates are drawn; without one every run draws others.
    ``people``: rules for people known by a photo.
    """

    epsilon: float = 12.0
    geometry: float = 0.8
    appearance: float = 1.0
    delegate: str | None = None
    gallery: str | None = None
    ttl_seconds: float = 60.0
    key: str | None = None
    seed: int | None = None
    people: tuple[PersonRule, ...] = ()


@dataclass(frozen=True)
class OutputConfig:
    """``crf``: constant rate factor, lower is better. ``audio`` and ``subtitles``: packets are copied bit
    for bit, or dropped. ``keep_metadata``: keep location, device and title tags.
    """

    codec: Literal["h264", "hevc", "av1", "vp9", "ffv1"] = "h264"
    crf: int = 20
    preset: str = "veryfast"
    audio: Literal["copy", "drop"] = "copy"
    subtitles: Literal["copy", "drop"] = "copy"
    keep_metadata: bool = False


@dataclass(frozen=True)
class ComputeConfig:
    """``backend``: "auto" takes the first that works; a named one that cannot be loaded is an error.
    ``threads``: per model, 0 for one per core.
    """

    backend: Literal["auto", "tensorrt", "openvino", "onnxruntime"] = "auto"
    threads: int = 0


@dataclass(frozen=True)
class Config:
    """A whole profile; the defaults are those of ``configs/file.yaml``."""

    detect: DetectConfig = field(default_factory=DetectConfig)
    lookahead: LookaheadConfig = field(default_factory=LookaheadConfig)
    cover: CoverConfig = field(default_factory=CoverConfig)
    identity: IdentityConfig = field(default_factory=IdentityConfig)
    output: OutputConfig = field(default_factory=OutputConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)

    def __post_init__(self) -> None:
        for key, low, high in _LIMITS:
            section, name = key.split(".")
            value = getattr(getattr(self, section), name)
            if not low <= value <= high:
                raise ConfigError(f"{key} must lie between {low} and {high}, not {value}")


_LIMITS: tuple[tuple[str, float, float], ...] = (
    ("detect.every", 1, 10),
    ("detect.score", 0.01, 1.0),
    ("detect.revive_score", 0.01, 1.0),
    ("lookahead.frames", 0, 250),
    ("lookahead.coast_frames", 0, 250),
    ("cover.min_face_px", 0, 10_000),
    ("cover.min_confidence", 0.0, 1.0),
    ("cover.max_yaw_deg", 0.0, 90.0),
    ("cover.margin", 0.0, 2.0),
    ("cover.fade_frames", 0, 100),
    ("identity.epsilon", 0.0, 100.0),
    ("identity.geometry", 0.0, 1.0),
    ("identity.appearance", 0.0, 1.0),
    ("identity.ttl_seconds", 0.0, 86_400.0),
    ("output.crf", 0, 63),
    ("compute.threads", 0, 256),
)


def load_config(profile: Path | None = None, overrides: Iterable[str] = ()) -> Config:
    """Read a YAML profile and apply ``section.key=value`` overrides, later ones last.

    Raises :class:`ConfigError` for a file that is missing or is no YAML, for an unknown key (with the
    nearest known one), and for a value of the wrong kind.
    """
    values: dict[str, Any] = {}
    if profile is not None:
        values = _read_profile(profile)
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator or not key.strip():
            raise ConfigError(f"--set takes section.key=value, not {override!r}")
        _assign(values, key.strip(), _parse(text, override))
    return typing.cast(Config, _build(Config, values, ""))


def as_dict(config: Config) -> dict[str, Any]:
    """The settings as plain nested dictionaries, without the names of people's photos and of the key."""
    content = dataclasses.asdict(config)
    identity = content["identity"]
    identity["key"] = "given" if identity["key"] is not None else None
    identity["people"] = [rule | {"photo": "given"} for rule in identity["people"]]
    return content


def _read_profile(path: Path) -> dict[str, Any]:
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the profile {path}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: bad UTF-8, or a date like 2020-13-01
        raise ConfigError(f"the profile {path} is not valid YAML: {str(error).splitlines()[0]}") from error
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ConfigError(f"the profile {path} must hold sections with keys, not a {type(loaded).__name__}")
    return loaded


def _parse(text: str, override: str) -> Any:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"cannot read the value in --set {override}") from error


def _assign(values: dict[str, Any], key: str, value: Any) -> None:
    *sections, name = key.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise ConfigError(f"{key} is not a setting: {section} holds a value, not a section")
    values[name] = value


def _build(kind: type[Any], values: Mapping[str, Any], prefix: str) -> Any:
    hints = get_type_hints(kind)
    built: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if key not in hints:
            raise ConfigError(f"unknown setting {name!r}{_nearest(str(key), hints, prefix)}")
        built[key] = _convert(hints[key], value, name)
    return kind(**built)


def _nearest(key: str, known: Iterable[str], prefix: str) -> str:
    names = list(known)
    close = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {prefix + close[0]!r}?"
    return f"; known here: {', '.join(names)}"


def _convert(hint: Any, value: Any, name: str) -> Any:
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{name} is a section and takes keys, not {value!r}")
        return _build(typing.cast("type[Any]", hint), value, f"{name}.")
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise ConfigError(f"{name} must be one of {', '.join(map(str, get_args(hint)))}, not {value!r}")
        return value
    if get_origin(hint) is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{name} is a list, not {value!r}")
        kind = get_args(hint)[0]
        return tuple(_convert(kind, item, f"{name}[{row}]") for row, item in enumerate(value))
    if isinstance(hint, types.UnionType):
        if value is None:
            return None
        hint = next(part for part in get_args(hint) if part is not type(None))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is not bool and isinstance(value, bool)):
        raise ConfigError(f"{name} must be a {hint.__name__}, not {value!r}")
    return value
