"""Mutated files, huge pictures and odd files end in one sentence, quickly and without much memory."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import fuzz
import numpy as np
import pytest
from clips import write_clip

from streamanon.audit.gallery import read_photo
from streamanon.cli import main
from streamanon.errors import ConfigError, SourceError
from streamanon.gallery.delegates import gallery_of, read_fields
from streamanon.identity import rules
from streamanon.media.decode import read_frames
from streamanon.media.image_headers import MAX_PIXELS, MAX_SIDE, check_size, image_format, image_size
from streamanon.media.images import read_image
from streamanon.media.probe import probe
from streamanon.portraits import import_portraits as additions
from streamanon.runtime.models import Engines

COVER = ("--method", "mosaic", "--backend", "onnxruntime")


def found(count: int, seed: int, folder: Path) -> dict[str, list[str]]:
    (folder / "seeds").mkdir()
    return fuzz.try_all(fuzz.make_samples(fuzz.make_seeds(folder / "seeds"), count, seed), folder)


@pytest.mark.slow
def test_a_few_mutated_files(tmp_path: Path) -> None:
    verdicts = found(20, 3, tmp_path)
    assert set(verdicts) == {"ok", "refused"}, verdicts
    assert min(map(len, verdicts.values())) >= 4


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_hundreds_of_mutated_files(tmp_path: Path) -> None:
    verdicts = found(600, 4, tmp_path)
    assert set(verdicts) == {"ok", "refused"}, verdicts


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_mutated_files_by_the_real_command(tmp_path: Path) -> None:
    (tmp_path / "seeds").mkdir()
    samples = fuzz.make_samples(fuzz.make_seeds(tmp_path / "seeds"), 20, 5)
    assert set(fuzz.try_really(samples, tmp_path)) <= {"ok", "refused"}


def test_the_harness_finds_crashes_hangs_raw_output_and_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clip: Path
) -> None:
    raw = tmp_path / "raw.mp4"
    raw.write_bytes(clip.read_bytes())
    none = tmp_path / "none"
    for code, err, target, words in [
        (0, "", raw, "raw output"),
        (0, "streamanon: ok\nlibpng error\n", none, "others' lines"),
        (1, "", none, "ended with 1"),
        ("crash -11", "", none, "ended with crash -11"),
        (2, "Traceback (most recent call last)", none, "traceback"),
        (2, "", none, "not one sentence"),
        (2, "streamanon: a\nstreamanon: b\n", none, "not one sentence"),
        (
            2,
            "streamanon: unexpected KeyError; this is a bug: please report it",
            none,
            "unexpected error",
        ),
        (2, "streamanon: a", none, "refused"),
    ]:
        assert fuzz.judge({"code": code, "err": err}, target).startswith(words)
    worker = fuzz.Worker()
    monkeypatch.setattr(fuzz, "SECONDS", 0.0)  # nothing is so quick
    assert worker.do(clip, tmp_path / "out.mp4")["code"] == "hang"


def png(width: int, height: int) -> bytes:
    """A tiny file that says it is large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(100_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp"])
@pytest.mark.parametrize("size", [(1, 1), (77, 33), (640, 480)])
def test_the_size_of_images(suffix: str, size: tuple[int, int]) -> None:
    image = np.zeros((size[1], size[0], 3), np.uint8)
    ways = {".jpg": [[], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]], ".webp": [[], [cv2.IMWRITE_WEBP_QUALITY, 50]]}
    for flags in ways.get(suffix, [[]]):
        data = cv2.imencode(suffix, image, flags)[1].tobytes()
        assert image_size(data) == size
        for end in range(0, min(len(data), 700), 7):
            assert image_size(data[:end]) in (None, size)


def test_what_is_no_image_has_no_size() -> None:
    for data in (
        b"",
        b"GIF89a",
        b"RIFF0000WEBPVP9 " + bytes(20),
        b"\xff\xd8",
        b"\xff\xd8" + b"\xff" * 99,
        b"\xff\xd8\xff\xe0\0\0" * 50,
    ):
        assert image_size(data) is None


