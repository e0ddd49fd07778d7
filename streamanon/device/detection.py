"""The detector's input, made on the device."""

from __future__ import annotations

import torch

from streamanon.config import DetectConfig
from streamanon.detect.tiling import PADDING, View
from streamanon.detect.yolo import FaceDetector
from streamanon.device.models import DeviceBackend
from streamanon.device.pictures import DevicePicture, Pictures
from streamanon.device.resample import resize_area, resize_linear
from streamanon.runtime.models import Engines
from streamanon.types import Picture


class DeviceFaceDetector(FaceDetector):
    """The project's own detector, which sees what :func:`letterbox` makes."""

    def __init__(
        self, backend: DeviceBackend, engines: Engines, config: DetectConfig, pictures: Pictures
    ) -> None:
        super().__init__(backend, engines, config)
        self._pictures = pictures

    def input_of(self, picture: Picture, view: View) -> torch.Tensor:
        with self._pictures.memory.active():
            return letterbox(self._pictures.of(picture), view)


def letterbox(picture: DevicePicture, view: View) -> torch.Tensor:
    """A view as the network takes it, as by :func:`streamanon.detect.tiling.letterbox`."""
    (x0, y0, x1, y1), (width, height) = view.region, view.size
    inner = max(1, round((x1 - x0) * view.scale)), max(1, round((y1 - y0) * view.scale))
    planes = torch.stack([_scaled(plane.float(), inner) for plane in picture.part(view.region)])
    # Scaled samples are whole numbers, and so are colours, as on the host.
    colour = picture.to_rgb(planes.round()).round().clamp(0, 255)
    turned = torch.rot90(colour, view.turn, (1, 2))
    canvas = torch.full((1, 3, height, width), PADDING / 255, device=picture.device)
    canvas[0, :, : turned.shape[1], : turned.shape[2]] = turned / 255
    return canvas


def _scaled(plane: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    shrinks = plane.shape[0] >= size[1] and plane.shape[1] >= size[0]
    return resize_area(plane, size) if shrinks else resize_linear(plane, size)
