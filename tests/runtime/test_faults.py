"""Everything is made to fail, in every stage and model: what leaves is covered, and the cause is told."""

from __future__ import annotations

import itertools
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from remembering import RememberingBackend

from streamanon import pipeline
from streamanon.api import Anonymizer
from streamanon.config import (
    ComputeConfig,
    Config,
    CoverConfig,
    DetectConfig,
    IdentityConfig,
    LookaheadConfig,
    as_dict,
)
from streamanon.cover import composite as compositor_module
from streamanon.cover.covering import Covering
from streamanon.cover.synthesis import Synthesis
from streamanon.detect.detection_interval import Extent
from streamanon.errors import FaultError, StallError, StreamanonError, sentence
from streamanon.identity.assignment import Assigner, AssignerParts
from streamanon.identity.encoder import IdentityFeature
from streamanon.media.decode import read_frames
from streamanon.media.probe import probe
from streamanon.pipeline import anonymise
from streamanon.runtime.backends import Array, Backend, Choice, Model, open_backend
from streamanon.runtime.models import Engines
from streamanon.testing.fakes import (
    FakeDetector,
    FakeEncoder,
    FakeGenerator,
    FakeMesh,
    FakeSource,
    fake_assigner,
    fake_distraction,
    fake_gallery,
    leaked_pixels,
    moving,
)
from streamanon.types import Faces, Geometry, Observation, Picture, RawFrame, Resolved, SafeFrame, Target

COUNT, FIRST, LAST = 14, 5, 8
TRUTH = {0: moving((20, 20, 60, 70), (1, 0), COUNT), 1: moving((110, 30, 150, 80), (0, 0.5), COUNT)}
SOURCE = FakeSource(COUNT, 200, 120, TRUTH)
CONFIG = Config(
    DetectConfig(interval_seconds=0), LookaheadConfig(0.12, 0.12), CoverConfig(repaint_seconds=0)
)
NAN, INF = np.float32("nan"), np.float32("inf")
DEMO = Path(__file__).parents[1] / "data" / "demo.mp4"

#: What stands in for an answer: takes the true one, returns another or raises.
Spoil = Callable[[Any], Any]


def _raising(error: BaseException) -> Spoil:
    def spoil(_answer: object) -> object:
        raise error

    return spoil


ERRORS: dict[str, Spoil] = {
    type(error).__name__: _raising(error)
    for error in (RuntimeError("odd"), MemoryError(), StopIteration(), OSError(5, "io"), TimeoutError())
}
ANSWERS: dict[str, Spoil] = {
    "nothing": lambda _answer: None,
    "empty": lambda _answer: [],
    "number": lambda _answer: 3,
    "text": lambda _answer: "?",
}


def one_of_each(more: dict[str, Spoil]) -> list[Any]:
    """The names of all errors, answers and those of one place; only one error and one answer are quick."""
    alike = (ERRORS | ANSWERS).keys() - {"MemoryError", "nothing"}
    return [
        pytest.param(name, marks=pytest.mark.slow) if name in alike else name
        for name in ERRORS | ANSWERS | more
    ]


def _faces(**changed: Spoil) -> Spoil:
    def spoil(faces: Faces) -> Faces:
        return replace(faces, **{name: change(getattr(faces, name)) for name, change in changed.items()})

    return spoil


DETECTIONS: dict[str, Spoil] = {
    "nan box": _faces(boxes=lambda boxes: boxes * NAN),
    "infinite box": _faces(boxes=lambda boxes: boxes + INF),
    "far box": _faces(boxes=lambda boxes: boxes * np.float32(1e30)),
    "inverted box": _faces(boxes=lambda boxes: boxes[:, [2, 3, 0, 1]]),
    "object box": _faces(boxes=lambda boxes: boxes.astype(object)),
    "complex box": _faces(boxes=lambda boxes: boxes.astype(complex)),
    "nan score": _faces(scores=lambda scores: scores * NAN),
    "text score": _faces(scores=lambda scores: scores.astype(str)),
    "nan keypoints": _faces(keypoints=lambda points: points * NAN),
    "short": _faces(boxes=lambda boxes: boxes[:1]),
    "flat": _faces(boxes=lambda boxes: boxes[:, :3]),
}


