"""The page ``docs/roofline.md``: what each network computes and moves, read from its ONNX file, against
what GPUs can do by their makers' data sheets. Nothing is timed.

::

    python scripts/make_roofline.py
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from streamanon.bench.result import table
from streamanon.config import load_config
from streamanon.detect.detection_interval import DetectionInterval
from streamanon.detect.orientation import Orientation
from streamanon.detect.view_schedule import ViewSchedule
from streamanon.detect.yolo import FaceDetector
from streamanon.media.yuv import from_rgb
from streamanon.model_list import Recorder
from streamanon.runtime.example_inputs import VIEW_PX, example
from streamanon.runtime.models import Engines
from streamanon.runtime.onnx_header import read_onnx_header
from streamanon.types import RawFrame

PAGE = Path(__file__).parents[1] / "docs" / "roofline.md"
#: Networks by how often they run: once a detection pass, once a detection, once a face.
PER_VIEW, PER_FACE = ("face-detector",), ("face-mesh", "face-parts", "face-occlusion", "generator")
RARE = ("face-verifier", "identity-encoder", "generator-style")
#: Bytes of a value.
BYTES = {"fp16": 2, "int8": 1}
#: A stream: frames a second, faces, the profile, and the picture's width and height px.
RATE, FACES, PROFILE, STREAM_PX = 30, 2, "livestream", (1920, 1080)
#: Views are counted over so many seconds; the first search of a shot, which is in full, is left out.
COUNTED_SECONDS = 60
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Gpu:
    """Dense tensor-core rates, 10^12 operations a second, and memory bandwidth, 10^9 bytes a second.
    ``source`` says where they are published.
    """

    name: str
    fp16: float
    int8: float
    bandwidth: float
    source: str

    def rate(self, precision: str) -> float:
        return self.fp16 if precision == "fp16" else self.int8


#: The makers' figures with sparsity, halved.
GPUS = (
    Gpu("Jetson Orin Nano 8 GB", 10, 20, 68, "NVIDIA Jetson Orin Nano data sheet (40 sparse INT8 TOPS)"),
    Gpu("GeForce RTX 4060", 60.5, 121, 272, "NVIDIA's product page (242 AI TOPS)"),
    Gpu("L4", 121, 242.5, 300, "NVIDIA L4 data sheet (242 FP16 TFLOPS and 485 INT8 TOPS with sparsity)"),
    Gpu("H100 SXM", 989.5, 1979, 3350, "NVIDIA H100 data sheet (1,979 FP16 TFLOPS with sparsity)"),
)


@dataclass(frozen=True)
class Work:
    """One run of a network on one face or view: ``flop`` (a multiplication and an addition are two), values
    of its weights, of its inputs and outputs, and of all that its layers read and write.
    """

    flop: float
    weights: int
    ends: int
    layers: int

    def bytes(self, precision: str, batch: int, fused: bool) -> float:
        """A run's share of what a batch moves: ``fused``, at best, only weights and ends."""
        return BYTES[precision] * (self.weights / batch + (self.ends if fused else self.layers))


def work_of(path: Path, sides: tuple[int, int] = VIEW_PX) -> Work:
    """Counted on the shapes that the network has when it runs; ``sides``: height and width px of a view."""
    model = onnx.load(str(path))
    inputs = example(read_onnx_header(path).inputs, 1, sides)
    weights = {one.name: tuple(one.dims) for one in model.graph.initializer}
    shapes = _shapes(model, inputs) | weights
    flop, layers = 0.0, 0
    for node in model.graph.node:
        flop += _flop(node, shapes)
        if node.op_type in ("Conv", "Gemm", "MatMul", "InstanceNormalization", "Resize", "MaxPool"):
            named = [name for name in (*node.input, *node.output) if name not in weights]
            layers += sum(_size(shapes.get(name, ())) for name in named)
    ends = [one.name for one in (*model.graph.input, *model.graph.output)]
    return Work(flop, sum(map(_size, weights.values())), sum(_size(shapes[name]) for name in ends), layers)


