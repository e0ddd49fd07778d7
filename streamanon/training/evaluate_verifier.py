"""Measure and calibrate the face verifier on the detector's finds in the val scenes.

    python -m streamanon.training.evaluate_verifier --data DATA --finds FINDS --engines engines --calibrate

Finds down to a detector's score of 0.05 that overlap a sure label by 0.4 are faces; those that overlap none
by 0.2 are not, unless CenterFace or YuNet may see an unlabelled face there and nobody who looked said
otherwise.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression  # type: ignore[import-untyped]

from streamanon.config import ComputeConfig, DetectConfig
from streamanon.detect.tiling import whole
from streamanon.detect.verifier_crop import (
    DOUBTFUL_LOGIT,
    TURNS,
    Verdicts,
    mean_logits,
    mirrored_boxes,
    read_verdicts,
    verifier_crops,
)
from streamanon.detect.yolo import FaceDetector, merge
from streamanon.geometry import overlap
from streamanon.media.yuv import from_rgb
from streamanon.runtime.backends import open_backend
from streamanon.runtime.models import Engines
from streamanon.training.evaluate_detector import Detect, centerface, match, summarise
from streamanon.training.portraits import read_portraits
from streamanon.training.scenes import read_scenes
from streamanon.training.verifier_mining import CORPORA, labels_of, pictures, shares
from streamanon.training.verifier_samples import (
    CORRECTIONS,
    FEI_TURNS,
    corrected,
    no_face,
    read_finds,
    read_heads,
)
from streamanon.types import Faces

SIZES = ((8, 16), (16, 32), (32, 64), (64, 10_000))
#: Shares of the faces that are to be kept.
KEEP = (0.995, 0.99, 0.98, 0.95)
BATCH = 256
#: Two verified boxes of one face.
DOUBLE_IOU, DOUBLE_SHARE = 0.3, 0.6
#: So many finds of each kind a size needs for a calibration of its own.
FEW = 150
#: Synthetic portraits, px of the face they are shown at, and what a fallen one may come to.
SYNTHETIC_SETS, SYNTHETIC_PX, FALLEN_MOST = ("faker", "generated"), (12, 24, 48, 96), 0.2
FEW_IN_BIN, BIN_EDGES = 40, np.arange(-6.0, 6.1, 1.0)


@dataclass(frozen=True)
class Finds:
    """Finds with a known answer: ``crops`` [N, 3, S, S] uint8, ``mirrored`` [2, N, 3, S, S] uint8 those
    that are shown where the network is in doubt, ``face`` [N] bool, ``sizes`` [N] px (root of
    the area), ``scores`` [N] the detector's, ``turns`` [N] quarters, ``boxes`` [N, 4], ``truths`` [N, 4]
    the labels' boxes or NaN, ``pictures`` [N] file names.
    """

    crops: NDArray[np.uint8]
    mirrored: NDArray[np.uint8]
    face: NDArray[np.bool_]
    sizes: NDArray[np.float32]
    scores: NDArray[np.float32]
    turns: NDArray[np.int64]
    boxes: NDArray[np.float32]
    truths: NDArray[np.float32]
    pictures: NDArray[np.str_]

    def pick(self, rows: NDArray[Any]) -> Finds:
        return Finds(
            **{
                key: value[:, rows] if key == "mirrored" else value[rows]
                for key, value in vars(self).items()
            }
        )


class Verifier:
    """The exported network on one core."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def __call__(self, crops: NDArray[Any]) -> list[NDArray[np.float32]]:
        """Crops [N, 3, S, S] float32 0..1 or uint8 -> the outputs."""
        parts = []
        for start in range(0, max(1, len(crops)), BATCH):
            batch = crops[start : start + BATCH]
            planes = batch.astype(np.float32) / 255 if batch.dtype == np.uint8 else batch
            parts.append(self._session.run(None, {"squares": planes}))
        return [np.concatenate([part[n] for part in parts]) for n in range(len(parts[0]))]


