"""Settings: nested frozen dataclasses, read from YAML profiles and ``key=value`` overrides."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import math
import re
import types
import typing
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import yaml

from streamanon.errors import ConfigError
from streamanon.types import Method


@dataclass(frozen=True)
class Setting:
    """What is known of one setting; help, command line and reference are made from it. ``flag``: its option
    of ``streamanon run``, if it has one of its own. ``low`` to ``high``: what a number may be.
    """

    help: str
    flag: str | None = None
    metavar: str | None = None
    low: float | None = None
    high: float | None = None


def _setting(
    default: Any,
    help: str,
    flag: str | None = None,
    *,
    metavar: str | None = None,
    limits: tuple[float, float] | tuple[None, None] = (None, None),
) -> Any:
    return field(default=default, metadata={"setting": Setting(help, flag, metavar, *limits)})


@dataclass(frozen=True)
class DetectConfig:
    """Detector input and thresholds."""

    size: Literal["auto", "small", "medium", "large"] = _setting(
        "large", "input size of the detector; auto: chosen by the frame's size"
    )
    interval_seconds: float = _setting(
        0.08,
        "time between detections; the look-ahead covers the frames in between; 0: detect on every frame",
        limits=(0.0, 0.4),
    )
    score: float = _setting(
        0.3, "minimum face probability for a detection to start a track", limits=(0.01, 0.95)
    )
    revive_score: float = _setting(
        0.15,
        "minimum face probability for a detection to continue a track; detections with a lower detector"
        " score are discarded",
        limits=(0.01, 0.95),
    )
    model: str | None = _setting(
        None,
        "your own face detector: the ONNX export of an ultralytics YOLO, or the name of a stored model",
        "--detector",
        metavar="FILE",
    )
    classes: tuple[str | int, ...] = _setting(
        (),
        "the model's classes that are faces, by name or number; default: the class called face, or the only"
        " class",
    )


@dataclass(frozen=True)
class LookaheadConfig:
    """How far a face is covered beyond its detections."""

    seconds: float = _setting(
        1.8,
        "output delay, at most 600 frames; a face is covered from this long before its first detection; 0:"
        " no delay",
        limits=(0.0, 10.0),
    )
    coast_seconds: float = _setting(
        0.48, "how long a face stays covered after it is lost", limits=(0.0, 10.0)
    )
    sure: float = _setting(
        0.9,
        "minimum face probability for a track to be covered between and around its detections",
        limits=(0.5, 0.999),
    )


@dataclass(frozen=True)
class CoverConfig:
    """What covers a face, and when a synthetic face is not trusted."""

    method: Method = _setting("synthesize", "how faces are covered", "--method")  # noqa: RUF009
    min_face_px: float = _setting(
        12.0, "narrower faces get a fill instead of a synthetic face", limits=(0, 10_000)
    )
    min_confidence: float = _setting(
        0.35, "faces with a lower mesh confidence get a fill", limits=(0.0, 1.0)
    )
    max_yaw_deg: float = _setting(66.0, "faces turned farther than this get a fill", limits=(0.0, 90.0))
    margin: float = _setting(
        0.28,
        "how far a covering ellipse extends beyond the detected box on each side, as a share of the"
        " box; from 0.21 on it includes the box's corners; tracks that may be no face always get 0.21",
        limits=(0.21, 2.0),
    )
    fade_seconds: float = _setting(
        0.16, "how long a synthetic face takes to fade in over the fill, or to fade out", limits=(0.0, 4.0)
    )
    repaint_seconds: float = _setting(
        0.05,
        "how long a painted synthetic face is moved along with the person's face before it is painted"
        " again; fast turns or speech are painted at once; 0: paint in every frame",
        limits=(0.0, 0.4),
    )
    on_error: Literal["cover", "stop"] = _setting(
        "cover",
        "when detecting, measuring or painting a face fails; cover: cover more and report it at the"
        " end; stop: exit with code 2 and leave the finished part in NAME.partial",
        "--on-error",
    )
    keep_regions: tuple[str, ...] = _setting(
        (),
        "leave faces visible whose centre stays in one of these areas, each left,top,right,bottom in px"
        " of the displayed picture",
    )
    keep_tracks: tuple[str, ...] = _setting(
        (),
        "leave the face visible that is at a place at a time, each seconds@x,y in px of the displayed"
        " picture, from then on until it is lost or meets another face; for files only",
    )
    paranoid: bool = _setting(
        False,
        "also cover everything that moves, in plain colour, for faces that the detector never finds; covers"
        " the whole picture while the camera moves",
        "--paranoid",
    )


def parse_region(text: str) -> tuple[float, float, float, float]:
    """The edges of "left,top,right,bottom", px. Raises :class:`ConfigError`."""
    try:
        left, top, right, bottom = (float(part) for part in text.split(","))
    except ValueError:
        left = top = right = bottom = 0.0
    if not (0 <= left < right and 0 <= top < bottom):
        raise ConfigError(f"a region is left,top,right,bottom in px, as in 600,100,900,500, not {text!r}")
    return left, top, right, bottom


def parse_moment(text: str) -> tuple[float, float, float]:
    """The parts of "seconds@x,y": s, px, px. Raises :class:`ConfigError`."""
    try:
        seconds, x, y = (float(part) for part in text.replace("@", ",", 1).split(","))
    except ValueError:
        seconds = x = y = -1.0
    if "@" not in text or not all(0 <= one < math.inf for one in (seconds, x, y)):
        raise ConfigError(
            f"a face to keep is seconds@x,y, a time and a place in px, as in 12.5@640,300, not {text!r}"
        )
    return seconds, x, y


@dataclass(frozen=True)
class PersonRule:
    """What holds for one person, known by ``photo``, an image file that shows them alone. ``keep``: leave
    them visible. ``delegate``, ``geometry``, ``appearance``: theirs, instead of everybody's. ``name``: gets
    them a delegate that fits the photo, in every run the same for that name.
    """

    photo: str = ""
    keep: bool = False
    name: str | None = None
    delegate: str | None = None
    geometry: float | None = None
    appearance: float | None = None

    def __post_init__(self) -> None:
        if not self.photo:
            raise ConfigError("a rule in identity.people needs a photo: the path of an image of the person")
        if self.name is not None and (self.keep or self.delegate is not None):
            raise ConfigError(
                "a rule in identity.people takes one of name, delegate and keep: leave two out"
            )
        for name in ("geometry", "appearance"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ConfigError(f"{name} in identity.people must lie between 0 and 1, not {value}")


@dataclass(frozen=True)
class IdentityConfig:
    """Which synthetic face a person gets; for the method synthesize."""

    epsilon: float = _setting(
        8.0,
        "privacy budget for drawing a person's delegate; 0: all equally likely; higher: prefers those"
        " that match the person",
        "--epsilon",
        limits=(0.0, 100.0),
    )
    geometry: float = _setting(
        0.8,
        "how far eyes, brows, nose and mouth move towards the delegate's proportions, 0 to 1",
        "--geometry",
        limits=(0.0, 1.0),
    )
    appearance: float = _setting(
        1.0,
        "skin and features: 0 is the mean of similar delegates, 1 the drawn delegate",
        "--appearance",
        limits=(0.0, 1.0),
    )
    delegate: str | None = _setting(
        None,
        "one delegate for all faces: an id from streamanon delegates list, or a description, as in"
        " age=30,sex=f,tone=3 (tone 1 very light to 6 dark)",
        "--delegate",
        metavar="ID",
    )
    gallery: str | None = _setting(
        None, "file of other delegates; see streamanon delegates add", "--gallery", metavar="FILE"
    )
    ttl_seconds: float = _setting(
        60.0,
        "how long a person who left is remembered, to get the same delegate on return; 0: not at all",
        "--ttl",
        metavar="SECONDS",
        limits=(0.0, 86_400.0),
    )
    key: str | None = _setting(
        None,
        "file of secret bytes; with the same key a person mostly gets the same delegate in every run",
        "--identity-key",
        metavar="FILE",
    )
    seed: int | None = _setting(
        None,
        "makes the draw of delegates reproducible; keep it secret: who knows it learns more from the faces",
        "--seed",
        limits=(0, 2**32 - 1),
    )
    people: tuple[PersonRule, ...] = _setting((), "rules for people recognised from a photo; see below")


@dataclass(frozen=True)
class OutputConfig:
    """How the output file is written."""

    codec: Literal["h264", "hevc", "av1", "vp9", "ffv1"] = _setting("h264", "video codec", "--codec")
    encoder: Literal["cpu", "nvenc"] = _setting(
        "cpu", "nvenc: encode on an NVIDIA GPU (h264 and hevc in 8 bits); an error if it cannot"
    )
    crf: int = _setting(
        20, "constant rate factor; lower means better quality and larger files", "--crf", limits=(0, 63)
    )
    preset: str = _setting("veryfast", "speed preset of the encoder")
    pixel_format: Literal["compatible", "keep"] = _setting(
        "compatible",
        "compatible: 4:2:0 in 8 bits, or 10 bits for HDR, which players support; keep: the source's chroma"
        " subsampling and bit depth, which ffv1 always keeps",
        "--pixel-format",
    )
    audio: Literal["copy", "drop"] = _setting(
        "copy",
        "audio; copy: bit for bit, or re-encoded if the container requires it; drop: no audio",
        "--audio",
    )
    subtitles: Literal["copy", "drop"] = _setting(
        "copy",
        "text subtitles; copy: bit for bit, or converted if the container requires it; drop: none",
        "--subtitles",
    )
    keep_metadata: bool = _setting(False, "keep location, device and title tags", "--keep-metadata")


@dataclass(frozen=True)
class ComputeConfig:
    """Where the networks run."""

    backend: Literal["auto", "tensorrt", "openvino", "onnxruntime"] = _setting(
        "auto",
        "auto: the first that works, unless another was clearly faster when timed on this machine; a named"
        " backend that does not load is an error",
        "--backend",
    )
    threads: int = _setting(
        0,
        "maximum threads per network on a CPU; 0: one per core; small networks use one",
        limits=(0, 256),
    )
    device: int = _setting(
        0,
        "GPU number, from 0, for the backend tensorrt, the providers cuda, tensorrt and directml, the"
        " decoder cuda and the encoder nvenc",
        limits=(0, 63),
    )
    decoder: Literal["auto", "cpu", "cuda"] = _setting(
        "auto",
        "decoder of video files; cuda: the NVIDIA GPU (NVDEC), an error if it cannot; auto: the GPU if the"
        " networks run on one and its pictures equal the CPU's bit for bit, else the CPU",
    )
    precision: Literal["auto", "fp32"] = _setting(
        "auto",
        "auto: half precision or bfloat16 where the hardware is faster with it and the model allows it; on"
        " other processors INT8 for the detector with OpenVINO. fp32: float32 everywhere",
    )
    providers: tuple[Literal["cuda", "tensorrt", "coreml", "directml"], ...] = _setting(
        (),
        "execution providers of ONNX Runtime, the preferred one first; the CPU runs what they cannot."
        " Setting this selects the backend onnxruntime",
    )
    plans: str | None = _setting(
        None,
        "folder of TensorRT plans, as written by streamanon engines build --out; default: the user's cache"
        " folder",
        metavar="FOLDER",
    )


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
        for section, kind in _hints(Config).items():
            if not isinstance(getattr(self, section), kind):
                given = type(getattr(self, section)).__name__
                raise ConfigError(f"{section} must be of the class {kind.__name__}, not {given}")
        for key, hint, _default, setting in settings():
            section, name = key.split(".")
            value = getattr(getattr(self, section), name)
            _convert(hint, str(value) if isinstance(value, Path) else value, key)
            if value is None or setting.low is None or setting.high is None:
                continue
            if not setting.low <= value <= setting.high:
                raise ConfigError(f"{key} must lie between {setting.low} and {setting.high}, not {value}")
        for region in self.cover.keep_regions:
            parse_region(region)
        for moment in self.cover.keep_tracks:
            parse_moment(moment)


@functools.cache
def settings() -> tuple[tuple[str, Any, Any, Setting], ...]:
    """All settings: "section.name", type, default and description."""
    return tuple(
        (f"{section}.{one.name}", _hints(kind)[one.name], one.default, one.metadata["setting"])
        for section, kind in _hints(Config).items()
        for one in dataclasses.fields(kind)
    )


@functools.cache
def _hints(kind: type[Any]) -> Mapping[str, Any]:
    """The types of a class's fields: evaluating them anew takes milliseconds."""
    return get_type_hints(kind)


