"""Time of streamanon and of deface on the same clips, in turn, files in and files out.

    pip install '.[bench]' && python -m benchmarks.speed.vs_deface CLIP... [--profiles NAME...] [--rounds 3]

All decode, cover and encode whole clips, start-up included. Outputs are verified before anything is timed:
streamanon's must have every frame of the input and generated faces in it. Prints the median and spread of
wall and processor time, and the ratios of the medians; processor time is disturbed less by other programs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
DEFACE = "deface"


@dataclass(frozen=True)
class Cost:
    """Seconds of wall time, and of processor time over all threads."""

    wall: float
    processor: float


@dataclass(frozen=True)
class Contender:
    """A program that turns one video file into another; ``report``: where it writes one."""

    name: str
    command: tuple[str, ...]
    report: Path | None = None

    def run(self, clip: Path, output: Path) -> Cost:
        """What a run costs, start-up included."""
        words = [word.format(clip=clip, output=output) for word in self.command]
        begun, before = time.perf_counter(), _children_seconds()
        subprocess.run(words, check=True, capture_output=True)
        return Cost(time.perf_counter() - begun, _children_seconds() - before)


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def count_frames(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def verify(contender: Contender, clip: Path, folder: Path) -> dict[str, Any]:
    """Run once, untimed: this also warms the file cache. The run report, if there is one."""
    output = folder / "verify.mp4"
    output.unlink(missing_ok=True)
    contender.run(clip, output)
    frames, given = count_frames(output), count_frames(clip)
    print(f"{contender.name}: {given} frames in, {frames} out", flush=True)
    if contender.report is None:
        return {}
    report: dict[str, Any] = json.loads(contender.report.read_text())
    made = report["face_frames"]["by_method"].get("synthesize", 0)
    print(f"{contender.name}: {made} of {report['face_frames']['all']} face-frames generated", flush=True)
    if frames != given or not made:
        raise SystemExit(f"the output of {contender.name} is not complete: nothing was timed")
    return report


def contenders(args: argparse.Namespace, folder: Path) -> list[Contender]:
    made = [Contender(DEFACE, (args.deface, "{clip}", "-o", "{output}"))]
    for profile in args.profiles:
        report = folder / f"{profile}.json"
        command = [sys.executable, "-m", "streamanon", "run", "{clip}", "-o", "{output}", "--quiet"]
        command += ["--overwrite", "--profile", str(CONFIGS / f"{profile}.yaml"), "--report", str(report)]
        made.append(Contender(profile, tuple(command), report))
    return made


def compare(args: argparse.Namespace, clip: Path) -> dict[str, Any]:
    """What all contenders cost on one clip, in turn, round by round."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        all_ = contenders(args, folder)
        reports = {one.name: verify(one, clip, folder) for one in all_}
        costs: dict[str, list[Cost]] = {one.name: [] for one in all_}
        for _ in range(args.rounds):
            for one in all_:
                costs[one.name].append(one.run(clip, folder / f"{one.name}.mp4"))
    report = reports[args.profiles[0]]
    facts = {"clip": clip.name, "frames": count_frames(clip), "backend": report["backend"]}
    facts["size"] = f"{report['input']['width']}×{report['input']['height']}"
    facts["costs"] = {
        name: {"wall": [one.wall for one in runs], "processor": [one.processor for one in runs]}
        for name, runs in costs.items()
    }
    facts["detect_ms"] = {
        name: 1000 * report["stage_seconds"]["detect"] / facts["frames"]
        for name, report in reports.items()
        if report
    }
    return facts


def rows(fact: dict[str, Any]) -> list[str]:
    """A row a contender; ratios: deface's median over its own."""
    lines, base = [], fact["costs"][DEFACE]
    for name, costs in fact["costs"].items():
        cells = [fact["clip"], fact["size"], str(fact["frames"]), name]
        for kind in ("wall", "processor"):
            runs, middle = costs[kind], statistics.median(costs[kind])
            ratio = statistics.median(base[kind]) / middle
            cells += [f"{middle:.1f} ({min(runs):.1f}–{max(runs):.1f})", f"{ratio:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--deface", default="deface", help="the deface program")
    parser.add_argument("--profiles", nargs="+", default=["livestream", "file"])
    parser.add_argument("--out", type=Path, help="write results as JSON and Markdown beside this name")
    args = parser.parse_args()
    facts = [compare(args, clip) for clip in args.clips]
    lines = [
        "| clip | size | frames | program | wall s | times deface | processor s | times deface |",
        "|---|---|---|---|---|---|---|---|",
        *(line for fact in facts for line in rows(fact)),
        f"\nMedians, with the least and most of {args.rounds} rounds; {facts[0]['backend']};"
        f" {platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}.",
    ]
    print("\n".join(lines))
    if args.out:
        args.out.with_suffix(".md").write_text("\n".join(lines) + "\n")
        args.out.with_suffix(".json").write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
