"""The stage that lays covers over a frame, and the last one that sees the raw one.

Each face is on one rung: a generated face, or a fill from its surroundings, or plain colour. Whatever fails
or cannot be trusted falls to the next one. A generated face that fades lies on an opaque fill until it is
fully there; about it the fill fades out as the face fades in, and is opaque at once where it is not
trusted. With the methods mosaic, blur and solid the first two rungs are left out.

Near faces are laid last, but a generated one over the fill of what overlaps it, which is likely the same
face, detected twice: whichever lies above, as much of the frame's own pixels is hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from streamanon.config import CoverConfig
from streamanon.cover.canvas import Canvas, HostCanvas
from streamanon.cover.fill import fill, hidden_by, shade, surroundings
from streamanon.cover.mosaic import MAX_CELLS, blur, cells_of, ellipse_alpha, mosaic, solid
from streamanon.cover.outline import outline
from streamanon.cover.seal import seal
from streamanon.cover.synthesis import Synthesised
from streamanon.cover.track_states import TrackState, TrackStates
from streamanon.cover.trust import Region, region_of
from streamanon.generate import Patch
from streamanon.geometry import grow, overlap
from streamanon.media.yuv import read_rgb, write_rgb
from streamanon.mesh.face_mesh import snap
from streamanon.runtime.faults import Faults
from streamanon.track.tracker import APART
from streamanon.types import Cover, Float, FrameReport, Method, Picture, SafeFrame, Target

#: By how much more than a face's box a head is, on each side.
HEAD_MARGIN = 0.15


@dataclass(frozen=True, eq=False)
class _Work:
    """A frame in the making. ``outlines``: by row of the target, the box [4] of the ellipse over it."""

    frame: Synthesised
    canvas: Canvas
    outlines: Sequence[Float]

    @property
    def picture(self) -> Picture:
        return self.frame.resolved.frame.picture

    def target(self, row: int) -> Target:
        return self.frame.resolved.targets[row]


class Compositor:
    """Lays the covers of one stream. ``noise``: of mosaics and fills, by default seeded by the system and
    known to nobody. ``open_canvas``: what they are laid over.
    """

    def __init__(
        self,
        config: CoverConfig,
        tracks: TrackStates,
        faults: Faults,
        noise: np.random.Generator | None = None,
        open_canvas: Callable[[Picture], Canvas] = HostCanvas,
    ) -> None:
        self._config, self._tracks, self._faults = config, tracks, faults
        self._noise = np.random.default_rng() if noise is None else noise
        self._open_canvas = open_canvas

    def composite(self, frame: Synthesised) -> SafeFrame:
        """A frame with all its covers; in plain colour as a whole where anything failed."""
        if not frame.failed:
            try:
                return self._composited(frame)
            except Exception as error:
                self._faults.note("frames", "covering", error)
        whole = _covered_whole(frame.resolved.frame.picture)
        return seal(frame.resolved, whole, FrameReport((), withheld=True))

    def _composited(self, frame: Synthesised) -> SafeFrame:
        resolved, picture = frame.resolved, frame.resolved.frame.picture
        if not resolved.targets and not len(resolved.moving):
            return seal(resolved, picture, FrameReport(()))
        outlines = [outline(picture, target, self._config.margin) for target in resolved.targets]
        work = _Work(frame, self._open_canvas(picture), outlines)
        moving = tuple(self._cover_moving(work, box) for box in resolved.moving)
        below = {row: self._fill_of(work, row) for row in self._lie_below(frame)}
        order = [*(row for row in below if row not in frame.patches), *frame.order]
        covers = [self._cover(work, row, below.get(row)) for row in dict.fromkeys(order)]
        return seal(resolved, work.canvas.finish(), FrameReport(tuple(covers), moving=moving))

    def _lie_below(self, frame: Synthesised) -> list[int]:
        """The rows whose fill is laid before all generated faces, as it overlaps one: the same, likely."""
        boxes = np.array([target.box for target in frame.resolved.targets], np.float32).reshape(-1, 4)
        alike = overlap(boxes, boxes[list(frame.patches)]).max(axis=1, initial=0.0) >= APART
        return [row for row in frame.order if alike[row] and self._needs_fill(frame, row)]

    def _needs_fill(self, frame: Synthesised, row: int) -> bool:
        state = self._tracks.of(frame.resolved.targets[row].track_id)
        return not state.visible and (row not in frame.patches or (state.weight or 0.0) < 1)

    def _fill_of(self, work: _Work, row: int) -> tuple[Region, Method]:
        """Lay a face's fill, as far as its generated face has not faded in."""
        state = self._tracks.of(work.target(row).track_id)
        patch = work.frame.patches.get(row)
        about = 1.0 if patch is None or not state.trusted else 1 - (state.weight or 0.0)
        return self._plain(work, row, patch, about)

    def _cover(self, work: _Work, row: int, below: tuple[Region, Method] | None) -> Cover:
        """``below``: the face's fill, if that has been laid."""
        target, patch = work.target(row), work.frame.patches.get(row)
        state = self._tracks.of(target.track_id)
        if state.visible:
            region = snap(work.picture, target.box)
            return Cover(target.track_id, region, "kept", target.detected)
        if below is None and self._needs_fill(work.frame, row):
            below = self._fill_of(work, row)
        weight = 0.0 if patch is None or state.weight is None else state.weight
        method: Method = "synthesize"
        if below is not None:
            region, method = below
        if patch is not None:
            alpha = patch.alpha * np.float32(weight)
            work.canvas.write(patch.x0, patch.y0, patch.rgb, alpha)
            painted = region_of(patch)
            region = painted if below is None else _around(region, painted)
            method = "synthesize" if weight >= 0.5 else method
        return Cover(target.track_id, region, method, target.detected)

    def _cover_moving(self, work: _Work, box: Float) -> Region:
        """Plain colour over a whole box, whoever is in it: it has no track whose mosaic could stay one."""
        region = snap(work.picture, box + np.array([0, 0, 1, 1], np.float32))
        x0, y0, x1, y1 = region
        if x1 > x0 and y1 > y0:
            rgb = solid(np.zeros((y1 - y0, x1 - x0, 3), np.float32))
            work.canvas.write(x0, y0, rgb, np.ones(rgb.shape[:2], np.float32))
        return region

    def _plain(self, work: _Work, row: int, patch: Patch | None, about: float) -> tuple[Region, Method]:
        """Cover the ellipse around a face, as far as ``about`` says, and wholly all that is painted on it;
        in plain colour if that fails.
        """
        box = work.outlines[row]
        region = snap(work.picture, box + np.array([-1, -1, 2, 2], np.float32))
        if patch is not None:
            region = _around(region, region_of(patch)) if _size(region) != (0, 0) else region_of(patch)
        width, height = _size(region)
        if not (width and height):
            return region, "solid"
        centre, axes = _ellipse(box, region)
        alpha = np.asarray(ellipse_alpha(width, height, centre, axes) * np.float32(about), np.float32)
        if patch is not None:
            part = alpha[_within(region_of(patch), region)]
            np.maximum(part, patch.alpha, out=part)
        if self._config.method in ("synthesize", "fill"):
            rgb, method = self._filled(work, row, region, alpha)
        else:
            rgb, method = self._flattened(work.picture, region, self._tracks.of(work.target(row).track_id))
        work.canvas.write(region[0], region[1], rgb, alpha)
        return region, method

    def _filled(self, work: _Work, row: int, region: Region, alpha: Float) -> tuple[Float, Method]:
        """What surrounds a region, where ``alpha`` covers it, in the skin tone of the delegate if there is
        one; no pixel of a face takes part.
        """
        target, picture = work.target(row), work.picture
        x0, y0, x1, y1 = snap(picture, surroundings(np.array(region, np.float32)))
        inside = _within(region, (x0, y0, x1, y1))
        try:
            wide = np.zeros((y1 - y0, x1 - x0), np.float32)
            wide[inside] = alpha
            hidden = hidden_by(wide, work.outlines, work.frame.resolved.moving, (x0, y0))
            rgb = fill(read_rgb(picture, x0, y0, x1, y1), hidden, self._noise)
            tone, around = self._tracks.of(target.track_id).tone, rgb.mean()
            rgb = rgb[inside]
            if tone is not None:
                rgb = shade(rgb, *_ellipse(grow(target.box, HEAD_MARGIN), region), tone, float(around))
            if not hidden[inside][alpha > 0].all() or rgb.shape != (*alpha.shape, 3):
                raise ValueError("a fill that does not hide what it covers")
            if not np.isfinite(rgb).all():
                raise ValueError("a fill with values that are not finite")
            return rgb, "fill"
        except Exception as error:  # the last rung needs nothing
            self._faults.note("faces", "filling", error)
        return solid(np.zeros((*alpha.shape, 3), np.float32)), "solid"

    def _flattened(self, picture: Picture, region: Region, state: TrackState) -> tuple[Float, Method]:
        """A region in shades of one colour."""
        method = self._config.method
        width, height = _size(region)
        if method in ("mosaic", "blur"):
            try:
                if state.cells is None:
                    rows = max(1, min(MAX_CELLS, round(MAX_CELLS * height / width)))
                    columns = min(MAX_CELLS, width)
                    state.cells = cells_of(read_rgb(picture, *region), columns, rows, self._noise)
                flatten = blur if method == "blur" else mosaic
                return flatten(state.cells, width, height), method
            except Exception as error:  # the last rung needs nothing
                self._faults.note("faces", "flattening", error)
        return solid(np.zeros((height, width, 3), np.float32)), "solid"


