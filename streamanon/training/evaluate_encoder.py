"""Measure the identity encoder on LFW's ``eval`` identities, at several face sizes, beside its teacher.

    python -m streamanon.training.evaluate_encoder --data DATA --engines engines

Verification accuracy: all pairs of photos of one person and as many pairs of strangers, the threshold
chosen on nine tenths of the people and applied to the rest, ten times. TAR at FAR 1e-3: over all pairs.
Thresholds for the product come from LFW's ``train`` identities.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from streamanon.config import ComputeConfig
from streamanon.geometry import alignment
from streamanon.identity.encoder import CROP_PX
from streamanon.runtime.backends import Model
from streamanon.runtime.backends.onnxruntime import create
from streamanon.training.portraits import Portrait, embedding_centre, read_portraits

FOLDS = 10
FALSE_ACCEPTS = (1e-2, 1e-3, 1e-4, 1e-5)


def describe(
    model: Model, portrait: Portrait, size_px: float | None, rng: np.random.Generator
) -> np.ndarray:
    """The embedding [128] of a portrait whose face was first made ``size_px`` high (None: as it is)."""
    image, points = portrait.image, portrait.keypoints
    if size_px is not None:
        shrink = min(1.0, size_px / float(portrait.box[3] - portrait.box[1]))
        image = np.asarray(
            cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA), np.uint8
        )
        points = points * np.float32(shrink)
    noise = 0.02 * float(np.ptp(points[:, 1]) + np.ptp(points[:, 0]))
    matrix = alignment((points + rng.normal(0, noise, points.shape)).astype(np.float32), CROP_PX)
    crop = cv2.warpAffine(image, matrix, (CROP_PX, CROP_PX), borderMode=cv2.BORDER_REPLICATE)
    batch = np.ascontiguousarray(crop[..., ::-1].transpose(2, 0, 1)[None], np.float32) / 255
    return np.asarray(model.run(batch)[0][0], np.float32)


def unit(values: np.ndarray) -> np.ndarray:
    return np.asarray(values / np.linalg.norm(values, axis=1, keepdims=True).clip(1e-6))


def verification(alike: np.ndarray, people: np.ndarray, rng: np.random.Generator) -> float:
    """Accuracy on equally many pairs of one person and of strangers."""
    first, second = np.triu_indices(len(people), 1)
    same = people[first] == people[second]
    strangers = rng.choice(np.flatnonzero(~same), int(same.sum()), replace=False)
    rows = np.concatenate([np.flatnonzero(same), strangers])
    values, truth = alike[first[rows], second[rows]], same[rows]
    names = np.unique(people)
    fold_of = dict(zip(names, rng.permutation(len(names)) % FOLDS, strict=True))
    folds = np.array([fold_of[name] for name in people[first[rows]]])
    right = 0
    for fold in range(FOLDS):
        known, held = folds != fold, folds == fold
        steps = np.quantile(values[known], np.linspace(0, 1, 400))
        scores = [float(((values[known] > step) == truth[known]).mean()) for step in steps]
        right += int(((values[held] > steps[int(np.argmax(scores))]) == truth[held]).sum())
    return right / len(rows)


def rates(embeddings: np.ndarray, people: np.ndarray) -> dict[str, float]:
    alike = unit(embeddings) @ unit(embeddings).T
    first, second = np.triu_indices(len(people), 1)
    same, values = people[first] == people[second], alike[first, second]
    threshold = float(np.quantile(values[~same], 1 - 1e-3))
    return {
        "verification": round(verification(alike, people, np.random.default_rng(0)), 4),
        "threshold at FAR 1e-3": round(threshold, 4),
        "TAR at FAR 1e-3": round(float((values[same] > threshold).mean()), 4),
    }


def thresholds(model: Model, portraits: Sequence[Portrait], size_px: float | None) -> dict[str, object]:
    """By false accept rate: the cosine above which so many pairs of strangers lie, and the share of pairs
    of one person that do.
    """
    people = np.array([portrait.group for portrait in portraits])
    rng = np.random.default_rng(2)
    embeddings = unit(np.stack([describe(model, portrait, size_px, rng) for portrait in portraits]))
    first, second = np.triu_indices(len(people), 1)
    same = people[first] == people[second]
    alike = np.concatenate([(embeddings[a] * embeddings[b]).sum(1) for a, b in _chunks(first, second)])
    cuts = {rate: float(np.quantile(alike[~same], 1 - rate)) for rate in FALSE_ACCEPTS}
    return {
        f"FAR {rate:g}": {"cosine": round(cut, 3), "TAR": round(float((alike[same] > cut).mean()), 4)}
        for rate, cut in cuts.items()
    }


def _chunks(first: np.ndarray, second: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    step = 500_000
    for start in range(0, len(first), step):
        yield first[start : start + step], second[start : start + step]


def milliseconds(model: Model, rounds: int = 200) -> float:
    batch = np.random.default_rng(0).random((1, 3, CROP_PX, CROP_PX), np.float32)
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        model.run(batch)
        times.append(1000 * (time.perf_counter() - begun))
    return round(float(np.median(times[rounds // 10 :])), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--engines", type=Path, default=Path("engines"))
    args = parser.parse_args()
    model = create(ComputeConfig(threads=1)).load(
        args.engines / "identity-encoder.onnx", precise=True, threads=1
    )
    portraits = list(read_portraits(args.data, ["lfw"], ["eval"]))
    people = np.array([portrait.group for portrait in portraits])
    teacher = np.stack([p.embedding for p in portraits]) - embedding_centre(args.data)
    results: dict[str, object] = {"photos": len(people), "people": len(set(people))}
    results["teacher, native size"] = rates(teacher, people)
    for size in (None, 40.0, 24.0):
        rng = np.random.default_rng(1)
        found = np.stack([describe(model, portrait, size, rng) for portrait in portraits])
        cosine = (unit(found) * unit(teacher)).sum(1)
        name = "native size" if size is None else f"{size:.0f} px"
        results[name] = {"cosine to teacher": round(float(cosine.mean()), 4), **rates(found, people)}
    known = list(read_portraits(args.data, ["lfw"], ["train"]))
    for size in (None, 40.0):
        name = "native size" if size is None else f"{size:.0f} px"
        results[f"thresholds on train, {name}"] = thresholds(model, known, size)
    results["milliseconds on one core"] = milliseconds(model)
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
