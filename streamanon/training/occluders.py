"""Things painted in front of training faces: hair, fingers, microphones, masks, and shapes of anything."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.mesh.landmarks import MASK_OUTLINE
from streamanon.types import Float

Mask = NDArray[np.uint8]


class Occluders:
    """Draws one occluder over a face. ``images``: where fillings are taken from."""

    def __init__(self, images: Callable[[np.random.Generator], np.ndarray]) -> None:
        self._images = images

    def draw(
        self, image: np.ndarray, points: Float, rng: np.random.Generator
    ) -> tuple[np.ndarray, NDArray[np.bool_]]:
        """``image`` [H, W, 3] uint8 with something in front, and where [H, W]."""
        kind = rng.choice(["hair", "hand", "microphone", "mask", "shape"], p=[0.3, 0.25, 0.1, 0.15, 0.2])
        size = float(np.ptp(points[:, 1]))
        if kind == "hair":
            mask, filling = _strands(image.shape[:2], points, rng), _hair(image, points, rng)
        elif kind == "hand":
            mask, filling = _fingers(image.shape[:2], points, rng), _skin(image, points, rng)
        elif kind == "microphone":
            mask = _microphone(image.shape[:2], points, rng)
            filling = _plain(image.shape, rng.integers(5, 70, 3), 25, rng)
        elif kind == "mask":
            mask = _medical(image.shape[:2], points, rng)
            filling = _plain(image.shape, rng.integers(60, 250, 3), 8, rng)
        else:
            mask, filling = _blob(image.shape[:2], points, rng), self._other(image.shape, rng)
        soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.008 * size + 0.4)[..., None]
        mixed = image * (1 - soft) + filling * soft
        return np.clip(mixed, 0, 255).astype(np.uint8), soft[..., 0] > 0.5

    def _other(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        other = self._images(rng)
        if rng.random() < 0.5:
            other = np.ascontiguousarray(other.transpose(1, 0, 2))
        return np.asarray(cv2.resize(other, (shape[1], shape[0])))


def _frame(points: Float) -> tuple[Float, float, float]:
    """The middle of a face, its width and its height."""
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    return (low + high) / 2, float(high[0] - low[0]), float(high[1] - low[1])


def _plain(
    shape: tuple[int, ...], colour: np.ndarray, spread: float, rng: np.random.Generator
) -> np.ndarray:
    """One colour with soft shading."""
    cells = rng.normal(0, spread, (4, 4, 1)).astype(np.float32)
    shading = cv2.resize(cells, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)[..., None]
    return np.asarray(colour.astype(np.float32) + shading)


def _hair(image: np.ndarray, points: Float, rng: np.random.Generator) -> np.ndarray:
    """What is above the forehead, or a colour of hair, streaked."""
    middle, width, height = _frame(points)
    y = int(np.clip(middle[1] - 0.62 * height, 0, image.shape[0] - 1))
    x = int(np.clip(middle[0] + rng.uniform(-0.3, 0.3) * width, 0, image.shape[1] - 1))
    own = image[max(0, y - 3) : y + 4, max(0, x - 3) : x + 4].reshape(-1, 3).mean(0)
    dyes = np.array([[25, 20, 18], [60, 40, 28], [110, 78, 50], [190, 160, 110], [150, 150, 150]])
    colour = own if rng.random() < 0.6 else dyes[rng.integers(len(dyes))]
    noise = rng.standard_normal(image.shape[:2], np.float32)
    streaks = np.asarray(cv2.GaussianBlur(noise, (0, 0), sigmaX=0.8, sigmaY=9.0))
    strength = rng.uniform(3, 12) / max(float(streaks.std()), 1e-3)
    return np.asarray(colour + strength * streaks[..., None])


def _skin(image: np.ndarray, points: Float, rng: np.random.Generator) -> np.ndarray:
    """The colour of the cheeks, with shading; sometimes a glove's."""
    at = np.rint(points[[50, 280], :2]).astype(int).clip(0, [image.shape[1] - 1, image.shape[0] - 1])
    colour = image[at[:, 1], at[:, 0]].mean(0) * rng.uniform(0.7, 1.15)
    return _plain(image.shape, colour if rng.random() < 0.8 else rng.integers(0, 256, 3), 14, rng)


