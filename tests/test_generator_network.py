from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from streamanon.engines import Engines
from streamanon.errors import SynthesisError
from streamanon.generator import Patch
from streamanon.generator.network import NetworkGenerator
from streamanon.geometry import CROP_PX
from streamanon.identity.delegates import DelegateGallery, open_gallery
from streamanon.pixels import from_rgb
from streamanon.types import Float, Geometry, Picture, Role

Array = NDArray[Any]
CELLS = 32


class Networks:
    """A backend whose generator paints the texture as it was given, and whose answers can be changed."""

    name = "fake"

    def __init__(self, front: Array | None = None, face: float = 1.0) -> None:
        self.front = np.zeros((CELLS, CELLS), np.float32) if front is None else front
        self.face, self.calls = face, {"generator": 0, "generator-style": 0, "face-occlusion": 0}

    def load(self, path: Path, *, precise: bool, threads: int = 0) -> Any:
        return _Model(self, path.stem)


class _Model:
    def __init__(self, networks: Networks, name: str) -> None:
        self.networks, self.name = networks, name

    def run(self, *inputs: Array) -> list[Array]:
        self.networks.calls[self.name] += 1
        if self.name == "face-occlusion":
            assert inputs[0].shape == (1, 3, CROP_PX, CROP_PX)
            return [self.networks.front[None, None]]
        if self.name == "generator-style":
            assert inputs[0].shape == (1, 288)
            return [np.zeros((1, 10), np.float32)]
        planes = inputs[0]
        told = np.full((1, 1, CROP_PX, CROP_PX), self.networks.face, np.float32)
        return [planes[:, 4:7], told]


class _Files:
    def path(self, name: str) -> Path:
        return Path(f"{name}.onnx")


@cache
def gallery() -> DelegateGallery:
    return open_gallery(Engines.open())


def generator(networks: Networks) -> NetworkGenerator:
    return NetworkGenerator(gallery(), networks, _Files())  # type: ignore[arg-type]


def role(number: int = 2) -> Role:
    return Role(gallery().delegates[number], 0.0, np.zeros(256, np.float32))


def face(size: float, middle: tuple[float, float] = (160, 120)) -> Geometry:
    """A delegate's own shape, ``size`` px between the eyes."""
    points = gallery().delegates[0].shape * np.float32(size)
    points[:, :2] += np.array(middle, np.float32) - (points[:, :2].max(0) + points[:, :2].min(0)) / 2
    return Geometry(np.asarray(points, np.float32), 0.9)


def picture(shape: Callable[[Array], Array] = lambda pixels: pixels) -> Picture:
    pixels = np.random.default_rng(0).normal((150, 120, 100), 8, (240, 320, 3))
    return from_rgb(np.clip(shape(pixels), 0, 255).astype(np.uint8))


def paint(networks: Networks, size: float = 40.0) -> Patch:
    return generator(networks).paint(picture(), face(size), role(), None)[0]


def at(patch: Patch, values: Float, point: Float) -> float:
    return float(values[round(float(point[1])) - patch.y0, round(float(point[0])) - patch.x0])


@pytest.mark.parametrize("size", [12.0, 40.0, 90.0])
def test_the_whole_face_is_covered_at_every_size(size: float) -> None:
    patch, mesh = paint(Networks(), size), face(size).points
    inner = mesh[[1, 4, 33, 263, 61, 291, 152, 10, 50, 280]]
    towards = inner + 0.06 * (mesh[4] - inner)
    assert min(at(patch, patch.alpha, point) for point in towards) > 0.9
    assert patch.alpha[0].max() < 0.6
    assert patch.rgb.shape == (*patch.alpha.shape, 3)
    assert 0 <= patch.rgb.min() <= patch.rgb.max() <= 255


def test_a_network_that_says_there_is_no_face_uncovers_none_of_it() -> None:
    """Only near the rim may it lower the alpha."""
    patch, mesh = paint(Networks(face=0.0)), face(40).points
    for point in mesh[[1, 4, 168, 5, 33, 263, 13, 14]]:
        assert at(patch, patch.alpha, point) > 0.99


def test_what_is_in_front_is_left_and_said_to_be() -> None:
    """A hand that comes in from the left."""
    front = np.zeros((CELLS, CELLS), np.float32)
    front[18:24, :16] = 0.95
    patch = paint(Networks(front))
    assert patch.front is not None
    hidden = patch.front > 0.9
    assert hidden.sum() > 100
    assert patch.alpha[hidden].max() < 0.2


def test_nothing_hovers_before_a_face() -> None:
    """A mouth that the occlusion network takes for something in front is painted over all the same."""
    front = np.zeros((CELLS, CELLS), np.float32)
    front[18:21, 14:18] = 0.95
    patch = paint(Networks(front))
    assert patch.front is not None
    assert patch.front.max() == 0


def test_a_face_that_is_mostly_hidden_is_not_painted() -> None:
    with pytest.raises(SynthesisError, match="hidden"):
        paint(Networks(np.ones((CELLS, CELLS), np.float32)))


def test_doubtful_and_lone_cells_are_face() -> None:
    front = np.zeros((CELLS, CELLS), np.float32)
    front[16, 6], front[18:22, :16] = 0.99, 0.6
    patch = paint(Networks(front))
    assert patch.front is not None
    assert patch.front.max() == 0


def test_a_style_is_computed_once_a_role() -> None:
    networks, part = Networks(), role()
    painter = generator(networks)
    for _ in range(3):
        painter.paint(picture(), face(40), part, None)
    assert networks.calls == {"generator": 3, "generator-style": 1, "face-occlusion": 3}
    painter.paint(picture(), face(40), role(5), None)
    assert networks.calls["generator-style"] == 2


def test_the_painted_face_lies_where_the_mesh_does() -> None:
    """The same face elsewhere is the same patch, moved."""
    painter, part = generator(Networks()), role()
    plain = from_rgb(np.full((240, 320, 3), 128, np.uint8))
    one, _ = painter.paint(plain, face(40, (140, 120)), part, None)
    two, _ = painter.paint(plain, face(40, (160, 128)), part, None)
    assert (two.x0 - one.x0, two.y0 - one.y0) == (20, 8)
    np.testing.assert_allclose(one.rgb, two.rgb, atol=3)


def test_a_mesh_that_is_no_number_or_lies_outside_is_refused() -> None:
    broken = face(40)
    broken.points[5] = np.nan
    for mesh, reason in ((broken, "finite"), (face(40, (-400, 120)), "outside")):
        with pytest.raises(SynthesisError, match=reason):
            generator(Networks()).paint(picture(), mesh, role(), None)
