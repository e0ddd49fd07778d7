"""A picture that is covered on the device and comes back once, as by :mod:`streamanon.media.yuv`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812

from streamanon.device.pictures import DevicePicture, Pictures
from streamanon.media.yuv import check_region, is_without_colour
from streamanon.types import LUMA, Picture, Plane


class DeviceCanvas:
    """A copy of one picture's planes on the device."""

    def __init__(self, pictures: Pictures, picture: Picture) -> None:
        self._memory, self._picture = pictures.memory, picture
        self._without_colour = is_without_colour(picture)
        with self._memory.active():
            self._held = pictures.of(picture)
            self._planes = [plane.clone() for plane in self._held.planes]

    def write(self, x0: int, y0: int, rgb: Any, alpha: Any) -> None:
        """``rgb`` [h, w, 3] and ``alpha`` [h, w] are arrays or tensors of the device. Raises ValueError for
        what does not lie on the chroma grid, and for an alpha that is no number.
        """
        if isinstance(alpha, np.ndarray) and not (alpha >= 0).all():
            raise ValueError("an alpha is negative or no number")
        with self._memory.active():
            rgb, alpha = (
                one if isinstance(one, torch.Tensor) else self._memory.upload(np.asarray(one, np.float32))
                for one in (rgb, alpha)
            )
            height, width = alpha.shape
            region = x0, y0, x0 + width, y0 + height
            check_region(self._picture, *region)
            if self._without_colour:
                rgb = (rgb @ self._memory.upload(LUMA))[..., None].expand(-1, -1, 3)
            targets = self._held.part(region, self._planes)
            _write(self._held, targets, rgb.permute(2, 0, 1), alpha)

    def finish(self) -> Picture:
        with self._memory.active():
            planes = self._memory.download(self._planes)
        like = self._picture
        kinds = (plane.dtype for plane in like.planes)
        whole: tuple[Plane, ...] = tuple(one.view(kind) for one, kind in zip(planes, kinds, strict=True))
        return Picture(whole, like.pixel_format, like.matrix, like.full_range)


def _write(
    picture: DevicePicture, targets: list[torch.Tensor], rgb: torch.Tensor, alpha: torch.Tensor
) -> None:
    values = torch.tensordot(picture.write[:, :3], rgb, dims=1) + picture.write[:, 3, None, None]
    for number, target in enumerate(targets):
        if number == 0 or picture.is_rgb:
            _blend_light(target, values[number], alpha, picture)
        elif picture.step == (1, 1):
            _blend(target, values[number], alpha, picture.bits)
        else:
            coverage = _area_mean(alpha, picture.step)
            weighted = _area_mean(values[number] * alpha, picture.step)
            _blend(target, weighted / coverage.clamp(min=1e-6), coverage, picture.bits)


def _blend(target: torch.Tensor, value: torch.Tensor, alpha: torch.Tensor, bits: int) -> None:
    """Move ``target`` (in place) towards ``value`` by ``alpha``; nothing is written where alpha is 0."""
    old = target.float()
    _keep(target, torch.where(alpha >= 1, value, old + alpha * (value - old)), alpha, bits)


def _blend_light(
    target: torch.Tensor, value: torch.Tensor, alpha: torch.Tensor, picture: DevicePicture
) -> None:
    """The same for luma or a colour, whose square is about the light that a display makes of it."""
    old, new = ((one - picture.black).clamp(min=0) ** 2 for one in (target.float(), value))
    mixed = torch.where(alpha >= 1, new, old + alpha * (new - old)).clamp(min=0).sqrt()
    _keep(target, picture.black + mixed, alpha, picture.bits)


def _keep(target: torch.Tensor, mixed: torch.Tensor, alpha: torch.Tensor, bits: int) -> None:
    whole = mixed.round().clamp(0, (1 << bits) - 1).to(target.dtype)
    target.copy_(torch.where(alpha > 0, whole, target))


def _area_mean(values: torch.Tensor, step: tuple[int, int]) -> torch.Tensor:
    """Means over the luma pixels of each chroma sample; odd edges count their last pixels twice."""
    step_x, step_y = step
    height, width = values.shape
    padded = F.pad(values[None, None], (0, width % step_x, 0, height % step_y), mode="replicate")
    return F.avg_pool2d(padded, (step_y, step_x))[0, 0]
