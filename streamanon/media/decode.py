"""The frames of a video, each with its own time.

One generator opens, reads and closes the container, so that it all happens in the thread that runs it.
Audio and subtitles are not read here: the sink copies their packets from the file itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from streamanon.media.clock import Clock
from streamanon.media.demux import GpuDecodingError, decoded, open_input, video_stream
from streamanon.media.display import lost_in_packet
from streamanon.media.image_headers import check_size
from streamanon.media.probe import SourceInfo, picture_format
from streamanon.types import PIXEL_FORMATS, Picture, Plane, RawFrame

#: So many sizes are named.
_MOST_SIZES = 3
#: A frame of another size is stretched to the picture's shape if that makes it wider or higher by less than
#: this factor; else bars are beside it.
_MOST_STRETCHED = 1.1

_log = logging.getLogger(__name__)

#: Values of AVColorSpace (ITU-T H.273); others are told by the picture's height.
_MATRICES = {1: "bt709", 4: "bt601", 5: "bt601", 6: "bt601", 7: "bt709", 9: "bt2020", 10: "bt2020"}


def read_frames(
    path: str | Path,
    info: SourceInfo,
    on_skipped: Callable[[str], None] | None = None,
    on_note: Callable[[str], None] | None = None,
    gpu: int | None = None,
) -> Generator[RawFrame, None, None]:
    """Yield every frame with its own time; ``info`` comes from :func:`probe`.

    Planes are read-only views of the decoder's memory wherever the format allows it. Packets that cannot
    be decoded are left out and told to ``on_skipped``. Times that jump are mended, and frames whose size or
    format differs from the first one's are scaled to it, with black bars where their shape differs; both
    are told to ``on_note`` at the end. Raises
    :class:`SourceError`, after the frames so far, if reading fails.

    ``gpu``: the number of the GPU that decodes, as :mod:`streamanon.media.gpu_decoder` chose it. Where that
    fails on the way, the CPU reads the file again and goes on, which ``on_note`` is told.
    """
    last: RawFrame | None = None
    if gpu is not None:
        try:
            with closing(frames_of(path, info, on_skipped, on_note, gpu)) as frames:
                for frame in frames:
                    last = frame
                    yield frame
            return
        except GpuDecodingError as error:
            if on_note is not None:
                done = 0 if last is None else last.index + 1
                on_note(
                    f"decoding on the GPU failed after {done} frames ({error}); the CPU decoded the rest"
                )
    with closing(frames_of(path, info, on_skipped, on_note)) as frames:
        for raw in frames:
            if last is None:
                yield raw
            elif raw.pts > last.pts:  # the GPU gave those before
                last = replace(raw, index=last.index + 1)
                yield last


def frames_of(
    path: str | Path,
    info: SourceInfo,
    on_skipped: Callable[[str], None] | None = None,
    on_note: Callable[[str], None] | None = None,
    gpu: int | None = None,
) -> Generator[RawFrame, None, None]:
    """The same by one decoder alone; raises :class:`GpuDecodingError` where the GPU's fails."""
    with open_input(path, gpu) as container:
        stream = video_stream(container, info.name)
        clock = Clock(container.format.name)
        seen = _Seen()
        previous: int | None = None
        step = _typical_step(info)
        try:
            frames = decoded(container, stream, info.name, on_skipped, clock, seen.note_packet)
            for index, frame in enumerate(frames):
                check_size(frame.width, frame.height, info.name)
                if gpu is not None and not _has_size(frame, info):
                    # Swscale would round its formats in another way.
                    raise GpuDecodingError("the picture's size changes")
                seen.note(frame, stream.codec_context.sample_aspect_ratio)
                pts = _next_pts(frame.pts if frame.pts is not None else frame.dts, previous, step)
                previous, step = pts, frame.duration or step
                yield RawFrame(index, pts, info.time_base, to_picture(frame, info), frame.duration or None)
        except GpuDecodingError:
            on_note = None  # the CPU's decoder will tell
            raise
        finally:
            if on_note is not None:
                for note in seen.changes(info, clock):
                    _log.warning("%s: %s", Path(info.name).name, note)
                    on_note(note)


