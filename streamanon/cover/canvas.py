"""What covers are laid over: a picture's planes, wherever they are."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from streamanon.media.yuv import is_without_colour, write_rgb
from streamanon.types import LUMA, Float, Picture


class Canvas(Protocol):
    """A copy of one picture that is written on. On one in black and white, covers are so too."""

    def write(self, x0: int, y0: int, rgb: Float, alpha: Float) -> None:
        """Blend ``rgb`` [h, w, 3] 0..255 in with its corner at x0, y0, as far as ``alpha`` [h, w] says; see
        :func:`streamanon.media.yuv.write_rgb`.
        """
        ...

    def finish(self) -> Picture:
        """The picture as it was written on."""
        ...


class HostCanvas:
    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._planes = tuple(plane.copy() for plane in picture.planes)
        self._without_colour = is_without_colour(picture)

    def write(self, x0: int, y0: int, rgb: Float, alpha: Float) -> None:
        if self._without_colour:
            rgb = np.repeat((rgb @ LUMA)[..., None], 3, axis=2)
        write_rgb(self._planes, self._picture, x0, y0, rgb, alpha)

    def finish(self) -> Picture:
        like = self._picture
        return Picture(self._planes, like.pixel_format, like.matrix, like.full_range)
