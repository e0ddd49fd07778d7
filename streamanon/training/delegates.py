"""Build the gallery of delegates: blends of synthetic portraits that show nobody.

    python -m streamanon.training.delegates --data DATA --out engines

Steps: read and screen the portraits; bring all into one texture space (UV) by the mesh; screen the
textures; even out their light; for seeds spread over presentation, skin and age, blend each with its
nearest likes; give the blend back the fine detail that averaging takes; fade its rim into skin.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]
from scipy.spatial import Delaunay  # type: ignore[import-untyped]
from scipy.spatial.distance import cdist  # type: ignore[import-untyped]

from streamanon.geometry import NOSE_TIP, yaw_degrees
from streamanon.identity.delegates import TEXTURE_PX, VERSION, load_delegates
from streamanon.identity.sheet import contact_sheet
from streamanon.training.portraits import read_portraits
from streamanon.types import LUMA, Float

SETS = ("generated", "faker")
MARGIN_PX = 6.0
MAX_YAW = 12.0
MAX_MOUTH_GAP = 0.05  # of the inter-ocular distance: beyond it teeth show
#: The largest flaws that portraits may have. Those of ``faker`` stand outdoors, and the folds of old
#: faces would not pass limits that fit young ones.
LIMITS = {
    "generated": {
        "fringe": 0.10,
        "hair": 0.03,
        "foreign": 0.02,
        "strands": 0.02,
        "patch": 0.25,
        "glasses": 0.045,
    },
    "faker": {
        "fringe": 0.21,
        "hair": 0.03,
        "foreign": 0.15,
        "strands": 0.06,
        "patch": 0.52,
        "glasses": 0.13,
    },
    "old": {"fringe": 0.21, "hair": 0.04, "foreign": 0.15, "strands": 0.12, "patch": 0.60, "glasses": 0.13},
}
OLD = 45.0  # years: from here on faces form a part of their own
PARTS = {"asian": 12, "black": 18, "latino": 12, "white": 12, "old": 10}  # delegates of either sex
FEWEST = 4  # portraits in a blend; where the material allows, 5 or 6
BLEND = (5, 6)
MAX_WEIGHT = 0.45
CONCENTRATION = 12.0  # of the Dirichlet distribution: how equal the weights are
REACH = 10  # how many nearest faces a blend may draw from
MAX_SHARED = 2  # portraits that two blends may have in common
MAX_USES = 3  # of one portrait, over all blends
CODE_SIZE = 32
BANDS = (1.0, 2.0, 4.0)  # px: where the bands of detail end
ENERGY_SIGMA = 6.0  # px: the neighbourhood over which a band's energy is taken
MAX_GAIN = 1.5
MAX_SPREAD = 1.4
TEXTURE_SPREAD = 1.15
COARSE = 3.0  # px
MAX_LIKENESS = 0.84  # to any portrait or its mirror image: as like as two portraits may be
MAX_LIKENESS_AMONG = 0.93
AGE_BINS = (16, 20, 25, 30, 35, 40, 50, 60, 90)
RIM_PX = 14.0
JPEG_QUALITY = 94
RIDGE = 0.5
SEED = 7

FOREHEAD = (103, 67, 109, 10, 338, 297, 332, 333, 299, 337, 151, 108, 69, 104)
BRIDGE_TOP = 168
BROWS = ((70, 63, 105, 66, 107, 55, 65, 52, 53, 46), (300, 293, 334, 296, 336, 285, 295, 282, 283, 276))
EYES = (
    (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7),
    (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249),
)
LIPS = (61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91)
NOSTRILS = (64, 240, 97, 2, 326, 460, 294, 1)


@dataclass(frozen=True)
class Chart:
    """The texture space: ``uv`` [478, 2] px, ``triangles`` [T, 3], ``mirror`` [478], ``mean`` [478, 3]
    (inter-ocular units); and per texture pixel its triangle's points [256, 256, 3] int with their
    weights [256, 256, 3], the hull [256, 256] bool and the depth below its rim [256, 256] px.
    """

    uv: Float
    triangles: NDArray[np.int32]
    mirror: NDArray[np.int32]
    mean: Float
    corners: NDArray[np.int64]
    weights: Float
    hull: NDArray[np.bool_]
    depth: Float


@dataclass(frozen=True)
class Face:
    """One portrait in texture space: ``texture`` [256, 256, 3] float32 RGB 0..1, light evened out;
    ``shape`` [478, 3]; ``skin`` [3] Lab; and how it presents.
    """

    texture: NDArray[np.float16]
    shape: Float
    skin: Float
    masculine: float
    age: float
    group: str
    embedding: Float

    @property
    def kind(self) -> str:
        return f"{'male' if self.masculine > 0.5 else 'female'}/{self.group}"


@dataclass(frozen=True)
class Blended:
    """Delegates in the making: ``textures`` [N, 256, 256, 3] float32 RGB 0..1, ``shapes`` [N, 478, 3],
    ``masculine`` [N], ``ages`` [N], ``weights`` [N, K].
    """

    textures: Float
    shapes: Float
    masculine: Float
    ages: Float
    weights: Float

    def __getitem__(self, rows: NDArray[np.int64]) -> Blended:
        return Blended(*(getattr(self, f.name)[rows] for f in fields(self)))


# --- texture space -------------------------------------------------------------------------------


def normalise(points: Float) -> Float:
    """Points [478, 3] with the irises at distance 1 about the origin."""
    left, right = points[468], points[473]
    return np.asarray((points - (left + right) / 2) / np.linalg.norm((right - left)[:2]), np.float32)


def align(points: Float, mean: Float) -> Float:
    """Rotate, scale and shift ``points`` [478, 3] onto ``mean`` (Procrustes in three dimensions)."""
    a, b = points - points.mean(0), mean - mean.mean(0)
    u, s, vt = np.linalg.svd(a.T @ b)
    flip = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
    scale = float((s * np.diag(flip)).sum() / (a * a).sum())
    return np.asarray(scale * a @ (u @ flip @ vt) + mean.mean(0), np.float32)


def mirror_table(mean: Float) -> NDArray[np.int32]:
    """Each mesh point's counterpart on the other side of a mean face [478, 3]."""
    flipped = mean * np.array([-1, 1, 1], np.float32)
    cost = np.linalg.norm(mean[:, None] - flipped[None], axis=2)
    cost[:468, 468:] = cost[468:, :468] = 10  # irises go to irises
    return np.asarray(linear_sum_assignment(cost + cost.T)[1], np.int32)


