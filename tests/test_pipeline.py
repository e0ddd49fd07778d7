from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import write_clip

from streamanon.config import (
    Config,
    CoverConfig,
    DetectConfig,
    LookaheadConfig,
    OutputConfig,
)
from streamanon.cover.composite import Compositor
from streamanon.cover.covering import Covering
from streamanon.cover.synthesis import Synthesis, Synthesised
from streamanon.detect.detection_interval import Extent
from streamanon.errors import FaultError, SourceError
from streamanon.media.decode import read_frames
from streamanon.media.encode import VideoSink
from streamanon.media.probe import SourceInfo, probe
from streamanon.pipeline import anonymise
from streamanon.testing.fakes import (
    FakeDetector,
    FakeGenerator,
    FakeMesh,
    FakeSource,
    fake_assigner,
    moving,
)
from streamanon.types import Faces, Picture, RawFrame, SafeFrame

COUNT = 40
TRUTH = {0: moving((20, 20, 60, 70), (1, 0), COUNT), 1: moving((100, 30, 130, 66), (0, 0.5), COUNT)}
SOURCE = FakeSource(COUNT, 200, 120, TRUTH, cuts=frozenset({22}))
MISSES = {(n, face) for n in range(COUNT) for face in (0, 1) if (n * 7 + face * 3) % 5 == 0}
HELD_FRAMES = 6
HELD_SECONDS = HELD_FRAMES / 25
MOSAIC = Config(cover=CoverConfig("mosaic"), lookahead=LookaheadConfig(HELD_SECONDS, HELD_SECONDS))


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def mosaic() -> Covering:
    return Covering(MOSAIC.cover, None, np.random.default_rng(0))


def chain(
    frames: Iterator[RawFrame] | FakeSource = SOURCE,
    detector: FakeDetector | None = None,
    compositor: Covering | None = None,
    threaded: bool = True,
    config: Config = MOSAIC,
) -> Generator[SafeFrame, None, None]:
    detector = detector or FakeDetector(TRUTH, MISSES)
    return anonymise(frames, config, detector, compositor or mosaic(), threaded)


@pytest.mark.parametrize("threaded", [True, False])
@pytest.mark.parametrize("count", [0, 1, 5, 40])
def test_as_many_frames_come_out_and_in_order(count: int, threaded: bool) -> None:
    source = FakeSource(count, 200, 120, TRUTH)
    frames = list(chain(source, threaded=threaded))
    assert [(frame.index, frame.pts, frame.duration) for frame in frames] == [
        (n, n, 1) for n in range(count)
    ]


@pytest.mark.slow
def test_threads_change_nothing() -> None:
    def synthesis() -> Covering:
        parts = Synthesis(
            FakeMesh(),
            fake_assigner(3),
            FakeGenerator(),
        )
        return Covering(CoverConfig(), parts)

    for make in (mosaic, synthesis):
        plain = list(chain(threaded=False, compositor=make()))
        threads = list(chain(threaded=True, compositor=make()))
        assert [f.report for f in plain] == [f.report for f in threads]
        for one, two in zip(plain, threads, strict=True):
            assert all((a == b).all() for a, b in zip(one.picture.planes, two.picture.planes, strict=True))


def collect(frames: Iterator[SafeFrame], into: list[int]) -> None:
    for frame in frames:
        into.append(frame.index)  # noqa: PERF401


class Watched:
    """A source that tells whether it was closed, and may fail."""

    def __init__(self, error: BaseException | None = None, at: int = COUNT) -> None:
        self.error, self.at, self.closed, self.read = error, at, threading.Event(), 0

    def frames(self) -> Iterator[RawFrame]:
        try:
            for frame in SOURCE:
                if frame.index == self.at and self.error is not None:
                    raise self.error
                self.read += 1
                yield frame
        finally:
            self.closed.set()


