"""Where the tests of the device path run: PyTorch's CPU, or with ``STREAMANON_TEST_DEVICE=cuda`` a GPU, on
which they are what to run first.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch

from streamanon.runtime.backends import Array
from streamanon.runtime.backends.torch_memory import TorchMemory

DEVICE = torch.device(os.environ.get("STREAMANON_TEST_DEVICE", "cpu"))
MEMORY = TorchMemory(DEVICE)


def there(array: Array) -> torch.Tensor:
    """An array on the device."""
    return MEMORY.upload(array)


def here(value: Any) -> Array:
    """A tensor, or an array as it is, on the host."""
    return np.asarray(value.cpu() if isinstance(value, torch.Tensor) else value)
