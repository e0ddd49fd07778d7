"""Extra ``train``: torch, safetensors, onnx; the samples are made of synthetic pictures."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="pip install 'streamanon[train]'")
pytest.importorskip("safetensors", reason="pip install 'streamanon[train]'")
pytest.importorskip("scipy", reason="pip install 'streamanon[train]'")

import torch

from streamanon.mesh.landmarks import OVAL, mesh_keypoints
from streamanon.training.verifier import VerifierNet, losses, stacked
from streamanon.training.verifier_samples import (
    Deck,
    Pictures,
    Sample,
    Subject,
    VerifierSampler,
    _dim,
    best_overlap,
    moved_box,
    roll_of,
    square_matrix,
    turn_of,
)
from streamanon.training.verifier_turned import turned

KEYPOINTS = np.array([[40, 50], [60, 50], [50, 60], [43, 70], [57, 70]], np.float32)


@pytest.fixture
def sampler(monkeypatch: pytest.MonkeyPatch) -> VerifierSampler:
    """A sampler of one picture with one face."""
    made = VerifierSampler.__new__(VerifierSampler)
    made.rng = np.random.default_rng(0)
    made.store = Pictures()
    image = np.random.default_rng(1).integers(0, 256, (200, 300, 3)).astype(np.uint8)
    face = np.array([30, 35, 70, 85], np.float32)
    made.store.add(image, face[None])
    made._backgrounds = 1
    made.decks = {"scene": Deck([Subject(0, face, KEYPOINTS, 0)])}
    return made


def test_faces_keep_their_box_about_the_middle(sampler: VerifierSampler) -> None:
    samples = [sampler.draw_of("scene") for _ in range(60)]
    assert all(s.image.shape == (64, 64, 3) for s in samples)
    faces = [s for s in samples if s.face]
    assert len(faces) > 40
    given = np.array([0.25, 0.25, 0.75, 0.75], np.float32)
    assert min(best_overlap(given, s.box[None]) for s in faces) > 0.25
    for s in faces:
        assert s.turn == 0
        assert s.keypoints[0, 0] < s.keypoints[1, 0]  # as seen, whichever way it was flipped


def test_parts_and_fallen_faces_are_none(sampler: VerifierSampler) -> None:
    sampler.decks["pasted"] = sampler.decks["turned"] = sampler.decks["scene"]
    sampler.decks["heads"] = sampler.decks["scene"]
    for kind in ("parts", "fallen"):
        samples = [sampler.draw_of(kind) for _ in range(20)]
        assert not any(s.face for s in samples)
        assert all(np.isnan(s.box).all() for s in samples)


def test_a_box_follows_the_map() -> None:
    matrix = square_matrix(np.array([50.0, 50.0]), 100.0, 90.0, False, 100)
    moved = moved_box(np.array([40, 30, 60, 70], np.float32), matrix)
    np.testing.assert_allclose(moved, [29.5, 39.5, 69.5, 59.5], atol=1e-3)


def test_turn_and_roll_by_keypoints() -> None:
    assert turn_of(KEYPOINTS, 40) == 0
    sideways = KEYPOINTS.copy()
    sideways[2, 0] += 12
    assert turn_of(sideways, 40) == 1
    assert turn_of(np.full((5, 2), np.nan, np.float32), 40) == -1
    assert roll_of(KEYPOINTS) == pytest.approx(0)
    assert abs(roll_of(-KEYPOINTS)) == pytest.approx(180)


def test_what_is_unknown_costs_nothing() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    unknown = Sample(image, 0, -1, np.full(4, np.nan, np.float32), np.full((5, 2), np.nan, np.float32))
    known = Sample(
        image, 1, 2, np.array([0.2, 0.2, 0.7, 0.8], np.float32), (KEYPOINTS / 100).astype(np.float32)
    )
    torch.manual_seed(0)
    network = VerifierNet(pretrained=False)
    batch = stacked([known, unknown])
    answers = network(batch["squares"].float() / 255)
    assert [tuple(a.shape) for a in answers] == [(2, 1), (2, 4), (2, 4), (2, 10)]
    parts = losses(answers, batch)
    total = torch.stack(list(parts.values())).sum()
    assert torch.isfinite(total)
    total.backward()
    assert not any(p.grad is not None for p in network.features.stem.parameters())


def test_the_shipped_weights_are_the_shipped_network(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    from streamanon.runtime.models import Engines
    from streamanon.training.verifier import build_model

    path = Engines.open().path("face-verifier")
    squares = np.random.default_rng(0).random((3, 3, 64, 64)).astype(np.float32)
    answers = onnxruntime.InferenceSession(str(path)).run(None, {"squares": squares})
    with torch.no_grad():
        wanted = build_model(path.with_suffix(".safetensors")).eval()(torch.from_numpy(squares))
    for one, other in zip(answers, wanted, strict=True):
        np.testing.assert_allclose(one, other.numpy(), atol=2e-3)


def test_scenes_are_read_in_their_split(tmp_path: Path) -> None:
    from streamanon.training.verifier_mining import labels_of, pictures

    image = np.full((40, 60, 3), (255, 0, 0), np.uint8)  # blue, BGR
    packed = tmp_path / "a.png"
    cv2.imwrite(str(packed), image)
    with tarfile.open(tmp_path / "scenes.tar", "w") as archive:
        archive.add(packed, "a.png")
    faces = [
        {"box": [1, 2, 11, 14], "kpts": None, "score": None, "by": "human"},
        {"box": [20, 2, 31, 14], "kpts": [0.0] * 10, "score": 0.2, "by": "teacher"},
        {"box": [30, 2, 41, 14], "kpts": None, "score": 0.9, "by": "one teacher"},
    ]
    entry = {"file": "a.png", "set": "x", "split": "train", "width": 60, "height": 40, "faces": faces}
    (tmp_path / "scenes_labels.json").write_text(json.dumps([entry]))
    ((read, rgb),) = pictures(tmp_path, "scenes")
    assert rgb[0, 0].tolist() == [0, 0, 255]
    boxes, keypoints, sure = labels_of(read)
    assert boxes.shape == (3, 4)
    assert keypoints.shape == (3, 5, 2)
    assert sure.tolist() == [True, False, False]


def test_finds_and_faces_are_weighed_by_what_the_network_says(tmp_path: Path) -> None:
    """Also where a corpus lies in two files, and another's name begins like its own."""
    pytest.importorskip("onnxruntime")
    from streamanon.training.evaluate_verifier import rescore
    from streamanon.training.verifier_samples import read_doubts

    grey = {"a.png": 51, "b.png": 204}
    for corpus, name, split in (("scenes", "a.png", "train"), ("scenes_more", "b.png", "val")):
        packed = tmp_path / name
        cv2.imwrite(str(packed), np.full((80, 80, 3), grey[name], np.uint8))
        with tarfile.open(tmp_path / f"{corpus}.tar", "w") as archive:
            archive.add(packed, name)
        face = {"box": [20, 20, 50, 60], "kpts": None, "score": None, "by": "human"}
        entry = {"file": name, "set": "x", "split": split, "width": 80, "height": 80, "faces": [face]}
        (tmp_path / f"{corpus}_labels.json").write_text(json.dumps([entry]))
    finds = tmp_path / "finds"
    finds.mkdir()
    box = np.array([[30, 30, 50, 50]], np.float32)
    for stem, name in (("scenes_0", "a.png"), ("scenes_1", "a.png"), ("scenes_more", "b.png")):
        np.savez(finds / stem, names=[name], picture=[0], turn=[0], box=box)
    assert read_doubts(finds) == read_doubts(None) == {}

    def network(squares: np.ndarray) -> list[np.ndarray]:
        return [10 * squares.mean((1, 2, 3))[:, None]]

    rescore(tmp_path, finds, network)  # type: ignore[arg-type]
    for stem, logit in (("scenes_0", 2.0), ("scenes_1", 2.0), ("scenes_more", 8.0)):
        with np.load(finds / f"{stem}.npz") as table:
            np.testing.assert_allclose(table["hard"], 1 / (1 + np.exp(-logit)), atol=1e-2)
    doubts = read_doubts(finds)
    assert list(doubts) == ["a.png"]  # val weighs nothing
    assert 0 < doubts["a.png"][0] < 1


