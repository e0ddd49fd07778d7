from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from streamanon.geometry import alignment
from streamanon.identity.encoder import CROP_PX, EMBEDDING, IdentityEncoder, sharpness
from streamanon.media.yuv import from_rgb
from streamanon.mesh.face_mesh import aligned_crop
from streamanon.mesh.landmarks import mesh_keypoints
from streamanon.runtime.models import Engines, digest
from streamanon.types import Float


class Network:
    """Returns embeddings of length 3, and notes what it was given."""

    def __init__(self) -> None:
        self.batches: list[Float] = []

    def run(self, *inputs: Float) -> list[Float]:
        self.batches.append(inputs[0])
        embedding = np.zeros((1, EMBEDDING), np.float32)
        embedding[0, 0] = 3
        channels = np.ones((1, 256), np.float32)
        return [embedding, channels, np.ones((1, 7, 7), np.float32), 2 * channels]


class Backend:
    name = "fake"

    def __init__(self) -> None:
        self.network = Network()

    def load(self, _path: Path, *, precise: bool, threads: int = 0, bfloat16: bool = False) -> Network:
        assert precise
        assert threads == 1
        return self.network


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
def encoder(backend: Backend, tmp_path: Path) -> IdentityEncoder:
    (tmp_path / "e.onnx").write_bytes(b"")
    entry = {"file": "e.onnx", "sha256": digest(tmp_path / "e.onnx")}
    return IdentityEncoder(backend, Engines(tmp_path, {"identity-encoder": entry}))


def test_a_look_is_of_unit_length_and_of_the_aligned_face(
    encoder: IdentityEncoder, backend: Backend
) -> None:
    rng = np.random.default_rng(0)
    picture = from_rgb(rng.integers(0, 256, (120, 160, 3), np.uint8))
    points = np.zeros((478, 3), np.float32)
    points[:, :2] = rng.uniform(40, 90, (478, 2))
    feature = encoder.describe(picture, points)
    assert feature.embedding[0] == pytest.approx(1)
    assert np.linalg.norm(feature.embedding) == pytest.approx(1)
    assert feature.importance[0] == 2
    crop = aligned_crop(picture, alignment(mesh_keypoints(points), CROP_PX), CROP_PX)
    np.testing.assert_allclose(backend.network.batches[0][0], crop.transpose(2, 0, 1) / 255)


def test_a_look_shows_nothing_of_the_face(encoder: IdentityEncoder) -> None:
    feature = encoder.describe_crop(np.zeros((CROP_PX, CROP_PX, 3), np.float32))
    assert "array" not in repr(feature)


def test_sharp_is_sharper_than_soft() -> None:
    noise = np.random.default_rng(0).uniform(0, 255, (CROP_PX, CROP_PX, 3)).astype(np.float32)
    soft = (noise + np.roll(noise, 1, 0) + np.roll(noise, 1, 1)) / 3
    assert sharpness(noise) > 1.5 * sharpness(soft.astype(np.float32)) > 0
    assert sharpness(np.full_like(noise, 90)) == pytest.approx(0, abs=1e-3)
