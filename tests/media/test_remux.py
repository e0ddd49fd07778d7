"""Sound and subtitles untouched, and no tag that was not asked for."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.container import OutputContainer
from clips import packets, pass_through, times, write_clip
from odd_media import Clip, Sound, copy, write

from streamanon.config import OutputConfig
from streamanon.errors import SinkError
from streamanon.media import copying, remux
from streamanon.media.codec_headers import without_tags
from streamanon.media.probe import probe


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
        sink = pass_through(source, tmp_path / "b.ts")
    assert sink.notes == ("subtitle stream 1 (subrip) does not fit into .ts and is dropped",)
    assert sink.removed == ("subtitle stream 1 (subrip)",)
    assert sink.notes[0] in caplog.text
    assert not packets(tmp_path / "b.ts", "subtitles")


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


@pytest.mark.parametrize("suffix", [".avi", ".mkv", ".mov"])
def test_stereo_pcm_fits_mp4(tmp_path: Path, suffix: str) -> None:
    """AVI and Matroska do not tell which two channels there are."""
    source = write_clip(tmp_path / f"a{suffix}", pts=50, audio=["pcm_s16le"])
    pass_through(source, tmp_path / "b.mp4")
    assert probe(tmp_path / "b.mp4").frames == 50
    before, after = (
        b"".join(p[2] for p in packets(path, "audio")) for path in (source, tmp_path / "b.mp4")
    )
    assert len(before) > 300_000
    assert after == before


def test_a_file_that_does_not_open_is_not_called_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The muxer only logs that it cannot write this sound."""
    source = write_clip(tmp_path / "a.mkv", pts=50, audio=["pcm_s16le"])
    monkeypatch.setattr(copying, "known_layout", lambda _context: None)
    monkeypatch.setattr(remux, "fits", lambda *_: True)
    with pytest.raises(SinkError, match=r"b\.mp4: the muxer says .*layout.*; give an output that ends"):
        pass_through(source, tmp_path / "b.mp4")
    assert not (tmp_path / "b.mp4").exists()
    pass_through(source, tmp_path / "b.mkv")


def _cut_source(path: Path, sounds: tuple[Sound, ...]) -> Path:
    """Its first 0.7 seconds are cut away by an edit list."""
    whole = path.with_name(f"whole{path.suffix}")
    write(whole, Clip(sounds=sounds, options={"g": "50"}))
    copy(whole, path, -0.7)
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".ts"])
@pytest.mark.parametrize("codec", ["aac", "pcm_s16be"])
def test_what_was_cut_away_is_not_in_the_file(tmp_path: Path, suffix: str, codec: str) -> None:
    source = _cut_source(tmp_path / "a.mov", (Sound(codec),))
    with av.open(str(source)) as opened:
        hidden = [bytes(p) for p in opened.demux(audio=0) if p.is_discard]
    assert sum(map(len, hidden)) > 5000
    pass_through(source, tmp_path / f"b{suffix}")
    written = (tmp_path / f"b{suffix}").read_bytes()
    piece = slice(8, 24) if codec == "aac" else slice(8, 136)  # samples of a tone are much alike
    assert not [data for data in hidden if len(data) > 30 and data[piece] in written]
    assert len(times(tmp_path / f"b{suffix}")) == 32
    with av.open(str(tmp_path / f"b{suffix}")) as opened:
        heard = [
            (f.pts * f.time_base, f.samples)
            for f in opened.decode(audio=0)
            if f.time_base and f.pts is not None
        ]
    start = times(tmp_path / f"b{suffix}")[0]
    anew = suffix == ".ts" and codec != "aac"  # an encoder's priming cannot be told in .ts
    assert -anew * Fraction(22, 1000) <= heard[0][0] - start < Fraction(22, 1000)
    assert sum(samples for _, samples in heard) / 48000 == pytest.approx(1.3, abs=0.04)


