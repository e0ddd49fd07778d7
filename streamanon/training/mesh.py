"""Train the face mesh: 478 points, a confidence, and how the face presents.

    python -m streamanon.training.verifier_turned --data DATA --out TURNED --each 1 --seed 1
    MEDIAPIPE_PYTHON streamanon/training/mesh_scenes.py DATA SCENES.npz
    python -m streamanon.training.verifier_mining --data DATA --out FINDS --splits train --upright
    python -m streamanon.training.mesh --data DATA --turned TURNED --scenes SCENES.npz \\
        --finds FINDS --minutes 35

The confidence learns the network's own error: its target is exp(-NME / 10 %), and 0 where there is no
face: on background, on the detector's false finds, and beside and inside faces.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch
from torch import nn
from torch.utils.data import IterableDataset, get_worker_info

from streamanon.geometry import CROP_PX, alignment, transform
from streamanon.identity.encoder import EMBEDDING
from streamanon.mesh.landmarks import (
    BROWS,
    EYE_CORNERS,
    EYE_ENDS,
    INNER_LIPS,
    INNER_MOUTH_CORNERS,
    LID_MIDDLES,
    LIDS,
    LIP_EDGES,
    LIP_MIDDLES,
    MOUTH_CORNERS,
    NOSE_TIP,
    SKIN_POINTS,
    mesh_keypoints,
    yaw_degrees,
)
from streamanon.training import blink
from streamanon.training.mesh_lookalikes import Lookalike, Lookalikes, is_held_out, read_lookalikes
from streamanon.training.portraits import Portrait, read_portraits
from streamanon.training.scenes import FLIPPED_KEYPOINTS, Scene, degrade, read_scenes
from streamanon.training.session import Student, batches_of, export_onnx, options, restore, run, steps
from streamanon.training.verifier_turned import turned_meshes

SETS = ("lfw", "generated", "utk", "congress", "faker", "masked")
POINTS = 478
Outputs = tuple[torch.Tensor, torch.Tensor]
#: How many crops show no face: background; and, with look-alikes, less of it, false finds, and places
#: beside faces.
NEGATIVE_SHARE = 0.1
BACKGROUND_SHARE, FIND_SHARE, BESIDE_SHARE = 0.05, 0.15, 0.05
#: The source of portraits turned by their meshes.
TURNED = "turned"
BANK_SHARE = 0.65
BLINKS = 0.25
#: Top and bottom of the face's oval; the outer eye corners' distance from the front over the height.
OVAL_ENDS, EYES_TO_HEIGHT = (10, 152), 0.45
#: How often a crop shows a turned portrait, and a face of the scenes.
TURNED_SHARE, SCENE_SHARE = 0.22, 0.33
#: A face turned by this many degrees is shown twice as often as one from the front.
TWICE_DEG = 20.0


class ResidualBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*conv_bn_relu(width, width, 1), *conv_bn_relu(width, width, 1)[:2])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.relu(x + self.body(x))


def conv_bn_relu(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU()]


class MeshNet(nn.Module):
    """RGB crop [B, 3, 128, 128] in 0..1 -> points [B, 478, 3] in crop px and traits [B, 3] (logits of
    confidence and of a masculine presentation, and age / 100).
    """

    def __init__(self, mean_shape: torch.Tensor | None = None) -> None:
        super().__init__()
        widths = (16, 24, 48, 96, 128)
        layers: list[nn.Module] = conv_bn_relu(3, widths[0], 2)
        for inputs, outputs in itertools.pairwise(widths):
            layers += [*conv_bn_relu(inputs, outputs, 2), ResidualBlock(outputs), ResidualBlock(outputs)]
        self.trunk = nn.Sequential(*layers)
        self.neck = nn.Sequential(nn.Flatten(), nn.Linear(widths[-1] * 16, 256), nn.ReLU())
        self.points = nn.Linear(256, POINTS * 3)
        self.traits = nn.Linear(256, 3)
        nn.init.normal_(self.points.weight, std=0.002)
        nn.init.zeros_(self.points.bias)
        shape = torch.zeros(POINTS, 3) if mean_shape is None else mean_shape
        self.register_buffer("mean_shape", shape)

    def forward(self, crops: torch.Tensor) -> Outputs:
        return self.heads(self.trunk(crops))

    def heads(self, trunk: torch.Tensor) -> Outputs:
        """The part that is kept in float32: coordinates need more than bfloat16's eight bits."""
        features = self.neck(trunk)
        offsets = self.points(features).view(-1, POINTS, 3) * CROP_PX
        return self.mean_shape + offsets, self.traits(features)


