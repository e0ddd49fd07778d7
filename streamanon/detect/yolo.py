"""Face detection: an ultralytics YOLO with five keypoints, on a small RGB copy of the frame."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.config import DetectConfig
from streamanon.detect import tiling
from streamanon.detect.tiling import (
    LONG_SIDES,
    View,
    input_size,
    letterbox,
    turned_back,
    whole,
    without_halves,
)
from streamanon.errors import DetectionError
from streamanon.geometry import sizes_of
from streamanon.media.yuv import crop
from streamanon.runtime.backends import Backend, prefers_int8
from streamanon.runtime.models import Engines
from streamanon.types import Faces, Float, Picture, RawFrame

#: The network's two files: in float32, and with most convolutions in INT8.
NAME, INT8_NAME = "face-detector", "face-detector-int8"
#: Side of the network's grid cells, px, level by level.
STRIDES = (8, 16, 32)
#: The network was trained on crops of 256 px, so larger faces are detected in a coarse copy.
COARSE_LONG_SIDE = 224
#: Non-maximum suppression: intersection over union above which only the best box is kept, among detections
#: of one face, and among nearly equal detections of several views.
NMS_IOU, SAME_IOU = 0.5, 0.75
#: A detection with so much of its area inside a more confident one is a part of that, if it has at least
#: this share of its size: close up the network takes a cheek or half a face for a face. Smaller ones may
#: be another person's face.
PART_AREA, PART_SIZE = 0.6, 0.25
#: A worse detection around a better one is dropped if the better one has at least this share of its size,
#: and their keypoints are so near in the mean, in sizes of the better one: in crowds those of one face were
#: up to 0.56 apart, those of a face and another one that it half hides up to 0.98.
LOOSE_SIZE, LOOSE_APART = 0.5, 0.6
#: Faces larger than this in a view, px of the network's input, are best seen in the coarsest view: of the
#: largest that it was trained on, 280 px, others mostly show parts.
LARGE_PX = 200
#: Least score of a detection that others can be parts of.
WHOLE_SCORE = 0.5


class FaceDetector:
    """The project's own detector.

    ``model`` maps images [1, 3, H, W] (RGB, 0..1, sides multiples of 32) to boxes [1, 4, A] (distances to
    left, top, right, bottom), scores [1, 1, A] and keypoints [1, 10, A] (x, y offsets), all but the scores
    in strides from the anchor's centre.
    """

    #: Whether the keypoints are the network's own; otherwise they lie where a frontal face has them.
    has_keypoints = True

    def __init__(self, backend: Backend, engines: Engines, config: DetectConfig) -> None:
        self._model = backend.load(engines.path(detector_name(backend)), precise=False)
        self._config = config

    def detect(self, frame: RawFrame) -> Faces:
        """All faces of a frame, by the detector alone; upright ones. Raises :class:`DetectionError`."""
        return best(self.search(frame, [view for group in self.wholes(frame.picture, 0) for view in group]))

    def search(self, frame: RawFrame, views: Sequence[View], coarser: Faces | None = None) -> Faces:
        """The faces of several views; a face may occur more than once. ``coarser``: those of coarser views
        that were seen before; None where there were none. Raises :class:`DetectionError`.
        """
        picture = frame.picture
        try:
            found, coarsest = Faces.empty(), Faces.empty() if coarser is None else coarser
            for view in sorted(views, key=lambda one: one.scale):
                faces = without_halves(self.detect_view(picture, view), view.region, picture)
                if coarser is None and view.scale == min(one.scale for one in views):
                    coarsest = coarsest.joined(faces)
                else:
                    faces = faces[
                        ~((sizes_of(faces.boxes) * view.scale > LARGE_PX) & within(faces, coarsest))
                    ]
                found = found.joined(faces)
            return found[suppress(found.boxes, found.scores, SAME_IOU)]
        except Exception as error:
            raise DetectionError(f"detection failed on frame {frame.index}") from error

    def wholes(self, picture: Picture, turn: int) -> list[list[View]]:
        """Views of the whole picture in groups, one of which is seen in a pass: in the size set and, of an
        enlarged picture, as large faces are missed in it, in the medium size. With either a coarse one, as
        of near faces the others show parts only.
        """
        long_side = self._long_side(picture)
        enlarged = long_side > max(LONG_SIDES["medium"], picture.width, picture.height)
        sides = (long_side, LONG_SIDES["medium"]) if enlarged else (long_side,)
        return [[whole(picture, turn, side), *self.near(picture, turn)] for side in sides]

    def compared(self, picture: Picture, turn: int) -> list[View]:
        """A view of medium size, or less if that is set, and a coarse one: the largest shows parts of near
        faces that look like faces upside down.
        """
        side = min(self._long_side(picture), LONG_SIDES["medium"])
        return [whole(picture, turn, side), *self.near(picture, turn)]

    def tiles(self, picture: Picture, turn: int) -> list[View]:
        """Tiles that together cover a picture; none where the whole-picture input has enough detail."""
        return tiling.tiles(picture, turn, self._long_side(picture))

    def near(self, picture: Picture, turn: int) -> list[View]:
        """A coarse view of the whole picture."""
        return [whole(picture, turn, COARSE_LONG_SIDE)]

    def _long_side(self, picture: Picture) -> int:
        return max(input_size(picture.width, picture.height, self._config.size))

    def detect_view(self, picture: Picture, view: View) -> Faces:
        """The faces of one view, in px of the picture."""
        x0, y0, x1, y1 = view.region
        faces, scale = self.read(self.input_of(picture, view)), view.scale
        shift = 0.5 / scale - 0.5  # pixel centres: half an input pixel is more of a frame's
        corners = (faces.boxes / scale + np.float32(shift)).reshape(-1, 2, 2)
        points = faces.keypoints / scale + np.float32(shift)
        corners, points = (turned_back(one, x1 - x0, y1 - y0, view.turn) for one in (corners, points))
        boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
        offset = np.array([x0, y0], np.float32)
        return Faces(boxes + np.tile(offset, 2), faces.scores, points + offset, faces.track_ids)

    def input_of(self, picture: Picture, view: View) -> Float:
        """What the network sees [1, 3, H, W] of a view."""
        return letterbox(crop(picture, view.region), *view.size, view.turn)[0]

    def read(self, image: Float) -> Faces:
        """The faces of the network's input [1, 3, H, W], in px of it."""
        height, width = image.shape[2:]
        return decode(self._model.run(image), width, height, self._config.revive_score)


