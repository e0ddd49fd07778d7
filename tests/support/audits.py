"""An audit's result made by hand, and a recogniser of colours, and a writer of videos."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from streamanon.audit.containers import ContainerFacts
from streamanon.audit.pairing import Image
from streamanon.audit.people import FaceFrame
from streamanon.audit.result import (
    AuditResult,
    Interval,
    Leaks,
    OverTime,
    Reidentification,
    SizeBin,
    Spell,
    TrackResult,
    Utility,
)
from streamanon.types import Float


class Colours:
    """Knows people by the mean colour of the whole picture."""

    name, relation, threshold = "colours", "none", -20.0

    def place(self, _image: Image, _face: FaceFrame) -> None: ...

    def describe(self, image: Image, _place: None) -> Float:
        return np.asarray(image.reshape(-1, 3).mean(axis=0), np.float32)

    def similarities(self, one: Float, two: Float) -> Float:
        return np.asarray(-np.linalg.norm(one[:, None] - two[None], axis=2), np.float32)


def a_result() -> AuditResult:
    """Two people, one of whom is seen for a moment."""
    tracks = (
        TrackResult(0, 64.0, 100, 0, (Spell(0, 4),), ()),
        TrackResult(1, 15.0, 20, 2, (Spell(1, 1.8),), (Spell(1, 1.08),)),
    )
    sizes = (SizeBin(10, 20, 20, 2), SizeBin(40, 80, 100, 0))
    leaks = Leaks(120, 2, 0.08, 2, 1, 3, 0, sizes, tracks)
    dlib = Reidentification(
        "dlib", "independent", 0.45, Interval(0.5, 0.1, 0.9, 2), 0.5, Interval(0.05, 0.01, 0.2, 20), 0,
        None, None, (0.1, 0.2), (0.3,), 40, Interval(0.05, 0.01, 0.2, 40),
    )  # fmt: skip
    own = Reidentification(
        "streamanon encoder", "its own", 0.9, None, None, Interval(0.1, 0.0, 0.3, 20), 0, None, None,
        (0.5, 0.95), (0.1,), 40, Interval(0.1, 0.0, 0.3, 40),
    )  # fmt: skip
    utility = Utility(Interval(0.98, 0.9, 1.0, 40), 0.03, 2.0, 0.9, None, 0.05, 4.2, 44.0, 0.001)
    over_time = OverTime("dlib", 0.7, 0.72, 1, 1.1)
    container = ContainerFacts(
        100,
        100,
        (640, 360),
        (640, 360),
        0.0,
        0.0,
        0.0,
        ("video", "audio"),
        ("video", "audio"),
        (),
        (),
        "identical",
    )
    return AuditResult(
        "in.mp4", "out.mp4", ("own", "CenterFace"), leaks, (dlib, own), utility, over_time, container,
        ("leak>0",),
    )  # fmt: skip


def write(path: Path, images: list[Image], crf: int = 20) -> Path:
    """A video of RGB images, 25 a second."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"crf": str(crf), "preset": "veryfast"})
        assert isinstance(stream, VideoStream)
        height, width = images[0].shape[:2]
        stream.codec_context.width, stream.codec_context.height = width, height
        stream.codec_context.pix_fmt = "yuv420p"
        for number, image in enumerate(images):
            frame = VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path
