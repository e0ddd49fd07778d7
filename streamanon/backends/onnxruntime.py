"""ONNX Runtime on the CPU: float32, everywhere. https://onnxruntime.ai/docs/api/python/"""

from __future__ import annotations

from pathlib import Path

import onnxruntime

from streamanon.backends import Array, Backend, Model, first_line
from streamanon.errors import ModelError


class _OrtModel:
    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._names = [one.name for one in session.get_inputs()]

    def run(self, *inputs: Array) -> list[Array]:
        return list(self._session.run(None, dict(zip(self._names, inputs, strict=True))))


class _OrtBackend:
    name = "onnxruntime"

    def __init__(self, threads: int) -> None:
        self._threads = threads

    def load(self, path: Path, *, precise: bool, threads: int = 0) -> Model:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or self._threads
        # Two models take turns on the same cores: idle threads that spin would starve the other one.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            return _OrtModel(
                onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            )
        except Exception as error:
            raise ModelError(f"ONNX Runtime cannot load {path.name}: {first_line(error)}") from error


def create(threads: int) -> Backend:
    return _OrtBackend(threads)
