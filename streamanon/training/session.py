"""What all trainings share: their options, and steps until the time is over."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")
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


def steps(batches: Iterable[T], minutes: float, every_seconds: float) -> Iterator[Step[T]]:
    """Batches until ``minutes`` have been worked; ``due`` each ``every_seconds``."""
    spent, last, noted = 0.0, time.monotonic(), 0.0
    for number, batch in enumerate(batches):
        if spent >= 60 * minutes:
            return
        due = spent - noted > every_seconds
        noted = spent if due else noted
        yield Step(number, spent / (60 * minutes), spent / 60, due, batch)
        now = time.monotonic()
        spent, last = spent + min(now - last, LONGEST_STEP), now


def options(
    description: str | None, name: str, minutes: float, batch: int, lr: float, seed: int
) -> argparse.ArgumentParser:
    """The options, with their defaults. ``name``: of the model."""
    parser = argparse.ArgumentParser(description=description)
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
