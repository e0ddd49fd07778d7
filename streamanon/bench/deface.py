"""streamanon beside deface (https://github.com/ORB-HD/deface) on the same clips: files in, files out,
start-up included.
"""

from __future__ import annotations

import dataclasses
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from streamanon.bench.cases import Case, another_round
from streamanon.bench.verify import verify_faces
from streamanon.errors import ModelError, StreamanonError, sentence

#: Even in a quick benchmark: start-up would else be all that is timed, and one round tells little.
LEAST_FRAMES, LEAST_ROUNDS = 100, 3


def deface_cases(cases: Sequence[Case]) -> list[Case]:
    """The first of each size that has a face, by method and backend as the others."""
    first = {(case.width, case.height): case for case in reversed(cases) if case.faces}
    return [
        dataclasses.replace(
            case, frames=max(case.frames, LEAST_FRAMES), rounds=max(case.rounds, LEAST_ROUNDS)
        )
        for case in list(first.values())[::-1]
    ]


def beside_deface(case: Case, clip: Path, output: Path, options: Sequence[str]) -> dict[str, Any]:
    """Frames a second and processor time of both, in turn; each first output is verified. ``options``: more
    of ``streamanon run``. What failed or is not as expected is told as ``error``.
    """
    own = [sys.executable, "-m", "streamanon", "run", str(clip), "-o", str(output), "--quiet", *options]
    own += ["--set", f"cover.method={case.method}", "--backend", case.backend]
    programs = {"streamanon": own, "deface": ["deface", str(clip), "-o", str(output)]}
    taken: dict[str, list[Taken]] = {name: [] for name in programs}
    row: dict[str, Any] = dataclasses.asdict(case)
    spent = list[float]()
    try:
        while another_round(case, spent):
            begun = time.perf_counter()
            for name, words in programs.items():
                taken[name].append(run_program(words))
                if not spent:
                    verify_faces(name, clip, output, (case.width, case.height), case.faces)
                output.unlink()
            spent.append(time.perf_counter() - begun)
    except StreamanonError as error:
        return row | {"error": sentence(error)}
    finally:
        output.unlink(missing_ok=True)
    rates = {name: [round(case.frames / one.seconds, 2) for one in each] for name, each in taken.items()}
    work = {
        name: [1000 * one.processor_seconds / case.frames for one in each if one.processor_seconds]
        for name, each in taken.items()
    }
    return row | {
        "frames_per_second": {name: round(statistics.median(each), 2) for name, each in rates.items()},
        "processor_ms": {
            name: round(statistics.median(each), 2) if each else None for name, each in work.items()
        },
        "rounds": rates,
    }


@dataclasses.dataclass(frozen=True)
class Taken:
    """What a program took. ``processor_seconds``: None where the system does not tell."""

    seconds: float
    processor_seconds: float | None


def run_program(words: Sequence[str]) -> Taken:
    """Raises :class:`ModelError` where it fails."""
    begun, before = time.perf_counter(), _of_children()
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    after = _of_children()
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise ModelError(f"{Path(words[0]).name} failed on the benchmark's clip: {last}")
    used = None if before is None or after is None else after - before
    return Taken(time.perf_counter() - begun, used)


def _of_children() -> float | None:
    """Processor seconds of all child processes that have ended."""
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
