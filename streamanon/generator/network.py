"""The trained generator: it sees what :mod:`streamanon.generator.inputs` lets it see."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.backends import Backend
from streamanon.engines import Engines
from streamanon.errors import SynthesisError
from streamanon.generator.inputs import Inputs, make_inputs
from streamanon.generator.patch import Look, Patch
from streamanon.generator.raster import Textures, localised
from streamanon.geometry import CROP_PX, alignment, invert, mesh_keypoints, transform
from streamanon.identity.delegates import DelegateGallery
from streamanon.identity.proportions import Proportions
from streamanon.mesh import aligned_crop, snap
from streamanon.types import Float, Geometry, Picture, Role

#: A cell is taken for something in front of the face when the occlusion network is this sure, and no face
#: is painted when more of it than that is hidden.
FRONT_SURE, MOST_FRONT = 0.7, 0.62
#: Over so many crop pixels the painted face gives way to what surrounds it; so deep inside, the network may
#: say that something in front shows.
RAMP_PX, SOFT_PX = 4.0, 8.0
#: Frame pixels a crop pixel from which the texture's own detail is added.
DETAIL_SCALE = 1.25
WORK_PX = 224


@dataclass(frozen=True, eq=False, repr=False)
class _Painted:
    """The network's answer in the crop: ``rgb`` [128, 128, 3] 0..255 and ``alpha`` [128, 128]."""

    rgb: Float
    alpha: Float
    front: Float


