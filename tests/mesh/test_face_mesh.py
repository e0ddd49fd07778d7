from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from streamanon.config import ComputeConfig
from streamanon.geometry import CROP_PX, alignment, transform
from streamanon.media.yuv import from_rgb
from streamanon.mesh.eye_mouth import PATCH_PX
from streamanon.mesh.face_mesh import FaceMesh, PixelWindow, aligned_crop, snap
from streamanon.mesh.landmarks import LEFT_EYE, MOUTH, OVAL
from streamanon.runtime.backends import Array, open_backend
from streamanon.runtime.models import Engines, digest
from streamanon.testing.fakes import faces_at
from streamanon.types import Float, Geometry, Picture, Target

BOX = np.array([60, 40, 140, 140], np.float32)
KEYPOINTS = faces_at(BOX[None]).keypoints[0]


def picture(width: int = 240, height: int = 180) -> Picture:
    """A slope in every channel, so that a pixel's colour tells its place."""
    y, x = np.mgrid[:height, :width]
    return from_rgb(np.stack([x, y, (x + y) // 2], axis=2).astype(np.uint8))


class FakeNetwork:
    """Puts the face into the middle of the crop; less sure with each call."""

    def __init__(self, confidences: Sequence[float] = (0.9,)) -> None:
        self.confidences, self.batches = list(confidences), list[Array]()

    def run(self, *inputs: Array) -> list[Array]:
        self.batches.append(inputs[0])
        sure = self.confidences[min(len(self.batches), len(self.confidences)) - 1]
        points = np.zeros((1, 478, 3), np.float32)
        points[..., :2] = (CROP_PX - 1) / 2 + np.random.default_rng(0).uniform(-30, 30, (1, 478, 2))
        points[..., 2] = 10
        return [points, np.array([[sure, 0.8, 33.0]], np.float32)]


class FakeParts:
    """Sees every part's points in the middle of its patch."""

    def run(self, *inputs: Array) -> list[Array]:
        assert [one.shape for one in inputs] == [(2, 3, PATCH_PX, PATCH_PX), (1, 3, PATCH_PX, PATCH_PX)]
        middle = np.float32((PATCH_PX - 1) / 2)
        return [np.full((2, len(LEFT_EYE), 2), middle), np.full((1, len(MOUTH), 2), middle)]


class FakeBackend:
    name = "fake"

    def __init__(self, model: FakeNetwork) -> None:
        self.model, self.precise, self.threads = model, True, list[int]()

    def load(
        self, path: Path, *, precise: bool, threads: int = 0, bfloat16: bool = False
    ) -> FakeNetwork | FakeParts:
        self.precise &= precise
        self.threads.append(threads)
        return FakeParts() if path.stem == "parts" else self.model


def mesh_with(model: FakeNetwork, folder: Path) -> FaceMesh:
    backend, entries = FakeBackend(model), {}
    for name, file in (("face-mesh", "mesh.onnx"), ("face-parts", "parts.onnx")):
        (folder / file).write_bytes(b"")
        entries[name] = {"file": file, "sha256": digest(folder / file)}
    mesh = FaceMesh(backend, Engines(folder, entries))
    assert backend.precise, "half a pixel matters"
    assert backend.threads == [1, 1], "two threads take as long as one, each"
    return mesh


def test_points_come_back_in_frame_pixels(tmp_path: Path) -> None:
    model = FakeNetwork()
    (measured,) = mesh_with(model, tmp_path).measure(picture(), [Target(0, BOX, KEYPOINTS, True)])
    matrix = alignment(KEYPOINTS)
    back = transform(matrix, measured.points)
    outline = list(OVAL)  # eyes and mouth are then looked at more closely
    np.testing.assert_allclose(back[outline], model.run(model.batches[0])[0][0][outline], atol=1e-2)
    assert (measured.confidence, measured.masculine) == pytest.approx((0.9, 0.8))
    assert measured.age == 33
    x, y = measured.points[:, :2].mean(axis=0)
    assert BOX[0] < x < BOX[2]
    assert BOX[1] < y < BOX[3]


def test_every_target_is_measured_in_order(tmp_path: Path) -> None:
    shifts = (0, 20, -30)
    targets = [Target(n, BOX + s, KEYPOINTS + np.float32(s), True) for n, s in enumerate(shifts)]
    measured = mesh_with(FakeNetwork(), tmp_path).measure(picture(), targets)
    left = [float(one.points[:, 0].mean()) for one in measured]
    assert np.diff(left) == pytest.approx([20, -50], abs=0.5)
    assert mesh_with(FakeNetwork(), tmp_path).measure(picture(), []) == []


def test_the_surer_of_two_measurements_is_taken(tmp_path: Path) -> None:
    target = Target(0, BOX, KEYPOINTS, True)
    for confidences in ((0.3, 0.8), (0.3, 0.1)):
        model = FakeNetwork(confidences)
        (measured,) = mesh_with(model, tmp_path).measure(picture(), [target])
        assert measured.confidence == pytest.approx(max(confidences))


def test_the_network_sees_rgb_from_0_to_1(tmp_path: Path) -> None:
    model = FakeNetwork()
    mesh_with(model, tmp_path).measure(picture(), [Target(0, BOX, KEYPOINTS, True)])
    (batch,) = model.batches
    assert batch.shape == (1, 3, CROP_PX, CROP_PX)
    assert batch.dtype == np.float32
    assert 0 <= batch.min() < batch.max() <= 1
    across, down = np.diff(batch[0, 0], axis=1).mean(), np.diff(batch[0, 1], axis=0).mean()
    assert across > 0
    assert down > 0


@pytest.mark.parametrize("scale", [0.1, 0.4, 1.0, 3.0])
def test_a_crop_shows_what_lies_there(scale: float) -> None:
    """At any size of face: a pixel of the slope has the colour of its place."""
    big = picture(250, 250)
    keypoints = faces_at(np.array([[125, 125, 125, 125]], np.float32)).keypoints[0]
    keypoints = keypoints + (
        faces_at(np.array([[-20, -25, 20, 25]], np.float32)).keypoints[0]
    ) / np.float32(scale)
    matrix = alignment(np.asarray(keypoints, np.float32))
    crop = aligned_crop(big, matrix)
    places = np.array([[64.0, 64.0], [40.0, 80.0]], np.float32)
    for place in places:
        x, y = np.linalg.solve(matrix[:, :2].astype(float), place - matrix[:, 2])
        if 8 < x < 240 and 8 < y < 240:
            column, row = place.astype(int)
            assert crop[row, column, :2] == pytest.approx([x, y], abs=2.5)


def test_crops_outside_the_frame_are_black_or_repeat_its_edge() -> None:
    small = picture(64, 48)
    assert not aligned_crop(small, alignment(KEYPOINTS + np.float32(4000))).any()
    half = aligned_crop(small, alignment(KEYPOINTS))
    assert np.isfinite(half).all()
    assert half.shape == (CROP_PX, CROP_PX, 3)


@pytest.mark.parametrize("scale", [0.6, 1.0, 2.5])
def test_crops_that_share_their_pixels_are_those_read_alone(scale: float) -> None:
    noise = np.random.default_rng(2).integers(0, 256, (120, 160), np.uint8)
    seen = Picture((noise, noise[::2, ::2].copy(), noise[1::2, 1::2].copy()), "yuv420p")
    whole = alignment(KEYPOINTS)
    part = whole * np.float32(scale)
    part[:, 2] += np.float32(1 - scale) * 64
    window = PixelWindow(seen)
    first, second = window.crop(whole), window.crop(part)
    np.testing.assert_array_equal(first, aligned_crop(seen, whole))
    # Chroma at the rim of what is read is repeated, or known from farther out.
    np.testing.assert_allclose(second[4:-4, 4:-4], aligned_crop(seen, part)[4:-4, 4:-4], atol=0.01)


def test_regions_lie_on_the_chroma_grid_and_in_the_frame() -> None:
    planes = np.zeros((97, 161), np.uint8), *[np.zeros((49, 81), np.uint8)] * 2
    odd = Picture(planes, "yuv420p")
    assert snap(odd, np.array([3.5, 5.2, 10.1, 11.9], np.float32)) == (2, 4, 12, 12)
    assert snap(odd, np.array([-9, -9, 999, 999], np.float32)) == (0, 0, 161, 97)
    x0, _, x1, _ = snap(odd, np.array([300, 0, 400, 20], np.float32))
    assert x1 <= x0


def test_a_measurement_shows_nothing_of_the_face() -> None:
    points: Float = np.zeros((478, 3), np.float32)
    shown = repr(Geometry(points, 0.5))
    assert shown == "Geometry(confidence=0.50)"


def test_the_real_model_is_steady_and_unsure_of_nothing(engines: Engines) -> None:
    """A flat wall is no face; the same picture gives the same mesh."""
    mesh = FaceMesh(open_backend(ComputeConfig("onnxruntime", 1)), engines)
    wall = from_rgb(np.full((180, 240, 3), 120, np.uint8))
    target = Target(0, BOX, KEYPOINTS, True)
    first, second = mesh.measure(wall, [target, target])
    np.testing.assert_array_equal(first.points, second.points)
    assert first.confidence < 0.4


def test_a_large_face_is_averaged_before_it_is_shrunk() -> None:
    """Skipping pixels would make a pattern of stripes, here of black or white alone."""
    stripes = np.zeros((1200, 1200, 3), np.uint8)
    stripes[:, ::2] = 255
    corners = np.array([[100, 100, 1100, 1100]], np.float32)
    crop = aligned_crop(from_rgb(stripes), alignment(faces_at(corners).keypoints[0]))
    assert np.abs(crop[16:-16, 16:-16] - 127.5).max() < 32
