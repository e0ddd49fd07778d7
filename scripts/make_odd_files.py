"""A corpus of odd files, each with what must become of it, and ``docs/formats.md``, which says so.

::

    python scripts/make_odd_files.py FOLDER    # the files, and NAME.json beside each
    python scripts/make_odd_files.py --page    # docs/formats.md

The slow tests run all of it; the others a part.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import OutputContainer
from av.video.frame import VideoFrame
from odd_media import Clip, Sound, begin_earlier, by_ffmpeg, copy, damage_aac_header, edit, join, write

AAC = (Sound("aac"),)
BASE = Clip(sounds=AAC, options={"bf": "2", "g": "25"})
_HDR = (
    "log-level=error:hdr10=1:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)"
    "L(10000000,50):max-cll=1000,400"
)
_JUMPS = "the file's time stamps jump"


@dataclass(frozen=True)
class OddFile:
    """One input and what must become of it.

    ``output``: the suffix that it is written to. ``frames``, ``seconds``: of the video, from its first
    frame to its last. ``sounds``: names of the decoders of the output's sound. ``heard``: seconds of it, as
    long as the video if None; ``sound_starts``: so long after the first frame, None: about with it.
    ``texts``: codecs of the subtitles. ``told``: a part of each sentence that must be said, and no other
    may be. ``refused``: a part of the sentence with which it is refused. ``picture``: pixel format of the
    output. ``fields``: whether that is interlaced. ``quick``: whether the quick tests run it, too.
    """

    name: str
    kind: str
    make: Callable[[Path], None]
    output: str = ".mp4"
    frames: int = 50
    seconds: float = 1.96
    sounds: tuple[str, ...] = ("aac",)
    heard: float | None = None
    sound_starts: float | None = 0.0
    texts: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    refused: str = ""
    picture: str = "yuv420p"
    fields: bool = False
    quick: bool = False

    def facts(self) -> dict[str, object]:
        """What must become of it, as JSON has it."""
        facts = asdict(self)
        del facts["make"], facts["quick"]
        return facts


def _clip(clip: Clip) -> Callable[[Path], None]:
    return lambda path: write(path, clip)


def _by_ffmpeg(encoder: str) -> Callable[[Path], None]:
    """The clip with sound that only FFmpeg's own command encodes."""
    inputs = (
        "-f",
        "lavfi",
        "-i",
        "testsrc=s=64x48:r=25:d=2",
        "-f",
        "lavfi",
        "-i",
        "sine=f=440:r=48000:d=2",
    )
    codecs = ("-pix_fmt", "yuv420p", "-c:v", "libx264", "-ac", "2", "-c:a", encoder, "-strict", "-2")
    return lambda path: by_ffmpeg(path, *inputs, *codecs)


def _beside(path: Path, name: str) -> Path:
    """Another file that is needed on the way; a file of the corpus has no such name."""
    return path.with_name(f"{path.stem}.part-{name}")


def _joined(*shifts: float, clip: Clip = BASE) -> Callable[[Path], None]:
    """The clip several times, its times shifted by so many seconds."""

    def make(path: Path) -> None:
        first = _beside(path, f"0{path.suffix}")
        write(first, clip)
        parts = []
        for number, shift in enumerate(shifts, 1):
            parts.append(_beside(path, f"{number}{path.suffix}"))
            copy(first, parts[-1], shift)
        join(path, *parts)

    return make


def _shifted(shift: float, clip: Clip = BASE) -> Callable[[Path], None]:
    """The clip with other times; those before zero are cut away."""

    def make(path: Path) -> None:
        first = _beside(path, f"0{path.suffix}")
        write(first, clip)
        copy(first, path, shift)

    return make


def _edited(*pieces: tuple[float, float]) -> Callable[[Path], None]:
    """Pieces of the clip: (first second, seconds)."""

    def make(path: Path) -> None:
        write(path, replace(BASE, options={"bf": "0"}))
        edit(path, *pieces)

    return make


def _before_zero(path: Path) -> None:
    write(path, replace(BASE, frames=75))
    begin_earlier(path, 1000)


def _following(*clips: Clip) -> Callable[[Path], None]:
    """Clips one behind the other, each of which begins at zero."""

    def make(path: Path) -> None:
        parts = [_beside(path, f"{number}.ts") for number in range(len(clips))]
        for part, clip in zip(parts, clips, strict=True):
            write(part, clip)
        join(path, *parts)

    return make


def _changing_sound(*sounds: Sound) -> Callable[[Path], None]:
    """A second with each of them."""
    return _following(*(replace(BASE, frames=25, sounds=(sound,)) for sound in sounds))


def _damaged(path: Path) -> None:
    write(path, BASE)
    damage_aac_header(path, 40)


