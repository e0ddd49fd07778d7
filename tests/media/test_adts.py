"""Frames of AAC behind damaged headers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from av.packet import Packet

from streamanon.media.adts import AdtsFrames, Header, read_header

STEP = 1920  # of 1024 samples at 48 kHz, in ticks of MPEG-TS


def frame(size: int, seed: int, channels: int = 2) -> bytes:
    """One of ``size`` bytes at 48 kHz, its content noise."""
    head = bytes(
        [0xFF, 0xF1, 1 << 6 | 3 << 2, channels << 6 | size >> 11, size >> 3 & 255, (size & 7) << 5]
    )
    return head + b"\xfc" + np.random.default_rng(seed).bytes(size - 7)


def frames(count: int) -> list[bytes]:
    sizes = np.random.default_rng(1).integers(60, 700, count)
    return [frame(int(size), number) for number, size in enumerate(sizes)]


def packet(data: bytes, number: int) -> Packet:  # type: ignore[type-arg]
    made: Packet = Packet(data)  # type: ignore[type-arg]
    made.pts = made.dts = number * STEP
    made.duration, made.time_base = STEP, Fraction(1, 90_000)
    return made


def found(packets: list[Packet]) -> list[tuple[bytes, int]]:  # type: ignore[type-arg]
    """(bytes, number by its time) of each frame that comes out."""
    finder = AdtsFrames()
    return [(bytes(one), (one.pts or 0) // STEP) for each in packets for one in finder.found(each)]


def test_the_header_is_read() -> None:
    assert read_header(frame(300, 0)) == Header(profile=1, rate=3, channels=2, length=300)
    assert Header(1, 3, 2, 300).config == bytes([0x11, 0x90])  # AAC-LC, 48 kHz, stereo, as FFmpeg has it
    assert read_header(b"\xff\xf1") is None
    assert read_header(bytes(20)) is None


def test_whole_frames_pass_as_they_are() -> None:
    made = frames(50)
    assert found([packet(data, number) for number, data in enumerate(made)]) == list(
        zip(made, range(50), strict=True)
    )


def test_only_the_damaged_frame_of_a_packet_is_lost() -> None:
    """FFmpeg takes all up to a wrong length for one frame, and what is left for another."""
    made = frames(40)
    for damage in ((2, 0x3C), (3, 0x03), (1, 0xFF), (4, 0x10)):
        spoilt = bytearray(made[10])
        spoilt[damage[0]] ^= damage[1]
        run = bytes(spoilt) + b"".join(made[11:20])
        cut = len(run) - 30
        packets = [packet(data, number) for number, data in enumerate(made[:10])]
        packets += [packet(run[:cut], 10), packet(run[cut:], 20)]
        packets += [packet(data, number) for number, data in enumerate(made[20:], 20)]
        rest = [(data, number) for number, data in enumerate(made) if number != 10]
        assert found(packets) == rest, damage


def test_a_frame_stays_whose_successor_is_damaged() -> None:
    made = frames(8)
    run = made[2] + bytes(100) + made[4]
    packets = [packet(made[0], 0), packet(made[1], 1), packet(run, 2), packet(made[5], 5)]
    assert found(packets) == [(made[number], number) for number in (0, 1, 2, 4, 5)]


def test_another_set_up_counts_from_three_frames_on() -> None:
    other = [frame(200, number, channels=1) for number in range(10)]
    made = frames(20)
    once = [packet(data, number) for number, data in enumerate([*made[:5], other[0], *made[6:9]])]
    assert [number for _, number in found(once)] == [0, 1, 2, 3, 4, 6, 7, 8]
    stays = [packet(data, number) for number, data in enumerate([*made[:5], *other])]
    assert [number for _, number in found(stays)] == list(range(15))
