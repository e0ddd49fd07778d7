"""Reading: every frame with its own time, in planes that are views; clear errors for what is no video."""

from __future__ import annotations

import errno
import itertools
import random
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
import pytest
from av.format import ContainerFormat
from av.packet import Packet
from av.stream import Stream
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from clips import picture_rgb, write_clip
from hypothesis import given
from hypothesis import strategies as st
from odd_media import Clip, write

from streamanon.errors import SourceError
from streamanon.media import decode as source
from streamanon.media import yuv as pixels
from streamanon.media.decode import read_frames
from streamanon.media.demux import packets_of
from streamanon.media.encode import _unlocked
from streamanon.media.probe import SourceInfo, picture_format, probe
from streamanon.types import PIXEL_FORMATS, RawFrame


def info_for(frame: VideoFrame) -> SourceInfo:
    """What ``probe`` would tell of a file with this frame."""
    name = frame.format.name
    return SourceInfo(
        "x", "x", "x", frame.width, frame.height, name, picture_format(name), Fraction(1, 25), Fraction(25)
    )


TIMES: dict[str, tuple[list[int], Fraction]] = {
    "25": ([i * 512 for i in range(12)], Fraction(1, 12800)),
    "29.97": ([i * 1001 for i in range(12)], Fraction(1, 30000)),
    "variable": ([0, 7, 40, 41, 90, 230, 231, 500], Fraction(1, 1000)),
    "late": ([90000 + i * 3003 for i in range(12)], Fraction(1, 90000)),
}


@pytest.mark.parametrize("name", TIMES)
def test_every_frame_keeps_its_time(tmp_path: Path, name: str) -> None:
    pts, base = TIMES[name]
    movflags = {"movflags": "frag_keyframe+delay_moov"}
    path = write_clip(tmp_path / "a.mp4", pts=pts, time_base=base, options={"bf": "2"}, muxer=movflags)
    frames = list(read_frames(path, probe(path)))
    assert [frame.pts * frame.time_base for frame in frames] == [at * base for at in pts]
    assert [frame.index for frame in frames] == list(range(len(pts)))


def test_planes_are_read_only_views_that_outlive_the_reader(clip: Path) -> None:
    frames = list(read_frames(clip, probe(clip)))
    for frame in frames:
        assert all(plane.base is not None and not plane.flags.writeable for plane in frame.picture.planes)
        with pytest.raises(ValueError, match="read-only"):
            frame.picture.planes[0][0, 0] = 1
    with av.open(str(clip)) as opened:
        for frame, again in zip(frames, opened.decode(video=0), strict=True):
            np.testing.assert_array_equal(
                np.concatenate([plane.ravel() for plane in frame.picture.planes]),
                again.to_ndarray().ravel(),
            )


@pytest.mark.parametrize("name", sorted({*PIXEL_FORMATS, "yuvj420p", "yuva420p", "gbrap"}))
def test_planar_formats_are_not_copied(name: str) -> None:
    frame = VideoFrame(62, 46, name)
    memory = np.frombuffer(memoryview(frame.planes[0]), np.uint8)
    memory[:] = 7
    picture = source.to_picture(frame, info_for(frame))
    assert np.shares_memory(picture.planes[0], memory)
    assert picture.full_range == (name == "yuvj420p" or name.startswith("g"))


@pytest.mark.parametrize("name", ["rgb24", "bgr24", "rgba", "bgr0", "gbrap", "0rgb", "gbrp"])
def test_8_bit_rgb_loses_nothing(name: str) -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (46, 62, 3)).astype(np.uint8)
    frame = VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=name)
    np.testing.assert_array_equal(pixels.to_rgb(source.to_picture(frame, info_for(frame))), rgb)


@pytest.mark.parametrize(
    ("packed", "planar"),
    [("nv12", "yuv420p"), ("yuyv422", "yuv422p"), ("p010le", "yuv420p10le"), ("nv24", "yuv444p")],
)
@pytest.mark.parametrize("full_range", [False, True])
def test_packed_yuv_loses_nothing(packed: str, planar: str, full_range: bool) -> None:
    frame = VideoFrame.from_ndarray(picture_rgb(3, 64, 48), format="rgb24").reformat(format=planar)
    frame.color_range = 2 if full_range else 1
    kept = {"src_color_range": frame.color_range, "dst_color_range": frame.color_range}
    turned = frame.reformat(format=packed, **kept)
    turned.color_range = frame.color_range
    picture = source.to_picture(turned, info_for(turned))
    expected = source.to_picture(frame, info_for(frame))
    assert (picture.pixel_format, picture.full_range) == (planar, full_range)
    for got, want in zip(picture.planes, expected.planes, strict=True):
        np.testing.assert_array_equal(got, want)


