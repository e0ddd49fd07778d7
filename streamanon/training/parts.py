"""Train the networks that look at eyes and mouth closely, one for eyes and one for mouths.

    python -m streamanon.training.parts --data DATA --turned TURNED --scenes SCENES.npz --minutes 20

``TURNED`` and ``SCENES.npz`` are those of :mod:`streamanon.training.mesh`.
What they are to say is in the labels; where they look is as far off as the whole face's mesh leaves it.
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

from streamanon.geometry import transform
from streamanon.mesh.eye_mouth import PARTS, PATCH_PX, placements
from streamanon.mesh.landmarks import LEFT_EYE, MOUTH
from streamanon.training import blink
from streamanon.training.mesh import ResidualBlock, conv_bn_relu, mirror_table, scene_faces, turned_faces
from streamanon.training.occluders import Occluders
from streamanon.training.portraits import Portrait, read_portraits
from streamanon.training.scenes import degrade
from streamanon.training.session import Student, batches_of, export_onnx, options, restore, run, steps
from streamanon.types import Float

SETS = ("lfw", "generated", "utk", "congress", "faker", "masked")
BLINKS, SHRUNK, OCCLUDED = 0.35, 0.4, 0.15
#: How often a turned portrait and a face of the scenes are shown; of the latter those of so many px and
#: more, as the teacher measures the eyes of smaller ones poorly.
TURNED_SHARE, SCENE_SHARE, LEAST_SCENE_PX = 0.15, 0.25, 40.0
#: Pairs of points, one above the other, whose distance is how far a part is open; by their place in
#: ``LEFT_EYE`` and in ``MOUTH``; and the ends that a part's width is measured between.
EYE_PAIRS = ((10, 2), (11, 3), (12, 4), (13, 5), (14, 6))
MOUTH_PAIRS = tuple((20 + above, 20 + 20 - above) for above in (2, 3, 4, 5, 6, 7, 8))
Tensors = dict[str, torch.Tensor]


class PartNet(nn.Module):
    """RGB patches [B, 3, 64, 64] in 0..1 -> ``count`` points [B, count, 2], px of the patch."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            *conv_bn_relu(3, 16, 2),
            *conv_bn_relu(16, 32, 2),
            ResidualBlock(32),
            *conv_bn_relu(32, 64, 2),
            ResidualBlock(64),
            *conv_bn_relu(64, 96, 2),
        )
        self.neck = nn.Sequential(nn.Flatten(), nn.Linear(96 * 16, 128), nn.ReLU())
        self.points = nn.Linear(128, 2 * count)
        nn.init.normal_(self.points.weight, std=0.002)
        nn.init.constant_(self.points.bias, 0.5)

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        return self.heads(self.trunk(patches))

    def heads(self, trunk: torch.Tensor) -> torch.Tensor:
        """The part that is kept in float32: coordinates need more than bfloat16's eight bits."""
        return self.points(self.neck(trunk)).unflatten(1, (-1, 2)) * (PATCH_PX - 1)


