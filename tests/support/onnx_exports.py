"""Tiny ONNX files with the inputs, outputs and metadata of ultralytics exports, and planted answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[np.float32]
STRIDES = (8, 16, 32)
#: Rows of a selected output, as ultralytics fills them up.
ROWS = 300


@dataclass(frozen=True)
class Export:
    """What is exported; ``size``: (width, height) px, None for a dynamic one. ``extra``: more metadata, or
    other ones; those that are None are left out.
    """

    task: str = "detect"
    names: dict[int, str] = field(default_factory=lambda: {0: "face"})
    size: tuple[int, int] | None = (64, 64)
    keypoints: tuple[int, int] = (0, 0)
    selected: bool = False
    element: int = TensorProto.FLOAT
    batch: int = 1
    extra: dict[str, str | None] = field(default_factory=dict)

    def metadata(self) -> dict[str, str]:
        width, height = self.size or (64, 64)
        made: dict[str, str | None] = {
            "description": "Ultralytics YOLO11n model ",
            "author": "Ultralytics",
            "version": "8.3.50",
            "stride": "32",
            "task": self.task,
            "batch": str(self.batch),
            "imgsz": str([height, width]),
            "names": str(self.names),
            "args": str({"batch": self.batch, "dynamic": self.size is None, "nms": self.selected}),
        }
        if self.task == "pose":
            made["kpt_shape"] = str(list(self.keypoints))
        return {key: value for key, value in (made | self.extra).items() if value is not None}


def answer(
    export: Export,
    boxes: Array,
    scores: Array,
    classes: NDArray[np.int64] | None = None,
    points: Array | None = None,
) -> Array:
    """The output [1, ...] with these boxes [N, 4] xyxy px, scores [N], classes [N] and keypoints
    [N, K, 2].
    """
    count, each = export.keypoints
    classes = np.zeros(len(boxes), np.int64) if classes is None else classes
    spots = np.zeros((len(boxes), count, each), np.float32)
    if points is not None:
        spots[..., :2], spots[..., 2:] = points, 0.9
    flat = spots.reshape(len(boxes), count * each)
    if export.selected:
        rows = np.zeros((ROWS, 6 + count * each), np.float32)
        rows[: len(boxes)] = np.concatenate([boxes, scores[:, None], classes[:, None], flat], axis=1)
        return rows[None]
    width, height = export.size or (64, 64)
    cells = sum((width // s) * (height // s) for s in STRIDES)
    by_class = np.zeros((len(boxes), len(export.names)), np.float32)
    by_class[np.arange(len(boxes)), classes] = scores
    middles, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    columns = np.full((4 + len(export.names) + count * each, cells), 1e-5, np.float32)
    columns[:, -len(boxes) :] = np.concatenate([middles, sides, by_class, flat], axis=1).T
    return columns[None]


def write_export(path: Path, export: Export, output: Array) -> Path:
    """A network that answers ``output`` to whatever it sees."""
    shape: list[int | str] = [export.batch, 3, *(export.size or (64, 64))[::-1]]
    shape_out: list[int | str] = list(output.shape)
    if export.size is None:
        shape, shape_out = ["batch", 3, "height", "width"], ["batch", "Concatoutput0_dim_1", "anchors"]
    kind = np.float16 if export.element == TensorProto.FLOAT16 else np.float32
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "none"], ["nothing"]),
        helper.make_node("Add", ["planted", "nothing"], ["output0"]),
    ]
    weights = [
        numpy_helper.from_array(output.astype(kind), "planted"),
        numpy_helper.from_array(np.array(0, kind), "none"),
    ]
    graph = helper.make_graph(
        nodes,
        "main_graph",
        [helper.make_tensor_value_info("images", export.element, shape)],
        [helper.make_tensor_value_info("output0", export.element, shape_out)],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, export.metadata())
    onnx.save(model, str(path))
    return path
