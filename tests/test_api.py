from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from audits import write

import streamanon
from streamanon.api import Anonymizer
from streamanon.audit.pairing import read_rgb_frames
from streamanon.config import (
    ComputeConfig,
    Config,
    CoverConfig,
    IdentityConfig,
    LookaheadConfig,
    OutputConfig,
)
from streamanon.errors import ConfigError, DetectionError, ModelError, SourceError, StreamanonError
from streamanon.gallery.delegates import open_gallery
from streamanon.media.decode import read_frames
from streamanon.media.probe import probe
from streamanon.media.yuv import to_rgb
from streamanon.runtime.models import Engines
from streamanon.runtime.run_report import RunReport
from streamanon.testing.fakes import FakeDetector, FakeSource
from streamanon.types import SafeFrame

pytestmark = pytest.mark.usefixtures("remembering_models")
FACE = (60.0, 40.0, 110.0, 100.0)
DEMO = Path(__file__).parent / "data" / "demo.mp4"
CPU = ComputeConfig("onnxruntime", 1)
MOSAIC = Config(
    cover=CoverConfig("mosaic", margin=0.25), output=OutputConfig(preset="ultrafast"), compute=CPU
)


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.fixture(scope="module")
def plain(engines: Engines) -> Anonymizer:
    return Anonymizer(MOSAIC)


@pytest.fixture
def sure(plain: Anonymizer, monkeypatch: pytest.MonkeyPatch) -> Anonymizer:
    """Finds a face in every frame, whatever is in it."""
    monkeypatch.setattr(plain, "face_search", lambda *_: FakeDetector({0: [FACE] * 1000}))
    return plain


def image(width: int = 180, height: int = 140) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    (frame,) = FakeSource(1, width, height, {0: (FACE,)})
    return to_rgb(frame.picture)


@pytest.mark.parametrize(("width", "height"), [(180, 140), (181, 141)])
def test_pixels_outside_the_face_stay_as_they_are(sure: Anonymizer, width: int, height: int) -> None:
    before = image(width, height)
    kept = before.copy()
    after, report = sure.image_with_report(before)
    assert (before == kept).all()
    assert after.shape == before.shape
    assert after.dtype == np.uint8
    assert report.tally.by_method == {"mosaic": 1}
    away = np.ones((height, width), bool)
    away[20:120, 40:130] = False
    assert (after[away] == before[away]).all()
    assert (after[40:100, 60:110] != before[40:100, 60:110]).mean() > 0.8


