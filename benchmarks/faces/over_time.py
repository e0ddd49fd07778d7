"""Painted faces from frame to frame: clips, the first seconds of each.

    pip install '.[audit,bench]'
    python -m benchmarks.faces.over_time CLIP... --mediapipe PYTHON [--seconds 3] [--seed 3]

``PYTHON`` is the interpreter of an environment with ``mediapipe==0.10.14``. Frames before and after
painting are compared, not encoded, face by face. Medians of original and output:

- generated: share of covered face-frames;
- change of the inner face to the next frame, levels; flicker is the median of the ratios, as ``streamanon
  audit`` takes it;
- eyes, mouth: correlation of how far they are open, over the frames of a track, by MediaPipe's landmarks;
  the mean of the tracks in which they move (standard deviation above 0.02);
- swimming: how much skin at nose, cheeks, brow and chin moves otherwise than the mesh does there, px a
  frame, by optical flow (Lucas and Kanade, 1981); also of frames in which the mesh moves by less than a
  pixel;
- likeness of neighbouring frames, by dlib.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np

from benchmarks.faces.generated_faces import landmarks
from streamanon import to_rgb
from streamanon.api import Anonymizer
from streamanon.audit.leaks import to_grey
from streamanon.audit.measure import FLICKER_PX, compare_meshes
from streamanon.audit.pairing import Image
from streamanon.audit.people import INNER_GROWTH, FaceFrame
from streamanon.audit.recognisers import DlibRecogniser, similarity
from streamanon.config import load_config
from streamanon.geometry import grow
from streamanon.identity.assignment import Assigner, AssignerParts, Sight
from streamanon.mesh.landmarks import CHEEKS, CHIN, NOSE, mesh_keypoints
from streamanon.types import Assignment, Float, Geometry, Picture, RawFrame

#: By a frame's index: its picture, and the meshes [478, 3] px in it by track.
Noted: TypeAlias = dict[int, tuple[Picture, dict[int, Float]]]

BROW = (151, 108, 69, 337, 299)
RIGID = (*NOSE, *CHEEKS, *BROW, *CHIN)
#: Around a mesh, shares of its size: what MediaPipe is shown; and the window of the flow, of its width.
MARGIN, WINDOW = 0.5, 0.12
#: Flow that does not come back to within so many px is not one.
RETURN_PX = 0.3
#: Openness that varies by less is no movement; a change of fewer levels no flicker; a mesh that moves by
#: fewer px rests.
LEAST_FRAMES = 10
LEAST_SPREAD, LEAST_CHANGE, RESTS_PX = 0.02, 0.5, 1.0


class NotingAssigner(Assigner):
    """Notes each frame's picture, and the meshes in it by track, as they are painted."""

    def __init__(self, parts: AssignerParts, noted: Noted) -> None:
        super().__init__(parts)
        self._noted = noted

    def assign(
        self,
        frame: RawFrame,
        track_id: int,
        geometry: Geometry,
        later: Callable[[], Sequence[Sight]] = tuple,
    ) -> Assignment:
        _, meshes = self._noted.setdefault(frame.index, (frame.picture, {}))
        meshes[track_id] = geometry.points
        return super().assign(frame, track_id, geometry, later)


class NotingAnonymizer(Anonymizer):
    """``noted``: by the frame's index, of one video at a time."""

    noted: Noted

    def assigner(self) -> Assigner | None:
        return None if self.parts is None else NotingAssigner(self.parts.assigner, self.noted)


@dataclass(frozen=True, eq=False)
class Face:
    """A painted face in one frame: its mesh, and both pictures about it."""

    points: Float
    images: tuple[Image, Image]
    embeddings: tuple[Float, Float]


@dataclass(frozen=True)
class Step:
    """From a face's frame to the next, [original, output] each."""

    change: tuple[float, float]
    swimming: tuple[float, float]
    moved: float
    likeness: tuple[float, float]


@dataclass
class Track:
    """A track's painted faces in order, and the steps from one frame to the next."""

    faces: list[Face] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)


