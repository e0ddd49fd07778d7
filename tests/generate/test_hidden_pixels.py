"""The generator that is used, with its real networks: no pixel of the person's face comes through."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from streamanon.config import ComputeConfig, Config
from streamanon.cover.trust import opaque_inside
from streamanon.detect.yolo import FaceDetector
from streamanon.gallery.delegates import open_gallery
from streamanon.generate import Job, NetworkGenerator, Patch
from streamanon.media.decode import read_frames
from streamanon.media.probe import probe
from streamanon.media.yuv import write_rgb
from streamanon.mesh.face_mesh import FaceMesh
from streamanon.runtime.backends import open_backend
from streamanon.runtime.models import Engines
from streamanon.types import Assignment, Float, Geometry, Picture, Target

DEMO = Path(__file__).parents[1] / "data" / "demo.mp4"
#: Light on a face is smoother than this, px of the frame; of detail that is finer at most this share may
#: seem to come through, by chance.
LIGHT_PX, MOST_PASSED = 3.0, 0.1
#: Of the mesh's extent around its middle: the eyes, the nose and the mouth lie inside.
INNER_SHARE = 0.6
CHANGES: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    "mirrored": lambda pixels: pixels[:, ::-1],
    "upside down": lambda pixels: pixels[::-1],
    "noisy": lambda pixels: np.clip(
        pixels + np.random.default_rng(0).normal(0, 10, pixels.shape), 0, 255
    ).astype(np.uint8),
}


class Scene:
    """The largest face of the demo clip's first frame, and what paints it."""

    def __init__(self, engines: Engines) -> None:
        backend = open_backend(ComputeConfig("onnxruntime", 1))
        frame = next(read_frames(DEMO, probe(DEMO)))
        found = FaceDetector(backend, engines, Config().detect).detect(frame)
        row = int(np.argmax(np.prod(found.boxes[:, 2:] - found.boxes[:, :2], axis=1)))
        self.picture: Picture = frame.picture
        target = Target(0, found.boxes[row], found.keypoints[row], True)
        (self.mesh,) = FaceMesh(backend, engines).measure(self.picture, [target])
        gallery = open_gallery(engines)
        self.generator = NetworkGenerator(gallery, backend, engines)
        self.assignment = Assignment(gallery.delegates[0], 0.0, np.zeros(256, np.float32))

    def painted(self, picture: Picture) -> Patch:
        (painting,) = self.generator.paint(picture, [Job(self.mesh, self.assignment, None)])
        assert painting is not None
        return opaque_inside(painting.patch, self.mesh.points)


@pytest.fixture(scope="module")
def scene(engines: Engines) -> Scene:
    if not DEMO.is_file():
        pytest.skip("the demo clip is not here")
    return Scene(engines)


def inner_face(picture: Picture, mesh: Geometry) -> NDArray[np.bool_]:
    """Where the inner face is in the picture [H, W]."""
    middle = mesh.points[:, :2].mean(axis=0)
    hull = cv2.convexHull((middle + INNER_SHARE * (mesh.points[:, :2] - middle)).astype(np.int32))
    mask = np.zeros((picture.height, picture.width), np.uint8)
    return np.asarray(cv2.fillConvexPoly(mask, hull, 1) > 0)


def changed(picture: Picture, mask: NDArray[np.bool_], change: Callable[..., NDArray[np.uint8]]) -> Picture:
    """The picture with the luma under a mask [H, W] changed."""
    luma = picture.planes[0].copy()
    rows, columns = (slice(found.min(), found.max() + 1) for found in np.nonzero(mask))
    luma[mask] = np.where(mask[rows, columns], change(luma[rows, columns]), 0)[mask[rows, columns]]
    return Picture((luma, *picture.planes[1:]), picture.pixel_format, picture.matrix, picture.full_range)


def composited(picture: Picture, patch: Patch) -> tuple[NDArray[Any], ...]:
    planes = tuple(plane.copy() for plane in picture.planes)
    write_rgb(planes, picture, patch.x0, patch.y0, patch.rgb, patch.alpha)
    return planes


def detail(luma: NDArray[np.uint8]) -> Float:
    """What is finer than the light on a face, in levels."""
    levels = luma.astype(np.float32)
    return np.asarray(levels - cv2.GaussianBlur(levels, (0, 0), LIGHT_PX), np.float32)


def passed(before: Picture, other: Picture, change: Callable[[Picture], Float], mask: Any) -> float:
    """The share of the difference between two pictures' detail that is in what becomes of them."""
    given = (detail(other.planes[0]) - detail(before.planes[0]))[mask]
    found = (change(other) - change(before))[mask]
    return float((given * found).sum() / (given * given).sum())


@pytest.mark.parametrize("change", CHANGES)
def test_no_detail_of_the_inner_face_comes_through(change: str, scene: Scene) -> None:
    """Only the light on it, which is smooth, and how grainy it is may be taken from a face."""
    mask = inner_face(scene.picture, scene.mesh)
    other = changed(scene.picture, mask, CHANGES[change])
    assert np.abs(detail(other.planes[0]) - detail(scene.picture.planes[0]))[mask].mean() > 3

    def painted(where: Picture) -> Float:
        return detail(composited(where, scene.painted(where))[0])

    assert passed(scene.picture, other, lambda where: detail(where.planes[0]), mask) == pytest.approx(1)
    assert abs(passed(scene.picture, other, painted, mask)) < MOST_PASSED
