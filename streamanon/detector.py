"""Finding faces: an ultralytics YOLO with five keypoints, on a small RGB copy of the frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.backends import Backend
from streamanon.config import DetectConfig
from streamanon.engines import Engines
from streamanon.errors import DetectionError
from streamanon.pixels import small_rgb
from streamanon.shots import CutDetector, thumbnail
from streamanon.types import Faces, Float, Observation, Picture, RawFrame, Status

STRIDES = (8, 16, 32)
LONG_SIDES = {"small": 384, "medium": 576, "large": 1024}
AUTO_PIXELS = 576 * 324
#: The network learned from crops of 256 px, so faces larger than that are looked for in a coarse copy.
COARSE_LONG_SIDE = 224
TRAINED_PX = 150
NMS_IOU = 0.5
PADDING = 114


class Detector(Protocol):
    """The seam that a fake fills in tests."""

    def detect(self, frame: RawFrame) -> Faces:
        """All faces of a frame, not tracked yet. Raises :class:`DetectionError`."""
        ...


class FaceDetector:
    """The project's own detector.

    ``model`` maps images [1, 3, H, W] (RGB, 0..1, sides multiples of 32) to boxes [1, 4, A] (distances to
    left, top, right, bottom), scores [1, 1, A] and keypoints [1, 10, A] (x, y offsets), all but the scores
    in strides from the anchor's centre.
    """

    def __init__(self, backend: Backend, engines: Engines, config: DetectConfig) -> None:
        self._model = backend.load(engines.path("face-detector"), precise=False)
        self._config = config

    def detect(self, frame: RawFrame) -> Faces:
        width, height = frame.picture.width, frame.picture.height
        fine_size = input_size(width, height, self._config.size)
        try:
            fine = self._look(frame.picture, *fine_size)
            coarse = self._look(frame.picture, *fit(width, height, COARSE_LONG_SIDE))
            large_px = TRAINED_PX * max(width, height) / max(fine_size)
            return merge(without_parts(fine, coarse, large_px, self._config.score), coarse)
        except Exception as error:
            raise DetectionError(f"detection failed on frame {frame.index}") from error

    def _look(self, picture: Picture, width: int, height: int) -> Faces:
        image, scale = letterbox(picture, width, height)
        faces = decode(self._model.run(image), width, height, self._config.revive_score)
        shift = 0.5 / scale - 0.5  # pixel centres: half an input pixel is more of a frame's
        return Faces(
            faces.boxes / scale + np.float32(shift),
            faces.scores,
            faces.keypoints / scale + np.float32(shift),
            faces.track_ids,
        )


def input_size(width: int, height: int, size: str) -> tuple[int, int]:
    """The network's (width, height) for a frame: its long side by ``size``, both multiples of 32.

    "auto" stays between the small and the medium size, with as many pixels for a square frame as for a wide
    one; nothing is scaled up much.
    """
    longest = max(width, height)
    if size == "auto":
        even = float(np.sqrt(AUTO_PIXELS * longest / min(width, height)))
        long_side = int(np.clip(min(even, longest), LONG_SIDES["small"], LONG_SIDES["medium"]))
    else:
        long_side = LONG_SIDES[size]
    return fit(width, height, min(long_side, 2 * longest))


def fit(width: int, height: int, long_side: int) -> tuple[int, int]:
    """A frame's (width, height) scaled to a long side, both rounded to multiples of 32."""
    scale = long_side / max(width, height)
    return _round_up(width * scale), _round_up(height * scale)


def _round_up(pixels: float) -> int:
    return max(32, int(np.ceil(pixels / 32 - 0.25)) * 32)


def letterbox(picture: Picture, width: int, height: int) -> tuple[Float, float]:
    """The picture scaled into [1, 3, height, width] RGB 0..1, grey below or to the right; and the scale."""
    scale = min(width / picture.width, height / picture.height)
    inner = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    canvas = np.full((height, width, 3), PADDING, np.uint8)
    canvas[: inner[1], : inner[0]] = small_rgb(picture, *inner)
    image = np.ascontiguousarray(canvas.transpose(2, 0, 1)[None], np.float32)
    image /= 255
    return image, scale


