"""Reading between pixels as OpenCV does, on tensors [..., h, w]. Pixel centres lie at whole numbers."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import torch
import torch.nn.functional as F  # noqa: N812

#: How a line of so many pixels makes one of so many: [after, before].
_Weights = Callable[[int, int, torch.device], torch.Tensor]
#: OpenCV's Gaussian kernel for floating point reaches so many sigmas to either side.
REACH_SIGMAS = 4


def sample(image: torch.Tensor, places: torch.Tensor, mode: str = "bilinear") -> torch.Tensor:
    """``image`` [C, H, W] at ``places`` [..., 2] (x, y) px: [C, ...]. Outside it, what is at its edge."""
    height, width = image.shape[-2:]
    size = torch.tensor([width, height], dtype=torch.float32, device=image.device)
    grid = (2 * places + 1) / size - 1
    flat = grid.reshape(1, 1, -1, 2)
    read = F.grid_sample(image[None], flat, mode=mode, padding_mode="border", align_corners=False)
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
    radius = (round(sigma * REACH_SIGMAS * 2 + 1) | 1) // 2
    kernel = torch.from_numpy(cv2.getGaussianKernel(2 * radius + 1, sigma, cv2.CV_32F)[:, 0])
    kernel = kernel.to(image.device)
    *channels, height, width = image.shape
    flat = image.reshape(-1, 1, height, width)
    down, across = (_mirrored(length, radius, image.device) for length in (height, width))
    flat = F.conv2d(flat[:, :, down], kernel.reshape(1, 1, -1, 1))
    flat = F.conv2d(flat[:, :, :, across], kernel.reshape(1, 1, 1, -1))
    return flat.reshape(*channels, height, width)


def blur_each(image: torch.Tensor, sigma: torch.Tensor, most_px: float) -> torch.Tensor:
    """``image`` [N, C, s, s], each with its own ``sigma`` [N] of at most ``most_px``; 0 is no blur."""
    side = image.shape[-1]
    radius = (round(most_px * REACH_SIGMAS * 2 + 1) | 1) // 2
    offsets = torch.arange(-radius, radius + 1, device=image.device, dtype=torch.float32)
    reach = torch.floor(torch.round(sigma * REACH_SIGMAS * 2 + 1) / 2)[:, None]
    weights = torch.exp(-((offsets / sigma.clamp(min=1e-3)[:, None]) ** 2) / 2) * (offsets.abs() <= reach)
    weights = weights / weights.sum(dim=1, keepdim=True)
    # As matrices [N, s, s]: where each pixel's neighbours lie is the same for all.
    spread = torch.zeros(len(sigma), side, side, device=image.device)
    rows = torch.arange(side, device=image.device)
    neighbours = _mirrored(side, radius, image.device).unfold(0, 2 * radius + 1, 1)  # [s, offsets]
    flat = spread.reshape(len(sigma), -1)
    places = (rows[:, None] * side + neighbours).reshape(-1)
    flat.index_add_(1, places, weights[:, None].expand(-1, side, -1).reshape(len(sigma), -1))
    return spread[:, None] @ image @ spread[:, None].mT


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
    down, across = weights(height, size[1], image.device), weights(width, size[0], image.device)
    return down @ image @ across.mT


def _area_weights(before: int, after: int, device: torch.device) -> torch.Tensor:
    step = before / after
    ends = torch.arange(after + 1, device=device, dtype=torch.float64)[:, None] * step
    first = torch.arange(before, device=device, dtype=torch.float64)
    covered = torch.minimum(ends[1:], first + 1) - torch.maximum(ends[:-1], first)
    return (covered.clamp(min=0) / step).float()


def _linear_weights(before: int, after: int, device: torch.device) -> torch.Tensor:
    places = (torch.arange(after, device=device, dtype=torch.float64) + 0.5) * (before / after) - 0.5
    apart = places.clamp(0, before - 1)[:, None] - torch.arange(before, device=device, dtype=torch.float64)
    return (1 - apart.abs()).clamp(min=0).float()