#: Keys of earlier versions, and what took their place.
_RENAMED = {
    "detect.every": "detect.interval_seconds, in seconds",
    "lookahead.frames": "lookahead.seconds, in seconds: 45 frames at 25 a second are 1.8",
    "lookahead.coast_frames": "lookahead.coast_seconds, in seconds: 12 frames at 25 a second are 0.48",
    "cover.fade_frames": "cover.fade_seconds, in seconds: 4 frames at 25 a second are 0.16",
    "detect.paranoid": "cover.paranoid",
}


def load_config(profile: Path | str | None = None, overrides: Iterable[str] = ()) -> Config:
    """Read a YAML profile, by path or, of those that come along, by name, and apply ``section.key=value``
    overrides, later ones last.

    Raises :class:`ConfigError` for a file that is missing or is no YAML, for an unknown key (with the
    nearest known one), and for a value of the wrong kind.
    """
    values: dict[str, Any] = {}
    if profile is not None:
        values = read_yaml(find_profile(profile))
    if isinstance(overrides, (str, Mapping)):
        kind = "text" if isinstance(overrides, str) else type(overrides).__name__
        raise ConfigError(f"overrides are a list of section.key=value, not the {kind} {overrides!r}")
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator or not key.strip():
            raise ConfigError(f"--set takes section.key=value, not {override!r}")
        _assign(values, key.strip(), _Text(text))
    return typing.cast(Config, build(Config, values, ""))


