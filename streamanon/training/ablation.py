"""What each term of the generator's loss is worth: trained on without it for a while, and measured.

    python -m streamanon.training.ablation --bank CROPS.npz --measure VAL.npz --start engines --steps 150

All begin with the same weights and see the same faces. Each row tells all terms, unweighted, on faces held
back, and how far the encoder's features of the painted faces are from real ones' (Fréchet); smaller is
better.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn import functional

from streamanon.audit.measure import frechet
from streamanon.identity.encoder import CROP_PX
from streamanon.runtime.models import Engines
from streamanon.training import generator
from streamanon.training.crops import Bank
from streamanon.training.generator import WEIGHTS, Adversary, Judges, Tensors, collate, painted
from streamanon.training.generator_samples import KINDS, SampleSource

PER_KIND, BATCH, SEED = 96, 24, 19


def held_back(bank: Path, per_kind: int = PER_KIND) -> list[Tensors]:
    """Batches of each kind, always the same."""
    cv2.setNumThreads(1)
    source = SampleSource(Bank(bank), SEED)
    kinds = [kind for kind in KINDS for _ in range(per_kind)]
    samples = [source.make(kind) for kind in kinds]
    return [collate(samples[n : n + BATCH]) for n in range(0, len(samples), BATCH)]


@torch.no_grad()
def measure(weights: Path, batches: list[Tensors], judges: Judges) -> dict[str, float]:
    """The mean of each term, of the batches that have it, and the Fréchet distance."""
    painter, adversary = generator.load_weights(weights), Adversary()
    torch.manual_seed(SEED)  # the encoder looks at shaken pictures
    told: dict[str, list[float]] = {}
    real, made = list[torch.Tensor](), list[torch.Tensor]()
    for batch in batches:
        rgb, border = painter(batch["planes"], batch["style"])
        for name, value in generator.losses(rgb, border, batch, judges, adversary).items():
            told.setdefault(name, []).append(float(value))
        real.append(pooled(judges, batch["truth"]))
        made.append(pooled(judges, painted(rgb, batch)))
    del told["adversary"]  # this one has learnt nothing
    numbers = {name: round(float(np.mean(values)), 4) for name, values in told.items()}
    pairs = (np.asarray(torch.cat(parts)) for parts in (real, made))
    return {**numbers, "frechet": round(frechet(*pairs), 3)}


def pooled(judges: Judges, rgb: torch.Tensor) -> torch.Tensor:
    """What the encoder pools of pictures -1..1, [B, 256]."""
    small = functional.interpolate(rgb / 2 + 0.5, (CROP_PX, CROP_PX), mode="bilinear")
    features: torch.Tensor = judges.encoder.trunk(small).mean((2, 3))
    return features


def rows(args: argparse.Namespace) -> Iterator[tuple[str, dict[str, float]]]:
    batches, judges = held_back(args.measure), Judges(args.engines)
    start = args.start / "generator-teacher.safetensors"
    yield "start", measure(start, batches, judges)
    for term in ("nothing", *WEIGHTS):
        with tempfile.TemporaryDirectory() as name:
            weights = Path(name) / start.name
            adversary = start.with_name(f"{start.stem}.adversary.safetensors")
            if adversary.exists():
                weights.with_name(adversary.name).write_bytes(adversary.read_bytes())
            without = [] if term == "nothing" else [term]
            options = {"weights": weights, "resume": start, "without": without, "sheets": None}
            generator.train(argparse.Namespace(**{**vars(args), **options}))
            yield f"without {term}", measure(weights, batches, judges)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bank", type=Path, required=True, help="of streamanon.training.crops")
    parser.add_argument("--measure", type=Path, required=True, help="a bank of faces held back")
    parser.add_argument(
        "--start", type=Path, required=True, help="a folder with generator-teacher.safetensors"
    )
    parser.add_argument("--engines", type=Path, default=Engines.open().folder)
    parser.add_argument("--steps", type=float, default=150)
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--lr", type=float, default=4e-4)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.set_defaults(minutes=math.inf)
    for name, numbers in rows(parser.parse_args()):
        print(json.dumps({"row": name, **numbers}), flush=True)


if __name__ == "__main__":
    main()