def _each(change: Spoil) -> Spoil:
    return lambda answers: [change(answer) for answer in answers]


def _points(change: Spoil) -> Spoil:
    return _each(lambda one: replace(one, points=change(one.points)))


MESHES: dict[str, Spoil] = {
    "too few": lambda answers: answers[:1],
    "too many": lambda answers: answers * 2,
    "nan": _points(lambda points: points * NAN),
    "one nan": _points(lambda points: np.where(np.arange(478)[:, None] == 7, NAN, points)),
    "infinite": _points(lambda points: points + INF),
    "far": _points(lambda points: points * np.float32(1e30)),
    "flat": _points(lambda points: points * 0),
    "object": _points(lambda points: points.astype(object)),
    "double": _points(lambda points: points.astype(float)),
    "sure beyond numbers": _each(lambda one: Geometry(one.points, float("inf"))),
    "unsure beyond numbers": _each(lambda one: Geometry(one.points, float("nan"))),
    "sure in words": _each(lambda one: Geometry(one.points, "very")),  # type: ignore[arg-type]
}
PAINTINGS: dict[str, Spoil] = {
    "too few": lambda answers: answers[:1],
    "too many": lambda answers: answers * 2,
    "none": _each(lambda _one: None),
    "words": _each(lambda _one: "painting"),
    "no patch": _each(lambda one: replace(one, patch=None)),
    "no detail state": _each(lambda one: replace(one, detail=None)),
    "odd detail state": _each(lambda one: replace(one, detail="grim")),
}


def _patch(**changed: Spoil) -> Spoil:
    def spoil(one: Any) -> Any:
        parts = {name: change(getattr(one.patch, name)) for name, change in changed.items()}
        return replace(one, patch=replace(one.patch, **parts))

    return _each(spoil)


PAINTINGS |= {
    "nan pixels": _patch(rgb=lambda rgb: rgb * NAN),
    "infinite pixels": _patch(rgb=lambda rgb: rgb + INF),
    "object pixels": _patch(rgb=lambda rgb: rgb.astype(object)),
    "text pixels": _patch(rgb=lambda rgb: rgb.astype(str)),
    "grey pixels": _patch(rgb=lambda rgb: rgb[..., 0]),
    "nan alpha": _patch(alpha=lambda alpha: alpha * NAN),
    "flat alpha": _patch(alpha=lambda alpha: alpha.ravel()),
    "empty alpha": _patch(alpha=lambda alpha: alpha[:0]),
    "nan place": _patch(x0=lambda _x: float("nan")),
    "far place": _patch(x0=lambda _x: 10**9),
    "half place": _patch(x0=lambda x: x + 0.5),
}


class Spoilt:
    """A stand-in whose method ``name`` answers wrongly in calls ``FIRST`` to ``LAST``, or always."""

    def __init__(self, inner: object, name: str, spoil: Spoil, always: bool) -> None:
        self._inner, self._name, self._spoil, self._always = inner, name, spoil, always
        self._calls = itertools.count()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        return self._call if name == self._name else found

    def _call(self, *arguments: Any) -> Any:
        answer = getattr(self._inner, self._name)(*arguments)
        wrong = self._always or FIRST <= next(self._calls) <= LAST
        return self._spoil(answer) if wrong else answer


class SpoiltMesh:
    """A mesh that measures wrongly in the pictures of frames ``FIRST`` to ``LAST``, or always."""

    def __init__(self, spoil: Spoil, always: bool) -> None:
        self._inner, self._spoil = FakeMesh(), spoil
        self._wrong = [frame.picture for frame in SOURCE if always or FIRST <= frame.index <= LAST]

    def measure(self, picture: Picture, targets: Sequence[Target]) -> Any:
        answer = self._inner.measure(picture, targets)
        same = (np.array_equal(picture.planes[0], one.planes[0]) for one in self._wrong)
        return self._spoil(answer) if any(same) else answer


