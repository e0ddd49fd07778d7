"""Train the generator: a third of its teacher's work, learnt from the teacher's answers.

    python -m streamanon.training.crops --data DATA --out CROPS.npz --most-yaw-deg 66
    python -m streamanon.training.distil_generator --bank CROPS.npz --out engines --minutes 70

Knowledge distillation (Hinton et al., 2015). The generator has its teacher's layers at a quarter instead of
half of the crop's size, and takes the same styles. It begins with the teacher's weights, spread so that it
does what the teacher does of a crop shrunk by two.
"""

from __future__ import annotations

import argparse
import random
from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from streamanon.generate.inputs import PLANES
from streamanon.geometry import CROP_PX
from streamanon.runtime.models import Engines
from streamanon.training.crops import Bank, Draws
from streamanon.training.generator import GeneratorNet, load_weights
from streamanon.training.generator_samples import SampleSource
from streamanon.training.session import Student, batches_of, export_onnx, options, restore, run, steps

CELL = 4
#: What each term of the loss weighs.
WEIGHTS = {"pixels": 10.0, "edges": 12.0, "border": 0.5}
#: How much more the pixels between the lips weigh, and how little what is not painted.
MOUTH_WEIGHT, OUTSIDE_WEIGHT = 2.0, 0.02
#: So many batches are kept, and one is made for each so many steps: making one takes longest.
KEPT, TURNS = 400, 3

Tensors = dict[str, torch.Tensor]


class Lessons:
    """Delegates' faces for a bank's people, with the teacher's answers."""

    def __init__(self, bank: Bank, seed: int, *, teacher: Path) -> None:
        torch.set_num_threads(1)
        self._source, self._painter = SampleSource(bank, seed, {"other": 1.0}), load_weights(teacher)

    @torch.no_grad()
    def draw(self) -> Tensors:
        """``planes`` [13, 128, 128], ``styles`` [2880], ``mouth`` [128, 128]: what lies between the lips;
        ``rgb`` [3, 128, 128] and ``border`` [1, 128, 128], the teacher's answer, as float16.
        """
        sample = self._source.draw()
        planes, style = (torch.from_numpy(one)[None] for one in (sample.planes, sample.style))
        styles = self._painter.style(style)
        rgb, border = self._painter.generator(planes, styles)
        answer = {"rgb": rgb[0].half(), "border": border[0].half(), "styles": styles[0]}
        return {"planes": planes[0].half(), "mouth": torch.from_numpy(sample.mouth), **answer}


def collate(items: list[Tensors]) -> Tensors:
    return {name: torch.stack([item[name] for item in items]) for name in items[0]}


def repeated(batches: Iterable[Tensors], seed: int) -> Iterator[Tensors]:
    """Each batch as it comes, and some of those before it."""
    kept, rng = deque[Tensors](maxlen=KEPT), random.Random(seed)
    for batch in batches:
        kept.append(batch)
        yield batch
        yield from (rng.choice(kept) for _ in range(TURNS - 1))


def begun_from(teacher: GeneratorNet) -> GeneratorNet:
    """The generator as it begins: cells of 4 px hold what cells of 2 px of half the size held."""
    net, state = GeneratorNet(CELL), teacher.state_dict()
    two = [2 * (y // 2) + x // 2 for y in range(CELL) for x in range(CELL)]
    stem = [4 * plane + place for plane in range(PLANES) for place in two]
    out = [4 * plane + place for plane in range(4) for place in two]
    state["stem.weight"] = state["stem.weight"][:, stem] / 4
    state |= {name: state[name][out] for name in ("out.weight", "out.bias")}
    net.load_state_dict(state)
    return net


def losses(rgb: torch.Tensor, border: torch.Tensor, batch: Tensors) -> Tensors:
    """All terms, unweighted: how far from the teacher's answer, where a face is painted above all."""
    cut, mouth = batch["planes"][:, 3:4], batch["mouth"][:, None].float()
    weight = OUTSIDE_WEIGHT + (1 - OUTSIDE_WEIGHT) * cut + MOUTH_WEIGHT * mouth
    apart = (rgb - batch["rgb"].clamp(-1, 1)) * weight
    scales = [functional.avg_pool2d(apart, n).abs().mean() for n in (1, 2, 4)]
    return {
        "pixels": torch.stack(scales).sum(),
        "edges": torch.stack([apart.diff(dim=axis).abs().mean() for axis in (2, 3)]).sum(),
        "border": functional.binary_cross_entropy_with_logits(border, batch["border"].sigmoid()),
    }


def train(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    teacher = args.engines / "generator-teacher.safetensors"
    net = begun_from(load_weights(teacher).generator)
    if args.resume:
        restore(net, args.resume)
    student = Student(net, args, weight_decay=1e-4, clip=20.0)
    loader = batches_of(Draws(args.bank, args.seed, partial(Lessons, teacher=teacher)), collate, args)
    for step in steps(repeated(loader, args.seed), args.minutes, 180):
        batch = {name: column.to(args.device, torch.float32) for name, column in step.batch.items()}
        planes = batch["planes"].to(memory_format=torch.channels_last)
        rgb, border = student.model(planes, batch["styles"])
        terms = losses(rgb, border, batch)
        total = torch.stack([WEIGHTS[name] * term for name, term in terms.items()]).sum()
        student.learn(step, total, terms, every=50)
    student.save()


class Exported(nn.Module):
    """The generator with its border as alpha, 0..1."""

    def __init__(self, net: GeneratorNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, planes: torch.Tensor, styles: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        rgb, border = self.net(planes, styles)
        return rgb.clamp(-1, 1), border.sigmoid()


def export(weights: Path, folder: Path) -> None:
    net = GeneratorNet(CELL)
    restore(net, weights)
    example = torch.zeros(1, PLANES, CROP_PX, CROP_PX), torch.zeros(1, sum(net.style_sizes))
    names = ["planes", "styles"], ["rgb", "alpha"]
    export_onnx(Exported(net), example, *names, folder / "generator.onnx")


def main() -> None:
    parser = options(__doc__, "generator", 70, 16, 1e-3, 9, data=False)
    parser.add_argument("--bank", type=Path, required=True, help="of streamanon.training.crops")
    parser.add_argument("--engines", type=Path, default=Engines.open().folder, help="with the teacher")
    run(parser.parse_args(), train, export)


if __name__ == "__main__":
    main()