def _cut_off(path: Path) -> None:
    write(path, replace(BASE, sounds=(), options={"g": "5", "bf": "0"}))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])


def _attach(output: OutputContainer) -> None:
    output.add_attachment("Anna.ttf", "application/x-truetype-font", b"\0\1\0\0" + bytes(200))


def _cover(output: OutputContainer) -> None:
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 32, 32, "yuvj420p"
    encoder.time_base = Fraction(1, 25)
    data = b"".join(map(bytes, [*encoder.encode(VideoFrame(32, 32, "yuvj420p")), *encoder.encode(None)]))
    output.add_attachment("cover.jpg", "image/jpeg", data)


def _transparent(output: OutputContainer) -> None:
    output.streams.video[0].metadata["alpha_mode"] = "1"


def _chapters(output: OutputContainer) -> None:
    output.set_chapters(
        [
            {
                "id": n,
                "start": n * 1000,
                "end": n * 1000 + 1000,
                "time_base": Fraction(1, 1000),
                "metadata": {"title": "Anna"},
            }
            for n in range(2)
        ]
    )


def _no_sound_at_all(path: Path) -> None:
    write(path, replace(BASE, sounds=(Sound("aac", seconds=0.0),)))


def _times() -> list[OddFile]:
    back = (f"{_JUMPS} once",)
    twice: dict[str, Any] = {"frames": 100, "heard": 4.05}
    variable = [0, 40, 80, 81, 90, 230, 231, 500, 1500, 1960]
    mpeg = Clip(codec="mpeg2video", sounds=(Sound("mp2"),))
    flv = replace(BASE, muxer_options={"avoid_negative_ts": "make_zero"})
    joined: dict[str, Any] = {"seconds": 4.03, "told": back, "quick": True} | twice
    return [
        OddFile(
            "twice.ts", "times start anew", _joined(0, 0), seconds=4.05, told=back, quick=True, **twice
        ),
        OddFile(
            "twice-to-mkv.ts", "times start anew", _joined(0, 0), ".mkv", seconds=4.05, told=back, **twice
        ),
        OddFile(
            "twice-to-ts.ts", "times start anew", _joined(0, 0), ".ts", seconds=4.05, told=back, **twice
        ),
        OddFile(
            "thrice-to-webm.ts",
            "times start anew",
            _joined(0, 0, 0),
            ".webm",
            frames=150,
            seconds=6.13,
            sounds=("opus",),
            heard=6.2,
            told=(f"{_JUMPS} 2 times", "stored as vp9", "stored as opus"),
        ),
        OddFile(
            "late-early.ts",
            "times jump back",
            _joined(500, 0),
            seconds=4.05,
            told=back,
            quick=True,
            **twice,
        ),
        OddFile("early-late.ts", "times jump ahead", _joined(0, 500), seconds=4.05, told=back, **twice),
        OddFile("wrapping.ts", "times wrap round (33 bits)", _joined(95_441.7), seconds=1.96, heard=2.03),
        OddFile(
            "twice.mpg",
            "times start anew",
            _joined(0, 0, clip=mpeg),
            frames=100,
            seconds=4.02,
            heard=4.05,
            sounds=("mp3float",),
            told=back,
        ),
        OddFile(
            "sizes.ts",
            "the size changes",
            _following(replace(BASE, frames=25), replace(BASE, frames=25, size=(96, 80))),
            seconds=2.0,
            heard=2.1,
            told=(f"{_JUMPS} once", "size changes: frames of 96x80 are scaled to 64x48"),
        ),
        OddFile(
            "variable.mkv",
            "a variable frame rate",
            _clip(Clip(frames=10, times=variable, time_base=Fraction(1, 1000))),
            frames=10,
            sounds=(),
        ),
        OddFile(
            "gap.mkv",
            "a gap of an hour",
            _clip(
                Clip(
                    frames=4,
                    times=[0, 40, 3_600_000, 3_600_040],
                    time_base=Fraction(1, 1000),
                    options={"bf": "0"},
                )
            ),
            frames=4,
            seconds=0.12,
            sounds=(),
            told=(f"{_JUMPS} once by 3599.9 seconds ahead",),
        ),
        OddFile(
            "fine-ticks.mp4",
            "ticks of a ten-millionth second",
            _clip(replace(BASE, time_base=Fraction(1, 10_000_000))),
        ),
        OddFile(
            "b-frames.avi",
            "no presentation times (AVI)",
            _clip(replace(BASE, sounds=())),
            sounds=(),
            quick=True,
        ),
        OddFile("raw.h264", "no times at all", _clip(replace(BASE, sounds=())), sounds=()),
        OddFile(
            "late-sound.mp4",
            "sound starts late",
            _clip(replace(BASE, sounds=(Sound("aac", start=0.8),))),
            heard=1.2,
            sound_starts=0.8,
        ),
        OddFile(
            "short-sound.mp4",
            "sound ends early",
            _clip(replace(BASE, sounds=(Sound("aac", seconds=0.5),))),
            heard=0.5,
        ),
        OddFile(
            "long-sound.mp4",
            "sound ends late",
            _clip(replace(BASE, sounds=(Sound("aac", seconds=4.0),))),
            heard=4.0,
        ),
        OddFile(
            "late-video.mkv",
            "video starts late",
            _clip(replace(BASE, times=range(20, 70))),
            heard=2.0,
            sound_starts=-0.8,
        ),
        OddFile(
            "before-zero.mkv",
            "times before zero",
            _before_zero,
            frames=75,
            seconds=2.96,
            sound_starts=-0.02,
            quick=True,
        ),
        OddFile(
            "no-sound.mkv",
            "a sound stream without sound",
            _no_sound_at_all,
            sounds=(),
            told=("is empty and is dropped",),
        ),
        OddFile(
            "wrapped.flv",
            "times before zero wrap round (32 bits)",
            _clip(Clip(codec="flv", sounds=(Sound("nellymoser", 22050, "mono"),))),
            sound_starts=None,
            told=(f"{_JUMPS} once", "stored as aac"),
        ),
        OddFile(
            "slow-to-ts.mp4",
            "a frame every ten seconds",
            _clip(Clip(frames=4, rate=Fraction(1, 10))),
            ".ts",
            frames=4,
            seconds=30.0,
            sounds=(),
            quick=True,
        ),
        OddFile("one-frame.mp4", "a single frame", _clip(Clip(frames=1)), frames=1, seconds=0.0, sounds=()),
        OddFile("damaged.ts", "a damaged AAC header", _damaged, heard=2.0, quick=True),
        OddFile("damaged-to-ts.ts", "a damaged AAC header", _damaged, ".ts", heard=2.0),
        OddFile(
            "damaged-to-webm.ts",
            "a damaged AAC header",
            _damaged,
            ".webm",
            sounds=("opus",),
            heard=2.0,
            told=("stored as vp9", "stored as opus"),
        ),
        OddFile(
            "other-rate.ts",
            "AAC of another rate follows",
            _changing_sound(Sound("aac"), Sound("aac", 44100)),
            frames=50,
            seconds=2.0,
            heard=2.1,
            told=(f"{_JUMPS} once", "(aac) changes its sample rate or channels at 1.1 seconds"),
            quick=True,
        ),
        OddFile(
            "other-channels.ts",
            "AAC with other channels in between",
            _changing_sound(Sound("aac"), Sound("aac", layout="5.1"), Sound("aac")),
            ".mkv",
            frames=75,
            seconds=3.12,
            heard=3.1,
            told=(f"{_JUMPS} 2 times", "(aac) changes its sample rate or channels at 1.1 seconds"),
        ),
        OddFile(
            "other-channels-ac3.ts",
            "AC-3 with other channels in between",
            _changing_sound(Sound("ac3"), Sound("ac3", layout="5.1"), Sound("ac3")),
            frames=75,
            seconds=3.12,
            heard=3.1,
            sounds=("ac3",),
            told=(f"{_JUMPS} 2 times",),
        ),
        OddFile(
            "sound-later.ts",
            "sound begins late, unannounced",
            _following(replace(BASE, sounds=()), replace(BASE, frames=25)),
            frames=75,
            seconds=3.06,
            heard=1.05,
            sound_starts=2.08,
            told=(f"{_JUMPS} 2 times", "is stored as aac"),
            quick=True,
        ),
        OddFile(
            "aspects.ts",
            "the pixel aspect ratio changes",
            _following(replace(BASE, frames=25), replace(BASE, frames=25, aspect=Fraction(4, 3))),
            seconds=2.05,
            heard=2.1,
            told=(f"{_JUMPS} once", "the pixel aspect ratio changes to 4:3"),
            quick=True,
        ),
        OddFile("twice.flv", "times start anew", _joined(0, 0, clip=flv), **joined),
        OddFile(
            "twice.mp4",
            "a second recording behind the first",
            _joined(0, 0),
            told=("tail -c +",),
            quick=True,
        ),
        OddFile(
            "twice.wmv",
            "a second recording behind the first",
            _joined(0, 0, clip=Clip(codec="wmv2", sounds=(Sound("wmav2"),))),
            told=("tail -c +", "stored as aac"),
            sound_starts=None,
        ),
        OddFile(
            "cut-off.mkv",
            "the file's end is missing",
            _cut_off,
            frames=29,
            seconds=1.12,
            sounds=(),
            told=("the end of the file is missing",),
        ),
    ]


