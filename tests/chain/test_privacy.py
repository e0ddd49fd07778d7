"""No face's pixels come out: the whole chain, with every model faked and a known truth.

What the look-ahead promises (see :mod:`streamanon.track.lookahead`) is worked out here from the detector's
observations alone, and checked in pixels.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

import streamanon
from streamanon.config import Config, CoverConfig, DetectConfig, LookaheadConfig
from streamanon.cover.chosen_tracks import ChosenTracks
from streamanon.cover.composite import Compositor
from streamanon.cover.covering import Covering
from streamanon.cover.keeping import Keeping
from streamanon.cover.synthesis import Synthesis, Synthesised
from streamanon.detect.detection_interval import DetectionInterval
from streamanon.detect.search import observe
from streamanon.errors import SynthesisError
from streamanon.identity.visible_people import Keeper
from streamanon.pipeline import anonymise
from streamanon.testing.fakes import (
    KEY_COLOUR,
    Box,
    FakeDetector,
    FakeGenerator,
    FakeMesh,
    FakeSource,
    fake_assigner,
    leaked_pixels,
    moving,
)
from streamanon.testing.safe_frames import unchecked_safe_frame
from streamanon.types import METHODS, Method, Observation, Picture, SafeFrame

COUNT = 30
FAILURES: tuple[type[Exception], ...] = (SynthesisError, ValueError, MemoryError, ZeroDivisionError)


@dataclass(frozen=True, repr=False)
class Scene:
    """A clip, what its detector does, and how the generated faces fail."""

    source: FakeSource
    detector: FakeDetector
    config: Config
    mesh: Callable[[int, int], float] = field(default=lambda _call, _track: 0.95)
    generator: Callable[[int], None] = field(default=lambda _call: None)

    def compositor(self) -> Covering:
        synthesis = Synthesis(FakeMesh(self.mesh), fake_assigner(), FakeGenerator(self.generator))
        return Covering(self.config.cover, synthesis if self.config.cover.method == "synthesize" else None)

    def run(self, compositor: Covering | None = None) -> Iterator[SafeFrame]:
        return anonymise(
            self.source,
            self.config,
            self.detector,
            compositor or self.compositor(),
            threaded=False,
        )

    def observed(self) -> list[Observation]:
        interval = DetectionInterval(self.config.detect.interval_seconds, self.config.lookahead.seconds)
        return list(observe(self.source, self.detector, interval))

    def promised(self) -> list[list[Box]]:
        """For every frame the true faces that the look-ahead promises to cover."""
        seen = self.observed()
        shots = np.cumsum([observation.cut for observation in seen]).tolist()
        return [self._promised(observation, seen, shots) for observation in seen]

    def _promised(self, now: Observation, seen: list[Observation], shots: list[int]) -> list[Box]:
        index, reach = now.frame.index, self.config.lookahead
        low, high = index - round(reach.coast_seconds * 25), index + round(reach.seconds * 25)
        near = [o for o in seen[max(low, 0) : high + 1] if shots[o.frame.index] == shots[index]]
        return [
            box
            for face, boxes in self.source.faces.items()
            if (box := boxes[index]) is not None and any(self._detected(o, face) for o in near)
        ]

    def _detected(self, observation: Observation, face: int) -> bool:
        box = self.source.faces[face][observation.frame.index]
        return box is not None and bool(
            (observation.faces.boxes == np.array(box, np.float32)).all(axis=1).any()
        )


@st.composite
def scenes(draw: DrawFn) -> Scene:
    """Up to three faces that cross slowly and leave the picture, and everything that can go wrong."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    truth = {}
    for face in range(draw(st.integers(1, 3))):
        # So far apart that the tracker never takes one for the other.
        x, y = 10 + 190 * face + float(rng.uniform(-40, -24)), float(rng.uniform(-15, 60))
        velocity = float(rng.uniform(-0.8, 0.8)), float(rng.uniform(-0.8, 0.8))
        truth[face] = moving((x, y, x + 44, y + 54), velocity, COUNT, start=int(rng.integers(0, 8)))
    cuts = frozenset(draw(st.sets(st.integers(5, COUNT - 3), max_size=2)))
    miss_rate = draw(st.sampled_from([0.0, 0.3, 0.7]))
    fail_rate = draw(st.sampled_from([0.0, 0.1]))
    misses = {(n, face) for n in range(COUNT) for face in truth if rng.random() < miss_rate}
    fails = {n for n in range(COUNT) if rng.random() < fail_rate}
    method = draw(st.sampled_from(METHODS))
    config = Config(
        detect=DetectConfig(interval_seconds=draw(st.integers(1, 5)) / 25),
        lookahead=LookaheadConfig(draw(st.integers(0, 12)) / 25, draw(st.integers(0, 12)) / 25),
        cover=CoverConfig(
            method,
            margin=draw(st.sampled_from([0.21, 0.25, 0.6])),
            fade_seconds=draw(st.integers(0, 5)) / 25,
        ),
    )
    source = FakeSource(COUNT, 433, 121, truth, cuts, seed=draw(st.integers(0, 99)))
    return Scene(
        source,
        FakeDetector(truth, misses, fails),
        config,
        _unsure(draw(st.integers(0, 99)), draw(st.sampled_from([0.0, 0.3]))),
        _failing(draw(st.integers(0, 99)), draw(st.sampled_from([0.0, 0.3, 1.0]))),
    )


