"""Write the face detector with INT8 convolutions, for processors without bfloat16.

    python -m streamanon.training.quantise_detector --data DATA --out engines

Quantised after training (static, 8-bit activations, 7-bit weights by channel), with the ranges that
pictures of the split ``train`` give at the chain's input sizes. The file holds QuantizeLinear and
DequantizeLinear, so ONNX Runtime and OpenVINO run it alike.
https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from streamanon.detect.tiling import LONG_SIDES, letterbox, whole
from streamanon.detect.yolo import COARSE_LONG_SIDE
from streamanon.media.yuv import from_rgb
from streamanon.training.scenes import read_scenes

#: Left in float32, by the beginning of a node's name. The first layers: few channels, INT8 gains nothing.
#: Attention: its transposes would cost what INT8 gains. The branch of the scores: they are compared with
#: fixed thresholds. The boxes' expected distances.
FLOAT = ("/layers.0/", "/layers.1/", "/layers.2/", "/layers.10/", "/cv3.", "/dfl/")
#: The last convolution of each branch, too.
LAST = ".2/Conv"
PICTURES = 60
SIDES = (LONG_SIDES["large"], LONG_SIDES["medium"], LONG_SIDES["small"], COARSE_LONG_SIDE)
#: Steps of the distribution over which a box's distance is the mean.
STEPS = 16


class _Inputs(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, images: Sequence[NDArray[np.float32]]) -> None:
        self._left = iter(images)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        image = next(self._left, None)
        return None if image is None else {"images": image}


def calibration_inputs(data: Path, seed: int = 0) -> list[NDArray[np.float32]]:
    """Inputs [1, 3, H, W] as the chain makes them, of random ``train`` scenes, two sizes each."""
    scenes = read_scenes(data, "train")
    inputs = []
    for number, row in enumerate(np.random.default_rng(seed).permutation(len(scenes))[:PICTURES]):
        picture = from_rgb(np.ascontiguousarray(scenes[row].image[..., ::-1]))
        inputs += [letterbox(picture, *whole(picture, 0, side).size)[0] for side in SIDES[number % 2 :: 2]]
    return inputs


def prepare(source: Path, target: Path) -> None:
    """The float32 network as it is to be quantised: constants folded, and the boxes' distances as a ratio
    of two sums, as ONNX Runtime takes a tenth of its time for their softmax over few channels.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    model = onnx.load(target)
    graph = model.graph
    nodes = {node.name: node for node in graph.node}
    softmax, mean = nodes["/dfl/Softmax"], nodes["/dfl/conv/Conv"]
    sums = np.stack([np.arange(STEPS), np.ones(STEPS)]).reshape(2, STEPS, 1, 1).astype(np.float32)
    graph.initializer.append(numpy_helper.from_array(sums, "dfl.sums"))
    given, exponent = softmax.input[0], ["/dfl/exponent"]
    ratio = [
        helper.make_node("ReduceMax", [given], ["/dfl/most"], "/dfl/ReduceMax", axes=[1], keepdims=1),
        helper.make_node("Sub", [given, "/dfl/most"], ["/dfl/less"], "/dfl/Sub"),
        helper.make_node("Exp", ["/dfl/less"], exponent, "/dfl/Exp"),
        helper.make_node("Conv", [*exponent, "dfl.sums"], ["/dfl/both"], "/dfl/Sums", kernel_shape=[1, 1]),
        helper.make_node("Split", ["/dfl/both"], ["/dfl/upper", "/dfl/lower"], "/dfl/Split", axis=1),
        helper.make_node("Div", ["/dfl/upper", "/dfl/lower"], list(mean.output), "/dfl/Div"),
    ]
    first = list(graph.node).index(softmax)
    kept = [[n for n in part if n is not mean] for part in (graph.node[:first], graph.node[first + 1 :])]
    unused = [one for one in graph.initializer if one.name == mean.input[1]]
    for one in unused:
        graph.initializer.remove(one)
    del graph.node[:]
    graph.node.extend([*kept[0], *ratio, *kept[1]])
    onnx.checker.check_model(model)
    onnx.save(model, target)


def quantise(source: Path, target: Path, inputs: Sequence[NDArray[np.float32]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        prepare(source, prepared)
        names = [node.name for node in onnx.load(prepared).graph.node]
        quantize_static(
            str(prepared),
            str(target),
            _Inputs(inputs),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=[one for one in names if one.startswith(FLOAT) or one.endswith(LAST)],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            # AVX2 adds two products of bytes in 16 bits, which overflow with weights of 8 bits.
            reduce_range=True,
            calibrate_method=CalibrationMethod.MinMax,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("engines"))
    args = parser.parse_args()
    logging.getLogger().setLevel(logging.ERROR)  # it advises a preparation that has been made
    source, target = args.out / "face-detector.onnx", args.out / "face-detector-int8.onnx"
    quantise(source, target, calibration_inputs(args.data))
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
