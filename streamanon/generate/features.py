"""Eyes and mouths at the frame's own resolution: what they need of the person, and the layers of paint."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from streamanon.gallery.delegates import DelegateGallery
from streamanon.generate.eyes import WHITE, eye_layers, eye_white, irises_of
from streamanon.generate.interface import SMOOTHING, DetailState
from streamanon.generate.layers import Layer, Look
from streamanon.generate.mouth import mouth_colours, mouth_layers, open_mouths
from streamanon.generate.raster import KEPT
from streamanon.geometry import CROP_PX
from streamanon.mesh.landmarks import IRISES, LIP_MIDDLES
from streamanon.runtime.models import Engines
from streamanon.types import Delegate, Float

#: Share of the way from the last frame's colours of a mouth to the measured ones: mouths change quickly.
MOUTH_SMOOTHING = 0.5
#: The contrasts of footage at which features have the first and the full contrast.
CONTRASTS, LEAST_CONTRAST = (0.45, 0.9), 0.6


class Features:
    """Paints the eyes and mouths of a gallery's delegates."""

    def __init__(self, gallery: DelegateGallery, engines: Engines) -> None:
        self._mouths = open_mouths(engines)
        self._irises = lru_cache(KEPT)(lambda delegate: irises_of(delegate, gallery.uv))

    def layers(
        self,
        points: Float,
        size: tuple[int, int],
        lights: Float,
        delegate: Delegate,
        detail: DetailState,
        per_crop: float,
    ) -> list[Layer]:
        """What to lay over an image of ``size`` (width, height) with a mesh ``points`` [478, 3] px,
        ``per_crop`` px of which make one of the crop. ``lights`` [3, 3]: as at :func:`light_places`.
        """
        contrast = float(np.interp(detail.contrast, CONTRASTS, (LEAST_CONTRAST, 1)))
        look = Look(contrast, detail.sigma_px * per_crop)
        white = WHITE if detail.white is None else detail.white
        return [
            *mouth_layers(points, size, lights[2], self._mouths.of(delegate), detail.mouth, look),
            *eye_layers(points, size, lights[:2], self._irises(delegate), white, look),
        ]


def light_places(local: Float) -> Float:
    """Where the skin's light is read for both eyes and the mouth of a mesh in the crop: [3, 2] px."""
    places = np.stack(
        [local[IRISES[0], :2], local[IRISES[1], :2], local[list(LIP_MIDDLES), :2].mean(axis=0)]
    )
    return np.asarray(np.rint(places).clip(0, CROP_PX - 1), np.float32)


def with_features(
    detail: DetailState, crop: Float, lights: Float, own: Float, last: DetailState | None
) -> DetailState:
    """``detail`` with what eyes and mouth need of the person, whose mesh lies at ``own`` [478, 3] px of the
    ``crop`` [128, 128, 3] 0..255; eased in from the ``last`` frame's.
    """
    mouth, white = mouth_colours(crop, lights[2], own), eye_white(crop, lights[:2], own)
    if last is not None:
        if mouth is not None and last.mouth is not None:
            mouth = last.mouth + MOUTH_SMOOTHING * (mouth - last.mouth)
        if white is None or last.white is None:
            white = last.white if white is None else white
        else:
            white = last.white + SMOOTHING * (white - last.white)
    return replace(detail, mouth=mouth, white=white)
