"""The command line: ``streamanon run``, ``demo``, ``live``, ``audit``, ``delegates``, ``models``,
``engines``, ``bench`` and ``doctor``.
"""

from __future__ import annotations

import argparse
import io
import logging
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args, get_origin

from streamanon import __version__
from streamanon.config import Config, PersonRule, find_profile, load_config, settings
from streamanon.errors import ConfigError, answer, plain, sentence, tell
from streamanon.media.address import redact_text
from streamanon.types import METHODS

EXIT_ERROR = 2
#: Of several inputs some failed and some did not.
EXIT_SOME_FAILED = 3
#: Settings that an image by itself does not have: it has no motion, no time and no codec.
_OF_VIDEOS = ("output.", "lookahead.", "cover.paranoid", "cover.fade_seconds", "identity.ttl_seconds")
EXIT_INTERRUPTED = 130
_NOT_FITTING = (
    "the @FILE does not hold valid arguments: write one argument on each line, and an address on a line of"
    " its own"
)


#: What standard output can be, as FFmpeg calls it, and the suffix that stands for it here.
_STREAMED = {"mpegts": ".ts", "matroska": ".mkv", "mp4": ".mp4", "mov": ".mov", "webm": ".webm"}

#: Settings that a live output does not have: it is always H.264 and AAC.
_NOT_LIVE = ("output.codec", "output.audio", "output.subtitles", "output.keep_metadata")
#: Settings without effect on the recording of a camera.
_NOT_RECORDED = ("output.subtitles", "output.keep_metadata")
#: The demo's people, who are nobody, become the same in every run, unless options say otherwise.
DEMO_SEED = 1219
#: Settings of the draw of a delegate, which there is none of where one is given for everybody.
_OF_DRAWS = ("identity.epsilon", "identity.seed", "identity.key", "identity.ttl_seconds")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code. Errors print one sentence and give 2."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    _print_any_character()
    try:
        _check_none_empty(given)
        lines = [line for argument in given for line in _lines_of(argument)]
        args = make_parser().parse_args(lines)
    except _UsageError as error:
        # What comes from a file may be a password in any place: it is not quoted.
        said = _NOT_FITTING if lines != given else redact_text(str(error)) + _advice(given, str(error))
        tell(f"{error.usage}streamanon: {said}")
        return EXIT_ERROR
    except ConfigError as error:
        tell(f"streamanon: {sentence(error)}")
        return EXIT_ERROR
    logging.basicConfig(level=logging.WARNING, handlers=[_log_handler()])
    _open_standard_streams()
    _forbid_core_dumps()
    try:
        return int(args.command(args))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except Exception as error:
        tell(f"streamanon: {redact_text(sentence(error))}")
        return EXIT_ERROR


