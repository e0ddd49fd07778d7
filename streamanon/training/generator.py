"""Train the generator's teacher: a U-Net that makes a face of a delegate's texture, pose and light.

    python -m streamanon.training.crops --data DATA --out CROPS.npz
    python -m streamanon.training.generator --bank CROPS.npz --out engines --minutes 120

What runs is smaller and learns from it (:mod:`streamanon.training.distil_generator`); both take its styles.

It sees what :mod:`streamanon.generate.inputs` lets it see. Adaptive instance normalisation (Huang and
Belongie, 2017) takes the delegate's code and the distracted feature.
"""

from __future__ import annotations

import argparse
import itertools
import math
from dataclasses import fields
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from streamanon.generate.inputs import PLANES
from streamanon.identity.encoder import CHANNELS, CROP_PX
from streamanon.mesh.eye_mouth import PARTS, PATCH_PX
from streamanon.portraits.codes import CODE_SIZE
from streamanon.runtime.models import Engines
from streamanon.training import encoder, mesh, parts
from streamanon.training.crops import Bank, Draws
from streamanon.training.generator_samples import KINDS, Sample, SampleSource
from streamanon.training.session import (
    Step,
    Student,
    batches_of,
    export_onnx,
    options,
    restore,
    run,
    save_weights,
    steps,
)

STYLE = CODE_SIZE + CHANNELS
WIDTHS = (48, 96, 144)
STYLE_WIDTH = 96
Tensors = dict[str, torch.Tensor]

#: What each term of the loss weighs.
WEIGHTS = {
    "pixels": 10.0,  # L1 over three scales, where the truth is known
    "edges": 12.0,  # L1 of differences between neighbours, likewise
    "features": 1.5,  # the project's own encoder's, likewise
    "adversary": 0.1,  # patches look real
    "attraction": 0.3,  # the encoder takes the face for the delegate
    "repulsion": 0.5,  # and not for the person
    "geometry": 1.0,  # the mesh network finds the mesh that was asked for
    "parts": 1.0,  # and the networks for eyes and mouth theirs
    "tone": 10.0,  # a delegate's face keeps the light and colour that it was given
    "range": 6.0,  # its rim has no colour that is not about
    "border": 0.5,  # which pixels are face
}
#: Layers of the encoder's trunk whose maps are looked at, and their widths.
TAPS = (2, 6, 11, 16, 19)
USUAL_CONTRAST = 0.15
MOUTH_WEIGHT = 4.0
LEAST_LIKENESS = 0.1
REACH_PX = 5
R1_EVERY, R1_WEIGHT = 16, 0.05
#: Each so many batches are learnt at half the size.
HALF_EVERY = 4


class AdaIN(nn.Module):
    """Instance normalisation whose scale and shift a style decides."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.norm = nn.InstanceNorm2d(width)

    def forward(self, x: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
        scale, shift = style[:, :, None, None].chunk(2, 1)
        normal: torch.Tensor = self.norm(x)
        return normal * (1 + scale) + shift


class StyledBlock(nn.Module):
    """Two convolutions with AdaIN, and what came in added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([AdaIN(width), AdaIN(width)])
        self.convs = nn.ModuleList([nn.Conv2d(width, width, 3, 1, 1) for _ in range(2)])

    def forward(self, x: torch.Tensor, styles: list[torch.Tensor]) -> torch.Tensor:
        out = x
        for norm, conv, style in zip(self.norms, self.convs, styles, strict=True):
            out = conv(functional.leaky_relu(norm(out, style), 0.2))
        return x + out