def test_every_pixel_format_has_a_place() -> None:
    names = {
        pixels.name
        for codec in ("rawvideo", "ffv1", "libx265", "png", "libvpx-vp9")
        for pixels in av.Codec(codec, "w").video_formats or ()
    }
    names |= {"yuv411p", "yuv440p", "pal8", "monow", "ya8", "gray16le", "yuv420p12le", "rgb48le", "p210le"}
    for name in sorted(names):
        frame = VideoFrame(64, 48, name)
        assert source.to_picture(frame, info_for(frame)).bits == (10 if deep(name) else 8)


def deep(name: str) -> bool:
    parts = VideoFormat(name, 64, 48).components
    return name != "pal8" and max(part.bits for part in parts if not part.is_alpha) > 8


def test_a_change_of_size_is_scaled_to_the_first(tmp_path: Path) -> None:
    path = tmp_path / "both.ts"
    parts = [write_clip(tmp_path / f"{w}.ts", size=(w, h)) for w, h in ((64, 48), (96, 80))]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    frames = list(read_frames(path, probe(path)))
    assert len(frames) == 24
    assert {(frame.picture.width, frame.picture.height) for frame in frames} == {(64, 48)}
    assert all(a.pts < b.pts for a, b in itertools.pairwise(frames))


def _shown(size: tuple[int, int], info: SourceInfo) -> tuple[int, int]:
    """Width and height of what is not black of a white frame of that size."""
    frame = VideoFrame.from_ndarray(np.full((size[1], size[0], 3), 255, np.uint8), format="rgb24")
    luma = source.to_picture(frame.reformat(format=info.picture_format), info).planes[0]
    assert luma.shape == (info.height, info.width)
    assert not luma.flags.writeable
    white = luma > luma.max() / 2
    return int(white.any(axis=0).sum()), int(white.any(axis=1).sum())


@pytest.mark.parametrize("layout", sorted(PIXEL_FORMATS))
def test_another_shape_is_not_pressed_flat(layout: str) -> None:
    """A camera that is turned upright: a detector of faces does not find them at a third of their width."""
    info = replace(info_for(VideoFrame(160, 90, layout)), picture_format=layout)
    assert _shown((90, 160), info) == (50, 90)
    assert _shown((200, 50), info) == (160, 40)
    assert _shown((320, 184), info) == (160, 90)  # nearly the same


def test_bars_are_black() -> None:
    info = info_for(VideoFrame(161, 91, "yuv420p"))
    white = VideoFrame.from_ndarray(np.full((160, 90, 3), 255, np.uint8), format="rgb24")
    picture = source.to_picture(white.reformat(format="yuv420p"), info)
    assert [int(plane[0, 0]) for plane in picture.planes] == [16, 128, 128]
    assert [int(plane[-1, -1]) for plane in picture.planes] == [16, 128, 128]


@pytest.mark.parametrize("layout", ["yuv420p", "nv12", "p010le"])
@pytest.mark.parametrize("size", [(64, 48), (48, 64)])
def test_what_is_not_covered_reaches_the_encoder_without_a_copy(layout: str, size: tuple[int, int]) -> None:
    """Planes are read-only for the chain, but their memory is not: DLPack refuses that."""
    target = "yuv420p10le" if layout == "p010le" else "yuv420p"
    info = replace(info_for(VideoFrame(64, 48, layout)), picture_format=target)
    picture = source.to_picture(VideoFrame(*size, layout), info)
    assert not any(plane.flags.writeable for plane in picture.planes)
    assert all(_unlocked(plane).flags.writeable for plane in picture.planes)


def test_pixels_that_are_not_square_may_become_so() -> None:
    info = replace(info_for(VideoFrame(144, 116, "yuv420p")), sample_aspect_ratio=Fraction(64, 45))
    assert _shown((320, 180), info) == (144, 116)
    assert _shown((140, 116), info) == (144, 116)


#: Supplemental information (ITU-T H.264, 7.3.2.3) of one closed caption, and of HDR10+.
CAPTION = b"\xb5\x00\x31GA94\x03\x41\xff\xfc\x80\x80\xff"
HDR10_PLUS = b"\xb5\x00\x3c\x00\x01\x04\x01\x40"


