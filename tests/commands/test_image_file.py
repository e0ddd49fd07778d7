from __future__ import annotations

import functools
import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, PngImagePlugin, TiffImagePlugin

from streamanon.api import Anonymizer
from streamanon.commands.image_file import run_image
from streamanon.config import ComputeConfig, Config, CoverConfig, LookaheadConfig
from streamanon.detect.detection_interval import Extent
from streamanon.errors import ConfigError, SinkError, SourceError
from streamanon.media.images import read_image, read_image_file
from streamanon.runtime.models import Engines
from streamanon.runtime.run_report import RunReport
from streamanon.testing.fakes import FakeDetector
from streamanon.types import Faces, RawFrame

FACE = (20.0, 10.0, 50.0, 44.0)
ORIENTATION = 0x0112
DEMO = Path(__file__).parents[1] / "data" / "demo.mp4"


#: What stands for a raw picture in a file: any of its bytes would be found again.
PREVIEW = b"RawFaceOfAPreview"
CONFIG = Config(
    cover=CoverConfig("solid", margin=0.25),
    lookahead=LookaheadConfig(seconds=0.2),
    compute=ComputeConfig("onnxruntime", 1),
)


class _InColour(FakeDetector):
    """Finds nothing in grey pictures, as which transparency is searched."""

    def detect(self, frame: RawFrame, extent: Extent = "next") -> Faces:
        first, *others = frame.picture.planes
        grey = all((first == one).all() for one in others)
        return Faces.empty() if grey else super().detect(frame, extent)


@pytest.fixture(scope="module")
def anonymizer(engines: Engines) -> Anonymizer:
    made = Anonymizer(CONFIG)
    made.face_search = lambda *_: _InColour({0: [FACE] * 100})  # type: ignore[method-assign]
    return made


def noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 255, shape, np.uint8)


def smooth(height: int = 60, width: int = 80) -> NDArray[np.uint8]:
    """A gradient [height, width, 3], which lossy formats keep within a few levels."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 2, y * 3, 200 - x], axis=2).astype(np.uint8)


def is_covered(rgb: NDArray[np.uint8], tolerance: int = 0) -> bool:
    """Whether the middle of the fake face is of one colour."""
    inside = rgb[15:40, 25:45, :3].reshape(-1, 3).astype(int)
    return bool((np.ptp(inside, axis=0) <= tolerance).all())


def done(anonymizer: Anonymizer, source: Path, output: Path) -> RunReport:
    return run_image(anonymizer, str(source), output, overwrite=False)


def opened(path: Path) -> Any:
    image = Image.open(path)
    image.load()
    return image


LOSSLESS, LOSSY = ("png", "bmp", "tiff", "webp"), ("jpg", "jfif", "avif", "heic")


def save(image: Any, path: Path, **options: Any) -> None:
    if path.suffix == ".heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    image.save(path, **options)


@pytest.mark.parametrize("suffix", [*LOSSLESS, *LOSSY])
def test_every_format_is_read_covered_and_written(
    suffix: str, anonymizer: Anonymizer, tmp_path: Path
) -> None:
    before = smooth()
    source, output = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    options: dict[str, Any] = {"lossless": True} if suffix == "webp" else {}
    save(Image.fromarray(before), source, **options)
    done(anonymizer, source, output)
    after = read_image(output)
    assert is_covered(after, 0 if suffix in LOSSLESS else 6)
    apart = np.abs(after[57:].astype(int) - before[57:].astype(int)).max()
    assert apart == 0 if suffix in LOSSLESS else apart < 20


def test_a_file_is_known_by_its_content(anonymizer: Anonymizer, tmp_path: Path) -> None:
    Image.fromarray(smooth()).save(tmp_path / "a.jpg", "WEBP")
    done(anonymizer, tmp_path / "a.jpg", tmp_path / "b.png")
    assert opened(tmp_path / "b.png").format == "PNG"


def test_a_missing_library_is_told(
    anonymizer: Anonymizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    with pytest.raises(ConfigError, match="pip install pillow-heif"):
        done(anonymizer, tmp_path / "a.heic", tmp_path / "b.jpg")
    Image.fromarray(smooth()).save(tmp_path / "a.png")
    with pytest.raises(ConfigError, match=r"a \.heic file needs a library"):
        done(anonymizer, tmp_path / "a.png", tmp_path / "b.heic")


@functools.cache
def profile() -> bytes:
    """An ICC profile: one, as each tells when it was made."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff", "avif"])