def val_finds(data: Path, folder: Path, split: str = "val") -> Finds:
    """The mined finds of a split with a known answer, with their crops."""
    tables = dict(read_finds(folder))
    looked = json.loads(CORRECTIONS.read_text(encoding="utf-8"))
    columns: dict[str, list[Any]] = {
        key: []
        for key in ("crops", "mirrored", "face", "sizes", "scores", "turns", "boxes", "truths", "pictures")
    }
    for corpus in CORPORA:
        for entry, rgb in pictures(data, corpus):
            table = tables.get(entry["file"])
            if entry["split"] != split or table is None:
                continue
            labels, _, sure = labels_of(entry)
            sides = np.sqrt((labels[:, 2:] - labels[:, :2]).clip(0).prod(axis=1))
            known = np.append(sure & (sides >= 8), False)
            face = known[table["label"]] & (table["turn"] == 0)
            sizes = np.sqrt((table["box"][:, 2:] - table["box"][:, :2]).clip(0).prod(axis=1))
            rows = np.flatnonzero((face | no_face(table)) & (sizes >= 8))
            name = entry["file"]
            wrong = [
                corrected(labels[table["label"][row]], looked, name, "nothing")
                if face[row]
                else not table["turn"][row] and corrected(table["box"][row], looked, name, "face")
                for row in rows
            ]
            rows = rows[~np.array(wrong, bool)]
            if not len(rows):
                continue
            truths = np.full((len(rows), 4), np.nan, np.float32)
            truths[face[rows]] = labels[table["label"][rows][face[rows]]]
            crops = verifier_crops(rgb, table["box"][rows], table["turn"][rows].tolist())
            columns["crops"].append((crops * 255).round().astype(np.uint8))
            mirrored = mirrored_crops(rgb, table["box"][rows], table["turn"][rows])
            columns["mirrored"].append((mirrored * 255).round().astype(np.uint8))
            columns["face"].append(face[rows])
            columns["sizes"].append(sizes[rows])
            columns["scores"].append(table["score"][rows])
            columns["turns"].append(table["turn"][rows])
            columns["boxes"].append(table["box"][rows])
            columns["truths"].append(truths)
            columns["pictures"].append(np.array([entry["file"]] * len(rows)))
    return Finds(**{key: np.concatenate(value, int(key == "mirrored")) for key, value in columns.items()})


def mirrored_crops(rgb: NDArray[np.uint8], boxes: NDArray, turns: NDArray) -> NDArray[np.float32]:
    """The crops [2, N, 3, S, S] that are shown where the network is in doubt."""
    again = mirrored_boxes(boxes)
    return np.stack([verifier_crops(rgb, one, turns.tolist())[..., ::-1] for one in again])


def settled(verifier: Verifier, crops: NDArray[Any], mirrored: NDArray[Any]) -> list[NDArray[np.float32]]:
    """The outputs for crops [N, 3, S, S], with the logits as they count: where the network is in doubt,
    means with those of the ``mirrored`` ones [2, N, 3, S, S].
    """
    outputs = verifier(crops)
    logits = outputs[0][:, 0].copy()
    rows = np.flatnonzero(np.abs(logits) < DOUBTFUL_LOGIT)
    if len(rows):
        others = np.stack([verifier(one[rows])[0][:, 0] for one in mirrored])
        logits[rows] = mean_logits(logits[rows], others)
    return [logits[:, None], *outputs[1:]]


def rescore(data: Path, folder: Path, verifier: Verifier) -> None:
    """Give each find a column ``hard``: the network's own probability, by which training draws it. And
    write ``faces.npz``: how doubtful each face of a picture in train is to the network, in the order of
    :func:`labels_of`.
    """
    doubts: dict[str, Any] = {}
    for corpus in CORPORA:
        tables = {}
        for path in sorted(folder.glob(f"{corpus}*.npz")):
            if path.stem.removeprefix(corpus).strip("_0123456789"):
                continue  # of another corpus, whose name begins alike
            with np.load(path) as file:
                tables[path] = {key: file[key] for key in file.files}
            tables[path]["hard"] = np.zeros(len(tables[path]["turn"]), np.float32)
        numbers = {str(name): number for t in tables.values() for number, name in enumerate(t["names"])}
        for entry, rgb in pictures(data, corpus):
            labels = labels_of(entry)[0]
            if entry["split"] == "train" and len(labels):
                doubts[entry["file"]] = 1 - _sure(verifier, verifier_crops(rgb, labels))
            for table in tables.values():
                rows = np.flatnonzero(table["picture"] == numbers.get(entry["file"], -1))
                if len(rows):
                    crops = verifier_crops(rgb, table["box"][rows], table["turn"][rows].tolist())
                    table["hard"][rows] = _sure(verifier, crops)
        for path, table in tables.items():
            np.savez_compressed(path, **table)
    np.savez_compressed(folder / "faces.npz", **doubts)


