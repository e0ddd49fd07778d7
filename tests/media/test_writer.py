from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from patience import STEP_SECONDS, shorten

from streamanon.api import Anonymizer
from streamanon.config import ComputeConfig, Config, CoverConfig, LookaheadConfig, OutputConfig
from streamanon.cover.composite import Compositor
from streamanon.cover.covering import Covering
from streamanon.cover.synthesis import Synthesised
from streamanon.errors import ConfigError, SinkError, SourceError, StallError
from streamanon.media.decode import read_frames
from streamanon.media.probe import probe
from streamanon.media.writer import FileWriter
from streamanon.pipeline import anonymise
from streamanon.runtime.models import Engines
from streamanon.testing.fakes import FakeDetector, FakeSource, moving
from streamanon.types import RawFrame, SafeFrame

COUNT, STALL_SECONDS = 20, 0.3
TRUTH = {0: moving((20, 20, 60, 70), (1, 0), COUNT)}
SOURCE = FakeSource(COUNT, 100, 80, TRUTH)
CONFIG = Config(lookahead=LookaheadConfig(0.08, 0.08), cover=CoverConfig("mosaic"))


class FakeSink:
    """Remembers what was done with it, and in which thread; may fail or hang at a step."""

    notes = ("a note",)
    partial = None
    removed = ("stream 3: data",)

    def __init__(self, fails: str = "", hangs: str = "") -> None:
        self.fails, self.hangs, self.let_go = fails, hangs, threading.Event()
        self.done: list[str] = []
        self.threads: set[str] = set()

    def open(self) -> Any:
        self._step("open")
        return self

    def _step(self, name: str) -> None:
        self.done.append(name)
        self.threads.add(threading.current_thread().name)
        if name == self.hangs:
            self.let_go.wait(20)
        if name == self.fails:
            raise SinkError("disk full")

    def __enter__(self) -> FakeSink:
        return self

    def __exit__(self, kind: Any, *_: object) -> None:
        if kind is not None:
            self._step("abandoned")

    def write(self, frame: SafeFrame) -> None:
        self._step(f"frame {frame.index}")

    def close(self, complete: bool) -> None:
        self._step("complete" if complete else "partial")


class Case:
    """A chain that ends in a fake sink."""

    def __init__(
        self,
        frames: Iterator[RawFrame] | FakeSource = SOURCE,
        sink: FakeSink | None = None,
        threaded: bool = True,
        compositor: Covering | None = None,
    ) -> None:
        self.sink = sink or FakeSink()
        self.notes: list[str] = []
        self.writer = FileWriter(self.sink.open, self.notes.append)
        self.chain = anonymise(
            frames,
            CONFIG,
            FakeDetector(TRUTH),
            compositor or Covering(CONFIG.cover, None),
            threaded,
            stall_seconds=STALL_SECONDS,
            write=self.writer.written,
        )

    @property
    def done(self) -> list[str]:
        return self.sink.done

    def run(self) -> list[int]:
        return [frame.index for frame in self.chain]


@pytest.fixture(autouse=True)
def _short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamanon.pipeline.prefetch", shorten(STALL_SECONDS))


def written(count: int) -> list[str]:
    return ["open", *(f"frame {index}" for index in range(count))]


@pytest.mark.parametrize("threaded", [True, False])
def test_all_frames_are_written_and_the_file_is_finished(threaded: bool) -> None:
    case = Case(threaded=threaded)
    assert case.run() == list(range(COUNT))
    assert case.done == [*written(COUNT), "complete"]
    assert case.notes == ["a note"]


def test_all_of_it_happens_in_one_thread() -> None:
    for fails in ("", "frame 3", "complete"):
        case = Case(sink=FakeSink(fails))
        with pytest.raises(SinkError) if fails else contextlib.nullcontext():
            case.run()
        assert case.sink.threads == {"encode"}
    left = Case()
    next(left.chain)
    left.chain.close()
    assert left.done == [*written(1), "abandoned"]
    assert left.sink.threads == {"encode"}


@pytest.mark.parametrize("threaded", [True, False])
def test_what_is_taken_is_what_is_written(threaded: bool) -> None:
    """No frame is written ahead of whoever counts them and may stop in between."""
    case = Case(threaded=threaded)
    for frame in case.chain:
        assert case.done == written(frame.index + 1)
        case.writer.stopped = frame.index == 6
    assert case.done == [*written(7), "partial"]


