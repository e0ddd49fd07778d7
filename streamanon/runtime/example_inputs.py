"""Inputs of a network's own shapes, for timing it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streamanon.runtime.backends import Array
from streamanon.runtime.onnx_header import Port

#: Input of networks whose picture size is free, height and width px: 16:9 at the usual size.
VIEW_PX = (320, 576)


def example(inputs: Sequence[Port], batch: int, view: tuple[int, int] = VIEW_PX) -> list[Array]:
    """Values that a model takes: mid-grey pictures with noise; ``view``: height and width px of those whose
    size is free.
    """
    random = np.random.default_rng(0)
    made: list[Array] = []
    for port in inputs:
        shape = [
            length if length is not None else batch if axis == 0 else view[axis - len(port.shape)]
            for axis, length in enumerate(port.shape)
        ]
        made.append(random.uniform(0.3, 0.7, shape).astype(np.float32))
    return made
