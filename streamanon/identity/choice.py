"""Choosing a delegate under differential privacy, by the exponential mechanism.

McSherry and Talwar, *Mechanism Design via Differential Privacy* (FOCS 2007):
Pr[d] is proportional to exp(epsilon u(d) / (2 Du)). The utility u lies in 0..1 whoever the person is, so
that its sensitivity Du is 1 and, for any two people and any delegate, the two probabilities differ by a
factor of at most exp(epsilon).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamanon.mesh import Measurement
from streamanon.types import LUMA, Delegate, Float

SENSITIVITY = 1.0
#: Differences up to which a delegate fits well, and from which not at all: in presentation (0..1), years,
#: and levels of the skin's luma, which varies with the light.
SEX_RANGE, AGE_RANGE, TONE_RANGE = (0.2, 0.6), (5.0, 40.0), (8.0, 70.0)
#: Of a delegate's utility, what it has for presenting alike. The gallery is thin in places: without this,
#: nobody would fit a person whose age or skin it lacks, and any face would do.
SEX_SHARE = 0.4


@dataclass(frozen=True, eq=False)
class Attributes:
    """What should fit, [N] each: how masculine somebody presents 0..1, years, skin luma 0..255."""

    masculine: Float
    age: Float
    tone: Float


def attributes_of(delegates: Sequence[Delegate]) -> Attributes:
    return Attributes(
        np.array([delegate.masculine for delegate in delegates], np.float32),
        np.array([delegate.age for delegate in delegates], np.float32),
        np.array([delegate.tone for delegate in delegates], np.float32),
    )


def utilities(measurement: Measurement, delegates: Attributes) -> Float:
    """How well each delegate fits the rest of a person (voice, neck, hands, clothes), 0..1 [D]."""
    geometry, tone = measurement.geometry, float(measurement.skin @ LUMA)
    sex = _closeness(delegates.masculine - geometry.masculine, SEX_RANGE)
    age = _closeness(delegates.age - geometry.age, AGE_RANGE)
    skin = _closeness(delegates.tone - tone, TONE_RANGE)
    fit = sex * (SEX_SHARE + (1 - SEX_SHARE) * age * skin)
    return np.asarray(np.nan_to_num(fit), np.float32)  # what is not known fits nobody better than another


def _closeness(difference: Float, within: tuple[float, float]) -> Float:
    """1 up to the first bound, 0 from the second on, linear between."""
    return np.asarray(np.interp(np.abs(difference), within, (1, 0)), np.float32)


def probabilities(
    utility: Float, epsilon: float, allowed: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """With which each delegate is drawn [D]; those not ``allowed`` are never."""
    scores = epsilon * utility.astype(np.float64) / (2 * SENSITIVITY)
    if allowed is not None:
        scores = np.where(allowed, scores, -np.inf)
    weights = np.exp(scores - scores.max())
    return np.asarray(weights / weights.sum())
