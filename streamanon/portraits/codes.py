"""Codes of delegates: their coordinates on the principal components of the gallery."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.types import Float

CODE_SIZE = 32
#: Side of the textures that codes are computed from, px.
SMALL_PX = 64
#: Axes with a smaller singular value, relative to the first one's, are rounding errors.
LEAST_SPREAD = 1e-5
#: Least scale of textures and shapes, so that equal ones divide by no zero.
LEAST_UNIT = 1e-6


@dataclass(frozen=True, eq=False, repr=False)
class CodeBasis:
    """The axes [32, P] on which codes lie, from a mean [P], with textures and shapes in their ``units``."""

    axes: Float
    mean: Float
    units: tuple[float, float]

    @classmethod
    def of(cls, textures: NDArray[np.uint8], shapes: Float) -> CodeBasis:
        """The basis of textures [N, 256, 256, 3] and shapes [N, 478, 3]: their codes have unit variance."""
        parts = [_small(textures), shapes.reshape(len(shapes), -1)]
        units = [max(float(np.sqrt(part.var(0).sum())), LEAST_UNIT) for part in parts]
        rows = np.concatenate([part / unit for part, unit in zip(parts, units, strict=True)], axis=1)
        mean = rows.mean(0)
        _, sizes, axes = np.linalg.svd(rows - mean, full_matrices=False)
        kept = np.zeros((CODE_SIZE, rows.shape[1]), np.float32)
        for row in range(min(CODE_SIZE, len(axes))):
            if sizes[row] > LEAST_SPREAD * max(float(sizes[0]), 1.0):
                kept[row] = axes[row] * np.sqrt(len(rows)) / sizes[row]
        return cls(kept, mean.astype(np.float32), (units[0], units[1]))

    @classmethod
    def of_fields(cls, arrays: Mapping[str, NDArray[Any]]) -> CodeBasis:
        """The basis that a gallery's file carries: the generator was trained with it."""
        first, second = (float(unit) for unit in arrays["code_units"])
        return cls(arrays["code_axes"].astype(np.float32), arrays["code_mean"], (first, second))

    def codes(self, textures: NDArray[np.uint8], shapes: Float) -> Float:
        """Codes [M, 32] of any textures and shapes, these or others."""
        parts = [_small(textures) / self.units[0], shapes.reshape(len(shapes), -1) / self.units[1]]
        return np.asarray((np.concatenate(parts, axis=1) - self.mean) @ self.axes.T, np.float32)

    def code(self, texture: NDArray[np.uint8], shape: Float) -> Float:
        return np.asarray(self.codes(texture[None], shape[None])[0], np.float32)


def _small(textures: NDArray[np.uint8]) -> Float:
    size = (SMALL_PX, SMALL_PX)
    small = [cv2.resize(texture, size, interpolation=cv2.INTER_AREA) for texture in textures]
    return np.array(small, np.float32).reshape(len(small), -1)