def test_the_colour_profile_is_kept(suffix: str, anonymizer: Anonymizer, tmp_path: Path) -> None:
    Image.fromarray(smooth()).save(tmp_path / f"a.{suffix}", icc_profile=profile())
    report = done(anonymizer, tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}")
    assert opened(tmp_path / f"b.{suffix}").info["icc_profile"] == profile()
    assert not report.notes


def with_tags(bare: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A profile with further tags at its end, and bytes that belong to none."""
    (count,) = struct.unpack_from(">I", bare, 128)
    begin, grown = 132 + 12 * count, 12 * len(tags)
    table = b""
    for number in range(count):
        name, at, size = struct.unpack_from(">4sII", bare, 132 + 12 * number)
        table += struct.pack(">4sII", name, at + grown, size)
    at = len(bare) + grown
    for name, data in tags.items():
        table += struct.pack(">4sII", name, at, len(data))
        at += len(data)
    made = bytearray(bare[:128] + struct.pack(">I", count + len(tags)) + table + bare[begin:])
    made += b"".join(tags.values()) + PREVIEW
    made[:4] = struct.pack(">I", len(made))
    return bytes(made)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff", "avif"])
def test_a_colour_profile_brings_nothing_but_colours(
    suffix: str, anonymizer: Anonymizer, tmp_path: Path
) -> None:
    """As those hold the monitor's number that a calibration made, or whatever somebody put there."""
    full = with_tags(profile(), {b"meta": b"dict" + PREVIEW, b"targ": b"text" + PREVIEW})
    ImageCms.ImageCmsProfile(io.BytesIO(full))  # no reader minds
    Image.fromarray(smooth()).save(tmp_path / f"a.{suffix}", icc_profile=full)
    done(anonymizer, tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}")
    assert opened(tmp_path / f"b.{suffix}").info["icc_profile"] == profile()


@pytest.mark.parametrize(
    "broken", [b"", b"no profile", profile()[:-300], with_tags(profile(), {b"desc": b""})]
)
def test_a_damaged_colour_profile_is_dropped(broken: bytes, anonymizer: Anonymizer, tmp_path: Path) -> None:
    header = profile()[:128] if len(broken) < 128 else b""
    Image.fromarray(smooth()).save(tmp_path / "a.png", icc_profile=header + broken)
    report = done(anonymizer, tmp_path / "a.png", tmp_path / "b.png")
    assert "icc_profile" not in opened(tmp_path / "b.png").info
    assert report.notes == ("its colour profile is damaged and dropped",)


def test_a_colour_profile_that_cannot_be_kept_is_told(anonymizer: Anonymizer, tmp_path: Path) -> None:
    Image.fromarray(smooth()).save(tmp_path / "a.png", icc_profile=profile())
    report = done(anonymizer, tmp_path / "a.png", tmp_path / "b.bmp")
    assert "cannot store a colour profile" in " ".join(report.notes)


def test_cmyk_becomes_rgb_and_is_told(anonymizer: Anonymizer, tmp_path: Path) -> None:
    Image.fromarray(smooth()).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    report = done(anonymizer, tmp_path / "a.jpg", tmp_path / "b.jpg")
    assert report.notes == ("converted from CMYK to RGB",)
    assert np.abs(read_image(tmp_path / "b.jpg")[50:].astype(int) - smooth()[50:]).mean() < 6


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    "suffix", ["png", *(pytest.param(one, marks=pytest.mark.slow) for one in ("webp", "tiff"))]
)
def test_transparency_is_turned_with_the_picture(
    orientation: int, suffix: str, anonymizer: Anonymizer, tmp_path: Path
) -> None:
    before = np.dstack([smooth(), smooth()[..., 1]])  # the green is the alpha
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    options: dict[str, Any] = {"lossless": True, "exact": True} if suffix == "webp" else {}
    Image.fromarray(before).save(tmp_path / f"a.{suffix}", exif=tags, **options)
    done(anonymizer, tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}")
    after = np.asarray(opened(tmp_path / f"b.{suffix}"))
    assert after.shape[:2] == ((60, 80) if orientation < 5 else (80, 60))
    bare = (np.indices(after.shape[:2])[0] > 58) | (np.indices(after.shape[:2])[1] > 62)
    assert (after[bare][:, 3] == after[bare][:, 1]).all()
    assert ORIENTATION not in opened(tmp_path / f"b.{suffix}").getexif()


