"""Appearance apart from geometry: a delegate's skin and features, or the mean of several."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from streamanon.gallery.delegates import DelegateGallery
from streamanon.types import Delegate

#: So many delegates that fit best make the mean.
AMONG = 12


def towards(
    gallery: DelegateGallery, delegate: Delegate, away: NDArray[np.float32], amount: float
) -> Delegate:
    """``delegate`` with its texture brought nearer, by 1 - ``amount``, to the mean of those who are fewest
    steps ``away`` [D] from fitting a person. Nothing of the person's own pixels is in it.
    """
    if amount >= 1:
        return delegate
    best = np.argsort(away, kind="stable")[:AMONG]
    mean = np.mean([gallery.delegates[row].fine.astype(np.float32) for row in best], axis=0)
    mixed = amount * delegate.fine + (1 - amount) * mean
    return dataclasses.replace(delegate, stored=np.rint(mixed).astype(np.uint8))
