"""Pictures on the device: uploaded once each, read as RGB where it is asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import torch

from streamanon.device.resample import places_of, resize_area, resize_linear, sample
from streamanon.geometry import invert, scale_of
from streamanon.media.coloured_light import BEGINS, DARK, ENDS
from streamanon.media.yuv import black_and_white, matrices
from streamanon.mesh.face_mesh import region_under
from streamanon.runtime.backends import Memory
from streamanon.types import Float, Picture

Region = tuple[int, int, int, int]  # xyxy px
#: Below this scale a crop's pixels are averaged first, as by ``mesh.face_mesh.PixelWindow``.
AVERAGED_SCALE = 0.5


@dataclass(frozen=True, eq=False, repr=False)
class DevicePicture:
    """A picture's planes on the device, [h, w] uint8 or int16, and the matrices [3, 4] that turn them into
    RGB, ``read``, and back, ``write``; ``black`` and ``white``: of luma; ``step``: luma pixels per chroma
    sample, (horizontal, vertical).
    """

    planes: tuple[torch.Tensor, ...]
    read: torch.Tensor
    write: torch.Tensor
    black: float
    white: float
    step: tuple[int, int]
    bits: int
    is_rgb: bool

    @property
    def device(self) -> torch.device:
        return self.planes[0].device

    def part(self, region: Region, planes: Sequence[torch.Tensor] | None = None) -> list[torch.Tensor]:
        """Views of the planes, or of others like them, in a region on the chroma grid."""
        x0, y0, x1, y1 = region
        step_x, step_y = self.step
        rows, columns = (slice(y0 // step_y, -(-y1 // step_y)), slice(x0 // step_x, -(-x1 // step_x)))
        luma, *chroma = planes or self.planes
        return [luma[y0:y1, x0:x1], *(plane[rows, columns] for plane in chroma)]

    def luma(self, region: Region) -> torch.Tensor:
        """[h, w], black at 0 and white at 255."""
        x0, y0, x1, y1 = region
        return (self.planes[0][y0:y1, x0:x1].float() - self.black) * (255 / (self.white - self.black))

    def rgb(self, region: Region) -> torch.Tensor:
        """A region's pixels [3, h, w] in 0..255, as :func:`streamanon.media.yuv.read_rgb` reads them."""
        first, *others = (plane.float() for plane in self.part(region))
        height, width = first.shape
        for number, plane in enumerate(others):
            if self.step != (1, 1):
                full = plane.shape[1] * self.step[0], plane.shape[0] * self.step[1]
                others[number] = resize_linear(plane, full)[:height, :width]
        return self.to_rgb(torch.stack([first, *others])).clamp(0, 255)

    def rgb_at(self, places: torch.Tensor) -> torch.Tensor:
        """RGB [3, ...] of 0..255 at places [..., 2] px of the picture, between pixels linearly."""
        read = [sample(self.planes[0].float()[None], places)]
        if len(self.planes) > 1:
            chroma = torch.stack([plane.float() for plane in self.planes[1:]])
            x, y = (
                (one + 0.5) / step - 0.5 for one, step in zip(places.unbind(-1), self.step, strict=True)
            )
            read.append(sample(chroma, torch.stack([x, y], dim=-1)))
        return self.to_rgb(torch.cat(read)).clamp(0, 255)

    def to_rgb(self, values: torch.Tensor) -> torch.Tensor:
        """Plane values [1 or 3, ...] as RGB [3, ...], not yet limited to 0..255."""
        values = values.expand(3, *values.shape[1:])
        shift = self.read[:, 3].reshape(3, *[1] * (values.dim() - 1))
        return torch.tensordot(self.read[:, :3], values, dims=1) + shift


