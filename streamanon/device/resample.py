"""Reading between pixels as OpenCV does, on tensors [..., h, w]. Pixel centres lie at whole numbers.

Nothing here makes a tensor of numbers of the host: on a GPU that waits until all its work is done.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F  # noqa: N812

#: How a line of so many pixels makes one of so many: [after, before].
_Weights = Callable[[int, int, torch.device, int], torch.Tensor]
#: OpenCV's Gaussian kernel for floating point reaches so many sigmas to either side.
REACH_SIGMAS = 4
#: Weights of so many scalings and blurs are kept: those of a video come again and again.
KEPT = 64


def sample(
    image: torch.Tensor, places: torch.Tensor, mode: str = "bilinear", outside: str = "border"
) -> torch.Tensor:
    """``image`` [C, H, W] at ``places`` [..., 2] (x, y) px: [C, ...]. ``outside`` it, what is at its
    "border", or "zeros".
    """
    height, width = image.shape[-2:]
    x, y = places.reshape(-1, 2).unbind(1)
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=1)[None, None]
    read = F.grid_sample(image[None], grid, mode=mode, padding_mode=outside, align_corners=False)
    return read.reshape(image.shape[0], *places.shape[:-1])


def places_of(back: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Where the pixels of images of a size (width, height) lie by maps ``back`` [N, 2, 3]: [N, h, w, 2]."""
    x = torch.arange(size[0], dtype=torch.float32, device=back.device)
    y = torch.arange(size[1], dtype=torch.float32, device=back.device)
    linear, shift = back[:, None, None, :, :2], back[:, None, None, :, 2]
    return linear[..., 0] * x[None, None, :, None] + linear[..., 1] * y[None, :, None, None] + shift


def resize_area(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Shrunk to a size (width, height): the mean of what each new pixel covers."""
    return _resized(image, size, _area_weights)


def resize_linear(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Brought to a size (width, height), linearly between the two nearest pixels each way."""
    return _resized(image, size, _linear_weights)


def blur(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian; at the edges the image goes on as its mirror, with the last pixel once."""
    height, width = image.shape[-2:]
    queue = _queue(image.device)
    return _line_blur(height, sigma, *queue) @ image @ _line_blur(width, sigma, *queue).mT


def blur_each(image: torch.Tensor, sigma: torch.Tensor, most_px: float) -> torch.Tensor:
    """``image`` [N, C, s, s], each with its own ``sigma`` [N] of at most ``most_px``; 0 is no blur."""
    weights = _blur_weights(image.shape[-1], sigma, most_px)[:, None]
    return weights @ image @ weights.mT


def _queue(device: torch.device) -> tuple[torch.device, int]:
    """A device and its current stream: what is kept is used only where it was made, and so after that."""
    return device, torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else 0


@lru_cache(maxsize=KEPT)
def _line_blur(length: int, sigma: float, device: torch.device, _stream: int) -> torch.Tensor:
    return _blur_weights(length, torch.full((1,), sigma, device=device), sigma)[0]


def _blur_weights(length: int, sigma: torch.Tensor, most_px: float) -> torch.Tensor:
    """What each pixel of a line takes from each, [N, length, length], for ``sigma`` [N]. As matrices, so
    that a GPU computes in float32: its convolutions may round to fewer bits.
    """
    radius = (round(most_px * REACH_SIGMAS * 2 + 1) | 1) // 2
    offsets = torch.arange(-radius, radius + 1, device=sigma.device, dtype=torch.float32)
    reach = torch.floor(torch.round(sigma * REACH_SIGMAS * 2 + 1) / 2)[:, None]
    weights = torch.exp(-((offsets / sigma.clamp(min=1e-3)[:, None]) ** 2) / 2) * (offsets.abs() <= reach)
    weights = weights / weights.sum(dim=1, keepdim=True)
    neighbours = _mirrored(length, radius, sigma.device).unfold(0, 2 * radius + 1, 1)  # [length, offsets]
    rows = torch.arange(length, device=sigma.device)[:, None]
    made = torch.zeros(len(sigma), length * length, device=sigma.device)
    places = (rows * length + neighbours).reshape(-1)
    made.index_add_(1, places, weights[:, None].expand(-1, length, -1).reshape(len(sigma), -1))
    return made.reshape(len(sigma), length, length)


def _mirrored(length: int, radius: int, device: torch.device) -> torch.Tensor:
    """Indices of a line that goes on as its mirror beyond both ends: [length + 2 * radius]."""
    if length == 1:
        return torch.zeros(1 + 2 * radius, dtype=torch.long, device=device)
    steps = torch.arange(-radius, length + radius, device=device).remainder(2 * (length - 1))
    return torch.minimum(steps, 2 * (length - 1) - steps)


def _resized(image: torch.Tensor, size: tuple[int, int], weights: _Weights) -> torch.Tensor:
    height, width = image.shape[-2:]
    if (width, height) == size:
        return image
    queue = _queue(image.device)
    down, across = weights(height, size[1], *queue), weights(width, size[0], *queue)
    return down @ image @ across.mT


@lru_cache(maxsize=KEPT)
def _area_weights(before: int, after: int, device: torch.device, _stream: int) -> torch.Tensor:
    step = before / after
    ends = torch.arange(after + 1, device=device, dtype=torch.float64)[:, None] * step
    first = torch.arange(before, device=device, dtype=torch.float64)
    covered = torch.minimum(ends[1:], first + 1) - torch.maximum(ends[:-1], first)
    return (covered.clamp(min=0) / step).float()


@lru_cache(maxsize=KEPT)
def _linear_weights(before: int, after: int, device: torch.device, _stream: int) -> torch.Tensor:
    places = (torch.arange(after, device=device, dtype=torch.float64) + 0.5) * (before / after) - 0.5
    apart = places.clamp(0, before - 1)[:, None] - torch.arange(before, device=device, dtype=torch.float64)
    return (1 - apart.abs()).clamp(min=0).float()
