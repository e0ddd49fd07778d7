"""A camera for days, in minutes: frames as fast as they can be processed, and a connection that breaks
again and again. Writes memory, descriptors, threads and latency to a CSV file and draws them.

    python -m benchmarks.live.soak --frames 200000 --reconnects 100 --csv soak.csv --plot docs/live-soak.png
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import av

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "support"))

import streamanon.live.backoff as backoff
import streamanon.live.camera as camera_module
from streamanon.api import Anonymizer
from streamanon.errors import SourceError
from streamanon.live.camera import Camera, CameraSettings
from streamanon.live.connection import Connection, Got, SourceOptions
from streamanon.live.states import Journal
from streamanon.live.targets import Archiving, target_of

SIZE, CYCLE = (128, 96), 250


class Breaking:
    """A connection that gives so many frames of one scene, one every 40 ms by their times, and breaks."""

    has_sound = False
    started = 0

    def __init__(self, frames: list[av.VideoFrame], count: int, describe: Callable[[Any], Any]) -> None:
        self._frames, self._count, self.describe = frames, count, describe
        self.trust = cast(Any, type("Trusting", (), {"causes": {}})())

    def __enter__(self) -> Breaking:
        return self

    def __exit__(self, *_: object) -> None: ...

    def read(self, should_stop: Callable[[], bool], _begin: float | None = None) -> Iterator[Got]:
        for number in range(self._count):
            if should_stop():
                return
            now = time.monotonic()
            at = Breaking.started * 0.04
            Breaking.started += 1
            yield Got(self._frames[number % len(self._frames)], at, now, False)
        raise SourceError("the connection broke, as it was told to")


def memory_mb() -> float:
    """Resident, of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def run(frames: int, reconnects: int, path: Path, most_seconds: float) -> list[tuple[float, ...]]:
    from live_scenes import FakeAnonymizer, Unhurried, an_info, scene, video_frame

    backoff.FIRST_SECONDS = backoff.LONGEST_SECONDS = 0.001
    shown = [video_frame(raw, raw.index) for raw in scene(CYCLE, SIZE)]
    each = frames // reconnects

    def connect(_options: SourceOptions, _clock: Callable[[], float]) -> Connection:
        return cast(Connection, Breaking(shown, each, lambda _frame: an_info(SIZE)))

    rows: list[tuple[float, ...]] = []
    with tempfile.TemporaryDirectory() as folder:
        target = target_of(f"{folder}/part-%Y%m%d-%H%M%S.mkv", Archiving(60.0, 120.0))
        settings = CameraSettings("soak", Unhurried("rtsp://soak/"), (target,), strict=False)
        fake = cast(Anonymizer, FakeAnonymizer(lookahead_seconds=0.2))
        camera = Camera(settings, fake, Journal(False, lambda _line: None), connect)
        camera._origin = 0.0
        begun = time.monotonic()
        camera.start()
        counts = camera.egress_counts
        before = (0, 0.0)
        while counts.frames < frames - each and time.monotonic() - begun < most_seconds:
            time.sleep(2)
            number, total = sum(counts.latency.counts), counts.latency.total
            late = (total - before[1]) / max(1, number - before[0])
            before = (number, total)
            fds = len(os.listdir("/proc/self/fd"))
            reconnected, threads = sum(camera.reconnects.values()), threading.active_count()
            now = time.monotonic() - begun
            rows.append((now, counts.frames, reconnected, memory_mb(), fds, threads, 1000 * late))
            said = "%.0f s, %d frames, %d reconnects, %.0f MB, %d fds, %d threads, %.1f ms"
            print(said % rows[-1], flush=True)
        camera.stop()
        camera.join(20)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        names = ["seconds", "frames", "reconnects", "memory_mb", "descriptors", "threads", "latency_ms"]
        writer.writerow(names)
        writer.writerows(rows)
    return rows


def plot(source: Path, target: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with source.open() as file:
        rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    names = {
        "memory_mb": "memory, MB",
        "descriptors": "descriptors",
        "threads": "threads",
        "latency_ms": "latency, ms",
    }
    figure, axes = pyplot.subplots(len(names), 1, figsize=(8, 8), sharex=True)
    for axis, (key, name) in zip(axes, names.items(), strict=True):
        axis.plot([row["frames"] for row in rows], [row[key] for row in rows], linewidth=1)
        axis.set_ylabel(name)
        axis.set_ylim(bottom=0)
    axes[-1].set_xlabel("frames")
    axes[0].set_title(f"{rows[-1]['frames']:.0f} frames, {rows[-1]['reconnects']:.0f} reconnects")
    figure.tight_layout()
    figure.savefig(target, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=200_000)
    parser.add_argument("--reconnects", type=int, default=100)
    parser.add_argument("--most-seconds", type=float, default=3600.0)
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    camera_module.KNOCK_SECONDS = 1e9
    run(args.frames, args.reconnects, args.csv, args.most_seconds)
    if args.plot is not None:
        plot(args.csv, args.plot)


if __name__ == "__main__":
    main()
