"""What is to be known to show a video as it was meant: fields, and the light of HDR."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, cast

import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

#: Values of AVFieldOrder.
_TOP_FIRST, _BOTTOM_FIRST = (2, 4), (3, 5)
#: What is attached to pictures and does not survive: kinds of side data, and their names.
_LOST = {
    "A53_CC": "closed captions inside the video",
    "DYNAMIC_HDR_PLUS": "HDR10+ metadata",
    "DYNAMIC_HDR_VIVID": "HDR Vivid metadata",
    "DOVI_RPU_BUFFER": "Dolby Vision metadata",
    "DOVI_METADATA": "Dolby Vision metadata",
    "STEREO3D": "the tag of a 3D video",
    "SPHERICAL": "the tag of a 360-degree video",
    "S12M_TIMECODE": "timecode inside the video",
    "ICC_PROFILE": "the colour profile inside the video",
}
#: With which they begin in a packet (ATSC A/53 part 4, 6.2.3; ITU-T T.35, SMPTE ST 2094-40).
_MARKS = {
    "A53_CC": (b"\xb5\x00\x31GA94\x03", b"\x00\x00\x01\xb2GA94\x03"),
    "DYNAMIC_HDR_PLUS": (b"\xb5\x00\x3c\x00\x01\x04",),
}


@dataclass(frozen=True)
class HdrLight:
    """Static metadata of HDR10. ``primaries``: x and y of red, green, blue and white, each in 0..1;
    ``luminance``: darkest and brightest of the mastering display, cd/m2; ``content``: brightest pixel and
    frame average, cd/m2. None: not told.
    """

    primaries: tuple[Fraction, ...] | None = None
    luminance: tuple[Fraction, Fraction] | None = None
    content: tuple[int, int] | None = None

    def mastering_display(self) -> str | None:
        """As x264 and x265 take it: chromaticities in 0.00002, luminances in 0.0001 cd/m2."""
        if self.primaries is None or self.luminance is None:
            return None
        red_x, red_y, green_x, green_y, blue_x, blue_y, white_x, white_y = (
            round(value * 50_000) for value in self.primaries
        )
        low, high = (round(value * 10_000) for value in self.luminance)
        return (
            f"G({green_x},{green_y})B({blue_x},{blue_y})R({red_x},{red_y})WP({white_x},{white_y})"
            f"L({high},{low})"
        )


def side_data(frame: VideoFrame, kind: str) -> bytes | None:
    """The frame's side data of this kind; None without any, or where PyAV does not know some of it."""
    try:
        return bytes(cast(Any, frame.side_data)[SideDataType[kind]])
    except (KeyError, ValueError):
        return None


def as_shown(rgb: NDArray[np.uint8], matrix: tuple[int, ...] | None) -> NDArray[np.uint8]:
    """A decoded picture [H, W, 3] as players show it: turned by quarters and mirrored as its display matrix
    says (ISO/IEC 14496-12, 8.5.2), whose nine numbers map x and y by ``x' = ax + cy`` and ``y' = bx + dy``.
    """
    if matrix is None:
        return rgb
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
    if abs(b) + abs(c) > abs(a) + abs(d):
        rgb, a, d = rgb.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(rgb[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def rotation_of(matrix: tuple[int, ...] | None) -> int:
    """By how many degrees counter-clockwise a display matrix turns a picture, in whole quarters of
    -180..90, before :func:`is_mirrored` tells whether it is mirrored left to right. FFmpeg's own number is
    of matrices that do not mirror: it has a picture that is only mirrored stand on its head.
    """
    if matrix is None:
        return 0
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
    if abs(b) + abs(c) > abs(a) + abs(d):
        return -90 if b > 0 else 90
    return -180 if d < 0 else 0


def is_mirrored(matrix: tuple[int, ...] | None) -> bool:
    """Whether a display matrix mirrors a picture, left to right once it is turned."""
    return matrix is not None and matrix[0] * matrix[4] < matrix[1] * matrix[3]


def hdr_light(frame: VideoFrame) -> HdrLight | None:
    """What the frame tells of its mastering display and light level, if anything."""
    mastering = side_data(frame, "MASTERING_DISPLAY_METADATA")
    level = side_data(frame, "CONTENT_LIGHT_LEVEL")
    primaries = luminance = None
    if (
        mastering is not None and len(mastering) >= 88
    ):  # AVMasteringDisplayMetadata: ten fractions, two flags
        numbers = struct.unpack_from("20i2i", mastering)
        values = [
            Fraction(n, d) if d else Fraction(0)
            for n, d in zip(numbers[:20:2], numbers[1:20:2], strict=True)
        ]
        primaries = tuple(values[:8]) if numbers[20] else None
        luminance = (values[8], values[9]) if numbers[21] else None
    content = struct.unpack_from("2I", level) if level is not None and len(level) >= 8 else None
    if primaries is None and luminance is None and content is None:
        return None
    return HdrLight(primaries, luminance, cast("tuple[int, int] | None", content))


def field_order(stream: VideoStream, frame: VideoFrame) -> Literal["", "top first", "bottom first"]:
    """Of an interlaced video; empty for a progressive one."""
    if not frame.interlaced_frame:
        return ""
    order = stream.codec_context.field_order
    if order in _BOTTOM_FIRST or (order not in _TOP_FIRST and stream.codec_context.name == "dvvideo"):
        return "bottom first"
    return "top first"


def lost_metadata(frame: VideoFrame) -> tuple[str, ...]:
    """Names of what is attached to the picture and does not go along."""
    return tuple(dict.fromkeys(name for kind, name in _LOST.items() if side_data(frame, kind) is not None))


def lost_in_packet(data: bytes) -> Iterator[str]:
    """Of these names those that come and go within a video. By the packet's bytes: a frame whose side data
    was looked at lives on until Python collects its garbage.
    """
    return (_LOST[kind] for kind, marks in _MARKS.items() if any(mark in data for mark in marks))
