"""Principal components of delegates: where each lies among the others."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.types import Float

CODE_SIZE = 32
SMALL_PX = 64


def principal_codes(textures: NDArray[np.uint8], shapes: Float) -> Float:
    """Codes [N, 32] of textures [N, 256, 256, 3] and shapes [N, 478, 3], unit variance; zeros where there
    are fewer components.
    """
    small = np.array(
        [cv2.resize(t, (SMALL_PX, SMALL_PX), interpolation=cv2.INTER_AREA) for t in textures], np.float32
    )
    parts = [small.reshape(len(small), -1), shapes.reshape(len(shapes), -1)]
    centred = [(p - p.mean(0)) / max(float(np.sqrt(p.var(0).sum())), 1e-6) for p in parts]
    u = np.linalg.svd(np.concatenate(centred, axis=1), full_matrices=False)[0]
    codes = np.zeros((len(u), CODE_SIZE), np.float32)
    codes[:, : min(CODE_SIZE, u.shape[1])] = u[:, :CODE_SIZE] * np.sqrt(len(u))
    return codes
