"""Which backend is the quickest on this machine: timed once, on two networks, and remembered.

The usual order stands unless another backend is clearly quicker, so that noise does not change what a
machine does. What is remembered holds for the same versions, models, processor and settings.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from streamanon import __version__
from streamanon.config import ComputeConfig
from streamanon.errors import ModelError
from streamanon.runtime.backends import Array, Backend, Model, first_line
from streamanon.runtime.backends.plan_cache import cache_folder, read_plan, store_plan
from streamanon.runtime.example_inputs import example
from streamanon.runtime.models import Engines
from streamanon.runtime.onnx_header import read_onnx_header

#: The networks with most of the work.
MODELS = ("face-detector", "generator")
#: A backend is taken before its turn if it is at least so many times as quick as the first that works.
CLEARLY = 1.25
#: Each network runs so often, in turn with the other backends; the quickest run counts.
ROUNDS = 5
#: Results may differ by so much of their size, both as root mean squares: half precision and bfloat16
#: round, on noise by up to 0.06.
MOST_APART = 0.15
#: Set to 0, backends are not timed: for tests, and where nothing can be remembered.
SWITCH = "STREAMANON_MEASURE"
#: What the speed of any backend depends on.
PACKAGES = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-directml",
    "openvino",
    "tensorrt",
    "tensorrt-rtx-cu12-bindings",
    "torch",
)


@dataclass(frozen=True)
class Trial:
    """What came of timing the backends: the one to take, why not each other one, and milliseconds for one
    run of both networks, by name. ``unopened``: those that could not be opened then, and why.
    """

    chosen: str
    reasons: dict[str, str]
    milliseconds: dict[str, float]
    unopened: dict[str, str] = field(default_factory=dict)


def is_wanted() -> bool:
    return os.environ.get(SWITCH, "1") != "0"


def remembered(config: ComputeConfig) -> Trial | None:
    """What was found earlier on this machine for these settings; None if nothing was."""
    kept = read_plan(_file(config))
    try:
        return Trial(**json.loads(kept)) if kept else None
    except (ValueError, TypeError):  # torn, or of another kind
        return None


def try_out(
    backends: Mapping[str, Backend], unopened: Mapping[str, str], config: ComputeConfig
) -> Trial | None:
    """Time ``backends``, in the order of preference, and remember the result. None where it could not be
    remembered, as each start would then take seconds longer.
    """
    file = _file(config)
    if not store_plan(file, b""):
        return None
    trial = decide(list(backends), *timed(backends, Engines.open()))
    if trial is not None:
        trial = replace(trial, unopened=dict(unopened))
        store_plan(file, json.dumps(vars(trial), indent=2).encode())
    return trial


def decide(
    order: Sequence[str], milliseconds: Mapping[str, float], faults: Mapping[str, str]
) -> Trial | None:
    """The first of ``order`` unless another one is clearly quicker. None if all have faults."""
    sound = [name for name in order if name in milliseconds]
    if not sound:
        return None
    quickest = min(sound, key=lambda name: milliseconds[name])
    chosen = quickest if milliseconds[sound[0]] >= CLEARLY * milliseconds[quickest] else sound[0]
    reasons = dict(faults)
    for name in sound:
        if name != chosen:
            times = milliseconds[name] / milliseconds[chosen]
            reasons[name] = f"works, takes {times:.2f} times as long as {chosen} here"
            if times < 1:
                reasons[name] += f", which is too small a gain to change the order ({CLEARLY})"
    return Trial(chosen, reasons, dict(milliseconds))


def timed(backends: Mapping[str, Backend], engines: Engines) -> tuple[dict[str, float], dict[str, str]]:
    """Milliseconds for one run of each network, of the backends whose results are right; and what is wrong
    with the others.
    """
    paths = [engines.path(name) for name in MODELS]
    given = [example(read_onnx_header(path).inputs, 1) for path in paths]
    loaded, faults = _loaded(backends, paths, given)
    best = {name: [float("inf")] * len(paths) for name in loaded}
    for _ in range(ROUNDS):
        for name, models in list(loaded.items()):
            try:
                for number, (model, values) in enumerate(zip(models, given, strict=True)):
                    begun = time.perf_counter()
                    model.run(*values)
                    best[name][number] = min(best[name][number], 1000 * (time.perf_counter() - begun))
            except Exception as error:  # of a GPU whose memory another program took meanwhile, say
                faults[name] = f"fails: {first_line(error)}"
                del loaded[name], best[name]
    return {name: round(sum(values), 2) for name, values in best.items()}, faults


def _loaded(
    backends: Mapping[str, Backend], paths: Sequence[Path], given: Sequence[Sequence[Array]]
) -> tuple[dict[str, list[Model]], dict[str, str]]:
    """The models of the backends whose results are right, and what is wrong with the others."""
    loaded: dict[str, list[Model]] = {}
    results: dict[str, list[Array]] = {}
    faults: dict[str, str] = {}
    for name, backend in backends.items():
        try:
            models = [backend.load(path, precise=False) for path in paths]
            results[name] = [
                one for model, values in zip(models, given, strict=True) for one in model.run(*values)
            ]
            loaded[name] = models
        except Exception as error:  # of a driver or a compiler: the next one is taken
            faults[name] = f"fails: {first_line(error)}"
    # ONNX Runtime computes in float32 on the CPU.
    reference = results.get("onnxruntime", next(iter(results.values()), []))
    for name in list(loaded):
        if not _agree(results[name], reference):
            faults[name] = "its results are wrong on this machine"
            del loaded[name]
    return loaded, faults


def _agree(one: Sequence[Array], other: Sequence[Array]) -> bool:
    """False, too, where a result is no number."""
    return len(one) == len(other) and all(
        a.shape == b.shape and bool(np.square(a - b).mean() <= MOST_APART**2 * np.square(b).mean())
        for a, b in zip(one, other, strict=True)
    )


def _file(config: ComputeConfig) -> Path:
    """Named by all that the result depends on."""
    try:
        models = {name: digest for name, digest in Engines.open().digests().items() if name in MODELS}
    except ModelError:
        models = {}
    settings = config.device, config.precision, config.threads
    machine = platform.machine(), processor_name(), os.cpu_count()
    versions = [__version__, *(_version(name) for name in PACKAGES)]
    key = repr((settings, machine, versions, sorted(models.items()), MODELS))
    return cache_folder() / f"backend-{hashlib.sha256(key.encode()).hexdigest()[:24]}.json"


def processor_name() -> str:
    """As its maker calls it, or else the kind of its instructions."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    named = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return named.group(1).strip() if named else platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
