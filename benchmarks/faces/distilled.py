"""How far the generator's answers are from its teacher's.

    pip install '.[train]' && python -m benchmarks.faces.distilled VIDEO... [--engines DIR]

Faces of the videos go through both; and through the teacher at half the size, as the generator began.
Mean differences where a face is painted: of colours, in levels, and of opacity.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch.nn import functional

from benchmarks.faces.generator_precision import recorded
from streamanon.config import ComputeConfig
from streamanon.runtime.backends.onnxruntime import create
from streamanon.runtime.models import Engines
from streamanon.training.distil_generator import Exported
from streamanon.training.generator import load_weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--engines", type=Path, default=Path("engines"), help="with the teacher's weights")
    args = parser.parse_args()
    faces = recorded(args.videos)
    teacher = Exported(load_weights(args.engines / "generator-teacher.safetensors").generator)
    generator = create(ComputeConfig(threads=1)).load(Engines.open().path("generator"), precise=True)
    apart: dict[str, list[torch.Tensor]] = {"the generator": [], "the teacher at half the size": []}
    for planes, styles in faces:
        given, style = torch.from_numpy(planes), torch.from_numpy(styles).reshape(1, -1)
        with torch.no_grad():
            wanted = torch.cat(teacher(given, style), 1)
            small = torch.cat(teacher(functional.avg_pool2d(given, 2), style), 1)
        made = torch.cat([torch.from_numpy(one) for one in generator.run(planes, style.numpy())], 1)
        cut = given[0, 3] > 0
        for name, one in zip(apart, (made, functional.interpolate(small, scale_factor=2.0)), strict=True):
            apart[name].append((one - wanted)[0, :, cut].abs().mean(1))
    for name, values in apart.items():
        *rgb, opacity = torch.stack(values).mean(0).tolist()
        print(f"{name}: {127.5 * sum(rgb) / 3:.2f} levels, opacity {opacity:.3f}, {len(values)} faces")


if __name__ == "__main__":
    main()
