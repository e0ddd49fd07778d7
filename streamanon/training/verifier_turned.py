"""Portraits turned by their meshes to half and full profiles ("face profiling", Zhu et al. 2016), or bent
down.

    python -m streamanon.training.verifier_turned --data DATA --out FINDS
    python -m streamanon.training.verifier_turned --data DATA --out TURNED --each 1 --seed 1  # for the mesh

The face's 468 points and rings of the head about it (pushed out and back from the face's oval) turn about
the head's axis, and nod about the axis through the ears; the surroundings stay. Triangles are drawn from
far to near. Writes ``turned.npz``.
"""

from __future__ import annotations

import argparse
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay  # type: ignore[import-untyped]

from streamanon.mesh.landmarks import KEYPOINTS, OVAL, SKIN_POINTS

NAME = "turned.npz"
SIDE = 192
#: Yaw and pitch (down) in degrees, from and to, of each portrait's pictures; the side is drawn.
TURNS_DEG = (
    ((15, 40), (0, 10)),
    ((45, 62), (-8, 12)),
    ((60, 82), (-8, 12)),
    ((62, 88), (-5, 20)),
    ((0, 30), (18, 42)),
    ((0, 35), (-28, -10)),
)
HALF_DEG, PROFILE_DEG = 25.0, 60.0
#: Rings of the head: how far out of the oval, how far back in widths of the face, and how much they turn.
RINGS = ((1.12, 0.14, 1.0), (1.3, 0.4, 1.0), (1.6, 0.7, 0.85), (2.3, 0.6, 0.0))
AXIS_BACK = 0.35

Image = NDArray[np.uint8]


def turned(
    image: Image, points: NDArray[np.float32], yaw_deg: float, pitch_deg: float = 0.0
) -> tuple[Image, NDArray[np.float32]]:
    """A portrait [S, S, 3] with mesh [478, 3] px bent down (positive pitch) and turned about the vertical;
    its mesh then, [478, 3] px.
    """
    side = image.shape[0]
    face = points[:SKIN_POINTS]
    width = float(np.ptp(face[:, 0]))
    oval = points[list(OVAL)]
    middle = face.mean(0)
    away = oval[:, :2] - middle[:2]
    sideways = 0.3 + 0.7 * np.abs(away[:, 0]) / np.hypot(
        *away.T
    )  # crown and neck lie less far back than the ears
    vertices, turns = [face], [np.ones(len(face))]
    for out, back, turn in RINGS:
        ring = oval.copy()
        ring[:, :2] = middle[:2] + (oval[:, :2] - middle[:2]) * out
        ring[:, 2] += back * width * sideways
        vertices.append(ring)
        turns.append(np.full(len(ring), turn))
    edge = np.linspace(-2, side + 1, 6)
    frame = [
        (x, y, 0.0) for x in edge for y in edge if x in (edge[0], edge[-1]) or y in (edge[0], edge[-1])
    ]
    inside = np.concatenate(vertices)
    keep = ((inside[:, :2] > 0) & (inside[:, :2] < side - 1)).all(axis=1)
    inside, share = inside[keep], np.concatenate(turns)[keep]
    before = np.concatenate([inside, np.array(frame, np.float32)])
    share = np.concatenate([share, np.zeros(len(frame))])
    axis = np.array([middle[0], middle[1], oval[:, 2].mean() + AXIS_BACK * width], np.float64)
    after = _about(before, axis, yaw_deg * share, pitch_deg * share)
    after[share == 0, 2] += 3 * width
    drawn = _drawn(image, before[:, :2], after)
    every = np.ones(len(points))
    moved = _about(points, axis, yaw_deg * every, pitch_deg * every)
    return drawn, moved.astype(np.float32)


def _about(points: NDArray, axis: NDArray, yaws: NDArray, pitches: NDArray) -> NDArray[np.float64]:
    """Points [N, 3] bent down about a level axis through the point ``axis`` [3], and turned about an
    upright one, by degrees [N].
    """
    x, y, z = (points - axis).T
    cos, sin = np.cos(np.deg2rad(pitches)), np.sin(np.deg2rad(pitches))
    y, z = y * cos - z * sin, y * sin + z * cos
    cos, sin = np.cos(np.deg2rad(yaws)), np.sin(np.deg2rad(yaws))
    return np.asarray(axis + np.stack([x * cos + z * sin, y, z * cos - x * sin], axis=1), np.float64)


