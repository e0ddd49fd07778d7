"""Delegates by what they look like: ``age=30,sex=f,tone=3``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streamanon.errors import ConfigError
from streamanon.types import Delegate, Float

#: Middles of the six skin tones, from very light to dark: individual typology angle, degrees.
TONES = (60.0, 48.0, 34.0, 19.0, -10.0, -45.0)
#: Years and degrees that count as much as one another.
YEARS, DEGREES = 5.0, 14.0
SEXES = ("f", "m")
_HOW = "give any of age=YEARS, sex=f or m and tone=1 (very light) to 6 (dark), as in age=30,sex=f,tone=3"


def delegate_like(text: str, delegates: Sequence[Delegate], tones: Float) -> Delegate:
    """The delegate that is most like what ``text`` asks for; always the same. ``tones`` [D]: theirs,
    degrees. Raises :class:`ConfigError`.
    """
    wanted = _read(text)
    away = np.zeros(len(delegates))
    if "age" in wanted:
        away += ((np.array([one.age for one in delegates]) - wanted["age"]) / YEARS) ** 2
    if "tone" in wanted:
        away += ((tones - TONES[int(wanted["tone"]) - 1]) / DEGREES) ** 2
    if "sex" in wanted:
        fits = np.array([(one.masculine > 0.5) == bool(wanted["sex"]) for one in delegates])
        if not fits.any():
            raise ConfigError(f"no delegate of the gallery presents as {text!r} asks; leave sex out")
        away = np.where(fits, away, np.inf)
    return delegates[int(np.argmin(away))]


def _read(text: str) -> dict[str, float]:
    wanted: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = part.strip().partition("=")
        number = _number(name, value.strip())
        if number is None or name in wanted:
            raise ConfigError(f"{part.strip()!r} in {text!r} describes no delegate: {_HOW}")
        wanted[name] = number
    return wanted


def _number(name: str, value: str) -> float | None:
    """What a part says, None where it says nothing."""
    if name == "sex":
        return float(SEXES.index(value)) if value in SEXES else None
    if name not in ("age", "tone") or not value.isdecimal():
        return None
    number = float(value)
    fits = 1 <= number <= len(TONES) if name == "tone" else 1 <= number <= 110
    return number if fits else None