@pytest.mark.parametrize(
    ("payload", "name"),
    [(CAPTION, "closed captions inside the video"), (HDR10_PLUS, "HDR10+ metadata")],
)
def test_what_begins_later_inside_the_video_is_told(payload: bytes, name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.h264"
    write(path, Clip(frames=20, options={"g": "10", "bf": "0"}))
    data = path.read_bytes()
    second = [at for at in range(len(data)) if data[at : at + 4] == b"\0\0\1\x65"][1]
    unit = b"\0\0\1\x06\x04" + bytes([len(payload)]) + payload + b"\x80"
    path.write_bytes(data[:second] + unit + data[second:])
    info = probe(path)
    notes: list[str] = []
    assert name not in info.dropped
    assert len(list(read_frames(path, info, None, notes.append))) == 20
    assert notes == [f"removed from later frames: {name}"]


def test_a_truncated_file_gives_the_frames_it_has(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", pts=50, options={"g": "5"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    assert 20 <= len(list(read_frames(path, probe(path)))) <= 40


def test_broken_packets_do_not_end_the_stream(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.ts", pts=60, options={"g": "4", "bf": "2"})
    data = bytearray(path.read_bytes())
    draw = random.Random(5)
    for packet in range(len(data) // 188 * 3 // 10, len(data) // 188 * 7 // 10):
        if draw.random() < 0.6:  # payloads only, so that the container stays readable
            at = packet * 188 + 8
            data[at : at + 180] = draw.randbytes(180)
    broken = tmp_path / "broken.ts"
    broken.write_bytes(data)
    skipped: list[str] = []
    frames = list(read_frames(broken, probe(path), skipped.append))
    assert len(frames) < 60 or skipped
    assert frames[-1].pts == list(read_frames(path, probe(path)))[-1].pts
    assert all(a.pts < b.pts for a, b in itertools.pairwise(frames))


def test_undecodable_packets_are_counted(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.avi", pts=20, codec="png", pixel_format="rgb24")
    data = path.read_bytes()
    at = [i for i in range(len(data)) if data.startswith(b"\x89PNG", i)][7]
    path.write_bytes(data[: at + 8] + b"\xff" * 20 + data[at + 28 :])
    skipped: list[str] = []
    frames = list(read_frames(path, probe(path), skipped.append))
    assert len(skipped) == 1
    assert "could not be decoded" in skipped[0]
    assert len(frames) >= 18
    assert frames[-1].pts == 19


def test_a_stream_that_appears_later_is_no_error() -> None:
    class Container:
        """As PyAV behaves, depending on what was in memory before."""

        def demux(self, *_streams: object) -> Iterator[str]:
            yield "a packet"
            raise IndexError("list index out of range")

    assert list(packets_of(Container())) == ["a packet"]  # type: ignore[arg-type, comparison-overlap]


def test_a_reading_error_comes_after_the_frames(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = probe(clip)
    monkeypatch.setattr(source, "open_input", FailingInput)
    seen: list[RawFrame] = []
    with pytest.raises(SourceError, match=r"reading .* failed"):
        seen.extend(read_frames(clip, info))
    assert len(seen) == 8


class FailingInput:
    """A container whose demuxer fails after eight packets."""

    def __init__(self, path: Path, _gpu: int | None = None) -> None:
        self.opened = av.open(str(path))
        self.streams = self.opened.streams

    def __enter__(self) -> FailingInput:
        return self

    def __exit__(self, *_: object) -> None:
        self.opened.close()

    @property
    def format(self) -> ContainerFormat:
        return self.opened.format

    def demux(self, stream: VideoStream, *_: Stream) -> Iterator[Packet[VideoStream]]:
        yield from itertools.islice(self.opened.demux(stream), 8)
        av.error.err_check(-errno.EIO)


@given(st.lists(st.one_of(st.none(), st.integers(-(10**6), 10**6)), max_size=60), st.integers(1, 5000))
def test_times_always_increase(stamps: list[int | None], step: int) -> None:
    previous: int | None = None
    for stamp in stamps:
        now = source._next_pts(stamp, previous, step)
        assert previous is None or now > previous
        if stamp is not None and (previous is None or stamp > previous):
            assert now == stamp
        previous = now


def test_broken_times_change_as_little_as_can_be() -> None:
    stamps = [0, 40, 40, 80, None, 160, 150, 200, 0, 40]
    fixed: list[int] = []
    for stamp in stamps:
        fixed.append(source._next_pts(stamp, fixed[-1] if fixed else None, 40))
    assert fixed == [0, 40, 41, 80, 120, 160, 161, 200, 240, 280]


def test_closing_early_closes_the_file(clip: Path) -> None:
    frames = read_frames(clip, replace(probe(clip), name="x"))
    next(frames)
    frames.close()
    assert next(frames, None) is None


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("b_frames", "begin"), [(0, -560), (3, -560), (5, -80), (5, -2000)])
def test_matroska_before_zero_keeps_its_times(tmp_path: Path, b_frames: int, begin: int, seed: int) -> None:
    """FFmpeg tells none of them, and with B-frames not in one go either; some have no decoding time."""
    path, draw = tmp_path / "a.mkv", np.random.default_rng(seed)
    picture = draw.integers(0, 256, (48, 64, 3), np.uint8)
    with av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as output:
        stream = output.add_stream("libx264", rate=Fraction(25, 2), options={"bf": str(b_frames)})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(30):
            if draw.random() < 0.3:  # which pictures change decides how x264 reorders them
                picture = draw.integers(0, 256, (48, 64, 3), np.uint8)
            frame = VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = begin + index * 80, Fraction(1, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    frames = list(read_frames(path, probe(path)))
    assert [frame.pts for frame in frames] == [begin + index * 80 for index in range(30)]
