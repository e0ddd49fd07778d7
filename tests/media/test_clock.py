"""Times that jump: one clock for all streams, and nothing of it where none jump."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamanon.media.clock import Clock

BASE = Fraction(1, 1000)


@dataclass
class FakeStream:
    type: str


@dataclass
class FakePacket:
    """What the clock looks at."""

    stream: FakeStream
    stream_index: int
    pts: int | None
    dts: int | None
    duration: int = 40
    time_base: Fraction = BASE
    is_discard: bool = False


VIDEO, AUDIO, TEXT = FakeStream("video"), FakeStream("audio"), FakeStream("subtitle")


def video(at: int, ahead: int = 0) -> FakePacket:
    return FakePacket(VIDEO, 0, at + ahead, at)


def audio(at: int) -> FakePacket:
    return FakePacket(AUDIO, 1, at, at)


def mend(packets: Iterable[FakePacket], container: str = "mpegts") -> tuple[list[int | None], Clock]:
    clock = Clock(container)
    stamps: list[int | None] = []
    for packet in packets:
        clock.mend(cast(Any, packet))
        stamps.append(packet.dts if packet.dts is not None else packet.pts)
    return stamps, clock


def test_what_does_not_jump_stays_as_it_is() -> None:
    packets = [one for at in range(-80, 4000, 40) for one in (video(at, 80), audio(at + 20))]
    before = [(one.pts, one.dts) for one in packets]
    _, clock = mend(packets)
    assert [(one.pts, one.dts) for one in packets] == before
    assert not clock.jumps
    assert clock.begins == {0: 0, 1: Fraction(-60, 1000)}


@pytest.mark.parametrize("shift", [-300, -500_000, 500_000, 95_443_000])
def test_both_streams_go_on_together(shift: int) -> None:
    """The second part's sound comes before its picture, and the first one's picture ends last."""
    first = [video(0), audio(0), video(40), audio(40), video(80)]
    second = [audio(shift), video(shift), audio(shift + 40), video(shift + 40)]
    packets = first + second
    stamps, clock = mend(packets)
    assert len(clock.jumps) == 1
    pictures = [s for s, p in zip(stamps, packets, strict=True) if p.stream is VIDEO and s is not None]
    sounds = [s for s, p in zip(stamps, packets, strict=True) if p.stream is AUDIO and s is not None]
    assert pictures == [0, 40, 80, 120, 160]
    assert sounds == [0, 40, 120, 160]


def test_a_stream_follows_where_its_own_times_jump() -> None:
    """The last sound of the first part lies behind the first picture of the second."""
    first = [video(0), audio(0), video(40), audio(40)]
    packets = [*first, video(-9000), audio(80), audio(-9000), video(-8960)]
    stamps, clock = mend(packets)
    assert stamps[-4:] == [80, 80, 120, 160]  # later by what the sound would overlap
    assert len(clock.jumps) == 1


def test_one_wrong_time_changes_nothing_after_it() -> None:
    stamps, clock = mend([video(0), video(40), video(500_000), video(120), video(160)])
    assert stamps == [0, 40, 80, 120, 160]
    assert len(clock.jumps) == 1


def test_long_gaps_stay_where_clocks_do_not_jump() -> None:
    minute = 60_000
    assert mend([video(0), video(minute)], "matroska,webm")[0] == [0, minute]
    assert mend([video(0), video(40 * minute)], "matroska,webm")[0] == [0, 40]
    assert mend([video(0), video(minute)], "mpegts")[0] == [0, 40]
    assert mend([video(0), video(9000)], "mpegts")[0] == [0, 9000]


def test_a_stream_far_from_the_others_is_brought_to_them() -> None:
    stamps, clock = mend([video(0), audio(2_000_000), video(40), audio(2_000_040)])
    assert stamps == [0, 40, 40, 80]
    assert clock.told().startswith("the file's time stamps jump once by 2000.0 seconds ahead, at 0.0")


def test_a_jump_back_that_ffmpeg_takes_for_a_round_is_told_as_one_back() -> None:
    _, clock = mend([video(500_000), video(500_040), video(500_080 - 500_000 + 95_443_718)])
    assert clock.told().startswith("the file's time stamps jump once by 500.0 seconds back")


def test_reordered_pictures_without_decoding_times_do_not_jump() -> None:
    packets = [FakePacket(VIDEO, 0, at, None) for at in (0, 160, 80, 40, 120, 320, 240)]
    stamps, clock = mend(packets)
    assert stamps == [0, 160, 80, 40, 120, 320, 240]
    assert not clock.jumps


def test_large_reordering_does_not_jump() -> None:
    """HEVC shows a picture up to half a second after it decodes it."""
    packets = [video(at, 600 if at % 80 else 0) for at in range(0, 2000, 40)]
    assert not mend(packets)[1].jumps


def test_texts_take_what_holds_where_they_lie() -> None:
    text = FakePacket(TEXT, 2, 10, 10)
    mend([video(0), video(40), video(-9000), text])
    assert (text.pts, text.dts) == (9090, 9090)


def test_packets_without_times_are_let_through() -> None:
    lost = FakePacket(VIDEO, 0, None, None)
    assert mend([video(0), lost, video(40)])[0] == [0, None, 40]


@given(st.lists(st.tuples(st.booleans(), st.integers(-(10**10), 10**10)), max_size=80))
def test_no_gap_is_left_whatever_comes(steps: list[tuple[bool, int]]) -> None:
    packets = [video(at) if picture else audio(at) for picture, at in steps]
    stamps, _ = mend(packets)
    last: dict[int, int] = {}
    latest: int | None = None
    for packet, stamp in zip(packets, stamps, strict=True):
        assert stamp is not None
        if latest is not None:
            # A stream may wait while another goes on: the gap is to the latest of all.
            assert stamp <= latest + 10_000
            assert stamp >= last.get(packet.stream_index, latest - 10_000) - 1500
        last[packet.stream_index] = stamp
        latest = max(stamp + packet.duration, latest if latest is not None else stamp)


def test_a_damaged_time_of_showing_is_left_out() -> None:
    packets = [video(at, 80) for at in range(0, 4000, 40)]
    packets[20].pts, packets[30].pts = 23_861_000, -5_000
    _, clock = mend(packets)
    assert [row for row, one in enumerate(packets) if one.pts is None] == [20, 30]
    assert [one.dts for one in packets] == list(range(0, 4000, 40))
    assert not clock.jumps


def test_what_an_edit_list_cuts_away_changes_nothing() -> None:
    """Of the second piece, what is decoded for it lies in the time of the first one."""
    cut = [video(at) for at in range(-480, 1000, 40)]
    for one in cut:
        one.is_discard = True
    packets = [*map(video, range(0, 1000, 40)), *cut, *map(video, range(1000, 2000, 40))]
    stamps, clock = mend(packets, "mov,mp4,m4a,3gp,3g2,mj2")
    assert stamps[:25] + stamps[-25:] == list(range(0, 2000, 40))
    assert not clock.jumps
