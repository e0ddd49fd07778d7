"""Encoding on an NVIDIA GPU: what is asked of FFmpeg, which knows every option and value also without one;
and what is said where it does not work.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import get_args, get_type_hints

import av
import av.error
import pytest
from av.codec import CodecContext
from av.video.codeccontext import VideoCodecContext
from clips import pass_through, write_clip

from streamanon.config import OutputConfig
from streamanon.errors import ConfigError
from streamanon.live.site import CameraSection, check_site, plan
from streamanon.media.formats import choose_encoding
from streamanon.media.nvenc import ENCODERS, check_nvenc, options_of
from streamanon.media.probe import probe

NVENC = OutputConfig(encoder="nvenc")
needs_nvenc = pytest.mark.skipif(
    "h264_nvenc" not in av.codecs_available, reason="this build of PyAV has no NVENC"
)


def opens(encoder: str, options: dict[str, str]) -> bool:
    """Whether FFmpeg takes these options; the driver is looked for after that."""
    context = CodecContext.create(encoder, "w")
    assert isinstance(context, VideoCodecContext)
    context.width, context.height, context.pix_fmt = 640, 360, "yuv420p"
    context.time_base, context.options = Fraction(1, 25), dict(options)
    try:
        context.open()
    except av.error.ArgumentError:
        return False
    except av.error.FFmpegError:
        return True
    return True


@needs_nvenc
@pytest.mark.parametrize("encoder", ENCODERS.values())
@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("crf", [0, 20])
def test_ffmpeg_knows_every_option(encoder: str, live: bool, crf: int) -> None:
    options = options_of(OutputConfig(crf=crf), 1, live)
    assert opens(encoder, options)
    for name in options:
        assert not opens(encoder, options | {name: "nonsense"}), name


def test_options_follow_the_settings() -> None:
    assert options_of(OutputConfig(crf=23, preset="medium"), 2) == {
        "preset": "p4",
        "gpu": "2",
        "tune": "hq",
        "rc": "vbr",
        "cq": "23",
        "b": "0",
    }
    assert options_of(OutputConfig(crf=0), 0)["tune"] == "lossless"
    assert options_of(OutputConfig(), 0, live=True)["delay"] == "0"
    with pytest.raises(ConfigError, match=r"output\.preset must be one of ultrafast, .*not 'warp'"):
        options_of(OutputConfig(preset="warp"), 0)


@pytest.mark.parametrize("codec", sorted({*get_args(get_type_hints(OutputConfig)["codec"])} - {*ENCODERS}))
def test_other_codecs_are_refused(clip: Path, codec: str) -> None:
    config = OutputConfig(codec=codec, encoder="nvenc")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=f"nvenc writes h264 and hevc, not {codec}: set output.codec"):
        choose_encoding(Path("b.mkv"), probe(clip), config)


def test_a_build_without_nvenc_is_said(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(av, "codecs_available", {"libx264"})
    with pytest.raises(ConfigError, match=r"has no nvenc: set output\.encoder to cpu"):
        choose_encoding(Path("b.mp4"), probe(clip), NVENC)


@needs_nvenc
def test_ten_bits_are_refused(tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "a.mkv", codec="libx265", pixel_format="yuv420p10le", colour=(9, 16, 9, 1), pts=3
    )
    with pytest.raises(ConfigError, match="writes 8 bits per sample here, and this video has 10"):
        choose_encoding(Path("b.mkv"), probe(path), NVENC)


def has_gpu() -> bool:
    try:
        check_nvenc("h264", (640, 360), "yuv420p", 0)
    except ConfigError:
        return False
    return True


@needs_nvenc
@pytest.mark.parametrize("codec", ENCODERS)
def test_without_a_driver_it_is_an_error_before_anything_is_written(
    tmp_path: Path, clip: Path, codec: str
) -> None:
    if has_gpu():
        pytest.skip("there is a GPU here")
    config = OutputConfig(codec=codec, encoder="nvenc")  # type: ignore[arg-type]
    words = (
        rf"{codec}_nvenc does not open for 64x48 in yuv420p on GPU 0: NVIDIA's driver is not installed;"
        r" set output\.encoder to cpu"
    )
    with pytest.raises(ConfigError, match=words):
        pass_through(clip, tmp_path / "b.mp4", config)
    assert not list(tmp_path.iterdir())
    section = CameraSection("rtsp://c/s", ("udp://h:1",), set=("output.encoder=nvenc",))
    with pytest.raises(ConfigError, match="h264_nvenc does not open for 640x360"):
        plan("gate", section)
    site = tmp_path / "site.yaml"
    site.write_text("cameras: {a: {source: 'rtsp://c/s', to: 'udp://h:1', set: [output.encoder=nvenc]}}")
    (fault,) = check_site(site)
    assert fault.startswith("a: h264_nvenc does not open")


@needs_nvenc
@pytest.mark.slow
def test_a_gpu_writes_the_file(tmp_path: Path, clip: Path) -> None:
    if not has_gpu():
        pytest.skip("there is no GPU with a video encoder here")
    path = write_clip(tmp_path / "a.mp4", size=(640, 360), pts=30)
    for codec in ENCODERS:
        config = OutputConfig(codec=codec, encoder="nvenc")  # type: ignore[arg-type]
        pass_through(path, tmp_path / f"{codec}.mp4", config)
        found = probe(tmp_path / f"{codec}.mp4")
        assert (found.codec, found.frames) == (codec, 30)
