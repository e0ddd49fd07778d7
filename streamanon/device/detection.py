"""The detector's and the verifier's inputs, made on the device."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from streamanon.config import DetectConfig
from streamanon.detect.tiling import PADDING, View
from streamanon.detect.verifier import OUTPUT_WIDTHS, Verifier, check, region_of_square
from streamanon.detect.verifier_crop import GREY, SIZE_PX, squares, window_of, without_neighbours
from streamanon.detect.yolo import FaceDetector
from streamanon.device.models import DeviceBackend
from streamanon.device.pictures import DevicePicture, Pictures, Region, without_cast
from streamanon.device.resample import places_of, resize_area, resize_linear, sample
from streamanon.runtime.models import Engines
from streamanon.types import Float, Picture


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
    seen = without_cast(small_rgb(picture, view.region, inner)).round()
    turned = torch.rot90(seen, view.turn, (1, 2))
    canvas = torch.full((1, 3, height, width), PADDING / 255, device=picture.device)
    canvas[0, :, : turned.shape[1], : turned.shape[2]] = turned / 255
    return canvas


def small_rgb(picture: DevicePicture, region: Region, size: tuple[int, int]) -> torch.Tensor:
    """A scaled copy of a region, RGB [3, h, w] in whole levels of 0..255, as by
    :func:`streamanon.media.yuv.small_rgb`.
    """
    planes = torch.stack([_scaled(plane.float(), size) for plane in picture.part(region)])
    return picture.to_rgb(planes.round()).round().clamp(0, 255)


def _scaled(plane: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    shrinks = plane.shape[0] >= size[1] and plane.shape[1] >= size[0]
    return resize_area(plane, size) if shrinks else resize_linear(plane, size)


class DeviceVerifier(Verifier):
    """The face verifier, which sees what :func:`verifier_squares` makes."""

    def __init__(self, backend: DeviceBackend, engines: Engines, pictures: Pictures) -> None:
        super().__init__(backend, engines)
        self._pictures = pictures

    def input_of(self, picture: Picture, boxes: Float, turns: NDArray[np.int64]) -> torch.Tensor:
        with self._pictures.memory.active():
            made = [
                self._square(picture, centre, float(side), int(turn))
                for centre, side, turn in zip(*squares(boxes), turns, strict=True)
            ]
            empty = torch.zeros(0, 3, SIZE_PX, SIZE_PX, device=self._pictures.memory.device)
            return torch.stack(made) / 255 if made else empty

    def mirrored(self, squares_: torch.Tensor) -> torch.Tensor:
        return squares_.flip(-1)

    def without_neighbours(
        self, squares_: torch.Tensor, wide: torch.Tensor
    ) -> tuple[torch.Tensor, NDArray[np.int64]]:
        """Looked for on the host: few squares are in doubt."""
        alone, rows = without_neighbours(squares_.cpu().numpy(), wide.cpu().numpy())
        return self._pictures.memory.upload(alone), rows

    def _run(self, squares_: torch.Tensor) -> list[Float]:
        """In batches of any size: the device's plans take them."""
        if not len(squares_):
            return [np.zeros((0, width), np.float32) for width in OUTPUT_WIDTHS]
        outputs = self._model.run(squares_)
        check(outputs, len(squares_))
        return outputs

    def _square(self, picture: Picture, centre: Float, side: float, turn: int) -> torch.Tensor:
        """The square [3, S, S] around a centre, as by
        :func:`streamanon.detect.verifier_crop.verifier_crops`, of the region's pixels in whole levels.
        """
        x0, y0, x1, y1 = region_of_square(picture, centre, side)
        region = (x0, y0, x1, y1)
        rgb = without_cast(small_rgb(self._pictures.of(picture), region, (x1 - x0, y1 - y0))).round()
        local = centre - np.array([x0, y0], np.float32)
        (left, top, right, bottom), inner, matrix = window_of(local, side, rgb.shape[2], rgb.shape[1])
        part = rgb[:, top:bottom, left:right]
        if not part.numel():
            return torch.full((3, SIZE_PX, SIZE_PX), float(GREY), device=rgb.device)
        if inner != (right - left, bottom - top):
            part = resize_area(part, inner).round()
        back = self._pictures.memory.upload(matrix[None].astype(np.float32))
        places = places_of(back, (SIZE_PX, SIZE_PX))[0]
        square = sample(part - GREY, places, outside="zeros") + GREY
        return torch.rot90(square.round(), turn % 4, (1, 2))
