"""How well faces stay covered while they are not found: by their motion, and by velocity alone.

    python -m benchmarks.leaks.hidden_faces CLIP... --out benchmarks/results/hidden_faces

Faces are detected in every frame and tracked. Then each longer track is shown to the look-ahead alone, with
the detections of a span of frames hidden: at its start, at its end, or in between; each second frame is
looked at, and 12 are held back. The detections that were hidden are the truth. A face-frame
counts as bare if less than three quarters of the ellipse in its box are covered.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import cv2
import numpy as np

from streamanon.config import ComputeConfig, CoverConfig, DetectConfig, LookaheadConfig
from streamanon.cover.outline import outline
from streamanon.detect.detection_interval import DetectionInterval
from streamanon.detect.search import FaceSearch, observe
from streamanon.detect.verifier import Verifier
from streamanon.detect.yolo import FaceDetector
from streamanon.media.decode import read_frames
from streamanon.media.probe import probe
from streamanon.runtime.backends import open_backend
from streamanon.runtime.models import Engines
from streamanon.track.lookahead import resolve
from streamanon.track.tracker import track
from streamanon.types import Faces, Float, Observation, Picture, Target

DETECT = DetectConfig(size="large", interval_seconds=0)
LOOKAHEAD, EVERY = LookaheadConfig(0.48, 0.48), 2
SPANS = (("start", 12), ("gap", 24), ("gap", 40), ("end", 12), ("end", 30))
MOST_FRAMES, MOST_TRACKS, LEAST_SIGHTINGS = 250, 12, 20
#: Frames that are seen beside a hidden span, at least.
SEEN = 8
BARE = 0.75
SIDE = 15


@dataclass(frozen=True)
class Case:
    """A track, by its box in each frame, and the frames in which it is hidden."""

    track_id: int
    boxes: dict[int, Float]
    kind: str
    hidden: range

    def shown(self, clip: Sequence[Observation]) -> Iterator[Observation]:
        """The clip up to the track's end, with this track alone."""
        for observation in clip[: max(self.boxes) + 1]:
            index, faces = observation.frame.index, observation.faces
            if index % EVERY and not observation.cut:
                yield Observation(observation.frame, Faces.empty(), "skipped", observation.cut)
                continue
            known = (faces.track_ids == self.track_id) & (index not in self.hidden)
            yield Observation(observation.frame, faces[known], "seen", observation.cut)


def covered(picture: Picture, box: Float, target: Target) -> float:
    """The share of the ellipse in a face's box that the mosaic's ellipse covers."""
    area = outline(picture, target, CoverConfig().margin)
    middle, half = (area[:2] + area[2:]) / 2, (area[2:] - area[:2]) / 2
    steps = np.linspace(-1, 1, SIDE)
    spots = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    spots = spots[(spots**2).sum(axis=1) <= 1]
    places = (box[:2] + box[2:]) / 2 + spots * (box[2:] - box[:2]) / 2
    return float(((((places - middle) / half) ** 2).sum(axis=1) <= 1).mean())


def cases(clip: Sequence[Observation]) -> Iterator[Case]:
    tracks: dict[int, dict[int, Float]] = defaultdict(dict)
    for one in clip:
        for track_id, box in zip(one.faces.track_ids.tolist(), one.faces.boxes, strict=True):
            tracks[track_id][one.frame.index] = box
    rng = np.random.default_rng(0)
    long = [(name, boxes) for name, boxes in tracks.items() if len(boxes) >= LEAST_SIGHTINGS]
    for number in rng.permutation(len(long))[:MOST_TRACKS]:
        track_id, boxes = long[number]
        first, last = min(boxes), max(boxes)
        for kind, span in SPANS:
            if len(boxes) < span + SEEN:
                continue
            latest = last - span - SEEN // 2
            start = int(rng.integers(first + SEEN // 2, max(latest, first + SEEN // 2 + 1)))
            begun = {"start": first, "end": last - span + 1, "gap": start}[kind]
            yield Case(track_id, boxes, f"{kind}, {span} frames", range(begun, begun + span))


def shares(case: Case, clip: Sequence[Observation]) -> list[float]:
    """Of each hidden sighting: how much is covered."""
    found = []
    for resolved in resolve(case.shown(clip), LOOKAHEAD):
        index = resolved.frame.index
        if index in case.hidden and index in case.boxes:
            found.append(
                max(
                    (covered(resolved.frame.picture, case.boxes[index], t) for t in resolved.targets),
                    default=0.0,
                )
            )
    return found


def detected(path: Path, detector: FaceDetector, verifier: Verifier) -> list[Observation]:
    info = probe(path)
    search = FaceSearch(detector, verifier, info.rotation)
    clip = []
    interval = DetectionInterval(DETECT.interval_seconds)
    for one in track(observe(read_frames(path, info), search, interval), DETECT):
        clip.append(one)
        if len(clip) == MOST_FRAMES:
            break
    return clip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, help="write results as JSON and Markdown beside this name")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    backend = open_backend(ComputeConfig("onnxruntime", 1))
    engines = Engines.open()
    detector, verifier = FaceDetector(backend, engines, DETECT), Verifier(backend, engines)
    measured: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for path in args.clips:
        clip = detected(path, detector, verifier)
        for case in cases(clip):
            measured[case.kind]["motion"] += shares(case, clip)
            with mock.patch("streamanon.track.lookahead.follow", return_value=None):
                measured[case.kind]["velocity"] += shares(case, clip)
        print(f"{path.name}: {len(clip)} frames", flush=True)
    lines = ["| hidden | face-frames | bare, by velocity | bare, by motion |", "|---|---|---|---|"]
    results = {}
    for kind in (f"{kind}, {span} frames" for kind, span in SPANS):
        bare = {way: float(np.mean(np.array(values) < BARE)) for way, values in measured[kind].items()}
        results[kind] = {"face_frames": len(measured[kind]["motion"]), **bare}
        numbers = f"{100 * bare['velocity']:.1f} % | {100 * bare['motion']:.1f} %"
        lines.append(f"| {kind} | {len(measured[kind]['motion'])} | {numbers} |")
    print("\n".join(lines))
    if args.out:
        args.out.with_suffix(".md").write_text("\n".join(lines) + "\n")
        args.out.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
