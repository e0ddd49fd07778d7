"""Streams of fake faces that can be told by their colour, a face search that knows it, and servers in this
process that send them at their own speed and can be told to fail.
"""

from __future__ import annotations

import contextlib
import io
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import cv2
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from streamanon.config import Config, CoverConfig, LookaheadConfig, as_dict
from streamanon.cover.covering import Covering
from streamanon.cover.synthesis import Load
from streamanon.detect.detection_interval import Extent
from streamanon.identity.assignment import Assigner
from streamanon.live.connection import SourceOptions
from streamanon.media.probe import SourceInfo
from streamanon.runtime.run_context import RunContext
from streamanon.runtime.run_report import RunReport
from streamanon.testing.fakes import KEY_COLOUR, FakeSource, faces_at, moving
from streamanon.types import Faces, Float, Picture, RawFrame

SIZE = (320, 240)
RATE = 25
_NEAR = 34


def is_key(picture: Picture) -> NDArray[np.bool_]:
    """Which chroma samples have the colour of a fake face."""
    _, u, v = picture.planes
    near_u = np.abs(u.astype(np.int16) - KEY_COLOUR[1]) <= _NEAR
    return np.asarray(near_u & (np.abs(v.astype(np.int16) - KEY_COLOUR[2]) <= _NEAR))


