"""What identity work costs: the time spent on assigning delegates, over the time of the whole run.

    python -m benchmarks.speed.identity_cost VIDEO [VIDEO ...] [--runs 5]

Counted is all of ``Assigner.assign``: views of faces, re-identification, distraction and draws. The run is
otherwise as it always is, threads included; warm-up first, then the median and the spread of several runs.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from streamanon.api import Anonymizer
from streamanon.identity.assignment import Assigner
from streamanon.types import Assignment


@dataclass
class Watch:
    seconds: float = 0.0
    calls: int = 0


@contextmanager
def watched() -> Iterator[Watch]:
    """Times ``Assigner.assign`` for as long as it is open."""
    watch, inner = Watch(), Assigner.assign

    def assign(*given: Any, **named: Any) -> Assignment:
        begun = time.perf_counter()
        found = inner(*given, **named)
        watch.seconds += time.perf_counter() - begun
        watch.calls += 1
        return found

    with mock.patch.object(Assigner, "assign", assign):
        yield watch


def measure(anonymizer: Anonymizer, video: Path, folder: Path, runs: int) -> str:
    shares, frame_ms, faces = [], [], 0.0
    for number in range(runs + 1):
        with watched() as watch:
            report = anonymizer.run(video, folder / f"{video.stem}.mp4", overwrite=True)
        assert report.tally.by_method["synthesize"], f"no face was generated in {video}"
        if number:  # the first run warms up
            shares.append(watch.seconds / report.seconds)
            frame_ms.append(1000 * report.seconds / report.tally.frames)
        faces = watch.calls / report.tally.frames
    middle = 100 * statistics.median(shares)
    spread = f"{100 * min(shares):.1f}–{100 * max(shares):.1f}"
    cells = [video.name, f"{faces:.1f}", f"{statistics.median(frame_ms):.1f}", f"{middle:.1f} % ({spread})"]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    anonymizer = Anonymizer()
    print("| clip | generated faces a frame | ms a frame | identity work |")
    print("|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        for video in args.videos:
            print(measure(anonymizer, video, Path(name), args.runs), flush=True)


if __name__ == "__main__":
    main()
