"""More faces for the identity encoder: morphs between portraits, and faces in scenes, with embeddings.

A recogniser can only be taught by its answers to many faces; the portraits are few. A morph of two of them
(proportions and pixels in different shares, or one's features in the other's face) is a face that neither
shows, and the teacher says how it would describe it.

    python -m streamanon.training.morphs --data DATA --out MORPHS --faces 60000

Writes ``morphs_*.npz`` (no pickle) into the folder; another ``--seed`` adds others.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from streamanon.config import ComputeConfig
from streamanon.geometry import alignment, transform
from streamanon.media.yuv import from_rgb
from streamanon.mesh.face_mesh import FaceMesh
from streamanon.mesh.landmarks import (
    CHIN,
    EYE_SIDES,
    LID_MIDDLES,
    LIP_EDGES,
    MOUTH_CORNERS,
    NOSE_BASE,
    NOSE_TIP,
    SKIN_POINTS,
    mesh_keypoints,
    yaw_degrees,
)
from streamanon.runtime.backends.onnxruntime import create
from streamanon.runtime.models import Engines
from streamanon.training.mesh import mirror_table
from streamanon.training.portraits import Portrait, read_portraits
from streamanon.training.scenes import read_scenes
from streamanon.training.teacher import Teacher, chip, load_teacher
from streamanon.types import Float, Target

SETS = ("lfw", "generated", "utk", "congress", "faker", "masked")
FACE_PX = 168
SHARD = 2048
BATCH = 64
GRID = 22
PARTNERS = 12
MIN_SCENE_FACE_PX = 40.0
SURE = 0.5
JPEG_QUALITY = 92
#: Every seventh mesh point and the eyes, nose and mouth: enough to say where a face's features go.
CONTROL = np.unique(
    [
        *range(0, SKIN_POINTS, 7),
        *(point for eye in EYE_SIDES + LID_MIDDLES for point in eye),
        *(NOSE_TIP, NOSE_BASE, *MOUTH_CORNERS, *LIP_EDGES, CHIN[0]),
    ]
)


@dataclass(frozen=True)
class Face:
    """An aligned image [168, 168, 3] uint8 BGR and its mesh points [478, 2] px."""

    image: np.ndarray
    points: np.ndarray


def aligned(portrait: Portrait, mirror: np.ndarray | None) -> Face:
    """``mirror``: the table of mirror twins, to turn the face left to right; None: as it is."""
    image, points = portrait.image, portrait.points
    if mirror is not None:
        image = np.ascontiguousarray(image[:, ::-1])
        points = (points * [-1, 1] + [image.shape[1] - 1, 0])[mirror].astype(np.float32)
    matrix = alignment(mesh_keypoints(points), FACE_PX)
    size = (FACE_PX, FACE_PX)
    turned = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return Face(np.asarray(turned, np.uint8), transform(matrix, points[:, :2]))


def moved(face: Face, points: np.ndarray) -> np.ndarray:
    """The face's image bent so that its mesh points lie at ``points`` [478, 2] (inverse distances)."""
    axis = np.linspace(0, FACE_PX - 1, GRID, dtype=np.float32)
    nodes = np.stack(np.meshgrid(axis, axis), 2).reshape(-1, 1, 2)
    rim = nodes.reshape(GRID, GRID, 2)
    still = np.concatenate([rim[0], rim[-1], rim[1:-1, 0], rim[1:-1, -1]])
    target = np.concatenate([points[CONTROL], still])
    source = np.concatenate([face.points[CONTROL], still])
    weights = 1 / (((nodes - target[None]) ** 2).sum(2) + 1.0) ** 1.5
    shift = (weights @ (source - target)) / weights.sum(1, keepdims=True)
    field = (nodes[:, 0] + shift).reshape(GRID, GRID, 2).astype(np.float32)
    # Grid nodes lie on the first and the last pixel's centre; cv2.resize would not keep them there.
    steps = np.arange(FACE_PX, dtype=np.float32) * np.float32((GRID - 1) / (FACE_PX - 1))
    columns, rows = np.meshgrid(steps, steps)
    x, y = cv2.split(cv2.remap(field, columns, rows, cv2.INTER_LINEAR))
    bent = cv2.remap(face.image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(bent, np.uint8)


class Morphs:
    """Draws faces that are in between two portraits (and a little beyond)."""

    def __init__(self, portraits: Sequence[Portrait], seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._portraits = portraits
        self._yaws = np.array([yaw_degrees(portrait.points) for portrait in portraits])
        self._mirror = mirror_table(
            np.stack([p.points for p in portraits if p.source == "generated"][:500])
        )

    def draw(self) -> Face:
        rng = self._rng
        one = int(rng.integers(len(self._portraits)))
        flips = [bool(rng.random() < 0.5) for _ in range(2)]
        others = rng.integers(0, len(self._portraits), PARTNERS)
        yaw = self._yaws[one] * (1 if flips[0] == flips[1] else -1)
        other = int(others[np.abs(self._yaws[others] - yaw).argmin()])
        first, second = (
            aligned(self._portraits[row], self._mirror if flip else None)
            for row, flip in zip((one, other), flips, strict=True)
        )
        share = float(rng.uniform(-0.25, 1.25))
        points = ((1 - share) * first.points + share * second.points).astype(np.float32)
        images = [moved(face, points).astype(np.float32) for face in (first, second)]
        mixing = self._mixing(points)[..., None]
        if rng.random() < 0.5:
            images[1] = _toned(images[1], images[0])
        mixed = images[0] + mixing * (images[1] - images[0])
        return Face(np.clip(self._relit(mixed), 0, 255).astype(np.uint8), points)

    def _mixing(self, points: np.ndarray) -> np.ndarray:
        """How much of the second face each pixel has, 0..1."""
        rng = self._rng
        if rng.random() < 0.5:
            mixing = np.full((FACE_PX, FACE_PX), rng.random(), np.float32)
        else:
            cells = rng.normal(0, 1, (5, 4)).astype(np.float32)
            noise = cv2.resize(cells, (FACE_PX, FACE_PX), interpolation=cv2.INTER_CUBIC)
            mixing = 1 / (1 + np.exp(-3 * (noise + rng.normal(0, 0.4))))
        if rng.random() < 0.6:
            inside = np.zeros((FACE_PX, FACE_PX), np.float32)
            hull = cv2.convexHull(np.round(points[:SKIN_POINTS]).astype(np.int32))
            cv2.fillConvexPoly(inside, hull, 1.0)
            mixing = mixing * cv2.GaussianBlur(cv2.erode(inside, np.ones((7, 7))), (0, 0), 4)
        return np.asarray(mixing, np.float32)

    def _relit(self, image: np.ndarray) -> np.ndarray:
        rng = self._rng
        if rng.random() < 0.4:
            return image
        gain = np.exp(rng.normal(0, 0.12, 3) * 0.5 + rng.normal(0, 0.15)).astype(np.float32)
        gamma = float(np.exp(rng.normal(0, 0.15)))
        return np.asarray(255 * (image.clip(0, 255) / 255) ** gamma * gain, np.float32)


def _toned(image: np.ndarray, like: np.ndarray) -> np.ndarray:
    """The middle of ``image`` brought to the mean colour of that of ``like``."""
    middle = slice(FACE_PX // 3, 2 * FACE_PX // 3)
    shift = like[middle, middle].mean((0, 1)) - image[middle, middle].mean((0, 1))
    return np.asarray((image + shift).clip(0, 255), np.float32)


def scene_faces(data: Path) -> Iterator[Face]:
    """Faces of 40 px and more in the training scenes, where the project's mesh is sure."""
    mesh = FaceMesh(create(ComputeConfig(threads=1)), Engines.open())
    for scene in read_scenes(data, "train"):
        big = scene.labels.sizes >= MIN_SCENE_FACE_PX
        for row in np.flatnonzero(big & (scene.labels.keypoints[:, :, 2] > 0).all(1)):
            keypoints = scene.labels.keypoints[row, :, :2]
            target = Target(0, scene.labels.boxes[row], keypoints, True)
            geometry = mesh.measure(from_rgb(scene.image[..., ::-1]), [target])[0]
            if geometry.confidence >= SURE:
                yield aligned(_as_portrait(scene.image, geometry.points[:, :2]), None)


def _as_portrait(image: np.ndarray, points: Float, embedding: Float | None = None) -> Portrait:
    numbers = np.zeros(128, np.float32) if embedding is None else embedding
    return Portrait(image, points.astype(np.float32), None, numbers, "", "morphs", "train")


@torch.no_grad()
def write_shards(faces: Iterator[Face], teacher: Teacher, out: Path, name: str) -> None:
    """Shards of 2,048: JPEG files, mesh points ×16 as int16, embeddings."""
    shard: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    number = 0
    for batch in _batches(faces):
        chips = np.stack([chip(face.image, face.points) for face in batch]).transpose(0, 3, 1, 2)
        pixels = torch.from_numpy(np.ascontiguousarray(chips)).float()
        with torch.autocast("cpu", torch.bfloat16):
            found = teacher(pixels.contiguous(memory_format=torch.channels_last)).float().numpy()
        for face, embedding in zip(batch, found, strict=True):
            jpeg = cv2.imencode(".jpg", face.image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
            shard.append((jpeg.ravel(), np.round(face.points * 16).astype(np.int16), embedding))
        if len(shard) >= SHARD:
            _write(shard, out / f"morphs_{name}_{number:03d}.npz")
            print(f"{out}: {number + 1} × {SHARD} faces", flush=True)
            shard, number = [], number + 1
    if shard:
        _write(shard, out / f"morphs_{name}_{number:03d}.npz")


def _batches(faces: Iterator[Face]) -> Iterator[list[Face]]:
    batch: list[Face] = []
    for face in faces:
        batch.append(face)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _write(shard: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], path: Path) -> None:
    jpegs, points, embeddings = zip(*shard, strict=True)
    partial = path.with_suffix(".partial.npz")
    np.savez(
        partial,
        jpegs=np.concatenate(jpegs),
        sizes=np.array([len(jpeg) for jpeg in jpegs], np.int32),
        points=np.stack(points),
        embeddings=np.stack(embeddings).astype(np.float16),
    )
    partial.rename(path)


class MorphBank:
    """The faces in a folder of shards, decoded when asked for."""

    def __init__(self, folder: Path) -> None:
        paths = sorted(path for path in folder.glob("morphs_*.npz") if ".partial" not in path.name)
        if not paths:
            raise SystemExit(f"no morphs in {folder}: run python -m streamanon.training.morphs first")
        shards = [dict(np.load(path)) for path in paths]
        self._jpegs = [jpeg for s in shards for jpeg in np.split(s["jpegs"], np.cumsum(s["sizes"])[:-1])]
        self._points = np.concatenate([s["points"] for s in shards])
        self._embeddings = np.concatenate([s["embeddings"] for s in shards]).astype(np.float32)

    def __len__(self) -> int:
        return len(self._jpegs)

    def __getitem__(self, row: int) -> Portrait:
        image = np.asarray(cv2.imdecode(self._jpegs[row], cv2.IMREAD_COLOR), np.uint8)
        return _as_portrait(image, self._points[row].astype(np.float32) / 16, self._embeddings[row])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--faces", type=int, default=60_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    teacher = load_teacher().to(memory_format=torch.channels_last)
    morphs = Morphs(list(read_portraits(args.data, SETS)), args.seed)
    if args.seed == 0:
        write_shards(scene_faces(args.data), teacher, args.out, "scenes")
    wanted = math.ceil(args.faces / BATCH) * BATCH
    write_shards((morphs.draw() for _ in range(wanted)), teacher, args.out, f"{args.seed:02d}")


if __name__ == "__main__":
    main()
