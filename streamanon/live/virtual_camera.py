"""A virtual camera: the newest picture goes to a device of v4l2loopback, unencoded, for programs that take
cameras only.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from fractions import Fraction

import av
import av.error
import numpy as np
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from streamanon.live.addresses import reason
from streamanon.live.outputs import OutputCounts
from streamanon.live.states import State, Status
from streamanon.live.targets import Target
from streamanon.live.wire import CLOCK_HZ
from streamanon.types import SafeFrame


class VirtualCamera:
    """Writes to one device in a thread of its own. A device that takes too long loses pictures; one that
    fails ends this output and no other. ``rate``: frames a second, about.
    """

    def __init__(self, target: Target, tell: Callable[[State, str], None], rate: Fraction) -> None:
        self.target, self.counts = target, OutputCounts()
        self.status = Status(tell)
        self.newest: float | None = None
        #: Why it takes no more pictures.
        self.failure = ""
        self._rate = rate
        self._next: tuple[SafeFrame, float] | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="virtual camera", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        return int(self._next is not None)

    def show(self, frame: SafeFrame, born: float) -> None:
        """The newest picture; returns at once."""
        if type(frame) is not SafeFrame or not frame.is_sealed:
            raise TypeError(f"only a SafeFrame is shown, not {type(frame).__name__}")
        with self._changed:
            self.counts.dropped += self._next is not None
            self._next = (frame, born)
            self._changed.notify_all()

    def is_fresh(self, now: float, age_seconds: float = 5.0) -> bool:
        return self.newest is not None and now - self.newest <= age_seconds

    def close(self) -> None:
        """No more pictures; the one that waits is still shown."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def _run(self) -> None:
        try:
            with av.open(self.target.address, "w", format=self.target.muxer) as device:
                self._show_all(device)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            self.failure = f"the device accepts no pictures ({reason(error)})"
            self.status.be(State.ENDED, self.failure)
            return
        self.status.be(State.ENDED)

    def _show_all(self, device: OutputContainer) -> None:
        stream: VideoStream | None = None
        while (taken := self._take()) is not None:
            frame, born = taken
            if stream is None:
                stream = self._add_stream(device, frame)
                self.status.be(State.RUNNING)
            device.mux(stream.encode(_video_frame(frame)))
            self.counts.sent += 1
            self.newest = born or self.newest

    def _take(self) -> tuple[SafeFrame, float] | None:
        """The newest picture that was not shown; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._next is not None or self._closed)
            taken, self._next = self._next, None
            return taken

    def _add_stream(self, device: OutputContainer, frame: SafeFrame) -> VideoStream:
        stream = device.add_stream("rawvideo", rate=self._rate)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = frame.picture.width, frame.picture.height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, CLOCK_HZ)
        return stream


def _video_frame(frame: SafeFrame) -> VideoFrame:
    planes = np.concatenate([plane.ravel() for plane in frame.picture.planes])
    built = VideoFrame.from_ndarray(planes.reshape(-1, frame.picture.width), format="yuv420p")
    built.pts, built.time_base = frame.pts, frame.time_base
    return built