def _log_handler() -> logging.Handler:
    """Writes a line for each message to standard error, as :func:`tell` does."""

    class OneLine(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return plain(super().format(record))

    handler = logging.StreamHandler()
    handler.setFormatter(OneLine("streamanon: %(message)s"))
    return handler


def _check_none_empty(given: Sequence[str]) -> None:
    """An empty path would stand for the folder from which the command is started."""
    for number, argument in enumerate(given):
        option = re.fullmatch(r"(--[a-z-]+)=", argument)
        if option or not argument:
            where = option[1] if option else f"argument {number + 1}"
            behind = f", after {redact_text(given[number - 1])}," if number and not option else ""
            raise ConfigError(f"{where}{behind} is empty; give a value, and check variables of the shell")


def _advice(given: Sequence[str], said: str) -> str:
    """What may have been meant."""
    dashed = [one for one in given if re.match(r"-[^-].*\.[A-Za-z]\w{1,4}$", one)]
    if dashed:
        return f"; write the file {dashed[0]} as ./{dashed[0]}"
    if given and os.path.exists(given[0]):
        return f"; to anonymise a file: streamanon run {given[0]} -o OUTPUT"
    extra = said.partition("unrecognized arguments: ")[2].split()
    if any(os.path.exists(one) for one in extra):
        return "; only one input is allowed: give the folder that contains the files"
    return ""


class _UsageError(Exception):
    """What argparse says of the arguments, which it may quote, and how to use the command."""

    def __init__(self, message: str, usage: str) -> None:
        super().__init__(message)
        self.usage = usage


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _UsageError(message, self.format_usage())


def _lines_of(argument: str) -> list[str]:
    """The lines of FILE for @FILE, unless there is a file of that very name, or no FILE; else itself."""
    path = Path(argument[1:])
    if not argument.startswith("@") or os.path.exists(argument) or not os.path.isfile(path):
        return [argument]
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        raise ConfigError(
            f"cannot read arguments from {path}, as {argument} asks: it is no readable text file; "
            f"for an input called {argument} write ./{argument}"
        ) from None
    return [line.strip() for line in lines if line.strip()]


def _open_standard_streams() -> None:
    """Where the caller closed one, the output video could get its number, and libraries' log lines."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)


def _print_any_character() -> None:
    """What standard output cannot encode is escaped, as on standard error: names of files may hold it."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def _forbid_core_dumps() -> None:
    """A dump would hold frames. This does not hold where the system pipes dumps to a program."""
    try:
        import resource
    except ImportError:  # not on Windows
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def make_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="streamanon",
        description="Replaces every face in a video with a synthetic one. A person keeps the same"
        " synthetic face.",
        epilog="@FILE reads arguments from that file, one on each line, so that no process list shows"
        " them.",
    )
    parser.add_argument("--version", action="version", version=f"streamanon {__version__}")
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")
    run = verbs.add_parser("run", help="anonymise videos, images or folders of them")
    run.add_argument(
        "input", metavar="INPUT", help="a video, an image, a folder, an address, or - for standard input"
    )
    run.add_argument("--recursive", action="store_true", help="include subfolders")
    run.add_argument(
        "--skip-existing", action="store_true", help="skip inputs whose output exists: resume a folder"
    )
    run.add_argument(
        "--duration", metavar="TIME", help="for a camera: how long to record, such as 60s, 10m or 6h"
    )
    run.set_defaults(command=_run)
    demo = verbs.add_parser("demo", help="anonymise a bundled clip of synthetic people")
    demo.set_defaults(command=_demo, recursive=False, skip_existing=False, duration=None)
    for verb in (run, demo):
        _add_options(verb)
    live = verbs.add_parser("live", help="anonymise live cameras and publish the result")
    live.set_defaults(command=_live)
    _add_live_options(live)
    audit = verbs.add_parser("audit", help="measure how anonymous a video is, compared with its original")
    audit.set_defaults(command=_audit)
    _add_audit_options(audit)
    delegates = verbs.add_parser(
        "delegates", help="list, show, export, preview or add delegates, the synthetic faces"
    )
    delegates.set_defaults(command=_delegates)
    _add_delegates_options(delegates)
    models = verbs.add_parser("models", help="list or add your own face detectors")
    models.set_defaults(command=_models)
    _add_models_options(models)
    engines = verbs.add_parser("engines", help="compile the models for NVIDIA GPUs, on any machine")
    engines.set_defaults(command=_engines)
    _add_engines_options(engines)
    bench = verbs.add_parser("bench", help="measure how fast this machine is")
    bench.set_defaults(command=_bench)
    _add_bench_options(bench)
    doctor = verbs.add_parser(
        "doctor", help="show which backends, models and encoders work on this machine"
    )
    doctor.set_defaults(command=_doctor)
    return parser


def _add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "-o",
        "--output",
        required=True,
        help="output file; a folder if the input is a folder; - for standard output",
    )
    add("--format", choices=_STREAMED, help="container for standard output: -o - --format mpegts")
    add("--overwrite", action="store_true", help="replace outputs that exist")
    add("--profile", help="file (default), cctv, dashcam, livestream, edge, or the path of a YAML file")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="one setting, e.g. output.crf=23")
    _add_setting_options(parser)
    _add_keep_options(parser)
    add("--report", type=Path, metavar="FILE", help="write a JSON report of the run")
    add("--quiet", action="store_true", help="no progress bar and no summary")


def _add_keep_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--keep",
        metavar="PHOTO",
        action="append",
        default=[],
        help="leave the person in this photo visible",
    )
    add(
        "--delegate-for",
        metavar="NAME=PHOTO",
        action="append",
        default=[],
        help="give the person in the photo a similar delegate, the same in every run for that name",
    )
    add(
        "--keep-region",
        metavar="LEFT,TOP,RIGHT,BOTTOM",
        action="append",
        default=[],
        help="leave faces visible whose centre stays in this area of the displayed picture, px",
    )
    add(
        "--keep-track",
        metavar="SECONDS@X,Y",
        action="append",
        default=[],
        help="leave the face visible that is at this place of the displayed picture (px) at this time, from"
        " then on until it is lost or meets another face; for files only",
    )