@dataclass(frozen=True)
class Sample:
    """A crop [128, 128, 3] uint8 RGB with points [478, 3] px; masks say which labels are known."""

    crop: np.ndarray
    points: np.ndarray
    is_face: bool
    has_depth: bool
    masculine: float  # NaN: unknown
    age: float  # NaN: unknown
    embedding: np.ndarray  # [128], the recogniser's


def presentation(portrait: Portrait) -> tuple[float, float]:
    """(masculine 0 or 1, age / 100) as the label file tells them; NaN where it does not."""
    if portrait.source == "utk":
        age, sex = portrait.group.split("_")[:2]
        return 1.0 - float(sex), float(age) / 100
    if portrait.source == "generated":
        return (0.0 if portrait.group.startswith("female") else 1.0), math.nan
    if portrait.source == TURNED:
        sex, told = portrait.group.split("/")
        return (0.0 if sex == "female" else 1.0), float(told) / 100 if told else math.nan
    return math.nan, math.nan


def mirror_table(points: np.ndarray) -> np.ndarray:
    """For each mesh point the index of its mirror twin, from frontal meshes [N, 478, 2]."""
    centred = points - points.mean(1, keepdims=True)
    mean = (centred / np.abs(centred).max((1, 2), keepdims=True)).mean(0)
    flipped = mean * [-1, 1]
    return np.argmin(((mean[:, None] - flipped[None]) ** 2).sum(-1), axis=1)


