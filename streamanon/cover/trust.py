"""Whether what was measured and painted can be trusted to cover a face: pure functions and limits."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.config import CoverConfig
from streamanon.generate import Patch
from streamanon.mesh.face_mesh import snap
from streamanon.mesh.landmarks import mesh_keypoints, yaw_degrees
from streamanon.runtime.faults import FARTHEST_PX
from streamanon.types import Float, Geometry, Picture, Target

Region = tuple[int, int, int, int]  # xyxy px

#: A face already generated stays so down to this much less confidence (of 0..1), this much more turn, this
#: share less of the least size, and so much less of its box covered. Without the slack a face at a limit
#: would flicker.
CONFIDENCE_SLACK = 0.18
YAW_SLACK_DEG = 4.0
SIZE_SLACK = 0.15
COVERED_SLACK = 0.15
#: Boxes smaller than this share of the least generated face are not measured at all.
LEAST_BOX = 0.8
#: Share of the detected box that the mesh must cover. Carried boxes have grown, so less of them is face.
LEAST_COVERED, LEAST_COVERED_CARRIED = 0.6, 0.35
#: Mean distance of the mesh's keypoints from the detector's, in sizes of the mesh.
MOST_APART, MOST_APART_CARRIED = 0.2, 0.3
#: Share of the mesh's points that must lie in the picture.
LEAST_INSIDE = 0.6
#: Share of the middle of a generated face that must be opaque. Sound ones have 0.83 and more, however
#: turned: a turned face does not fill the middle of its box.
LEAST_OPACITY = 0.7
#: Share of its middle that may show something in front of the face.
MOST_FRONT = 0.7
#: Alphas may overshoot 0..1 by so much, as interpolation does.
OVERSHOOT = 0.01
#: The inner face, which is made opaque: the mesh's outline drawn in to this share of its size. Within it no
#: sound painting is less opaque than ``OPAQUE``, except beside something in front of the face.
INNER_SHARE = 0.6
OPAQUE = 0.98
#: Beside something in front, within this share of the inner face's width, a painting may be soft.
SOFT_SHARE = 0.25


def trusts_mesh(
    config: CoverConfig, picture: Picture, target: Target, measured: Geometry, established: bool
) -> bool:
    """Whether a mesh is good enough to paint on; an ``established`` face is given some slack. On what may
    be no face none is painted: on a chair that would be worse than a fill.
    """
    slack = float(established)
    points = measured.points[:, :2]
    extent = np.concatenate([points.min(0), points.max(0)]).astype(np.float32)
    return bool(
        target.sure
        and measured.confidence >= config.min_confidence - slack * CONFIDENCE_SLACK
        and abs(yaw_degrees(measured.points)) <= config.max_yaw_deg + slack * YAW_SLACK_DEG
        and min(extent[2:] - extent[:2]) >= config.min_face_px * (1 - SIZE_SLACK * slack)
        and _agrees(target, points, extent, slack)
        and _share_inside(points, picture) >= LEAST_INSIDE
    )


def is_placed(box: Float) -> bool:
    """Whether it is a box. Comparisons with what is no number are false."""
    return box.shape == (4,) and bool((np.abs(box) < FARTHEST_PX).all() and (box[2:] >= box[:2]).all())


def is_sound(measured: object) -> bool:
    """Whether it is a measurement, in numbers: an infinite confidence would pass for a sure one."""
    return (
        isinstance(measured, Geometry)
        and measured.points.dtype == np.float32
        and bool(np.isfinite(measured.points).all())
        and bool(np.isfinite(measured.confidence))
    )


def is_large_enough(box: Float, least_px: float) -> bool:
    """Whether a box [4] may hold a face of ``least_px``, so that measuring it is worth the time."""
    return area(box) >= (LEAST_BOX * least_px) ** 2


def hides(patch: Patch, picture: Picture, points: Float) -> bool:
    """Whether a patch can be laid over the picture and hides what is beneath the middle of the mesh
    ``points`` [478, 3]. Raises ValueError where it holds what is no number.
    """
    region, (height, width) = region_of(patch), patch.alpha.shape
    if snap(picture, np.array(region, np.float32)) != region or patch.rgb.shape != (height, width, 3):
        return False
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    x0, y0 = np.ceil((3 * low + high) / 4).clip(0).astype(int)
    x1, y1 = np.minimum((low + 3 * high) / 4 + 1, [picture.width, picture.height]).astype(int)
    rows = slice(max(y0 - patch.y0, 0), max(y1 - patch.y0, 0))
    columns = slice(max(x0 - patch.x0, 0), max(x1 - patch.x0, 0))
    front = np.zeros_like(patch.alpha) if patch.front is None else patch.front
    if not np.isfinite([float(one.sum()) for one in (patch.rgb, patch.alpha, front)]).all():
        raise ValueError("a painted face holds what is no number")
    hidden = float((patch.alpha + front)[rows, columns].clip(0, 1).sum())
    return bool(
        -OVERSHOOT <= patch.alpha.min() <= patch.alpha.max() <= 1 + OVERSHOOT
        and hidden >= LEAST_OPACITY * max(x1 - x0, 1) * max(y1 - y0, 1)
        and float(front[rows, columns].sum()) <= MOST_FRONT * front[rows, columns].size
    )


def opaque_inside(patch: Patch, points: Float) -> Patch:
    """The patch, made opaque where the inner face lies and nothing is in front of it: nothing of the person
    shines through a painting that is only nearly opaque. A sound painting stays as it is.
    """
    inner = inner_face(patch, points, INNER_SHARE)
    if patch.front is not None and inner.any():
        reach = 1 + 2 * max(1, round(SOFT_SHARE * float(np.ptp(np.flatnonzero(inner.any(axis=0))))))
        shown = (patch.front > 1 - OPAQUE).astype(np.uint8)
        inner &= cv2.dilate(shown, np.ones((reach, reach), np.uint8)) == 0
    thin = inner & (patch.alpha < OPAQUE)
    return replace(patch, alpha=np.where(thin, np.float32(1), patch.alpha)) if thin.any() else patch


def inner_face(patch: Patch, points: Float, share: float) -> NDArray[np.bool_]:
    """The outline of a mesh ``points`` [478, 3] px, drawn in to a ``share`` of its size, as a mask."""
    hull = cv2.convexHull(np.ascontiguousarray(points[:, :2], np.float32))[:, 0]
    middle = hull.mean(axis=0)
    drawn_in = middle + share * (hull - middle) - [patch.x0, patch.y0]
    mask = np.zeros(patch.alpha.shape, np.uint8)
    cv2.fillConvexPoly(mask, np.rint(drawn_in).astype(np.int32), 1)
    return mask > 0


def region_of(patch: Patch) -> Region:
    height, width = patch.alpha.shape
    return patch.x0, patch.y0, patch.x0 + width, patch.y0 + height


def area(box: Float) -> float:
    return float(np.prod((box[2:] - box[:2]).clip(0)))


def _agrees(target: Target, points: Float, extent: Float, slack: float) -> bool:
    """Whether the mesh lies where the detector, which knows nothing of it, saw the face."""
    shared = np.minimum(extent[2:], target.box[2:]) - np.maximum(extent[:2], target.box[:2])
    covered = float(np.prod(shared.clip(0))) / max(area(target.box), 1.0)
    least = LEAST_COVERED - slack * COVERED_SLACK if target.detected else LEAST_COVERED_CARRIED
    if covered < least:
        return False
    spread = float(np.sqrt(area(extent)))
    apart = np.linalg.norm(mesh_keypoints(points) - target.keypoints, axis=1).mean()
    return bool(apart < (MOST_APART if target.detected else MOST_APART_CARRIED) * spread)


def _share_inside(points: Float, picture: Picture) -> float:
    inside = ((points >= 0) & (points < [picture.width, picture.height])).all(axis=1)
    return float(inside.mean())
