"""Image files that users give: refused by their size before they are decoded."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.errors import SourceError
from streamanon.imagesize import check_size, image_format, image_size

#: What OpenCV may see of a file from anywhere; it has many more decoders.
FORMATS = ("PNG", "JPEG")


def read_image(
    path: Path, formats: tuple[str, ...] = FORMATS, name: str | None = None
) -> NDArray[np.uint8]:
    """Upright pixels [H, W, 3] uint8 BGR. ``name``: what errors call the file, its path by default.

    Raises :class:`SourceError` for what cannot be read, is of no such format by its content, is too large
    or damaged.
    """
    return read_with_alpha(path, formats, name)[0]


def read_with_alpha(
    path: Path, formats: tuple[str, ...] = FORMATS, name: str | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """As :func:`read_image`, and the transparency [H, W] of a picture that has some."""
    name = name or str(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SourceError(f"cannot read {name}: {error.strerror}; check the path") from error
    size = image_size(content)
    if size is None or image_format(content) not in formats:
        raise SourceError(f"{name} is no {_listed(formats)} image; convert it to one")
    check_size(*size, name)
    data = np.frombuffer(content, np.uint8)
    with _silent():
        image, whole = (_decoded(data, flags) for flags in (cv2.IMREAD_COLOR, cv2.IMREAD_UNCHANGED))
    if image is None:
        raise SourceError(f"{name} is damaged; check that it opens elsewhere")
    bgr = np.asarray(image, np.uint8)
    if whole is None or whole.dtype != np.uint8 or whole.shape != (*bgr.shape[:2], 4):
        return bgr, None
    return bgr, np.asarray(whole[..., 3], np.uint8)


def _listed(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _decoded(data: NDArray[np.uint8], flags: int) -> NDArray[np.generic] | None:
    try:
        return cv2.imdecode(data, flags)
    except cv2.error:
        return None


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Without what libpng and libjpeg print to the standard error stream by themselves."""
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
