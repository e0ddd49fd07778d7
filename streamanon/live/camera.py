"""One camera: connect, anonymise, send on; and again, for as long as the process runs.

Each connection, and each stretch of one between two pauses, is an epoch with a chain of its own: no track,
no mesh and no held frame of an earlier one is left when it begins. What goes on is the memory of who
became whom, so that a person keeps their synthetic face, and the outputs, which never see the difference.
"""

from __future__ import annotations

import dataclasses
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from fractions import Fraction
from typing import Literal
from urllib.parse import urlsplit

from streamanon.api import Anonymizer
from streamanon.config import Config
from streamanon.detect.detection_interval import DetectionInterval, Extent
from streamanon.detect.search import Searcher
from streamanon.errors import FaultError, SinkError, SourceError, sentence
from streamanon.live.backoff import Backoff
from streamanon.live.connection import Connection, SourceOptions
from streamanon.live.egress import Egress, EgressCounts, Output, Stub
from streamanon.live.encode import Encoder
from streamanon.live.feed import Feed, FeedCounts
from streamanon.live.mjpeg import MjpegOutput
from streamanon.live.outputs import ChildOutput
from streamanon.live.sound import SoundTrack
from streamanon.live.states import Journal, State, Status
from streamanon.live.targets import Target
from streamanon.live.virtual_camera import VirtualCamera
from streamanon.live.voice import VoiceMask
from streamanon.media.address import redact_text
from streamanon.media.probe import SourceInfo
from streamanon.mesh.smoothing import NEIGHBOURS
from streamanon.pipeline import AHEAD_FRAMES as FILE_AHEAD_FRAMES
from streamanon.pipeline import STALL_SECONDS, anonymise
from streamanon.types import Faces, Float, RawFrame, SafeFrame

#: Frames that each stage of the chain works ahead: each is delay when a stage is slow.
AHEAD_FRAMES = 1
#: Work is left out once frames wait for so long, s: a stream loses work before it loses time.
BEHIND_SECONDS = 0.1
#: A stage that is silent for so long hangs, s; at first a backend may have models to compile.
CHAIN_STALL_SECONDS = 30.0
#: Without a frame for so long a source is stalled, s, until it was not for the longer time.
STALLED_SECONDS, STEADY_SECONDS = 2.0, 10.0
#: A camera is blocked when it dropped so many frames within the window, s, until none was for the longer
#: one: where the load is just too much, each change would be a line in the log.
BLOCKED_DROPS, BLOCKED_WINDOW, UNBLOCKED_SECONDS = 5, 2.0, 30.0
#: At the end the source is waited for so long, s: one that allows one client must be free for the next.
RELEASE_SECONDS = 1.0
#: While a pause lasts, a server that was away is knocked at this often, s: one that is back is not waited
#: for.
KNOCK_SECONDS, KNOCK_TIMEOUT = 2.0, 1.0
#: So much of a frame's time the look-ahead may be shorter: a live source's times are not even, and by a
#: microsecond too little a frame would be held for a whole step more.
SLACK_STEPS = Fraction(1, 4)
#: Frame rate where a source tells none.
USUAL_RATE = Fraction(25)
_PORTS = {"rtsp": 554, "rtsps": 322, "rtmp": 1935, "rtmps": 443, "http": 80, "https": 443}

Audio = Literal["keep", "mask", "drop"]


@dataclasses.dataclass(frozen=True)
class CameraSettings:
    """``stub``: what is shown without a signal. ``give_up_after``: seconds without a healthy connection
    after which the camera ends with an error, None: never. ``strict``: an error at the first start ends
    it, too. ``duration``: seconds of output, None: without end.
    """

    name: str
    source: SourceOptions
    targets: tuple[Target, ...]
    audio: Audio = "keep"
    stub: Stub = "plain"
    give_up_after: float | None = None
    strict: bool = True
    duration: float | None = None
    encoder_threads: int = 1


@dataclasses.dataclass
class LoadCounts:
    """What epochs before the present one left out, as :class:`DetectionInterval` counts it."""

    skipped: int = 0
    coarse: int = 0
    steps: Counter[str] = dataclasses.field(default_factory=Counter)


