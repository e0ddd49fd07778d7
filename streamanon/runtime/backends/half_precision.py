"""An ONNX model in float16, with float32 at its inputs and outputs."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from streamanon.errors import ModelError


def to_half(path: Path) -> bytes:
    """The model of an ONNX file, its weights and arithmetic in float16. Raises :class:`ModelError`."""
    if importlib.util.find_spec("onnx") is None:
        raise ModelError("half precision needs the package onnx: pip install onnx")
    # Here and not above: only a new plan needs them.
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    try:
        converted = convert_float_to_float16(onnx.load(str(path)), keep_io_types=True)
    except Exception as error:  # of protobuf, of the file system, of the converter
        raise ModelError(f"cannot convert {path.name} to half precision: give an ONNX model") from error
    return bytes(converted.SerializeToString())
