"""What files can be read and written, and what a container holds: codecs, sound, subtitles."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.codec import Codec

from streamanon.config import OutputConfig
from streamanon.errors import ConfigError
from streamanon.media import nvenc
from streamanon.media.address import redact_url
from streamanon.media.probe import Colour, SourceInfo
from streamanon.types import PIXEL_FORMATS

#: Video codecs that may be written, by the suffix of the container.
CODECS: dict[str, tuple[str, ...]] = {
    ".mp4": ("h264", "hevc", "av1", "vp9"),
    ".mov": ("h264", "hevc"),
    ".mkv": ("h264", "hevc", "av1", "vp9", "ffv1"),
    ".webm": ("vp9", "av1"),
    ".ts": ("h264", "hevc"),
}
WRITABLE_VIDEOS = tuple(CODECS)
#: FFmpeg's names of the muxers, where they differ from the suffix.
_MUXERS = {".mkv": "matroska", ".ts": "mpegts"}
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

#: What sound becomes where it does not fit: encoders, by the suffix of the container.
_SOUND_ENCODERS = {".webm": "libopus"}
#: Sound that fits Matroska in another way without loss: as larger samples, or as FLAC. (TTA ends early
#: when what the muxer wrote of it is read.)
_PCM = {"u8": "pcm_u8", "s16": "pcm_s16le", "s32": "pcm_s32le", "flt": "pcm_f32le", "dbl": "pcm_f64le"}
_SAMPLES, _LOSSLESS = ("pcm_", "adpcm_"), ("tta", "ape", "tak", "wmalossless", "shorten", "ralf")
#: What text subtitles become there.
_TEXT_ENCODERS = {".mp4": "mov_text", ".mov": "mov_text", ".mkv": "subrip", ".webm": "webvtt"}

#: Fragments make what is on disk playable at any time; where the file can be written again, it becomes
#: one without at the end. With the header held back until the first fragment, an edit list can keep times
#: that start before or after zero; without, they would shift.
_FRAGMENTS = "frag_keyframe+delay_moov+default_base_moof"
#: What a kill can cost: fragments, and Matroska's clusters, are no longer.
_FRAGMENT_MICROSECONDS, _CLUSTER_MILLISECONDS = "500000", "500"
#: Transfer characteristics of HDR: PQ and HLG (ITU-T H.273).
_HDR_TRANSFERS = (16, 18)
#: Encoders that keep fields apart; others would mix them in their chroma.
_INTERLACING = ("libx264", "ffv1")
#: MP4 counts in 32 bits: with finer ticks a picture could not last half an hour.
_FINEST_TICKS = 1_000_000


@dataclass(frozen=True)
class Encoding:
    """How the video is written. ``time_base``: of its frames. ``field_order``: if it is stored interlaced.
    ``tag``: of the codec, where the usual one is not what players look for. ``notes``: sentences on what
    could not be kept.
    """

    codec: str
    encoder: str
    pixel_format: str
    colour: Colour
    options: dict[str, str]
    time_base: Fraction
    field_order: str = ""
    tag: str | None = None
    notes: tuple[str, ...] = ()


def choose_encoding(path: Path, info: SourceInfo, config: OutputConfig, gpu: int = 0) -> Encoding:
    """Codec, encoder, options and pixel format for this file. ``gpu``: the number of the one that encodes
    where ``output.encoder`` is nvenc, which is opened once for that.

    WebM takes VP9 where the codec is ``h264``, the default. Raises :class:`ConfigError` with the remedy for
    a suffix that is not known, and for what the container, this build or the GPU cannot do.
    """
    codec, notes = _choose_codec(path, config)
    on_gpu = config.encoder == "nvenc"
    encoder = _find_encoder(codec, on_gpu)
    _check_rotation(path, info)
    if on_gpu and _wanted(codec, info, config)[0].endswith("10le"):
        raise ConfigError(
            "nvenc writes 8 bits per sample here, and this video has 10: set output.encoder to cpu"
        )
    pixel_format = _choose_pixel_format(path, codec, encoder, info, config)
    if pixel_format != info.picture_format:
        notes += (_pixel_note(pixel_format, info),)
    options = _encoder_options(codec, encoder.name, config, gpu)
    if on_gpu:
        nvenc.check_nvenc(codec, (info.width, info.height), pixel_format, gpu)
    notes += _add_hdr(options, encoder.name, info)
    interlaced = info.field_order if encoder.name in _INTERLACING else ""
    if interlaced == "bottom first" and encoder.name == "libx264":  # does not take it from the frames
        options["x264-params"] = ":".join([*filter(None, [options.get("x264-params")]), "bff=1"])
    notes += _aspect_notes(path, codec, info)
    if info.field_order and not interlaced:
        notes += (f"the video is interlaced; {codec} stores it as progressive, without deinterlacing",)
    return Encoding(
        codec=codec,
        encoder=encoder.name,
        pixel_format=pixel_format,
        colour=_choose_colour(info, pixel_format),
        options=options,
        time_base=info.time_base
        if info.time_base.denominator <= _FINEST_TICKS
        else Fraction(1, _FINEST_TICKS),
        field_order=interlaced,
        # Apple's players know HEVC by this one only.
        tag="hvc1" if codec == "hevc" and has_edit_list(path) else None,
        notes=notes,
    )


def _pixel_note(pixel_format: str, info: SourceInfo) -> str:
    note = f"the video is stored as {pixel_format}, not {info.picture_format}"
    if "420" not in pixel_format:
        return f"{note}, which some players do not show"
    return note


def _aspect_notes(path: Path, codec: str, info: SourceInfo) -> tuple[str, ...]:
    """Where pixels that are not square are lost: H.264 and HEVC tell their shape themselves, and MP4 does
    for all; PyAV cannot have Matroska's muxer write it.
    """
    aspect = info.sample_aspect_ratio or Fraction(1)
    if aspect == 1 or codec in ("h264", "hevc") or has_edit_list(path):
        return ()
    remedy = "write .mp4" if codec in CODECS[".mp4"] else "set output.codec to h264 or hevc"
    lost = (
        f"the pixel aspect ratio {aspect.numerator}:{aspect.denominator} cannot be stored with {codec} in"
    )
    return (f"{lost} {path.suffix.lower()}, and players show another shape; to keep it, {remedy}",)


def _add_hdr(options: dict[str, str], encoder: str, info: SourceInfo) -> tuple[str, ...]:
    """Add the encoder's options for the static metadata of HDR10; notes on what cannot be kept."""
    if info.hdr is None:
        return ()
    mastering, content = info.hdr.mastering_display(), info.hdr.content
    if encoder == "libx265":
        light = [f"master-display={mastering}"] * bool(mastering)
        light += [f"max-cll={content[0]},{content[1]}"] if content else []
        options["x265-params"] = ":".join([options["x265-params"], "hdr10=1", "repeat-headers=1", *light])
    elif encoder == "libx264":
        light = [f"mastering-display={mastering}"] * bool(mastering)
        light += [f"cll={content[0]},{content[1]}"] if content else []
        options["x264-params"] = ":".join(light)
    else:
        return (f"{encoder} does not keep the mastering display and light level of HDR10",)
    return ()


