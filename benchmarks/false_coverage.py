"""How much of footage without faces each profile covers.

    python benchmarks/false_coverage.py CLIP... [--out benchmarks/results/false_coverage]

Each clip is looked at, tracked and resolved as in a run, by the defaults and by each profile. What counts
as covered is the mosaic's ellipse, whatever the profile's method is.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

from streamanon.backends import open_backend
from streamanon.config import ComputeConfig, Config, load_config
from streamanon.detector import FaceDetector
from streamanon.engines import Engines
from streamanon.geometry import grow
from streamanon.lookahead import resolve
from streamanon.source import probe, read_frames
from streamanon.stride import Stride
from streamanon.tracker import track
from streamanon.types import Observation, Resolved
from streamanon.watch import Watch, observe

PROFILES = Path(__file__).parents[1] / "configs"
#: Pictures are judged at each so many px.
STEP = 4
COLUMNS = ("picture covered", "tracks", "boxes a frame", "frames with any")


def covered(resolved: Resolved, margin: float) -> float:
    """The share of a picture that the ellipses of its targets cover."""
    picture = resolved.frame.picture
    y, x = np.mgrid[: picture.height : STEP, : picture.width : STEP]
    mask = np.full(x.shape, resolved.cover_all)
    for target in resolved.targets:
        x0, y0, x1, y1 = grow(target.box, margin)
        mask |= ((2 * x - x0 - x1) / (x1 - x0)) ** 2 + ((2 * y - y0 - y1) / (y1 - y0)) ** 2 <= 1
    return float(mask.mean())


def measured(path: Path, config: Config, detector: FaceDetector) -> dict[str, float]:
    info, tracks = probe(path), set[int]()
    watch = Watch(detector, info.rotation)

    def noted(observations: Iterable[Observation]) -> Iterator[Observation]:
        for one in observations:
            tracks.update(one.faces.track_ids.tolist())
            yield one

    seen = observe(read_frames(path, info), watch, Stride(config.detect.every))
    settled = resolve(noted(track(seen, config.detect, watch.again)), config.lookahead)
    frames = [(covered(one, config.cover.margin), len(one.targets)) for one in settled]
    shares, boxes = np.array(frames, np.float64).T
    values = (shares.mean(), len(tracks), boxes.mean(), (boxes > 0).mean())
    return dict(zip(COLUMNS, map(float, values), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, help="write results as JSON and Markdown beside this name")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    backend, engines = open_backend(ComputeConfig("onnxruntime", 1)), Engines.open()
    profiles = {p.stem: load_config(p) for p in sorted(PROFILES.glob("*.yaml"))}
    lines = [f"| clip | profile | {' | '.join(COLUMNS)} |", "|---|---|" + "---|" * len(COLUMNS)]
    results: dict[str, dict[str, dict[str, float]]] = {}
    for path in args.clips:
        results[path.name] = {}
        for name, config in profiles.items():
            one = measured(path, config, FaceDetector(backend, engines, config.detect))
            results[path.name][name] = one
            share, tracks, boxes, any_ = one.values()
            numbers = f"{100 * share:.2f} % | {tracks:.0f} | {boxes:.2f} | {100 * any_:.0f} %"
            lines.append(f"| {path.name} | {name} | {numbers} |")
            print(lines[-1], flush=True)
    if args.out:
        args.out.with_suffix(".md").write_text("\n".join(lines) + "\n")
        args.out.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