class FailingDetector(FakeDetector):
    def detect(self, frame: RawFrame, extent: Extent = "next") -> Faces:
        if frame.index == 10:
            raise RuntimeError("detector broke")
        return super().detect(frame, extent)


class FailingCompositor(Compositor):
    error: BaseException

    def composite(self, frame: Synthesised) -> SafeFrame:
        if frame.resolved.frame.index == 7:
            raise self.error
        return super().composite(frame)


def failing(error: BaseException) -> Covering:
    covering = Covering(MOSAIC.cover, None)
    covering.compositor = FailingCompositor(MOSAIC.cover, covering.tracks, covering.faults)
    covering.compositor.error = error
    return covering


@pytest.mark.parametrize("threaded", [True, False])
@pytest.mark.parametrize("error", [SourceError("cable pulled"), RuntimeError("odd"), KeyboardInterrupt()])
def test_an_error_in_the_source_comes_after_the_frames_before_it(
    error: BaseException, threaded: bool
) -> None:
    """As many as the look-ahead has let go: those still held are not settled, so they do not come out."""
    source = Watched(error, 20)
    got: list[int] = []
    with pytest.raises(type(error)) as caught:
        collect(chain(source.frames(), threaded=threaded), got)
    assert caught.value is error
    assert got == list(range(20 - HELD_FRAMES))
    assert source.closed.wait(5)


@pytest.mark.parametrize("threaded", [True, False])
def test_an_unknown_error_in_the_detector_covers_its_frame_or_stops(threaded: bool) -> None:
    config = Config(DetectConfig(interval_seconds=0), LookaheadConfig(0.16, 0.16), CoverConfig("mosaic"))
    compositor = Covering(config.cover, None)
    frames = list(chain(Watched().frames(), FailingDetector(TRUTH), compositor, threaded, config))
    assert [frame.index for frame in frames if frame.report.withheld] == [10]
    assert compositor.faults.counts == {"frames: detection failed (RuntimeError)": 1}
    source = Watched()
    got: list[int] = []
    stops = Covering(CoverConfig("mosaic", on_error="stop"), None)
    with pytest.raises(FaultError, match=r"detection failed \(RuntimeError\)"):
        collect(chain(source.frames(), FailingDetector(TRUTH), stops, threaded, config), got)
    assert got == list(range(6))
    assert source.closed.wait(5)


@pytest.mark.parametrize("threaded", [True, False])
@pytest.mark.parametrize("error", [ValueError("bad plane"), KeyboardInterrupt(), MemoryError()])
def test_an_error_in_the_compositor_surfaces(error: BaseException, threaded: bool) -> None:
    source = Watched()
    got: list[int] = []
    with pytest.raises(type(error)) as caught:
        collect(chain(source.frames(), None, failing(error), threaded), got)
    assert caught.value is error
    assert got == list(range(7))
    assert source.closed.wait(5)


@pytest.mark.parametrize("threaded", [True, False])
@pytest.mark.parametrize("taken", [0, 1, 3, 30])
def test_closing_early_stops_everything(taken: int, threaded: bool) -> None:
    source = Watched()
    frames = chain(source.frames(), threaded=threaded)
    assert [next(frames).index for _ in range(taken)] == list(range(taken))
    frames.close()
    if taken:
        assert source.closed.wait(5)
    assert source.read <= taken + HELD_FRAMES + 3 * 6
    assert next(frames, None) is None


def test_an_interrupt_in_the_consumer_stops_everything() -> None:
    source = Watched()

    def consume() -> None:
        for frame in chain(source.frames()):
            if frame.index == 5:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        consume()
    assert source.closed.wait(5)


def test_an_error_in_the_sink_surfaces_and_the_threads_end(tmp_path: Path, clip: Path) -> None:
    source = Watched()
    with VideoSink(tmp_path / "out.mkv", probe(clip), OutputConfig()) as sink:

        def consume() -> None:
            with closing(chain(source.frames())) as frames:
                for frame in frames:
                    sink.write(frame)

        with pytest.raises(ValueError, match="size"):  # of another size than the clip
            consume()
    assert source.closed.wait(5)


