"""Train the face detector: an ultralytics YOLO with a keypoint head, from its YAML, on square crops.

The network is fully convolutional, so that crops of 256 px train it for frames of any size, several
times faster than whole pictures do.

    python -m streamanon.training.detector --data DATA --out engines --minutes 75
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import IterableDataset, get_worker_info
from ultralytics.cfg import get_cfg
from ultralytics.nn.tasks import PoseModel

from streamanon.training.detector_samples import CropSampler
from streamanon.training.scenes import Labels
from streamanon.training.session import (
    Student,
    batches_of,
    blend_into,
    export_onnx,
    options,
    restore,
    run,
    steps,
)

Batch = tuple[torch.Tensor, dict[str, torch.Tensor]]


class Crops(IterableDataset[tuple[np.ndarray, Labels]]):
    """Endless augmented crops, another stream of them in every worker."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args

    def __iter__(self) -> Iterator[tuple[np.ndarray, Labels]]:
        import cv2

        cv2.setNumThreads(1)
        info = get_worker_info()
        args = self.args
        seed = args.seed + (info.id if info else 0)
        sampler = CropSampler(args.data, args.crop, seed, args.mined, args.turned)
        while True:
            yield sampler.draw()


def collate(items: list[tuple[np.ndarray, Labels]]) -> Batch:
    """Stack crops [B, 3, S, S] uint8 and gather labels in the ultralytics batch layout."""
    images = torch.from_numpy(np.stack([image for image, _ in items])).permute(0, 3, 1, 2).contiguous()
    size = images.shape[-1]
    index, boxes, keypoints, ignored = [], [], [], []
    for row, (_, labels) in enumerate(items):
        sure = labels.pick(~labels.ignore)
        index.append(np.full(len(sure.boxes), row))
        boxes.append(sure.boxes / size)
        keypoints.append(sure.keypoints / np.array([size, size, 1], np.float32))
        unsure = labels.pick(labels.ignore).boxes
        ignored.append(np.column_stack([np.full(len(unsure), row), unsure]))
    corners = torch.from_numpy(np.concatenate(boxes)).float()
    xywh = torch.cat([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], 1)
    return images, {
        "batch_idx": torch.from_numpy(np.concatenate(index)).float(),
        "cls": torch.zeros(len(xywh), 1),
        "bboxes": xywh,
        "keypoints": torch.from_numpy(np.concatenate(keypoints)).float(),
        "ignored": torch.from_numpy(np.concatenate(ignored)).float(),
    }


class IgnoringBCE(nn.Module):
    """Element-wise BCE that is silent on background anchors inside ignored boxes."""

    def __init__(self) -> None:
        super().__init__()
        self.mute: torch.Tensor | None = None

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        loss = nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        return loss if self.mute is None else loss * ~(self.mute & (targets == 0))


def muted_anchors(ignored: torch.Tensor, batch: int, size: int, strides: list[int]) -> torch.Tensor:
    """Which anchors [B, A, 1] lie in an ignored box; ``ignored`` [N, 5] is (image, x0, y0, x1, y1)."""
    centres = []
    for stride in strides:
        steps = torch.arange(size // stride) * stride + stride / 2
        y, x = torch.meshgrid(steps, steps, indexing="ij")
        centres.append(torch.stack([x.flatten(), y.flatten()], 1))
    points = torch.cat(centres)
    mute = torch.zeros(batch, len(points), 1, dtype=torch.bool)
    for image, x0, y0, x1, y1 in ignored.tolist():
        inside = (points[:, 0] >= x0) & (points[:, 0] <= x1) & (points[:, 1] >= y0) & (points[:, 1] <= y1)
        mute[int(image), :, 0] |= inside
    return mute


def build_model(weights: Path | None) -> PoseModel:
    model = PoseModel("yolo11n-pose.yaml", nc=1, data_kpt_shape=[5, 3], verbose=False)
    model.args = get_cfg(overrides={"box": 7.5, "cls": 0.7, "dfl": 1.5, "pose": 6.0, "kobj": 0.3})
    if weights is not None:
        restore(model, weights)
    return model


def train(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    student = Student(build_model(args.resume), args, weight_decay=0.01, clip=10.0)
    model = student.model
    for layer in model.model[: args.frozen]:
        layer.requires_grad_(False)
    criterion = model.init_criterion()
    criterion.bce = IgnoringBCE()
    crops = batches_of(Crops(args), collate, args)
    strides = [int(s) for s in model.stride]
    for step in steps(crops, args.minutes, 300):
        images, batch = step.batch
        pixels = images.to(device, torch.float32, memory_format=torch.channels_last) / 255
        with torch.autocast(device.type, torch.bfloat16, enabled=args.half):
            outputs = model(pixels)
        outputs = {
            k: [f.float() for f in v] if isinstance(v, list) else v.float() for k, v in outputs.items()
        }
        criterion.bce.mute = muted_anchors(batch["ignored"], len(images), args.crop, strides).to(device)
        loss, items = criterion(outputs, {k: v.to(device) for k, v in batch.items()})
        student.learn(step, loss.sum(), items, every=100)
    if args.mean_with is not None:
        blend_into(student.average, build_model(args.mean_with).to(device), 0.5)
    student.save()


class Exported(nn.Module):
    """The network without its anchors, so that one file serves every input size.

    Boxes and keypoints come out in strides from the anchor's centre; the detector adds the anchors.
    """

    def __init__(self, model: PoseModel) -> None:
        super().__init__()
        self.layers, self.save = model.model[:-1], model.save
        self.head = model.model[-1]

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        kept: list[torch.Tensor | None] = []
        x = images
        for layer in self.layers:
            if layer.f != -1:
                sources = [layer.f] if isinstance(layer.f, int) else layer.f
                inputs = [x if source == -1 else kept[source] for source in sources]
                x = inputs[0] if isinstance(layer.f, int) else inputs
            x = layer(x)
            kept.append(x if layer.i in self.save else None)
        features = [kept[source] for source in self.head.f]
        head = self.head
        raw = head.forward_head(features, head.cv2, head.cv3, head.cv4)
        keypoints = raw["kpts"].view(1, 5, 3, -1)[:, :, :2] * 2 - 0.5
        return head.dfl(raw["boxes"]), raw["scores"].sigmoid(), keypoints.flatten(1, 2)


def export(weights: Path, folder: Path) -> None:
    """ONNX: images [1, 3, H, W] RGB 0..1 -> boxes [1, 4, A], scores [1, 1, A], keypoints [1, 10, A]."""
    model = build_model(weights).float().eval().fuse(verbose=False)
    target = folder / "face-detector.onnx"
    names = ["boxes", "scores", "keypoints"]
    axes = {"images": {2: "height", 3: "width"}, **{name: {2: "anchors"} for name in names}}
    export_onnx(Exported(model), (torch.zeros(1, 3, 320, 576),), ["images"], names, target, axes)


def main() -> None:
    parser = options(__doc__, "face-detector", 75, 16, 1.5e-3, 1)
    parser.add_argument("--crop", type=int, default=256)
    parser.add_argument("--frozen", type=int, default=0, help="how many of the first layers do not learn")
    parser.add_argument("--mined", type=Path, help="folder of what verifier_mining wrote, rescored")
    parser.add_argument("--turned", type=Path, help="folder of what verifier_turned wrote")
    parser.add_argument("--mean-with", type=Path, help="earlier weights: their mean with the new is saved")
    parser.add_argument("--half", action="store_true", help="bfloat16 autocast, where the processor has it")
    run(parser.parse_args(), train, export)


if __name__ == "__main__":
    main()
