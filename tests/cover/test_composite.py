from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from streamanon.config import CoverConfig
from streamanon.cover.chosen_tracks import ChosenTracks
from streamanon.cover.covering import Covering
from streamanon.cover.keeping import Keeping
from streamanon.cover.measure import measure
from streamanon.cover.mosaic import MAX_CELLS, SOLID_RGB
from streamanon.cover.outline import outline
from streamanon.cover.synthesis import LOADED_REPAINT_SECONDS, NoLoad, Synthesis
from streamanon.cover.trust import INNER_SHARE, inner_face
from streamanon.errors import SynthesisError
from streamanon.generate import DetailState, Patch
from streamanon.identity.encoder import IdentityFeature
from streamanon.identity.rules import Rule
from streamanon.identity.visible_people import Keeper
from streamanon.media.yuv import to_rgb
from streamanon.mesh.smoothing import NEIGHBOURS
from streamanon.runtime.run_context import RunContext
from streamanon.testing.covering import cover
from streamanon.testing.fakes import (
    PAINT_RGB,
    PERSON_POINT,
    Box,
    FakeEncoder,
    FakeGenerator,
    FakeMesh,
    FakeSource,
    faces_at,
    fake_assigner,
    fake_points,
    leaked_pixels,
)
from streamanon.track.tracker import MAX_LOST_SECONDS
from streamanon.types import (
    METHODS,
    PIXEL_FORMATS,
    Assignment,
    Cover,
    Float,
    Geometry,
    Method,
    Picture,
    RawFrame,
    Resolved,
    SafeFrame,
    Target,
    View,
)

FACE: Box = (60, 30, 100, 80)
SIZE = (160, 120)


def frame_of(boxes: Sequence[Box], index: int = 0, size: tuple[int, int] = SIZE) -> RawFrame:
    truth = {n: (box,) for n, box in enumerate(boxes)}
    (frame,) = FakeSource(1, *size, truth)
    return RawFrame(index, index, Fraction(1, 25), frame.picture, duration=1)


def resolved(boxes: Sequence[Box], index: int = 0, size: tuple[int, int] = SIZE, **more: Any) -> Resolved:
    faces = faces_at(np.array(boxes, np.float32).reshape(-1, 4))
    targets = [Target(n, faces.boxes[n], faces.keypoints[n], True) for n in range(len(boxes))]
    return Resolved(frame_of(boxes, index, size), tuple(targets), **more)


def compositor(
    mesh: FakeMesh | None = None,
    generator: FakeGenerator | None = None,
    rules: Sequence[Rule] = (),
    encoder: FakeEncoder | None = None,
    **settings: Any,
) -> Covering:
    """``rules``: for people who are kept."""
    assigner = fake_assigner()
    synthesis = Synthesis(mesh or FakeMesh(), assigner, generator or FakeGenerator())
    config = CoverConfig(**{"min_confidence": 0.5, **settings})
    noise = np.random.default_rng(0)
    context = RunContext()
    keeper, chosen = Keeper(rules, 0.6), ChosenTracks([])
    keeping = Keeping(keeper, encoder or FakeEncoder(), (), chosen, 0.6, context.faults) if rules else None
    parts = synthesis if config.method == "synthesize" else None
    return Covering(config, parts, noise, context, keeping)


def covered(by: Covering, one: Resolved) -> SafeFrame:
    (done,) = cover([one], by)
    return done


def method_of(frame: SafeFrame) -> str:
    (cover,) = frame.report.covers
    return cover.method


def pixels(frame: SafeFrame, box: Box = FACE) -> Float:
    """The middle of a face, [h, w, 3] RGB."""
    x0, y0, x1, y1 = (int(v) for v in box)
    return to_rgb(frame.picture)[y0 + 8 : y1 - 8, x0 + 8 : x1 - 8].astype(np.float32)


def is_painted(frame: SafeFrame) -> bool:
    return bool(np.abs(pixels(frame) - PAINT_RGB).max() < 6)


def colours(frame: SafeFrame, box: Box = FACE) -> int:
    """How many lumas the middle of a face has."""
    x0, y0, x1, y1 = (int(v) for v in box)
    return len(np.unique(frame.picture.planes[0][y0 + 8 : y1 - 8, x0 + 8 : x1 - 8]))


def test_a_hopeless_face_is_measured_again_only_after_a_rest() -> None:
    mesh = FakeMesh(lambda call, _track: 0.9 if call == 2 else 0.02)
    resting = compositor(mesh, fade_seconds=0.04)
    frames = [covered(resting, resolved([FACE], n)) for n in range(18)]
    assert [method_of(frame) for frame in frames] == ["fill"] * 16 + ["synthesize", "fill"]
    assert mesh.calls == 4
    assert all(leaked_pixels(frame.picture, [FACE]) == 0 for frame in frames)


def test_a_new_face_is_measured_in_later_frames_once_and_where_its_mesh_is_trusted() -> None:
    described: list[Picture] = []

    class Noting(FakeEncoder):
        def describe(self, picture: Picture, points: Float) -> IdentityFeature:
            described.append(picture)
            return super().describe(picture, points)

    mesh = FakeMesh(lambda call, _track: 0.1 if call == 2 else 0.9)
    assigner = fake_assigner()
    assigner._encoder = Noting()
    by = Covering(CoverConfig(min_confidence=0.5), Synthesis(mesh, assigner, FakeGenerator()))
    clip = [resolved([FACE], n) for n in range(3)]
    (target,) = clip[0].targets
    later = tuple(View(one.frame.picture, target.box, target.keypoints) for one in clip[1:])
    clip = [dataclasses.replace(one, targets=(dataclasses.replace(target, later=later),)) for one in clip]
    first, *others = (covered(by, one) for one in clip)
    assert mesh.calls == 1 + len(later) + len(others)
    # Call 2 was the second of the later frames.
    assert described == [clip[0].frame.picture, clip[1].frame.picture]
    assert {method_of(one) for one in (first, *others)} == {"synthesize"}