def test_transparency_that_cannot_be_kept_is_told(anonymizer: Anonymizer, tmp_path: Path) -> None:
    before = np.dstack([smooth(), np.zeros((60, 80), np.uint8)])
    Image.fromarray(before).save(tmp_path / "a.png")
    report = done(anonymizer, tmp_path / "a.png", tmp_path / "b.jpg")
    assert report.notes == (".jpg cannot store transparency: it becomes white",)
    assert read_image(tmp_path / "b.jpg").min() > 250


@pytest.mark.parametrize("ground", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_a_face_in_the_transparency_does_not_pass(ground: str, engines: Engines, tmp_path: Path) -> None:
    with av.open(str(DEMO)) as video:
        grey = next(video.decode(video=0)).to_ndarray(format="gray")
    ink, alpha = (0, 255 - grey) if ground == "light" else (255, grey)
    Image.fromarray(np.dstack([np.full((*grey.shape, 3), ink, np.uint8), alpha])).save(tmp_path / "a.png")
    report = done(Anonymizer(CONFIG), tmp_path / "a.png", tmp_path / "b.png")
    assert opened(tmp_path / "b.png").mode == "RGB"
    assert np.ptp(read_image(tmp_path / "b.png")) == 0
    assert "transparency is removed, as it shows a face" in report.notes


def test_transparency_that_could_not_be_searched_does_not_pass(engines: Engines, tmp_path: Path) -> None:
    failing = Anonymizer(CONFIG)
    failing.face_search = lambda *_: FakeDetector({}, fails={0})  # type: ignore[method-assign]
    Image.fromarray(np.dstack([smooth(), smooth()[..., 1]])).save(tmp_path / "a.png")
    done(failing, tmp_path / "a.png", tmp_path / "b.png")
    assert opened(tmp_path / "b.png").mode == "RGB"


def test_16_bits_are_told_and_grey_keeps_its_levels(anonymizer: Anonymizer, tmp_path: Path) -> None:
    deep = (smooth()[..., 0].astype(np.uint16) * 257).astype(np.uint16)
    for suffix in ("png", "tiff"):
        cv2.imwrite(str(tmp_path / f"a.{suffix}"), deep)
        report = done(anonymizer, tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}")
        assert report.notes == ("reduced from 16 to 8 bits per sample",)
        assert (read_image(tmp_path / f"b.{suffix}")[58:, :, 0] == smooth()[58:, :, 0]).all()


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_16_bits_whose_white_is_zero_are_no_negative(
    compression: str | None, anonymizer: Anonymizer, tmp_path: Path
) -> None:
    """In a negative no face would be found."""
    deep = (smooth()[..., 0].astype(np.uint16) * 257).astype(np.uint16)
    Image.fromarray(0xFFFF - deep).save(tmp_path / "a.tif", compression=compression)
    data = bytearray((tmp_path / "a.tif").read_bytes())
    black_is_zero = struct.pack("<HHIHH", 262, 3, 1, 1, 0)
    assert data.count(black_is_zero) == 1
    (tmp_path / "a.tif").write_bytes(data.replace(black_is_zero, struct.pack("<HHIHH", 262, 3, 1, 0, 0)))
    done(anonymizer, tmp_path / "a.tif", tmp_path / "b.tif")
    assert (read_image(tmp_path / "b.tif")[58:, :, 0] == smooth()[58:, :, 0]).all()


def test_a_tiff_of_64_bit_places_is_read(anonymizer: Anonymizer, tmp_path: Path) -> None:
    Image.fromarray(smooth()).save(tmp_path / "a.tif", big_tiff=True)
    done(anonymizer, tmp_path / "a.tif", tmp_path / "b.tif")
    assert (read_image(tmp_path / "b.tif")[58:] == smooth()[58:]).all()


def test_samples_that_are_no_whole_numbers_are_told(anonymizer: Anonymizer, tmp_path: Path) -> None:
    Image.fromarray(smooth()[..., 0].astype(np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(SourceError, match=r"a\.tif has samples that are not integers; convert"):
        done(anonymizer, tmp_path / "a.tif", tmp_path / "b.tif")


def pages(path: Path) -> None:
    """Three, the second of another size."""
    made = [Image.fromarray(smooth(*size)) for size in ((60, 80), (90, 120), (60, 80))]
    made[0].save(path, save_all=True, append_images=made[1:])


def test_all_pages_of_a_file_stay_and_are_covered(anonymizer: Anonymizer, tmp_path: Path) -> None:
    pages(tmp_path / "a.tiff")
    report = done(anonymizer, tmp_path / "a.tiff", tmp_path / "b.tiff")
    after = read_image_file(tmp_path / "b.tiff").frames
    assert [frame.rgb.shape for frame in after] == [(60, 80, 3), (90, 120, 3), (60, 80, 3)]
    assert all(is_covered(frame.rgb) for frame in after)
    assert (after[1].rgb[57:] == smooth(90, 120)[57:]).all()
    assert report.notes == ()
    assert (report.frames_in, report.tally.frames, report.tally.faces) == (3, 3, 3)


def test_smaller_copies_of_pages_are_left_out(anonymizer: Anonymizer, tmp_path: Path) -> None:
    """A face in them may be too small to be found."""
    with TiffImagePlugin.AppendingTiffWriter(tmp_path / "a.tif", True) as file:
        for size, reduced in (((60, 80), 0), ((15, 20), 1), ((90, 120), 2)):
            Image.fromarray(smooth(*size)).save(file, "TIFF", tiffinfo={254: reduced})
            file.newFrame()
    report = done(anonymizer, tmp_path / "a.tif", tmp_path / "b.tif")
    after = read_image_file(tmp_path / "b.tif").frames
    assert [frame.rgb.shape for frame in after] == [(60, 80, 3), (90, 120, 3)]
    assert report.notes == ("smaller copies of other pages are left out",)


def test_the_main_picture_of_several_is_kept(anonymizer: Anonymizer, tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    several = heif.from_pillow(Image.fromarray(255 - smooth()))
    several.add_from_pillow(Image.fromarray(smooth()))
    several.save(tmp_path / "a.heic", primary_index=1, quality=95)
    report = done(anonymizer, tmp_path / "a.heic", tmp_path / "b.png")
    assert np.abs(read_image(tmp_path / "b.png")[50:].astype(int) - smooth()[50:]).mean() < 6
    assert report.notes == ("only the main one of the 2 pictures in the file is kept",)


def test_pages_that_a_format_does_not_hold_are_told(anonymizer: Anonymizer, tmp_path: Path) -> None:
    pages(tmp_path / "a.tiff")
    report = done(anonymizer, tmp_path / "a.tiff", tmp_path / "b.png")
    assert report.notes == (".png cannot hold several pages: only the first of 3 is kept",)
    assert len(read_image_file(tmp_path / "b.png").frames) == 1


def test_pages_are_too_large_together(
    anonymizer: Anonymizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages(tmp_path / "a.tiff")
    monkeypatch.setattr("streamanon.media.images.MAX_PIXELS", 20_000)
    with pytest.raises(SourceError, match="more than 0 million pixels in all its pages; scale it down"):
        done(anonymizer, tmp_path / "a.tiff", tmp_path / "b.tiff")


def animation(path: Path, count: int = 6) -> list[int]:
    """Frames of noise, each for another time, played three times; returns the times, ms."""
    times = [40 * (1 + number % 3) for number in range(count)]
    frames = [Image.fromarray(np.roll(smooth(), number * 7, axis=1)) for number in range(count)]
    options: dict[str, Any] = {"lossless": True} if path.suffix == ".webp" else {}
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=times, loop=3, **options)
    return times


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "apng"])
def test_an_animation_stays_one(suffix: str, anonymizer: Anonymizer, tmp_path: Path) -> None:
    source, output = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    times = animation(source)
    report = done(anonymizer, source, output)
    before, after = read_image_file(source), read_image_file(output)
    assert [frame.milliseconds for frame in after.frames] == times
    assert after.loops == before.loops == 3
    assert report.tally.frames == 6
    assert all(is_covered(frame.rgb, 3 if suffix == "gif" else 0) for frame in after.frames)
    for one, two in zip(before.frames, after.frames, strict=True):
        apart = np.abs(one.rgb[57:].astype(int) - two.rgb[57:].astype(int))
        assert apart.mean() < 4 if suffix == "gif" else apart.max() == 0


@pytest.mark.parametrize("suffix", ["jpg", "bmp", "tiff"])
def test_an_animation_does_not_become_a_still(suffix: str, anonymizer: Anonymizer, tmp_path: Path) -> None:
    animation(tmp_path / "a.gif")
    with pytest.raises(ConfigError, match=r"with \.gif, \.png or \.webp"):
        done(anonymizer, tmp_path / "a.gif", tmp_path / f"b.{suffix}")
    assert not (tmp_path / f"b.{suffix}").exists()


def gif_frame(image: Any) -> Any:
    """One colour, with its transparency."""
    made = Image.fromarray(np.where(np.asarray(image)[..., 3] > 0, 1, 0).astype(np.uint8), "P")
    made.putpalette([0, 0, 0, 200, 100, 50])
    made.info["transparency"] = 0
    return made


def test_frames_of_an_animation_keep_their_transparency(anonymizer: Anonymizer, tmp_path: Path) -> None:
    frames = []
    for number in range(1, 4):
        alpha = np.zeros((60, 80), np.uint8)
        alpha[:, number * 20 :] = 255
        frames.append(Image.fromarray(np.dstack([smooth(), alpha])))
    for suffix in ("png", "webp", "gif"):
        path = tmp_path / f"a.{suffix}"
        made = [gif_frame(frame) for frame in frames] if suffix == "gif" else frames
        options: dict[str, Any] = {} if suffix == "webp" else {"disposal": 2}
        options |= {"transparency": 0, "optimize": False} if suffix == "gif" else {}
        made[0].save(path, save_all=True, append_images=made[1:], duration=50, **options)
        before = read_image_file(path)
        done(anonymizer, path, tmp_path / f"b.{suffix}")
        after = read_image_file(tmp_path / f"b.{suffix}")
        for one, two in zip(before.frames, after.frames, strict=True):
            assert one.alpha is not None
            assert two.alpha is not None
            assert (one.alpha == two.alpha).all()


def test_no_tag_comes_along(anonymizer: Anonymizer, tmp_path: Path) -> None:
    tags = Image.Exif()
    tags[0x010E] = "SecretPlace"
    picture = Image.fromarray(smooth())
    for suffix in ("jpg", "png", "webp", "tiff", "avif", "gif"):
        options: dict[str, Any] = {"exif": tags} if suffix != "gif" else {"comment": b"SecretPlace"}
        options |= {"xmp": b"<x>SecretPlace</x>"} if suffix in ("jpg", "webp", "avif") else {}
        options |= {"comment": b"SecretPlace"} if suffix == "jpg" else {}
        picture.save(tmp_path / f"a.{suffix}", **options)
        assert b"SecretPlace" in (tmp_path / f"a.{suffix}").read_bytes()
        done(anonymizer, tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}")
        assert b"SecretPlace" not in (tmp_path / f"b.{suffix}").read_bytes()


def jpeg_with_previews(path: Path) -> None:
    """With a picture in EXIF, XMP, Photoshop's block, JUMBF, a second picture after it (MPF), a comment,
    and bytes at the end.
    """
    tags = Image.Exif()
    tags.get_ifd(0x8769)[0x927C] = b"maker" + PREVIEW
    packed = io.BytesIO()
    first, second = Image.fromarray(smooth()), Image.fromarray(smooth(30, 40))
    first.save(packed, "MPO", save_all=True, append_images=[second], exif=tags, comment=PREVIEW)
    blocks = {
        0xE1: b"http://ns.adobe.com/xap/1.0/\0<xmpGImg:image>" + PREVIEW,
        0xED: b"Photoshop 3.0\x008BIM\x04\x0c\0\0" + struct.pack(">I", len(PREVIEW)) + PREVIEW,
        0xEB: b"JP\0\1\0\0\0\1" + struct.pack(">I", 8 + len(PREVIEW)) + b"jumb" + PREVIEW,
    }
    data = packed.getvalue()
    added = b"".join(struct.pack(">HH", 0xFF00 | m, 2 + len(one)) + one for m, one in blocks.items())
    path.write_bytes(data[:2] + added + data[2:] + PREVIEW)


def png_with_previews(path: Path) -> None:
    """In chunks of text, of EXIF and of somebody's own, and after the end."""
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Thumbnail", PREVIEW.decode())
    texts.add_itxt("XML:com.adobe.xmp", PREVIEW.decode())
    texts.add(b"prVw", PREVIEW)
    Image.fromarray(smooth()).save(path, pnginfo=texts, exif=b"Exif\0\0" + PREVIEW)
    path.write_bytes(path.read_bytes() + PREVIEW)


def tiff_with_previews(path: Path) -> None:
    """In its own tags: XMP, Photoshop's pictures and somebody's."""
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    for number in (700, 34377, 50000):
        tags[number] = PREVIEW
        tags.tagtype[number] = 7
    Image.fromarray(smooth()).save(path, tiffinfo=tags)


def webp_with_previews(path: Path) -> None:
    Image.fromarray(smooth()).save(path, exif=b"Exif\0\0" + PREVIEW, xmp=PREVIEW)
    path.write_bytes(path.read_bytes() + PREVIEW)


def gif_with_previews(path: Path) -> None:
    Image.fromarray(smooth()).save(path, comment=PREVIEW)
    path.write_bytes(path.read_bytes() + PREVIEW)


@pytest.mark.parametrize(
    ("suffix", "make"),
    [
        ("jpg", jpeg_with_previews),
        ("png", png_with_previews),
        ("tiff", tiff_with_previews),
        ("webp", webp_with_previews),
        ("gif", gif_with_previews),
    ],
)
def test_nothing_raw_is_left_in_the_file(
    suffix: str, make: Callable[[Path], None], anonymizer: Anonymizer, tmp_path: Path
) -> None:
    """Whichever format it becomes."""
    source = tmp_path / f"a.{suffix}"
    make(source)
    assert PREVIEW in source.read_bytes()
    for number, other in enumerate(("jpg", "png", "webp", "tiff", "avif", "gif", "bmp")):
        output = tmp_path / f"b{number}.{other}"
        done(anonymizer, source, output)
        data = output.read_bytes()
        assert PREVIEW not in data
        assert data.count(b"\xff\xd8\xff") == (other == "jpg")
        with Image.open(output) as made:
            assert getattr(made, "n_frames", 1) == 1


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif", "tiff", "avif", "bmp"])
def test_a_torn_file_is_told(suffix: str, anonymizer: Anonymizer, tmp_path: Path) -> None:
    packed = io.BytesIO()
    kind = {"jpg": "JPEG"}.get(suffix, suffix.upper())
    Image.fromarray(noise(60, 80, 3)).save(packed, kind)
    data = packed.getvalue()
    (tmp_path / f"a.{suffix}").write_bytes(data[: len(data) // 2])
    with pytest.raises(SourceError, match="is damaged"):
        done(anonymizer, tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}")
    assert not (tmp_path / f"b.{suffix}").exists()


def test_an_animation_of_too_many_pixels_is_refused(
    anonymizer: Anonymizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    animation(tmp_path / "a.gif")
    monkeypatch.setattr("streamanon.media.images.MAX_PIXELS", 5 * 60 * 80)
    with pytest.raises(SourceError, match="scale it down"):
        done(anonymizer, tmp_path / "a.gif", tmp_path / "b.gif")


def test_a_png_stays_bit_for_bit_but_for_the_face(anonymizer: Anonymizer, tmp_path: Path) -> None:
    before = noise(61, 81, 3)
    Image.fromarray(before).save(tmp_path / "a.png")
    done(anonymizer, tmp_path / "a.png", tmp_path / "b.png")
    after = np.asarray(opened(tmp_path / "b.png"))
    assert (after[58:] == before[58:]).all()
    assert (after[:, 62:] == before[:, 62:]).all()
    assert is_covered(after)


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_is_told(content: bytes, anonymizer: Anonymizer, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(SourceError, match=r"is no PNG, JPEG|is damaged"):
        done(anonymizer, tmp_path / "a.png", tmp_path / "b.png")
    assert not (tmp_path / "b.png").exists()


def test_images_with_impossible_outputs_are_told(anonymizer: Anonymizer, tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    Image.fromarray(smooth()).save(source)
    outputs: tuple[tuple[Path, type[Exception], str], ...] = (
        (tmp_path / "b.mp4", ConfigError, "an image becomes an image"),
        (Path("-.mp4"), ConfigError, "standard output is for videos; give -o a file"),
        (source, ConfigError, "is the input itself"),
        (tmp_path / "missing" / "b.png", SinkError, "cannot write"),
    )
    for output, error, words in outputs:
        with pytest.raises(error, match=words):
            done(anonymizer, source, output)
    with pytest.raises(SourceError, match="cannot read"):
        done(anonymizer, tmp_path / "x.png", tmp_path / "y.png")