def _cuts() -> list[OddFile]:
    pcm = replace(BASE, sounds=(Sound("pcm_s16le"),))
    cut: dict[str, Any] = {"frames": 32, "seconds": 1.24, "heard": 1.3}
    return [
        OddFile("cut.mp4", "cut by an edit list", _shifted(-0.7), quick=True, **cut),
        OddFile("cut-to-mkv.mp4", "cut by an edit list", _shifted(-0.7), ".mkv", quick=True, **cut),
        OddFile("cut-to-ts.mp4", "cut by an edit list", _shifted(-0.7), ".ts", **cut),
        OddFile(
            "cut-to-webm.mp4",
            "cut by an edit list",
            _shifted(-0.7),
            ".webm",
            told=("stored as vp9", "stored as opus"),
            **cut | {"sounds": ("opus",)},
        ),
        OddFile(
            "cut-pcm.mov",
            "cut by an edit list",
            _shifted(-0.7, pcm),
            ".mov",
            **cut | {"sounds": ("pcm_s16le",)},
        ),
        OddFile(
            "end-cut.mp4",
            "the end is cut by an edit list",
            _edited((0, 1)),
            frames=25,
            seconds=0.96,
            heard=1.0,
        ),
        OddFile(
            "pieces.mp4",
            "an edit list of two pieces",
            _edited((0, 0.52), (1, 0.52)),
            frames=26,
            seconds=1.0,
            heard=1.05,
            quick=True,
        ),
        OddFile(
            "pieces-to-mkv.mp4",
            "an edit list of two pieces, the later first",
            _edited((1, 0.52), (0, 0.52)),
            ".mkv",
            frames=26,
            seconds=1.0,
            heard=1.05,
        ),
        OddFile("priming.mp4", "the encoder's priming in AAC", _clip(BASE)),
        OddFile("priming-to-mkv.mp4", "the encoder's priming in AAC", _clip(BASE), ".mkv", quick=True),
        OddFile(
            "priming-to-mov.mkv",
            "the encoder's priming in Opus",
            _clip(replace(BASE, sounds=(Sound("libopus"),))),
            ".mp4",
            sounds=("opus",),
        ),
    ]


