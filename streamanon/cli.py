"""The command line: ``streamanon run``, ``demo``, ``audit``, ``delegates`` and ``doctor``."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from streamanon import __version__
from streamanon.config import Config, PersonRule, load_config
from streamanon.errors import ConfigError, SourceError, sentence, tell
from streamanon.types import METHODS

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code. Errors print one sentence and give 2."""
    args = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="streamanon: %(message)s")
    _open_standard_streams()
    _forbid_core_dumps()
    try:
        return int(args.command(args))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except Exception as error:
        tell(f"streamanon: {sentence(error)}")
        return EXIT_ERROR


def _open_standard_streams() -> None:
    """Where the caller closed one, the output video could get its number, and libraries' log lines."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)


def _forbid_core_dumps() -> None:
    """A dump would hold frames. This does not hold where the system pipes dumps to a program."""
    try:
        import resource
    except ImportError:  # not on Windows
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="streamanon",
        description="Every face in a video becomes a believable face of nobody.",
        epilog="@FILE stands for the lines of that file, one argument each: so no process list shows them.",
        fromfile_prefix_chars="@",
    )
    parser.add_argument("--version", action="version", version=f"streamanon {__version__}")
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")
    run = verbs.add_parser("run", help="anonymise videos, images or folders of them")
    run.add_argument("input", metavar="INPUT", help="a video, an image (jpg, png), a folder or an address")
    run.set_defaults(command=_run)
    demo = verbs.add_parser("demo", help="anonymise the clip of synthetic people that comes along")
    demo.set_defaults(command=_demo)
    for verb in (run, demo):
        _add_options(verb)
    audit = verbs.add_parser("audit", help="measure how anonymous a video is, against its original")
    audit.set_defaults(command=_audit)
    _add_audit_options(audit)
    delegates = verbs.add_parser("delegates", help="list, show, export or add the faces of nobody")
    delegates.set_defaults(command=_delegates)
    _add_delegates_options(delegates)
    doctor = verbs.add_parser("doctor", help="tell what this machine can do")
    doctor.set_defaults(command=_doctor)
    return parser


def _add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-o", "--output", required=True, type=Path, help="the output file, or folder for a folder")
    add("--profile", help="file (default), cctv, dashcam, livestream, edge, or the path of a YAML file")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="one setting, e.g. output.crf=23")
    add("--method", help=f"how faces are covered: {', '.join(METHODS)}")
    add("--paranoid", action="store_true", help="cover whatever moves, too")
    add("--on-error", help="what fails on a face or frame: cover it more (default), or stop")
    add("--audio", help="copy (bit for bit) or drop")
    add("--subtitles", help="copy (bit for bit) or drop")
    add("--codec", help="h264, hevc, av1, vp9 or ffv1")
    add("--crf", help="quality of the output, lower is better")
    add("--keep-metadata", action="store_true", help="keep location, device and title tags")
    add("--backend", help="auto, tensorrt, openvino or onnxruntime")
    add("--epsilon", help="privacy budget of a person's draw of a delegate; 0 draws evenly")
    add("--geometry", help="how far features move to where the delegate has them, 0..1")
    add("--appearance", help="how far skin and features go from an average face to the delegate's, 0..1")
    add("--delegate", metavar="ID", help="one delegate for all faces; see streamanon delegates list")
    add("--ttl", metavar="SECONDS", help="how long to remember who left; 0: not at all")
    add(
        "--identity-key",
        metavar="FILE",
        help="a secret: faces alike get the same delegates in all runs",
    )
    add("--keep", metavar="PHOTO", action="append", default=[], help="leave this person visible")
    add("--gallery", metavar="FILE", help="other delegates; see streamanon delegates add")
    add("--seed", help="fix which delegates are drawn")
    add("--report", type=Path, metavar="FILE", help="write what was done as JSON")
    add("--quiet", action="store_true", help="no progress bar and no summary")


def _add_audit_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("original", nargs="?", metavar="ORIGINAL", help="the video as it was taken")
    add("anonymised", nargs="?", metavar="ANONYMISED", help="the video that any tool made of it")
    add("--json", type=Path, metavar="FILE", help="write all numbers")
    add("--html", type=Path, metavar="FILE", help="write a report to read")
    add("--gallery", type=Path, metavar="FOLDER", help="photos of people to whom the output may lead back")
    add(
        "--recogniser", type=Path, action="append", default=[], metavar="FILE", help="SFace or ArcFace ONNX"
    )
    add("--yunet", type=Path, metavar="FILE", help="OpenCV's YuNet (ONNX) as one more judge")
    add(
        "--fail-on",
        metavar="CONDITIONS",
        help="what gives exit code 1, e.g. leak>0,reid>0.01; default leak>0; or never",
    )
    add("--thumbnails", action="store_true", help="show leaked faces in the HTML report: real faces")
    add("--identities", type=Path, metavar="DIR", help="instead of videos: photos as DIR/person/photo.jpg")
    add("--method", help=f"how to anonymise those photos: none, {', '.join(METHODS)}")
    add("--photos", type=Path, metavar="DIR", help="the same photos as another tool anonymised them")
    add("--backend", default="auto", help="auto, tensorrt, openvino or onnxruntime")
    add("--quiet", action="store_true", help="no progress bar and no summary")


def _add_delegates_options(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(required=True, metavar="WHAT", dest="what")
    listed = verbs.add_parser("list", help="print their ids, and how they present")
    show = verbs.add_parser("show", help="draw them on one sheet")
    export = verbs.add_parser("export", help="write a picture of each into a folder")
    for verb, name in ((show, "a PNG or JPEG file"), (export, "a folder")):
        verb.add_argument("ids", nargs="*", metavar="ID", help="which; all if none is named")
        verb.add_argument("-o", "--output", type=Path, required=True, help=name)
    add = verbs.add_parser("add", help="make delegates of your own synthetic portraits")
    add.add_argument("folder", type=Path, metavar="FOLDER", help="png, jpg or webp files; nobody real")
    add.add_argument("-o", "--output", type=Path, required=True, help="the new gallery, an .npz file")
    add.add_argument("--only", action="store_true", help="leave the delegates out that are there already")
    for verb in (listed, show, export, add):
        verb.add_argument("--gallery", metavar="FILE", help="another gallery than the installed one")


def _config(args: argparse.Namespace) -> Config:
    options = {
        "cover.method": args.method,
        "detect.paranoid": "true" if args.paranoid else None,
        "cover.on_error": args.on_error,
        "output.audio": args.audio,
        "output.subtitles": args.subtitles,
        "output.codec": args.codec,
        "output.crf": args.crf,
        "output.keep_metadata": "true" if args.keep_metadata else None,
        "compute.backend": args.backend,
        "identity.epsilon": args.epsilon,
        "identity.geometry": args.geometry,
        "identity.appearance": args.appearance,
        "identity.delegate": args.delegate,
        "identity.ttl_seconds": args.ttl,
        "identity.gallery": args.gallery,
        "identity.seed": args.seed,
    }
    given = [f"{key}={value}" for key, value in options.items() if value is not None]
    config = load_config(_profile(args.profile), [*args.set, *given])
    kept = tuple(PersonRule(photo, keep=True) for photo in args.keep)
    identity = replace(
        config.identity,
        people=config.identity.people + kept,
        key=args.identity_key or config.identity.key,
    )
    return replace(config, identity=identity)


def _profile(name: str | None) -> Path | None:
    """A path as it is; a bare name from the profiles that come along."""
    if name is None or Path(name).suffix:
        return Path(name) if name else None
    shipped = sorted(shipped_folder("configs").glob("*.yaml"))
    for path in shipped:
        if path.stem == name:
            return path
    raise ConfigError(f"there is no profile {name!r}; known: {', '.join(path.stem for path in shipped)}")


def shipped_folder(name: str) -> Path:
    """A folder that comes along: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / name
    return inside if inside.is_dir() else package.parent / name