class Watcher:
    """Measures the frames of a video one after the other."""

    def __init__(self, recogniser: DlibRecogniser) -> None:
        self._recogniser = recogniser
        self._last: tuple[tuple[Image, Image], dict[int, Face]] | None = None
        self.tracks: defaultdict[int, Track] = defaultdict(Track)

    def see(self, images: tuple[Image, Image], meshes: Mapping[int, Float]) -> None:
        """``images``: original and output; ``meshes`` of the painted faces by track."""
        faces = {track: self._face(points, images) for track, points in meshes.items()}
        for number, face in faces.items():
            track = self.tracks[number]
            track.faces.append(face)
            if self._last is not None and number in self._last[1]:
                before, earlier = self._last
                track.steps.append(self._step(before, images, earlier[number], face))
        self._last = images, faces

    def _face(self, points: Float, images: tuple[Image, Image]) -> Face:
        height, width = images[0].shape[:2]
        x0, y0, x1, y1 = (int(value) for value in grow(_box(points), MARGIN))
        x0, y0 = max(0, x0), max(0, y0)
        window = np.s_[y0 : min(height, y1), x0 : min(width, x1)]
        place = self._recogniser.place(images[0], FaceFrame(0, 0, _box(points), mesh_keypoints(points)))
        before, after = (self._recogniser.describe(image, place) for image in images)
        shown = images[0][window].copy(), images[1][window].copy()
        return Face(points, shown, (before, after))

    def _step(self, before: Sequence[Image], now: Sequence[Image], earlier: Face, face: Face) -> Step:
        changes, swimming = [], []
        for one, other in zip(before, now, strict=True):
            views = [_inner(image, mesh.points) for image, mesh in ((one, earlier), (other, face))]
            changes.append(float(np.abs(views[1] - views[0]).mean()))
            swimming.append(_swimming(one, other, earlier.points, face.points))
        moved = np.linalg.norm(face.points[list(RIGID), :2] - earlier.points[list(RIGID), :2], axis=1)
        alike = [
            similarity(self._recogniser, a, b)
            for a, b in zip(earlier.embeddings, face.embeddings, strict=True)
        ]
        return Step(
            (changes[0], changes[1]),
            (swimming[0], swimming[1]),
            float(np.median(moved)),
            (alike[0], alike[1]),
        )


def _box(points: Float) -> Float:
    return np.concatenate([points[:, :2].min(axis=0), points[:, :2].max(axis=0)]).astype(np.float32)


def _inner(image: Image, points: Float) -> Float:
    """The inner face [48, 48], grey."""
    x0, y0, x1, y1 = (float(value) for value in grow(_box(points), INNER_GROWTH))
    scale = FLICKER_PX / np.maximum(1.0, np.array([x1 - x0, y1 - y0]))
    matrix = np.column_stack([np.diag(scale), -scale * [x0, y0]])
    size = (FLICKER_PX, FLICKER_PX)
    return np.asarray(cv2.warpAffine(to_grey(image), matrix, size, flags=cv2.INTER_AREA), np.float32)


def _swimming(before: Image, now: Image, mesh_before: Float, mesh_now: Float) -> float:
    """Median over the skin's points, px; NaN where none can be followed."""
    here = mesh_before[list(RIGID), :2].astype(np.float32)
    window = max(7, int(WINDOW * np.ptp(mesh_before[:, 0])))
    there = _followed(before, now, here, window)
    back = _followed(now, before, there, window)
    good = np.linalg.norm(back - here, axis=1) < RETURN_PX
    if not good.any():
        return float("nan")
    own = mesh_now[list(RIGID), :2] - mesh_before[list(RIGID), :2]
    return float(np.median(np.linalg.norm(there - here - own, axis=1)[good]))


def _followed(before: Image, now: Image, points: Float, window: int) -> Float:
    """Where points [N, 2] lie in the next image, px; NaN where that cannot be told."""
    one, other = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (before, now))
    there, found, _ = cv2.calcOpticalFlowPyrLK(one, other, points, points.copy(), winSize=(window, window))
    return np.where(np.asarray(found) > 0, np.asarray(there, np.float32), np.float32(np.nan))


