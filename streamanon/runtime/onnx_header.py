"""What an ONNX file says of itself: metadata, inputs and outputs, read without the ``onnx`` package.

Only the protobuf wire format is needed (https://protobuf.dev/programming-guides/encoding/), and the field
numbers of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from streamanon.errors import ModelError

#: Field numbers of onnx.proto, by message.
_MODEL_GRAPH, _MODEL_METADATA = 7, 14
_GRAPH_WEIGHTS, _GRAPH_INPUT, _GRAPH_OUTPUT = 5, 11, 12
_TENSOR_DATA_LOCATION, _EXTERNAL = 14, 1
_VALUE_NAME, _VALUE_TYPE, _TYPE_TENSOR, _TENSOR_KIND, _TENSOR_SHAPE = 1, 2, 1, 1, 2
_SHAPE_DIM, _DIM_VALUE = 1, 1
#: Wire types: a varint, eight bytes, a length and so many bytes, four bytes.
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
#: ``TensorProto.DataType`` of the elements that are told apart.
ELEMENTS = {1: "float32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 10: "float16", 16: "bfloat16"}


@dataclass(frozen=True)
class Port:
    """An input or output: the name of its elements' type, and its shape; None where a length is free."""

    name: str
    element: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class OnnxHeader:
    """``metadata``: what the exporter noted. ``external``: whether weights lie in other files."""

    metadata: dict[str, str]
    inputs: list[Port]
    outputs: list[Port]
    external: bool


def read_onnx_header(path: Path) -> OnnxHeader:
    """Raises :class:`ModelError` for a file that cannot be read or is no ONNX model."""
    try:
        return _parse(memoryview(path.read_bytes()))
    except OSError as error:
        raise ModelError(f"cannot read the model {path}: {error.strerror}; check the path") from error
    except (ValueError, LookupError) as error:
        raise ModelError(
            f"{path.name} is no ONNX model, or it is torn: give the .onnx file of an export"
        ) from error


def _parse(data: memoryview) -> OnnxHeader:
    metadata: dict[str, str] = {}
    inputs: dict[str, Port] = {}
    outputs: list[Port] = []
    weights: set[str] = set()
    external, graphs = False, 0
    for number, value in _fields(data):
        if number == _MODEL_METADATA:
            entry = dict(_fields(_bytes(value)))
            metadata[_text(entry[1])] = _text(entry.get(2, memoryview(b"")))
        elif number == _MODEL_GRAPH:
            graphs += 1
            for part, content in _fields(_bytes(value)):
                if part == _GRAPH_INPUT:
                    port = _port(_bytes(content))
                    inputs[port.name] = port
                elif part == _GRAPH_OUTPUT:
                    outputs.append(_port(_bytes(content)))
                elif part == _GRAPH_WEIGHTS:
                    tensor = dict(_fields(_bytes(content)))
                    weights.add(_text(tensor.get(8, memoryview(b""))))
                    external |= tensor.get(_TENSOR_DATA_LOCATION) == _EXTERNAL
    if graphs != 1:
        raise ValueError("an ONNX model has one graph")
    # Old exporters list the weights among the inputs, too.
    return OnnxHeader(metadata, [p for name, p in inputs.items() if name not in weights], outputs, external)


def _port(data: memoryview) -> Port:
    value = dict(_fields(data))
    kind, shape = 0, []
    for number, tensor in _fields(_bytes(value.get(_VALUE_TYPE, memoryview(b"")))):
        for part, content in _fields(_bytes(tensor)) if number == _TYPE_TENSOR else ():
            if part == _TENSOR_KIND and isinstance(content, int):
                kind = content
            elif part == _TENSOR_SHAPE:
                shape = [_length(_bytes(dim)) for n, dim in _fields(_bytes(content)) if n == _SHAPE_DIM]
    return Port(_text(value[_VALUE_NAME]), ELEMENTS.get(kind, f"type {kind}"), tuple(shape))


def _length(data: memoryview) -> int | None:
    length = dict(_fields(data)).get(_DIM_VALUE)
    return length if isinstance(length, int) and length > 0 else None


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field of a message; values of a fixed size come as bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind, number = key & 7, key >> 3
        if kind == _VARINT:
            whole, at = _varint(data, at)
            yield number, whole
            continue
        if kind not in (_EIGHT, _BYTES, _FOUR):
            raise ValueError("no wire type of protobuf")
        length, at = _varint(data, at) if kind == _BYTES else (8 if kind == _EIGHT else 4, at)
        if at + length > len(data):
            raise ValueError("a field goes on beyond its message")
        yield number, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A whole number of seven bits a byte, low ones first, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a varint has at most ten bytes")


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where a message belongs")
    return value


def _text(value: int | memoryview) -> str:
    return bytes(_bytes(value)).decode("utf-8")