def detector_name(backend: Backend) -> str:
    """Which of the detector's two files a backend runs here."""
    return INT8_NAME if prefers_int8(backend) else NAME


def decode(outputs: list[NDArray[np.float32]], width: int, height: int, min_score: float) -> Faces:
    """Network outputs to faces in input pixels, overlapping ones suppressed, best first.

    Raises ValueError for what is not finite: half precision may overflow, and such faces would be lost.
    """
    distances, scores, keypoints = (array[0] for array in outputs)
    if not np.isfinite(scores).all():
        raise ValueError("the detector's scores are not finite")
    if scores.shape[1] != sum(width // stride * (height // stride) for stride in STRIDES):
        raise ValueError("the detector's scores are not one per cell")
    keep = np.flatnonzero(scores[0] >= min_score)
    if not len(keep):
        return Faces.empty()
    centres, strides = anchors(width, height)
    centres, strides = centres[keep], strides[keep]
    spread = distances[:, keep].T * strides[:, None]
    boxes = np.concatenate([centres - spread[:, :2], centres + spread[:, 2:]], axis=1)
    points = keypoints[:, keep].T.reshape(-1, 5, 2) * strides[:, None, None] + centres[:, None]
    if not (np.isfinite(boxes).all() and np.isfinite(points).all()):
        raise ValueError("the detector's boxes are not finite")
    order = suppress(boxes, scores[0, keep])
    shift = 0.5  # the network counts from the corner of the first pixel, we from its centre
    return Faces(
        (boxes[order] - shift).astype(np.float32),
        scores[0, keep][order].astype(np.float32),
        (points[order] - shift).astype(np.float32),
        np.full(len(order), -1, np.int64),
    )


def best(faces: Faces, ranks: Float | None = None) -> Faces:
    """Each face once, best first by ``ranks`` [N], else by score; no parts of faces, and no loose boxes."""
    return without_parts(faces[suppress(faces.boxes, faces.scores if ranks is None else ranks)])


def without_parts(faces: Faces) -> Faces:
    """Faces, best first, but for parts of better ones that stay, and loose boxes around them."""
    sizes, shares_within = sizes_of(faces.boxes), shares_of(faces.boxes, faces.boxes)
    shares = sizes[:, None] / np.maximum(sizes[None], 1e-6)
    part = (shares_within > PART_AREA) & (shares > PART_SIZE)
    apart = np.linalg.norm(faces.keypoints[:, None] - faces.keypoints[None], axis=3).mean(axis=2)
    one_face = apart <= LOOSE_APART * sizes[None]
    loose = (shares_within.T > PART_AREA) & (shares.T > LOOSE_SIZE) & one_face
    hidden = (part | loose) & (faces.scores[None] >= WHOLE_SCORE)
    stays = np.zeros(len(faces), bool)
    for row in range(len(faces)):
        stays[row] = not hidden[row, stays].any()
    return faces[stays]


def within(faces: Faces, others: Faces) -> NDArray[np.bool_]:
    """[N]: whether most of a face lies in one of the ``others`` that are likely."""
    likely = others[others.scores >= WHOLE_SCORE]
    return np.asarray((shares_of(faces.boxes, likely.boxes) > PART_AREA).any(axis=1))


def shares_of(boxes: Float, others: Float) -> Float:
    """[N, M]: the share of the area of each box [N, 4] that lies in each of the others [M, 4]."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    inside = np.prod((high - low).clip(0), axis=2)
    return np.asarray(inside / np.maximum(sizes_of(boxes)[:, None] ** 2, 1e-6), np.float32)


def merge(first: Faces, second: Faces) -> Faces:
    """Faces found in two copies of one frame, each face once."""
    both = first.joined(second)
    if not len(both):
        return Faces.empty()
    return both[suppress(both.boxes, both.scores)]


@functools.lru_cache(maxsize=16)
def anchors(width: int, height: int) -> tuple[Float, Float]:
    """Centres [A, 2] px and strides [A] px of all grid cells, level by level."""
    centres, strides = [], []
    for stride in STRIDES:
        y, x = np.mgrid[: height // stride, : width // stride]
        cells = np.stack([x.ravel(), y.ravel()], axis=1) + 0.5
        centres.append(cells * stride)
        strides.append(np.full(len(cells), stride))
    return np.concatenate(centres).astype(np.float32), np.concatenate(strides).astype(np.float32)


def suppress(boxes: Float, scores: Float, iou: float = NMS_IOU) -> NDArray[np.int64]:
    """Indices of the boxes [N, 4] that no better box overlaps by more than ``iou``, best first."""
    corners_sizes = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxes(corners_sizes.tolist(), scores.tolist(), 0.0, iou)
    return np.asarray(kept, np.int64).reshape(-1)
