from __future__ import annotations

from pathlib import Path

import av
import pytest

from streamanon.bench.clips import RATE, demo_clip, grid, write_clip
from streamanon.errors import SinkError
from streamanon.media.probe import probe


def test_a_clip_has_the_size_and_frames_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_clip(path, (160, 90), 2, 5)
    info = probe(str(path))
    assert (info.width, info.height, info.frames) == (160, 90, 5)
    assert info.average_rate == RATE


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
