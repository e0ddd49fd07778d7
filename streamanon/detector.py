"""Finding faces: an ultralytics YOLO with five keypoints, on a small RGB copy of the frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.backends import Backend
from streamanon.config import DetectConfig
from streamanon.engines import Engines
from streamanon.errors import DetectionError
from streamanon.pixels import crop, small_rgb
from streamanon.types import Faces, Float, Picture, RawFrame

STRIDES = (8, 16, 32)
LONG_SIDES = {"small": 384, "medium": 576, "large": 1024}
AUTO_PIXELS = 576 * 324
#: The network learned from crops of 256 px, so faces larger than that are looked for in a coarse copy.
COARSE_LONG_SIDE = 224
#: Pictures so many times as large as the look at the whole are looked at in tiles as well: columns by rows
#: of a wide one, which overlap by this share.
LEAST_CLOSER = 1.5
TILES, OVERLAP = (3, 2), 0.2
TRAINED_PX = 150
NMS_IOU = 0.5
PADDING = 114


class Detector(Protocol):
    """The seam that a fake fills in tests."""

    def detect(self, frame: RawFrame) -> Faces:
        """All faces of a frame, not tracked yet. Raises :class:`DetectionError`."""
        ...


@dataclass(frozen=True)
class View:
    """A look at ``region`` of a picture (xyxy px, on its chroma grid), turned by ``turn`` quarters
    counter-clockwise and scaled to the network's ``size`` (width, height).
    """

    region: tuple[int, int, int, int]
    size: tuple[int, int]
    turn: int = 0

    @property
    def scale(self) -> float:
        """Pixels of the network's input for one of the picture."""
        x0, y0, x1, y1 = self.region
        sides = (x1 - x0, y1 - y0) if self.turn % 2 == 0 else (y1 - y0, x1 - x0)
        return min(self.size[0] / sides[0], self.size[1] / sides[1])


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
        """All faces of a frame, in one look; upright ones."""
        return self.search(frame, 0)

    def search(self, frame: RawFrame, turn: int, closer: Sequence[View] = ()) -> Faces:
        """Faces that are upright when the frame is turned by ``turn`` quarters counter-clockwise; also
        those of ``closer`` looks. Raises :class:`DetectionError`.
        """
        picture = frame.picture
        try:
            coarse = self.look(picture, whole(picture, turn, COARSE_LONG_SIDE))
            found = coarse
            long_side = self._long_side(picture)
            middle = LONG_SIDES["medium"]  # what is large where a picture is enlarged is missed there
            enlarged = long_side > max(middle, picture.width, picture.height)
            sizes = (middle, long_side) if enlarged else (long_side,)
            for view in (*(whole(picture, turn, size) for size in sizes), *closer):
                fine = self.look(picture, view)
                fine = without_parts(fine, coarse, TRAINED_PX / view.scale, self._config.score)
                found = merge(without_halves(fine, view.region, picture), found)
            return found
        except Exception as error:
            raise DetectionError(f"detection failed on frame {frame.index}") from error

    def tiles(self, picture: Picture, turn: int) -> list[View]:
        """Closer looks that together see all of a picture; none where the whole is looked at closely."""
        width, height = picture.width, picture.height
        long_side = self._long_side(picture)
        if max(width, height) < LEAST_CLOSER * long_side:
            return []
        step_x, step_y = picture.chroma_step
        grid = TILES if width >= height else TILES[::-1]
        columns = [_on_grid(span, step_x, width) for span in _spans(width, grid[0])]
        rows = [_on_grid(span, step_y, height) for span in _spans(height, grid[1])]
        regions = [(x0, y0, x1, y1) for y0, y1 in rows for x0, x1 in columns]
        return [_view(region, turn, long_side) for region in regions]

    def _long_side(self, picture: Picture) -> int:
        return max(input_size(picture.width, picture.height, self._config.size))

    def look(self, picture: Picture, view: View) -> Faces:
        """The faces of one view, in px of the picture."""
        x0, y0, x1, y1 = view.region
        part = crop(picture, view.region)
        image, scale = letterbox(part, *view.size, view.turn)
        faces = self.read(image)
        shift = 0.5 / scale - 0.5  # pixel centres: half an input pixel is more of a frame's
        corners = (faces.boxes / scale + np.float32(shift)).reshape(-1, 2, 2)
        points = faces.keypoints / scale + np.float32(shift)
        corners, points = (turned_back(one, x1 - x0, y1 - y0, view.turn) for one in (corners, points))
        boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
        offset = np.array([x0, y0], np.float32)
        return Faces(boxes + np.tile(offset, 2), faces.scores, points + offset, faces.track_ids)

    def read(self, image: Float) -> Faces:
        """The faces of the network's input [1, 3, H, W], in px of it."""
        height, width = image.shape[2:]
        return decode(self._model.run(image), width, height, self._config.revive_score)


def whole(picture: Picture, turn: int, long_side: int) -> View:
    """All of a picture, its long side scaled to ``long_side`` px."""
    return _view((0, 0, picture.width, picture.height), turn, long_side)


def _view(region: tuple[int, int, int, int], turn: int, long_side: int) -> View:
    sides = region[2] - region[0], region[3] - region[1]
    width, height = sides if turn % 2 == 0 else sides[::-1]
    return View(region, fit(width, height, min(long_side, 2 * max(sides))), turn)


def _spans(length: int, count: int) -> list[tuple[float, float]]:
    """``count`` spans of a length that overlap."""
    size = length / (count - OVERLAP * (count - 1))
    return [(n * size * (1 - OVERLAP), n * size * (1 - OVERLAP) + size) for n in range(count)]


def _on_grid(span: tuple[float, float], step: int, length: int) -> tuple[int, int]:
    return int(span[0]) // step * step, min(-(-int(np.ceil(span[1])) // step) * step, length)


def turned_back(points: Float, width: int, height: int, turn: int) -> Float:
    """Points [..., 2] of a turned picture in px of it as it was, ``width`` by ``height``."""
    x, y = points[..., 0], points[..., 1]
    ways = ((x, y), (width - 1 - y, x), (width - 1 - x, height - 1 - y), (y, height - 1 - x))
    return np.stack(ways[turn % 4], axis=-1).astype(np.float32)


def without_halves(faces: Faces, region: tuple[int, int, int, int], picture: Picture) -> Faces:
    """The faces that no edge of a region cuts in two, but the picture's own."""
    low, high = np.array(region[:2]), np.array(region[2:])
    margin = 0.1 * (faces.boxes[:, 2:] - faces.boxes[:, :2])
    cut = ((faces.boxes[:, :2] < low + margin) & (low > 0)) | (
        (faces.boxes[:, 2:] > high - margin) & (high < [picture.width, picture.height])
    )
    return faces[~cut.any(axis=1)]


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


def letterbox(picture: Picture, width: int, height: int, turn: int = 0) -> tuple[Float, float]:
    """The picture, turned by quarters and scaled into [1, 3, height, width] RGB 0..1, grey below or to the
    right; and the scale.
    """
    sides = (picture.width, picture.height) if turn % 2 == 0 else (picture.height, picture.width)
    scale = min(width / sides[0], height / sides[1])
    inner = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    small = np.rot90(small_rgb(picture, *inner), turn)
    canvas = np.full((height, width, 3), PADDING, np.uint8)
    canvas[: small.shape[0], : small.shape[1]] = small
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
    if scores.shape[1] != sum(width // stride * (height // stride) for stride in STRIDES):
        raise ValueError("the detector's scores are not one a cell")
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
    both = first.joined(second)
    if not len(both):
        return Faces.empty()
    return both[suppress(both.boxes, both.scores)]


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