class Bank(Protocol):
    """Portraits that are read when they are asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> Portrait: ...


class SampleSource:
    """Draws jittered, degraded crops of portraits; of those in ``bank`` more often, if given; a share of
    ``blinks`` with their eyes closed; and, from ``scenes`` if given, crops without a face.
    """

    def __init__(
        self,
        portraits: list[Portrait],
        scenes: list[Scene],
        seed: int,
        crop_px: int = CROP_PX,
        bank: Bank | None = None,
        blinks: float = 0.0,
        turned: list[Portrait] | None = None,
        seen: list[Portrait] | None = None,
        lookalikes: Lookalikes | None = None,
    ) -> None:
        """``turned``: portraits turned by their meshes; ``seen``: faces of the scenes."""
        self.rng = np.random.default_rng(seed)
        self.portraits, self.scenes, self.crop_px, self.bank = portraits, scenes, crop_px, bank
        self.blinks = blinks
        self.turned, self.seen, self.lookalikes = turned or [], seen or [], lookalikes
        yaws = np.array([abs(yaw_degrees(face.points)) for face in self.seen])
        self._seen_weights = np.cumsum(1 + yaws / TWICE_DEG)
        frontal = np.stack([p.points for p in portraits if p.source == "generated"][:500])
        self.mirror = mirror_table(frontal)

    def draw(self) -> Sample:
        if self.lookalikes is not None:
            roll = self.rng.random()
            if roll < FIND_SHARE:
                return self._lookalike(self.lookalikes.find(self.rng))
            if roll < FIND_SHARE + BESIDE_SHARE:
                return self._lookalike(self.lookalikes.beside(self.rng))
        share = NEGATIVE_SHARE if self.lookalikes is None else BACKGROUND_SHARE
        if self.scenes and self.rng.random() < share:
            return self._negative()
        if self.bank is not None and self.rng.random() < BANK_SHARE:
            return self._positive(self.bank[int(self.rng.integers(len(self.bank)))])
        roll = self.rng.random()
        if self.turned and roll < TURNED_SHARE:
            return self._positive(self.turned[self.rng.integers(len(self.turned))])
        if self.seen and roll > 1 - SCENE_SHARE:
            place = self.rng.random() * self._seen_weights[-1]
            row = int(np.searchsorted(self._seen_weights, place, side="right"))
            return self._positive(self.seen[min(row, len(self.seen) - 1)])
        portrait = self.portraits[self.rng.integers(len(self.portraits))]
        return self._positive(portrait)

    def _positive(self, portrait: Portrait) -> Sample:
        rng = self.rng
        points = portrait.points
        depth = np.zeros(POINTS, np.float32) if portrait.depth is None else portrait.depth
        image = portrait.image
        if rng.random() < 0.5:
            image = np.ascontiguousarray(image[:, ::-1])
            points = (points * [-1, 1] + [image.shape[1] - 1, 0])[self.mirror].astype(np.float32)
            depth = depth[self.mirror]
        if portrait.source in SETS and rng.random() < self.blinks:
            image, points = blink.blinked(image, points, blink.drawn(rng))
        matrix = jittered_alignment(mesh_keypoints(points), rng, self.crop_px)
        image, matrix = self._resampled(image, matrix)
        crop = cv2.warpAffine(image, matrix, (self.crop_px, self.crop_px), borderMode=self._border())
        moved = transform(matrix, np.column_stack([points * self._scale, depth * self._scale]))
        masculine, age = presentation(portrait)
        crop = self._occlude(np.asarray(crop, np.uint8))
        crop = degrade(np.asarray(crop, np.uint8), rng)[..., ::-1]
        return Sample(crop, moved, True, portrait.depth is not None, masculine, age, portrait.embedding)

    def _border(self) -> int:
        return int(self.rng.choice([cv2.BORDER_REFLECT_101, cv2.BORDER_REPLICATE, cv2.BORDER_CONSTANT]))

    def _resampled(self, image: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sometimes shrink the picture first, as faces of 14 px and more arrive in a video."""
        self._scale = 1.0
        natural = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
        if self.rng.random() < 0.4:
            self._scale = min(1.0, natural * float(np.exp(self.rng.uniform(np.log(0.18), 0))))
            shape = (
                max(8, round(image.shape[1] * self._scale)),
                max(8, round(image.shape[0] * self._scale)),
            )
            self._scale = shape[0] / image.shape[1]
            image = np.asarray(cv2.resize(image, shape, interpolation=cv2.INTER_AREA), np.uint8)
            matrix = matrix.copy()
            matrix[:, :2] /= self._scale
        return image, matrix

    def _occlude(self, crop: np.ndarray, by_faces: bool = True) -> np.ndarray:
        """Sometimes with something before it: a plain colour or, if ``by_faces``, a portrait."""
        rng = self.rng
        if rng.random() > 0.3:
            return crop
        crop = crop.copy()
        mask = np.zeros(crop.shape[:2], np.uint8)
        centre = tuple(int(v) for v in rng.uniform(0.125, 0.875, 2) * self.crop_px)
        axes = tuple(int(v) for v in rng.uniform(0.05, 0.27, 2) * self.crop_px)
        cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 180)), 0, 360, 255, -1)
        if not by_faces or rng.random() < 0.5:
            filling = np.full_like(crop, rng.integers(0, 256, 3))
        else:
            other = self.portraits[rng.integers(len(self.portraits))].image
            filling = cv2.resize(other, (self.crop_px, self.crop_px))
        return np.where(mask[..., None] > 0, filling, crop)

    def _negative(self) -> Sample:
        rng = self.rng
        scene = self.scenes[rng.integers(len(self.scenes))]
        height, width = scene.image.shape[:2]
        side = float(np.exp(rng.uniform(np.log(16), np.log(min(height, width)))))
        corner = rng.uniform(0, 1, 2) * [max(1, width - side), max(1, height - side)]
        box = np.array([*corner, *(corner + side)])
        faces = scene.labels.boxes
        low, high = np.maximum(faces[:, :2], box[:2]), np.minimum(faces[:, 2:], box[2:])
        if np.prod((high - low).clip(0), axis=1).sum() > 0.08 * side * side:
            return self.draw()
        scale = self.crop_px / side
        matrix = np.array([[scale, 0, -corner[0] * scale], [0, scale, -corner[1] * scale]])
        size = self.crop_px, self.crop_px
        crop = cv2.warpAffine(scene.image, matrix, size, borderMode=cv2.BORDER_REPLICATE)
        return self._no_face(np.asarray(crop, np.uint8))

    def _lookalike(self, what: Lookalike) -> Sample:
        """It as the network would be shown it: aligned by the keypoints that a detector gives."""
        image, keypoints = what.image, what.keypoints
        if self.rng.random() < 0.5:
            image = np.ascontiguousarray(image[:, ::-1])
            keypoints = (keypoints * [-1, 1] + [image.shape[1] - 1, 0])[FLIPPED_KEYPOINTS]
        image, matrix = self._resampled(image, jittered_alignment(keypoints, self.rng, self.crop_px))
        crop = cv2.warpAffine(image, matrix, (self.crop_px, self.crop_px), borderMode=self._border())
        return self._no_face(self._occlude(np.asarray(crop, np.uint8), by_faces=False))

    def _no_face(self, crop: np.ndarray) -> Sample:
        shown = degrade(crop, self.rng)[..., ::-1]
        nothing = np.zeros((POINTS, 3), np.float32)
        return Sample(shown, nothing, False, False, math.nan, math.nan, np.zeros(EMBEDDING, np.float32))


