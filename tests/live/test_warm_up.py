"""What the networks are shown before a camera is connected is what a stream shows them."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest
from live_scenes import wait_for

from streamanon.api import Anonymizer
from streamanon.config import ComputeConfig, load_config
from streamanon.live.service import Models
from streamanon.live.warm_up import warm_up
from streamanon.media.probe import probe
from streamanon.runtime.backends import Array, Backend, Model, open_backend

DEMO = Path(__file__).parents[1] / "data" / "demo.mp4"


class _Recording:
    """A backend that notes with which shapes each model was run."""

    def __init__(self, backend: Backend) -> None:
        self.name = backend.name
        self.seen: set[tuple[str, tuple[tuple[int, ...], ...]]] = set()
        self._backend = backend

    def load(self, path: Path, *, precise: bool, threads: int = 0, bfloat16: bool = False) -> Model:
        return _RecordingModel(
            self, path.name, self._backend.load(path, precise=precise, threads=threads, bfloat16=bfloat16)
        )


class _RecordingModel:
    def __init__(self, backend: _Recording, name: str, model: Model) -> None:
        self._backend, self._name, self._model = backend, name, model

    def run(self, *inputs: Array) -> list[Array]:
        self._backend.seen.add((self._name, tuple(one.shape for one in inputs)))
        return self._model.run(*inputs)


def test_a_size_is_warmed_once_and_beside_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[object, int, int]] = []
    held, begun = threading.Event(), threading.Event()

    def slow(anonymizer: object, width: int, height: int) -> None:
        begun.set()
        held.wait(30)
        shown.append((anonymizer, width, height))

    monkeypatch.setattr("streamanon.live.service.warm_up", slow)
    models, one = Models(), cast(Anonymizer, object())
    models.warm(one, 640, 480)  # returns though warming takes long
    assert begun.wait(30)
    models.warm(one, 640, 480)
    models.warm(one, 480, 640)
    held.set()
    assert wait_for(lambda: len(shown) == 2, 30)
    assert {(width, height) for _, width, height in shown} == {(640, 480), (480, 640)}


@pytest.mark.slow
def test_a_stream_of_the_warmed_size_needs_nothing_new() -> None:
    backend = _Recording(open_backend(ComputeConfig("onnxruntime", 1)))
    anonymizer = Anonymizer(load_config("livestream"), backend)
    info, context = probe(DEMO), anonymizer.context()
    warm_up(anonymizer, info.width, info.height)
    warmed = set(backend.seen)
    backend.seen.clear()
    with closing(anonymizer.chain(DEMO, info, context)) as chain:
        for _ in zip(range(40), chain, strict=False):
            pass
    assert context.tally.by_method.get("synthesize", 0) > 10
    assert len({name for name, _ in backend.seen}) >= 6, "few of the networks ran"
    assert backend.seen <= warmed, sorted(backend.seen - warmed)
