"""What makes an audit fail: ``--fail-on leak>0,reid>0.01``."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from streamanon.audit.identities import IdentityResult
from streamanon.audit.recognisers import EncoderRecogniser
from streamanon.audit.result import AuditResult, Interval, Reidentification
from streamanon.errors import ConfigError

DEFAULT = "leak>0,pictures>0"
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_PATTERN = re.compile(r"\s*([a-z_0-9]+)\s*(>=|<=|>|<)\s*([0-9.]+)\s*")


class _Named(Protocol):
    @property
    def recogniser(self) -> str: ...


One = TypeVar("One", bound=_Named)


def _worst(ones: Iterable[One], of: Callable[[One], Interval | None]) -> float | None:
    """The highest of the recognisers; streamanon's own only where there is no other. None: not measured."""
    found = {one.recogniser: value.value for one in ones if (value := of(one))}
    own = found.pop(EncoderRecogniser.name, None)
    return max(found.values(), default=own)


_Value = Callable[[AuditResult], float | None]


def _paired(value: _Value) -> _Value:
    """None where the two videos show different moments: then nothing can be told of it."""
    return lambda result: value(result) if result.container.is_comparable else None


#: Name -> its value in a result; None where it could not be measured, which fails.
MEASURES: dict[str, _Value] = {
    "leak": _paired(lambda r: r.leaks.seen),
    "leak_share": _paired(lambda r: r.leaks.seen / max(1, r.leaks.face_frames)),
    "leak_seconds": _paired(lambda r: r.leaks.seconds_seen),
    "leak_tracks": _paired(lambda r: r.leaks.tracks_seen),
    "reid": _paired(lambda r: _worst(r.reidentification, lambda one: one.accepted)),
    "rank1": _paired(lambda r: _worst(r.reidentification, lambda one: one.rank1)),
    "intrusion": _paired(lambda r: _worst(r.reidentification, lambda one: one.intrusions)),
    "found": lambda r: r.utility.faces_found.value if r.utility.faces_found else None,
    "nme": lambda r: r.utility.landmark_nme,
    "psnr": lambda r: r.utility.psnr_outside,
    "switches": lambda r: r.over_time.switches if r.over_time.was_compared else None,
    "flicker": lambda r: r.over_time.flicker,
    "frames_lost": lambda r: r.container.frames_lost,
    "tags": lambda r: len(r.container.tags_left),
    "pictures": lambda r: r.container.extra_pictures,
    "streams": lambda r: len(r.container.extra_streams),
}


#: The same for a folder of people.
IDENTITY_MEASURES: Mapping[str, Callable[[IdentityResult], float | None]] = {
    "rank1": lambda r: _worst(r.recognised, lambda one: one.rank1),
    "tar": lambda r: _worst(r.recognised, lambda one: one.tar),
    "tar_same_photo": lambda r: _worst(r.recognised, lambda one: one.tar_same_photo),
    "match": lambda r: _worst(r.recognised, lambda one: one.match),
    "parrot": lambda r: _worst(r.recognised, lambda one: one.parrot),
    "found": lambda r: r.kept.faces_found.value if r.kept.faces_found else None,
    "nme": lambda r: r.kept.landmark_nme,
}


#: Those that are shares of people or of their faces, and what guessing would give.
_Share = tuple[Callable[[Reidentification], Interval | None], Callable[[Reidentification], float]]
_SHARES: dict[str, _Share] = {
    "reid": (lambda one: one.accepted_people, lambda one: 0.0),
    "rank1": (lambda one: one.rank1, lambda one: one.chance or 0.0),
    "intrusion": (lambda one: one.intrusions, lambda one: 0.0),
}


@dataclass(frozen=True)
class Gate:
    """One condition under which an audit fails."""

    name: str
    sign: str
    limit: float

    def breached(self, value: float | None) -> bool:
        return value is None or not math.isfinite(value) or _COMPARE[self.sign](value, self.limit)

    def __str__(self) -> str:
        return f"{self.name}{self.sign}{self.limit:g}"


def breaches(gates: Iterable[Gate], result: AuditResult) -> tuple[str, ...]:
    """The conditions that hold for a pair of videos. What too few people leave open does not."""
    return tuple(str(gate) for gate in gates if _judged(gate, result) is True)


def left_open(gates: Iterable[Gate], result: AuditResult) -> tuple[str, ...]:
    """The conditions of which too few people tell nothing."""
    return tuple(str(gate) for gate in gates if _judged(gate, result) is None)


def _judged(gate: Gate, result: AuditResult) -> bool | None:
    """Whether a condition holds; None where too few people leave that open. With few people a share counts
    as more than the limit if its whole interval is, and is more than guessing would give.
    """
    share = _SHARES.get(gate.name)
    measured = MEASURES[gate.name](result)
    if share is None or measured is None or gate.sign not in (">", ">=") or gate.limit <= 0:
        return gate.breached(measured)
    few = [one for one in _counted(result.reidentification) if not one.tells]
    if not few:
        return gate.breached(measured)
    interval, guessing = share
    for one in few:
        found = interval(one)
        if found is not None and found.low > max(gate.limit, guessing(one)):
            return True
    return None


def _counted(ones: Iterable[Reidentification]) -> list[Reidentification]:
    """All recognisers but streamanon's own, unless there is no other."""
    found = list(ones)
    return [one for one in found if one.recogniser != EncoderRecogniser.name] or found


def identity_breaches(gates: Iterable[Gate], result: IdentityResult) -> tuple[str, ...]:
    """The conditions that hold for a folder of people."""
    return tuple(str(gate) for gate in gates if gate.breached(IDENTITY_MEASURES[gate.name](result)))


def parse_gates(text: str, measures: Iterable[str] = tuple(MEASURES)) -> list[Gate]:
    """Raises :class:`ConfigError` that names the measures there are."""
    known = list(measures)
    if text.strip() == "never":
        return []
    gates = []
    for part in text.split(","):
        match = _PATTERN.fullmatch(part)
        if match is None or match[1] not in known:
            raise ConfigError(
                f"--fail-on {part.strip()!r} is no condition; write e.g. leak>0, or never; "
                f"measures: {', '.join(known)}"
            )
        try:
            gates.append(Gate(match[1], match[2], float(match[3])))
        except ValueError:
            raise ConfigError(f"--fail-on {part.strip()!r}: {match[3]} is no number") from None
    return gates
