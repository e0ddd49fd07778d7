"""What the detector of the round before made of the training scenes, for the next round to learn from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamanon.training.verifier_samples import (
    CORRECTIONS,
    NONE_IOU,
    corrected,
    no_face,
    read_doubts,
    read_finds,
)

Boxes = NDArray[np.float32]
#: A detection below this score is too weak to teach anything.
LEAST_SCORE = 0.15
#: The verifier's probability: below the first a detection without a label is no face, above the second it
#: may be one.
NO_FACE, MAYBE_FACE = 0.2, 0.5
#: Sets of hands, fists, textures and heads from above: what is detected there beside the labels is no face,
#: whatever another detector says.
FACELESS = ("hands", "signs", "textures", "heads")
#: Labels that the verifier gives less are often wrong and not shown more often for being missed.
LEAST_SURE = 0.15


@dataclass(frozen=True)
class Mined:
    """One picture's detections. ``lookalikes`` [M, 4]: boxes of what is no face; ``doubtful`` [K, 4]: of
    what may be a face without a label; ``missed`` [N]: how surely the detector missed each label, 0..1.
    """

    lookalikes: Boxes
    doubtful: Boxes
    missed: NDArray[np.float32]


def read_mined(folder: Path) -> dict[str, Mined]:
    """By the picture's file name, from what :mod:`verifier_mining` and ``evaluate_verifier --rescore``
    wrote.
    """
    corrections = json.loads(CORRECTIONS.read_text(encoding="utf-8"))
    doubts = read_doubts(folder)
    found = {}
    for name, table in read_finds(folder):
        upright = (table["turn"] == 0) & (table["score"] >= LEAST_SCORE)
        seen = np.array([corrected(box, corrections, name, "face") for box in table["box"]], bool)
        faceless = name.split("_")[0] in FACELESS
        apart = table["iou"] < NONE_IOU if faceless else no_face(table) & (table["hard"] < NO_FACE) & ~seen
        nothing = upright & apart
        unlabelled = (table["turn"] == 0) & (table["label"] < 0) & (not faceless)
        maybe = unlabelled & (seen | (table["judge"] >= 0.25) | (table["hard"] >= MAYBE_FACE))
        found[name] = Mined(table["box"][nothing], table["box"][maybe], _missed(table, doubts.get(name)))
    return found


def _missed(table: dict[str, NDArray], doubts: NDArray | None) -> NDArray[np.float32]:
    if doubts is None:
        return np.zeros(0, np.float32)
    best = np.zeros(len(doubts), np.float32)
    laid = (table["label"] >= 0) & (table["turn"] == 0)
    np.maximum.at(best, table["label"][laid], table["score"][laid])
    return np.where(1 - doubts >= LEAST_SURE, 1 - best, 0).astype(np.float32)