def test_a_painted_face_does_not_rest() -> None:
    steady = compositor(FakeMesh(lambda call, _track: 0.02 if call == 3 else 0.9), fade_seconds=0.16)
    frames = [covered(steady, resolved([FACE], n)) for n in range(8)]
    assert {method_of(frame) for frame in frames} == {"synthesize"}


class _StrayMesh(FakeMesh):
    """Where it is hopeless it lies elsewhere."""

    def measure(self, picture: Picture, targets: Sequence[Target]) -> list[Geometry]:
        found = super().measure(picture, targets)
        return [one if one.confidence > 0.1 else Geometry(one.points + 40, one.confidence) for one in found]


def test_a_face_fades_out_in_its_box_wherever_a_hopeless_mesh_lies() -> None:
    fading = compositor(_StrayMesh(lambda call, _track: 0.02 if call else 0.9), fade_seconds=0.16)
    clip = [resolved([FACE], n) for n in range(6)]
    done = [covered(fading, one) for one in clip]
    assert [method_of(frame) for frame in done] == [*["synthesize"] * 3, *["fill"] * 3]
    for one, frame in zip(clip, done, strict=True):  # beyond the fill
        given, made = (to_rgb(each.picture)[95:, 115:] for each in (one.frame, frame))
        assert (given == made).all()
        assert leaked_pixels(frame.picture, [FACE]) == 0


def test_a_hopeless_mesh_between_sure_ones_is_replaced_wherever_it_lies() -> None:
    by = compositor(_StrayMesh(lambda call, _track: 0.02 if call == 3 else 0.9))
    done = list(cover([resolved([FACE], n) for n in range(9)], by, NEIGHBOURS))
    assert len({one.box for frame in done for one in frame.report.covers}) == 1
    assert all(leaked_pixels(frame.picture, [FACE]) == 0 for frame in done)


def test_a_face_that_will_be_sure_is_painted_before_that() -> None:
    mesh = FakeMesh(lambda call, _track: 0.9 if call >= NEIGHBOURS else 0.4)
    done = list(cover([resolved([FACE], n) for n in range(5)], compositor(mesh), NEIGHBOURS))
    assert all(is_painted(frame) for frame in done)
    (alone,) = cover([resolved([FACE])], compositor(FakeMesh(0.4)), NEIGHBOURS)
    assert method_of(alone) == "fill"


@pytest.mark.parametrize(
    ("dips", "rate", "bridged"),
    [((3,), 25, True), ((3, 4), 25, True), ((3, 4, 5), 25, False), ((3,), 16, True), ((3,), 5, False)],
)
def test_a_mesh_that_is_unsure_for_a_moment_takes_the_place_between_its_neighbours(
    dips: tuple[int, ...], rate: int, bridged: bool
) -> None:
    mesh = FakeMesh(lambda call, _track: 0.02 if call in dips else 0.9)
    by = compositor(mesh, fade_seconds=4 / rate)
    frames = [resolved([FACE], n) for n in range(9)]
    slow = [dataclasses.replace(one.frame, time_base=Fraction(1, rate)) for one in frames]
    frames = [dataclasses.replace(one, frame=frame) for one, frame in zip(frames, slow, strict=True)]
    done = list(cover(frames, by, NEIGHBOURS))
    regions = {one.box for frame in done for one in frame.report.covers}
    assert (len(regions) == 1) is bridged  # a fill beneath a face that fades is larger
    assert all(leaked_pixels(frame.picture, [FACE]) == 0 for frame in done)


def test_a_face_too_small_to_be_painted_is_not_measured() -> None:
    mesh = FakeMesh()
    done = covered(compositor(mesh), resolved([(60, 30, 68, 40)]))
    assert method_of(done) == "fill"
    assert mesh.calls == 0


def test_a_sure_face_is_painted_at_once() -> None:
    done = covered(compositor(), resolved([FACE]))
    assert method_of(done) == "synthesize"
    assert is_painted(done)
    assert leaked_pixels(done.picture, [FACE]) == 0


@pytest.mark.parametrize(
    "mesh",
    [
        FakeMesh(0.3),
        FakeMesh(float("nan")),
        FakeMesh(yaw_degrees=70.0),
        FakeMesh(yaw_degrees=-70.0),
        FakeMesh(lambda call, _track: [][call]),
    ],
    ids=["unsure", "nan", "right profile", "left profile", "error"],
)
def test_a_face_that_is_not_trusted_is_filled(mesh: FakeMesh) -> None:
    done = covered(compositor(mesh), resolved([FACE]))
    assert method_of(done) == "fill"
    assert 1 < colours(done) <= MAX_CELLS * (MAX_CELLS + 2)
    assert leaked_pixels(done.picture, [FACE]) == 0


