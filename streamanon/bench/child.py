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
from collections.abc import Callable
from pathlib import Path
from typing import Any

from streamanon.api import Anonymizer
from streamanon.bench.cases import Case
from streamanon.bench.latency import LatencyClock, batches_of, percentiles, time_network
from streamanon.bench.verify import Covers, verify
from streamanon.config import ComputeConfig, load_config
from streamanon.errors import sentence
from streamanon.model_list import chain_models
from streamanon.runtime.backends import open_backend
from streamanon.runtime.example_inputs import example
from streamanon.runtime.models import Engines
from streamanon.runtime.onnx_header import read_onnx_header
from streamanon.runtime.run_context import RunContext
from streamanon.types import SafeFrame

#: How long each network is timed, s.
SECONDS, QUICK_SECONDS = 1.0, 0.1


class _Timed(Anonymizer):
    """Keeps the clock of its last run."""

    clock = LatencyClock()

    def context(self) -> RunContext:
        context = super().context()
        context.clock = self.clock = LatencyClock()
        return context


def run_case(
    case: Case, folder: Path, profile: str | None, begun: float, ready: Callable[[], None]
) -> dict[str, Any]:
    """``begun``: when the process was started, seconds since the epoch. ``ready`` is called before what is
    timed. Raises StreamanonError.
    """
    settings = [
        f"cover.method={case.method}",
        f"compute.backend={case.backend}",
        f"compute.precision={case.precision}",
    ]
    anonymizer = _Timed(load_config(Path(profile) if profile else None, settings))
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
        seconds, stages = [], dict[str, list[float]]()
        for _ in range(case.rounds):
            started = time.perf_counter()
            anonymizer.run(source, output, overwrite=True)
            seconds.append(time.perf_counter() - started)
            for stage, values in anonymizer.clock.milliseconds().items():
                stages.setdefault(stage, []).extend(values)
    finally:
        output.unlink(missing_ok=True)
    rates = [report.frames_in / one for one in seconds]
    return {
        "frames_per_second": round(statistics.median(rates), 2),
        "rounds": [round(rate, 2) for rate in rates],
        "load_seconds": round(loaded, 2),
        "first_frame_seconds": round(first[0], 2),
        "peak_memory_mb": peak_memory_mb(),
        "stages_ms": {stage: percentiles(values) for stage, values in stages.items()},
        "verified": verified,
    }


def run_networks(backend: str, precision: str, quick: bool) -> list[dict[str, Any]]:
    """Each network alone, on batches; ``quick``: for a moment, on one face."""
    seconds = QUICK_SECONDS if quick else SECONDS
    config = ComputeConfig(backend, precision=precision)  # type: ignore[arg-type]
    opened, rows = open_backend(config), []
    for one in chain_models(Engines.open()):
        model = opened.load(one.path, precise=one.precise)
        inputs = read_onnx_header(one.path).inputs
        for batch in batches_of(inputs, quick):
            taken = time_network(model, example(one.path.stem, inputs, batch), seconds)
            rows.append({"model": one.path.stem, "batch": batch, "milliseconds": percentiles(taken)})
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
    try:
        if task["what"] == "networks":
            answer: Any = {"networks": run_networks(task["backend"], task["precision"], task["quick"])}
        else:
            case = Case(**task["case"])
            ready = _wait if task.get("wait") else _go_on
            answer = run_case(case, Path(task["folder"]), task["profile"], task["begun"], ready)
    except Exception as error:
        answer = {"error": sentence(error)}
    print(json.dumps(answer), flush=True)


def task_of(case: Case, folder: Path, profile: Path | None) -> dict[str, Any]:
    """What :func:`main` reads; ``begun`` is added when the process starts."""
    return {
        "what": "case",
        "case": dataclasses.asdict(case),
        "folder": str(folder),
        "profile": str(profile) if profile is not None else None,
    }


if __name__ == "__main__":
    main()
