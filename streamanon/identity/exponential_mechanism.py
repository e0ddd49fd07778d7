"""Choosing a delegate under differential privacy, by the exponential mechanism.

McSherry and Talwar, *Mechanism Design via Differential Privacy* (FOCS 2007):
Pr[d] is proportional to exp(epsilon u(d) / (2 Du)). The utility u lies in 0..1 whoever the person is, so
that its sensitivity Du is 1 and, for any two people and any delegate, the two probabilities differ by a
factor of at most exp(epsilon).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamanon.gallery.delegates import DelegateGallery
from streamanon.types import Account, Float, Geometry

#: Differences up to which a delegate fits well, and from which not at all: in presentation (0..1), years,
#: and degrees of skin tone.
SEX_RANGE, AGE_RANGE, TONE_RANGE = (0.2, 0.6), (6.0, 30.0), (10.0, 45.0)
#: Cosines of embeddings up to which a delegate is like anybody else, and from which it is too near.
NEAR_RANGE = (0.15, 0.35)
#: Of a delegate's utility, what it has for presenting alike. Without this nobody would fit a person whose
#: age or skin the gallery lacks, and any face would do.
SEX_SHARE = 0.15


@dataclass(frozen=True, eq=False)
class Attributes:
    """What should fit, [N] each: how masculine somebody presents 0..1, years, skin tone (ITA, degrees)."""

    masculine: Float
    age: Float
    tone: Float


@dataclass(frozen=True)
class Traits:
    """How a person presents: masculine 0..1, years, skin tone (individual typology angle, degrees)."""

    masculine: float
    age: float
    tone: float


def traits_of(geometry: Geometry, predicted: dict[str, float]) -> Traits:
    """The mean of what the mesh and the distracted feature give, and the skin tone by the latter, which
    errs less in dim and coloured light than the pixels do.
    """
    masculine = (geometry.masculine + min(max(predicted["masculine"], 0.0), 1.0)) / 2
    return Traits(masculine, (geometry.age + predicted["age"]) / 2, predicted["ita"])


def attributes_of(gallery: DelegateGallery) -> Attributes:
    return Attributes(
        np.array([delegate.masculine for delegate in gallery.delegates], np.float32),
        np.array([delegate.age for delegate in gallery.delegates], np.float32),
        gallery.tones.astype(np.float32),
    )


def utilities(person: Traits, delegates: Attributes, likenesses: Float | None = None) -> Float:
    """How well each delegate fits the rest of a person (voice, neck, hands, clothes), 0..1 [D].

    ``likenesses`` [D]: cosines of the person's and the delegates' embeddings, where known; who is too much
    like the person fits not at all.
    """
    sex = _closeness(delegates.masculine - person.masculine, SEX_RANGE)
    age = _closeness(delegates.age - person.age, AGE_RANGE)
    skin = _closeness(delegates.tone - person.tone, TONE_RANGE)
    fit = sex * (SEX_SHARE + (1 - SEX_SHARE) * age * skin)
    if likenesses is not None:
        fit = fit * np.interp(likenesses, NEAR_RANGE, (1, 0))
    return np.asarray(np.nan_to_num(fit), np.float32)  # what is not known fits nobody better than another


def _closeness(difference: Float, within: tuple[float, float]) -> Float:
    """1 up to the first bound, 0 from the second on, linear between."""
    return np.asarray(np.interp(np.abs(difference), within, (1, 0)), np.float32)


def probabilities(
    utility: Float, epsilon: float, allowed: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """With which each delegate is drawn [D]; those not ``allowed`` are never."""
    scores = _scores(utility, epsilon, allowed)
    weights = np.exp(scores - scores.max())
    return np.asarray(weights / weights.sum())


def draw(utility: Float, epsilon: float, allowed: NDArray[np.bool_], noise: NDArray[np.float64]) -> int:
    """The drawn delegate's row. ``noise`` [D]: independent, of the standard Gumbel distribution; the
    largest sum of score and noise is drawn with exactly :func:`probabilities` (Gumbel, 1954).
    """
    return int(np.argmax(_scores(utility, epsilon, allowed) + noise))


def _scores(utility: Float, epsilon: float, allowed: NDArray[np.bool_] | None) -> NDArray[np.float64]:
    scores = epsilon * utility.astype(np.float64) / (2 * Account.sensitivity)
    return scores if allowed is None else np.where(allowed, scores, -np.inf)


def keyed_noise(key: bytes, kind: int, ids: Sequence[str]) -> NDArray[np.float64]:
    """Gumbel noise [D] that a secret key decides for faces of one ``kind`` and each delegate."""
    seeds = (hmac.new(key, f"{kind} {name}".encode(), hashlib.sha256).digest()[:7] for name in ids)
    ranks = (np.array([int.from_bytes(seed, "big") for seed in seeds]) + 0.5) / 2**56
    return np.asarray(-np.log(-np.log(ranks)))