def find_profile(profile: Path | str) -> Path:
    """A path as it is; a name without a suffix from the profiles that come along. Raises
    :class:`ConfigError` for an unknown name.
    """
    if not isinstance(profile, (Path, str)):
        raise ConfigError(f"a profile is a name, a path or a Config, not a {type(profile).__name__}")
    path = Path(profile)
    if isinstance(profile, Path) or path.suffix or path.name != str(profile):
        return path
    shipped = {one.stem: one for one in sorted(shipped_folder("configs").glob("*.yaml"))}
    if profile not in shipped:
        raise ConfigError(f"there is no profile {profile!r}; known: {', '.join(shipped)}")
    return shipped[profile]


def shipped_folder(name: str) -> Path:
    """A folder that comes along: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / name
    return inside if inside.is_dir() else package.parent / name


def as_dict(config: Config) -> dict[str, Any]:
    """The settings as plain nested dictionaries, without folders, people's photos and names, and what the
    draw of delegates depends on besides the faces: key and seed.
    """
    content = dataclasses.asdict(config)
    model, identity = content["detect"]["model"], content["identity"]
    content["detect"]["model"] = Path(model).name if model is not None else None
    for secret in ("key", "seed"):
        identity[secret] = "given" if identity[secret] is not None else None
    if identity["gallery"] is not None:
        identity["gallery"] = Path(identity["gallery"]).name
    if content["compute"]["plans"] is not None:
        content["compute"]["plans"] = Path(content["compute"]["plans"]).name
    for rule in identity["people"]:
        rule["photo"] = "given"
        rule["name"] = "given" if rule["name"] is not None else None
    return content


class _Text(str):
    """A value from the command line, to be read by its setting's type."""