def _add_setting_options(parser: argparse.ArgumentParser, without: Sequence[str] = ()) -> None:
    """An option for each setting that has one."""
    add = parser.add_argument
    for key, hint, _default, setting in settings():
        if setting.flag is None:
            continue
        if key in without:
            parser.set_defaults(**{key: None})
        elif hint is bool:
            add(setting.flag, dest=key, action="store_const", const="true", help=setting.help)
        else:
            add(setting.flag, dest=key, metavar=setting.metavar or _choices(hint), help=setting.help)


def _add_live_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("input", nargs="?", metavar="SOURCE", help="rtsp, rtmp, http, udp, srt, /dev/video0, or a file")
    add(
        "--to",
        action="append",
        default=[],
        metavar="TARGET",
        help="rtmp://, rtsp://, srt://, udp://, hls:///FOLDER, mjpeg://HOST:PORT, /dev/videoN or a file;"
        " may be repeated",
    )
    add("--config", type=Path, metavar="FILE", help="site file with many cameras: see docs/live.md")
    add("--check", type=Path, metavar="FILE", help="check a site file for errors, and start nothing")
    add("--profile", help="livestream (default), cctv, dashcam, edge, file, or the path of a YAML file")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="one setting, e.g. output.crf=23")
    _add_setting_options(parser, without=_NOT_LIVE)
    _add_keep_options(parser)
    add(
        "--audio",
        choices=("keep", "mask", "drop"),
        default="profile",
        help="sound; mask: change the voices; by default as the profile says",
    )
    add(
        "--no-signal",
        choices=("plain", "last"),
        default="plain",
        help="picture while the source sends none: plain grey, or the last anonymised one",
    )
    add("--rtsp-transport", choices=("tcp", "udp"), default="tcp", help="transport of RTSP")
    add("--realtime", action="store_true", help="play a file at its own speed")
    add("--loop", action="store_true", help="repeat a file endlessly")
    add("--duration", metavar="TIME", help="stop after this much output: 60s, 10m, 6h")
    add("--give-up-after", metavar="TIME", help="end with an error after this long without a picture")
    add(
        "--segment",
        metavar="TIME",
        help="length of a rolling archive's files (names with %%Y%%m%%d…); default 10m",
    )
    add("--keep-files", metavar="TIME", help="remove archive files that are older, such as 7d")
    add("--overwrite", action="store_true", help="replace files that exist")
    add("--status", metavar="HOST:PORT", help="serve /metrics, /healthz and /readyz")
    add("--log", choices=("text", "json"), default="text", help="format of log lines")


def _add_audit_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("original", nargs="?", metavar="ORIGINAL", help="the original video")
    add("anonymised", nargs="?", metavar="ANONYMISED", help="the video that a tool made from it")
    add("--json", type=Path, metavar="FILE", help="write all numbers")
    add("--html", type=Path, metavar="FILE", help="write a readable report")
    add("--overwrite", action="store_true", help="replace these files if they exist")
    add("--gallery", type=Path, metavar="FOLDER", help="photos of people to search for in the output")
    add(
        "--recogniser",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="one more recogniser: an SFace or ArcFace ONNX file",
    )
    add("--yunet", type=Path, metavar="FILE", help="OpenCV's YuNet (ONNX) as one more face detector")
    add(
        "--fail-on",
        metavar="CONDITIONS",
        help="conditions for exit code 1, e.g. leak>0,reid>0.01; or never; default leak>0,pictures>0",
    )
    add("--thumbnails", action="store_true", help="show leaked faces in the HTML report: real faces")
    add(
        "--identities",
        type=Path,
        metavar="DIR",
        help="audit photos instead of videos: DIR/person/photo.jpg",
    )
    add("--method", help=f"how to anonymise those photos: none, {', '.join(METHODS)}")
    add("--photos", type=Path, metavar="DIR", help="the same photos, anonymised by another tool")
    add("--backend", default="auto", help="auto, tensorrt, openvino or onnxruntime")
    add("--quiet", action="store_true", help="no progress bar and no summary")


