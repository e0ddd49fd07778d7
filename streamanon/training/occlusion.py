"""Train the occlusion network: which cells of a crop show something in front of the face.

    python -m streamanon.training.crops --data DATA --out CROPS.npz
    python -m streamanon.training.occlusion --bank CROPS.npz --out engines --minutes 20

It learns from things pasted in front, and from faces with real masks. Hair that really hangs into a face is
not labelled anywhere: what looks like it is left out of the loss.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from streamanon.gallery.filters import lab
from streamanon.geometry import CROP_PX
from streamanon.mesh.landmarks import MASK_OUTLINE
from streamanon.training.crops import Bank, Draws, Jitter, placed
from streamanon.training.mesh import ResidualBlock, conv_bn_relu
from streamanon.training.occluders import Occluders
from streamanon.training.scenes import degrade
from streamanon.training.session import Student, batches_of, export_onnx, options, restore, run, steps
from streamanon.types import Float

CELLS = 32
OCCLUDED = 0.7
JITTER = Jitter(5, 3, 0.06)
#: Colour distance (Lab) from the skin's median beyond which a pixel near the rim may be hair.
HAIR_APART = 18.0


class OcclusionNet(nn.Module):
    """RGB crop [B, 3, 128, 128] in 0..1 -> logits [B, 1, 32, 32]: something is in front of the face."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(*conv_bn_relu(3, 16, 2), *conv_bn_relu(16, 32, 2), ResidualBlock(32))
        self.middle = nn.Sequential(*conv_bn_relu(32, 64, 2), ResidualBlock(64))
        self.coarse = nn.Sequential(*conv_bn_relu(64, 96, 2), ResidualBlock(96), ResidualBlock(96))
        self.up = nn.ModuleList([nn.Conv2d(96, 64, 1), nn.Conv2d(64, 32, 1)])
        self.mix = nn.ModuleList([ResidualBlock(64), ResidualBlock(32)])
        self.head = nn.Conv2d(32, 1, 1)

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        fine = self.fine(crops)
        middle = self.middle(fine)
        x = self.coarse(middle)
        for up, mix, skip in zip(self.up, self.mix, (middle, fine), strict=True):
            x = mix(functional.interpolate(up(x), scale_factor=2.0, mode="nearest") + skip)
        logits: torch.Tensor = self.head(x)
        return logits


@dataclass(frozen=True, eq=False)
class Sample:
    """``crop`` [3, 128, 128] uint8 RGB; ``front`` [32, 32]: how much of each cell is in front; ``known``
    [32, 32]: how much its label counts.
    """

    crop: np.ndarray
    front: Float
    known: Float


class SampleSource:
    """Draws faces with things in front, and faces without."""

    def __init__(self, bank: Bank, seed: int) -> None:
        self.bank, self.rng = bank, np.random.default_rng(seed)
        self._occluders = Occluders(lambda rng: bank[int(rng.integers(len(bank)))].image)

    def draw(self) -> Sample:
        rng = self.rng
        face = self.bank[int(rng.integers(len(self.bank)))]
        image, points = placed(face.image, face.points, JITTER, rng)
        hull = _polygon(points, range(len(points)))
        front, known = np.zeros(hull.shape, np.bool_), hull
        if face.source == "masked":
            front, bare = cloth(image, points, hull)
            known = front | bare
        known = known & (front | ~maybe_hair(image, points, hull, front))
        if rng.random() < OCCLUDED:
            image, pasted = self._occluders.draw(image, points, rng)
            front, known = front | pasted, known | (pasted & hull)
        crop = degrade(image, rng)
        if rng.random() < 0.5:
            crop, front, known = (np.ascontiguousarray(one[:, ::-1]) for one in (crop, front, known))
        return Sample(np.ascontiguousarray(crop.transpose(2, 0, 1)), _cells(front), _cells(known))