def make_chart(points: Float) -> Chart:
    """The texture space of portraits' meshes [N, 478, 3]: their symmetric mean, scaled to the texture."""
    mean = normalise(points[0])
    for _ in range(4):
        mean = np.mean([align(p, mean) for p in points], axis=0)
        mirror = mirror_table(normalise(mean))
        mean = normalise((mean + (mean * np.array([-1, 1, 1]) + [2 * mean[:, 0].mean(), 0, 0])[mirror]) / 2)
        mean[:, 0] -= (mean[:, 0] + mean[mirror, 0]).mean() / 2
    low, high = mean[:, :2].min(0), mean[:, :2].max(0)
    scale = (TEXTURE_PX - 1 - 2 * MARGIN_PX) / float((high - low).max())
    uv = ((mean[:, :2] - (low + high) / 2) * scale + (TEXTURE_PX - 1) / 2).astype(np.float32)
    triangulation = Delaunay(uv.astype(np.float64))
    grid = np.stack(np.meshgrid(*[np.arange(TEXTURE_PX, dtype=np.float64)] * 2), axis=-1)
    label = triangulation.find_simplex(grid.reshape(-1, 2)).reshape(grid.shape[:2])
    hull = label >= 0
    affine = triangulation.transform[label]
    two = np.einsum("hwij,hwj->hwi", affine[..., :2, :], grid - affine[..., 2, :])
    weights = np.concatenate([two, 1 - two.sum(-1, keepdims=True)], axis=-1)
    depth = cv2.distanceTransform(np.asarray(hull, np.uint8), cv2.DIST_L2, 5)
    return Chart(
        uv=uv,
        triangles=_same_turn(uv, np.asarray(triangulation.simplices, np.int32)),
        mirror=mirror,
        mean=mean.astype(np.float32),
        corners=np.asarray(triangulation.simplices[label], np.int64),
        weights=np.asarray(weights, np.float32),
        hull=hull,
        depth=np.asarray(depth, np.float32),
    )