def _drawn(image: Image, before: NDArray, after: NDArray[np.float64]) -> Image:
    """The picture with its points moved, triangle by triangle, far ones first."""
    side = image.shape[0]
    across = np.tile(np.arange(side, dtype=np.float32), (side, 1))
    sources = [across.copy(), across.T.copy()]
    triangles = Delaunay(before).simplices
    order = np.argsort(-after[triangles, 2].mean(axis=1))
    for corners in triangles[order]:
        target, source = after[corners, :2].astype(np.float32), before[corners].astype(np.float32)
        low = np.floor(target.min(0)).astype(int).clip(0, side - 1)
        high = np.ceil(target.max(0)).astype(int).clip(0, side - 1) + 1
        if abs(np.linalg.det(np.diff(target, axis=0))) < 1e-3 or (high <= low).any():
            continue
        back = cv2.getAffineTransform(target, source)
        mask = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
        cv2.fillConvexPoly(mask, np.round((target - low) * 16).astype(np.int32), 1, shift=4)
        rows, columns = np.nonzero(mask)
        x, y = columns + low[0], rows + low[1]
        sources[0][y, x] = back[0, 0] * x + back[0, 1] * y + back[0, 2]
        sources[1][y, x] = back[1, 0] * x + back[1, 1] * y + back[1, 2]
    mapped = cv2.remap(image, sources[0], sources[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(mapped, np.uint8)


def render(
    data: Path, seed: int, each: int, split: str
) -> Iterator[tuple[str, Image, NDArray[np.float32], int]]:
    """Name, RGB picture [S, S, 3], mesh [478, 3] px and turn of a split's portraits, one in ``each``."""
    rng = np.random.default_rng(seed)
    labels = dict(np.load(data / "portraits_512_labels.npz").items())
    rows = {str(name): row for row, name in enumerate(labels["name"])}
    with tarfile.open(data / "portraits_512.tar") as archive:
        for count, member in enumerate(archive):
            row = rows.get(Path(member.name).name)
            stream = archive.extractfile(member)
            if row is None or stream is None or labels["split"][row] != split or count % each:
                continue
            image = np.asarray(
                cv2.imdecode(np.frombuffer(stream.read(), np.uint8), cv2.IMREAD_COLOR), np.uint8
            )
            shrink = SIDE / image.shape[0]
            small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)[..., ::-1]
            points = np.concatenate(
                [labels["xy"][row] / 4, labels["z"][row].astype(float)[:, None] * labels["z_scale"][row]],
                axis=1,
            ).astype(np.float32)
            for yaws, pitches in TURNS_DEG:
                yaw = float(rng.uniform(*yaws) * rng.choice([-1, 1]))
                pitch = float(rng.uniform(*pitches))
                turn = int(abs(yaw) >= HALF_DEG) + int(abs(yaw) >= PROFILE_DEG)
                drawn, mesh = turned(np.ascontiguousarray(small, np.uint8), points * shrink, yaw, pitch)
                yield Path(member.name).name, drawn, mesh, turn


def turned_meshes(folder: Path) -> Iterator[tuple[str, Image, NDArray[np.float32], int]]:
    """The portrait's name, RGB picture, mesh [478, 3] px and turn (front 0, half 1, profile 2) of what
    :func:`main` wrote, if anything.
    """
    if not (folder / NAME).exists():
        return
    with np.load(folder / NAME) as file:
        names, packed, ends, points, turns = (
            file[k] for k in ("names", "packed", "ends", "points", "turns")
        )
    for row, turn in enumerate(turns):
        blob = packed[ends[row - 1] if row else 0 : ends[row]]
        image = np.asarray(cv2.imdecode(blob, cv2.IMREAD_COLOR), np.uint8)
        yield str(names[row]), np.ascontiguousarray(image[..., ::-1]), points[row], int(turn)


def turned_portraits(folder: Path) -> list[tuple[Image, NDArray[np.float32], NDArray[np.float32], int]]:
    """The same with box [4] and keypoints [5, 2] px instead of the mesh."""
    found = []
    for _, image, points, turn in turned_meshes(folder):
        seen = points[:SKIN_POINTS, :2]
        box = np.concatenate([seen.min(0), seen.max(0)])
        found.append((image, box, points[list(KEYPOINTS), :2], turn))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--each", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", default="train")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    names, blobs, meshes, turns = [], [], [], []
    for name, image, points, turn in render(args.data, args.seed, args.each, args.split):
        blobs.append(
            io.BytesIO(cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes())
        )
        names.append(name)
        meshes.append(points)
        turns.append(turn)
    packed = np.frombuffer(b"".join(b.getvalue() for b in blobs), np.uint8)
    ends = np.cumsum([len(b.getvalue()) for b in blobs])
    args.out.mkdir(parents=True, exist_ok=True)
    np.savez(args.out / NAME, names=names, packed=packed, ends=ends, points=np.stack(meshes), turns=turns)
    print(f"{len(turns)} turned portraits")


if __name__ == "__main__":
    main()