def test_an_error_before_it_finishes_what_was_written() -> None:
    def breaking() -> Iterator[RawFrame]:
        for frame in SOURCE:
            if frame.index == 9:
                raise SourceError("cable pulled")
            yield frame

    case = Case(breaking())
    with pytest.raises(SourceError, match="cable pulled"):
        case.run()
    assert case.done == [*written(7), "abandoned"]  # a look-ahead of 2


@pytest.mark.parametrize("step", ["frame 4", "complete", "open"])
def test_an_error_of_the_sink_surfaces(step: str) -> None:
    case = Case(sink=FakeSink(fails=step))
    with pytest.raises(SinkError, match="disk full"):
        case.run()
    assert not [thread for thread in threading.enumerate() if thread.name in ("encode", "composite")]


@pytest.mark.parametrize(
    "step",
    ["frame 4", *(pytest.param(one, marks=pytest.mark.slow) for one in ("open", "complete", "partial"))],
)
def test_a_step_that_hangs_is_told_and_left_behind(step: str) -> None:
    case = Case(sink=FakeSink(hangs=step))
    done: list[int] = []

    def run() -> None:
        for frame in case.chain:
            done.append(frame.index)
            case.writer.stopped = step == "partial" and frame.index == 5

    try:
        with pytest.raises(StallError, match="stage encode stalled: no frame for"):
            run()
        assert done == list(range({"open": 0, "frame 4": 4, "complete": COUNT, "partial": 6}[step]))
        left = {thread.name for thread in threading.enumerate()} & {
            "decode",
            "detect",
            "composite",
            "encode",
        }
        assert left == {"encode"}
    finally:
        case.sink.let_go.set()
        for thread in threading.enumerate():
            if thread.name == "encode":
                thread.join(5)
    if step == "frame 4":  # it woke up, after all: the file is not taken for a whole one
        assert case.done == [*written(5), "abandoned"]


@pytest.mark.slow
def test_a_hang_before_it_leaves_time_to_finish_the_file() -> None:
    """The sink may take longer than the next stage waits beyond this one: its watchdog starts anew."""
    let_go = threading.Event()

    class Hanging(Compositor):
        def composite(self, frame: Synthesised) -> SafeFrame:
            if frame.resolved.frame.index == 9:
                let_go.wait(20)
            return super().composite(frame)

    class Slow(FakeSink):
        def __exit__(self, *_: object) -> None:
            threading.Event().wait(2 * STEP_SECONDS)
            self._step("finished")

    covering = Covering(CONFIG.cover, None)
    covering.compositor = Hanging(CONFIG.cover, covering.tracks, covering.faults)
    case = Case(sink=Slow(), compositor=covering)
    try:
        with pytest.raises(StallError, match="stage composite stalled"):
            case.run()
    finally:
        let_go.set()
    assert case.done == [*written(9), "finished"]


@pytest.mark.parametrize("output", ["out.xyz", "missing/out.mp4"])
def test_an_output_that_cannot_be_is_told_before_anything_is_decoded(
    output: str, engines: Engines, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    def watched(*arguments: Any) -> Iterator[RawFrame]:
        for frame in read_frames(*arguments):
            read.append(frame.index)
            yield frame

    config = Config(cover=CoverConfig("mosaic"), compute=ComputeConfig("onnxruntime", 1))
    anonymizer = Anonymizer(config)
    monkeypatch.setattr("streamanon.api.read_frames", watched)
    with pytest.raises(ConfigError if output == "out.xyz" else SinkError):
        anonymizer.run(clip, tmp_path / output)
    assert read == []
    assert not list(tmp_path.glob("**/out*"))


def test_callbacks_come_in_the_callers_thread(
    engines: Engines, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = ComputeConfig("onnxruntime", 1)
    anonymizer = Anonymizer(Config(cover=CoverConfig("mosaic"), compute=compute, output=OutputConfig()))
    monkeypatch.setattr(anonymizer, "face_search", lambda *_: FakeDetector({}))
    threads: set[threading.Thread] = set()

    def note(*_: object) -> bool:
        threads.add(threading.current_thread())
        return False

    report = anonymizer.run(clip, tmp_path / "out.mp4", note, note)  # type: ignore[arg-type]
    assert threads == {threading.current_thread()}
    assert report.stage_seconds["encode"] > 0
    assert report.tally.frames == len(list(read_frames(clip, probe(clip))))
