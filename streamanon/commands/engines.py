"""``streamanon engines build``: TensorRT's plans of all models, compiled before they are needed."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Never

from tqdm import tqdm

from streamanon.commands.progress import hides_progress
from streamanon.errors import ConfigError, SinkError
from streamanon.model_list import Loaded, chain_models
from streamanon.runtime.backends.plan_cache import cache_folder, store_plan
from streamanon.runtime.backends.tensorrt_build import PlanSpec, build_plan, check_target
from streamanon.runtime.backends.tensorrt_library import Library, open_library
from streamanon.runtime.backends.tensorrt_profiles import profiles_of
from streamanon.runtime.models import Engines
from streamanon.runtime.onnx_header import read_onnx_header

PRECISIONS = ("fp16", "fp32")


def run_engines(args: argparse.Namespace) -> int:
    """Raises :class:`StreamanonError`."""
    targets = _words(args.target, "--target", "sm86,sm89")
    precisions = _words(args.precision, "--precision", "fp16")
    for one in precisions:
        if one not in PRECISIONS:
            raise ConfigError(f"--precision takes {' or '.join(PRECISIONS)}, not {one!r}")
    library = open_library(rtx=True)
    for target in targets:
        check_target(library, target)
    out = args.out or cache_folder()
    _check_folder(out)
    specs = plan_specs(chain_models(Engines.open()), targets, precisions)
    with _progress(len(specs), args.quiet) as bar:
        for spec in specs:
            bar.set_postfix_str(f"{spec.path.stem} {spec.target}")
            line = build_one(library, spec, out)
            bar.update()
            if not args.quiet:
                bar.write(line, sys.stdout)
    return 0


def _check_folder(folder: Path) -> None:
    """Before minutes of building."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise ConfigError(f"{folder} is a file: give --out a folder") from error
    except OSError as error:
        raise SinkError(f"cannot make the folder {folder}: {error.strerror}; give --out another") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise SinkError(f"cannot write into {folder}: Permission denied; give --out another folder")


def _words(given: str, option: str, example: str) -> list[str]:
    """The values of a list with commas, each once."""
    words = [word.strip().lower() for word in given.split(",") if word.strip()]
    if not words:
        raise ConfigError(f"{option} names nothing: give, for example, {option} {example}")
    return list(dict.fromkeys(words))


def plan_specs(
    models: Sequence[Loaded], targets: Sequence[str], precisions: Sequence[str]
) -> list[PlanSpec]:
    """The plans to build, each once: a precise model has one, whatever the precisions."""
    specs: dict[PlanSpec, None] = {}
    for target in targets:
        for model in models:
            profiles = profiles_of(read_onnx_header(model.path).inputs)
            for precision in precisions:
                half = precision == "fp16" and not model.precise
                specs[PlanSpec(model.path, target, half, profiles)] = None
    return list(specs)


def build_one(library: Library, spec: PlanSpec, folder: Path) -> str:
    """Build a plan into a folder; what was done, in one line. Raises :class:`ModelError` or
    :class:`SinkError`.
    """
    file, begun = folder / spec.file_name(library), time.perf_counter()
    plan = build_plan(library, spec)
    if not store_plan(file, plan):
        raise SinkError(f"cannot write {file}: check that the folder is writable and the disk not full")
    return f"{file.name}: {len(plan) / 1e6:.1f} MB, {time.perf_counter() - begun:.1f} s"


def _progress(total: int, quiet: bool) -> tqdm[Never]:
    return tqdm(total=total, desc="plans", unit="plan", disable=hides_progress(quiet))