def views_a_frame(engines: Engines) -> dict[tuple[int, int], float]:
    """How often a stream's frame is seen by the detector, by the view's height and width px: as the chain
    decides it while everything moves a little and nobody is new.
    """
    config = load_config(PROFILE)
    detector = FaceDetector(Recorder(), engines, config.detect)
    schedule, orientation = ViewSchedule(detector), Orientation()
    interval = DetectionInterval(config.detect.interval_seconds, config.lookahead.seconds)
    picture = from_rgb(np.zeros((STREAM_PX[1], STREAM_PX[0], 3), np.uint8))
    count, views = COUNTED_SECONDS * RATE, Counter[tuple[int, int]]()
    for number in range(count):
        frame = RawFrame(number, number, Fraction(1, RATE), picture)
        extent = interval.extent(frame, starts_shot=False, may_start=False, moves=False)
        if extent is None:
            continue
        interval.searched(extent, succeeded=True)
        for look in schedule.looks(frame, extent, orientation):
            views.update((view.size[1], view.size[0]) for view in look.views)
    return {sides: times / count for sides, times in views.items()}


def _shapes(model: onnx.ModelProto, inputs: Sequence[np.ndarray[Any, Any]]) -> Shapes:
    """Of every value, by running the network with all of them as outputs."""
    names = [one.name for one in model.graph.input]
    known = {one.name for one in model.graph.output}
    made = [name for node in model.graph.node for name in node.output if name and name not in known]
    seen = onnx.ModelProto()
    seen.CopyFrom(model)
    seen.graph.output.extend(onnx.ValueInfoProto(name=name) for name in made)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        seen.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    given = dict(zip(names, inputs, strict=True))
    found = session.run(None, given)
    shapes = {one.name: np.shape(value) for one, value in zip(session.get_outputs(), found, strict=True)}
    return shapes | {name: value.shape for name, value in given.items()}


def _flop(node: onnx.NodeProto, shapes: Shapes) -> float:
    """Of the layers that multiply matrices; the others are few beside them."""
    if node.op_type == "Conv":  # weights [out, in / groups, height, width]
        return 2.0 * _size(shapes[node.output[0]]) * _size(shapes[node.input[1]][1:])
    if node.op_type in ("Gemm", "MatMul"):
        left = shapes[node.input[0]]
        transposed = any(one.name == "transA" and one.i for one in node.attribute)
        return 2.0 * _size(shapes[node.output[0]]) * left[0 if transposed else -1]
    return 0.0


def _size(shape: Sequence[int]) -> int:
    return int(np.prod(shape, dtype=np.int64))


def seconds(work: Work, gpu: Gpu, precision: str, batch: int, fused: bool) -> tuple[float, str]:
    """The least time of one run in a batch, and what bounds it."""
    computing = work.flop / (1e12 * gpu.rate(precision))
    moving = work.bytes(precision, batch, fused) / (1e9 * gpu.bandwidth)
    return max(computing, moving), "arithmetic" if computing > moving else "memory"


_ABOUT = f"""\
An upper bound for GPU speed, **calculated, not measured**: the networks' arithmetic and memory traffic
at each GPU's published dense tensor-core rate and memory bandwidth. No GPU has run any of it. A real GPU
reaches a fraction of this, because small layers do not fill it, and geometry, light, decoding and
encoding are not included. [Benchmarks](benchmarks.md) has measurements.

The detector sees {VIEW_PX[1]}×{VIEW_PX[0]} px. *Fused*: only weights, inputs and outputs pass through
memory. *Layer by layer*: every convolution, product, normalisation and scaling reads and writes its
values there. A compiler reaches something in between. The network for eyes and mouth is counted for one
eye and one mouth; the other eye adds 1 % to a face.

The tables assume precisions that the code does not use yet: on GPUs the chain runs mesh, eyes, mouth and
occlusion in float32, and no network in INT8."""
_FACE = "## Faces\n\nMesh, eyes and mouth, occlusion, generator; batches of 8 faces."
_STREAMS = f"""\
## Streams

Streams of {STREAM_PX[0]}×{STREAM_PX[1]} px at {RATE} frames a second with {FACES} faces each, with the
profile {PROFILE}; every face is painted in every frame. The detector's views are those used while people
move; in still scenes there are fewer:"""
_HALVED = (
    "Figures with sparsity are halved, and FP16 is taken as half of INT8 where only that is published."
)


