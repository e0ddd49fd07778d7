"""How painted faces meet the skin around them, and how fine they are: clips, each face of some frames.

    python -m benchmarks.faces.borders CLIP... [--seed 3] [--every 4]

At 72 places along a mesh's outline, drawn a little outwards, where the original is skin on both sides (its
own step is below 6 and the outside within 25 of the face's median, CIE 1976): ΔE between 4.5 % of the
face's width outside and inside, by segment; and how much a line stands out, as ΔE from the mean of what is
2.5 % of the width to its either side, the most within 2 % of the edge. Fine detail: what a blur of 1.5 px
takes away, median of blocks, painted over the person's own; and the share of faces with 0.8 to 1.25.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon import to_rgb
from streamanon.api import Anonymizer
from streamanon.config import load_config
from streamanon.cover.canvas import HostCanvas
from streamanon.cover.trust import opaque_inside
from streamanon.generate import Generator, Job, Painting, Patch
from streamanon.mesh.landmarks import EYES, OUTER_LIPS, OVAL
from streamanon.types import LUMA, Float, Picture

FOREHEAD = {10, 338, 297, 332, 284, 109, 67, 103, 54}
SIDES = {251, 389, 356, 454, 323, 361, 21, 162, 127, 234, 93, 132}
PLACES, OUTWARDS, STEP, LINE = 72, 0.025, 0.045, 0.025
LINE_AT = (-0.02, -0.01, 0.0, 0.01, 0.02)
MOST_STEP, LIKE_FACE = 6.0, 25.0
FINE_PX, BLOCK, FITS = 1.5, 0.045, (0.8, 1.25)


@dataclass
class Found:
    """By segment the steps and lines of [original, output]; ``fine``: of each face, output over that."""

    steps: dict[str, list[Float]] = field(default_factory=dict)
    lines: dict[str, list[Float]] = field(default_factory=dict)
    fine: list[float] = field(default_factory=list)


class Recorder:
    """A generator that measures every so many paintings of another."""

    def __init__(self, generator: Generator, every: int, found: Found) -> None:
        self._generator, self._every, self._found = generator, every, found
        self._count = 0

    def paint(self, picture: Picture, jobs: Sequence[Job]) -> list[Painting | None]:
        made = self._generator.paint(picture, jobs)
        self._count += 1
        if self._count % self._every == 0:
            for job, painting in zip(jobs, made, strict=True):
                if painting is not None:
                    measure(picture, opaque_inside(painting.patch, job.geometry.points), job, self._found)
        return made


def measure(picture: Picture, patch: Patch, job: Job, found: Found) -> None:
    canvas, points = HostCanvas(picture), job.geometry.points
    canvas.write(patch.x0, patch.y0, patch.rgb, patch.alpha)
    images = [to_rgb(one) for one in (picture, canvas.finish())]
    width = float(np.ptp(points[:, 0]))
    labs = [_lab(image, max(0.4, 0.012 * width)) for image in images]
    alpha = np.zeros(images[0].shape[:2], np.float32)
    height, across = patch.alpha.shape
    alpha[patch.y0 : patch.y0 + height, patch.x0 : patch.x0 + across] = patch.alpha
    if (alpha > 0.95).any():
        _border(labs, alpha, points, width, found)
        found.fine.append(_fineness(images, alpha, points, width))


def _border(labs: list[Float], alpha: Float, points: Float, width: float, found: Found) -> None:
    ring = points[list(OVAL), :2]
    along = np.linspace(0, len(ring), PLACES + 1)[:-1]
    closed = np.concatenate([ring, ring[:1]])
    at = np.stack([np.interp(along, np.arange(len(closed)), closed[:, axis]) for axis in (0, 1)], axis=1)
    tangent = np.roll(at, -2, axis=0) - np.roll(at, 2, axis=0)
    out = np.stack([tangent[:, 1], -tangent[:, 0]], axis=1)
    out /= np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-6)
    if ((at - at.mean(axis=0)) * out).sum() < 0:
        out = -out
    at = at + OUTWARDS * width * out

    def seen(image: Float, away: float) -> Float:
        x, y = (at + away * width * out).astype(np.float32).T
        read = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(read.reshape(len(at), -1), np.float32)

    face = np.median(labs[0][alpha > 0.95], axis=0)
    steps = np.stack([_apart(seen(lab, STEP), seen(lab, -STEP)) for lab in labs], axis=1)
    lines = np.stack(
        [np.max([_line(lab, where, seen) for where in LINE_AT], axis=0) for lab in labs], axis=1
    )
    far = at + STEP * width * out
    inside = ((far > 1) & (far < np.array(alpha.shape[::-1]) - 2)).all(axis=1)
    skin = (steps[:, 0] < MOST_STEP) & (_apart(seen(labs[0], STEP), face) < LIKE_FACE)
    usable = skin & inside & (seen(alpha, -STEP)[:, 0] > 0.9)
    for number in np.flatnonzero(usable):
        point = OVAL[int(np.argmin(np.linalg.norm(ring - at[number], axis=1)))]
        segment = "forehead" if point in FOREHEAD else "sides" if point in SIDES else "jaw"
        found.steps.setdefault(segment, []).append(steps[number])
        found.lines.setdefault(segment, []).append(lines[number])


def _line(lab: Float, where: float, seen: object) -> Float:
    assert callable(seen)
    beside = (seen(lab, where + LINE) + seen(lab, where - LINE)) / 2
    return _apart(seen(lab, where), beside)


def _fineness(images: Sequence[NDArray[np.uint8]], alpha: Float, points: Float, width: float) -> float:
    reach = 2 * int(0.03 * width) + 1
    inside = cv2.erode((alpha > 0.98).astype(np.uint8), np.ones((reach, reach)))
    for outline in (*EYES, OUTER_LIPS):
        cv2.fillPoly(inside, [np.rint(points[list(outline), :2]).astype(np.int32)], 0)
    block = 1 / max(4, int(BLOCK * width))
    share = cv2.resize(inside.astype(np.float32), None, fx=block, fy=block, interpolation=cv2.INTER_AREA)
    strengths = []
    for image in images:
        grey = image.astype(np.float32) @ LUMA
        squares = (grey - cv2.GaussianBlur(grey, (0, 0), FINE_PX)) ** 2 * inside
        mean = cv2.resize(squares, None, fx=block, fy=block, interpolation=cv2.INTER_AREA)
        usable = share > 0.7
        power = np.asarray(mean[usable] / share[usable], np.float64)
        strengths.append(float(np.sqrt(np.median(power))) if power.size else np.nan)
    return strengths[1] / max(strengths[0], 1e-3)


def _lab(image: NDArray[np.uint8], sigma: float) -> Float:
    lab = cv2.cvtColor((image / 255).astype(np.float32), cv2.COLOR_RGB2LAB)
    return np.asarray(cv2.GaussianBlur(lab, (0, 0), sigma), np.float32)


def _apart(one: Float, other: Float) -> Float:
    return np.asarray(np.linalg.norm(one - other, axis=-1), np.float32)


def row(name: str, found: Found) -> str:
    cells = [name]
    for segment in ("forehead", "sides", "jaw"):
        for kind in (found.steps, found.lines):
            pairs = np.array(kind.get(segment, []), np.float64)
            cells.append(
                "–" if len(pairs) < 5 else ", ".join(f"{np.median(column):.1f}" for column in pairs.T)
            )
    fine = np.array(found.fine)
    fine = fine[np.isfinite(fine)]
    fits = ((fine >= FITS[0]) & (fine <= FITS[1])).mean() if len(fine) else np.nan
    cells += [f"{np.median(fine):.2f}" if len(fine) else "–", f"{100 * fits:.0f} %"]
    return "| " + " | ".join(cells) + " |"


def joined(founds: Sequence[Found]) -> Found:
    whole = Found()
    for found in founds:
        for kind in ("steps", "lines"):
            for segment, pairs in getattr(found, kind).items():
                getattr(whole, kind).setdefault(segment, []).extend(pairs)
        whole.fine += found.fine
    return whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--every", type=int, default=4, help="measure one frame in so many")
    parser.add_argument("--frames", type=int, default=120, help="at most so many of a clip")
    args = parser.parse_args()
    anonymizer = Anonymizer(
        load_config(None, [f"identity.seed={args.seed}", "compute.backend=onnxruntime"])
    )
    assert anonymizer.parts is not None
    parts, founds = anonymizer.parts, []
    print("Medians of the original, and of the output.\n")
    print("| clip | forehead ΔE | line | sides ΔE | line | jaw ΔE | line | fine detail | 0.8–1.25 |")
    print("|---|---|---|---|---|---|---|---|---|")
    for clip in args.clips:
        found = Found()
        anonymizer.parts = replace(parts, generator=Recorder(parts.generator, args.every, found))
        with closing(anonymizer.frames(clip)) as frames:
            for number, _ in enumerate(frames, 1):
                if number >= args.frames:
                    break
        founds.append(found)
        print(row(clip.stem, found), flush=True)
    print(row("all", joined(founds)))


if __name__ == "__main__":
    main()
