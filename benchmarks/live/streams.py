"""Many cameras at once: frames a second of each, from the metrics of ``streamanon live``.

    python -m benchmarks.live.streams --cameras 4 --rate 15 --seconds 60

A child process sends 640x360 pictures with one face (the left part of the demo clip, and its wall beside
it) to each camera's address, as MPEG-TS over UDP; ``streamanon live --config`` sends each on by UDP to
where nobody listens. Run it on a calm machine: it prints the load beside the result, how much of the cores'
time was left, and the processor time that ``streamanon live`` and its children used.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray
from prometheus_client.parser import text_string_to_metric_families

CLIP = Path(__file__).parents[2] / "tests" / "data" / "demo.mp4"
#: Of the clip: so many frames, in whose left columns, px, one face is; and those of the wall.
SHOT_FRAMES, FACE_COLUMNS, WALL_COLUMNS = 36, 312, 66
FIRST_PORT, STATUS_PORT = 23_500, 23_490
PACKET_BYTES = 1316


def pictures(rate: int) -> list[NDArray[np.uint8]]:
    """RGB [360, 640, 3], to and fro, so that they can be repeated."""
    with av.open(str(CLIP)) as opened:
        frames = [frame.to_ndarray(format="rgb24") for frame in opened.decode(video=0)][:SHOT_FRAMES]
    taken = [frames[int(number * 25 / rate)] for number in range(int(SHOT_FRAMES * rate / 25))]
    return [_one_face(np.asarray(one, np.uint8)) for one in taken + taken[::-1]]


def _one_face(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    width = rgb.shape[1]
    wall = rgb[:, :WALL_COLUMNS]
    wide = np.concatenate([wall[:, ::-1], wall] * -(-(width - FACE_COLUMNS) // (2 * WALL_COLUMNS)), axis=1)
    return np.concatenate([rgb[:, :FACE_COLUMNS], wide[:, : width - FACE_COLUMNS]], axis=1)


class _Chunks:
    """Takes what is muxed, frame by frame."""

    name = "chunks"

    def __init__(self) -> None:
        self.taken = bytearray()

    def write(self, data: bytes) -> int:
        self.taken += data
        return len(data)


def encoded(rate: int, rounds: int) -> list[bytes]:
    """MPEG-TS, the bytes of each frame."""
    file, chunks = _Chunks(), []
    with av.open(file, "w", format="mpegts", options={"flush_packets": "1"}) as output:
        stream = output.add_stream(
            "libx264", rate=rate, options={"preset": "veryfast", "tune": "zerolatency", "crf": "20"}
        )
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        stream.codec_context.gop_size = rate
        for number, rgb in enumerate(pictures(rate) * rounds):
            frame = VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number * 90_000 // rate, Fraction(1, 90_000)
            output.mux(stream.encode(frame))
            chunks.append(bytes(file.taken))
            file.taken.clear()
    return chunks


def send(ports: Sequence[int], rate: int, seconds: float) -> None:
    chunks = encoded(rate, max(1, round(seconds * rate / len(pictures(rate))) + 1))
    sending = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    begun = time.monotonic()
    for number, chunk in enumerate(chunks):
        time.sleep(max(0.0, begun + number / rate - time.monotonic()))
        for port in ports:
            for at in range(0, len(chunk), PACKET_BYTES):
                sending.sendto(chunk[at : at + PACKET_BYTES], ("127.0.0.1", port))


def read_metrics() -> dict[tuple[str, str, str], float]:
    """Values by metric, camera and the other label."""
    text = urllib.request.urlopen(f"http://127.0.0.1:{STATUS_PORT}/metrics", timeout=10).read().decode()
    values: dict[tuple[str, str, str], float] = {}
    for family in text_string_to_metric_families(text):
        for one in family.samples:
            others = [value for key, value in sorted(one.labels.items()) if key != "camera"]
            values[one.name, one.labels.get("camera", ""), ",".join(others)] = one.value
    return values


def idle_seconds() -> float:
    """Core seconds that were not used since the machine's start."""
    words = Path("/proc/stat").read_text().splitlines()[0].split()
    return (int(words[4]) + int(words[5])) / os.sysconf("SC_CLK_TCK")


def used_seconds(process: int) -> float:
    """Core seconds that a process and those that it started have used."""
    children = Path(f"/proc/{process}/task").glob("*/children")
    processes = [process, *(int(one) for path in children for one in path.read_text().split())]
    words = [Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split() for one in processes]
    return sum(int(one[11]) + int(one[12]) for one in words) / os.sysconf("SC_CLK_TCK")


def measure(process: int, names: Sequence[str], seconds: float) -> None:
    before, begun, idle, used = read_metrics(), time.monotonic(), idle_seconds(), used_seconds(process)
    time.sleep(seconds)
    after, passed = read_metrics(), time.monotonic() - begun
    cores = (used_seconds(process) - used) / passed
    left = (idle_seconds() - idle) / passed / (os.cpu_count() or 1)

    def rate(metric: str, name: str) -> float:
        key = (f"streamanon_{metric}_total", name, "")
        return (after.get(key, 0.0) - before.get(key, 0.0)) / passed

    for name in names:
        counts = ("source_frames", "skipped_frames", "damaged_frames", "processed_frames", "stub_frames")
        said = ", ".join(f"{count.partition('_')[0]} {rate(count, name):.1f}" for count in counts)
        delay = after["streamanon_latency_seconds_sum", name, ""] - before.get(
            ("streamanon_latency_seconds_sum", name, ""), 0.0
        )
        faces = {
            key[2]: value for key, value in after.items() if key[:2] == ("streamanon_faces_total", name)
        }
        print(
            f"{name}: frames a second: {said}; detections {rate('detections', name):.1f},"
            f" left out {rate('detections_skipped', name):.1f}; delay"
            f" {delay / max(1.0, rate('processed_frames', name) * passed):.2f} s; faces {faces}"
        )
    frames = sum(rate("processed_frames", name) for name in names)
    print(f"{cores:.2f} cores used, {1000 * cores / max(frames, 1e-6):.1f} ms of processor time a frame")
    print(f"load {os.getloadavg()[0]:.1f}, {100 * left:.0f} % of the cores' time left")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cameras", type=int, default=4)
    parser.add_argument("--rate", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--warm-seconds", type=float, default=40.0)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--profile", default="livestream")
    args = parser.parse_args()
    names = [f"camera-{number}" for number in range(args.cameras)]
    ports = [FIRST_PORT + 2 * number for number in range(args.cameras)]
    lines = [f"status: 127.0.0.1:{STATUS_PORT}", "cameras:"]
    for name, port in zip(names, ports, strict=True):
        to = f"udp://127.0.0.1:{port + 200}"
        lines.append(f"  {name}: {{source: 'udp://127.0.0.1:{port}', to: '{to}', audio: drop,")
        lines.append(f"    profile: {args.profile}, set: {args.set}}}")
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "site.yaml"
        site.write_text("\n".join(lines))
        send_for = args.seconds + args.warm_seconds + 60
        task = f"from benchmarks.live.streams import send; send({ports}, {args.rate}, {send_for})"
        live = subprocess.Popen([sys.executable, "-m", "streamanon", "live", "--config", str(site)])
        sending = subprocess.Popen([sys.executable, "-c", task])
        try:
            time.sleep(args.warm_seconds)
            measure(live.pid, names, args.seconds)
        finally:
            for process in (sending, live):
                process.terminate()
                process.wait(30)


if __name__ == "__main__":
    main()
