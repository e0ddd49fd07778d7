"""``streamanon live``: cameras in, streams out, until told to stop."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from streamanon.config import Config
from streamanon.errors import ConfigError, sentence, tell
from streamanon.live.camera import Camera
from streamanon.live.connection import quiet_ffmpeg
from streamanon.live.service import Service
from streamanon.live.site import (
    CameraSection,
    Plan,
    check_site,
    files_of,
    load_site,
    parse_status,
    plan,
    seconds_of,
    shared_targets,
)
from streamanon.live.states import Journal
from streamanon.live.status_server import StatusServer
from streamanon.media.address import redact_text
from streamanon.runtime.run_report import write_reports

EXIT_ERROR = 2
#: A recording ends with an error when the camera is away for so long.
RECORD_GIVES_UP = "30s"
#: A thread that waits for the interpreter's lock asks for it after so long, s; by default 5 ms. There are a
#: dozen threads a camera, which need it a dozen times a frame: four cameras get 10 to 20 % more frames.
SWITCH_SECONDS = 0.0005
#: A changed site file is looked for this often, in looks at the cameras.
LOOKS_PER_FILE_CHECK = 8


def run_live(args: argparse.Namespace, config: Config) -> int:
    """Run the command; ``config``: of a camera that the command line describes."""
    if args.check is not None:
        return _check(args.check)
    site = _Site(args.config) if args.config is not None else None
    if site is not None and (args.input is not None or args.to):
        raise ConfigError(
            "--config sets the cameras, their outputs and settings: leave SOURCE and --to out"
        )
    plans = site.plans() if site is not None else [_one_camera(args, config)]
    status = args.status if args.status is not None else site.status if site is not None else None
    quiet_ffmpeg()
    sys.setswitchinterval(SWITCH_SECONDS)
    journal = Journal(args.log == "json", lambda line: tell(line, sys.stderr))
    service = Service(journal)
    with ExitStack() as stack:
        flags = stack.enter_context(_signals(reloads=site is not None))
        if status is not None:
            server = StatusServer(*parse_status(status), service.cameras)
            stack.callback(server.close)
        if not _load(service, plans, flags, journal):
            return _left(False, EXIT_ERROR if site is None and any(map(_is_recording, plans)) else 0)
        service.start(plans)
        reloading = _Reloading(site, service, journal, flags) if site is not None else None
        service.run(lambda: bool(flags.stop), reloading.look if reloading is not None else _nothing)
        in_time = service.stop()
        if flags.stop:
            journal.note("all", "stopped", reason="" if in_time else "not all ended in time")
    # Each error was told when its camera ended. A site that is stopped has done what it could: a camera
    # that never answered is no fault of the others, and systemd would call the whole unit failed.
    failed = (site is None and service.lacks_file()) if flags.stop else bool(service.errors())
    return _left(in_time, EXIT_ERROR if failed else 0)


def _load(service: Service, plans: Sequence[Plan], flags: _Flags, journal: Journal) -> bool:
    """Load the models: false where a signal stops it. Nothing is lost then, so it ends at once."""
    journal.note("all", "starting", reason="loading the models")
    try:
        flags.interrupt = True
        service.load(plans)
        flags.interrupt = False
    except KeyboardInterrupt:
        journal.note("all", "stopped", reason="before any camera began")
        return False
    return True


def _is_recording(one: Plan) -> bool:
    return any(target.kind == "file" for target in one.settings.targets)


def record(args: argparse.Namespace, config: Config, output: Path) -> int:
    """``streamanon run ADDRESS -o FILE --duration TIME``: one camera into one file, by one connection."""
    section = CameraSection(
        source=args.input,
        to=(str(output),),
        give_up_after=RECORD_GIVES_UP,
        overwrite=args.overwrite,
    )
    one = plan("camera", section, True, seconds_of(args.duration, "--duration"), config)
    if one.settings.targets[0].kind != "file":
        raise ConfigError("-o takes one file here: give a name without % that ends with .mp4, .mkv or .ts")
    quiet_ffmpeg()
    journal = Journal(False, _nothing if args.quiet else tell)
    service = Service(journal)
    with _signals(reloads=False) as flags:
        if not _load(service, [one], flags, journal):
            return _left(False, 128 + flags.stop)
        service.start([one])
        service.run(lambda: bool(flags.stop))
        in_time = service.stop()
    return _left(in_time, _recorded(args, output, service.cameras["camera"], flags.stop))


def _left(in_time: bool, code: int) -> int:
    """The exit code; where not all threads ended in time, the process ends here: one that is in a library
    would hang the interpreter's end or abort it.
    """
    if not in_time:
        sys.stderr.flush()
        os._exit(code)
    return code


def _recorded(args: argparse.Namespace, output: Path, camera: Camera, stopped: int) -> int:
    """Tell how a recording ended; returns the exit code. ``stopped``: the number of the signal, or 0."""
    if camera.error is not None and not stopped:
        if args.quiet:
            raise camera.error
        return EXIT_ERROR  # it was told when the camera ended
    if args.report is not None and camera.info is not None:
        camera.context.interrupted = bool(stopped)
        facts = {"name": output.name, "frames": camera.egress_counts.frames}
        facts |= {"width": camera.info.width, "height": camera.info.height}
        report = camera.anonymizer.report(camera.context, camera.info, facts)
        write_reports(args.report, [report], args.overwrite)
    return 128 + stopped if stopped else 0


def _nothing(*_: object) -> None: ...


def _check(path: Path) -> int:
    faults = check_site(path)
    for fault in faults:
        where = "" if str(path) in fault else f"{path}: "
        tell(f"streamanon: {where}{redact_text(fault)}")
    if not faults:
        count = len(load_site(path).sections)
        tell(f"{path}: {count} camera{'s' if count > 1 else ''}, no fault found", sys.stdout)
    return EXIT_ERROR if faults else 0


def _one_camera(args: argparse.Namespace, config: Config) -> Plan:
    if args.input is None:
        raise ConfigError("give a source and at least one --to, or --config site.yaml")
    section = CameraSection(
        source=args.input,
        to=tuple(args.to),
        audio=args.audio,
        no_signal=args.no_signal,
        rtsp_transport=args.rtsp_transport,
        realtime=args.realtime,
        loop=args.loop,
        give_up_after=args.give_up_after,
        segment=args.segment,
        keep=args.keep_files,
        overwrite=args.overwrite,
    )
    duration = None if args.duration is None else seconds_of(args.duration, "--duration")
    return plan("camera", section, True, duration, config)


class _Flags:
    """What signals asked for; ``stop``: the number of the one that asks to end. ``interrupt``: whether it
    raises KeyboardInterrupt, too.
    """

    def __init__(self) -> None:
        self.stop = 0
        self.interrupt = False
        self.reload = False


@contextmanager
def _signals(reloads: bool) -> Iterator[_Flags]:
    """SIGTERM and Ctrl-C stop, a second one at once. SIGHUP, which also comes when a terminal is closed,
    reloads or else stops, too, unless it is ignored as by nohup.
    """
    flags = _Flags()

    def stop(number: int, _frame: object) -> None:
        if flags.stop:
            os._exit(EXIT_ERROR)
        flags.stop = number
        if flags.interrupt:
            raise KeyboardInterrupt

    def reload(_number: int, _frame: object) -> None:
        flags.reload = True

    wanted: dict[int, Callable[[int, object], None]] = {signal.SIGINT: stop, signal.SIGTERM: stop}
    if hasattr(signal, "SIGHUP") and (reloads or signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN):
        wanted[signal.SIGHUP] = reload if reloads else stop
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    try:
        yield flags
    finally:
        for number, old in before.items():
            signal.signal(number, old)


class _Site:
    """The site file: what it asked for when it was read last."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read: dict[str, tuple[CameraSection, tuple[str, ...]]] = {}
        self._plans: dict[str, Plan] = {}
        self.status: str | None = None
        self._stamp = self._seen = self._read_stamp()

    def plans(self) -> list[Plan]:
        """Read the file. Cameras keep their plan whose section and the files that it names are unchanged.
        Raises :class:`ConfigError`.
        """
        self._stamp = self._read_stamp()
        site = load_site(self.path)
        made: dict[str, Plan] = {}
        read = {name: (section, files_of(section)) for name, section in site.sections.items()}
        for name, section in site.sections.items():
            same = self._read.get(name) == read[name]
            made[name] = self._plans[name] if same else plan(name, section)
        faults = shared_targets(made.values(), site.status)
        if faults:
            raise ConfigError(faults[0])
        self._read, self._plans, self.status = read, made, site.status
        return list(made.values())

    def has_changed(self) -> bool:
        """Whether it is another one than was read, and the same as when this was asked last: half a file
        may be valid, and lack cameras.
        """
        before, self._seen = self._seen, self._read_stamp()
        return before == self._seen != self._stamp

    def _read_stamp(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size


class _Reloading:
    """Reads the site file again when a signal says so or when it has changed."""

    def __init__(self, site: _Site, service: Service, journal: Journal, flags: _Flags) -> None:
        self._site, self._service, self._journal, self._flags = site, service, journal, flags
        self._looks = 0

    def look(self) -> None:
        self._looks += 1
        due = self._looks % LOOKS_PER_FILE_CHECK == 0 and self._site.has_changed()
        if not due and not self._flags.reload:
            return
        self._flags.reload = False
        status = self._site.status
        try:
            plans = self._site.plans()
        except Exception as error:  # also of a bug: the cameras go on
            self._journal.note("all", "not reloaded", reason=redact_text(sentence(error)))
            return
        if self._site.status != status:
            self._journal.note("all", "not reloaded", reason="status is read at the start only")
        self._service.reload(plans)
