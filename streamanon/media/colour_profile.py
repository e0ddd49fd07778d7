"""ICC profiles (ICC.1:2022), without what colours do not need: a profile can hold the monitor's serial
number, a description of whatever was measured, or any other bytes.
"""

from __future__ import annotations

import struct

#: What turns a profile's colours into others (9.2), its name and its copyright, which it must have.
_KEPT = frozenset(
    name.encode()
    for name in (
        *("desc", "cprt", "wtpt", "bkpt", "chad", "chrm", "cicp"),
        *(f"{colour}{kind}" for colour in "rgb" for kind in ("XYZ", "TRC")),
        *(f"{one}2{other}{number}" for one, other in ("AB", "BA") for number in range(3)),
        *(f"{one}2{other}{number}" for one, other in ("DB", "BD") for number in range(4)),
    )
)
#: Texts longer than this are no names, bytes.
_LONGEST_TEXT = 2048
_TEXTS = (b"desc", b"cprt")
_HEADER, _ENTRY = 128, struct.Struct(">4sII")
#: Where the header holds the profile's size and its digest, which may be 0.
_SIZE, _DIGEST = slice(0, 4), slice(84, 100)


def colours_only(profile: bytes) -> bytes | None:
    """The ``profile`` with the tags alone that colours need, and nothing between or after them. None for
    what is no profile, or is damaged.
    """
    try:
        (count,) = struct.unpack_from(">I", profile, _HEADER)
        entries = [_ENTRY.unpack_from(profile, _HEADER + 4 + _ENTRY.size * n) for n in range(count)]
    except struct.error:
        return None
    kept = [(name, profile[at : at + size], size) for name, at, size in entries if name in _KEPT]
    if any(len(data) != size for _, data, size in kept) or len({name for name, *_ in kept}) < len(kept):
        return None
    if any(size > _LONGEST_TEXT for name, _, size in kept if name in _TEXTS):
        return None
    return _packed(profile[:_HEADER], {name: data for name, data, _ in kept})


def _packed(header: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A profile of these tags; equal ones are stored once."""
    begin = _HEADER + 4 + _ENTRY.size * len(tags)
    places: dict[bytes, int] = {}
    data = bytearray()
    for tag in tags.values():
        if tag not in places:
            places[tag] = begin + len(data)
            data += tag + bytes(-len(tag) % 4)
    table = b"".join(_ENTRY.pack(name, places[tag], len(tag)) for name, tag in tags.items())
    made = bytearray(header + struct.pack(">I", len(tags)) + table + data)
    made[_SIZE] = struct.pack(">I", len(made))
    made[_DIGEST] = bytes(16)
    return bytes(made)
