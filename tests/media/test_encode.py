"""Writing: equal times, untouched sound, nothing that was not asked for, and playable after a crash."""

from __future__ import annotations

import dataclasses
import errno
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from clips import packets, pass_through, safe, times, write_clip

from streamanon.config import OutputConfig
from streamanon.errors import ConfigError, SinkError
from streamanon.media import encode as encode_module
from streamanon.media.decode import read_frames
from streamanon.media.encode import VideoSink
from streamanon.media.probe import Colour, probe
from streamanon.media.yuv import to_rgb

QUICK = OutputConfig(preset="ultrafast")
TIMES: dict[str, tuple[list[int], Fraction]] = {
    "25": ([i * 512 for i in range(20)], Fraction(1, 12800)),
    "29.97": ([i * 1001 for i in range(20)], Fraction(1, 30000)),
    "variable": ([0, 7, 40, 41, 90, 230, 231, 500, 503], Fraction(1, 1000)),
    "late": ([90000 + i * 3003 for i in range(20)], Fraction(1, 90000)),
}


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize(
    "suffix", [".mp4", *(pytest.param(one, marks=pytest.mark.slow) for one in (".mov", ".ts")), ".mkv"]
)
@pytest.mark.parametrize(
    "preset",
    [pytest.param("ultrafast", marks=pytest.mark.slow), "veryfast"],  # without and with B frames
)
def test_times_are_equal(tmp_path: Path, name: str, suffix: str, preset: str) -> None:
    pts, base = TIMES[name]
    fragments = {"movflags": "frag_keyframe+delay_moov"}
    source = write_clip(tmp_path / "a.mp4", pts=pts, time_base=base, audio=["aac"], muxer=fragments)
    target = tmp_path / f"b{suffix}"
    pass_through(source, target, OutputConfig(preset=preset))
    got, want = times(target), [at * base for at in pts]
    if suffix == ".ts":  # has no time before zero, and so begins later
        want = [at + got[0] - want[0] for at in want]
    if suffix == ".mkv":  # counts in milliseconds
        assert [round(at * 1000) for at in got] == [int(at * 1000 + Fraction(1, 2)) for at in want]
    else:
        assert got == want


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "vp9", "ffv1"])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le"])
def test_every_codec_keeps_pixels_times_and_depth(tmp_path: Path, codec: str, pixel_format: str) -> None:
    source = write_clip(tmp_path / "a.mkv", pixel_format=pixel_format, codec="ffv1", colour=(9, 16, 9, 1))
    info = probe(source)
    config = OutputConfig(codec=codec, preset="ultrafast", crf=10)  # type: ignore[arg-type]
    if codec == "vp9" and "10le" in pixel_format and not vp9_has_10_bits():
        with pytest.raises(ConfigError, match=r"set output\.codec to h264, hevc or av1"):
            VideoSink(tmp_path / "b.mkv", info, config)
        assert not (tmp_path / "b.mkv").exists()
        return
    pass_through(source, tmp_path / "b.mkv", config)
    after = probe(tmp_path / "b.mkv")
    assert after.picture_format == pixel_format
    assert (after.width, after.height) == (64, 48)
    assert times(tmp_path / "b.mkv") == times(source)
    assert differs(source, tmp_path / "b.mkv") < (1e-9 if codec == "ffv1" else 8)


def vp9_has_10_bits() -> bool:
    return any(f.name == "yuv420p10le" for f in av.Codec("libvpx-vp9", "w").video_formats or ())


def differs(one: Path, other: Path) -> float:
    """Mean RGB difference over all frames; counts must be equal."""
    pairs = zip(read_frames(one, probe(one)), read_frames(other, probe(other)), strict=True)
    return max(float(np.abs(to_rgb(a.picture).astype(int) - to_rgb(b.picture)).mean()) for a, b in pairs)


@pytest.mark.parametrize(
    ("pixel_format", "stored"),
    [
        ("gray", "yuv420p"),
        ("gray10le", "yuv420p10le"),
        ("bgr0", "yuv444p"),
        ("yuv422p", "yuv422p"),
        ("gbrp10le", "yuv444p10le"),
        ("yuv411p", "yuv422p"),
    ],
)
def test_other_formats_keep_their_colours(tmp_path: Path, pixel_format: str, stored: str) -> None:
    source = write_clip(tmp_path / "a.mkv", pixel_format=pixel_format, codec="ffv1")
    target = tmp_path / "b.mp4"
    codec = "hevc" if "10" in stored else "h264"
    pass_through(source, target, OutputConfig(codec=codec, crf=5, pixel_format="keep"))  # type: ignore[arg-type]
    assert probe(target).pixel_format.replace("yuvj", "yuv") == stored
    assert differs(source, target) < 4