def test_synthesis_keeps_them_too(engines: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    anonymizer = Anonymizer(Config(compute=CPU))
    monkeypatch.setattr(anonymizer, "face_search", lambda *_: FakeDetector({0: [FACE]}))
    before = image()
    after, report = anonymizer.image_with_report(before)
    assert report.tally.faces == 1
    away = np.ones(before.shape[:2], bool)
    away[15:130, 35:140] = False
    assert (after[away] == before[away]).all()
    assert (after != before).any()


def test_an_image_without_faces_is_unchanged(plain: Anonymizer) -> None:
    wall = np.full((90, 120, 3), 77, np.uint8)
    assert (plain.image(wall) == wall).all()


@pytest.mark.parametrize("shape", [(60, 80), (60, 80, 4), (60, 80, 1), (2, 60, 80, 3), ()])
def test_arrays_of_another_shape_are_refused(plain: Anonymizer, shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"\[H, W, 3\] uint8"):
        plain.image(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("kind", [np.float32, np.uint16, np.int8, bool])
def test_arrays_of_another_kind_are_refused(plain: Anonymizer, kind: type) -> None:
    with pytest.raises(ConfigError, match="uint8"):
        plain.image(np.zeros((60, 80, 3), kind))


@pytest.mark.parametrize("shape", [(0, 0, 3), (0, 80, 3), (60, 0, 3)])
def test_an_empty_image_is_refused(plain: Anonymizer, shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="empty"):
        plain.image(np.zeros(shape, np.uint8))


def test_tiny_images_and_views_work(plain: Anonymizer) -> None:
    for shape in ((1, 1, 3), (1, 50, 3), (7, 3, 3)):
        assert plain.image(np.zeros(shape, np.uint8)).shape == shape
    flipped = image()[::-1, ::-1]
    assert plain.image(flipped).shape == flipped.shape


def test_frames_of_a_video_come_in_order(plain: Anonymizer, clip: Path) -> None:
    frames = list(plain.frames(clip))
    assert [frame.index for frame in frames] == list(range(12))
    assert all(type(frame) is SafeFrame for frame in frames)


def test_frames_can_be_left_early(plain: Anonymizer, clip: Path) -> None:
    frames = plain.frames(clip)
    assert next(frames).index == 0
    frames.close()


def test_one_anonymizer_does_many_videos_alike(sure: Anonymizer, clip: Path) -> None:
    """But for the noise of the mosaics, which each run draws anew."""
    first, second = (list(sure.frames(clip)) for _ in range(2))
    for one, two in zip(first, second, strict=True):
        assert one.report == two.report
        differs = one.picture.planes[0] != two.picture.planes[0]
        assert differs.any()
        for x0, y0, x1, y1 in (cover.box for cover in one.report.covers):
            differs[y0:y1, x0:x1] = False
        assert not differs.any()


def test_a_run_writes_a_file_and_tells(sure: Anonymizer, clip: Path, tmp_path: Path) -> None:
    seen: list[int] = []
    report = sure.run(clip, tmp_path / "out.mp4", lambda frame: seen.append(frame.index))
    assert isinstance(report, RunReport)
    told = report.as_dict()
    assert seen == list(range(12))
    assert told["frames"] == {
        "in": 12,
        "out": 12,
        "withheld": 0,
        "motion_covered": 0,
        "packets_not_decoded": 0,
    }
    assert told["face_frames"]["by_method"] == {"mosaic": 12}
    assert told["output"]["frames"] == 12
    assert told["output"]["bytes"] == (tmp_path / "out.mp4").stat().st_size
    assert told["backend"] == "onnxruntime"
    assert (told["decoder"], told["decoder_passed_over"]) == ("cpu", "")
    assert not told["interrupted"]
    assert len(list(read_frames(tmp_path / "out.mp4", probe(tmp_path / "out.mp4")))) == 12


def test_a_run_that_is_stopped_leaves_a_playable_file(sure: Anonymizer, clip: Path, tmp_path: Path) -> None:
    done: list[int] = []
    report = sure.run(
        clip, tmp_path / "out.mp4", lambda frame: done.append(frame.index), lambda: len(done) == 5
    )
    assert report.interrupted
    assert len(list(read_frames(tmp_path / "out.mp4", probe(tmp_path / "out.mp4")))) == 5


def test_an_error_in_the_progress_call_surfaces(sure: Anonymizer, clip: Path, tmp_path: Path) -> None:
    def broken(_frame: SafeFrame) -> None:
        raise RuntimeError("display gone")

    with pytest.raises(RuntimeError, match="display gone"):
        sure.run(clip, tmp_path / "out.mp4", broken)


def test_frames_where_detection_fails_are_withheld(
    plain: Anonymizer, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain, "face_search", lambda *_: FakeDetector({}, fails={0, 3, 4}))
    report = plain.run(clip, tmp_path / "out.mp4")
    assert report.tally.frames == 12
    assert 1 <= report.tally.withheld <= 3


def test_frames_tell_what_failed(plain: Anonymizer, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "face_search", lambda *_: FakeDetector({}, fails=set(range(12))))
    frames = plain.frames(clip)
    assert next(frames).report.withheld
    assert frames.faults.keys() == {"frames: detection failed (DetectionError)"}
    assert frames.report is None
    assert len(list(frames)) == 11
    assert frames.report is not None
    assert frames.report.faults == frames.faults == {"frames: detection failed (DetectionError)": 12}
    assert frames.report.saw_nothing
    assert not frames.report.interrupted
    assert frames.report.as_dict()["frames"]["in"] == 12
    assert next(frames, None) is None


def test_frames_that_are_left_before_the_first_one_open_nothing(plain: Anonymizer) -> None:
    with closing(plain.frames("no such file.mp4")) as frames:
        pass
    assert frames.report is None


def test_frames_that_are_left_early_report_so(sure: Anonymizer, clip: Path) -> None:
    with closing(sure.frames(clip)) as frames:
        assert next(frames).index == 0
    assert frames.report is not None
    assert frames.report.interrupted
    assert frames.report.tally.frames == 1
    assert not frames.faults


def test_an_image_that_is_covered_whole_is_an_error(
    plain: Anonymizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain, "face_search", lambda *_: FakeDetector({}, fails={0}))
    with pytest.raises(DetectionError, match=r"detection failed \(DetectionError\)") as caught:
        plain.image(image())
    assert isinstance(caught.value, StreamanonError)
    covered, report = plain.image_with_report(image())
    assert report.saw_nothing
    assert len(np.unique(covered)) == 1


def in_threads(work: Callable[[int], None], count: int = 4) -> None:
    """Run ``work`` in several threads at once; its errors fail the test."""
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(work, range(count)))


def test_one_anonymizer_in_four_threads(sure: Anonymizer) -> None:
    pictures = [image(180 + 2 * n, 140) for n in range(4)]

    def work(number: int) -> None:
        for _ in range(5):
            covered, report = sure.image_with_report(pictures[number])
            assert not report.faults
            assert report.tally.by_method == {"mosaic": 1}
            assert (covered[:20] == pictures[number][:20]).all()

    in_threads(work)


@pytest.mark.slow
@pytest.mark.skipif(not DEMO.is_file(), reason="the demo clip is not here")
@pytest.mark.parametrize("backend", ["onnxruntime", pytest.param("openvino", marks=pytest.mark.slow)])
def test_one_anonymizer_in_four_threads_with_the_real_models(
    backend: Literal["onnxruntime", "openvino"], engines: Engines
) -> None:
    """Each gets what it would get alone, to the pixel."""
    pytest.importorskip(backend)
    delegate = open_gallery(engines).delegates[0].id
    config = Config(identity=IdentityConfig(delegate=delegate), compute=ComputeConfig(backend, 1))
    anonymizer = Anonymizer(config)
    frame = to_rgb(next(read_frames(DEMO, probe(DEMO))).picture)
    pictures = [np.ascontiguousarray(frame[:, : 640 - 8 * n]) for n in range(4)]
    alone = [anonymizer.image(picture) for picture in pictures]

    def work(number: int) -> None:
        for turn in range(3):
            which = (number + turn) % 4
            covered, report = anonymizer.image_with_report(pictures[which])
            assert not report.faults
            assert report.tally.by_method["synthesize"] >= 2
            np.testing.assert_array_equal(covered, alone[which])

    in_threads(work)


def test_bad_inputs_are_told(plain: Anonymizer, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="missing"):
        next(plain.frames(tmp_path / "missing.mp4"))
    with pytest.raises(SourceError):
        plain.run(tmp_path / "missing.mp4", tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


def test_profiles_are_paths_or_configs(engines: Engines, tmp_path: Path) -> None:
    profile = tmp_path / "p.yaml"
    profile.write_text("cover: {method: solid}\ncompute: {backend: onnxruntime, threads: 1}\n")
    assert Anonymizer(profile).config.cover.method == "solid"
    assert Anonymizer(str(profile)).config.cover.method == "solid"
    with pytest.raises(ConfigError, match="cannot read the profile"):
        Anonymizer(tmp_path / "missing.yaml")


@pytest.mark.parametrize("name", ["cctv", "file", "livestream"])
def test_profiles_that_come_along_have_names(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = streamanon.load_config(name)
    assert config == streamanon.load_config(
        Path(streamanon.__file__).parents[1] / "configs" / f"{name}.yaml"
    )


def test_what_is_no_profile_is_told() -> None:
    with pytest.raises(ConfigError, match="known: cctv, dashcam, edge, file, livestream"):
        Anonymizer("bodycam")
    with pytest.raises(ConfigError, match="a name, a path or a Config, not a list"):
        Anonymizer(["cctv"])  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="a list of section"):
        streamanon.load_config("cctv", "cover.method=mosaic")


def test_what_is_no_image_or_path_is_told(plain: Anonymizer, tmp_path: Path) -> None:
    for wrong in ("photo.jpg", tmp_path, [[[0, 0, 0]]], None):
        with pytest.raises(ConfigError, match="an image must be an array"):
            plain.image(wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"a video must be a path.*not a list"):
        plain.frames(["a.mp4"])  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"a video is a path with a null byte in it"):
        plain.frames("a\0.mp4")
    with pytest.raises(ConfigError, match=r"the output must be a path.*not a NoneType"):
        plain.run("a.mp4", None)  # type: ignore[arg-type]


def test_the_public_names_are_shown() -> None:
    assert set(streamanon.__all__) <= set(dir(streamanon))
    assert (Path(streamanon.__file__).parent / "py.typed").is_file()


def test_missing_models_are_a_model_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "manifest.json").write_text('{"models": {}}')
    monkeypatch.setattr("streamanon.runtime.models.engines_folder", lambda: tmp_path)
    with pytest.raises(ModelError, match="no model 'face-detector'"):
        Anonymizer(MOSAIC)


def test_the_short_way_for_one_image(engines: Engines) -> None:
    assert streamanon.anonymize(image(), MOSAIC).shape == image().shape


@pytest.mark.skipif(not DEMO.is_file(), reason="the demo clip is not here")
def test_the_demo_clip_comes_out_with_its_faces_covered(engines: Engines, tmp_path: Path) -> None:
    """Its first frames, with the real models."""
    images = [image for image, _ in zip(read_rgb_frames(DEMO), range(8), strict=False)]
    start = write(tmp_path / "start.mp4", images)
    config = Config(lookahead=LookaheadConfig(0.24, 0.24), compute=CPU)
    done = list(Anonymizer(config).frames(start))
    assert [frame.index for frame in done] == list(range(8))
    assert all(frame.report.covers for frame in done)
    assert streamanon.to_rgb(done[0].picture).shape == (360, 640, 3)
