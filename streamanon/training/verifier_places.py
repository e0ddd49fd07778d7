"""Places beneath and beside labelled faces that the verifier takes for faces: shoulders, clothes, hands.

    python -m streamanon.training.verifier_places --data DATA --out FINDS --engines engines

Writes ``scenes_places.npz`` in the form of :mod:`verifier_mining`'s files: the network's own doubts in the
pictures of ``train``, where neither a label nor another detector (CenterFace, YuNet) sees a face.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.detect.verifier_crop import verifier_crops
from streamanon.geometry import overlap
from streamanon.training.evaluate_verifier import Verifier
from streamanon.training.verifier_mining import CORPORA, Miner, labels_of, pictures, shares

#: Tries for each labelled face, and at most in a picture.
TRIES, MOST_TRIES = 12, 72
#: Where they lie, in sizes of the face from its middle, and how large they are against it.
ACROSS, BELOW, SIZES = 2.2, (0.6, 4.5), (0.5, 2.2)
LEAST_PX, NONE_IOU, NONE_SHARE, JUDGED_IOU = 10.0, 0.1, 0.2, 0.1
#: From what probability of the network on a place is kept.
LEAST_DOUBT = 0.2

Boxes = NDArray[np.float32]


def places(boxes: Boxes, size: tuple[int, int], rng: np.random.Generator) -> Boxes:
    """Places [N, 4] xyxy px beneath and beside faces [M, 4] of a picture (width, height), within it."""
    if not len(boxes):
        return np.zeros((0, 4), np.float32)
    count = min(TRIES * len(boxes), MOST_TRIES)
    faces = boxes[rng.integers(len(boxes), size=count)]
    spans = np.sqrt((faces[:, 2:] - faces[:, :2]).clip(1).prod(axis=1))
    middles = (faces[:, :2] + faces[:, 2:]) / 2
    middles[:, 0] += rng.uniform(-ACROSS, ACROSS, count) * spans
    middles[:, 1] += rng.uniform(*BELOW, count) * spans
    sides = spans * np.exp(rng.uniform(np.log(SIZES[0]), np.log(SIZES[1]), count))
    halves = np.stack([sides * 0.44, sides * 0.57], axis=1)
    found = np.concatenate([middles - halves, middles + halves], axis=1).astype(np.float32)
    inside = (found[:, :2] >= 0).all(axis=1) & (found[:, 2:] <= size).all(axis=1) & (sides >= LEAST_PX)
    return found[inside]


def apart(found: Boxes, others: Boxes) -> NDArray[np.bool_]:
    """Which boxes [N, 4] share next to nothing with any of the others [M, 4]."""
    if not len(others):
        return np.ones(len(found), np.bool_)
    away = (overlap(found, others) < NONE_IOU).all(axis=1)
    return np.asarray(away & (shares(found, others) < NONE_SHARE).all(axis=1), np.bool_)


def mined(
    miner: Miner, verifier: Verifier, data: Path, seed: int, part: tuple[int, int] = (0, 1)
) -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(seed)
    names: list[str] = []
    columns: dict[str, list[Any]] = {k: [] for k in ("picture", "box", "hard")}
    for corpus in CORPORA:
        for number, (entry, rgb) in enumerate(pictures(data, corpus)):
            if entry["split"] != "train" or number % part[1] != part[0]:
                continue
            boxes = labels_of(entry)[0]
            tried = places(boxes, (rgb.shape[1], rgb.shape[0]), rng)
            tried = tried[apart(tried, boxes)]
            if not len(tried):
                continue
            sure = 1 / (1 + np.exp(-verifier(verifier_crops(rgb, tried))[0][:, 0]))
            tried, sure = tried[sure >= LEAST_DOUBT], sure[sure >= LEAST_DOUBT]
            if len(tried):
                judged = overlap(tried, miner.judged(rgb)[:, :4])
                free = judged.max(axis=1, initial=0) < JUDGED_IOU
                columns["picture"] += [len(names)] * int(free.sum())
                columns["box"] += list(tried[free])
                columns["hard"] += list(sure[free])
                names.append(entry["file"])
    count = len(columns["picture"])
    found = {k: np.asarray(v) for k, v in columns.items()}
    found |= {k: np.zeros(count, np.float32) for k in ("iou", "part", "judge", "score")}
    return found | {
        "names": np.array(names),
        "turn": np.zeros(count, np.int64),
        "label": np.full(count, -1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--engines", type=Path, default=Path("engines"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--part", type=int, nargs=2, default=(0, 1), help="which of how many parts")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    verifier = Verifier(args.engines / "face-verifier.onnx")
    found: dict[str, Any] = mined(Miner(args.data), verifier, args.data, args.seed, tuple(args.part))
    args.out.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(args.out / "scenes_places.npz", **found)
    print(f"{len(found['picture'])} places in {len(found['names'])} pictures")


if __name__ == "__main__":
    main()
