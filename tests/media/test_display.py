"""What is needed to show a video as it was meant survives, or is told."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from clips import pass_through, write_clip
from odd_media import Clip, Sound, join, write

from streamanon.config import OutputConfig
from streamanon.cover.chosen_tracks import moment_of
from streamanon.cover.keeping import area_of
from streamanon.media.decode import read_frames
from streamanon.media.display import HdrLight, as_shown, is_mirrored, rotation_of
from streamanon.media.probe import probe

#: The linear parts of all display matrices of quarter turns, mirrored and not: a, b, c, d.
EVERY_TURN = [
    *((a, 0, 0, d) for a in (1, -1) for d in (1, -1)),
    *((0, b, c, 0) for b in (1, -1) for c in (1, -1)),
]
LIGHT = HdrLight(
    primaries=tuple(
        Fraction(n, 50_000) for n in (34_000, 16_000, 13_250, 34_500, 7_500, 3_000, 15_635, 16_450)
    ),
    luminance=(Fraction(50, 10_000), Fraction(1000)),
    content=(1000, 400),
)
HDR = Clip(
    frames=5,
    codec="libx265",
    pixel_format="yuv420p10le",
    colour=(9, 16, 9, 1),
    options={
        "x265-params": "log-level=error:hdr10=1:max-cll=1000,400:master-display="
        "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
    },
)


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_the_light_of_hdr10_stays(tmp_path: Path, codec: str, suffix: str) -> None:
    write(tmp_path / "a.mp4", HDR)
    assert probe(tmp_path / "a.mp4").hdr == LIGHT
    target = tmp_path / f"b{suffix}"
    sink = pass_through(tmp_path / "a.mp4", target, OutputConfig(codec, preset="ultrafast"))  # type: ignore[arg-type]
    assert not sink.notes
    after = probe(target)
    assert (after.hdr, after.pixel_format) == (LIGHT, "yuv420p10le")
    assert (after.colour.primaries, after.colour.transfer, after.colour.matrix) == (9, 16, 9)


def test_lost_light_of_hdr10_is_told(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", HDR)
    sink = pass_through(tmp_path / "a.mp4", tmp_path / "b.mkv", OutputConfig("ffv1"))
    assert sink.notes == ("ffv1 does not keep the mastering display and light level of HDR10",)


@pytest.mark.parametrize("fields", ["tff", "bff"])
@pytest.mark.parametrize(
    ("suffix", "codec"), [(".mp4", "h264"), (".mkv", "h264"), (".ts", "h264"), (".mkv", "ffv1")]
)
def test_fields_stay_in_their_order(tmp_path: Path, fields: str, suffix: str, codec: str) -> None:
    write(tmp_path / "a.mkv", Clip(frames=6, fields=fields, options={"bf": "0"}))
    order = "top first" if fields == "tff" else "bottom first"
    assert probe(tmp_path / "a.mkv").field_order == order
    target = tmp_path / f"b{suffix}"
    sink = pass_through(tmp_path / "a.mkv", target, OutputConfig(codec, preset="ultrafast"))  # type: ignore[arg-type]
    assert not sink.notes
    assert probe(target).field_order == order


def test_interlaced_that_cannot_stay_so_is_told(tmp_path: Path) -> None:
    write(tmp_path / "a.mkv", Clip(frames=3, fields="tff", options={"bf": "0"}))
    sink = pass_through(tmp_path / "a.mkv", tmp_path / "b.mp4", OutputConfig("hevc", preset="ultrafast"))
    assert sink.notes == ("the video is interlaced; hevc stores it as progressive, without deinterlacing",)
    assert not probe(tmp_path / "b.mp4").field_order


@pytest.mark.parametrize(("suffix", "tag"), [(".mp4", "hvc1"), (".mov", "hvc1")])
def test_hevc_is_what_players_look_for(tmp_path: Path, clip: Path, suffix: str, tag: str) -> None:
    pass_through(clip, tmp_path / f"b{suffix}", OutputConfig("hevc", preset="ultrafast"))
    with av.open(str(tmp_path / f"b{suffix}")) as opened:
        assert opened.streams.video[0].codec_context.codec_tag == tag


@pytest.mark.parametrize(
    ("pixel_format", "codec", "colour", "stored"),
    [
        ("yuv444p", "h264", None, "yuv420p"),
        ("yuv422p10le", "hevc", None, "yuv420p"),
        ("yuv422p10le", "hevc", (9, 18, 9, 1), "yuv420p10le"),
        ("gbrp", "vp9", None, "yuv420p"),
        ("yuv422p10le", "ffv1", None, "yuv422p10le"),
    ],
)
def test_players_show_what_is_stored(
    tmp_path: Path, pixel_format: str, codec: str, colour: tuple[int, int, int, int] | None, stored: str
) -> None:
    source = write_clip(
        tmp_path / "a.mkv", pts=3, pixel_format="bgr0" if pixel_format == "gbrp" else pixel_format,
        codec="ffv1", colour=colour,
    )  # fmt: skip
    sink = pass_through(source, tmp_path / "b.mkv", OutputConfig(codec, preset="ultrafast"))  # type: ignore[arg-type]
    assert probe(tmp_path / "b.mkv").pixel_format == stored
    assert bool(sink.notes) == (stored != pixel_format)


def _with_chapters(output: av.container.OutputContainer) -> None:
    tags = {"title": "Anna"}
    output.set_chapters(
        [
            {"id": n, "start": n, "end": n + 1, "time_base": Fraction(1, 2), "metadata": tags}
            for n in range(2)
        ]
    )  # fmt: skip


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_chapters_stay_without_their_titles(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / "a.mkv", Clip(frames=25, extra=_with_chapters))
    target = tmp_path / f"b{suffix}"
    sink = pass_through(tmp_path / "a.mkv", target)
    assert sink.notes == ("removed: titles of 2 chapters",)
    assert b"Anna" not in target.read_bytes()
    with av.open(str(target)) as opened:
        found = [(one["start"] * (one["time_base"] or 0), one["metadata"]) for one in opened.chapters()]
    assert [start for start, _ in found] == [0, Fraction(1, 2)]
    pass_through(
        tmp_path / "a.mkv", tmp_path / f"c{suffix}", OutputConfig(preset="ultrafast", keep_metadata=True)
    )
    with av.open(str(tmp_path / f"c{suffix}")) as opened:
        assert [one["metadata"]["title"] for one in opened.chapters()] == ["Anna", "Anna"]


def test_all_that_is_removed_is_listed(tmp_path: Path) -> None:
    def extra(output: av.container.OutputContainer) -> None:
        output.metadata["title"] = "Secret"
        output.add_attachment("Anna.ttf", "application/x-truetype-font", b"\0\1\0\0" + bytes(99))
        _with_chapters(output)

    clip = Clip(frames=5, sounds=(Sound("aac"),), texts=("hdmv_pgs_subtitle",), extra=extra)
    write(tmp_path / "a.mkv", clip)
    sink = pass_through(
        tmp_path / "a.mkv", tmp_path / "b.mkv", replace(OutputConfig(preset="ultrafast"), audio="drop")
    )
    removed = "; ".join(sink.removed)
    for part in ("attachment, application/x-truetype-font", "titles of 2 chapters", "audio stream 1 (aac)",
                 "subtitle stream 2 (hdmv_pgs_subtitle)", "tags: title"):  # fmt: skip
        assert part in removed
    assert "Anna" not in removed
    assert "Secret" not in removed
    assert len(sink.removed) == 5


def test_a_video_that_becomes_interlaced_is_told(tmp_path: Path) -> None:
    for name, fields in (("a", ""), ("b", "tff")):
        write(tmp_path / f"{name}.ts", Clip(frames=6, fields=fields, options={"bf": "0"}))
    join(tmp_path / "c.ts", tmp_path / "a.ts", tmp_path / "b.ts")
    notes: list[str] = []
    frames = list(read_frames(tmp_path / "c.ts", probe(tmp_path / "c.ts"), None, notes.append))
    assert len(frames) == 12
    assert "some frames are interlaced and stored as progressive, without deinterlacing" in notes


def test_the_first_video_that_can_be_decoded_is_taken(tmp_path: Path) -> None:
    """A stream of a codec that nobody knows does not hide the one behind it."""

    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as output:
        streams = [output.add_stream(codec, rate=25, width=64, height=48) for codec in ("mpeg4", "libx264")]
        for stream in streams:
            assert isinstance(stream, VideoStream)
            stream.codec_context.pix_fmt = "yuv420p"
        for stream in streams:
            assert isinstance(stream, VideoStream)
            for number in range(3):
                frame = VideoFrame(64, 48, "yuv420p")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
    data = path.read_bytes()
    assert data.count(b"V_MPEG4/ISO/ASP") == 1
    path.write_bytes(data.replace(b"V_MPEG4/ISO/ASP", b"V_MPEG4/ISO/ZZZ"))
    found = probe(path)
    assert found.codec == "h264"
    assert found.dropped == ("stream 0: video, unknown codec",)
    assert len(list(read_frames(path, found))) == 3


@pytest.mark.parametrize(
    ("numbers", "shown"),
    [
        ((1, 0, 0, 1), [[0, 1, 2], [3, 4, 5]]),
        ((-1, 0, 0, 1), [[2, 1, 0], [5, 4, 3]]),
        ((1, 0, 0, -1), [[3, 4, 5], [0, 1, 2]]),
        ((0, 1, 1, 0), [[0, 3], [1, 4], [2, 5]]),
        ((0, 1, -1, 0), [[3, 0], [4, 1], [5, 2]]),  # a quarter clockwise, as phones say
        ((0, -1, 1, 0), [[2, 5], [1, 4], [0, 3]]),
    ],
)
def test_pictures_are_turned_and_mirrored_as_shown(
    numbers: tuple[int, int, int, int], shown: list[list[int]]
) -> None:
    a, b, c, d = (number << 16 for number in numbers)
    stored = np.repeat(np.arange(6, dtype=np.uint8).reshape(2, 3, 1), 3, axis=2)
    assert as_shown(stored, (a, b, 0, c, d, 0, 0, 0, 1 << 30))[..., 0].tolist() == shown
    assert as_shown(stored, None) is stored


@pytest.mark.parametrize("numbers", EVERY_TURN)
def test_rotation_and_mirroring_show_what_the_matrix_does(numbers: tuple[int, int, int, int]) -> None:
    """A selfie that is mirrored left to right does not stand on its head, and one mirrored upside down
    does.
    """
    a, b, c, d = (number << 16 for number in numbers)
    matrix = (a, b, 0, c, d, 0, 0, 0, 1 << 30)
    stored = np.repeat(np.arange(6, dtype=np.uint8).reshape(2, 3, 1), 3, axis=2)
    turned = np.rot90(stored, rotation_of(matrix) // 90 % 4)
    shown = turned[:, ::-1] if is_mirrored(matrix) else turned
    assert np.array_equal(shown, as_shown(stored, matrix))


@pytest.mark.parametrize("numbers", EVERY_TURN)
def test_what_is_chosen_lies_where_players_show_it(
    numbers: tuple[int, int, int, int], tmp_path: Path
) -> None:
    """Else somebody else would be left visible."""
    a, b, c, d = (number << 16 for number in numbers)
    info = probe(write_clip(tmp_path / "a.mp4", matrix=(a, b, 0, c, d, 0, 0, 0, 1 << 30)))
    stored = np.zeros((info.height, info.width, 3), np.uint8)
    stored[4:14, 40:60] = 255
    rows, columns = np.nonzero(as_shown(stored, info.display_matrix)[..., 0])
    turns = (info.width, info.height, info.rotation, info.mirrored)
    left, top, right, bottom = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    area = area_of(f"{left},{top},{right},{bottom}", *turns)
    assert area == pytest.approx((40 / 64, 4 / 48, 60 / 64, 14 / 48))
    moment = moment_of(f"0@{columns[0]},{rows[0]}", *turns)
    assert stored[int(moment.y * info.height), int(moment.x * info.width), 0] == 255
