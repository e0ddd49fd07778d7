"""A bank of aligned training faces for the generator, with everything that is costly to compute.

    python -m streamanon.training.crops --data DATA --out CROPS

Each face is measured by the project's own mesh and encoder, so that training sees what the product sees.
The bank is one file that a GPU's machine can be sent.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import cv2
import numpy as np
from torch.utils.data import IterableDataset, get_worker_info

from streamanon.config import ComputeConfig
from streamanon.gallery.delegates import open_gallery
from streamanon.gallery.uv_chart import Chart, chart_of_gallery, unwrap
from streamanon.geometry import CROP_PX, alignment, transform
from streamanon.identity.encoder import IdentityEncoder
from streamanon.media.yuv import from_rgb
from streamanon.mesh.face_mesh import FaceMesh, aligned_crop
from streamanon.mesh.landmarks import mesh_keypoints, yaw_degrees
from streamanon.runtime.backends.onnxruntime import create
from streamanon.runtime.models import Engines
from streamanon.training.portraits import Portrait, read_portraits
from streamanon.types import Float, Target

SETS = ("lfw", "generated", "utk", "congress", "faker", "masked")
#: A crop has room for shifts and turns around the 128 px that the network sees.
SIDE_PX, INNER_PX = 168, CROP_PX
LEAST_CONFIDENCE, MOST_YAW_DEG = 0.59, 33.0
JPEG_QUALITY = 90
SMALL = 0.35
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, eq=False)
class Face:
    """``image`` [168, 168, 3] uint8 RGB with its mesh ``points`` [478, 3] px; ``texture`` [256, 256, 3]
    uint8 RGB; what the encoder pools [256] and its embedding [128], unit length; who it is; its set.
    """

    image: np.ndarray
    points: Float
    texture: np.ndarray
    feature: Float
    embedding: Float
    group: str
    source: str


class Bank:
    """The faces of one file, decoded when asked for."""

    def __init__(self, path: Path) -> None:
        with np.load(path, allow_pickle=False) as arrays:
            self._images = np.split(arrays["images"], np.cumsum(arrays["image_sizes"])[:-1])
            self._textures = np.split(arrays["textures"], np.cumsum(arrays["texture_sizes"])[:-1])
            self.points = arrays["points"].astype(np.float32)
            self.features = arrays["features"].astype(np.float32)
            self.embeddings = arrays["embeddings"].astype(np.float32)
            self.groups, self.sources = arrays["groups"], arrays["sources"]

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, row: int) -> Face:
        return Face(
            _unpacked(self._images[row]),
            self.points[row],
            _unpacked(self._textures[row]),
            self.features[row],
            self.embeddings[row],
            str(self.groups[row]),
            str(self.sources[row]),
        )


def _unpacked(data: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1])


def _packed(rgb: np.ndarray) -> np.ndarray:
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    return np.asarray(cv2.imencode(".jpg", np.ascontiguousarray(rgb[..., ::-1]), options)[1]).ravel()


class Source(Protocol[T_co]):
    """Draws samples from a bank."""

    def draw(self) -> T_co: ...


class Draws(IterableDataset[T_co]):
    """Endless samples of a bank, by what ``source`` makes of it and a seed."""

    def __init__(self, bank: Path, seed: int, source: Callable[[Bank, int], Source[T_co]]) -> None:
        self._bank, self._seed, self._source = bank, seed, source

    def __iter__(self) -> Iterator[T_co]:
        cv2.setNumThreads(1)
        info = get_worker_info()
        source = self._source(Bank(self._bank), self._seed + 1000 * (info.id if info else 0))
        while True:
            yield source.draw()


@dataclass(frozen=True)
class Jitter:
    """Standard deviations of how far crops are turned, shifted and scaled (log)."""

    turn_deg: float
    shift_px: float
    log_scale: float


def placed(
    image: np.ndarray, points: Float, jitter: Jitter, rng: np.random.Generator
) -> tuple[np.ndarray, Float]:
    """A crop [128, 128, 3] of a face's image [168, 168, 3], and the points in it. Some are small faces
    enlarged.
    """
    middle = (SIDE_PX - 1) / 2
    scale, shift = float(np.exp(rng.normal(0, jitter.log_scale))), rng.normal(0, jitter.shift_px, 2)
    angle = rng.normal(0, jitter.turn_deg)
    turn = np.asarray(cv2.getRotationMatrix2D((middle, middle), angle, scale), np.float32)
    turn[:, 2] += (shift + (INNER_PX - SIDE_PX) / 2).astype(np.float32)
    crop = cv2.warpAffine(image, turn, (INNER_PX, INNER_PX), borderMode=cv2.BORDER_REPLICATE)
    if rng.random() < SMALL:
        share = float(np.exp(rng.uniform(np.log(0.2), 0)))
        small = cv2.resize(crop, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
        crop = cv2.resize(small, (INNER_PX, INNER_PX), interpolation=cv2.INTER_LINEAR)
    return np.asarray(crop, np.uint8), transform(turn, points)


class Reader:
    """Turns portraits into faces of the bank, unless they are turned by more than ``most_yaw_deg``."""

    def __init__(self, most_yaw_deg: float) -> None:
        self._most_yaw_deg = most_yaw_deg
        engines, backend = Engines.open(), create(ComputeConfig(threads=1))
        self._mesh, self._encoder = FaceMesh(backend, engines), IdentityEncoder(backend, engines)
        self._chart: Chart = chart_of_gallery(open_gallery(engines))

    def read(self, portrait: Portrait) -> Face | None:
        """None where the mesh is not to be trusted."""
        rgb = np.ascontiguousarray(portrait.image[..., ::-1])
        picture = from_rgb(rgb)
        target = Target(0, portrait.box, portrait.keypoints, True)
        found = self._mesh.measure(picture, [target])[0]
        if found.confidence < LEAST_CONFIDENCE or abs(yaw_degrees(found.points)) > self._most_yaw_deg:
            return None
        feature = self._encoder.describe(picture, found.points)
        matrix = alignment(mesh_keypoints(found.points), INNER_PX)
        matrix[:, 2] += (SIDE_PX - INNER_PX) / 2
        image = aligned_crop(picture, matrix, SIDE_PX)
        texture = unwrap(rgb, found.points[:, :2], self._chart)
        return Face(
            np.rint(image).clip(0, 255).astype(np.uint8),
            transform(matrix, found.points),
            np.rint(255 * texture).astype(np.uint8),
            feature.pooled,
            feature.embedding,
            portrait.group,
            portrait.source,
        )


def write_bank(faces: Iterator[Face], path: Path) -> int:
    images, textures, rest = [], [], []
    for face in faces:
        images.append(_packed(face.image))
        textures.append(_packed(face.texture))
        rest.append((face.points, face.feature, face.embedding, face.group, face.source))
    points, features, embeddings, groups, sources = zip(*rest, strict=True)
    np.savez(
        path,
        allow_pickle=False,
        images=np.concatenate(images),
        image_sizes=np.array([len(one) for one in images], np.int32),
        textures=np.concatenate(textures),
        texture_sizes=np.array([len(one) for one in textures], np.int32),
        points=np.stack(points).astype(np.float16),
        features=np.stack(features).astype(np.float16),
        embeddings=np.stack(embeddings).astype(np.float16),
        groups=np.array(groups),
        sources=np.array(sources),
    )
    return len(images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="the bank's file, .npz")
    parser.add_argument("--split", default="train", choices=("train", "val"))
    parser.add_argument(
        "--most-yaw-deg", type=float, default=MOST_YAW_DEG, help="faces turned further are left out"
    )
    args = parser.parse_args()
    cv2.setNumThreads(1)
    reader = Reader(args.most_yaw_deg)
    portraits = read_portraits(args.data, SETS, (args.split,))
    faces = (face for portrait in portraits if (face := reader.read(portrait)) is not None)
    print(f"wrote {args.out}: {write_bank(faces, args.out)} faces")


if __name__ == "__main__":
    main()
