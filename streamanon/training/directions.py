"""Learn and measure the directions by which a face's feature is distracted (:mod:`..identity.distraction`).

    python -m streamanon.training.directions --data DATA --out engines

Attribute probes: ridge regressions on ``utk`` and ``generated``. Identity directions: the encoder's head,
and the strongest of a linear discriminant analysis of LFW's training people, less the probes' directions.
Measured on LFW's ``eval`` people and on the ``val`` faces: who is found again from the distracted feature,
and what it still tells.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np
from scipy import linalg  # type: ignore[import-untyped]

from streamanon.config import ComputeConfig
from streamanon.gallery.delegates import open_gallery
from streamanon.geometry import alignment
from streamanon.identity.distraction import ATTRIBUTES, Distraction
from streamanon.identity.encoder import CROP_PX, IdentityEncoder, IdentityFeature
from streamanon.runtime.backends.onnxruntime import create
from streamanon.runtime.models import Engines
from streamanon.training.encoder import load_weights
from streamanon.training.mesh import presentation
from streamanon.training.portraits import Portrait, read_portraits
from streamanon.types import Float

SETS = ("lfw", "utk", "generated")
SKIN = (50, 280, 205, 425, 101, 330, 151, 9)
DISCRIMINANT = 96
PROBE_RIDGE = 1e-3
LDA_RIDGE = 1e-2
KINDS = 32
KEPT = 64  # dimensions that an attacker's own analysis keeps
AGE_GROUPS = (20, 35, 50)
ITA_GROUPS = (10, 28, 41, 55)


@dataclass(frozen=True, eq=False)
class Seen:
    """Faces [N] with what is known of them: ``attributes`` [N, 3], NaN where unknown."""

    features: list[IdentityFeature]
    people: np.ndarray
    source: np.ndarray
    split: np.ndarray
    attributes: np.ndarray

    @property
    def pooled(self) -> Float:
        return np.stack([feature.pooled for feature in self.features])

    def rows(self, *wanted: tuple[str, str]) -> np.ndarray:
        """Whether each face is of one of some (set, split)."""
        return np.any([(self.source == one) & (self.split == two) for one, two in wanted], axis=0)


def look(data: Path, encoder: IdentityEncoder) -> Seen:
    rng = np.random.default_rng(0)
    portraits, features = [], []
    for portrait in read_portraits(data, SETS, ("train", "val", "eval")):
        features.append(encoder.describe_crop(_crop(portrait, rng)))
        portraits.append(portrait)
    return Seen(
        features,
        np.array([portrait.group for portrait in portraits]),
        np.array([portrait.source for portrait in portraits]),
        np.array([portrait.split for portrait in portraits]),
        np.array([_attributes(portrait) for portrait in portraits]),
    )


def _crop(portrait: Portrait, rng: np.random.Generator) -> Float:
    """Aligned by keypoints as noisy as the mesh's."""
    points = portrait.keypoints
    noise = 0.02 * float(np.ptp(points[:, 1]) + np.ptp(points[:, 0]))
    matrix = alignment((points + rng.normal(0, noise, points.shape)).astype(np.float32), CROP_PX)
    crop = cv2.warpAffine(portrait.image, matrix, (CROP_PX, CROP_PX), borderMode=cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(crop[..., ::-1], np.float32)


def _attributes(portrait: Portrait) -> tuple[float, float, float]:
    masculine, age = presentation(portrait)
    if portrait.source == "lfw":
        return masculine, 100 * age, float("nan")
    at = np.rint(portrait.points[list(SKIN)]).astype(int)
    height, width = portrait.image.shape[:2]
    skin = portrait.image[at[:, 1].clip(0, height - 1), at[:, 0].clip(0, width - 1)]
    lab = cv2.cvtColor(skin[None].astype(np.float32) / 255, cv2.COLOR_BGR2LAB)[0]
    light, _, yellow = np.median(lab, axis=0)
    return masculine, 100 * age, float(np.degrees(np.arctan2(light - 50, yellow)))


def fit_probes(pooled: Float, attributes: np.ndarray) -> tuple[Float, Float]:
    """Ridge regressions: weights [3, 256] and offsets [3]."""
    weights, offsets = [], []
    for values in attributes.T:
        known = ~np.isnan(values)
        inputs, wanted = pooled[known].astype(np.float64), values[known]
        middle, mean = inputs.mean(0), wanted.mean()
        centred = inputs - middle
        spread = centred.T @ centred
        spread += PROBE_RIDGE * np.trace(spread) / len(spread) * np.eye(len(spread))
        weight = np.linalg.solve(spread, centred.T @ (wanted - mean))
        weights.append(weight)
        offsets.append(mean - weight @ middle)
    return np.array(weights, np.float32), np.array(offsets, np.float32)


def discriminant(pooled: np.ndarray, people: np.ndarray, count: int) -> np.ndarray:
    """The ``count`` directions [count, 256] that tell people apart best, by those with several photos."""
    _, inverse, counts = np.unique(people, return_inverse=True, return_counts=True)
    several = counts[inverse] >= 2
    features, group = pooled[several].astype(np.float64), np.unique(people[several], return_inverse=True)[1]
    means = np.zeros((group.max() + 1, features.shape[1]))
    np.add.at(means, group, features)
    means /= np.bincount(group)[:, None]
    within = np.cov((features - means[group]).T)
    within += LDA_RIDGE * np.trace(within) / len(within) * np.eye(len(within))
    _, vectors = linalg.eigh(np.cov(means.T), within)
    return np.asarray(vectors[:, ::-1][:, :count].T)


def learn(seen: Seen, head: np.ndarray) -> Distraction:
    """``head`` [128, 256]: the encoder's."""
    known = seen.rows(("utk", "train"), ("generated", "train"))
    probes, offsets = fit_probes(seen.pooled[known], seen.attributes[known])
    lfw = seen.rows(("lfw", "train"))
    telling = discriminant(seen.pooled[lfw], seen.people[lfw], DISCRIMINANT)
    rows = np.concatenate([_unit(head), _unit(telling)])
    rows = rows - rows @ np.linalg.pinv(probes) @ probes
    _, sizes, basis = np.linalg.svd(rows, full_matrices=False)
    identity = basis[sizes > 1e-6 * sizes[0]].astype(np.float32)
    train = seen.split == "train"
    anchors, kinds = middles(_unit(np.stack([feature.embedding for feature in seen.features]))[train])
    told = seen.pooled[train] @ probes.T + offsets
    attributes = np.stack([told[kinds == kind].mean(0) for kind in range(KINDS)])
    return Distraction(identity, probes, offsets, anchors, attributes.astype(np.float32))


def middles(embeddings: np.ndarray) -> tuple[Float, np.ndarray]:
    """k-means: middles [KINDS, 128] of unit length, and each row's kind [N]."""
    cv2.setRNGSeed(0)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 60, 1e-4)
    rows = embeddings.astype(np.float32)
    _, kinds, centres = cv2.kmeans(rows, KINDS, np.empty(0), stop, 3, cv2.KMEANS_PP_CENTERS)
    return _unit(centres).astype(np.float32), kinds.ravel()


