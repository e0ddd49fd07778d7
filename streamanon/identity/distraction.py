"""Intrinsic distraction: a face's feature without the person (after IFA in Kuang et al., CVPR 2024).

With the pooled feature p, the encoder's head W and the embedding e = W p, channel k adds
c_k = p_k (W^T e / |e|)_k to the identity score |e|: what Grad-CAM's attention rests on. The distracted
feature p' is the nearest to p, where a channel's move costs the less the more it adds, of those that
equal the target q in every identity direction R and p in every attribute direction A:

    p' = p + D C^T (C D C^T + lambda I)^-1 (b - C p),   C = [R; A],  b = [R q; A p],
    D = diag(max(c, 0) / mean(max(c, 0)) + delta)

R spans W and the directions that tell people apart in a linear discriminant analysis, less A; A holds
linear probes of attributes. Both are learned by ``streamanon.training.directions``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np

from streamanon.errors import ModelError
from streamanon.identity.encoder import IdentityFeature
from streamanon.runtime.models import Engines
from streamanon.types import Float

#: delta: the cost's bound for channels that add nothing; lambda, of the system's mean diagonal.
DELTA, RIDGE = 0.05, 1e-4
#: Below this mean nothing adds to the identity score.
NOTHING_ADDED = 1e-12
#: What the probes predict, in order: 0..1; years; individual typology angle, degrees.
ATTRIBUTES = ("masculine", "age", "ita")


@dataclass(frozen=True, eq=False)
class Distraction:
    """``identity`` [R, 256], orthonormal rows; ``probes`` [3, 256] with ``offsets`` [3], which
    predict :data:`ATTRIBUTES`. ``anchors`` [K, 128], unit length: the middles of kinds of faces, by
    embeddings, and ``anchor_attributes`` [K, 3]: what the probes predict for each kind.
    """

    identity: Float
    probes: Float
    offsets: Float
    anchors: Float
    anchor_attributes: Float

    def apply(self, feature: IdentityFeature, target: Float) -> Float:
        """The distracted feature [256]; ``target`` [256]: the pooled feature that replaces the
        person's in the identity directions."""
        own = feature.pooled.astype(np.float64)
        added = np.maximum(own * feature.importance, 0)
        eases = added / max(float(added.mean()), NOTHING_ADDED) + DELTA
        attributes = self.probes / np.linalg.norm(self.probes, axis=1, keepdims=True)
        rows = np.concatenate([self.identity, attributes]).astype(np.float64)
        wanted = np.concatenate([self.identity @ (target - own), np.zeros(len(attributes))])
        eased = rows * eases
        system = cv2.gemm(eased, rows, 1.0, np.zeros((0, 0)), 0.0, flags=cv2.GEMM_2_T)
        system += RIDGE * np.trace(system) / len(system) * np.eye(len(system))
        # By OpenCV: NumPy's BLAS spreads so small a system over threads that spin while the cores are busy,
        # and then takes a hundred times as long.
        solved, weights = cv2.solve(system, wanted[:, None], flags=cv2.DECOMP_CHOLESKY)
        if not solved:
            raise ValueError("the directions do not tell a face's feature")
        return np.asarray(own + eased.T @ weights[:, 0], np.float32)

    def kind_of(self, embedding: Float) -> int:
        """The kind of face that an embedding [128] is nearest to."""
        return int(np.argmax(self.anchors @ embedding))

    def attributes(self, pooled: Float) -> dict[str, float]:
        """:data:`ATTRIBUTES` predicted from a feature [256], distracted or not."""
        predicted = self.probes @ pooled + self.offsets
        return dict(zip(ATTRIBUTES, (float(value) for value in predicted), strict=True))


def open_distraction(engines: Engines) -> Distraction:
    """The installed directions. Raises :class:`ModelError` where they cannot be read."""
    path = engines.path("identity-directions")
    try:
        return load_distraction(path)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"cannot read {path}: {error}; install streamanon again") from error


def load_distraction(path: Path) -> Distraction:
    with np.load(path, allow_pickle=False) as arrays:
        return Distraction(*(arrays[field.name].astype(np.float32) for field in fields(Distraction)))