def _sure(verifier: Verifier, crops: NDArray[np.float32]) -> NDArray[np.float32]:
    """The network's probability of crops [N, 3, S, S] before calibration, [N]."""
    return np.asarray(1 / (1 + np.exp(-verifier(crops)[0][:, 0])), np.float32)


def area_under(scores: NDArray, face: NDArray[np.bool_]) -> float:
    """Area under the ROC curve: how often a face scores more than what is none."""
    order = np.argsort(scores, kind="stable")
    ranks = np.empty(len(scores))
    ranks[order] = np.arange(1, len(scores) + 1)
    good, bad = int(face.sum()), int((~face).sum())
    return float((ranks[face].sum() - good * (good + 1) / 2) / max(1, good * bad))


def separation(scores: NDArray, face: NDArray[np.bool_]) -> dict[str, float]:
    """Area under the curve, and how much of what is no face is kept with so many of the faces."""
    kept = {
        f"false kept at {keep}": round(
            float((scores[~face] >= np.quantile(scores[face], 1 - keep)).mean()), 4
        )
        for keep in KEEP
    }
    return {
        "faces": int(face.sum()),
        "others": int((~face).sum()),
        "area": round(area_under(scores, face), 4),
        **kept,
    }


def size_name(low: int, high: int) -> str:
    return f"{low}+" if high > 1000 else f"{low}-{high}"


def by_size(scores: NDArray, finds: Finds) -> dict[str, dict[str, float]]:
    table = {"all": separation(scores, finds.face)}
    for low, high in SIZES:
        rows = (finds.sizes >= low) & (finds.sizes < high)
        if finds.face[rows].sum() > 20:
            table[size_name(low, high)] = separation(scores[rows], finds.face[rows])
    return table


def knots(logits: NDArray, face: NDArray[np.bool_]) -> list[list[float]]:
    """Isotonic regression of face on logit, over bins of at least ``FEW_IN_BIN`` finds: knots (logit,
    probability).

    Half a face and half a find more in each bin keep the ends from certainty.
    """
    order = np.argsort(logits)
    edges = np.searchsorted(logits[order], BIN_EDGES)
    groups: list[NDArray] = [np.zeros(0, int)]
    for group in np.split(order, edges):
        if len(groups[-1]) >= FEW_IN_BIN:
            groups.append(group)
        else:
            groups[-1] = np.concatenate([groups[-1], group])
    if len(groups) > 1 and len(groups[-1]) < FEW_IN_BIN:
        last = groups.pop()
        groups[-1] = np.concatenate([groups[-1], last])
    shares = np.array([(face[g].sum() + 0.5) / (len(g) + 1) for g in groups])
    rising = isotonic_regression(shares, weights=np.array([len(g) for g in groups], float)).x
    places = [float(logits[g].mean()) for g in groups]
    return [[round(place, 2), round(float(share), 4)] for place, share in zip(places, rising, strict=True)]


def calibration(logits: NDArray, finds: Finds) -> list[dict[str, Any]]:
    """Knots by size, for sizes with enough finds of both kinds."""
    table = []
    for low, high in SIZES:
        rows = (finds.sizes >= low) & (finds.sizes < high)
        if min(finds.face[rows].sum(), (~finds.face[rows]).sum()) < FEW:
            rows = finds.sizes >= 32
        table.append({"from_px": low, "knots": knots(logits[rows], finds.face[rows])})
    return table


def probabilities(logits: NDArray, sizes: NDArray, table: list[dict[str, Any]]) -> NDArray[np.float32]:
    """Calibrated: linear between the knots of the last row that begins below a find's size (the first row
    below its own beginning), constant beyond the ends.
    """
    found = np.zeros(len(logits), np.float32)
    begins = np.array([row["from_px"] for row in table])
    numbers = np.clip(np.searchsorted(begins, sizes, side="right") - 1, 0, len(table) - 1)
    for number, row in enumerate(table):
        rows = numbers == number
        found[rows] = np.interp(logits[rows], *np.array(row["knots"]).T)
    return found