def run(
    frames: Iterable[RawFrame] = SOURCE,
    config: Config = CONFIG,
    detector: Any = None,
    mesh: Any = None,
    assigner: Any = None,
    generator: Any = None,
) -> tuple[list[SafeFrame], dict[str, int]]:
    """All frames and what was counted. Every face of every frame is covered, or this fails."""
    synthesis = Synthesis(mesh or FakeMesh(), assigner or fake_assigner(), generator or FakeGenerator())
    compositor = Covering(config.cover, synthesis)
    detector = detector or FakeDetector(TRUTH)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as NumPy does by itself: a warning must not stand for an error
        done = list(anonymise(frames, config, detector, compositor, threaded=False))
    assert [frame.index for frame in done] == list(range(COUNT))
    check(done)
    return done, dict(compositor.faults.counts)


def check(frames: Iterable[SafeFrame]) -> None:
    for frame in frames:
        assert leaked_pixels(frame.picture, SOURCE.boxes(frame.index)) == 0, frame.report


def test_without_a_fault_nothing_is_counted() -> None:
    done, faults = run()
    assert faults == {}
    assert not any(frame.report.withheld for frame in done)
    assert {cover.method for frame in done for cover in frame.report.covers} == {"synthesize"}


def test_an_uncovered_face_would_be_found() -> None:
    raw = [leaked_pixels(frame.picture, SOURCE.boxes(frame.index)) for frame in SOURCE]
    assert min(raw) > 500


@pytest.mark.parametrize("always", [False, True])
@pytest.mark.parametrize("fault", one_of_each(DETECTIONS))
def test_a_frame_whose_detection_fails_is_covered_whole(fault: str, always: bool) -> None:
    spoil = (ERRORS | ANSWERS | DETECTIONS)[fault]
    done, faults = run(detector=Spoilt(FakeDetector(TRUTH), "detect", spoil, always))
    withheld = [frame.index for frame in done if frame.report.withheld]
    assert withheld == (list(range(COUNT)) if always else list(range(FIRST, LAST + 1)))
    ((cause, count),) = faults.items()
    assert cause.startswith("frames: detection failed (")
    assert count == len(withheld)


