"""Outputs that are cut are compared at the same moments or not at all: else leaks would be hidden."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from audits import a_result, write

from streamanon.audit.alignment import Alignment, align
from streamanon.audit.gates import DEFAULT, breaches, parse_gates
from streamanon.audit.pairing import Image, Times, counterparts, read_rgb_frames, read_times
from streamanon.audit.result import AuditResult
from streamanon.commands.audit import describe

DEMO = Path(__file__).parents[1] / "data" / "demo.mp4"
FRAMES, CUT = 75, 25  # 25 a second


@pytest.fixture(scope="module")
def images() -> list[Image]:
    return [image for image, _ in zip(read_rgb_frames(DEMO), range(FRAMES), strict=False)]


@pytest.fixture(scope="module")
def original(images: list[Image], tmp_path_factory: pytest.TempPathFactory) -> Times:
    return read_times(write(tmp_path_factory.mktemp("original") / "a.mp4", images))


def covered(image: Image) -> Image:
    """With a fifth of it hidden, and darker as a whole."""
    height, width = image.shape[:2]
    made = (0.9 * image).astype(np.uint8)
    made[height // 4 : height * 3 // 4, width // 3 : width * 11 // 15] = 90
    return made


def aligned(original: Times, images: Sequence[Image], path: Path) -> Alignment:
    return align(original, read_times(write(path, [covered(image) for image in images], crf=30)))


def test_a_covered_video_is_aligned_as_it_is(original: Times, images: list[Image], tmp_path: Path) -> None:
    found = aligned(original, images, tmp_path / "b.mp4")
    assert (found.shift, found.unpaired) == (0, 0)


def test_a_beginning_that_is_cut_away_is_found_by_the_pictures(
    original: Times, images: list[Image], tmp_path: Path
) -> None:
    found = aligned(original, images[CUT:], tmp_path / "b.mp4")
    assert found.shift == pytest.approx(-CUT / 25, abs=0.1)
    assert found.unpaired == 0
    assert counterparts(original, found.other)[CUT + 10] in range(8, 13)


def test_an_output_that_keeps_its_times_is_aligned_by_them(original: Times) -> None:
    """Its first frame is not the original's first."""
    assert original.looks is not None
    cut = dataclasses.replace(original, seconds=original.seconds[CUT:], looks=original.looks[CUT:])
    for one, two in (
        (original, cut),
        (dataclasses.replace(original, looks=None), dataclasses.replace(cut, looks=None)),
    ):
        found = align(one, two)
        assert (found.shift, found.unpaired) == (0, 0)
        assert counterparts(one, found.other)[CUT + 10] == 10


def test_an_output_that_is_cut_within_cannot_be_compared(
    original: Times, images: list[Image], tmp_path: Path
) -> None:
    found = aligned(original, images[:20] + images[20 + CUT :], tmp_path / "b.mp4")
    assert found.unpaired > 0.2


def test_where_nothing_moves_a_cut_leaves_the_moment_open(images: list[Image], tmp_path: Path) -> None:
    still = read_times(write(tmp_path / "a.mp4", images[:1] * FRAMES))
    assert aligned(still, images[:1] * (FRAMES - CUT), tmp_path / "b.mp4").unpaired == 1
    assert aligned(still, images[:1] * FRAMES, tmp_path / "c.mp4").unpaired == 0


def told_of(**container: object) -> AuditResult:
    result = a_result()
    clean = dataclasses.replace(result.leaks, seen=0)
    changed = dataclasses.replace(result.container, **container)  # type: ignore[arg-type]
    return dataclasses.replace(result, leaks=clean, container=changed, failed=())


@pytest.mark.parametrize(
    "gate", ["leak>0", "leak_share>0.5", "leak_seconds>9", "leak_tracks>9", "reid>0.9"]
)
def test_videos_that_cannot_be_compared_do_not_pass(gate: str) -> None:
    assert not breaches(parse_gates("leak>0"), told_of())
    result = told_of(unpaired=0.3)
    assert breaches(parse_gates(gate), result) == (gate,)
    assert "30 % of the output's pictures show another moment" in describe(result)


def test_a_shifted_clock_is_told() -> None:
    assert "clock: the output's is 1.00 s behind the original's" in describe(told_of(clock_shift=-1.0))
    assert "clock" not in describe(told_of())


def test_pictures_beside_the_video_fail_the_audit() -> None:
    """A raw cover picture is a leak, and a second video is one."""
    result = told_of(extra_streams=("video", "data"))
    assert breaches(parse_gates(DEFAULT), result) == ("pictures>0",)
    assert breaches(parse_gates("streams>1"), result) == ("streams>1",)
    assert "pictures beside the video, which may show faces: 1" in describe(result)
    assert breaches(parse_gates(DEFAULT), told_of(extra_streams=("data",))) == ()
