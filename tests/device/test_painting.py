"""Whole faces painted on the device, against those that NumPy's path paints, by the same networks.

On the device chroma is read between samples once, not twice; textures and meshes are equal to some pixels
in a thousand. Tolerances, in levels of 0..255, are a few times what was seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

import torch
from devices import DEVICE, MEMORY, here
from torch.utils._python_dispatch import TorchDispatchMode

from streamanon.config import ComputeConfig
from streamanon.cover.canvas import Canvas, HostCanvas
from streamanon.cover.trust import hides, opaque_inside
from streamanon.device.canvas import DeviceCanvas
from streamanon.device.models import DeviceBackend
from streamanon.device.painting import DeviceGenerator
from streamanon.device.pictures import Pictures
from streamanon.gallery.delegates import DelegateGallery, open_gallery
from streamanon.generate import DetailState, Job, NetworkGenerator, Painting
from streamanon.media.yuv import read_rgb
from streamanon.runtime.backends import Array, Backend, open_backend
from streamanon.runtime.backends.torch_memory import TorchMemory
from streamanon.runtime.models import Engines
from streamanon.types import PIXEL_FORMATS, Assignment, Float, Geometry, Picture

SIZE = (640, 480)


@cache
def gallery() -> DelegateGallery:
    return open_gallery(Engines.open())


@cache
def backend() -> Backend:
    return open_backend(ComputeConfig("onnxruntime", 1))


@cache
def on_host() -> NetworkGenerator:
    return NetworkGenerator(gallery(), backend(), Engines.open())


def on_device(pictures: Pictures) -> DeviceGenerator:
    return DeviceGenerator(gallery(), DeviceBackend(backend(), MEMORY), Engines.open(), pictures)


def job(width: float, middle: tuple[float, float], degrees: float = 0.0, number: int = 2) -> Job:
    """A delegate's own shape, so wide, tilted, to become another delegate."""
    points = gallery().delegates[0].shape.astype(np.float64)
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    points = points @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]]) * (width / np.ptp(points[:, 0]))
    points[:, :2] += np.array(middle) - (points[:, :2].max(0) + points[:, :2].min(0)) / 2
    feature = np.random.default_rng(number).normal(size=256).astype(np.float32)
    geometry = Geometry(points.astype(np.float32), 0.9)
    return Job(geometry, Assignment(gallery().delegates[number], 0.6, feature), None)


def picture_of(
    jobs: list[Job], fmt: str = "yuv420p", grain: float = 0.0, half_width: float = 0.62
) -> Picture:
    """Skin in smooth light where the faces are, before a background of waves. ``half_width``: of the skin,
    of the mesh's width and height.
    """
    y, x = np.mgrid[: SIZE[1], : SIZE[0]].astype(np.float32)
    luma = 90 + 40 * np.sin(x / 23) * np.cos(y / 31)
    blue, red = 120 + 8 * np.sin(x / 40), 130 + 8 * np.cos(y / 35)
    for one in jobs:
        low, high = (edge(one.geometry.points[:, :2], 0) for edge in (np.min, np.max))
        middle, half = (low + high) / 2, half_width * (high - low)
        inside = (((x - middle[0]) / half[0]) ** 2 + ((y - middle[1]) / half[1]) ** 2) < 1
        features = 10 * np.sin((x - middle[0]) / half[0] * 9) * np.sin((y - middle[1]) / half[1] * 7)
        luma = np.where(inside, 150 + 25 * (x - middle[0]) / half[0] + features, luma)
        blue, red = np.where(inside, 108, blue), np.where(inside, 152, red)
    luma = luma + np.random.default_rng(4).normal(0, grain, luma.shape)
    step_x, step_y, bits = PIXEL_FORMATS[fmt]
    kind = np.uint8 if bits == 8 else np.uint16
    planes = (luma, blue[::step_y, ::step_x], red[::step_y, ::step_x])
    return Picture(
        tuple((one * (1 << (bits - 8))).clip(0, (1 << bits) - 1).astype(kind) for one in planes), fmt
    )


JOBS = [
    job(48, (90, 100), 8, 2),
    job(60, (200, 110), -20, 3),
    job(105, (330, 140), 0, 4),
    job(240, (500, 320), 12, 5),  # with the texture's own detail
    job(110, (40, 400), 0, 6),  # half outside
]


