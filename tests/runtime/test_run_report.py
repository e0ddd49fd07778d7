from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from streamanon.errors import SinkError
from streamanon.media.probe import SourceInfo
from streamanon.runtime.run_context import Tally
from streamanon.runtime.run_report import RunReport, write_reports
from streamanon.runtime.stage_clock import StageClock
from streamanon.testing.safe_frames import unchecked_safe_frame
from streamanon.types import Cover, FrameReport, Method, Picture, RawFrame, SafeFrame

PICTURE = Picture((np.zeros((8, 8), np.uint8),), "gray")


def frame(*covers: tuple[int, Method, bool], withheld: bool = False) -> SafeFrame:
    made = tuple(Cover(track, (0, 0, 4, 4), method, seen) for track, method, seen in covers)
    raw = RawFrame(0, 0, Fraction(1, 25), PICTURE)
    return unchecked_safe_frame(raw, FrameReport(made, withheld))


def report(**more: object) -> RunReport:
    tally = Tally()
    tally.count(frame((0, "synthesize", True), (1, "mosaic", False)))
    tally.count(frame((0, "synthesize", True)))
    tally.count(frame(withheld=True))
    info = SourceInfo(
        "a.mp4", "mp4", "h264", 64, 48, "yuv420p", "yuv420p", Fraction(1, 90000), Fraction(30000, 1001)
    )
    values: dict[str, object] = {
        "source": info,
        "output": {"name": "b.mp4"},
        "tally": tally,
        "frames_in": 3,
        "seconds": 1.5,
        "stage_seconds": {"decode": 0.12345},
        "backend": "fake",
        "models": {"one": "00"},
        "settings": {"cover": {"method": "synthesize"}},
    }
    return RunReport(**(values | more))  # type: ignore[arg-type]


def test_the_report_counts() -> None:
    told = report().as_dict()
    assert told["frames"] == {
        "in": 3,
        "out": 3,
        "withheld": 1,
        "motion_covered": 0,
        "packets_not_decoded": 0,
    }
    assert told["face_frames"] == {
        "all": 3,
        "detected": 2,
        "carried": 1,
        "by_method": {"mosaic": 1, "synthesize": 2},
        "left_visible": 0,
    }
    assert told["tracks"] == 2
    assert told["detections_skipped"] == 0
    assert told["frames_per_second"] == 2.0
    assert told["stage_seconds"] == {"decode": 0.123}


def test_the_report_is_json_with_fractions_as_text(tmp_path: Path) -> None:
    write_reports(tmp_path / "r.json", [report()])
    told = json.loads((tmp_path / "r.json").read_text())
    assert told["input"]["average_rate"] == "30000/1001"
    assert told["input"]["time_base"] == "1/90000"


def test_several_reports_are_a_list(tmp_path: Path) -> None:
    write_reports(tmp_path / "r.json", [report(), report()])
    assert len(json.loads((tmp_path / "r.json").read_text())) == 2


def test_a_report_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="cannot write the report"):
        write_reports(tmp_path / "missing" / "r.json", [report()])


def test_no_time_and_an_image_are_fine() -> None:
    told = report(seconds=0.0, source={"width": 8}).as_dict()
    assert told["frames_per_second"] is None
    assert told["input"] == {"width": 8}
    json.dumps(told)


@pytest.mark.parametrize(
    ("name", "told"), [("/home/ann/a.mp4", "a.mp4"), ("rtsp://***@cam/1", "rtsp://***@cam/1")]
)
def test_folders_are_not_told_and_addresses_are(name: str, told: str) -> None:
    source = dataclasses.replace(report().source, name=name)  # type: ignore[type-var]
    assert report(source=source).as_dict()["input"]["name"] == told


def test_the_clock_tells_work_from_waiting() -> None:
    clock = StageClock()

    def slow() -> Iterator[int]:
        for _ in range(3):
            time.sleep(0.01)
            yield 1

    def stage() -> Iterator[int]:
        for item in clock.watch(slow(), "b/wait"):
            time.sleep(0.005)
            yield item

    assert list(clock.watch(stage(), "b")) == [1, 1, 1]
    assert clock.items("b") == 3
    assert clock.items("unknown") == 0
    assert 0.01 < clock.stages()["b"] < 0.5
    assert "b/wait" not in clock.stages()


def test_the_clock_can_be_read_while_stages_begin() -> None:
    """As when metrics are asked for while a camera starts."""
    clock, switching = StageClock(), sys.getswitchinterval()

    def begin() -> None:
        for number in range(3000):
            list(clock.watch((), f"stage {number}"))

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(1) as pool:
            beginning = pool.submit(begin)
            while not beginning.done():
                clock.stages()
            beginning.result()
    finally:
        sys.setswitchinterval(switching)
    assert len(clock.stages()) == 3000


def test_watching_closes_what_it_watches() -> None:
    closed = []

    def items() -> Iterator[int]:
        try:
            yield 1
            yield 2
        finally:
            closed.append(True)

    source = items()  # held here, so nothing else closes it
    watched = StageClock().watch(source, "a")
    assert next(watched) == 1
    watched.close()
    assert closed == [True]


def test_an_error_passes_through_the_clock() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    clock = StageClock()
    watched = clock.watch(broken(), "a")
    assert next(watched) == 1
    with pytest.raises(OSError, match="gone"):
        next(watched)
    assert clock.items("a") == 1