def test_sound_that_is_encoded_anew_keeps_its_time(tmp_path: Path) -> None:
    """A gap stays where it is: short ones as silence, long ones as gaps."""
    write(
        tmp_path / "a.mkv",
        Clip(frames=150, sounds=(Sound("flac", rate=16000, layout="mono", seconds=1.0),)),
    )
    with_gaps = tmp_path / "gaps.mkv"
    with av.open(str(tmp_path / "a.mkv")) as opened, av.open(str(with_gaps), "w") as output:
        streams = [output.add_stream_from_template(one) for one in opened.streams]
        for packet in opened.demux():
            if packet.pts is None or packet.dts is None or not packet.size:
                continue
            if packet.stream.type == "audio":
                late = (packet.pts > 400) * 500 + (packet.pts > 700) * 3000
                packet.pts = packet.dts = packet.pts + late
            packet.stream = streams[packet.stream_index]
            output.mux(packet)
    pass_through(with_gaps, tmp_path / "b.webm", OutputConfig("vp9", preset="ultrafast"))
    with av.open(str(tmp_path / "b.webm")) as opened:
        frames = [
            (float(f.pts * f.time_base), f.to_ndarray())
            for f in opened.decode(audio=0)
            if f.pts is not None and f.time_base
        ]
    loud = [at for at, wave in frames if np.abs(wave).max() > 0.02]
    assert loud[0] < 0.05
    assert loud[-1] == pytest.approx(4.5, abs=0.1)
    assert not [at for at in loud if 0.6 < at < 0.85 or 1.4 < at < 4.1]
    assert any(0.6 < at < 0.85 for at, _ in frames)  # silence


def samples(path: Path) -> tuple[str, np.ndarray]:
    """The codec of the sound, and all its samples."""
    with av.open(str(path)) as opened:
        frames = [frame.to_ndarray() for frame in opened.decode(audio=0)]
        flat = [frame.T.reshape(1, -1) if len(frame) > 1 else frame for frame in frames]
        return opened.streams.audio[0].codec_context.name, np.concatenate(flat, axis=1)


@pytest.mark.parametrize(
    ("name", "sound", "video", "becomes"),
    [
        ("a.mkv", Sound("tta", samples="s32"), "libx264", "flac"),
        ("a.avi", Sound("pcm_mulaw", 8000), "mpeg4", "pcm_s16le"),
        ("a.mov", Sound("pcm_s8"), "libx264", "pcm_u8"),
        ("a.vob", Sound("pcm_dvd", samples="s32"), "mpeg2video", "pcm_s32le"),
    ],
)
def test_sound_without_loss_stays_so_in_matroska(
    name: str, sound: Sound, video: str, becomes: str, tmp_path: Path
) -> None:
    source, target = tmp_path / name, tmp_path / "b.mkv"
    write(source, Clip(codec=video, frames=10, sounds=(sound,)))
    sink = pass_through(source, target)
    assert [note.endswith(f"is stored as {becomes}, without loss") for note in sink.notes] == [True]
    (_, before), (codec, after) = samples(source), samples(target)
    assert codec == becomes
    assert before.dtype == after.dtype
    assert (before == after).all()


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_texts_stay_where_they_are_converted(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / "a.mkv", Clip(texts=("ass",)))
    pass_through(tmp_path / "a.mkv", tmp_path / f"b{suffix}")
    found = packets(tmp_path / f"b{suffix}", "subtitles")
    texts = [(float(at), data) for _, at, data in found if b"Line" in data]
    assert [at for at, _ in texts] == [0.0, 0.5, 1.0]
    assert all(f"Line {number}".encode() in data for number, (_, data) in enumerate(texts))


def test_sound_of_a_transport_stream_fits_matroska(tmp_path: Path) -> None:
    """Its muxer wrote the decoder's set-up over the header."""
    source = write_clip(tmp_path / "a.ts", pts=50, audio=["aac"])
    pass_through(source, tmp_path / "b.mkv")
    with av.open(str(tmp_path / "b.mkv")) as opened:
        assert [stream.type for stream in opened.streams] == ["video", "audio"]
        assert len(list(opened.decode(video=0))) == 50


