"""The whole audit of one pair of videos."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from streamanon.audit.alignment import align
from streamanon.audit.containers import compare_containers
from streamanon.audit.gallery import describe_photos, read_photos
from streamanon.audit.gates import Gate, breaches, left_open
from streamanon.audit.judges import open_judges
from streamanon.audit.measure import Measurer, Thumbnail
from streamanon.audit.pairing import read_pairs, read_rgb_frames, read_times
from streamanon.audit.people import find_people
from streamanon.audit.recognisers import open_recognisers
from streamanon.audit.result import AuditResult
from streamanon.audit.summarise import (
    summarise_leaks,
    summarise_recogniser,
    summarise_time,
    summarise_utility,
)
from streamanon.config import ComputeConfig
from streamanon.mesh.face_mesh import FaceMesh
from streamanon.runtime.backends import open_backend
from streamanon.runtime.models import Engines

T = TypeVar("T")


@dataclass(frozen=True)
class AuditOptions:
    """``gallery``: a folder of photos; ``recognisers``: ONNX files; ``yunet``: an ONNX file;
    ``thumbnails``: of how many leaked tracks to keep a picture.
    """

    gallery: Path | None = None
    recognisers: tuple[Path, ...] = ()
    yunet: Path | None = None
    gates: tuple[Gate, ...] = ()
    thumbnails: int = 0
    compute: ComputeConfig = field(default_factory=ComputeConfig)


def audit(
    original: str | Path,
    output: str | Path,
    options: AuditOptions,
    progress: Callable[[str, int, int], None] | None = None,
) -> tuple[AuditResult, list[Thumbnail]]:
    """Measure ``output`` against ``original``. ``progress`` is told the pass, the frame, and how many.

    Raises :class:`SourceError` for what cannot be read and :class:`ConfigError` for wrong options.
    """
    times = read_times(original), read_times(output)
    judges = open_judges(options.compute, options.yunet)
    recognisers = open_recognisers(options.compute, list(options.recognisers))
    photos = read_photos(options.gallery, judges[0]) if options.gallery else []
    mesh = FaceMesh(open_backend(options.compute), Engines.open())
    alignment = align(*times)
    count = len(times[0].seconds)
    people = find_people(
        _with_progress(read_rgb_frames(original), "finding faces", count, progress), judges
    )
    pairs = _with_progress(
        read_pairs(original, output, (times[0], alignment.other)), "comparing", count, progress
    )
    measured = Measurer(people, judges, recognisers, mesh, options.thumbnails).run(pairs)
    result = AuditResult(
        original=times[0].name,
        output=times[1].name,
        judges=tuple(judge.name for judge in judges),
        leaks=summarise_leaks(people, measured, times[0]),
        reidentification=tuple(
            summarise_recogniser(
                one, measured.embedding_pairs[one.name], describe_photos(photos, one) if photos else None
            )
            for one in recognisers
        ),
        utility=summarise_utility(measured),
        over_time=summarise_time(measured, recognisers),
        container=compare_containers(original, output, times, alignment),
    )
    failed, too_few = breaches(options.gates, result), left_open(options.gates, result)
    return dataclasses.replace(result, failed=failed, too_few=too_few), measured.thumbnails


def _with_progress(
    items: Iterable[T], name: str, count: int, progress: Callable[[str, int, int], None] | None
) -> Iterator[T]:
    for number, item in enumerate(items, 1):
        yield item
        if progress is not None:
            progress(name, number, count)
