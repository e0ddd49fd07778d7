"""What a network costs a face when the faces of several cameras share one call, against a call each.

    python -m benchmarks.live.batches

Processor time of both, in turn, so that other programs change both alike; the median of the ratios of
neighbours. The detector takes one picture a call and is not in it.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import numpy as np
from numpy.typing import NDArray

from streamanon.config import ComputeConfig
from streamanon.runtime.backends import Model, open_backend
from streamanon.runtime.models import Engines

#: By network: its inputs without the batch, and whether it runs in bfloat16 where the processor has it.
NETWORKS: dict[str, tuple[tuple[tuple[int, ...], ...], bool]] = {
    "face-verifier": (((3, 64, 64),), False),
    "face-mesh": (((3, 128, 128),), True),
    "face-occlusion": (((3, 128, 128),), True),
    "generator": (((13, 128, 128), (2880,)), True),
    "identity-encoder": (((3, 112, 112),), False),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--faces", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--rounds", type=int, default=30)
    args = parser.parse_args()
    backend = open_backend(ComputeConfig(threads=args.threads))
    print(f"{backend.name}, {args.threads} thread(s); milliseconds of processor time a face")
    for name, (shapes, half) in NETWORKS.items():
        model = backend.load(Engines.open().path(name), precise=True, bfloat16=half)
        for faces in args.faces:
            single, joined, ratio = compare(model, shapes, faces, args.rounds)
            print(f"{name:17} alone {single:6.2f}, {faces} in one call {joined:6.2f}: {ratio:.2f} times")


def compare(
    model: Model, shapes: tuple[tuple[int, ...], ...], faces: int, rounds: int
) -> tuple[float, float, float]:
    """Milliseconds a face in calls of one face and in one call of all, and the second by the first."""
    rng = np.random.default_rng(0)
    inputs = [rng.random((faces, *shape), dtype=np.float32) for shape in shapes]
    ones = [[np.ascontiguousarray(one[n : n + 1]) for one in inputs] for n in range(faces)]
    for _ in range(3):
        model.run(*inputs)
        model.run(*ones[0])
    pairs = [(_spent(model, ones), _spent(model, [inputs])) for _ in range(rounds)]
    share = 1000 / faces
    return (
        share * median(one for one, _ in pairs),
        share * median(all_ for _, all_ in pairs),
        median(all_ / one for one, all_ in pairs),
    )


def _spent(model: Model, calls: list[list[NDArray[np.float32]]]) -> float:
    begun = time.process_time()
    for inputs in calls:
        model.run(*inputs)
    return time.process_time() - begun


if __name__ == "__main__":
    main()
