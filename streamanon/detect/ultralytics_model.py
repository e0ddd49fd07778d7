"""A face detector of the user's own: any ONNX export of an ultralytics detection or pose model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.config import DetectConfig
from streamanon.detect import tiling
from streamanon.detect.tiling import PADDING, View
from streamanon.detect.ultralytics_export import BOX_NUMBERS, REMEDY, ModelFacts, pick_classes, read_facts
from streamanon.detect.yolo import FaceDetector, suppress
from streamanon.errors import ConfigError, ModelError
from streamanon.runtime.backends import Backend, first_line
from streamanon.runtime.models import Engines, digest
from streamanon.runtime.user_models import find_model
from streamanon.types import Faces, Float, Picture

#: Where a frontal face has its keypoints, in shares of its box.
USUAL_PLACES = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)
#: Scores are probabilities; rounding may carry one so far out of 0..1.
SCORE_SLACK = 1e-3
#: Side of the input, px, on which a model whose sides are free is tried before it is used or stored.
TRIAL_PX = 64


class UltralyticsDetector(FaceDetector):
    """The detector that a model file of the user's makes. Raises :class:`ModelError` or
    :class:`ConfigError`.
    """

    def __init__(self, backend: Backend, path: Path, config: DetectConfig) -> None:
        self.facts = read_facts(path)
        self.has_keypoints = self.facts.has_keypoints
        self.sha256 = digest(path)
        self._classes = pick_classes(self.facts, config.classes, path.name)
        self._config = config
        # In bfloat16 (OpenVINO) a trained model's boxes moved by at most 0.23 px of the frame.
        self._model = backend.load(path, precise=False)

    def tiles(self, picture: Picture, turn: int) -> list[View]:
        return [self._sized(view) for view in super().tiles(picture, turn)]

    def wholes(self, picture: Picture, turn: int) -> list[list[View]]:
        """Of a fixed input there is one size, and so one view."""
        if self.facts.size is None:
            return super().wholes(picture, turn)
        return [[self._sized(tiling.whole(picture, turn, self._long_side(picture)))]]

    def compared(self, picture: Picture, turn: int) -> list[View]:
        return super().compared(picture, turn) if self.facts.size is None else self.wholes(picture, turn)[0]

    def near(self, picture: Picture, turn: int) -> list[View]:
        """None of a fixed input, as that costs as much as any other view."""
        return super().near(picture, turn) if self.facts.size is None else []

    def _long_side(self, picture: Picture) -> int:
        return super()._long_side(picture) if self.facts.size is None else max(self.facts.size)

    def _sized(self, view: View) -> View:
        return view if self.facts.size is None else replace(view, size=self.facts.size)

    def read(self, image: Float) -> Faces:
        given, scale = fitted(image, self.facts)
        outputs = self._model.run(given)
        faces = decode(outputs, self.facts, self._classes, self._config.revive_score)
        boxes = faces.boxes / np.tile(scale, 2)
        shift = np.float32(0.5)  # the network counts from the corner of the first pixel, we from its centre
        points = (faces.keypoints / scale - shift).astype(np.float32)
        return Faces((boxes - shift).astype(np.float32), faces.scores, points, faces.track_ids)


def fitted(image: Float, facts: ModelFacts) -> tuple[Float, Float]:
    """An image [1, 3, H, W] as the model takes it, scaled into a fixed input, and padded below and to the
    right; and the scale [2] by which x and y grew.
    """
    height, width = image.shape[2:]
    if facts.size is None:
        sides = tuple(-(-side // facts.stride) * facts.stride for side in (width, height))
    else:
        sides = facts.size
    if sides == (width, height):
        return image, np.ones(2, np.float32)
    scale = 1.0 if facts.size is None else min(sides[0] / width, sides[1] / height)
    inner = max(1, round(width * scale)), max(1, round(height * scale))
    canvas = np.full((1, 3, sides[1], sides[0]), PADDING / 255, np.float32)
    canvas[0, :, : inner[1], : inner[0]] = _resized(image[0], inner)
    return canvas, np.array([inner[0] / width, inner[1] / height], np.float32)


def _resized(planes: Float, size: tuple[int, int]) -> Float:
    way = cv2.INTER_AREA if size[0] < planes.shape[2] else cv2.INTER_LINEAR
    resized = [cv2.resize(plane, size, interpolation=way) for plane in planes]
    return np.asarray(np.stack(resized), np.float32)


def decode(
    outputs: list[NDArray[np.float32]], facts: ModelFacts, classes: Sequence[int], min_score: float
) -> Faces:
    """A model's output to faces of some ``classes`` in px of its input, from the corner of the first pixel,
    overlapping ones suppressed, best first. Raises ValueError for what makes no sense: such faces would be
    lost.
    """
    if len(outputs) != 1 or outputs[0].ndim != 3 or outputs[0].shape[0] != 1:
        raise ValueError("the model's output is not one array of one picture")
    rows = np.asarray(outputs[0][0] if facts.selected else outputs[0][0].T, np.float32)
    if rows.shape[1] != facts.width:
        raise ValueError(f"the model gives {rows.shape[1]} numbers a face and not {facts.width}")
    if not facts.selected and not len(rows):
        raise ValueError("the model's output has no cells")
    scores = _scores(rows, facts, classes)
    if not ((scores >= -SCORE_SLACK) & (scores <= 1 + SCORE_SLACK)).all():  # false for no number, too
        raise ValueError("the model's scores are no probabilities")
    keep = scores >= min_score
    rows, scores = rows[keep], scores[keep].clip(0, 1)
    if not len(rows):
        return Faces.empty()
    boxes = _boxes(rows, facts)
    points = _keypoints(rows, boxes, facts)
    if not (np.isfinite(boxes).all() and np.isfinite(points).all()):
        raise ValueError("the model's boxes are not finite")
    order = suppress(boxes, scores)
    return Faces(boxes[order], scores[order], points[order], np.full(len(order), -1, np.int64))


def _scores(rows: Float, facts: ModelFacts, classes: Sequence[int]) -> Float:
    """The score [N] of the best of the classes; 0 for a selected detection of another class, but not where
    that is no number.
    """
    if not facts.selected:
        columns = [BOX_NUMBERS + number for number in classes]
        return np.asarray(rows[:, columns].max(axis=1), np.float32)
    chosen = np.isin(np.rint(rows[:, 5]), classes)
    broken = ~np.isfinite(rows[:, 4:6]).all(axis=1)
    return np.where(chosen | broken, rows[:, 4], 0).astype(np.float32)


def _boxes(rows: Float, facts: ModelFacts) -> Float:
    """Boxes [N, 4] xyxy; a model without distribution heads (26) may give sides below zero."""
    first, second = rows[:, :2], rows[:, 2:4]
    if not facts.selected:
        half = second * np.float32(0.5)
        first, second = first - half, first + half
    return np.concatenate([np.minimum(first, second), np.maximum(first, second)], axis=1)


def _keypoints(rows: Float, boxes: Float, facts: ModelFacts) -> Float:
    """Keypoints [N, 5, 2]: the model's, or where a frontal face has them."""
    if not facts.has_keypoints:
        return boxes[:, None, :2] + USUAL_PLACES * (boxes[:, None, 2:] - boxes[:, None, :2])
    points = rows[:, facts.width - facts.keypoints[0] * facts.keypoints[1] :]
    return points.reshape(len(rows), *facts.keypoints)[..., :2]


