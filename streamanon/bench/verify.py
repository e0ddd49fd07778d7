"""Whether a timed run did what it should: else its speed says nothing."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.bench.clips import face_boxes
from streamanon.errors import StreamanonError
from streamanon.runtime.run_report import RunReport
from streamanon.types import Cover, Method, SafeFrame

#: Share of all faces in all frames that has to be covered, and of these, by the method asked for.
LEAST_COVERED, LEAST_BY_METHOD = 0.95, 0.9
#: Mean difference from the input, levels of 255: least within covers, most elsewhere.
LEAST_CHANGE, MOST_CHANGE = 4.0, 4.0
#: The least within the middle of a face: a blur comes to 27, a generated face to 12, and what deface's
#: scaling and encoding alone do to people of 80 px and more to 6.
LEAST_FACE_CHANGE = 8.0


class NotAsExpectedError(StreamanonError):
    """A run's output is not what it should be; nothing of it is timed."""


class Covers:
    """The covers of each frame, taken down while a run writes."""

    def __init__(self) -> None:
        self.frames: list[tuple[Cover, ...]] = []

    def __call__(self, frame: SafeFrame) -> None:
        self.frames.append(frame.report.covers)


def verify(
    source: Path, output: Path, report: RunReport, covers: Covers, faces: int, method: Method
) -> dict[str, Any]:
    """What was found. Raises :class:`NotAsExpectedError`."""
    frames = report.frames_in
    _require(report.tally.frames == frames == len(covers.frames), "the output has not all frames")
    _require(not report.faults and not report.tally.withheld, f"there were faults: {report.troubles()}")
    covered = sum(len(one) for one in covers.frames)
    at_most = sum(min(len(one), faces) for one in covers.frames)  # more covers in a frame make up for none
    _require(
        LEAST_COVERED * faces * frames <= at_most,
        f"only {at_most} of {faces * frames} faces are covered",
    )
    by_method = report.tally.by_method[method]
    _require(
        not faces or by_method >= LEAST_BY_METHOD * covered,
        f"only {by_method} of {covered} covers are by the method {method}",
    )
    inside, outside = change(source, output, covers)
    _require(not faces or inside >= LEAST_CHANGE, f"faces differ by only {inside:.1f} levels")
    _require(outside <= MOST_CHANGE, f"the rest of the picture differs by {outside:.1f} levels")
    return {
        "face_frames": covered,
        "by_method": dict(report.tally.by_method),
        "change_inside": round(inside, 2),
        "change_outside": round(outside, 2),
    }


def verify_faces(program: str, source: Path, output: Path, size: tuple[int, int], faces: int) -> None:
    """That a program which tells nothing of itself changed the faces of a clip (``size``: width, height px)
    and little else. A picture of another size is scaled back: deface rounds to 16 px. Raises
    :class:`NotAsExpectedError`.
    """
    changed, outside, frames = 0, 0.0, 0
    for before, after in zip_longest(_luma(source), _luma(output)):
        _require(before is not None and after is not None, f"{program}'s output has not all frames")
        scaled = cv2.resize(after, size, interpolation=cv2.INTER_AREA)
        difference = np.abs(before.astype(np.int16) - scaled)
        for x0, y0, x1, y1 in face_boxes(size, faces, frames):
            changed += difference[y0:y1, x0:x1].mean() >= LEAST_FACE_CHANGE
            difference[y0:y1, x0:x1] = 0
        outside, frames = outside + difference.mean(), frames + 1
    _require(
        changed >= LEAST_COVERED * faces * frames,
        f"{program} changed only {changed} of {faces * frames} faces",
    )
    _require(
        outside <= MOST_CHANGE * frames,
        f"{program} changed the rest of the picture by {outside / max(1, frames):.1f} levels",
    )


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise NotAsExpectedError(f"the output is not as expected and was not timed: {otherwise}")


def change(source: Path, output: Path, covers: Covers) -> tuple[float, float]:
    """Mean absolute difference of two videos' luma, in levels, within the covers and outside them."""
    sums, counts = np.zeros(2), np.zeros(2)
    for before, after, boxes in zip_longest(_luma(source), _luma(output), covers.frames):
        _require(before is not None and after is not None, "the output has not all frames")
        difference = np.abs(before.astype(np.int16) - after)
        within = np.zeros(difference.shape, bool)
        for cover in boxes or ():
            x0, y0, x1, y1 = (max(0, round(value)) for value in cover.box)
            within[y0:y1, x0:x1] = True
        for row, part in enumerate((within, ~within)):
            sums[row] += difference[part].sum()
            counts[row] += part.sum()
    inside, outside = sums / np.maximum(counts, 1)
    return float(inside), float(outside)


def _luma(path: Path) -> Iterator[NDArray[np.uint8]]:
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield np.asarray(frame.to_ndarray(format="gray"), np.uint8)
