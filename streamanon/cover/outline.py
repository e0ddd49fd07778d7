"""How far a cover that is no generated face reaches around the detected box."""

from __future__ import annotations

import numpy as np

from streamanon.geometry import is_cut
from streamanon.types import Float, Picture, Target

#: An ellipse in a box grown by less than this would leave the box's own corners bare.
LEAST_MARGIN = 0.21


def outline(picture: Picture, target: Target, margin: float) -> Float:
    """The box [4] xyxy px of the ellipse that covers a face: its own, grown by ``margin`` on each side.

    What is surely a face and cut by the picture's edge is larger than its box: then the margin goes by the
    longer side. What may be no face has the least margin. A box that was grown already, as nobody knows
    exactly where the face is, has the margin of the face itself.
    """
    margin = max(margin, LEAST_MARGIN) if target.sure else LEAST_MARGIN
    spans = (target.box[2:] - target.box[:2]) / np.float32(1 + 2 * target.growth)
    if target.sure and is_cut(target.box, picture.width, picture.height):
        spans = np.full(2, spans.max(), np.float32)
    pad = np.float32(margin) * spans
    return np.concatenate([target.box[:2] - pad, target.box[2:] + pad])
