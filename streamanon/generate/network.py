"""The trained generator: it sees what :mod:`streamanon.generate.inputs` lets it see."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import cast
from weakref import WeakKeyDictionary

import cv2
import numpy as np
from numpy.typing import NDArray

from streamanon.errors import SynthesisError
from streamanon.gallery.delegates import DelegateGallery
from streamanon.generate.border import RAMP_PX, blend_border, like_skin
from streamanon.generate.features import Features, light_places, with_features
from streamanon.generate.fine_detail import fine_detail, work_size
from streamanon.generate.grain import add_grain, detail_gain, grain_of, middle
from streamanon.generate.inputs import PLANES, make_inputs
from streamanon.generate.interface import SMOOTHING, DetailState, Job, Painting, Patch
from streamanon.generate.kept import Answer, Kept
from streamanon.generate.layers import Layer, lay
from streamanon.generate.proportions import Proportions
from streamanon.generate.raster import Textures, localised, sampled
from streamanon.generate.reuse import resting
from streamanon.generate.silhouette import STEP, background, left_out, sides_of
from streamanon.generate.softness import softened, softness_of
from streamanon.geometry import CROP_PX, alignment, invert, scale_of, transform
from streamanon.media.coloured_light import share_left_out
from streamanon.media.yuv import read_luma, read_rgb
from streamanon.mesh.face_mesh import aligned_crop, network_input, snap
from streamanon.mesh.landmarks import BRIDGE_TOP, NOSE_BASE, mesh_keypoints, yaw_degrees
from streamanon.runtime.backends import Backend
from streamanon.runtime.models import Engines
from streamanon.types import Assignment, Float, Picture

#: From which probability a cell counts as something in front of the face; by how much less, if it did in
#: the frame before (hysteresis); and the share of a face beyond which it is too hidden to be painted.
FRONT_SURE, FRONT_SLACK, MOST_FRONT = 0.7, 0.2, 0.62
FRONT_CELLS = (32, 32)
#: Faces go through the network by so many: few sizes, as a runtime may prepare for each.
CHUNKS = (8, 4, 2, 1)
IDENTITY = np.eye(2, 3, dtype=np.float32)
#: So deep inside, crop pixels, the network may say that something in front shows.
SOFT_PX = 8.0
#: Opacity is blurred by that (sigma, crop px): the network's steps from pixel to pixel would be seen.
STEPS_SIGMA_PX = 0.7
#: Frame pixels a crop pixel from which the texture's own detail is added.
DETAIL_SCALE = 1.25
#: Something in front of a face reaches in from the rim if one of its cells is less than so much face.
AT_RIM = 0.9
#: A face turned by so much has a far side, beyond a line from its forehead over nose and chin, and from so
#: many crop pixels before it: a cell, and the ramp beside it.
TURNED_DEG, MIDLINE, BEFORE_PX = 20.0, (10, BRIDGE_TOP, NOSE_BASE, 152), 8
#: Frame pixels a crop pixel below which crop pixels are averaged first, and the blur for that (sigma, in
#: frame pixels).
AVERAGED_SCALE, AVERAGING_SIGMA = 0.8, 0.42


@dataclass(frozen=True, eq=False, repr=False)
class _Begun:
    """A face before the network has seen it. ``points`` [478, 3] px of the frame, with the delegate's
    proportions; ``matrix`` from there to the crop; ``places`` [128, 128, 2]: where in the texture each
    pixel lies; ``mask``, ``cut``, ``front`` [128, 128]: the mesh, what is painted, and what is in front of
    the face; ``light`` [128, 128, 3]. ``planes``: the network's input, None for a face that
    has its ``answer``, as it rests; ``keep``: makes of the answer what is kept.
    """

    crop: Float
    detail: DetailState
    points: Float
    matrix: Float
    assignment: Assignment
    places: Float
    mask: NDArray[np.bool_]
    cut: NDArray[np.bool_]
    front: NDArray[np.bool_]
    light: Float
    planes: Float | None = None
    answer: Answer | None = None
    keep: Callable[[Answer], Kept] | None = None

    def answered(self, answer: Answer) -> _Begun:
        """With the network's answer, made as soft as the frame and kept for the next one."""
        assert self.keep is not None
        kept = self.keep(answer)
        soft = softness_of(answer.rgb, self.light, self.crop, kept.skin)
        if self.detail.soft is not None:
            soft = self.detail.soft.towards(soft, SMOOTHING)
        answer = replace(answer, rgb=softened(answer.rgb, self.light, self.mask, soft))
        detail = replace(self.detail, kept=replace(kept, answer=answer), soft=soft)
        return replace(self, answer=answer, detail=detail, planes=None, keep=None)