def open_detector(
    backend: Backend,
    engines: Engines,
    config: DetectConfig,
    own: Callable[[Backend, Engines, DetectConfig], FaceDetector] = FaceDetector,
) -> FaceDetector:
    """The project's ``own`` detector, or the one that ``detect.model`` names. Raises :class:`ConfigError`
    or :class:`ModelError`.
    """
    if config.model is None:
        if config.classes:
            raise ConfigError(
                "detect.classes has no effect without detect.model; leave it out or name a model"
            )
        return own(backend, engines, config)
    path = find_model(config.model)
    detector = UltralyticsDetector(backend, path, config)
    if detector.facts.size is None:  # then the shape of its outputs is not in the file
        _try(detector, path)
    return detector


def try_model(backend: Backend, path: Path) -> ModelFacts:
    """The facts of a model file, after it was run on a grey picture, as its metadata may be wrong.

    Raises :class:`ModelError`.
    """
    facts = read_facts(path)
    _try(UltralyticsDetector(backend, path, DetectConfig(classes=tuple(facts.names))), path)
    return facts


def _try(detector: UltralyticsDetector, path: Path) -> None:
    width, height = detector.facts.size or (TRIAL_PX, TRIAL_PX)
    try:
        detector.read(np.full((1, 3, height, width), PADDING / 255, np.float32))
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"{path.name} cannot be run on a picture ({first_line(error)}): {REMEDY}"
        ) from error