#: Encoder of the source, its container, rate; what it becomes in each container. "=": kept as it is.
_SOUNDS: list[tuple[str, str, int, dict[str, str]]] = [
    ("aac", ".mkv", 48000, {".mp4": "=", ".mov": "=", ".mkv": "=", ".webm": "opus", ".ts": "="}),
    ("libopus", ".mkv", 48000, {".mp4": "=", ".mov": "aac", ".mkv": "=", ".webm": "=", ".ts": "="}),
    ("vorbis", ".mkv", 48000, {".mp4": "=", ".mov": "aac", ".mkv": "=", ".webm": "=", ".ts": "aac"}),
    ("libmp3lame", ".mkv", 48000, {".mp4": "=", ".mov": "=", ".mkv": "=", ".webm": "opus", ".ts": "="}),
    ("mp2", ".mkv", 48000, {".mp4": "=", ".mov": "=", ".mkv": "=", ".webm": "opus", ".ts": "="}),
    ("ac3", ".mkv", 48000, {".mp4": "=", ".mov": "=", ".mkv": "=", ".webm": "opus", ".ts": "="}),
    ("eac3", ".mkv", 48000, {".mp4": "=", ".mov": "=", ".mkv": "=", ".webm": "opus", ".ts": "="}),
    ("dca", ".mkv", 48000, {".mp4": "=", ".mov": "=", ".mkv": "=", ".webm": "opus", ".ts": "="}),
    ("truehd", ".mkv", 48000, {".mp4": "aac", ".mov": "aac", ".mkv": "=", ".webm": "opus", ".ts": "aac"}),
    ("flac", ".mkv", 48000, {".mp4": "=", ".mov": "aac", ".mkv": "=", ".webm": "opus", ".ts": "aac"}),
    ("alac", ".mov", 48000, {".mp4": "=", ".mov": "=", ".mkv": "=", ".webm": "opus", ".ts": "aac"}),
    ("tta", ".mkv", 48000, {".mp4": "aac", ".mov": "aac", ".mkv": "flac", ".webm": "opus", ".ts": "aac"}),
    ("wavpack", ".mkv", 48000, {".mp4": "aac", ".mov": "aac", ".mkv": "=", ".webm": "opus", ".ts": "aac"}),
    ("pcm_s16le", ".avi", 48000, {".mp4": "=", ".mov": "=", ".mkv": "=", ".webm": "opus", ".ts": "aac"}),
    ("pcm_s24le", ".mkv", 48000, {".mp4": "=", ".mov": "=", ".mkv": "=", ".webm": "opus", ".ts": "aac"}),
    ("pcm_u8", ".avi", 48000, {".mp4": "aac", ".mov": "=", ".mkv": "=", ".webm": "opus", ".ts": "aac"}),
    (
        "pcm_alaw",
        ".avi",
        8000,
        {".mp4": "aac", ".mov": "=", ".mkv": "pcm_s16le", ".webm": "opus", ".ts": "aac"},
    ),
    (
        "pcm_mulaw",
        ".mov",
        8000,
        {".mp4": "aac", ".mov": "=", ".mkv": "pcm_s16le", ".webm": "opus", ".ts": "aac"},
    ),
    (
        "adpcm_ms",
        ".avi",
        44100,
        {".mp4": "aac", ".mov": "aac", ".mkv": "pcm_s16le", ".webm": "opus", ".ts": "aac"},
    ),
    (
        "adpcm_ima_wav",
        ".avi",
        44100,
        {".mp4": "aac", ".mov": "aac", ".mkv": "pcm_s16le", ".webm": "opus", ".ts": "aac"},
    ),
    ("wmav2", ".wmv", 44100, {".mp4": "aac", ".mov": "aac", ".mkv": "aac", ".webm": "opus", ".ts": "aac"}),
    (
        "nellymoser",
        ".flv",
        22050,
        {".mp4": "aac", ".mov": "=", ".mkv": "aac", ".webm": "opus", ".ts": "aac"},
    ),
]
#: Video codecs of containers that do not take H.264 easily.
_VIDEO_OF = {".avi": "mpeg4", ".wmv": "wmv2", ".flv": "flv", ".webm": "libvpx", ".ogv": "theora"}
_ENCODER_NAMES = {"libopus": "opus", "libmp3lame": "mp3", "dca": "dts"}
#: How PyAV calls the decoders.
_DECODERS = {"mp3": "mp3float", "dts": "dca", "ac3": "ac3", "eac3": "eac3"}


