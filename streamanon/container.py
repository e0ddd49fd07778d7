"""What an output file can hold: which codec and pixel format go into which container. Pure choices."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
from av.codec import Codec

from streamanon.config import OutputConfig
from streamanon.errors import ConfigError
from streamanon.source import Colour, SourceInfo
from streamanon.types import PIXEL_FORMATS

CODECS: dict[str, tuple[str, ...]] = {
    ".mp4": ("h264", "hevc", "av1", "vp9"),
    ".mov": ("h264", "hevc"),
    ".mkv": ("h264", "hevc", "av1", "vp9", "ffv1"),
    ".webm": ("vp9", "av1"),
    ".ts": ("h264", "hevc"),
}
_ENCODERS: dict[str, tuple[str, ...]] = {
    "h264": ("libx264",),
    "hevc": ("libx265",),
    "av1": ("libsvtav1", "libaom-av1"),
    "vp9": ("libvpx-vp9",),
    "ffv1": ("ffv1",),
}
_PRESETS = (
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
    "placebo",
)
#: The muxer of MPEG-TS takes any codec, most of them as private data that nothing can play.
_TS_AUDIO = frozenset({"aac", "mp3", "mp2", "ac3", "eac3", "opus", "dts"})

#: Fragments make what is on disk playable at any time. With the header held back until the first
#: fragment, an edit list can keep times that start before or after zero; without, they would shift.
_FRAGMENTS = "frag_keyframe+delay_moov+default_base_moof"


@dataclass(frozen=True)
class Encoding:
    """How the video is written. ``notes``: sentences on what could not be kept."""

    codec: str
    encoder: str
    pixel_format: str
    colour: Colour
    options: dict[str, str]
    notes: tuple[str, ...] = ()


def choose_encoding(path: Path, info: SourceInfo, config: OutputConfig) -> Encoding:
    """Codec, encoder, options and pixel format for this file.

    WebM takes VP9 where the codec is ``h264``, the default. Raises :class:`ConfigError` with the remedy for
    a suffix that is not known, and for a codec that the container or this build cannot do.
    """
    codec, notes = _choose_codec(path, config)
    encoder = _find_encoder(codec)
    _check_rotation(path, info)
    pixel_format = _choose_pixel_format(codec, encoder, info)
    if pixel_format != info.picture_format:
        notes += (f"the video is stored as {pixel_format}, not {info.picture_format}",)
    options = _encoder_options(codec, encoder.name, config)
    return Encoding(codec, encoder.name, pixel_format, _choose_colour(info, pixel_format), options, notes)


def muxer_options(path: Path, config: OutputConfig) -> dict[str, str]:
    """Options that keep times as they are and what is on disk playable."""
    # Else one audio packet before zero (every AAC file has one) would shift the whole video.
    options = {"avoid_negative_ts": "disabled", "flush_packets": "1"}
    if path.suffix.lower() in (".mp4", ".mov"):
        options["movflags"] = _FRAGMENTS + ("+use_metadata_tags" if config.keep_metadata else "")
    return options


def can_carry_audio(path: Path, codec: str) -> bool:
    """Whether to try; the muxers other than MPEG-TS refuse by themselves."""
    return path.suffix.lower() != ".ts" or codec in _TS_AUDIO


def can_carry_subtitles(path: Path) -> bool:
    """MPEG-TS holds no text subtitles that could be copied."""
    return path.suffix.lower() != ".ts"


def _choose_codec(path: Path, config: OutputConfig) -> tuple[str, tuple[str, ...]]:
    suffix = path.suffix.lower()
    if suffix not in CODECS:
        raise ConfigError(f"cannot write {path.name}: end its name with {_listed(CODECS)}")
    if config.codec in CODECS[suffix]:
        return config.codec, ()
    if suffix == ".webm" and config.codec == "h264":
        return "vp9", ("WebM cannot hold h264; the video is stored as vp9",)
    raise ConfigError(f"{suffix} cannot hold {config.codec}: set output.codec to {_listed(CODECS[suffix])}")


def _find_encoder(codec: str) -> Codec:
    for name in _ENCODERS[codec]:
        if name in av.codecs_available:
            return Codec(name, "w")
    present = [key for key, names in _ENCODERS.items() if not av.codecs_available.isdisjoint(names)]
    raise ConfigError(f"this build of PyAV cannot write {codec}: set output.codec to {_listed(present)}")


def _check_rotation(path: Path, info: SourceInfo) -> None:
    if (info.rotation or info.display_matrix) and path.suffix.lower() == ".ts":
        raise ConfigError(
            f"{path.name}: .ts cannot tell that this video is rotated; write .mp4, .mov or .mkv"
        )


def _choose_pixel_format(codec: str, encoder: Codec, info: SourceInfo) -> str:
    offered = {pixels.name for pixels in encoder.video_formats or ()}
    for name in _acceptable(codec, info.picture_format):
        if name in offered and _fits(codec, name, info):
            return name
    bits = PIXEL_FORMATS[info.picture_format][2]
    raise ConfigError(
        f"{encoder.name} of this build cannot write {bits}-bit video of {info.width}x{info.height}: "
        "set output.codec to hevc or h264"
    )


def _acceptable(codec: str, wanted: str) -> list[str]:
    """Formats that hold ``wanted`` without losing bits per sample, the best first."""
    suffix = "10le" if wanted.endswith("10le") else ""
    family = wanted.removesuffix("10le")
    if codec == "ffv1":  # lossless, whatever it takes; 8-bit RGB is called bgr0 there
        return ["bgr0" if wanted == "gbrp" else wanted]
    order = {
        # Few players know grey or RGB video.
        "gray": ("yuv420p", "yuv444p"),
        "yuv420p": ("yuv420p", "yuv444p"),
        "yuv422p": ("yuv422p", "yuv444p", "yuv420p"),
        "yuv444p": ("yuv444p", "yuv420p"),
        "gbrp": ("yuv444p", "yuv420p"),
    }
    return [name + suffix for name in order[family]]


def _fits(codec: str, name: str, info: SourceInfo) -> bool:
    """H.264 and HEVC cannot hold half a chroma sample at an odd edge."""
    step_x, step_y = PIXEL_FORMATS[name][:2] if name in PIXEL_FORMATS else (1, 1)
    even = info.width % step_x == 0 and info.height % step_y == 0
    return even or codec not in ("h264", "hevc", "av1")


def _choose_colour(info: SourceInfo, pixel_format: str) -> Colour:
    """The source's tags; RGB that becomes YUV does so by BT.709, limited."""
    if info.picture_format.startswith("gbrp") and pixel_format.startswith("yuv"):
        return Colour(info.colour.primaries, info.colour.transfer, 1, 1)
    if info.picture_format.startswith("gray") and pixel_format.startswith("yuv"):
        # Grey without a tag is full range; YUV without one is limited.
        matrix = 2 if info.colour.matrix == 0 else info.colour.matrix
        return Colour(info.colour.primaries, info.colour.transfer, matrix, info.colour.range or 2)
    return info.colour


def _encoder_options(codec: str, encoder: str, config: OutputConfig) -> dict[str, str]:
    if codec == "ffv1":
        return {"level": "3", "slicecrc": "1"}
    if config.preset not in _PRESETS:
        raise ConfigError(f"output.preset must be one of {_listed(_PRESETS)}, not {config.preset!r}")
    if codec in ("h264", "hevc") and config.crf > 51:
        raise ConfigError(f"output.crf must be at most 51 for {codec}, not {config.crf}")
    options = {"crf": str(config.crf)}
    slowness = _PRESETS.index(config.preset)  # 0 fastest .. 9 slowest
    if encoder in ("libx264", "libx265"):
        options["preset"] = config.preset
    elif encoder == "libsvtav1":
        options["preset"] = str(12 - slowness)
    else:
        quick = slowness <= 2
        options |= {"row-mt": "1", "cpu-used": str(max(0, (8 if quick else 7) - slowness))}
        if encoder == "libvpx-vp9":
            options["deadline"] = "realtime" if quick else "good"
    if encoder == "libx265":
        options["x265-params"] = "log-level=error"
    return options


def _listed(names: object) -> str:
    *most, last = list(names)  # type: ignore[call-overload]
    return f"{', '.join(most)} or {last}" if most else str(last)
