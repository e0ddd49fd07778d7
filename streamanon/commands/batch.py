"""One job after the other, with a progress bar, a line for each and one for all."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Never

from tqdm import tqdm

from streamanon.api import Anonymizer
from streamanon.commands.image_file import run_image
from streamanon.commands.jobs import Job
from streamanon.commands.progress import hides_progress
from streamanon.errors import ConfigError, SinkError, plain, sentence, tell
from streamanon.media.address import is_address, redact_text, redact_url
from streamanon.media.formats import WRITABLE_VIDEOS
from streamanon.media.images import IMAGES
from streamanon.media.output_file import is_stdout, partial_path, shown
from streamanon.media.probe import SourceInfo, probe
from streamanon.runtime.run_report import FailedRun, RunReport
from streamanon.types import SafeFrame


@dataclass
class Outcome:
    """``reports``: of what was done or failed, in order. ``error``: of a single job that failed."""

    reports: list[RunReport | FailedRun] = field(default_factory=list)
    done: int = 0
    failed: int = 0
    there: int = 0
    interrupted: bool = False
    error: Exception | None = None


def run_jobs(
    anonymizer: Anonymizer,
    jobs: Sequence[Job],
    quiet: bool,
    stop: list[int],
    overwrite: bool = False,
    skip_existing: bool = False,
) -> Outcome:
    """Do one job after the other. One that fails is told and does not stop the others; the error of a job
    by itself is the outcome's. ``skip_existing``: only those whose output is not there, complete.
    """
    outcome = Outcome()
    for job in jobs:
        if skip_existing and job.is_done:
            outcome.there += 1
            continue
        try:
            report = _run_one(anonymizer, job, quiet, stop, overwrite or skip_existing)
        except Exception as error:
            outcome.failed += 1
            outcome.reports.append(_failed(job, error))
            if len(jobs) == 1:
                outcome.error = error
            else:
                tell(f"streamanon: {redact_text(sentence(error))}")
        else:
            outcome.reports.append(report)
            outcome.failed += report.saw_nothing
            outcome.done += not report.saw_nothing and not report.interrupted
            _tell_of(job, report, quiet, _kept_nobody(anonymizer, report))
        if stop:
            outcome.interrupted = True
            break
    if not quiet and (len(jobs) > 1 or outcome.there):
        tell(_total(outcome, len(jobs)), sys.stdout)
    return outcome


def _run_one(anonymizer: Anonymizer, job: Job, quiet: bool, stop: list[int], overwrite: bool) -> RunReport:
    if job.in_folder:
        _make_folder(job.output.parent)
    if job.is_image:
        return run_image(anonymizer, job.source, job.output, overwrite)
    if job.output.suffix.lower() in IMAGES:
        videos = f"{', '.join(WRITABLE_VIDEOS[:-1])} or {WRITABLE_VIDEOS[-1]}"
        raise ConfigError(
            f"{redact_url(job.source)} has no image suffix, but the output has: convert it to .png or"
            f" .jpg; if it is a video, end the output's name with {videos}"
        )
    report = _run_video(anonymizer, job, quiet, stop, overwrite)
    if report.interrupted and job.in_folder:  # else it would pass for done when the folder goes on
        os.replace(job.output, partial_path(job.output))
    return report


def _failed(job: Job, error: Exception) -> FailedRun:
    """For the report, which is handed on: no folder is named."""
    folders = {job.output.parent, Path(os.path.realpath(job.output)).parent}
    if not is_address(job.source):
        folders |= {Path(job.source).parent}
    said = redact_text(sentence(error))
    for folder in sorted(map(str, folders), key=len, reverse=True):
        said = said.replace(f"{folder}/", "") if folder not in (".", "/") else said
    return FailedRun(redact_url(job.source) if is_address(job.source) else Path(job.source).name, said)


def _kept_nobody(anonymizer: Anonymizer, report: RunReport) -> str:
    """What to say where somebody was to be left visible and nobody was; empty otherwise."""
    if report.tally.by_method["kept"]:
        return ""
    people = [rule for rule in anonymizer.config.identity.people if rule.keep]
    cover = anonymizer.config.cover
    if people:
        return "--keep left nobody visible: no face matched the photo with certainty; give a photo like"
        " the video"
    if cover.keep_tracks:
        return "--keep-track left nobody visible: no face that can be tracked was at that place then"
    return "--keep-region left nobody visible: no face stayed within it" if cover.keep_regions else ""


def _tell_of(job: Job, report: RunReport, quiet: bool, kept_nobody: str) -> None:
    if kept_nobody:
        tell(f"streamanon: {shown(job.output)}: {kept_nobody}")
    if report.troubles():
        tell(f"streamanon: {shown(job.output)}: {report.troubles()}")
    if job.is_image:  # a video's are told as soon as it is opened
        for note in report.notes:
            tell(f"streamanon: {plain(job.output.name)}: {note}")
    if not quiet:
        tell(_summary(job, report), sys.stderr if is_stdout(job.output) else sys.stdout)


def _total(outcome: Outcome, count: int) -> str:
    parts = [f"{outcome.done} of {count} done"]
    parts += [f"{outcome.failed} failed"] if outcome.failed else []
    parts += [f"{outcome.there} existed already"] if outcome.there else []
    left = count - outcome.done - outcome.failed - outcome.there
    return ", ".join(parts + ([f"{left} not done: continue with --skip-existing"] if left else []))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SinkError(f"cannot make the folder {folder}: {error.strerror}; choose another") from error


def _run_video(
    anonymizer: Anonymizer, job: Job, quiet: bool, stop: list[int], overwrite: bool
) -> RunReport:
    info = probe(job.source)
    with _progress(info, job, quiet) as bar:
        faces = 0

        def show(frame: SafeFrame) -> None:
            nonlocal faces
            faces += len(frame.report.covers)
            bar.set_postfix(faces=faces, refresh=False)
            bar.update()

        return anonymizer.run(job.source, job.output, show, lambda: bool(stop), info, overwrite)


def _progress(info: SourceInfo, job: Job, quiet: bool) -> tqdm[Never]:
    name, hidden = plain(Path(info.name).name), hides_progress(quiet)
    return tqdm(total=info.frames, desc=name, unit=" frames", disable=hidden)


def _summary(job: Job, report: RunReport) -> str:
    tally = report.tally
    methods = ", ".join(f"{count} {name}" for name, count in tally.by_method.most_common()) or "none"
    withheld = f", {tally.withheld} frames covered whole" if tally.withheld else ""
    speed = f"{tally.frames / report.seconds:.1f} frames/s" if report.seconds else ""
    state = "stopped early" if report.interrupted else "done"
    kept = tally.by_method["kept"]
    output = shown(partial_path(job.output) if report.interrupted and job.in_folder else job.output)
    visible = f"\nWARNING: {output} shows {kept} real faces, left visible as asked" if kept else ""
    return f"{output}: {state}, {tally.frames} frames, faces: {methods}{withheld}, {speed}{visible}"
