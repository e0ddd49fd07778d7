"""What an audit found, as numbers: no pixels and no embeddings. ``schema.json`` describes its JSON."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from streamanon.audit.containers import ContainerFacts

SCHEMA = "streamanon-audit/1"
#: Standard deviations of a normal distribution on either side that hold 95 %.
Z_95 = 1.96
#: With fewer people a share of them says little: guessing gives a rank-1 of one in so many.
FEWEST_PEOPLE = 20


@dataclass(frozen=True)
class Interval:
    """A share with its 95 % interval; ``of``: how many were counted."""

    value: float
    low: float
    high: float
    of: int

    @staticmethod
    def of_counts(hits: int, of: int) -> Interval | None:
        """Wilson's interval, which holds for few counts and for none. None where nothing was counted."""
        if not of:
            return None
        z, share = Z_95, hits / of
        middle = (share + z * z / (2 * of)) / (1 + z * z / of)
        half = z / (1 + z * z / of) * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
        return Interval(share, max(0.0, middle - half), min(1.0, middle + half), of)


@dataclass(frozen=True)
class SizeBin:
    """Faces of ``low`` to ``high`` px (None: and more) and how many of them can be seen."""

    low: int
    high: int | None
    face_frames: int
    seen: int


@dataclass(frozen=True)
class Spell:
    """A track, or a leak of it, on the original's clock, seconds."""

    start: float
    end: float


@dataclass(frozen=True)
class TrackResult:
    """One person's stay in view."""

    track: int
    size_px: float
    face_frames: int
    seen: int
    spells: tuple[Spell, ...]
    leaks: tuple[Spell, ...]


@dataclass(frozen=True)
class Leaks:
    """``doubtful_tracks``: single finds of one judge, which count nowhere else. ``hidden_frames``: frames
    of the original to which the output shows no counterpart.
    """

    face_frames: int
    seen: int
    seconds_seen: float
    tracks: int
    tracks_seen: int
    doubtful_tracks: int
    hidden_frames: int
    by_size: tuple[SizeBin, ...]
    per_track: tuple[TrackResult, ...]


@dataclass(frozen=True)
class Reidentification:
    """By one recogniser. ``rank1``: output tracks whose nearest original person is their own; ``chance``:
    what guessing would give; ``accepted``: output faces taken for the original's at a false accept rate of
    1e-3; ``gallery_rank1``: original people whose photo in the gallery the output leads to; ``intrusions``:
    output tracks accepted as somebody else. ``genuine``, ``impostor``: similarities for a histogram.
    ``people``: output tracks; ``accepted_people``: those of them of whom most faces are accepted.
    """

    recogniser: str
    relation: str
    threshold: float
    rank1: Interval | None
    chance: float | None
    accepted: Interval | None
    gallery_people: int
    gallery_rank1: Interval | None
    intrusions: Interval | None
    genuine: tuple[float, ...]
    impostor: tuple[float, ...]
    people: int
    accepted_people: Interval | None

    @property
    def tells(self) -> bool:
        """Whether there are enough people for shares of them to mean something."""
        return self.people >= FEWEST_PEOPLE


@dataclass(frozen=True)
class Utility:
    """What the output keeps; means over face-frames unless said otherwise. ``skin_delta_e``: median.
    ``psnr_outside``: dB, away from all faces; ``changed_outside``: share of pixels there that differ by
    more than 24 levels.
    """

    faces_found: Interval | None
    landmark_nme: float | None
    yaw_error_deg: float | None
    eye_correlation: float | None
    mouth_correlation: float | None
    gaze_error: float | None
    skin_delta_e: float | None
    psnr_outside: float | None
    changed_outside: float | None


@dataclass(frozen=True)
class OverTime:
    """``stability``: mean similarity of a track's output faces to one another, by ``recogniser``;
    ``switches``: how often an output face stops being like the one before; ``flicker``: change between
    frames, output over input, median.
    """

    recogniser: str | None
    stability: float | None
    stability_original: float | None
    switches: int
    flicker: float | None

    @property
    def was_compared(self) -> bool:
        """Whether there were two output faces of one track to compare: else no switch can be seen."""
        return self.recogniser is not None and self.stability is not None


@dataclass(frozen=True)
class AuditResult:
    """``failed``: the conditions that hold; ``too_few``: those that too few people leave open."""

    original: str
    output: str
    judges: tuple[str, ...]
    leaks: Leaks
    reidentification: tuple[Reidentification, ...]
    utility: Utility
    over_time: OverTime
    container: ContainerFacts
    failed: tuple[str, ...] = ()
    too_few: tuple[str, ...] = ()
    schema: str = SCHEMA

    def as_dict(self) -> dict[str, Any]:
        content: dict[str, Any] = rounded(dataclasses.asdict(self))
        return content


def rounded(value: Any) -> Any:
    """Numbers as JSON can hold them, with as many digits as mean something."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item) for item in value]
    if isinstance(value, float):
        return round(value, 5) if math.isfinite(value) else None
    return value