def compared(one: Painting | None, other: Painting | None) -> tuple[Float, Float, Float]:
    """How far apart two paintings are: colours where both are opaque, opacity, what is in front."""
    assert one is not None
    assert other is not None
    first, second = one.patch, other.patch
    assert (first.x0, first.y0, first.alpha.shape) == (second.x0, second.y0, second.alpha.shape)
    rgb = np.abs(here(first.rgb) - here(second.rgb))
    shown = (first.alpha > 0.5) & (second.alpha > 0.5)
    assert first.front is not None
    assert second.front is not None
    return rgb[shown], np.abs(first.alpha - second.alpha), np.abs(first.front - second.front)


@pytest.mark.parametrize("fmt", ["yuv420p", pytest.param("yuv444p10le", marks=pytest.mark.slow)])
def test_faces_are_painted_alike(fmt: str) -> None:
    picture, pictures = picture_of(JOBS, fmt), Pictures(MEMORY)
    given = [replace(one, last=DetailState(0.7, 0.5)) if n % 2 else one for n, one in enumerate(JOBS)]
    expected, made = (one.paint(picture, given) for one in (on_host(), on_device(pictures)))
    assert len(made) == len(given)
    for one, other in zip(expected, made, strict=True):
        colours, opacity, front = compared(one, other)
        assert colours.mean() < 0.4
        assert np.quantile(colours, 0.99) < 4
        assert opacity.mean() < 0.001
        assert opacity.max() < 0.3  # a pixel of the mesh's rim is a quarter
        assert front.mean() < 0.01
        assert one is not None
        assert other is not None
        assert other.detail.contrast == pytest.approx(one.detail.contrast, abs=0.003)
        assert other.detail.sigma_px == pytest.approx(one.detail.sigma_px, abs=0.003)
        assert one.detail.front is not None
        assert other.detail.front is not None
        assert (one.detail.front != other.detail.front).mean() < 0.01


@pytest.mark.slow
def test_in_coloured_light_nothing_is_in_front_on_the_device_either() -> None:
    lit = picture_of(JOBS)
    under_water = replace(lit, planes=(lit.planes[0], *(np.full_like(lit.planes[1], v) for v in (190, 70))))
    expected, made = (one.paint(under_water, JOBS) for one in (on_host(), on_device(Pictures(MEMORY))))
    for one, other in zip(expected, made, strict=True):
        colours, opacity, front = compared(one, other)
        assert colours.mean() < 0.6
        assert opacity.mean() < 0.004
        assert front.max() == 0
        assert one is not None
        assert one.detail.front is not None
        assert not one.detail.front.any()


@pytest.mark.slow
def test_paintings_end_with_the_face_alike() -> None:
    """Faces narrower than their meshes, so that some of each painting is left out."""
    picture, full = (picture_of(JOBS, half_width=half) for half in (0.45, 0.62))
    expected, made = (one.paint(picture, JOBS) for one in (on_host(), on_device(Pictures(MEMORY))))
    whole = on_host().paint(full, JOBS)
    fewer = []
    for one, other, most in zip(expected, made, whole, strict=True):
        _, opacity, _ = compared(one, other)
        assert opacity.mean() < 0.004
        assert np.quantile(opacity, 0.99) < 0.1
        assert one is not None
        assert most is not None
        fewer.append(float(one.patch.alpha.sum() / most.patch.alpha.sum()))
    assert min(fewer) < 0.95


def test_the_covered_pictures_are_alike_and_cover_the_same() -> None:
    """As far as the compositor: the faces hide, and what is written differs by rounding and little more."""
    jobs = JOBS[3:]
    picture, pictures = picture_of(jobs), Pictures(MEMORY)
    canvases: tuple[Canvas, ...] = HostCanvas(picture), DeviceCanvas(pictures, picture)
    generators = on_host(), on_device(pictures)
    for canvas, generator in zip(canvases, generators, strict=True):
        for one, painting in zip(jobs, generator.paint(picture, jobs), strict=True):
            assert painting is not None
            assert hides(painting.patch, picture, one.geometry.points)
            patch = opaque_inside(painting.patch, one.geometry.points)
            canvas.write(patch.x0, patch.y0, patch.rgb, patch.alpha)
    expected, made = (read_rgb(canvas.finish(), 0, 0, *SIZE) for canvas in canvases)
    changed = (np.abs(expected - read_rgb(picture, 0, 0, *SIZE)) > 0).any(axis=2)
    apart = np.abs(expected - made).max(axis=2)
    assert 0.1 < changed.mean() < 0.6
    assert apart[changed].mean() < 0.6
    assert np.quantile(apart[changed], 0.99) < 5
    assert (apart[~changed] > 0).mean() < 0.001


