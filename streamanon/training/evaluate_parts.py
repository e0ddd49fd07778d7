"""Measure how lids, irises and lips are followed: by the whole face's mesh alone, and looked at closely.

    python -m streamanon.training.evaluate_parts --data DATA

Faces are looked for from labelled keypoints with noise of 3 % of the face's height. NME is the mean 2-D
error of the 478 points over the distance of the outer eye corners; the rest are correlations with the
labels: how far mouths and eyes are open (height over width), and where irises lie between the corners.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from streamanon.audit.measure import gaze, openness
from streamanon.config import ComputeConfig
from streamanon.media.yuv import from_rgb
from streamanon.mesh.face_mesh import FaceMesh
from streamanon.mesh.landmarks import EYE_CORNERS, EYE_SIDES, INNER_MOUTH_CORNERS, LID_MIDDLES, LIP_MIDDLES
from streamanon.runtime.backends.onnxruntime import create
from streamanon.runtime.models import Engines
from streamanon.training.blink import blinked
from streamanon.training.evaluate_mesh import SETS
from streamanon.training.portraits import Portrait, read_portraits
from streamanon.types import Float, Target

VAL = ("generated", "faker", "congress", "utk")


def seen(mesh: FaceMesh, portrait: Portrait, rng: np.random.Generator) -> tuple[Float, Float]:
    """A portrait's points [478, 3] by the whole face's mesh, and looked at closely."""
    picture = from_rgb(np.ascontiguousarray(portrait.image[..., ::-1]))
    noise = rng.normal(0, 0.03 * np.ptp(portrait.points[:, 1]), (5, 2)).astype(np.float32)
    target = Target(0, portrait.box, portrait.keypoints + noise, True)
    return mesh.measure_whole(picture, target).points, mesh.measure(picture, [target])[0].points


def described(points: Float) -> list[float]:
    """How far mouth and eyes are open, and the gaze."""
    return [
        openness(points, (LIP_MIDDLES,), (INNER_MOUTH_CORNERS,)),
        openness(points, LID_MIDDLES, EYE_SIDES),
        float(gaze(points).mean()),
    ]


def score(mesh: FaceMesh, portraits: Sequence[Portrait], seed: int = 0) -> dict[str, list[float]]:
    """Each measure of the whole face's mesh, and of the close look."""
    rng = np.random.default_rng(seed)
    errors, rows = [], []
    for portrait in portraits:
        both, truth = seen(mesh, portrait, rng), portrait.points
        eyes = np.linalg.norm(truth[EYE_CORNERS[0]] - truth[EYE_CORNERS[1]])
        errors.append([np.linalg.norm(one[:, :2] - truth, axis=1).mean() / eyes for one in both])
        rows.append([described(one) for one in (truth, *both)])
    table = np.array(rows)  # [N, 3, 3]: by whom, of what
    told = {"NME": np.mean(errors, axis=0).round(4).tolist()}
    for number, name in enumerate(("mouth", "eyes", "gaze")):
        pairs = [np.corrcoef(table[:, 0, number], table[:, who, number])[0, 1] for who in (1, 2)]
        told[name] = np.round(pairs, 3).tolist()
    return told


def eyelids(mesh: FaceMesh, portraits: Sequence[Portrait], seed: int = 0) -> dict[str, float]:
    """Eyes closed by warping, by any amount: how well their openness is followed, and its bias where they
    are shut nearly or wholly.
    """
    rng, rows = np.random.default_rng(seed), []
    for portrait in portraits:
        amount = float(rng.choice([0.0, rng.uniform(0, 1), 1.0]))
        image, points = blinked(portrait.image, portrait.points, (amount, amount))
        _, found = seen(mesh, replace(portrait, image=image, points=points), rng)
        rows.append((amount, *(openness(one, LID_MIDDLES, EYE_SIDES) for one in (points, found))))
    amounts, wanted, told = np.array(rows).T
    shut = amounts > 0.9
    return {
        "correlation": round(float(np.corrcoef(wanted, told)[0, 1]), 3),
        "openness where shut: labelled": round(float(wanted[shut].mean()), 3),
        "openness where shut: found": round(float(told[shut].mean()), 3),
        "openness where open: found": round(float(told[amounts == 0].mean()), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    args = parser.parse_args()
    mesh = FaceMesh(create(ComputeConfig(threads=1)), Engines.open())
    for source, split in SETS.items():
        portraits = list(read_portraits(args.data, (source,), (split,)))
        line = {"set": source, "split": split, "faces": len(portraits)}
        print(json.dumps({**line, **score(mesh, portraits)}), flush=True)
    print(json.dumps({"eyelids": eyelids(mesh, list(read_portraits(args.data, VAL, ("val",))))}))


if __name__ == "__main__":
    main()
