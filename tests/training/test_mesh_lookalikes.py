"""Extra ``train``: torch, safetensors; pictures and finds are synthetic."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="pip install 'streamanon[train]'")
pytest.importorskip("safetensors", reason="pip install 'streamanon[train]'")

import torch

from streamanon.training.mesh import SampleSource, collate, losses, point_weights
from streamanon.training.mesh_lookalikes import (
    INSIDE_SIZE,
    LabelledFace,
    Lookalike,
    Lookalikes,
    is_held_out,
    moved,
    part,
    read_lookalikes,
)
from streamanon.training.portraits import Portrait

KEYPOINTS = np.array([[92, 90], [108, 90], [100, 100], [94, 110], [106, 110]], np.float32)
BOX = np.array([80, 70, 120, 125], np.float32)
#: By the rule: the first is trained on, the second held out.
TRAINED, HELD_OUT = (
    next(f"{number}.png" for number in range(99) if is_held_out(f"{number}.png") == held)
    for held in (False, True)
)


def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (240, 240, 3)).astype(np.uint8)


def test_places_beside_a_face_hardly_overlap_it() -> None:
    face = LabelledFace(picture(), BOX, KEYPOINTS, BOX[None])
    rng = np.random.default_rng(0)
    made = [moved(face, rng) for _ in range(200)]
    sizes = [np.ptp(one.keypoints[:, 1]) / np.ptp(KEYPOINTS[:, 1]) for one in made if one is not None]
    assert len(sizes) > 100
    assert min(sizes) < INSIDE_SIZE[1]
    assert max(sizes) > 1


def test_no_place_beside_a_face_lies_on_another() -> None:
    everywhere = np.array([[x, y, x + 40, y + 55] for x in range(0, 200, 8) for y in range(0, 200, 8)])
    crowd = LabelledFace(picture(), BOX, KEYPOINTS, everywhere.astype(np.float32))
    rng = np.random.default_rng(0)
    made = [moved(crowd, rng) for _ in range(100)]
    beside = [one for one in made if one is not None and np.ptp(one.keypoints[:, 1]) > 0.8 * 20]
    assert not beside


def test_a_part_keeps_its_pixels() -> None:
    image = picture()
    one = part(image, BOX, KEYPOINTS)
    assert one.image.shape[0] < 240
    x, y = one.keypoints[2].astype(int)
    np.testing.assert_array_equal(one.image[y, x], image[100, 100])


@pytest.mark.parametrize("held_out", [False, True])
def test_only_finds_that_are_no_face_are_read(tmp_path: Path, held_out: bool) -> None:
    _write(tmp_path)
    found = read_lookalikes(tmp_path, tmp_path, "train", held_out)
    assert len(found.finds) == 1
    one = found.finds[0]
    assert one.keypoints.shape == (5, 2)
    colour = {TRAINED: 0, HELD_OUT: 255}[HELD_OUT if held_out else TRAINED]
    assert int(np.median(one.image)) == colour


def _write(folder: Path) -> None:
    """Two pictures with a labelled face each; finds on it, on what a judge takes for a face, turned, too
    small, and one that is none.
    """
    boxes = [BOX, [10, 10, 40, 40], [150, 10, 180, 40], [150, 100, 156, 106], [150, 150, 180, 180]]
    columns: dict[str, list[Any]] = {
        "box": boxes,
        "keypoints": [KEYPOINTS] * 5,
        "score": [0.5] * 5,
        "label": [0, -1, -1, -1, -1],
        "iou": [0.9, 0, 0, 0, 0],
        "part": [0] * 5,
        "judge": [0, 0.5, 0, 0, 0],
        "turn": [0, 0, 1, 0, 0],
    }
    entries = []
    for corpus, names in (("scenes", [TRAINED, HELD_OUT]), ("scenes_more", [])):
        with tarfile.open(folder / f"{corpus}.tar", "w") as archive:
            for name, value in zip(names, (0, 255), strict=False):
                cv2.imwrite(str(folder / name), np.full((240, 240, 3), value, np.uint8))
                archive.add(folder / name, name)
                face = {"box": BOX.tolist(), "kpts": None, "score": None, "by": "human"}
                entries.append({"file": name, "split": "train", "faces": [face]})
        (folder / f"{corpus}_labels.json").write_text(json.dumps(entries if names else []))
    table: dict[str, Any] = {key: np.array([*value, *value], np.float32) for key, value in columns.items()}
    table["turn"] = table["turn"].astype(int)
    numbers = np.repeat([0, 1], 5)
    np.savez(folder / "scenes.npz", names=np.array([TRAINED, HELD_OUT]), picture=numbers, **table)


def test_a_quarter_of_the_crops_shows_no_face_and_costs_no_points() -> None:
    rng = np.random.default_rng(3)
    mesh = rng.uniform(60, 180, (478, 2)).astype(np.float32)
    portrait = Portrait(picture(), mesh, None, np.zeros(128, np.float32), "female", "generated", "train")
    false = Lookalikes(
        [Lookalike(picture(), KEYPOINTS)], [0.4], [LabelledFace(picture(), BOX, KEYPOINTS, BOX[None])]
    )
    source = SampleSource([portrait], [], 0, lookalikes=false)
    samples = [source.draw() for _ in range(300)]
    share = 1 - np.mean([one.is_face for one in samples])
    assert 0.12 < share < 0.3
    batch = collate([one for one in samples if not one.is_face])
    sure = torch.zeros(len(batch["face"]), 3)
    sure[:, 0] = 5
    parts = losses((torch.full_like(batch["points"], 50), sure), batch, point_weights())
    assert float(parts["points"]) == 0
    assert float(parts["confidence"]) > 20