def composite(frames: Iterable[Synthesised], compositor: Compositor) -> Iterator[SafeFrame]:
    """The stage: one frame after the other."""
    return map(compositor.composite, frames)


def _ellipse(box: Float, region: Region) -> tuple[tuple[float, float], tuple[float, float]]:
    """Centre and half axes (x, y) of the ellipse in a box [4], in px of a region."""
    middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    return (float(middle[0]) - region[0], float(middle[1]) - region[1]), (float(half[0]), float(half[1]))


def _size(region: Region) -> tuple[int, int]:
    """Width and height, (0, 0) of what lies outside the picture."""
    width, height = region[2] - region[0], region[3] - region[1]
    return (width, height) if width > 0 and height > 0 else (0, 0)


def _within(one: Region, two: Region) -> tuple[slice, slice]:
    """The rows and columns of region ``one`` in an array of region ``two``, which holds it."""
    return slice(one[1] - two[1], one[3] - two[1]), slice(one[0] - two[0], one[2] - two[0])


def _around(one: Region, two: Region) -> Region:
    """The smallest region that holds both."""
    return min(one[0], two[0]), min(one[1], two[1]), max(one[2], two[2]), max(one[3], two[3])


def _covered_whole(picture: Picture) -> Picture:
    """The frame as plain colour: where nothing is known about it, it may show a face from edge to edge."""
    step_x, step_y = picture.chroma_step
    corner = tuple(
        np.zeros_like(p[: 1 if n else step_y, : 1 if n else step_x]) for n, p in enumerate(picture.planes)
    )
    spot = Picture(corner, picture.pixel_format, picture.matrix, picture.full_range)
    grey = solid(np.zeros((spot.height, spot.width, 3), np.float32))
    write_rgb(corner, spot, 0, 0, grey, np.ones((spot.height, spot.width), np.float32))
    planes = tuple(np.full_like(p, c[0, 0]) for p, c in zip(picture.planes, corner, strict=True))
    return Picture(planes, picture.pixel_format, picture.matrix, picture.full_range)
