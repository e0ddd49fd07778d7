"""What leaves: safe frames and sound, encoded once and given to every output, without a pause.

Where the source shows nothing, a stub does: plain grey, or the last picture that was safe. Never a raw one:
there is none here.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from streamanon.cover.seal import blank, repeated
from streamanon.live.encode import AAC_SAMPLES, Encoder
from streamanon.live.latency import Latency
from streamanon.live.mjpeg import MjpegOutput
from streamanon.live.outputs import ChildOutput
from streamanon.live.sound import SoundTrack
from streamanon.live.virtual_camera import VirtualCamera
from streamanon.live.wire import CLOCK_HZ, Encoded
from streamanon.types import SafeFrame

#: Without a frame for so long, or for so many usual steps, the stub begins, s; it comes at most so often a
#: second.
STUB_AFTER_SECONDS, STUB_AFTER_STEPS, STUB_RATE = 1.0, 5.0, 10.0
#: A frame is at least this much later than the one before it, s: Matroska and RTMP count in milliseconds.
LEAST_STEP = 1e-3
#: Frames that wait for the encoder.
MOST_WAITING = 2
#: How much earlier than its picture sound is given to the muxers, s, where the look-ahead allows it: they
#: hold a picture back until they have the sound beside it.
LEAD_SECONDS = 0.1
#: Sound that arrives later than this after its picture is silence, s; only without a look-ahead.
SOUND_LATE_SECONDS = 0.15
#: A source that can wait does so for a slow output, for so long, s.
PATIENCE_SECONDS = 30.0

Stub = Literal["plain", "last"]
Output = ChildOutput | MjpegOutput | VirtualCamera


@dataclass
class EgressCounts:
    """``frames``: encoded; ``stubs``: of these, without a source; ``late``: frames that came when a stub
    had taken their place; ``withheld``: covered whole.
    """

    frames: int = 0
    stubs: int = 0
    late: int = 0
    withheld: int = 0
    latency: Latency = field(default_factory=Latency)


class Egress:
    """The thread that encodes. ``lookahead_seconds``: how much later than the sound the pictures come.
    ``patient``: outputs may hold the source up. ``duration_seconds``: where it ends.
    """

    def __init__(
        self,
        encoder: Encoder,
        outputs: Sequence[Output],
        stub: Stub = "plain",
        sound: SoundTrack | None = None,
        lookahead_seconds: float = 0.0,
        rate: float = 25.0,
        patient: bool = False,
        duration_seconds: float | None = None,
        counts: EgressCounts | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._encoder, self._outputs, self._stub, self._sound = encoder, outputs, stub, sound
        self._ahead = min(LEAD_SECONDS, max(-SOUND_LATE_SECONDS, lookahead_seconds - 0.2))
        self._tick = 1 / min(max(rate, 1.0), STUB_RATE)
        self._patience = PATIENCE_SECONDS if patient else 0.0
        self._duration, self._clock = duration_seconds, clock
        self.counts = counts or EgressCounts()
        self.error: Exception | None = None
        #: Whether the duration is over, or encoding failed.
        self.done = threading.Event()
        self._frames: queue.Queue[tuple[SafeFrame, float] | None] = queue.Queue(MOST_WAITING)
        self._last: SafeFrame | None = None  # the last one that was written
        self._safe: SafeFrame | None = None  # the last one that was not covered whole
        self._first: float | None = None
        self._written = clock()
        self._step = 1 / max(rate, 1.0)
        self._shows_stub = False
        self._thread = threading.Thread(target=self._run, name="egress", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Frames that wait for the encoder."""
        return self._frames.qsize()

    def put(self, frame: SafeFrame, born: float) -> None:
        """Take a frame whose picture arrived at ``born``, s; waits while the encoder is busy."""
        while not self.done.is_set():
            try:
                self._frames.put((frame, born), timeout=0.5)
                return
            except queue.Full:
                continue

    def close(self, seconds: float) -> None:
        """Encode what waits, and end."""
        if self._thread.is_alive():
            try:
                self._frames.put(None, timeout=seconds)
            except queue.Full:
                self.done.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        try:
            self._encode_all()
            self._offer(self._encoder.close())
        except Exception as error:  # told by the camera, whose other parts go on
            self.error = error
        finally:
            self.done.set()

    def _encode_all(self) -> None:
        while not self.done.is_set():
            # A stub's clock runs only where the source may not wait.
            try:
                item = self._frames.get(timeout=self._tick)
            except queue.Empty:
                if not self._patience:
                    self._show_stub()
                continue
            if item is None:
                return
            self._show(*item)

    def _show(self, frame: SafeFrame, born: float) -> None:
        if self._last is not None and frame.pts < self._last.pts + LEAST_STEP * CLOCK_HZ:
            self.counts.late += 1
            # The source is back, later than before: another stub would make the next frame late, too.
            self._written, self._shows_stub = self._clock(), False
            return
        if self._last is not None and not self._shows_stub:
            self._step += 0.1 * (min((frame.pts - self._last.pts) / CLOCK_HZ, 5.0) - self._step)
        if frame.report.withheld:
            self.counts.withheld += 1
            if self._stub == "last" and self._safe is not None:
                frame = repeated(self._safe, frame.pts)
        else:
            self._safe = frame
        self._write(frame, born)

    def _show_stub(self) -> None:
        silent = self._clock() - self._written
        begins = max(STUB_AFTER_SECONDS, STUB_AFTER_STEPS * self._step)
        if self._last is None or silent < (self._tick if self._shows_stub else begins):
            return
        pts = self._last.pts + max(1, round(silent * CLOCK_HZ))
        shown = repeated(self._safe, pts) if self._stub == "last" and self._safe else blank(self._last, pts)
        self.counts.stubs += 1
        self._write(shown, 0.0)
        self._shows_stub = True

    def _write(self, frame: SafeFrame, born: float) -> None:
        at = frame.pts / CLOCK_HZ
        if self._first is None:
            self._first = at
        if self._duration is not None and at - self._first >= self._duration:
            self.done.set()
            return
        packets = self._sounds(at) if self._sound is not None else []
        self._last, self._written, self._shows_stub = frame, self._clock(), False
        self._offer(packets + self._encoder.video(frame, born))
        self.counts.frames += 1
        for output in self._outputs:
            if not isinstance(output, ChildOutput):
                output.show(frame, born)
        if born:
            self.counts.latency.add(self._clock() - born)

    def _sounds(self, at: float) -> list[Encoded]:
        assert self._sound is not None
        pieces = self._sound.until(at + self._ahead, AAC_SAMPLES)
        return [packet for piece in pieces for packet in self._encoder.sound(*piece)]

    def _offer(self, packets: Sequence[Encoded]) -> None:
        for packet in packets:
            for output in self._outputs:
                if isinstance(output, ChildOutput):
                    output.offer(packet, self._patience)
