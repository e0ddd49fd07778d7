"""No times, however wild, end the process inside FFmpeg; what its muxer logs is an error."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import av.logging
import pytest
from av.packet import Packet
from av.stream import Stream

from streamanon.errors import SinkError
from streamanon.media import formats
from streamanon.media.muxer import FFmpegLog, Muxer

WILD = """
import random, sys
from pathlib import Path
from fractions import Fraction
import av
from av.packet import Packet
from streamanon.errors import SinkError
from streamanon.media import formats
from streamanon.media.muxer import Muxer

path, seed = Path(sys.argv[1]), int(sys.argv[2])
draw = random.Random(seed)
for _ in range(40):
    path.unlink(missing_ok=True)
    options = formats.muxer_options(path, False)
    output = av.open(str(path), "w", format=formats.muxer_name(path), container_options=options)
    codecs = ("vp8", "opus") if path.suffix == ".webm" else ("mpeg4", "mp3")
    video = output.add_mux_stream(codecs[0], rate=25, width=64, height=48)
    sound = output.add_mux_stream(codecs[1], rate=48000)
    video.time_base = Fraction(1, draw.choice([25, 1000, 90000, 10**6]))
    sound.time_base = Fraction(1, 48000)
    muxer = Muxer(output, "x", "try")
    try:
        muxer.start()
        for _ in range(60):
            packet = Packet(bytes(draw.randbytes(50)))
            packet.stream = draw.choice([video, sound])
            packet.time_base = packet.stream.time_base
            reach = 10 ** draw.randint(1, 17)
            stamp = lambda: draw.choice([None, draw.randint(-reach, reach), draw.randint(0, 9)])
            packet.pts, packet.dts, packet.duration = stamp(), stamp(), draw.choice([0, 1, reach])
            packet.is_keyframe = True
            muxer.put(packet)
        muxer.close()
    except (SinkError, av.error.FFmpegError, ValueError):
        try:
            output.close()
        except (av.error.FFmpegError, ValueError):
            pass
"""


@pytest.mark.parametrize(
    "suffix",
    [".mp4", *(pytest.param(one, marks=pytest.mark.slow) for one in (".mov", ".mkv", ".webm", ".ts"))],
)
def test_wild_times_do_not_end_the_process(tmp_path: Path, suffix: str) -> None:
    command = [sys.executable, "-c", WILD, str(tmp_path / f"a{suffix}"), "7"]
    folder = Path(__file__).parents[2]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert run.returncode == 0, run.stderr[-500:]


def opened(path: Path) -> tuple[Muxer, Stream]:
    output = av.open(str(path), "w", container_options=formats.muxer_options(path, keep_metadata=False))
    stream = output.add_mux_stream("mpeg4", rate=25, width=64, height=48, time_base=Fraction(1, 1000))
    muxer = Muxer(output, path.name, "give an output that ends with .mkv")
    muxer.start()
    return muxer, stream


def packet_of(stream: Stream, pts: int | None, dts: int | None, duration: int = 40) -> Packet[Stream]:
    packet: Packet[Stream] = Packet(b"0123456789")
    packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 1000), True
    packet.pts, packet.dts, packet.duration = pts, dts, duration
    return packet


def test_packets_that_are_not_later_are_moved_behind(tmp_path: Path) -> None:
    muxer, stream = opened(tmp_path / "a.mkv")
    for pts, dts in ((0, 0), (40, 40), (40, 40), (20, 20), (None, 80), (80, None), (None, None)):
        muxer.put(packet_of(stream, pts, dts))
    muxer.close()
    with av.open(str(tmp_path / "a.mkv")) as again:
        assert [packet.pts for packet in again.demux() if packet.size] == [0, 40, 41, 42, 80, 81]
    assert muxer.written[0].packets == 6
    assert (muxer.written[0].last, muxer.written[0].end) == (Fraction(81, 1000), Fraction(121, 1000))


def test_a_jump_that_the_container_cannot_hold_is_said(tmp_path: Path) -> None:
    muxer, stream = opened(tmp_path / "a.mp4")
    muxer.put(packet_of(stream, 0, 0))
    with pytest.raises(SinkError, match=r"write a\.mp4: times jump by \d+ seconds; give an output that"):
        muxer.put(packet_of(stream, 10**12, 10**12))


def test_what_the_muxer_logs_is_an_error(tmp_path: Path) -> None:
    muxer, _ = opened(tmp_path / "a.mkv")

    def complains() -> None:
        av.logging.log(av.logging.ERROR, "matroska", "no room left")

    def others_complain() -> None:
        av.logging.log(av.logging.ERROR, "h264", "a damaged picture")
        av.logging.log(av.logging.WARNING, "matroska", "an odd thing")

    with FFmpegLog():
        muxer._listen(others_complain)
        with pytest.raises(SinkError, match=r"a\.mkv: the muxer says 'no room left'; give an output"):
            muxer._listen(complains)
    muxer.close()


def test_ffmpegs_log_is_off_again_after_the_last(capfd: pytest.CaptureFixture[str]) -> None:
    av.logging.set_level(None)  # a live connection, in a test before this one, leaves it set
    with FFmpegLog(), FFmpegLog():
        pass
    with FFmpegLog():
        assert av.logging.get_level() == av.logging.ERROR
        av.logging.log(av.logging.ERROR, "h264", "a damaged picture")
    assert av.logging.get_level() is None
    assert capfd.readouterr().err == ""
