"""Mutated files through ``streamanon run``: no crash, no hang, no traceback, no raw output, one sentence.

    python scripts/fuzz.py --count 5000 --seed 1 [--real 40] [--keep FOLDER]

Worker processes do many files each, with their memory limited; a file that takes too long, or ends its
worker, is a finding. The detector is a fake that sees a face in the middle of every frame, which is covered
in plain colour: so an output is raw if its middle is not flat. ``--real``: so many files through the real
command, with the real detector.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import random
import resource
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tests" / "support")]

MEMORY_BYTES = 3 << 30
SECONDS = 20.0
COVER = ("--method", "solid", "--backend", "onnxruntime", "--set", "output.preset=ultrafast", "--quiet")
TEXTS = (
    b"only words\n" * 50,
    b"<html><body>404</body></html>",
    b'{"video": null}',
    b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nmissing.ts\n",
    b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
    b"ffconcat version 1.0\nfile '/etc/passwd'\n",
    b"RIFF\xff\xff\xff\xffAVI LIST",
    "Wörter".encode("utf-16"),
    b"1\n00:00:00,000 --> 00:00:01,000\nsubtitle\n",
    b"\x00" * 5000,
    b"\xff" * 5000,
    b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
)
IMAGES = (".png", ".jpg", ".webp", ".bmp", ".tiff", ".avif")
EXTREMES = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 100_000)


@dataclass(frozen=True)
class Sample:
    """A file to be tried: what was done to which seed."""

    name: str
    suffix: str
    data: bytes


def make_seeds(folder: Path) -> dict[str, bytes]:
    """Tiny clips in many containers and codecs, and images, by file name."""
    from clips import picture_rgb, write_clip
    from PIL import Image

    fragments = {"movflags": "frag_keyframe+delay_moov"}
    plans: dict[str, dict[str, Any]] = {
        "a.mp4": {"audio": ["aac"]},
        "b.mp4": {"muxer": fragments, "options": {"bf": "2"}},
        "c.mkv": {"audio": ["aac"], "subtitle": "subrip", "cover": True},
        "d.mkv": {"codec": "ffv1", "pixel_format": "yuv420p10le"},
        "e.webm": {"codec": "libvpx-vp9"},
        "f.avi": {"codec": "png", "pixel_format": "rgb24"},
        "g.avi": {"codec": "mpeg4"},
        "h.ts": {"audio": ["aac"], "options": {"g": "4"}},
        "i.mov": {"codec": "mjpeg", "pixel_format": "yuvj420p", "rotation": 90},
        "j.mpg": {"codec": "mpeg1video", "size": (64, 64)},
        "k.mp4": {"codec": "libx265", "size": (128, 96)},
        "l.mp4": {
            "time_base": Fraction(1, 90000),
            "pts": [n * 3003 for n in range(12)],
            "aspect": Fraction(4, 3),
        },
        "m.flv": {"codec": "flv1"},
        "n.gif": {"codec": "gif", "pixel_format": "rgb8"},
    }
    seeds = {}
    for name, plan in plans.items():
        path = write_clip(folder / name, **({"pts": 8} | plan))
        seeds[name] = path.read_bytes()
    frames = [Image.fromarray(picture_rgb(number, 64, 48)) for number in range(3)]
    for number, suffix in enumerate(IMAGES):
        frames[0].save(folder / f"x{number}{suffix}")
        seeds[f"x{number}{suffix}"] = (folder / f"x{number}{suffix}").read_bytes()
    for suffix in (".png", ".webp"):
        frames[0].save(folder / f"y{suffix}", save_all=True, append_images=frames[1:], duration=40)
        seeds[f"y{suffix}"] = (folder / f"y{suffix}").read_bytes()
    return seeds


def truncated(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data))]


def flipped(data: bytes, draw: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 4, 16, 64, 256))):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def scribbled(data: bytes, draw: random.Random) -> bytes:
    at, length = draw.randrange(len(data)), draw.choice((4, 16, 200, 2000))
    return data[:at] + draw.randbytes(length) + data[at + length :]


def cut_out(data: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(data))
    return data[:at] + data[at + draw.choice((1, 3, 50, 1000)) :]


def doubled(data: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(data))
    part = data[at : at + draw.choice((1, 188, 3000))]
    return data[:at] + part * draw.choice((2, 5)) + data[at:]


def extreme(data: bytes, draw: random.Random) -> bytes:
    """Some numbers in the first or last kilobytes set to limits of their types."""
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 8))):
        width = draw.choice((1, 2, 4, 8))
        span = min(len(changed), draw.choice((200, 1500, len(changed))))
        start = draw.choice((0, len(changed) - span))
        at = start + draw.randrange(span)
        value = draw.choice(EXTREMES) & ((1 << 8 * width) - 1)
        changed[at : at + width] = value.to_bytes(width, draw.choice(("big", "little")))
    return bytes(changed)


def enlarged(data: bytes, draw: random.Random) -> bytes:
    """Width and height, wherever they stand next to each other, or the fields of MP4 that hold times."""
    changed = bytearray(data)
    sides = [draw.choice((0, 1, 4097, 16385, 32767, 65535)) for _ in range(2)]
    for width in (2, 4):
        for order in ("big", "little"):
            for old in ((64, 48), (48, 64), (128, 96), (64, 64)):
                pattern = b"".join(side.to_bytes(width, order) for side in old)
                new = b"".join(side.to_bytes(width, order) for side in sides)
                at = changed.find(pattern)
                if at >= 0:
                    changed[at : at + len(new)] = new
    return bytes(changed)


def retimed(data: bytes, draw: random.Random) -> bytes:
    """Time scales, durations and frame rates of MP4 and AVI."""
    changed = bytearray(data)
    fields = [(b"mvhd", 16), (b"mdhd", 16), (b"mdhd", 20), (b"stts", 16), (b"elst", 12), (b"elst", 16)]
    fields += [(b"strh", 24), (b"strh", 28), (b"avih", 8), (b"tfdt", 8), (b"trun", 20)]
    for name, offset in draw.sample(fields, draw.choice((1, 2, 4))):
        at = data.find(name)
        if 0 <= at < len(data) - offset - 4:
            changed[at + offset : at + offset + 4] = draw.choice(EXTREMES).to_bytes(4, "big")
    return bytes(changed)


MUTATIONS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *(truncated, flipped, flipped, scribbled, cut_out, doubled, extreme, extreme, enlarged, retimed),
)


def make_samples(seeds: dict[str, bytes], count: int, seed: int) -> Iterator[Sample]:
    """``count`` files, the same for the same ``seed``."""
    draw = random.Random(seed)
    suffixes = sorted({Path(name).suffix for name in seeds})
    for number in range(count):
        name = draw.choice(sorted(seeds))
        suffix, data, done = Path(name).suffix, seeds[name], []
        if draw.random() < 0.03:
            yield Sample(f"{number} text", draw.choice(suffixes), draw.choice((*TEXTS, b"")))
            continue
        for change in draw.sample(MUTATIONS, draw.choice((1, 1, 2))):
            data = change(data, draw) if data else data
            done.append(change.__name__)
        if draw.random() < 0.05:
            suffix = draw.choice(suffixes)
            done.append("wrong suffix")
        yield Sample(f"{number} {name} {' '.join(done)}", suffix, data)


# -- the worker


def work() -> None:
    """Do the files whose paths come in on the standard input; tell each outcome as a line of JSON."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    import numpy as np

    import streamanon.api
    from streamanon.cli import main
    from streamanon.testing.fakes import faces_at
    from streamanon.types import Faces

    class Middle:
        """Sees one face, in the middle half of the frame."""

        def detect(self, frame: Any, extent: Any = "next") -> Any:
            size = np.array([frame.picture.width, frame.picture.height] * 2, np.float32)
            return faces_at((size * np.array([0.25, 0.25, 0.75, 0.75], np.float32))[None])

        def redetect(self, _frame: Any, _boxes: Any) -> Any:
            return Faces.empty()

    vars(streamanon.api)["open_detector"] = lambda *_: None
    vars(streamanon.api)["FaceSearch"] = lambda *_: Middle()
    for line in sys.stdin:
        source, target = line.rstrip("\n").split("\t")
        with _captured() as told:
            try:
                code: int | str = main(["run", source, "-o", target, *COVER])
            except BaseException as error:  # what main lets through is a finding
                code = repr(error)
            answer = json.dumps({"code": code, "err": told()})
        answers.write(f"{answer}\n")
        answers.flush()


