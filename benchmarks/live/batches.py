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
from streamanon.model_list import chain_models
from streamanon.runtime.backends import Model, open_backend
from streamanon.runtime.example_inputs import example
from streamanon.runtime.models import Engines
from streamanon.runtime.onnx_header import read_onnx_header

NETWORKS = ("face-verifier", "face-mesh", "face-occlusion", "generator", "identity-encoder")


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
    for one in chain_models(Engines.open()):
        if one.path.stem not in NETWORKS:
            continue
        model, ports = one.by(backend), read_onnx_header(one.path).inputs
        for faces in args.faces:
            single, joined, ratio = compare(model, example(ports, faces), args.rounds)
            together = f"{faces} in one call {joined:6.2f}: {ratio:.2f} times"
            print(f"{one.path.stem:17} alone {single:6.2f}, {together}")


def compare(model: Model, inputs: list[NDArray[np.float32]], rounds: int) -> tuple[float, float, float]:
    """Milliseconds a face in calls of one face and in one call of all ``inputs``, and the second by the
    first.
    """
    faces = len(inputs[0])
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
