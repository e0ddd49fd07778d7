"""A GPU's memory and one stream of work on it, by PyTorch; not run on a GPU yet."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack

import numpy as np
import torch

from streamanon.errors import ModelError
from streamanon.runtime.backends import Array


class CudaMemory:
    """The memory of one device. Raises :class:`ModelError` where there is no such device.

    ``architecture``: as "sm86". ``name``: what the vendor calls it.
    """

    def __init__(self, device: int) -> None:
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if not count:
            raise ModelError("no CUDA device is available")
        if device >= count:
            raise ModelError(f"compute.device {device} is not there; the last CUDA device is {count - 1}")
        self._device = torch.device("cuda", device)
        self._stream = torch.cuda.Stream(self._device)
        major, minor = torch.cuda.get_device_capability(self._device)
        self.architecture, self.name = f"sm{major}{minor}", str(torch.cuda.get_device_name(self._device))

    def active(self) -> AbstractContextManager[object]:
        """Within it, allocations and copies go to this device and stream."""
        within = ExitStack()
        within.enter_context(torch.cuda.device(self._device))
        within.enter_context(torch.cuda.stream(self._stream))
        return within

    @property
    def stream(self) -> int:
        return int(self._stream.cuda_stream)

    def upload(self, array: Array) -> torch.Tensor:
        """A float32 copy of an array."""
        return torch.from_numpy(np.ascontiguousarray(array, np.float32)).to(self._device)

    def empty(self, shape: tuple[int, ...]) -> torch.Tensor:
        """Room for float32 values."""
        return torch.empty(shape, dtype=torch.float32, device=self._device)

    def download(self, tensors: list[torch.Tensor]) -> list[Array]:
        """Copies of the tensors, once all work of the stream is done."""
        self._stream.synchronize()
        return [tensor.cpu().numpy() for tensor in tensors]
