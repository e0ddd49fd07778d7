"""Rows of teeth out of smiling synthetic portraits, for mouths that open (``streamanon.generate.mouth``).

    python -m streamanon.training.mouths --data DATA --out engines

Of the portraits of the free set (CC0) that smile with their teeth into the camera, what lies between the
lips is brought upright, below a straight upper lip, at one size; where it is dark it is no tooth.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from streamanon.generate.mouth import (
    ABOVE,
    ATLAS,
    BELOW,
    BRIGHT,
    COLUMNS,
    ROWS,
    MouthFrame,
    frame_of,
    gape,
    upper_edge,
)
from streamanon.mesh.landmarks import INNER_LIPS, yaw_degrees
from streamanon.training.gallery.portraits import FREE, Portrait, read_portraits
from streamanon.types import LUMA, Float

#: How far lips part that show teeth, in mouth widths, and how far a head may be turned, degrees.
LEAST_GAPE, MOST_YAW_DEG = 0.1, 7.1
#: Of the brightness of the brightest quarter: below the first it is no tooth, from the second one.
TOOTH = (0.36, 0.58)
#: Redder than the first, of its luma, it is a lip or a gum, up to the first a tooth.
RED = (0.24, 0.42)
#: Teeth stand so near each other, px of the atlas.
BETWEEN_PX = 9
#: The brightest quarter must cover so much of the opening by as much as that, or teeth hardly show.
LEAST_TEETH = 0.4
#: Looked at and left out: teeth that hardly show, lips taken for teeth, two rows taken for one (0072), gums
#: that leave a gap below the lip (0035).
ODD = frozenset(f"faker_{number}" for number in ("0027", "0035", "0060", "0072", "0128", "0196"))


def teeth_of(portrait: Portrait) -> tuple[Float, Float, float] | None:
    """A row of teeth [ROWS, COLUMNS, 3] RGB 0..255, how surely each pixel is one [ROWS, COLUMNS] 0..1, and
    how long they are, in units of the atlas; None where no row of teeth shows.
    """
    points = portrait.points
    if portrait.source != FREE or gape(points) < LEAST_GAPE or abs(yaw_degrees(points)) > MOST_YAW_DEG:
        return None
    frame = frame_of(points)
    x, y = atlas_grid(frame, upper_edge(points, frame))
    rgb = portrait.image[..., ::-1].astype(np.float32)
    seen = cv2.remap(rgb, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE).clip(0, 255)
    inside = np.zeros(rgb.shape[:2], np.uint8)
    cv2.fillPoly(inside, [np.rint(16 * points[list(INNER_LIPS), :2]).astype(np.int32)], 255, cv2.LINE_AA, 4)
    within = cv2.remap(inside.astype(np.float32) / 255, x, y, cv2.INTER_LINEAR)
    luma = np.asarray(seen @ LUMA, np.float32)
    bright = float(np.percentile(luma[within > 0.9], 75))
    low, high = TOOTH
    red = (seen[..., 0] - seen[..., 1:].mean(axis=2)) / np.maximum(luma, 1)
    white = np.clip((RED[1] - red) / (RED[1] - RED[0]), 0, 1)
    tooth = within * np.clip((luma / bright - low) / (high - low), 0, 1) * white
    kernel = np.ones((1, BETWEEN_PX), np.uint8)
    tooth = np.asarray(cv2.morphologyEx(tooth, cv2.MORPH_CLOSE, kernel), np.float32)
    if tooth.sum() < LEAST_TEETH * within.sum():
        return None
    middle = tooth[:, COLUMNS // 2 - COLUMNS // 8 : COLUMNS // 2 + COLUMNS // 8].mean(axis=1)
    length = float((middle > 0.4).sum()) / ROWS * (ABOVE + BELOW)
    return _spread(seen * np.float32(BRIGHT / bright), tooth), tooth, length


def atlas_grid(frame: MouthFrame, edge: Float) -> tuple[Float, Float]:
    """Where the atlas's pixels lie in the portrait: x and y [ROWS, COLUMNS], px."""
    across = (np.arange(COLUMNS, dtype=np.float32) + 0.5) / COLUMNS - 0.5
    down = (np.arange(ROWS, dtype=np.float32) + 0.5) / ROWS * (ABOVE + BELOW) - ABOVE
    u, v = np.meshgrid(across, down)
    v = v + np.polyval(edge, u).astype(np.float32)
    at = frame.origin + u[..., None] * frame.across + v[..., None] * frame.down
    return at[..., 0].astype(np.float32), at[..., 1].astype(np.float32)


def _spread(rgb: Float, tooth: Float) -> Float:
    """``rgb`` with the teeth's colours where there are none, so that no lip shows at their edges."""
    weight = tooth[..., None] ** 2
    total, amount = rgb * weight, weight
    for sigma in (1.5, 4.0, 12.0):
        wide = cv2.GaussianBlur(rgb * weight, (0, 0), sigma)
        total = total + 1e-2 / sigma**4 * wide
        amount = amount + 1e-2 / sigma**4 * cv2.GaussianBlur(weight[..., 0], (0, 0), sigma)[..., None]
    return np.asarray((total / np.maximum(amount, 1e-9)).clip(0, 255), np.float32)


def build(data: Path, out: Path) -> dict[str, object]:
    names, teeth, shares, lengths = [], [], [], []
    for portrait in read_portraits(data):
        found = None if portrait.name in ODD else teeth_of(portrait)
        if found is None:
            continue
        rgb, share, length = found
        names.append(portrait.name)
        teeth.append(np.rint(rgb).astype(np.uint8))
        shares.append(np.rint(255 * share).astype(np.uint8))
        lengths.append(length)
    np.savez_compressed(
        out / ATLAS,
        allow_pickle=False,
        names=np.array(names),
        teeth=np.array(teeth),
        shares=np.array(shares),
        lengths=np.array(lengths, np.float32),
    )
    return {"rows of teeth": len(names), "bytes": (out / ATLAS).stat().st_size}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with portraits_512.tar")
    parser.add_argument("--out", type=Path, default=Path("engines"), help="where the atlas goes")
    arguments = parser.parse_args()
    print(json.dumps(build(arguments.data, arguments.out)))


if __name__ == "__main__":
    main()
