"""Leaks planted in a covered clip are found, all of them, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

import cv2
import numpy as np
import pytest
from audits import write

from streamanon.audit.alignment import align
from streamanon.audit.leaks import HIDDEN
from streamanon.audit.measure import Measurements, Measurer
from streamanon.audit.pairing import Image, Times, read_pairs, read_rgb_frames, read_times
from streamanon.audit.people import FaceFrame, Person
from streamanon.audit.result import Leaks
from streamanon.audit.summarise import summarise_leaks, summarise_utility
from streamanon.testing.fakes import FakeMesh
from streamanon.types import Faces, Float

DEMO = Path(__file__).parents[1] / "data" / "demo.mp4"
FRAMES = 16


class BlindJudge:
    name, threshold = "blind", 0.5

    def find(self, image: Image) -> Faces:
        return Faces.empty()


@pytest.fixture(scope="module")
def people() -> list[Person]:
    """The clip's ground truth, for the frames that are used."""
    faces: dict[int, list[FaceFrame]] = {}
    for index, frame in enumerate(json.loads(DEMO.with_suffix(".json").read_text())["frames"][:FRAMES]):
        for face in frame:
            if face["visible"] > 0.9:
                box, points = np.array(face["box"], np.float32), np.array(face["keypoints"], np.float32)
                found = FaceFrame(face["track"], index, box, points)
                faces.setdefault(face["track"], []).append(found)
    return [Person(track, tuple(found), True) for track, found in faces.items()]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Image]]:
    path = tmp_path_factory.mktemp("audit") / "original.mp4"
    images = [image for image, _ in zip(read_rgb_frames(DEMO), range(FRAMES), strict=False)]
    write(path, images)
    return path, images


def hide(image: Image, faces: list[FaceFrame]) -> Image:
    """A mosaic of six cells on each face."""
    out = image.copy()
    for face in faces:
        pad = 0.3 * (face.box[2:] - face.box[:2])
        x0, y0 = (max(0, int(v)) for v in face.box[:2] - pad)
        x1, y1 = int(face.box[2] + pad[0]), int(face.box[3] + pad[1])
        region = out[y0:y1, x0:x1]
        cells = cv2.resize(region, (6, 6), interpolation=cv2.INTER_AREA)
        size = (region.shape[1], region.shape[0])
        out[y0:y1, x0:x1] = cv2.resize(cells, size, interpolation=cv2.INTER_NEAREST)
    return out


def covered(
    images: list[Image], people: list[Person], but: Collection[tuple[int, int]] = ()
) -> list[Image]:
    """All faces hidden but those whose (track, frame) is in ``but``."""
    faces = [face for person in people for face in person.frames]
    return [
        hide(image, [f for f in faces if f.index == index and (f.track, index) not in but])
        for index, image in enumerate(images)
    ]


def measure(one: Path, two: Path, people: list[Person]) -> tuple[Measurements, Leaks, Times]:
    times = read_times(one), read_times(two)
    measurer = Measurer(people, [BlindJudge()], [], FakeMesh())
    measured = measurer.run(read_pairs(one, two, (times[0], align(*times).other)))
    return measured, summarise_leaks(people, measured, times[0]), times[0]


def seen(measured: Measurements) -> set[tuple[int, int]]:
    return {key for key, exposure in measured.exposures.items() if exposure.seen}


@pytest.mark.slow
def test_identical_videos_leak_everything(original: tuple[Path, list[Image]], people: list[Person]) -> None:
    _, leaks, _ = measure(original[0], original[0], people)
    assert leaks.seen == leaks.face_frames == sum(len(person.frames) for person in people)
    assert leaks.tracks_seen == leaks.tracks == len(people)


def test_a_covered_video_leaks_nothing(
    original: tuple[Path, list[Image]], people: list[Person], tmp_path: Path
) -> None:
    path = write(tmp_path / "b.mp4", covered(original[1], people))
    measured, leaks, _ = measure(original[0], path, people)
    assert leaks.seen == 0
    assert leaks.face_frames == sum(len(person.frames) for person in people)
    assert all(exposure.change > 2 for exposure in measured.exposures.values())


