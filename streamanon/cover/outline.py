"""How far a cover that is no generated face reaches around the detected box."""

from __future__ import annotations

import numpy as np

from streamanon.geometry import is_cut
from streamanon.types import Float, Picture, Target

#: An ellipse in a box grown by less than this on every side would leave the box's own corners bare.
LEAST_MARGIN = 0.21
#: Beneath the chin of an upright face the margin is this share of the others, or what holds the corners:
#: above is hair, below is somebody's shirt.
CHIN_SHARE = 0.6
#: A face is upright if its mouth is so much of the box's height beneath its eyes.
UPRIGHT_SHARE = 0.2


def outline(picture: Picture, target: Target, margin: float) -> Float:
    """The box [4] xyxy px of the ellipse that covers a face, which exceeds its box by ``margin`` (a share
    of the face's size) on each side.

    What is surely a face and cut by the picture's edge is larger than its box: then the margin goes by the
    longer side. What may be no face has the least margin. A box that was grown, as nobody knows exactly
    where the face is, has no larger margin than the face's own.
    """
    margin = max(margin, LEAST_MARGIN) if target.sure else LEAST_MARGIN
    spans = (target.box[2:] - target.box[:2]) / np.float32(1 + 2 * target.growth)
    if target.sure and is_cut(target.box, picture.width, picture.height):
        spans = np.full(2, spans.max(), np.float32)
        below = margin
    else:
        below = chin_margin(margin) if _is_upright(target) else margin
    margins = np.array([-margin, -margin, margin, below], np.float32)
    return np.asarray(target.box + margins * np.tile(spans, 2), np.float32)


def chin_margin(margin: float) -> float:
    """The margin beneath a chin. The ellipse still holds the corners of the box."""
    across = 1 / (1 + 2 * margin)
    down = float(np.sqrt(max(0.0, 1 - across * across)))
    return min(margin, max(CHIN_SHARE * margin, (1 + margin) * (1 - down) / (1 + down)))


def _is_upright(target: Target) -> bool:
    down = target.keypoints[3:].mean(axis=0) - target.keypoints[:2].mean(axis=0)
    height = target.box[3] - target.box[1]
    return bool(down[1] >= UPRIGHT_SHARE * height and down[1] >= 2 * abs(down[0]))