def jittered_alignment(
    keypoints: np.ndarray, rng: np.random.Generator, crop_px: int = CROP_PX
) -> np.ndarray:
    """The alignment that a detector with noisy ``keypoints`` [5, 2] would give, and now and then a poor
    one.
    """
    keypoints = keypoints.copy()
    spread = float(np.ptp(keypoints[:, 1]) + np.ptp(keypoints[:, 0])) / 2
    noise = 0.03 if rng.random() < 0.6 else 0.09
    keypoints += rng.normal(0, noise * spread, (5, 2)) + rng.normal(0, 0.05 * spread, 2)
    matrix = alignment(keypoints.astype(np.float32), crop_px).astype(np.float64)
    angle, scale = rng.normal(0, 6 if rng.random() < 0.7 else 18), float(np.exp(rng.normal(0, 0.08)))
    middle = (crop_px - 1) / 2
    turn = cv2.getRotationMatrix2D((middle, middle), angle, scale)
    return np.column_stack([turn[:, :2] @ matrix[:, :2], turn[:, :2] @ matrix[:, 2] + turn[:, 2]])


def face_units(points: torch.Tensor) -> torch.Tensor:
    """The unit of errors by face [B] of meshes [B, 478, 2 or 3]: the distance of the outer eye corners; of
    a turned face, what it would be from the front, by its height.
    """
    eyes = (points[:, EYE_CORNERS[0], :2] - points[:, EYE_CORNERS[1], :2]).norm(dim=-1)
    height = (points[:, OVAL_ENDS[0], :2] - points[:, OVAL_ENDS[1], :2]).norm(dim=-1)
    return torch.maximum(eyes, EYES_TO_HEIGHT * height).clamp(min=1)


def turned_faces(data: Path, folder: Path) -> list[Portrait]:
    """What :mod:`verifier_turned` wrote, with sex and, where it is known, age as their ``group``."""
    with np.load(data / "portraits_512_labels.npz") as labels:
        told = zip(labels["name"], labels["ident"], labels["age"], strict=True)
        groups = {
            str(name): f"{str(ident).split('/')[0]}/{age if age > 0 else ''}" for name, ident, age in told
        }
    none = np.zeros(EMBEDDING, np.float32)
    return [
        Portrait(
            np.ascontiguousarray(rgb[..., ::-1]),
            mesh[:, :2],
            mesh[:, 2],
            none,
            groups[name],
            TURNED,
            "train",
        )
        for name, rgb, mesh, _ in turned_meshes(folder)
    ]


def scene_faces(path: Path, held_out: bool | None = None) -> list[Portrait]:
    """What :mod:`mesh_scenes` wrote; ``held_out``: only of pictures that are, or that are not."""
    none = np.zeros(EMBEDDING, np.float32)
    with np.load(path) as file:
        packed, ends, points, names = (file[key] for key in ("packed", "ends", "points", "pictures"))
    found = []
    for row, mesh in enumerate(points):
        if held_out is not None and is_held_out(str(names[row])) != held_out:
            continue
        blob = packed[ends[row - 1] if row else 0 : ends[row]]
        image = np.asarray(cv2.imdecode(blob, cv2.IMREAD_COLOR), np.uint8)
        found.append(Portrait(image, mesh[:, :2], mesh[:, 2], none, "", "scenes", "train"))
    return found


class Samples(IterableDataset):
    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args

    def __iter__(self) -> Iterator[Sample]:
        cv2.setNumThreads(1)
        info = get_worker_info()
        args, seed = self.args, self.args.seed + (info.id if info else 0)
        source = SampleSource(
            list(read_portraits(args.data, SETS)),
            read_scenes(args.data, "train"),
            seed,
            blinks=BLINKS,
            turned=turned_faces(args.data, args.turned) if args.turned else None,
            seen=scene_faces(args.scenes, held_out=False) if args.scenes else None,
            lookalikes=read_lookalikes(args.data, args.finds) if args.finds else None,
        )
        while True:
            yield source.draw()


def collate(items: list[Sample]) -> dict[str, torch.Tensor]:
    def column(values: list[float]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float32)

    crops = np.ascontiguousarray(np.stack([s.crop for s in items]).transpose(0, 3, 1, 2))
    return {
        "crops": torch.from_numpy(crops),
        "points": torch.from_numpy(np.stack([s.points for s in items])),
        "face": column([s.is_face for s in items]),
        "depth": column([s.has_depth for s in items]),
        "masculine": column([s.masculine for s in items]),
        "age": column([s.age for s in items]),
    }