def _add_delegates_options(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(required=True, metavar="WHAT", dest="what")
    listed = verbs.add_parser("list", help="print the delegates: id, presentation, age, skin tone")
    show = verbs.add_parser("show", help="draw delegates on a contact sheet")
    export = verbs.add_parser("export", help="write a picture of each delegate into a folder")
    for verb, name in ((show, "a PNG or JPEG file"), (export, "a folder")):
        verb.add_argument("ids", nargs="*", metavar="ID", help="which delegates; default: all")
        verb.add_argument("-o", "--output", type=Path, required=True, help=name)
    add = verbs.add_parser("add", help="make delegates from your own synthetic portraits")
    add.add_argument("folder", type=Path, metavar="FOLDER", help="png, jpg or webp files; no real people")
    add.add_argument("-o", "--output", type=Path, required=True, help="the new gallery, an .npz file")
    add.add_argument("--only", action="store_true", help="without the delegates of the present gallery")
    preview = verbs.add_parser("preview", help="show a frame of a video with six possible delegates")
    preview.add_argument("clip", type=Path, metavar="CLIP", help="a video")
    preview.add_argument("-o", "--output", type=Path, required=True, help="a PNG or JPEG file")
    preview.add_argument(
        "--seed", type=int, default=0, help="another seed shows other delegates; default 0"
    )
    for verb in (show, export, add, preview):
        verb.add_argument("--overwrite", action="store_true", help="replace files that exist")
    for verb in (listed, show, export, add, preview):
        verb.add_argument("--gallery", metavar="FILE", help="gallery to use instead of the installed one")


def _add_models_options(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(required=True, metavar="WHAT", dest="what")
    verbs.add_parser("list", help="print the stored models and their properties")
    add = verbs.add_parser("add", help="check a model and store it, for use as --detector NAME")
    add.add_argument("file", type=Path, metavar="FILE", help="the ONNX export of an ultralytics YOLO")
    add.add_argument("--name", help="its name; default: the file's name")
    add.add_argument("--overwrite", action="store_true", help="replace the stored model of that name")
    add.add_argument("--backend", default="auto", help="auto, tensorrt, openvino or onnxruntime")


def _add_engines_options(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(required=True, metavar="WHAT", dest="what")
    build = verbs.add_parser("build", help="compile TensorRT-RTX plans of all models; needs no GPU")
    add = build.add_argument
    add("--target", required=True, metavar="SM,...", help="GPU architectures, e.g. sm86,sm89")
    add("--precision", default="fp16", metavar="P,...", help="fp16 (where the model allows it) or fp32")
    add(
        "--out",
        type=Path,
        metavar="DIR",
        help="output folder, for compute.plans; default: the cache folder",
    )
    add("--quiet", action="store_true", help="no progress bar and no list")


def _add_bench_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--quick", action="store_true", help="one small clip per backend, timed once")
    add("--json", type=Path, metavar="FILE", help="write all numbers, for --compare")
    add("--plot", type=Path, metavar="FILE", help="plot frames per second by picture size (png, svg, pdf)")
    add("--overwrite", action="store_true", help="replace these files if they exist")
    add(
        "--compare",
        nargs=2,
        type=Path,
        metavar=("A.json", "B.json"),
        help="compare two results; time nothing",
    )
    add("--vs", choices=["deface"], help="also time this program on the same clips, if installed")
    add("--profile", default="livestream", help="as for streamanon run; default livestream")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="as for streamanon run")
    add("--backend", default="auto", help="auto (all that work), tensorrt, openvino or onnxruntime")
    add("--quiet", action="store_true", help="no progress bar and no tables")


def _choices(hint: Any) -> str:
    """What a setting of a type takes, for the help."""
    return "|".join(map(str, get_args(hint))) if get_origin(hint) is Literal else "VALUE"


def _config(args: argparse.Namespace) -> Config:
    given = _given(args)
    config = load_config(args.profile, [*args.set, *(f"{key}={vars(args)[key]}" for key in given.values())])
    for flag, asked in (("--keep", args.keep), ("--delegate-for", args.delegate_for)):
        if asked and config.cover.method != "synthesize":
            raise ConfigError(
                f"{flag} has no effect with the method {config.cover.method}; leave it out or use"
                " synthesize"
            )
    for keys, why in _idle_settings(config):
        asked = _asked(args, *keys)
        if asked:
            raise ConfigError(f"{asked[0]} has no effect with {why}; leave one of them out")
        idle = [key for key, value in _set_by_hand(config) if key.startswith(keys)]
        if idle:
            tell(f"streamanon: the profile's {', '.join(idle)} has no effect with {why}")
    kept = tuple(PersonRule(photo, keep=True) for photo in args.keep)
    named = tuple(map(_named, args.delegate_for))
    identity = replace(config.identity, people=config.identity.people + kept + named)
    cover = replace(
        config.cover,
        keep_regions=(*config.cover.keep_regions, *args.keep_region),
        keep_tracks=(*config.cover.keep_tracks, *args.keep_track),
    )
    return replace(config, identity=identity, cover=cover)


def _named(text: str) -> PersonRule:
    name, _, photo = text.partition("=")
    if not (name and photo):
        raise ConfigError(f"--delegate-for takes NAME=PHOTO, as in anna=anna.jpg, not {text!r}")
    return PersonRule(photo, name=name)


def _idle_settings(config: Config) -> Iterator[tuple[tuple[str, ...], str]]:
    """Beginnings of settings that do nothing, and what makes them so."""
    identity = config.identity
    if config.cover.method != "synthesize":
        yield ("identity.",), f"the method {config.cover.method}"
        return
    if identity.delegate is not None:
        # A person with a rule of their own may get another one, to which it applies.
        appearance = () if identity.people else ("identity.appearance",)
        yield _OF_DRAWS + appearance, "one delegate for all faces"
    elif identity.key is not None:
        yield ("identity.seed",), "an identity key"


def _set_by_hand(config: Config) -> Iterator[tuple[str, Any]]:
    """Settings of identities that differ from their defaults."""
    for key, _hint, default, _setting in settings():
        section, name = key.split(".")
        value = getattr(getattr(config, section), name)
        if section == "identity" and value != default:
            yield key, value


def _given(args: argparse.Namespace) -> dict[str, str]:
    """The options of settings that were given, with their keys."""
    flags = {setting.flag: key for key, _, _, setting in settings() if setting.flag is not None}
    return {flag: key for flag, key in flags.items() if vars(args)[key] is not None}


def _asked(args: argparse.Namespace, *keys: str) -> list[str]:
    """What the command line sets whose key begins with one of ``keys``, as it was written."""
    asked = [flag for flag, key in _given(args).items() if key.startswith(keys)]
    return asked + [f"--set {one}" for one in args.set if one.strip().startswith(keys)]


def _demo(args: argparse.Namespace) -> int:
    from streamanon.bench.clips import demo_clip

    args.input = str(demo_clip())
    if args.profile is None and not _asked(args, "identity.", "cover.method"):
        vars(args)["identity.seed"] = DEMO_SEED
    return _run(args)


def _run(args: argparse.Namespace) -> int:
    # Here and not above: they load the media and model libraries, which --help and errors do not need.
    from streamanon.api import Anonymizer
    from streamanon.commands.batch import run_jobs
    from streamanon.commands.jobs import check_jobs, find_jobs
    from streamanon.media.output_file import check_folder
    from streamanon.runtime.run_report import write_reports

    config = _config(args)
    if args.report is not None:
        check_folder(args.report, "the report ")
    if args.overwrite and args.skip_existing:
        raise ConfigError(
            "--overwrite replaces existing outputs and --skip-existing keeps them; leave one of them out"
        )
    output = _output(args)
    _check_source(args.input)
    if args.duration is not None:
        _check_recording(args, output)
    found = find_jobs(args.input, output, args.recursive)
    jobs = found.jobs
    check_jobs(jobs, args.overwrite, args.report, _files_of(config, args.profile), args.skip_existing)
    if args.duration is not None:
        from streamanon.commands.live import record

        return record(args, config, jobs[0].output)
    asked = _asked(args, *_OF_VIDEOS)
    if asked and all(job.is_image for job in jobs):
        raise ConfigError(f"{asked[0]} has no effect on an image; leave it out")
    for line in found.left_out:
        tell(f"streamanon: {line}")
    with _stop_flag() as stop:
        outcome = run_jobs(Anonymizer(config), jobs, args.quiet, stop, args.overwrite, args.skip_existing)
    if args.report is not None and outcome.reports:
        write_reports(args.report, outcome.reports, args.overwrite)
    if outcome.error is not None:
        raise outcome.error
    if outcome.interrupted:
        return 128 + stop[0]
    if outcome.failed:
        return EXIT_SOME_FAILED if outcome.done or outcome.there else EXIT_ERROR
    return 0


def _check_recording(args: argparse.Namespace, output: Path) -> None:
    """What ``--duration`` goes with: one camera, and one file."""
    from streamanon.media.address import is_address
    from streamanon.media.output_file import is_stdout

    if not is_address(args.input) and not args.input.startswith("/dev/"):
        raise ConfigError("--duration is for cameras: give an address or /dev/video0, or leave it out")
    if is_stdout(output):
        raise ConfigError("--duration records into a file: give -o FILE, or leave --duration out")
    flags = [("--recursive", args.recursive), ("--skip-existing", args.skip_existing)]
    idle = [flag for flag, given in flags if given] + _asked(args, *_NOT_RECORDED)
    if idle:
        raise ConfigError(f"{idle[0]} has no effect on the recording of a camera; leave it out")


def _output(args: argparse.Namespace) -> Path:
    """Where it goes; standard output is ``-`` with a container's suffix."""
    from streamanon.media.address import is_address
    from streamanon.media.output_file import file_path

    if args.output == "-":
        if args.format is None:
            raise ConfigError(
                "-o - needs a container: give --format mpegts (for a pipe), matroska, mp4, mov or webm"
            )
        if sys.stdout is not None and sys.stdout.isatty():
            raise ConfigError(
                "standard output is a terminal: pipe it into a program, as in -o - | ffplay -"
            )
        return Path(f"-{_STREAMED[args.format]}")
    if args.format is not None:
        raise ConfigError("--format is for -o -; end the output's name with the suffix of its container")
    if is_address(args.output):
        raise ConfigError(
            "-o takes a file, not an address; streamanon live SOURCE --to ADDRESS sends to one"
        )
    if args.output.endswith("/") and not os.path.isdir(args.output) and not os.path.isdir(args.input):
        raise ConfigError(f"there is no folder {args.output}; make it first")
    return file_path(Path(args.output))


def _check_source(source: str) -> None:
    """What is a camera in other programs, and a standard input from which nothing will come."""
    if source == "-" and sys.stdin is not None and sys.stdin.isatty():
        raise ConfigError(
            "standard input is a terminal: pipe a video into it, as in ffmpeg ... -f mpegts -"
        )
    if source.isdecimal() and not os.path.exists(source):
        raise ConfigError(
            f"there is no file {source}; a camera goes with streamanon live /dev/video{source} --to ADDRESS"
        )


def _live(args: argparse.Namespace) -> int:
    from streamanon.commands.live import run_live

    kept = args.keep or args.keep_region or args.keep_track
    given = bool(_given(args) or args.set or kept or args.delegate_for or args.profile)
    if given and args.config is not None:
        raise ConfigError("--config sets each camera's profile and settings: leave the other settings out")
    args.profile = args.profile or "livestream"
    return run_live(args, _config(args))


def _files_of(config: Config, profile: str | None) -> list[Path | str]:
    """The files that the settings name."""
    identity = config.identity
    named = [
        find_profile(profile) if profile else None,
        config.detect.model,
        identity.key,
        identity.gallery,
        *(rule.photo for rule in identity.people),
    ]
    return [name for name in named if name is not None]


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
    from streamanon.commands.audit import run_audit

    return run_audit(args)


def _delegates(args: argparse.Namespace) -> int:
    from streamanon.commands.delegates import run_delegates

    return run_delegates(args)


def _models(args: argparse.Namespace) -> int:
    from streamanon.commands.models import run_models

    return run_models(args)


def _engines(args: argparse.Namespace) -> int:
    from streamanon.commands.engines import run_engines

    return run_engines(args)


def _bench(args: argparse.Namespace) -> int:
    from streamanon.commands.bench import run_benchmark

    return run_benchmark(args, find_profile(args.profile))


def _doctor(_args: argparse.Namespace) -> int:
    from streamanon.commands.doctor import describe

    answer(describe())
    return 0
