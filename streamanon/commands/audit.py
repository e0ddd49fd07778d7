"""``streamanon audit`` as a command: options in, files and an exit code out."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from streamanon.api import Anonymizer
from streamanon.audit.containers import ContainerFacts
from streamanon.audit.gates import DEFAULT, IDENTITY_MEASURES, identity_breaches, parse_gates
from streamanon.audit.identities import Cover, audit_identities, covers_from, read_originals, table
from streamanon.audit.judges import open_judges
from streamanon.audit.measure import Thumbnail
from streamanon.audit.recognisers import open_recognisers
from streamanon.audit.result import FEWEST_PEOPLE, AuditResult, Interval, Reidentification
from streamanon.audit.run import AuditOptions, audit
from streamanon.commands.progress import hides_progress
from streamanon.config import ComputeConfig, load_config
from streamanon.errors import ConfigError, answer
from streamanon.media.output_file import check_writable, is_same_file, write_file
from streamanon.mesh.face_mesh import FaceMesh
from streamanon.runtime.backends import open_backend
from streamanon.runtime.models import Engines

EXIT_FAILED = 1
THUMBNAILS = 24
#: Clocks that are less apart, s, are taken for the same.
SHIFT_SECONDS = 0.01


def run_audit(args: argparse.Namespace) -> int:
    """0: passed, 1: a condition of ``--fail-on`` holds. Raises :class:`StreamanonError`."""
    return _audit_people(args) if args.identities is not None else _audit_videos(args)


def _audit_videos(args: argparse.Namespace) -> int:
    if args.original is None or args.anonymised is None:
        raise ConfigError("audit compares two videos: give ORIGINAL and ANONYMISED, or --identities DIR")
    unused = [f"--{name}" for name in ("method", "photos") if getattr(args, name) is not None]
    if unused:
        raise ConfigError(f"{unused[0]} is for photos and has no effect on videos; give --identities DIR")
    if args.thumbnails and args.html is None:
        raise ConfigError("--thumbnails go into the HTML report: give --html FILE too")
    _check_outputs(args, args.original, args.anonymised)
    options = AuditOptions(
        gallery=args.gallery,
        recognisers=tuple(args.recogniser),
        yunet=args.yunet,
        gates=tuple(parse_gates(DEFAULT if args.fail_on is None else args.fail_on)),
        thumbnails=THUMBNAILS if args.thumbnails else 0,
        compute=_compute(args),
    )
    with _progress(args.quiet) as tell:
        result, thumbnails = audit(args.original, args.anonymised, options, tell)
    _write_reports(args, result, thumbnails)
    if not args.quiet:
        answer(describe(result))
    return EXIT_FAILED if result.failed else 0


def _audit_people(args: argparse.Namespace) -> int:
    unused = [name for name in ("original", "html", "gallery", "yunet") if getattr(args, name) is not None]
    if unused or args.thumbnails:
        raise ConfigError(f"--identities does not take {', '.join(unused) or 'thumbnails'}: leave it out")
    _check_outputs(args)
    gates = parse_gates("never" if args.fail_on is None else args.fail_on, IDENTITY_MEASURES)
    backend = open_backend(_compute(args))
    method, cover = _cover(args)
    judge, mesh = open_judges(_compute(args))[0], FaceMesh(backend, Engines.open())
    recognisers = open_recognisers(_compute(args), list(args.recogniser))
    originals, skipped = read_originals(args.identities, judge, recognisers, mesh)
    with _progress(args.quiet) as tell:
        result = audit_identities(
            originals,
            skipped,
            method,
            cover,
            judge,
            recognisers,
            mesh,
            lambda done, count: tell(method, done, count),
        )
    result = dataclasses.replace(result, failed=identity_breaches(gates, result))
    if args.json is not None:
        write_file(args.json, (json.dumps(result.as_dict(), indent=2) + "\n").encode(), args.overwrite)
    if not args.quiet:
        answer("\n".join(table([result])))
        answer(f"failed: {', '.join(result.failed)}" if result.failed else "passed")
    return EXIT_FAILED if result.failed else 0


def _cover(args: argparse.Namespace) -> tuple[str, Cover]:
    """What the photos go through, and its name."""
    if args.photos is not None:
        if args.method is not None:
            raise ConfigError("--photos are anonymised already: leave --method out")
        return args.photos.name, covers_from(args.identities, args.photos)
    method = args.method or "synthesize"
    if method == "none":
        return method, lambda image, _path: image
    settings = [f"cover.method={method}", f"compute.backend={args.backend}"]
    anonymizer = Anonymizer(load_config(None, settings))
    return method, lambda image, _path: anonymizer.image(image)


def _compute(args: argparse.Namespace) -> ComputeConfig:
    return load_config(None, [f"compute.backend={args.backend}"]).compute


def _write_reports(args: argparse.Namespace, result: AuditResult, thumbnails: list[Thumbnail]) -> None:
    if args.json is not None:
        write_file(args.json, (json.dumps(result.as_dict(), indent=2) + "\n").encode(), args.overwrite)
    if args.html is not None:
        from streamanon.audit.html import render

        write_file(args.html, render(result, thumbnails).encode(), args.overwrite)


def _check_outputs(args: argparse.Namespace, *inputs: str) -> None:
    """Before the work, which takes minutes."""
    outputs = [path for path in (args.json, args.html) if path is not None]
    read = (*inputs, *args.recogniser, *([] if args.yunet is None else [args.yunet]))
    for path in outputs:
        check_writable(path, args.overwrite, read)
    if len(outputs) == 2 and is_same_file(*outputs):
        raise ConfigError(f"--json and --html are both {args.json}; give another name")
    if args.html is not None:
        from streamanon.audit.html import check_libraries

        check_libraries()


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    with tqdm(unit=" frames", disable=hides_progress(quiet)) as bar:

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
        f" ({leaks.doubtful_tracks} doubtful detections not counted)",
        f"leaks: {leaks.seen} face-frames of {leaks.tracks_seen} tracks, {leaks.seconds_seen:.2f} s",
    ]
    lines += [f"recognised by {one.recogniser}: {_recognised(one)}" for one in result.reidentification]
    lines.append(f"faces still found: {_share(utility.faces_found)}")
    lines += _clocks(result.container)
    if result.too_few:
        lines.append(f"too few people to tell: {', '.join(result.too_few)}")
    lines.append(f"failed: {', '.join(result.failed)}" if result.failed else "passed")
    return "\n".join(lines)


def _clocks(facts: ContainerFacts) -> list[str]:
    """What is odd about the times and the streams of the output."""
    lines = []
    if abs(facts.clock_shift) >= SHIFT_SECONDS:
        ahead = "ahead of" if facts.clock_shift > 0 else "behind"
        lines.append(f"clock: the output's is {abs(facts.clock_shift):.2f} s {ahead} the original's")
    if not facts.is_comparable:
        lines.append(
            f"cannot be compared: {100 * facts.unpaired:.0f} % of the output's pictures show another moment"
            " of the original; audit it against an original that is cut in the same places"
        )
    if facts.extra_pictures:
        lines.append(f"pictures beside the video, which may show faces: {facts.extra_pictures}")
    return lines


def _recognised(one: Reidentification) -> str:
    if one.tells or one.accepted is None or one.accepted_people is None:
        return f"{_share(one.accepted)} of faces, rank-1 {_share(one.rank1)}"
    people = one.accepted_people
    return (
        f"{100 * one.accepted.value:.1f} % of faces, most faces of {round(people.value * people.of)} of "
        f"{people.of} people; {FEWEST_PEOPLE} or more are needed for reliable shares"
    )


def _share(value: Interval | None) -> str:
    if value is None:
        return "not measured"
    return f"{100 * value.value:.1f} % ({100 * value.low:.0f}–{100 * value.high:.0f} %, n={value.of})"