def _unsure(seed: int, rate: float) -> Callable[[int, int], float]:
    """Confidences that are low, not a number, or an error."""

    def confidence(call: int, track_id: int) -> float:
        rng = np.random.default_rng((seed, call, track_id))
        if rng.random() >= rate:
            return 0.95
        if rng.random() < 0.2:
            raise FAILURES[int(rng.integers(len(FAILURES)))]("no mesh")
        return float(rng.choice([0.1, 0.45, np.nan, -np.inf, np.inf]))

    return confidence


def _failing(seed: int, rate: float) -> Callable[[int], None]:
    def fails(call: int) -> None:
        rng = np.random.default_rng((seed, call))
        if rng.random() < rate:
            raise FAILURES[int(rng.integers(len(FAILURES)))]("no face")

    return fails


def shimmer(picture: Picture, box: Box) -> float:
    """How much of a fake face's pattern is left, 0 to 1: what a cover that lets light through shows.

    ``box`` is drawn in at its edges, so that few background pixels and no squares cut in two count.
    """
    x0, y0, x1, y1 = (int(np.ceil(edge)) for edge in box)
    width, height = picture.width, picture.height
    left, top = max(x0, 0), max(y0, 0)
    right, bottom = left + (min(x1, width) - left) // 8 * 8, top + (min(y1, height) - top) // 8 * 8
    if right <= left or bottom <= top:
        return 0.0
    y, x = np.mgrid[top:bottom, left:right]
    bright = ((x - left) // 4 + (y - top) // 4) % 2 == 0
    luma = picture.planes[0][top:bottom, left:right].astype(np.float64)
    return abs(float(luma[bright].mean() - luma[~bright].mean())) / (KEY_COLOUR[0] - 63)


def check(scene: Scene, compositor: Covering | None = None) -> None:
    """No promised face, and none at all in a withheld frame, leaves a pixel or a tenth of its pattern."""
    frames = list(scene.run(compositor))
    assert [frame.index for frame in frames] == list(range(scene.source.count))
    for frame, promised in zip(frames, scene.promised(), strict=True):
        boxes = scene.source.boxes(frame.index) if frame.report.withheld else promised
        assert leaked_pixels(frame.picture, boxes) == 0, (frame.index, frame.report, boxes)
        assert all(shimmer(frame.picture, box) < 0.1 for box in boxes), (frame.index, frame.report)


@settings(max_examples=8, deadline=None)
@given(scenes())
def test_no_promised_face_leaks_a_pixel(scene: Scene) -> None:
    check(scene)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(scenes())
def test_no_promised_face_leaks_a_pixel_in_many_scenes(scene: Scene) -> None:
    check(scene)


@pytest.mark.parametrize("method", ["mosaic", "blur", "solid"])
@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.slow), 2])
@pytest.mark.parametrize("speed", [*(pytest.param(one, marks=pytest.mark.slow) for one in (2.0, 4.0)), 8.0])
def test_fast_faces_are_covered_before_between_and_after_detections(
    speed: float, every: int, method: Method
) -> None:
    """Straight ahead, by up to 18 % of its size a frame: the first two frames, four in the middle and the
    last two are missed.
    """
    for angle in np.linspace(0, 2 * np.pi, 5)[:-1] + 0.3:
        velocity = speed * float(np.cos(angle)), speed * float(np.sin(angle))
        truth = {0: moving((190, 140, 234, 194), velocity, 18)}
        missed = {(n, 0) for n in (0, 1, 8, 9, 10, 11, 16, 17)}
        config = Config(DetectConfig(interval_seconds=every / 25), cover=CoverConfig(method))
        check(Scene(FakeSource(18, 433, 333, truth), FakeDetector(truth, missed), config))


