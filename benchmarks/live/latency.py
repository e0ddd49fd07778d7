"""End-to-end latency: a clock is drawn into the source and read in the output.

    python -m benchmarks.live.latency --seconds 60

A child process sends 720p pictures with one face (of the demo clip) and a strip of squares that is the
time, as MPEG-TS over UDP; ``streamanon live`` sends them on by UDP; this process reads the squares. What
is left after the look-ahead is the cost of reading, the chain, encoding and sending. The way alone, from
the sender to this process without ``streamanon`` between, is measured first and told twice, for in and out:
FFmpeg's readers of MPEG-TS hold a picture until the next one begins. Run it on a calm machine: it prints
the load beside the result.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from fractions import Fraction

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from benchmarks.live.streams import pictures

SIZE, RATE, SQUARE, BITS = (1280, 720), 25, 16, 32
#: How long the way alone is measured, s; the first one is left out.
WAY_SECONDS = 6.0
#: Milliseconds of the monotonic clock, which all processes of a machine share.
_WRAP = 1 << BITS


def draw(luma: NDArray[np.uint8], milliseconds: int) -> None:
    """The time as squares along the top edge of a luma plane [H, W], in place."""
    for bit in range(BITS):
        value = 235 if milliseconds >> bit & 1 else 16
        luma[:SQUARE, bit * SQUARE : (bit + 1) * SQUARE] = value


def read(luma: NDArray[np.uint8]) -> int:
    """The time that :func:`draw` drew."""
    middles = luma[SQUARE // 2, SQUARE // 2 : BITS * SQUARE : SQUARE].astype(int)
    return sum(1 << bit for bit in range(BITS) if middles[bit] > 125)


def now() -> int:
    return int(time.monotonic() * 1000) % _WRAP


def send(port: int) -> None:
    """Until killed: the clip at its own speed, 720p, with the time."""
    shown = [
        VideoFrame.from_ndarray(rgb, format="rgb24").reformat(*SIZE, "yuv420p").to_ndarray()
        for rgb in pictures(RATE)
    ]
    address, options = f"udp://127.0.0.1:{port}?pkt_size=1316", {"omit_video_pes_length": "0"}
    with av.open(address, "w", format="mpegts", options=options) as output:
        stream = output.add_stream(
            "libx264", rate=RATE, options={"preset": "ultrafast", "tune": "zerolatency"}
        )
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.codec_context.gop_size = RATE
        begun, number = time.monotonic(), 0
        while True:
            time.sleep(max(0.0, begun + number / RATE - time.monotonic()))
            planes = shown[number % len(shown)].copy()
            draw(np.asarray(planes[: SIZE[1]], np.uint8), now())
            frame = VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts, frame.time_base = number * 90000 // RATE, Fraction(1, 90000)
            output.mux(stream.encode(frame))
            number += 1


def measure(port: int, seconds: float) -> list[int]:
    """Delays of the frames that come, ms."""
    delays = []
    address = f"udp://127.0.0.1:{port}?fifo_size=1000000&overrun_nonfatal=1"
    with av.open(address, timeout=(60.0, 20.0), options={"analyzeduration": "500000"}) as opened:
        stream = opened.streams.video[0]
        stream.thread_type, stream.codec_context.thread_count = "SLICE", 1
        until = time.monotonic() + seconds
        for frame in opened.decode(stream):
            luma = np.asarray(frame.to_ndarray()[: frame.height], np.uint8)
            delays.append((now() - read(luma)) % _WRAP)
            if time.monotonic() > until:
                break
    return [one for one in delays if one < 60_000]  # plain pictures show no time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--lookahead", type=float, default=0.6)
    parser.add_argument("--send", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.send is not None:
        send(args.send)
        return
    source, output = 23450, 23452
    python = [sys.executable, "-m"]
    sending = subprocess.Popen([*python, "benchmarks.live.latency", "--send", str(source)])
    started = [sending]
    try:
        way = 2 * float(np.median(measure(source, WAY_SECONDS)[RATE:]))
        addresses = (f"udp://127.0.0.1:{source}", "--to", f"udp://127.0.0.1:{output}")
        look = ("--set", f"lookahead.seconds={args.lookahead}")
        started.append(subprocess.Popen([*python, "streamanon", "live", *addresses, *look]))
        delays = np.array(measure(output, args.seconds)[5 * RATE :])
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait(20)
    if not len(delays):
        raise SystemExit(
            "too few frames with a time came out: wait for a calm machine, or measure for longer"
        )
    beyond = delays - 1000 * args.lookahead
    print(f"{len(delays)} frames, load {os.getloadavg()[0]:.1f}; milliseconds")
    for name, shown in (
        (f"beyond the look-ahead of {args.lookahead} s", beyond),
        (f"beyond that and the way in and out alone, {way:.0f}", beyond - way),
    ):
        print(f"{name}:", ", ".join(f"p{p} {np.percentile(shown, p):.0f}" for p in (50, 95, 99)))


if __name__ == "__main__":
    main()
