"""What detection costs a frame: time of the stages up to the look-ahead, and each network's calls.

    python -m benchmarks.speed.detection_cost CLIP... [--profile NAME] [--width PX] [--set KEY=VALUE]

Frames are decoded first; then detection, tracking and look-ahead run alone, in one thread, on as many cores
as ``compute.threads`` allows. The first frames, where a runtime compiles its models, do not count.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

from streamanon.api import Anonymizer
from streamanon.config import load_config
from streamanon.detect.detection_interval import DetectionInterval
from streamanon.detect.search import observe
from streamanon.media.decode import read_frames
from streamanon.media.probe import probe
from streamanon.runtime import backends
from streamanon.track.lookahead import resolve
from streamanon.track.tracker import track
from streamanon.types import Picture, RawFrame

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@dataclass
class Calls:
    """By network and input shape: how many calls, and their seconds."""

    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def clear(self) -> None:
        self.counts.clear()
        self.seconds.clear()


@dataclass
class Watched:
    """A model whose calls are counted."""

    inner: backends.Model
    name: str
    calls: Calls

    def run(self, *inputs: backends.Array) -> list[backends.Array]:
        begun = time.perf_counter()
        outputs = self.inner.run(*inputs)
        batch, _, height, width = inputs[0].shape
        key = f"{self.name} {batch}×{width}×{height}"
        self.calls.counts[key] += 1
        self.calls.seconds[key] += time.perf_counter() - begun
        return outputs


def watch(anonymizer: Anonymizer) -> Calls:
    """Counts the calls of its detector and verifier from now on."""
    calls = Calls()
    for name, owner in (("detector", anonymizer.detector), ("verifier", anonymizer.verifier)):
        owner._model = Watched(owner._model, name, calls)
    return calls


def read(clip: Path, width: int | None) -> list[RawFrame]:
    """All frames in memory, scaled to a width if one is given."""
    frames = read_frames(clip, probe(clip))
    return list(frames) if width is None else [_scaled(frame, width) for frame in frames]


def _scaled(frame: RawFrame, width: int) -> RawFrame:
    picture = frame.picture
    scale = width / picture.width
    planes = []
    for plane in picture.planes:
        size = 2 * round(plane.shape[1] * scale / 2), 2 * round(plane.shape[0] * scale / 2)
        planes.append(np.ascontiguousarray(cv2.resize(plane, size, interpolation=cv2.INTER_CUBIC)))
    scaled = Picture(tuple(planes), picture.pixel_format, picture.matrix, picture.full_range)
    return replace(frame, picture=scaled)


def run(anonymizer: Anonymizer, frames: list[RawFrame]) -> Iterator[int]:
    """The number of targets of each frame."""
    config = anonymizer.config
    search = anonymizer.face_search()
    interval = DetectionInterval(config.detect.interval_seconds, config.lookahead.seconds)
    observed = observe(frames, search, interval)
    tracked = track(observed, config.detect, search.redetect)
    for one in resolve(tracked, config.lookahead, search.look_again):
        yield len(one.targets)


def measure(anonymizer: Anonymizer, calls: Calls, clip: Path, width: int | None) -> None:
    frames = read(clip, width)
    sum(run(anonymizer, frames[: min(len(frames), 30)]))
    calls.clear()
    begun, processor = time.perf_counter(), time.process_time()
    targets = sum(run(anonymizer, frames))
    wall, processor = time.perf_counter() - begun, time.process_time() - processor
    picture, count = frames[0].picture, len(frames)
    print(
        f"| {clip.name} | {picture.width}×{picture.height} | {count} | {targets / count:.1f}"
        f" | {1000 * wall / count:.1f} | {1000 * processor / count:.1f} |",
        flush=True,
    )
    for key in sorted(calls.counts, key=calls.seconds.__getitem__, reverse=True):
        a_frame = 1000 * calls.seconds[key] / count
        mean = 1000 * calls.seconds[key] / calls.counts[key]
        print(
            f"|   {key} | | | {calls.counts[key] / count:.2f} calls | {a_frame:.2f} | {mean:.2f} a call |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--profile", default="file")
    parser.add_argument("--width", type=int, help="scale the clips to this width")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    settings = ("cover.method=solid", "compute.threads=2", *args.set)
    anonymizer = Anonymizer(load_config(CONFIGS / f"{args.profile}.yaml", settings))
    calls = watch(anonymizer)
    print(f"{args.profile}, {anonymizer.backend.name}\n")
    print("| clip | size | frames | faces a frame | wall ms a frame | processor ms a frame |")
    print("|---|---|---|---|---|---|")
    for clip in args.clips:
        measure(anonymizer, calls, clip, args.width)


if __name__ == "__main__":
    main()
