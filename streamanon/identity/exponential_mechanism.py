"""Choosing a delegate under differential privacy, by the exponential mechanism.

McSherry and Talwar, *Mechanism Design via Differential Privacy* (FOCS 2007): Pr[d] is proportional to
exp(epsilon u(d)). The utility u lies in 0..1 and depends on nothing but the delegate's rank among those
who may be drawn, so that the sum of all weights is the same whoever the person is. For any two people and
any delegate the two probabilities therefore differ by a factor of at most exp(epsilon); a sum that depended
on the person could add as much again.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamanon.gallery.delegates import WORN_AGE, DelegateGallery
from streamanon.types import Float, Geometry

#: A step away from a person: in log-odds of presenting as masculine, of which the first are free, years,
#: and degrees of skin tone.
SEX_FREE, SEX_STEP, AGE_STEP, TONE_STEP = 0.25, 0.35, 3.0, 16.0
#: Widths of faces, px, between which delegates come to look as old as their portraits, and how far: the
#: readings of them as they are worn are those of faces of 128 px, in which fine wrinkles do not show.
CLOSE_PX, CLOSE_SHARE = (130.0, 320.0), 0.7
#: A delegate's portrait counts by itself, too: some who are read as 37 when worn look like the 52 of their
#: portrait. It may be so many years older than the person is read, and a step is so many more, or fewer.
PORTRAIT_OLDER, PORTRAIT_STEP = 4.0, 3.0
#: Log-odds of people count so many times: who is likelier one than the other is compared as one. Beyond
#: that in either direction all are as clear: delegates seldom are clearer.
DECIDED, CLEAREST = 2.0, 2.5
#: Log-odds of a person: so many times the mesh's, so many times the probe's answer (0..1), and the rest. By
#: logistic regression on photos that no network learned from, as many of either sex: the probe calls
#: women of whom it is unsure men.
MESH_SHARE, PROBE_SHARE, PROBE_OFFSET = 0.6, 6.0, -4.1
#: The same of the probe alone.
ALONE_SHARE, ALONE_OFFSET = 8.7, -5.0
#: Probabilities are so far from 0 and 1 before log-odds are taken.
SURE = 0.003
#: And log-odds are bounded by that before probabilities are.
MOST_ODDS = 30.0
#: Nearness of identities: how far above the mean of those who would fit a delegate's cosine may be, in
#: standard deviations, and how much more is a step away.
NEAR_FROM, NEAR_STEP = -0.45, 0.1
#: And the cosine itself, for cosines of small, blurred faces differ less, and of some people nearly all who
#: would fit are alike.
COSINE_FROM, COSINE_STEP = 0.0, 0.04
#: The same where others are compared with the person's kind of face: the person's own cosine differs from
#: view to view, and must not change the draw unless a delegate is nearly the person.
KIND_COSINE_FROM, KIND_COSINE_STEP = 0.35, 0.05
#: Those who would fit: steps away by which their weight falls (sigma). A spread of cosines is at least so
#: large.
FITTING_STEPS, LEAST_SPREAD = 2.0, 0.02
#: Nobody is farther away, and who is as far away to that many steps is as far away.
MOST_STEPS, SAME_STEPS = 1e4, 1e-4
#: Shares of the gallery: of those who fit wholly, and of those after them who fit less and less.
BEST_SHARE, TAIL_SHARE = 10 / 353, 2 / 353


@dataclass(frozen=True, eq=False)
class Attributes:
    """What should fit, [N] each, of delegates as people wear them: how masculine they present 0..1, years,
    skin tone (ITA, degrees); and the years of their portraits.
    """

    masculine: Float
    age: Float
    tone: Float
    portrait_age: Float


@dataclass(frozen=True)
class Traits:
    """How a person presents: masculine 0..1, years, skin tone (individual typology angle, degrees)."""

    masculine: float
    age: float
    tone: float


def traits_of(geometry: Geometry, predicted: dict[str, float]) -> Traits:
    """What the mesh and the distracted feature give together, and the skin tone by the latter, which errs
    less in dim and coloured light than the pixels do.
    """
    mesh = MESH_SHARE * log_odds(np.array(geometry.masculine))
    masculine = _chance(float(mesh) + PROBE_SHARE * predicted["masculine"] + PROBE_OFFSET)
    return Traits(masculine, (geometry.age + predicted["age"]) / 2, predicted["ita"])


def width_of(geometry: Geometry) -> float:
    """Of a face, px."""
    return float(np.ptp(geometry.points[:, 0]))


def mean_traits(traits: Sequence[Traits], weights: Sequence[float]) -> Traits:
    """What several views of a person, at least one of weight, tell together."""
    odds = log_odds(np.array([one.masculine for one in traits]))
    rows = np.stack([odds, [one.age for one in traits], [one.tone for one in traits]])
    masculine, age, tone = np.average(rows, axis=1, weights=weights).tolist()
    return Traits(_chance(masculine), age, tone)


def traits_of_kind(masculine: float, age: float, tone: float) -> Traits:
    """What the probes alone give."""
    return Traits(_chance(ALONE_SHARE * masculine + ALONE_OFFSET), age, tone)


def log_odds(chance: NDArray[Any]) -> NDArray[np.float64]:
    """Of probabilities; a finite number each, but NaN for NaN."""
    bounded = np.clip(np.asarray(chance, np.float64), SURE, 1 - SURE)
    return np.asarray(np.log(bounded / (1 - bounded)))


def _chance(odds: float) -> float:
    return float(1 / (1 + np.exp(-np.clip(odds, -MOST_ODDS, MOST_ODDS))))


def attributes_of(gallery: DelegateGallery, width_px: float = 0.0) -> Attributes:
    """As delegates are worn by a face so wide: the wider it is, the more of their wrinkles shows."""
    worn = [one.worn or (one.masculine, WORN_AGE * one.age) for one in gallery.delegates]
    masculine, small = np.array(worn, np.float32).reshape(-1, 2).T
    large = np.array([one.age for one in gallery.delegates], np.float32)
    share = np.float32(CLOSE_SHARE * np.interp(width_px, CLOSE_PX, (0, 1)))
    return Attributes(masculine, small + share * (large - small), gallery.tones.astype(np.float32), large)


def distances(
    person: Traits,
    delegates: Attributes,
    likenesses: Float | None = None,
    of_kind: Float | None = None,
) -> Float:
    """How ill each delegate fits the rest of a person (voice, neck, hands, clothes), in steps [D].

    ``likenesses`` [D]: cosines of the person's and the delegates' embeddings, where known; who is more like
    the person than others who would fit is farther away. ``of_kind`` [D]: those of the person's kind of
    face, with which others are compared instead: they are the same in each view of it.
    """
    away = _steps_away(person, delegates)
    if likenesses is None:
        return away
    own = np.nan_to_num(likenesses)
    return np.asarray(np.hypot(away, _nearness(own, of_kind, away)), np.float32)


def _steps_away(person: Traits, delegates: Attributes) -> Float:
    """[D]; what is not known takes nobody farther away than another."""
    with np.errstate(all="ignore"):
        own = np.clip(DECIDED * log_odds(np.array(person.masculine)), -CLEAREST, CLEAREST)
        sex = np.abs(log_odds(delegates.masculine).clip(-CLEAREST, CLEAREST) - own) - SEX_FREE
        steps = [
            sex.clip(0) / SEX_STEP,
            (delegates.age - person.age) / AGE_STEP,
            (delegates.portrait_age - PORTRAIT_OLDER - person.age) / PORTRAIT_STEP,
            (delegates.tone - person.tone) / TONE_STEP,
        ]
        squares = np.square(np.nan_to_num(np.clip(steps, -MOST_STEPS, MOST_STEPS)))
    return np.asarray(np.sqrt(squares.sum(axis=0)), np.float32)


def _nearness(own: Float, of_kind: Float | None, away: Float) -> Float:
    """In steps [D]: how near a delegate's cosine is to the person, and by how much it is nearer, to the
    person or to their kind of face, than others' who would fit.
    """
    compared, start, step = own, COSINE_FROM, COSINE_STEP
    if of_kind is not None:
        compared, start, step = of_kind, KIND_COSINE_FROM, KIND_COSINE_STEP
    weight = np.exp(-((away - away.min()) ** 2) / (2 * FITTING_STEPS**2))
    weight = weight / weight.sum()
    mean = float(weight @ compared)
    spread = float(np.sqrt(weight @ (compared - mean) ** 2)) + LEAST_SPREAD
    relative = ((compared - mean) / spread - NEAR_FROM) / NEAR_STEP
    return np.asarray(np.hypot(relative.clip(0), ((own - start) / step).clip(0)), np.float32)


def probabilities(
    away: Float, epsilon: float, allowed: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """With which each delegate is drawn [D], by their :func:`distances`; those not ``allowed``, never."""
    weights = np.zeros(len(away))
    rows = np.arange(len(away)) if allowed is None else np.flatnonzero(allowed)
    weights[rows] = _weights(away[rows], epsilon)
    return np.asarray(weights / weights.sum())


def draw(away: Float, epsilon: float, allowed: NDArray[np.bool_], noise: NDArray[np.float64]) -> int:
    """The drawn delegate's row. ``noise`` [D]: independent, of the standard Gumbel distribution; the
    largest sum of noise and logarithm is drawn with exactly :func:`probabilities` (Gumbel, 1954).
    """
    with np.errstate(divide="ignore"):
        return int(np.argmax(np.log(probabilities(away, epsilon, allowed)) + noise))


def _weights(away: Float, epsilon: float) -> NDArray[np.float64]:
    """Of delegates by rank [D], relative to the first: exp(epsilon (u - 1)), with u 1 for those who fit
    best, falling to 0 for the next few and for all others. Those who are as far away share the mean of
    their ranks' weights, so that the sum is the same for everybody.
    """
    best = max(1, round(BEST_SHARE * len(away)))
    last = best - 1 + max(1, round(TAIL_SHARE * len(away)))
    utility = np.interp(np.arange(len(away)), (best - 1, last), (1, 0))
    by_rank = np.exp(epsilon * (utility - 1))
    _, group, sizes = np.unique(np.rint(away / SAME_STEPS), return_inverse=True, return_counts=True)
    means = np.add.reduceat(by_rank, np.cumsum(sizes) - sizes) / sizes
    return np.asarray(means[group])


def keyed_noise(key: bytes, kind: int, ids: Sequence[str]) -> NDArray[np.float64]:
    """Gumbel noise [D] that a secret key decides for faces of one ``kind`` and each delegate."""
    seeds = (hmac.new(key, f"{kind} {name}".encode(), hashlib.sha256).digest()[:7] for name in ids)
    ranks = (np.array([int.from_bytes(seed, "big") for seed in seeds]) + 0.5) / 2**56
    return np.asarray(-np.log(-np.log(ranks)))
