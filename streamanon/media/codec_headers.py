"""Headers of streams that are copied, without the tags, pictures and file names inside them: containers
store these headers (FFmpeg's extradata) as they are.
"""

from __future__ import annotations

#: A Vorbis comment header without a vendor and without comments (Vorbis I, 5.2).
_NO_COMMENTS = b"\x03vorbis" + bytes(8) + b"\x01"
#: What 16-bit lengths begin with, where the headers are not laced: the length of the first one.
_LENGTH_OF_FIRST = b"\x00\x1e"
#: Lines of an ASS header that say how texts are shown, by section. The others say who made the file and
#: where it lay, or hold fonts and pictures.
_STYLES = frozenset([b"format", b"style"])
_ASS_LINES = {
    b"[script info]": frozenset(
        b"scripttype,playresx,playresy,layoutresx,layoutresy,playdepth,timer,wrapstyle,collisions,"
        b"scaledborderandshadow,kerning,ycbcr matrix".split(b",")
    ),
    b"[v4 styles]": _STYLES,
    b"[v4+ styles]": _STYLES,
    b"[v4++ styles]": _STYLES,
    b"[events]": frozenset([b"format"]),
}


def without_tags(codec: str, header: bytes) -> bytes | None:
    """What a decoder needs of a header; None for one that cannot be read."""
    if codec == "vorbis":
        return _plain_vorbis(header)
    return _plain_ass(header) if codec in ("ass", "ssa") else header


def _plain_vorbis(header: bytes) -> bytes | None:
    """Of three headers the second holds comments, among them cover pictures (METADATA_BLOCK_PICTURE)."""
    parts = _vorbis_headers(header)
    if [part[:7] for part in parts] != [b"\x01vorbis", b"\x03vorbis", b"\x05vorbis"]:
        return None
    first, _, setup = parts
    return bytes([2, len(first), len(_NO_COMMENTS)]) + first + _NO_COMMENTS + setup


def _vorbis_headers(header: bytes) -> list[bytes]:
    """The three headers, each behind its length of 16 bits, or laced as in Ogg and Matroska."""
    parts: list[bytes] = []
    at = 0
    if header.startswith(_LENGTH_OF_FIRST):
        for _ in range(3):
            length = int.from_bytes(header[at : at + 2], "big")
            parts.append(header[at + 2 : at + 2 + length])
            at += 2 + length
    elif header.startswith(b"\x02"):
        first, at = _laced_length(header, 1)
        second, at = _laced_length(header, at)
        parts = [header[at : at + first], header[at + first :][:second], header[at + first + second :]]
    return parts


def _laced_length(header: bytes, at: int) -> tuple[int, int]:
    """A length in bytes of 255 and a smaller one, and where it ends."""
    length = 0
    while header[at : at + 1] == b"\xff":
        length, at = length + 255, at + 1
    return length + int.from_bytes(header[at : at + 1], "big"), at + 1


def _plain_ass(header: bytes) -> bytes | None:
    kept, section = [], b""
    for line in header.removeprefix(b"\xef\xbb\xbf").splitlines(keepends=True):
        text = line.strip().lower()
        if text.startswith(b"["):
            section = text
        known = _ASS_LINES.get(section)
        key = text.partition(b":")[0].strip()
        if known is not None and (text in (section, b"") or key in known):
            kept.append(line)
    return b"".join(kept) or None
