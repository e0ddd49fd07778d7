"""Image files, read upright with transparency, colour profile and all frames of an animation, and written
without any tag but the profile. By Pillow, which is given only the formats below.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile, ImageOps

from streamanon.errors import ConfigError, SinkError, SourceError
from streamanon.media.address import redact_url
from streamanon.media.colour_profile import colours_only
from streamanon.media.image_headers import MAX_PIXELS, check_size, image_format, image_size

Pixels = NDArray[np.uint8]

#: Formats by the suffixes of their files, as Pillow calls them.
SUFFIXES = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"),
    **dict.fromkeys((".png", ".apng"), "PNG"),
    ".webp": "WEBP",
    ".gif": "GIF",
    ".bmp": "BMP",
    **dict.fromkeys((".tif", ".tiff"), "TIFF"),
    ".avif": "AVIF",
    **dict.fromkeys((".heic", ".heif"), "HEIF"),
}
IMAGES = tuple(SUFFIXES)
#: What is read, by content: whatever a file is called.
FORMATS = ("PNG", "JPEG", "WebP", "GIF", "BMP", "TIFF", "AVIF", "HEIF")
#: Formats that hold animations, pages, transparency, colour profiles.
ANIMATED = ("PNG", "WEBP", "GIF", "AVIF")
_PAGED = ("TIFF",)
_TRANSPARENT = ("PNG", "WEBP", "GIF", "TIFF", "AVIF", "HEIF")
_PROFILED = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF")
#: Quality of what is written with loss, of 100.
_QUALITY = 95
_GIF_COLOURS = 256
#: The numbers of TIFF tags (TIFF 6.0, section 8): what a page is for, and the value of white.
_SUBFILE_TYPE, _BITS_PER_SAMPLE, _PHOTOMETRIC = 254, 258, 262
_REDUCED = 1
_WHITE_IS_ZERO, _BLACK_IS_ZERO = 0, 1
#: What a frame of an animation lasts that names no time or next to none, ms: as browsers have it.
_LEAST_MS, _DEFAULT_MS = 11, 100


@dataclass(frozen=True, eq=False, repr=False)
class ImageFrame:
    """Upright pixels ``rgb`` [H, W, 3]; ``alpha`` [H, W]: their transparency, if the file has one.
    ``milliseconds``: how long a frame of an animation lasts, as its file says.
    """

    rgb: Pixels
    alpha: Pixels | None = None
    milliseconds: int = 0

    @property
    def shown_ms(self) -> int:
        return self.milliseconds if self.milliseconds >= _LEAST_MS else _DEFAULT_MS


@dataclass(frozen=True, eq=False, repr=False)
class ImageFileContent:
    """``frames``: one of a still, all of an animation, or the ``pages``, whose sizes may differ.
    ``profile``: the ICC profile of its RGB. ``loops``: how often an animation plays, 0 for ever.
    ``lossless``: whether its format keeps pixels as they are. ``notes``: sentences on what was lost in
    reading.
    """

    frames: tuple[ImageFrame, ...]
    profile: bytes | None = None
    loops: int = 1
    lossless: bool = True
    notes: tuple[str, ...] = ()
    pages: bool = False

    @property
    def is_animation(self) -> bool:
        return len(self.frames) > 1 and not self.pages


def read_image(path: Path, formats: Sequence[str] = FORMATS, name: str | None = None) -> Pixels:
    """Upright pixels [H, W, 3] uint8 RGB of the first frame. ``name``: what errors call the file, its path
    by default.

    Raises :class:`SourceError` for what cannot be read, is of no such format by its content, is too large
    or damaged.
    """
    return read_image_file(path, formats, name, frames=1).frames[0].rgb


def read_image_file(
    path: Path, formats: Sequence[str] = FORMATS, name: str | None = None, frames: int | None = None
) -> ImageFileContent:
    """All that is kept of an image file; ``frames``: of an animation or of pages only so many. Raises as
    :func:`read_image` does.
    """
    name = name or redact_url(str(path))
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SourceError(f"cannot read {name}: {error.strerror}; check the path") from error
    kind = image_format(content)
    if kind is None or kind not in formats:
        raise SourceError(f"{name} is no {_listed(formats)} image; convert it to one")
    size = image_size(content)
    if size is not None:
        check_size(*size, name)
    if kind == "HEIF":
        _know_heif(name)
    try:
        with _quiet(), Image.open(io.BytesIO(content), formats=(kind.upper(),)) as image:
            check_size(*image.size, name)
            return _content(image, content, frames, name)
    except SourceError:
        raise
    except Image.DecompressionBombError:
        raise SourceError(
            f"{name} is too large; scale it down to at most {MAX_PIXELS // 1_000_000} million pixels"
        ) from None
    except MemoryError:
        raise
    except Exception:  # Pillow's decoders raise many kinds
        raise SourceError(f"{name} is damaged; check that it opens elsewhere") from None


def encode_image(suffix: str, image: ImageFileContent) -> tuple[bytes, tuple[str, ...]]:
    """The bytes of a file, and sentences on what its format could not hold.

    ``suffix``: of :data:`IMAGES`. No tag but the colour profile is written. Raises :class:`ConfigError`
    for an animation in a format of stills, and :class:`SinkError` where it cannot be encoded.
    """
    kind = SUFFIXES[suffix]
    if image.is_animation and kind not in ANIMATED:
        raise ConfigError(
            f"an animation cannot become a {suffix} file: end the output's name with .gif, .png or .webp"
        )
    if kind == "HEIF":
        _know_heif(f"a {suffix} file")
    image, notes = _storable(image, suffix)
    pictures = [(_gif_picture if kind == "GIF" else _picture)(frame) for frame in image.frames]
    options = _save_options(kind, image)
    if len(pictures) > 1:
        options |= {"save_all": True, "append_images": pictures[1:]}
    packed = io.BytesIO()
    try:
        with _quiet():
            pictures[0].save(packed, kind, **options)
    except Exception as error:  # as above; a message may hold anything
        raise SinkError(
            f"a {suffix} file cannot hold this image; give a name that ends with .png"
        ) from error
    return packed.getvalue(), tuple(notes)


def _storable(image: ImageFileContent, suffix: str) -> tuple[ImageFileContent, list[str]]:
    """What a file of this suffix can hold of the image, and sentences on what it cannot."""
    kind, notes = SUFFIXES[suffix], []
    if image.pages and kind not in _PAGED:
        notes.append(f"{suffix} cannot hold several pages: only the first of {len(image.frames)} is kept")
        image = replace(image, frames=image.frames[:1])
    if any(frame.alpha is not None for frame in image.frames) and kind not in _TRANSPARENT:
        notes.append(f"{suffix} cannot store transparency: it becomes white")
        image = replace(image, frames=tuple(_on_white(frame) for frame in image.frames))
    if image.profile is not None and kind not in _PROFILED:
        notes.append(
            f"{suffix} cannot store a colour profile: it is dropped, and the colours may look different"
        )
        image = replace(image, profile=None)
    if kind == "GIF":
        notes.append("the colours are reduced to the 256 that a GIF frame holds")
    return image, notes


def _content(image: ImageFile.ImageFile, content: bytes, most: int | None, name: str) -> ImageFileContent:
    kind, count = str(image.format), getattr(image, "n_frames", 1)
    # The first picture of an animated PNG may be for viewers of stills alone: then it is no frame.
    first = int(count > 1 and bool(image.info.get("default_image")))
    animated, pages = (kind in kinds and count - first > 1 for kinds in (ANIMATED, _PAGED))
    loops = _loops(image)
    notes: list[str] = []
    if pages:
        numbers = _without_previews(image, count)
        notes += ["smaller copies of other pages are left out"] * (len(numbers) < count)
    elif animated:
        numbers = list(range(first, count))
    else:
        # The main picture of an HEIC file need not be its first.
        numbers = [image.tell() if kind == "HEIF" else first]
        notes += [f"only the main one of the {count} pictures in the file is kept"] * (count - first > 1)
    numbers = numbers[:most]
    lossless = kind in ("PNG", "BMP", "GIF", "TIFF") or b"VP8L" in content[:4096]
    _check_sizes(image, numbers, pages, name)
    frames, profiles = [], []
    for number in numbers:
        if count > 1:
            image.seek(number)
        if image.mode == "F":
            raise SourceError(f"{name} has samples that are not integers; convert it to 8 or 16 bits")
        notes += _lost_in_reading(image, content)
        negative = _is_read_as_negative(image)
        picture, kept = _to_rgb(_upright(image), image.info.get("icc_profile"))
        bare = None if kept is None else colours_only(kept)
        notes += ["its colour profile is damaged and dropped"] * (bare is None and kept is not None)
        profiles.append(bare)
        pixels = np.asarray(picture, np.uint8)
        alpha = np.ascontiguousarray(pixels[..., 3]) if pixels.shape[2] == 4 else None
        milliseconds = round(float(image.info.get("duration") or 0)) if animated else 0
        rgb = np.ascontiguousarray(pixels[..., :3])
        frames.append(ImageFrame(255 - rgb if negative else rgb, alpha, milliseconds))
    if pages and len(set(profiles)) > 1:
        notes.append("its pages have different colour profiles; all get the first page's")
    once = tuple(dict.fromkeys(notes))
    return ImageFileContent(_alike(frames), profiles[0], loops, lossless, once, pages and len(numbers) > 1)


def _without_previews(image: ImageFile.ImageFile, count: int) -> list[int]:
    """The pages that are no smaller copies of others: in those a face may be too small to be found."""
    kept = []
    for number in range(count):
        image.seek(number)
        if not _tiff_tag(image, _SUBFILE_TYPE, 0) & _REDUCED:
            kept.append(number)
    return kept or [0]


def _is_read_as_negative(image: ImageFile.ImageFile) -> bool:
    """Whether Pillow reads white as black: it turns that round for 8 bits and fewer alone."""
    deep = image.mode.startswith("I")
    return deep and _tiff_tag(image, _PHOTOMETRIC, _BLACK_IS_ZERO) == _WHITE_IS_ZERO


def _tiff_tag(image: ImageFile.ImageFile, tag: int, default: int) -> int:
    """A tag of one number; the default for what is no TIFF or has no such number."""
    value: Any = getattr(image, "tag_v2", {}).get(tag, default)
    return value if isinstance(value, int) else default


def _check_sizes(image: ImageFile.ImageFile, numbers: list[int], pages: bool, name: str) -> None:
    """Before anything is decoded."""
    size = 0
    for number in numbers if pages else numbers[:1]:
        if pages:
            image.seek(number)
            check_size(*image.size, name)
        size += image.width * image.height * (1 if pages else len(numbers))
    if size > MAX_PIXELS:
        kind, parts = ("file", "pages") if pages else ("animation", "frames")
        raise SourceError(
            f"the {kind} {name} has more than {MAX_PIXELS // 1_000_000} million pixels in all its {parts}; "
            "scale it down"
        )


def _alike(frames: list[ImageFrame]) -> tuple[ImageFrame, ...]:
    """All with transparency, if one has some."""
    if all(frame.alpha is None for frame in frames):
        return tuple(frames)
    return tuple(
        replace(f, alpha=np.full(f.rgb.shape[:2], 255, np.uint8) if f.alpha is None else f.alpha)
        for f in frames
    )


def _lost_in_reading(image: ImageFile.ImageFile, content: bytes) -> Iterator[str]:
    bits = _bits(image, content)
    if bits > 8:
        yield f"reduced from {bits} to 8 bits per sample"
    if image.mode in ("CMYK", "LAB"):
        yield f"converted from {image.mode} to RGB"


def _bits(image: ImageFile.ImageFile, content: bytes) -> int:
    """Bits per sample in the file, as far as formats of ours tell."""
    if image.format == "PNG":
        return content[24]
    if image.format == "TIFF":
        bits: Any = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (8,))
        return max(bits) if isinstance(bits, tuple) else int(bits)
    return int(image.info.get("bit_depth", 8))


def _loops(image: ImageFile.ImageFile) -> int:
    """How often an animation plays. A GIF names no number where it plays once."""
    default = 1 if image.format == "GIF" else 0
    return int(image.info.get("loop", default))


def _upright(image: Image.Image) -> Image.Image:
    """Turned as the camera's tag says; as it is, where the tag cannot be read."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        return image


