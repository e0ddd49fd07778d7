"""Train the face verifier: face or not, how it is turned, a finer box and five keypoints, of small squares.

    python -m streamanon.training.verifier_mining --data DATA --out FINDS
    python -m streamanon.training.verifier --data DATA --finds FINDS --out engines --minutes 60

The network stands on the first blocks of EfficientNet-Lite0 as ImageNet taught them. A plain one of like
cost from nothing saw three times as many crops in the same time and was no match for it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from streamanon.detect.verifier_crop import SIZE_PX, TURNS
from streamanon.training.lite_features import WIDTH, LiteFeatures
from streamanon.training.session import Student, export_onnx, options, restore, run, steps
from streamanon.training.verifier_samples import VerifierSampler

Batch = dict[str, torch.Tensor]
#: Weights of the losses of turn, box and keypoints beside that of face or not.
TURN_LOSS, BOX_LOSS, POINT_LOSS = 0.15, 2.0, 1.0
SMOOTHING = 0.01
SHARPNESS = 20.0


class VerifierNet(nn.Module):
    """Squares [N, 3, S, S] RGB 0..1 to face [N, 1] logits, turned [N, 4] logits, boxes [N, 4] and keypoints
    [N, 10] in shares of the square.
    """

    def __init__(self, pretrained: bool = True) -> None:
        super().__init__()
        self.features = LiteFeatures(pretrained=pretrained)
        width = WIDTH
        cells = (SIZE_PX // 16) ** 2
        self.squeeze = nn.Sequential(
            nn.Conv2d(width, 32, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(inplace=True)
        )
        self.hidden = nn.Sequential(nn.Linear(32 * cells + width, 128), nn.ReLU(inplace=True))
        self.answers = nn.Linear(128, 1 + len(TURNS) + 4 + 10)

    def forward(self, squares: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found = self.features(squares)
        pooled = found.mean((2, 3))
        placed = self.squeeze(found).flatten(1)
        answers = self.answers(self.hidden(torch.cat([placed, pooled], 1)))
        face, turned, boxes, keypoints = answers.float().split([1, len(TURNS), 4, 10], 1)
        nominal = torch.tensor([0.25, 0.25, 0.75, 0.75], device=boxes.device)
        return face, turned, boxes * 0.1 + nominal, keypoints * 0.1 + 0.5


class Crops(IterableDataset[Batch]):
    """Endless batches of samples."""

    def __init__(self, data: Path, finds: Path | None, batch: int, seed: int) -> None:
        self.data, self.finds, self.batch, self.seed = data, finds, batch, seed

    def __iter__(self) -> Iterator[Batch]:
        import cv2

        cv2.setNumThreads(1)
        sampler = VerifierSampler(self.data, self.finds, self.seed)
        while True:
            yield stacked([sampler.draw() for _ in range(self.batch)])


def stacked(samples: list) -> Batch:
    """Samples as a batch: squares [B, 3, S, S] uint8, face [B], turn [B], box [B, 4], keypoints [B, 10]."""
    return {
        "squares": torch.from_numpy(np.stack([s.image for s in samples])).permute(0, 3, 1, 2),
        "face": torch.tensor([float(s.face) for s in samples]),
        "turn": torch.tensor([s.turn for s in samples]),
        "box": torch.from_numpy(np.stack([s.box for s in samples])).float(),
        "keypoints": torch.from_numpy(np.stack([s.keypoints.ravel() for s in samples])).float(),
    }


def losses(answers: tuple[torch.Tensor, ...], batch: Batch) -> dict[str, torch.Tensor]:
    """The four losses; what is unknown (turn -1, NaN) counts nothing."""
    face, turned, boxes, keypoints = answers
    target = batch["face"] * (1 - 2 * SMOOTHING) + SMOOTHING
    return {
        "face": nn.functional.binary_cross_entropy_with_logits(face[:, 0], target),
        "turn": TURN_LOSS * nn.functional.cross_entropy(turned, batch["turn"], ignore_index=-1),
        "box": BOX_LOSS * _apart(boxes, batch["box"]),
        "points": POINT_LOSS * _apart(keypoints, batch["keypoints"]),
    }


def _apart(found: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    known = torch.isfinite(wanted)
    apart = (found - torch.where(known, wanted, found.detach())) * SHARPNESS
    return (
        nn.functional.smooth_l1_loss(apart, torch.zeros_like(apart), reduction="sum")
        / SHARPNESS
        / known.sum().clamp(1)
    )


def build_model(weights: Path | None) -> VerifierNet:
    model = VerifierNet(pretrained=weights is None)
    if weights is not None:
        restore(model, weights)
    return model


def train(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    student = Student(build_model(args.resume), args, weight_decay=0.02, clip=5.0)
    crops = Crops(args.data, args.finds, args.batch, args.seed)
    loader = DataLoader(crops, None, num_workers=1, prefetch_factor=8)
    for step in steps(loader, args.minutes, 120):
        batch = {key: value.to(device) for key, value in step.batch.items()}
        squares = batch["squares"].to(memory_format=torch.channels_last).float() / 255
        with torch.autocast(device.type, torch.bfloat16, enabled=args.half):
            answers = student.model(squares)
        parts = losses(answers, batch)
        with torch.no_grad():
            right = ((answers[0][:, 0] > 0) == (batch["face"] > 0.5)).float().mean()
        student.learn(step, torch.stack(list(parts.values())).sum(), {**parts, "right": right}, every=200)
    student.save()


class Exported(nn.Module):
    """The network as it is run."""

    def __init__(self, model: VerifierNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, squares: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.model(squares)


def export(weights: Path, folder: Path) -> None:
    """ONNX: squares [N, 3, 64, 64] to the outputs of :class:`VerifierNet`, the batch free."""
    model = build_model(weights).float().eval()
    names = ["face", "turned", "boxes", "keypoints"]
    example = torch.zeros(2, 3, SIZE_PX, SIZE_PX)
    export_onnx(Exported(model), (example,), ["squares"], names, folder / "face-verifier.onnx")


def main() -> None:
    parser = options(__doc__, "face-verifier", 60, 128, 2e-3, 1)
    parser.add_argument("--finds", type=Path, help="folder of the mined finds")
    parser.add_argument("--half", action="store_true", help="bfloat16 autocast: three times as fast")
    run(parser.parse_args(), train, export)


if __name__ == "__main__":
    main()
