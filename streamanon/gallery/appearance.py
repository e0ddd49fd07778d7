"""Appearance apart from geometry: a delegate's skin and features, or the mean of several."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.gallery.delegates import DelegateGallery
from streamanon.types import Delegate, Float

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
    own = delegate.fine
    mean = np.mean([_resized(gallery.delegates[row].fine, len(own)) for row in best], axis=0)
    mixed = amount * own + (1 - amount) * mean
    return dataclasses.replace(delegate, stored=np.rint(mixed).astype(np.uint8))


def _resized(texture: NDArray[np.uint8], side: int) -> Float:
    """A texture at [side, side, 3]: those that a user added have half the size of the installed ones."""
    way = cv2.INTER_AREA if side < len(texture) else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(texture, (side, side), interpolation=way), np.float32)
