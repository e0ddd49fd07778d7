"""Render the demo clip and its ground truth. No real person is in it.

    python scripts/make_demo.py --delegates engines/delegates-v3.npz --out tests/data

writes ``demo.mp4`` (H.264 and AAC, 8 s) and ``demo.json``:

``fps``, ``size`` [width, height], ``cuts`` (first frame of each later shot) and ``frames``: for each frame
a list of faces with ``person`` (the same in all shots), ``track`` (new after a cut or an absence), ``box``
of the face mesh (xyxy, not clipped to the picture), ``keypoints`` (left eye, right eye, nose, left and
right mouth corner as seen in the image) and ``visible`` (the share of the mesh's pixels that is in the
picture with nothing in front but the person's own hair). Pixels have their origin at the centre of the
top-left one. Faces of which less than 2 % is visible are left out.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from demo_people import Person, Pose, Style, Wish, draw_person, make_person
from demo_scene import FINER, HEIGHT, WIDTH, compose, corridor, desk, film, office
from numpy.typing import NDArray

from streamanon.gallery.delegates import DelegateGallery, load_delegates
from streamanon.mesh.landmarks import mesh_keypoints
from streamanon.types import Float

FPS, RATE = 25, 44_100
SHOTS = (125, 75)
LEAST_VISIBLE = 0.02

Move = Callable[[int], Pose]
Front = tuple[Float, Float] | None


@dataclass(frozen=True)
class Participant:
    """Who is in a shot, how they move (by the shot's frame), and what stands before them."""

    person: str
    move: Move
    front: Front = None


@dataclass(frozen=True)
class Shot:
    """A room with its people, far to near."""

    room: Float
    participants: tuple[Participant, ...]
    frames: int


PEOPLE: dict[str, tuple[Wish, Style]] = {
    "reader": (Wish(False, 27, 118), Style("long", (58, 38, 26), (120, 38, 48), "vneck", seed=1)),
    "walker": (Wish(True, 26, 100), Style("short", (26, 22, 20), (176, 186, 200), "shirt", seed=3)),
    "elder": (Wish(True, 62, 140), Style("bald", (150, 148, 145), (62, 74, 100), "jacket", seed=2)),
    "visitor": (Wish(False, 62, 150), Style("bob", (150, 147, 143), (46, 92, 94), "crew", seed=4)),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--delegates", type=Path, default=Path("engines/delegates-v3.npz"))
    parser.add_argument("--out", type=Path, default=Path("tests/data"))
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    truth = Truth()
    frames = render(load_delegates(arguments.delegates), truth)
    write_clip(arguments.out / "demo.mp4", frames, melody(sum(SHOTS) / FPS))
    text = json.dumps(truth.as_dict(), separators=(",", ":"))
    (arguments.out / "demo.json").write_text(
        text.replace('[[{"', '[\n[{"').replace("],[{", "],\n[{") + "\n"
    )


# --- the script ----------------------------------------------------------------------------------------


def wave(frame: int, period: float, phase: float = 0.0) -> float:
    """A sine of a period in frames."""
    return float(np.sin(2 * np.pi * (frame / period + phase)))


def ease(frame: float, start: float, end: float) -> float:
    """From 0 at ``start`` to 1 at ``end``, gently."""
    t = float(np.clip((frame - start) / (end - start), 0, 1))
    return t * t * (3 - 2 * t)


def blink(frame: int, *times: int) -> float:
    """How far the eyes are shut: each blink lasts about 6 frames."""
    return max((max(0.0, 1 - abs(frame - time) / 3) for time in times), default=0.0)


def talk(frame: int, start: int, end: int) -> float:
    """Mouth opening of speech in units, between two frames."""
    if not start < frame < end:
        return 0.0
    edge = min(1.0, (frame - start) / 5, (end - frame) / 5)
    return edge * 0.04 * (1.1 + wave(frame, 9) * 0.7 + wave(frame, 5.3, 0.2) * 0.4)


def place(x: float, y: float, unit: float, frame: int, **turn: float) -> Pose:
    """A pose in the clip's pixels, with a little sway."""
    x, y = x + 0.04 * unit * wave(frame, 61), y + 0.03 * unit * wave(frame, 43, 0.3)
    return Pose(x=(x + 0.5) * FINER - 0.5, y=(y + 0.5) * FINER - 0.5, unit=unit * FINER, **turn)


def reader(frame: int) -> Pose:
    """Near, in the office: talks, looks around."""
    yaw = 20 * wave(frame, 110, 0.05) + 5 * wave(frame, 47)
    turn = {"yaw": yaw, "pitch": 4 * wave(frame, 70, 0.2), "roll": 3 * wave(frame, 90)}
    return place(196, 186, 40, frame, **turn, blink=blink(frame, 22, 71, 108), mouth=talk(frame, 8, 95))


def elder(frame: int) -> Pose:
    """Far, behind the desk; steps partly behind the reader, and back."""
    aside = ease(frame, 30, 60) - ease(frame, 84, 112)
    heading = ease(frame, 26, 34) - ease(frame, 54, 62), ease(frame, 80, 88) - ease(frame, 106, 114)
    turn = {
        "yaw": 12 * wave(frame, 130, 0.4) + 18 * (heading[1] - heading[0]),
        "pitch": 4 * wave(frame, 80),
        "roll": 2 * wave(frame, 77, 0.5),
    }
    return place(350 - 94 * aside, 150, 16, frame, **turn, blink=blink(frame, 40, 99), blur=0.8)


def walker(frame: int) -> Pose:
    """Stands, walks out on the right, and comes back."""
    out, back = ease(frame, 14, 62), ease(frame, 78, 116)
    x = 470 + 265 * (out - back) - 20 * back
    pace = 1.2 * abs(wave(frame, 24)) * float(14 < frame < 116)
    yaw = -6 + 32 * ease(frame, 10, 22) - 56 * ease(frame, 66, 74) + 30 * ease(frame, 104, 120)
    return place(
        x,
        168 - pace,
        26.7,
        frame,
        yaw=yaw,
        roll=1.5 * wave(frame, 48),
        blink=blink(frame, 8, 112),
        blur=0.4,
    )


def walker_near(frame: int) -> Pose:
    """In the corridor, near: turns the head from side to side."""
    yaw = 30 * float(np.cos(2 * np.pi * frame / 74 + 0.4))
    turn = {"yaw": yaw, "pitch": 5 * wave(frame, 60), "roll": 3 * wave(frame, 75, 0.25)}
    return place(200, 196, 53.5, frame, **turn, blink=blink(frame, 15, 52), mouth=talk(frame, 24, 66))


def reader_far(frame: int) -> Pose:
    """Far down the corridor, coming a little nearer."""
    grow = 1 + 0.12 * frame / SHOTS[1]
    turn = {"yaw": 10 * wave(frame, 90), "roll": 1.5 * wave(frame, 24)}
    return place(352 + 0.1 * frame, 160 - 0.7 * abs(wave(frame, 24)), 14.2 * grow, frame, **turn, blur=0.9)


def visitor(frame: int) -> Pose:
    """On the right of the corridor, listening."""
    turn = {
        "yaw": -16 + 8 * wave(frame, 70),
        "pitch": 5 * wave(frame, 38, 0.1),
        "roll": 3 * wave(frame, 82),
    }
    return place(500, 176, 28, frame, **turn, blink=blink(frame, 33, 60), blur=0.4)


def shots() -> tuple[Shot, Shot]:
    first = (
        Participant("elder", elder, desk()),
        Participant("walker", walker),
        Participant("reader", reader),
    )
    second = (
        Participant("reader", reader_far),
        Participant("visitor", visitor),
        Participant("walker", walker_near),
    )
    return Shot(office(), first, SHOTS[0]), Shot(corridor(), second, SHOTS[1])


# --- rendering -----------------------------------------------------------------------------------------


class Truth:
    """What is where, frame by frame."""

    def __init__(self) -> None:
        self.frames: list[list[dict[str, Any]]] = []
        self.cuts: list[int] = []
        self._numbers = {name: number for number, name in enumerate(PEOPLE)}
        self._tracks: dict[str, int] = {}
        self._count = 0

    def cut(self) -> None:
        self._tracks = {}
        if self.frames:
            self.cuts.append(len(self.frames))

    def frame(self, faces: list[tuple[str, Float, float]]) -> None:
        """Faces of the next frame: name, mesh points in the finer picture, visible share."""
        seen = {name: (points, share) for name, points, share in faces if share >= LEAST_VISIBLE}
        self._tracks = {name: track for name, track in self._tracks.items() if name in seen}
        rows = []
        for name, (points, share) in sorted(seen.items(), key=lambda item: self._numbers[item[0]]):
            if name not in self._tracks:
                self._tracks[name], self._count = self._count, self._count + 1
            rows.append(self._row(name, points, share))
        self.frames.append(rows)

    def _row(self, name: str, points: Float, share: float) -> dict[str, Any]:
        flat = np.asarray((points[:, :2] + 0.5) / FINER - 0.5, np.float32)
        box = np.concatenate([flat.min(0), flat.max(0)])
        return {
            "person": self._numbers[name],
            "track": self._tracks[name],
            "box": [round(float(v), 1) for v in box],
            "keypoints": [[round(float(v), 1) for v in point] for point in mesh_keypoints(flat)],
            "visible": round(share, 2),
        }

    def as_dict(self) -> dict[str, Any]:
        return {"fps": FPS, "size": [WIDTH, HEIGHT], "cuts": self.cuts, "frames": self.frames}


def render(gallery: DelegateGallery, truth: Truth) -> Iterator[NDArray[np.uint8]]:
    """The clip's frames, RGB; fills ``truth`` on the way."""
    used: set[str] = set()
    people = {name: make_person(gallery, name, wish, style, used) for name, (wish, style) in PEOPLE.items()}
    for shot in shots():
        truth.cut()
        for frame in range(shot.frames):
            yield _frame(gallery, people, shot, frame, truth)


def _frame(
    gallery: DelegateGallery, people: dict[str, Person], shot: Shot, frame: int, truth: Truth
) -> NDArray[np.uint8]:
    sprites = [
        draw_person(gallery, people[r.person], r.move(frame), HEIGHT * FINER) for r in shot.participants
    ]
    picture, seen = compose(shot.room, sprites, [participant.front for participant in shot.participants])
    rows = zip(shot.participants, sprites, seen, strict=True)
    truth.frame([(participant.person, sprite.points, share) for participant, sprite, share in rows])
    return film(picture, len(truth.frames))


def melody(seconds: float) -> NDArray[np.float32]:
    """A soft tune over a slow chord, mono."""
    time = np.arange(int(seconds * RATE), dtype=np.float64) / RATE
    sound = np.zeros_like(time)
    for step, semitone in enumerate([0, 4, 7, 12, 11, 7, 4, 2, 0, 5, 9, 12, 7, 4, 2, 0]):
        since = time - 0.5 * step
        loud = np.where(since > 0, np.exp(-2.6 * since.clip(0)) * np.clip(since / 0.02, 0, 1), 0)
        pitch = 261.63 * 2 ** (semitone / 12)
        sound += 0.16 * loud * (np.sin(2 * np.pi * pitch * time) + 0.25 * np.sin(4 * np.pi * pitch * time))
    for pitch in (65.41, 98.0, 130.81):
        sound += 0.03 * np.sin(2 * np.pi * pitch * time) * (1 + 0.3 * np.sin(2 * np.pi * 0.3 * time))
    fade = np.clip(time / 0.3, 0, 1) * np.clip((seconds - time) / 0.6, 0, 1)
    return np.asarray(sound * fade, np.float32)


def write_clip(path: Path, frames: Iterator[NDArray[np.uint8]], sound: NDArray[np.float32]) -> None:
    """Encode; one thread, so that the file is the same each time."""
    with av.open(str(path), "w", options={"movflags": "+faststart", "fflags": "+bitexact"}) as file:
        video = file.add_stream(
            "libx264", rate=FPS, options={"crf": "20", "preset": "slow", "threads": "1"}
        )
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        audio = file.add_stream("aac", rate=RATE, layout="mono")
        audio.bit_rate = 48_000
        for rgb in frames:
            file.mux(video.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        file.mux(video.encode(None))
        block = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
        block.sample_rate, block.pts = RATE, 0
        file.mux(audio.encode(block))
        file.mux(audio.encode(None))


if __name__ == "__main__":
    main()