def decode(outputs: list[NDArray[np.float32]], width: int, height: int, min_score: float) -> Faces:
    """Network outputs to faces in input pixels, overlapping ones suppressed, best first.

    Raises ValueError for what is not finite: half precision may overflow, and such faces would be lost.
    """
    distances, scores, keypoints = (array[0] for array in outputs)
    if not np.isfinite(scores).all():
        raise ValueError("the detector's scores are not finite")
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


def without_parts(fine: Faces, coarse: Faces, large_px: float, min_score: float) -> Faces:
    """The faces of the fine copy but for those that are parts of a large one found in the coarse copy.

    Close up the network sees a cheek or half a face as a face. ``large_px``: the size in frame px beyond
    which it does. Much smaller faces within a large one are kept: they may be somebody's.
    """
    sizes = [np.sqrt(np.prod(faces.boxes[:, 2:] - faces.boxes[:, :2], axis=1)) for faces in (fine, coarse)]
    sure = (sizes[1] > large_px) & (coarse.scores >= min_score)
    large, large_sizes = coarse.boxes[sure], sizes[1][sure]
    low = np.maximum(fine.boxes[:, None, :2], large[None, :, :2])
    high = np.minimum(fine.boxes[:, None, 2:], large[None, :, 2:])
    within = np.prod((high - low).clip(0), axis=2) / np.maximum(sizes[0][:, None] ** 2, 1e-6)
    part = (within > 0.6) & (sizes[0][:, None] > 0.25 * large_sizes[None])
    return fine[~part.any(axis=1)]


def merge(first: Faces, second: Faces) -> Faces:
    """Faces found in two copies of one frame, each face once."""
    boxes = np.concatenate([first.boxes, second.boxes])
    scores = np.concatenate([first.scores, second.scores])
    keypoints = np.concatenate([first.keypoints, second.keypoints])
    if not len(boxes):
        return Faces.empty()
    order = suppress(boxes, scores)
    return Faces(boxes[order], scores[order], keypoints[order], np.full(len(order), -1, np.int64))


def anchors(width: int, height: int) -> tuple[Float, Float]:
    """Centres [A, 2] px and strides [A] px of all grid cells, level by level."""
    centres, strides = [], []
    for stride in STRIDES:
        y, x = np.mgrid[: height // stride, : width // stride]
        cells = np.stack([x.ravel(), y.ravel()], axis=1) + 0.5
        centres.append(cells * stride)
        strides.append(np.full(len(cells), stride))
    return np.concatenate(centres).astype(np.float32), np.concatenate(strides).astype(np.float32)


def suppress(boxes: Float, scores: Float) -> NDArray[np.int64]:
    """Indices of the boxes [N, 4] that no better box overlaps by more than half, best first."""
    corners_sizes = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxes(corners_sizes.tolist(), scores.tolist(), 0.0, NMS_IOU)
    return np.asarray(kept, np.int64).reshape(-1)


def observe(frames: Iterable[RawFrame], detector: Detector, config: DetectConfig) -> Iterator[Observation]:
    """Look at each n-th frame, and always at the first of a shot; a failure marks its frame."""
    cuts = CutDetector()
    since = config.every
    for frame in frames:
        cut = cuts.is_cut(thumbnail(frame.picture))
        since += 1
        if since < config.every and not cut and frame.index > 0:
            yield Observation(frame, Faces.empty(), "skipped", cut)
            continue
        faces, status = _look(frame, detector)
        since = 0 if status == "seen" else config.every
        yield Observation(frame, faces, status, cut)


def _look(frame: RawFrame, detector: Detector) -> tuple[Faces, Status]:
    try:
        return detector.detect(frame), "seen"
    except DetectionError:
        return Faces.empty(), "failed"
