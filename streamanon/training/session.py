"""What all trainings share: their options, and steps until the time is over."""

from __future__ import annotations

import argparse
import copy
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

T = TypeVar("T")
S = TypeVar("S")
#: A step that takes longer than this, seconds, was suspended rather than at work.
LONGEST_STEP = 5.0


@dataclass(frozen=True)
class Step(Generic[T]):
    """``progress`` 0..1 of the time; ``minutes`` spent; ``due``: so many seconds have passed since the last
    time it was.
    """

    number: int
    progress: float
    minutes: float
    due: bool
    batch: T

    def line(self, batch_size: int, losses: Mapping[str, float]) -> str:
        """Time, steps, samples a second and losses."""
        rate = self.number * batch_size / max(60 * self.minutes, 1e-6)
        numbers = "  ".join(f"{key} {value:.4f}" for key, value in losses.items())
        return f"{self.minutes:6.1f} min  {self.number:6d} steps  {rate:6.1f} crops/s  {numbers}"


def steps(
    batches: Iterable[T], minutes: float, every_seconds: float, limit: float = math.inf
) -> Iterator[Step[T]]:
    """Batches until ``minutes`` or ``limit`` steps have been worked; ``due`` each ``every_seconds``."""
    spent, last, noted = 0.0, time.monotonic(), 0.0
    for number, batch in enumerate(batches):
        progress = max(spent / (60 * minutes), number / limit)
        if progress >= 1:
            return
        due = spent - noted > every_seconds
        noted = spent if due else noted
        yield Step(number, progress, spent / 60, due, batch)
        now = time.monotonic()
        spent, last = spent + min(now - last, LONGEST_STEP), now


def save_weights(model: nn.Module, path: Path) -> None:
    state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    save_file({k: v.half() if v.is_floating_point() else v for k, v in state.items()}, path)


def restore(model: nn.Module, path: Path) -> None:
    """Give ``model`` the weights that :func:`save_weights` wrote."""
    state = load_file(path)
    model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})


@torch.no_grad()
def blend_into(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Exponential moving average of weights and statistics."""
    current = model.state_dict()
    for key, value in average.state_dict().items():
        if value.is_floating_point():
            value.lerp_(current[key], 1 - decay)
        else:
            value.copy_(current[key])


def learning_rate(progress: float, peak: float) -> float:
    warm = min(1.0, progress / 0.02)
    return peak * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


class Student:
    """A network in training, its optimiser, and the average of its weights over time, which is saved."""

    def __init__(
        self, model: nn.Module, args: argparse.Namespace, weight_decay: float, clip: float
    ) -> None:
        self.model = model.to(torch.device(args.device), memory_format=torch.channels_last).train()
        self.average = copy.deepcopy(self.model).eval()
        self._optimiser = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=weight_decay)
        self._args, self._clip = args, clip
        self._running: dict[str, float] = {}

    def learn(
        self, step: Step[T], total: torch.Tensor, parts: Mapping[str, torch.Tensor], every: int
    ) -> None:
        """One step down the gradient of ``total``; ``parts`` are told each ``every`` steps."""
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate(step.progress, self._args.lr)
        total.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self._clip)
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        blend_into(self.average, self.model, min(0.999, (1 + step.number) / (10 + step.number)))
        for key, part in parts.items():
            value = float(part.detach())
            self._running[key] = 0.98 * self._running.get(key, value) + 0.02 * value
        if step.number % every == 0:
            print(step.line(self._args.batch, self._running), flush=True)
        if step.due:
            self.save()

    def save(self) -> None:
        save_weights(self.average, self._args.weights)


def batches_of(
    samples: IterableDataset[S], collate: Callable[[list[S]], T], args: argparse.Namespace
) -> DataLoader[T]:
    """Batches, made by other processes while the last one is learnt from."""
    return DataLoader(samples, args.batch, collate_fn=collate, num_workers=args.workers, prefetch_factor=4)


def export_onnx(
    net: nn.Module,
    example: tuple[torch.Tensor, ...],
    inputs: Sequence[str],
    outputs: Sequence[str],
    target: Path,
    axes: Mapping[str, dict[int, str]] | None = None,
) -> None:
    """Write an ONNX file with a free batch axis, or with the free ``axes``."""
    free = axes or {name: {0: "batch"} for name in (*inputs, *outputs)}
    torch.onnx.export(
        net.eval(),
        example,
        str(target),
        input_names=list(inputs),
        output_names=list(outputs),
        dynamic_axes=free,
        dynamo=False,
        opset_version=17,
    )
    print(f"wrote {target}")


def options(
    description: str | None,
    name: str,
    minutes: float,
    batch: int,
    lr: float,
    seed: int,
    data: bool = True,
) -> argparse.ArgumentParser:
    """The options, with their defaults. ``name``: of the model; ``data``: whether it reads the data set."""
    parser = argparse.ArgumentParser(description=description)
    if data:
        parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("engines"))
    parser.add_argument("--weights", type=Path, default=Path(f"{name}.safetensors"))
    parser.add_argument("--resume", type=Path)
    parser.add_argument("--minutes", type=float, default=minutes)
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--lr", type=float, default=lr)
    parser.add_argument("--seed", type=int, default=seed)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    return parser


def run(
    args: argparse.Namespace,
    train: Callable[[argparse.Namespace], None],
    export: Callable[[Path, Path], None],
) -> None:
    """Train, unless for 0 minutes, and export the weights."""
    if args.minutes > 0:
        train(args)
    args.out.mkdir(parents=True, exist_ok=True)
    export(args.weights, args.out)
