"""What a container holds: refused with the remedy, or it works."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from clips import pass_through, times, write_clip

from streamanon.config import OutputConfig
from streamanon.errors import ConfigError
from streamanon.media.formats import CODECS, choose_encoding
from streamanon.media.probe import probe


@pytest.mark.parametrize(
    ("name", "config", "words"),
    [
        ("b.avi", OutputConfig(), "mp4, .mov, .mkv, .webm or .ts"),
        ("b", OutputConfig(), "end its name with"),
        (".mp4", OutputConfig(), "give it a name before .mp4"),
        ("b.webm", OutputConfig(codec="hevc"), "set output.codec to vp9 or av1"),
        ("b.mp4", OutputConfig(codec="ffv1"), "cannot hold ffv1"),
        ("b.mp4", OutputConfig(preset="warp"), "output.preset must be"),
        ("b.mp4", OutputConfig(crf=60), "at most 51"),
    ],
)
def test_impossible_settings_are_refused(clip: Path, name: str, config: OutputConfig, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        choose_encoding(Path(name), probe(clip), config)


def test_a_codec_that_this_build_lacks_is_said(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(av, "codecs_available", {"libx264", "ffv1"})
    with pytest.raises(ConfigError, match=r"cannot write hevc: set output\.codec to h264 or ffv1"):
        choose_encoding(Path("b.mkv"), probe(clip), OutputConfig(codec="hevc"))


@pytest.mark.parametrize(("suffix", "codec"), [(s, c) for s, codecs in CODECS.items() for c in codecs])
def test_every_pair_that_is_offered_works(tmp_path: Path, clip: Path, suffix: str, codec: str) -> None:
    target = tmp_path / f"b{suffix}"
    pass_through(clip, target, OutputConfig(codec=codec, preset="ultrafast"))  # type: ignore[arg-type]
    assert len(times(target)) == 12


@pytest.mark.parametrize(
    ("name", "codec", "remedy"),
    [
        ("b.mp4", "h264", None),
        ("b.mkv", "h264", None),
        ("b.mkv", "hevc", None),
        ("b.mp4", "vp9", None),
        ("b.webm", "vp9", r"write \.mp4"),
        ("b.mkv", "av1", r"write \.mp4"),
        ("b.mkv", "ffv1", "set output.codec to h264 or hevc"),
    ],
)
def test_pixels_that_are_not_square_stay_or_are_told(
    tmp_path: Path, name: str, codec: Any, remedy: str | None
) -> None:
    source = write_clip(tmp_path / "a.mp4", pts=2, aspect=Fraction(4, 3))
    sink = pass_through(source, tmp_path / name, OutputConfig(codec=codec, preset="ultrafast"))
    notes = [note for note in sink.notes if "pixel aspect ratio 4:3" in note]
    assert (probe(tmp_path / name).sample_aspect_ratio == Fraction(4, 3)) == (not notes)
    assert [bool(re.search(remedy or "", note)) for note in notes] == [True] * (remedy is not None)
