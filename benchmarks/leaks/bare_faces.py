"""Faces that stay bare: on drawn footage with a known truth, by size and by cause, beside deface.

    pip install '.[bench]' && python -m benchmarks.leaks.bare_faces --out benchmarks/results/leaks

Draws clips of 20 s each, ``--clips`` of them (180 are an hour), and covers them with the ``file`` profile;
the first ``--part`` of them, a round of all scenes, also with the other contenders: other profiles, no
look-ahead, no tracking, and deface with its defaults. Ours run the whole chain from frames to frames. Faces
are covered in plain grey, so that what is covered can be counted in pixels; those of the part also by
generated ones. Real clips: :mod:`benchmarks.leaks.side_by_side`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[2] / "scripts"))

from benchmarks.leaks.footage import Clip, Frame, clip
from benchmarks.leaks.judge import BINS, KINDS, Covered, Mask, Tally, judge
from benchmarks.leaks.people import Image, make_people
from streamanon.api import Anonymizer
from streamanon.config import Config, LookaheadConfig, load_config
from streamanon.cover.covering import Covering
from streamanon.detect.detection_interval import DetectionInterval
from streamanon.detect.search import Searcher, observe
from streamanon.gallery.delegates import open_gallery
from streamanon.pipeline import anonymise
from streamanon.runtime.models import Engines
from streamanon.testing import covering as stages
from streamanon.track.lookahead import resolve
from streamanon.types import Faces, Float, Observation, Picture, RawFrame, SafeFrame

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
PEOPLE = 16
FIRST = "file"
QUICKER = "file, smaller, each 0.12 s, 0.48 s ahead"

Cover = Callable[[Sequence[RawFrame], Sequence[Image]], Iterator[Covered]]


@dataclass(frozen=True)
class Contender:
    """``ahead_seconds``: its look-ahead."""

    name: str
    ahead_seconds: float
    cover: Cover


def profile(name: str, *settings: str) -> Config:
    return load_config(CONFIGS / f"{name}.yaml", ("compute.threads=1", *settings))


def own(name: str, config: Config) -> Contender:
    anonymizer = Anonymizer(config)

    def cover(frames: Sequence[RawFrame], _images: Sequence[Image]) -> Iterator[Covered]:
        covering = anonymizer.covering()
        chain = anonymise(frames, config, anonymizer.face_search(), covering, threaded=False)
        for raw, safe in zip(frames, chain, strict=True):
            yield Covered(changed(raw.picture, safe.picture), _found(safe))

    return Contender(name, config.lookahead.seconds, cover)


def untracked(name: str, config: Config) -> Contender:
    """Each frame by itself: what is found is covered, where and when it is found."""
    anonymizer = Anonymizer(config)

    def cover(frames: Sequence[RawFrame], _images: Sequence[Image]) -> Iterator[Covered]:
        covering = Covering(config.cover, None)
        seen = _sure(frames, anonymizer.face_search(), config)
        for resolved in resolve(seen, LookaheadConfig(0, 0)):
            (safe,) = stages.cover([resolved], covering)
            yield Covered(changed(resolved.frame.picture, safe.picture), _found(safe))

    return Contender(name, 0, cover)


def _sure(frames: Sequence[RawFrame], searcher: Searcher, config: Config) -> Iterator[Observation]:
    for one in observe(frames, searcher, DetectionInterval(config.detect.interval_seconds)):
        faces: Faces = one.faces[one.faces.scores >= config.detect.score]
        yield Observation(one.frame, faces, one.status, one.cut)


def deface() -> Contender:
    """By its own functions and defaults, but for plain colour: that covers a box, not the ellipse in it."""
    from deface.centerface import CenterFace
    from deface.deface import anonymize_frame

    finder = CenterFace()

    def cover(_frames: Sequence[RawFrame], images: Sequence[Image]) -> Iterator[Covered]:
        for image in images:
            found, _ = finder(image, threshold=0.2)
            made = image.copy()
            anonymize_frame(found, made, 1.3, "solid", True, False, None, 20)
            yield Covered((made != image).any(axis=2), np.asarray(found[:, :4], np.float32))

    return Contender("deface", 0, cover)


def contenders(names: Sequence[str]) -> Iterator[Contender]:
    for name in names:
        plain = "cover.method=solid"
        if name == "deface":
            yield deface()
        elif name == "file, faces generated":
            yield own(name, profile("file"))
        elif name == "file, no look-ahead":
            yield own(name, profile("file", plain, "lookahead.seconds=0"))
        elif name == QUICKER:
            quicker = ["detect.size=auto", "detect.interval_seconds=0.12", "detect.score=0.4"]
            quicker += ["lookahead.seconds=0.48"]
            yield own(name, profile("file", plain, *quicker))
        elif name == "file, no tracking":
            yield untracked(name, profile("file", plain))
        else:
            yield own(name, profile(name, plain))


def changed(before: Picture, after: Picture) -> Mask:
    """Which pixels [H, W] of a yuv420p picture differ in anything."""
    luma, *chroma = (a != b for a, b in zip(before.planes, after.planes, strict=True))
    height, width = luma.shape
    colour = (chroma[0] | chroma[1]).repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
    return np.asarray(luma | colour, np.bool_)


def _found(safe: SafeFrame) -> Float:
    boxes = [cover.box for cover in safe.report.covers if cover.detected]
    return np.array(boxes, np.float32).reshape(-1, 4)


def to_raw(index: int, rate: int, rgb: Image) -> RawFrame:
    height, width = rgb.shape[:2]
    planes = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420)
    quarter = (height // 2) * (width // 2)
    chroma = planes[height:].reshape(-1)
    u, v = (chroma[n * quarter : (n + 1) * quarter].reshape(height // 2, width // 2) for n in (0, 1))
    return RawFrame(index, index, Fraction(1, rate), Picture((planes[:height], u, v), "yuv420p"), 1)


def verify(footage: Clip) -> None:
    """The judge finds every face bare where nothing is covered, and none where all is."""
    frames = list(footage.frames())
    for all_of_it in (False, True):
        masks = (np.full(frame.owners.shape, all_of_it, np.bool_) for frame in frames)
        covered = (Covered(mask, np.zeros((0, 4), np.float32)) for mask in masks)
        tally = judge(zip(frames, covered, strict=True), footage.rate, 0)
        faces, bare = tally.faces.total(), tally.bare.total()
        if not faces or bare != (0 if all_of_it else faces):
            raise SystemExit("the judge does not tell bare faces from covered ones: nothing was measured")


# --- running -------------------------------------------------------------------------------------------


class Runner:
    """One worker's contenders, made when they are first needed."""

    def __init__(self, footage: Callable[[int], Clip]) -> None:
        self._footage = footage
        self._made: dict[str, Contender] = {}

    def run(self, number: int, names: Sequence[str]) -> tuple[Clip, dict[str, Tally]]:
        footage = self._footage(number)
        frames = list(footage.frames())
        images = [frame.rgb for frame in frames]
        raw = [to_raw(index, footage.rate, rgb) for index, rgb in enumerate(images)]
        return footage, {name: self._tally(name, footage, frames, raw, images) for name in names}

    def _tally(
        self, name: str, footage: Clip, frames: list[Frame], raw: list[RawFrame], images: list[Image]
    ) -> Tally:
        if name not in self._made:
            self._made[name] = next(contenders([name]))
        one = self._made[name]
        return judge(zip(frames, one.cover(raw, images), strict=True), footage.rate, one.ahead_seconds)


