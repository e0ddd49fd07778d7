"""How large an image file says it is, so that a huge one is refused before it is decoded."""

from __future__ import annotations

from streamanon.errors import SourceError

#: Larger pictures are refused: a few frames of them would fill the memory.
MAX_SIDE, MAX_PIXELS = 16_384, 2**27

#: Markers of JPEG that start a frame and hold its size (ITU-T T.81, B.2.2).
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
#: TIFF 6.0 and BigTIFF, in both byte orders.
_TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
#: Brands of stills in the ISO base media format; video files have others.
_AVIF_BRANDS, _HEIF_BRANDS = (b"avif", b"avis"), (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1")


def check_size(width: int, height: int, name: str) -> None:
    """Raises :class:`SourceError` for a picture that is too large."""
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise SourceError(
            f"{name} is {width}x{height}; scale it down to at most {MAX_SIDE} pixels a side and "
            f"{MAX_PIXELS // 1_000_000} million in all"
        )


def image_format(data: bytes) -> str | None:
    """ "PNG", "JPEG", "WebP", "GIF", "BMP", "TIFF", "AVIF" or "HEIF" by the first bytes; None for anything
    else.
    """
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"\xff\xd8"):
        return "JPEG"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WebP"
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF"
    if data[:4] in _TIFF_MARKS:
        return "TIFF"
    if data[4:8] == b"ftyp":
        brands = data[8 : min(int.from_bytes(data[:4], "big"), 64)]
        known = (("AVIF", _AVIF_BRANDS), ("HEIF", _HEIF_BRANDS))
        return next((name for name, ours in known if any(brand in brands for brand in ours)), None)
    return "BMP" if data.startswith(b"BM") else None


def image_size(data: bytes) -> tuple[int, int] | None:
    """Width and height as its header has them; None where it does not tell in its first bytes."""
    found = image_format(data)
    if found == "PNG" and len(data) >= 24:
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if found == "JPEG":
        return _jpeg_size(data)
    if found == "WebP" and len(data) >= 30:
        return _webp_size(data)
    if found == "GIF" and len(data) >= 10:
        return int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")
    return _bmp_size(data) if found == "BMP" and len(data) >= 26 else None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    """Of the canvas, or of the one picture (RFC 9649, 2.5 to 2.7)."""
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = (int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (26, 28))
        return width, height
    return None


def _bmp_size(data: bytes) -> tuple[int, int]:
    if int.from_bytes(data[14:18], "little") == 12:  # the header of OS/2
        return int.from_bytes(data[18:20], "little"), int.from_bytes(data[20:22], "little")
    width, height = (int.from_bytes(data[at : at + 4], "little", signed=True) for at in (18, 22))
    return abs(width), abs(height)  # of rows from the top down the height is negative


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker in _FRAMES:
            height, width = (int.from_bytes(data[n : n + 2], "big") for n in (at + 5, at + 7))
            return width, height
        bare = marker in (0x01, 0xFF) or 0xD0 <= marker <= 0xD7  # fill, and markers without a segment
        at += (1 if marker == 0xFF else 2) if bare else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None