def _demo(args: argparse.Namespace) -> int:
    inside = Path(__file__).parent / "demo" / "demo.mp4"
    clip = inside if inside.is_file() else Path(__file__).parent.parent / "tests" / "data" / "demo.mp4"
    if not clip.is_file():
        raise SourceError("the demo clip is missing: install streamanon again")
    args.input = str(clip)
    return _run(args)


def _run(args: argparse.Namespace) -> int:
    # Here and not above: they load the media and model libraries, which --help and errors do not need.
    from streamanon.anonymizer import Anonymizer
    from streamanon.batch import find_jobs, run_jobs
    from streamanon.metrics import write_reports

    config = _config(args)
    jobs = find_jobs(args.input, args.output)
    with _stop_flag() as stop:
        outcome = run_jobs(Anonymizer(config), jobs, args.quiet, stop)
    if args.report is not None and outcome.reports:
        write_reports(args.report, outcome.reports)
    if outcome.interrupted:
        return 128 + stop[0]
    return EXIT_ERROR if outcome.failed else 0


@contextmanager
def _stop_flag() -> Iterator[list[int]]:
    """A list to which Ctrl-C or SIGTERM adds its number, so that the file is finished; another one
    interrupts at once.
    """
    received: list[int] = []

    def on_signal(number: int, _frame: object) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        tell("\nstreamanon: finishing the file; press again to stop at once")

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _audit(args: argparse.Namespace) -> int:
    from streamanon.audit.command import run_audit

    return run_audit(args)


def _delegates(args: argparse.Namespace) -> int:
    from streamanon.identity.command import run_delegates

    return run_delegates(args)


def _doctor(_args: argparse.Namespace) -> int:
    from streamanon.doctor import describe

    tell(describe(), sys.stdout)
    return 0
