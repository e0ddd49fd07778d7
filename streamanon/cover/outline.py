"""How far a cover that is no generated face reaches around the detected box."""

from __future__ import annotations

import numpy as np

from streamanon.geometry import grow, is_cut
from streamanon.types import Float, Picture, Target

#: An ellipse in a box grown by less than this would leave the box's own corners bare.
LEAST_MARGIN = 0.21
#: What the picture's edge cuts is larger than its box says: so many margins are around it.
CUT_MARGINS = 1.4


def outline(picture: Picture, target: Target, margin: float) -> Float:
    """The box [4] xyxy px of the ellipse that covers a face: its own, grown by ``margin`` on each side.

    What may be no face has the least margin. A box that was grown already, as nobody knows exactly where
    the face is, has the margin of the face itself. What the picture's edge cuts is larger than its box: in
    doubt its margin is that of the whole box, and that of a sure face is larger, by the longer side.
    """
    margin = max(margin, LEAST_MARGIN)
    spans = (target.box[2:] - target.box[:2]) / np.float32(1 + 2 * target.growth)
    if is_cut(target.box, picture.width, picture.height):
        if not target.sure:
            return grow(target.box, margin)
        pad = np.full(2, CUT_MARGINS * margin * spans.max(), np.float32)
    else:
        pad = (margin if target.sure else LEAST_MARGIN) * spans
    return np.concatenate([target.box[:2] - pad, target.box[2:] + pad]).astype(np.float32)