class GeneratorNet(nn.Module):
    """Planes [B, 13, 128, 128] and styles [B, S] of :class:`StyleNet` -> RGB [B, 3, 128, 128] -1..1 and the
    logit of face [B, 1, 128, 128].

    It works at half the size and less: four neighbouring pixels are channels, which on a CPU takes two
    thirds of the time of a stem and a head at full size. With a ``cell`` of 4 pixels it works at a quarter
    of the size, in a third of the time.
    """

    BLOCKS = 4

    def __init__(self, cell: int = 2) -> None:
        super().__init__()
        a, b, c = WIDTHS
        self.cell = cell
        self.stem = nn.Conv2d(cell**2 * PLANES, a, 3, 1, 1)
        self.down = nn.ModuleList([nn.Conv2d(i, o, 3, 2, 1) for i, o in ((a, b), (b, c))])
        self.deep = nn.Conv2d(b, b, 3, 1, 1)
        self.blocks = nn.ModuleList([StyledBlock(c) for _ in range(self.BLOCKS)])
        self.up = nn.ModuleList([nn.Conv2d(i, o, 1) for i, o in ((c, b), (b, a))])
        self.styled = nn.ModuleList([StyledBlock(b), StyledBlock(a)])
        self.out = nn.Conv2d(a, 4 * cell**2, 3, 1, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, 0.2)
                nn.init.zeros_(module.bias)
        for block in (*self.blocks, *self.styled):
            block.convs[1].weight.data.mul_(0.2)
        nn.init.zeros_(self.out.weight)  # so that it begins with the bare warp

    @property
    def style_sizes(self) -> list[int]:
        """How many numbers of a style each AdaIN takes, in order."""
        return [2 * module.width for module in self.modules() if isinstance(module, AdaIN)]

    def forward(self, planes: torch.Tensor, styles: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pairs = list(styles.split(self.style_sizes, 1))
        fine = functional.leaky_relu(self.stem(functional.pixel_unshuffle(planes, self.cell)), 0.2)
        middle = functional.leaky_relu(self.down[0](fine), 0.2)
        middle = middle + functional.leaky_relu(self.deep(middle), 0.2)
        x = functional.leaky_relu(self.down[1](middle), 0.2)
        for number, block in enumerate(self.blocks):
            x = block(x, pairs[2 * number : 2 * number + 2])
        rest = pairs[2 * self.BLOCKS :]
        for number, (up, block, skip) in enumerate(zip(self.up, self.styled, (middle, fine), strict=True)):
            x = functional.interpolate(up(x), scale_factor=2.0, mode="nearest") + skip
            x = block(x, rest[2 * number : 2 * number + 2])
        told = functional.pixel_shuffle(self.out(x), self.cell)
        cut = planes[:, 3:4]
        begun = planes[:, 4:7] * cut + planes[:, :3] * (1 - cut)
        return begun + told[:, :3], told[:, 3:]


class StyleNet(nn.Module):
    """A delegate's code and a distracted feature, [B, 288], -> the numbers [B, S] of all AdaINs."""

    def __init__(self, sizes: list[int]) -> None:
        super().__init__()
        self.code = nn.Linear(CODE_SIZE, STYLE_WIDTH)
        self.feature = nn.Linear(CHANNELS, STYLE_WIDTH)
        self.body = nn.Sequential(nn.LeakyReLU(0.2), nn.Linear(STYLE_WIDTH, STYLE_WIDTH), nn.LeakyReLU(0.2))
        self.head = nn.Linear(STYLE_WIDTH, sum(sizes))
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def forward(self, style: torch.Tensor) -> torch.Tensor:
        joined = self.code(style[:, :CODE_SIZE]) + self.feature(style[:, CODE_SIZE:])
        numbers: torch.Tensor = self.head(self.body(joined))
        return numbers


class Painter(nn.Module):
    """Both networks, as they are trained."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = GeneratorNet()
        self.style = StyleNet(self.generator.style_sizes)

    def forward(self, planes: torch.Tensor, style: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        rgb, border = self.generator(planes, self.style(style))
        return rgb, border


class Adversary(nn.Module):
    """Says whether pictures are real: of their patches at two scales."""

    def __init__(self) -> None:
        super().__init__()
        self.scales = nn.ModuleList([self._patches() for _ in range(2)])

    @staticmethod
    def _patches() -> nn.Sequential:
        widths, layers = (4, 32, 64, 128), list[nn.Module]()
        for inputs, outputs in itertools.pairwise(widths):
            layers += [nn.Conv2d(inputs, outputs, 4, 2, 1), nn.LeakyReLU(0.2)]
        return nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 3, 1, 1))

    def forward(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        """Scores of pictures [B, 4, 128, 128]: RGB and the cut."""
        half = functional.avg_pool2d(pictures, 2)
        return [self.scales[0](pictures), self.scales[1](half)]


class Judges(nn.Module):
    """The project's own encoder and meshes, frozen: their answers' gradients reach the picture."""

    def __init__(self, engines: Path) -> None:
        super().__init__()
        self.encoder = encoder.load_weights(engines / "identity-encoder.safetensors")
        self.mesh = mesh.load_weights(engines / "face-mesh.safetensors").eval()
        self.parts = parts.load_weights(engines / "face-parts.safetensors")
        for parameter in self.parameters():
            parameter.requires_grad_(False)

    def describe(self, rgb: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Feature maps, and embeddings [B, 128] of unit length, of pictures -1..1."""
        size = (CROP_PX, CROP_PX)
        x = functional.interpolate(rgb / 2 + 0.5, size, mode="bilinear", align_corners=False)
        taps = []
        for number, layer in enumerate(self.encoder.trunk):
            x = layer(x)
            if number in TAPS:
                taps.append(x)
        return taps, functional.normalize(self.encoder.head(x.mean((2, 3))).float(), dim=1)

    def points(self, rgb: torch.Tensor) -> torch.Tensor:
        trunk = self.mesh.trunk(rgb / 2 + 0.5)
        with torch.autocast(rgb.device.type, enabled=False):
            points: torch.Tensor = self.mesh.heads(trunk.float())[0]
        return points[..., :2]

    def close_up(self, rgb: torch.Tensor, maps: torch.Tensor) -> list[torch.Tensor]:
        """Points of both eyes and the mouth, px of the patches that ``maps`` [B, 3, 3, 3] cut out."""
        steps = torch.arange(PATCH_PX, device=rgb.device, dtype=torch.float32)
        y, x = torch.meshgrid(steps, steps, indexing="ij")
        places = torch.stack([x, y, torch.ones_like(x)], -1).view(1, 1, -1, 3)
        back = torch.linalg.inv(maps.float())[:, :, :2]
        grid = (places @ back.transpose(2, 3)) * (2 / (rgb.shape[-1] - 1)) - 1
        found = []
        for number in range(len(PARTS)):
            place = grid[:, number].view(-1, PATCH_PX, PATCH_PX, 2)
            patch = functional.grid_sample(rgb / 2 + 0.5, place, align_corners=True)
            net = self.parts.mouth if number == 2 else self.parts.eye
            features = net.trunk(patch)
            with torch.autocast(rgb.device.type, enabled=False):
                found.append(net.heads(features.float()))
        return found


def collate(items: list[Sample]) -> Tensors:
    columns = {f.name: np.stack([getattr(item, f.name) for item in items]) for f in fields(Sample)}
    return {name: torch.from_numpy(column) for name, column in columns.items()}


def halved(batch: Tensors) -> Tensors:
    """Pictures with the detail of half the size, as what is distilled begins with."""
    pictures = {
        name: functional.interpolate(functional.avg_pool2d(batch[name], 2), scale_factor=2.0)
        for name in ("planes", "truth")
    }
    return {**batch, **pictures, "cut": pictures["planes"][:, 3] > 0}


def painted(rgb: torch.Tensor, batch: Tensors) -> torch.Tensor:
    """What the viewer sees: the surroundings, and the network's face where they were cut out."""
    cut = batch["cut"][:, None]
    return torch.where(cut, rgb, batch["truth"])


def losses(
    rgb: torch.Tensor, border: torch.Tensor, batch: Tensors, judges: Judges, adversary: Adversary
) -> Tensors:
    """All terms, unweighted. ``rgb``, ``border``: the network's answers."""
    known, other = batch["kind"] != KINDS.index("other"), batch["kind"] == KINDS.index("other")
    picture, cut = painted(rgb, batch), batch["cut"][:, None].to(rgb.dtype)
    told = {
        "border": functional.binary_cross_entropy_with_logits(border[:, 0], batch["face"].to(rgb.dtype))
    }
    told["adversary"] = _unreal(adversary(torch.cat([picture, cut], 1)))
    told["parts"] = _misplaced(judges.close_up(picture, batch["patches"]), batch)
    if known.any():
        weight = 0.2 + 0.8 * cut[known] + MOUTH_WEIGHT * batch["mouth"][known][:, None]
        told |= _beside_truth(rgb[known], batch["truth"][known], weight)
        with torch.no_grad():
            wanted, _ = judges.describe(batch["truth"][known])
        found, _ = judges.describe(picture[known])
        pairs = zip(found, wanted, strict=True)
        told["features"] = torch.stack([_apart(one.float(), two.float()) for one, two in pairs]).mean()
    if other.any():
        face = batch["face"][other][:, None].to(rgb.dtype)
        inner = functional.avg_pool2d(face, 17, 1, 8) > 0.99  # hair may reach into the rim
        # The rim is not to be painted dark so that the encoder sees somebody else.
        shown = torch.where(inner, picture[other], picture[other].detach())
        _, embedding = judges.describe(shaken(shown))
        told["attraction"] = 1 - (embedding * batch["wanted"][other]).sum(1).mean()
        alike = (embedding * batch["unwanted"][other]).sum(1)
        told["repulsion"] = functional.relu(alike - LEAST_LIKENESS).mean()
        apart = (judges.points(picture[other]) - batch["points"][other]).abs().sum(2)
        told["geometry"] = apart.mean() / 10
        told["tone"] = _changed(rgb[other], batch["planes"][other], inner & ~batch["mouth"][other][:, None])
        about = torch.where(cut[other] > 0, batch["planes"][other, 4:7], batch["truth"][other])
        told["range"] = (_beyond(rgb[other], about) * cut[other] * ~inner).mean()
    return told


def _unreal(scores: list[torch.Tensor]) -> torch.Tensor:
    return torch.stack([functional.softplus(-score.float()).mean() for score in scores]).mean()


def _changed(rgb: torch.Tensor, planes: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """How much other colours than the texture's are, over 4 and 8 px, in the texture's contrast: what shows
    little of a face is not to be drawn more firmly.
    """
    lit, light = planes[:, 4:7], planes[:, 10:13]
    amount = where.sum((1, 2, 3), keepdim=True).clamp(min=1)
    contrast = (((lit - light) ** 2 * where).sum((1, 2, 3), keepdim=True) / (3 * amount)).sqrt()
    changed = (rgb - lit) * where * (USUAL_CONTRAST / (contrast + 0.02)).clamp(max=4)
    return torch.stack([functional.avg_pool2d(changed, n).abs().mean() for n in (4, 8)]).mean()


def _beyond(rgb: torch.Tensor, about: torch.Tensor) -> torch.Tensor:
    """By how much colours are brighter or darker than all within ``REACH_PX``."""
    high = functional.max_pool2d(about, 2 * REACH_PX + 1, 1, REACH_PX)
    low = -functional.max_pool2d(-about, 2 * REACH_PX + 1, 1, REACH_PX)
    return functional.relu(rgb - high) + functional.relu(low - rgb)


def _misplaced(found: list[torch.Tensor], batch: Tensors) -> torch.Tensor:
    """How far eyes and mouths that nothing hides are from where they are to be, tens of patch px."""
    total = []
    for number, (part, told) in enumerate(zip(PARTS, found, strict=True)):
        turn, shift = batch["patches"][:, number, :2, :2], batch["patches"][:, number, :2, 2]
        wanted = batch["points"][:, list(part)] @ turn.transpose(1, 2) + shift[:, None]
        apart = (told - wanted).norm(dim=2).mean(1)
        bare = batch["bare"][:, number].to(apart.dtype)
        total.append((apart * bare).sum() / bare.sum().clamp(min=1))
    return torch.stack(total).mean() / 10


def shaken(rgb: torch.Tensor) -> torch.Tensor:
    """Pictures a little blurred, shifted and tinted, as nobody's eye would mind: so that the encoder is not
    won over by a pattern.
    """
    count, _, height, width = rgb.shape
    matrix = torch.eye(2, 3, device=rgb.device) + 0.03 * torch.randn(count, 2, 3, device=rgb.device)
    grid = functional.affine_grid(matrix, [count, 3, height, width], align_corners=False)
    moved = functional.grid_sample(rgb, grid, padding_mode="border", align_corners=False)
    if torch.rand(()) < 0.5:
        moved = functional.avg_pool2d(moved, 3, 1, 1)
    tint = 0.06 * torch.randn(count, 3, 1, 1, device=rgb.device)
    return moved * (1 + 0.1 * torch.randn(count, 1, 1, 1, device=rgb.device)) + tint


def _beside_truth(rgb: torch.Tensor, truth: torch.Tensor, weight: torch.Tensor) -> Tensors:
    apart = (rgb - truth) * weight
    pixels = sum((functional.avg_pool2d(apart, n).abs().mean() for n in (2, 4)), apart.abs().mean())
    edges = sum(
        ((apart.diff(dim=axis)).abs().mean() for axis in (2, 3)), torch.zeros((), device=rgb.device)
    )
    return {"pixels": torch.as_tensor(pixels), "edges": torch.as_tensor(edges)}


def _apart(one: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
    return (one - two).abs().mean() / two.abs().mean().clamp(min=1e-3)


class Opponent:
    """The adversary in training, with R1 (Mescheder et al., 2018) on every sixteenth batch."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.net = Adversary().to(torch.device(args.device))
        self._path: Path = args.weights.with_name(f"{args.weights.stem}.adversary.safetensors")
        if args.resume and self._path.exists():
            restore(self.net, self._path)
        self._optimiser = torch.optim.Adam(self.net.parameters(), lr=2 * args.lr, betas=(0.5, 0.99))

    def learn(self, number: int, real: torch.Tensor, made: torch.Tensor) -> torch.Tensor:
        """``real``, ``made``: pictures with their cut, [B, 4, 128, 128]."""
        self._optimiser.zero_grad(set_to_none=True)
        with torch.autocast(real.device.type, torch.bfloat16):
            scores = self.net(torch.cat([real, made]))
        total = torch.zeros((), device=real.device)
        for patch in scores:
            yes, no = patch.float().chunk(2)
            total = total + functional.softplus(-yes).mean() + functional.softplus(no).mean()
        if number % R1_EVERY == 0:
            total = total + R1_EVERY * R1_WEIGHT / 2 * self._r1(real)
        total.backward()
        self._optimiser.step()
        return total.detach()

    def _r1(self, real: torch.Tensor) -> torch.Tensor:
        real = real.detach().requires_grad_()
        total = torch.stack([patch.sum() for patch in self.net(real)]).sum()
        (slope,) = torch.autograd.grad(total, real, create_graph=True)
        return slope.square().sum((1, 2, 3)).mean() / slope[0].numel() * 100

    def save(self) -> None:
        save_weights(self.net, self._path)


class Training:
    """Painter and opponent, step by step."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args, self._device = args, torch.device(args.device)
        painter = Painter()
        if args.resume:
            restore(painter, args.resume)
        self.student = Student(painter, args, weight_decay=1e-4, clip=20.0)
        self._opponent = Opponent(args)
        self._judges = Judges(args.engines).to(self._device, memory_format=torch.channels_last)
        self._weights = {name: weight for name, weight in WEIGHTS.items() if name not in args.without}

    def learn(self, step: Step[Tensors]) -> None:
        batch = {name: column.to(self._device) for name, column in step.batch.items()}
        small = step.number % HALF_EVERY == HALF_EVERY - 1
        batch = halved(batch) if small else batch
        planes = batch["planes"].to(memory_format=torch.channels_last)
        with torch.autocast(self._device.type, torch.bfloat16):
            if small:
                answers = self.student.model(functional.avg_pool2d(planes, 2), batch["style"])
                rgb, border = (functional.interpolate(one.float(), scale_factor=2.0) for one in answers)
            else:
                rgb, border = self.student.model(planes, batch["style"])
            terms = losses(rgb.float(), border.float(), batch, self._judges, self._opponent.net)
        total = torch.stack([self._weights[k] * v for k, v in terms.items() if k in self._weights]).sum()
        with torch.no_grad():
            cut = batch["cut"][:, None].float()
            real = torch.cat([batch["truth"], cut], 1)
            made = torch.cat([painted(rgb.float(), batch), cut], 1)
        self.student.learn(step, total, terms, every=100)
        if "adversary" in self._weights:
            self._opponent.learn(step.number, real, made)
        if step.due:
            self._opponent.save()


class Sheet:
    """Fixed faces, drawn now and then: what was there, the texture in its light, what is made of it."""

    COUNT, COLUMNS = 24, 12

    def __init__(self, bank: Path, folder: Path, seed: int = 7) -> None:
        cv2.setNumThreads(1)
        source = SampleSource(Bank(bank), seed)
        self._batch = collate([source.make("other") for _ in range(self.COUNT)])
        self._folder = folder

    @torch.no_grad()
    def draw(self, painter: nn.Module, number: int) -> None:
        device = next(painter.parameters()).device
        rgb, _ = painter(self._batch["planes"].to(device), self._batch["style"].to(device))
        cut, planes = self._batch["cut"][:, None], self._batch["planes"]
        given = torch.where(cut, planes[:, 4:7], self._batch["truth"])
        rows = [self._batch["truth"], given, painted(rgb.cpu().float(), self._batch)]
        rows = [torch.cat(list(row[n : n + self.COLUMNS]), 2) for n in (0, self.COLUMNS) for row in rows]
        pixels = (127.5 * torch.cat(rows, 1) + 127.5).clamp(0, 255).byte().numpy().transpose(1, 2, 0)
        cv2.imwrite(str(self._folder / f"sheet_{number:06d}.png"), pixels[..., ::-1])


def train(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    loader = batches_of(Draws(args.bank, args.seed, SampleSource), collate, args)
    training = Training(args)
    sheet = Sheet(args.sheets, args.weights.parent) if args.sheets else None
    for step in steps(loader, args.minutes, 180, args.steps):
        training.learn(step)
        if sheet and step.due:
            sheet.draw(training.student.average, step.number)
    training.student.save()


def load_weights(path: Path) -> Painter:
    painter = Painter()
    restore(painter, path)
    return painter.eval()


def export(weights: Path, folder: Path) -> None:
    """ONNX: ``generator-style``, with a free batch axis."""
    net, target = load_weights(weights).style, folder / "generator-style.onnx"
    export_onnx(net, (torch.zeros(1, STYLE),), ["style"], ["styles"], target)


def main() -> None:
    parser = options(__doc__, "generator-teacher", 120, 12, 8e-4, 5, data=False)
    parser.add_argument("--bank", type=Path, required=True, help="of streamanon.training.crops")
    parser.add_argument("--sheets", type=Path, help="a bank of faces to draw now and then")
    parser.add_argument("--engines", type=Path, default=Engines.open().folder)
    parser.add_argument("--steps", type=float, default=math.inf, help="stop after so many")
    parser.add_argument("--without", nargs="*", default=[], choices=list(WEIGHTS), help="terms left out")
    run(parser.parse_args(), train, export)


if __name__ == "__main__":
    main()
