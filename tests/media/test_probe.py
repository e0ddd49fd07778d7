"""What a source holds, and clear errors for what is no video."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import write_clip

from streamanon.errors import SourceError
from streamanon.live.connection import Connection, SourceOptions
from streamanon.media.decode import read_frames
from streamanon.media.probe import Colour, probe


def test_probe_tells_what_is_there(clip: Path) -> None:
    info = probe(clip)
    assert (info.width, info.height, info.codec, info.pixel_format) == (64, 48, "h264", "yuv420p")
    assert (info.picture_format, info.frames, info.average_rate) == ("yuv420p", 12, Fraction(25))
    assert (info.audio_streams, info.subtitle_streams, info.dropped, info.notes) == (1, 0, (), ())
    assert info.duration_seconds == pytest.approx(0.48)
    assert info.name == str(clip)


@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_probe_tells_rotation_aspect_and_colour(tmp_path: Path, rotation: int) -> None:
    path = tmp_path / "a.mp4"
    info = probe(write_clip(path, rotation=rotation, aspect=Fraction(4, 3), colour=(9, 16, 9, 1)))
    assert abs(info.rotation - rotation) % 360 == 0
    assert info.sample_aspect_ratio == Fraction(4, 3)
    assert info.colour == Colour(9, 16, 9, 1)
    frame = next(iter(read_frames(path, info)))
    assert (frame.picture.matrix, frame.picture.full_range) == ("bt2020", False)


@pytest.mark.parametrize(("height", "matrix"), [(48, "bt601"), (720, "bt709")])
def test_untagged_colours_go_by_height(tmp_path: Path, height: int, matrix: str) -> None:
    path = write_clip(tmp_path / "a.mp4", pts=1, size=(64, height))
    assert next(iter(read_frames(path, probe(path)))).picture.matrix == matrix


def test_cover_pictures_and_second_videos_are_dropped(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", cover=True, subtitle="subrip")
    info = probe(path)
    assert (info.width, info.subtitle_streams) == (64, 1)
    assert len(info.dropped) == 1
    assert "cover picture, mjpeg" in info.dropped[0]


def test_only_a_cover_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "a.mka"
    with av.open(str(path), "w", format="matroska") as output:
        stream = output.add_stream("flac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.int16), format="s16", layout="stereo")
        frame.sample_rate = 48000
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    with pytest.raises(SourceError, match="no video stream"):
        probe(path)


def test_what_cannot_be_opened_is_said_in_a_sentence(tmp_path: Path) -> None:
    text = tmp_path / "notes.mp4"
    text.write_text("no video here, only words " * 100)
    for path, words in [
        (tmp_path / "no.mp4", "no file"),
        (text, "not a video"),
        (tmp_path, "is a folder, pipe or device"),
    ]:
        with pytest.raises(SourceError, match=words) as caught:
            probe(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_list_of_other_files_is_not_followed(tmp_path: Path, clip: Path) -> None:
    """It may be called .mp4, and come from somebody who must not see the others: their sound is copied."""
    listed = tmp_path / "list.mp4"
    (tmp_path / "other.mp4").write_bytes(clip.read_bytes())
    listed.write_text("ffconcat version 1.0\nfile other.mp4\n")
    with pytest.raises(SourceError, match=r"list.mp4 is a list of other files, which are not read"):
        probe(listed)
    with pytest.raises(SourceError, match=r"list.mp4 is a list of other files"):
        Connection(SourceOptions(str(listed)))


def test_a_name_that_begins_like_a_protocol_is_a_file(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("10:30.mp4").write_bytes(clip.read_bytes())
    info = probe("10:30.mp4")
    assert (info.name, info.frames) == ("10:30.mp4", 12)
    assert len(list(read_frames("10:30.mp4", info))) == 12
