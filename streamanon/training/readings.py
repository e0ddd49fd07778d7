"""Tell a gallery's file how its delegates read when people wear them: as which sex, and how old.

    python -m streamanon.training.readings --data DATA --engines engines

Each delegate is painted by the installed networks on some 30 heads of ``utk`` (split ``train``), of either
sex and varied age and skin tone, and the mesh network says how masculine and how old each result presents:
the same network that tells it of people. Stored are means over heads of the delegate's own sex, of which
those of like tone count most, as they are who will wear it: dark men on light heads are taken for women.
Delegates whose sex is in doubt even so are left out. Ten minutes on one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.config import ComputeConfig
from streamanon.cover.trust import opaque_inside
from streamanon.errors import SynthesisError
from streamanon.gallery.contact_sheet import write_sheet
from streamanon.gallery.delegates import (
    ROWS,
    DelegateGallery,
    gallery_of,
    load_delegates,
    read_fields,
    write_fields,
)
from streamanon.generate import Job, NetworkGenerator
from streamanon.identity.distraction import open_distraction
from streamanon.identity.encoder import IdentityEncoder, IdentityFeature
from streamanon.identity.exponential_mechanism import log_odds
from streamanon.media.yuv import from_rgb, write_rgb
from streamanon.mesh.face_mesh import FaceMesh
from streamanon.mesh.landmarks import mesh_keypoints, yaw_degrees
from streamanon.portraits.reference_render import GEOMETRY
from streamanon.runtime.backends import Backend
from streamanon.runtime.backends.onnxruntime import create
from streamanon.runtime.models import Engines
from streamanon.training.portraits import Portrait, read_portraits
from streamanon.types import Assignment, Float, Geometry, Picture, Target

#: Heads are one of each sex, age band (years) and group of the labels' five origins.
AGE_BANDS = ((18, 27), (28, 37), (38, 49), (50, 62), (63, 80))
ORIGINS = {"0": "white", "1": "black", "2": "asian or indian", "3": "asian or indian"}
#: Only heads are used of which the mesh network is so sure, that look ahead, and whose sex and age (within
#: so many years) it tells as they are labelled.
LEAST_CONFIDENCE, MOST_YAW_DEG, MOST_YEARS_OFF = 0.6, 15.0, 8.0
#: Heads whose tone is so far from a delegate's (sigma, degrees of ITA) count less, but not less than that.
TONE_NEAR, LEAST_WEIGHT = 30.0, 0.02
#: Log-odds below which a delegate's sex is in doubt.
IN_DOUBT = 1.4

Kind = tuple[bool, int, str]


@dataclass(frozen=True, eq=False)
class Head:
    """Somebody who wears delegates; ``tone``: of the skin, ITA, degrees."""

    male: bool
    tone: float
    picture: Picture
    measured: Geometry
    feature: IdentityFeature


class Wearing:
    """Paints delegates on heads with the installed networks, and reads the results."""

    def __init__(self, gallery: DelegateGallery, backend: Backend, engines: Engines) -> None:
        self._gallery, self._mesh = gallery, FaceMesh(backend, engines)
        self._generator = NetworkGenerator(gallery, backend, engines)
        self._encoder, self._distraction = IdentityEncoder(backend, engines), open_distraction(engines)

    def head(self, portrait: Portrait, male: bool, age: int) -> Head | None:
        """``portrait`` as a head; None for one that does not serve."""
        picture = from_rgb(np.ascontiguousarray(portrait.image[..., ::-1]))
        measured = self._mesh.measure(picture, [_target(portrait.points)])[0]
        serves = (
            measured.confidence >= LEAST_CONFIDENCE
            and abs(yaw_degrees(measured.points)) <= MOST_YAW_DEG
            and (measured.masculine > 0.5) == male
            and abs(measured.age - age) <= MOST_YEARS_OFF
        )
        if not serves:
            return None
        feature = self._encoder.describe(picture, measured.points)
        return Head(male, self._distraction.attributes(feature.pooled)["ita"], picture, measured, feature)

    def read(self, head: Head, row: int) -> tuple[float, float]:
        """How masculine (0..1) and how old (years) a delegate presents there."""
        distracted = self._distraction.apply(head.feature, self._gallery.features[row])
        assignment = Assignment(self._gallery.delegates[row], GEOMETRY, distracted)
        painting = self._generator.paint(head.picture, [Job(head.measured, assignment, None)])[0]
        if painting is None:
            raise SynthesisError("a head's face cannot be painted: leave that head out")
        bare, patch = head.picture, opaque_inside(painting.patch, head.measured.points)
        planes = tuple(plane.copy() for plane in bare.planes)
        write_rgb(planes, bare, patch.x0, patch.y0, patch.rgb, patch.alpha)
        worn = Picture(planes, bare.pixel_format, bare.matrix, bare.full_range)
        found = self._mesh.measure_whole(worn, _target(head.measured.points))
        return found.masculine, found.age


def _target(points: Float) -> Target:
    box = np.concatenate([points[:, :2].min(0), points[:, :2].max(0)]).astype(np.float32)
    return Target(0, box, mesh_keypoints(points), True)


def heads(data: Path, wearing: Wearing) -> list[Head]:
    """The first that serves of each kind, in the order of the set."""
    found: dict[Kind, Head] = {}
    for portrait in read_portraits(data, ["utk"]):
        kind, age = _kind_of(portrait)
        if kind is None or kind in found:
            continue
        head = wearing.head(portrait, kind[0], age)
        if head is not None:
            found[kind] = head
    return [found[kind] for kind in sorted(found)]


def _kind_of(portrait: Portrait) -> tuple[Kind | None, int]:
    """Sex, age band and origin by the label, age_sex_origin, and the age; no kind for others."""
    age, sex, origin, *_ = portrait.group.split("_")
    band = next((row for row, (low, high) in enumerate(AGE_BANDS) if low <= int(age) <= high), None)
    if band is None or origin not in ORIGINS:
        return None, int(age)
    return (sex == "0", band, ORIGINS[origin]), int(age)


def readings(gallery: DelegateGallery, wearing: Wearing, worn_by: list[Head]) -> tuple[Float, Float]:
    """Mean log-odds of presenting as masculine, and mean years, of each delegate [D]."""
    men = np.array([delegate.masculine > 0.5 for delegate in gallery.delegates])
    weights = weights_of(worn_by, men, gallery.tones)
    totals = np.zeros((2, len(gallery)))
    for number, head in enumerate(worn_by):
        for row in np.flatnonzero(weights[number]):
            masculine, age = wearing.read(head, int(row))
            totals[:, row] += weights[number, row] * np.array([log_odds(np.array(masculine)), age])
    odds, years = totals.astype(np.float32)
    return odds, years


def weights_of(worn_by: list[Head], men: NDArray[np.bool_], tones: Float) -> NDArray[np.float64]:
    """How much each head counts for delegates of some sex and ``tones``, both [D]: [H, D], sums of 1; those
    of the other sex count for nothing.
    """
    away = (np.array([head.tone for head in worn_by])[:, None] - tones) / TONE_NEAR
    same = np.array([head.male for head in worn_by])[:, None] == men
    weights = same * (np.exp(-(away**2) / 2) + LEAST_WEIGHT)
    return np.asarray(weights / weights.sum(axis=0))


def with_readings(arrays: Mapping[str, NDArray[Any]], odds: Float, years: Float) -> dict[str, NDArray[Any]]:
    """A gallery file's fields with what was read, less those whose sex is in doubt or another."""
    stored = np.where(arrays["masculine"] > 0.5, 1, -1)
    read = {**arrays, "worn_masculine": (1 / (1 + np.exp(-odds))).astype(np.float32), "worn_ages": years}
    return only(read, np.flatnonzero(odds * stored >= IN_DOUBT))