@pytest.mark.parametrize("error", [SynthesisError, ValueError, MemoryError, RecursionError, IndexError])
def test_whatever_the_generator_raises_the_face_is_filled(error: type[Exception]) -> None:
    def fails(_call: int) -> None:
        raise error("no face")

    done = covered(compositor(generator=FakeGenerator(fails)), resolved([FACE]))
    assert method_of(done) == "fill"
    assert leaked_pixels(done.picture, [FACE]) == 0


def test_an_interrupt_is_not_swallowed() -> None:
    def fails(_call: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        covered(compositor(generator=FakeGenerator(fails)), resolved([FACE]))


def test_tiny_faces_are_filled() -> None:
    tiny: Box = (60, 30, 68, 40)
    done = covered(compositor(), resolved([tiny]))
    assert method_of(done) == "fill"
    assert leaked_pixels(done.picture, [tiny]) == 0


class _ElsewhereMesh(FakeMesh):
    """Sure of itself, and somewhere else."""

    def measure(self, picture: Picture, targets: Sequence[Target]) -> list[Geometry]:
        moved = [Target(t.track_id, t.box + 30, t.keypoints + 30, t.detected) for t in targets]
        return super().measure(picture, moved)


class _SlippedMesh(FakeMesh):
    """In its box, with eyes and mouth where the detector saw none."""

    def measure(self, picture: Picture, targets: Sequence[Target]) -> list[Geometry]:
        moved = [Target(t.track_id, t.box, t.keypoints[::-1].copy(), t.detected) for t in targets]
        return super().measure(picture, moved)


class _ShortMesh(FakeMesh):
    def measure(self, picture: Picture, targets: Sequence[Target]) -> list[Geometry]:
        return super().measure(picture, targets)[:-1]


@pytest.mark.parametrize("mesh", [_ElsewhereMesh(), _SlippedMesh(), _ShortMesh()])
def test_a_mesh_that_disagrees_with_the_detector_is_not_painted(mesh: FakeMesh) -> None:
    done = covered(compositor(mesh), resolved([FACE]))
    assert method_of(done) == "fill"
    assert leaked_pixels(done.picture, [FACE]) == 0


@pytest.mark.parametrize("method", ["synthesize", "fill", "mosaic", "blur"])
def test_if_the_cover_fails_the_face_is_plain(method: Method, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Float:
        raise MemoryError

    for name in ("fill", "mosaic", "blur"):
        monkeypatch.setattr(f"streamanon.cover.composite.{name}", broken)
    done = covered(compositor(FakeMesh(0.1), method=method), resolved([FACE]))
    assert method_of(done) == "solid"
    assert colours(done) == 1
    assert leaked_pixels(done.picture, [FACE]) == 0


@pytest.mark.parametrize("method", METHODS)
def test_the_report_tells_the_method(method: Method) -> None:
    done = covered(compositor(method=method), resolved([FACE]))
    (cover,) = done.report.covers
    assert isinstance(cover, Cover)
    assert (cover.track_id, cover.method, cover.detected) == (0, method, True)
    x0, y0, x1, y1 = cover.box
    assert x0 <= FACE[0] and y0 <= FACE[1] and x1 >= FACE[2] and y1 >= FACE[3]  # noqa: PT018


def test_an_established_face_survives_a_slightly_unsure_mesh() -> None:
    """A new face at this confidence is not painted, one painted before stays."""
    assert method_of(covered(compositor(FakeMesh(0.42)), resolved([FACE]))) == "fill"
    steady = compositor(FakeMesh(lambda call, _track: 0.42 if call else 0.9))
    frames = [covered(steady, resolved([FACE], n)) for n in range(10)]
    assert all(is_painted(frame) for frame in frames)


def test_a_lost_face_fades_over_an_opaque_fill() -> None:
    fading = compositor(FakeMesh(lambda call, _track: 0.9 if call == 0 else 0.1), fade_seconds=0.16)
    frames = [covered(fading, resolved([FACE], n)) for n in range(7)]
    greens = [float(pixels(f)[..., 1].mean() - pixels(f)[..., 0].mean()) for f in frames]
    assert greens[:5] == sorted(greens[:5], reverse=True)
    assert len({round(value) for value in greens[:5]}) == 5
    assert [method_of(frame) for frame in frames] == ["synthesize"] * 3 + ["fill"] * 4
    assert all(leaked_pixels(frame.picture, [FACE]) == 0 for frame in frames)
    # Nothing but flat cells and flat paint: with the face beneath there were far more colours.
    assert max(colours(frame) for frame in frames) <= 2 * MAX_CELLS * MAX_CELLS


def test_a_face_that_becomes_sure_fades_in() -> None:
    rising = compositor(FakeMesh(lambda call, _track: 0.9 if call else 0.1), fade_seconds=0.16)
    frames = [covered(rising, resolved([FACE], n)) for n in range(8)]
    assert [method_of(frame) for frame in frames] == ["fill"] * 4 + ["synthesize"] * 4
    assert not is_painted(frames[5])
    assert is_painted(frames[6])
    assert all(leaked_pixels(frame.picture, [FACE]) == 0 for frame in frames)


def test_about_a_face_that_fades_in_the_fill_fades_out_and_not_about_one_that_fades_out() -> None:
    """Beside the mesh, in the ellipse: there a trusted face shows no face, and a lost one may."""
    beside = np.s_[int(FACE[1]) + 20 : int(FACE[1]) + 30, int(FACE[0]) - 6 : int(FACE[0]) - 3]

    def changes(confidence: Callable[[int, int], float]) -> list[float]:
        by, found = compositor(FakeMesh(confidence), fade_seconds=0.16), []
        for n in range(8):
            one = resolved([FACE], n)
            done = covered(by, one)
            planes = one.frame.picture.planes[0], done.picture.planes[0]
            found.append(
                float(np.abs(np.subtract(*(plane[beside].astype(int) for plane in planes))).mean())
            )
        return found

    rising = changes(lambda call, _track: 0.9 if call else 0.1)[2:7]
    assert rising == sorted(rising, reverse=True)
    assert rising[-1] == 0 < rising[1] < rising[0]
    falling = changes(lambda call, _track: 0.1 if call else 0.9)
    assert falling[0] == 0 < min(falling[1:])
    assert min(falling[1:]) > 0.7 * max(falling)


def test_an_error_while_painting_falls_at_once() -> None:
    def fails(call: int) -> None:
        if call == 3:
            raise SynthesisError("no face")

    broken = compositor(generator=FakeGenerator(fails), repaint_seconds=0)
    frames = [covered(broken, resolved([FACE], n)) for n in range(6)]
    assert [method_of(f) for f in frames][:4] == ["synthesize"] * 3 + ["fill"]
    assert all(leaked_pixels(frame.picture, [FACE]) == 0 for frame in frames)


def test_a_track_has_one_delegate_and_another_track_another() -> None:
    generator = FakeGenerator()
    other: Box = (10, 30, 50, 80)
    both = compositor(generator=generator, repaint_seconds=0)
    for n in range(5):
        covered(both, resolved([FACE, other], n))
    assert len(set(generator.delegates[0::2])) == len(set(generator.delegates[1::2])) == 1
    assert len(set(generator.delegates)) == 2


def test_twins_that_come_one_after_the_other_do_not_share() -> None:
    generator = FakeGenerator()
    twins = compositor(FakeMesh(person=lambda _track: 7), generator)
    covered(twins, resolved([FACE]))
    covered(twins, resolved([FACE, (10, 30, 45, 75)], 1))
    assert len(set(generator.delegates)) == 2


@pytest.mark.parametrize("size", [40, 90, 300])
@pytest.mark.parametrize("method", ["mosaic", "blur", "solid"])
def test_plain_covers_hold_little(method: Method, size: int) -> None:
    """However large the face, no more than 6 cells across it: a small copy tells all there is."""
    box: Box = (60, 60, 60 + size, 60 + size)
    done = covered(compositor(method=method), resolved([box], size=(480, 480)))
    assert leaked_pixels(done.picture, [box]) == 0
    if method == "mosaic":
        assert colours(done, box) <= MAX_CELLS * MAX_CELLS
    if method == "solid":
        assert colours(done, box) == 1
    middle = pixels(done, box)
    rows = np.abs(np.diff(middle.mean(axis=2), axis=1)).mean(axis=0)
    assert (rows > 12).sum() <= MAX_CELLS


@pytest.mark.parametrize("box", [(20, 40, 220, 60), (40, 10, 60, 230), (30, 30, 220, 220)])
def test_no_face_has_more_than_six_cells_either_way(box: Box) -> None:
    done = covered(compositor(method="mosaic"), resolved([box], size=(256, 256)))
    x0, y0, x1, y1 = (int(v) for v in box)
    luma = done.picture.planes[0]
    assert 1 <= len(np.unique(luma[(y0 + y1) // 2, x0:x1])) <= 6
    assert 1 <= len(np.unique(luma[y0:y1, (x0 + x1) // 2])) <= 6
    assert leaked_pixels(done.picture, [box]) == 0


def test_a_frame_that_nobody_looked_at_is_covered_whole() -> None:
    done = covered(compositor(), resolved([FACE], cover_all=True))
    assert done.report.withheld
    for plane in done.picture.planes:
        assert len(np.unique(plane)) == 1
    np.testing.assert_allclose(to_rgb(done.picture)[0, 0], SOLID_RGB, atol=1)
    assert leaked_pixels(done.picture, [FACE]) == 0


def test_a_box_that_is_no_number_covers_the_whole_frame() -> None:
    one = resolved([FACE])
    lost = Target(0, np.full(4, np.nan, np.float32), one.targets[0].keypoints, True)
    done = covered(compositor(), Resolved(one.frame, (lost,)))
    assert done.report.withheld
    assert leaked_pixels(done.picture, [FACE]) == 0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "box",
    [(-20, 30, 20, 80), (140, 30, 180, 80), (60, -30, 100, 20), (60, 100, 100, 150), (-30, -30, 12, 15)],
)
def test_faces_partly_outside_are_covered(method: Method, box: Box) -> None:
    done = covered(compositor(method=method), resolved([box]))
    assert leaked_pixels(done.picture, [box]) == 0
    assert len(done.report.covers) == 1


def changed(one: Resolved, at: Any) -> Resolved:
    """The same targets, with other pixels at some rows and columns of the luma."""
    planes = [plane.copy() for plane in one.frame.picture.planes]
    planes[0][at] = 255 - planes[0][at]
    return dataclasses.replace(
        one,
        frame=dataclasses.replace(
            one.frame, picture=dataclasses.replace(one.frame.picture, planes=tuple(planes))
        ),
    )


@pytest.mark.parametrize("method", ["synthesize", "fill"])
@pytest.mark.parametrize("box", [FACE, (-10, 60, 40, 130), (70, 70, 78, 80), (5, 5, 155, 115)])
def test_no_pixel_of_a_face_has_any_part_in_its_fill(method: Method, box: Box) -> None:
    """Every pixel beneath the cover may change, chroma too: what leaves stays the same."""

    def mesh() -> FakeMesh:
        return FakeMesh(0.1)

    one = resolved([box])
    done = covered(compositor(mesh(), method=method), one)
    (cover,) = done.report.covers
    assert cover.method == "fill"
    planes = [plane.copy() for plane in one.frame.picture.planes]
    grown = outline(one.frame.picture, one.targets[0], CoverConfig().margin)
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    middle, half = (grown[:2] + grown[2:]) / 2, (grown[2:] - grown[:2]) / 2
    beneath = ((x - middle[0]) / half[0]) ** 2 + ((y - middle[1]) / half[1]) ** 2 <= 0.999
    planes[0][beneath] = 255 - planes[0][beneath]
    whole = beneath.reshape(SIZE[1] // 2, 2, SIZE[0] // 2, 2).all(axis=(1, 3))
    for plane in planes[1:]:
        plane[whole] = 255 - plane[whole]
    picture = dataclasses.replace(one.frame.picture, planes=tuple(planes))
    other = dataclasses.replace(one, frame=dataclasses.replace(one.frame, picture=picture))
    again = covered(compositor(mesh(), method=method), other)
    for first, second in zip(done.picture.planes, again.picture.planes, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(("sure", "margin"), [(True, 39.2), (False, 11.2)])
def test_the_margin_of_a_face_that_the_edge_cuts_goes_by_its_longer_side(sure: bool, margin: float) -> None:
    one = resolved([(119, 14, 159, 114)])
    one = dataclasses.replace(one, targets=(dataclasses.replace(one.targets[0], sure=sure),))
    (cover,) = covered(compositor(method="solid"), one).report.covers
    assert abs(cover.box[0] - (119 - margin)) <= 3


def test_a_fill_takes_nothing_of_the_face_beside_it() -> None:
    near: Box = (108, 32, 140, 76)
    pair = resolved([FACE, near])
    first = covered(compositor(method="fill"), pair)
    second = covered(compositor(method="fill"), changed(pair, np.s_[34:74, 110:138]))
    at = np.s_[30:80, 60:100]
    np.testing.assert_array_equal(first.picture.planes[0][at], second.picture.planes[0][at])


def test_a_fill_takes_nothing_of_what_moves_beside_it() -> None:
    """With ``cover.paranoid`` it may be a face that was never found."""
    moving = np.array([[104, 30, 141, 79]], np.float32)
    alone = dataclasses.replace(resolved([FACE]), moving=moving)
    first = covered(compositor(method="fill"), alone)
    second = covered(compositor(method="fill"), changed(alone, np.s_[30:80, 104:142]))
    for one, other in zip(first.picture.planes, second.picture.planes, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("painted", [0, 1])
def test_a_painted_face_lies_over_the_fill_of_a_second_detection_of_it(painted: int) -> None:
    """Whichever is the larger one, and would be laid last."""
    pair = resolved([FACE, (66, 40, 114, 96)])
    mesh = FakeMesh(lambda _call, track: 0.95 if track == painted else 0.1)
    done = covered(compositor(mesh), pair)
    assert {one.track_id: one.method for one in done.report.covers} == {
        painted: "synthesize",
        1 - painted: "fill",
    }
    box = pair.targets[painted].box.tolist()
    assert np.abs(pixels(done, (box[0], box[1], box[2], box[3])) - PAINT_RGB).max() < 6
    assert leaked_pixels(done.picture, [FACE, (66, 40, 114, 96)]) == 0


def test_a_painted_face_lies_over_the_fill_under_another_one_that_fades() -> None:
    """The fading one is larger, and would be laid last."""
    large: Box = (66, 40, 114, 96)
    mesh = FakeMesh(lambda call, track: 0.95 if track == 0 or call == 0 else 0.1)
    by = compositor(mesh, fade_seconds=0.4)
    covered(by, resolved([FACE, large], 0))
    done = covered(by, resolved([FACE, large], 1))
    assert {one.method for one in done.report.covers} == {"synthesize"}
    left = np.s_[42:68, 64:66]  # of the large one's mesh, and in its fill
    assert np.abs(to_rgb(done.picture)[left] - PAINT_RGB).max() < 6
    assert leaked_pixels(done.picture, [FACE, large]) == 0


def test_the_fill_of_a_near_face_lies_over_a_painted_one_that_it_hardly_overlaps() -> None:
    near: Box = (92, 30, 152, 110)
    mesh = FakeMesh(lambda _call, track: 0.95 if track == 0 else 0.1)
    alone, both = (
        covered(compositor(mesh), resolved([FACE])),
        covered(compositor(mesh), resolved([FACE, near])),
    )
    at = np.s_[50:70, 94:98]
    assert np.abs(to_rgb(alone.picture)[at] - PAINT_RGB).max() < 6
    assert np.abs(to_rgb(both.picture)[at] - PAINT_RGB).max() > 6


def test_a_fill_on_a_wall_is_the_wall() -> None:
    planes = tuple(np.full_like(p, (140, 120, 130)[n]) for n, p in enumerate(frame_of([]).picture.planes))
    one = resolved([FACE])
    picture = dataclasses.replace(one.frame.picture, planes=planes)
    plain = dataclasses.replace(one, frame=dataclasses.replace(one.frame, picture=picture))
    done = covered(compositor(method="fill"), plain)
    for plane, value in zip(done.picture.planes, (140, 120, 130), strict=True):
        assert np.abs(plane.astype(int) - value).max() <= 15


@pytest.mark.parametrize("method", ["mosaic", "blur"])
def test_a_track_shows_one_cover_whatever_its_later_frames_hold(method: Method) -> None:
    """Many frames tell no more than one: later ones are not looked at."""
    steady = compositor(method=method)
    first = covered(steady, resolved([FACE]))
    later = covered(steady, changed(resolved([FACE], 1), np.s_[:]))
    np.testing.assert_array_equal(pixels(first), pixels(later))


def test_two_tracks_have_two_covers() -> None:
    twice = covered(compositor(method="mosaic"), resolved([FACE, FACE]))
    other = covered(compositor(method="mosaic"), resolved([FACE]))
    assert np.abs(pixels(twice) - pixels(other)).max() > 1


def test_the_noise_of_a_run_is_known_to_nobody() -> None:
    """Two runs over the same frames differ: no seed in the source gives the noise away."""
    pair = [Covering(CoverConfig("mosaic"), None) for _ in range(2)]
    first, second = (pixels(covered(one, resolved([FACE]))) for one in pair)
    assert np.abs(first - second).max() > 1


@pytest.mark.parametrize("pixel_format", sorted(PIXEL_FORMATS))
@pytest.mark.parametrize("size", [(64, 48), (7, 5), (1, 1)])
def test_frames_covered_whole_are_plain_in_every_format(pixel_format: str, size: tuple[int, int]) -> None:
    step_x, step_y, bits = PIXEL_FORMATS[pixel_format]
    shapes = [size[::-1]] + 2 * [(-(-size[1] // step_y), -(-size[0] // step_x))]
    rng = np.random.default_rng(0)
    kind = np.uint8 if bits == 8 else np.uint16
    planes = [rng.integers(0, 1 << bits, shape).astype(kind) for shape in shapes]
    picture = Picture(tuple(planes[: 1 if pixel_format.startswith("gray") else 3]), pixel_format)
    frame = RawFrame(0, 0, Fraction(1, 25), picture)
    done = covered(compositor(), Resolved(frame, (), cover_all=True))
    assert done.report.withheld
    np.testing.assert_allclose(to_rgb(done.picture), np.full((*size[::-1], 3), SOLID_RGB[0]), atol=1.5)


class _LargeMesh(FakeMesh):
    """Reaches beyond the ellipse over the detected box in its corners."""

    def measure(self, picture: Picture, targets: Sequence[Target]) -> list[Geometry]:
        grown = [dataclasses.replace(t, box=t.box + np.array([-6, -6, 6, 6], np.float32)) for t in targets]
        return super().measure(picture, grown)


def test_a_face_that_fades_in_shows_nothing_beneath_it() -> None:
    """Not even where it is larger than the mosaic."""
    mesh = _LargeMesh(lambda call, _track: 0.9 if call else 0.1)
    one, other = (compositor(mesh, fade_seconds=0.16, margin=0.21) for mesh in (mesh, copy.deepcopy(mesh)))
    corner = np.s_[26:29, 56:59]
    beneath = []
    for index in range(6):
        now = resolved([FACE], index)
        shown = covered(one, now), covered(other, changed(now, corner) if index else now)
        beneath.append([np.asarray(frame.picture.planes[0][corner]) for frame in shown])
    bare = resolved([FACE]).frame.picture.planes[0][corner]
    assert (beneath[0][0] == bare).any()
    for first, second in beneath[3:]:
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("method", METHODS)
def test_faces_wholly_outside_do_no_harm(method: Method) -> None:
    far: tuple[Box, ...] = ((-90, 30, -60, 80), (400, 300, 440, 350), (-5000, 0, -4000, 900))
    one = resolved([FACE, *far])
    done = covered(compositor(method=method), one)
    assert len(done.report.covers) == 4
    assert leaked_pixels(done.picture, [FACE]) == 0


@pytest.mark.parametrize("method", METHODS)
def test_a_face_larger_than_the_frame_is_covered(method: Method) -> None:
    whole: Box = (-40, -60, 220, 200)
    done = covered(compositor(method=method), resolved([whole]))
    assert leaked_pixels(done.picture, [whole]) == 0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("box", [(60, 30, 60.4, 30.3), (60, 30, 60, 30), (61, 33, 64, 37)])
def test_faces_of_a_pixel_are_covered(method: Method, box: Box) -> None:
    done = covered(compositor(method=method), resolved([box]))
    assert leaked_pixels(done.picture, [box]) == 0


@pytest.mark.parametrize("method", METHODS)
def test_pixels_away_from_faces_stay_bit_for_bit(method: Method) -> None:
    one = resolved([FACE])
    done = covered(compositor(method=method, margin=0.25), one)
    away = np.ones((SIZE[1], SIZE[0]), bool)
    away[14:98, 46:114] = False  # the face with a third of its size on each side
    for before, after in zip(one.frame.picture.planes, done.picture.planes, strict=True):
        mask = away if before.shape == away.shape else away[::2, ::2]
        assert (before[mask] == after[mask]).all()


def test_a_frame_without_faces_is_passed_as_it_is() -> None:
    one = resolved([])
    done = covered(compositor(), one)
    assert done.picture is one.frame.picture
    assert done.report.covers == ()


def test_the_input_is_never_written_to() -> None:
    one = resolved([FACE])
    before = [plane.copy() for plane in one.frame.picture.planes]
    for plane in one.frame.picture.planes:
        plane.flags.writeable = False
    covered(compositor(), one)
    assert all((a == b).all() for a, b in zip(before, one.frame.picture.planes, strict=True))


def test_times_are_handed_on() -> None:
    frame = RawFrame(7, 1234, Fraction(1, 90000), frame_of([FACE]).picture, 3003)
    (done,) = cover([Resolved(frame, ())], compositor())
    assert (done.index, done.pts, done.time_base, done.duration) == (7, 1234, Fraction(1, 90000), 3003)


@pytest.mark.slow
def test_state_of_ended_tracks_is_dropped() -> None:
    long = compositor()
    for n in range(400):
        one = resolved([FACE], n)
        (target,) = one.targets
        covered(long, Resolved(one.frame, (Target(n, target.box, target.keypoints, True),)))
    assert len(long.tracks) <= 25 * MAX_LOST_SECONDS + 2


class _SpoiltGenerator(FakeGenerator):
    """Returns a patch that something is wrong with, and raises nothing."""

    def __init__(self, spoil: Callable[[Patch], Patch]) -> None:
        super().__init__()
        self.spoil = spoil

    def paint_one(
        self, picture: Picture, geometry: Geometry, assignment: Assignment, last: DetailState | None
    ) -> tuple[Patch, DetailState]:
        patch, detail = super().paint_one(picture, geometry, assignment, last)
        return self.spoil(patch), detail


@pytest.mark.parametrize(
    "spoil",
    [
        lambda p: Patch(p.x0, p.y0, p.rgb, p.alpha * np.float32("nan")),
        lambda p: Patch(p.x0, p.y0, p.rgb * np.float32("nan"), p.alpha),
        lambda p: Patch(p.x0, p.y0, p.rgb, p.alpha * 0),
        lambda p: Patch(p.x0, p.y0, p.rgb, p.alpha * np.float32(0.3)),
        lambda p: Patch(p.x0, p.y0, p.rgb, p.alpha * 300),
        lambda p: Patch(p.x0, p.y0, p.rgb[:9], p.alpha[:9]),
        lambda p: Patch(p.x0 + 20, p.y0, p.rgb[:, 20:], p.alpha[:, 20:]),
        lambda p: Patch(p.x0, p.y0, p.rgb[:-3], p.alpha),
        lambda p: Patch(p.x0 + 1, p.y0, p.rgb, p.alpha),
        lambda p: Patch(-2, p.y0, p.rgb, p.alpha),
        lambda p: Patch(0, 0, p.rgb, p.alpha),
        lambda p: Patch(p.x0, p.y0, p.rgb, p.alpha * 0, np.ones_like(p.alpha)),
        lambda p: Patch(p.x0, p.y0, p.rgb, p.alpha, p.alpha * np.float32("nan")),
        lambda p: Patch(p.x0, p.y0, p.rgb, p.alpha, p.alpha[:-2]),
    ],
    ids=[
        *("nan", "colourless", "clear", "thin", "bright", "top", "right", "short", "odd", "outside"),
        *("elsewhere", "hidden", "unknown", "cropped"),
    ],
)
def test_a_patch_that_would_not_hide_the_face_is_not_used(spoil: Callable[[Patch], Patch]) -> None:
    done = covered(compositor(generator=_SpoiltGenerator(spoil)), resolved([FACE]))
    assert method_of(done) == "fill"
    assert leaked_pixels(done.picture, [FACE]) == 0
    assert not is_painted(done)


def test_nothing_shines_through_a_painting_that_is_nearly_opaque() -> None:
    """The same painting over two different faces: the inner face comes out the same."""

    def thin(patch: Patch) -> Patch:
        return Patch(patch.x0, patch.y0, patch.rgb, patch.alpha * np.float32(0.72))

    inner = np.s_[44:66, 72:88]
    one = resolved([FACE])
    first = covered(compositor(generator=_SpoiltGenerator(thin)), one)
    second = covered(compositor(generator=_SpoiltGenerator(thin)), changed(one, inner))
    assert method_of(first) == method_of(second) == "synthesize"
    np.testing.assert_array_equal(first.picture.planes[0][inner], second.picture.planes[0][inner])


def test_only_what_the_report_names_is_changed_while_a_face_fades() -> None:
    rising = compositor(FakeMesh(lambda call, _track: 0.9 if call else 0.1), fade_seconds=0.16)
    for n in range(6):
        one = resolved([FACE], n)
        done = covered(rising, one)
        (cover,) = done.report.covers
        x0, y0, x1, y1 = map(int, cover.box)
        changed = one.frame.picture.planes[0] != done.picture.planes[0]
        changed[y0:y1, x0:x1] = False
        assert not changed.any()


@pytest.mark.parametrize(("left", "method"), [(-10, "synthesize"), (-25, "fill")])
def test_a_face_mostly_outside_the_frame_is_not_painted(left: float, method: Method) -> None:
    box: Box = (left, 30, left + 40, 80)
    done = covered(compositor(), resolved([box]))
    assert method_of(done) == method
    assert leaked_pixels(done.picture, [box]) == 0


@pytest.mark.parametrize(("distance", "alike"), [(2, False), (8, True)])
def test_a_person_may_come_back_while_the_old_track_coasts(distance: int, alike: bool) -> None:
    """Under a new track, somewhere else, with the old cover still standing where the face was lost."""
    generator = FakeGenerator()
    both = compositor(FakeMesh(person=lambda _track: 7), generator)
    covered(both, resolved([FACE]))
    one = resolved([(100, 30, 140, 80), (10, 30, 50, 80)], distance)
    coasting, back = one.targets
    old = Target(0, coasting.box, coasting.keypoints, detected=False, distance=distance)
    covered(both, Resolved(one.frame, (back, old)))
    first, *_ = generator.delegates
    assert (generator.delegates[1:].count(first) == 2) is alike


def test_a_mesh_that_is_no_number_while_a_face_fades_is_not_painted() -> None:
    class Lost(FakeMesh):
        def measure(self, picture: Picture, targets: Sequence[Target]) -> list[Geometry]:
            found = super().measure(picture, targets)
            if self.calls > 1:
                for measured in found:
                    measured.points[:] = np.nan
            return found

    fading = compositor(Lost(), fade_seconds=0.16)
    frames = [covered(fading, resolved([FACE], n)) for n in range(3)]
    assert [method_of(frame) for frame in frames] == ["synthesize", "fill", "fill"]
    assert all(leaked_pixels(frame.picture, [FACE]) == 0 for frame in frames)


def kept_rule(person: int) -> Rule:
    points = fake_points(np.array(FACE, np.float32), np.zeros((5, 2), np.float32))
    points[PERSON_POINT, 2] = person
    embedding = FakeEncoder().describe(frame_of([]).picture, points).embedding
    return Rule(embedding, True, None, None, None)


def test_who_is_kept_is_left_as_they_are_and_nobody_else() -> None:
    """From the first frame to the last, wherever the face was carried, and with a doubtful mesh between."""
    other: Box = (10, 30, 60, 90)

    def sure(call: int, _track: int) -> float:
        return 0.1 if call == 20 else 0.95

    frames = []
    for n in range(40):
        found = resolved([FACE, other], n)
        first, second = found.targets
        carried = dataclasses.replace(first, detected=n % 4 == 0, distance=n % 4)
        frames.append(dataclasses.replace(found, targets=(carried, second)))
    done = list(cover(frames, compositor(FakeMesh(sure), rules=[kept_rule(0)])))
    for frame in done:
        by_track = {cover.track_id: cover.method for cover in frame.report.covers}
        assert by_track[0] == "kept"
        assert by_track[1] in ("synthesize", "fill")
        assert leaked_pixels(frame.picture, [FACE]) > 0
        assert leaked_pixels(frame.picture, [other]) == 0


def test_who_is_kept_is_covered_where_the_recogniser_fails() -> None:
    class Fails(FakeEncoder):
        def describe(self, picture: Picture, points: Float) -> IdentityFeature:
            raise RuntimeError("no")

    keeping = compositor(rules=[kept_rule(0)], encoder=Fails())
    for frame in cover([resolved([FACE], n) for n in range(40)], keeping):
        assert method_of(frame) != "kept"
        assert leaked_pixels(frame.picture, [FACE]) == 0
    assert keeping.faults.counts


def painting_calls(repaint_seconds: float, loaded: bool = False) -> int:
    """How often a face of ten frames at 25 a second is painted; it is covered in all."""
    painter = FakeGenerator()
    parts = Synthesis(FakeMesh(), fake_assigner(), painter, NoLoad(rare_painting=loaded))
    config = CoverConfig(min_confidence=0.5, repaint_seconds=repaint_seconds)
    covering = Covering(config, parts, np.random.default_rng(0))
    for index in range(10):
        x0, y0, x1, y1 = FACE
        box = (x0 + index, y0, x1 + index, y1)
        assert is_painted(covered(covering, resolved([box], index)))
    return len(painter.delegates)


def test_faces_are_painted_as_often_as_asked() -> None:
    assert painting_calls(0.0) == 10
    assert painting_calls(0.05) == 5
    assert painting_calls(0.1) == 4


def test_less_often_on_an_overloaded_machine() -> None:
    assert painting_calls(0.0, loaded=True) == -(-10 // (1 + int(25 * LOADED_REPAINT_SECONDS)))


def test_a_painting_that_moves_along_lets_nothing_shine_through() -> None:
    covering = compositor(repaint_seconds=0.1)
    covered(covering, resolved([FACE], 0))
    state = covering.tracks.of(0)
    assert state.painted is not None
    thin = dataclasses.replace(state.painted.patch, alpha=0.9 * state.painted.patch.alpha)
    state.painted = dataclasses.replace(state.painted, patch=thin)
    (measured,) = measure([resolved([FACE], 1)], covering.measurer, 0)
    patch = covering.synthesiser.synthesise(covering.synthesiser.assign(measured)).patches[0]
    assert measured.meshes[0] is not None
    inner = inner_face(patch, measured.meshes[0].points, INNER_SHARE)
    assert patch.alpha[inner].min() == 1
    assert patch.alpha.min() == pytest.approx(0.9)  # it was not painted anew


def test_a_painting_that_hides_nothing_is_not_moved() -> None:
    covering = compositor(repaint_seconds=0.1)
    covered(covering, resolved([FACE], 0))
    state = covering.tracks.of(0)
    assert state.painted is not None
    thin = dataclasses.replace(state.painted.patch, alpha=np.zeros_like(state.painted.patch.alpha))
    state.painted = dataclasses.replace(state.painted, patch=thin)
    assert is_painted(covered(covering, resolved([FACE], 1)))
