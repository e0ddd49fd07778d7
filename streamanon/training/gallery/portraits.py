"""Reading the synthetic portraits, screening them, and bringing them into the gallery's texture space."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.gallery.delegates import FINE_PX, TEXTURE_PX
from streamanon.gallery.filters import blur, smoothstep
from streamanon.gallery.uv_chart import Chart, align, bare_skin, normalise, unwrap
from streamanon.media.yuv import from_rgb
from streamanon.mesh.face_mesh import MeshModel
from streamanon.mesh.landmarks import MOUTH, SKIN_POINTS, mesh_keypoints, yaw_degrees
from streamanon.portraits.texture import even_light, fade_rim, flaws, relief, tone_degrees
from streamanon.training.gallery.odd import ODD
from streamanon.types import LUMA, Float, Target

SETS = ("faker", "generated")
#: The portraits under a free licence (CC0-1.0).
FREE = "faker"
MAX_YAW_DEG = 7.8
#: The largest flaws that the portraits of ``generated`` may have (``portraits.texture.flaws``); those of
#: ``faker`` are few and were all looked at.
LIMITS = {"fringe": 0.08, "hair": 0.03, "foreign": 0.03, "strands": 0.03, "patch": 0.3, "glasses": 0.045}
#: Labelled ages are the prompts that portraits were drawn by: half of the truth is how old they look.
LABEL_SHARE = 0.5
#: Where the fading of hair and rim changed so much, 0..1, fine detail goes: it is hair.
CHANGED = (0.008, 0.03)
#: How much of a smile, as the mouth's shape, a delegate keeps: the person's own mouth moves it.
SMILE_KEPT, SMILE_GAP = 0.4, 0.03


@dataclass(frozen=True, eq=False)
class Portrait:
    """``image`` [512, 512, 3] uint8 BGR; ``points`` [478, 3] px; ``age``: as labelled, None where nobody
    says.
    """

    name: str
    source: str
    image: NDArray[np.uint8]
    points: Float
    male: bool
    age: float | None


@dataclass(frozen=True, eq=False)
class Face:
    """One portrait in texture space: ``texture`` [512, 512, 3] uint8 RGB, light evened out, hair faded;
    ``shape`` [478, 3]; ``tone``: ITA, degrees; ``age``, years, as labelled and as it looks; ``label``: the
    labelled one alone.
    """

    name: str
    source: str
    texture: NDArray[np.uint8]
    shape: Float
    tone: float
    male: bool
    age: float
    label: float | None


class Unwrapper:
    """Makes textures of portraits in the ``chart`` of a gallery; ``typical`` [256, 256]: the relief to
    which their light is brought.
    """

    def __init__(self, chart: Chart, fine: Chart, typical: Float) -> None:
        self._chart, self._fine, self._typical = chart, fine, typical
        self._skin = bare_skin(chart)
        self._inside = _doubled(smoothstep(chart.depth, 1, 6))[..., None]

    def texture(self, portrait: Portrait) -> tuple[Float, Float]:
        """[512, 512, 3] RGB 0..1, and what it is without hair and rim faded [256, 256, 3]."""
        raw = unwrap(portrait.image[..., ::-1], portrait.points[:, :2], self._fine)
        small = _halved(raw)
        even = even_light(small, self._skin, self._typical)
        bare = fade_rim(even, self._chart, beardless=not portrait.male)
        changed = blur(np.asarray(np.abs((bare - even) @ LUMA), np.float32), 1.5)
        kept = _doubled(1 - smoothstep(changed, *CHANGED))[..., None] * self._inside
        gain = _doubled(blur(np.asarray(even / np.maximum(small, 0.02), np.float32), 2.0)).clip(0.3, 3)
        fine = kept * gain * (raw - _doubled(small))
        return np.asarray((_doubled(bare) + fine).clip(0, 1), np.float32), even


def read_portraits(data: Path) -> Iterator[Portrait]:
    """Those of the training split that look into the camera and that no list leaves out."""
    labels = dict(np.load(data / "portraits_512_labels.npz"))
    rows = {str(name): row for row, name in enumerate(labels["name"])}
    with tarfile.open(data / "portraits_512.tar") as archive:
        for member in archive:
            row = rows.get(Path(member.name).name)
            stream = archive.extractfile(member)
            if row is None or stream is None or str(labels["split"][row]) != "train":
                continue
            depth = labels["z"][row].astype(np.float32) * float(labels["z_scale"][row])
            points = np.column_stack([labels["xy"][row].astype(np.float32) / 4, depth])
            name, source = str(labels["name"][row]).partition(".")[0], str(labels["set"][row])
            if name in ODD or abs(yaw_degrees(points)) > MAX_YAW_DEG:
                continue
            image = cv2.imdecode(np.frombuffer(stream.read(), np.uint8), cv2.IMREAD_COLOR)
            male = str(labels["ident"][row]).startswith("male")
            age = float(labels["age"][row]) if source == FREE else None
            yield Portrait(name, source, np.asarray(image, np.uint8), points, male, age)


def read_faces(data: Path, chart: Chart, fine: Chart, mesh: MeshModel) -> list[Face]:
    """All portraits that pass the screens, those of the free set first."""
    portraits = sorted(read_portraits(data), key=lambda one: (SETS.index(one.source), one.name))
    skin = bare_skin(chart)
    mean = np.mean([_halved(unwrap(p.image[..., ::-1], p.points[:, :2], fine)) for p in portraits], axis=0)
    unwrapper = Unwrapper(chart, fine, relief(np.asarray(mean, np.float32), skin))
    looks = [looked_age(portrait, mesh) for portrait in portraits]
    known = [(look, p.age) for look, p in zip(looks, portraits, strict=True) if p.age is not None]
    ages = np.array(known, np.float64)
    line = np.polyfit(ages[:, 0], ages[:, 1], 1)
    faces = []
    for portrait, look in zip(portraits, looks, strict=True):
        texture, even = unwrapper.texture(portrait)
        found = flaws(even, chart)
        if portrait.source != FREE and any(found[name] > limit for name, limit in LIMITS.items()):
            continue
        age = float(np.polyval(line, look)) if portrait.age is None else look
        if portrait.age is not None:
            age += LABEL_SHARE * (portrait.age - look)
        faces.append(
            Face(
                name=portrait.name,
                source=portrait.source,
                texture=np.rint(texture * 255).astype(np.uint8),
                shape=calm(normalise(align(portrait.points, chart.mean)), chart.mean),
                tone=tone_degrees(_halved(texture), chart),
                male=portrait.male,
                age=float(np.clip(age, 15, 90)),
                label=portrait.age,
            )
        )
    return faces


def looked_age(portrait: Portrait, mesh: MeshModel) -> float:
    """Years, by the mesh network, which also tells how old the people are that delegates are chosen for."""
    rgb = np.ascontiguousarray(portrait.image[..., ::-1])
    points = portrait.points
    box = np.concatenate([points[:SKIN_POINTS, :2].min(0), points[:SKIN_POINTS, :2].max(0)])
    target = Target(0, box.astype(np.float32), mesh_keypoints(points), True)
    return float(mesh.measure(from_rgb(rgb), [target])[0].age)


def calm(shape: Float, mean: Float) -> Float:
    """A ``shape`` [478, 3] with less of a smile: where lips part, the mouth goes towards the mean's."""
    lips = list(MOUTH)
    gap = float(np.linalg.norm(shape[13, :2] - shape[14, :2]))
    keep = float(np.interp(gap, (SMILE_GAP, 2 * SMILE_GAP), (1, SMILE_KEPT)))
    calmed = shape.copy()
    middle = shape[lips].mean(0) - mean[lips].mean(0)
    calmed[lips] = mean[lips] + middle + keep * (shape[lips] - mean[lips] - middle)
    return calmed


def _halved(texture: Float) -> Float:
    return np.asarray(
        cv2.resize(texture, (TEXTURE_PX, TEXTURE_PX), interpolation=cv2.INTER_AREA), np.float32
    )


def _doubled(texture: Float) -> Float:
    return np.asarray(cv2.resize(texture, (FINE_PX, FINE_PX), interpolation=cv2.INTER_CUBIC), np.float32)