class _ProfileLoader(yaml.SafeLoader):
    """YAML as people read it: numbers are decimal, and no key stands twice. PyYAML makes 90 of 1:30, 8 of
    010 and text of 1e1, and of two sections with one name it drops the first without a word.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        known: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in known:
                raise yaml.constructor.ConstructorError(
                    problem=f"{name} is given twice", problem_mark=key.start_mark
                )
            known.add(name)
        return super().construct_mapping(node, deep)


_NUMBERS = {"int": r"[-+]?[0-9]+", "float": r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?"}
_ProfileLoader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in forms if tag.rpartition(":")[2] not in _NUMBERS]
    for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _name, _form in _NUMBERS.items():
    _tag = f"tag:yaml.org,2002:{_name}"
    _ProfileLoader.add_implicit_resolver(_tag, re.compile(f"^{_form}$"), list("-+.0123456789"))
_ProfileLoader.add_constructor("tag:yaml.org,2002:int", lambda _loader, node: int(node.value))


def read_yaml(path: Path, what: str = "the profile") -> dict[str, Any]:
    """The sections of a YAML file; ``what`` it is, for messages. Raises :class:`ConfigError`."""
    try:
        loaded = _parsed(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {what} {path}: {error.strerror}; check the path") from error
    except UnicodeDecodeError:
        raise ConfigError(f"{what} {path} is no text in UTF-8; give a YAML file") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{what} {path} is not valid YAML: {_said(error)}") from error
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ConfigError(f"{what} {path} must hold sections with keys, not a {type(loaded).__name__}")
    return loaded


def _parsed(text: str) -> Any:
    """What YAML says. Raises yaml.YAMLError, where PyYAML raises others, too."""
    try:
        return yaml.load(text, _ProfileLoader)
    except (ValueError, RecursionError) as error:  # a date like 2020-13-01
        raise yaml.YAMLError(str(error)) from error
    except (AttributeError, KeyError, TypeError) as error:
        raise yaml.YAMLError("a value does not fit its tag") from error


def _said(error: Exception) -> str:
    """What is wrong with a YAML file, and in which line."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    where = "" if mark is None else f", line {mark.line + 1}"
    return f"{problem or str(error).splitlines()[0]}{where}"