def calibration_error(logits: NDArray, finds: Finds, bins: int = 10) -> float:
    """Expected calibration error by cross-fitting over two halves of the pictures."""
    half = np.array([sum(name.encode()) % 2 for name in finds.pictures], bool)
    found = np.zeros(len(logits))
    for side in (half, ~half):
        table = calibration(logits[~side], finds.pick(~side))
        found[side] = probabilities(logits[side], finds.sizes[side], table)
    numbers = np.minimum((found * bins).astype(int), bins - 1)
    gaps = [
        (numbers == n).mean() * abs(found[numbers == n].mean() - finds.face[numbers == n].mean())
        for n in range(bins)
        if (numbers == n).any()
    ]
    return round(float(sum(gaps)), 4)


def verified_detector(verifier: Verifier, own: float, refine: bool, sides: tuple[int, ...]) -> Detect:
    """The detector's finds at several sizes; their score: the verifier's logit and ``own`` of the
    detector's.
    """
    backend = open_backend(ComputeConfig(backend="openvino", threads=1))
    detector = FaceDetector(backend, Engines.open(), DetectConfig(revive_score=0.03))

    def detect(image: NDArray[np.uint8]) -> tuple[NDArray, NDArray]:
        rgb = np.ascontiguousarray(image[..., ::-1])
        picture, faces = from_rgb(rgb), Faces.empty()
        for side in sides:
            if side <= 2 * max(rgb.shape[:2]):
                faces = merge(faces, detector.detect_view(picture, whole(picture, 0, side)))
        if not len(faces):
            return faces.boxes, faces.scores
        mirrored = mirrored_crops(rgb, faces.boxes, np.zeros(len(faces), np.int64))
        outputs = settled(verifier, verifier_crops(rgb, faces.boxes), mirrored)
        verdicts: Verdicts = read_verdicts(outputs, faces.boxes)
        odds = np.log(faces.scores / (1 - faces.scores).clip(1e-4))
        scores = 1 / (1 + np.exp(-(verdicts.logits + own * odds)))
        boxes = verdicts.boxes if refine else faces.boxes
        kept = once(boxes, scores)
        return boxes[kept], scores[kept]

    return detect


def once(boxes: NDArray, scores: NDArray) -> list[int]:
    """Rows of the boxes [N, 4] that no better one overlaps by ``DOUBLE_IOU`` or holds most of, best
    first.
    """
    double = (overlap(boxes, boxes) > DOUBLE_IOU) | (shares(boxes, boxes) > DOUBLE_SHARE)
    kept: list[int] = []
    for row in np.argsort(-scores):
        if not double[row, kept].any():
            kept.append(int(row))
    return kept


def remembered(detect: Detect) -> Detect:
    """The same detector, which looks at each picture once."""
    seen: dict[int, tuple[NDArray, NDArray]] = {}

    def again(image: NDArray[np.uint8]) -> tuple[NDArray, NDArray]:
        if id(image) not in seen:
            seen[id(image)] = detect(image)
        return seen[id(image)]

    return again


