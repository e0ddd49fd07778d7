"""Frames a second of streamanon and of deface on the same clips, in turn, files in and files out.

    pip install '.[bench]' && python benchmarks/vs_deface.py CLIP... [--rounds 3] [--out results]

Both decode, cover and encode whole clips, start-up included. Outputs are verified before anything is timed:
streamanon's must have every frame of the input and generated faces in it. Prints the median and spread of
each and the ratio of the medians.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av


@dataclass(frozen=True)
class Contender:
    """A program that turns one video file into another."""

    name: str
    command: tuple[str, ...]

    def run(self, clip: Path, output: Path) -> float:
        """Seconds of wall time, start-up included."""
        words = [word.format(clip=clip, output=output) for word in self.command]
        begun = time.perf_counter()
        subprocess.run(words, check=True, capture_output=True)
        return time.perf_counter() - begun


def count_frames(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def verify(contender: Contender, clip: Path, folder: Path) -> None:
    """Run once, untimed: this also warms the file cache."""
    output = folder / "verify.mp4"
    contender.run(clip, output)
    frames = count_frames(output)
    print(f"{contender.name}: {count_frames(clip)} frames in, {frames} out")
    if contender.name == "streamanon":
        report = json.loads((folder / "report.json").read_text())
        made = report["face_frames"]["by_method"].get("synthesize", 0)
        print(
            f"streamanon: {made} of {report['face_frames']['all']} face-frames generated"
            f" ({report['backend']})"
        )
        if frames != count_frames(clip) or not made:
            raise SystemExit("streamanon's output is not complete: nothing was timed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--deface", default="deface", help="the deface program")
    parser.add_argument("--profile", default="livestream")
    parser.add_argument("--out", type=Path, help="write results as JSON and Markdown beside this name")
    args = parser.parse_args()
    facts = [compare(args, clip) for clip in args.clips]
    lines = [
        "| clip | size | frames | streamanon, frames/s | deface, frames/s | ratio |",
        "|---|---|---|---|---|---|",
        *(row(fact) for fact in facts),
        f"\nMedians, with the slowest and fastest of {args.rounds} rounds; {facts[0]['backend']}, profile"
        f" {args.profile}; {platform.machine()}, {os.cpu_count()} cores.",
    ]
    print("\n".join(lines))
    if args.out:
        args.out.with_suffix(".md").write_text("\n".join(lines) + "\n")
        args.out.with_suffix(".json").write_text(json.dumps(facts, indent=2) + "\n")


def compare(args: argparse.Namespace, clip: Path) -> dict[str, Any]:
    """Frames a second of both on one clip."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results = measure(args, clip, folder)
        report = json.loads((folder / "report.json").read_text())
    frames = count_frames(clip)
    rates = {who: [frames / s for s in seconds] for who, seconds in results.items()}
    ratio = statistics.median(rates["streamanon"]) / statistics.median(rates["deface"])
    size = f"{report['input']['width']}×{report['input']['height']}"
    faces, backend = report["face_frames"], report["backend"]
    return {"clip": clip.name, "size": size, "frames": frames, "rates": rates, "ratio": ratio} | {
        "face_frames": faces,
        "backend": backend,
    }


def row(fact: dict[str, Any]) -> str:
    cells = [fact["clip"], fact["size"], fact["frames"]]
    cells += [f"{statistics.median(v):.1f} ({min(v):.1f}–{max(v):.1f})" for v in fact["rates"].values()]
    return f"| {' | '.join(map(str, [*cells, round(fact['ratio'], 2)]))} |"


def measure(args: argparse.Namespace, clip: Path, folder: Path) -> dict[str, list[float]]:
    """Seconds of each contender, in turn, round by round."""
    own: tuple[str, ...] = (
        sys.executable,
        "-m",
        "streamanon",
        "run",
        "{clip}",
        "-o",
        "{output}",
        "--quiet",
    )
    own += ("--profile", args.profile, "--report", str(folder / "report.json"))
    contenders = [
        Contender("streamanon", own),
        Contender("deface", (args.deface, "{clip}", "-o", "{output}")),
    ]
    for contender in contenders:
        verify(contender, clip, folder)
    seconds: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for round_number in range(args.rounds):
        for contender in contenders:
            output = folder / f"{contender.name}-{round_number}.mp4"
            seconds[contender.name].append(contender.run(clip, output))
    return seconds


if __name__ == "__main__":
    main()