def _assign(values: dict[str, Any], key: str, value: Any) -> None:
    *sections, name = key.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise ConfigError(f"{key} is not a setting: {section} holds a value, not a section")
    values[name] = value


def build(kind: type[Any], values: Mapping[str, Any], prefix: str) -> Any:
    """A dataclass of its keys' values; ``prefix``: what stands before them in messages. Raises
    :class:`ConfigError` for an unknown key and for a value of the wrong kind.
    """
    hints = _hints(typing.cast(Hashable, kind))
    built: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if name in _RENAMED:
            raise ConfigError(f"{name} is now {_RENAMED[name]}")
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


def _read_text(hint: Any, text: str, name: str) -> Any:
    """A value of the type, or the text itself, which is then refused. Not by YAML: it cuts text off at " #"
    and makes 90 of 1:30.
    """
    if isinstance(hint, types.UnionType):
        if text.strip() == "null":
            return None
        hint = next(part for part in get_args(hint) if part is not type(None))
    if get_origin(hint) is tuple:
        try:
            return _parsed(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"cannot read the value of {name}: give a list as in a profile") from error
    if get_origin(hint) is Literal:
        return text.strip()
    if hint is bool:
        return {"true": True, "false": False}.get(text.strip().lower(), text)
    if hint in (int, float):
        try:
            return hint(text)
        except ValueError:
            return str(text)
    return str(text)


_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def _convert(hint: Any, value: Any, name: str) -> Any:
    if isinstance(value, _Text):
        value = _read_text(hint, value, name)
    if dataclasses.is_dataclass(hint):
        if isinstance(value, typing.cast("type[Any]", hint)):
            return value
        if not isinstance(value, Mapping):
            raise ConfigError(f"{name} is a section and takes keys, not {value!r}")
        return build(typing.cast("type[Any]", hint), value, f"{name}.")
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
        kinds = [part for part in get_args(hint) if part is not type(None)]
        hint = next((kind for kind in kinds if type(value) is kind), kinds[0])
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise ConfigError(f"{name} must be a smaller number") from None
    if not isinstance(value, hint) or (hint is not bool and isinstance(value, bool)):
        raise ConfigError(f"{name} must be {_KINDS[hint]}, not {value!r}")
    return value
