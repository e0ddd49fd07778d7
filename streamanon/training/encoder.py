"""Train the identity encoder: a small CNN that describes a face as a recogniser (dlib's, CC0) would.

Its last feature map goes through a global average pool and one linear layer, so that the class-activation
map of the identity score is closed-form (:mod:`streamanon.identity.encoder`).

    python -m streamanon.training.morphs --data DATA --out MORPHS
    python -m streamanon.training.encoder --data DATA --morphs MORPHS --out engines --minutes 90

Crops are degraded (small, blurred, compressed, occluded, dark); the target is the clean one's embedding.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn
from torch.utils.data import IterableDataset, get_worker_info

from streamanon.identity.encoder import CHANNELS, CROP_PX, EMBEDDING
from streamanon.training.mesh import ResidualBlock, SampleSource, conv_bn_relu
from streamanon.training.morphs import MorphBank
from streamanon.training.portraits import embedding_centre, read_portraits
from streamanon.training.session import Student, batches_of, export_onnx, options, restore, run, steps

SETS = ("lfw", "generated", "utk", "congress", "faker", "masked")
Batch = tuple[torch.Tensor, torch.Tensor]


class EncoderNet(nn.Module):
    """RGB crop [B, 3, 112, 112] in 0..1 -> feature map [B, 256, 7, 7] and embedding [B, 128].

    Embeddings are measured from the teacher's mean: faces differ little from it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            *conv_bn_relu(3, 24, 2),
            *conv_bn_relu(24, 32, 2),
            ResidualBlock(32),
            *conv_bn_relu(32, 80, 2),
            ResidualBlock(80),
            ResidualBlock(80),
            *conv_bn_relu(80, 160, 2),
            ResidualBlock(160),
            ResidualBlock(160),
            nn.Conv2d(160, CHANNELS, 1, bias=False),
            nn.BatchNorm2d(CHANNELS),
            nn.ReLU(),
        )
        self.head = nn.Linear(CHANNELS, EMBEDDING, bias=False)

    def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.trunk(crops)
        return features, self.head(features.mean((2, 3)))


class Crops(IterableDataset[tuple[np.ndarray, np.ndarray]]):
    """Endless degraded crops [112, 112, 3] RGB with their embeddings [128]."""

    def __init__(self, data: Path, morphs: Path, seed: int) -> None:
        self.data, self.morphs, self.seed = data, morphs, seed

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        cv2.setNumThreads(1)
        info = get_worker_info()
        portraits = list(read_portraits(self.data, SETS))
        seed = self.seed + (info.id if info else 0)
        source = SampleSource(portraits, [], seed, CROP_PX, MorphBank(self.morphs))
        while True:
            sample = source.draw()
            yield sample.crop, sample.embedding


def collate(items: list[tuple[np.ndarray, np.ndarray]]) -> Batch:
    crops = np.ascontiguousarray(np.stack([crop for crop, _ in items]).transpose(0, 3, 1, 2))
    return torch.from_numpy(crops), torch.from_numpy(np.stack([embedding for _, embedding in items]))


def losses(found: torch.Tensor, wanted: torch.Tensor) -> dict[str, torch.Tensor]:
    """``found``, ``wanted`` [B, 128]: each embedding by itself, and how alike the batch's pairs are."""
    one, two = (nn.functional.normalize(value, dim=1) for value in (found, wanted))
    return {
        "cosine": (1 - (one * two).sum(1)).mean(),
        "pairs": 4 * ((one @ one.T - two @ two.T) ** 2).mean(),
        "length": 0.2 * ((found.norm(dim=1) - wanted.norm(dim=1)) / wanted.norm(dim=1)).abs().mean(),
    }


def train(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    loader = batches_of(Crops(args.data, args.morphs, args.seed), collate, args)
    model = load_weights(args.resume) if args.resume else EncoderNet()
    student = Student(model, args, weight_decay=0.02, clip=5.0)
    centre = torch.from_numpy(embedding_centre(args.data)).to(device)
    for step in steps(loader, args.minutes, 180):
        crops, embeddings = step.batch
        pixels = crops.to(device, torch.float32, memory_format=torch.channels_last) / 255
        with torch.autocast(device.type, torch.bfloat16):
            _, found = model(pixels)
        parts = losses(found.float(), embeddings.to(device) - centre)
        total = torch.stack(list(parts.values())).sum()
        student.learn(step, total, parts, every=200)
    student.save()


def load_weights(path: Path) -> EncoderNet:
    net = EncoderNet()
    restore(net, path)
    return net.eval()


class Exported(nn.Module):
    """Embedding, class-activation map of the identity score, and what each channel adds to that score.

    The score is the embedding's projection on its own direction. Its gradient with respect to channel k of
    the last feature map is the same everywhere, w_k / (H W) with w = W^T e / |e|: that is Grad-CAM's
    channel weight (Selvaraju et al., 2017), and the map is the positive part of the weighted sum.
    """

    def __init__(self, net: EncoderNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        features, embedding = self.net(crops)
        direction = embedding / embedding.norm(dim=1, keepdim=True).clamp(min=1e-6)
        importance = direction @ self.net.head.weight / (features.shape[2] * features.shape[3])
        activation = (features * importance[:, :, None, None]).sum(1).relu()
        return embedding, features.mean((2, 3)), activation, importance


def export(weights: Path, folder: Path) -> None:
    """ONNX: crops [B, 3, 112, 112] RGB 0..1 -> what :class:`Exported` says, and the pooled features."""
    target = folder / "identity-encoder.onnx"
    names = ["embedding", "pooled", "map", "importance"]
    example = (torch.zeros(1, 3, CROP_PX, CROP_PX),)
    export_onnx(Exported(load_weights(weights)), example, ["crops"], names, target)


def main() -> None:
    parser = options(__doc__, "identity-encoder", 90, 96, 2e-3, 4)
    parser.add_argument("--morphs", type=Path, required=True, help="a folder of streamanon.training.morphs")
    run(parser.parse_args(), train, export)


if __name__ == "__main__":
    main()
