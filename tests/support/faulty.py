"""``python faulty.py FAULT ARGUMENTS``: the command line on a clip of fake faces, with something broken.

The detector is a fake that knows the clip's truth; everything else is the product.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from patience import shorten

import streamanon.api
import streamanon.pipeline
from streamanon.cli import main
from streamanon.detect.detection_interval import Extent
from streamanon.media.encode import VideoSink
from streamanon.testing.fakes import FakeDetector, FakeSource, moving
from streamanon.types import Faces, Float, RawFrame

COUNT, BREAKS_AT = 120, 50
TRUTH = {0: moving((20, 20, 60, 70), (0.5, 0), COUNT), 1: moving((100, 30, 130, 66), (0, 0.2), COUNT)}
SOURCE = FakeSource(COUNT, 200, 120, TRUTH)


def write_faces(path: Path, source: FakeSource = SOURCE, codec: str = "libx264", gop: int = 10) -> Path:
    """The fake source as a file, 25 frames a second."""
    with av.open(str(path), "w") as output:
        options = {"preset": "ultrafast", "crf": "1", "g": str(gop)} if codec == "libx264" else {}
        stream = output.add_stream(codec, rate=25, options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = source.width, source.height, "yuv420p"
        for raw in source:
            planes = np.concatenate([plane.ravel() for plane in raw.picture.planes])
            frame = VideoFrame.from_ndarray(planes.reshape(-1, source.width), format="yuv420p")
            frame.pts, frame.time_base = raw.pts, raw.time_base
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


class Broken:
    """Knows the truth by frames' numbers, or their times, and does as it is told from some frame on."""

    def __init__(self, fault: str) -> None:
        self._act, self._truth, self._by_time = ACTS[fault], FakeDetector(TRUTH), fault == "late"
        self._from = STARTS.get(fault, BREAKS_AT)

    def detect(self, frame: RawFrame, extent: Extent = "next") -> Faces:
        if self._by_time:
            frame = replace(frame, index=round(frame.pts_seconds * 25))
        if frame.index >= self._from:
            self._act()
        return self._truth.detect(frame)

    def redetect(self, frame: RawFrame, boxes: Float) -> Faces:
        return self._truth.redetect(frame, boxes)

    def look_again(self, frame: RawFrame, boxes: Float) -> Float | None:
        return self._truth.look_again(frame, boxes)


def _raise(error: BaseException) -> None:
    raise error


def _terminate(sent: list[bool] = []) -> None:  # noqa: B006
    if not sent:
        sent.append(True)
        os.kill(os.getpid(), signal.SIGTERM)


ACTS: dict[str, Callable[[], None]] = {
    "nothing": lambda: None,
    "late": lambda: None,
    "error": lambda: _raise(RuntimeError("CUDA error at rtsp://anna:s3cret@cam/")),
    "broken": lambda: _raise(RuntimeError("no device")),
    "memory": lambda: _raise(MemoryError()),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "terminate": _terminate,
    "slow": lambda: time.sleep(0.05),
    "hang": lambda: time.sleep(3600),
    "pipe": lambda: None,
    "encoder": lambda: None,
    "close": lambda: None,
}

STARTS = {"broken": 0, "kill": 112}
#: After how long without a frame the watchdog ends a run whose fault is a hang.
STALL_SECONDS = 1.0
#: Which step of the sink never returns, and from how many frames on.
STUCK = {"encoder": ("_encode", 112), "close": ("close", 0)}


def stick(fault: str) -> None:
    """Make a step of every sink hang; how it would have ended is no matter."""
    name, least = STUCK[fault]
    right = getattr(VideoSink, name)

    def stuck(sink: VideoSink, *arguments: Any, **more: Any) -> Any:
        if sink.frames >= least:
            time.sleep(3600)
        return right(sink, *arguments, **more)

    setattr(VideoSink, name, stuck)


if __name__ == "__main__":
    broken = Broken(sys.argv[1])
    vars(streamanon.api)["FaceDetector"] = lambda *_: None
    vars(streamanon.api)["Verifier"] = lambda *_: None
    vars(streamanon.api)["FaceSearch"] = lambda *_: broken
    if sys.argv[1] in STUCK:
        stick(sys.argv[1])
    if sys.argv[1] in ("hang", "pipe", *STUCK):
        chain = streamanon.pipeline.anonymise
        assert chain.__defaults__ is not None
        chain.__defaults__ = (True, STALL_SECONDS, *chain.__defaults__[2:])
        vars(streamanon.pipeline)["prefetch"] = shorten(STALL_SECONDS)
    sys.exit(main(sys.argv[2:]))