def point_weights() -> torch.Tensor:
    """Eyes, brows, lips and irises count more: a wrong eye is seen at once, and a lid moves little."""
    weights = torch.ones(POINTS)
    weights[SKIN_POINTS:] = 2
    eyes = [point for eye in EYE_ENDS + LID_MIDDLES for point in eye]
    mouth = [*MOUTH_CORNERS, *LIP_MIDDLES, *LIP_EDGES, *INNER_MOUTH_CORNERS]
    feature = [*eyes, *mouth, NOSE_TIP, 1, *(brow[number] for brow in BROWS for number in (0, 2))]
    weights[feature] = 2.5
    weights[list(INNER_LIPS)] = 4
    weights[sorted({point for eye in LIDS for lid in eye for point in lid})] = 8
    return weights


def nme(predicted: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Mean 2-D error in :func:`face_units`, per face [B]."""
    error = (predicted[..., :2] - points[..., :2]).norm(dim=-1).mean(1)
    return error / face_units(points)


def losses(
    outputs: Outputs, batch: dict[str, torch.Tensor], weights: torch.Tensor
) -> dict[str, torch.Tensor]:
    points, traits = outputs
    face, truth = batch["face"], batch["points"]
    count = face.sum().clamp(min=1)
    apart = (points - truth).abs()
    plane = (apart[..., :2].sum(-1) * weights).mean(1)
    depth = (apart[..., 2].mean(1) * batch["depth"]).sum() / batch["depth"].sum().clamp(min=1)
    with torch.no_grad():
        sure = torch.exp(-nme(points, truth) / 0.1) * face
    bce = nn.functional.binary_cross_entropy_with_logits
    sex, age = batch["masculine"], batch["age"]
    known, aged = ~sex.isnan(), ~age.isnan()
    return {
        "points": (plane * face).sum() / count,
        "depth": 0.5 * depth,
        "confidence": 5 * bce(traits[:, 0], sure),
        "sex": 4 * bce(traits[known, 1], sex[known]) if known.any() else traits.sum() * 0,
        "age": 12 * (traits[aged, 2] - age[aged]).abs().mean() if aged.any() else traits.sum() * 0,
    }


def train(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    batches = iter(batches_of(Samples(args), collate, args))
    first = next(batches)
    mean = (first["points"] * first["face"][:, None, None]).sum(0) / first["face"].sum()
    mean[:, 2] = first["points"][..., 2].sum(0) / first["depth"].sum().clamp(min=1)
    model = MeshNet(mean)
    if args.resume:
        restore(model, args.resume)
    student = Student(model, args, weight_decay=1e-4, clip=50.0)
    weights = point_weights().to(device)
    for step in steps(batches, args.minutes, 180):
        batch = {key: value.to(device) for key, value in step.batch.items()}
        pixels = batch["crops"].float().to(memory_format=torch.channels_last) / 255
        with torch.autocast(device.type, torch.bfloat16):
            features = model.trunk(pixels)
        parts = losses(model.heads(features.float()), batch, weights)
        total = torch.stack(list(parts.values())).sum()
        student.learn(step, total, parts, every=200)
    student.save()


class Exported(nn.Module):
    """The network with its traits in final units: confidence and masculine in 0..1, age in years."""

    def __init__(self, net: MeshNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, crops: torch.Tensor) -> Outputs:
        points, traits = self.net(crops)
        return points, torch.cat([traits[:, :2].sigmoid(), traits[:, 2:] * 100], 1)


def load_weights(path: Path) -> MeshNet:
    net = MeshNet()
    restore(net, path)
    return net.eval()


def export(weights: Path, folder: Path) -> None:
    """ONNX: crops [B, 3, 128, 128] RGB 0..1 -> points [B, 478, 3] crop px, traits."""
    target = folder / "face-mesh.onnx"
    example = (torch.zeros(1, 3, CROP_PX, CROP_PX),)
    export_onnx(Exported(load_weights(weights)), example, ["crops"], ["points", "traits"], target)


def main() -> None:
    parser = options(__doc__, "face-mesh", 35, 48, 1.5e-3, 2)
    parser.add_argument("--turned", type=Path, help="folder of verifier_turned")
    parser.add_argument("--scenes", type=Path, help="file of mesh_scenes")
    parser.add_argument("--finds", type=Path, help="folder of verifier_mining")
    run(parser.parse_args(), train, export)


if __name__ == "__main__":
    main()
