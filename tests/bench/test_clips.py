from __future__ import annotations

from contextlib import nullcontext
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from streamanon.bench.clips import RATE, demo_clip, face_boxes, grid, write_clip
from streamanon.bench.verify import NotAsExpectedError, verify_faces
from streamanon.config import ComputeConfig, DetectConfig
from streamanon.detect.yolo import FaceDetector
from streamanon.errors import SinkError
from streamanon.media.probe import probe
from streamanon.media.yuv import from_rgb
from streamanon.runtime.backends import open_backend
from streamanon.runtime.models import Engines
from streamanon.types import RawFrame


def test_a_clip_has_the_size_and_frames_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_clip(path, (160, 90), 2, 5)
    info = probe(str(path))
    assert (info.width, info.height, info.frames) == (160, 90, 5)
    assert info.average_rate == RATE


@pytest.mark.slow
def test_more_people_change_more_of_the_wall(tmp_path: Path) -> None:
    texture = []
    for faces in (0, 1, 6):
        write_clip(tmp_path / "clip.mp4", (320, 180), faces, 1)
        with av.open(str(tmp_path / "clip.mp4")) as container:
            picture = next(container.decode(video=0)).to_ndarray(format="gray")
        texture.append(float(picture.std()))
    assert texture[0] < texture[1]
    assert texture[0] < texture[2]


@pytest.mark.parametrize(
    ("size", "faces", "expected"),
    [
        ((1920, 1080), 0, (1, 1)),
        ((1920, 1080), 1, (1, 1)),
        ((1920, 1080), 4, (4, 1)),
        ((90, 160), 3, (2, 2)),
        ((50, 400), 3, (1, 3)),
    ],
)
def test_people_are_as_large_as_can_be(
    size: tuple[int, int], faces: int, expected: tuple[int, int]
) -> None:
    assert grid(size, faces) == expected


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"cannot write the clip clip\.mp4"):
        write_clip(tmp_path / "no" / "clip.mp4", (64, 64), 0, 1)


def test_the_demo_clip_is_there() -> None:
    assert demo_clip().is_file()


@pytest.mark.slow
def test_faces_are_where_they_are_said_to_be(engines: Engines, tmp_path: Path) -> None:
    """Seen by the detector."""
    size, faces, number = (640, 360), 4, 7
    write_clip(tmp_path / "clip.mp4", size, faces, number + 1)
    with av.open(str(tmp_path / "clip.mp4")) as container:
        rgb = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)][number]
    detector = FaceDetector(open_backend(ComputeConfig("onnxruntime")), engines, DetectConfig())
    seen = detector.detect(RawFrame(0, 0, Fraction(1, RATE), from_rgb(np.asarray(rgb, np.uint8))))
    found = seen.boxes[seen.scores >= 0.5]
    boxes = face_boxes(size, faces, number)
    assert boxes.shape == (faces, 4)
    for x0, y0, x1, y1 in boxes:
        starts = (found[:, :2] <= (x0 + 1, y0 + 1)).all(axis=1)
        assert (starts & (found[:, 2:] >= (x1 - 1, y1 - 1)).all(axis=1)).sum() == 1
    assert face_boxes(size, 0, number).shape == (0, 4)


def altered(source: Path, size: tuple[int, int], faces: int, frames: int = 12, wall: int = 0) -> Path:
    """A clip whose first ``faces`` people are grey, of another size; ``wall`` is added to the rest."""
    target = source.with_name("altered.mp4")
    with av.open(str(source)) as before, av.open(str(target), "w") as after:
        stream = after.add_stream("libx264", rate=RATE, options={"crf": "16"})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = size[0], size[1] + 8, "yuv420p"
        for number, frame in enumerate(before.decode(video=0)):
            rgb = np.clip(frame.to_ndarray(format="rgb24").astype(int) + wall, 0, 255).astype(np.uint8)
            for x0, y0, x1, y1 in face_boxes(size, 4, number)[:faces]:
                rgb[y0:y1, x0:x1] = 90
            if number < frames:
                after.mux(stream.encode(VideoFrame.from_ndarray(rgb, format="rgb24")))
        after.mux(stream.encode(None))
    return target


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param({"faces": 4}, "", marks=pytest.mark.slow),
        pytest.param({"faces": 3}, "it changed only 36 of 48 faces", marks=pytest.mark.slow),
        pytest.param({"faces": 0}, "it changed only 0 of 48 faces", marks=pytest.mark.slow),
        pytest.param({"faces": 4, "frames": 11}, "it's output has not all frames", marks=pytest.mark.slow),
        ({"faces": 4, "wall": 20}, r"it changed the rest of the picture by \d+\.\d levels"),
    ],
)
def test_what_another_program_made_is_looked_at(options: dict[str, int], said: str, tmp_path: Path) -> None:
    size, source = (640, 360), tmp_path / "clip.mp4"
    write_clip(source, size, 4, 12)
    output = altered(source, size, **options)
    with pytest.raises(NotAsExpectedError, match=said) if said else nullcontext():
        verify_faces("it", source, output, size, 4)