def _sounds() -> list[OddFile]:
    found = []
    for encoder, suffix, rate, becomes in _SOUNDS:
        layout = "mono" if encoder in ("pcm_alaw", "pcm_mulaw", "nellymoser") else "stereo"
        codec = _ENCODER_NAMES.get(encoder, encoder)
        clip = Clip(
            codec=_VIDEO_OF.get(suffix, "libx264"),
            sounds=(Sound(encoder, rate, layout),),
            muxer_options={"avoid_negative_ts": "make_zero"} if suffix == ".flv" else {},
        )
        for output, to in becomes.items():
            kept = to == "="
            told: tuple[str, ...] = (
                () if kept else (f"({codec}) does not fit into {output} and is stored as {to}",)
            )
            name = f"{codec.replace('_', '-')}-to-{output[1:]}{suffix}"
            heard_as = _DECODERS.get(codec, codec) if kept else to
            heard_as = "mp3float" if (codec, output) == ("mp2", ".mp4") else heard_as
            quick = (encoder, output) in _QUICK_SOUNDS
            told += ("stored as vp9",) if output == ".webm" else ()
            make = _by_ffmpeg(encoder) if encoder in ("dca", "truehd") else _clip(clip)
            found.append(
                OddFile(
                    name,
                    f"{codec} in {suffix}",
                    make,
                    output,
                    sounds=(heard_as,),
                    told=told,
                    sound_starts=None,
                    quick=quick,
                )
            )
    return found


_QUICK_SOUNDS = {
    ("pcm_s16le", ".mp4"),
    ("pcm_alaw", ".mkv"),
    ("wmav2", ".mp4"),
    ("pcm_u8", ".mp4"),
    ("adpcm_ms", ".mp4"),
    ("aac", ".webm"),
}


def _channels() -> list[OddFile]:
    found = []
    for layout in ("mono", "3.0", "4.0", "5.0", "5.1", "6.1", "7.1"):
        clip = Clip(sounds=(Sound("pcm_s16le", layout=layout),))
        found.append(OddFile(f"pcm-{layout}.mkv", f"{layout} PCM", _clip(clip), sounds=("pcm_s16le",)))
        clip = Clip(sounds=(Sound("flac", layout=layout),))
        told = ("(flac) does not fit into .ts and is stored as aac",)
        found.append(OddFile(f"flac-{layout}-to-ts.mkv", f"{layout} FLAC", _clip(clip), ".ts", told=told))
    for rate in (8000, 11025, 22050, 96000, 192000):
        clip = Clip(sounds=(Sound("flac", rate=rate),))
        told = ("(flac) does not fit into .ts and is stored as aac",)
        found.append(
            OddFile(
                f"flac-{rate}-to-ts.mkv", f"{rate} Hz", _clip(clip), ".ts", told=told, sound_starts=None
            )
        )
    return found