def muxer_name(path: Path) -> str:
    """FFmpeg's name of the muxer for this file."""
    suffix = path.suffix.lower()
    return _MUXERS.get(suffix, suffix[1:])


def muxer_options(path: Path, keep_metadata: bool, seekable: bool = True) -> dict[str, str]:
    """Options that keep times as they are and what is on disk playable."""
    # Else one audio packet before zero (every AAC file has one) would shift the whole video.
    options = {"avoid_negative_ts": "disabled", "flush_packets": "1"}
    if has_edit_list(path):
        flags = _FRAGMENTS + "+hybrid_fragmented" * seekable + "+use_metadata_tags" * keep_metadata
        options |= {"movflags": flags, "frag_duration": _FRAGMENT_MICROSECONDS}
    elif path.suffix.lower() == ".ts":
        # As in FFmpeg all begins 1.4 seconds late: before zero there is no time in MPEG-TS.
        options["max_delay"] = "700000"
    else:
        options["cluster_time_limit"] = _CLUSTER_MILLISECONDS
    return options


def has_edit_list(path: Path) -> bool:
    """Whether the container can say which part of its sound is not to be heard."""
    return path.suffix.lower() in (".mp4", ".mov")


def tells_padding(path: Path) -> bool:
    """Whether the header of a stream can say how much of its beginning is not to be heard."""
    return path.suffix.lower() in (".mkv", ".webm")


def start_shift(info: SourceInfo) -> Fraction:
    """Seconds by which the output is earlier than the source: clocks that start anywhere start at zero."""
    return round(info.start / info.time_base) * info.time_base


def sound_encoder(path: Path, codec: str, samples: str) -> str:
    """The encoder for sound of this codec, which does not fit into the container as it is. ``samples``:
    FFmpeg's name of the format that it is decoded to.
    """
    suffix = path.suffix.lower()
    if suffix == ".mkv" and codec.startswith(_SAMPLES):
        return _PCM.get(samples.removesuffix("p"), "pcm_s16le")
    if suffix == ".mkv" and codec in _LOSSLESS:
        return "flac"
    return _SOUND_ENCODERS.get(suffix, "aac")


def is_lossless(encoder: str) -> bool:
    """Whether an encoder of :func:`sound_encoder` keeps every sample."""
    return encoder == "flac" or encoder in _PCM.values()


def text_encoder(path: Path) -> str | None:
    """The encoder for text subtitles that do not fit as they are; None where there is none."""
    return _TEXT_ENCODERS.get(path.suffix.lower())


def can_carry_audio(path: Path, codec: str) -> bool:
    """Whether to try; the muxers other than MPEG-TS refuse by themselves."""
    suffix = path.suffix.lower()
    return codec in _TS_AUDIO if suffix == ".ts" else (suffix, codec) != (".mkv", "tta")


