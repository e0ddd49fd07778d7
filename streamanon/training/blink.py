"""Eyes closed by warping: portraits of people who blink are rare."""

from __future__ import annotations

import cv2
import numpy as np

from streamanon.mesh.landmarks import LIDS
from streamanon.types import Float

#: How far above the upper lid skin is drawn down, in heights and in widths of the eye.
REACH = (0.9, 0.16)
MOST_SLOPE = 0.25


def blinked(image: np.ndarray, points: Float, shut: tuple[float, float]) -> tuple[np.ndarray, Float]:
    """``image`` [H, W, 3] with its eyes ``shut`` so far (0..1, left and right as seen), and its mesh
    ``points`` [478, 2 or 3]. Eyes that are not about level are left as they are.
    """
    height, width = image.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    source, moved = y.copy(), points.copy()
    for (upper, lower), amount in zip(LIDS, shut, strict=True):
        top, bottom = points[list(upper), :2], points[list(lower), :2]
        across = top[-1] - top[0]
        level = abs(float(across[1])) < MOST_SLOPE * float(across[0])
        if amount <= 0 or not level or across[0] < 3 or (np.diff(top[:, 0]) <= 0).any():
            continue
        lids = _Lids(top, bottom, amount)
        inside = (x > top[0, 0]) & (x < top[-1, 0])
        source[inside] = lids.source(x[inside], y[inside])
        near = (points[:, 0] > top[0, 0]) & (points[:, 0] < top[-1, 0])
        near &= np.abs(points[:, 1] - top[:, 1].mean()) < np.ptp(top[:, 0])
        moved[near, 1] = lids.target(points[near, 0], points[near, 1])
    warped = cv2.remap(image, x, source, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, image.dtype), moved


def drawn(rng: np.random.Generator) -> tuple[float, float]:
    """How far to shut the eyes: mostly both alike."""
    both = float(rng.uniform(0.3, 1.0))
    if rng.random() < 0.85:
        return both, both
    return (both, 0.0) if rng.random() < 0.5 else (0.0, both)


class _Lids:
    """One eye: along each column, where what is seen there comes from, and where it goes."""

    def __init__(self, top: Float, bottom: Float, amount: float) -> None:
        self._top, self._bottom, self._amount = top, bottom, amount

    def _knots(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Heights of the skin's rest, the lid, the closed lid and the lower lid."""
        lid = np.interp(x, self._top[:, 0], self._top[:, 1])
        low = np.maximum(np.interp(x, self._bottom[:, 0], self._bottom[:, 1]), lid + 0.05)
        rest = lid - REACH[0] * (low - lid) - REACH[1] * np.ptp(self._top[:, 0])
        return rest, lid, lid + self._amount * 0.97 * (low - lid), low

    def source(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        rest, lid, closed, low = self._knots(x)
        skin = rest + (y - rest) * (lid - rest) / (closed - rest)
        eye = lid + (y - closed) * (low - lid) / np.maximum(low - closed, 1e-3)
        return np.where(y < rest, y, np.where(y < closed, skin, np.where(y < low, eye, y)))

    def target(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        rest, lid, closed, low = self._knots(x)
        skin = rest + (y - rest) * (closed - rest) / (lid - rest)
        eye = closed + (y - lid) * (low - closed) / (low - lid)
        return np.where(y < rest, y, np.where(y < lid, skin, np.where(y < low, eye, y)))