@dataclass(frozen=True)
class Seen:
    """A detector's view: its height and width px, its work, and how often a frame is seen so."""

    sides: tuple[int, int]
    work: Work
    times: float


def seen(engines: Engines) -> list[Seen]:
    """All views of a stream, the smallest first."""
    path = engines.path(PER_VIEW[0])
    return [
        Seen(sides, work_of(path, sides), times) for sides, times in sorted(views_a_frame(engines).items())
    ]


def page(works: dict[str, Work], views: Sequence[Seen]) -> str:
    parts = [
        "# Roofline",
        "<!-- Made by python scripts/make_roofline.py; do not edit. -->",
        _ABOUT,
        table(_network_rows(works)),
        _FACE,
        table(_face_rows(works)),
        _STREAMS,
        table(_view_rows(views)),
        table(_stream_rows(works, views)),
        "## Sources",
        "\n".join(f"- {gpu.name}: {gpu.source}." for gpu in GPUS),
        _HALVED,
    ]
    return "\n\n".join(parts) + "\n"


def _network_rows(works: dict[str, Work]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        ("network", "runs", "GFLOP", "weights, 10⁶", "fused, MB at FP16", "layer by layer, MB at FP16")
    ]
    for name in (*PER_VIEW, *RARE, *PER_FACE):
        work = works[name]
        runs = "a view" if name in PER_VIEW else "a face" if name in PER_FACE else "now and then"
        moved = (f"{work.bytes('fp16', 1, fused) / 1e6:.2f}" for fused in (True, False))
        rows.append((name, runs, f"{work.flop / 1e9:.3f}", f"{work.weights / 1e6:.2f}", *moved))
    return rows


def _face_rows(works: dict[str, Work]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        ("GPU", "precision", "faces/s, fused", "bound by", "faces/s, layer by layer", "bound by")
    ]
    for gpu in GPUS:
        for precision in BYTES:
            cells: list[str] = []
            for fused in (True, False):
                one, bound = _together(works, PER_FACE, gpu, precision, 8, fused)
                cells += [_rounded(1 / one), bound]
            rows.append((gpu.name, precision.upper(), *cells))
    return rows


def _view_rows(views: Sequence[Seen]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("view, px", "times a frame", "GFLOP")]
    for view in views:
        size = f"{view.sides[1]}×{view.sides[0]}"
        rows.append((size, f"{view.times:.2f}", f"{view.work.flop / 1e9:.3f}"))
    return rows


def _stream_rows(works: dict[str, Work], views: Sequence[Seen]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("GPU", "precision", "streams, fused", "streams, layer by layer")]
    for gpu in GPUS:
        for precision in BYTES:
            cells = []
            for fused in (True, False):
                face, _ = _together(works, PER_FACE, gpu, precision, 8, fused)
                detected = sum(
                    view.times * seconds(view.work, gpu, precision, 1, fused)[0] for view in views
                )
                cells.append(_rounded(1 / (RATE * (FACES * face + detected))))
            rows.append((gpu.name, precision.upper(), *cells))
    return rows


def _together(
    works: dict[str, Work], names: Sequence[str], gpu: Gpu, precision: str, batch: int, fused: bool
) -> tuple[float, str]:
    """Seconds of several networks, one after the other, and what bounds the slowest."""
    each = [seconds(works[name], gpu, precision, batch, fused) for name in names]
    return sum(one for one, _ in each), max(each)[1]


def _rounded(value: float) -> str:
    """Two significant digits, as the figures behind it have no more."""
    digits = max(0, int(np.floor(np.log10(value))) - 1)
    return f"{int(round(value / 10**digits) * 10**digits):,}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=PAGE)
    args = parser.parse_args(arguments)
    engines = Engines.open()
    names = [*PER_VIEW, *RARE, *PER_FACE]
    works = {name: work_of(engines.path(name)) for name in names}
    args.out.write_text(page(works, seen(engines)), encoding="utf-8")


if __name__ == "__main__":
    main()
