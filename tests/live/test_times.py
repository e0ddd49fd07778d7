"""Times of live sources: jumps, strays, wraps, drift. All by a clock of the test's own."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from streamanon.live.times import JUMP_SECONDS, StreamTimes


def run(stamps: list[float | None], step: float = 0.04) -> list[float]:
    """Output times of frames that arrive evenly."""
    times = StreamTimes()
    return [times.at(stamp, 100 + number * step) for number, stamp in enumerate(stamps)]


def assert_even(times: list[float], most: float = 0.1) -> None:
    steps = [second - first for first, second in pairwise(times)]
    assert all(0 < step < most for step in steps), steps


def test_the_first_frame_is_at_its_arrival_and_steps_are_the_sources() -> None:
    times = StreamTimes()
    assert times.at(5.0, 100.0) == 100.0
    assert times.at(5.04, 100.09) == pytest.approx(100.04)


def test_a_frame_without_a_time() -> None:
    assert_even(run([None, 7.0, 7.04, 7.08, None, 7.16]))


def test_a_single_frame_that_is_hours_off() -> None:
    stamps: list[float | None] = [n * 0.04 for n in range(50)]
    stamps[20], stamps[30] = 37_600.0, -37_600.0
    times = run(stamps)
    assert_even(times)
    assert times[40] == pytest.approx(100 + 40 * 0.04)


@pytest.mark.parametrize("begin", [0.0, 95_443.7176888, -5_000.0])
def test_times_that_begin_anew_or_wrap(begin: float) -> None:
    stamps: list[float | None] = [1000 + n * 0.04 for n in range(50)]
    stamps += [begin + n * 0.04 for n in range(50)]
    times = run(stamps)
    assert_even(times)
    assert times[-1] == pytest.approx(100 + 99 * 0.04, abs=0.1)


def test_a_clock_that_steps_back_a_little() -> None:
    stamps: list[float | None] = [n * 0.04 - (0.5 if n > 30 else 0.0) for n in range(100)]
    assert_even(run(stamps))


def test_a_pause_that_the_times_do_not_count_is_made_up_for() -> None:
    times, at, arrival = StreamTimes(), 0.0, 100.0
    for number in range(1000):
        if number == 500:
            arrival += 4.0
        at = times.at(number * 0.04, arrival)
        arrival += 0.04
    assert at == pytest.approx(arrival, abs=0.1)


def test_a_burst_after_a_network_stall_keeps_the_sources_times() -> None:
    times, arrivals = StreamTimes(), []
    for number in range(1000):
        due = 100 + number * 0.04
        arrivals.append(max(due, 124.0) if 500 <= number < 600 else due)
    made = [times.at(number * 0.04, arrival) for number, arrival in enumerate(arrivals)]
    assert made[-1] == pytest.approx(arrivals[-1], abs=0.05)
    assert_even(made)


@pytest.mark.slow
@pytest.mark.parametrize("drift", [1e-3, pytest.param(-1e-3, marks=pytest.mark.slow)])
def test_sound_stays_in_sync_over_two_hours(drift: float) -> None:
    """A sound clock that is 0.1 % off would be 7.2 s off at the end."""
    rng = random.Random(1)
    video, audio = StreamTimes(), None
    worst, base = 0.0, None
    for step in range(7200 * 12):
        now = step / 12
        if step % 2 == 0:
            place = video.at(1000 + now, now + 0.05 + rng.expovariate(100)) - now
            base = place
        if audio is None:
            audio = StreamTimes(video.offset)
        heard = audio.at(1000 + now * (1 + drift), now + 0.02 + rng.expovariate(200), video.offset)
        if base is not None and now > 1:
            worst = max(worst, abs(heard - now - base))
    assert worst < 0.04, worst


def test_sound_that_jumps_with_the_picture_stays_in_sync() -> None:
    video, audio = StreamTimes(), None
    apart = []
    for number in range(600):
        stamp = number * 0.04 + (5000.0 if number > 300 else 0.0)
        seen = video.at(stamp, 100 + number * 0.04)
        if audio is None:
            audio = StreamTimes(video.offset)
        heard = audio.at(stamp + 0.2, 100 + number * 0.04, video.offset)
        if not 300 < number < 310:
            apart.append(heard - seen)
    assert max(abs(one - 0.2) for one in apart) < 0.04
    assert JUMP_SECONDS > 0.5
