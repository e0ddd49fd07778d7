from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest

from streamanon.config import CoverConfig
from streamanon.cover.covering import Covering
from streamanon.cover.synthesis import Synthesis
from streamanon.generate import DetailState, Patch
from streamanon.mesh.smoothing import NEIGHBOURS, followed, steadied
from streamanon.testing.covering import cover
from streamanon.testing.fakes import FakeGenerator, FakeMesh, fake_assigner, fake_points
from streamanon.types import Assignment, Float, Geometry, Picture, RawFrame, Resolved, Target

BOX = np.array([60, 40, 140, 140], np.float32)
KEYPOINTS = np.array([[80, 70], [120, 70], [100, 90], [85, 115], [115, 115]], np.float32)


def face(shift: float = 0.0) -> Float:
    return fake_points(BOX + np.float32(shift), KEYPOINTS + np.float32(shift))


def noisy(rng: np.random.Generator, shift: float = 0.0) -> Float:
    return np.asarray(face(shift) + rng.normal(0, 0.4, (478, 3)), np.float32)


def spread(points: Float, truth: Float) -> float:
    return float((points - truth)[:, :2].std())


@pytest.mark.parametrize("speed", [0.0, 3.0])
def test_a_tremble_is_stilled_and_an_even_move_does_not_lag(speed: float) -> None:
    rng = np.random.default_rng(0)
    meshes = [noisy(rng, speed * n) for n in range(5)]
    after = steadied(meshes[2], [(meshes[1], meshes[3]), (meshes[0], meshes[4])])
    assert spread(after, face(2 * speed)) < 0.55 * spread(meshes[2], face(2 * speed))
    assert abs(float((after - face(2 * speed))[:, 0].mean())) < 0.1


def test_a_sudden_move_stays() -> None:
    """An eyelid that closes for one frame."""
    rest, blink = face(), face()
    blink[159, 1] += 6
    after = steadied(blink, [(rest, rest), (rest, rest)])
    assert after[159, 1] - rest[159, 1] == pytest.approx(6, abs=0.1)


def test_a_lid_that_falls_within_two_frames_is_closed_when_it_is() -> None:
    """Of a large face: the frame after the eye was open shows it closed, not half open."""
    large = [np.asarray(face() * 5, np.float32) for _ in range(5)]
    for number, fall in enumerate((0, 0, 16, 18, 17)):
        large[number][159, 1] += fall
    after = steadied(large[2], [(large[1], large[3]), (large[0], large[4])])
    assert after[159, 1] - large[0][159, 1] == pytest.approx(16, abs=1.0)


def test_without_neighbours_nothing_changes() -> None:
    np.testing.assert_array_equal(steadied(face(), []), face())


@pytest.mark.parametrize(("move", "least", "most"), [(0.0, 0, 0), (0.3, 0.05, 0.15), (8.0, 7.9, 8.1)])
def test_following_stills_a_tremble_and_goes_along_with_a_move(
    move: float, least: float, most: float
) -> None:
    """Px, of a face 80 px wide: of a tremble half at most is followed, of a move all of it."""
    points = fake_points(np.array([0, 0, 80, 100], np.float32), np.zeros((5, 2), np.float32))
    after = followed(points, points + np.array([move, 0, 0], np.float32))
    followed_px = (after - points)[:, 0]
    assert least - 1e-3 <= followed_px.min() <= followed_px.max() <= most + 1e-3
    assert followed(None, points) is points


class TremblingMesh(FakeMesh):
    """As a network measures: never twice the same."""

    rng = np.random.default_rng(3)

    def measure(self, picture: Picture, targets: Sequence[Target]) -> list[Geometry]:
        found = super().measure(picture, targets)
        noise = [self.rng.normal(0, 0.4, (478, 3)).astype(np.float32) for _ in found]
        return [Geometry(one.points + n, one.confidence) for one, n in zip(found, noise, strict=True)]


class NotingGenerator(FakeGenerator):
    """Keeps the meshes that it paints on."""

    def __init__(self) -> None:
        super().__init__()
        self.meshes: list[Float] = []

    def paint_one(
        self, picture: Picture, geometry: Geometry, assignment: Assignment, last: DetailState | None
    ) -> tuple[Patch, DetailState]:
        self.meshes.append(geometry.points)
        return super().paint_one(picture, geometry, assignment, last)


def resolved(index: int, track_id: int = 0, shift: float = 0.0) -> Resolved:
    planes = tuple(np.full(shape, 120, np.uint8) for shape in ((180, 200), (90, 100), (90, 100)))
    frame = RawFrame(index, index, Fraction(1, 25), Picture(planes, "yuv420p"))
    return Resolved(
        frame, (Target(track_id, BOX + np.float32(shift), KEYPOINTS + np.float32(shift), True),)
    )


def tremble(ahead: int) -> float:
    """How much the painted meshes move from frame to frame."""
    generator = NotingGenerator()
    synthesis = Synthesis(TremblingMesh(), fake_assigner(), generator)
    frames = cover(map(resolved, range(24)), Covering(CoverConfig(repaint_seconds=0), synthesis), ahead)
    assert [frame.index for frame in frames] == list(range(24))
    steps = np.diff(np.stack(generator.meshes)[4:-4], axis=0)
    return float(np.abs(steps).mean())


def test_frames_held_back_make_faces_rest() -> None:
    assert tremble(NEIGHBOURS) < 0.6 * tremble(0)


def test_tracks_do_not_steady_one_another() -> None:
    """A cut: another face, a little beside the first, from one frame to the next."""
    generator = NotingGenerator()
    synthesis = Synthesis(FakeMesh(), fake_assigner(), generator)
    frames = [resolved(n, track_id=n // 3, shift=n // 3) for n in range(6)]
    list(cover(frames, Covering(CoverConfig(repaint_seconds=0), synthesis), NEIGHBOURS))
    for number, mesh in enumerate(generator.meshes):
        np.testing.assert_allclose(mesh[:, :2], face(number // 3)[:, :2], atol=1e-4)
