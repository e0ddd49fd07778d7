"""Encoding by an NVIDIA GPU (NVENC), through FFmpeg. No GPU has encoded with it yet; FFmpeg knows all the
options, which it reads before it looks for a driver.
"""

from __future__ import annotations

from fractions import Fraction

import av
import av.error
from av.codec import CodecContext
from av.video.codeccontext import VideoCodecContext

from streamanon.config import OutputConfig
from streamanon.errors import ConfigError

#: FFmpeg's encoders, by ``output.codec``.
ENCODERS = {"h264": "h264_nvenc", "hevc": "hevc_nvenc"}
#: NVENC's presets, by ``output.preset``.
_PRESETS = {
    "ultrafast": "p1",
    "superfast": "p1",
    "veryfast": "p2",
    "faster": "p3",
    "fast": "p3",
    "medium": "p4",
    "slow": "p5",
    "slower": "p6",
    "veryslow": "p7",
    "placebo": "p7",
}


def options_of(config: OutputConfig, gpu: int, live: bool = False) -> dict[str, str]:
    """FFmpeg's options. CRF becomes NVENC's constant quality, on the same scale from 0 to 51; its 0 would
    mean "automatic", and is lossless here as in x264. ``live``: no frame is held back. Raises
    :class:`ConfigError` for an unknown preset.
    """
    if config.preset not in _PRESETS:
        raise ConfigError(f"output.preset must be one of {', '.join(_PRESETS)}, not {config.preset!r}")
    options = {"preset": _PRESETS[config.preset], "gpu": str(gpu)}
    options |= {"zerolatency": "1", "delay": "0"} if live else {}
    if config.crf == 0:
        return options | {"tune": "lossless"}
    return options | {"tune": "ull" if live else "hq", "rc": "vbr", "cq": str(config.crf), "b": "0"}


def encoder_of(codec: str) -> str:
    """FFmpeg's encoder. Raises :class:`ConfigError` where there is none."""
    if codec not in ENCODERS:
        known = " and ".join(ENCODERS)
        raise ConfigError(f"nvenc writes {known}, not {codec}: set output.codec, or output.encoder to cpu")
    if ENCODERS[codec] not in av.codecs_available:
        raise ConfigError("this build of PyAV has no nvenc: set output.encoder to cpu")
    return ENCODERS[codec]


def check_nvenc(codec: str, size: tuple[int, int], pixel_format: str, gpu: int) -> None:
    """Open the encoder for pictures of this width and height, and close it. Raises :class:`ConfigError`
    where that fails.
    """
    encoder = encoder_of(codec)
    context = CodecContext.create(encoder, "w")
    assert isinstance(context, VideoCodecContext)
    context.width, context.height = size
    context.pix_fmt, context.time_base = pixel_format, Fraction(1, 25)
    context.options = {"gpu": str(gpu)}
    try:
        context.open()
    except (av.error.FFmpegError, OSError) as error:
        raise ConfigError(
            f"{encoder} does not open for {size[0]}x{size[1]} in {pixel_format} on GPU {gpu}: "
            f"{_why(error)}; set output.encoder to cpu"
        ) from None


def _why(error: Exception) -> str:
    if isinstance(error, PermissionError):  # what FFmpeg makes of a library that does not load
        return "NVIDIA's driver is not installed"
    return (
        f"the GPU has no video encoder for this format ({getattr(error, 'strerror', None) or 'no detail'})"
    )