def test_ffv1_keeps_rgb_exactly(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mkv", pixel_format="bgr0", codec="ffv1")
    pass_through(source, tmp_path / "b.mkv", OutputConfig(codec="ffv1"))
    assert differs(source, tmp_path / "b.mkv") == 0


@pytest.mark.parametrize("codec", ["h264", "hevc", "vp9", "av1"])
def test_odd_sizes_stay(tmp_path: Path, codec: str) -> None:
    source = write_clip(tmp_path / "a.mkv", pixel_format="yuv420p", size=(65, 49), codec="ffv1")
    config = OutputConfig(codec=codec, preset="ultrafast")  # type: ignore[arg-type]
    if codec == "av1":  # this encoder has no 4:4:4
        with pytest.raises(ConfigError, match="65x49"):
            VideoSink(tmp_path / "b.mkv", probe(source), config)
        return
    sink = pass_through(source, tmp_path / "b.mkv", config)
    after = probe(tmp_path / "b.mkv")
    assert (after.width, after.height) == (65, 49)
    assert any("yuv444p" in note for note in sink.notes) == (codec != "vp9")


@pytest.mark.parametrize("rotation", [90, 180, -90])
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_rotation_aspect_and_colour_stay(tmp_path: Path, suffix: str, rotation: int) -> None:
    colour, aspect = (1, 1, 1, 2), Fraction(4, 3)
    source = write_clip(tmp_path / "a.mp4", rotation=rotation, aspect=aspect, colour=colour)
    pass_through(source, tmp_path / f"b{suffix}")
    before, after = probe(source), probe(tmp_path / f"b{suffix}")
    assert after.rotation == before.rotation != 0
    assert after.display_matrix is not None
    assert after.sample_aspect_ratio == aspect
    assert after.colour == Colour(*colour)


def test_rotation_is_not_lost_in_silence(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mp4", rotation=90)
    with pytest.raises(ConfigError, match=r"rotation; write \.mp4"):
        pass_through(source, tmp_path / "b.ts")


def test_only_safe_frames_are_taken(tmp_path: Path, clip: Path) -> None:
    raw = next(iter(read_frames(clip, probe(clip))))
    with VideoSink(tmp_path / "b.mp4", probe(clip), QUICK, clip) as sink:
        for wrong in (raw, raw.picture, None):
            with pytest.raises(TypeError, match="only a SafeFrame"):
                sink.write(wrong)  # type: ignore[arg-type]
        sink.write(safe(raw))
    assert len(times(tmp_path / "b.mp4")) == 1


KILLED = """
import os, sys
from clips import safe
from streamanon.config import OutputConfig
from streamanon.media.encode import VideoSink
from streamanon.media import encode as encode_module
from streamanon.media.decode import read_frames
from streamanon.media.probe import probe
info = probe(sys.argv[1])
sink = VideoSink(sys.argv[2], info, OutputConfig(preset="ultrafast"), sys.argv[1])
for frame in read_frames(sys.argv[1], info):
    sink.write(safe(frame))
os._exit(9)
"""


@pytest.mark.parametrize(
    "suffix", [".mp4", *(pytest.param(one, marks=pytest.mark.slow) for one in (".mov", ".mkv", ".ts"))]
)
@pytest.mark.parametrize(("count", "least"), [pytest.param(200, 180, marks=pytest.mark.slow), (40, 12)])
def test_a_killed_run_leaves_a_playable_file(tmp_path: Path, suffix: str, count: int, least: int) -> None:
    """Also in its first two seconds."""
    source = write_clip(tmp_path / "a.mkv", pts=count, audio=["aac"])
    target = tmp_path / f"b.partial{suffix}"
    folders = [str(Path(__file__).parents[1] / "support"), str(Path(__file__).parents[2])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(folders)}
    run = subprocess.run(
        [sys.executable, "-c", KILLED, source, tmp_path / f"b{suffix}"], env=environment, check=False
    )
    assert run.returncode == 9
    assert least <= len(times(target)) <= count
    assert times(target)[0] == (Fraction(14, 10) if suffix == ".ts" else 0)


def test_a_cancelled_run_ends_sound_with_the_picture(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mkv", pts=100, audio=["aac"])
    target = tmp_path / "b.mp4"

    def stopped() -> None:
        with VideoSink(target, probe(source), QUICK, source) as sink:
            for frame in read_frames(source, probe(source)):
                sink.write(safe(frame))
                if frame.index == 24:
                    raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert not target.exists()
    partial = tmp_path / "b.partial.mp4"
    assert len(times(partial)) == 25
    assert 0.9 < packets(partial, "audio")[-1][1] < 1.0


def test_an_error_before_the_first_frame_leaves_no_file(tmp_path: Path, clip: Path) -> None:
    target = tmp_path / "b.mp4"
    with pytest.raises(RuntimeError), VideoSink(target, probe(clip), QUICK, clip):
        raise RuntimeError
    assert not target.exists()


def test_paths_that_cannot_be_written_are_refused(tmp_path: Path, clip: Path) -> None:
    info = probe(clip)
    link = tmp_path / "link.mp4"
    link.symlink_to(clip)
    before = clip.read_bytes()
    for path in (clip, link):
        with pytest.raises(ConfigError, match="is the input itself"):
            VideoSink(path, info, QUICK, clip)
    assert clip.read_bytes() == before
    with pytest.raises(SinkError, match="no folder"):
        VideoSink(tmp_path / "no" / "b.mp4", info, QUICK, clip)
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(SinkError, match="is a folder"):
        VideoSink(tmp_path / "folder.mp4", info, QUICK, clip)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_said(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mkv", pts=40, size=(320, 240))
    target = tmp_path / "b.ts"
    target.symlink_to("/dev/full")
    with pytest.raises(SinkError, match=r"No space left.*check the disk"):
        pass_through(source, target)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_planes_that_nothing_changed_are_encoded_where_the_decoder_put_them(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No copy between decoder and encoder; and the file is that of the same planes copied."""
    source = write_clip(tmp_path / "a.mp4", size=(324, 182))
    info, given = probe(source), []
    encode = VideoSink._encode

    def remember(sink: VideoSink, frame: VideoFrame | None) -> None:
        given.append([plane.buffer_ptr for plane in frame.planes] if frame is not None else [])
        encode(sink, frame)

    monkeypatch.setattr(VideoSink, "_encode", remember)
    frames = list(read_frames(source, info))
    addresses = [[plane.ctypes.data for plane in frame.picture.planes] for frame in frames]
    with VideoSink(tmp_path / f"b{suffix}", info, QUICK) as sink:
        for frame in frames:
            sink.write(safe(frame))
    assert given == [*addresses, []]
    assert not any(plane.flags.writeable for frame in frames for plane in frame.picture.planes)
    monkeypatch.setattr(encode_module, "_lies_as_ffmpeg_reads", lambda _: False)
    with VideoSink(tmp_path / f"c{suffix}", info, QUICK) as sink:
        for frame in frames:
            sink.write(safe(frame))
    assert given[len(frames) + 1] != addresses[0]
    shared, copied = (
        [to_rgb(frame.picture) for frame in read_frames(path, probe(path))]
        for path in (tmp_path / f"b{suffix}", tmp_path / f"c{suffix}")
    )
    np.testing.assert_array_equal(shared, copied)


def test_rows_from_bottom_to_top_are_copied(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mp4")
    info = probe(source)
    frame = next(iter(read_frames(source, info)))
    planes = tuple(np.ascontiguousarray(plane[::-1])[::-1] for plane in frame.picture.planes)
    turned = dataclasses.replace(frame, picture=dataclasses.replace(frame.picture, planes=planes))
    written = []
    for number, one in enumerate((frame, turned)):
        with VideoSink(tmp_path / f"{number}.mkv", info, OutputConfig(codec="ffv1")) as sink:
            sink.write(safe(one))
        path = tmp_path / f"{number}.mkv"
        written.append(to_rgb(next(iter(read_frames(path, probe(path)))).picture))
    np.testing.assert_array_equal(written[0], written[1])


@pytest.mark.parametrize(
    ("name", "error", "remedy"),
    [
        ("b.ts", OSError(errno.ENOSPC, "No space left on device"), "check the disk and the folder"),
        ("-.ts", OSError(errno.ENOSPC, "No space left on device"), "check where it goes"),
        ("-.ts", BrokenPipeError(errno.EPIPE, "Broken pipe"), "keep the program that reads it running"),
    ],
)
def test_the_remedy_fits_what_cannot_be_written(
    name: str, error: OSError, remedy: str, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> int:
        raise error

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("streamanon.media.output_file.OutputFile.write", fails)
    with pytest.raises(SinkError, match=f"{error.strerror}; {remedy}"):
        pass_through(clip, Path(name))


@pytest.mark.parametrize(
    ("codec", "frames", "suffix"), [("h264", 40, ".mp4"), ("h264", 41, ".mov"), ("hevc", 14, ".mp4")]
)
def test_the_last_pictures_are_shown(codec: Any, frames: int, suffix: str, tmp_path: Path) -> None:
    """Those are decoded in the last fragment but one, and shown after the last packet of all."""
    source, output = write_clip(tmp_path / "a.mkv", pts=frames), tmp_path / f"b{suffix}"
    pass_through(source, output, OutputConfig(codec=codec, preset="veryfast"))
    with av.open(str(output)) as opened:
        assert sum(1 for _ in opened.decode(video=0)) == frames


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_pictures_just_before_zero_are_shown(suffix: str, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mkv", pts=range(-1, 11))
    pass_through(source, tmp_path / f"b{suffix}")
    with av.open(str(tmp_path / f"b{suffix}")) as opened:
        assert [frame.time for frame in opened.decode(video=0)] == [i / 25 for i in range(12)]