_MOV_TEXT = {".mp4": "mov_text", ".mov": "mov_text"}
#: Codec of the source, its container, what it becomes in each container; empty: dropped.
_TEXTS: dict[str, tuple[str, dict[str, str]]] = {
    "subrip": (".mkv", _MOV_TEXT | {".mkv": "subrip", ".webm": "webvtt", ".ts": ""}),
    "ass": (".mkv", _MOV_TEXT | {".mkv": "ass", ".webm": "webvtt", ".ts": ""}),
    "webvtt": (".mkv", _MOV_TEXT | {".mkv": "webvtt", ".webm": "webvtt", ".ts": ""}),
    "mov_text": (".mp4", _MOV_TEXT | {".mkv": "subrip", ".webm": "webvtt", ".ts": ""}),
    "hdmv_pgs_subtitle": (".mkv", dict.fromkeys((".mp4", ".mov", ".mkv", ".webm", ".ts"), "")),
}


def _texts() -> list[OddFile]:
    found = []
    for codec, (suffix, targets) in _TEXTS.items():
        for output, to in targets.items():
            clip = Clip(texts=(codec,))
            end = "and is dropped" if not to else f"stored as {to}"
            told: tuple[str, ...] = () if to == codec else (f"({codec})", end)[1:]
            told += ("stored as vp9",) if output == ".webm" else ()
            name = f"{codec.replace('_', '-')}-to-{output[1:]}{suffix}"
            quick = (codec, output) in (
                ("subrip", ".mp4"),
                ("mov_text", ".mkv"),
                ("hdmv_pgs_subtitle", ".mkv"),
            )
            found.append(
                OddFile(
                    name,
                    f"{codec} subtitles",
                    _clip(clip),
                    output,
                    sounds=(),
                    texts=(to,) if to else (),
                    told=told,
                    quick=quick,
                )
            )
    return found


def _streams() -> list[OddFile]:
    return [
        OddFile(
            "font.mkv",
            "an attached font",
            _clip(Clip(extra=_attach)),
            ".mkv",
            sounds=(),
            told=("removed: stream 1: attachment, application/x-truetype-font",),
            quick=True,
        ),
        OddFile(
            "cover.mkv",
            "a cover picture",
            _clip(Clip(extra=_cover)),
            sounds=(),
            told=("removed: stream 1: cover picture",),
        ),
        OddFile(
            "chapters.mkv",
            "chapters with titles",
            _clip(Clip(extra=_chapters)),
            sounds=(),
            told=("removed: titles of 2 chapters",),
            quick=True,
        ),
        OddFile(
            "chapters-to-ts.mkv",
            "chapters with titles",
            _clip(Clip(extra=_chapters)),
            ".ts",
            sounds=(),
            told=("2 chapters cannot be stored in .ts and are dropped",),
        ),
        OddFile(
            "three-sounds.mkv",
            "several sounds",
            _clip(Clip(sounds=(Sound("aac"), Sound("ac3"), Sound("flac")))),
            sounds=("aac", "ac3", "flac"),
        ),
    ]