def _to_rgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, bytes | None]:
    """8-bit RGB, or RGBA for what has transparency, and the profile of its colours. Only pixels that are
    not RGB are converted by their profile, to sRGB.
    """
    target = "RGBA" if image.has_transparency_data else "RGB"
    if image.mode in ("RGB", "RGBA", "P", "PA", "RGBX", "RGBa"):
        return image.convert(target), profile if profile and profile[16:20] == b"RGB " else None
    if image.mode.startswith("I"):  # 16 bits of grey, which Pillow would cut off at 255
        deep = np.asarray(image, np.int64).clip(0, 0xFFFF)
        return Image.fromarray((deep // 257).astype(np.uint8)).convert("RGB"), None
    if profile and image.mode in ("L", "CMYK", "LAB"):
        try:
            colours = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            made = ImageCms.profileToProfile(
                image, colours, ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
            if made is not None:
                return made.convert(target), None
        except (ImageCms.PyCMSError, OSError, ValueError):  # not of these pixels, or damaged
            pass
    return image.convert(target), None


def _picture(frame: ImageFrame) -> Image.Image:
    layers = frame.rgb if frame.alpha is None else np.dstack([frame.rgb, frame.alpha])
    return Image.fromarray(np.ascontiguousarray(layers))


def _gif_picture(frame: ImageFrame) -> Image.Image:
    """With a palette of its own, one place of which is kept for what is transparent."""
    picture = Image.fromarray(frame.rgb).quantize(_GIF_COLOURS - 1)
    if frame.alpha is None:
        return picture
    indices = np.where(frame.alpha < 128, _GIF_COLOURS - 1, np.asarray(picture)).astype(np.uint8)
    made = Image.fromarray(indices, "P")
    palette = picture.getpalette() or []
    made.putpalette(palette + [0] * (3 * _GIF_COLOURS - len(palette)))
    made.info["transparency"] = _GIF_COLOURS - 1
    return made


def _on_white(frame: ImageFrame) -> ImageFrame:
    if frame.alpha is None:
        return frame
    share = frame.alpha[..., None].astype(np.float32) / np.float32(255)
    rgb = np.rint(frame.rgb * share + 255 * (1 - share)).astype(np.uint8)
    return ImageFrame(rgb, None, frame.milliseconds)


def _save_options(kind: str, image: ImageFileContent) -> dict[str, Any]:
    options = _quality_options(kind, image)
    if image.profile is not None:
        options["icc_profile"] = image.profile
    return options | _animation_options(kind, image) if image.is_animation else options


def _quality_options(kind: str, image: ImageFileContent) -> dict[str, Any]:
    if kind == "JPEG":
        return {"quality": _QUALITY, "subsampling": "4:4:4"}
    if kind == "WEBP":
        return {"lossless": True, "exact": True} if image.lossless else {"quality": _QUALITY}
    if kind == "TIFF":
        return {"compression": "tiff_adobe_deflate"}
    return {"quality": _QUALITY} if kind in ("AVIF", "HEIF") else {}


def _animation_options(kind: str, image: ImageFileContent) -> dict[str, Any]:
    options: dict[str, Any] = {"duration": [frame.milliseconds for frame in image.frames]}
    if kind == "GIF":
        # Every frame by itself, else what was transparent in it would show the one before.
        options["disposal"] = 2
        return options if image.loops == 1 else options | {"loop": image.loops}
    if kind == "AVIF":
        return options
    return options | {"loop": image.loops} | ({"blend": 0, "disposal": 0} if kind == "PNG" else {})


def _know_heif(name: str) -> None:
    """Makes Pillow know HEIF. Raises :class:`ConfigError` where the library for it is missing."""
    try:
        import pillow_heif
    except ImportError:
        raise ConfigError(
            f"{name} needs a library that is not installed: pip install pillow-heif"
        ) from None
    pillow_heif.register_heif_opener(thumbnails=False)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Pillow's warnings, of odd tags and of sizes that are allowed here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
