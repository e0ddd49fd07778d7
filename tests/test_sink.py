"""Writing: equal times, untouched sound, nothing that was not asked for, and playable after a crash."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import packets, pass_through, safe, times, write_clip

from streamanon.config import OutputConfig
from streamanon.container import CODECS, choose_encoding
from streamanon.errors import ConfigError, SinkError
from streamanon.pixels import to_rgb
from streamanon.sink import VideoSink
from streamanon.source import Colour, probe, read_frames

QUICK = OutputConfig(preset="ultrafast")
TIMES: dict[str, tuple[list[int], Fraction]] = {
    "25": ([i * 512 for i in range(20)], Fraction(1, 12800)),
    "29.97": ([i * 1001 for i in range(20)], Fraction(1, 30000)),
    "variable": ([0, 7, 40, 41, 90, 230, 231, 500, 503], Fraction(1, 1000)),
    "late": ([90000 + i * 3003 for i in range(20)], Fraction(1, 90000)),
}


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".ts", ".mkv"])
@pytest.mark.parametrize("preset", ["ultrafast", "veryfast"])  # without and with B frames
def test_times_are_equal(tmp_path: Path, name: str, suffix: str, preset: str) -> None:
    pts, base = TIMES[name]
    fragments = {"movflags": "frag_keyframe+delay_moov"}
    source = write_clip(tmp_path / "a.mp4", pts=pts, time_base=base, audio=["aac"], muxer=fragments)
    target = tmp_path / f"b{suffix}"
    pass_through(source, target, OutputConfig(preset=preset))
    got, want = times(target), [at * base for at in pts]
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
        with pytest.raises(ConfigError, match=r"set output\.codec to hevc"):
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
    pass_through(source, target, OutputConfig(codec="hevc" if "10" in stored else "h264", crf=5))
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
    with pytest.raises(ConfigError, match=r"rotated; write \.mp4"):
        pass_through(source, tmp_path / "b.ts")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_sound_is_copied_bit_for_bit(tmp_path: Path, suffix: str) -> None:
    source = write_clip(tmp_path / "a.mkv", pts=60, audio=["aac", "ac3"])
    target = tmp_path / f"b{suffix}"
    pass_through(source, target)
    before, after = packets(source, "audio"), packets(target, "audio")
    assert len(before) > 150
    assert [(item[0], item[2]) for item in after] == [(item[0], item[2]) for item in before]
    assert max(abs(a[1] - b[1]) for a, b in zip(after, before, strict=True)) <= Fraction(1, 1000)
    with av.open(str(target)) as opened:
        languages = [stream.language for stream in opened.streams.audio]
        assert languages == ["ger" if suffix == ".mov" else "deu", "eng"]
        assert [bool(s.disposition & 1) for s in opened.streams.audio] == [True, False]
        assert len(opened.streams.video) == 1


def test_sound_of_a_transport_stream_fits_mp4(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.ts", pts=60, audio=["aac"])
    target = tmp_path / "b.mp4"
    sink = pass_through(source, target)
    assert not sink.notes
    before, after = packets(source, "audio"), packets(target, "audio")
    assert all(b[2].endswith(a[2]) for a, b in zip(after, before, strict=True))  # less the ADTS header
    with av.open(str(target)) as opened:
        assert sum(frame.samples for frame in opened.decode(audio=0)) >= 48000 * 2


def test_subtitles_are_copied_where_they_fit(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = write_clip(tmp_path / "a.mkv", subtitle="subrip")
    sink = pass_through(source, tmp_path / "b.mkv")
    assert packets(tmp_path / "b.mkv", "subtitles") == packets(source, "subtitles")
    assert len(packets(source, "subtitles")) == 3
    assert not sink.notes
    with av.open(str(tmp_path / "b.mkv")) as opened:
        assert opened.streams.subtitles[0].language == "swe"
    with caplog.at_level(logging.WARNING):
        sink = pass_through(source, tmp_path / "b.mp4")
    assert "subtitle stream 1 (subrip) cannot be copied into .mp4" in sink.notes[0]
    assert sink.notes[0] in caplog.text
    assert not packets(tmp_path / "b.mp4", "subtitles")


def test_sound_that_does_not_fit_is_dropped_with_a_note(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mkv", audio=["aac"])
    sink = pass_through(source, tmp_path / "b.webm")
    assert any("aac" in note and "dropped" in note for note in sink.notes)
    assert any("vp9" in note for note in sink.notes)
    assert probe(tmp_path / "b.webm").codec == "vp9" or "vpx" in probe(tmp_path / "b.webm").codec


def test_sound_and_subtitles_can_be_dropped(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mkv", audio=["aac"], subtitle="subrip")
    config = OutputConfig(preset="ultrafast", audio="drop", subtitles="drop")
    assert not pass_through(source, tmp_path / "b.mkv", config).notes
    with av.open(str(tmp_path / "b.mkv")) as opened:
        assert [stream.type for stream in opened.streams] == ["video"]


TAGS = {
    "title": "SecretTitle",
    "comment": "SecretComment",
    "location": "+59.3293+018.0686/",
    "com.apple.quicktime.make": "SecretMake",
    "com.apple.quicktime.location.ISO6709": "+59.3293+018.0686/",
    "creation_time": "2024-05-06T07:08:09.000000Z",
}


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".ts"])
def test_no_tags_reach_the_output(tmp_path: Path, suffix: str) -> None:
    source = write_clip(
        tmp_path / "a.mp4", tags=TAGS, audio=["aac"], muxer={"movflags": "use_metadata_tags"}
    )
    assert b"SecretMake" in source.read_bytes()
    pass_through(source, tmp_path / f"b{suffix}")
    written = (tmp_path / f"b{suffix}").read_bytes()
    assert len(written) > 1000
    for secret in (b"Secret", b"+59.3", b"quicktime", b"creation_time", b"2024-05-06"):
        assert secret not in written


def test_tags_are_kept_on_demand(tmp_path: Path) -> None:
    source = write_clip(
        tmp_path / "a.mp4", tags=TAGS, audio=["aac"], muxer={"movflags": "use_metadata_tags"}
    )
    pass_through(source, tmp_path / "b.mp4", OutputConfig(preset="ultrafast", keep_metadata=True))
    with av.open(str(tmp_path / "b.mp4")) as opened:
        assert {key: opened.metadata.get(key) for key in TAGS} == TAGS


def test_cover_pictures_do_not_reach_the_output(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mkv", cover=True)
    pass_through(source, tmp_path / "b.mkv", OutputConfig(preset="ultrafast", keep_metadata=True))
    with av.open(str(tmp_path / "b.mkv")) as opened:
        assert [stream.type for stream in opened.streams] == ["video"]
    assert b"cover.jpg" not in (tmp_path / "b.mkv").read_bytes()


def test_only_safe_frames_are_taken(tmp_path: Path, clip: Path) -> None:
    raw = next(iter(read_frames(clip, probe(clip))))
    with VideoSink(tmp_path / "b.mp4", probe(clip), QUICK, clip) as sink:
        for wrong in (raw, raw.picture, None):
            with pytest.raises(TypeError, match="only SafeFrame"):
                sink.write(wrong)  # type: ignore[arg-type]
        sink.write(safe(raw))
    assert len(times(tmp_path / "b.mp4")) == 1


KILLED = """
import os, sys
from clips import safe
from streamanon.config import OutputConfig
from streamanon.sink import VideoSink
from streamanon.source import probe, read_frames
info = probe(sys.argv[1])
sink = VideoSink(sys.argv[2], info, OutputConfig(preset="ultrafast"), sys.argv[1])
for frame in read_frames(sys.argv[1], info):
    sink.write(safe(frame))