def openness(python: str, tracks: Sequence[Track]) -> tuple[list[Float], int]:
    """Of each track [N, 4]: eyes before and after, mouth before and after, of the faces that MediaPipe sees
    in both; and how many those are.
    """
    faces = [face for track in tracks for face in track.faces]
    points = [landmarks(python, [face.images[which] for face in faces]) for which in (0, 1)]
    tables, judged, start = [], 0, 0
    for track in tracks:
        rows = []
        for number in range(start, start + len(track.faces)):
            real, made = points[0][number], points[1][number]
            if np.isfinite(real + made).all():
                pair = compare_meshes(0, True, *faces[number].images, real, made)
                rows.append([*pair.lids, *pair.lips])
        start += len(track.faces)
        judged += len(rows)
        tables.append(np.array(rows, np.float32).reshape(-1, 4))
    return tables, judged


def correlation(tables: Sequence[Float], column: int) -> float:
    long = [table[:, column : column + 2] for table in tables if len(table) >= LEAST_FRAMES]
    moving = [pairs for pairs in long if pairs[:, 0].std() > LEAST_SPREAD]
    if not moving:
        return float("nan")
    return float(np.mean([np.asarray(np.corrcoef(pairs.T)).item(0, 1) for pairs in moving]))


def row(name: str, share: float, tracks: Sequence[Track], python: str) -> str:
    steps = [step for track in tracks for step in track.steps]
    change = np.array([step.change for step in steps])
    swimming = np.array([step.swimming for step in steps])
    rests = np.array([step.moved < RESTS_PX for step in steps])
    likeness = np.array([step.likeness for step in steps])
    counted = change[change[:, 0] > LEAST_CHANGE]
    tables, judged = openness(python, tracks)
    width = np.median([np.ptp(face.points[:, 0]) for track in tracks for face in track.faces])
    cells = [name, f"{width:.0f} px", f"{100 * share:.0f} %"]
    cells += [_pair(change, 1), f"{np.median(counted[:, 1] / counted[:, 0]):.2f}" if len(counted) else "–"]
    cells += [str(judged), *(_number(correlation(tables, column)) for column in (0, 2))]
    cells += [_pair(swimming, 2), _pair(swimming[rests], 2), _pair(likeness, 3)]
    return f"| {' | '.join(cells)} |"


def _pair(values: Float, digits: int) -> str:
    if not len(values):
        return "–"
    return ", ".join(f"{value:.{digits}f}" for value in np.nanmedian(values, axis=0))


def _number(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else "–"


COLUMNS: tuple[str, ...] = ("clip", "width", "generated", "change", "flicker", "judged", "eyes", "mouth")
COLUMNS += ("swimming", "… at rest", "likeness")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--mediapipe", required=True, metavar="PYTHON")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=3)
    args = parser.parse_args()
    anonymizer = NotingAnonymizer(load_config(None, [f"identity.seed={args.seed}"]))
    recogniser = DlibRecogniser()
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for clip in args.clips:
        anonymizer.noted = {}
        watcher, covers = Watcher(recogniser), Counter[str]()
        with closing(anonymizer.frames(clip)) as frames:
            for frame in frames:
                if float(frame.pts * frame.time_base) >= args.seconds:
                    break
                covers.update(cover.method for cover in frame.report.covers)
                picture, meshes = anonymizer.noted.pop(frame.index, (frame.picture, {}))
                painted = {c.track_id for c in frame.report.covers if c.method == "synthesize"}
                shown = {track: points for track, points in meshes.items() if track in painted}
                watcher.see((to_rgb(picture), to_rgb(frame.picture)), shown)
        share = covers["synthesize"] / max(1, covers.total())
        print(row(clip.stem, share, list(watcher.tracks.values()), args.mediapipe), flush=True)


if __name__ == "__main__":
    main()