@pytest.mark.parametrize("method", ["mosaic", "blur", "solid"])
def test_boxes_that_tremble_are_covered(method: Method) -> None:
    """By a pixel (standard deviation) at each edge of a face of 44 by 54, the box's corners included."""
    truth = {0: moving((30, 40, 74, 94), (1.0, 0.3), COUNT), 1: moving((250, 30, 294, 84), (0, 0), COUNT)}
    detector = FakeDetector(truth, noise_px=1.0)
    scene = Scene(FakeSource(COUNT, 433, 151, truth), detector, Config(cover=CoverConfig(method)))
    for frame in scene.run():
        boxes = scene.source.boxes(frame.index)
        assert leaked_pixels(frame.picture, boxes) == 0
        assert all(shimmer(frame.picture, box) < 0.1 for box in boxes)


@pytest.mark.parametrize(
    "method",
    [
        one if one in ("fill", "synthesize") else pytest.param(one, marks=pytest.mark.slow)
        for one in METHODS
    ],
)
@pytest.mark.parametrize("spacing", [54, *(pytest.param(one, marks=pytest.mark.slow) for one in (70, 100))])
def test_neighbours_do_not_lose_their_covers_to_one_another(spacing: int, method: Method) -> None:
    """Every third detection is missed, side by side: the tracker must not take one for the other."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        truth = {
            n: moving((12 + spacing * n, 30, 56 + spacing * n, 84), tuple(rng.uniform(-0.3, 0.3, 2)), COUNT)
            for n in range(4)
        }
        misses = {(n, face) for n in range(COUNT) for face in truth if rng.random() < 0.33}
        config = Config(DetectConfig(interval_seconds=0.08), cover=CoverConfig(method))
        check(Scene(FakeSource(COUNT, 433, 121, truth), FakeDetector(truth, misses), config))


@settings(max_examples=10, deadline=None)
@given(scenes())
def test_failed_frames_are_withheld_and_no_others(scene: Scene) -> None:
    failed = [one.status == "failed" for one in scene.observed()]
    assert [frame.report.withheld for frame in scene.run()] == failed


class _CoversNothing(Compositor):
    def composite(self, frame: Synthesised) -> SafeFrame:
        return unchecked_safe_frame(frame.resolved.frame)


def test_a_compositor_that_covers_nothing_is_found_out() -> None:
    truth = {0: moving((30, 30, 70, 80), (1, 0), COUNT)}
    scene = Scene(FakeSource(COUNT, 160, 120, truth), FakeDetector(truth), Config())
    covering = Covering(CoverConfig(), None)
    covering.compositor = _CoversNothing(CoverConfig(), covering.tracks, covering.faults)
    bare = list(scene.run(covering))
    promised = scene.promised()
    assert all(len(boxes) == 1 for boxes in promised)
    leaks = [leaked_pixels(f.picture, boxes) for f, boxes in zip(bare, promised, strict=True)]
    assert min(leaks) > 800
    assert min(shimmer(f.picture, boxes[0]) for f, boxes in zip(bare, promised, strict=True)) > 0.9


def test_a_cover_that_lets_light_through_is_found_out() -> None:
    """No key colour is left, but the face's pattern is: counting pixels alone would not do."""
    truth = {0: moving((30, 30, 70, 80), (1, 0), 3)}
    for frame in FakeSource(3, 160, 120, truth):
        (box,) = [boxes[frame.index] for boxes in truth.values()]
        assert box is not None
        planes = tuple((0.6 * plane + 0.4 * 90).astype(np.uint8) for plane in frame.picture.planes)
        veiled = Picture(planes, "yuv420p")
        assert leaked_pixels(veiled, [box]) == 0
        assert shimmer(veiled, box) > 0.5