class Camera:
    """Runs in threads of its own from :meth:`start` on. ``error``: why it ended, None: as asked. ``warm``:
    told the pictures' width and height, to prepare the networks for it.
    """

    def __init__(
        self,
        settings: CameraSettings,
        anonymizer: Anonymizer,
        journal: Journal,
        connect: Callable[[SourceOptions, Callable[[], float]], Connection] = Connection,
        clock: Callable[[], float] = time.monotonic,
        warm: Callable[[Anonymizer, int, int], None] | None = None,
    ) -> None:
        self._warm = warm
        self.settings, self.anonymizer, self._journal = settings, anonymizer, journal
        self._connect, self._clock = connect, clock
        self.status = Status(self._told)
        self.feed_counts, self.egress_counts = FeedCounts(), EgressCounts()
        self.reconnects: Counter[str] = Counter()
        self.stalls = 0
        self.damage: Counter[str] = Counter()
        self.context = anonymizer.context()
        self.outputs: list[Output] = []
        self.info: SourceInfo | None = None
        self.interval: DetectionInterval | None = None
        self.detections = 0
        self.load = LoadCounts()
        self.error: Exception | None = None
        #: Whether a single file that was asked for is not there, or not complete.
        self.lacks_file = False
        self._assigner = anonymizer.assigner()
        self._sound = self._make_sound()
        self._feed: Feed | None = None
        self._egress: Egress | None = None
        self._origin, self._index = clock(), 0
        self._chains = 0
        self._drops: list[tuple[float, int]] = []
        #: When it was last seen to be stalled, and the time of the frame before; s.
        self._stalled_at = self._stalled_frame = float("-inf")
        self._healthy_at = clock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"camera {settings.name}", daemon=True)

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def waiting(self) -> dict[str, int]:
        """Frames that wait: decoded ones for the chain, and anonymised ones for the encoder."""
        feed, egress = self._feed, self._egress
        return {
            "source": 0 if feed is None else feed.waiting,
            "encoder": 0 if egress is None else egress.waiting,
        }

    @property
    def is_over(self) -> bool:
        return not self._thread.is_alive() and self.status.state is State.ENDED

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End: what is held back is still sent. :meth:`join` waits for it."""
        self._stop.set()
        feed = self._feed
        if feed is not None:
            feed.stop()

    def join(self, seconds: float) -> bool:
        """Whether it ended in time."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def look(self) -> None:
        """Tell running, blocked and stalled apart; to be called now and then."""
        feed, state = self._feed, self.status.state
        if feed is None or state not in (State.RUNNING, State.BLOCKED, State.STALLED):
            return
        now = self._clock()
        silent = now - feed.last_frame
        if silent > max(STALLED_SECONDS, feed.flush_seconds) and not self.settings.source.can_wait:
            self.stalls += self._stalled_frame != feed.last_frame
            self._stalled_frame, self._stalled_at = feed.last_frame, now
            self.status.be(State.STALLED, f"no frame for {silent:.1f} seconds", state)
        elif self._is_blocked(now, feed, state):
            self.status.be(State.BLOCKED, "frames arrive faster than they can be processed", state)
        elif state is not State.STALLED or now - self._stalled_at >= STEADY_SECONDS:
            self.status.be(State.RUNNING, only_from=state)

    def _is_blocked(self, now: float, feed: Feed, state: State) -> bool:
        self._drops.append((now, self.feed_counts.dropped))
        while now - self._drops[0][0] > BLOCKED_WINDOW:
            self._drops.pop(0)
        if self.feed_counts.dropped - self._drops[0][1] >= BLOCKED_DROPS:
            return True
        return state is State.BLOCKED and now - feed.last_drop < UNBLOCKED_SECONDS

    def _told(self, state: State, reason: str) -> None:
        self._journal.note(self.name, state.value, reason=redact_text(reason))

    def _make_sound(self) -> SoundTrack | None:
        if self.settings.audio == "drop":
            return None
        return SoundTrack(VoiceMask() if self.settings.audio == "mask" else None)

    def _run(self) -> None:
        try:
            self._run_on()
        except Exception as error:
            self.error = error
        finally:
            self._finish()
            reason = "" if self.error is None else redact_text(sentence(self.error))
            self.status.be(State.ENDED, reason)

    def _run_on(self) -> None:
        backoff = Backoff()
        while not self._stop.is_set():
            kind, reason, healthy = self._one_connection()
            if self._stop.is_set() or self._is_done():
                return
            if healthy:
                self._healthy_at = self._clock()
            if kind == "ended" and self.settings.source.is_file:
                return
            never_ran = self._egress is None
            given_up = self.settings.give_up_after is not None and (
                self._clock() - self._healthy_at >= self.settings.give_up_after
            )
            if (never_ran and self.settings.strict) or given_up:
                raise SourceError(reason)
            self.reconnects[kind] += 1
            self.status.be(State.LOST, reason)
            self._pause(backoff.pause(healthy))

    def _one_connection(self) -> tuple[str, str, float]:
        """Run one connection to its end: what kind of end, the reason, and how long it was healthy, s."""
        shown = self.settings.source.shown
        if self._sound is not None:
            self._sound.forget()
        try:
            feed = self._feed = self._make_feed()
        except RuntimeError as error:  # too many threads: perhaps not for long
            return "open", f"{shown} cannot be read ({error})", 0.0
        if self._stop.is_set():
            feed.stop()
        try:
            while feed.wait() and not self._is_done():
                self._start_egress(feed)
                self._one_epoch(feed)
        except FaultError:  # cover.on_error is stop
            self._end(feed)
            raise
        except Exception as error:
            return "chain", sentence(error), self._end(feed)
        healthy = self._end(feed)
        if feed.error is not None:
            return ("read" if feed.first_frame is not None else "open"), sentence(feed.error), healthy
        if feed.first_frame is None:
            return "open", f"{shown} ended without a picture; check that it plays", healthy
        return "ended", f"{shown} ended", healthy

    def _make_feed(self) -> Feed:
        return Feed(
            self.settings.source,
            self.feed_counts,
            self._origin,
            self._index,
            self.info,
            self._sound.hear if self._sound is not None else None,
            self._clock,
            self._connect,
        )

    def _end(self, feed: Feed) -> float:
        feed.stop()
        self._index = feed.index
        self.damage.update(feed.causes)
        return 0.0 if feed.first_frame is None else max(0.0, feed.last_frame - feed.first_frame)

    def _one_epoch(self, feed: Feed) -> None:
        egress, info = self._egress, feed.info
        assert egress is not None
        assert info is not None
        with closing(self._chain(feed, info)) as chain:
            for safe in chain:
                egress.put(safe, feed.arrival_of(safe.pts))
                self.context.tally.tracks.clear()  # they would add up over days
                if self._is_done():
                    feed.stop()
                    return
                if self.status.state in (State.STARTING, State.LOST):
                    self.status.be(State.RUNNING)

    def _chain(self, feed: Feed, info: SourceInfo) -> Generator[SafeFrame, None, None]:
        anonymizer, context = self.anonymizer, self.context
        config = live_config(anonymizer.config, info.average_rate or USUAL_RATE)
        if self._assigner is not None:
            self._assigner.resume()
        interval = self.interval = self._next_interval(config)
        self._chains += 1
        return anonymise(
            feed.frames(),
            config,
            _Counted(anonymizer.face_search(0, context), self),
            anonymizer.covering(context, (info.width, info.height), assigner=self._assigner, load=interval),
            stall_seconds=STALL_SECONDS if self._chains == 1 else CHAIN_STALL_SECONDS,
            interval=interval,
            ahead=FILE_AHEAD_FRAMES if self.settings.source.can_wait else AHEAD_FRAMES,
        )

    def _next_interval(self, config: Config) -> DetectionInterval:
        before = self.interval
        if before is not None:
            self.load.skipped += before.skipped
            self.load.coarse += before.coarse
            self.load.steps.update(before.steps)
        return DetectionInterval(
            config.detect.interval_seconds,
            config.lookahead.seconds,
            not self.settings.source.can_wait,
            lost=lambda: self.feed_counts.dropped,
            behind_seconds=BEHIND_SECONDS,
        )

    def _start_egress(self, feed: Feed) -> None:
        if self._egress is not None:
            return
        info = self.info = feed.info
        assert info is not None
        settings, config = self.settings, self.anonymizer.config
        if self._warm is not None:
            self._warm(self.anonymizer, info.width, info.height)
        rate = info.average_rate or USUAL_RATE
        sound = self._sound if feed.has_sound else None
        threads, gpu = settings.encoder_threads, config.compute.device
        encoder = Encoder(info, config.output, rate, sound is not None, threads, gpu)
        try:
            for target in settings.targets:
                self.outputs.append(self._open(target, encoder, rate))
        except BaseException:  # the next connection opens all of them again
            self._close_outputs()
            self.outputs.clear()
            raise
        self._egress = Egress(
            encoder,
            self.outputs,
            settings.stub,
            sound,
            config.lookahead.seconds,
            float(rate),
            patient=settings.source.can_wait,
            duration_seconds=settings.duration,
            counts=self.egress_counts,
            clock=self._clock,
        )

    def _open(self, target: Target, encoder: Encoder, rate: Fraction) -> Output:
        def tell(state: State, reason: str) -> None:
            said = redact_text(reason)
            self._journal.note(self.name, f"output {state.value}", to=target.shown, reason=said)

        if target.kind == "mjpeg":
            return MjpegOutput(target, tell)
        if target.kind == "device":
            return VirtualCamera(target, tell, rate)
        return ChildOutput(target, encoder.header, encoder.setup, tell)

    def _is_done(self) -> bool:
        """Whether the outputs are: the duration is over, encoding failed, or no output is left."""
        egress = self._egress
        if egress is None:
            return False
        if egress.error is not None:
            raise egress.error
        if self.outputs and all(one.status.state is State.ENDED for one in self.outputs):
            reasons = "; ".join(f"{one.target.shown}: {one.status.reason}" for one in self.outputs)
            raise SinkError(f"all outputs have failed ({reasons})")
        return egress.done.is_set()

    def _pause(self, seconds: float) -> None:
        """Wait before the next attempt, but no longer than until a server that was away answers."""
        until = self._clock() + seconds
        was_there = self._answers() if seconds > KNOCK_SECONDS else True
        while not self._stop.is_set() and (left := until - self._clock()) > 0:
            self._stop.wait(min(left, KNOCK_SECONDS))
            if not was_there and not self._stop.is_set() and self._answers():
                return

    def _answers(self) -> bool:
        """Whether something listens at the source's address; true where that cannot be told."""
        source = self.settings.source
        port = _PORTS.get(source.scheme)
        if port is None:
            return True
        with suppress(ValueError):
            parts = urlsplit(source.address)
            if parts.hostname is None:
                return True
            try:
                socket.create_connection((parts.hostname, parts.port or port), KNOCK_TIMEOUT).close()
            except OSError:
                return False
        return True

    def _finish(self) -> None:
        feed = self._feed
        if feed is not None:
            feed.stop()
        if self._egress is not None:
            self._egress.close(3.0)
            if self.error is None and self._egress.error is not None:
                self.error = self._egress.error
        self._close_outputs()
        if feed is not None:
            feed.join(RELEASE_SECONDS)
        files = [one.shown for one in self.settings.targets if one.kind == "file"]
        if self._egress is None and files:
            self.lacks_file = True
            if self.error is None:
                text = f"{', '.join(files)}: not written, as the end came before the first picture"
                self.error = SinkError(text)
        self.lacks_file |= any(one.failure and one.target.kind == "file" for one in self.outputs)
        failures = {one.target.shown: one.failure for one in self.outputs if one.failure}
        if self.error is None and failures:
            self.error = SinkError(
                "; ".join(f"{shown} is not complete: {why}" for shown, why in failures.items())
            )

    def _close_outputs(self) -> None:
        for output in self.outputs:
            output.close()
        for output in self.outputs:
            output.join(4.0)


class _Counted:
    """A face search that counts the frames it sees."""

    def __init__(self, searcher: Searcher, camera: Camera) -> None:
        self._searcher, self._camera = searcher, camera

    def detect(self, frame: RawFrame, extent: Extent = "next") -> Faces:
        self._camera.detections += 1
        return self._searcher.detect(frame, extent)

    def redetect(self, frame: RawFrame, boxes: Float) -> Faces:
        return self._searcher.redetect(frame, boxes)

    def look_again(self, frame: RawFrame, boxes: Float) -> Float | None:
        return self._searcher.look_again(frame, boxes)


def live_config(config: Config, rate: Fraction) -> Config:
    """The profile for a live stream: smoothing meshes over time holds frames back, too, which counts as
    part of the look-ahead here, so that ``lookahead.seconds`` is the whole delay.
    """
    look = config.lookahead
    smoothing = float((NEIGHBOURS + SLACK_STEPS) / rate)
    if look.seconds <= smoothing:
        return config
    return dataclasses.replace(
        config, lookahead=dataclasses.replace(look, seconds=look.seconds - smoothing)
    )
