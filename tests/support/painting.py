"""A generator of faces with networks whose answers are known."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamanon.gallery.delegates import DelegateGallery, open_gallery
from streamanon.generate import DetailState, Job, NetworkGenerator, Painting
from streamanon.geometry import CROP_PX
from streamanon.media.yuv import from_rgb
from streamanon.runtime.models import Engines
from streamanon.types import Assignment, Geometry, Picture

Array = NDArray[Any]
CELLS = 32


class Networks:
    """A backend whose generator paints the texture as it was given, and whose answers can be changed."""

    name = "fake"

    def __init__(self, front: Array | None = None, face: float = 1.0) -> None:
        self.front = np.zeros((CELLS, CELLS), np.float32) if front is None else front
        self.face, self.calls = face, {"generator": 0, "generator-style": 0, "face-occlusion": 0}
        self.shapes: list[tuple[int, ...]] = []

    def load(self, path: Path, *, precise: bool, threads: int = 0, bfloat16: bool = False) -> Any:
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
        planes, styles = inputs
        assert styles.shape == (len(planes), 10)
        self.networks.shapes.append(planes.shape)
        told = np.full((len(planes), 1, *planes.shape[2:]), self.networks.face, np.float32)
        return [planes[:, 4:7], told]


class _Files:
    def path(self, name: str) -> Path:
        return Engines.open().path(name) if name == "mouths" else Path(f"{name}.onnx")


@cache
def gallery() -> DelegateGallery:
    return open_gallery(Engines.open())


def generator(networks: Networks) -> NetworkGenerator:
    return NetworkGenerator(gallery(), networks, _Files())  # type: ignore[arg-type]


def assignment(number: int = 2) -> Assignment:
    return Assignment(gallery().delegates[number], 0.0, np.zeros(256, np.float32))


def face(size: float, middle: tuple[float, float] = (160, 120)) -> Geometry:
    """A delegate's own shape, ``size`` px between the eyes."""
    points = gallery().delegates[0].shape * np.float32(size)
    points[:, :2] += np.array(middle, np.float32) - (points[:, :2].max(0) + points[:, :2].min(0)) / 2
    return Geometry(np.asarray(points, np.float32), 0.9)


def picture(shape: Callable[[Array], Array] = lambda pixels: pixels) -> Picture:
    pixels = np.random.default_rng(0).normal((150, 120, 100), 8, (240, 320, 3))
    return from_rgb(np.clip(shape(pixels), 0, 255).astype(np.uint8))


def one(
    painter: NetworkGenerator,
    where: Picture,
    mesh: Geometry,
    part: Assignment,
    last: DetailState | None = None,
) -> Painting | None:
    (painting,) = painter.paint(where, [Job(mesh, part, last)])
    return painting
