"""The labelled face crops (``faces_*.tar`` and ``faces_labels.npz``) that the models learn from."""

from __future__ import annotations

import tarfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.mesh.landmarks import KEYPOINTS, SKIN_POINTS


@dataclass(frozen=True)
class Portrait:
    """One crop: image [H, W, 3] uint8 BGR, its 478 mesh points in px, a recogniser's embedding [128],
    and what the label file says.
    """

    image: NDArray[np.uint8]
    points: NDArray[np.float32]
    depth: NDArray[np.float32] | None
    embedding: NDArray[np.float32]
    group: str
    source: str
    split: str

    @property
    def keypoints(self) -> NDArray[np.float32]:
        return self.points[list(KEYPOINTS)]

    @property
    def box(self) -> NDArray[np.float32]:
        mesh = self.points[:SKIN_POINTS]
        return np.concatenate([mesh.min(0), mesh.max(0)]).astype(np.float32)


def read_portraits(
    data: Path, sets: Collection[str], splits: Collection[str] = ("train",)
) -> Iterator[Portrait]:
    """Yield the portraits of some sets and splits, set by set, in the order of their tar files."""
    labels = np.load(data / "faces_labels.npz")
    rows = {str(name): row for row, name in enumerate(labels["name"])}
    columns = {key: labels[key] for key in ("xy", "z", "z_scale", "embedding", "ident", "split")}
    for source in sets:
        with tarfile.open(data / f"faces_{source}.tar") as archive:
            for member in archive:
                row = rows.get(Path(member.name).name)
                if row is None or str(columns["split"][row]) not in splits:
                    continue
                stream = archive.extractfile(member)
                assert stream is not None
                image = cv2.imdecode(np.frombuffer(stream.read(), np.uint8), cv2.IMREAD_COLOR)
                z = columns["z"][row]
                yield Portrait(
                    image=np.asarray(image, np.uint8),
                    points=columns["xy"][row].astype(np.float32) / 4,
                    depth=z.astype(np.float32) * float(columns["z_scale"][row]) if z.any() else None,
                    embedding=columns["embedding"][row].astype(np.float32),
                    group=str(columns["ident"][row]),
                    source=source,
                    split=str(columns["split"][row]),
                )


def embedding_centre(data: Path) -> NDArray[np.float32]:
    """The mean embedding [128]: faces differ little from it, so that they are compared from there."""
    labels = np.load(data / "faces_labels.npz")
    rows = labels["split"] == "train"
    return np.asarray(labels["embedding"][rows].astype(np.float32).mean(0), np.float32)