def test_grain_is_as_strong_as_on_the_host() -> None:
    jobs = [JOBS[2]]
    picture = picture_of(jobs, grain=5)
    for generator in (on_host(), on_device(Pictures(MEMORY))):
        (painting,) = generator.paint(picture, jobs)
        assert painting is not None
        middle = here(painting.patch.rgb)[40:-40, 30:-30, 1]
        assert 2.5 < np.diff(middle, axis=1).std() / np.sqrt(2) < 9


@pytest.mark.slow
def test_faces_that_cannot_be_made_are_none() -> None:
    far, nowhere = job(100, (-3000, 0)), job(100, (300, 200))
    nowhere.geometry.points[7] = np.nan
    jobs = [far, JOBS[2], nowhere]
    picture = picture_of([JOBS[2]])
    expected, made = (one.paint(picture, jobs) for one in (on_host(), on_device(Pictures(MEMORY))))
    assert [one is None for one in made] == [one is None for one in expected] == [True, False, True]
    assert on_device(Pictures(MEMORY)).paint(picture, []) == []
    assert on_device(Pictures(MEMORY)).paint(picture, [far]) == [None]


@pytest.mark.slow
def test_a_pictures_planes_go_to_the_device_once_and_colours_never_come_back() -> None:
    """Counted in bytes: what comes back before the canvas does is masks, opacities, the
    crops in bytes (how bright eyes and mouths are) and a few numbers.
    """
    up: list[int] = []
    down: list[int] = []

    class Counting(TorchMemory):
        def upload(self, array: Array) -> torch.Tensor:
            up.append(array.nbytes)
            return super().upload(array)

        def download(self, tensors: Sequence[torch.Tensor]) -> list[Array]:
            made = super().download(tensors)
            down.extend(one.nbytes for one in made)
            return made

    memory = Counting(DEVICE)
    pictures, picture = Pictures(memory), picture_of(JOBS)
    generator = DeviceGenerator(gallery(), DeviceBackend(backend(), memory), Engines.open(), pictures)
    up.clear()
    planes = [plane.nbytes for plane in picture.planes]
    made = [one for one in generator.paint(picture, JOBS) if one is not None]
    for painting in made:
        assert isinstance(painting.patch.rgb, torch.Tensor)
    shown = sum(2 * painting.patch.alpha.nbytes for painting in made)
    assert sum(down) <= shown + len(JOBS) * (4 * 128 * 128 + 32 * 32 * 4 + 2880 * 4 + 128)
    canvas = DeviceCanvas(pictures, picture)
    canvas.write(made[0].patch.x0, made[0].patch.y0, made[0].patch.rgb, made[0].patch.alpha)
    canvas.finish()
    assert down[-3:] == planes
    assert sum(one in planes for one in up) == 3
    generator.paint(picture, JOBS[:1])
    assert sum(one in planes for one in up) == 3


class Operations(TorchDispatchMode):  # type: ignore[misc]
    """Counts what is work for the device: all but views and what only makes room."""

    _IDLE = (
        torch.ops.aten.empty,
        torch.ops.aten.empty_strided,
        torch.ops.aten.detach,
        torch.ops.aten._unsafe_view,
    )

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += not func.is_view and func.overloadpacket not in self._IDLE
        return func(*args, **(kwargs or {}))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("faces", "most"),
    [
        ([(105, (200, 200))], 1250),
        ([(240, (300, 240))], 1250),
        (
            [(60, (80, 80)), (105, (250, 100)), (140, (480, 120)), (240, (200, 330)), (90, (520, 380))],
            2600,
        ),
    ],
)
def test_painting_is_so_many_operations(faces: list[tuple[int, tuple[int, int]]], most: int) -> None:
    """On a GPU the host starts each of them, some microseconds apiece; ``docs/gpu.md`` says how many."""
    jobs = [job(width, middle, number=number) for number, (width, middle) in enumerate(faces, 2)]
    picture, generator = picture_of(jobs), on_device(Pictures(MEMORY))
    generator.paint(picture, jobs)
    with MEMORY.active(), Operations() as operations:
        assert None not in generator.paint(picture, jobs)
    assert 0.8 * most < operations.count <= most
