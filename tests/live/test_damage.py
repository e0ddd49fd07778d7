"""What makes a frame not to be trusted, and what makes the next one so again."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import av
import av.logging
import pytest
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from live_scenes import scene, video_frame

from streamanon.live.connection import quiet_ffmpeg
from streamanon.live.damage import Trust


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    quiet_ffmpeg()
    yield
    av.logging.set_level(None)


def encoded(count: int, gop: int, b_frames: int = 0, more: str = "") -> tuple[bytes, list[Packet]]:  # type: ignore[type-arg]
    context = VideoCodecContext.create("libx264", "w")
    assert isinstance(context, VideoCodecContext)
    context.width, context.height, context.pix_fmt = 320, 240, "yuv420p"
    context.time_base, context.framerate = Fraction(1, 90000), Fraction(25)
    context.gop_size, context.max_b_frames, context.thread_count = gop, b_frames, 1
    context.options = {"preset": "ultrafast", "x264-params": f"bframes={b_frames}:keyint={gop}{more}"}
    packets = [one for raw in scene(count) for one in context.encode(video_frame(raw, raw.index * 3600))]
    packets += context.encode(None)
    return bytes(context.extradata or b""), packets


def trusted(packets: list[Packet], codec: str = "h264") -> dict[int, bool]:  # type: ignore[type-arg]
    """By frame number: whether it is trusted."""
    context = av.CodecContext.create(codec, "r")
    assert isinstance(context, VideoCodecContext)
    context.thread_count, context.thread_type = 1, "SLICE"
    trust, found = Trust(codec), {}
    for packet in packets:
        trust.packet(packet)
        with av.logging.Capture() as lines:
            frames = context.decode(packet)
        trust.complaints(lines)
        for frame in frames:
            assert frame.pts is not None
            found[frame.pts // 3600] = trust.frame(frame)
    for frame in context.decode(None):
        assert frame.pts is not None
        found[frame.pts // 3600] = trust.frame(frame)
    return found


def test_a_sound_stream_is_trusted() -> None:
    assert all(trusted(encoded(60, 25)[1]).values())


def test_nothing_is_trusted_before_the_first_key_frame() -> None:
    trust = Trust("mpeg4")
    frame = av.VideoFrame(64, 64, "yuv420p")
    frame.pts = 5
    assert not trust.frame(frame)


def test_a_missing_frame_spoils_the_rest_of_its_group() -> None:
    packets = encoded(60, 25)[1]
    found = trusted([one for number, one in enumerate(packets) if number != 30])
    assert all(found[n] for n in range(30))
    assert not any(found[n] for n in range(31, 50))
    assert all(found[n] for n in range(50, 60))


def test_a_picture_that_is_renewed_in_strips_is_whole_when_the_next_renewal_begins() -> None:
    """Periodic intra refresh: the packet at 40 is marked as a key frame, and its picture is none."""
    packets = encoded(100, 20, more=":intra-refresh=1:scenecut=0")[1]
    assert [n for n, one in enumerate(packets) if one.is_keyframe] == [0, 20, 40, 60, 80]
    found = trusted([one for number, one in enumerate(packets) if number != 38])
    assert all(found[n] for n in range(38))
    assert not any(found[n] for n in range(39, 60))
    assert all(found[n] for n in range(60, 100))


def test_frames_after_a_spoilt_key_frame_in_the_order_shown() -> None:
    """With B-frames a key frame may come out of the decoder after damage that came into it later."""
    packets = encoded(60, 20, b_frames=2)[1]
    key = next(n for n, one in enumerate(packets) if one.is_keyframe and n > 10)
    found = trusted([one for number, one in enumerate(packets) if number != key + 1])
    missing = set(range(60)) - set(found)
    assert missing, "the test lost no frame"
    after = [n for n in found if min(missing) < n < 40]
    assert not any(found[n] for n in after if n > max(missing))


def test_a_whole_group_that_is_lost_is_a_gap_in_time() -> None:
    packets = encoded(75, 25)[1]
    found = trusted([one for number, one in enumerate(packets) if not 10 <= number < 35])
    assert not any(found[n] for n in range(35, 50))
    assert all(found[n] for n in range(50, 75))


def test_a_corrupt_packet() -> None:
    packets = encoded(60, 25)[1]
    packets[30].is_corrupt = True
    found = trusted(packets)
    assert not any(found[n] for n in range(30, 50))
    assert found[29]
    assert found[50]


def test_bits_that_are_wrong_make_the_decoder_complain() -> None:
    packets = encoded(60, 25)[1]
    data = bytearray(bytes(packets[30]))
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    broken: Packet = Packet(bytes(data))  # type: ignore[type-arg]
    broken.pts, broken.dts, broken.time_base = packets[30].pts, packets[30].dts, packets[30].time_base
    packets[30] = broken
    found = trusted(packets)
    assert not any(found.get(n, False) for n in range(31, 50))
    assert all(found[n] for n in range(50, 60))


def test_a_frame_that_stands_by_itself_spoils_no_other() -> None:
    trust = Trust("mjpeg")
    packet: Packet = Packet(b"x")  # type: ignore[type-arg]
    frame = av.VideoFrame(64, 64, "yuv420p")
    packet.is_corrupt = True
    trust.packet(packet)
    assert not trust.frame(frame)
    packet.is_corrupt = False
    trust.packet(packet)
    assert trust.frame(frame)


def test_complaints_that_mean_nothing() -> None:
    trust = Trust("mjpeg")
    packet: Packet = Packet(b"x")  # type: ignore[type-arg]
    trust.packet(packet)
    trust.complaints([(24, "swscaler", "deprecated pixel format used"), (48, "h264", "nal_unit_type: 7")])
    assert not trust.causes
    trust.complaints([(24, "rtsp", "RTP: missed 3 packets")])
    assert trust.causes == {"complaint of rtsp": 1}