@pytest.mark.parametrize("crf", [pytest.param(20, marks=pytest.mark.slow), 28])
def test_one_frame_of_one_face_is_found(
    crf: int, original: tuple[Path, list[Image]], people: list[Person], tmp_path: Path
) -> None:
    planted = {(people[0].track, 8)}
    path = write(tmp_path / "b.mp4", covered(original[1], people, planted), crf)
    measured, leaks, _ = measure(original[0], path, people)
    assert planted <= seen(measured)
    assert {track for track, _ in seen(measured)} == {people[0].track}
    assert all(abs(index - 8) <= 3 for _, index in seen(measured)), "as long as the frame can be seen"
    assert leaks.seconds_seen <= 7 / 25 + 1e-6


@pytest.mark.slow
def test_a_whole_track_is_found(
    original: tuple[Path, list[Image]], people: list[Person], tmp_path: Path
) -> None:
    track = people[1].track
    planted = {(track, face.index) for face in people[1].frames}
    path = write(tmp_path / "b.mp4", covered(original[1], people, planted))
    measured, leaks, _ = measure(original[0], path, people)
    assert seen(measured) == planted
    assert leaks.tracks_seen == 1
    (result,) = [one for one in leaks.per_track if one.track == track]
    assert result.seen == result.face_frames
    assert len(result.leaks) == 1
    assert result.leaks[0].end == pytest.approx(FRAMES / 25, abs=0.05)


@pytest.mark.slow
def test_a_face_under_a_see_through_cover_is_found(
    original: tuple[Path, list[Image]], people: list[Person], tmp_path: Path
) -> None:
    faces = [face for person in people for face in person.frames]
    faint = []
    for index, image in enumerate(original[1]):
        out = image.copy()
        for face in (f for f in faces if f.index == index):
            x0, y0, x1, y1 = face.box.astype(int)
            out[y0:y1, x0:x1] = 0.3 * image[y0:y1, x0:x1].astype(np.float32) + 0.7 * 110
        faint.append(out)
    _, leaks, _ = measure(original[0], write(tmp_path / "b.mp4", faint), people)
    assert leaks.seen >= 0.95 * leaks.face_frames


@pytest.mark.slow
@pytest.mark.parametrize("shift", [2, -2])
def test_frames_that_come_late_or_early_are_found(
    shift: int, original: tuple[Path, list[Image]], people: list[Person], tmp_path: Path
) -> None:
    late = [original[1][int(np.clip(n - shift, 0, FRAMES - 1))] for n in range(FRAMES)]
    _, leaks, _ = measure(original[0], write(tmp_path / "b.mp4", late), people)
    # The frames at one end are never shown.
    assert leaks.seen >= leaks.face_frames - 2 * leaks.tracks


@pytest.mark.slow
def test_another_encoding_is_found(
    original: tuple[Path, list[Image]], people: list[Person], tmp_path: Path
) -> None:
    _, leaks, _ = measure(original[0], write(tmp_path / "b.mp4", original[1], crf=30), people)
    assert leaks.seen >= 0.95 * leaks.face_frames
    assert leaks.tracks_seen == leaks.tracks


@pytest.mark.slow
def test_a_black_video_is_private_and_useless(
    original: tuple[Path, list[Image]], people: list[Person], tmp_path: Path
) -> None:
    path = write(tmp_path / "b.mp4", [np.zeros_like(image) for image in original[1]])
    measured, leaks, _ = measure(original[0], path, people)
    assert leaks.seen == 0
    utility = summarise_utility(measured)
    assert utility.faces_found is not None
    assert utility.faces_found.value == 0
    assert utility.psnr_outside is not None
    assert utility.psnr_outside < 15
    assert utility.changed_outside is not None
    assert utility.changed_outside > 0.5


def test_missing_frames_are_hidden_and_told(
    original: tuple[Path, list[Image]], people: list[Person], tmp_path: Path
) -> None:
    path = write(tmp_path / "b.mp4", covered(original[1], people)[:2])
    measured, leaks, _ = measure(original[0], path, people)
    assert leaks.hidden_frames > 0
    assert leaks.seen == 0
    assert HIDDEN.seen is False
    assert measured.missing == leaks.hidden_frames


@pytest.mark.slow
def test_thumbnails_only_when_asked(original: tuple[Path, list[Image]], people: list[Person]) -> None:
    times = read_times(original[0]), read_times(original[0])
    for asked in (0, 1):
        measurer = Measurer(people, [BlindJudge()], [], FakeMesh(), thumbnails=asked)
        measured = measurer.run(read_pairs(original[0], original[0], times))
        assert len(measured.thumbnails) == asked
    picture: Float = measured.thumbnails[0].original.astype(np.float32)
    assert picture.std() > 5