def wants_adts(path: Path) -> bool:
    """Whether AAC there has a header per packet (ADTS); other containers want its set-up once, apart."""
    return path.suffix.lower() == ".ts"


def can_carry_subtitles(path: Path) -> bool:
    """MPEG-TS holds no text subtitles that could be copied."""
    return path.suffix.lower() != ".ts"


def _choose_codec(path: Path, config: OutputConfig) -> tuple[str, tuple[str, ...]]:
    suffix = path.suffix.lower()
    if path.name.lower() in CODECS:
        raise ConfigError(f"cannot write {redact_url(str(path))}: give it a name before {path.name}")
    if suffix not in CODECS:
        raise ConfigError(f"cannot write {redact_url(str(path))}: end its name with {_listed(CODECS)}")
    if config.codec in CODECS[suffix]:
        return config.codec, ()
    if suffix == ".webm" and config.codec == "h264":
        return "vp9", ("WebM cannot hold h264; the video is stored as vp9",)
    raise ConfigError(f"{suffix} cannot hold {config.codec}: set output.codec to {_listed(CODECS[suffix])}")


def _find_encoder(codec: str, on_gpu: bool) -> Codec:
    if on_gpu:
        return Codec(nvenc.encoder_of(codec), "w")
    for name in _ENCODERS[codec]:
        if name in av.codecs_available:
            return Codec(name, "w")
    present = [key for key, names in _ENCODERS.items() if not av.codecs_available.isdisjoint(names)]
    raise ConfigError(f"this build of PyAV cannot write {codec}: set output.codec to {_listed(present)}")


def _check_rotation(path: Path, info: SourceInfo) -> None:
    if (info.rotation or info.display_matrix) and path.suffix.lower() == ".ts":
        raise ConfigError(f"{path.name}: .ts cannot store this video's rotation; write .mp4, .mov or .mkv")


def _choose_pixel_format(
    path: Path, codec: str, encoder: Codec, info: SourceInfo, config: OutputConfig
) -> str:
    offered = {pixels.name for pixels in encoder.video_formats or ()}
    wanted = _wanted(codec, info, config)
    for name in wanted:
        if name in offered and _fits(codec, name, info):
            return name
    bits = 10 if wanted[0].endswith("10le") else 8
    remedy = _other_codec(path, wanted, info) or "give an output that ends with .mkv"
    elsewhere = _other_codec(Path("a.mkv"), wanted, info)
    if remedy.endswith(".mkv") and not _can_write(config.codec, wanted, info):
        remedy += f", and {elsewhere or 'set output.codec to ffv1'}"
    video = f"{bits}-bit video of {info.width}x{info.height}"
    raise ConfigError(f"{encoder.name} of this build cannot write {video}: {remedy}")


def _other_codec(path: Path, wanted: list[str], info: SourceInfo) -> str:
    able = [one for one in CODECS[path.suffix.lower()] if one != "ffv1" and _can_write(one, wanted, info)]
    return f"set output.codec to {_listed(able)}" if able else ""


def _can_write(codec: str, wanted: list[str], info: SourceInfo) -> bool:
    encoders = [Codec(name, "w") for name in _ENCODERS[codec] if name in av.codecs_available]
    offered = {pixels.name for encoder in encoders[:1] for pixels in encoder.video_formats or ()}
    return any(name in offered and _fits(codec, name, info) for name in wanted)


def _wanted(codec: str, info: SourceInfo, config: OutputConfig) -> list[str]:
    """Pixel formats, the best first. Few players know grey or RGB video, or anything but 4:2:0."""
    deep, family = info.picture_format.endswith("10le"), info.picture_format.removesuffix("10le")
    if codec == "ffv1":  # lossless, whatever it takes; 8-bit RGB is called bgr0 there
        return ["bgr0" if info.picture_format == "gbrp" else info.picture_format]
    if config.pixel_format == "keep":
        order = {
            "gray": ("yuv420p", "yuv444p"),
            "yuv420p": ("yuv420p", "yuv444p"),
            "yuv422p": ("yuv422p", "yuv444p", "yuv420p"),
            "yuv444p": ("yuv444p", "yuv420p"),
            "gbrp": ("yuv444p", "yuv420p"),
        }[family]
    else:
        order = ("yuv420p", "yuv444p")
        deep = deep and info.colour.transfer in _HDR_TRANSFERS
    return [name + "10le" * deep for name in order]


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


def _encoder_options(codec: str, encoder: str, config: OutputConfig, gpu: int) -> dict[str, str]:
    if codec == "ffv1":
        return {"level": "3", "slicecrc": "1"}
    if config.preset not in _PRESETS:
        raise ConfigError(f"output.preset must be one of {_listed(_PRESETS)}, not {config.preset!r}")
    if codec in ("h264", "hevc") and config.crf > 51:
        raise ConfigError(f"output.crf must be at most 51 for {codec}, not {config.crf}")
    if config.encoder == "nvenc":
        return nvenc.options_of(config, gpu)
    slowness = _PRESETS.index(config.preset)  # 0 fastest .. 9 slowest
    options = {"crf": str(config.crf)}
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
