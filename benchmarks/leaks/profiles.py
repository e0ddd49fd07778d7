"""Full profiles: how many face-frames of turned heads stay bare, with the whole chain.

    pip install '.[train]' && python -m benchmarks.leaks.profiles --data DATA --out NAME

Two kinds, none of which was trained on: portraits of the split ``val`` turned by their meshes to 70 to 88
degrees of yaw (``turned``), and the full profiles of the 40 people of FEI who are held out, enlarged
(``fei``). Each is a short clip: the head drifts over a picture of ``val`` without faces. A face-frame is
bare if less than three quarters of the ellipse in its box are covered; covers are plain.
"""

from __future__ import annotations

import argparse
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.leaks.bare_faces import Contender, own, profile, to_raw
from streamanon.mesh.landmarks import SKIN_POINTS
from streamanon.training.verifier_mining import CORPORA, pictures
from streamanon.training.verifier_samples import FEI_TURNS, read_heads
from streamanon.training.verifier_turned import SIDE, turned

SIZE, RATE, FRAMES = (480, 320), 25, 20
#: Heights of the face's box in the picture, px, and of the yaw in degrees.
HEIGHTS_PX, YAW_DEG = (44, 120), (70, 88)
FULL_PROFILE, COVERED = 2, 0.75
PROFILES = ("file", "livestream")

Image = NDArray[np.uint8]
Head = tuple[str, Image, NDArray[np.float32]]  # kind, RGB picture, box


def turned_heads(data: Path, rng: np.random.Generator) -> Iterator[Head]:
    """Portraits of ``val`` in profile."""
    labels = dict(np.load(data / "portraits_512_labels.npz").items())
    rows = {str(name): row for row, name in enumerate(labels["name"])}
    with tarfile.open(data / "portraits_512.tar") as archive:
        for member in archive:
            row, stream = rows.get(Path(member.name).name), archive.extractfile(member)
            if row is None or stream is None or labels["split"][row] != "val":
                continue
            image = cv2.imdecode(np.frombuffer(stream.read(), np.uint8), cv2.IMREAD_COLOR)
            if image is None:
                continue
            small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)[..., ::-1]
            depth = labels["z"][row].astype(float)[:, None] * labels["z_scale"][row]
            points = np.concatenate([labels["xy"][row] / 4, depth], axis=1) * SIDE / image.shape[0]
            yaw = float(rng.uniform(*YAW_DEG) * rng.choice([-1, 1]))
            drawn, mesh = turned(np.asarray(small, np.uint8, "C"), points.astype(np.float32), yaw)
            seen = mesh[:SKIN_POINTS, :2]
            yield "turned", drawn, np.concatenate([seen.min(0), seen.max(0)])


def fei_heads(data: Path) -> Iterator[Head]:
    """FEI's held-out people in full profile."""
    for image, box, view, _person in read_heads(data, held_out=True):
        if FEI_TURNS.get(view) == FULL_PROFILE:
            yield "fei", image, box


def grounds(data: Path) -> list[Image]:
    """Pictures of ``val`` without a labelled face."""
    found = []
    for corpus in CORPORA:
        for entry, rgb in pictures(data, corpus):
            if entry["split"] == "val" and not entry["faces"]:
                found.append(np.asarray(cv2.resize(rgb, SIZE, interpolation=cv2.INTER_AREA), np.uint8))
    return found


def clip(head: Head, ground: Image, rng: np.random.Generator) -> list[tuple[Image, NDArray[np.float32]]]:
    """Frames and the face's box in each."""
    _, image, box = head
    scale = float(np.exp(rng.uniform(*np.log(HEIGHTS_PX)))) / float(box[3] - box[1])
    large = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    mask = np.zeros(large.shape[:2], np.float32)
    edge = max(2, round(0.06 * large.shape[0]))
    mask[edge:-edge, edge:-edge] = 1
    alpha = cv2.GaussianBlur(mask, (0, 0), edge / 2)[..., None]
    room = np.array(SIZE) - large.shape[1::-1]
    start, drift = rng.uniform(0.3, 0.7, 2) * room, rng.uniform(-1.5, 1.5, 2)
    frames = []
    for number in range(FRAMES):
        shift = np.array([[1, 0, 0], [0, 1, 0]], np.float64)
        shift[:, 2] = start + drift * number
        front = cv2.warpAffine(large, shift, SIZE)
        share = cv2.warpAffine(alpha, shift, SIZE)[..., None]
        shown = np.asarray(ground * (1 - share) + front * share, np.uint8)
        frames.append((shown, np.asarray(box * scale + np.tile(shift[:, 2], 2), np.float32)))
    return frames


def bare(frames: list[tuple[Image, NDArray[np.float32]]], contender: Contender) -> int:
    """In how many frames the face is bare."""
    raw = [to_raw(number, RATE, rgb) for number, (rgb, _) in enumerate(frames)]
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    count = 0
    covers = contender.cover(raw, [rgb for rgb, _ in frames])
    for (_, box), covered in zip(frames, covers, strict=True):
        middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
        face = ((x - middle[0]) / half[0]) ** 2 + ((y - middle[1]) / half[1]) ** 2 <= 1
        count += int(covered.mask[face].mean() < COVERED)
    return count


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--most", type=int, default=80, help="heads of each kind")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    rng = np.random.default_rng(2026)
    places = grounds(args.data)
    heads = [*list(turned_heads(args.data, rng))[: args.most], *list(fei_heads(args.data))[: args.most]]
    clips = [(head[0], clip(head, places[int(rng.integers(len(places)))], rng)) for head in heads]
    found: dict[str, Any] = {}
    for name in PROFILES:
        contender = own(name, profile(name, "cover.method=solid"))
        for kind in ("turned", "fei"):
            those = [frames for one, frames in clips if one == kind]
            left = [bare(frames, contender) for frames in those]
            found[f"{name}, {kind}"] = {
                "heads": len(those),
                "face_frames": len(those) * FRAMES,
                "bare": sum(left),
                "heads_bare": sum(n > 0 for n in left),
            }
            print(name, kind, found[f"{name}, {kind}"], flush=True)
    if args.out:
        args.out.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