class _Seen:
    """What the frames were, of which the output has what the first one was."""

    def __init__(self) -> None:
        self._sizes: dict[tuple[int, int], None] = {}
        self._interlaced = False
        self._lost: dict[str, None] = {}
        self._aspects: dict[Fraction, None] = {}

    def note(self, frame: VideoFrame, aspect: Fraction | None) -> None:
        """``aspect``: of its pixels, which is told beside it; None or 0: not told."""
        self._aspects[aspect or Fraction(1)] = None
        self._sizes[frame.width, frame.height] = None
        self._interlaced = self._interlaced or frame.interlaced_frame

    def note_packet(self, packet: Packet[VideoStream]) -> None:
        self._lost.update(dict.fromkeys(lost_in_packet(bytes(packet))))

    def changes(self, info: SourceInfo, clock: Clock) -> Iterator[str]:
        """Sentences on what changed on the way through the file."""
        if clock.jumps:
            yield clock.told()
        if self._interlaced and not info.field_order:
            yield "some frames are interlaced and stored as progressive, without deinterlacing"
        lost = [name for name in self._lost if name not in info.dropped]
        if lost:
            yield f"removed from later frames: {', '.join(lost)}"
        aspects = [one for one in self._aspects if one != (info.sample_aspect_ratio or 1)]
        if len(self._aspects) > 1 and aspects:
            told = " and ".join(f"{one.numerator}:{one.denominator}" for one in aspects[:_MOST_SIZES])
            yield f"the pixel aspect ratio changes to {told}; all frames are shown with the first one"
        others = [f"{w}x{h}" for w, h in self._sizes if (w, h) != (info.width, info.height)]
        if others:
            named = " and ".join(others[:_MOST_SIZES]) + " and more" * (len(others) > _MOST_SIZES)
            yield f"the picture size changes: frames of {named} are scaled to {info.width}x{info.height}"


def to_picture(frame: VideoFrame, info: SourceInfo) -> Picture:
    """The frame's planes in ``info.picture_format`` and size, as read-only views that keep it alive."""
    full_range = _is_full_range(frame)
    if _is_semi_planar(frame, info):
        matrix = _matrix_name(frame.colorspace, info.height)
        return Picture(_separated(frame), info.picture_format, matrix, full_range)
    size = _shown_size(frame, info)
    if not _is_delivered_as_is(frame, info):
        frame = _convert(frame, *size, info.picture_format, full_range)
    count = 1 if info.picture_format.startswith("gray") else 3
    depth = np.dtype(np.uint8 if PIXEL_FORMATS[info.picture_format][2] == 8 else np.uint16)
    planes = tuple(_view(plane, depth) for plane in frame.planes[:count])
    if size != (info.width, info.height):
        planes = _with_bars(planes, info, full_range)
    return Picture(planes, info.picture_format, _matrix_name(frame.colorspace, info.height), full_range)


def _typical_step(info: SourceInfo) -> int:
    """Ticks between frames, where the frames do not tell."""
    rate = info.average_rate or Fraction(25)
    return max(1, round(1 / (rate * info.time_base)))


def _next_pts(pts: int | None, previous: int | None, step: int) -> int:
    """A strictly increasing time that changes ``pts`` as little as can be."""
    if previous is None:
        return pts or 0
    if pts is None:
        return previous + step
    if pts > previous:
        return pts
    # A small slip is nudged. After a jump back nothing later would be larger: go on at the usual pace.
    return previous + (1 if previous - pts <= step else step)


def _is_full_range(frame: VideoFrame) -> bool:
    name = frame.format.name
    if name.startswith("gray") and frame.color_range != ColorRange.MPEG:
        return True
    rgb = picture_format(name).startswith("gbrp")
    return rgb or name.startswith("yuvj") or frame.color_range == ColorRange.JPEG


def _matrix_name(colour_space: int, height: int) -> str:
    """By the tag; without one by convention, as players do."""
    return _MATRICES.get(colour_space, "bt709" if height >= 720 else "bt601")


def _layout(name: str) -> str:
    """The planar format whose first planes ``name`` shares: alpha planes come last, yuvj is yuv."""
    return name.replace("yuvj", "yuv").replace("yuva", "yuv").replace("gbrap", "gbrp")