_runner: Runner


def _start(footage: Callable[[int], Clip]) -> None:
    global _runner
    cv2.setNumThreads(1)
    _runner = Runner(footage)


def _work(job: tuple[int, tuple[str, ...]]) -> tuple[int, str, str, dict[str, Tally]]:
    footage, tallies = _runner.run(*job)
    return job[0], footage.name, footage.fault, tallies


# --- telling -------------------------------------------------------------------------------------------


class Results:
    """Tallies by contender, and those of the first one by scene and by the camera's fault."""

    def __init__(self) -> None:
        self.by_contender: dict[str, Tally] = {}
        self.by_scene: dict[str, Tally] = {}
        self.by_fault: dict[str, Tally] = {}
        self.part = Tally()

    def add(self, scene: str, fault: str, tallies: dict[str, Tally]) -> None:
        for name, tally in tallies.items():
            self.by_contender.setdefault(name, Tally()).add(tally)
        first = tallies[FIRST]
        self.by_scene.setdefault(scene, Tally()).add(first)
        self.by_fault.setdefault(fault, Tally()).add(first)
        if len(tallies) > 1:
            self.part.add(first)

    def as_dict(self) -> dict[str, Any]:
        kinds = {"contenders": self.by_contender, "scenes": self.by_scene, "faults": self.by_fault}
        made = {kind: {name: facts(one) for name, one in rows.items()} for kind, rows in kinds.items()}
        return made | {f"{FIRST}, on the part": facts(self.part)}


