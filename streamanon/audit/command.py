"""``streamanon audit`` as a command: options in, files and an exit code out."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from streamanon.audit.gates import parse_gates
from streamanon.audit.measure import Thumbnail
from streamanon.audit.result import AuditResult, Interval
from streamanon.audit.run import AuditOptions, audit
from streamanon.config import load_config
from streamanon.errors import ConfigError, SinkError

EXIT_FAILED = 1
THUMBNAILS = 24


def run_audit(args: argparse.Namespace) -> int:
    """0: passed, 1: a condition of ``--fail-on`` holds. Raises :class:`StreamanonError`."""
    if args.thumbnails and args.html is None:
        raise ConfigError("--thumbnails go into the HTML report: give --html FILE too")
    options = AuditOptions(
        gallery=args.gallery,
        recognisers=tuple(args.recogniser),
        yunet=args.yunet,
        gates=tuple(parse_gates(args.fail_on)),
        thumbnails=THUMBNAILS if args.thumbnails else 0,
        compute=load_config(None, [f"compute.backend={args.backend}"]).compute,
    )
    with _progress(args.quiet) as tell:
        result, thumbnails = audit(args.original, args.anonymised, options, tell)
    _write_reports(args, result, thumbnails)
    if not args.quiet:
        print(describe(result))
    return EXIT_FAILED if result.failed else 0


def _write_reports(args: argparse.Namespace, result: AuditResult, thumbnails: list[Thumbnail]) -> None:
    if args.json is not None:
        _write(args.json, json.dumps(result.as_dict(), indent=2) + "\n")
    if args.html is not None:
        from streamanon.audit.html import render

        _write(args.html, render(result, thumbnails))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SinkError(f"cannot write {path}: {error.strerror}; check the folder") from error


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    hidden = quiet or not sys.stderr.isatty()
    with tqdm(unit=" frames", disable=hidden) as bar:

        def tell(name: str, done: int, count: int) -> None:
            if done == 1:
                bar.reset(count)
                bar.set_description_str(name)
            bar.update()

        yield tell


def describe(result: AuditResult) -> str:
    """The outcome in a few lines."""
    leaks, utility = result.leaks, result.utility
    lines = [
        f"judges: {', '.join(result.judges)}",
        f"people: {leaks.tracks} tracks, {leaks.face_frames} face-frames"
        f" ({leaks.doubtful_tracks} doubtful finds not counted)",
        f"leaks: {leaks.seen} face-frames of {leaks.tracks_seen} tracks, {leaks.seconds_seen:.2f} s",
    ]
    lines += [
        f"recognised by {one.recogniser}: {_share(one.accepted)} of faces, rank-1 {_share(one.rank1)}"
        for one in result.reidentification
    ]
    lines.append(f"faces still found: {_share(utility.faces_found)}")
    lines.append(f"failed: {', '.join(result.failed)}" if result.failed else "passed")
    return "\n".join(lines)


def _share(value: Interval | None) -> str:
    if value is None:
        return "not measured"
    return f"{100 * value.value:.1f} % ({100 * value.low:.0f}–{100 * value.high:.0f} %, n={value.of})"