def raw_pixels(frame: VideoFrame) -> int:
    """How many chroma samples of a frame that left show a raw fake face."""
    planes = frame.reformat(format="yuv420p").to_ndarray()
    height, width = frame.height, frame.width
    half = height // 4
    u = planes[height : height + half].reshape(height // 2, width // 2)
    v = planes[height + half :].reshape(height // 2, width // 2)
    return int(is_key(Picture((planes[:height], u, v), "yuv420p")).sum())


class ColourSearch:
    """Finds fake faces by their colour. ``slow_seconds``: how long it takes."""

    def __init__(self, slow_seconds: float = 0.0) -> None:
        self.slow_seconds = slow_seconds

    def detect(self, frame: RawFrame, extent: Extent = "next") -> Faces:
        if self.slow_seconds:
            time.sleep(self.slow_seconds)
        count, _, stats, _ = cv2.connectedComponentsWithStats(is_key(frame.picture).astype(np.uint8))
        boxes = [
            (2 * x, 2 * y, 2 * (x + w), 2 * (y + h))
            for x, y, w, h, area in stats[1:count].tolist()
            if area >= 9
        ]
        return faces_at(np.array(boxes, np.float32).reshape(-1, 4))

    def redetect(self, _frame: RawFrame, _boxes: Float) -> Faces:
        return Faces.empty()

    def look_again(self, _frame: RawFrame, _boxes: Float) -> Float | None:
        return None


@dataclass
class FakeAnonymizer:
    """Covers fake faces in plain colour; what :class:`streamanon.api.Anonymizer` is to a camera."""

    lookahead_seconds: float = 0.4
    search: ColourSearch = field(default_factory=ColourSearch)
    interval_seconds: float = 0.0
    config: Config = field(init=False)

    def __post_init__(self) -> None:
        config = Config(
            lookahead=LookaheadConfig(self.lookahead_seconds, 0.4), cover=CoverConfig(method="solid")
        )
        detect = replace(config.detect, interval_seconds=self.interval_seconds)
        output = replace(config.output, preset="ultrafast", crf=18)
        self.config = replace(config, detect=detect, output=output)

    def context(self) -> RunContext:
        return RunContext()

    def report(
        self, context: RunContext, source: SourceInfo | dict[str, Any], output: dict[str, Any]
    ) -> RunReport:
        return RunReport.of(context, source, output, "fake", {}, as_dict(self.config))

    def assigner(self) -> Assigner | None:
        return None

    def face_search(self, rotation: int = 0, context: RunContext | None = None) -> ColourSearch:
        return self.search

    def covering(
        self,
        context: RunContext | None = None,
        size: tuple[int, int] = (1, 1),
        rotation: int = 0,
        still: bool = False,
        assigner: Assigner | None = None,
        load: Load | None = None,
    ) -> Covering:
        return Covering(self.config.cover, None, context=context)


class Unhurried(SourceOptions):
    """A live source that waits for the chain: no frame is dropped, however busy the machine is."""

    @property
    def can_wait(self) -> bool:
        return True

    @property
    def is_file(self) -> bool:
        return False


def scene(count: int, size: tuple[int, int] = SIZE) -> FakeSource:
    """A face that walks to and fro."""
    width, height = size
    box = (width * 0.2, height * 0.3, width * 0.2 + 50, height * 0.3 + 60)
    truth = {0: moving(box, (0.4, 0.1), count)}
    return FakeSource(count, width, height, truth)


@dataclass(frozen=True)
class Chunk:
    """The bytes of one frame (and the sound beside it), which are due at ``seconds``."""

    seconds: float
    data: bytes
    key: bool


class _Catcher(io.RawIOBase):
    name = "chunks"

    def __init__(self) -> None:
        self.taken = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self.taken += data
        return len(data)

    def take(self) -> bytes:
        data, self.taken = bytes(self.taken), bytearray()
        return data


def transport_stream(
    count: int,
    gop: int = 25,
    size: tuple[int, int] = SIZE,
    audio: bool = False,
    codec: str = "libx264",
    begin: int = 0,
    container: str = "mpegts",
) -> list[Chunk]:
    """``count`` frames of :func:`scene` as MPEG-TS, a chunk a frame; from frame ``begin`` on."""
    file = _Catcher()
    chunks = []
    with av.open(file, "w", format=container, options={"flush_packets": "1"}) as output:
        video = output.add_stream(codec, rate=RATE, options=_CODECS.get(codec, {}))
        assert isinstance(video, VideoStream)
        context = video.codec_context
        context.width, context.height, context.pix_fmt = *size, "yuv420p"
        if codec == "mjpeg":
            context.pix_fmt = "yuvj420p"
        context.gop_size, context.max_b_frames, context.time_base = gop, 0, Fraction(1, 90000)
        sound = output.add_stream("aac", rate=48000, layout="stereo") if audio else None
        written = 0
        for raw in scene(count, size):
            if isinstance(sound, AudioStream):
                while written < (raw.index + 1) * 48000 / RATE:
                    output.mux(sound.encode(tone(written, 1024, begin * 48000 // RATE)))
                    written += 1024
            packets = video.encode(video_frame(raw, (raw.index + begin) * 3600))
            output.mux(packets)
            key = any(packet.is_keyframe for packet in packets)
            chunks.append(Chunk(raw.index / RATE, file.take(), key))
    return chunks


_CODECS = {
    "libx264": {"preset": "ultrafast", "crf": "8", "tune": "zerolatency"},
    "libx265": {"preset": "ultrafast", "tune": "zerolatency", "x265-params": "log-level=error"},
    "mjpeg": {"q": "3"},
}


def video_frame(raw: RawFrame, pts: int) -> VideoFrame:
    planes = np.concatenate([plane.ravel() for plane in raw.picture.planes])
    frame = VideoFrame.from_ndarray(planes.reshape(-1, raw.picture.width), format="yuv420p")
    frame.pts, frame.time_base = pts, Fraction(1, 90000)
    return frame


def tone(position: int, count: int, begin: int = 0) -> AudioFrame:
    """A quiet tone with a click at each full second."""
    at = np.arange(position, position + count)
    wave = 0.05 * np.sin(2 * np.pi * 440 * at / 48000) + 0.9 * (at % 48000 < 240)
    samples = np.tile(wave.astype(np.float32), (2, 1))
    frame = AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
    frame.sample_rate, frame.pts, frame.time_base = 48000, position + begin, Fraction(1, 48000)
    return frame


class StreamServer:
    """Serves chunks over HTTP, at their own speed, again from the start for each client.

    ``behave``: changes the chunks of a connection (by its number from 0), for faults. ``after``: what it
    does when the chunks are out: "close", or "silence": keep the connection and send nothing.
    """

    def __init__(
        self,
        chunks: list[Chunk],
        behave: Callable[[int, list[Chunk]], Iterable[Chunk]] | None = None,
        after: str = "close",
        port: int = 0,
        speed: float = 1.0,
        kind: str = "video/mp2t",
    ) -> None:
        self._chunks, self._after, self._speed, self._kind = chunks, after, speed, kind
        self._behave = behave or (lambda _number, chunks: chunks)
        self.clients = 0
        self._stop = threading.Event()
        self._open: list[socket.socket] = []
        self._socket = socket.create_server(("127.0.0.1", port))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/live.ts"

    def close(self) -> None:
        """As a server that is killed: connections are reset."""
        self._stop.set()
        # A thread that accepts is woken by a connection, not by close.
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        self._socket.close()
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._thread.join(2)

    def __enter__(self) -> StreamServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            if self._stop.is_set():
                client.close()
                return
            number, self.clients = self.clients, self.clients + 1
            self._open.append(client)
            threading.Thread(target=self._serve, args=(client, number), daemon=True).start()

    def _serve(self, client: socket.socket, number: int) -> None:
        try:
            client.recv(65536)
            head = f"HTTP/1.1 200 OK\r\nContent-Type: {self._kind}\r\nConnection: close\r\n\r\n"
            client.sendall(head.encode())
            begun = time.monotonic()
            for chunk in self._behave(number, self._chunks):
                wait = begun + chunk.seconds / self._speed - time.monotonic()
                if wait > 0 and self._stop.wait(wait):
                    return
                client.sendall(chunk.data)
            if self._after == "silence":
                self._stop.wait()
        except OSError:
            pass
        finally:
            client.close()
            if client in self._open:
                self._open.remove(client)


def without_packets(data: bytes, drop: Callable[[int], bool]) -> bytes:
    """A transport stream without some of its packets of 188 bytes."""
    packets = [data[at : at + 188] for at in range(0, len(data), 188)]
    return b"".join(packet for number, packet in enumerate(packets) if not drop(number))


@dataclass(frozen=True)
class Seen:
    """A frame that left: its time, s, and how many samples of it show a raw face; the share of one grey."""

    seconds: float
    raw: int
    grey: float


def look_at(path: Path) -> list[Seen]:
    """The frames of a file that left."""
    with av.open(str(path)) as opened:
        return list(_looked(opened))


def _looked(opened: Any) -> Iterator[Seen]:
    for number, frame in enumerate(opened.decode(video=0)):
        luma = cast(NDArray[np.uint8], frame.reformat(format="gray").to_ndarray())
        grey = float((np.abs(luma.astype(np.int16) - np.median(luma)) <= 4).mean())
        at = number / RATE if frame.pts is None else float(frame.pts * frame.time_base)
        yield Seen(at, raw_pixels(frame), grey)


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Whether it comes true in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


@contextlib.contextmanager
def no_thread(name: str) -> Iterator[None]:
    """No thread of that name can be started, as where a system has too many."""
    start = threading.Thread.start

    def refuse(self: threading.Thread) -> None:
        if self.name == name:
            raise RuntimeError("can't start new thread")
        start(self)

    threading.Thread.start = refuse  # type: ignore[method-assign]
    try:
        yield
    finally:
        threading.Thread.start = start  # type: ignore[method-assign]


def an_info(size: tuple[int, int] = SIZE) -> SourceInfo:
    return SourceInfo(
        "camera", "mpegts", "h264", *size, "yuv420p", "yuv420p", Fraction(1, 90000), Fraction(RATE)
    )
