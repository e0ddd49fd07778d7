"""The networks of the chain, as it loads them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from streamanon.config import DetectConfig
from streamanon.detect.verifier import Verifier
from streamanon.detect.yolo import FaceDetector
from streamanon.errors import ModelError
from streamanon.gallery.delegates import open_gallery
from streamanon.generate import NetworkGenerator
from streamanon.identity.encoder import IdentityEncoder
from streamanon.mesh.face_mesh import FaceMesh
from streamanon.runtime.backends import Array, Backend, Model
from streamanon.runtime.models import Engines


@dataclass(frozen=True)
class Loaded:
    """A model that the chain loads, and how: see :meth:`streamanon.runtime.backends.Backend.load`."""

    path: Path
    precise: bool
    threads: int = 0
    bfloat16: bool = False

    def by(self, backend: Backend) -> Model:
        """The model as the chain has it."""
        return backend.load(self.path, precise=self.precise, threads=self.threads, bfloat16=self.bfloat16)


class Recorder:
    """A backend that loads nothing and notes what it was asked for."""

    name = "recorder"

    def __init__(self, int8: bool = False) -> None:
        self.prefers_int8 = int8
        self.loaded: list[Loaded] = []

    def load(self, path: Path, *, precise: bool, threads: int = 0, bfloat16: bool = False) -> Model:
        self.loaded.append(Loaded(path, precise, threads, bfloat16))
        return _NoModel()


class _NoModel:
    def run(self, *inputs: Array) -> list[Array]:
        raise ModelError("this model was only noted, not loaded")


def chain_models(engines: Engines, int8: bool = False) -> list[Loaded]:
    """All models as the chain loads them, so that a plan built for one is the plan that it asks for.
    ``int8``: for a backend that prefers it.
    """
    recorder = Recorder(int8)
    FaceDetector(recorder, engines, DetectConfig())
    Verifier(recorder, engines)
    FaceMesh(recorder, engines)
    IdentityEncoder(recorder, engines)
    NetworkGenerator(open_gallery(engines, None), recorder, engines)
    return recorder.loaded