def _with_comments(header: bytes, *comments: bytes) -> bytes:
    """A Vorbis header, laced, with these comments in the second of its three parts."""
    texts = b"".join(len(one).to_bytes(4, "little") + one for one in comments)
    second = b"\x03vorbis" + bytes(4) + len(comments).to_bytes(4, "little") + texts + b"\x01"
    first, setup = header[3:33], header[header.index(b"\x05vorbis") :]
    return (
        b"\x02\x1e" + b"\xff" * (len(second) // 255) + bytes([len(second) % 255]) + first + second + setup
    )


@pytest.mark.parametrize("suffix", [".mkv", ".webm", ".mp4"])
def test_comments_and_covers_within_vorbis_do_not_reach_the_output(tmp_path: Path, suffix: str) -> None:
    def tag(output: OutputContainer) -> None:
        context = output.streams.audio[0].codec_context
        context.open()
        cover = b"METADATA_BLOCK_PICTURE=" + 500 * b"SecretFace"
        context.extradata = _with_comments(bytes(context.extradata or b""), b"ARTIST=Secret", cover)

    source, target = tmp_path / "a.mkv", tmp_path / f"b{suffix}"
    write(source, Clip(sounds=(Sound("vorbis"),), extra=tag))
    assert source.read_bytes().count(b"SecretFace") == 500
    sink = pass_through(source, target, OutputConfig(preset="ultrafast", keep_metadata=True))
    assert b"Secret" not in target.read_bytes()
    assert not [note for note in sink.notes if "audio" in note]
    with av.open(str(source)) as before, av.open(str(target)) as after:
        sounds = [
            np.concatenate([frame.to_ndarray() for frame in one.decode(audio=0)], axis=1)[:, :90_000]
            for one in (before, after)
        ]
    np.testing.assert_array_equal(sounds[0], sounds[1])


def test_a_vorbis_header_behind_lengths_loses_its_comments() -> None:
    first, setup = b"\x01vorbis" + bytes(23), b"\x05vorbis" + b"books" * 40
    parts = (first, b"\x03vorbisSecret", setup)
    header = b"".join(len(one).to_bytes(2, "big") + one for one in parts)
    plain = without_tags("vorbis", header)
    assert plain == _with_comments(b"\x02\x1e\x00" + first + setup)
    assert without_tags("vorbis", header[:20]) is None
    assert without_tags("vorbis", b"") is None


ASS = b"""\xef\xbb\xbf[Script Info]
; Script generated by Secret
Title: Secret
Original Script: Secret
ScriptType: v4.00+
PlayResX: 640

[Aegisub Project Garbage]
Video File: ../Secret.mp4

[V4+ Styles]
Format: Name, Fontname, Fontsize
Style: Default,Arial,16

[Fonts]
fontname: Secret.ttf
M1234

[Events]
Comment: 0,0:00:00.00,0:00:01.00,Default,,0,0,0,,Secret
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:00.00,0:00:01.00,Default,,0,0,0,,One
Dialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,Two
"""


def test_names_and_files_within_ass_do_not_reach_the_output(tmp_path: Path) -> None:
    (tmp_path / "a.ass").write_bytes(ASS.replace(b"\n", b"\r\n"))
    write(tmp_path / "a.mp4", Clip())
    with (
        av.open(str(tmp_path / "a.mp4")) as video,
        av.open(str(tmp_path / "a.ass")) as texts,
        av.open(str(tmp_path / "a.mkv"), "w") as output,
    ):
        sources = [(one, output.add_stream_from_template(one.streams[0])) for one in (video, texts)]
        for source, stream in sources:
            for packet in source.demux():
                if packet.size:
                    packet.stream = stream
                    output.mux(packet)
    assert (tmp_path / "a.mkv").read_bytes().count(b"Secret") >= 6
    pass_through(tmp_path / "a.mkv", tmp_path / "b.mkv")
    assert b"Secret" not in (tmp_path / "b.mkv").read_bytes()
    with av.open(str(tmp_path / "b.mkv")) as opened:
        kept = bytes(opened.streams.subtitles[0].codec_context.extradata or b"").split(b"\r\n")
    assert [line.split(b":")[0] for line in kept if line] == [
        b"[Script Info]",
        b"ScriptType",
        b"PlayResX",
        b"[V4+ Styles]",
        b"Format",
        b"Style",
        b"[Events]",
        b"Format",
    ]
    assert packets(tmp_path / "b.mkv", "subtitles") == packets(tmp_path / "a.mkv", "subtitles")


@pytest.mark.parametrize("version", ["4", "4+", "4++"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_styles_of_every_version_of_ass_stay(version: str, end: str) -> None:
    plain = f"[V{version} Styles]{end}Format: Name{end}Style: Default{end}"
    assert without_tags("ass", f"{plain}[Graphics]{end}filename: a.png{end}".encode()) == plain.encode()
    assert without_tags("ass", b"of no such kind") is None
