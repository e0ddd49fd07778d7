"""What a run did, as numbers: no pixels, no likenesses, no credentials."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamanon.media.address import is_address
from streamanon.media.output_file import write_file
from streamanon.media.probe import SourceInfo
from streamanon.runtime.run_context import RunContext, Tally
from streamanon.types import Account


@dataclass(frozen=True)
class RunReport:
    """One input's run; ``as_dict`` is what ``--report`` writes. ``source``: of a video, or an image.
    ``detections_skipped``: detections skipped because a live stream was too fast. ``passed_over``: why
    backends that "auto" prefers were not taken, by name. ``decoder``: of the video, "cpu" or "cuda";
    ``decoder_passed_over``: why "auto" did not take the latter.
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
    detections_skipped: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    interrupted: bool = False
    passed_over: dict[str, str] = field(default_factory=dict)
    decoder: str = "cpu"
    decoder_passed_over: str = ""

    @classmethod
    def of(
        cls,
        context: RunContext,
        source: SourceInfo | dict[str, Any],
        output: dict[str, Any],
        backend: str,
        models: dict[str, str],
        settings: dict[str, Any],
    ) -> RunReport:
        """What a run has gathered so far."""
        return cls(
            source=source,
            output=output,
            tally=context.tally,
            frames_in=context.frames_in,
            seconds=context.seconds,
            stage_seconds=context.clock.stages(),
            backend=backend,
            models=models,
            settings=settings,
            account=context.account,
            notes=tuple(context.notes),
            skipped_packets=context.skipped_packets,
            detections_skipped=context.detections_skipped,
            faults=dict(context.faults.counts),
            interrupted=context.interrupted,
            decoder=context.decoder,
            decoder_passed_over=context.decoder_passed_over,
        )

    @property
    def saw_nothing(self) -> bool:
        """Whether every frame is covered whole because detection never worked."""
        return 0 < self.tally.frames == self.tally.withheld

    def troubles(self) -> str:
        """The faults of the run in one line; empty without any."""
        parts = [f"{count} {cause}" for cause, count in sorted(self.faults.items())]
        if self.skipped_packets:
            parts.append(f"{self.skipped_packets} packets could not be decoded and are left out")
        return "; ".join(parts)

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
            "detections_skipped": self.detections_skipped,
            "delegates": self._privacy(),
            "seconds": round(self.seconds, 3),
            "frames_per_second": round(tally.frames / self.seconds, 2) if self.seconds else None,
            "stage_seconds": {key: round(value, 3) for key, value in self.stage_seconds.items()},
            "backend": self.backend,
            "backends_passed_over": self.passed_over,
            "decoder": self.decoder,
            "decoder_passed_over": self.decoder_passed_over,
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
            "sensitivity": self.account.sensitivity,
            "utility": self.account.utility,
            "budget": self.account.most * epsilon,
            "budget_at_most": self.account.draws * epsilon,
        }


def _input_facts(source: SourceInfo | dict[str, Any]) -> dict[str, Any]:
    """File names without their folders: a report is handed on."""
    if isinstance(source, dict):
        return source
    facts: dict[str, Any] = _plain(dataclasses.asdict(source))
    return facts if is_address(source.name) else facts | {"name": Path(source.name).name}


@dataclass(frozen=True)
class FailedRun:
    """An input of which nothing came out, or a part: ``error`` is one sentence, without folders."""

    source_name: str
    error: str

    def as_dict(self) -> dict[str, Any]:
        return {"input": {"name": self.source_name}, "error": self.error}


def write_reports(path: Path, reports: Sequence[RunReport | FailedRun], overwrite: bool = False) -> None:
    """One report as an object, several as a list; as a whole or not at all."""
    content = [report.as_dict() for report in reports]
    text = json.dumps(content[0] if len(content) == 1 else content, indent=2) + "\n"
    write_file(path, text.encode(), overwrite, "the report ")


def _plain(value: Any) -> Any:
    """Fractions and tuples as JSON has them."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