def _same_turn(uv: Float, triangles: NDArray[np.int32]) -> NDArray[np.int32]:
    """The triangles with their corners in the same sense of rotation, none degenerate."""
    a, b, c = uv[triangles].astype(np.float64).transpose(1, 0, 2)
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    turned = np.where((area < 0)[:, None], triangles[:, [0, 2, 1]], triangles)
    return np.ascontiguousarray(turned[np.abs(area) > 1e-6], np.int32)


def unwrap(image: NDArray[np.uint8], points: Float, chart: Chart) -> Float:
    """A portrait [H, W, 3] with mesh ``points`` [478, 2] px as a texture [256, 256, 3] float32, same
    channels, 0..1; extended smoothly outside the hull.
    """
    at = np.einsum("hwk,hwkc->hwc", chart.weights, points[chart.corners]).astype(np.float32)
    texture = cv2.remap(image, at[..., 0], at[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    known = np.asarray(chart.depth > 1, np.float32)
    return fill(np.asarray(texture / 255, np.float32), known).clip(0, 1)


def region(chart: Chart, *outlines: tuple[int, ...], grow_px: int = 0) -> NDArray[np.bool_]:
    """The convex hulls of mesh points in the texture as one mask [256, 256], grown or (< 0) shrunk."""
    mask = np.zeros((TEXTURE_PX, TEXTURE_PX), np.uint8)
    for outline in outlines:
        corners = cv2.convexHull(np.round(chart.uv[list(outline)]).astype(np.int32))
        cv2.fillConvexPoly(mask, corners, 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, [2 * abs(grow_px) + 1] * 2)
    return np.asarray((cv2.dilate if grow_px >= 0 else cv2.erode)(mask, kernel), np.bool_)


def bare_skin(chart: Chart) -> NDArray[np.bool_]:
    """Where a face shows skin and nothing else, well inside the rim: [256, 256]."""
    features = region(chart, *BROWS, *EYES, LIPS, NOSTRILS, grow_px=6)
    return np.asarray((chart.depth > 18) & ~features)


# --- filters -------------------------------------------------------------------------------------


def blur(image: Float, sigma: float, mask: Float | None = None) -> Float:
    """A Gaussian blur; with a mask [H, W] of weights, of what the mask covers only."""
    if mask is None:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)
    weights = mask if image.ndim == 2 else mask[..., None]
    below = cv2.GaussianBlur(np.asarray(mask, np.float32), (0, 0), sigma)
    below = below if image.ndim == 2 else below[..., None]
    return np.asarray(
        cv2.GaussianBlur(image * weights, (0, 0), sigma) / np.maximum(below, 1e-6), np.float32
    )


def fill(image: Float, mask: Float) -> Float:
    """Extend an image [256, 256, 3] smoothly beyond the weights [256, 256] that say what is known."""
    if min(mask.shape) <= 1:
        return image
    weights = cv2.resize(mask, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    known = cv2.resize(image * mask[..., None], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    found = np.asarray(known / np.maximum(weights, 1e-4)[..., None], np.float32)
    coarse = fill(found, np.asarray(np.minimum(4 * weights, 1), np.float32))
    wide = cv2.resize(coarse, mask.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(mask[..., None] * image + (1 - mask[..., None]) * wide, np.float32)


def smoothstep(values: Float, low: float, high: float) -> Float:
    t = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def luma(image: Float) -> Float:
    return np.asarray(image @ LUMA, np.float32)


def lab(image: Float) -> Float:
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(image, np.float32), cv2.COLOR_RGB2LAB), np.float32)


def low_light(texture: Float, skin: NDArray[np.bool_]) -> tuple[Float, Float]:
    """Log tone [256, 256, 3] of a texture, and its coarse part as the bare skin shows it."""
    mask = np.asarray(skin, np.float32)
    tone = np.asarray(np.log(np.maximum(texture, 0.02)), np.float32)
    return tone, fill(blur(tone, 16, mask), smoothstep(blur(mask, 16), 0.02, 0.2))


def relief(texture: Float, skin: NDArray[np.bool_]) -> Float:
    """The symmetric part [256, 256] of a texture's light, log, mean 0 over the skin."""
    low = low_light(texture, skin)[1].mean(2)
    both = (low + low[:, ::-1]) / 2
    return np.asarray(both - both[skin].mean(), np.float32)


def even_light(texture: Float, skin: NDArray[np.bool_], typical: Float) -> Float:
    """Take a texture's light towards the middle: the difference between left and right goes wholly, what
    differs from the ``typical`` relief [256, 256] by half.
    """
    tone, low = low_light(texture, skin)
    sided = (low - low[:, ::-1]) / 2
    excess = 0.5 * (relief(texture, skin) - typical)[..., None]
    return np.asarray(np.exp(tone - sided - excess).clip(0, 1), np.float32)


# --- reading and screening -----------------------------------------------------------------------


def read_embeddings(data: Path, source: str) -> tuple[Float, NDArray[np.str_]]:
    """The recogniser's embeddings [N, 128] and labels [N] of a set's training rows, in the tar's order."""
    labels = np.load(data / "faces_labels.npz")
    rows = (labels["set"] == source) & (labels["split"] == "train")
    return labels["embedding"][rows].astype(np.float32), labels["ident"][rows]


def fit_presentation(data: Path) -> Float:
    """Linear maps [129, 2] from an embedding (and 1) to (log-odds of male, years), learnt on ``utk``.

    Ridge regression; the log-odds are scaled regression scores, which is near enough for two classes.
    """
    features, labels = read_embeddings(data, "utk")
    fields = [str(label).split("_") for label in labels]
    male = np.array([5.0 if f[1] == "0" else -5.0 for f in fields])
    age = np.array([min(float(f[0]), 80.0) for f in fields])
    x = np.column_stack([features, np.ones(len(features))])
    gram = x.T @ x + np.diag([RIDGE] * features.shape[1] + [0])
    return np.linalg.solve(gram, x.T @ np.column_stack([male, age])).astype(np.float32)


def screen_geometry(points: Float) -> bool:
    """Whether a mesh [478, 3] shows a frontal head with its mouth closed and its eyes open."""
    scale = float(np.linalg.norm(points[468, :2] - points[473, :2]))
    gap = float(np.linalg.norm(points[13, :2] - points[14, :2])) / scale
    lids = (
        min(float(np.linalg.norm(points[a, :2] - points[b, :2])) for a, b in ((159, 145), (386, 374)))
        / scale
    )
    return abs(yaw_degrees(points)) < MAX_YAW and gap < MAX_MOUTH_GAP and lids > 0.085 and scale > 40


def flaws(texture: Float, chart: Chart) -> dict[str, float]:
    """How far an evened-out texture [256, 256, 3] is from a bare face, one number a flaw: dark hair and
    foreign colours in the upper face, strands on the forehead, patches on one side, glasses.
    """
    skin, grey = bare_skin(chart), luma(texture)
    ratio = grey / max(float(np.median(grey[skin])), 0.02)
    features = region(chart, *BROWS, *EYES, LIPS, NOSTRILS, grow_px=6)
    zone = (chart.depth > 10) & ~features
    upper = zone & (np.indices(grey.shape)[0] < chart.uv[BRIDGE_TOP, 1] + 5)
    forehead = region(chart, FOREHEAD) & (chart.depth > 10)
    colour = lab(texture)[..., 1:]
    foreign = np.linalg.norm(colour - np.median(colour[skin], axis=0), axis=2) > 14
    return {
        "fringe": float((ratio[upper] < 0.66).mean()),
        "hair": float((ratio[upper] < 0.42).mean()),
        "foreign": float(foreign[upper].mean()),
        "strands": float(np.abs(ratio - blur(ratio, 3))[forehead].mean()),
        "patch": float(np.percentile(np.abs(blur(ratio - ratio[:, ::-1], 3))[zone], 98)),
        "glasses": bridge_line(ratio, chart),
    }


def bridge_line(ratio: Float, chart: Chart) -> float:
    """The contrast of a thin level line across the bridge of the nose, as only glasses draw it."""
    low, high = (int(chart.uv[point, 1]) for point in (8, 195))
    smooth = blur(ratio, 1)
    lines = [
        cv2.morphologyEx(smooth, kind, np.ones((9, 1))) for kind in (cv2.MORPH_BLACKHAT, cv2.MORPH_TOPHAT)
    ]
    across = [cv2.erode(np.asarray(li[low + 4 : high, 118:138]), np.ones((1, 13))) for li in lines]
    return float(max(a.max() for a in across))


def read_faces(data: Path) -> tuple[Chart, list[Face]]:
    """All portraits that pass the screens, in texture space with their light evened out."""
    maps = fit_presentation(data)
    kept = []
    for source in SETS:
        embeddings, _ = read_embeddings(data, source)
        for portrait, embedding in zip(read_portraits(data, [source]), embeddings, strict=True):
            assert portrait.depth is not None
            points = np.column_stack([portrait.points, portrait.depth])
            if screen_geometry(points):
                kept.append((portrait, points, embedding))
    chart = make_chart(np.array([points for _, points, _ in kept]))
    skin = bare_skin(chart)
    # float16: a thousand textures are to fit beside a training run
    raw = [unwrap(p.image[..., ::-1], p.points, chart).astype(np.float16) for p, _, _ in kept]
    typical = relief(np.mean(raw, axis=0, dtype=np.float32), skin)
    faces = []
    for (portrait, points, embedding), texture in zip(kept, raw, strict=True):
        even = even_light(texture.astype(np.float32), skin, typical)
        found, age = flaws(even, chart), float(np.append(embedding, 1) @ maps[:, 1])
        limits = LIMITS["old" if portrait.source == "faker" and age >= OLD else portrait.source]
        if any(found[name] > limit for name, limit in limits.items()):
            continue
        faces.append(
            Face(
                texture=even.astype(np.float16),
                shape=normalise(align(points, chart.mean)),
                skin=np.median(lab(even)[skin], axis=0),
                masculine=masculine(embedding, portrait.group, maps),
                age=float(np.clip(age, 16, 85)),
                group=portrait.group.partition("/")[2],
                embedding=embedding,
            )
        )
    return chart, faces


def masculine(embedding: Float, group: str, maps: Float) -> float:
    """How male a face presents, 0..1: the probe's word, and the folder's where there is one."""
    odds = float(np.append(embedding, 1) @ maps[:, 0])
    chance = 1 / (1 + np.exp(-odds))
    label = {"male": 1.0, "female": 0.0}.get(group.partition("/")[0], chance)
    return float((chance + label) / 2)


def with_groups(faces: list[Face]) -> list[Face]:
    """Faces without a group get the one whose mean embedding is nearest among the labelled faces."""
    names = sorted({face.group for face in faces if face.group})
    centres = np.array([np.mean([f.embedding for f in faces if f.group == n], axis=0) for n in names])
    nearest = [int(np.linalg.norm(centres - face.embedding, axis=1).argmin()) for face in faces]
    return [
        face if face.group else replace(face, group=names[at])
        for face, at in zip(faces, nearest, strict=True)
    ]


def means(faces: list[Face]) -> dict[str, Float]:
    """The mean texture [256, 256, 3] of each kind of face."""
    kinds = {face.kind for face in faces}
    stacks = {kind: [face.texture for face in faces if face.kind == kind] for kind in kinds}
    return {
        kind: np.asarray(np.mean(s, axis=0, dtype=np.float32), np.float32) for kind, s in stacks.items()
    }


# --- blending ------------------------------------------------------------------------------------


def likeness_space(faces: list[Face], chart: Chart) -> Float:
    """Where each face lies [N, D] so that near faces blend without ghosts: brows, eyes, beard and tone
    (coarse texture), proportions (shape), age.
    """
    masked = [np.asarray(f.texture * chart.hull[..., None], np.float32) for f in faces]
    coarse = [np.asarray(cv2.resize(m, (48, 48), interpolation=cv2.INTER_AREA), np.float32) for m in masked]
    texture = np.array([lab(c).ravel() for c in coarse]) / 100
    shape = np.array([f.shape[:, :2].ravel() for f in faces])
    parts = [(texture, 2.0), (shape, 1.0), (np.array([[f.age] for f in faces]), 1.0)]
    scaled = [weight * (p - p.mean(0)) / np.sqrt(p.var(0).sum()) for p, weight in parts]
    return np.concatenate(scaled, axis=1).astype(np.float32)


def draw_weights(rng: np.random.Generator, count: int) -> Float:
    """Dirichlet weights, falling, none above the limit and none negligible."""
    while True:
        weights = np.sort(rng.dirichlet(np.full(count, CONCENTRATION)))[::-1]
        if weights[0] <= MAX_WEIGHT - 0.01 and weights[-1] >= 0.06:
            return weights.astype(np.float32)


def choose_blends(faces: list[Face], space: Float, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """The faces to blend, one array of 4 to 6 rows a delegate, presentation and groups in equal parts.

    Within a part seeds are taken one after the other: far from the seeds before, near to their own
    neighbours. No face serves in more than three blends.
    """
    blends: list[NDArray[np.int64]] = []
    used = np.zeros(len(faces), np.int64)
    parts = ["old" if face.age >= OLD else face.group for face in faces]
    for male in (False, True):
        for name, count in PARTS.items():
            part = [i for i, f in enumerate(faces) if parts[i] == name and (f.masculine > 0.5) == male]
            blends += _choose_in(np.array(part), space, used, count, rng)
    return blends


def _choose_in(
    part: NDArray[np.int64], space: Float, used: NDArray[np.int64], count: int, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    gaps = cdist(space[part], space[part])
    chosen: list[NDArray[np.int64]] = []
    spacing = np.full(len(part), np.median(gaps))
    while len(chosen) < count:
        free = used[part] < MAX_USES
        order = np.argsort(np.where(free[None], gaps, np.inf), axis=1)
        closeness = np.take_along_axis(gaps, order[:, 1 : BLEND[0] + 1], axis=1).mean(1)
        score = np.where(free, spacing - 1.5 * closeness, -np.inf)
        seed = int(score.argmax())
        if free.sum() < BLEND[1] or spacing[seed] < 0:
            break
        spacing[seed] = -np.inf
        rows = _unshared(part[order[seed, :REACH]], chosen, int(rng.integers(BLEND[0], BLEND[1] + 1)))
        if len(rows) < FEWEST:
            continue
        used[rows] += 1
        spacing = np.minimum(spacing, gaps[seed])
        chosen.append(rows)
    return chosen


def _unshared(
    candidates: NDArray[np.int64], blends: list[NDArray[np.int64]], count: int
) -> NDArray[np.int64]:
    """The first ``count`` candidates that leave no more than a few faces in common with any blend."""
    rows: list[int] = []
    for face in candidates.tolist():
        if len(rows) < count and all(len(np.intersect1d([*rows, face], b)) <= MAX_SHARED for b in blends):
            rows.append(face)
    return np.array(rows, np.int64)


def blend(textures: Float, weights: Float) -> Float:
    """Textures [K, 256, 256, 3] mixed by ``weights`` [K], with the detail that averaging takes put back:
    each band is amplified, where it is weaker than in the portraits, to their mean energy.
    """
    mixed = np.tensordot(weights, textures, 1)
    result = blur(mixed, BANDS[-1])
    lows = [textures] + [np.array([blur(t, s) for t in textures]) for s in BANDS]
    for fine, rough in pairwise(lows):
        bands = fine - rough
        band = np.tensordot(weights, bands, 1)
        wanted = blur(np.tensordot(weights, luma(bands) ** 2, 1), ENERGY_SIGMA)
        there = blur(luma(band) ** 2, ENERGY_SIGMA)
        gain = np.sqrt((wanted + 1e-7) / (there + 1e-7)).clip(1, MAX_GAIN)
        result = result + band * gain[..., None]
    return np.asarray(result.clip(0, 1), np.float32)


def turned(face: Face, chart: Chart) -> Face:
    """A face's mirror image: half of each blend is turned, so that one-sided light and habits cancel."""
    shape = normalise(face.shape[chart.mirror] * np.array([-1, 1, 1], np.float32))
    return replace(face, texture=face.texture[:, ::-1], shape=shape)


def tell_apart(texture: Float, middle: Float) -> Float:
    """A texture whose coarse part is moved away from the ``middle`` one, as averaging moved it there."""
    coarse = blur(texture, COARSE)
    return np.asarray((texture + (TEXTURE_SPREAD - 1) * (coarse - middle)).clip(0, 1), np.float32)


def fade_rim(texture: Float, chart: Chart) -> Float:
    """Let a texture's rim, and hair that reaches into it, fade into the skin further in; extend the skin
    beyond the hull.
    """
    grey, skin = luma(texture), bare_skin(chart)
    level = float(np.median(grey[skin]))
    rows = np.indices(grey.shape)[0]
    features = blur(region(chart, *BROWS, *EYES, grow_px=8).astype(np.float32), 2)
    above = smoothstep(chart.uv[BRIDGE_TOP, 1] + 10 - rows, 0, 20)
    beside = smoothstep(chart.uv[NOSE_TIP, 1] + 10 - rows, 0, 20) * smoothstep(34 - chart.depth, 0, 10)
    soft = blur(grey, 1.5) / level
    hair = np.maximum(above, beside) * smoothstep(1 - soft, 0.22, 0.38)
    cloth = above * smoothstep(30 - chart.depth, 0, 8) * smoothstep(soft - 1, 0.25, 0.4)
    spread = np.asarray(
        cv2.dilate(np.maximum(hair, cloth) * (1 - features), np.ones((9, 9), np.uint8)), np.float32
    )
    known = smoothstep(chart.depth, 3, RIM_PX) * (1 - blur(spread, 2)).clip(0, 1)
    far = fill(texture, blur((skin & (known > 0.98)).astype(np.float32), 1.5))
    grain = texture - blur(texture, 2.5)
    tame = grain.clip(-0.02, 0.02) * smoothstep(chart.depth, 1, 6)[..., None]
    mixed = known[..., None] * texture + (1 - known[..., None]) * (far + tame)
    return np.asarray(mixed.clip(0, 1), np.float32)


# --- the gallery ---------------------------------------------------------------------------------


def principal_codes(textures: Float, shapes: Float) -> Float:
    """Principal components [N, C] of textures [N, 256, 256, 3] and shapes [N, 478, 3], unit variance."""
    small = np.array([cv2.resize(t, (64, 64), interpolation=cv2.INTER_AREA) for t in textures])
    parts = [small.reshape(len(small), -1), shapes.reshape(len(shapes), -1)]
    centred = [(p - p.mean(0)) / np.sqrt(p.var(0).sum()) for p in parts]
    u = np.linalg.svd(np.concatenate(centred, axis=1), full_matrices=False)[0]
    return np.asarray(u[:, :CODE_SIZE] * np.sqrt(len(u)), np.float32)


def flatten(textures: list[NDArray], averages: list[Float], chart: Chart) -> Float:
    """Textures as rows [N, P] of length 1, less tone and the average face of their kind, so that their
    products are correlations of what is individual.
    """
    apart = [np.asarray(t - average, np.float32) for t, average in zip(textures, averages, strict=True)]
    small = [cv2.resize(t, (64, 64), interpolation=cv2.INTER_AREA) for t in apart]
    rows = np.array(small)[:, cv2.resize(chart.depth, (64, 64)) > 10]  # [N, pixels, 3]
    rows = (rows - rows.mean(1, keepdims=True)).reshape(len(rows), -1)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def sharpness(textures: list[NDArray], chart: Chart) -> float:
    """The mean contrast of fine detail (finer than 2 px) inside the faces."""
    grey = [luma(np.asarray(texture, np.float32)) for texture in textures]
    return float(np.mean([(g - blur(g, 2))[chart.depth > 18].std() for g in grey]))


def others_only(matrix: Float) -> Float:
    """The highest of each row [N] of a square matrix, the diagonal left out."""
    return np.asarray((matrix - 3 * np.eye(len(matrix), dtype=np.float32)).max(1), np.float32)


def spread_out(blended: Float, sources: Float) -> Float:
    """Shapes [N, 478, 3] moved away from the mean of the ``sources`` [M, 478, 3], whose variance averaging
    has taken from them, so that delegates differ from one another as people do.
    """
    centre = sources.mean(0)
    gain = np.sqrt(sources.var(0).sum() / blended.var(0).sum()).clip(1, MAX_SPREAD)
    return np.array([normalise(centre + gain * (shape - centre)) for shape in blended])


def blend_all(
    faces: list[Face], blends: list[NDArray[np.int64]], chart: Chart, rng: np.random.Generator
) -> Blended:
    """One delegate for each of ``blends``."""
    middles = {kind: blur(mean, COARSE) for kind, mean in means(faces).items()}
    shares = np.zeros((len(blends), BLEND[1]), np.float32)
    textures, shapes, traits = [], [], []
    for row, members in enumerate(blends):
        weights = shares[row, : len(members)] = draw_weights(rng, len(members))
        sides = rng.permutation(len(members)) % 2 == 0
        group = [turned(faces[m], chart) if s else faces[m] for m, s in zip(members, sides, strict=True)]
        mixed = blend(np.array([f.texture for f in group], np.float32), weights)
        textures.append(fade_rim(tell_apart(mixed, middles[faces[members[0]].kind]), chart))
        shapes.append(np.tensordot(weights, np.array([f.shape for f in group]), 1))
        traits.append(weights @ np.array([(f.masculine, f.age) for f in group]))
    return Blended(
        textures=np.array(textures),
        shapes=spread_out(np.array(shapes), np.array([f.shape for f in faces])),
        masculine=np.array(traits, np.float32)[:, 0],
        ages=np.array(traits, np.float32)[:, 1],
        weights=shares,
    )


def distinct(blended: Blended, flat: Float, sources: Float) -> NDArray[np.int64]:
    """The rows of the delegates that are no portrait's double, nor one another's; ``flat`` [N, P] and
    ``sources`` [M, P] as ``flatten`` gives them.
    """
    kept: list[int] = []
    for row in np.flatnonzero((flat @ sources.T).max(1) <= MAX_LIKENESS).tolist():
        if not kept or float((flat[kept] @ flat[row]).max()) <= MAX_LIKENESS_AMONG:
            kept.append(row)
    return np.array(kept, np.int64)


def write_gallery(path: Path, made: Blended, chart: Chart) -> None:
    """Write the file that ``load_delegates`` reads."""
    jpegs = [encode(texture) for texture in made.textures]
    np.savez_compressed(
        path,
        version=np.int32(VERSION),
        ids=np.array([f"d{row:03d}" for row in range(len(jpegs))]),
        jpegs=np.concatenate(jpegs),
        jpeg_sizes=np.array([len(j) for j in jpegs], np.int32),
        shapes=made.shapes,
        codes=principal_codes(made.textures, made.shapes),
        masculine=made.masculine,
        ages=made.ages,
        weights=made.weights,
        uv=chart.uv,
        triangles=chart.triangles,
        mirror=chart.mirror,
    )


def build(data: Path, out: Path) -> None:
    """Write ``delegates-v1.npz`` and the card's picture below ``out``; print what was measured as JSON."""
    rng = np.random.default_rng(SEED)
    chart, faces = read_faces(data)
    faces = with_groups(faces)
    blends = choose_blends(faces, likeness_space(faces, chart), rng)
    made = blend_all(faces, blends, chart, rng)

    average = means(faces)
    both = [turned(face, chart) for face in faces] + faces
    sources = flatten([f.texture for f in both], [average[f.kind] for f in both], chart)
    flat = flatten(list(made.textures), [average[faces[b[0]].kind] for b in blends], chart)
    rows = distinct(made, flat, sources)
    made, flat = made[rows], flat[rows]

    out.joinpath("cards").mkdir(parents=True, exist_ok=True)
    write_gallery(out / "delegates-v1.npz", made, chart)
    gallery = load_delegates(out / "delegates-v1.npz")
    sheet = contact_sheet(gallery, gallery.delegates)
    cv2.imwrite(str(out / "cards" / "delegates-v1.jpg"), sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])

    single = sources[len(faces) :]
    likeness = {
        "delegate to portrait": (flat @ sources.T).max(1),
        "portrait to portrait": others_only(single @ single.T),
        "delegate to delegate": others_only(flat @ flat.T),
    }
    report = {
        "portraits": len(faces),
        "blended": len(blends),
        "kept": len(rows),
        "groups": Counter(sorted(faces[blends[row][0]].kind for row in rows)),
        "ages up to 20, 25, 30, 35, 40, 50, 60, 90": np.histogram(made.ages, AGE_BINS)[0].tolist(),
        "k": Counter((made.weights > 0).sum(1).tolist()),
        "max weight": float(made.weights.max()),
        "likeness (median, max)": {k: [float(np.median(v)), float(v.max())] for k, v in likeness.items()},
        "detail (delegates, portraits)": [
            sharpness(t, chart) for t in (list(made.textures), [f.texture for f in faces[::8]])
        ],
    }
    print(json.dumps(report, indent=2))


def encode(texture: Float) -> NDArray[np.uint8]:
    """A texture [256, 256, 3] RGB 0..1 as a JPEG file without chroma subsampling."""
    pixels = np.round(texture[..., ::-1] * 255).clip(0, 255).astype(np.uint8)
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111]
    return np.asarray(cv2.imencode(".jpg", pixels, options)[1], np.uint8).ravel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with faces_*.tar and faces_labels.npz"
    )
    parser.add_argument("--out", type=Path, default=Path("engines"), help="where the gallery goes")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    build(arguments.data, arguments.out)


if __name__ == "__main__":
    main()