class Pictures:
    """The pictures of all stages, each uploaded when it is first asked for and kept while it lives."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self._kept: WeakKeyDictionary[Picture, DevicePicture] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def of(self, picture: Picture) -> DevicePicture:
        with self._lock:
            held = self._kept.get(picture)
            if held is None:
                held = self._kept[picture] = self._uploaded(picture)
            return held

    def _uploaded(self, picture: Picture) -> DevicePicture:
        read, write = (self.memory.upload(one) for one in matrices(picture))
        black, white = black_and_white(picture)
        # PyTorch has few functions for uint16; 10 bits fit into int16.
        planes = (one if one.dtype == np.uint8 else one.view(np.int16) for one in picture.planes)
        return DevicePicture(
            planes=tuple(self.memory.upload(one) for one in planes),
            read=read,
            write=write,
            black=black,
            white=white,
            step=picture.chroma_step,
            bits=picture.bits,
            is_rgb=picture.pixel_format.startswith("gbr"),
        )


class DevicePixels:
    """A picture's pixels in aligned crops, as :class:`streamanon.mesh.face_mesh.PixelWindow` gives them."""

    def __init__(self, pictures: Pictures, picture: Picture) -> None:
        self._pictures, self._picture = pictures, picture

    def batch(self, matrices: Sequence[Float], crop_px: int) -> torch.Tensor:
        """[B, 3, crop_px, crop_px] RGB 0..1."""
        with self._pictures.memory.active():
            return without_cast(self.crops(matrices, crop_px)) / 255

    def crops(self, matrices: Sequence[Float], crop_px: int) -> torch.Tensor:
        """The same, 0..255."""
        held = self._pictures.of(self._picture)
        upload = self._pictures.memory.upload
        back = upload(np.stack([invert(matrix) for matrix in matrices]))
        made = held.rgb_at(places_of(back, (crop_px, crop_px))).transpose(0, 1)
        rows = [region_under(self._picture, matrix, crop_px) for matrix in matrices]
        for row, (matrix, region) in enumerate(zip(matrices, rows, strict=True)):
            if region[2] <= region[0] or region[3] <= region[1]:
                made[row] = 0
            elif scale_of(matrix) < AVERAGED_SCALE:
                made[row] = _averaged(held.rgb(region), matrix, region, crop_px, upload)
        return made


def _averaged(
    patch: torch.Tensor,
    matrix: Float,
    region: Region,
    crop_px: int,
    upload: Callable[[Float], torch.Tensor],
) -> torch.Tensor:
    """The crop [3, crop_px, crop_px] of a large face, averaged down before it is read: else it would
    alias.
    """
    scale, (height, width) = scale_of(matrix), patch.shape[1:]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    steps = np.array([size[0] / width, size[1] / height], np.float32)
    back = invert(matrix)
    # From the crop to the picture, from there to the patch, and to its averaged pixels.
    back[:, 2] = (back[:, 2] - region[:2] + 0.5) * steps - 0.5
    back[:, :2] *= steps[:, None]
    return sample(resize_area(patch, size), places_of(upload(back[None]), (crop_px, crop_px))[0])


def without_cast(rgb: torch.Tensor) -> torch.Tensor:
    """RGB [..., 3, h, w] of 0..255, each as by :func:`streamanon.media.coloured_light.without_cast`."""
    mean, share = _share_left_out(rgb)
    grey = (rgb * mean).sum(-3, keepdim=True) / mean.sum(-3, keepdim=True).clamp(min=1e-6)
    return torch.lerp(rgb, grey.expand_as(rgb), share)


def is_coloured(rgb: torch.Tensor) -> torch.Tensor:
    """Whether some of its colour is left out, bool [..., 1, 1, 1]."""
    return _share_left_out(rgb)[1] > 0


def _share_left_out(rgb: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean colours [..., 3, 1, 1], and how much of the colour is left out [..., 1, 1, 1]."""
    mean = rgb.mean((-2, -1), keepdim=True)
    least, most = mean.amin(-3, keepdim=True), mean.amax(-3, keepdim=True)
    return mean, (((most - least) / (most + DARK) - BEGINS) / (ENDS - BEGINS)).clamp(0, 1)
