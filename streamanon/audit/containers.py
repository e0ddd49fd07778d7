"""What a file holds beside its pictures: streams, times, tags, sound."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamanon.audit.alignment import MOST_UNPAIRED, Alignment
from streamanon.audit.pairing import Times
from streamanon.media.demux import open_input, packets_of

#: Tags that say nothing about where, when, by whom or with what a video was taken.
HARMLESS = frozenset(
    ["major_brand", "minor_version", "compatible_brands", "encoder", "language", "handler_name"]
) | {"vendor_id", "duration", "rotate", "bps", "number_of_frames", "number_of_bytes"}


@dataclass(frozen=True)
class ContainerFacts:
    """How two files compare. Tags are named, never quoted. ``time_error``: the largest, seconds.
    ``clock_shift``: by how much the output's clock is ahead of the original's, seconds; ``unpaired``: the
    share of the output's pictures that show another moment of the original than their time says.
    """

    frames_original: int
    frames_output: int
    size_original: tuple[int, int]
    size_output: tuple[int, int]
    time_error: float | None
    clock_shift: float
    unpaired: float
    streams_original: tuple[str, ...]
    streams_output: tuple[str, ...]
    extra_streams: tuple[str, ...]
    tags_left: tuple[str, ...]
    audio: str

    @property
    def is_comparable(self) -> bool:
        """Whether the pictures that are compared show the same moments, but for a few."""
        return self.unpaired < MOST_UNPAIRED

    @property
    def extra_pictures(self) -> int:
        """Videos and pictures beside the one video: they may show raw faces."""
        return self.extra_streams.count("video")

    @property
    def frames_lost(self) -> int:
        return max(0, self.frames_original - self.frames_output)


@dataclass(frozen=True)
class _File:
    streams: tuple[str, ...]
    tags: tuple[str, ...]
    sound: tuple[str, ...]


def compare_containers(
    original: str | Path, output: str | Path, times: tuple[Times, Times], alignment: Alignment
) -> ContainerFacts:
    """Raises :class:`SourceError` where a file cannot be read."""
    first, second = _examine(original), _examine(output)
    one, two = times
    return ContainerFacts(
        frames_original=len(one.seconds),
        frames_output=len(two.seconds),
        size_original=(one.width, one.height),
        size_output=(two.width, two.height),
        time_error=_time_error(one, two),
        clock_shift=alignment.shift,
        unpaired=alignment.unpaired,
        streams_original=first.streams,
        streams_output=second.streams,
        extra_streams=tuple(s for s in second.streams if s in ("data", "attachment"))
        + ("video",) * (second.streams.count("video") - 1),
        tags_left=second.tags,
        audio=_sound(first.sound, second.sound),
    )


def _time_error(one: Times, two: Times) -> float | None:
    """None where the frame counts differ, so that no frame has its own counterpart."""
    if len(one.seconds) != len(two.seconds):
        return None
    return float(np.abs(np.subtract(one.seconds, two.seconds)).max())


def _sound(one: tuple[str, ...], two: tuple[str, ...]) -> str:
    if not one:
        return "none" if not two else "added"
    if not two:
        return "dropped"
    return "identical" if one == two else "different"


def _examine(path: str | Path) -> _File:
    with open_input(path) as container:
        kinds = tuple(stream.type for stream in container.streams)
        tags = set(container.metadata)
        for stream in container.streams:
            tags |= set(stream.metadata)
        for chapter in container.chapters():
            tags |= {f"chapter {key}" for key, value in chapter["metadata"].items() if value}
        named = tuple(sorted(tag for tag in tags if tag.lower() not in HARMLESS))
        sounds = [stream for stream in container.streams if stream.type == "audio"]
        hashes = {stream.index: hashlib.sha256() for stream in sounds}
        for packet in packets_of(container, *sounds) if sounds else ():
            if packet.size and packet.stream_index in hashes:  # at the end come empty ones
                hashes[packet.stream_index].update(bytes(packet))
        return _File(kinds, named, tuple(value.hexdigest() for value in hashes.values()))
