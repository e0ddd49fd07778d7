"""Files of several recordings one behind the other, and parts of one."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from make_odd_files import BASE
from odd_media import Clip, Sound, join, write

from streamanon.media.file_parts import is_cut_off, joined_flv, unread_from
from streamanon.media.probe import probe

FRAGMENTS = replace(BASE, muxer_options={"movflags": "frag_keyframe+empty_moov"})
FLV = Clip(codec="flv", frames=10, muxer_options={"avoid_negative_ts": "make_zero"})


def test_flash_videos_are_read_as_one_without_the_headers_within(tmp_path: Path) -> None:
    write(tmp_path / "a.flv", FLV)
    join(tmp_path / "b.flv", *[tmp_path / "a.flv"] * 3)
    assert joined_flv(str(tmp_path / "a.flv")) is None
    reader = joined_flv(str(tmp_path / "b.flv"))
    assert reader is not None
    with reader:
        one = (tmp_path / "a.flv").read_bytes()
        wanted = one + one[13:] + one[13:]
        assert reader.read() == wanted
        for place in (0, len(one) - 5, len(one), len(one) + 1, len(wanted) - 1):
            assert reader.seek(place) == place == reader.tell()
            assert reader.read(9) == wanted[place : place + 9]
        assert reader.seek(0, os.SEEK_END) == len(wanted)


def test_what_ends_within_a_tag_is_no_reason_to_fail(tmp_path: Path) -> None:
    write(tmp_path / "a.flv", FLV)
    whole = (tmp_path / "a.flv").read_bytes()
    for length in (2, 9, 13, 20, len(whole) // 2):
        (tmp_path / "cut.flv").write_bytes(whole[:length])
        assert joined_flv(str(tmp_path / "cut.flv")) is None
    assert joined_flv(str(tmp_path / "none.flv")) is None
    assert joined_flv("rtmp://server/app/a.flv") is None


@pytest.mark.parametrize(
    ("suffix", "clip"),
    [
        (".mp4", BASE),
        (".mp4", FRAGMENTS),
        (".mov", BASE),
        (".wmv", Clip(codec="wmv2", sounds=(Sound("wmav2"),))),
    ],
)
def test_a_recording_that_is_not_read_is_found_and_told(suffix: str, clip: Clip, tmp_path: Path) -> None:
    one, two = tmp_path / f"a{suffix}", tmp_path / f"b c{suffix}"
    write(one, clip)
    join(two, one, one)
    assert unread_from(one) is None
    begin = unread_from(two)
    assert begin == one.stat().st_size
    assert two.read_bytes()[begin:] == one.read_bytes()
    note = f"tail -c +{begin + 1} 'b c{suffix}' > second{suffix}"
    assert any(note in sentence for sentence in probe(two).notes)


def test_damaged_lengths_end_the_search(tmp_path: Path) -> None:
    for content in (
        b"",
        bytes(40),
        b"\0\0\0\x03ftyp" + bytes(40),
        b"\0\0\0\x08moov" * 3,
    ):
        (tmp_path / "a.mp4").write_bytes(content)
        assert unread_from(tmp_path / "a.mp4") is None


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".avi"])
def test_a_file_that_is_shorter_than_it_says_is_told(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    codec = {".webm": "libvpx", ".avi": "mpeg4"}.get(suffix, "libx264")
    start = {"movflags": "faststart"} if suffix in (".mp4", ".mov") else {}
    write(path, Clip(codec=codec, options={"g": "5"}, muxer_options=start))
    assert not is_cut_off(path)
    assert not any("the end of the file" in note for note in probe(path).notes)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    assert is_cut_off(path)
    assert any("the end of the file is missing" in note for note in probe(path).notes)


def test_nothing_is_missing_where_a_file_does_not_tell_its_length(tmp_path: Path) -> None:
    endless = b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x01" + b"\xff" * 7 + bytes(10)
    for content in (b"", b"RIFF" + bytes(20), bytes(64), endless, b"\x1a\x45\xdf\xa3"):
        (tmp_path / "a.mkv").write_bytes(content)
        assert not is_cut_off(tmp_path / "a.mkv")
    (tmp_path / "a.mkv").write_bytes(endless.replace(b"\x01" + b"\xff" * 7, b"\x99"))
    assert is_cut_off(tmp_path / "a.mkv")
    assert not is_cut_off(tmp_path / "none.mkv")