@pytest.mark.parametrize(
    ("width", "height", "fits"),
    [
        (MAX_SIDE, 100, True),
        (MAX_SIDE + 1, 100, False),
        (100, MAX_SIDE + 1, False),
        (MAX_SIDE, MAX_PIXELS // MAX_SIDE, True),
        (MAX_SIDE, MAX_PIXELS // MAX_SIDE + 1, False),
    ],
)
def test_the_largest_picture(width: int, height: int, fits: bool) -> None:
    if fits:
        check_size(width, height, "a.mp4")
    else:
        with pytest.raises(SourceError, match=rf"a\.mp4 is {width}x{height}; scale it down"):
            check_size(width, height, "a.mp4")


@pytest.mark.parametrize(
    "size",
    [
        (30_000, 30_000),
        *(pytest.param(one, marks=pytest.mark.slow) for one in ((16_000, 16_000), (100_000, 2))),
        (2**31 - 1, 2**31 - 1),
    ],
)
def test_a_huge_image_is_refused_before_it_is_decoded(
    size: tuple[int, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.png").write_bytes(png(*size))
    assert main(["run", str(tmp_path / "in.png"), "-o", str(tmp_path / "out.png"), *COVER]) == 2
    told = capsys.readouterr().err
    assert f"{size[0]}x{size[1]}; scale it down" in told
    assert told.count("\n") == 1


def test_formats_are_told_by_content() -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    names = {
        ".png": "PNG",
        ".jpg": "JPEG",
        ".webp": "WebP",
        ".bmp": "BMP",
        ".tiff": "TIFF",
        ".avif": "AVIF",
    }
    for suffix, name in names.items():
        assert image_format(cv2.imencode(suffix, image)[1].tobytes()) == name


def test_a_canvas_and_an_old_bitmap_tell_their_size() -> None:
    canvas = (60_000 - 1).to_bytes(3, "little")
    assert image_size(b"RIFF0000WEBPVP8X" + bytes(8) + canvas * 2) == (60_000, 60_000)
    assert image_size(b"BM" + bytes(12) + struct.pack("<IHH", 12, 7, 9) + bytes(9)) == (7, 9)
    assert image_size(b"BM" + bytes(12) + struct.pack("<Iii", 40, 7, -9)) == (7, 9)


@pytest.fixture
def _nothing_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.Image.open", refuse)


@pytest.mark.usefixtures("_nothing_is_decoded")
def test_huge_photos_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    (tmp_path / "in.png").write_bytes(png(60_000, 60_000))
    for read, error in (
        (rules._read, ConfigError),
        (additions._read, additions.RefusedError),
        (read_photo, ConfigError),
        (read_image, SourceError),
    ):
        with pytest.raises(error, match="60000x60000; scale it down") as caught:
            read(tmp_path / "in.png")
        assert str(caught.value).count("\n") == 0


def test_a_gallery_with_a_huge_texture_is_refused_before_it_is_decoded(
    engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = read_fields(engines.path("delegates"))
    fields["head"] = np.frombuffer(png(60_000, 60_000), np.uint8)
    decode = cv2.imdecode
    monkeypatch.setattr(cv2, "imdecode", lambda data, flags: decode(_small(data), flags))
    with pytest.raises(ValueError, match="cannot be decoded"):
        gallery_of(fields)


def _small(data: np.ndarray) -> np.ndarray:
    size = image_size(data.tobytes())
    assert size is not None
    assert max(size) <= 512, "decoded"
    return data


def test_a_huge_photo_of_somebody_to_keep_ends_in_one_sentence(
    tmp_path: Path, clip: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "me.png").write_bytes(png(60_000, 60_000))
    command = ["run", str(clip), "-o", str(tmp_path / "out.mp4"), "--backend", "onnxruntime"]
    assert main([*command, "--keep", str(tmp_path / "me.png")]) == 2
    told = capfd.readouterr().err
    assert "me.png is 60000x60000; scale it down" in told
    assert told.count("\n") == 1
    assert not (tmp_path / "out.mp4").exists()


BIG = """
import resource, sys
from streamanon.errors import SourceError
from streamanon.media.probe import probe
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    probe(sys.argv[1])
except SourceError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_a_huge_frame_in_a_video_takes_no_memory(tmp_path: Path) -> None:
    """FFmpeg is kept from making a picture of it, which would take 768 MB."""
    path = tmp_path / "a.mp4"
    path.write_bytes(png(16_000, 16_000))
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", BIG, str(path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    told, megabytes = done.stdout.splitlines()
    assert "can be decoded" in told or "scale it down" in told
    assert int(megabytes) < 200


def test_a_frame_that_becomes_too_large_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "both.ts"
    parts = [write_clip(tmp_path / f"{w}.ts", size=(w, h)) for w, h in ((64, 48), (96, 80))]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    monkeypatch.setattr("streamanon.media.image_headers.MAX_SIDE", 80)
    frames = read_frames(path, probe(path))
    assert [next(frames).index for _ in range(12)] == list(range(12))
    with pytest.raises(SourceError, match="96x80; scale it down"):
        next(frames)


def test_a_missing_image_is_told_and_the_output_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out.png").write_bytes(b"mine")
    assert (
        main(["run", str(tmp_path / "in.png"), "-o", str(tmp_path / "out.png"), "--overwrite", *COVER]) == 2
    )
    assert "in.png: No such file or directory; check the path" in capsys.readouterr().err
    assert (tmp_path / "out.png").read_bytes() == b"mine"


@pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
def test_what_is_no_file_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "in.mp4"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(SourceError, match="is a folder, pipe or device; give a file"):
        probe(path)
