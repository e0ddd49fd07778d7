"""A finished file is opened again: what a muxer lost without a word ends the run."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from clips import write_clip

from streamanon.errors import SinkError
from streamanon.media.muxer import Written
from streamanon.media.written_file import check_written

REMEDY = "give another name"


def given(frames: int, last: Fraction, **streams: Written) -> Any:
    """A muxer that was given so many frames at 25 a second, the last one at so many seconds."""
    video = Written(frames, Fraction(0), last, last + Fraction(1, 25))
    return SimpleNamespace(written={0: video, **{int(name[1:]): one for name, one in streams.items()}})


def sound(seconds: Fraction) -> Written:
    return Written(20, Fraction(0), seconds, seconds)


def test_a_whole_file_passes(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", pts=12, audio=["aac"])
    check_written(path, given(12, Fraction(11, 25), _1=sound(Fraction(2, 5))), {1}, REMEDY)


@pytest.mark.parametrize(
    ("muxer", "sounds", "told"),
    [
        (given(13, Fraction(11, 25)), (), "holds only 12 of 13 frames and 0 of 0 audio streams"),
        (given(12, Fraction(11, 25), _1=sound(Fraction(2, 5))), (1,), "and 0 of 1 audio streams"),
        (given(12, Fraction(5)), (), r"holds only 0\.5 of 5\.0 seconds"),
    ],
)
def test_what_is_missing_is_told(muxer: Any, sounds: tuple[int, ...], told: str, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", pts=12)
    with pytest.raises(SinkError, match=f"{told}; {REMEDY}"):
        check_written(path, muxer, sounds, REMEDY)


def test_sound_that_ends_early_is_told(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", pts=12, audio=["aac"])
    with pytest.raises(SinkError, match=r"of 5\.0 seconds"):
        check_written(path, given(12, Fraction(11, 25), _1=sound(Fraction(5))), {1}, REMEDY)


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"no video" * 100, "cannot be opened"), (None, "is damaged|cannot be opened|holds only")],
)
def test_a_file_that_does_not_play_is_told(content: bytes | None, told: str, tmp_path: Path) -> None:
    """Garbage, and the first half of a file."""
    path = write_clip(tmp_path / "a.mkv", pts=40)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(SinkError, match=told):
        check_written(path, given(40, Fraction(39, 25)), (), REMEDY)
