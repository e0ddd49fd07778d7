from __future__ import annotations

from pathlib import Path

from streamanon.runtime.backends import Array
from streamanon.runtime.shared_models import SharedBackend


class Counting:
    name = "counting"

    def __init__(self) -> None:
        self.loads: list[str] = []

    def load(self, path: Path, *, precise: bool, threads: int = 0, bfloat16: bool = False) -> Counting:
        self.loads.append(f"{path.name} {precise} {threads}")
        return Counting()

    def run(self, *inputs: Array) -> list[Array]:
        return list(inputs)


def test_a_model_is_loaded_once_for_the_same_settings() -> None:
    counting = Counting()
    shared = SharedBackend(counting)
    first = shared.load(Path("a.onnx"), precise=True)
    assert shared.load(Path("a.onnx"), precise=True) is first
    assert shared.load(Path("a.onnx"), precise=False) is not first
    assert shared.load(Path("a.onnx"), precise=True, threads=1) is not first
    assert counting.loads == ["a.onnx True 0", "a.onnx False 0", "a.onnx True 1"]
    assert shared.name == "counting"
