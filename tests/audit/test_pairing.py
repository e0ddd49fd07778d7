from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from clips import pass_through, write_clip

from streamanon.audit.alignment import align
from streamanon.audit.pairing import Times, counterparts, read_pairs, read_rgb_frames, read_times
from streamanon.errors import SourceError


def clock(*seconds: float) -> Times:
    return Times("a.mp4", seconds, 64, 48)


def test_equal_clocks_pair_one_to_one() -> None:
    times = clock(0.0, 0.04, 0.09, 0.12)
    assert counterparts(times, times) == [0, 1, 2, 3]


def test_doubled_and_dropped_frames_are_followed() -> None:
    """A tool that writes a constant rate repeats frames of a variable one."""
    original = clock(0.0, 0.1, 0.2, 0.3)
    doubled = clock(*(n * 0.05 for n in range(8)))
    assert counterparts(original, doubled) == [0, 2, 4, 6] or counterparts(original, doubled) == [
        1,
        3,
        5,
        7,
    ]
    assert counterparts(original, clock(0.0, 0.2)) == [0, 0, 1, 1]


def test_another_zero_is_aligned_and_a_late_start_is_not() -> None:
    one, two = clock(0, 1, 2), clock(100, 101, 102)
    assert align(one, two).shift == 100
    assert counterparts(one, align(one, two).other) == [0, 1, 2]
    assert counterparts(clock(0.0, 0.1, 0.2), clock(0.2, 0.3)) == [0, 0, 0]


def test_what_is_shown_to_nobody_has_no_counterpart() -> None:
    times = clock(*(n * 0.1 for n in range(30)))
    assert counterparts(times, clock(0.0, 0.1))[2:8] == [1, 1, 1, 1, 1, None]


@pytest.mark.parametrize("reach", [0, 2])
def test_pairs_have_the_frames_around(tmp_path: Path, reach: int) -> None:
    original = write_clip(tmp_path / "a.mp4", pts=8, codec="libx264rgb", pixel_format="rgb24")
    pass_through(original, tmp_path / "b.mp4")
    times = read_times(original), read_times(tmp_path / "b.mp4")
    pairs = list(read_pairs(original, tmp_path / "b.mp4", times, reach))
    assert [pair.index for pair in pairs] == list(range(8))
    counts = [len(pair.others) for pair in pairs]
    assert counts == ([1] * 8 if reach == 0 else [3, 4, 5, 5, 5, 5, 4, 3])
    for pair in pairs:
        assert pair.output is not None
        assert np.abs(pair.original.astype(int) - pair.output).mean() < 6


def test_another_size_is_scaled(tmp_path: Path) -> None:
    small = write_clip(tmp_path / "a.mp4", pts=3)
    large = write_clip(tmp_path / "b.mp4", pts=3, size=(128, 96))
    times = read_times(small), read_times(large)
    outputs = [pair.output for pair in read_pairs(small, large, times)]
    assert [None if one is None else one.shape for one in outputs] == [(48, 64, 3)] * 3


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotated_videos_are_compared_as_players_show_them(tmp_path: Path, rotation: int) -> None:
    """Other tools bake the rotation in; a comparison of stored pictures would find no face again."""
    plain = write_clip(tmp_path / "a.mp4", pts=3)
    tagged = write_clip(tmp_path / "b.mp4", pts=3, rotation=rotation)
    upright = [np.rot90(image, rotation // 90) for image in read_rgb_frames(plain)]
    shown = list(read_rgb_frames(tagged))
    assert all(np.array_equal(one, two) for one, two in zip(shown, upright, strict=True))
    times = read_times(tagged)
    assert (times.height, times.width) == upright[0].shape[:2]


def test_times_are_seconds(tmp_path: Path) -> None:
    times = read_times(write_clip(tmp_path / "a.mp4", pts=[0, 3, 4], time_base=Fraction(1, 10)))
    assert times.seconds == pytest.approx((0, 0.3, 0.4))
    assert times.duration_of(0) == pytest.approx(0.3)
    assert times.name == "a.mp4"


def test_no_video_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"nothing")
    with pytest.raises(SourceError):
        read_times(tmp_path / "a.mp4")