def facts(tally: Tally) -> dict[str, Any]:
    sizes = {}
    for number, (low, high) in enumerate(BINS):
        sizes[f"{low}-{high}" if high < 1000 else f"{low}+"] = {
            "face_frames": {kind: tally.faces[number, kind] for kind in KINDS},
            "bare": {kind: tally.bare[number, kind] for kind in KINDS},
            "trimmed": tally.trimmed[number],
            "tracks": tally.tracks[number],
            "bare_tracks": tally.bare_tracks[number],
            "exposed_seconds": tally.exposed[number] / 1000,
            "causes": {why: n for (place, why), n in sorted(tally.causes.items()) if place == number},
        }
    return {"frames": tally.frames, "wasted": round(tally.wasted / max(tally.frames, 1), 5), "sizes": sizes}


def rows(results: Results) -> list[str]:
    heads = [f"{low}–{high} px" if high < 1000 else f"{low} px and more" for low, high in BINS]
    lines = [f"| bare face-frames | {' | '.join(heads)} | tracks | seconds | covered for nothing |"]
    lines += ["|---" * (len(BINS) + 4) + "|"]
    first, *others = results.by_contender.items()
    lines.append(_row(f"**{first[0]}, all**", first[1]))
    lines.append(_row(f"{first[0]}, on the part", results.part))
    lines += [_row(name, one) for name, one in others]
    for title, tallies in (("scene", results.by_scene), ("camera's fault", results.by_fault)):
        lines += [
            "",
            f"| {FIRST}, by {title} | {' | '.join(heads)} | tracks | seconds | covered for nothing |",
        ]
        lines += [
            "|---" * (len(BINS) + 4) + "|",
            *(_row(name, one) for name, one in sorted(tallies.items())),
        ]
    lines += [
        "",
        f"| {FIRST}, all: bare, why and which | {' | '.join(heads)} |",
        "|---" * (len(BINS) + 1) + "|",
    ]
    for why in sorted({why for _, why in first[1].causes}):
        lines.append(f"| {why} | {' | '.join(str(first[1].causes[n, why]) for n in range(len(BINS)))} |")
    for kind in KINDS:
        cells = (f"{first[1].bare[n, kind]} of {first[1].faces[n, kind]}" for n in range(len(BINS)))
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return lines


def _row(name: str, tally: Tally) -> str:
    cells = []
    for number in range(len(BINS)):
        all_, bare = (sum(one[number, kind] for kind in KINDS) for one in (tally.faces, tally.bare))
        cells.append(f"{bare} of {all_} ({100 * bare / all_:.2f} %)" if all_ else "–")
    tracks = f"{tally.bare_tracks.total()} of {tally.tracks.total()}"
    wasted = f"{100 * tally.wasted / max(tally.frames, 1):.2f} %"
    seconds = f"{tally.exposed.total() / 1000:.1f}"
    return f"| {' | '.join([name, *cells, tracks, seconds, wasted])} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=180, help="clips of 20 s")
    parser.add_argument("--part", type=int, default=12, help="how many of them all contenders get")
    parser.add_argument(
        "--others", nargs="*", default=list(OTHERS), help="the contenders but for the first"
    )
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--workers", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--out", type=Path, help="write results as JSON and Markdown beside this name")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    people = make_people(open_gallery(Engines.open(), None), np.random.default_rng(args.seed), PEOPLE)

    def footage(number: int) -> Clip:
        return clip(people, args.seed, number)

    verify(footage(0))
    # Whole rounds of scenes first, so that the part has all of them.
    jobs = [(n, (FIRST, *args.others) if n < args.part else (FIRST,)) for n in range(args.clips)]
    results = Results()
    with multiprocessing.get_context("fork").Pool(args.workers, _start, (footage,)) as pool:
        for number, scene, fault, tallies in pool.imap_unordered(_work, jobs):
            results.add(scene, fault, tallies)
            bare = {name: sum(one.bare.values()) for name, one in tallies.items()}
            print(number, scene, fault, tallies[FIRST].frames, "frames; bare:", bare, flush=True)
            _write(args.out, results, args)
    print("\n".join(rows(results)))


OTHERS = (
    QUICKER,
    "cctv",
    "livestream",
    "edge",
    "file, faces generated",
    "file, no look-ahead",
    "file, no tracking",
    "deface",
)


def _write(out: Path | None, results: Results, args: argparse.Namespace) -> None:
    if out is None:
        return
    content = {"seed": args.seed, "clips": args.clips, "part": args.part} | results.as_dict()
    out.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n")
    out.with_suffix(".md").write_text("\n".join(rows(results)) + "\n")


if __name__ == "__main__":
    main()