class NetworkGenerator:
    """Paints faces with the project's generator, which never sees the pixels that it paints over."""

    def __init__(self, gallery: DelegateGallery, backend: Backend, engines: Engines) -> None:
        self._proportions, self._textures = Proportions(gallery), Textures(gallery)
        self._net = backend.load(engines.path("generator"), precise=False)
        self._style_net = backend.load(engines.path("generator-style"), precise=True, threads=1)
        self._occlusion = backend.load(engines.path("face-occlusion"), precise=True, threads=1)
        # What depends on the delegate and the person alone is computed once a track.
        self._styles: WeakKeyDictionary[Role, Float] = WeakKeyDictionary()

    def paint(
        self, picture: Picture, geometry: Geometry, role: Role, last: Look | None
    ) -> tuple[Patch, Look]:
        if not np.isfinite(geometry.points).all():
            raise SynthesisError("the mesh holds values that are not finite")
        points = self._proportions.apply(geometry.points, role.delegate.shape, role.geometry)
        matrix = alignment(mesh_keypoints(geometry.points))
        crop, local = aligned_crop(picture, matrix), transform(matrix, points)
        warped, mask = self._textures.warp(local, (CROP_PX, CROP_PX), role.delegate)
        front = self._in_front(crop, mask)
        inputs = make_inputs(crop, local, warped, mask, front, last)
        rgb, face = self._net.run(inputs.planes[None], self._style(role))
        painted = _Painted(
            (rgb[0].transpose(1, 2, 0) + 1) * np.float32(127.5),
            _alpha(inputs.cut, face[0, 0]),
            front.astype(np.float32),
        )
        return self._pasted(picture, painted, inputs, points, matrix, role)

    def _style(self, role: Role) -> Float:
        if role not in self._styles:
            told = np.concatenate([role.delegate.code, role.feature])[None].astype(np.float32)
            self._styles[role] = self._style_net.run(told)[0]
        return self._styles[role]

    def _in_front(self, crop: Float, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Cells [128, 128] of the mesh that show something in front of the face."""
        batch = np.ascontiguousarray(crop.transpose(2, 0, 1)[None], np.float32) / 255
        shares = self._occlusion.run(batch)[0][0, 0]
        front = _reaching_in(shares > FRONT_SURE, mask)
        if (front & mask).sum() > MOST_FRONT * max(int(mask.sum()), 1):
            raise SynthesisError("too much of the face is hidden")
        return front

    def _pasted(
        self,
        picture: Picture,
        painted: _Painted,
        inputs: Inputs,
        points: Float,
        matrix: Float,
        role: Role,
    ) -> tuple[Patch, Look]:
        """The crop's painting in the frame's pixels."""
        back = invert(matrix)
        region = _region(picture, inputs.cut, back)
        scale = float(np.sqrt(abs(np.linalg.det(back[:, :2]))))
        rgb = _placed(painted.rgb, back, region, scale)
        alpha, front = (_placed(one, back, region, scale) for one in (painted.alpha, painted.front))
        if scale > DETAIL_SCALE and not inputs.look.sigma_px:
            rgb = rgb + self._detail(points, region, scale, role, inputs.look)
        layers = np.clip(rgb, 0, 255), alpha.clip(0, 1), front.clip(0, 1)
        return Patch(region[0], region[1], *layers), inputs.look

    def _detail(
        self, points: Float, region: tuple[int, int, int, int], scale: float, role: Role, look: Look
    ) -> Float:
        """What the texture holds that is finer than a crop pixel, [h, w, 3], as strong as the frame's."""
        x0, y0, x1, y1 = region
        shrink = min(1.0, WORK_PX / max(x1 - x0, y1 - y0))
        size = max(8, round((x1 - x0) * shrink)), max(8, round((y1 - y0) * shrink))
        local = localised(points, region, size)
        warped, mask = self._textures.warp(local, size, role.delegate)
        warped = np.where(mask[..., None], warped, warped[mask].mean(axis=0) if mask.any() else 0)
        fine = warped - cv2.GaussianBlur(warped, (0, 0), 0.5 * scale * shrink)
        inside = cv2.erode(mask.astype(np.float32), np.ones((5, 5)))[..., None]
        full = cv2.resize(fine * inside * look.contrast, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)
        return np.asarray(full, np.float32)


def _reaching_in(cells: NDArray[np.bool_], mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``cells`` [32, 32] as pixels [128, 128], less those that do not reach into the face from its rim, and
    lone ones: hands, hair and masks come from somewhere.
    """
    step = mask.shape[0] // cells.shape[0]
    opened = cv2.morphologyEx(cells.astype(np.uint8), cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    shares = cv2.resize(mask.astype(np.float32), cells.shape[::-1], interpolation=cv2.INTER_AREA)
    count, parts = cv2.connectedComponents(opened, connectivity=4)
    from_rim = [n for n in range(1, count) if (shares[parts == n] < 0.9).any()]
    return np.asarray(np.isin(parts, from_rim).repeat(step, axis=0).repeat(step, axis=1))


def _alpha(cut: NDArray[np.bool_], face: Float) -> Float:
    """How opaque the painting is: not at the rim of the cut, always in its depth, and in between as the
    network says.
    """
    inward = cv2.distanceTransform(np.pad(cut.astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    ramp = np.clip(inward / RAMP_PX, 0, 1)
    least = np.clip((inward - SOFT_PX) / RAMP_PX, 0, 1)
    return np.asarray(np.minimum(ramp, np.maximum(face, least)), np.float32)


def _region(picture: Picture, cut: NDArray[np.bool_], back: Float) -> tuple[int, int, int, int]:
    """The frame's region under the cut. Raises :class:`SynthesisError` where there is none."""
    rows, columns = np.flatnonzero(cut.any(axis=1)), np.flatnonzero(cut.any(axis=0))
    if not len(rows):
        raise SynthesisError("the mesh covers no pixel")
    corners = np.array([[x, y] for x in columns[[0, -1]] for y in rows[[0, -1]]], np.float32)
    placed = transform(back, corners)
    x0, y0, x1, y1 = snap(picture, np.concatenate([placed.min(0) - 1, placed.max(0) + 2]))
    if x1 - x0 < 8 or y1 - y0 < 8:
        raise SynthesisError("the face lies outside the frame")
    return x0, y0, x1, y1


def _placed(values: Float, back: Float, region: tuple[int, int, int, int], scale: float) -> Float:
    """An image in the crop [128, 128, ...] as seen in a region of the frame."""
    x0, y0, x1, y1 = region
    if scale < 0.8:  # many crop pixels a frame pixel: average first
        values = np.asarray(cv2.GaussianBlur(values, (0, 0), 0.42 / scale), np.float32)
    local = back.copy()
    local[:, 2] -= [x0, y0]
    method = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_LINEAR
    placed = cv2.warpAffine(
        values, local, (x1 - x0, y1 - y0), flags=method, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(placed, np.float32)
