"""The counts of ``docs/roofline.md``, on networks small enough to count by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from make_roofline import (
    GPUS,
    PAGE,
    PER_FACE,
    PER_VIEW,
    RARE,
    Gpu,
    Work,
    page,
    seconds,
    seen,
    views_a_frame,
    work_of,
)
from onnx import TensorProto, helper, numpy_helper

from streamanon.runtime.models import Engines


def test_a_convolution_is_counted_as_by_hand(tmp_path: Path) -> None:
    """3 to 8 channels, kernel 3, stride 2, on 16 by 16 px: 8 * 8 * 8 values of 3 * 3 * 3 products each."""
    ends = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 16, 16]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 8, 8, 8]),
    ]
    weights = numpy_helper.from_array(np.zeros((8, 3, 3, 3), np.float32), "w")
    node = helper.make_node("Conv", ["x", "w"], ["y"], strides=[2, 2], pads=[1, 1, 1, 1])
    graph = helper.make_graph([node], "conv", ends[:1], ends[1:], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = tmp_path / "conv.onnx"
    path.write_bytes(model.SerializeToString())
    values = 3 * 16 * 16 + 8 * 8 * 8
    assert work_of(path) == Work(2 * 512 * 27, 8 * 27, values, values)


@pytest.mark.parametrize(("flop", "bound", "time"), [(4e12, "arithmetic", 2.0), (1e12, "memory", 1.0)])
def test_the_slower_of_arithmetic_and_memory_counts(flop: float, bound: str, time: float) -> None:
    gpu = Gpu("a", 2, 4, 1, "nowhere")
    work = Work(flop, 0, 500_000_000, 0)
    assert seconds(work, gpu, "fp16", 1, fused=True) == (time, bound)


def test_weights_are_read_once_a_batch() -> None:
    work = Work(0, 1600, 10, 100)
    assert work.bytes("fp16", 16, fused=True) == 2 * (100 + 10)
    assert work.bytes("int8", 1, fused=False) == 1600 + 100


def test_the_page_is_up_to_date(engines: Engines) -> None:
    """If not: python scripts/make_roofline.py"""
    works = {name: work_of(engines.path(name)) for name in (*PER_VIEW, *RARE, *PER_FACE)}
    made = page(works, seen(engines))
    assert PAGE.read_text(encoding="utf-8") == made
    assert all(gpu.source in made for gpu in GPUS)


def test_views_are_those_of_the_profile(engines: Engines) -> None:
    """At 30 frames a second each second frame is searched in one size, coarsely and in a tile; in all four
    orientations each 36 frames.
    """
    times = views_a_frame(engines)
    assert times.keys() == {(128, 224), (224, 128), (320, 576), (576, 320), (480, 576)}
    assert times[480, 576] == pytest.approx(1 / 2)
    assert times[320, 576] == times[128, 224] == pytest.approx(1 / 2 + 1 / 36, abs=0.01)
    assert times[576, 320] == times[224, 128] == pytest.approx(2 / 36, abs=0.01)
