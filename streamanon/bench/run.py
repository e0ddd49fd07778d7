"""All that a benchmark does, one child process after the other."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import Any

from streamanon.bench.cases import PRECISIONS, Case, all_cases
from streamanon.bench.child import task_of
from streamanon.bench.clips import write_clip
from streamanon.bench.deface import beside_deface, deface_cases
from streamanon.bench.gpu import GpuSampler, open_nvml
from streamanon.bench.jetson import open_rails
from streamanon.bench.machine import machine_facts, versions
from streamanon.bench.options import Options, usable
from streamanon.bench.result import SCHEMA, Result
from streamanon.bench.streams import most_sustained
from streamanon.errors import ModelError
from streamanon.runtime.backends import examine_backends
from streamanon.runtime.models import Engines

#: Rates at which streams are sustained, frames a second, and the clips that they show.
STREAM_RATES = (25, 30)
STREAM_CLIPS = ((640, 360, 1), (1920, 1080, 4))

#: Called with the number of jobs done, of all, and what comes next.
Progress = Callable[[int, int, str], None]


def load_of_others() -> float | None:
    """Processes that ran or waited for a core in the last minute, on average, before anything is timed;
    None where the system does not tell.
    """
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def run_bench(options: Options, progress: Progress) -> Result:
    """Raises :class:`StreamanonError`; a case that fails is part of the result, with its error."""
    load, compute = load_of_others(), options.compute()
    verdicts = examine_backends(compute)
    backends = usable(verdicts, options)
    cases = all_cases(backends, options.quick)
    result: Result = {
        "schema": SCHEMA,
        "made": date.today().isoformat(),
        "quick": options.quick,
        "machine": machine_facts(compute.device),
        "load": load,
        "versions": versions(),
        "models": Engines.open().digests(),
        "profile": options.profile.stem if options.profile is not None else "file",
        "settings": list(options.settings),
        "backends": [dataclasses.asdict(one) for one in verdicts],
    }
    with tempfile.TemporaryDirectory(prefix="streamanon-bench-") as name:
        bench = _Bench(options, Path(name), cases, progress)
        networks, faces = bench.networks(backends)
        return result | {
            "networks": networks,
            "faces": faces,
            "cases": bench.cases(),
            "streams": bench.streams(),
            "deface": bench.deface(),
        }


class _Bench:
    def __init__(self, options: Options, folder: Path, cases: Sequence[Case], progress: Progress) -> None:
        self._options, self._folder, self._cases, self._progress = options, folder, cases, progress
        self._done, self._nvml, self._rails = 0, open_nvml(), open_rails()
        self._device = options.compute().device
        self._precisions = PRECISIONS[:1] if options.quick else PRECISIONS
        self._rates: dict[Case, float] = {}
        self._stream_cases = [] if options.quick else self._streamed()
        self._deface_cases = deface_cases(cases) if options.deface else []

    @property
    def _settings(self) -> dict[str, Any]:
        profile = self._options.profile
        return {
            "profile": str(profile) if profile is not None else None,
            "settings": self._options.settings,
        }

    @property
    def _count(self) -> int:
        networks = len({case.backend for case in self._cases}) * len(self._precisions)
        streams = len(self._stream_cases) * len(STREAM_RATES)
        return networks + len(self._cases) + streams + len(self._deface_cases)

    def _streamed(self) -> list[Case]:
        usual = self._cases[0]
        return [
            dataclasses.replace(usual, width=width, height=height, faces=faces, rounds=1)
            for width, height, faces in STREAM_CLIPS
        ]

    @contextmanager
    def _job(self, words: str) -> Iterator[None]:
        self._progress(self._done, self._count, words)
        yield
        self._done += 1

    def networks(self, backends: Sequence[str]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Networks alone, and faces made at once."""
        rows, faces = list[dict[str, Any]](), list[dict[str, Any]]()
        for backend in backends:
            for precision in self._precisions:
                with self._job(f"networks, {backend} {precision}"), _Child() as child:
                    task = {"what": "networks", "backend": backend, "precision": precision}
                    answer = child.ask(task | self._settings | {"quick": self._options.quick})
                if "error" in answer:
                    raise ModelError(f"the networks do not run on {backend}: {answer['error']}")
                names = {"backend": backend, "precision": precision}
                rows += [row | names for row in answer["networks"]]
                faces += [row | names for row in answer["faces"]]
        return rows, faces

    def cases(self) -> list[dict[str, Any]]:
        rows = []
        for case in self._cases:
            with self._job(case.words):
                self._make_clip(case)
                with GpuSampler(self._nvml, self._device, self._rails) as sampler, _Child() as child:
                    answer = child.ask(task_of(case, self._folder) | self._settings)
            if "error" not in answer:
                self._rates[dataclasses.replace(case, rounds=1)] = answer["frames_per_second"]
                answer["gpu"] = sampler.result()
            rows.append(dataclasses.asdict(case) | {"rounds": []} | answer)
        return rows

    def _make_clip(self, case: Case) -> Path:
        path = self._folder / case.clip_name
        if not path.exists():
            write_clip(path, (case.width, case.height), case.faces, case.frames)
        return path

    def streams(self) -> list[dict[str, Any]]:
        rows = []
        for case in self._stream_cases:
            for rate in STREAM_RATES:
                with self._job(f"streams of {case.words} at {rate} frames/s"):
                    alone = self._rates.get(case, float(rate))
                    self._make_clip(case)

                    def sustains(count: int, case: Case = case, rate: int = rate) -> bool:
                        return self._together(case, count) >= rate

                    count = most_sustained(sustains) if alone >= rate else 0
                rows.append(dataclasses.asdict(case) | {"rate": rate, "streams": count})
        return rows

    def _together(self, case: Case, count: int) -> float:
        """Frames a second of the slowest of so many streams that begin at once; 0 if one fails."""
        with ExitStack() as stack:
            children = [stack.enter_context(_Child()) for _ in range(count)]
            task = task_of(case, self._folder) | self._settings | {"wait": True}
            for child in children:
                child.start(task)
            for child in children:  # all have loaded and verified
                child.wait_until_ready()
            for child in children:
                child.go()
            answers = [child.answer() for child in children]
        return min(float(answer.get("frames_per_second", 0)) for answer in answers)

    def deface(self) -> list[dict[str, Any]]:
        rows = []
        for case in self._deface_cases:
            with self._job(f"deface, {case.words}"):
                clip = self._make_clip(case)
                options = self._options.words
                rows.append(beside_deface(case, clip, self._folder / "compared.mp4", options))
        return rows


class _Child:
    """A process that does one task; ended with the ``with`` that opened it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "streamanon.bench.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._begun, self._early = time.time(), ""

    def __enter__(self) -> _Child:
        return self

    def __exit__(self, *_error: object) -> None:
        """Without reading on: a process that it began itself may hold its output open."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()

    def ask(self, task: dict[str, Any]) -> dict[str, Any]:
        self.start(task)
        return self.answer()

    def start(self, task: dict[str, Any]) -> None:
        self._say(json.dumps(task | {"begun": self._begun}))

    def wait_until_ready(self) -> None:
        """Returns as well where it failed: its answer then says so."""
        line = self._read()
        self._early = "" if line == "ready\n" else line

    def go(self) -> None:
        self._say("go")

    def answer(self) -> dict[str, Any]:
        line = self._early or self._read()
        if not line.startswith("{"):
            return {"error": f"the process ended without an answer, with code {self._process.wait()}"}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return  # it ended, which its answer tells

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()