def _unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-9))


def measure(seen: Seen, distraction: Distraction, head: np.ndarray, targets: Float) -> dict[str, object]:
    """``targets`` [N, 256]: whom each face tells instead."""
    raw = seen.pooled
    distracted = np.stack(
        [distraction.apply(feature, target) for feature, target in zip(seen.features, targets, strict=True)]
    )
    return {
        "identity directions": len(distraction.identity),
        "found again, rank-1": {
            "before": found_again(seen, raw, raw, head),
            "after": found_again(seen, distracted, raw, head),
        },
        "told": {
            "before": told(seen, distraction, raw),
            "after": told(seen, distraction, distracted),
        },
    }


def found_again(seen: Seen, made: Float, raw: Float, head: np.ndarray) -> dict[str, float]:
    """Rank-1 of ``made`` features of the eval people among ``raw`` ones of their other photos, by the
    features themselves, by embeddings, and by regressions that were trained on other people's pairs.
    """
    train, held = seen.rows(("lfw", "train")), seen.rows(("lfw", "eval"))
    centre = raw[train].mean(0)
    a, b = made - centre, raw - centre
    telling = discriminant(raw[train], seen.people[train], KEPT)
    spread = a[train].T @ a[train]
    spread = spread + LDA_RIDGE * np.trace(spread) / len(spread) * np.eye(len(spread))
    learned = np.linalg.solve(spread, a[train].T @ (b[train] @ telling.T))
    people = seen.people[held]
    same = people[:, None] == people[None]
    chance = (same.sum(1) - 1).mean() / (len(people) - 1)
    return {
        "features": rank1(a[held], b[held], people),
        "embeddings": rank1(a[held] @ head.T, b[held] @ head.T, people),
        "trained on distracted features": rank1(a[held] @ learned, b[held] @ telling.T, people),
        "chance": round(float(chance), 4),
    }


def rank1(queries: np.ndarray, known: np.ndarray, people: np.ndarray) -> float:
    """The share of rows whose nearest other row, by cosine, is the same person's."""
    alike = _unit(queries) @ _unit(known).T
    np.fill_diagonal(alike, -np.inf)
    return round(float((people[alike.argmax(1)] == people).mean()), 4)


def told(seen: Seen, distraction: Distraction, features: Float) -> dict[str, float]:
    """By the shipped probes, on ``val``: share of faces whose attribute is told right."""
    held = seen.rows(("utk", "val"), ("generated", "val"))
    found = np.array([list(distraction.attributes(row).values()) for row in features[held]])
    wanted = seen.attributes[held]
    right: dict[str, float] = {}
    for row, (name, edges) in enumerate(zip(ATTRIBUTES, ((0.5,), AGE_GROUPS, ITA_GROUPS), strict=True)):
        known = ~np.isnan(wanted[:, row])
        groups = [np.digitize(values[known, row], edges) for values in (found, wanted)]
        right[f"{name}, {len(edges) + 1} groups"] = round(float((groups[0] == groups[1]).mean()), 4)
    known = ~np.isnan(wanted[:, 1])
    right["age, mean error"] = round(float(np.abs(found[known, 1] - wanted[known, 1]).mean()), 2)
    return right


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--engines", type=Path, default=Path("engines"))
    parser.add_argument("--out", type=Path, default=Path("engines"))
    args = parser.parse_args()
    engines = Engines.open(args.engines)
    seen = look(args.data, IdentityEncoder(create(ComputeConfig(threads=1)), engines))
    weights = engines.path("identity-encoder").with_suffix(".safetensors")
    head = load_weights(weights).head.weight.detach().numpy()
    distraction = learn(seen, head)
    arrays = {field.name: getattr(distraction, field.name) for field in fields(Distraction)}
    np.savez(args.out / "identity-directions.npz", allow_pickle=False, **arrays)
    delegates = open_gallery(engines).features
    targets = delegates[np.random.default_rng(1).integers(0, len(delegates), len(seen.features))]
    print(json.dumps(measure(seen, distraction, head, targets), indent=1))


if __name__ == "__main__":
    main()
