"""Clips to be timed on: so many synthetic people side by side, as in a video conference."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import chain, cycle, islice
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from streamanon.errors import SinkError, SourceError

Rgb = NDArray[np.uint8]
Boxes = NDArray[np.int64]

#: Frames a second of a clip.
RATE = 25
#: Frames of the demo clip, and the part of them (xyxy px), that show one person alone.
_FIRST, _COUNT = 125, 75
_PART = (415, 60, 595, 330)
#: What of that part is face in every frame, in shares of its width and height (xyxy).
_FACE = (0.32, 0.26, 0.58, 0.48)
_ENCODED = {"preset": "ultrafast", "crf": "16"}
#: Share of its place that a person fills, and how far, in shares of it, they sway to and fro.
_FILLS, _SWAYS = 0.9, 0.04


def demo_clip() -> Path:
    """The clip of synthetic people that comes along. Raises :class:`SourceError`."""
    package = Path(__file__).parents[1]
    for path in (package / "demo" / "demo.mp4", package.parent / "tests" / "data" / "demo.mp4"):
        if path.is_file():
            return path
    raise SourceError("the demo clip is missing: install streamanon again")


def write_clip(path: Path, size: tuple[int, int], faces: int, frames: int) -> None:
    """An H.264 clip of ``size`` (width, height) px with as many people as ``faces``. Raises
    :class:`SinkError` where it cannot be written.
    """
    people = _person()
    there_and_back = cycle(chain(people, people[-2:0:-1]))
    try:
        with av.open(str(path), "w") as container:
            stream = container.add_stream(
                "libx264", rate=RATE, options={"preset": "ultrafast", "crf": "16"}
            )
            assert isinstance(stream, VideoStream)
            stream.width, stream.height = size
            stream.pix_fmt, stream.time_base = "yuv420p", Fraction(1, RATE)
            for number, person in enumerate(islice(there_and_back, frames)):
                frame = VideoFrame.from_ndarray(_picture(person, size, faces, number), format="rgb24")
                frame.pts = number
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except (OSError, ValueError) as error:
        raise SinkError(
            f"cannot write the clip {path.name}: check the space in the temporary folder"
        ) from error


def still(size: tuple[int, int], faces: int) -> Rgb:
    """The first picture of such a clip."""
    return _picture(_person()[0], size, faces, 0)


def _person() -> list[Rgb]:
    x0, y0, x1, y1 = _PART
    with av.open(str(demo_clip())) as container:
        shown = islice(container.decode(video=0), _FIRST, _FIRST + _COUNT)
        return [np.asarray(f.to_ndarray(format="rgb24"), np.uint8)[y0:y1, x0:x1] for f in shown]


def _picture(person: Rgb, size: tuple[int, int], faces: int, number: int) -> Rgb:
    picture = _wall(*size)
    for x, y, wide, tall in _places(size, faces, number):
        drawn = cv2.resize(person, (wide, tall), interpolation=cv2.INTER_AREA)
        picture[y : y + tall, x : x + wide] = drawn
    return picture


def face_boxes(size: tuple[int, int], faces: int, number: int) -> Boxes:
    """Where the middles of the faces are in a clip's frame: [N, 4] xyxy px."""
    places = np.reshape(_places(size, faces, number), (-1, 4))
    boxes = places[:, [0, 1, 0, 1]] + places[:, [2, 3, 2, 3]] * np.array(_FACE)
    return np.asarray(boxes.round(), np.int64)


def _places(size: tuple[int, int], faces: int, number: int) -> list[tuple[int, int, int, int]]:
    """Left, top, width and height px of each person."""
    width, height = size
    columns, rows = grid(size, faces)
    cell = width / columns, height / rows
    person = _PART[2] - _PART[0], _PART[3] - _PART[1]
    scale = _FILLS * min(cell[0] / person[0], cell[1] / person[1])
    wide, tall = round(scale * person[0]), round(scale * person[1])
    places = []
    for place in range(faces):
        sway = _SWAYS * wide * math.sin(0.1 * number + place)
        x = int((place % columns + 0.5) * cell[0] - wide / 2 + sway)
        y = int((place // columns + 0.5) * cell[1] - tall / 2)
        places.append((max(0, min(x, width - wide)), max(0, min(y, height - tall)), wide, tall))
    return places


def grid(size: tuple[int, int], faces: int) -> tuple[int, int]:
    """Columns and rows in which each person is as large as can be."""
    shape = (_PART[2] - _PART[0]) / (_PART[3] - _PART[1])

    def scale(columns: int) -> float:
        return min(size[0] / columns, shape * size[1] / -(-faces // columns))

    faces = max(1, faces)
    columns = max(range(1, faces + 1), key=scale)
    return columns, -(-faces // columns)


def _wall(width: int, height: int) -> Rgb:
    """A plain wall, lit from the left."""
    light = np.linspace(150, 90, width)[None, :, None] + np.linspace(10, -10, height)[:, None, None]
    return np.repeat(light.astype(np.uint8), 3, axis=2)
