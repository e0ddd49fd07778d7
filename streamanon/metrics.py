"""What a run did, as numbers: no pixels, no likenesses, no credentials."""

from __future__ import annotations

import dataclasses
import json
import time
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from streamanon.errors import SinkError
from streamanon.identity.casting import Account
from streamanon.identity.choice import SENSITIVITY, UTILITY
from streamanon.source import SourceInfo
from streamanon.types import SafeFrame

T = TypeVar("T")
_END = object()


class StageClock:
    """Seconds spent in each stage. Every key is written by one thread only."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._items: dict[str, int] = {}

    def watch(self, items: Iterable[T], key: str) -> Generator[T, None, None]:
        """Pass ``items`` on and add the time that it takes to get them to ``key``. Closes them, too."""
        iterator = iter(items)
        self._seconds.setdefault(key, 0.0)
        self._items.setdefault(key, 0)
        try:
            while (item := self._next(iterator, key)) is not _END:
                yield item
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()

    def _next(self, iterator: Iterator[T], key: str) -> Any:
        begun = time.perf_counter()
        item = next(iterator, _END)
        self._seconds[key] += time.perf_counter() - begun
        self._items[key] += item is not _END
        return item

    def items(self, key: str) -> int:
        """How many items came by ``key``."""
        return self._items.get(key, 0)

    def stages(self) -> dict[str, float]:
        """Working seconds by stage: what ``stage`` took less what it waited for ``stage/wait``."""
        return {
            key: max(0.0, seconds - self._seconds.get(f"{key}/wait", 0.0))
            for key, seconds in self._seconds.items()
            if not key.endswith("/wait")
        }


@dataclass
class Tally:
    """Counts over the frames written."""

    frames: int = 0
    withheld: int = 0
    moving: int = 0
    faces: int = 0
    by_method: Counter[str] = field(default_factory=Counter)
    detected: int = 0
    tracks: set[int] = field(default_factory=set)

    def count(self, frame: SafeFrame) -> None:
        self.frames += 1
        self.withheld += frame.report.withheld
        self.moving += bool(frame.report.moving)
        for cover in frame.report.covers:
            self.faces += 1
            self.by_method[cover.method] += 1
            self.detected += cover.detected
            self.tracks.add(cover.track_id)


@dataclass(frozen=True)
class RunReport:
    """One input's run; ``as_dict`` is what ``--report`` writes. ``source``: of a video, or an image.
    ``looks_left_out``: of the detector, as a live stream came too fast.
    """

    source: SourceInfo | dict[str, Any]
    output: dict[str, Any]
    tally: Tally
    frames_in: int
    seconds: float
    stage_seconds: dict[str, float]
    backend: str
    models: dict[str, str]
    settings: dict[str, Any]
    account: Account = field(default_factory=Account)
    notes: tuple[str, ...] = ()
    skipped_packets: int = 0
    looks_left_out: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    interrupted: bool = False

    @property
    def saw_nothing(self) -> bool:
        """Whether every single frame is covered whole, as detection never worked."""
        return 0 < self.tally.frames == self.tally.withheld

    def troubles(self) -> str:
        """What failed on the way, in one line, or nothing."""
        told = [f"{count} {cause}" for cause, count in sorted(self.faults.items())]
        if self.skipped_packets:
            told.append(f"{self.skipped_packets} packets could not be decoded and are left out")
        return "; ".join(told)

    def as_dict(self) -> dict[str, Any]:
        tally = self.tally
        return {
            "input": _input_facts(self.source),
            "output": self.output,
            "frames": {
                "in": self.frames_in,
                "out": tally.frames,
                "withheld": tally.withheld,
                "motion_covered": tally.moving,
                "packets_not_decoded": self.skipped_packets,
            },
            "face_frames": {
                "all": tally.faces,
                "detected": tally.detected,
                "carried": tally.faces - tally.detected,
                "by_method": dict(sorted(tally.by_method.items())),
                "left_visible": tally.by_method["kept"],
            },
            "tracks": len(tally.tracks),
            "looks_left_out": self.looks_left_out,
            "delegates": self._privacy(),
            "seconds": round(self.seconds, 3),
            "frames_per_second": round(tally.frames / self.seconds, 2) if self.seconds else None,
            "stage_seconds": {key: round(value, 3) for key, value in self.stage_seconds.items()},
            "backend": self.backend,
            "models": self.models,
            "settings": self.settings,
            "notes": list(self.notes),
            "faults": self.faults,
            "interrupted": self.interrupted,
        }

    def _privacy(self) -> dict[str, Any]:
        """What the draws of delegates cost. ``budget``: of the person with the most draws, as far as is
        known; ``budget_at_most``: if all draws were one person's.
        """
        epsilon = self.settings.get("identity", {}).get("epsilon", 0.0)
        return {
            "draws": self.account.draws,
            "switches": self.account.switches,
            "epsilon": epsilon,
            "sensitivity": SENSITIVITY,
            "utility": UTILITY,
            "budget": self.account.most * epsilon,
            "budget_at_most": self.account.draws * epsilon,
        }


def _input_facts(source: SourceInfo | dict[str, Any]) -> dict[str, Any]:
    """File names without their folders: a report is handed on."""
    if isinstance(source, dict):
        return source
    facts: dict[str, Any] = _plain(dataclasses.asdict(source))
    return facts if "://" in source.name else facts | {"name": Path(source.name).name}


def write_reports(path: Path, reports: list[RunReport]) -> None:
    """One report as an object, several as a list."""
    content = [report.as_dict() for report in reports]
    try:
        path.write_text(json.dumps(content[0] if len(content) == 1 else content, indent=2) + "\n")
    except OSError as error:
        raise SinkError(f"cannot write the report {path}: {error.strerror}") from error


def _plain(value: Any) -> Any:
    """Fractions and tuples as JSON has them."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