def test_the_sink_takes_no_raw_frame(tmp_path: Path, clip: Path) -> None:
    info = probe(clip)
    raw = next(read_frames(clip, info))
    with VideoSink(tmp_path / "out.mkv", info, OutputConfig()) as sink, pytest.raises(TypeError):
        sink.write(raw)  # type: ignore[arg-type]
    assert not (tmp_path / "out.mkv").exists()


def test_the_clock_counts_every_stage() -> None:
    covering = mosaic()
    list(chain(compositor=covering))
    clock = covering.context.clock
    assert covering.context.frames_in == clock.items("decode") == clock.items("composite") == COUNT
    assert set(clock.stages()) == {"decode", "detect", "measure", "composite"}
    assert all(seconds >= 0 for seconds in clock.stages().values())


@pytest.mark.parametrize(
    ("pixel_format", "size"),
    [
        ("yuv420p", (161, 97)),
        ("yuv420p", (160, 96)),
        ("yuv422p", (161, 97)),
        ("yuv444p", (161, 97)),
        ("yuv420p10le", (161, 97)),
        ("yuv444p10le", (160, 96)),
        ("gray", (161, 97)),
    ],
)
@pytest.mark.parametrize("method", ["mosaic", "synthesize"])
def test_pixels_away_from_faces_come_out_bit_for_bit(
    method: str, pixel_format: str, size: tuple[int, int], tmp_path: Path
) -> None:
    """From file to file through the whole chain, losslessly encoded: only what was covered differs."""
    source = write_clip(
        tmp_path / "in.mkv",
        pts=8,
        time_base=Fraction(1, 1000),
        size=size,
        pixel_format=pixel_format,
        codec="ffv1",
    )
    truth = {0: moving((30, 20, 60, 58), (2, 1), 8), 1: moving((100, 40, 150, 110), (1, -1), 8)}
    cover = CoverConfig(method)  # type: ignore[arg-type]
    config = Config(
        DetectConfig(interval_seconds=0),
        LookaheadConfig(0.12, 0.12),
        cover,
        output=OutputConfig(codec="ffv1"),
    )
    parts = Synthesis(
        FakeMesh(),
        fake_assigner(),
        FakeGenerator(),
    )
    compositor = Covering(cover, parts if method == "synthesize" else None)
    info: SourceInfo = probe(source)
    reports = []
    with VideoSink(tmp_path / "out.mkv", info, config.output, source) as sink:
        for frame in anonymise(read_frames(source, info), config, FakeDetector(truth), compositor):
            sink.write(frame)
            reports.append(frame.report)
    assert sink.notes == ()
    after = list(read_frames(tmp_path / "out.mkv", probe(tmp_path / "out.mkv")))
    assert len(after) == len(reports) == 8
    for before, done, report in zip(read_frames(source, info), after, reports, strict=True):
        assert len(report.covers) == 2
        assert done.picture.pixel_format == before.picture.pixel_format == pixel_format
        _check_outside(before.picture, done.picture, [made.box for made in report.covers])
    with av.open(str(tmp_path / "out.mkv")) as opened:
        assert opened.streams.video[0].codec_context.codec.name == "ffv1"


def _check_outside(before: Picture, after: Picture, boxes: list[tuple[float, float, float, float]]) -> None:
    step_x, step_y = before.chroma_step
    away = np.ones((before.height, before.width), bool)
    for x0, y0, x1, y1 in (map(int, box) for box in boxes):
        away[max(y0, 0) : y1, max(x0, 0) : x1] = False
    assert 0.2 < away.mean() < 0.95
    for one, two in zip(before.planes, after.planes, strict=True):
        mask = away if one.shape == away.shape else away[::step_y, ::step_x]
        assert (one[mask] == two[mask]).all()
        assert (one[~mask] != two[~mask]).any()
