"""The identity encoder: one view of a face as a vector, near for one person, far for two.

The network ends in a global average pool and one linear layer, so that the class-activation map of its
identity score is closed-form (Zhou et al., *Learning Deep Features for Discriminative Localization*, 2016):
embedding, map and each channel's importance come out of one forward pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from streamanon.geometry import alignment
from streamanon.mesh.face_mesh import aligned_crop
from streamanon.mesh.landmarks import mesh_keypoints
from streamanon.runtime.backends import Backend
from streamanon.runtime.models import Engines
from streamanon.types import LUMA, Float, Picture

CROP_PX = 112
EMBEDDING, CHANNELS = 128, 256
#: The finest detail of a crop is what a blur of this sigma, px, takes away.
FINEST_SIGMA_PX = 1.5
#: An embedding shorter than this has no direction.
NO_LENGTH = 1e-6


@dataclass(frozen=True, eq=False, repr=False)
class IdentityFeature:
    """One view of a face. ``embedding`` [128], unit length; ``pooled`` [256], the features it is computed
    from, and ``importance`` [256], what each of them adds to the identity score; ``sharpness``, how much
    fine detail the crop has, 0 and up. It never leaves the process.
    """

    embedding: Float
    pooled: Float
    importance: Float
    sharpness: float


class IdentityModel(Protocol):
    """The seam that a fake fills in tests."""

    def describe(self, picture: Picture, points: Float) -> IdentityFeature:
        """The face whose mesh [478, 3] lies at ``points``, px."""
        ...


class IdentityEncoder:
    """The project's own network."""

    def __init__(self, backend: Backend, engines: Engines) -> None:
        self._model = backend.load(engines.path("identity-encoder"), precise=True, threads=1)

    def describe(self, picture: Picture, points: Float) -> IdentityFeature:
        crop = aligned_crop(picture, alignment(mesh_keypoints(points), CROP_PX), CROP_PX)
        return self.describe_crop(crop)

    def describe_crop(self, crop: Float) -> IdentityFeature:
        """``crop`` [112, 112, 3] RGB 0..255, aligned."""
        batch = np.ascontiguousarray(crop.transpose(2, 0, 1)[None], np.float32) / 255
        embedding, pooled, _, importance = (array[0] for array in self._model.run(batch))
        length = max(float(np.linalg.norm(embedding)), NO_LENGTH)
        return IdentityFeature(embedding / length, pooled, importance, sharpness(crop))


def sharpness(crop: Float) -> float:
    """Mean strength of the finest detail, levels of luma."""
    grey = np.asarray(crop, np.float32) @ LUMA
    return float(np.abs(grey - cv2.GaussianBlur(grey, (0, 0), FINEST_SIGMA_PX)).mean())
