"""What the chain costs apart from detection: a further face, a frame without faces, memory, start-up.

    python -m benchmarks.speed.chain_cost [--rounds 3] [--out results]

Clips are made of the project's demo, whose people are synthetic. Outputs are verified before anything is
timed. All times are processor time (of all threads), which other work on the machine changes little;
printed are the median, the least and the most of several rounds, and ratios within one run.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame

from streamanon.__main__ import LIBRARY_THREADS
from streamanon.api import Anonymizer
from streamanon.cover.covering import Covering
from streamanon.cover.synthesis import Synthesis
from streamanon.detect.guarded import GuardedSearcher
from streamanon.detect.search import observe
from streamanon.identity.assignment import Assigner
from streamanon.media.decode import read_frames
from streamanon.media.probe import probe
from streamanon.mesh.smoothing import NEIGHBOURS
from streamanon.runtime.run_context import RunContext
from streamanon.testing.covering import cover
from streamanon.track.lookahead import resolve
from streamanon.track.tracker import track
from streamanon.types import Resolved

ROOT = Path(__file__).parents[2]
DEMO, PROFILE = ROOT / "tests/data/demo.mp4", ROOT / "configs/livestream.yaml"
FRAMES, WIDE, WIDE_FRAMES, RATE = 60, (1920, 1080), 200, 30
#: Run in a process of its own: processor seconds to the first frame and to the end, and the peak memory.
CHILD = """
import resource, sys, time
from streamanon.api import Anonymizer
first = []
tell = lambda frame: first.append(time.process_time())
report = Anonymizer(sys.argv[3]).run(sys.argv[1], sys.argv[2], progress=tell, overwrite=True)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(first[0], time.process_time(), peak, report.tally.frames, report.tally.faces)
"""


def found_targets(anonymizer: Anonymizer, count: int) -> list[Resolved]:
    """The demo's frames in which so many faces or more were found, with so many."""
    info, context = probe(DEMO), RunContext()
    searcher = GuardedSearcher(anonymizer.face_search(context=context), context.faults)
    seen = observe(read_frames(DEMO, info), searcher, anonymizer._interval(info))
    settled = resolve(track(seen, anonymizer.config.detect, searcher.redetect), anonymizer.config.lookahead)
    chosen = [one for one in settled if len(one.targets) >= count][:FRAMES]
    return [replace(one, targets=one.targets[:count]) for one in chosen]


def covered(anonymizer: Anonymizer, frames: Sequence[Resolved]) -> int:
    """Covers the frames in one thread; how many faces were generated."""
    assert anonymizer.parts is not None
    parts = anonymizer.parts
    synthesis = Synthesis(parts.mesh, Assigner(parts.assigner), parts.generator)
    covering = Covering(anonymizer.config.cover, synthesis, noise=np.random.default_rng(1))
    done = cover(frames, covering, NEIGHBOURS)
    return sum(one.method == "synthesize" for frame in done for one in frame.report.covers)


def further_face(anonymizer: Anonymizer, rounds: int) -> tuple[list[float], list[float]]:
    """Milliseconds a face and frame: of the first, and of one more."""
    most = 3
    frames = found_targets(anonymizer, most)
    few = [replace(one, targets=one.targets[:1]) for one in frames]
    made = covered(anonymizer, few), covered(anonymizer, frames)
    print(f"{len(frames)} frames with one face ({made[0]} generated) and with {most} ({made[1]})")
    if made[1] - made[0] < 0.8 * (most - 1) * len(frames):
        raise SystemExit("too few faces were generated: nothing was timed")
    first, more = [], []
    for _ in range(rounds):
        one, all_of_them = (seconds(partial(covered, anonymizer, given)) for given in (few, frames))
        first.append(1000 * one / len(frames))
        more.append(1000 * (all_of_them - one) / (made[1] - made[0]))
    return first, more


