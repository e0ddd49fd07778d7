"""What ``streamanon run`` goes through: one input, or all videos and images of a folder."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from streamanon.errors import ConfigError, SourceError
from streamanon.media.address import is_address, redact_url
from streamanon.media.formats import WRITABLE_VIDEOS
from streamanon.media.images import IMAGES
from streamanon.media.output_file import check_free, file_path, is_same_file, partial_path
from streamanon.media.standard_input import STDIN

#: Suffixes of the videos that are looked for in a folder. A file by itself may have any name.
VIDEOS = (
    *WRITABLE_VIDEOS,
    *(".3g2", ".3gp", ".amv", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".h264", ".hevc", ".ivf"),
    *(".m1v", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mjpg", ".mod", ".mpe", ".mpeg", ".mpg", ".mpv", ".mts"),
    *(".mxf", ".nut", ".ogm", ".ogv", ".qt", ".rm", ".rmvb", ".tod", ".tp", ".trp", ".vob", ".wmv", ".y4m"),
)
#: Beginnings of the names of what systems leave in folders.
_NO_MEDIA = ("thumbs.db", "desktop.ini", ".ds_store", "._")


@dataclass(frozen=True)
class Job:
    """One input and where its output goes. ``in_folder``: whether that is a folder to be made."""

    source: str
    output: Path
    in_folder: bool = False

    @property
    def is_image(self) -> bool:
        """By the names: a GIF may become a video."""
        suffix = Path(self.source).suffix.lower()
        if is_address(self.source) or suffix not in IMAGES:
            return False
        return not (suffix == ".gif" and self.output.suffix.lower() in WRITABLE_VIDEOS)

    @property
    def is_done(self) -> bool:
        """Whether the output is there, complete."""
        return self.output.is_file()


@dataclass(frozen=True)
class Found:
    """``left_out``: sentences on what of a folder is not done."""

    jobs: list[Job] = field(default_factory=list)
    left_out: tuple[str, ...] = ()


def find_jobs(source: str, output: Path, recursive: bool = False) -> Found:
    """What to do for an input: itself, or every video and image in it if it is a folder; ``recursive``: in
    the folders within, too.

    Raises :class:`SourceError` for a folder with nothing to do and :class:`ConfigError` for an output that
    cannot be a folder.
    """
    folder = Path(source)
    if not os.path.isdir(folder):  # unlike Path's, this takes an address of any length
        if recursive:
            named = redact_url(source) if is_address(source) else folder.name
            raise ConfigError(f"--recursive is for folders and has no effect on {named}; leave it out")
        # An address may hold secrets, so nothing is named after it.
        name = Path("stream") if is_address(source) or source == STDIN else folder
        return Found([Job(source, file_path(output / _name(name)) if os.path.isdir(output) else output)])
    _check_folder(output)
    files = list(_files(folder, output, recursive))
    media = [path for path in files if path.suffix.lower() in IMAGES + VIDEOS and not _is_hidden(path)]
    left_out = tuple(_left_out(folder, files, media, recursive))
    if not media:
        none = f"the folder {folder} holds no video and no image; give another"
        raise SourceError("; ".join([none, *left_out]))
    return Found(_jobs(folder, media, output), left_out)


def _check_folder(output: Path) -> None:
    if os.path.exists(output) and not os.path.isdir(output):
        raise ConfigError(f"the output {output} is a file, but the input is a folder; give a folder")
    if not os.path.exists(output) and output.suffix.lower() in IMAGES + VIDEOS:
        raise ConfigError(f"the input is a folder, and {output} is a file's name; give a folder's")


def _files(folder: Path, output: Path, recursive: bool) -> Iterator[Path]:
    """All files but what systems leave there, sorted by name; nothing of the output."""
    for here, subfolders, names in os.walk(folder):
        inside = Path(here)
        subfolders[:] = sorted(
            name
            for name in subfolders
            if recursive and not name.startswith(".") and not is_same_file(inside / name, output)
        )
        yield from (inside / name for name in sorted(names) if not name.lower().startswith(_NO_MEDIA))


def _left_out(folder: Path, files: list[Path], media: list[Path], recursive: bool) -> Iterator[str]:
    others = sorted(path for path in set(files) - set(media) if not _is_hidden(path))
    hidden = sum(_is_hidden(path) and path.suffix.lower() in IMAGES + VIDEOS for path in files)
    if hidden:
        yield f"skipped: {_counted(hidden, 'hidden file')} (names that begin with a dot)"
    if others:
        kinds = Counter(path.suffix.lower() or "without a suffix" for path in others)
        shown = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(8))
        yield f"skipped, as neither video nor image by their names: {shown}"
    within = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    if within and not recursive:
        yield f"skipped: {_counted(len(within), 'subfolder')}; give --recursive to include them"


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".")


def _counted(count: int, name: str) -> str:
    return f"{count} {name}{'s' * (count != 1)}"


def _jobs(folder: Path, media: list[Path], output: Path) -> list[Job]:
    """Where two would become one file, as a.mp4 and a.mpg would, the second keeps its suffix: a.mpg.mp4."""
    wanted = [file_path(output / path.relative_to(folder).parent / _name(path)) for path in media]
    kept = {target for path, target in zip(media, wanted, strict=True) if target.name == path.name}
    jobs, taken = [], set(kept)
    for path, target in zip(media, wanted, strict=True):
        if target.name != path.name:
            names = (f"{path.name}{mark}{target.suffix}" for mark in ("", *(f".{n}" for n in range(2, 99))))
            while target in taken:
                target = target.with_name(next(names))
            taken.add(target)
        jobs.append(Job(str(path), target, in_folder=True))
    return jobs


def _name(source: Path) -> str:
    """What an output in a folder is called: as its input, unless nothing can write that."""
    known = source.suffix.lower() in (*IMAGES, *WRITABLE_VIDEOS)
    return source.name if known else f"{source.stem}.mp4"


def check_jobs(
    jobs: Sequence[Job],
    overwrite: bool,
    report: Path | None = None,
    read: Sequence[str | Path] = (),
    skip_existing: bool = False,
) -> None:
    """Raises :class:`ConfigError` where an output or the report would replace what it must not: an
    input, or one of ``read``, the other files that the run reads; or a file that nobody asked to replace.
    """
    for job in jobs:
        if is_same_file(job.output, job.source):
            raise ConfigError(f"the output {job.output} is the input itself; give another name")
        for path in (job.source, job.output):
            if report is not None and is_same_file(report, path):
                raise ConfigError(f"the report {report} is {path} itself; give another name")
    outputs = [job.output for job in jobs] + ([] if report is None else [report])
    for output in outputs:
        for one in read:
            if is_same_file(output, one):
                raise ConfigError(f"the output {output} is a file that this run reads; give another name")
    if report is not None:
        if skip_existing and os.path.isfile(report):  # with which --overwrite does not go
            raise ConfigError(f"the report {report} exists already; give another name, or remove it")
        check_free(report, overwrite)
    if not (overwrite or skip_existing):
        _check_all_free(jobs)


def _check_all_free(jobs: Sequence[Job]) -> None:
    if len(jobs) == 1:
        check_free(jobs[0].output, False)
        return
    there = [job.output for job in jobs if job.is_done or partial_path(job.output).is_file()]
    if there:
        raise ConfigError(
            f"{there[0]} or its partial file exists already ({_counted(len(there), 'such output')}); give"
            " --skip-existing to do only the others, or --overwrite to do all again"
        )