def heads(data: Path, verifier: Verifier, table: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """FEI's held-out people by view: share with a probability of at least a half, and turn told right."""
    rows: dict[str, list[tuple[float, bool]]] = {}
    for image, box, view, _ in read_heads(data, held_out=True):
        mirrored = mirrored_crops(image, box[None], np.zeros(1, np.int64))
        outputs = settled(verifier, verifier_crops(image, box[None]), mirrored)
        size = float(np.sqrt((box[2:] - box[:2]).prod()))
        sure = float(probabilities(outputs[0][:, 0], np.array([size]), table)[0])
        turn = FEI_TURNS.get(view, 0)
        rows.setdefault(TURNS[turn], []).append((sure, int(outputs[1][0].argmax()) == turn))
    return {
        name: {
            "heads": len(found),
            "kept": round(float(np.mean([s >= 0.5 for s, _ in found])), 4),
            "turn right": round(float(np.mean([r for _, r in found])), 4),
        }
        for name, found in rows.items()
    }


def synthetic(data: Path, verifier: Verifier, table: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Synthetic portraits of val: upright, the share with a probability of at least a half; on a side or
    upside down, the 99th percentile, the highest, and the share of at least ``FALLEN_MOST``.
    """
    found: dict[int, list[NDArray]] = {turn: [] for turn in range(4)}
    for portrait in read_portraits(data, SYNTHETIC_SETS, ("val",)):
        span = float(np.sqrt((portrait.box[2:] - portrait.box[:2]).prod()))
        for size in (s for s in SYNTHETIC_PX if s <= 1.2 * span):
            scale = size / span
            image = cv2.resize(portrait.image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            box = np.repeat(portrait.box[None] * scale, 4, axis=0).astype(np.float32)
            rgb, turns = np.asarray(image[..., ::-1], np.uint8, "C"), np.arange(4)
            outputs = settled(
                verifier, verifier_crops(rgb, box, turns.tolist()), mirrored_crops(rgb, box, turns)
            )
            sure = probabilities(outputs[0][:, 0], np.full(4, size), table)
            for turn in range(4):
                found[turn].append(sure[turn])
    upright, side, over = np.array(found[0]), np.array(found[1] + found[3]), np.array(found[2])
    return {
        "upright": {"faces": len(upright), "kept": round(float((upright >= 0.5).mean()), 4)},
        **{
            name: {
                "99 %": round(float(np.quantile(those, 0.99)), 3),
                "most": round(float(those.max()), 3),
                "too sure": round(float((those >= FALLEN_MOST).mean()), 4),
            }
            for name, those in (("on a side", side), ("upside down", over))
        },
    }


def overlaps(found: NDArray, truths: NDArray) -> float:
    """Mean intersection over union of boxes [N, 4] with the labels'."""
    return float(np.mean([overlap(a[None], b[None])[0, 0] for a, b in zip(found, truths, strict=True)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--finds", type=Path, required=True)
    parser.add_argument("--engines", type=Path, default=Path("engines"))
    parser.add_argument("--calibrate", action="store_true", help="write the knots into the manifest")
    parser.add_argument(
        "--rescore", action="store_true", help="only weigh the finds anew for the next training"
    )
    parser.add_argument("--recall", action="store_true", help="measure detector and verifier together, too")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    verifier = Verifier(args.engines / "face-verifier.onnx")
    if args.rescore:
        rescore(args.data, args.finds, verifier)
        return
    finds = val_finds(args.data, args.finds)
    outputs = settled(verifier, finds.crops, finds.mirrored)
    logits = outputs[0][:, 0]
    upright = finds.turns == 0
    straight, its = finds.pick(upright), logits[upright]
    table = calibration(its, straight)
    sure = probabilities(logits, finds.sizes, table)
    known = straight.face
    finer = read_verdicts(outputs, finds.boxes, finds.turns.tolist()).boxes[upright]
    results: dict[str, Any] = {
        "detector": by_size(straight.scores, straight),
        "verifier": by_size(its, straight),
        "calibration error": calibration_error(its, straight),
        "kept at 0.5": {
            "faces": round(float((sure[finds.face] >= 0.5).mean()), 4),
            "upright, no face": round(float((sure[upright & ~finds.face] >= 0.5).mean()), 4),
            "turned": round(float((sure[~upright] >= 0.5).mean()), 4),
        },
        "overlap with label": {
            "find": round(overlaps(straight.boxes[known], straight.truths[known]), 3),
            "finer": round(overlaps(finer[known], straight.truths[known]), 3),
        },
        "heads": heads(args.data, verifier, table),
        "synthetic": synthetic(args.data, verifier, table),
    }
    print(json.dumps(results, indent=1), flush=True)
    if args.recall:
        results["recall"] = together(args.data, verifier)
    if args.calibrate:
        store(args.engines / "manifest.json", table)
    if args.out:
        args.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def together(data: Path, verifier: Verifier) -> dict[str, Any]:
    """Recall at 0.05 false finds a picture of the verified detector beside CenterFace's."""
    scenes = read_scenes(data, "val")
    contenders: dict[str, Detect] = {
        "medium, verified": verified_detector(verifier, 0.5, True, (576, 224)),
        "large, verified": verified_detector(verifier, 0.5, True, (576, 224, 1024)),
    }
    peer = centerface()
    if peer is not None:
        contenders["CenterFace"] = peer
    found = {}
    for name, detect in ((name, remembered(one)) for name, one in contenders.items()):
        found[name] = {
            "all": summarise(match(scenes, detect, human_only=False)),
            "human boxes": summarise(match(scenes, detect, human_only=True)),
        }
        print(name, json.dumps(found[name]), flush=True)
    return found


def store(path: Path, table: list[dict[str, Any]]) -> None:
    """Put the knots into the manifest's entry."""
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["models"]["face-verifier"]["calibration"] = table
    path.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