def test_a_visible_face_hides_nobody_before_it() -> None:
    """A child before somebody who is left visible, and whom the detector misses for a while, is covered as
    anywhere else.
    """
    truth = {0: moving((20, 10, 100, 110), (0, 0), COUNT), 1: moving((60, 60, 84, 90), (0, 0), COUNT)}
    misses = {(n, 1) for n in range(14, 24)}
    config = Config(DetectConfig(interval_seconds=0), cover=CoverConfig("solid"))
    scene = Scene(FakeSource(COUNT, 160, 120, truth), FakeDetector(truth, misses), config)
    chosen, covering = ChosenTracks([]), Covering(config.cover, None)
    keeper, area = Keeper([], config.lookahead.seconds), (0.0, 0.0, 1.0, 0.55)
    covering.keeping = Keeping(keeper, None, [area], chosen, config.lookahead.seconds, covering.faults)
    for frame in scene.run(covering):
        assert [one.track_id for one in frame.report.covers if one.method == "kept"] == [0]
        assert leaked_pixels(frame.picture, [(60, 60, 84, 90)]) == 0


def test_a_late_face_leaks_without_lookahead_and_not_with_it() -> None:
    """The promise is as long as the look-ahead, so the checks above do check it."""
    truth = {0: moving((30, 30, 70, 80), (0, 0), COUNT)}
    late = {(n, 0) for n in range(8)}
    leaks = {}
    for frames in (0, 8):
        config = Config(
            DetectConfig(interval_seconds=0), LookaheadConfig(frames / 25), CoverConfig("mosaic")
        )
        scene = Scene(FakeSource(COUNT, 160, 120, truth), FakeDetector(truth, late), config)
        leaks[frames] = sum(leaked_pixels(f.picture, scene.source.boxes(f.index)) > 0 for f in scene.run())
    assert leaks == {0: 8, 8: 0}


@pytest.mark.parametrize(
    "method",
    [
        one if one in ("mosaic", "synthesize") else pytest.param(one, marks=pytest.mark.slow)
        for one in METHODS
    ],
)
def test_sixty_faces_and_none_is_lost(method: Method) -> None:
    spots = [(20.0 + 60 * (n % 10), 15.0 + 62 * (n // 10)) for n in range(60)]
    truth = {n: moving((x, y, x + 30, y + 36), (0.2, 0), 6) for n, (x, y) in enumerate(spots)}
    config = Config(cover=CoverConfig(method))
    scene = Scene(FakeSource(6, 640, 400, truth), FakeDetector(truth), config)
    for frame in scene.run():
        assert len(frame.report.covers) == 60
        assert leaked_pixels(frame.picture, scene.source.boxes(frame.index)) == 0


#: Calls, and their first argument, that make a frame without naming the type as what is called.
_COPIES = {("__new__", "SafeFrame"), ("replace", "frame"), ("replace", "safe"), ("replace", "done")}


def _makes_safe_frames(source: str) -> bool:
    """Whether code calls ``SafeFrame``, gives it another name to call it by, or copies one with changes."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            if any(alias.name == "SafeFrame" and alias.asname for alias in node.names):
                return True
        elif isinstance(node, (ast.Assign, ast.NamedExpr)):
            if _names(node.value) == "SafeFrame":
                return True
        elif isinstance(node, ast.Call):
            call = (_names(node.func), _names(node.args[0]) if node.args else "")
            if call[0] == "SafeFrame" or call in _COPIES:
                return True
        elif isinstance(node, ast.ClassDef) and any(_names(base) == "SafeFrame" for base in node.bases):
            return True
    return False


def _names(node: ast.expr) -> str:
    return getattr(node, "id", getattr(node, "attr", ""))


def test_only_the_seal_makes_safe_frames() -> None:
    package = Path(streamanon.__file__).parent
    makers = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if _makes_safe_frames(path.read_text(encoding="utf-8"))
    }
    assert makers == {"cover/seal.py", "testing/safe_frames.py"}


@pytest.mark.parametrize(
    "code",
    [
        "SafeFrame(1)",
        "types.SafeFrame(1)",
        "from streamanon.types import SafeFrame as Frame",
        "make = SafeFrame",
        "object.__new__(SafeFrame)",
        "dataclasses.replace(frame, picture=raw)",
        "class Mine(SafeFrame): pass",
    ],
)
def test_every_way_to_make_one_is_found(code: str) -> None:
    assert _makes_safe_frames(code)
