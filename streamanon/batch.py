"""Files, folders and images: what ``streamanon run`` goes through, with its progress bar."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Never

import cv2
import numpy as np
from tqdm import tqdm

from streamanon.anonymizer import Anonymizer
from streamanon.errors import ConfigError, SinkError, SourceError, sentence, tell
from streamanon.images import read_with_alpha
from streamanon.metrics import RunReport
from streamanon.source import SourceInfo, probe
from streamanon.types import SafeFrame

IMAGES = (".jpg", ".jpeg", ".png")
VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".ts", ".avi", ".m4v", ".mts", ".m2ts", ".mpg", ".mpeg", ".3gp")
WRITABLE_VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".ts")


@dataclass(frozen=True)
class Job:
    """One input file and where its output goes. ``in_folder``: whether that is a folder to be made."""

    source: str
    output: Path
    in_folder: bool = False

    @property
    def is_image(self) -> bool:
        return Path(self.source).suffix.lower() in IMAGES


@dataclass
class Outcome:
    reports: list[RunReport] = field(default_factory=list)
    failed: int = 0
    interrupted: bool = False


def find_jobs(source: str, output: Path) -> list[Job]:
    """What to do for an input: itself, or every video and image in it if it is a folder.

    Raises :class:`SourceError` for a folder with nothing to do and :class:`ConfigError` where two inputs
    would give one output.
    """
    folder = Path(source)
    if not os.path.isdir(folder):  # unlike Path's, this takes an address of any length
        # An address may hold secrets, so nothing is named after it.
        name = Path("stream") if "://" in source else folder
        return [Job(source, _within(output, name) if output.is_dir() else output)]
    files = sorted(p for p in folder.iterdir() if p.is_file() and p.suffix.lower() in IMAGES + VIDEOS)
    if not files:
        raise SourceError(f"the folder {folder} holds no video and no image; give another")
    if output.exists() and not output.is_dir():
        raise ConfigError(f"the output {output} is a file, but the input is a folder; give a folder")
    jobs = [Job(str(path), _within(output, path), in_folder=True) for path in files]
    taken: dict[Path, str] = {}
    for job in jobs:
        if job.output in taken:
            raise ConfigError(
                f"{taken[job.output]} and {job.source} would both become {job.output}; rename one"
            )
        taken[job.output] = job.source
    return jobs


def _within(folder: Path, source: Path) -> Path:
    known = source.suffix.lower() in IMAGES + WRITABLE_VIDEOS
    return folder / (source.name if known else f"{source.stem}.mp4")


def run_jobs(anonymizer: Anonymizer, jobs: Sequence[Job], quiet: bool, stop: list[int]) -> Outcome:
    """Do one job after the other. With several, one that fails is told and does not stop the others."""
    outcome = Outcome()
    for job in jobs:
        try:
            if job.in_folder:
                _make_folder(job.output.parent)
            run_one = _run_image if job.is_image else _run_video
            report = run_one(anonymizer, job, quiet, stop)
        except Exception as error:
            if len(jobs) == 1:
                raise
            tell(f"streamanon: {sentence(error)}")
            outcome.failed += 1
            continue
        outcome.reports.append(report)
        outcome.failed += report.saw_nothing
        if report.troubles():
            tell(f"streamanon: {job.output}: {report.troubles()}")
        if not quiet:
            tell(_summary(job, report), sys.stdout)
        if stop:
            outcome.interrupted = True
            break
    return outcome


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SinkError(f"cannot make the folder {folder}: {error.strerror}; choose another") from error


def _run_video(anonymizer: Anonymizer, job: Job, quiet: bool, stop: list[int]) -> RunReport:
    info = probe(job.source)
    with _progress(info, job, quiet) as bar:
        faces = 0

        def show(frame: SafeFrame) -> None:
            nonlocal faces
            faces += len(frame.report.covers)
            bar.set_postfix(faces=faces, refresh=False)
            bar.update()

        return anonymizer.run(job.source, job.output, show, lambda: bool(stop), info)


def _progress(info: SourceInfo, job: Job, quiet: bool) -> tqdm[Never]:
    hidden = quiet or sys.stderr is None or not sys.stderr.isatty()
    return tqdm(total=info.frames, desc=Path(info.name).name, unit=" frames", disable=hidden)


def _run_image(anonymizer: Anonymizer, job: Job, _quiet: bool, _stop: list[int]) -> RunReport:
    if job.output.suffix.lower() not in IMAGES:
        raise ConfigError(f"an image becomes an image: give {job.output} one of {', '.join(IMAGES)}")
    if job.output.exists() and os.path.exists(job.source) and job.output.samefile(job.source):
        raise ConfigError(f"the output {job.output} is the input itself; give another name")
    bgr, alpha = read_with_alpha(Path(job.source))
    rgb, report = anonymizer.image_with_report(np.ascontiguousarray(bgr[..., ::-1]))
    safe = rgb[..., ::-1] if alpha is None else np.dstack([rgb[..., ::-1], alpha])
    # OpenCV writes pixels only, so no location or device tag comes along.
    suffix = job.output.suffix.lower()
    ok, packed = cv2.imencode(suffix, safe, [] if suffix == ".png" else [cv2.IMWRITE_JPEG_QUALITY, 95])
    try:
        if not ok:
            raise OSError(0, "the image cannot be encoded")
        job.output.write_bytes(packed.tobytes())
    except OSError as error:
        raise SinkError(f"cannot write {job.output}: {error.strerror}; check the folder") from error
    assert isinstance(report.source, dict)
    source = {"name": Path(job.source).name} | report.source
    output = {"name": job.output.name, "bytes": job.output.stat().st_size} | report.output
    return dataclasses.replace(report, source=source, output=output)


def _summary(job: Job, report: RunReport) -> str:
    tally = report.tally
    methods = ", ".join(f"{count} {name}" for name, count in tally.by_method.most_common()) or "none"
    withheld = f", {tally.withheld} frames covered whole" if tally.withheld else ""
    speed = f"{tally.frames / report.seconds:.1f} frames/s" if report.seconds else ""
    state = "stopped early" if report.interrupted else "done"
    kept = tally.by_method["kept"]
    visible = f"\nWARNING: {job.output} shows {kept} real faces, left visible as asked" if kept else ""
    return f"{job.output}: {state}, {tally.frames} frames, faces: {methods}{withheld}, {speed}{visible}"