def _has_size(frame: VideoFrame, info: SourceInfo) -> bool:
    return (frame.width, frame.height) == (info.width, info.height)


def _is_delivered_as_is(frame: VideoFrame, info: SourceInfo) -> bool:
    return _has_size(frame, info) and _layout(frame.format.name) == info.picture_format


def _is_semi_planar(frame: VideoFrame, info: SourceInfo) -> bool:
    """Whether it is 4:2:0 as GPUs store it: both chroma planes in one, ten bits as the upper of sixteen."""
    deep = {"nv12": "yuv420p", "p010le": "yuv420p10le", "p016le": "yuv420p10le"}
    return _has_size(frame, info) and deep.get(frame.format.name) == info.picture_format


def _separated(frame: VideoFrame) -> tuple[Plane, ...]:
    """Its planes one by one. Not by swscale, whose P010 of full range comes out in other values."""
    deep = frame.format.name != "nv12"
    depth = np.dtype(np.uint16 if deep else np.uint8)
    rows = [np.frombuffer(memoryview(one), depth).reshape(one.height, -1) for one in frame.planes]
    width = (frame.width + 1) // 2
    views = [rows[0][:, : frame.width], rows[1][:, : 2 * width : 2], rows[1][:, 1 : 2 * width : 2]]
    if deep:
        planes = [view >> 6 for view in views]
    else:
        planes = [views[0], *(np.ascontiguousarray(view) for view in views[1:])]
    return tuple(_locked(plane) for plane in planes)


def _shown_size(frame: VideoFrame, info: SourceInfo) -> tuple[int, int]:
    """Width and height, px, that the frame takes up in the picture. It is stretched to all of it, unless
    that changed its shape much: the detector does not find faces that are pressed flat.
    """
    aspect = float(info.sample_aspect_ratio or 1)
    wanted, own = info.width * aspect / info.height, frame.width / frame.height
    # Pixels of another size may be square or as they were: the frame does not tell.
    if any(max(shape / wanted, wanted / shape) < _MOST_STRETCHED for shape in (own, own * aspect)):
        return info.width, info.height
    if own < wanted:
        return max(2, round(info.width * own / wanted / 2) * 2), info.height
    return info.width, max(2, round(info.height * wanted / own / 2) * 2)


def _with_bars(planes: tuple[Plane, ...], info: SourceInfo, full_range: bool) -> tuple[Plane, ...]:
    """The planes in the middle of a black picture of ``info``'s size."""
    step_x, step_y, bits = PIXEL_FORMATS[info.picture_format]
    height, width = planes[0].shape
    left, top = (info.width - width) // 4 * 2, (info.height - height) // 4 * 2
    rgb = info.picture_format.startswith("gbrp")
    black = 0 if full_range or rgb else 16 << (bits - 8)
    made = []
    for number, plane in enumerate(planes):
        across, down = (step_x, step_y) if number else (1, 1)
        shape = (-(-info.height // down), -(-info.width // across))
        whole = np.full(shape, 1 << (bits - 1) if number and not rgb else black, plane.dtype)
        y, x = top // down, left // across
        whole[y : y + plane.shape[0], x : x + plane.shape[1]] = plane
        made.append(_locked(whole))
    return tuple(made)


def _convert(frame: VideoFrame, width: int, height: int, layout: str, full_range: bool) -> VideoFrame:
    """By swscale, at the same range: values move between planes but keep their meaning."""
    colour_range = ColorRange.JPEG if full_range else ColorRange.MPEG
    return frame.reformat(
        width,
        height,
        layout,
        src_color_range=colour_range,
        dst_color_range=colour_range,
        interpolation="BICUBIC",
    )


def _view(plane: VideoPlane, depth: np.dtype[np.generic]) -> Plane:
    """[H, W] over the plane's memory, which the view keeps alive."""
    rows = np.frombuffer(memoryview(plane), depth).reshape(plane.height, -1)
    view = rows[:, : plane.width]
    if plane.line_size < 0:  # stored bottom-up
        view = view[::-1]
    return _locked(view)


def _locked(plane: Plane) -> Plane:
    """A read-only view. The memory itself stays writable: the encoder's DLPack takes no other."""
    view = plane.view()
    view.flags.writeable = False
    return view
