"""The audit as one self-contained HTML file, whose first screen needs no engineer."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2

from streamanon.audit.measure import Thumbnail
from streamanon.audit.pairing import Image
from streamanon.audit.recognisers import EncoderRecogniser
from streamanon.audit.result import FEWEST_PEOPLE, AuditResult, Interval, Reidentification
from streamanon.errors import ConfigError

NOT_MEASURED = "not measured"
TOO_FEW = "too few people to tell"
THUMBNAIL_PX = 160

#: Share of faces taken for the person's own from which the first screen says so.
WORTH_TELLING = 0.01


@dataclass(frozen=True)
class Row:
    """A line of a table: what, how much, and what that means."""

    name: str
    value: str
    meaning: str = ""


@dataclass(frozen=True)
class Shown:
    """A leak as two pictures, as data addresses."""

    track: int
    frame: int
    original: str
    output: str


def check_libraries() -> None:
    """Raises :class:`ConfigError` where jinja2 or matplotlib is missing."""
    try:
        import jinja2  # noqa: F401

        from streamanon.audit import plots  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"--html needs {error.name}, which is not installed: pip install 'streamanon[audit]'"
        ) from None


def render(result: AuditResult, thumbnails: Sequence[Thumbnail] = ()) -> str:
    """The report. ``thumbnails`` show real faces: give them only where the user asked for them.

    Raises :class:`ConfigError` where jinja2 or matplotlib is missing.
    """
    check_libraries()
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    from streamanon.audit import plots

    environment = Environment(
        loader=PackageLoader("streamanon.audit", "."),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        result=result,
        headline=headline(result),
        cards=cards(result),
        timeline=plots.timeline(result.leaks.per_track),
        sizes=plots.sizes(result.leaks.by_size),
        recognisers=[
            (one, recogniser_rows(one), plots.similarities(one)) for one in result.reidentification
        ],
        utility=utility_rows(result),
        over_time=time_rows(result),
        container=container_rows(result),
        shown=[_shown(one) for one in thumbnails],
    )


def headline(result: AuditResult) -> str:
    """The outcome in one sentence."""
    leaks = result.leaks
    if not leaks.face_frames:
        return "No face was found in the original, so there was nothing to anonymise, or nothing was seen."
    if leaks.seen:
        return (
            f"Real faces can be seen: {leaks.tracks_seen} of {leaks.tracks} people,"
            f" for {leaks.seconds_seen:.1f} seconds in all."
        )
    worst = _worst(result)
    if worst is not None and not worst.tells and not _is_known_again(worst):
        return (
            "No real face can be seen in the output. Whether people can be recognised too few of them tell:"
            f" {worst.people}, and {FEWEST_PEOPLE} are needed."
        )
    if worst is not None and worst.accepted is not None and worst.accepted.value > WORTH_TELLING:
        return (
            f"No real face can be seen, but {worst.recogniser} still takes {percent(worst.accepted.value)}"
            " of the output's faces for the person's own."
        )
    return "No real face can be seen in the output."


def _is_known_again(one: Reidentification) -> bool:
    """Whether even few people are enough to tell."""
    return one.accepted_people is not None and one.accepted_people.low > WORTH_TELLING


def cards(result: AuditResult) -> list[Row]:
    """What the first screen shows."""
    leaks, worst = result.leaks, _worst(result)
    found = [
        Row(
            "people found",
            str(leaks.tracks),
            f"stays in view of the original, {leaks.face_frames} faces in all",
        ),
        Row(
            "real faces visible",
            f"{leaks.seconds_seen:.1f} s",
            f"{leaks.seen} of {leaks.face_frames} faces",
        ),
    ]
    if worst is not None:
        found.append(
            Row(
                "recognised",
                percent(worst.accepted.value) if worst.accepted else NOT_MEASURED,
                f"of faces by {worst.recogniser}, which takes 1 in 1,000 strangers for the same person",
            )
        )
    seen = result.utility.faces_found
    still = percent(seen.value) if seen else NOT_MEASURED
    return [*found, Row("still look like faces", still, "of the output's faces, to a face detector")]


def recogniser_rows(one: Reidentification) -> list[Row]:
    rows = [
        Row(
            "taken for the person",
            interval(one.accepted),
            "output faces above the threshold; less is better",
        ),
        Row("led back to the person", interval(one.rank1) if one.tells else TOO_FEW, _chance(one)),
    ]
    if one.gallery_people:
        rows += [
            Row(
                "named from the gallery", interval(one.gallery_rank1), f"{one.gallery_people} people in it"
            ),
            Row(
                "taken for somebody else in it", interval(one.intrusions), "a stranger's name on a new face"
            ),
        ]
    return rows


def utility_rows(result: AuditResult) -> list[Row]:
    kept = result.utility
    return [
        Row("faces still found", interval(kept.faces_found), "by the first judge"),
        Row("landmarks off by", number(kept.landmark_nme, "share"), "of the distance between the eyes"),
        Row("head turned otherwise by", number(kept.yaw_error_deg, "°"), "mean"),
        Row("eyes open alike", number(kept.eye_correlation), "correlation; 1 is the same"),
        Row("mouth open alike", number(kept.mouth_correlation), "correlation; 1 is the same"),
        Row("gaze off by", number(kept.gaze_error, "share"), "of the eye's width"),
        Row("skin colour off by", number(kept.skin_delta_e, "ΔE"), "median; below 6 few people notice"),
        Row(
            "picture elsewhere",
            number(kept.psnr_outside, "dB"),
            "PSNR away from faces; above 35 looks the same",
        ),
        Row(
            "pixels changed elsewhere",
            number(kept.changed_outside, "share"),
            "by more than 24 of 255 levels",
        ),
    ]


def time_rows(result: AuditResult) -> list[Row]:
    over = result.over_time
    before = number(over.stability_original)
    return [
        Row(
            "same face throughout",
            number(over.stability),
            f"likeness of neighbours; the original has {before}",
        ),
        Row(
            "sudden switches", str(over.switches) if over.was_compared else NOT_MEASURED, "to another face"
        ),
        Row("flicker", number(over.flicker), "change between frames, output over original; 1 is the same"),
    ]


def container_rows(result: AuditResult) -> list[Row]:
    facts = result.container
    sizes = [f"{width}×{height}" for width, height in (facts.size_original, facts.size_output)]
    return [
        Row("frames", f"{facts.frames_original} → {facts.frames_output}"),
        Row("size", " → ".join(sizes)),
        Row("times off by at most", number(facts.time_error, "s")),
        Row(
            "clock shifted by",
            number(facts.clock_shift, "s"),
            "found by the pictures where the beginning is cut away",
        ),
        Row(
            "pictures that show another moment",
            percent(facts.unpaired),
            "the videos can be compared" if facts.is_comparable else "too many: no leak can be told",
        ),
        Row("streams", f"{', '.join(facts.streams_original)} → {', '.join(facts.streams_output)}"),
        Row("streams that should not be there", ", ".join(facts.extra_streams) or "none"),
        Row(
            "tags left behind",
            ", ".join(facts.tags_left) or "none",
            "names only; values are not repeated here",
        ),
        Row("sound", facts.audio),
    ]


def percent(value: float) -> str:
    return f"{100 * value:.1f} %" if 0 < value < 0.1 else f"{100 * value:.0f} %"


def interval(value: Interval | None) -> str:
    if value is None:
        return NOT_MEASURED
    return f"{percent(value.value)} ({percent(value.low)} to {percent(value.high)}, of {value.of})"


def number(value: float | None, unit: str = "") -> str:
    """``unit`` "share" is written as per cent."""
    if value is None:
        return NOT_MEASURED
    return percent(value) if unit == "share" else f"{value:.3g} {unit}".rstrip()


def _chance(one: Reidentification) -> str:
    return "" if one.chance is None else f"guessing would give {percent(one.chance)}"


def _worst(result: AuditResult) -> Reidentification | None:
    """The recogniser that knows most faces again; streamanon's own only where there is no other."""

    def rank(one: Reidentification) -> tuple[bool, float]:
        return one.recogniser != EncoderRecogniser.name, one.accepted.value if one.accepted else 0.0

    return max((one for one in result.reidentification if one.accepted is not None), key=rank, default=None)


def _shown(one: Thumbnail) -> Shown:
    return Shown(one.track, one.index, _data_address(one.original), _data_address(one.output))


def _data_address(image: Image) -> str:
    scale = THUMBNAIL_PX / max(image.shape[:2])
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    small: Any = cv2.resize(image[..., ::-1], size, interpolation=cv2.INTER_AREA)
    encoded = cv2.imencode(".jpg", small)[1].tobytes()
    return "data:image/jpeg;base64," + base64.b64encode(encoded).decode()