@pytest.mark.parametrize("always", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("fault", one_of_each(MESHES))
def test_a_face_whose_mesh_is_unsound_gets_the_next_rung(fault: str, always: bool) -> None:
    spoil = (ERRORS | ANSWERS | MESHES)[fault]
    done, faults = run(mesh=SpoiltMesh(spoil, always))
    methods = {cover.method for frame in done[FIRST : LAST + 1] for cover in frame.report.covers}
    if fault not in ("far", "flat"):  # those are measurements, only not to be trusted
        assert methods == {"fill"}
        assert all(cause.startswith("faces: measuring failed (") for cause in faults)
        assert sum(faults.values()) >= 2
    if not always:
        assert {cover.method for cover in done[-1].report.covers} == {"synthesize"}


@pytest.mark.parametrize("always", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("fault", one_of_each(PAINTINGS))
def test_a_face_whose_painting_fails_gets_the_next_rung(fault: str, always: bool) -> None:
    spoil = (ERRORS | ANSWERS | PAINTINGS)[fault]
    done, faults = run(generator=Spoilt(FakeGenerator(), "paint", spoil, always))
    if fault in (
        "object pixels",
        "no detail state",
        "odd detail state",
    ):  # what is painted does hide the face
        return
    methods = {cover.method for frame in done[FIRST : LAST + 1] for cover in frame.report.covers}
    assert "fill" in methods
    if fault in (ERRORS | ANSWERS) or "nan" in fault or "infinite" in fault:
        assert faults
        assert all(cause.startswith("faces: painting failed (") for cause in faults)


@pytest.mark.parametrize("method", ["assign", "in_view", "forget_tracks"])
@pytest.mark.parametrize(
    "fault", [one if one == "MemoryError" else pytest.param(one, marks=pytest.mark.slow) for one in ERRORS]
)
def test_assigning_that_fails_covers_more(fault: str, method: str) -> None:
    _, faults = run(assigner=Spoilt(fake_assigner(), method, ERRORS[fault], True))
    cause = "faces: assigning a delegate failed" if method == "assign" else "frames: covering failed"
    assert [one.startswith(cause) for one in faults] == [True]


FEATURES: dict[str, Spoil] = {
    "nan": lambda f: IdentityFeature(f.embedding * NAN, f.pooled * NAN, f.importance * NAN, float("nan")),
    "infinite": lambda f: IdentityFeature(f.embedding * INF, f.pooled * INF, f.importance, float("inf")),
    "short": lambda f: IdentityFeature(f.embedding[:5], f.pooled[:5], f.importance[:5], 1.0),
    "text": lambda f: IdentityFeature(f.embedding.astype(str), f.pooled, f.importance, 1.0),
    "zero": lambda f: IdentityFeature(f.embedding * 0, f.pooled * 0, f.importance * 0, 0.0),
}


@pytest.mark.parametrize("fault", one_of_each(FEATURES))
def test_an_encoder_that_fails_covers_more(fault: str) -> None:
    spoil = (ERRORS | ANSWERS | FEATURES)[fault]
    parts = AssignerParts(
        fake_gallery(),
        Spoilt(FakeEncoder(), "describe", spoil, True),
        fake_distraction(),
        CONFIG.identity,
    )
    run(assigner=Assigner(parts))


@pytest.mark.parametrize(
    "name",
    ["write_rgb", "read_rgb", "fill", "hidden_by", "surroundings", "ellipse_alpha", "snap", "outline"],
)
@pytest.mark.parametrize("fault", one_of_each({}))
def test_writers_that_fail_cover_more(fault: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In every second call, so that frames are left half written, too."""
    right, calls = getattr(compositor_module, name), itertools.count()

    def wrong(*arguments: Any) -> Any:
        answer = right(*arguments)
        return (ERRORS | ANSWERS)[fault](answer) if next(calls) % 2 else answer

    monkeypatch.setattr(compositor_module, name, wrong)
    _, faults = run(mesh=FakeMesh(lambda call, track: 0.95 if (call + track) % 2 else 0.1))
    assert faults or name == "write_rgb"  # which answers nothing


SHAPES: tuple[Spoil, ...] = (lambda a: a * NAN, lambda a: a[:3], lambda a: a[..., 0], lambda a: a - 1e9)


@pytest.mark.parametrize(
    "shape", [SHAPES[0], *(pytest.param(one, marks=pytest.mark.slow) for one in SHAPES[1:])]
)
@pytest.mark.parametrize("name", ["fill", "hidden_by", "read_rgb", "ellipse_alpha"])
def test_writers_that_answer_wrongly_cover_more(
    name: str, shape: Spoil, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = getattr(compositor_module, name)
    monkeypatch.setattr(compositor_module, name, lambda *arguments: shape(right(*arguments)))
    run(mesh=FakeMesh(0.1))


@pytest.mark.parametrize("stage", ["track", "resolve"])
@pytest.mark.parametrize(
    "error", [RuntimeError("odd"), MemoryError(), StopIteration(), ZeroDivisionError()]
)
@pytest.mark.parametrize("threaded", [False, True])
def test_a_stage_that_fails_ends_the_run_after_what_was_done(
    threaded: bool, error: Exception, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never as if the video were over."""
    right = getattr(pipeline, stage)

    def wrong(items: Iterable[Any], *more: Any) -> Iterator[Any]:
        for number, item in enumerate(right(items, *more)):
            if number == 6:
                raise error
            yield item

    monkeypatch.setattr(pipeline, stage, wrong)
    done: list[SafeFrame] = []
    compositor = Covering(CoverConfig("mosaic"), None)
    kind = RuntimeError if isinstance(error, StopIteration) else type(error)  # by PEP 479
    with pytest.raises(kind):
        done.extend(anonymise(SOURCE, CONFIG, FakeDetector(TRUTH), compositor, threaded=threaded))
    assert len(done) == (6 if stage == "resolve" else 3)
    check(done)


TARGETS: dict[str, Callable[[Target], Any]] = {
    "nan": lambda t: replace(t, box=t.box * NAN),
    "infinite": lambda t: replace(t, box=t.box + INF),
    "far": lambda t: replace(t, box=t.box * np.float32(1e30)),
    "short": lambda t: replace(t, box=t.box[:3]),
    "object": lambda t: replace(t, box=np.array([None] * 4)),
    "nothing": lambda _t: None,
    "no keypoints": lambda t: replace(t, keypoints=np.zeros(0, np.float32)),
    "nan keypoints": lambda t: replace(t, keypoints=t.keypoints * NAN),
}


@pytest.mark.parametrize("fault", TARGETS)
def test_targets_that_are_none_cover_the_whole_frame(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = vars(pipeline)["resolve"]

    def wrong(items: Iterable[Observation], *more: Any) -> Iterator[Resolved]:
        for one in right(items, *more):
            yield replace(one, targets=tuple(TARGETS[fault](target) for target in one.targets))

    monkeypatch.setattr(pipeline, "resolve", wrong)
    done, faults = run()
    assert faults
    if "keypoints" not in fault:
        assert all(frame.report.withheld for frame in done)


def test_stop_ends_the_run_at_the_first_failure() -> None:
    config = replace(CONFIG, cover=CoverConfig(on_error="stop", repaint_seconds=0))
    stops: dict[str, dict[str, Any]] = {
        "detection": {"detector": Spoilt(FakeDetector(TRUTH), "detect", ERRORS["MemoryError"], False)},
        "measuring": {"mesh": SpoiltMesh(ERRORS["MemoryError"], False)},
        "assigning a delegate": {
            "assigner": Spoilt(fake_assigner(), "assign", ERRORS["MemoryError"], False)
        },
        "painting": {"generator": Spoilt(FakeGenerator(), "paint", ERRORS["MemoryError"], False)},
        "covering": {"assigner": Spoilt(fake_assigner(), "in_view", ERRORS["MemoryError"], False)},
    }
    for stage, broken in stops.items():
        parts: dict[str, Any] = {
            "mesh": FakeMesh(),
            "assigner": fake_assigner(),
            "generator": FakeGenerator(),
        }
        parts |= broken
        detector = parts.pop("detector", FakeDetector(TRUTH))
        compositor = Covering(config.cover, Synthesis(**parts))
        done: list[SafeFrame] = []
        with pytest.raises(
            FaultError, match=rf"{stage} failed \(MemoryError\) and cover\.on_error is stop"
        ):
            done.extend(anonymise(SOURCE, config, detector, compositor, threaded=False))
        assert 0 < len(done) <= FIRST
        check(done)


class Hanging:
    """Hangs at a stage's eighth call until it is let go."""

    def __init__(self, inner: object, name: str, stage: str) -> None:
        self.let_go, self.calls = threading.Event(), itertools.count()
        right = getattr(inner, name)

        def wait(*arguments: Any) -> Any:
            if threading.current_thread().name == stage and next(self.calls) == 8:
                self.let_go.wait(20)
            return right(*arguments)

        setattr(self, name, wait)


@pytest.mark.parametrize(
    "stage",
    ["decode", *(pytest.param(one, marks=pytest.mark.slow) for one in ("detect", "measure", "composite"))],
)
def test_a_stage_that_hangs_is_named_and_left_behind(stage: str) -> None:
    let_go = threading.Event()

    def slow_source() -> Iterator[RawFrame]:
        for frame in SOURCE:
            if frame.index == 8:
                let_go.wait(20)
            yield frame

    detector, mesh, generator = FakeDetector(TRUTH), FakeMesh(), FakeGenerator()
    broken: Any = {
        "detect": Hanging(detector, "detect", "detect"),
        "measure": Hanging(mesh, "measure", "measure"),
        "composite": Hanging(generator, "paint", "composite"),
    }.get(stage)
    frames = slow_source() if stage == "decode" else SOURCE
    parts = Synthesis(
        broken if stage == "measure" else mesh,
        fake_assigner(),
        broken if stage == "composite" else generator,
    )
    chain = anonymise(
        frames,
        CONFIG,
        broken if stage == "detect" else detector,
        Covering(CONFIG.cover, parts),
        stall_seconds=0.5,
    )
    done: list[SafeFrame] = []
    try:
        with pytest.raises(StallError, match=f"stage {stage} stalled"):
            done.extend(chain)
    finally:
        (let_go if broken is None else broken.let_go).set()
    assert len(done) >= 3
    check(done)
    for thread in threading.enumerate():
        if thread.name in ("decode", "detect", "composite"):
            thread.join(5)


@pytest.mark.slow
def test_a_slow_stage_does_not_count_as_hanging() -> None:
    """One hand-over waits for long, as the detail-ahead fills; but frames move."""

    class Slow(FakeDetector):
        def detect(self, frame: RawFrame, extent: Extent = "next") -> Faces:
            threading.Event().wait(0.1)
            return super().detect(frame, extent)

    config = replace(CONFIG, lookahead=LookaheadConfig(0.48, 0.12))
    compositor = Covering(CoverConfig("mosaic"), None)
    chain = anonymise(SOURCE, config, Slow(TRUTH), compositor, stall_seconds=0.6)
    assert len(list(chain)) == COUNT


def test_every_error_is_one_line_without_what_it_quotes() -> None:
    secret = "rtsp://anna:s3cret@cam/1\nsecond line"
    for error in (ValueError(secret), KeyError(secret), RuntimeError(secret), OSError(28, "full", secret)):
        line = sentence(error)
        assert "s3cret" not in line
        assert "\n" not in line
    assert "full" in sentence(OSError(28, "full", secret))
    assert "memory" in sentence(MemoryError())
    assert sentence(StreamanonError("two\nlines")) == "two lines"
    with pytest.raises(TypeError) as caught:
        as_dict(3)  # type: ignore[arg-type]
    assert "TypeError in config.py:" in sentence(caught.value)


# -- the real models, on both runtimes for processors


class SpoiltModel:
    def __init__(self, model: Model) -> None:
        self.model, self.spoil = model, None

    spoil: Spoil | None

    def run(self, *inputs: Array) -> Any:
        answer = self.model.run(*inputs)
        return answer if self.spoil is None else self.spoil(answer)


class SpoiltBackend:
    """The models of another backend, by name, with a way to spoil what they answer."""

    def __init__(self, backend: Backend) -> None:
        self.name, self._backend = backend.name, backend
        self.models: dict[str, SpoiltModel] = {}

    def load(self, path: Path, *, precise: bool, threads: int = 0, bfloat16: bool = False) -> Model:
        model = SpoiltModel(self._backend.load(path, precise=precise, threads=threads, bfloat16=bfloat16))
        return self.models.setdefault(path.stem, model)


MODELS = (
    *("face-detector", "face-verifier", "face-mesh", "face-parts", "identity-encoder"),
    *("face-occlusion", "generator", "generator-style"),
)
QUICK = ("face-detector",)
OUTPUTS: dict[str, Spoil] = {
    "RuntimeError": ERRORS["RuntimeError"],
    "MemoryError": ERRORS["MemoryError"],
    **ANSWERS,
    "nan": lambda arrays: [array * NAN for array in arrays],
    "one nan": lambda arrays: [_with_nan(array) for array in arrays],
    "infinite": lambda arrays: [array + INF for array in arrays],
    "minus infinite": lambda arrays: [array - INF for array in arrays],
    "huge": lambda arrays: [np.full_like(array, 3e38) for array in arrays],
    "flat": lambda arrays: [array.ravel() for array in arrays],
    "no batch": lambda arrays: [array[:0] for array in arrays],
    "one more axis": lambda arrays: [array[None] for array in arrays],
    "object": lambda arrays: [array.astype(object) for array in arrays],
    "text": lambda arrays: [array.astype(str) for array in arrays],
    "complex": lambda arrays: [array.astype(complex) for array in arrays],
    "first only": lambda arrays: arrays[:1],
}


def _with_nan(array: NDArray[Any]) -> NDArray[Any]:
    spoilt = array.copy()
    spoilt.ravel()[spoilt.size // 2] = NAN
    return spoilt


def shows(before: Picture, after: Picture, boxes: NDArray[np.float32]) -> float:
    """Correlation of fine luma detail in the middle of the face in which it is highest. 1: the same; up to
    0.6: a generated face, whose eyes and mouth are where the person's are.
    """
    most = 0.0
    for x0, y0, x1, y1 in boxes:
        dx, dy = (x1 - x0) / 5, (y1 - y0) / 5
        inner = np.s_[max(int(y0 + dy), 0) : int(y1 - dy), max(int(x0 + dx), 0) : int(x1 - dx)]
        one, two = (np.diff(p.planes[0][inner].astype(float), axis=1).ravel() for p in (before, after))
        if one.std() > 0 and two.std() > 0:
            most = max(most, float(np.corrcoef(one, two)[0, 1]))
    return most


@pytest.fixture(scope="module")
def demo() -> list[RawFrame]:
    """A frame with faces of synthetic people."""
    if not DEMO.is_file():
        pytest.skip("the demo clip is not here")
    return list(itertools.islice(read_frames(DEMO, probe(DEMO)), 1))


@pytest.fixture(scope="module", params=["onnxruntime", pytest.param("openvino", marks=pytest.mark.slow)])
def spoilt(request: pytest.FixtureRequest, engines: Engines) -> tuple[Anonymizer, SpoiltBackend]:
    if request.param == "openvino":
        pytest.importorskip("openvino")
    compute = ComputeConfig(request.param, 1)
    # Each fault leaves the inputs of most models as they were.
    backend = SpoiltBackend(RememberingBackend(open_backend(compute)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streamanon.api.choose_backend", lambda _config: Choice(backend))
        anonymizer = Anonymizer(
            Config(
                DetectConfig(interval_seconds=0),
                LookaheadConfig(0, 0),
                compute=compute,
                identity=IdentityConfig(seed=0),
            )
        )
    assert set(backend.models) == set(MODELS)
    return anonymizer, backend


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    "model",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in MODELS],
)
def test_whatever_a_real_model_answers_no_face_shows(
    model: str, spoilt: tuple[Anonymizer, SpoiltBackend], demo: list[RawFrame]
) -> None:
    anonymizer, backend = spoilt
    config = anonymizer.config
    found = [anonymizer.face_search().detect(frame, "all") for frame in demo]
    faces = [one.boxes[one.scores >= config.detect.score] for one in found]
    for frame, boxes in zip(demo, faces, strict=True):
        assert shows(frame.picture, frame.picture, boxes) > 0.99
    for fault, spoil in OUTPUTS.items():
        compositor = anonymizer.covering()
        backend.models[model].spoil = spoil
        try:
            search = anonymizer.face_search(0, compositor.context)
            done = list(anonymise(demo, config, search, compositor, threaded=False))
        finally:
            backend.models[model].spoil = None
        assert len(done) == len(demo)
        for before, after, boxes in zip(demo, done, faces, strict=True):
            assert shows(before.picture, after.picture, boxes) < 0.8, (fault, after.report)
        if fault.endswith("Error"):
            assert sum(compositor.faults.counts.values()) >= len(demo), fault