def _strands(shape: tuple[int, ...], points: Float, rng: np.random.Generator) -> Mask:
    """A fringe from above, or a curtain along one side."""
    mask = np.zeros(shape, np.uint8)
    middle, width, height = _frame(points)
    top = middle[1] - 0.62 * height
    if rng.random() < 0.5:
        x = np.linspace(-0.65, 0.65, 24) * width + middle[0]
        depth = rng.uniform(0.08, 0.42) + 0.05 * rng.normal(0, 1, 24).cumsum() * rng.uniform(0, 0.7)
        y = top + depth.clip(0.03, 0.5) * height
        outline = np.concatenate([np.stack([x, y], 1), [[x[-1], top - 40], [x[0], top - 40]]])
    else:
        side = rng.choice([-1, 1])
        y = np.linspace(-0.75, 0.9, 20) * height + middle[1]
        inner = 0.5 - rng.uniform(0.02, 0.3) + 0.03 * rng.normal(0, 1, 20).cumsum() * rng.uniform(0.2, 1)
        x = middle[0] + side * width * inner.clip(0.12, 0.6)
        far = middle[0] + side * width * 0.9
        outline = np.concatenate([np.stack([x, y], 1), [[far, y[-1]], [far, y[0]]]])
    cv2.fillPoly(mask, [np.rint(outline).astype(np.int32)], 1)
    for _ in range(int(rng.integers(0, 5))):
        start = middle + np.array([rng.uniform(-0.4, 0.4) * width, -0.6 * height])
        end = start + np.array([rng.normal(0, 0.2) * width, rng.uniform(0.2, 0.8) * height])
        bend = (start + end) / 2 + rng.normal(0, 0.08, 2) * width
        curve = [(1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end for t in np.linspace(0, 1, 12)]
        thick = max(1, int(rng.uniform(0.005, 0.03) * width))
        cv2.polylines(mask, [np.rint(curve).astype(np.int32)], False, 1, thick)
    return mask


def _fingers(shape: tuple[int, ...], points: Float, rng: np.random.Generator) -> Mask:
    """One to four fingers side by side, and now and then the palm that they end in."""
    mask = np.zeros(shape, np.uint8)
    middle, width, _ = _frame(points)
    angle = rng.uniform(0, 2 * np.pi)
    along = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-along[1], along[0]])
    tip = middle + rng.normal(0, 0.28, 2) * width
    thick = rng.uniform(0.1, 0.19) * width
    for number in range(int(rng.integers(1, 5))):
        end = tip + across * number * thick * rng.uniform(0.95, 1.15) + along * rng.normal(0, 0.06) * width
        root = end + along * rng.uniform(0.6, 1.2) * width
        cv2.line(mask, _px(end), _px(root), 1, max(2, int(thick)))
    if rng.random() < 0.5:
        palm = tip + along * 0.9 * width + across * 1.5 * thick
        cv2.ellipse(mask, _px(palm), _px([0.5 * width, 0.4 * width]), np.degrees(angle), 0, 360, 1, -1)
    return mask


def _microphone(shape: tuple[int, ...], points: Float, rng: np.random.Generator) -> Mask:
    mask = np.zeros(shape, np.uint8)
    middle, width, height = _frame(points)
    head = middle + np.array([rng.normal(0, 0.15) * width, rng.uniform(0.15, 0.5) * height])
    axes = rng.uniform(0.1, 0.22, 2) * width
    cv2.ellipse(mask, _px(head), _px(axes), rng.uniform(0, 180), 0, 360, 1, -1)
    tail = head + np.array([rng.normal(0, 0.4) * width, height])
    cv2.line(mask, _px(head), _px(tail), 1, max(2, int(rng.uniform(0.06, 0.14) * width)))
    return mask


def _medical(shape: tuple[int, ...], points: Float, rng: np.random.Generator) -> Mask:
    mask = np.zeros(shape, np.uint8)
    outline = points[list(MASK_OUTLINE), :2] + rng.normal(0, 0.01, (len(MASK_OUTLINE), 2)) * np.ptp(
        points[:, 0]
    )
    outline[:, 1] += rng.normal(0, 0.03) * np.ptp(points[:, 1])
    hull = cv2.convexHull(np.rint(outline).astype(np.int32))
    cv2.fillConvexPoly(mask, hull, 1)
    return mask


def _blob(shape: tuple[int, ...], points: Float, rng: np.random.Generator) -> Mask:
    mask = np.zeros(shape, np.uint8)
    middle, width, height = _frame(points)
    centre = middle + rng.uniform(-0.5, 0.5, 2) * [width, height]
    if rng.random() < 0.5:
        axes = rng.uniform(0.08, 0.4, 2) * width
        cv2.ellipse(mask, _px(centre), _px(axes), rng.uniform(0, 180), 0, 360, 1, -1)
    else:
        spokes = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 8))))
        reach = rng.uniform(0.1, 0.5, len(spokes)) * width
        corners = centre + np.stack([np.cos(spokes), np.sin(spokes)], 1) * reach[:, None]
        cv2.fillPoly(mask, [np.rint(corners).astype(np.int32)], 1)
    return mask


def _px(values: np.ndarray | list[float]) -> tuple[int, int]:
    return max(-999, int(values[0])), max(-999, int(values[1]))