def seconds(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def write_wide(path: Path, faces: bool) -> None:
    """The demo enlarged; or a noisy slope that moves, in which nobody is."""
    rows = np.linspace(40, 200, WIDE[0])[None] + np.random.default_rng(0).normal(0, 3, WIDE[::-1])
    with av.open(str(DEMO)) as source, av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "crf": "18"})
        stream.width, stream.height, stream.pix_fmt = *WIDE, "yuv420p"
        for index, frame in enumerate(source.decode(video=0)):
            if index == WIDE_FRAMES:
                break
            wide = frame.reformat(*WIDE, "yuv420p")
            if not faces:
                shifted = np.roll(rows, 4 * index, axis=1).clip(0, 255).astype(np.uint8)
                planes = [shifted, *[np.full((WIDE[1] // 2, WIDE[0] // 2), 128, np.uint8)] * 2]
                wide = VideoFrame.from_ndarray(
                    np.concatenate([p.reshape(-1, WIDE[0]) for p in planes]), "yuv420p"
                )
            wide.pts, wide.time_base, wide.pict_type = index, Fraction(1, RATE), 0
            output.mux(stream.encode(wide))
        output.mux(stream.encode(None))


def child(clip: Path, folder: Path, cache: Path) -> tuple[float, float, float, int, int]:
    words = [sys.executable, "-c", CHILD, str(clip), str(folder / "out.mp4"), str(PROFILE)]
    environment = os.environ | LIBRARY_THREADS | {"XDG_CACHE_HOME": str(cache)}
    told = subprocess.run(words, check=True, capture_output=True, text=True, env=environment)
    first, whole, peak, frames, faces = told.stdout.split()
    return float(first), float(whole), float(peak), int(frames), int(faces)


def bare_codec(clip: Path, output: Path) -> None:
    """Decoding and encoding alone, by the profile's preset."""
    options = {"preset": "superfast", "crf": "23"}
    with av.open(str(clip)) as source, av.open(str(output), "w") as target:
        stream = target.add_stream("libx264", rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = *WIDE, "yuv420p"
        for frame in source.decode(video=0):
            frame.pict_type = 0
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))


def wide_clips(folder: Path, rounds: int) -> dict[str, list[float]]:
    clips = {True: folder / "faces.mp4", False: folder / "empty.mp4"}
    for faces, path in clips.items():
        write_wide(path, faces)
    cold = child(clips[True], folder, folder / "cache")
    empty = child(clips[False], folder, folder / "cache")
    print(f"1080p: {cold[3]} frames with {cold[4]} face-frames; without faces {empty[3]} with {empty[4]}")
    if not cold[3] == empty[3] == WIDE_FRAMES or not cold[4] or empty[4]:
        raise SystemExit("an output is not complete, or shows what it should not: nothing was timed")
    rows: dict[str, list[float]] = {"first frame, nothing compiled yet, s": [cold[0]]}
    for _ in range(rounds):
        codec = seconds(lambda: bare_codec(clips[False], folder / "bare.mp4"))
        first, _, peak, _, _ = child(clips[True], folder, folder / "cache")
        start, empty_whole, empty_peak, _, _ = child(clips[False], folder, folder / "cache")
        frame_ms = 1000 * (empty_whole - start) / (WIDE_FRAMES - 1)
        for name, value in (
            ("first frame, compiled models kept, s", first),
            ("peak memory with faces, MB", peak),
            ("peak memory without faces, MB", empty_peak),
            ("a frame without faces, ms of processor time", frame_ms),
            ("decoding and encoding that frame alone, ms", 1000 * codec / WIDE_FRAMES),
            ("times real time on two cores, if both are busy", 2000 / RATE / frame_ms),
        ):
            rows.setdefault(name, []).append(value)
    return rows


def main() -> None:
    if not LIBRARY_THREADS.items() <= os.environ.items():  # as the command does, before NumPy is imported
        module = "benchmarks.speed.chain_cost"
        os.execve(
            sys.executable, [sys.executable, "-m", module, *sys.argv[1:]], os.environ | LIBRARY_THREADS
        )
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write results as JSON and Markdown beside this name")
    args = parser.parse_args()
    anonymizer = Anonymizer(PROFILE)
    first, more = further_face(anonymizer, args.rounds)
    rows = {"the first face of a frame, ms": first, "a further face, ms": more}
    with tempfile.TemporaryDirectory() as name:
        rows |= wide_clips(Path(name), args.rounds)
    lines = [f"Profile livestream, {anonymizer.backend.name}; processor time of all threads.\n"]
    lines += ["| what | median | least | most |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {statistics.median(values):.2f} | {min(values):.2f} | {max(values):.2f} |"
        for name, values in rows.items()
    ]
    print("\n".join(lines))
    if args.out:
        args.out.with_suffix(".md").write_text("\n".join(lines) + "\n")
        args.out.with_suffix(".json").write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