def _pictures() -> list[OddFile]:
    compatible = ("stored as yuv420p, not",)
    il = replace(BASE, options={"bf": "0"})
    hdr = Clip(
        codec="libx265", pixel_format="yuv420p10le", colour=(9, 16, 9, 1), options={"x265-params": _HDR}
    )
    return [
        OddFile(
            "rgb.mov",
            "RGB",
            _clip(Clip(codec="qtrle", pixel_format="rgb24")),
            sounds=(),
            told=compatible,
            quick=True,
        ),
        OddFile(
            "gif.gif",
            "GIF",
            _clip(Clip(codec="gif", pixel_format="rgb8")),
            sounds=(),
            told=("transparency", *compatible),
        ),
        OddFile(
            "mjpeg422.avi",
            "MJPEG 4:2:2",
            _clip(Clip(codec="mjpeg", pixel_format="yuvj422p")),
            sounds=(),
            told=compatible,
            picture="yuvj420p",
        ),
        OddFile(
            "prores.mov",
            "ProRes",
            _clip(Clip(codec="prores_ks", pixel_format="yuv422p10le")),
            sounds=(),
            told=compatible,
        ),
        OddFile(
            "high444.mp4", "H.264 4:4:4", _clip(Clip(pixel_format="yuv444p")), sounds=(), told=compatible
        ),
        OddFile(
            "ten-bits.mkv",
            "10 bits, not HDR",
            _clip(Clip(codec="libx265", pixel_format="yuv420p10le")),
            sounds=(),
            told=compatible,
        ),
        OddFile(
            "grey.mkv",
            "grey in 10 bits",
            _clip(Clip(codec="ffv1", pixel_format="gray10le")),
            sounds=(),
            told=compatible,
            picture="yuvj420p",
            quick=True,
        ),
        OddFile(
            "transparent.webm",
            "VP9 with transparency",
            _clip(Clip(codec="libvpx-vp9", options={"deadline": "realtime"}, extra=_transparent)),
            sounds=(),
            told=("transparency is dropped",),
        ),
        OddFile("hdr10.mp4", "HDR10", _clip(hdr), sounds=(), picture="yuv420p10le", quick=True),
        OddFile("hdr10-to-webm.mp4", "HDR10", _clip(hdr), ".webm", refused="set output.codec to av1"),
        OddFile(
            "odd-size.mkv",
            "an odd size",
            _clip(Clip(codec="ffv1", size=(65, 49))),
            sounds=(),
            told=("stored as yuv444p, not yuv420p, which some players do not show",),
            picture="yuv444p",
        ),
        OddFile(
            "interlaced-top.mp4",
            "interlaced H.264",
            _clip(replace(il, fields="tff")),
            fields=True,
            quick=True,
        ),
        OddFile("interlaced-bottom.mkv", "interlaced H.264", _clip(replace(il, fields="bff")), fields=True),
        OddFile(
            "interlaced.mpg",
            "interlaced MPEG-2",
            _clip(Clip(codec="mpeg2video", sounds=(Sound("mp2"),), fields="tff")),
            sounds=("mp3float",),
            fields=True,
        ),
        OddFile(
            "interlaced-to-webm.mp4",
            "interlaced H.264",
            _clip(replace(il, fields="tff", sounds=())),
            ".webm",
            sounds=(),
            told=("stored as vp9", "the video is interlaced"),
        ),
        OddFile("rotated.mp4", "rotated", _clip(replace(BASE, rotation=90))),
        OddFile(
            "rotated-to-ts.mp4",
            "rotated",
            _clip(replace(BASE, rotation=90)),
            ".ts",
            refused="write .mp4, .mov or .mkv",
        ),
        OddFile("aspect.mkv", "pixels that are not square", _clip(replace(BASE, aspect=Fraction(4, 3)))),
    ]


def _containers() -> list[OddFile]:
    tv = (720, 576)
    return [
        OddFile(
            "a.wmv",
            "Windows Media",
            _clip(Clip(codec="wmv2", sounds=(Sound("wmav2"),))),
            told=("stored as aac",),
            sound_starts=None,
        ),
        OddFile(
            "a.flv",
            "Flash",
            _clip(
                Clip(
                    codec="flv",
                    sounds=(Sound("libmp3lame", 44100),),
                    muxer_options={"avoid_negative_ts": "make_zero"},
                )
            ),
            sounds=("mp3float",),
        ),
        OddFile("a.3gp", "3GP", _clip(Clip(codec="h263", size=(176, 144), sounds=AAC))),
        OddFile(
            "a.mxf",
            "MXF",
            _clip(Clip(codec="mpeg2video", size=tv, sounds=(Sound("pcm_s16le", layout="mono"),))),
            sounds=("pcm_s16le",),
        ),
        OddFile(
            "a.gxf",
            "GXF",
            _clip(Clip(codec="mpeg2video", size=tv, sounds=(Sound("pcm_s16le", layout="mono"),))),
            sounds=("pcm_s16le",),
            told=("removed: stream 2: data",),
            sound_starts=None,
        ),
        OddFile("a.vob", "DVD", _clip(Clip(codec="mpeg2video", sounds=(Sound("ac3"),))), sounds=("ac3",)),
        OddFile(
            "a.m2ts",
            "Blu-ray",
            _clip(replace(BASE, muxer="mpegts", muxer_options={"mpegts_m2ts_mode": "1"})),
        ),
        OddFile(
            "a.webm",
            "WebM",
            _clip(Clip(codec="libvpx", options={"deadline": "realtime"}, sounds=(Sound("libopus"),))),
            sounds=("opus",),
        ),
        OddFile(
            "dv.avi",
            "DV",
            _clip(
                Clip(
                    codec="dvvideo",
                    size=tv,
                    pixel_format="yuv420p",
                    fields="bff",
                    sounds=(Sound("pcm_s16le"),),
                )
            ),
            sounds=("pcm_s16le",),
            fields=True,
        ),
    ]


