from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx_exports import Export, answer, write_export

from streamanon.errors import ModelError
from streamanon.runtime.onnx_header import read_onnx_header

BOX, SCORE = np.array([[8, 8, 40, 48]], np.float32), np.array([0.9], np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_export(tmp_path / "m.onnx", Export(), answer(Export(), BOX, SCORE))


def test_metadata_and_shapes_are_those_that_the_onnx_package_reads(path: Path) -> None:
    header, model = read_onnx_header(path), onnx.load(str(path))
    assert header.metadata == {one.key: one.value for one in model.metadata_props}
    assert [(one.name, one.element, one.shape) for one in header.inputs] == [
        ("images", "float32", (1, 3, 64, 64))
    ]
    assert [(one.name, one.element, one.shape) for one in header.outputs] == [
        ("output0", "float32", (1, 5, 84))
    ]
    assert not header.external


def test_free_lengths_are_none(tmp_path: Path) -> None:
    free = Export(size=None)
    header = read_onnx_header(write_export(tmp_path / "m.onnx", free, answer(free, BOX, SCORE)))
    assert header.inputs[0].shape == (None, 3, None, None)
    assert header.outputs[0].shape == (None, None, None)


def test_half_precision_is_told(tmp_path: Path) -> None:
    half = Export(element=onnx.TensorProto.FLOAT16)
    header = read_onnx_header(write_export(tmp_path / "m.onnx", half, answer(half, BOX, SCORE)))
    assert header.inputs[0].element == header.outputs[0].element == "float16"


def test_the_shipped_models_are_read() -> None:
    for path in (Path(__file__).parents[2] / "engines").glob("*.onnx"):
        model, header = onnx.load(str(path)), read_onnx_header(path)
        assert [one.name for one in header.inputs] == [one.name for one in model.graph.input]
        assert [one.name for one in header.outputs] == [one.name for one in model.graph.output]


def test_weights_in_another_file_are_told(tmp_path: Path, path: Path) -> None:
    apart = tmp_path / "apart.onnx"
    onnx.save(
        onnx.load(str(path)), str(apart), save_as_external_data=True, size_threshold=0, location="w.bin"
    )
    assert read_onnx_header(apart).external


def test_a_file_cut_off_anywhere_is_read_or_refused(tmp_path: Path, path: Path) -> None:
    data, torn = path.read_bytes(), tmp_path / "torn.onnx"
    refused = 0
    for length in range(0, len(data), 7):
        torn.write_bytes(data[:length])
        try:
            read_onnx_header(torn)
        except ModelError:
            refused += 1
    assert refused > len(data) // 7 * 0.9


def test_other_bytes_are_read_or_refused(tmp_path: Path, path: Path) -> None:
    data, other = np.frombuffer(path.read_bytes(), np.uint8), tmp_path / "other.onnx"
    draw = np.random.default_rng(0)
    for _ in range(300):
        spoilt = data.copy()
        spoilt[draw.integers(len(data), size=8)] = draw.integers(256, size=8)
        other.write_bytes(spoilt.tobytes())
        with contextlib.suppress(ModelError):
            read_onnx_header(other)


@pytest.mark.parametrize("content", [b"", b"hello, world", b"\xff" * 40, b"\x08\x07"])
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=r"m\.onnx is no ONNX model"):
        read_onnx_header(tmp_path / "m.onnx")


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot read the model"):
        read_onnx_header(tmp_path / "none.onnx")
