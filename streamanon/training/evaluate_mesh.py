"""Measure the face mesh: error by set, what its confidence is worth, its traits, and its time on one core.

    python -m streamanon.training.evaluate_mesh --data DATA [--scenes SCENES.npz] [--turned TURNED]

Crops are aligned from labelled keypoints with noise of 3 % of the face's height, as a detector's are.
NME is the mean 2-D error of the 478 points over the distance of the outer eye corners; for ``--scenes``
(what :mod:`mesh_scenes` wrote of split ``val``) and ``--turned`` (the same of :mod:`verifier_turned`) over
that distance from the front (:func:`streamanon.training.mesh.face_units`), by how far a head is turned.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from streamanon.config import ComputeConfig, CoverConfig
from streamanon.geometry import CROP_PX, alignment, transform
from streamanon.media.yuv import from_rgb
from streamanon.mesh.face_mesh import FaceMesh
from streamanon.mesh.landmarks import EYE_CORNERS, KEYPOINTS, mesh_keypoints, yaw_degrees
from streamanon.runtime.backends import Model, open_backend
from streamanon.runtime.models import Engines
from streamanon.training.mesh import face_units, presentation, scene_faces, turned_faces
from streamanon.training.mesh_lookalikes import Lookalike, read_lookalikes
from streamanon.training.portraits import Portrait, read_portraits
from streamanon.types import Float, Target

SETS = {"generated": "val", "faker": "val", "congress": "val", "utk": "val", "masked": "val", "lfw": "eval"}

#: Limits of the turns that are told apart.
TURNS_DEG = (0, 15, 30, 45, 60, 91)
#: Thresholds of confidence that are compared.
THRESHOLDS = (0.15, 0.18, 0.21, 0.24, 0.27, 0.3, 0.33, 0.36, 0.39, 0.42)


@dataclass(frozen=True)
class Scores:
    """Per face: NME, confidence, whether the presentation is right and the age error (NaN: no label)."""

    nme: np.ndarray
    confidence: np.ndarray
    right: np.ndarray
    years: np.ndarray


def score(model: Model, portraits: list[Portrait], shrink: float, seed: int = 0) -> Scores:
    """``shrink``: the crop is taken from a picture this much smaller, as faces in a video are."""
    rng = np.random.default_rng(seed)
    rows = [_score_one(model, portrait, shrink, rng) for portrait in portraits]
    return Scores(*np.array(rows, np.float64).reshape(-1, 4).T)


def _score_one(
    model: Model, portrait: Portrait, shrink: float, rng: np.random.Generator
) -> tuple[float, float, float, float]:
    image = cv2.resize(portrait.image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    factor = np.array([image.shape[1] / portrait.image.shape[1], image.shape[0] / portrait.image.shape[0]])
    points, traits, truth = _seen(model, image, (portrait.points * factor).astype(np.float32), rng)
    apart = float(np.linalg.norm(points[:, :2] - truth, axis=1).mean())
    eyes = float(np.linalg.norm(truth[EYE_CORNERS[0]] - truth[EYE_CORNERS[1]]))
    masculine, age = presentation(portrait)
    right = np.nan if np.isnan(masculine) else float((traits[1] > 0.5) == (masculine > 0.5))
    return apart / eyes, float(traits[0]), right, abs(float(traits[2]) - 100 * age)


def _seen(
    model: Model, image: np.ndarray, points: Float, rng: np.random.Generator
) -> tuple[Float, Float, Float]:
    """What the network says of a face at ``points`` [478, 2]: its points [478, 3] and traits; and the
    truth, both in the crop's px.
    """
    noise = rng.normal(0, 0.03 * np.ptp(points[:, 1]), (5, 2)).astype(np.float32)
    matrix = alignment(points[list(KEYPOINTS)] + noise)
    crop = cv2.warpAffine(image, matrix, (CROP_PX, CROP_PX), borderMode=cv2.BORDER_REPLICATE)
    batch = np.ascontiguousarray(crop[..., ::-1].transpose(2, 0, 1)[None], np.float32) / 255
    found, traits = (array[0] for array in model.run(batch))
    return found, traits, transform(matrix, points)


def by_turn(model: Model, faces: list[Portrait], least: float, seed: int = 0) -> list[dict[str, float]]:
    """For heads turned up to each of ``TURNS_DEG``: how many, NME, mean confidence, the share of at least
    ``least`` confidence, and the NME of those and its 95th percentile.
    """
    rng = np.random.default_rng(seed)
    found = []
    for face in faces:
        points, traits, truth = _seen(model, face.image, face.points, rng)
        unit = float(face_units(torch.from_numpy(truth[None]))[0])
        error = float(np.linalg.norm(points[:, :2] - truth, axis=1).mean()) / unit
        found.append((abs(yaw_degrees(truth)), error, float(traits[0])))
    yaws, errors, sure = np.array(found).T
    rows = []
    for low, high in itertools.pairwise(TURNS_DEG):
        those = (yaws >= low) & (yaws < high)
        kept = those & (sure >= least)
        if kept.any():
            rows.append(
                {
                    "from": low,
                    "faces": int(those.sum()),
                    "NME": round(float(errors[those].mean()), 4),
                    "confidence": round(float(sure[those].mean()), 3),
                    "kept": round(float(kept.sum() / those.sum()), 3),
                    "NME of kept": round(float(errors[kept].mean()), 4),
                    "95 % of kept": round(float(np.quantile(errors[kept], 0.95)), 4),
                }
            )
    return rows


def by_threshold(
    mesh: FaceMesh, faces: list[Portrait], finds: list[Lookalike], seed: int = 0
) -> list[dict[str, object]]:
    """For each of ``THRESHOLDS`` the share of faces that would be generated, by turn, and of false finds.
    The network looks as it does in use, twice where it is not sure.
    """
    rng = np.random.default_rng(seed)
    shown = []
    for face in faces:
        noise = rng.normal(0, 0.03 * np.ptp(face.points[:, 1]), (5, 2)).astype(np.float32)
        shown.append(Lookalike(face.image, mesh_keypoints(face.points) + noise))
    yaws = np.array([abs(yaw_degrees(face.points)) for face in faces])
    sure, false = _confidences(mesh, shown), _confidences(mesh, finds)
    rows = []
    for least in THRESHOLDS:
        row: dict[str, object] = {"from": least}
        for low, high in itertools.pairwise(TURNS_DEG):
            those = (yaws >= low) & (yaws < high)
            row[f"{low}-{high}"] = round(float((sure[those] >= least).mean()), 3)
        rows.append(row | {"false finds": round(float((false >= least).mean()), 4), "of": len(finds)})
    return rows


def _confidences(mesh: FaceMesh, shown: list[Lookalike]) -> Float:
    found = []
    for one in shown:
        picture = from_rgb(np.ascontiguousarray(one.image[..., ::-1]))
        box = np.concatenate([one.keypoints.min(0), one.keypoints.max(0)])
        found.append(mesh.measure_whole(picture, Target(0, box, one.keypoints, True)).confidence)
    return np.array(found, np.float32)


def risk_coverage(scores: Scores) -> dict[str, float]:
    """Mean NME of the surest 50, 80, 90, 95 and 100 %, and the threshold that keeps each share."""
    order = np.argsort(-scores.confidence)
    curve = {}
    for share in (0.5, 0.8, 0.9, 0.95, 1.0):
        kept = order[: max(1, int(share * len(order)))]
        curve[f"{share:.0%}"] = round(float(scores.nme[kept].mean()), 4)
        curve[f"{share:.0%} threshold"] = round(float(scores.confidence[kept].min()), 3)
    return curve


def milliseconds(backend: str) -> float:
    """Median time of one crop on one thread."""
    config = ComputeConfig(backend=backend, threads=1)  # type: ignore[arg-type]
    model = open_backend(config).load(Engines.open().path("face-mesh"), precise=True)
    batch = np.random.default_rng(0).random((1, 3, CROP_PX, CROP_PX), np.float32)
    times = []
    for _ in range(200):
        begun = time.perf_counter()
        model.run(batch)
        times.append(1000 * (time.perf_counter() - begun))
    return round(float(np.median(times[20:])), 2)


def _print_thresholds(args: argparse.Namespace) -> None:
    mesh = FaceMesh(open_backend(ComputeConfig(backend=args.backend)), Engines.open())
    held_out = args.split == "train"
    lookalikes = read_lookalikes(args.data, args.finds, args.split, held_out)
    for row in by_threshold(mesh, scene_faces(args.scenes, held_out or None), lookalikes.finds):
        print(json.dumps(row), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--backend", default="onnxruntime")
    parser.add_argument("--scenes", type=Path)
    parser.add_argument("--turned", type=Path)
    parser.add_argument(
        "--finds", type=Path, help="of verifier_mining: compare thresholds on --scenes and this"
    )
    parser.add_argument(
        "--split", default="val", help="of --scenes and --finds; of train, the held-out scenes"
    )
    args = parser.parse_args()
    config = ComputeConfig(backend=args.backend)
    model = open_backend(config).load(Engines.open().path("face-mesh"), precise=True)
    if args.finds:
        _print_thresholds(args)
    if args.split == "train":
        return
    everything: list[Scores] = []
    for source, split in SETS.items():
        portraits = list(read_portraits(args.data, (source,), (split,)))
        line: dict[str, object] = {"set": source, "split": split, "faces": len(portraits)}
        for shrink in (1.0, 0.4, 0.2):
            scores = score(model, portraits, shrink)
            line[f"NME x{shrink}"] = round(float(scores.nme.mean()), 4)
            line[f"confidence x{shrink}"] = round(float(scores.confidence.mean()), 3)
            if split == "val":
                everything.append(scores)
        known = score(model, portraits, 1.0)
        if not np.isnan(known.right).all():
            line["presentation right"] = round(float(np.nanmean(known.right)), 3)
        if not np.isnan(known.years).all():
            line["age error, years"] = round(float(np.nanmean(known.years)), 1)
        print(json.dumps(line), flush=True)
    least = CoverConfig().min_confidence
    if args.scenes:
        print(json.dumps({"scenes": by_turn(model, scene_faces(args.scenes), least)}))
    if args.turned:
        print(json.dumps({"turned": by_turn(model, turned_faces(args.data, args.turned), least)}))
    joined = Scores(*(np.concatenate([getattr(s, n) for s in everything]) for n in Scores.__annotations__))
    print(json.dumps({"risk-coverage on val, three sizes": risk_coverage(joined)}))
    print(json.dumps({"milliseconds on one core": milliseconds(args.backend)}))


if __name__ == "__main__":
    main()
