"""The shipped demo clip is what its ground truth says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

DATA = Path(__file__).parents[1] / "data"
CLIP = DATA / "demo.mp4"


@pytest.fixture(scope="module")
def truth() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((DATA / "demo.json").read_text())
    return loaded


@pytest.fixture(scope="module")
def small_frames() -> NDArray[np.float32]:
    """Luma of every frame, every fourth pixel."""
    with av.open(str(CLIP)) as file:
        planes = [frame.to_ndarray(format="gray")[::4, ::4] for frame in file.decode(video=0)]
    return np.stack(planes).astype(np.float32)


def test_frame_count_and_size(truth: dict[str, Any], small_frames: NDArray[np.float32]) -> None:
    with av.open(str(CLIP)) as file:
        video = file.streams.video[0]
        assert [video.width, video.height] == truth["size"]
        assert video.average_rate == truth["fps"]
    assert len(small_frames) == len(truth["frames"])


def test_cut_is_where_the_truth_says(truth: dict[str, Any], small_frames: NDArray[np.float32]) -> None:
    steps = np.abs(np.diff(small_frames, axis=0)).mean((1, 2))
    assert [int(steps.argmax()) + 1] == truth["cuts"]


def test_one_audio_stream_as_long_as_the_video(truth: dict[str, Any]) -> None:
    with av.open(str(CLIP)) as file:
        assert len(file.streams.audio) == 1
        samples = [frame.to_ndarray() for frame in file.decode(audio=0)]
        rate = file.streams.audio[0].rate
    sound = np.concatenate(samples, axis=1)
    assert sound.shape[1] / rate == pytest.approx(len(truth["frames"]) / truth["fps"], abs=0.1)
    assert 0.01 < float(np.sqrt((sound**2).mean())) < 0.5


def test_someone_leaves_and_returns(truth: dict[str, Any]) -> None:
    tracks: dict[int, list[int]] = {}
    for index, faces in enumerate(truth["frames"][: truth["cuts"][0]]):
        for face in faces:
            tracks.setdefault(face["person"], [])
            if face["track"] not in tracks[face["person"]]:
                tracks[face["person"]].append(face["track"])
        assert len({face["track"] for face in faces}) == len(faces), index
    assert max(len(numbers) for numbers in tracks.values()) == 2


def test_someone_passes_partly_behind_another(truth: dict[str, Any]) -> None:
    shares: dict[int, list[float]] = {}
    for face in (face for frame in truth["frames"] for face in frame):
        if face["box"][0] > 0 and face["box"][2] < truth["size"][0] - 1:
            shares.setdefault(face["track"], []).append(face["visible"])
    crossing = [seen for seen in shares.values() if min(seen) < 0.8]
    assert len(crossing) == 1
    assert min(crossing[0]) > 0.3
    assert crossing[0][0] == crossing[0][-1] == 1


def test_no_track_crosses_the_cut_but_people_do(truth: dict[str, Any]) -> None:
    cut = truth["cuts"][0]
    halves = truth["frames"][:cut], truth["frames"][cut:]
    people, tracks = (
        [{face[key] for faces in half for face in faces} for half in halves] for key in ("person", "track")
    )
    assert not tracks[0] & tracks[1]
    assert len(people[0] & people[1]) == 2
    assert people[1] - people[0]


def test_keypoints_lie_in_the_boxes(truth: dict[str, Any]) -> None:
    faces = [face for frame in truth["frames"] for face in frame]
    boxes = np.array([face["box"] for face in faces])
    keypoints = np.array([face["keypoints"] for face in faces])
    assert (keypoints >= boxes[:, None, :2]).all()
    assert (keypoints <= boxes[:, None, 2:]).all()
    assert (keypoints[:, 0, 0] < keypoints[:, 1, 0]).all()
    assert all(0 < face["visible"] <= 1 for face in faces)
    widths = boxes[:, 2] - boxes[:, 0]
    assert widths.min() < 40
    assert widths.max() > 110


def test_cheeks_are_skin_coloured(truth: dict[str, Any]) -> None:
    """Between eyes and mouth, red leads green and green leads blue, in every face fully seen."""
    with av.open(str(CLIP)) as file:
        for number, frame in enumerate(file.decode(video=0)):
            if number % 10:
                continue
            rgb = frame.to_ndarray(format="rgb24").astype(np.float32)
            for face in truth["frames"][number]:
                if face["visible"] == 1:
                    red, green, blue = cheeks(rgb, np.array(face["keypoints"])).mean((0, 1)).tolist()
                    assert red > green + 10 > blue + 10, (number, face["person"])


def cheeks(rgb: NDArray[np.float32], keypoints: NDArray[np.float64]) -> NDArray[np.float32]:
    """The middle of a face, without eyes and mouth."""
    low, high = keypoints.min(0), keypoints.max(0)
    inset = np.array([0.0, 0.3 * (high[1] - low[1])])
    (x0, y0), (x1, y1) = np.rint(low + inset).astype(int), np.rint(high - inset).astype(int)
    return rgb[y0 : y1 + 1, x0 : x1 + 1]


def test_clip_is_small() -> None:
    assert CLIP.stat().st_size < 700_000
