from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from av.container import OutputContainer
from clips import pass_through, write_clip
from odd_media import Clip, write

from streamanon.audit.alignment import align
from streamanon.audit.containers import ContainerFacts, compare_containers
from streamanon.audit.pairing import read_times


def compare(one: Path, two: Path) -> ContainerFacts:
    times = read_times(one), read_times(two)
    return compare_containers(one, two, times, align(*times))


def test_a_copy_is_the_same(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", audio=["aac"])
    facts = compare(clip, clip)
    assert (facts.frames_original, facts.frames_output, facts.frames_lost) == (12, 12, 0)
    assert facts.time_error == 0
    assert facts.audio == "identical"
    assert facts.extra_streams == ()


def test_our_own_output_keeps_sound_and_times(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", audio=["aac"], tags={"title": "me", "location": "+52+13/"})
    pass_through(clip, tmp_path / "b.mp4")
    facts = compare(clip, tmp_path / "b.mp4")
    assert facts.audio == "identical"
    assert facts.tags_left == ()
    assert facts.time_error is not None
    assert facts.time_error < 1e-3


@pytest.mark.parametrize(
    ("audio", "told"), [([], "dropped"), (["mp3"], "different"), (["aac"], "identical")]
)
def test_sound(audio: list[str], told: str, tmp_path: Path) -> None:
    one = write_clip(tmp_path / "a.mp4", audio=["aac"])
    assert compare(one, write_clip(tmp_path / "b.mp4", audio=audio)).audio == told


def test_silence(tmp_path: Path) -> None:
    one, two = write_clip(tmp_path / "a.mp4"), write_clip(tmp_path / "b.mp4", audio=["aac"])
    assert compare(one, one).audio == "none"
    assert compare(one, two).audio == "added"


def test_tags_are_named_and_not_quoted(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", tags={"title": "secret place", "comment": "by Ann"})
    facts = compare(clip, clip)
    assert facts.tags_left == ("comment", "title")
    assert "secret" not in repr(facts)
    assert "Ann" not in repr(facts)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_titles_of_chapters_are_tags(tmp_path: Path, suffix: str) -> None:
    def add_chapter(output: OutputContainer) -> None:
        chapter = {"id": 1, "start": 0, "end": 400, "time_base": Fraction(1, 1000)}
        output.set_chapters([chapter | {"metadata": {"title": "Anna"}}])  # type: ignore[list-item]

    source, cleaned = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    write(source, Clip(frames=12, extra=add_chapter))
    pass_through(source, cleaned)
    assert compare(source, source).tags_left == ("chapter title",)
    assert compare(source, cleaned).tags_left == ()


def test_lost_frames_and_extra_pictures_are_told(tmp_path: Path) -> None:
    one = write_clip(tmp_path / "a.mp4")
    two = write_clip(tmp_path / "b.mkv", pts=9, cover=True)
    facts = compare(one, two)
    assert facts.frames_lost == 3
    assert facts.time_error is None
    assert facts.extra_streams == ("video",)


def test_a_shifted_clock_is_measured(tmp_path: Path) -> None:
    one = write_clip(tmp_path / "a.mkv", pts=range(0, 10))
    two = write_clip(tmp_path / "b.mkv", pts=[*range(0, 9), 12])
    assert compare(one, two).time_error == pytest.approx(0.12, abs=2e-3)
