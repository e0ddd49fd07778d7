"""The meshes that MediaPipe's Face Mesh sees in the training scenes: turned, half hidden and small faces,
of which the portraits have few.

    PYTHON streamanon/training/mesh_scenes.py DATA OUT.npz [SPLIT]

``PYTHON`` is that of an environment with ``mediapipe==0.10.14``, which needs NumPy 1; nothing else of the
project is needed. Kept are meshes that agree with the scene's label: their box overlaps its box, and their
eyes, nose and mouth lie by its keypoints. Written are ``packed`` (JPEG files, back to back), ``ends`` [N],
``points`` [N, 478, 3] px of the crop, z in the scale of x, and ``pictures`` [N], the scenes' files.
"""

from __future__ import annotations

import json
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import mediapipe
import numpy as np

CORPORA = ("scenes", "scenes_more")
LEAST_PX = 18.0
#: The teacher sees a square of so many sizes of the box, first enlarged to this side, px.
CONTEXTS, TEACHER_PX = (2.2, 1.7), 320
#: Crops are kept at so many px of the face's size at most.
MOST_FACE_PX = 110.0
LEAST_IOU = 0.45
#: Mean distance of the five keypoints, in sizes of the box.
MOST_APART = 0.13
#: Eyes' middles from their corners, nose, mouth corners, in the mesh.
EYES, NOSE, MOUTH = ((33, 133), (263, 362)), 1, (61, 291)
SKIN_POINTS = 468


def faces(data: Path, split: str) -> Iterator[tuple[str, np.ndarray, dict[str, Any]]]:
    """File, picture (BGR) and label of each face of a split that is large enough."""
    for corpus in CORPORA:
        entries = {e["file"]: e for e in json.loads((data / f"{corpus}_labels.json").read_text())}
        with tarfile.open(data / f"{corpus}.tar") as archive:
            for member in archive:
                entry = entries.get(member.name) or entries.get(Path(member.name).name)
                stream = archive.extractfile(member) if entry is not None else None
                if entry is None or stream is None or entry["split"] != split:
                    continue
                image = cv2.imdecode(np.frombuffer(stream.read(), np.uint8), cv2.IMREAD_COLOR)
                for face in entry["faces"]:
                    if size_of(face["box"]) >= LEAST_PX:
                        yield entry["file"], np.asarray(image), face


def size_of(box: list[float]) -> float:
    return float(np.sqrt(max(box[2] - box[0], 0) * max(box[3] - box[1], 0)))


def square(image: np.ndarray, box: list[float], context: float) -> tuple[np.ndarray, np.ndarray]:
    """The square around a box, enlarged to ``TEACHER_PX``, and the map [2, 3] into it."""
    side = context * size_of(box)
    scale = TEACHER_PX / side
    middle = np.array([box[0] + box[2], box[1] + box[3]]) / 2
    matrix = np.column_stack([np.eye(2) * scale, TEACHER_PX / 2 - scale * middle])
    flags = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    crop = cv2.warpAffine(
        image, matrix, (TEACHER_PX, TEACHER_PX), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return crop, matrix


def agrees(points: np.ndarray, face: dict[str, Any]) -> bool:
    """Whether a mesh [478, 2] px lies where the label says."""
    box = np.array(face["box"])
    low, high = points[:SKIN_POINTS].min(0), points[:SKIN_POINTS].max(0)
    shared = np.prod((np.minimum(high, box[2:]) - np.maximum(low, box[:2])).clip(0))
    union = np.prod(high - low) + np.prod(box[2:] - box[:2]) - shared
    if shared < LEAST_IOU * union:
        return False
    if face["kpts"] is None:
        return True
    own = [points[list(corners)].mean(0) for corners in EYES] + [points[NOSE], *points[list(MOUTH)]]
    apart = np.linalg.norm(np.array(own) - np.reshape(face["kpts"], (5, 2)), axis=1).mean()
    return bool(apart <= MOST_APART * size_of(face["box"]))


def main() -> None:
    data, out, split = Path(sys.argv[1]), Path(sys.argv[2]), (sys.argv[3:] or ["train"])[0]
    cv2.setNumThreads(1)
    teacher = mediapipe.solutions.face_mesh.FaceMesh(
        static_image_mode=True, max_num_faces=2, refine_landmarks=True, min_detection_confidence=0.3
    )
    blobs, meshes, names, seen = [], [], [], 0
    for name, image, face in faces(data, split):
        seen += 1
        for context in CONTEXTS:
            crop, matrix = square(image, face["box"], context)
            found = teacher.process(np.ascontiguousarray(crop[..., ::-1])).multi_face_landmarks or []
            places = [np.array([[p.x, p.y, p.z] for p in one.landmark]) * TEACHER_PX for one in found]
            scale = matrix[0, 0]
            kept = [p for p in places if agrees((p[:, :2] - 0.5 - matrix[:, 2]) / scale, face)]
            if kept:
                points = (kept[0] - [0.5, 0.5, 0]) / scale  # px of the picture, from the crop's corner
                side = TEACHER_PX / scale
                px = max(24, round(min(side, MOST_FACE_PX * context)))
                small = cv2.resize(crop, (px, px), interpolation=cv2.INTER_AREA)
                blobs.append(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes())
                meshes.append((points * px / side).astype(np.float32))
                names.append(name)
                break
        if seen % 500 == 0:
            print(f"{len(meshes)} of {seen} faces", flush=True)
    ends = np.cumsum([len(blob) for blob in blobs])
    packed = np.frombuffer(b"".join(blobs), np.uint8)
    np.savez(out, packed=packed, ends=ends, points=np.stack(meshes), pictures=np.array(names))
    print(f"{len(meshes)} of {seen} faces")


if __name__ == "__main__":
    main()