def odd_files() -> list[OddFile]:
    """The whole corpus."""
    groups = (_times, _cuts, _sounds, _channels, _texts, _streams, _pictures, _containers)
    return [one for group in groups for one in group()]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--page", action="store_true", help="write docs/formats.md")
    args = parser.parse_args()
    if args.page:
        Path("docs/formats.md").write_text(page(), encoding="utf-8")
    if args.folder is not None:
        args.folder.mkdir(parents=True, exist_ok=True)
        for one in odd_files():
            path = args.folder / one.name
            one.make(path)
            for part in args.folder.glob(f"{path.stem}.part-*"):
                part.unlink()
            path.with_name(f"{one.name}.json").write_text(json.dumps(one.facts(), indent=2) + "\n")


_INTRODUCTION = """# Files in, files out

<!-- Made by python scripts/make_odd_files.py --page; do not edit. -->

How each part of a file is handled. *Reported*: printed on stderr and included in `--report`. The slow tests create every file
of these tables and compare the decoded output with the tables.

| part of the file | in the output |
|---|---|
| frames, their times, rotation, colour tags | kept |
| pixel aspect | kept, except with VP9, AV1 and FFV1 in .mkv and .webm; reported |
| time stamps that jump back, wrap around or jump ahead (10 s in MPEG-TS, MPEG-PS, FLV and streams, half an hour in others) | picture and sound continue without the jump; reported |
| time stamps that do not begin at zero (MPEG-TS, MPEG-PS, FLV) | begin at zero, with picture and sound in sync as before; in .ts at 1.4 s, as usual with FFmpeg |
| parts that an edit list cuts away, and an encoder's priming | removed, or marked as not to be played |
| chroma subsampling and bit depth | 4:2:0 in 8 bits, or 10 bits for HDR (PQ, HLG); `--pixel-format keep` keeps the source's; reported |
| interlaced video | stays interlaced in H.264 and FFV1; otherwise stored as progressive, without deinterlacing; reported |
| HDR10's mastering display and light level | kept in H.264 and HEVC; otherwise removed and reported. HDR10+ and Dolby Vision are removed; reported |
| closed captions, timecode, 3D and 360° tags inside the video | removed; reported |
| sound, text subtitles | copied bit for bit if the container accepts them, else converted (see below); reported |
| picture subtitles | dropped, because faces are not detected in them; reported |
| chapters | kept if the container supports them; their titles only with `--keep-metadata`; reported |
| second videos, cover pictures, data streams, attachments and their fonts | removed ([threat model](threat-model.md)); reported |
| several recordings in one file | continue as one; in MP4, MOV and ASF only the first is kept; reported |
| a damaged AAC header in MPEG-TS | one frame of sound is lost |
| an image's transparency, colour profile, animation, pages | kept if its format supports them; otherwise reported. Transparency that shows a face by itself is removed, and that is reported. Of a colour profile only what colours need is kept. Pages that are smaller copies of others are left out, as are previews, thumbnails and all but the main picture of HEIC |
| tags | removed without `--keep-metadata`; their names are in the report |
| tags, covers, fonts and file names in the headers of Vorbis and ASS | removed |
"""  # noqa: E501


def page() -> str:
    """``docs/formats.md``."""
    lines = [
        _INTRODUCTION,
        "## Sound",
        "",
        "Sound codec in each container. =: copied bit for bit. PCM and FLAC keep every sample.",
        "",
    ]
    suffixes = (".mp4", ".mov", ".mkv", ".webm", ".ts")
    head = [f"| codec | {' | '.join(suffixes)} |", "|---|" + "---|" * len(suffixes)]
    lines += head
    for encoder, _, _, becomes in _SOUNDS:
        cells = " | ".join(becomes[one] for one in suffixes)
        lines.append(f"| {_ENCODER_NAMES.get(encoder, encoder)} | {cells} |")
    lines += ["", "## Subtitles", "", *head]
    for codec, (_, targets) in _TEXTS.items():
        named = ["=" if targets[one] == codec else targets[one] or "dropped" for one in suffixes]
        lines.append(f"| {codec} | {' | '.join(named)} |")
    lines += [
        "",
        "## Odd files",
        "",
        "Unusual inputs that the tests create, their output, and a part of each message.",
        "",
    ]
    lines += [
        "| file | what is odd | output | frames | sound | pixel format | messages |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [_row(one) for group in (_times, _cuts, _streams, _pictures, _containers) for one in group()]
    return "\n".join([*lines, ""])


def _row(one: OddFile) -> str:
    if one.refused:
        return f"| {one.name} | {one.kind} | {one.output} | | | | refused: {one.refused} |"
    heard = f" {one.heard if one.heard is not None else one.seconds + 0.04:.1f} s" if one.sounds else ""
    picture = one.picture + ", interlaced" * one.fields
    cells = (
        one.name,
        one.kind,
        one.output,
        f"{one.frames} in {one.seconds + 0.04:.1f} s",
        ", ".join(one.sounds) + heard,
        picture,
        "; ".join(one.told),
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