def test_the_stem_and_frozen_blocks_do_not_learn_and_the_rest_does_under_autocast() -> None:
    net = VerifierNet(pretrained=False).train()
    with torch.autocast("cpu", torch.bfloat16):
        answers = net(torch.rand(2, 3, 64, 64))
    sum(a.sum() for a in answers).backward()
    kept = [net.features.stem, *net.features.blocks[: net.features.frozen]]
    assert all(p.grad is None for part in kept for p in part.parameters())
    assert all(
        p.grad is not None for part in net.features.blocks[net.features.frozen :] for p in part.parameters()
    )


def test_a_find_may_lie_before_a_face(sampler: VerifierSampler, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = np.full((5, 2), np.nan, np.float32)
    find = Subject(0, np.array([200, 100, 240, 150], np.float32), unknown)
    sampler.decks["finds"] = Deck([find], [1.0])
    monkeypatch.setattr("streamanon.training.verifier_samples.BY_FIND", 1.0)
    plain = np.zeros((64, 64, 3), np.uint8)
    covered = [(sampler._occluded(plain) > 0).any(axis=2).mean() for _ in range(20)]
    assert min(covered) > 0
    assert max(covered) < 0.7  # never all of the face


def test_fallen_faces_and_parts_are_drawn(sampler: VerifierSampler) -> None:
    """They have no deck of their own, and so were left out: upside-down faces passed for faces."""
    sampler._choose_kinds()
    assert set(sampler._kinds) == {"scene", "fallen", "parts"}


def test_a_portrait_turns_and_bends() -> None:
    rng = np.random.default_rng(0)
    side = 96
    angles = np.linspace(0, 2 * np.pi, len(OVAL), endpoint=False)
    points = np.zeros((478, 3), np.float32)
    inside = rng.uniform(-0.6, 0.6, (478, 2))
    points[:, :2] = 48 + inside * [20, 26]
    points[:, 2] = -20 * (1 - (inside**2).sum(axis=1))
    points[list(OVAL), :2] = 48 + np.stack([20 * np.sin(angles), -26 * np.cos(angles)], axis=1)
    points[list(OVAL), 2] = 0
    image = rng.integers(0, 256, (side, side, 3), np.uint8)
    straight = turned(image, points, 0.0)
    sideways, down = turned(image, points, 70.0), turned(image, points, 0.0, 35.0)
    assert all(made.shape == image.shape for made, _ in (straight, sideways, down))
    assert np.ptp(sideways[1][:468, 0]) < 0.8 * np.ptp(straight[1][:468, 0])
    assert (mesh_keypoints(down[1])[:, 1] > mesh_keypoints(straight[1])[:, 1]).all()
    np.testing.assert_allclose(down[1][:, 0], straight[1][:, 0], atol=1e-3)


def test_dim_pictures_are_dark_and_out_of_focus() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (48, 48, 3), np.uint8)
    made = _dim(image, rng)
    assert made.shape == image.shape
    assert made.dtype == np.uint8
    assert made.mean() < 0.6 * image.mean()
    assert made.std() < 0.5 * image.std()
