"""A backend's models, run on tensors of the device without a way round by the host where they can."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from streamanon.runtime.backends import Array, Backend, Memory, Model, prefers_int8


class DeviceModel:
    """One model. A CPU's backend is given the CPU's tensors as arrays of the same memory."""

    def __init__(self, model: Model, memory: Memory) -> None:
        self._model, self._memory = model, memory
        self._on_device: Any = getattr(model, "run_on_device", None)

    def run(self, *inputs: Any) -> list[Array]:
        """Float32 tensors or arrays in, in the order of the model's inputs; arrays out."""
        with self._memory.active():
            return self._memory.download(self.run_kept(*inputs))

    def run_kept(self, *inputs: Any) -> list[torch.Tensor]:
        """The same; the results stay on the device."""
        tensors = [
            one if isinstance(one, torch.Tensor) else self._memory.upload(one)  # arrays of few numbers
            for one in inputs
        ]
        if self._on_device is not None:
            return list(self._on_device(*tensors))
        if self._memory.device.type == "cpu":
            return [torch.from_numpy(one) for one in self._model.run(*(one.numpy() for one in tensors))]
        return [self._memory.upload(one) for one in self._model.run(*self._memory.download(tensors))]


class DeviceBackend:
    """Loads models that take tensors of ``memory``."""

    def __init__(self, backend: Backend, memory: Memory) -> None:
        self._backend, self.memory = backend, memory
        self.name, self.prefers_int8 = backend.name, prefers_int8(backend)

    def load(self, path: Path, *, precise: bool, threads: int = 0, bfloat16: bool = False) -> DeviceModel:
        """As :meth:`Backend.load`."""
        return DeviceModel(
            self._backend.load(path, precise=precise, threads=threads, bfloat16=bfloat16), self.memory
        )
