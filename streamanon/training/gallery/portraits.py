"""Reading the synthetic portraits, screening them, and bringing them into texture space."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamanon.geometry import mesh_keypoints
from streamanon.identity.chart import Chart, align, bare_skin, normalise, unwrap
from streamanon.identity.filters import blur
from streamanon.identity.texture import (
    PORTRAIT_LIMITS,
    even_light,
    flaws,
    relief,
    stance,
    stance_flaw,
    tone_degrees,
)
from streamanon.mesh import MeshModel
from streamanon.pixels import from_rgb
from streamanon.training.gallery.chart import make_chart
from streamanon.training.portraits import Portrait, read_portraits
from streamanon.types import Float, Target

SETS = ("generated", "faker")
LEAST_SCALE_PX = 40.0  # between the irises
#: The largest flaws that portraits may have; those of ``generated`` stand in a studio's light.
LIMITS = {
    "generated": {
        "fringe": 0.11,
        "hair": 0.03,
        "foreign": 0.03,
        "strands": 0.02,
        "patch": 0.28,
        "glasses": 0.045,
        "teeth": 1.0,
    },
    "faker": PORTRAIT_LIMITS,
}
RIDGE = 0.5
AGES = (14.0, 85.0)
DARKEST = 0.02  # before a logarithm


@dataclass(frozen=True, eq=False)
class Face:
    """One portrait in texture space: ``texture`` [256, 256, 3] float16 RGB 0..1, light evened out;
    ``shape`` [478, 3]; ``skin`` [3]: mean log RGB of the bare skin; ``tone``: ITA, degrees;
    ``masculine`` 0..1; ``age``, years; ``folds``: log contrast of the skin's fine detail;
    ``beard``: how much darker the chin is than the cheeks, log; ``embedding`` [128]: the recogniser's.
    """

    texture: NDArray[np.float16]
    shape: Float
    skin: Float
    tone: float
    masculine: float
    age: float
    folds: float
    beard: float
    source: str
    embedding: Float


@dataclass(frozen=True, eq=False)
class Presentation:
    """Guesses sex presentation and age from the recogniser's embeddings; ``maps`` [129, 2] are linear, to
    (log-odds of male, years).
    """

    maps: Float

    def masculine(self, embedding: Float) -> float:
        return float(1 / (1 + np.exp(-np.append(embedding, 1) @ self.maps[:, 0])))

    def age(self, embedding: Float) -> float:
        return float(np.append(embedding, 1) @ self.maps[:, 1])


def fit_presentation(data: Path) -> Presentation:
    """Learnt on the embeddings and labels of ``utk`` (train).

    Ridge regression; the log-odds are scaled regression scores, which is near enough for two classes.
    """
    features, labels = read_embeddings(data, ("utk",))
    fields = [str(label).split("_") for label in labels]
    male = np.array([5.0 if f[1] == "0" else -5.0 for f in fields])
    age = np.array([min(float(f[0]), 80.0) for f in fields])
    x = np.column_stack([features, np.ones(len(features))])
    gram = x.T @ x + np.diag([RIDGE] * features.shape[1] + [0])
    maps = np.linalg.solve(gram, x.T @ np.column_stack([male, age]))
    return Presentation(maps.astype(np.float32))


def read_embeddings(data: Path, sets: tuple[str, ...]) -> tuple[Float, NDArray[np.str_]]:
    """The recogniser's embeddings [N, 128] and labels [N] of some sets' training rows."""
    labels = np.load(data / "faces_labels.npz")
    rows = np.isin(labels["set"], sets) & (labels["split"] == "train")
    return labels["embedding"][rows].astype(np.float32), labels["ident"][rows]


def read_faces(data: Path, presentation: Presentation, mesh: MeshModel) -> tuple[Chart, list[Face]]:
    """All portraits that pass the screens, in texture space with their light evened out."""
    kept = [portrait for portrait in read_portraits(data, SETS) if _stands_well(_points(portrait))]
    chart = make_chart(np.array([_points(portrait) for portrait in kept]))
    skin = bare_skin(chart)
    # float16: a thousand textures are to fit beside a training run
    raw = [unwrap(p.image[..., ::-1], p.points, chart).astype(np.float16) for p in kept]
    typical = relief(np.mean(raw, axis=0, dtype=np.float32), skin)
    faces = []
    for portrait, texture in zip(kept, raw, strict=True):
        even = even_light(texture.astype(np.float32), skin, typical)
        found = flaws(even, chart)
        if all(found[name] <= limit for name, limit in LIMITS[portrait.source].items()):
            faces.append(_face(portrait, even, chart, presentation, mesh))
    return chart, faces


def _points(portrait: Portrait) -> Float:
    assert portrait.depth is not None
    return np.column_stack([portrait.points, portrait.depth]).astype(np.float32)


def _stands_well(points: Float) -> bool:
    found = stance(points)
    return found["scale"] > LEAST_SCALE_PX and stance_flaw(found) is None


def _face(
    portrait: Portrait, even: Float, chart: Chart, presentation: Presentation, mesh: MeshModel
) -> Face:
    skin = bare_skin(chart)
    tone = np.log(np.maximum(even, DARKEST))
    grey = np.asarray(tone.mean(2), np.float32)
    rows = np.indices(grey.shape)[0]
    chin, cheeks = skin & (rows > chart.uv[17, 1]), skin & (rows < chart.uv[2, 1]) & (rows > chart.uv[6, 1])
    label = {"male": 1.0, "female": 0.0}.get(portrait.group.partition("/")[0])
    guess = presentation.masculine(portrait.embedding)
    target = Target(0, portrait.box, mesh_keypoints(portrait.points), True)
    seen = mesh.measure(from_rgb(np.ascontiguousarray(portrait.image[..., ::-1])), [target])[0]
    # Two estimators, for either takes some dark faces for older than they look.
    age = (presentation.age(portrait.embedding) + seen.age) / 2
    return Face(
        texture=even.astype(np.float16),
        shape=normalise(align(_points(portrait), chart.mean)),
        skin=tone[skin].mean(0).astype(np.float32),
        tone=tone_degrees(even, chart),
        masculine=(guess + (guess if label is None else label)) / 2,
        age=float(np.clip(age, *AGES)),
        folds=float(np.log((blur(grey, 0.8) - blur(grey, 4))[skin].std())),
        beard=float(grey[cheeks].mean() - grey[chin].mean()),
        source=portrait.source,
        embedding=portrait.embedding,
    )