class NetworkGenerator:
    """Paints faces with the project's generator, which never sees the pixels that it paints over."""

    def __init__(self, gallery: DelegateGallery, backend: Backend, engines: Engines) -> None:
        self._gallery = gallery
        self._proportions, self._textures = Proportions(gallery), Textures(gallery)
        self._net = backend.load(engines.path("generator"), precise=False)
        self._style_net = backend.load(engines.path("generator-style"), precise=True, threads=1)
        self._features = Features(gallery, engines)
        self._occlusion = backend.load(
            engines.path("face-occlusion"), precise=True, threads=1, bfloat16=True
        )
        # What depends on the delegate and the person alone is computed once a track.
        self._styles: WeakKeyDictionary[Assignment, Float] = WeakKeyDictionary()

    def paint(self, picture: Picture, jobs: Sequence[Job]) -> list[Painting | None]:
        begun = [self._begun(picture, job) for job in jobs]
        rows = [n for n, one in enumerate(begun) if one is not None and not one.answer]
        for chunk in chunks(rows):
            faces = [one for row in chunk if (one := begun[row]) is not None]
            planes = [face.planes for face in faces if face.planes is not None]
            answers = self._run(planes, [self._style(face.assignment) for face in faces])
            for row, face, (rgb, share) in zip(chunk, faces, answers, strict=True):
                begun[row] = face.answered(Answer(_levels(rgb), share))
        return [None if face is None else self._finished(picture, face) for face in begun]

    def warm_up(self) -> None:
        """Run the networks once in each number of faces in which they are run later."""
        delegate = self._gallery.delegates[0]
        given = np.concatenate([delegate.code, self._gallery.features[0]])[None].astype(np.float32)
        style = self._style_net.run(given)[0]
        self._in_front(np.zeros((CROP_PX, CROP_PX, 3), np.float32), None)
        planes = np.zeros((PLANES, CROP_PX, CROP_PX), np.float32)
        for count in CHUNKS:
            self._run([planes] * count, [style] * count)

    def _begun(self, picture: Picture, job: Job) -> _Begun | None:
        """The network's inputs; None where no face can be made."""
        try:
            return self._prepared(picture, job)
        except SynthesisError:
            return None

    def _prepared(self, picture: Picture, job: Job) -> _Begun:
        geometry, assignment = job.geometry, job.assignment
        if not np.isfinite(geometry.points).all():
            raise SynthesisError("the mesh holds values that are not finite")
        points = self._proportions.apply(geometry.points, assignment.delegate.shape, assignment.geometry)
        matrix = alignment(mesh_keypoints(geometry.points))
        if (rested := self._rested(picture, job, points, matrix)) is not None:
            return rested
        crop, local = aligned_crop(picture, matrix), transform(matrix, points)
        places, mask = self._textures.places(local, (CROP_PX, CROP_PX))
        warped = sampled(self._textures.level(local, assignment.delegate), places)
        cells = self._in_front(crop, None if job.last is None else job.last.front)
        front = in_front(cells, mask, local)
        inputs = make_inputs(crop, local, warped, mask, front, job.last)
        light = _levels(inputs.planes[10:])
        detail = replace(inputs.detail, front=cells)
        if job.last is not None:
            detail = replace(detail, soft=job.last.soft, grain=job.last.grain)
        detail = with_features(
            detail, crop, _lights(light, local), transform(matrix, geometry.points), job.last
        )
        keep = partial(Kept, assignment, local, places, mask, inputs.skin, front, inputs.cut, light)
        return _Begun(
            crop,
            detail,
            points,
            matrix,
            assignment,
            places,
            mask,
            inputs.cut,
            front,
            light,
            planes=inputs.planes,
            keep=keep,
        )

    def _rested(self, picture: Picture, job: Job, points: Float, matrix: Float) -> _Begun | None:
        """A face that rests, with the network's last answer; None where it has to be painted anew."""
        if job.last is None or job.last.kept is None:
            return None
        kept, scale = job.last.kept, 1 / scale_of(matrix)
        found = resting(kept, points, matrix, scale, job.assignment)
        if found is None:
            return None
        crop = aligned_crop(picture, found.matrix)
        cells = self._in_front(crop, job.last.front)
        front = in_front(cells, kept.mask, kept.local)
        cut, light = kept.cut_without(front), found.light(crop)
        if cut is None or light is None:
            return None
        detail = replace(job.last, front=cells, kept=replace(kept, frames=kept.frames + 1))
        lights, own = _lights(light, kept.local), transform(found.matrix, job.geometry.points)
        return _Begun(
            crop,
            with_features(detail, crop, lights, own, job.last),
            points,
            found.matrix,
            job.assignment,
            kept.places,
            kept.mask,
            cut,
            front,
            light,
            answer=found.answer(light),
        )

    def _run(self, planes: list[Float], styles: list[Float]) -> list[tuple[Float, Float]]:
        """RGB [3, 128, 128] -1..1 and share of face [128, 128] of each."""
        rgb, face = self._net.run(np.stack(planes), np.concatenate(styles))
        return [(one, two[0]) for one, two in zip(rgb, face, strict=True)]

    def _style(self, assignment: Assignment) -> Float:
        if assignment not in self._styles:
            given = np.concatenate([assignment.delegate.code, assignment.feature])[None].astype(np.float32)
            self._styles[assignment] = self._style_net.run(given)[0]
        return self._styles[assignment]

    def _in_front(self, crop: Float, before: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        """The crop's cells [32, 32] that show something in front of a face; ``before``: in the last frame,
        whose cells have a lower threshold (hysteresis). Nothing in coloured light, where a blue chin is
        taken for a mask.
        """
        if share_left_out(crop) > 0:
            return np.zeros(FRONT_CELLS, np.bool_)
        shares = self._occlusion.run(network_input([crop]))[0][0, 0]
        return np.asarray(shares > FRONT_SURE - (0 if before is None else FRONT_SLACK * before))

    def _finished(self, picture: Picture, begun: _Begun) -> Painting | None:
        try:
            return self._pasted(picture, begun)
        except SynthesisError:
            return None

    def _pasted(self, picture: Picture, begun: _Begun) -> Painting:
        """The network's answer in the frame's pixels."""
        assert begun.answer is not None
        back = invert(begun.matrix)
        region = region_of_cut(picture, begun.cut, back)
        scale = scale_of(back)
        painted = like_skin(begun.answer.rgb, begun.light)
        painted, beside = blend_border(painted, begun.crop, begun.light, begun.cut)
        large = scale > DETAIL_SCALE
        if not large:
            lay(painted, self._layers(begun, transform(begun.matrix, begun.points), painted, 1.0))
        alpha = _alpha(begun.cut, np.maximum(begun.answer.face, beside))
        told = background(begun.crop, sides_of(begun.cut, transform(begun.matrix, begun.points)))
        if not large:
            whole = (0, 0, CROP_PX, CROP_PX)
            alpha = alpha * (1 - left_out(begun.crop, _placed_sides(told, IDENTITY, whole)))
        shares = np.dstack([alpha, begun.front.astype(np.float32)])
        placed = _placed(painted, back, region, scale, cv2.INTER_CUBIC)
        alpha, front = np.moveaxis(_placed(shares, back, region, scale, cv2.INTER_LINEAR), 2, 0)
        if large:
            alpha = alpha * (1 - left_out(read_rgb(picture, *region), _placed_sides(told, back, region)))
        grey = read_luma(picture, *region)
        grain = grain_of(middle(grey), middle(alpha))
        if large:
            local = localised(begun.points, region, work_size(region))
            texture = self._textures.level(local, begun.assignment.delegate)
            fine = fine_detail(texture, begun.places, begun.mask, local, back, region)
            placed = placed * (1 + detail_gain(placed, fine, alpha, grey, grain) * fine)[..., None]
            shifted = begun.points - np.array([*region[:2], 0], np.float32)
            lay(placed, self._layers(begun, shifted, placed, scale))
        placed, laid = add_grain(placed, alpha, grain, grey, region[:2], begun.detail.grain)
        patch = Patch(region[0], region[1], placed.clip(0, 255), alpha, front)
        return Painting(patch, replace(begun.detail, grain=laid))

    def _layers(self, begun: _Begun, points: Float, rgb: Float, per_crop: float) -> list[Layer]:
        """Eyes and mouth of a mesh that lies at ``points`` of an image."""
        lights = _lights(begun.light, transform(begun.matrix, begun.points))
        size = rgb.shape[1], rgb.shape[0]
        delegate = begun.assignment.delegate
        return self._features.layers(points, size, lights, delegate, begun.detail, per_crop)


def _lights(light: Float, local: Float) -> Float:
    """The skin's light about both eyes and the mouth [3, 3]."""
    x, y = light_places(local).astype(int).T
    return np.asarray(light[y, x], np.float32)


def _levels(planes: Float) -> Float:
    """Planes [3, h, w] of -1..1 as colours [h, w, 3] of 0..255."""
    return cast(Float, cv2.merge([*((planes + 1) * np.float32(127.5))]))


def chunks(rows: list[int]) -> Iterator[list[int]]:
    while rows:
        size = next(size for size in CHUNKS if size <= len(rows))
        yield rows[:size]
        rows = rows[size:]


def in_front(cells: NDArray[np.bool_], mask: NDArray[np.bool_], local: Float) -> NDArray[np.bool_]:
    """What is in front of a face [128, 128], by the network's ``cells`` [32, 32], and stays; ``local``
    [478, 3] px: its mesh, which is where ``mask`` [128, 128] is. Raises :class:`SynthesisError` where too
    much is hidden.
    """
    front = reaching_in(cells, mask)
    if (front & mask).sum() > MOST_FRONT * max(int(mask.sum()), 1):
        raise SynthesisError("too much of the face is hidden")
    return front & ~beyond_nose(local, mask.shape)


def beyond_nose(local: Float, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The far side [h, w] of a face that is turned: there the network takes the background along nose and
    lips for something in front, and a soft edge beside it would show the person's profile.
    """
    yaw = yaw_degrees(local)
    if abs(yaw) < TURNED_DEG:
        return np.zeros(shape, np.bool_)
    x, y = local[list(MIDLINE), :2].T
    order = np.argsort(y)
    middle = np.interp(np.arange(shape[0]), y[order], x[order])[:, None]
    across = np.arange(shape[1])
    return np.asarray(across > middle - BEFORE_PX if yaw > 0 else across < middle + BEFORE_PX)


def reaching_in(cells: NDArray[np.bool_], mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``cells`` [32, 32] as pixels [128, 128], less those that do not reach into the face from its rim, and
    lone ones: hands, hair and masks come from somewhere.
    """
    step = mask.shape[0] // cells.shape[0]
    opened = cv2.morphologyEx(cells.astype(np.uint8), cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    shares = cv2.resize(mask.astype(np.float32), cells.shape[::-1], interpolation=cv2.INTER_AREA)
    count, parts = cv2.connectedComponents(opened, connectivity=4)
    from_rim = [n for n in range(1, count) if (shares[parts == n] < AT_RIM).any()]
    return np.asarray(np.isin(parts, from_rim).repeat(step, axis=0).repeat(step, axis=1))


def _alpha(cut: NDArray[np.bool_], face: Float) -> Float:
    """How opaque the painting is: not at the rim of the cut, always in its depth, and in between as the
    network says.
    """
    most, least = opacity_bounds(cut)
    alpha = np.minimum(most, np.maximum(face, least))
    return cast(Float, cv2.GaussianBlur(alpha, (0, 0), STEPS_SIGMA_PX))


def opacity_bounds(cut: NDArray[np.bool_]) -> tuple[Float, Float]:
    """The most and the least opacity that a ``cut`` [h, w] allows."""
    inward = cv2.distanceTransform(np.pad(cut.astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    bounds = (np.clip(one / RAMP_PX, 0, 1) for one in (inward, inward - SOFT_PX))
    most, least = (np.asarray(one, np.float32) for one in bounds)
    return most, least


def region_of_cut(picture: Picture, cut: NDArray[np.bool_], back: Float) -> tuple[int, int, int, int]:
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


def _placed_sides(told: Float, back: Float, region: tuple[int, int, int, int]) -> Float:
    """What is known of every second pixel of the crop, as seen in a region of the frame [h, w, 5]."""
    linear = back * np.array([STEP, STEP, 1], np.float32)
    parts = (_placed(one, linear, region, 1.0, cv2.INTER_LINEAR) for one in (told[..., :3], told[..., 3:]))
    return np.dstack(list(parts))


def _placed(
    values: Float, back: Float, region: tuple[int, int, int, int], scale: float, enlarging: int
) -> Float:
    """An image in the crop [128, 128, ...] as seen in a region of the frame."""
    x0, y0, x1, y1 = region
    if scale < AVERAGED_SCALE:  # else pixels would be skipped
        values = np.asarray(cv2.GaussianBlur(values, (0, 0), AVERAGING_SIGMA / scale), np.float32)
    local = back.copy()
    local[:, 2] -= [x0, y0]
    method = enlarging if scale > 1 else cv2.INTER_LINEAR
    placed = cv2.warpAffine(
        values, local, (x1 - x0, y1 - y0), flags=method, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(placed, np.float32)