def only(arrays: Mapping[str, NDArray[Any]], rows: NDArray[np.intp]) -> dict[str, NDArray[Any]]:
    """A gallery file's fields with the delegates of some ``rows`` alone."""
    files = np.split(arrays["jpegs"], np.cumsum(arrays["jpeg_sizes"])[:-1])
    left = {name: arrays[name][rows] for name in ROWS if name != "jpegs"}
    return {**arrays, **left, "jpegs": np.concatenate([files[row] for row in rows])}


def read_all(arrays: Mapping[str, NDArray[Any]], data: Path) -> dict[str, NDArray[Any]]:
    """A gallery file's fields with what the installed networks read of its delegates."""
    gallery = gallery_of(arrays)
    wearing = Wearing(gallery, create(ComputeConfig(threads=1)), Engines.open())
    return with_readings(arrays, *readings(gallery, wearing, heads(data, wearing)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--engines", type=Path, default=Path("engines"))
    args = parser.parse_args()
    cv2.setNumThreads(1)
    path = args.engines / str(Engines.open(args.engines).models["delegates"]["file"])
    write_fields(path, read_all(read_fields(path), args.data))
    gallery = load_delegates(path)
    write_sheet(gallery, args.engines / "cards" / f"{path.stem}.jpg")
    print(f"wrote {path}: {len(gallery)} delegates")


if __name__ == "__main__":
    main()