os._exit(9)
"""


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".ts"])
def test_a_killed_run_leaves_a_playable_file(tmp_path: Path, suffix: str) -> None:
    source = write_clip(tmp_path / "a.mkv", pts=200, audio=["aac"])
    target = tmp_path / f"b{suffix}"
    folders = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(folders)}
    run = subprocess.run([sys.executable, "-c", KILLED, source, target], env=environment, check=False)
    assert run.returncode == 9
    assert 100 <= len(times(target)) <= 200
    assert times(target)[0] == 0


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
    assert len(times(target)) == 25
    assert 0.9 < packets(target, "audio")[-1][1] < 1.0


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


@pytest.mark.parametrize(
    ("name", "config", "words"),
    [
        ("b.avi", OutputConfig(), "mp4, .mov, .mkv, .webm or .ts"),
        ("b", OutputConfig(), "end its name with"),
        ("b.webm", OutputConfig(codec="hevc"), "set output.codec to vp9 or av1"),
        ("b.mp4", OutputConfig(codec="ffv1"), "cannot hold ffv1"),
        ("b.mp4", OutputConfig(preset="warp"), "output.preset must be"),
        ("b.mp4", OutputConfig(crf=60), "at most 51"),
    ],
)
def test_impossible_settings_are_refused(clip: Path, name: str, config: OutputConfig, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        choose_encoding(Path(name), probe(clip), config)


def test_a_codec_that_this_build_lacks_is_said(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(av, "codecs_available", {"libx264", "ffv1"})
    with pytest.raises(ConfigError, match=r"cannot write hevc: set output\.codec to h264 or ffv1"):
        choose_encoding(Path("b.mkv"), probe(clip), OutputConfig(codec="hevc"))


@pytest.mark.parametrize(("suffix", "codec"), [(s, c) for s, codecs in CODECS.items() for c in codecs])
def test_every_pair_that_is_offered_works(tmp_path: Path, clip: Path, suffix: str, codec: str) -> None:
    target = tmp_path / f"b{suffix}"
    pass_through(clip, target, OutputConfig(codec=codec, preset="ultrafast"))  # type: ignore[arg-type]
    assert len(times(target)) == 12
