"""One case in a process of its own, so that its memory and its start are its own.

::

    python -m streamanon.bench.child    # a task as JSON on standard input, its result on standard output
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from streamanon.api import Anonymizer
from streamanon.bench.cases import Case, another_round
from streamanon.bench.faces import COUNTS, time_faces
from streamanon.bench.latency import LatencyClock, batches_of, percentiles, time_network
from streamanon.bench.verify import Covers, verify
from streamanon.config import load_config
from streamanon.errors import StreamanonError, sentence
from streamanon.model_list import chain_models
from streamanon.runtime.backends import open_backend, prefers_int8
from streamanon.runtime.example_inputs import example
from streamanon.runtime.models import Engines
from streamanon.runtime.onnx_header import read_onnx_header
from streamanon.runtime.run_context import RunContext
from streamanon.types import SafeFrame

#: How long each network, and each number of faces, is timed, s.
SECONDS, QUICK_SECONDS = 1.0, 0.1


@dataclasses.dataclass(frozen=True)
class Given:
    """What all cases have in common: a profile, and settings as of ``streamanon run --set``."""

    profile: Path | None
    settings: Sequence[str]


class _Timed(Anonymizer):
    """Keeps the clock of its last run."""

    clock = LatencyClock()

    def context(self) -> RunContext:
        context = super().context()
        context.clock = self.clock = LatencyClock()
        return context


def run_case(
    case: Case, folder: Path, given: Given, begun: float, ready: Callable[[], None]
) -> dict[str, Any]:
    """``begun``: when the process was started, seconds since the epoch. ``ready`` is called before what is
    timed. Raises StreamanonError.
    """
    settings = [
        *given.settings,
        f"cover.method={case.method}",
        f"compute.backend={case.backend}",
        f"compute.precision={case.precision}",
    ]
    anonymizer = _Timed(load_config(given.profile, settings))
    loaded = time.time() - begun
    source, output = folder / case.clip_name, folder / f"out-{time.monotonic_ns()}.mp4"
    first: list[float] = []
    covers = Covers()

    def note(frame: SafeFrame) -> None:
        first.append(time.time() - begun)
        covers(frame)

    try:
        report = anonymizer.run(source, output, note)
        verified = verify(source, output, report, covers, case.faces, case.method)
        ready()
        seconds, work, stages = list[float](), list[float](), dict[str, list[float]]()
        while another_round(case, seconds):
            started, worked = time.perf_counter(), time.process_time()
            anonymizer.run(source, output, overwrite=True)
            seconds.append(time.perf_counter() - started)
            work.append(time.process_time() - worked)
            for stage, values in anonymizer.clock.milliseconds().items():
                stages.setdefault(stage, []).extend(values)
    finally:
        output.unlink(missing_ok=True)
    rates = [report.frames_in / one for one in seconds]
    return {
        "frames_per_second": round(statistics.median(rates), 2),
        "rounds": [round(rate, 2) for rate in rates],
        "processor_ms": round(1000 * statistics.median(work) / report.frames_in, 2),
        "load_seconds": round(loaded, 2),
        "first_frame_seconds": round(first[0], 2),
        "peak_memory_mb": peak_memory_mb(),
        "decoder": report.decoder,
        "stages_ms": {stage: percentiles(values) for stage, values in stages.items()},
        "verified": verified,
    }


def run_networks(given: Given, backend: str, precision: str, quick: bool) -> list[dict[str, Any]]:
    """Each network alone, loaded as in a run, on batches; ``quick``: for a moment, on one face."""
    seconds = QUICK_SECONDS if quick else SECONDS
    settings = [*given.settings, f"compute.backend={backend}", f"compute.precision={precision}"]
    opened, rows = open_backend(load_config(given.profile, settings).compute), []
    for one in chain_models(Engines.open(), prefers_int8(opened)):
        model = one.by(opened)
        inputs = read_onnx_header(one.path).inputs
        for batch in batches_of(inputs, quick):
            taken = time_network(model, example(inputs, batch), seconds)
            rows.append({"model": one.path.stem, "batch": batch, "milliseconds": percentiles(taken)})
    return rows


def run_faces(given: Given, backend: str, precision: str, quick: bool) -> list[dict[str, Any]]:
    """Faces made several at once; ``quick``: for a moment, one face. A number that is not made is told."""
    settings = [*given.settings, "cover.method=synthesize"]
    settings += [f"compute.backend={backend}", f"compute.precision={precision}"]
    anonymizer, rows = Anonymizer(load_config(given.profile, settings)), list[dict[str, Any]]()
    for count in COUNTS[:1] if quick else COUNTS:
        try:
            timed = time_faces(anonymizer, count, QUICK_SECONDS if quick else SECONDS)
        except StreamanonError as error:
            timed = {"error": sentence(error)}
        rows.append({"faces": count} | timed)
    return rows


def peak_memory_mb() -> int | None:
    """The most memory that this process has held; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3))


def _wait() -> None:
    """Until the parent says that all streams are ready."""
    print("ready", flush=True)
    sys.stdin.readline()


def _go_on() -> None:
    """At once."""


def main() -> None:
    task = json.loads(sys.stdin.readline())
    given = Given(Path(task["profile"]) if task["profile"] else None, task["settings"])
    try:
        if task["what"] == "networks":
            asked = given, task["backend"], task["precision"], task["quick"]
            answer: Any = {"networks": run_networks(*asked), "faces": run_faces(*asked)}
        else:
            case = Case(**task["case"])
            ready = _wait if task.get("wait") else _go_on
            answer = run_case(case, Path(task["folder"]), given, task["begun"], ready)
    except Exception as error:
        answer = {"error": sentence(error)}
    print(json.dumps(answer), flush=True)


def task_of(case: Case, folder: Path) -> dict[str, Any]:
    """What :func:`main` reads, besides the profile and the settings; ``begun`` is added when the process
    starts.
    """
    return {
        "what": "case",
        "case": dataclasses.asdict(case),
        "folder": str(folder),
    }


if __name__ == "__main__":
    main()