def cloth(image: np.ndarray, points: Float, hull: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of a face with a mask: where cloth is surely seen, and where surely none, [128, 128] each. Masks are
    worn high and low, so that their colour tells, not their place alone; those of the set are pale blue.
    """
    place = _polygon(points, MASK_OUTLINE)
    light, red, yellow = np.moveaxis(lab(image.astype(np.float32) / np.float32(255)), 2, 0)
    pale = place & (light > 40) & (red < 8) & (yellow < 4)
    closed = cv2.morphologyEx(pale.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    front = cv2.morphologyEx(closed, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    near = cv2.dilate(front, np.ones((5, 5), np.uint8)) > 0
    return front > 0, hull & ~near & (~place | (yellow > 8))


def _polygon(points: Float, outline: range | tuple[int, ...]) -> np.ndarray:
    mask = np.zeros((CROP_PX, CROP_PX), np.uint8)
    hull = cv2.convexHull(np.rint(points[list(outline), :2]).astype(np.int32))
    cv2.fillConvexPoly(mask, hull, 1)
    return mask > 0


def maybe_hair(image: np.ndarray, points: Float, hull: np.ndarray, front: np.ndarray) -> np.ndarray:
    """Pixels [128, 128] near the rim, above the mouth, whose colour is not the skin's."""
    size = float(np.sqrt(hull.sum()))
    inward = cv2.distanceTransform(np.pad(hull.astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    core = (inward > 0.2 * size) & ~front
    if not core.any():
        return np.zeros(hull.shape, np.bool_)
    colours = lab(image.astype(np.float32) / np.float32(255))
    apart = np.linalg.norm(colours - np.median(colours[core], axis=0), axis=2)
    above = np.indices(hull.shape)[0] < points[:, 1].max() - 0.25 * np.ptp(points[:, 1])
    return np.asarray(hull & (inward < 0.25 * size) & above & (apart > HAIR_APART))


def _cells(mask: np.ndarray) -> Float:
    return np.asarray(
        cv2.resize(mask.astype(np.float32), (CELLS, CELLS), interpolation=cv2.INTER_AREA), np.float32
    )


def collate(items: list[Sample]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    crops, fronts, knowns = zip(*((item.crop, item.front, item.known) for item in items), strict=True)
    return tuple(torch.from_numpy(np.stack(column)) for column in (crops, fronts, knowns))  # type: ignore[return-value]


def loss_of(logits: torch.Tensor, front: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    apart = functional.binary_cross_entropy_with_logits(logits[:, 0], front, reduction="none")
    return (apart * known).sum() / known.sum().clamp(min=1)


def train(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    loader = batches_of(Draws(args.bank, args.seed, SampleSource), collate, args)
    student = Student(load_weights(args.resume) if args.resume else OcclusionNet(), args, 0.01, 5.0)
    student.model.train()
    for step in steps(loader, args.minutes, 180):
        crops, front, known = (one.to(device) for one in step.batch)
        pixels = crops.to(torch.float32, memory_format=torch.channels_last) / 255
        with torch.autocast(device.type, torch.bfloat16):
            logits = student.model(pixels)
        loss = loss_of(logits.float(), front, known)
        student.learn(step, loss, {"cells": loss}, every=100)
    student.save()


@torch.no_grad()
def measure(net: OcclusionNet, bank: Path, count: int = 1500, seed: int = 11) -> dict[str, float]:
    """On drawn samples: of cells in front, those found, and of face cells, those taken for it; at 0.5."""
    source = SampleSource(Bank(bank), seed)
    found, all_front, wrong, all_face = 0, 0, 0, 0
    for _ in range(count // 50):
        crops, front, known = collate([source.draw() for _ in range(50)])
        told, sure = net(crops.float() / 255)[:, 0] > 0, known > 0.9
        is_front, is_face = sure & (front > 0.9), sure & (front < 0.1)
        found, all_front = found + int((told & is_front).sum()), all_front + int(is_front.sum())
        wrong, all_face = wrong + int((told & is_face).sum()), all_face + int(is_face.sum())
    return {"found": round(found / max(all_front, 1), 4), "wrong": round(wrong / max(all_face, 1), 4)}


def load_weights(path: Path) -> OcclusionNet:
    net = OcclusionNet()
    restore(net, path)
    return net.eval()


class Exported(nn.Module):
    """The network, telling shares 0..1."""

    def __init__(self, net: OcclusionNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        shares: torch.Tensor = self.net(crops).sigmoid()
        return shares


def export(weights: Path, folder: Path) -> None:
    """ONNX: crops [B, 3, 128, 128] RGB 0..1 -> front [B, 1, 32, 32], 0..1."""
    target = folder / "face-occlusion.onnx"
    example = (torch.zeros(1, 3, CROP_PX, CROP_PX),)
    export_onnx(Exported(load_weights(weights)), example, ["crops"], ["front"], target)


def main() -> None:
    parser = options(__doc__, "face-occlusion", 20, 48, 2e-3, 6, data=False)
    parser.add_argument("--bank", type=Path, required=True, help="of streamanon.training.crops")
    parser.add_argument("--measure", type=Path, help="a bank of faces to measure on")
    args = parser.parse_args()
    run(args, train, export)
    if args.measure:
        print(measure(load_weights(args.weights), args.measure))


if __name__ == "__main__":
    main()