@contextlib.contextmanager
def _captured() -> Iterator[Callable[[], str]]:
    """What arrives on the standard error stream, of libraries too."""
    kept = os.dup(2)
    with tempfile.TemporaryFile("w+b") as held:
        os.dup2(held.fileno(), 2)

        def read() -> str:
            os.dup2(kept, 2)
            held.seek(0)
            return held.read().decode(errors="replace")

        yield read
        os.close(kept)


class Worker:
    """One process that is started again when a file ends it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def do(self, source: Path, target: Path) -> dict[str, Any]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, __file__, "--work"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{source}\t{target}\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], SECONDS)
        line = process.stdout.readline() if ready else ""
        if line:
            return dict(json.loads(line))
        process.kill()
        code = process.wait()
        self.close()
        return {"code": f"crash {code}" if ready else "hang", "err": ""}

    def close(self) -> None:
        if self._process is not None:
            for stream in (self._process.stdin, self._process.stdout):
                assert stream is not None
                stream.close()
            self._process.kill()
            self._process.wait()
            self._process = None


def judge(answer: dict[str, Any], target: Path) -> str:
    """ "ok", "refused", or what is wrong."""
    code, lines = answer["code"], str(answer["err"]).splitlines()
    if code not in (0, 2):
        return f"ended with {code}"
    if "Traceback" in answer["err"]:
        return "traceback"
    if any("this is a bug" in line or "system error" in line for line in lines):
        return "unexpected error: " + lines[-1]
    notes = [line for line in lines[:-1] if line.startswith(f"streamanon: {target.name}: ")]
    if code == 2 and len(lines) - len(notes) != 1:
        return f"not one sentence: {answer['err']!r}"
    if any(not line.startswith("streamanon: ") for line in lines):
        return f"others' lines: {answer['err'][:300]!r}"
    if target.exists() and (wrong := _raw(target)):
        return wrong if code == 0 or wrong == "raw output" else "refused"
    return "refused" if code == 2 else "ok"


def _raw(target: Path) -> str:
    import numpy as np

    from streamanon.errors import StreamanonError
    from streamanon.media.decode import read_frames
    from streamanon.media.images import read_image_file
    from streamanon.media.probe import probe

    try:
        if target.suffix in IMAGES:
            planes = [frame.rgb[..., 1] for frame in read_image_file(target).frames]
        else:
            planes = [frame.picture.planes[0] for frame in read_frames(target, probe(target))]
    except StreamanonError as error:
        return f"does not play: {error}"
    if not planes:
        return "does not play: no frame"
    for plane in planes:
        height, width = plane.shape
        middle = plane[int(height * 0.4) : int(height * 0.6), int(width * 0.4) : int(width * 0.6)]
        if middle.size and float(np.std(middle)) > 4:
            return "raw output"
    return ""


def try_all(samples: Iterator[Sample], folder: Path, keep: Path | None = None) -> dict[str, list[str]]:
    """Names of the samples by verdict."""
    worker, verdicts = Worker(), collections.defaultdict(list)
    for sample in samples:
        source = folder / f"in{sample.suffix}"
        known = sample.suffix in (".mp4", ".mov", ".mkv", ".webm", ".ts", *IMAGES)
        target = folder / f"out{sample.suffix if known else '.mp4'}"
        target.unlink(missing_ok=True)
        source.write_bytes(sample.data)
        verdict = judge(worker.do(source, target), target)
        verdicts[verdict].append(sample.name)
        if keep is not None and verdict not in ("ok", "refused"):
            (keep / f"{sample.name.replace(' ', '_')}{sample.suffix}").write_bytes(sample.data)
    worker.close()
    return dict(verdicts)


def try_really(samples: Iterator[Sample], folder: Path) -> dict[str, list[str]]:
    """The same by the real command, with the real detector; whether it is raw cannot be told."""
    verdicts = collections.defaultdict(list)
    command = [sys.executable, "-m", "streamanon", "run"]
    for sample in samples:
        source, target = folder / f"in{sample.suffix}", folder / "out.mkv"
        if sample.suffix in IMAGES:
            target = target.with_suffix(sample.suffix)
        source.write_bytes(sample.data)
        done = subprocess.run(
            [*command, str(source), "-o", str(target), *COVER[2:]],
            capture_output=True,
            text=True,
            timeout=60,
        )
        answer = {"code": done.returncode, "err": done.stderr}
        verdicts[judge(answer, folder / "none")].append(sample.name)
    return dict(verdicts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--real", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="write what was found into this folder")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        work()
        return 0
    begun, wrong = time.perf_counter(), 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seeds = make_seeds(folder)
        found = try_all(make_samples(seeds, args.count, args.seed), folder, args.keep)
        real = try_really(make_samples(seeds, args.real, args.seed + 1), folder) if args.real else {}
    for title, verdicts in (("worker", found), ("real command", real)):
        for verdict, names in sorted(verdicts.items(), key=lambda pair: -len(pair[1])):
            ok = verdict in ("ok", "refused")
            wrong += 0 if ok else len(names)
            print(f"{title}: {len(names):5} {verdict}{'' if ok else ': ' + '; '.join(names[:4])}")
    print(f"{args.count + args.real} files in {time.perf_counter() - begun:.0f} s, {wrong} findings")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