class PartNets(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.eye, self.mouth = PartNet(len(LEFT_EYE)), PartNet(len(MOUTH))

    def forward(self, eyes: torch.Tensor, mouths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.eye(eyes), self.mouth(mouths)


class SampleSource:
    """Draws the three patches [3, 64, 64, 3] uint8 RGB of a portrait, and the points in each."""

    def __init__(
        self, portraits: list[Portrait], seed: int, turned: list[Portrait], seen: list[Portrait]
    ) -> None:
        self.rng = np.random.default_rng(seed)
        self._portraits, self._turned, self._seen = portraits, turned, seen
        self._mirror = mirror_table(
            np.stack([p.points for p in portraits if p.source == "generated"][:500])
        )
        self._occluders = Occluders(lambda rng: portraits[int(rng.integers(len(portraits)))].image)

    def draw(self) -> tuple[np.ndarray, list[Float]]:
        rng = self.rng
        portrait = self._portrait()
        image, points = portrait.image, portrait.points
        if rng.random() < 0.5:
            image = np.ascontiguousarray(image[:, ::-1])
            points = (points * [-1, 1] + [image.shape[1] - 1, 0])[self._mirror].astype(np.float32)
        if portrait.source in SETS and rng.random() < BLINKS:
            image, points = blink.blinked(image, points, blink.drawn(rng))
        if rng.random() < SHRUNK:
            image, points = shrunk(image, points, rng)
        if rng.random() < OCCLUDED:
            image, _ = self._occluders.draw(image, points, rng)
        patches, truths = [], []
        for part, matrix in zip(PARTS, placements(points), strict=True):
            matrix = jittered(matrix, rng)
            patch = cv2.warpAffine(image, matrix, (PATCH_PX, PATCH_PX), borderMode=cv2.BORDER_REPLICATE)
            patches.append(degrade(np.asarray(patch, np.uint8), rng)[..., ::-1])
            truths.append(transform(matrix, points[list(part), :2]))
        return np.stack(patches), truths

    def _portrait(self) -> Portrait:
        roll, faces = self.rng.random(), self._portraits
        if self._turned and roll < TURNED_SHARE:
            faces = self._turned
        elif self._seen and roll > 1 - SCENE_SHARE:
            faces = self._seen
        return faces[int(self.rng.integers(len(faces)))]


def shrunk(image: np.ndarray, points: Float, rng: np.random.Generator) -> tuple[np.ndarray, Float]:
    """A picture [H, W, 3] as small as faces in videos are, and its points."""
    share = float(np.exp(rng.uniform(np.log(0.18), 0)))
    size = max(16, round(image.shape[1] * share)), max(16, round(image.shape[0] * share))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    steps_ = np.array([size[0] / image.shape[1], size[1] / image.shape[0]], np.float32)
    return np.asarray(small, np.uint8), ((points[:, :2] + 0.5) * steps_ - 0.5).astype(np.float32)


def jittered(matrix: Float, rng: np.random.Generator) -> Float:
    """A patch's map as far off as the mesh may be, and now and then further."""
    spread = 2.5 if rng.random() < 0.8 else 6.0
    middle = (PATCH_PX - 1) / 2
    scale, shift = float(np.exp(rng.normal(0, 0.1))), rng.normal(0, spread, 2)
    turn = np.asarray(cv2.getRotationMatrix2D((middle, middle), rng.normal(0, 6), scale), np.float32)
    turn[:, 2] += shift.astype(np.float32)
    joined = turn[:, :2] @ matrix[:, :2]
    return np.column_stack([joined, turn[:, :2] @ matrix[:, 2] + turn[:, 2]]).astype(np.float32)


class Samples(IterableDataset):
    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args

    def __iter__(self) -> Iterator[tuple[np.ndarray, list[Float]]]:
        cv2.setNumThreads(1)
        info = get_worker_info()
        args = self.args
        source = SampleSource(
            list(read_portraits(args.data, SETS)),
            args.seed + (info.id if info else 0),
            turned_faces(args.data, args.turned) if args.turned else [],
            [face for face in scene_faces(args.scenes) if _size(face) >= LEAST_SCENE_PX]
            if args.scenes
            else [],
        )
        while True:
            yield source.draw()


def _size(face: Portrait) -> float:
    return float(np.sqrt(np.prod(face.box[2:] - face.box[:2])))


def collate(items: list[tuple[np.ndarray, list[Float]]]) -> Tensors:
    patches = np.stack([one for one, _ in items]).transpose(0, 1, 4, 2, 3)
    left, right, mouth = (np.stack(column) for column in zip(*(truths for _, truths in items), strict=True))
    return {
        "eyes": torch.from_numpy(np.concatenate([patches[:, 0], patches[:, 1]])),
        "mouths": torch.from_numpy(np.ascontiguousarray(patches[:, 2])),
        "eye points": torch.from_numpy(np.concatenate([left, right])),
        "mouth points": torch.from_numpy(mouth),
    }


def losses(told: torch.Tensor, truth: torch.Tensor, pairs: tuple[tuple[int, int], ...]) -> torch.Tensor:
    """Mean distance, px, and by how much the part is said to be open too far, or not far enough."""
    above, below = (list(column) for column in zip(*pairs, strict=True))
    gaps = [points[:, below] - points[:, above] for points in (told, truth)]
    wrong = (gaps[0] - gaps[1]).norm(dim=2).mean()
    return (told - truth).norm(dim=2).mean() + wrong


def train(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    nets = PartNets()
    if args.resume:
        restore(nets, args.resume)
    student = Student(nets, args, weight_decay=1e-4, clip=50.0)
    for step in steps(batches_of(Samples(args), collate, args), args.minutes, 120):
        batch = {key: value.to(device) for key, value in step.batch.items()}
        parts = {}
        for name, net, pairs in (("eye", nets.eye, EYE_PAIRS), ("mouth", nets.mouth, MOUTH_PAIRS)):
            pixels = batch[f"{name}s"].float().to(memory_format=torch.channels_last) / 255
            with torch.autocast(device.type, torch.bfloat16):
                features = net.trunk(pixels)
            parts[name] = losses(net.heads(features.float()), batch[f"{name} points"], pairs)
        student.learn(step, torch.stack(list(parts.values())).sum(), parts, every=100)
    student.save()


def load_weights(path: Path) -> PartNets:
    nets = PartNets()
    restore(nets, path)
    return nets.eval()


def export(weights: Path, folder: Path) -> None:
    """ONNX: patches of eyes and of mouths [N, 3, 64, 64] RGB 0..1 -> points [N, 21 or 40, 2], px."""
    nets = load_weights(weights)
    patch = torch.zeros(1, 3, PATCH_PX, PATCH_PX)
    names = ["eyes", "mouths"], ["eye_points", "mouth_points"]
    axes = {name: {0: name.split("_")[0].rstrip("s")} for group in names for name in group}
    example = (patch.repeat(2, 1, 1, 1), patch)
    export_onnx(nets, example, *names, folder / "face-parts.onnx", axes)


def main() -> None:
    parser = options(__doc__, "face-parts", 20, 48, 1.5e-3, 3)
    parser.add_argument("--turned", type=Path, help="folder of verifier_turned")
    parser.add_argument("--scenes", type=Path, help="file of mesh_scenes")
    run(parser.parse_args(), train, export)


if __name__ == "__main__":
    main()
