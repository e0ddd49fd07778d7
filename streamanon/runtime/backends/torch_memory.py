"""A device's memory and one stream of work on it, by PyTorch. Run on the CPU only so far: what is for CUDA
alone has not run yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack

import numpy as np
import torch

from streamanon.errors import ModelError
from streamanon.runtime.backends import Array


class TorchMemory:
    """The memory of one device, with a stream of its own where it is a GPU.

    ``architecture``: as "sm86". ``name``: what the vendor calls it.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.architecture = self.name = str(device)
        self._stream = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device)
            major, minor = torch.cuda.get_device_capability(device)
            self.architecture, self.name = f"sm{major}{minor}", str(torch.cuda.get_device_name(device))

    def active(self) -> AbstractContextManager[object]:
        """Within it, allocations and work go to this device and stream."""
        within = ExitStack()
        within.enter_context(torch.inference_mode())
        if self._stream is not None:
            within.enter_context(torch.cuda.device(self.device))
            within.enter_context(torch.cuda.stream(self._stream))
        return within

    @property
    def stream(self) -> int:
        return int(self._stream.cuda_stream) if self._stream is not None else 0

    def upload(self, array: Array) -> torch.Tensor:
        """A copy of an array. On a GPU the caller does not wait for it: it goes by way of pinned memory."""
        kind = torch.from_numpy(np.empty(0, array.dtype)).dtype
        held = torch.empty(array.shape, dtype=kind, pin_memory=self._stream is not None)
        held.numpy()[...] = array
        return held.to(self.device, non_blocking=True)

    def empty(self, shape: tuple[int, ...]) -> torch.Tensor:
        """Room for float32 values."""
        return torch.empty(shape, dtype=torch.float32, device=self.device)

    def join(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """Several batches as one."""
        return torch.cat(list(tensors))

    def download(self, tensors: Sequence[torch.Tensor]) -> list[Array]:
        """Copies of the tensors, once all work of the stream is done."""
        if self._stream is None:
            return [tensor.numpy().copy() for tensor in tensors]
        copies = [torch.empty(one.shape, dtype=one.dtype, pin_memory=True) for one in tensors]
        for copy, tensor in zip(copies, tensors, strict=True):
            copy.copy_(tensor, non_blocking=True)
        self._stream.synchronize()
        return [copy.numpy() for copy in copies]


def open_cuda(number: int) -> TorchMemory:
    """The memory of a CUDA device. Raises :class:`ModelError` where there is no such device."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count:
        raise ModelError("no CUDA device is available")
    if number >= count:
        raise ModelError(f"compute.device {number} is not there; the last CUDA device is {count - 1}")
    return TorchMemory(torch.device("cuda", number))
